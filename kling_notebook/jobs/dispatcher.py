"""The jobs a session has under way: their handles, their workers, and how each one ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..api.client import ServiceClient
from ..api.errors import KlingError
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus
from ..api.poll_schedule import Durations
from ..api.price_class import kind
from ..image_files import saving
from ..journal.job_record import Record
from ..journal.journal import Journal, JournalError, LostOwnership
from ..journal.locks import Locks
from ..results.attachments import Attachments
from ..results.handle import JobHandle
from ..results.result import Result
from .advance import advance, error_from_record
from .call import Call, PriceProbe, SpendingLedger
from .job_context import Work
from .spending import Estimate
from .worker_pool import Runner

SANDBOX_SECONDS = (2.2, 2.5, 2.8)  # jobs of our own sandbox, known before the first: it must not be seen 2 s late
PRICING_SECONDS = 0.1  # between looks whether a reply has said what such a job costs
FOLLOW_SECONDS = 1.0  # between looks at a job that another living kernel works on


class JobSettings(Protocol):
    """The settings that jobs go by."""

    @property
    def in_flight(self) -> int: ...
    @property
    def job_max_age(self) -> float: ...
    @property
    def thumbnail_size(self) -> int: ...
    @property
    def recipe(self) -> bool: ...


@dataclass
class Workspace:
    """Where a session works: its folder, what lies there, and what it has to say once.

    ``sessions``: the ids of this kernel's sessions, the one that works here last.
    """

    sessions: tuple[str, ...]
    backend: str
    folder: Path
    journal: Journal
    locks: Locks
    attachments: Attachments
    settings: JobSettings
    notices: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.sessions[-1]

    def has_all(self, record: Record) -> bool:
        """Whether the record has images, and every one of them is there."""
        return bool(record.images) and all(saving.is_saved_image(self.folder / name) for name in record.images)

    def has_price(self, request: GenerationRequest) -> bool:
        """Whether this backend has said what such a job costs."""
        return self.journal.has_price(self.backend, kind(request))

    def durations(self, request: GenerationRequest) -> Durations:
        """How long such jobs took before on this backend."""
        past = self.journal.past_seconds(self.backend, kind(request))
        return Durations.of(past or (SANDBOX_SECONDS if self.backend == "sandbox" else ()))

    def as_result(self, record: Record, *, reused: bool = False) -> Result:
        return Result(record, self.folder, reused=reused, thumbnail_size=self.settings.thumbnail_size)


class Dispatcher:
    """The jobs under way. One worker thread per job, from POST to saved file."""

    def __init__(
        self,
        place: Workspace,
        client: Callable[[], ServiceClient],
        priced: Callable[[list[GenerationRequest]], Estimate],
        purse: SpendingLedger,
    ) -> None:
        self.place = place
        self.purse = purse
        self.pricing = PriceProbe(place.has_price)
        self.runner = Runner(place.settings.in_flight)
        self.client = client
        self.priced = priced
        self.handles: dict[int, JobHandle] = {}
        self.unwritten: dict[int, Record] = {}  # how jobs ended whose last commit failed

    def handle(self, record: Record) -> JobHandle:
        """A handle for a job that is about to run."""
        handle = JobHandle(record.request, record.number, record.status)
        self.handles[record.number] = handle
        handle.add_done_callback(self._cancelled)
        return handle

    def _cancelled(self, handle: Any) -> None:
        if handle.cancelled():
            with suppress(JournalError):
                self.place.journal.settle(handle.number, JobStatus.CANCELLED, JobStatus.QUEUED)
            handle.publish(handle.snapshot.replace(status=JobStatus.CANCELLED, waiting_for=None))
            self.handles.pop(handle.number, None)

    def run(self, record: Record, handle: JobHandle, batch: Call | None = None, *, resumed: bool = False) -> None:
        """Set it going. KlingError where it cannot be: then nothing was sent."""
        self._begin(record, lambda: self._advance(record, handle, batch, resumed))

    def _begin(self, record: Record, work: Callable[[], None]) -> None:
        try:
            self.runner.start(work)
        except KlingError:
            self.handles.pop(record.number, None)
            raise

    def _advance(self, record: Record, handle: JobHandle, batch: Call | None, resumed: bool) -> None:
        """One worker, one job."""
        if handle.cancelled():
            return
        try:
            self._face()
            request = record.request
            if request.image is not None:
                record = record.replace(request=request.replace(image=self.place.attachments.load(request.image)))
            work = Work(
                client=self.client(),
                observer=handle.publish,
                ledger=self,
                gate=SendPermit(self, handle, batch),
                folder=self.place.folder,
                durations=self.place.durations(request),
                known=lambda: self.place.durations(request),
                job_max_age=self.place.settings.job_max_age,
                thumbnail_size=self.place.settings.thumbnail_size,
                recipe=self.place.settings.recipe,
                warn=self.place.notices.append,
                resumed=resumed,
            )
            outcome = advance(record, work)
            record, error = outcome.record, outcome.error
            if work.unwritten is not None:
                self.unwritten[record.number] = record
        except LostOwnership:
            error = KlingError(f"Job {record.number} was taken over by another kernel.", number=record.number)
        except Exception as unexpected:  # a fault of ours must reach the waiting cell, not die with the thread
            with suppress(JournalError):  # which may be what went wrong
                record = self.place.journal.get(record.number) or record
            error = unexpected if isinstance(unexpected, KlingError) else internal_error(record, unexpected)
        self.conclude(handle, record, error, batch)
        self._face()

    def _face(self) -> None:
        """Tell the client how many jobs share its allowance: polls are spent where they pay."""
        with suppress(KlingError):  # no client: the job that needs it says so
            self.client().report_load(self.runner.working, self.runner.waiting)

    def conclude(self, handle: JobHandle, record: Record, error: KlingError | None, batch: Call | None) -> None:
        if record.status is JobStatus.FAILED:
            self.purse.charge(record.number, record.credits or 0.0)
        elif record.credits is not None:
            self.purse.charge(record.number, record.credits)
        if batch is not None and error is not None:
            batch.halt(error)
        self.pricing.over(record)
        self.handles.pop(record.number, None)
        if handle.done():
            return
        if error is None:
            self.answered(handle, record)
        else:
            handle.publish(handle.snapshot.replace(status=record.status, error=error, waiting_for=None))
            handle.set_exception(error)

    def answered(self, handle: JobHandle, record: Record, *, reused: bool = False) -> JobHandle:
        result = self.place.as_result(record, reused=reused)
        seconds = record.seconds or 0.0
        count = len(record.images)
        facts = {"job_id": record.job_id, "credits": record.credits, "saved": count, "images": count}
        handle.publish(
            handle.snapshot.replace(status=record.status, elapsed=seconds, reused=reused, waiting_for=None, **facts)
        )
        handle.set_result(result)
        return handle

    def follow(self, record: Record, handle: JobHandle) -> None:
        """Attach to a job that another living kernel works on."""
        handle.set_running_or_notify_cancel()
        self.handles[record.number] = handle

        def watch() -> None:
            try:
                self._follow(record, handle)
            except Exception as unexpected:  # as in _advance: a full disk must not leave the cell waiting
                fault = unexpected if isinstance(unexpected, KlingError) else internal_error(record, unexpected)
                self.conclude(handle, record, fault, None)

        self._begin(record, watch)

    def _follow(self, record: Record, handle: JobHandle) -> None:
        """Wait for a job that another living kernel works on; go on with it where nobody does any more."""
        number = record.number
        while True:
            now = self.place.journal.get(number) or record
            if now.status.over or now.status in (JobStatus.UNCONFIRMED, JobStatus.PAUSED):
                break
            if now.owner == self.place.id or not self.place.locks.alive(now.owner):
                break  # its kernel is gone; or its worker in this one, on a fault
            handle.publish(
                handle.snapshot.replace(status=now.status, job_id=now.job_id, waiting_for="another kernel's job")
            )
            time.sleep(FOLLOW_SECONDS)
        if now.status is JobStatus.QUEUED:  # its kernel ended before it was sent; nobody else may buy for that call
            self.place.journal.settle(number, JobStatus.CANCELLED, JobStatus.QUEUED)
            now = self.place.journal.get(number) or now
        if now.status is JobStatus.COMPLETED:
            self.handles.pop(number, None)
            self.answered(handle, now, reused=True)
            return
        mine = now if now.owner == self.place.id else self.place.journal.take_over(now, self.place.id)
        if mine is None or now.status not in _GOES_ON:
            self.conclude(handle, now, error_from_record(now), None)
        else:
            self._advance(mine, handle, None, resumed=True)

    def commit(self, record: Record) -> None:
        """The lifecycle's ledger. See Journal.write."""
        if record.credits is not None:  # the next POST must know what this one really cost, written down or not
            self.purse.charge(record.number, record.credits)
        try:
            self.place.journal.write(record)
        finally:
            if record.credits is not None:  # only now: what the others of its kind will cost is read from there
                self.pricing.learn(record)
        if self.unwritten:
            self.write_again()

    def write_again(self) -> None:
        """Try once more to write down how jobs ended whose last commit failed: there may be room again."""
        for number, record in list(self.unwritten.items()):
            with suppress(JournalError):
                with suppress(LostOwnership):
                    self.place.journal.write(record)
                self.unwritten.pop(number, None)


class SendPermit:
    """Whether one job's POST may go out: the money first, then the user, who may have cancelled it."""

    def __init__(self, running: Dispatcher, handle: JobHandle, batch: Call | None) -> None:
        self._running = running
        self._handle = handle
        self._batch = batch

    def priced(self, record: Record, waiting: Callable[[], None]) -> bool:
        while self._batch is not None and self._batch.bounded and not self._running.pricing.may_send(record):
            waiting()
            self.pause(PRICING_SECONDS)
            if self.cancelled():
                return False
        return True

    def allow(self, record: Record) -> bool:
        if self._batch is not None:
            self._batch.refuse_if_halted(record)
            self._running.purse.reserve(record, self._running.priced([record.request]), self._batch)
        if self._handle.begin_sending():
            return True
        self._running.purse.charge(self._handle.number, 0.0)  # cancelled a moment ago: what was set aside is free again
        return False

    def sent(self, accepted: bool) -> None:
        if not accepted:
            self._running.purse.charge(self._handle.number, 0.0)
        self._handle.end_sending(accepted)

    def cancelled(self) -> bool:
        return self._handle.cancelled()

    def pause(self, seconds: float) -> None:
        self._handle.pause(seconds)


_GOES_ON = (JobStatus.SUBMITTING, JobStatus.RUNNING, JobStatus.DOWNLOADING, JobStatus.PAUSED)


def internal_error(record: Record, error: BaseException) -> KlingError:
    fault = KlingError(
        f"Job {record.number} stopped on a fault of kling_notebook ({type(error).__name__}: {error}). "
        f"If it was submitted, `%kling resume {record.number}` collects it.",
        job_id=record.job_id,
        number=record.number,
    )
    fault.__cause__ = error
    return fault
