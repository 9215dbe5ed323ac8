"""In real kernels: what an executed notebook weighs, how quick the kernel stays, what the front end is sent."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import service
from .apart import apart
from .kernels import Kernel, clean_environment, connected
from .report import Row, ms, size

KINDS = ("comm_open", "comm_msg", "comm_close", "update_display_data", "display_data")
JOBS = 32
ROOT = Path(__file__).parents[2]


def rows(folder: Path) -> Iterator[Row]:
    yield from _weight(folder / "weight")
    yield from _arriving(folder / "arriving")
    yield _painting(folder / "painting")
    yield _running(folder / "running")
    yield from _panel(folder / "panel")
    yield _explorer(folder / "explorer")


def execute(folder: Path, sources: list[str], **environment: str) -> int:
    """Bytes of the notebook that these cells leave, executed as nbconvert and papermill do."""
    import nbformat
    from nbclient import NotebookClient

    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(folder)}})
    client.execute(env=clean_environment(folder) | environment)
    return len(nbformat.writes(notebook).encode())


NINE = ["%load_ext kling_notebook", "%%kling -n 9 -r 2K\na red fox at dawn"]
ONE = ["%load_ext kling_notebook", "%%kling -r 2K\na red fox at dawn"]
PANEL = ["import kling_notebook as kling\nkling.panel()"]


def _weight(folder: Path) -> Iterator[Row]:
    """Beside what a careful author leaves: thumbnails of 256 points for several images, one of 1024 for one."""
    folder.mkdir()
    image = folder / "given.png"
    image.write_bytes(service.painted("2K"))
    by_hand = "from IPython.display import HTML, display\nfrom tests.benchmarks.service import embedded\n"
    with apart(resolution="2K") as ours:
        for what, cells, most, beside in (
            ("nine 2K images", NINE, 160e3, (9, 256)),
            ("one 2K image", ONE, 130e3, (1, 1024)),
            ("a panel, opened", PANEL, 200e3, None),
        ):
            weight = execute(folder, cells, **connected(ours))
            goal, met = f"at most {size(most)}", weight <= most
            if beside is None:
                yield Row(f"saved notebook: {what}", size(weight), "", None, goal, met)
                continue
            count, side = beside
            show = f"for _ in range({count}): display(HTML(embedded({str(image)!r}, {side})))"
            peer = execute(folder, [by_hand + show], PYTHONPATH=str(ROOT))
            peers = f"thumbnails by hand {size(peer)}"
            yield Row(f"saved notebook: {what}", size(weight), peers, weight / peer, goal, met)


_OURS = """
import kling_notebook as kling
handles = [kling.submit(f"fox {{i}}", resolution="2K") for i in range({jobs})]
over = lambda: all(handle.done() for handle in handles)
None
"""

_POOL = """
import threading
from pathlib import Path
from tests.benchmarks import service
from tests.benchmarks.apart import Apart
where = Apart({url!r}, {key!r}, None)
thread = threading.Thread(target=lambda: service.pool(where, Path(), {jobs}, resolution="2K"))
thread.start()
over = lambda: not thread.is_alive()
None
"""


def _arriving(folder: Path) -> Iterator[Row]:
    """A cell of ``1+1``, again and again, while 32 jobs end together and their 2K images arrive."""
    folder.mkdir()
    got: dict[str, list[float]] = {}
    with apart(4.0, resolution="2K") as where:
        codes = {"ours": _OURS.format(jobs=JOBS)}
        codes["pool(32)"] = _POOL.format(url=where.base_url, key=where.key, jobs=JOBS)
        for who, code in codes.items():
            with Kernel(folder, **connected(where), PYTHONPATH=str(ROOT)) as kernel:
                kernel.run("import kling_notebook as kling")
                kernel.run("kling.connect(credits_without_asking=1e9, requests_per_minute=6000)")
                idle = cells(kernel, 2.0)
                kernel.run(code)
                running = cells(kernel, 3.0)
                arriving = cells(kernel, 60.0, until="over()")
            got |= {f"{who} idle": idle, f"{who} running": running, f"{who} arriving": arriving}
    beside = f"idle kernel {ms(late(got['ours idle']))}"
    for what, ours, peer, most in (
        (f"1+1, 99th of 100, while {JOBS} jobs run", got["ours running"], beside, None),
        (f"1+1, 99th of 100, while {JOBS} 2K images arrive", got["ours arriving"], "", 0.06),
    ):
        theirs = got["pool(32) arriving"]
        goal = "" if most is None else f"at most {ms(most)}"
        yield Row(
            what,
            ms(late(ours)),
            peer or f"pool(32) {ms(late(theirs))}",
            late(ours) / (late(got["ours idle"]) if peer else late(theirs)),
            goal,
            None if most is None else late(ours) <= most,
            f"{len(ours)} cells, median {ms(statistics.median(ours))}; {beside}",
        )


def cells(kernel: Kernel, during: float, until: str = "") -> list[float]:
    """Round trips of ``1+1`` every 20 ms, for so many seconds or until what is asked in between is True."""
    times, end = [], time.monotonic() + during
    while time.monotonic() < end:
        begun = time.perf_counter()
        kernel.run("1+1")
        times.append(time.perf_counter() - begun)
        if until and kernel.run(f"print({until})").strip() == "True":
            break
        time.sleep(0.02)
    return times


def late(times: list[float]) -> float:
    """The 99th of a hundred."""
    return sorted(times)[min(len(times) - 1, int(0.99 * len(times)))]


_PAINT = """
import kling_notebook as kling
handle = kling.submit("a red fox at dawn in the snow", resolution="2K", num_outputs=8)
None
"""
_NUMPY = """
import threading, time, numpy as np
end = time.monotonic() + 4.0
def busy():
    pixels = np.zeros((2048, 2048, 3), np.float32)
    while time.monotonic() < end:
        pixels = np.sqrt(pixels * 0.5 + 1.0)
threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads: thread.start()
None
"""
_MEMORY = "import psutil, gc; gc.collect(); print(psutil.Process().memory_info().rss)"


def _painting(folder: Path) -> Row:
    """The sandbox of a notebook without a key, and the kernel beside it, on one core if the system can be told so."""
    folder.mkdir()
    with Kernel(folder, KLING_SANDBOX="1") as kernel:
        kernel.run("import os\nif hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, {0})")
        kernel.run("import kling_notebook as kling\nkling.submit('warm').result(60)\nNone")
        kernel.run(_PAINT)
        ours = cells(kernel, 90.0, until="handle.done()")
        memory = int(kernel.run(_MEMORY))
        kernel.run(_NUMPY)
        theirs = cells(kernel, 3.5)
    return Row(
        "1+1, 99th of 100, while eight 2K images are painted",
        ms(late(ours)),
        f"two threads of numpy {ms(late(theirs))}",
        late(ours) / late(theirs),
        "at most 60 ms on one core, 200 MB",
        late(ours) <= 0.06 and memory <= 200e6,
        f"{len(ours)} cells, median {ms(statistics.median(ours))}; the kernel takes {size(memory)} afterwards",
    )


def sent(kernel: Kernel, code: str) -> list[dict[str, Any]]:
    """The messages about widgets and outputs that a cell brings about."""
    kernel.messages.clear()
    kernel.run(code)
    return [message for _, message in kernel.messages if message["msg_type"] in KINDS]


def weight_of(messages: list[dict[str, Any]]) -> int:
    buffers = sum(memoryview(part).nbytes for message in messages for part in message["buffers"])
    return buffers + sum(len(json.dumps(message["content"], default=str)) for message in messages)


def busiest(messages: list[dict[str, Any]]) -> int:
    """Messages of the busiest second, by when they were sent."""
    times = [message["header"]["date"].timestamp() for message in messages]
    return max(sum(begin <= other < begin + 1.0 for other in times) for begin in times)


def _running(folder: Path) -> Row:
    folder.mkdir()
    with apart(6.0) as ours, Kernel(folder, **connected(ours)) as kernel:
        kernel.run("%load_ext kling_notebook")
        messages = sent(kernel, "get_ipython().run_cell_magic('kling', '--sweep sample=9', 'a red fox')")
    comms = sum(message["msg_type"].startswith("comm") for message in messages)
    most = busiest(messages)
    counts = f"{len(messages)} messages, {comms} of widgets, {size(weight_of(messages))}"
    return Row("messages a second while nine jobs run", f"{most} at most", "", None, "at most 4", most <= 4, counts)


OPEN = "import kling_notebook as kling\npanel = kling.panel()\npanel"
GENERATE = (
    "import time\npanel.form.button.click()\n"
    "while not panel.gallery.cards or panel.gallery.running: time.sleep(0.05)\ntime.sleep(0.5)"
)


def _panel(folder: Path) -> Iterator[Row]:
    folder.mkdir()
    with Kernel(folder, KLING_SANDBOX="1") as kernel:
        opened = sent(kernel, OPEN)
        made = sent(kernel, GENERATE)
    comms = sum(message["msg_type"] == "comm_open" for message in opened)
    weight = f"{len(opened)} messages, {size(weight_of(opened))}"
    yield Row("panel: opening it", f"{comms} comm_open", "", None, "at most 120", comms <= 120, weight)
    most, bytes_sent = busiest(made), weight_of(made)
    yield Row(
        "panel: one Generate",
        f"{len(made)} messages",
        goal="at most 40 messages, 120 kB, 8 a second",
        met=len(made) <= 40 and bytes_sent <= 120e3 and most <= 8,
        counts=f"{size(bytes_sent)}, {most} in the busiest second",
    )


_TICKS = """
import json, statistics, time
import kling_notebook as kling
kling.connect(credits_without_asking=1e9)
panel = kling.panel()
panel.tabs.selected_index = 1
explorer = panel.explorer
explorer.prompt.value = "a {animal} in a {place}"
explorer.words["animal"].value = "\\n".join(f"animal {i}" for i in range(40))
explorer.words["place"].value = "\\n".join(f"place {i}" for i in range(40))
explorer.most.value = 1e6
explorer.start()
explorer.ticks.close()
time.sleep(2.0)
explorer._tick()
times = []
for _ in range(30):
    begun = time.perf_counter(); explorer._tick(); times.append(time.perf_counter() - begun)
print(json.dumps([len(explorer.sweep), statistics.median(times), min(times)]))
"""


def _explorer(folder: Path) -> Row:
    folder.mkdir()
    with apart(600.0) as where, Kernel(folder, **connected(where)) as kernel:
        jobs, middle, best = json.loads(kernel.run(_TICKS).splitlines()[-1])
    what = f"explorer's progress with {jobs} jobs, one tick"
    return Row(what, ms(middle), "", None, "at most 2 ms", middle <= 2e-3, f"best {ms(best)}")
