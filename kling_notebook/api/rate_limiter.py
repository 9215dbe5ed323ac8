"""The allowance that all requests of a session share, and what replies say about it. Pure: the clock is a parameter.

Times called ``now`` are seconds of a monotonic clock; ``now_epoch`` is seconds since 1970, needed only where a header
names a moment.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

Kind = Literal["submit", "poll", "other"]

LONGEST_WAIT = 120.0
"""Seconds. A longer Retry-After is not waited for: the request stops and says so."""

WINDOW = 60.0
"""Seconds over which the service counts requests: both published limits are per minute."""

MOST = 6000
"""Requests a minute. From here on, set or announced, there is no limit worth keeping books about."""

SOON = 0.1
"""Seconds until asking again where only a reply that is under way can tell more."""

REPLY_PATIENCE = 5.0
"""Seconds after which a reply is no longer waited for before the next single request."""

TOO_FEW = 4
"""Requests in the last minute. Refused after fewer, it was not ours that used the allowance up: that teaches nothing
about the limit (simulated and seen: one stray 429 with Retry-After 1 held a job up for 37 s)."""

THRIFT = 0.7
"""Part of the allowance that polls plan with: jobs that take longest need some when the rest is spent."""


# --- what a reply's headers say ---------------------------------------------------------------------------------


def retry_after(headers: Mapping[str, str], now_epoch: float, *, or_reset: bool = True) -> float | None:
    """Seconds to wait before asking again, None where the reply does not say.

    Retry-After as seconds or as an HTTP date; without it X-RateLimit-Reset, as seconds, epoch seconds or epoch
    milliseconds, unless ``or_reset`` is off. Moments are counted from the reply's own Date where it has one, so that a
    wrong clock on this machine does no harm; a moment that has passed is 0. Nonsense (negative, NaN, infinite, text) is
    as good as absent.
    """
    said = _header(headers, "retry-after")
    if said is not None:
        seconds = _number(said)
        if seconds is not None:
            return seconds
        moment = _moment(said)
        if moment is not None:
            return max(0.0, moment - _service_clock(headers, now_epoch))
    return _reset(headers, now_epoch) if or_reset else None


def _reset(headers: Mapping[str, str], now_epoch: float) -> float | None:
    """X-RateLimit-Reset in seconds from now. Small numbers are seconds, large ones epoch, very large milliseconds."""
    value = _number(_header(headers, "x-ratelimit-reset", "ratelimit-reset"))
    if value is None:
        return None
    if value > 1e11:
        value /= 1000.0
    if value > 1e8:
        value = max(0.0, value - _service_clock(headers, now_epoch))
    return value if value <= 86400.0 else None


def _count(headers: Mapping[str, str], what: Literal["limit", "remaining"]) -> int | None:
    value = _number(_header(headers, f"x-ratelimit-{what}", f"ratelimit-{what}"))
    return None if value is None else int(min(value, 1e9))


def _service_clock(headers: Mapping[str, str], now_epoch: float) -> float:
    said = _header(headers, "date")
    moment = _moment(said) if said is not None else None
    return now_epoch if moment is None else moment


def _header(headers: Mapping[str, str], *names: str) -> str | None:
    """The first of the headers, whatever the case of its name: a plain dict may come in as well."""
    for name, value in headers.items():
        if name.lower() in names:
            return str(value)
    return None


def _number(text: str | None) -> float | None:
    """A finite number of at least 0 at the start of a header such as ``60`` or ``60, 60;w=60``."""
    try:
        value = float((text or "").split(",")[0].split(";")[0])
    except ValueError:
        return None
    return value if 0.0 <= value < math.inf else None


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # HTTP knows no local time: a date without a zone (asctime's form, or -0000) is in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def backoff(attempt: int, jitter: float) -> float:
    """Seconds before the ``attempt``-th (from 1) repeat of something that failed: 1, 2, 4 ... 30, less up to half.

    ``jitter`` in [0, 1) comes from the caller's random source.
    """
    return min(30.0, 2.0 ** min(max(attempt, 1) - 1, 10)) * (1.0 - jitter / 2)


# --- the allowance ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RateLimiter:
    """The requests a session may send, and what it learned about that. Frozen: each step returns the next one.

    ``turn`` asks whether a request may go out now; ``learn`` takes in every reply, once for each granted turn.
    ``Pace(rate)`` starts from a setting.

    Two books are kept, and the stricter one counts. Our own: which requests the service let pass in the last minute,
    counted from their replies, so that none is forgotten before the service forgets it. The service's: what
    X-RateLimit-Remaining said, less what is still under way. Where the service shows that it has forgotten requests
    that we still count (its window began anew, its bucket was filled), ours are forgiven too. Where both are spent, a
    single request goes first at the moment the service named, or when our own book has room, and its reply decides.

    Attributes:
        rate: requests a minute to assume where nothing is announced, and the most to come back to after refusals.
        out: when each request without a reply was sent. log: when each reply of the last minute came.
        forgiven: how many of the oldest of ``log`` no longer count.
        announced: X-RateLimit-Limit. learned: what refusals taught beyond that, None where they taught nothing.
        left: X-RateLimit-Remaining, None where not announced. left_at: when that was said.
        named: the moment the service named for the next request. binding: it refused a request before that moment.
        probe: when the last single request before the named moment was sent.
        hold: nothing is sent before. refused_at, refusals: the last refusal, and how many in a row.
        burst: how many may be under way at once while nothing is announced: it grows with each reply.
        changed_at, patience: when ``learned`` last changed, and how many minutes to wait before trying more.
        running, waiting: see ``facing``. polled_at: when the last poll went out.
    """

    rate: float = 60.0
    out: tuple[float, ...] = ()
    log: tuple[float, ...] = ()
    forgiven: int = 0
    announced: int | None = None
    learned: int | None = None
    left: int | None = None
    left_at: float = -math.inf
    named: float | None = None
    binding: bool = False
    probe: float | None = None
    hold: float = -math.inf
    refused_at: float = -math.inf
    refusals: int = 0
    burst: int = 4
    changed_at: float = -math.inf
    patience: int = 1
    running: int = 0
    waiting: int = 0
    polled_at: float = -math.inf

    def report_load(self, running: int, waiting: int) -> RateLimiter:
        """The same, knowing that so many jobs run and so many requests wait for one of them to end.

        Without it polls are spent as if one job ran (simulated: 50 jobs end 1.27 x the bound instead of 1.08 x).
        """
        return replace(self, running=max(0, running), waiting=max(0, waiting))

    @property
    def limit(self) -> int:
        """Requests a minute that are thought to pass."""
        return min(self._ceiling, self.learned or MOST)

    @property
    def _ceiling(self) -> int:
        return self.announced or max(1, int(min(MOST, self.rate)))

    def turn(self, now: float, kind: Kind) -> tuple[RateLimiter, float]:
        """Ask for one request. 0.0: go, the allowance is taken. Else seconds until asking again makes sense."""
        pace = self._aged(now)
        if now < pace.hold:
            return pace, pace.hold - now
        room = pace._room
        if kind == "poll" and 2 * pace.waiting >= room:
            # A poll that finds its job done makes way for a submit, which must find something left.
            gap = pace.polled_at + WINDOW / pace.limit - now
            if pace.waiting and gap > 0:
                return pace, gap
        if pace.left is None and len(pace.out) >= pace.burst:
            return pace, SOON
        polled_at = now if kind == "poll" else pace.polled_at
        if room > 0 and (pace.left is None or pace.left > len(pace.out)):
            return replace(pace, out=(*pace.out, now), polled_at=polled_at), 0.0
        taken, wait = pace._turn_of_one(now, room)
        return taken if wait else replace(taken, polled_at=polled_at), wait

    def release_unused(self) -> RateLimiter:
        """The same without the latest request that was granted: it was not sent, and no reply will come."""
        return replace(self, out=self.out[:-1])

    def _turn_of_one(self, now: float, room: int) -> tuple[RateLimiter, float]:
        """Both books say no. One request goes ahead when the time has come, and its reply tells more."""
        at = self._room_at(room, now)
        if self.named is not None:
            at = self.named if self.binding and self.left is not None else min(at, self.named)
        elif room > 0:  # nothing remains, and nobody says until when
            at = now
        if self._brim <= 0:
            at = max(at, self.log[0] + WINDOW if self.log else now + SOON)
        if at > now:
            return self, at - now
        if self.out and self.out[-1] > now - REPLY_PATIENCE:
            return self, SOON
        early = self.named is not None and now < self.named
        named = self.named if early else None  # a named moment is good for one request
        return replace(self, out=(*self.out, now), named=named, probe=now if early else self.probe), 0.0

    def _room_at(self, room: int, now: float) -> float:
        """When enough of our own requests have left the window for one more; or the first of them, if there is room."""
        places = sorted([*self.log[self.forgiven :], *self.out])
        return places[min(max(0, -room), len(places) - 1)] + WINDOW if places else now

    @property
    def _counted(self) -> int:
        return len(self.log) - self.forgiven + len(self.out)

    @property
    def _brim(self) -> int:
        """What is left of twice the limit, which no way of counting lets pass in one minute."""
        return 2 * self.limit - len(self.log) - len(self.out)

    @property
    def _room(self) -> int:
        return min(self.limit - self._counted, self._brim)

    def learn(
        self,
        now: float,
        status: int,
        headers: Mapping[str, str],
        now_epoch: float | None = None,
        jitter: float = 0.0,
    ) -> RateLimiter:
        """Take in a reply: once for every granted turn, with ``status`` 0 where no reply came.

        ``jitter``: see `backoff`; it parts clients that share a key and were refused at once.

        Replies are taken for those of the oldest requests under way. Where they come in another order that is the
        careful assumption: a reply is thought older, and so less informative, than it is.
        """
        pace = self._aged(now)
        sent = pace.out[0] if pace.out else now
        pace = replace(pace, out=pace.out[1:])
        epoch = now if now_epoch is None else now_epoch
        if status == 429:
            return pace._refused(now, sent, headers, epoch, jitter)
        return pace._admitted(now, sent, headers, epoch)

    def _admitted(self, now: float, sent: float, headers: Mapping[str, str], epoch: float) -> RateLimiter:
        before = bisect_right(self.log, sent) - self.forgiven
        pace = replace(
            self,
            log=(*self.log, now) if self.limit < MOST else (),
            burst=min(MOST, self.burst + 1),
            refusals=0 if sent >= self.refused_at else self.refusals,
            binding=self.binding and self.probe != sent,
        )._told(now, sent, headers, epoch)
        if pace.announced and _count(headers, "remaining") is not None and pace.learned is None:
            used = pace.announced - (_count(headers, "remaining") or 0)
            pace = replace(pace, forgiven=pace.forgiven + max(0, before - max(0, used - 1)))
        if sent < pace.refused_at:  # was under way when another was refused: the limit is at least what passed
            return replace(pace, learned=pace.learned and max(pace.learned, len(pace.log)))
        excess = pace._counted - len(pace.out) - pace.limit
        return replace(pace, forgiven=pace.forgiven + max(0, excess))._recovered(now)

    def _told(self, now: float, sent: float, headers: Mapping[str, str], epoch: float) -> RateLimiter:
        """What X-RateLimit-* says. Of overlapping replies the lowest count holds; only a later request may raise it."""
        limit, left, reset = _count(headers, "limit"), _count(headers, "remaining"), _reset(headers, epoch)
        pace = replace(self, announced=min(MOST, limit) if limit else self.announced)
        if reset is not None:
            pace = replace(pace, named=now + reset if 0 < reset <= LONGEST_WAIT else None)
        if left is None:
            stale = now - pace.left_at > WINDOW
            return replace(pace, left=None if stale or pace.left is None else max(0, pace.left - 1))
        left = min(left, pace._ceiling)
        if pace.left is None or sent >= pace.left_at:
            return replace(pace, left=left, left_at=now)
        return replace(pace, left=min(pace.left, left))

    def _refused(self, now: float, sent: float, headers: Mapping[str, str], epoch: float, jitter: float) -> RateLimiter:
        fresh = sent >= self.refused_at  # requests sent together are refused together: that is one event
        refusals = self.refusals + 1 if fresh else self.refusals
        said = retry_after(headers, epoch)
        wait = said if said is not None and refusals < 3 else max(said or 0.0, backoff(refusals, jitter))
        wait = min(wait, LONGEST_WAIT)
        explained = _count(headers, "limit") and _count(headers, "remaining") == 0
        pace = replace(
            self._told(now, sent, headers, epoch),
            hold=max(self.hold, now + wait),
            refused_at=now if fresh else self.refused_at,
            refusals=refusals,
            burst=4,
            binding=self.binding or self.probe == sent,
        )
        if said is not None:
            pace = replace(pace, named=now + wait)
        if pace.left is not None:
            pace = replace(pace, left=0, left_at=now)
        unexpected_word = len(pace.log) < TOO_FEW and refusals < 3
        if explained or unexpected_word or not fresh:
            return pace
        raised = self.learned is not None and now - self.changed_at < 2 * WINDOW
        return replace(
            pace,
            learned=max(2, min(len(pace.log), pace.limit)),
            changed_at=now,
            patience=min(16, pace.patience * 2) if raised else pace.patience,
        )

    def _recovered(self, now: float) -> RateLimiter:
        """A little more than refusals taught, after a while without one in which all of it was used."""
        if self.learned is None or self._counted < self.limit or now - self.changed_at < self.patience * WINDOW:
            return self
        more = self.learned + max(1, self.learned // (2 if self.patience == 1 else 10))
        return replace(self, learned=more if more < self._ceiling else None, changed_at=now)

    def share(self, now: float, horizon: float = 30.0) -> float:
        """Polls per job, at least 1, that the allowance pays for within the ``horizon`` seconds such jobs usually take.

        For ``next_poll``. Each job that ends makes way for a submit as long as requests wait.
        """
        pace = self._aged(now)
        places = sorted([*pace.log[pace.forgiven :], *pace.out])
        tokens = pace.limit - len(places) + bisect_right(places, now + horizon - WINDOW)
        tokens -= min(pace.waiting, pace.running)
        return max(1.0, THRIFT * tokens / max(1, pace.running))

    def _aged(self, now: float) -> RateLimiter:
        """Without what is over: replies older than the window, and requests whose reply will not come."""
        old, lost = bisect_right(self.log, now - WINDOW), bisect_right(self.out, now - WINDOW)
        if not old and not lost:
            return self
        return replace(self, log=self.log[old:], forgiven=max(0, self.forgiven - old), out=self.out[lost:])
