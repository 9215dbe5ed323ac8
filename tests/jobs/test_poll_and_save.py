"""Polls that fail, are refused or come at an odd hour: the job is asked again or paused, never given up for it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.api.errors import KlingError, ModelNotFoundError, RateLimitedError, ServerError, StillRunningError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus
from kling_notebook.jobs import poll_and_save, running_job
from kling_notebook.journal.job_record import new_record
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from kling_notebook.session.session import Session

Make = Callable[..., Any]


def buy(session: Session) -> Any:
    return session.start([session.request("a red fox")], source="python").handles[0]


def patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """So many seconds before a poll that failed is repeated."""
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: seconds)  # noqa: ARG005


# ---- asked to wait ----


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", [600, 10**13])
def test_a_poll_told_to_wait_long_sets_the_job_aside_and_says_how_long(
    status: int, seconds: int, make_sandbox: Make, make_session: Make
) -> None:
    """Above two minutes no one sleeps on it, however large the number; a later session collects the job."""
    sandbox = make_sandbox(faults=[Fault("poll", "rate_limited", at=1, status=status, retry_after=seconds)])
    session = make_session(sandbox)
    error = buy(session).exception(timeout=10)
    assert isinstance(error, RateLimitedError if status == 429 else ServerError)
    assert f"it asked to wait {seconds:g} s" in str(error)
    assert "was bought and is not all here" in str(error)
    assert "nothing was bought" not in str(error)
    assert str(error).endswith("`%kling resume 1` tries again.")
    assert session.record(1).status is JobStatus.PAUSED
    session.close()
    assert len(make_session(sandbox).resume().jobs[0].result(timeout=30)) == 1
    assert sandbox.count("submit") == 1


def test_no_poll_waits_past_the_age_at_which_a_job_is_paused(make_sandbox: Make, make_session: Make) -> None:
    """Asked to wait for a minute with a second of patience left: paused at once, and not asked too early."""
    sandbox = make_sandbox(faults=[Fault("poll", "rate_limited", at=1, retry_after=60)])
    session = make_session(sandbox, job_max_age=1.5)
    assert isinstance(buy(session).exception(timeout=10), RateLimitedError)
    assert session.record(1).status is JobStatus.PAUSED
    assert sandbox.count("poll") == 1


def test_no_back_off_lasts_past_the_age_at_which_a_job_is_paused(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch, 30.0)
    session = make_session(make_sandbox(faults=[Fault("poll", "status", times=99)]), job_max_age=1.0)
    assert isinstance(buy(session).exception(timeout=10), StillRunningError)
    assert session.record(1).status is JobStatus.PAUSED


def test_an_address_that_cannot_be_written_down_does_not_cost_a_job_its_id(
    make_sandbox: Make, make_session: Make
) -> None:
    """Half of a surrogate pair in the status URL of the reply to a submit: the id is committed, the URL not used."""
    sandbox = make_sandbox()
    reply = f'{{"jobId":"{{job_id}}","statusUrl":"{sandbox.base_url}/jobs/\\ud800"}}'
    sandbox.add_fault(Fault("submit", "wire", raw=b"HTTP/1.1 200 OK\r\n\r\n" + reply.encode()))
    session = make_session(sandbox)
    assert len(buy(session).result(timeout=30)) == 1
    assert (session.record(1).job_id, session.record(1).status_url) == (sandbox.job_ids[0], None)


@pytest.mark.parametrize("reply", [b"", b'{"status":"pending"}'])
def test_an_unconfirmed_submit_says_once_what_came(make_sandbox: Make, make_session: Make, reply: bytes) -> None:
    sandbox = make_sandbox(faults=[Fault("submit", "wire", raw=b"HTTP/1.1 200 OK\r\n\r\n" + reply)])
    text = str(buy(make_session(sandbox)).exception(timeout=30))
    assert text.count("holds no job id") == text.count("may have been") == 1, text


# ---- not found ----


def test_a_gateways_404_page_does_not_end_a_bought_job(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again; where it stays, the job is paused, the next session says so, and resume collects."""
    patient(monkeypatch, 0.02)
    sandbox = make_sandbox(faults=[Fault("poll", "status", status=404, body="html", times=99)])
    session = make_session(sandbox)
    assert isinstance(buy(session).exception(timeout=30), KlingError)
    assert session.record(1).status is JobStatus.PAUSED
    session.close()
    session = make_session(sandbox)
    assert session.pop_notices() == ["1 job is paused: `%kling resume` fetches it."]
    sandbox.clear_faults()
    assert len(session.resume().jobs[0].result(timeout=30)) == 1
    assert sandbox.count("submit") == 1


def test_a_few_404_pages_in_a_row_are_failed_polls(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch, 0.02)
    sandbox = make_sandbox(faults=[Fault("poll", "status", status=404, body="html", at=1, times=4)])
    assert len(buy(make_session(sandbox)).result(timeout=30)) == 1
    assert sandbox.count("poll") == 5


def test_a_new_job_that_is_not_known_everywhere_yet_is_asked_for_again_and_not_bought_again(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts as gone is over, and with reuse the same request would be bought a second time."""
    patient(monkeypatch, 0.05)
    sandbox = make_sandbox(faults=[Fault("poll", "status", status=404, at=1, times=6)])
    session = make_session(sandbox)
    buy(session).exception(timeout=30)
    again = session.start([session.request("a red fox")], source="python", reuse=True)
    assert len(again.handles[0].result(timeout=30)) == 1
    assert sandbox.count("submit") == 1
    assert sandbox.count("poll") == 7


def test_a_job_that_the_service_does_not_know_for_a_minute_is_gone(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its id kept; and one that had a result is gone at the third answer."""
    patient(monkeypatch, 0.1)
    monkeypatch.setattr(poll_and_save.retry_policy, "NEW_JOB_SECONDS", 2.0)
    sandbox = make_sandbox(faults=[Fault("poll", "status", status=404)])
    session = make_session(sandbox)
    began = time.monotonic()
    assert isinstance(buy(session).exception(timeout=30), ModelNotFoundError)
    assert time.monotonic() - began >= 2.0
    assert session.record(1).status is JobStatus.EXPIRED
    assert session.record(1).job_id == sandbox.job_ids[0]

    sandbox.clear_faults()
    result = session.resume(1).jobs[0].result(timeout=30)
    result[0].path.unlink()
    sandbox.add_fault(Fault("poll", "status", status=404))
    monkeypatch.setattr(poll_and_save.retry_policy, "NEW_JOB_SECONDS", 60.0)
    asked = sandbox.count("poll")
    assert isinstance(session.resume(1).jobs[0].exception(timeout=30), ModelNotFoundError)
    assert sandbox.count("poll") == asked + 3


# ---- clocks ----


def test_a_job_submitted_in_the_future_is_seen_when_it_is_done(make_sandbox: Make, make_session: Make) -> None:
    """The folder comes from a machine whose clock was ahead: no poll waits for ours to catch up."""
    sandbox = make_sandbox(latency=lambda _: 2.0)
    session = make_session(sandbox)
    job_id = session.client.submit(GenerationRequest("a red fox")).job_id
    record = new_record(
        GenerationRequest("a red fox"), backend=session.backend, source="magic", session="deaddeaddead", estimate=1.0
    )
    ahead = time.time() + 3600
    session.journal.add([record.replace(status=JobStatus.RUNNING, job_id=job_id, submitted_at=ahead)])
    assert len(session.resume(1).jobs[0].result(timeout=8)) == 1
    assert sandbox.count("poll") < 12


def left_behind(session: Session, *, seconds_ago: float) -> None:
    """A job that runs at the service, in the row of a dead kernel that submitted it so long ago."""
    job_id = session.client.submit(GenerationRequest("a red fox")).job_id
    record = new_record(
        GenerationRequest("a red fox"), backend=session.backend, source="magic", session="deaddeaddead", estimate=1.0
    )
    submitted = {"created_at": time.time() - seconds_ago, "submitted_at": time.time() - seconds_ago}
    session.journal.add([record.replace(status=JobStatus.RUNNING, job_id=job_id, **submitted)])


def test_a_job_of_yesterday_that_still_runs_is_polled_like_a_new_one(make_sandbox: Make, make_session: Make) -> None:
    """By its age it would be asked every five minutes; and it says nothing of how long such jobs take."""
    sandbox = make_sandbox(latency=lambda _: 4.0)
    session = make_session(sandbox)
    left_behind(session, seconds_ago=86_400)
    assert len(session.resume(1).jobs[0].result(timeout=15)) == 1
    assert 2 <= sandbox.count("poll") <= 6


class Clock:
    """The module ``time``, whose monotonic clock jumps an hour ahead during one pause."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.slept

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def test_a_laptop_that_was_suspended_for_an_hour_asks_on(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job runs on, and the network is not up again when the first polls are due: neither pauses the job."""
    clock = Clock()

    class Suspended(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            cancelled = super().wait(timeout)
            clock.slept = clock.slept or 3600.0 * (sandbox.count("poll") == 2)
            return cancelled

    sandbox = make_sandbox(latency=lambda _: 5.0, faults=[Fault("poll", "status", at=3, times=2)])
    session = make_session(sandbox, job_max_age=120.0)
    patient(monkeypatch, 0.2)
    for name, module in list(sys.modules.items()):
        if name.startswith(("kling_notebook.api.", "kling_notebook.jobs.")) and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", clock)
    session.client.request_queue.clock = clock.monotonic
    monkeypatch.setattr(running_job, "threading", SimpleNamespace(Event=Suspended, Lock=threading.Lock))
    assert len(buy(session).result(timeout=30)) == 1
    assert clock.slept == 3600.0
    assert sandbox.count("poll") <= 12


def test_a_clock_set_back_while_a_job_runs_delays_no_poll(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is set forward does not make the job old."""
    sandbox = make_sandbox(latency=lambda _: 2.0)
    session = make_session(sandbox)
    for hours in (-5, 5):
        began = time.monotonic()

        def moved(hours: int = hours, began: float = began) -> float:
            return time.time() + 3600 * hours * (time.monotonic() - began > 1.0)

        clock = SimpleNamespace(time=moved, monotonic=time.monotonic, sleep=time.sleep)
        monkeypatch.setattr(poll_and_save, "time", clock)
        result = buy(session).result(timeout=8)
        assert 1.0 < result.seconds < 5.0
