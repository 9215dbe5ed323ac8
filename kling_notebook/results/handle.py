"""JobHandle: a job that was started, a real ``concurrent.futures.Future`` of its Result; and several jobs' results."""

import asyncio
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from ..api.errors import KlingError, StillRunningError
from ..api.event_log import log_event, log_suppressed, suppress
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus, Observer, Snapshot
from .result import Result, SavedImage, Shown

# What the log calls a job's new status.
_LOGGED = {
    JobStatus.SUBMITTING: "submitted",
    JobStatus.RUNNING: "accepted",
    JobStatus.COMPLETED: "completed",
    JobStatus.CANCELLED: "cancelled",
    JobStatus.FAILED: "failed",
    JobStatus.REJECTED: "rejected",
    JobStatus.UNCONFIRMED: "unconfirmed",
    JobStatus.PAUSED: "paused",
    JobStatus.EXPIRED: "expired",
}


def _line(snapshot: Snapshot) -> str:
    job = f", {snapshot.job_id}" if snapshot.job_id else ""
    credits = f", {snapshot.credits:g} credit{'s' * (snapshot.credits != 1)}" if snapshot.credits is not None else ""
    return f"job {snapshot.number} {_LOGGED[snapshot.status]}{job}{credits}{', reused' * snapshot.reused}"


class JobHandle(Future[Result]):
    """A job that was started: a real ``concurrent.futures.Future`` of its Result, and awaitable.

    ``cancel()`` succeeds only before the POST; nothing that was bought can be taken back. Cancelling a task that
    awaits a handle cancels nothing.

    Args:
        cancel: asked to keep the request from being sent; False if it is too late. Without it, it always is.

    Attributes:
        request: what was asked for. number: the job's number in its folder. snapshot: the latest known facts.
    """

    def __init__(
        self,
        request: GenerationRequest,
        number: int = 0,
        status: JobStatus = JobStatus.QUEUED,
        cancel: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self.request = request
        self.number = number
        self._cancel_request = cancel
        self._lock = threading.RLock()
        self._observers: tuple[Observer, ...] = ()
        self.snapshot = Snapshot(request, status, number, images=request.num_outputs)

    @property
    def status(self) -> JobStatus:
        return self.snapshot.status

    @property
    def job_id(self) -> str | None:
        return self.snapshot.job_id

    @property
    def failed(self) -> str | None:
        """Why a job that is over has no result; None if it has one, or is not over."""
        if self.cancelled():
            return "cancelled before it was sent"
        error = self.exception() if self.done() else None
        return None if error is None else str(error)

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the Result.

        Raises:
            StillRunningError: ``timeout`` seconds passed; the job keeps running. KlingError: what became of the job.
        """
        try:
            return super().result(timeout)
        except TimeoutError:
            raise StillRunningError(
                f"Job {self.number} is still {self.status.value}. Ask again, or "
                f"%kling resume {self.number} in a later session.",
                job_id=self.job_id,
                number=self.number,
            ) from None

    def __await__(self) -> Generator[Any, None, Result]:
        # Shielded: cancelling a task that waits would cancel the future, and with it a job that others wait for.
        return asyncio.shield(asyncio.wrap_future(self)).__await__()

    def __repr__(self) -> str:
        return f"<JobHandle {self.number} {self.status.value} {self.job_id or 'no job id yet'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """What is over can be pickled, its result or error included."""
        if not self.done():
            raise KlingError(
                f"Job {self.number} is still {self.status.value}. It can be pickled when it is over.",
                number=self.number,
                job_id=self.job_id,
            )
        outcome = None if self.cancelled() else self.exception() or self.result()
        return _ended, (self.request, self.number, self.snapshot, outcome)

    # ---- observers ----

    def add_observer(self, observer: Observer, *, at_once: bool = True) -> None:
        """Call ``observer`` with each snapshot from now on, and ``at_once`` with the latest."""
        with self._lock:
            self._observers = (*self._observers, observer)
            latest = self.snapshot
        if at_once:
            with suppress(Exception):
                observer(latest)

    def publish(self, snapshot: Snapshot) -> None:
        """Called by the worker at each change. What an observer raises never reaches the job."""
        with self._lock:
            before, self.snapshot = self.snapshot, snapshot
            observers = self._observers
        if snapshot.status is not before.status and snapshot.status in _LOGGED:
            log_event(logging.INFO, _line(snapshot))
        elif snapshot.waiting_for and snapshot.waiting_for != before.waiting_for:
            log_event(logging.DEBUG, f"job {snapshot.number}: {snapshot.waiting_for}")
        # Outside the lock: an observer may ask this handle for something.
        for observer in observers:
            try:
                observer(snapshot)
            except Exception as error:
                log_suppressed("a job's observer", error)

    # ---- cancelling ----

    def cancel(self) -> bool:
        """Cancel a request that was not sent. False once the POST is under way: what was bought stays bought."""
        if self.cancelled():
            return True
        # Running means accepted by the service. Before that the worker knows whether the POST is still to come.
        if self.running() or self.done() or not self._cancel_request():
            return False
        super().cancel()
        with suppress(RuntimeError):  # two threads cancel at once: one of them tells it
            self.set_running_or_notify_cancel()
        return True


class Gathered(Shown, Sequence[Result | None]):
    """The results of several jobs; None for a place that has none.

    Attributes:
        handles: one per place, None for one that nothing was asked for. Places may share a job.
    """

    handles: tuple[JobHandle | None, ...]

    def __len__(self) -> int:
        return len(self.handles)

    def __iter__(self) -> Iterator[Result | None]:
        return map(self._result, range(len(self)))  # by place, whatever [] selects by

    def __getitem__(self, key: Any) -> Any:
        """The result of a place, counted from 0; a slice gives a list."""
        places = range(len(self))[key]
        return [self._result(place) for place in places] if isinstance(places, range) else self._result(places)

    def _result(self, place: int) -> Result | None:
        handle = self.handles[place]
        return None if handle is None or not handle.done() or handle.failed is not None else handle.result()

    @property
    def done(self) -> list[Result]:
        """The completed results, one per job."""
        return list({id(result): result for result in self if result is not None}.values())

    @property
    def images(self) -> list[SavedImage]:
        """Every image, in order; those of places that share a job once."""
        return [image for result in self.done for image in result]

    @property
    def credits(self) -> float:
        """What the completed jobs cost when they were paid for. Sandbox credits are not counted."""
        return sum((result.credits or 0.0 for result in self.done if result.backend != "sandbox"), 0.0)


def _ended(
    request: GenerationRequest, number: int, snapshot: Snapshot, outcome: Result | BaseException | None
) -> JobHandle:
    """Unpickle a job that is over."""
    handle = JobHandle(request, number)
    handle.snapshot = snapshot
    if outcome is None:
        Future.cancel(handle)
    elif isinstance(outcome, BaseException):
        handle.set_exception(outcome)
    else:
        handle.set_result(outcome)
    return handle
