"""The queue in which a client's requests wait for the rate limit: any thread may ask, and none is put to sleep here."""

import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

from .rate_limiter import RateLimiter, RequestKind

_PRIORITY: Mapping[RequestKind, int] = {"other": 0, "submit": 1, "poll": 2}
_GRACE = 1.0  # seconds that a slot may ask later than it was told before the others stop waiting for it
_SHORTEST_WAIT = 0.05
jitter = random.Random().random  # noqa: S311  # no secret; the numbers of the module random are the user's


class RequestQueue:
    """All slots of a client over one `RateLimiter`, which says whether a request may go; the queue says whose.

    A submit goes before a poll (a service that works on many jobs at once is best kept busy), and of two polls the one
    that is due first.

    Args:
        clock: monotonic seconds. epoch: seconds since 1970. chance: numbers in [0, 1), the jitter of back-offs.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
        chance: Callable[[], float] = jitter,
    ) -> None:
        self.limiter = limiter
        self.clock = clock
        self._epoch = epoch
        self._chance = chance
        self.lock = threading.Lock()
        self._places = count()
        self.waiting: weakref.WeakSet[Slot] = weakref.WeakSet()  # the slot of a thread that died goes with it

    def slot(self, kind: RequestKind, due: float = 0.0) -> "Slot":
        """A new place in the queue. ``due``: the earliest moment, on the monotonic clock."""
        with self.lock:
            slot = Slot(self, kind, due, next(self._places), self.clock() + _GRACE)
            self.waiting.add(slot)
        return slot

    def observe_reply(self, status: int, headers: Mapping[str, str]) -> None:
        """Take in a reply; status 0 if none came."""
        with self.lock:
            now, epoch, jitter = self.clock(), self._epoch(), self._chance()
            self.limiter = self.limiter.observe_reply(now, status, headers, epoch, jitter)

    def release_unused(self) -> None:
        """See `RateLimiter.release_unused`."""
        with self.lock:
            self.limiter = self.limiter.release_unused()

    def report_load(self, running: int, waiting: int) -> None:
        """See `RateLimiter.report_load`."""
        with self.lock:
            self.limiter = self.limiter.report_load(running, waiting)

    def share(self, horizon: float) -> float:
        """See `RateLimiter.share`."""
        return self.limiter.share(self.clock(), horizon)

    def first(self, now: float) -> "Slot | None":
        """The first of those that are due and ask again when they were told to: one that sleeps holds up no other."""
        awake = [slot for slot in self.waiting if slot.due <= now <= slot.expected]
        return min(awake, key=lambda slot: (_PRIORITY[slot.kind], slot.due, slot.place), default=None)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Slot:
    """A place in the queue. Ask `ready` until it gives 0.0, then send one request; or `close` it."""

    queue: RequestQueue
    kind: RequestKind
    due: float
    place: int
    expected: float
    granted: bool = False

    def ready(self) -> float:
        """0.0: the request may go, and is counted. Else the seconds until asking again makes sense."""
        queue = self.queue
        with queue.lock:
            if self.granted:
                return 0.0
            if self not in queue.waiting:
                raise RuntimeError("This slot has left the queue; take a new one.")
            now = queue.clock()
            if self.due > now:
                return self.due - now
            self.expected = now + _GRACE
            # Tried on a copy: the request is counted only if it is also this slot's turn.
            after, wait = queue.limiter.try_acquire(now, self.kind)
            if wait <= 0.0 and queue.first(now) is self:
                queue.limiter = after
                queue.waiting.discard(self)
                self.granted = True
                return 0.0
            wait = max(wait, _SHORTEST_WAIT)
            self.expected += wait
            return wait

    def close(self) -> None:
        """Leave the queue: for `contextlib.closing`. Does nothing once the request may go."""
        with self.queue.lock:
            self.queue.waiting.discard(self)
