"""All attacks, one table: ``python -m tests.attacks`` from the root of the repository, ``--short`` for a few minutes.

Random moments come from ``--seed``. A line that does not hold says what went wrong. The suite runs the same attacks in
their short form.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kling_notebook.sandbox import Sandbox

from . import folders, frames, processes
from .processes import Figures


def hostile_folders(place: Path) -> Figures:
    """Every way in, one folder each."""
    with Sandbox(latency=0.0, paint=folders.paint) as sandbox:
        ours = folders.begin(place, sandbox)
        found = {way: folders.attack(ours, place / str(k), way, sandbox).faults for k, way in enumerate(folders.WAYS)}
    faults = [f"{way}: {fault}" for way, some in found.items() for fault in some]
    return Figures(f"{len(found)} hostile folders", f"{len(faults)} witnesses changed, read or sent, or stops", faults)


def key_in_frames(place: Path) -> Figures:
    """Every entry point fails or is interrupted; every local variable is printed."""
    names = [*frames.INTERRUPTED, *frames.FAILED]
    faults = [f"{name}: {fault}" for k, name in enumerate(names) for fault in frames.attack(name, place / str(k))]
    text = f"{len(names)} entry points that fail or are interrupted"
    return Figures(text, f"{len(faults)} frames with the key", faults)


def attacks(place: Path, short: bool, seed: int) -> dict[str, Callable[[], Figures]]:
    """The attacks by name, in a size that takes seconds each or minutes each."""
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    few = {
        "kills": (3, 4),
        "copies": (3, 6),
        "together": (3, 4, 1),
        "limits": (2, 3),
        "faulty": (12,),
        "interrupts": (4,),
    }
    many = {
        "kills": (40, 20),
        "copies": (30, 40),
        "together": (5, 20, 2),
        "limits": (24, 8),
        "faulty": (200,),
        "interrupts": (60,),
    }
    found: dict[str, Callable[[], Figures]] = {}
    for name, size in (few if short else many).items():
        attack = getattr(processes, name)
        found[name] = lambda attack=attack, name=name, size=size: attack(place / name, *size, chance)  # type: ignore[misc]
    return found | {
        "replies": lambda: processes.replies(1000 if short else 25_000, chance),
        "folders": lambda: hostile_folders(place / "folders"),
        "frames": lambda: key_in_frames(place / "frames"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--short", action="store_true", help="the size that the test suite runs")
    parser.add_argument("--only", metavar="NAMES", help="some of kills,copies,together,faulty,interrupts,...")
    parser.add_argument("--seed", type=int, default=None, help="of the random moments (default: printed)")
    chosen = parser.parse_args()
    seed = time.time_ns() % 10**6 if chosen.seed is None else chosen.seed
    failed = 0
    print(f"seed {seed}\n\n| attack | figures | |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="kling-attacks-", ignore_cleanup_errors=True) as folder:
        for name, attack in attacks(Path(folder), chosen.short, seed).items():
            if chosen.only and name not in chosen.only.split(","):
                continue
            begun = time.monotonic()
            row = attack()
            failed += bool(row.faults)
            verdict = f"fails: {'; '.join(row.faults[:5])}" if row.faults else "holds"
            print(f"| {row.attack} | {row.figures} | {verdict} |", flush=True)
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
