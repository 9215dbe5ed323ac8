"""What our layers add to one job and to many, what makes the first cell slow, and what arriving images take in memory.
Beside each stands what a person writes with requests, Pillow and a pool of threads. The service has its own process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kling_notebook.session.session import DOWNLOADS

from . import service
from .apart import Apart, apart
from .kernels import Kernel, connected
from .report import Row, interleaved, ms, size

ROOT = Path(__file__).parents[2]


def rows(folder: Path, runs: int) -> Iterator[Row]:
    yield _one(folder / "one", 3 * runs)
    yield from _first_and_second(folder, runs)
    yield _nine(folder / "nine", runs)
    yield _many(folder / "many", runs)
    yield from _grid(folder / "grid", 2 * runs)
    yield _memory(folder / "memory")


def _one(folder: Path, runs: int) -> Row:
    folder.mkdir()
    with apart() as ours, apart() as theirs:
        begun = service.session(ours, folder / "ours")
        fresh = iter(range(10**6))

        def by_us() -> None:
            requests = [begun.request(f"fox {next(fresh)}")]
            begun.start(requests, source="python").handles[0].result(60).bundle()

        took = interleaved({"ours": by_us, "script": lambda: service.script(theirs, folder, "fox")}, runs, warm=3)
        begun.close()
        counted = ours.counts()
    us, them = took["ours"], took["script"]
    each = ", ".join(f"{counted[kind] / (runs + 3):.2g} {kind}s" for kind in ("submit", "poll", "download"))
    counts = f"best {ms(us.best)} and {ms(them.best)}, processor {us.processor / them.processor:.2f} x; {each}"
    ratio = us.median / them.median
    return Row(
        "one 1K image, POST to grid (latency 0)",
        ms(us.median),
        f"requests script {ms(them.median)}",
        ratio,
        "at most 1.5 x",
        ratio <= 1.5,
        counts,
    )


_CELLS = """
import json, time
get_ipython().run_line_magic("load_ext", "kling_notebook")
_took = []
for _ in range(3):
    _begun = time.perf_counter()
    get_ipython().run_cell_magic("kling", "--fresh", f"a red fox, {_}")
    _took.append(time.perf_counter() - _begun)
print(json.dumps(_took))
"""

_BY_HAND = """
import json, time
_took = []
for _ in range(3):
    _begun = time.perf_counter()
    import base64, io, requests
    from IPython.display import HTML, display
    from PIL import Image
    _headers = {{"Authorization": "Bearer {key}"}}
    _body = {{"prompt": f"a red fox, {{_}}", "aspect_ratio": "1:1"}}
    _job = requests.post("{url}/models/kling-image/run", headers=_headers, json=_body).json()
    while (_status := requests.get("{url}/jobs/" + _job["jobId"], headers=_headers).json())["status"] != "completed":
        time.sleep(2)
    for _url in _status["output"]["images"]:
        with open(f"{{_job['jobId']}}.png", "wb") as _file:
            _file.write(requests.get(_url).content)
        _image = Image.open(_file.name)
        _image.thumbnail((1024, 1024))
        _image.convert("RGB").save(_out := io.BytesIO(), "JPEG", quality=85)
        _text = base64.b64encode(_out.getvalue()).decode()
        display(HTML(f'<img src="data:image/jpeg;base64,{{_text}}">'))
    _took.append(time.perf_counter() - _begun)
print(json.dumps(_took))
"""


def _first_and_second(folder: Path, runs: int) -> Iterator[Row]:
    """In fresh kernels and folders: the first cell pays for what it imports and makes, unless a job gives it time."""
    with apart() as at_once, apart(1.5) as later:
        cells: dict[str, tuple[Apart, str]] = {
            "ours": (at_once, _CELLS),
            "by hand": (at_once, _BY_HAND.format(url=at_once.base_url, key=at_once.key)),
            "later": (later, _CELLS),
        }
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in cells}
        for run in range(runs):
            for name, (where, code) in cells.items():
                here = folder / f"{name}-{run}"
                here.mkdir()
                with Kernel(here, **connected(where)) as kernel:
                    first, *more = json.loads(kernel.run(code).splitlines()[-1])
                took[name].append((first, statistics.fmean(more)))
    first, second = ({name: statistics.median(t[k] for t in times) for name, times in took.items()} for k in (0, 1))
    for what, one, other, beside, most in (
        ("first grid of a fresh kernel (latency 0)", first["ours"], second["ours"], "the ones after it", 1.5),
        ("   the first written by hand", first["by hand"], second["by hand"], "the ones after it", None),
        ("   the ones after it", second["ours"], second["by hand"], "written by hand", 2.0),
        ("first grid of a fresh kernel, jobs of 1.5 s", first["later"], second["later"], "the ones after it", 1.1),
    ):
        goal = "" if most is None else f"at most {most:g} x"
        yield Row(
            what, ms(one), f"{beside} {ms(other)}", one / other, goal, None if most is None else one <= most * other
        )


def _nine(folder: Path, runs: int) -> Row:
    """Nine images of a job from a service that is far away."""
    folder.mkdir()
    far: dict[str, Any] = {"resolution": "2K", "round_trip": 0.06, "bandwidth": 20e6}
    with apart(**far) as ours, apart(**far) as theirs:
        begun = service.session(ours, folder / "ours")
        begun.dispatcher.downloads.in_flight = DOWNLOADS  # as for a service that is as far as this one pretends to be
        fresh = iter(range(10**6))

        def by_us() -> None:
            requests = [begun.request(f"fox {next(fresh)}", resolution="2K", num_outputs=9)]
            begun.start(requests, source="python").handles[0].result(120).bundle()

        def by_pool() -> None:
            service.script(theirs, folder, "fox", side_by_side=9, resolution="2K", num_outputs=9)

        took = interleaved({"ours": by_us, "pool": by_pool}, runs)
        begun.close()
    us, them = took["ours"], took["pool"]
    ratio = us.median / them.median
    counts = f"best {ms(us.best)} and {ms(them.best)}, processor {us.processor / them.processor:.2f} x"
    return Row(
        "nine 2K images of a job, 60 ms there and back, 20 MB/s",
        ms(us.median),
        f"pool(9) {ms(them.median)}",
        ratio,
        "at most 1.3 x",
        ratio <= 1.3,
        counts,
    )


def _many(folder: Path, runs: int, jobs: int = 100) -> Row:
    folder.mkdir()
    with apart() as ours, apart() as theirs:
        begun = service.session(ours, folder / "ours")
        commits: list[str] = []
        begun.journal._connection.set_trace_callback(lambda one: one == "COMMIT" and commits.append(one))
        fresh = iter(range(10**6))

        def by_us() -> None:
            requests = [begun.request(f"fox {next(fresh)}") for _ in range(jobs)]
            for handle in begun.start(requests, source="python").handles:
                handle.result(120)

        took = interleaved({"ours": by_us, "pool": lambda: service.pool(theirs, folder, jobs)}, max(2, runs // 2))
        begun.close()
    us, them = took["ours"], took["pool"]
    transactions = len(commits) / jobs / (max(2, runs // 2) + 1)
    best = f"best {jobs / us.best:.0f} and {jobs / them.best:.0f} jobs/s"
    return Row(
        f"{jobs} jobs (latency 0)",
        f"{jobs / us.median:.0f} jobs/s",
        f"pool(32) {jobs / them.median:.0f} jobs/s",
        us.median / them.median,
        "80 jobs/s, three transactions a job",
        jobs / us.median >= 80 and transactions <= 3.1,
        f"{transactions:.2f} transactions a job; {best}, processor {us.processor / them.processor:.2f} x",
    )


def _grid(folder: Path, runs: int) -> Iterator[Row]:
    """Nine completed 1K images on screen; ours as it stands in the folder after the download."""
    folder.mkdir()
    with apart() as ours:
        begun = service.session(ours, folder)
        finished = begun.start([begun.request("a red fox", num_outputs=9)], source="python").handles[0].result(60)
    paths = [image.path for image in finished]
    cached = len(list((folder / ".kling" / "thumbnails").glob("*.jpg")))

    def ours_again() -> dict[str, Any]:
        return begun.result(finished.number).bundle()

    took = interleaved(
        {
            "ours": ours_again,
            "imshow": lambda: _imshow(paths),
            "html": lambda: "".join(service.embedded(path, 256) for path in paths),
        },
        max(3, runs // 3),
    )
    weight = len(json.dumps(ours_again()))
    begun.close()
    us = took["ours"].median
    yield Row(
        "grid of nine completed 1K images",
        ms(us),
        f"thumbnails from the files {ms(took['html'].median)}",
        us / took["html"].median,
        "at most 30 ms",
        us <= 0.03,
        f"best {ms(took['ours'].best)}; {cached} thumbnails made while downloading, {size(weight)}",
    )
    yield Row("", ms(us), f"matplotlib imshow {ms(took['imshow'].median)}", us / took["imshow"].median)


def _imshow(paths: list[Path]) -> bytes:
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(9, 9))
    for place, path in enumerate(paths):
        axes = figure.add_subplot(3, 3, place + 1)
        axes.imshow(Image.open(path))
        axes.axis("off")
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()


_ARRIVE = """
import json, sys, threading, time
from pathlib import Path
import psutil
from tests.benchmarks import service
from tests.benchmarks.apart import Apart
url, key, folder, who = sys.argv[1:]
where, folder = Apart(url, key, None), Path(folder)
folder.mkdir()
if who == "ours":
    begun = service.session(where, folder)
    def run(jobs):
        batch = begun.start([begun.request(f"fox {i}, {jobs}", resolution="2K") for i in range(jobs)], source="python")
        for handle in batch.handles:
            handle.result(300)
else:
    def run(jobs):
        service.pool(where, folder, jobs, resolution="2K")
run(1)
process, most, stop = psutil.Process(), [0], threading.Event()
idle = process.memory_info().rss
def watch():
    while not stop.wait(0.01):
        most[0] = max(most[0], process.memory_info().rss)
threading.Thread(target=watch, daemon=True).start()
start = time.perf_counter()
run(64)
took = time.perf_counter() - start
stop.set()
print(json.dumps([idle, most[0], took]))
"""


def _memory(folder: Path) -> Row:
    """64 jobs of one 2K image that are all done at once, each way in a process of its own."""
    folder.mkdir()
    got = {}
    with apart(resolution="2K") as where:
        for who in ("ours", "pool"):
            argv = [sys.executable, "-c", _ARRIVE, where.base_url, where.key, str(folder / who), who]
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300, env=environment)
            got[who] = json.loads(done.stdout.splitlines()[-1])
    idle, most, took = got["ours"]
    their_idle, their_most, their_took = got["pool"]
    return Row(
        "memory while 64 2K images arrive",
        f"+{size(most - idle)}",
        f"pool(32) +{size(their_most - their_idle)}",
        (most - idle) / (their_most - their_idle),
        "below 150 MB more",
        most - idle < 150e6,
        f"in {took:.1f} s, pool {their_took:.1f} s; idle {size(idle)}",
    )
