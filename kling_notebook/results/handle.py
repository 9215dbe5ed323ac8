"""JobHandle: a job that was started, as a real ``concurrent.futures.Future`` of its Result."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from ..api.errors import StillRunningError
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus, Observer, Snapshot
from .result import Result


class JobHandle(Future[Result]):
    """A job that was started: a real ``concurrent.futures.Future`` of its Result, and awaitable.

    ``cancel()`` succeeds only before the POST; nothing that was bought can be taken back. Cancelling a task that
    awaits a handle cancels nothing.

    Attributes:
        request: what was asked for. number: the job's number in its folder. snapshot: the latest known facts.
    """

    def __init__(self, request: GenerationRequest, number: int = 0, status: JobStatus = JobStatus.QUEUED) -> None:
        super().__init__()
        self.request = request
        self.number = number
        self._gate = threading.RLock()  # cancel() runs the callbacks, and with them publish(), inside
        self._sending = False
        self._cancelled = False
        self._woken = threading.Event()
        self._observers: tuple[Observer, ...] = ()
        self._snapshot = Snapshot(request, status, number, images=request.num_outputs)

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def status(self) -> JobStatus:
        return self._snapshot.status

    @property
    def job_id(self) -> str | None:
        return self._snapshot.job_id

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the Result.

        Raises:
            StillRunningError: ``timeout`` seconds passed; the job goes on. KlingError: what became of the job.
        """
        try:
            return super().result(timeout)
        except TimeoutError:
            raise StillRunningError(
                f"Job {self.number} is still {self.status.value}. It goes on; ask again, or "
                f"%kling resume {self.number} in a later session.",
                job_id=self.job_id,
                number=self.number,
            ) from None

    def __await__(self) -> Generator[Any, None, Result]:
        return asyncio.shield(asyncio.wrap_future(self)).__await__()

    def __repr__(self) -> str:
        return f"<JobHandle {self.number} {self.status.value} {self.job_id or 'no job id yet'}>"

    # ---- observers ----

    def add_observer(self, observer: Observer) -> None:
        """Call ``observer`` with each snapshot from now on, and at once with the latest."""
        with self._gate:
            self._observers = (*self._observers, observer)
            latest = self._snapshot
        with suppress(Exception):
            observer(latest)

    def remove_observer(self, observer: Observer) -> None:
        """Call ``observer`` no more."""
        with self._gate:
            self._observers = tuple(other for other in self._observers if other is not observer)

    def publish(self, snapshot: Snapshot) -> None:
        """Called by the worker at each change. What an observer raises never reaches the job."""
        with self._gate:
            self._snapshot = snapshot
            observers = self._observers
        for observer in observers:
            with suppress(Exception):
                observer(snapshot)

    # ---- the gate: may the POST go out? ----

    def cancel(self) -> bool:
        """Withdraw the request. False once the POST is under way: what was bought goes on."""
        with self._gate:
            if self.cancelled():
                return True
            if self._sending or self.running() or self.done():
                return False
            self._cancelled = True
        self._woken.set()
        super().cancel()  # outside the gate: it calls back to observers
        with suppress(RuntimeError):  # two threads cancel at once: one of them tells it
            self.set_running_or_notify_cancel()
        return True

    def begin_sending(self) -> bool:
        """Close the gate before the POST. False where the request was cancelled."""
        with self._gate:
            if self._cancelled:
                return False
            self._sending = True
            return True

    def end_sending(self, accepted: bool) -> None:
        """The POST was answered. Where no job was made, the request may be cancelled again."""
        with self._gate:
            self._sending = False
            if accepted:
                self.set_running_or_notify_cancel()

    def pause(self, seconds: float) -> None:
        """Sleep; a cancellation wakes."""
        self._woken.wait(seconds)
