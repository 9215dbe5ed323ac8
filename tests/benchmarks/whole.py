"""The tour and the test suite, as whole programs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .report import Row, ms, seconds

ROOT = Path(__file__).parents[2]


def rows(folder: Path, *, tour: bool, suite: bool) -> Iterator[Row]:
    if tour:
        yield _program("kling-notebook tour", ["-m", "kling_notebook", "tour", "--dir", str(folder / "tour")], folder)
    if suite:
        command = ["-m", "pytest", "-q", "--ignore=tests/browser", "-p", "no:cacheprovider"]
        yield _program("test suite without the browser, two at a time", command, ROOT, most=600.0)


def _program(what: str, command: list[str], folder: Path, most: float | None = None) -> Row:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    done: list[subprocess.CompletedProcess[str]] = []

    def run() -> None:
        argv = [sys.executable, *command]
        done.append(subprocess.run(argv, cwd=folder, env=clean, capture_output=True, text=True, check=False))

    took = seconds(run)
    last = (done[0].stdout.strip().splitlines() or [""])[-1][:60]
    if done[0].returncode:
        return Row(what, f"failed: {last}", met=False)
    goal, met = ("", None) if most is None else (f"at most {ms(most)}", took <= most)
    return Row(what, ms(took), goal=goal, met=met, counts=last)
