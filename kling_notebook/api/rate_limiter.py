"""How many requests may go out, and what replies teach about that. Pure: ``now`` is in seconds of a monotonic clock."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from .rate_headers import limit, remaining, reset, retry_after

RequestKind = Literal["submit", "poll", "other"]

LONGEST_WAIT = 120.0  # seconds; for a longer Retry-After the request stops and says so
WINDOW = 60.0  # seconds over which the service counts requests: both published limits are per minute
UNLIMITED = 6000  # requests a minute; from here on, set or announced, they are not counted
SOON = 0.1  # seconds until asking again if only a reply that is under way can tell more
REPLY_PATIENCE = 5.0  # seconds after which a reply is no longer waited for before the next single request
TOO_FEW = 4  # granted in the last minute: if fewer, another client used the limit up, and its size is not known
LONGEST_PAUSE = 4  # minutes, at most, between two tries whether more than the learned limit passes
RESERVE = 0.7  # part of the limit that polls plan with: jobs that take longest need some when the rest is spent


def backoff(attempt: int, jitter: float) -> float:
    """Seconds before the ``attempt``-th (from 1) repeat of something that failed: 1, 2, 4 ... 30, less up to half, by
    ``jitter`` in [0, 1)."""
    return min(30.0, 2.0 ** min(max(attempt, 1) - 1, 10)) * (1.0 - jitter / 2)


@dataclass(frozen=True, slots=True)
class RateLimiter:
    """Which requests may go out now. Frozen: each step returns the next limiter. ``RateLimiter(rate)`` begins one.

    `try_acquire` asks for one request; `observe_reply` takes in the reply, once for each request that was granted.

    1. **Announced.** If replies carry X-RateLimit-Remaining, that count decides, less the requests under way. When
       nothing remains, one request goes at the moment the service names, and its reply tells how many may follow.
    2. **Not announced.** The requests that were granted in the last minute are counted, and at most ``limit`` may be.
       ``limit`` begins at ``rate``. As long as nothing is refused, a request beyond it may go and, if it is granted,
       raises it by one (slow start). Few go beyond at a time, so that few are refused when the real limit is met.
    3. **Refused** (429). Nothing goes until Retry-After has passed; then one request, and more with each reply. One
       refusal teaches nothing. After a second one within two minutes ``limit`` is the number of requests that were
       granted in the last minute, and is exceeded again only after a pause that doubles each time it fails.

    Attributes:
        rate: requests a minute to assume at first.
        granted: when each reply of the last minute came that was not a 429. under_way: when each request without a
            reply was sent. streak: replies since the last refusal.
        announced: X-RateLimit-Limit. window: seconds in which so many may be granted.
        learned: the limit that refusals taught, None if they taught none.
        beyond: requests that were granted beyond ``rate`` while nothing was learned.
        remaining: X-RateLimit-Remaining. remaining_at: when it was read. reset_at: the moment named with it.
        hold: nothing is sent before. refused_at, refusals: the last refusal, and how many in a row.
        probe_at: when more than the learned limit is tried. pause: minutes before the try after it.
        running, waiting: see `report_load`. polled_at: when the last poll was sent.
    """

    rate: float = 60.0
    granted: tuple[float, ...] = ()
    under_way: tuple[float, ...] = ()
    streak: int = 0
    announced: int | None = None
    window: float = WINDOW
    learned: int | None = None
    beyond: int = 0
    remaining: int | None = None
    remaining_at: float = -math.inf
    reset_at: float | None = None
    hold: float = -math.inf
    refused_at: float = -math.inf
    refusals: int = 0
    probe_at: float = -math.inf
    pause: int = 1
    running: int = 0
    waiting: int = 0
    polled_at: float = -math.inf

    @property
    def limit(self) -> int:
        """Requests in the window, mostly a minute, that are thought to pass."""
        if self.learned is not None:
            return min(self.learned, self.announced or UNLIMITED)
        return self.announced or max(1, int(min(UNLIMITED, self.rate + self.beyond)))

    def report_load(self, running: int, waiting: int) -> Self:
        """Say how many jobs run, among which polls are divided, and how many requests wait for one of them to end."""
        return replace(self, running=max(0, running), waiting=max(0, waiting))

    def try_acquire(self, now: float, kind: RequestKind) -> tuple[Self, float]:
        """Ask for one request. 0.0: it may go, and is counted. Else seconds until asking again makes sense."""
        current = self._aged(now)
        if (wait := current._wait(now, kind)) > 0.0:
            return current, wait
        polled_at = now if kind == "poll" else current.polled_at
        return replace(current, under_way=(*current.under_way, now), polled_at=polled_at), 0.0

    def release_unused(self) -> Self:
        """The latest request that was granted was not sent, and no reply will come."""
        return replace(self, under_way=self.under_way[:-1])

    def _wait(self, now: float, kind: RequestKind) -> float:
        if now < self.hold:
            return self.hold - now
        out, counted = len(self.under_way), len(self.granted) + len(self.under_way)
        known = self.announced is not None or self.learned is not None
        # A poll that finds its job completed lets the next request go, which must find space: polls are spread out as
        # soon as those that wait need what is left. Each of them takes a submit and at least one poll.
        gap = self.polled_at + self.window / self.limit - now
        if kind == "poll" and known and 2 * self.waiting >= self.limit - counted and self.waiting and gap > 0:
            return gap
        if self.remaining is None:
            # Until replies tell more, and after a refusal, few at once; more with each reply.
            most = (1 if now - self.refused_at <= 2 * WINDOW else 4) + self.streak // 4
            return SOON if out >= most else self._wait_by_count(now, counted)
        # The service's own count decides below. But where it counts by fixed minutes, the limit passes late in one and
        # again early in the next: our minute may then hold twice the limit, and no more. A learned limit counts once.
        if self.learned is not None or counted >= 2 * self.limit:
            wait = self._wait_by_count(now, counted, 1 if self.learned is not None else 2)
            if wait > 0.0:
                return wait
        return 0.0 if self.remaining > out else self._wait_for_reset(now)

    def _wait_by_count(self, now: float, counted: int, times: int = 1) -> float:
        """Space in our own count of the last minute, or a request beyond the limit. ``times``: how often the limit may
        have passed in that minute."""
        if counted < times * self.limit:
            return 0.0
        may_exceed = self.announced is None if self.learned is None else now >= self.probe_at
        if may_exceed:
            steps = 1 if self.learned is not None or self.refusals else max(1, min(self.beyond + 1, self.limit // 20))
            return 0.0 if counted < self.limit + steps else SOON
        # There is space again when the reply at this place has left the window.
        place = len(self.granted) - times * self.limit + len(self.under_way)
        return self.granted[place] + self.window - now if place < len(self.granted) else SOON

    def _wait_for_reset(self, now: float) -> float:
        """Nothing remains: one request goes when the time has come, alone, and its reply tells more."""
        if self.reset_at is not None and now < self.reset_at:
            return self.reset_at - now
        if self.reset_at is None and len(self.granted) >= self.limit:
            return max(SOON, self.granted[-self.limit] + self.window - now)
        return SOON if self.under_way and self.under_way[-1] > now - REPLY_PATIENCE else 0.0

    def observe_reply(
        self,
        now: float,
        status: int,
        headers: Mapping[str, str],
        now_epoch: float | None = None,
        jitter: float = 0.0,
    ) -> Self:
        """Take in a reply, once for every granted request: ``status`` 0 if none came, ``now_epoch`` in seconds since
        1970. ``jitter`` (see `backoff`) parts clients that were refused at once."""
        current = self._aged(now)
        # Taken for the reply to the oldest request. In another order it is thought older, and to tell less, than it is.
        sent = current.under_way[0] if current.under_way else now
        epoch = now if now_epoch is None else now_epoch
        current = replace(current, under_way=current.under_way[1:])._announcement(now, sent, headers, epoch)
        return current._refused(now, sent, headers, epoch, jitter) if status == 429 else current._granted(now, sent)

    def _announcement(self, now: float, sent: float, headers: Mapping[str, str], epoch: float) -> Self:
        """X-RateLimit-*. Of overlapping replies the lowest count holds; only a later request may raise it."""
        current, left, seconds = self, remaining(headers), reset(headers, epoch)
        if found := limit(headers):
            current = replace(
                self,
                announced=min(UNLIMITED, found[0]),
                window=found[1],
                learned=self.learned if found[1] == self.window else None,  # in another time it means something else
            )
        if seconds is not None:
            current = replace(current, reset_at=now + seconds if 0 < seconds <= LONGEST_WAIT else None)
        if left is None:  # an answer of something in between, or the service no longer announces
            fresh = self.remaining is not None and now - self.remaining_at <= self.window
            return replace(current, remaining=max(0, (self.remaining or 0) - 1) if fresh else None)
        left = min(left, current.announced or UNLIMITED)
        if self.remaining is None or left < self.remaining or sent >= self.remaining_at:
            return replace(current, remaining=left, remaining_at=now)
        return current

    def _granted(self, now: float, sent: float) -> Self:
        current = replace(
            self,
            granted=(*self.granted, now) if self.limit < UNLIMITED else (),
            streak=self.streak + 1 if sent >= self.refused_at else self.streak,
            refusals=0 if sent >= self.refused_at else self.refusals,
        )
        if (self.announced is not None and self.learned is None) or len(current.granted) <= self.limit:
            return current
        # Granted beyond the limit: it is higher than was thought.
        if self.learned is None:
            return replace(current, beyond=self.beyond + 1)
        learned = self.learned + 1
        return replace(current, learned=None if learned >= (self.announced or UNLIMITED) else learned, pause=1)

    def _refused(self, now: float, sent: float, headers: Mapping[str, str], epoch: float, jitter: float) -> Self:
        """A 429. It lowers the limit only if a try beyond a learned limit failed, if it is the second in two minutes
        with enough replies before it to count, or the third; never if the reply itself says that nothing remains."""
        fresh = sent >= self.refused_at  # requests sent together are refused together: that is one event
        refusals = self.refusals + 1 if fresh else self.refusals
        asked = retry_after(headers, epoch)
        wait = asked if asked is not None and refusals < 3 else max(asked or 0.0, backoff(refusals, jitter))
        current = replace(
            self,
            hold=max(self.hold, now + min(wait, LONGEST_WAIT)),
            refused_at=now if fresh else self.refused_at,
            refusals=refusals,
            streak=0,
            remaining=None if self.remaining is None else 0,
        )
        explained = limit(headers) and remaining(headers) == 0
        failed_try = self.learned is not None and len(self.granted) >= self.limit
        repeated = now - self.refused_at <= 2 * WINDOW and (len(self.granted) >= TOO_FEW or refusals >= 3)
        if explained or not fresh or not (failed_try or repeated):
            return current
        return replace(
            current,
            learned=max(2, min(len(self.granted), self.limit)),
            probe_at=now + self.pause * WINDOW,
            pause=min(LONGEST_PAUSE, 2 * self.pause),
        )

    def share(self, now: float, horizon: float = 30.0) -> float:
        """Polls per running job, at least 1, that the limit pays for in ``horizon`` seconds; infinite if unknown."""
        if self.announced is None and self.learned is None:
            return math.inf
        current = self._aged(now)
        places = sorted([*current.granted, *current.under_way])
        tokens = current.limit - len(places) + bisect_right(places, now + horizon - self.window)
        tokens = max(int(tokens * WINDOW / self.window), (current.remaining or 0) - len(current.under_way))
        tokens -= min(current.waiting, current.running)  # each job that ends makes way for one request that waits
        return max(1.0, RESERVE * tokens / max(1, current.running))

    def _aged(self, now: float) -> Self:
        """Without what is over: replies older than the window, and requests whose reply will not come."""
        old, lost = bisect_right(self.granted, now - self.window), bisect_right(self.under_way, now - WINDOW)
        # Asked many times a second, mostly in vain.
        return replace(self, granted=self.granted[old:], under_way=self.under_way[lost:]) if old or lost else self
