"""Waiting: a cell that waits freezes nothing, is interruptible, and ends on time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from kling_notebook.api.errors import StillRunningError
from kling_notebook.notebook.display import wait

PRELUDE = """
import asyncio, threading, time
from concurrent.futures import Future
from types import SimpleNamespace
from kling_notebook.notebook.display.wait import wait

def later(seconds, value=None):
    future = Future()
    timer = threading.Timer(seconds, lambda: future.set_result(value)); timer.daemon = True; timer.start()
    return future

def job(number, job_id=None):
    return SimpleNamespace(number=number, job_id=job_id)

cancellations = []
def cancel():
    cancellations.append(time.monotonic())
    return SimpleNamespace(cancelled=[3], still_running=[job(1, "job-1"), job(2)])
"""


def done(value: object = 1) -> Future[object]:
    future: Future[object] = Future()
    future.set_result(value)
    return future


def failed() -> Future[object]:
    future: Future[object] = Future()
    future.set_exception(ValueError("its own"))
    return future


# in a script ----------------------------------------------------------------------------------------------------------


def test_it_returns_when_all_are_done_whatever_their_outcome():
    started = time.monotonic()
    cancelled: Future[object] = Future()
    cancelled.cancel()
    slow: Future[object] = Future()
    threading.Timer(0.3, slow.set_result, (1,)).start()
    wait.wait([done(), failed(), cancelled, slow, slow])
    assert 0.25 < time.monotonic() - started < 30


def test_a_time_out_cancels_and_says_what_keeps_running():
    stopped = SimpleNamespace(cancelled=[4, 5], still_running=[SimpleNamespace(number=1, job_id="job-1")])
    with pytest.raises(StillRunningError) as caught:
        wait.wait([Future()], timeout=0.3, cancel_unsent=lambda: stopped)
    assert str(caught.value) == (
        "Not completed after 0.3 s. 2 requests were cancelled before being sent. "
        "Job 1 keeps running; kling.resume() shows its images."
    )
    assert caught.value.job_id == "job-1"


def test_what_is_done_in_time_is_not_a_time_out():
    wait.wait([done()], timeout=0.0, cancel_unsent=lambda: pytest.fail("nothing to cancel"))


def test_off_the_main_thread_it_waits_too():
    slow: Future[object] = Future()
    thread = threading.Thread(target=wait.wait, args=([slow],), daemon=True)
    thread.start()
    slow.set_result(1)
    thread.join(60)
    assert not thread.is_alive()


def test_the_line_names_few_jobs_and_counts_the_rest():
    jobs = [SimpleNamespace(number=k, job_id=None) for k in range(8)]
    line = wait.what_keeps_running(SimpleNamespace(cancelled=[], still_running=jobs))
    assert line == "8 jobs keep running (0, 1, 2 and 5 more); kling.resume() shows their images."
    assert wait.what_keeps_running(SimpleNamespace(cancelled=[], still_running=[])) == "No jobs are still running."


def script(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("IPython", "ipykernel", "ipywidgets", "traitlets"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""


def test_with_ipython_absent_it_waits_and_shows_in_a_script():
    ran = script(
        BLOCKED
        + PRELUDE
        + textwrap.dedent("""
        from kling_notebook.api.job import GenerationRequest, JobStatus, Snapshot
        from kling_notebook.notebook.display.progress_display import LiveDisplay
        from kling_notebook.notebook.display.wait import in_notebook, person_is_present
        request = GenerationRequest("a fox")
        display = LiveDisplay([request])
        display(Snapshot(request, JobStatus.RUNNING, 1, "job-1"))
        wait([later(0.2)])
        display(Snapshot(request, JobStatus.COMPLETED, 1, "job-1", elapsed=2.0))
        display.finish({"text/plain": "never printed in a script"})
        print(in_notebook(), person_is_present())
        """),
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "False False\n"
    assert ran.stderr.splitlines() == ["kling: queued", "kling: completed · 2 s"]


def test_a_running_loop_of_a_script_keeps_turning():
    ran = script(
        PRELUDE
        + textwrap.dedent("""
        ticks = []
        async def tick():
            while True:
                ticks.append(1); await asyncio.sleep(0.05)
        async def main():
            task = asyncio.create_task(tick())
            wait([later(0.6)])
            print("nested", len(ticks) >= 8)
            task.cancel(); ticks.clear(); task = asyncio.create_task(tick())
            wait([later(0.6)], nest=False)
            print("blocked", len(ticks) == 0)
        asyncio.run(main())
        """)
    )
    assert ran.stdout == "nested True\nblocked True\n", ran.stderr


# in a real kernel -----------------------------------------------------------------------------------------------------


def test_the_users_tasks_tick_and_queued_cells_run_in_order(kernel):
    kernel.ok(PRELUDE + "ticks, order = [], []")
    kernel.ok("async def tick():\n    while True:\n        ticks.append(1); await asyncio.sleep(0.05)")
    kernel.ok("task = asyncio.create_task(tick())")
    first = kernel.send("n = len(ticks); wait([later(1.5)]); order.append('first'); print(len(ticks) - n)")
    others = [kernel.send(f"order.append({name!r})") for name in ("second", "third", "fourth")]
    last = kernel.send("print(order)")
    assert int(kernel.wait(first).text) >= 15
    for message_id in others:
        assert kernel.wait(message_id).status == "ok"
    assert kernel.wait(last).text.strip() == "['first', 'second', 'third', 'fourth']"
    kernel.ok("await asyncio.wait_for(asyncio.gather(asyncio.sleep(0.1), asyncio.sleep(0.1)), 2); task.cancel()")


def test_without_nesting_the_loop_is_blocked_and_left_unpatched(kernel):
    kernel.ok(PRELUDE)
    assert kernel.ok("wait([later(0.2)], nest=False); print(hasattr(asyncio, '_nest_patched'))").text.strip() == "False"
    assert kernel.ok("wait([later(0.2)]); print(hasattr(asyncio, '_nest_patched'))").text.strip() == "True"


@pytest.mark.parametrize(
    ("before", "nest"),
    [
        ("", ""),
        pytest.param("", ", nest=False", marks=pytest.mark.long),
        pytest.param("await asyncio.sleep(0)\n", "", marks=pytest.mark.long),
        ("await asyncio.sleep(0)\n", ", nest=False"),
    ],
    ids=["plain cell", "plain cell, blocked", "cell with await", "cell with await, blocked"],
)
def test_an_interrupt_cancels_once_and_names_what_keeps_running(kernel, before, nest):
    kernel.ok(PRELUDE)
    for attempt in range(1, 4):
        cell_id = kernel.send(f"{before}wait([Future()], cancel_unsent=cancel{nest})")
        kernel.drain(0.5)
        kernel.interrupt()
        sent = time.monotonic()
        reply = kernel.wait(cell_id)
        assert time.monotonic() - sent < 5  # what it waits for never comes
        assert reply.ename == "Interrupted"
        assert reply.traceback == [
            "Interrupted: Stopped waiting. 1 request was cancelled before being sent. "
            "2 jobs keep running (1, 2); %kling resume shows their images."
        ]
        assert kernel.ok("print(len(cancellations))").text.strip() == str(attempt)
    assert kernel.ok("wait([later(0.2, 7)]); print('continues')").text.strip() == "continues"


def test_a_second_interrupt_while_cancelling_is_harmless(kernel):
    kernel.ok(PRELUDE)
    kernel.ok("def slow():\n    time.sleep(1.0); stopped = cancel(); return stopped")
    cell_id = kernel.send("wait([Future()], cancel_unsent=slow)")
    kernel.drain(0.5)
    for _ in range(4):
        kernel.interrupt()
        kernel.drain(0.2)
    reply = kernel.wait(cell_id)
    assert reply.ename == "Interrupted"
    assert "2 jobs keep running (1, 2)" in reply.evalue
    assert kernel.ok("print(len(cancellations))").text.strip() == "1"


def test_an_interrupt_ends_the_loop_over_prompts_and_spares_the_users_tasks(kernel):
    kernel.ok(PRELUDE + "bought, ticks = [], []")
    kernel.ok("async def tick():\n    while True:\n        ticks.append(1); await asyncio.sleep(0.01)")
    kernel.ok("task = asyncio.create_task(tick())")
    cell_id = kernel.send(
        "for prompt in range(5):\n"
        "    try:\n        bought.append(prompt); wait([Future()], cancel_unsent=cancel)\n"
        "    except Exception:\n        pass"
    )
    kernel.drain(0.5)
    kernel.interrupt()
    assert kernel.wait(cell_id).ename == "Interrupted"
    assert kernel.ok("print(bought, task.done())").text.strip() == "[0] False"


def test_an_unanswered_interrupt_goes_where_it_would_have_gone(kernel):
    """A task of the user's that blocks the turning loop can still be broken off."""
    kernel.ok(PRELUDE)
    kernel.ok("async def stuck():\n    await asyncio.sleep(0.1); time.sleep(60)")
    cell_id = kernel.send("task = asyncio.create_task(stuck()); wait([Future()], cancel_unsent=cancel)")
    kernel.drain(0.7)
    kernel.interrupt()
    kernel.drain(wait.PATIENCE + 0.5)
    kernel.interrupt()
    assert kernel.wait(cell_id, timeout=40).ename == "Interrupted"


def test_a_person_is_where_stdin_is_allowed(kernel):
    kernel.ok("from kling_notebook.notebook.display.wait import in_notebook, person_is_present")
    assert kernel.ok("print(in_notebook(), person_is_present())", person=True).text.strip() == "True True"
    assert kernel.ok("print(in_notebook(), person_is_present())", person=False).text.strip() == "True False"


@pytest.mark.parametrize("nest", ["", ", nest=False"])
def test_an_interrupt_before_the_waiting_begins_is_answered_by_the_wait(kernel, nest):
    """Starting many jobs takes a moment; an interrupt in its middle must not leave half of them to no one."""
    kernel.ok(PRELUDE + "from kling_notebook.notebook.display.wait import InterruptsNoted\nsteps = []")
    cell_id = kernel.send(
        "with InterruptsNoted():\n"
        "    for k in range(10): time.sleep(0.1); steps.append(k)\n"
        f"    wait([Future()], cancel_unsent=cancel{nest})"
    )
    kernel.drain(0.5)
    kernel.interrupt()
    assert "2 jobs keep running" in kernel.wait(cell_id).evalue
    assert kernel.ok("print(len(steps), len(cancellations))").text.strip() == "10 1"


def test_an_interrupt_that_no_wait_answers_is_raised_in_the_end(kernel):
    kernel.ok(PRELUDE + "from kling_notebook.notebook.display.wait import InterruptsNoted")
    cell_id = kernel.send("with InterruptsNoted():\n    time.sleep(1.0); print('whole')\nprint('never')")
    kernel.drain(0.5)
    kernel.interrupt()
    reply = kernel.wait(cell_id)
    assert reply.ename == "KeyboardInterrupt"
    assert "whole" in reply.text
    assert kernel.run("import signal; print(signal.getsignal(signal.SIGINT))").text.strip().startswith("<built-in")


def test_the_first_wait_may_be_in_a_callback_beside_others(make_kernel):
    """The step of the loop that runs it began unpatched and took callbacks that had run already: the kernel died."""
    kernel = make_kernel(KLING_SANDBOX="1")
    kernel.ok("%load_ext kling_notebook\nimport asyncio, kling_notebook as kling\nseen = []")
    kernel.ok(
        "loop = asyncio.get_running_loop()\nloop.call_soon(lambda: seen.append(len(kling.generate('a fox'))))\n"
        "for n in (7, 8, 9): loop.call_soon(seen.append, n)"
    )
    kernel.ok("while len(seen) < 4: await asyncio.sleep(0.1)")
    assert kernel.ok("print(sorted(seen))").text.splitlines()[-1] == "[1, 7, 8, 9]"
