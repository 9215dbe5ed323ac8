"""When to ask again: pure arithmetic over numbers. The clock and chance are parameters; nobody sleeps here.

Three questions are answered, each by something that can be tested with a table:

- May this be sent again? ``after_submit`` is the one place that decides it for the POST that costs credits.
- When is the next poll due? ``next_poll``, from how long such jobs took before (``Durations``) and from how many
  polls the allowance pays for (``Pace.spacing``).
- May a request go out now? ``Pace``, the one allowance that submits and polls of a session share.

Times called ``now`` are seconds of a monotonic clock; ``now_epoch`` is seconds since 1970, needed only where a header
names a moment.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Literal

from .errors import (
    ApiError,
    BudgetExceededError,
    InputError,
    KlingError,
    RateLimitedError,
    SettingsError,
    TransportError,
)

Kind = Literal["submit", "poll", "other"]

LONGEST_WAIT = 120.0
"""Seconds. A longer Retry-After is not waited for: the request stops and says so."""

WINDOW = 60.0
"""Seconds over which the service counts requests: both published limits are per minute."""

MOST = 6000
"""Requests a minute. An announced limit above it is taken as no limit worth keeping books about."""


# --- what a reply's headers say ---------------------------------------------------------------------------------


def retry_after(headers: Mapping[str, str], now_epoch: float) -> float | None:
    """Seconds to wait before asking again, None where the reply does not say.

    Retry-After as seconds or as an HTTP date; without it X-RateLimit-Reset, as seconds, epoch seconds or epoch
    milliseconds. Moments are counted from the reply's own Date where it has one, so that a wrong clock on this machine
    does no harm; a moment that has passed is 0. Nonsense (negative, NaN, infinite, text) is as good as absent.
    """
    said = _header(headers, "retry-after")
    if said is not None:
        seconds = _number(said)
        if seconds is not None:
            return seconds
        moment = _moment(said)
        if moment is not None:
            return max(0.0, moment - _service_clock(headers, now_epoch))
    return _reset(headers, now_epoch)


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
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def backoff(attempt: int, jitter: float) -> float:
    """Seconds before the ``attempt``-th (from 1) repeat of something that failed: 1, 2, 4 ... 30, less up to half.

    ``jitter`` in [0, 1) comes from the caller's random source.
    """
    return min(30.0, 2.0 ** min(max(attempt, 1) - 1, 10)) * (1.0 - jitter / 2)


# --- what may be sent again -------------------------------------------------------------------------------------


class AfterSubmit(Enum):
    """What a failed submit means for the request."""

    AGAIN = "again"  # certain that no job was made: may be sent again
    REFUSED = "refused"  # certain that no job was made: would be refused again
    UNKNOWN = "unknown"  # a job may have been made and charged: never sent again by itself


def after_submit(error: KlingError) -> AfterSubmit:
    """Decide what a submit's error allows. In doubt the answer is UNKNOWN: a doubt costs a question, a resend money."""
    if error.maybe_submitted:
        return AfterSubmit.UNKNOWN
    if isinstance(error, TransportError):
        return AfterSubmit.AGAIN if error.never_left else AfterSubmit.UNKNOWN
    if isinstance(error, InputError | SettingsError | BudgetExceededError):
        return AfterSubmit.REFUSED
    if isinstance(error, RateLimitedError):
        return AfterSubmit.REFUSED if (error.retry_after or 0.0) > LONGEST_WAIT else AfterSubmit.AGAIN
    # 307 and 308 ask for the same POST elsewhere, so it was not worked on here; other redirects often follow work done.
    if (
        isinstance(error, ApiError)
        and (error.status in (307, 308) or 400 <= error.status < 500)
        and error.status != 408
    ):
        return AfterSubmit.REFUSED
    return AfterSubmit.UNKNOWN


# --- when to poll -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Durations:
    """How long jobs like this one took: a log-normal fitted to the seconds of past jobs.

    Attributes:
        count: past jobs seen; 0 means that nothing is known.
        median: seconds. sigma: spread of the logarithm.
    """

    count: int = 0
    median: float = 0.0
    sigma: float = 0.5

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Durations:
        """From the seconds of past jobs, in any order; what is negative or not finite is left out."""
        logs = [math.log(max(s, 0.001)) for s in seconds if 0.0 <= s < math.inf]
        if not logs:
            return cls()
        centre = math.fsum(logs) / len(logs)
        # A few jobs say little about the spread: start from 0.5, which weighs as much as three jobs.
        spread = (math.fsum((x - centre) ** 2 for x in logs) + 3 * 0.25) / (len(logs) + 3)
        return cls(len(logs), math.exp(centre), max(0.05, math.sqrt(spread)))

    @property
    def expected(self) -> float | None:
        """Seconds such a job probably takes, None where nothing is known."""
        return self.median if self.count else None

    def quantile(self, q: float) -> float | None:
        """Seconds within which the fraction ``q`` of such jobs is done, None where nothing is known."""
        return self.median * math.exp(self.sigma * _normal_quantile(q)) if self.count else None


def _normal_quantile(q: float) -> float:
    """Inverse of the standard normal distribution, by bisection: exact enough and a few microseconds."""
    low, high = -8.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(-middle / math.sqrt(2)) / 2 < q else (low, middle)
    return (low + high) / 2


def next_poll(elapsed: float, polls: int, durations: Durations, spacing: float = 0.0) -> float:
    """Seconds from now until the next poll of a job.

    Args:
        elapsed: seconds since the job was submitted. polls: how many were made so far.
        durations: of past jobs like it.
        spacing: seconds between two polls of one job that the allowance pays for (``Pace.spacing``), 0 for plenty.
    """
    if not durations.count:
        return max(min(2.0, max(0.5, elapsed)), spacing)
    first = min(durations.quantile(0.1) or 0.0, 20.0)
    if elapsed < first:
        return max(first - elapsed, spacing)
    return max(min(2.0, 0.3 + 0.15 * elapsed) if elapsed < 2.5 * durations.median else 0.05 * elapsed, spacing)


# --- the allowance ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pace:
    """The requests a session may send, and what it learned about that. Frozen: each step returns the next one.

    ``turn`` asks whether a request may go out now, ``learn`` takes in every reply. ``Pace(rate)`` starts from a
    setting.

    Attributes:
        rate: requests a minute to assume where nothing is announced.
    """

    rate: float = 60.0
    out: tuple[float, ...] = ()
    log: tuple[float, ...] = ()
    hold: float = 0.0

    def turn(self, now: float, kind: Kind) -> tuple[Pace, float]:  # noqa: ARG002 - one allowance for all kinds today
        """Ask for one request. 0.0: go, the allowance is taken. Else seconds until asking again makes sense."""
        pace = self._aged(now)
        if now < pace.hold:
            return pace, pace.hold - now
        taken = len(pace.log) + len(pace.out)
        if taken >= max(1, int(self.rate)):
            return pace, max(0.05, min((*pace.log, *pace.out)) + WINDOW - now)
        return replace(pace, out=(*pace.out, now)), 0.0

    def learn(self, now: float, status: int, headers: Mapping[str, str], now_epoch: float | None = None) -> Pace:
        """Take in a reply. Call it once for every granted turn; ``status`` 0 where no reply came."""
        pace = replace(self, out=self.out[1:], log=(*self.log, now))._aged(now)
        if status != 429:
            return pace
        wait = retry_after(headers, now if now_epoch is None else now_epoch)
        return replace(pace, hold=max(pace.hold, now + min(LONGEST_WAIT, 2.0 if wait is None else wait)))

    def spacing(self, now: float, jobs: int) -> float:
        """Seconds between two polls of one of ``jobs`` running jobs that the allowance pays for."""
        return max(0, jobs) * WINDOW / max(1.0, self.rate)

    def _aged(self, now: float) -> Pace:
        return replace(
            self,
            log=self.log[bisect_right(self.log, now - WINDOW) :],
            out=self.out[bisect_right(self.out, now - WINDOW) :],
        )
