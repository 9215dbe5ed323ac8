"""Worker threads and the handle of a running job.

The threads are daemons, not a ThreadPoolExecutor's: those are joined at exit, and a kernel would take as long to shut
down as its slowest job.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from ..api.errors import KlingError, StillRunningError
from ..api.job import GenerationRequest, JobStatus, Observer, Snapshot
from ..results.result import Result

IDLE_SECONDS = 10.0


class JobHandle(Future[Result]):
    """A job that was started: a real ``concurrent.futures.Future`` of its Result, and awaitable.

    ``cancel()`` succeeds only before the POST; nothing that was bought can be taken back. Cancelling a task that
    awaits a handle withdraws nothing.

    Attributes:
        request: what was asked for. number: the job's number in its folder. snapshot: the latest known facts.
    """

    def __init__(self, request: GenerationRequest, number: int = 0, status: JobStatus = JobStatus.PLANNED) -> None:
        super().__init__()
        self.request = request
        self.number = number
        self._gate = threading.RLock()  # cancel() runs the callbacks, and with them publish(), inside
        self._sending = False
        self._withdrawn = False
        self._woken = threading.Event()
        self._observers: tuple[Observer, ...] = ()
        self._snapshot = Snapshot(request, status, number, pictures=request.num_outputs)

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
            self._withdrawn = True
        self._woken.set()
        super().cancel()  # outside the gate: it calls back to observers
        with suppress(RuntimeError):  # two threads withdraw at once: one of them tells it
            self.set_running_or_notify_cancel()
        return True

    def begin_sending(self) -> bool:
        """Close the gate before the POST. False where the request was withdrawn."""
        with self._gate:
            if self._withdrawn:
                return False
            self._sending = True
            return True

    def end_sending(self, accepted: bool) -> None:
        """The POST was answered. Where no job was made, the request may be withdrawn again."""
        with self._gate:
            self._sending = False
            if accepted:
                self.set_running_or_notify_cancel()

    def pause(self, seconds: float) -> None:
        """Sleep; a withdrawal wakes."""
        self._woken.wait(seconds)


def begin(work: Callable[[], None], name: str) -> None:
    """Start a daemon thread. KlingError where the machine gives none."""
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:
        raise KlingError(
            f"No thread could be started ({error}): this machine allows no more. Close other notebooks, or restart "
            "the kernel, then run the same again."
        ) from None


class Runner:
    """At most ``in_flight`` daemon threads, started when there is work and gone when there is none."""

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight
        self._work: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0

    def start(self, work: Callable[[], None]) -> None:
        """Queue ``work``; it must not raise.

        Raises:
            KlingError: there is no thread, and this machine gives none.
        """
        with self._changed:
            self._work.append(work)
            if self._idle >= len(self._work):  # one idle thread must not get all of a sweep
                self._changed.notify()
            elif self._threads < self.in_flight:
                self._begin()

    def _begin(self) -> None:
        try:
            begin(self._loop, "kling-worker")
        except KlingError:
            if not self._threads:  # else those that run take the work when they can
                self._work.pop()
                raise
        else:
            self._threads += 1

    @property
    def working(self) -> int:
        """Threads with work."""
        with self._changed:
            return self._threads - self._idle

    @property
    def waiting(self) -> int:
        """Work without a thread."""
        with self._changed:
            return len(self._work)

    def _loop(self) -> None:
        while True:
            with self._changed:
                if not self._work:
                    self._idle += 1
                    self._changed.wait(IDLE_SECONDS)
                    self._idle -= 1
                surplus = self._threads - self._idle > self.in_flight  # it was lowered; those that work will go on
                if surplus or not self._work:
                    self._threads -= 1
                    return
                work = self._work.popleft()
            with suppress(Exception):
                work()
