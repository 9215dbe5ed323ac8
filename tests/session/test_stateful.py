"""Any sequence of buying, faults, crashes, restarts, cancellations, resumes and dismissals keeps the three promises.

The service is charged for no more than what was sent; an id that it gave is never lost; a completed row has its files.
A crash is a session whose worker stops for ever at a chosen point, and whose lock is let go of as a dead process's is.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kling_notebook.api.errors import InputError
from kling_notebook.api.job import JobStatus
from kling_notebook.image_files import decode
from kling_notebook.jobs import advance, dispatcher, poll_and_save
from kling_notebook.journal.job_record import Record
from kling_notebook.sandbox import Fault, Sandbox
from kling_notebook.sandbox.payloads import png_bomb
from kling_notebook.session.session import Session

POINTS = ("queued", "submitting", "posted", "running", "downloading", "half a download", "renamed", "finishing")
FAULTS = [
    *(Fault("submit", kind, at=1) for kind in ("drop_before", "drop_after", "html")),
    Fault("submit", "wire", at=1, raw=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    Fault("submit", "wire", at=1, raw=b'HTTP/1.1 200 OK\r\n\r\n{"statusUrl":"{origin}/api/v1/jobs/{job_id}"}'),
    *(Fault("submit", "status", at=1, status=status, made=made)
      for status, made in ((500, True), (503, False), (408, True), (400, False), (402, False), (404, False))),
    *(Fault("poll", kind, at=1) for kind in ("drop_before", "truncated", "html")),
    Fault("poll", "wire", at=1, raw=b'HTTP/1.1 200 OK\r\n\r\n{"status":"warming_up"}'),
    *(Fault("poll", kind, at=1) for kind in ("failed", "more", "fewer")),
    Fault("poll", "status", at=1, status=500), Fault("poll", "status", at=1, status=404, times=3),
    Fault("poll", "status", at=1, status=401),
    *(Fault("download", kind, at=1) for kind in ("drop_after", "truncated", "expired")),
    Fault("download", "wrong_content", at=1), Fault("download", "wrong_content", at=1, raw=png_bomb(10**6)[:80]),
    Fault("download", "status", at=1, status=410, times=9), Fault("download", "wrong_content", at=1, times=9),
]  # fmt: skip


class Dead(BaseException):
    """Raised in the test's own thread, which continues; workers of a killed process stand still for ever."""


class Doomed(Session):
    """A session that is killed when one of its jobs reaches ``point``: nothing it does afterwards happens."""

    point: str | None = None

    def __init__(self, message: dict[str, Any]) -> None:
        self.dead = threading.Event()
        self.life = threading.RLock()  # no thread commits while another one kills the session
        self.saves = threading.RLock()  # nor saves an image
        super().__init__(message)
        write, add = self.journal.write, self.journal.add
        submit, download = self.client.submit, self.client.download

        def watched_write(record: Record) -> None:
            self.die_if_dead()
            if record.status is JobStatus.COMPLETED:
                self.die_at("finishing")
            with self.life:
                if not self.dead.is_set():
                    write(record)
            if record.status in (JobStatus.SUBMITTING, JobStatus.RUNNING):
                self.die_at(record.status.value)

        def watched_submit(request: Any, **hook: Any) -> Any:
            self.die_if_dead()
            job = submit(request, **hook)
            self.die_at("posted")
            return job

        def watched_download(url: str, piece: Callable[[bytes], object], **options: Any) -> int:
            self.die_at("downloading")

            def some(data: bytes) -> None:
                self.die_if_dead()
                piece(data[: len(data) // 2] if self.point == "half a download" else data)
                self.die_at("half a download")

            return download(url, some, **options)

        def watched_add(records: Any) -> list[Record]:
            added = add(records)
            self.die_at("queued")
            return added

        def watched_job(*what: Any, **how: Any) -> Any:
            job = add_job(*what, **how)
            save = job.store.save

            def watched_save(*image: Any, **how: Any) -> str:
                self.die_if_dead()
                with self.saves:
                    name = save(*image, **how)
                    self.die_at("renamed")
                return name

            job.store.save = watched_save
            return job

        add_job, self.dispatcher.add = self.dispatcher.add, watched_job  # type: ignore[method-assign]
        self.journal.write, self.journal.add = watched_write, watched_add  # type: ignore[method-assign]
        self.client.submit, self.client.download = watched_submit, watched_download  # type: ignore[method-assign]

    def die_if_dead(self) -> None:
        if self.dead.is_set():
            if threading.current_thread() is threading.main_thread():
                raise Dead
            threading.Event().wait()  # no clean-up runs, as none runs in a process that is killed

    def die_at(self, point: str) -> None:
        if self.point == point:
            self.kill()
        self.die_if_dead()

    def kill(self) -> None:
        """As the operating system does it: the lock is free, and what was half written stays half written."""
        if self.dead.is_set():
            return
        with self.saves, self.life:
            if not self.dead.is_set():
                self.workspace.locks._lock.release()
                self.dead.set()


class Machine(RuleBasedStateMachine):
    """One folder, one service, one session after another."""

    paint: Callable[..., bytes]

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="kling-"))
        self.service = Sandbox(latency=0.0, paint=type(self).paint).start()
        self.buyers: list[Doomed] = []
        self.asked = 0
        self.ids: dict[int, str] = {}
        self.session = self.new_session()

    def new_session(self) -> Doomed:
        message = {"api_key": self.service.key, "base_url": self.service.base_url, "folder": str(self.home / "k")}
        session = Doomed(message | {"requests_per_minute": 6000, "budget": 1000, "in_flight": 4})
        self.buyers.append(session)
        return session

    def settle(self, handles: Any) -> None:
        """Until every job has ended, or its process has."""
        end = time.monotonic() + 60
        while not self.session.dead.is_set() and not all(handle.done() for handle in handles):
            assert time.monotonic() < end, [repr(handle) for handle in handles]
            time.sleep(0.002)
        self.revive()
        self.look()

    def revive(self) -> None:
        if self.session.dead.is_set():
            self.session = self.new_session()

    def buy(self, images: int, reuse: bool, jobs: int = 1) -> None:
        self.asked += 0 if reuse and self.asked else jobs
        prompts = [f"fox {self.asked - k}" for k in range(jobs)]
        requests = [self.session.request(prompt, num_outputs=images) for prompt in prompts]
        handles: Any = ()
        with contextlib.suppress(Dead):
            handles = self.session.start(requests, source="python", reuse=reuse).handles
        self.settle(handles)

    @rule(images=st.integers(1, 2), jobs=st.integers(1, 3))
    def buy_and_all_goes_well(self, images: int, jobs: int) -> None:
        self.buy(images, False, jobs)

    @rule(reuse=st.booleans())
    def ask_for_the_last_one_again(self, reuse: bool) -> None:
        self.buy(1, reuse)

    @rule(fault=st.sampled_from(FAULTS), images=st.integers(1, 2))
    def buy_with_a_fault(self, fault: Fault, images: int) -> None:
        self.service.add_fault(fault)
        self.buy(images, False)
        self.service.clear_faults()

    @rule(point=st.sampled_from(POINTS), images=st.integers(1, 2), jobs=st.integers(1, 2))
    def buy_and_be_killed(self, point: str, images: int, jobs: int) -> None:
        self.session.point = point
        self.buy(images, False, jobs)

    @rule(point=st.sampled_from(POINTS[3:]))
    def resume_and_be_killed(self, point: str) -> None:
        self.session.point = point
        self.settle(self.session.resume().jobs)
        self.session.point = None

    @rule()
    def resume(self) -> None:
        self.settle(self.session.resume().jobs)

    @rule()
    def restart(self) -> None:
        self.session.close()
        self.session = self.new_session()

    @rule()
    def be_killed_at_rest(self) -> None:
        self.session.kill()
        self.revive()

    @rule(jobs=st.integers(2, 4))
    def buy_and_interrupt(self, jobs: int) -> None:
        self.asked += jobs
        requests = [self.session.request(f"fox {self.asked - k}") for k in range(jobs)]
        batch = self.session.start(requests, source="python")
        stopped = batch.cancel_unsent()
        self.settle(batch.handles)
        for number in stopped.cancelled:
            record = self.session.record(number)
            assert record.status is JobStatus.CANCELLED
            assert record.submitted_at is None

    @precondition(lambda self: self.unconfirmed())
    @rule()
    def dismiss(self) -> None:
        self.session.dismiss(self.unconfirmed()[0].number)

    @rule(place=st.integers(0, 100))
    def delete_an_image_and_resume_its_job(self, place: int) -> None:
        finished = self.session.rows(status="completed", limit=None)
        if finished:
            record = finished[place % len(finished)]
            (self.session.folder / record.images[place % len(record.images)]).unlink(missing_ok=True)
            try:
                self.settle(self.session.resume(record.number).jobs)
            except InputError:
                pytest.fail("a completed job can be collected again")

    def unconfirmed(self) -> tuple[Record, ...]:
        return self.session.status().unconfirmed

    # ---- what must hold ----

    def look(self) -> None:
        """Remember every id that was ever committed."""
        for record in self.session.rows(limit=None):
            if record.job_id:
                assert self.ids.setdefault(record.number, record.job_id) == record.job_id

    @invariant()
    def no_more_is_charged_than_was_sent(self) -> None:
        """One purchase per POST, and one POST per row at most: nothing here may be sent again."""
        made = len(self.service._service._jobs)
        records = self.session.rows(limit=None)
        never = (JobStatus.QUEUED, JobStatus.CANCELLED)
        assert made <= self.service.count("submit") <= sum(record.status not in never for record in records)

    @invariant()
    def nothing_that_was_acknowledged_is_lost(self) -> None:
        """Whatever happened since, the row still has its id, and its end is one that keeps it."""
        records = {record.number: record for record in self.session.rows(limit=None)}
        for number, job_id in self.ids.items():
            assert records[number].job_id == job_id
        known = {record.job_id for record in records.values()}
        unconfirmed_records = sum(
            record.status in (JobStatus.UNCONFIRMED, JobStatus.DISMISSED, JobStatus.SUBMITTING)
            for record in records.values()
        )
        strange = [job for job in self.service._service._jobs.values() if job.id not in known]
        assert len(strange) <= unconfirmed_records, "every job of the service is a row's, or an unconfirmed job's"

    @invariant()
    def finished_rows_have_their_files_whole(self) -> None:
        names: list[str] = []
        for record in self.session.rows(status="completed", limit=None):
            assert record.images
            for name in record.images:
                decode.decode((self.session.folder / name).read_bytes(), 1, lenient=False)
            names += record.images
        assert len(names) == len(set(names))
        mine = {f".{self.session.id}." in path.name for path in self.session.folder.glob(".*.part")}
        assert not mine, "no half-fetched file is left"

    @invariant()
    def the_budget_knows_what_was_spent(self) -> None:
        """The ledger of a session never holds less than the journal says it bought."""
        assert self.session.dispatcher.ledger.spent >= self.session.journal.spent(sessions=(self.session.id,)) - 1e-6

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.settle(self.session.resume().jobs)
            left = [r for r in self.session.journal.open_records() if r.status is not JobStatus.UNCONFIRMED]
            paused = [r for r in left if r.status is not JobStatus.PAUSED]
            for session in self.buyers:
                session.close()
                session.journal.close()
            self.service.stop()
            shutil.rmtree(self.home, ignore_errors=True)
            assert not [(r.number, r.status.value, r.owner) for r in paused], (
                "with no one working, everything is at rest"
            )


@pytest.mark.long
def test_random_lives_keep_the_promises(monkeypatch: pytest.MonkeyPatch, paint: Callable[..., bytes]) -> None:
    """A few hundred steps in random order, the same ones in every run."""
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: 0.001)  # noqa: ARG005
    monkeypatch.setattr(advance, "COMMIT_TRIES", 1)
    monkeypatch.setattr(dispatcher, "FOLLOW_SECONDS", 0.01)
    machine = type("Life", (Machine,), {"paint": staticmethod(paint)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=14,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # the time stays bounded where it fails, too
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
