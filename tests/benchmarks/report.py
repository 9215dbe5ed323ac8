"""Rows of the table, how they are measured, and how they are printed."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HEADINGS = ("what", "ours", "peer or limit", "ratio", "goal", "met", "counts")


@dataclass(frozen=True)
class Row:
    """One line. ``met``: None where there is no goal, or where it could not be measured."""

    what: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    counts: str = ""

    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = {True: "yes", False: "NO", None: ""}[self.met]
        return (self.what, self.ours, self.peer, ratio, self.goal, met, self.counts)


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
    for line in table:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip(), flush=True)


def write(rows: Sequence[Row], path: Path) -> None:
    """The same as JSON, with the machine it was measured on."""
    about: dict[str, object] = {"busy": busy()}
    about |= {"python": platform.python_version(), "system": platform.platform(), "at": time.strftime("%Y-%m-%d %H:%M")}
    path.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def busy() -> str:
    """How many others want the processors: with more of them than processors the times say little, the ratios more."""
    wanting = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "an unknown number of"
    return f"{wanting} running for {os.cpu_count()} processors"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@dataclass(frozen=True)
class Took:
    """Seconds of several runs: wall time as a median and at best, and the processor's, of this process, as a median."""

    median: float
    best: float
    processor: float


def interleaved(works: Mapping[str, Callable[[], object]], runs: int, warm: int = 1) -> dict[str, Took]:
    """The times of each, taken in turns: what slows the machine down for a while slows all of them down."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for run in range(-warm, runs):
        for name, work in works.items():
            used = time.process_time()
            one = seconds(work)
            if run >= 0:
                took[name].append((one, time.process_time() - used))
    return {name: _took(times) for name, times in took.items()}


def _took(times: Sequence[tuple[float, float]]) -> Took:
    walls, processor = zip(*times, strict=True)
    return Took(statistics.median(walls), min(walls), statistics.median(processor))


def ms(value: float) -> str:
    """Seconds as text."""
    if value >= 10:
        return f"{value:.1f} s"
    return f"{value * 1e3:.0f} ms" if value >= 0.0095 else f"{value * 1e3:.2f} ms"


def size(count: float) -> str:
    """Bytes as text."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def exponent(points: Iterable[tuple[float, float]]) -> float:
    """The slope of log(cost) over log(size), by least squares: 0 constant, 1 linear, 2 quadratic."""
    logs = [(math.log(x), math.log(max(y, 1e-9))) for x, y in points]
    mean_x, mean_y = statistics.fmean(x for x, _ in logs), statistics.fmean(y for _, y in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
