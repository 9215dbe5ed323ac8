"""WorkerPool: a bounded number of daemon threads, for jobs, downloads and decoding.

The threads are daemons, not a ThreadPoolExecutor's: those are joined at exit, and a kernel would take as long to shut
down as its slowest job.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ..api.errors import KlingError
from ..api.event_log import log_suppressed, suppress

T = TypeVar("T")

IDLE_SECONDS = 10.0


class WorkerPool:
    """At most ``in_flight`` daemon threads, started when there is work and gone when there is none."""

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight
        self._work: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` on a thread of the pool, or on the caller's own if the machine gives none."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # it belongs to whoever waits for the result
                future.set_exception(error)

        try:
            self.start(run)
        except KlingError as error:
            log_suppressed(__name__, error)
            run()
        return future

    def start(self, work: Callable[[], object]) -> None:
        """Queue ``work``; it must not raise.

        Raises:
            KlingError: no worker thread is running and none can be started.
        """
        with self._changed:
            self._work.append(work)
            # A thread is started only if the idle ones cannot take all that waits: a sweep gets its
            # threads at once, and a single job reuses the one that has just become free.
            if self._idle >= len(self._work):
                self._changed.notify()
            elif self._threads < self.in_flight:
                self._start_thread()

    def _start_thread(self) -> None:
        try:
            threading.Thread(target=self._loop, name="kling-worker", daemon=True).start()
            self._threads += 1
        except RuntimeError as error:
            if self._threads:  # those that run take the work when they can
                return
            self._work.pop()
            raise KlingError(
                f"No thread could be started ({error}): this machine allows no more. Close other notebooks, or "
                "restart the kernel, then run the same again."
            ) from None

    @property
    def working(self) -> int:
        """Threads with work."""
        return self._threads - self._idle

    @property
    def waiting(self) -> int:
        """Work without a thread."""
        return len(self._work)

    def _loop(self) -> None:
        while True:
            with self._changed:
                if not self._work:
                    self._idle += 1
                    # An idle thread stays for a while, since the next cell usually comes soon,
                    # and then ends: a kernel that is left alone keeps no threads of this package.
                    self._changed.wait(IDLE_SECONDS)
                    self._idle -= 1
                surplus = self._threads - self._idle > self.in_flight  # it was lowered; those at work continue
                if surplus or not self._work:
                    self._threads -= 1
                    return
                work = self._work.popleft()
            # The work reports its own errors; one that slips through must not take the thread with it.
            with suppress(Exception):
                work()
            del work  # it may hold a decoded image, and the next work may come in an hour
