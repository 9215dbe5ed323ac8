"""In real kernels: what an executed notebook weighs, how quick the kernel stays, what the front end is sent."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import service
from .kernels import Kernel
from .report import Row, ms, size

LIMIT_MESSAGES = 1000  # a second: jupyter_server's own limit


def rows(folder: Path, latency_seconds: float) -> Iterator[Row]:
    yield from _weight(folder / "weight")
    yield from _latency(folder / "latency", latency_seconds)
    yield _messages(folder / "messages")


def execute(folder: Path, sources: list[str], **environment: str) -> int:
    """Bytes of the notebook that these cells leave, executed as nbconvert and papermill do."""
    import nbformat
    from nbclient import NotebookClient

    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(folder)}})
    client.execute(env=_environment(folder) | environment)
    return len(nbformat.writes(notebook).encode())


def _environment(folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    return clean | {"IPYTHONDIR": str(folder / "ipython")}


def connected(ours: Any) -> dict[str, str]:
    """The environment in which a kernel takes the sandbox for the hosted service."""
    return {"PIXELDOJO_API_BASE": ours.base_url, "PIXELDOJO_API_KEY": ours.key}


NINE = ["%load_ext kling_notebook", "%%kling -n 9 -r 2K\na red fox at dawn"]


def _weight(folder: Path) -> Iterator[Row]:
    folder.mkdir()
    image = folder / "given.png"
    image.write_bytes(service.painted("2K"))
    with service.sandbox("2K") as ours:
        weight = execute(folder, NINE, **connected(ours))
    display = f"from IPython.display import Image, display\nfor _ in range(9): display(Image({str(image)!r}))"
    plain = execute(folder, [display])
    # What an %%ai image cell publishes: the base64 of the original in a display of its own.
    ai = execute(
        folder,
        [
            "import base64\nfrom IPython.display import display\n"
            f"data = base64.b64encode(open({str(image)!r}, 'rb').read()).decode()\n"
            "for _ in range(9): display({'image/png': data}, raw=True)"
        ],
    )
    goal, met = "at most 300 kB", weight <= 300e3
    yield Row(
        "saved notebook with nine 2K images", size(weight), f"display(Image) {size(plain)}", weight / plain, goal, met
    )
    yield Row("", size(weight), f"full size, as %%ai {size(ai)}", weight / ai)


_RUN = """
import kling_notebook as kling
handles = [kling.submit(f"fox {{i}}") for i in range({jobs})]
None
"""


def _latency(folder: Path, during: float) -> Iterator[Row]:
    """A cell of ``1+1``, again and again: in an idle kernel, while 32 jobs run, and while their images arrive."""
    folder.mkdir()
    with service.apart(during) as ours, Kernel(folder, **connected(ours)) as kernel:
        kernel.run(
            "import kling_notebook as kling\nkling.connect(credits_without_asking=1e9, requests_per_minute=6000)"
        )
        idle = _cells(kernel, 3.0)
        kernel.run(_RUN.format(jobs=32))
        running = _cells(kernel, during - 1.5)
        arriving = _cells(kernel, 30.0, until="all(handle.done() for handle in handles)")
    for name, times in (("while 32 jobs run", running), ("while their 32 images arrive", arriving)):
        late = _quantile(times, 0.99)
        counts = f"{len(times)} cells, median {ms(statistics.median(times))}"
        yield Row(
            f"1+1 cell, 99th of 100, {name}",
            ms(late),
            f"idle kernel {ms(_quantile(idle, 0.99))}",
            late / _quantile(idle, 0.99),
            "at most 50 ms",
            late <= 0.05,
            counts,
        )


def _cells(kernel: Kernel, during: float, until: str = "1+1") -> list[float]:
    """Round trips of a small cell every 20 ms; with ``until`` they end when it prints True."""
    times, end = [], time.monotonic() + during
    while time.monotonic() < end:
        begun = time.perf_counter()
        shown_text = kernel.run("1+1" if until == "1+1" else f"print({until})")
        times.append(time.perf_counter() - begun)
        if shown_text.strip() == "True":
            break
        time.sleep(0.02)
    return times


def _quantile(times: list[float], q: float) -> float:
    return sorted(times)[min(len(times) - 1, int(q * len(times)))]


def _messages(folder: Path) -> Row:
    folder.mkdir()
    with service.sandbox(latency=6.0) as ours, Kernel(folder, **connected(ours)) as kernel:
        kernel.run("%load_ext kling_notebook")
        kernel.messages.clear()
        cell = "get_ipython().run_cell_magic('kling', '--sweep sample=9', 'a red fox')"
        begun = time.monotonic()
        kernel.run(cell)
        took = time.monotonic() - begun
    shown = [at for at, message in kernel.messages if message["msg_type"] in ("display_data", "update_display_data")]
    comms = sum(message["msg_type"].startswith("comm") for _, message in kernel.messages)
    most = max(sum(at <= other < at + 1.0 for other in shown) for at in shown)
    weight = sum(len(json.dumps(m["content"])) for _, m in kernel.messages if m["msg_type"] == "update_display_data")
    counts = f"{len(shown)} displays, {comms} comms, {size(weight)} in {took:.0f} s"
    return Row(
        "messages a second while nine jobs run",
        f"{most} at most",
        f"limit {LIMIT_MESSAGES}",
        most / LIMIT_MESSAGES,
        "at most 4",
        most + comms / max(1.0, took) <= 4,
        counts,
    )
