"""Two that ask for the same at once, and jobs that no one works on any more: attached to or bought once, never waited
for without end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.api.errors import KlingError
from kling_notebook.api.job import JobStatus
from kling_notebook.journal.journal import Journal, JournalError
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

KERNEL = """
import json, sys, time
from kling_notebook.jobs import purchase
from kling_notebook.session.session import Session
add = purchase.add_records
purchase.add_records = lambda *asked: (time.sleep(1.0), add(*asked))[1]  # long after it has looked
session = Session(json.loads(sys.argv[1]))
requests = [session.request(f"fox {k}") for k in range(20)]
print("ready", flush=True)
sys.stdin.readline()
batch = session.start(requests, source="python", sweep=True, max_credits=20)
print(sum(handle.exception(timeout=60) is not None for handle in batch.handles))
"""


def test_two_kernels_that_run_the_same_sweep_at_the_same_moment_buy_it_once(
    make_sandbox: Callable[..., Sandbox], folder: Path, paint: Callable[..., bytes]
) -> None:
    sandbox = make_sandbox(paint=paint)
    message = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder), "requests_per_minute": 6000}
    command = [sys.executable, "-c", KERNEL, json.dumps(message)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    kernels = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for kernel in kernels:
        assert kernel.stdout.readline() == "ready\n"  # type: ignore[union-attr]
    for kernel in kernels:
        kernel.stdin.write("\n")  # type: ignore[union-attr]
        kernel.stdin.flush()  # type: ignore[union-attr]
    assert [kernel.communicate(timeout=90)[0] for kernel in kernels] == ["0\n", "0\n"]
    assert sandbox.count("submit") == 20


def test_a_finished_job_whose_last_commit_failed_is_shown_again_once_there_is_space(
    session: Session, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, full = Journal.write, []

    def fails(self: Journal, record: Any) -> None:
        if full:
            raise JournalError("database or disk is full")
        write(self, record)

    monkeypatch.setattr(Journal, "write", fails)
    request = session.request("a fox")
    watch = lambda snapshot: full.append(1) if snapshot.status is JobStatus.RUNNING else None  # noqa: E731
    handle = session.start([request], source="python", reuse=True).handles[0]
    handle.add_observer(watch)
    assert "journal could not be written" in str(handle.exception(timeout=60))
    full.clear()
    again = session.start([request], source="python", reuse=True).handles[0].result(timeout=10)
    assert again.reused
    assert sandbox.count("submit") == 1


def test_a_job_whose_worker_ended_on_a_fault_is_gone_on_with(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says that it runs, its owner lives, and no one works on it."""
    sandbox = make_sandbox()
    session = make_session(sandbox)
    request = session.request("a fox")

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a fault of this package")

    with monkeypatch.context() as patch:
        patch.setattr("kling_notebook.image_files.saving.save", broken)
        first = session.start([request], source="python", reuse=True).handles[0]
        assert "internal error of kling_notebook" in str(first.exception(timeout=30))
    assert session.record(1).status in (JobStatus.RUNNING, JobStatus.DOWNLOADING)
    assert session.start([request], source="python", reuse=True).handles[0].result(timeout=15).number == 1
    assert sandbox.count("submit") == 1


def test_a_row_that_an_interrupt_left_without_a_worker_is_bought_and_not_waited_for(
    session: Session, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = session.request("a fox")

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for broken in ("add", "start"):  # between the rows and the handles, between the handles and the workers
        with monkeypatch.context() as patch:
            patch.setattr(session.dispatcher, broken, interrupted)
            with pytest.raises(KeyboardInterrupt):
                session.start([request], source="python", reuse=True)
        assert sandbox.count("submit") == 0
    assert session.start([request], source="python", reuse=True).handles[0].result(timeout=15)
    assert sandbox.count("submit") == 1


def test_stopping_one_call_leaves_the_job_it_was_attached_to_with_the_call_that_asked_first(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    session = make_session(make_sandbox(latency=1.0), in_flight=1)
    requests = [session.request(name) for name in ("a fox", "an owl")]
    first = session.start(requests, source="python", reuse=True)
    second = session.start(requests[1:], source="python", reuse=True)
    assert second.cancel_unsent().cancelled == ()
    assert first.handles[1].result(timeout=30).number == 2


def test_an_estimate_does_not_call_an_unconfirmed_job_an_image_of_this_folder(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    session = make_session(make_sandbox(faults=[Fault("submit", "drop_after", at=1)]))
    request = session.request("a fox")
    session.start([request], source="python").handles[0].exception(timeout=30)
    estimate = session.estimate([request], reuse=True)
    assert (estimate.jobs, estimate.reused, estimate.unconfirmed) == (0, 0, 1)
    assert "1 unconfirmed" in str(estimate)
    batch = session.start([request], source="python", reuse=True)
    assert batch.estimate == estimate
    with pytest.raises(KlingError, match="dismiss 1"):
        batch.handles[0].result(timeout=5)


def test_a_long_queue_is_not_a_reason_to_refuse_at_the_first_429(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """Its age is counted from when its turn came, not from when the sweep was planned."""
    sandbox = make_sandbox(latency=1.0, faults=[Fault("submit", "rate_limited", at=3, retry_after=0)])
    session = make_session(sandbox, in_flight=1, job_max_age=1.5)
    batch = session.start([session.request(f"fox {k}") for k in range(3)], source="python")
    assert [handle.exception(timeout=30) for handle in batch.handles] == [None, None, None]
