"""The line in which a client's requests wait for the allowance: any thread may ask, nobody is put to sleep.

``Pace`` decides whether a request may go out; this decides whose turn it is. A purchase goes before a poll (a service
that works on many jobs at once is best kept busy), and among equals the one that is due first.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from itertools import count
from types import TracebackType
from typing import Self

from .rate_limiter import Kind, RateLimiter

_PRIORITY: Mapping[Kind, int] = {"other": 0, "submit": 1, "poll": 2}
_PATIENCE = 1.0
_GLANCE = 0.05


class RequestQueue:
    """All tickets of a client over one `Pace`.

    Args:
        clock: monotonic seconds. epoch: seconds since 1970. chance: numbers in [0, 1), the jitter of back-offs.
    """

    def __init__(
        self,
        pace: RateLimiter,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._pace = pace
        self._clock = clock
        self._epoch = epoch
        self._chance = chance
        self._lock = threading.Lock()
        self._places = count()
        self._waiting: weakref.WeakSet[Slot] = weakref.WeakSet()  # a thread that died takes its ticket with it

    def ticket(self, kind: Kind, due: float = 0.0) -> Slot:
        """A new place in the line. ``due``: the earliest moment, on the monotonic clock."""
        with self._lock:
            one = Slot(self, kind, due, next(self._places), self._clock() + _PATIENCE)
            self._waiting.add(one)
        return one

    def learn(self, status: int, headers: Mapping[str, str]) -> None:
        """Take in a reply; status 0 where none came."""
        with self._lock:
            self._pace = self._pace.learn(self._clock(), status, headers, self._epoch(), self._chance())

    @property
    def pace(self) -> RateLimiter:
        """The allowance as it stands."""
        with self._lock:
            return self._pace

    def report_load(self, running: int, waiting: int) -> None:
        """`Pace.facing`."""
        with self._lock:
            self._pace = self._pace.report_load(running, waiting)

    def share(self, horizon: float) -> float:
        """`Pace.share`."""
        with self._lock:
            return self._pace.share(self._clock(), horizon)

    def turn(self, ticket: Slot) -> float:
        """`Ticket.ready`."""
        with self._lock:
            if ticket.granted:
                return 0.0
            if ticket not in self._waiting:
                raise RuntimeError("This ticket has left the line; take a new one.")
            now = self._clock()
            if ticket.due > now:
                return ticket.due - now
            ticket.expected = now + _PATIENCE
            after, wait = self._pace.turn(now, ticket.kind)
            if wait <= 0.0 and self._head(now) is ticket:
                self._pace = after
                self._waiting.discard(ticket)
                ticket.granted = True
                return 0.0
            wait = max(wait, _GLANCE)
            ticket.expected += wait
            return wait

    def release_unused(self) -> None:
        """`Pace.unsent`."""
        with self._lock:
            self._pace = self._pace.release_unused()

    def leave(self, ticket: Slot) -> None:
        """`Ticket.leave`."""
        with self._lock:
            self._waiting.discard(ticket)

    def _head(self, now: float) -> Slot | None:
        """The first of those that are due and come back when they said they would: a sleeper holds nobody up."""
        able = [one for one in self._waiting if one.due <= now <= one.expected]
        return min(able, key=lambda one: (_PRIORITY[one.kind], one.due, one.place), default=None)


class Slot:
    """A place in the line. Ask `ready` until it gives 0.0, then send one request; or `leave`.

    >>> with client.queue("poll") as ticket:  # doctest: +SKIP
    ...     while wait := ticket.ready():
    ...         time.sleep(wait)
    ...     client.poll(job_id)
    """

    __slots__ = ("__weakref__", "_line", "due", "expected", "granted", "kind", "place")

    def __init__(self, line: RequestQueue, kind: Kind, due: float, place: int, expected: float) -> None:
        self._line = line
        self.kind = kind
        self.due = due
        self.place = place
        self.expected = expected
        self.granted = False

    def ready(self) -> float:
        """0.0: it is your turn, and the allowance is taken. Else the seconds until asking again makes sense."""
        return self._line.turn(self)

    def leave(self) -> None:
        """Give up the place. Does nothing once the turn has come."""
        self._line.leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
