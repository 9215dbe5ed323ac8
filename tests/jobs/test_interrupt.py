"""Interrupted at any moment: one line within a second, nothing bought that was not sent, and the journal stays true."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.api.job import JobStatus
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself an interrupt there")

PRELUDE = """
import json, os, random, signal, sys, threading, time
import kling_notebook as kling
import kling_notebook.api.errors
from kling_notebook.api.client import ServiceClient
from kling_notebook.api.request_queue import Slot
from kling_notebook.api.rate_limiter import RateLimiter
from kling_notebook.results.sweep_result import SweepResult

message = json.loads(sys.argv[1])
session = kling.connect(**message)
sent = []

def interrupt(times=1):
    sent.append(time.monotonic())
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.03)

def quiet():
    "Let a second interrupt, and the jobs that continue, come to their end."
    end = time.monotonic() + 60
    while session.dispatcher.jobs and time.monotonic() < end:
        try:
            time.sleep(0.05)
        except KeyboardInterrupt:
            pass
"""

MOMENTS = """
chance = random.Random(int(sys.argv[2]))
armed, timers = [], []

def at(owner, name, moment):
    original = getattr(owner, name)
    def wrapped(self, *args, **kwargs):
        if armed and armed[0][0] == moment:
            _, times, pause = armed.pop()
            timers.append(threading.Timer(pause, interrupt, (times,)))
            timers[-1].start()
        return original(self, *args, **kwargs)
    setattr(owner, name, wrapped)

at(Slot, "ready", "waiting for the rate limit")
at(ServiceClient, "submit", "submitting")
at(ServiceClient, "poll", "polling")
at(ServiceClient, "download", "downloading")
at(SweepResult, "bundle", "drawing")
moments = ["waiting for the rate limit", "submitting", "polling", "downloading", "drawing", "whenever"]
stories = []
for round in range(int(sys.argv[3])):
    moment, times = moments[round % len(moments)], chance.choice([1, 1, 2])
    pause = chance.random() * (0.002 if moment == "drawing" else 0.02)
    timer = threading.Timer(chance.random() * 0.6, interrupt, (times,))
    timers[:] = [timer]
    if moment == "whenever":
        timer.start()
    else:
        armed[:] = [(moment, times, pause)]
    if moment == "waiting for the rate limit":
        session.client.request_queue.limiter = RateLimiter(1.0)
    story = {"moment": moment, "raised": None, "before": session.count()}
    try:
        kling.sweep(f"fox {round}", sample=3, max_credits=3)
    except KeyboardInterrupt as stopped:
        story |= {"raised": type(stopped).__name__, "seconds": time.monotonic() - sent[-1], "text": str(stopped)}
        if isinstance(stopped, kling_notebook.api.errors.Interrupted):
            story |= {"ids": stopped.job_ids, "lines": len(stopped._render_traceback_())}
    except kling.KlingError as error:
        story |= {"raised": type(error).__name__, "text": str(error)}
    while timers:  # until the second interrupt has come as well, however busy the machine is
        try:
            timer.cancel()
            armed.clear()
            while any(one.is_alive() for one in timers):
                time.sleep(0.01)
            time.sleep(0.05)
            timers.clear()
        except KeyboardInterrupt:
            pass
    session.client.request_queue.limiter = RateLimiter(6000.0)
    stories.append(story | {"after": session.count()})
quiet()
print(json.dumps(stories))
"""


def run(code: str, sandbox: Sandbox, folder: Path, *arguments: str, **settings: Any) -> Any:
    message = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder)} | settings
    command = [sys.executable, "-c", PRELUDE + code, json.dumps(message), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.long
def test_a_hundred_interrupts_at_a_hundred_moments(
    make_sandbox: Callable[..., Sandbox],
    make_session: Callable[..., Session],
    paint: Callable[..., bytes],
    folder: Path,
) -> None:
    """While waiting for the rate limit, submitting, polling, downloading, drawing, or whenever; once or twice.

    Each ends the call within a second with one line. What was not sent is cancelled, what was sent continues to its
    images, the service counts what the journal says, and nothing is bought twice.
    """
    sandbox = make_sandbox(paint=paint, latency=lambda k: 0.05 + 0.1 * (k % 3))
    stories = run(MOMENTS, sandbox, folder, "7", "100", in_flight=3, requests_per_minute=6000)
    stopped = [story for story in stories if story["raised"]]
    session = make_session(sandbox)
    rows = {record.number: record for record in session.rows(limit=None)}

    told = {story["moment"] for story in stopped if story["raised"] == "Interrupted"}
    assert told == {story["moment"] for story in stories}
    assert len(stopped) >= 75, Counter(story["moment"] for story in stories if not story["raised"])
    for story in stopped:
        mine = [rows[n] for n in range(story["before"] + 1, story["after"] + 1)]
        if story["raised"] == "KeyboardInterrupt":  # before the call had begun, or after it had ended
            assert not mine or all(record.status is JobStatus.COMPLETED for record in mine), story
            continue
        assert story["raised"] == "Interrupted", story
        assert story["seconds"] < 1.0, story
        assert "\n" not in story["text"]
        assert story["text"].startswith("Stopped")
        assert story["lines"] == 1
        ids = {record.job_id for record in mine if record.job_id}
        assert set(story["ids"]) <= ids
        if story["ids"]:
            assert "resume" in story["text"] or "show" in story["text"]

    assert {record.status for record in rows.values()} <= {JobStatus.COMPLETED, JobStatus.CANCELLED}
    finished = [record for record in rows.values() if record.status is JobStatus.COMPLETED]
    cancelled = [record for record in rows.values() if record.status is JobStatus.CANCELLED]
    assert finished
    assert cancelled
    assert sandbox.charges == len(finished) == len({record.job_id for record in finished})
    assert all((folder / name).exists() for record in finished for name in record.images)
    assert not any(record.job_id or record.submitted_at for record in cancelled)
    assert not list(folder.glob(".*.part"))


LOOP = """
def when_it_is_bought():
    while not any(job.record.job_id for job in list(session.dispatcher.jobs.values())):
        time.sleep(0.02)
    interrupt()

threading.Thread(target=when_it_is_bought).start()
story = {"bought": 0, "stopped": False}
try:
    for prompt in ("a fox", "an owl", "a hare", "a bear"):
        try:
            kling.generate(prompt)
            story["bought"] += 1
        except Exception:
            pass
except KeyboardInterrupt as stopped:
    story |= {"stopped": True, "ids": list(stopped.job_ids), "text": str(stopped)}
quiet()
print(json.dumps(story))
"""


def test_a_loop_that_catches_every_exception_stops_buying(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session], folder: Path
) -> None:
    """``except Exception`` does not swallow it: the next prompt is not bought; the first one's image arrives."""
    sandbox = make_sandbox(latency=lambda _: 1.5)
    story = run(LOOP, sandbox, folder)
    assert story["stopped"]
    assert story["bought"] == 0
    assert story["ids"] == sandbox.job_ids
    assert "Job 1 keeps running" in story["text"]
    assert sandbox.count("submit") == 1
    assert make_session(sandbox).record(1).status is JobStatus.COMPLETED


HANGING = """
exchange, armed, threads, story = ServiceClient.PHASE, [True], [], {}

def watched(self, *args, **kwargs):
    "Interrupt the exchange while it hangs: not before it has begun, however busy the machine is."
    if armed:
        armed.clear()
        threads.append(threading.Thread(target=when_it_hangs))
        threads[0].start()
    return exchange(self, *args, **kwargs)

def when_it_hangs():
    "Before the first byte a request would be cancelled instead."
    while session.journal.get(1).status.value not in ("submitting", "running", "downloading"):
        time.sleep(0.01)
    time.sleep(0.4)
    interrupt(3)

ServiceClient.PHASE = watched
try:
    kling.generate("a fox")
except KeyboardInterrupt as stopped:
    story = {"seconds": time.monotonic() - sent[-1], "text": str(stopped), "raised": type(stopped).__name__}
while threads:  # until the last interrupt has come as well, perhaps after the cell has ended
    try:
        threads[0].join()
        time.sleep(0.05)
        threads.clear()
    except KeyboardInterrupt:
        pass
story["status"] = session.journal.get(1).status.value
quiet()
story["at last"] = session.journal.get(1).status.value
print(json.dumps(story))
"""


@pytest.mark.parametrize(
    ("fault", "at_last"),
    [
        (Fault("submit", "hang", at=1, seconds=3.0), "unconfirmed"),
        (Fault("submit", "slow_drip", at=1, seconds=1.5), "completed"),
        (Fault("poll", "hang", at=1, seconds=2.0), "completed"),
        (Fault("download", "slow_drip", at=1, seconds=2.0), "completed"),
    ],
    ids=["POST without an answer", "POST answered slowly", "poll without an answer", "slow download"],
)
def test_an_exchange_that_hangs_does_not_hold_up_the_interrupt(
    fault: Fault, at_last: str, make_sandbox: Callable[..., Sandbox], folder: Path
) -> None:
    """The cell is free at once; the exchange continues behind it, and three interrupts break nothing."""
    sandbox = make_sandbox(faults=[fault])
    story = run(HANGING.replace("PHASE", fault.on), sandbox, folder, read_timeout=2.0)
    assert story["raised"] == "Interrupted"
    assert story["seconds"] < 1.0
    assert story["status"] in ("submitting", "running", "downloading")
    assert story["at last"] == at_last
    assert sandbox.count("submit") == 1


BESIDE = """
from kling_notebook.api.job import JobStatus
from kling_notebook.notebook.display import run_in_cell
from kling_notebook.jobs import purchase
from kling_notebook.jobs import resume as resume_jobs

def interrupted_after(owner, name):
    original = getattr(owner, name)
    def wrapped(*args, **kwargs):
        done = original(*args, **kwargs)
        interrupt()
        return done
    setattr(owner, name, wrapped)
    return lambda: setattr(owner, name, original)

fox = kling.generate("a fox")
stories = []
for call, owner, name in [
    (kling.resume, resume_jobs, "resume_all"),
    (kling.resume, run_in_cell, "resumed_bundle"),
    (lambda: kling.submit("an owl"), purchase, "add_records"),
]:
    session.journal.write(session.record(1).replace(status=JobStatus.PAUSED))
    restore = interrupted_after(owner, name)
    try:
        call()
        stories.append(("nothing", ""))
    except KeyboardInterrupt as stopped:
        stories.append((type(stopped).__name__, str(stopped)))
    restore()
    quiet()
handle = kling.submit("an owl", reuse=True)
stories.append(("again", str(handle.result(timeout=20).number)))
print(json.dumps(stories))
"""


def test_an_interrupt_while_collecting_or_submitting_says_what_continues(
    make_sandbox: Callable[..., Sandbox], folder: Path
) -> None:
    """Also before the waiting has begun, and while the images are drawn; nothing is left that no one works on."""
    sandbox = make_sandbox(latency=0.3)
    *stopped, again = run(BESIDE, sandbox, folder)
    assert [kind for kind, _ in stopped] == ["Interrupted"] * 3
    assert "1 job completed; `%kling show 1`" in stopped[1][1]
    assert again[0] == "again"
    assert sandbox.count("submit") <= 2


BUDGET = """
from kling_notebook.notebook import kernel_session
fox = kling.generate("a fox", num_outputs=2)
kernel_session.reconnect(sandbox=True)
kernel_session.reconnect(sandbox=False)
try:
    kling.generate("an owl", num_outputs=2)
    print(json.dumps("bought"))
except kling.BudgetExceededError as error:
    print(json.dumps(str(error)))
"""


def test_a_new_connection_makes_no_new_budget(make_sandbox: Callable[..., Sandbox], folder: Path) -> None:
    """The sandbox switched on and off again, or another login: what this kernel spent stays spent."""
    sandbox = make_sandbox()
    assert "1 of 3 credits left in the budget" in run(BUDGET, sandbox, folder, budget=3)
    assert sandbox.charges == 2
