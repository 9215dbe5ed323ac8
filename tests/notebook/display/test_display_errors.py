"""What only shows costs nothing: whatever breaks in it, a retry loop sends one request, and the result is there."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

PRELUDE = """
import contextlib, sys
import kling_notebook as kling
import nest_asyncio2
from kling_notebook.api.job import JobStatus
from kling_notebook.notebook.display import outputs, progress_display, run_in_cell, wait
from kling_notebook.notebook.panel.gallery import Gallery
from kling_notebook.notebook.panel.panel import KlingPanel
from kling_notebook.results.batch_result import BatchPlan
from kling_notebook.results.handle import JobHandle
from kling_notebook.results.result import Result
from kling_notebook.results.sweep_result import SweepPlan, SweepResult
from kling_notebook.session.session import Session
shell = get_ipython()
session = kling.current_session()

STEPS = [
    (Session, "pop_notices"), (SweepPlan, "labels"), (run_in_cell, "_title"), (run_in_cell, "_first_text"),
    (run_in_cell, "_naming"), (run_in_cell, "_summary"), (progress_display, "output_for"), (progress_display, "row_of"),
    (progress_display, "progress_bundle"), (progress_display, "message_bundle"), (progress_display.TICKER, "add"),
    (JobHandle, "add_observer"), (outputs.CellOutput, "__init__"), (outputs.CellOutput, "show"),
    (outputs.CellOutput, "_send"), (type(shell.display_pub), "publish"), (outputs, "running_shell"),
    (outputs, "person_is_present"), (nest_asyncio2, "apply"), (wait, "_turning"), (run_in_cell, "held_back"),
    (Result, "bundle"), (SweepResult, "bundle"), (type(shell), "push"), (run_in_cell, "resumed_bundle"),
    (Gallery, "watch"), (Gallery, "_put"), (Gallery, "_show"),
]

def broken(*args, **kwargs):
    raise RuntimeError("a display error")

@contextlib.contextmanager
def breaking(owner, name):
    original = getattr(owner, name)
    setattr(owner, name, broken)
    try:
        yield
    finally:
        setattr(owner, name, original)

def retry(call):
    "What a careful user writes around a service that sometimes fails."
    for _ in range(3):
        try:
            return call()
        except Exception as error:
            raised.append(repr(error))

raised, counts = [], {}
def count(call, step):
    before = session.count()
    with breaking(*step):
        retry(call)
    counts[step[1] + " of " + getattr(step[0], "__name__", type(step[0]).__name__)] = session.count() - before

def press():
    panel = KlingPanel(kling.current_session)
    panel.form.load({"prompt": "a fox"})
    # What the session has to say is shown before anything is started: that may raise, and nothing is bought.
    count(panel.generate, step if step[1] != "pop_notices" else (Gallery, "watch"))
    panel.close()

def resume():
    session.journal.write(session.record(1).replace(status=JobStatus.PAUSED))
    with breaking(*step):
        results = retry(lambda: kling.resume())
    counts[step[1] + str(step[0])] = len(results or [])
"""

WAYS = {
    "python call": "count(lambda: kling.generate('a fox'), step)",
    "magic": "count(lambda: shell.run_cell_magic('kling', '-o fox', 'a fox'), step)",
    "quiet magic": "count(lambda: shell.run_cell_magic('kling', '--quiet', 'a fox'), step)",
    "sweep": "count(lambda: kling.sweep('a {x}', x=['fox'], reuse=False), step)",
    "no wait": "count(lambda: shell.run_cell_magic('kling', '--no-wait', 'a fox'), step)",
    "panel": "press()",
    "resume": "resume()",
}


@pytest.fixture(scope="module")
def broken(shared_service: Any) -> Any:
    kernel, service = shared_service
    kernel.ok("%config KlingMagics.requests_per_minute = 6000")
    kernel.ok(PRELUDE)
    kernel.ok("first = kling.generate('a fox')")
    return kernel, service


@pytest.mark.parametrize("way", WAYS)
def test_no_step_of_the_display_raises_after_a_purchase(broken: Any, way: str) -> None:
    kernel, service = broken
    before = service.count("submit")
    kernel.ok(f"raised.clear(); counts.clear()\nfor step in STEPS:\n    {WAYS[way]}", timeout=120)
    assert kernel.ok("print(raised)").text.strip() == "[]"
    assert kernel.ok("print({name for name, count in counts.items() if count != 1})").text.strip() == "set()"
    kernel.ok("for job in list(session.dispatcher.jobs.values()): job.handle.result(60)", timeout=90)
    steps = int(kernel.ok("print(len(STEPS))").text)
    assert service.count("submit") - before == (0 if way == "resume" else steps)


STREAMS = """
class Tee:
    "A replacement that only writes, as notebooks and loggers put in place of a stream."
    def __init__(self): self.text = ""
    def write(self, text): self.text += text; return len(text)
    def flush(self): pass

class Writer(Tee):
    flush = None

class Raising:
    def __getattr__(self, name): raise ValueError("I/O operation on closed file")

before, seen = (sys.stdout, sys.stderr, sys.stdin), []
for kind in (Tee, Writer, Raising, lambda: None):
    sys.stdout, sys.stderr, sys.stdin = kind(), kind(), kind()
    try:
        retry(lambda: kling.generate("a fox"))
        retry(lambda: shell.run_cell_magic("kling", "", "a fox"))
        retry(lambda: kling.sweep("a {x}", x=["fox", "owl"], reuse=False))
    finally:
        sys.stdout, sys.stderr, sys.stdin = before
"""


def test_streams_that_only_write_cost_nothing_in_a_kernel(broken: Any) -> None:
    kernel, service = broken
    before = service.count("submit")
    kernel.ok("raised.clear()")
    reply = kernel.ok(STREAMS)
    assert kernel.ok("print(raised)").text.strip() == "[]"
    assert service.count("submit") - before == 4 * 4
    shown = [output for output in reply.outputs if "image/jpeg" in output.get("data", {})]
    assert len(shown) == 4 * 3, "each result is seen all the same"


@pytest.mark.parametrize(
    "stream", ["Raising()", *(pytest.param(more, marks=pytest.mark.long) for more in ("Tee()", "Writer()", "None"))]
)
def test_streams_that_only_write_cost_nothing_in_a_script(make_sandbox: Any, tmp_path: Any, stream: str) -> None:
    service = make_sandbox()
    classes = STREAMS.partition("before, seen")[0]
    script = (
        f"import sys\nimport kling_notebook as kling\n{classes}\n"
        f"kling.connect(api_key={service.key!r}, base_url={service.base_url!r})\n"
        f"sys.stdout, sys.stderr, sys.stdin = {stream}, {stream}, {stream}\n"
        "kling.generate('a fox')\nkling.sweep('a {x}', x=['fox', 'owl'], reuse=False)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=60, check=False, capture_output=True)
    assert service.count("submit") == 3
