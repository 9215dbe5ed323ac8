"""All benchmarks, one table: ``python -m tests.benchmarks`` from the root of the repository.

Nothing in here is a test: times depend on the machine, and what CI holds are the counts in test_counts.py. Peers are
installed into a cache of their own (KLING_BENCHMARKS_CACHE says where). Runs are taken in turns and medians printed.
Takes about seven minutes on two cores, less with ``--quick``; ``--only load,growth`` runs a part.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import growth, jobs, load, notebooks, polling, whole
from .report import Row, busy, show, write

LAST = Path(__file__).with_name("last_run.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="fewer runs, nothing in real time")
    parser.add_argument("--only", metavar="PARTS", help="some of load,polling,jobs,notebooks,growth,whole")
    parser.add_argument("--runs", type=int, default=0, help="runs a median is taken of")
    parser.add_argument("--suite", action="store_true", help="time the test suite as well")
    message = parser.parse_args()
    runs = message.runs or (3 if message.quick else 5)
    before = busy()
    with tempfile.TemporaryDirectory(prefix="kling-benchmarks-", ignore_cleanup_errors=True) as folder:
        here = Path(folder)
        parts: dict[str, Callable[[], Iterator[Row]]] = {
            "load": lambda: load.rows(here, runs),
            "polling": lambda: polling.rows(here, 4 if message.quick else 10, real=not message.quick),
            "jobs": lambda: jobs.rows(here, runs),
            "notebooks": lambda: notebooks.rows(here),
            "growth": lambda: growth.rows(here, (1000, 10_000, 100_000), runs),
            "whole": lambda: whole.rows(here, tour=True, suite=message.suite),
        }
        chosen = message.only.split(",") if message.only else list(parts)
        rows: list[Row] = []
        for name in chosen:
            begun = time.monotonic()
            try:
                rows += parts[name]()
            except Exception as error:  # one part that cannot run must not cost the others' results
                rows.append(Row(name, f"stopped: {type(error).__name__}: {error}"[:100], met=False))
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
            write(rows, LAST)
    show(rows)
    print(f"\nbefore: {before}; after: {busy()}")
    missed = sum(row.met is False for row in rows)
    print(f"{len(rows)} rows, {missed} goals missed; written to {LAST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
