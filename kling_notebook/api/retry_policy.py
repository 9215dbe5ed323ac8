"""When to ask again: pure arithmetic over numbers. The clock and chance are parameters; nobody sleeps here.

Four questions are answered, each by something that can be tested with a table:

- May this be sent again? ``after_submit`` is the one place that decides it for the POST that costs credits;
  ``retry_after`` and ``backoff`` say when.
- Is a job asked again after a poll that failed? ``FailedPolls`` counts them and says when it is enough.
- When is the next poll due? ``next_poll``, from how long such jobs took before (``Durations``) and from how many
  polls the allowance pays for (``Pace.share``).
- May a request go out now? ``Pace`` (in ``allowance``), the one allowance that all requests of a session share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from .errors import (
    ApiError,
    BudgetExceededError,
    InputError,
    KlingError,
    ModelNotFoundError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
    UnauthorizedError,
)
from .rate_limiter import LONGEST_WAIT

PLENTY = 5.0
"""Polls per job. From here on a poll is no longer saved at the price of a result that is seen much later."""

LONGEST_FIRST_WAIT = 20.0
"""Seconds until the first poll at most, where polls are plenty: past jobs may have been much slower."""

LONGEST_GAP = 300.0
"""Seconds between two polls at most."""

REFUSED_POLL_TRIES = 5
"""Polls since the last good one answered with something that waiting does not mend, before the asking ends."""

UNKNOWN_JOB_TRIES = 3
"""Polls since the last good one answered 404 before the job counts as gone."""

NEW_JOB_SECONDS = 60.0
"""A job younger than that does not count as gone, however often the answer is 404: a service of many machines may not
know it on all of them yet, and what counts as gone may be bought again."""


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


# --- what is asked again ----------------------------------------------------------------------------------------


class AfterPoll(Enum):
    """What a failed poll means for the asking. None of them means that the job failed."""

    AGAIN = "again"  # it says nothing of the job
    GONE = "gone"  # the service does not know the job
    REFUSED = "refused"  # asking goes on in vain; the job may be there all the same


@dataclass(slots=True)
class FailedPolls:
    """Polls of one job that failed in a row, and when that is enough. After one that succeeds, begin a new count."""

    count: int = 0
    unknown: int = 0
    refused: int = 0

    def after(self, error: KlingError, age: float = math.inf, left: float = math.inf) -> AfterPoll:
        """Count this one. ``age``: the job's in seconds, where it is known. ``left``: seconds of patience with it."""
        self.count += 1
        if isinstance(error, ModelNotFoundError):
            self.unknown += 1
        elif isinstance(error, ApiError) and not isinstance(error, RateLimitedError | ServerError):
            self.refused += 1  # a reply nobody can read, a completed job without a picture
        if self.unknown >= UNKNOWN_JOB_TRIES and age >= NEW_JOB_SECONDS:
            return AfterPoll.GONE
        if self.refused >= REFUSED_POLL_TRIES or isinstance(error, UnauthorizedError | SettingsError):
            return AfterPoll.REFUSED
        if asked_to_wait(error) > min(LONGEST_WAIT, left):
            return AfterPoll.REFUSED
        return AfterPoll.AGAIN


def asked_to_wait(error: KlingError) -> float:
    """Seconds, 0.0 where the service did not say."""
    return (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0


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
        # A few jobs say little about the spread, and jobs polled seldom (see ``took``) show less of it than there is.
        spread = (math.fsum((x - centre) ** 2 for x in logs) + _PRIOR_JOBS * 0.25) / (len(logs) + _PRIOR_JOBS)
        return cls(len(logs), math.exp(centre), max(0.05, math.sqrt(spread)))

    @property
    def expected(self) -> float | None:
        """Seconds such a job probably takes, None where nothing is known."""
        return self.median if self.count else None

    def quantile(self, q: float) -> float | None:
        """Seconds within which the fraction ``q`` of such jobs is done, None where nothing is known."""
        return self.median * math.exp(self.sigma * _normal_quantile(q)) if self.count else None

    def running(self, age: float) -> float:
        """The share of jobs that still run at this age in seconds."""
        if age <= 1e-9:
            return 1.0
        return math.erfc(math.log(age / self.median) / self.sigma / math.sqrt(2)) / 2

    def hazard(self, age: float) -> float:
        """Of the jobs that still run at this age, the share that ends per second."""
        z = math.log(max(age, 1e-9) / self.median) / self.sigma
        if z > 5.0:  # far out both parts of the fraction vanish; this is what it tends to
            return z / self.sigma / age
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / self.sigma / max(age, 1e-9)
        return density / self.running(age)


def _normal_quantile(q: float) -> float:
    """Inverse of the standard normal distribution, by bisection: exact enough and a few microseconds."""
    low, high = -8.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(-middle / math.sqrt(2)) / 2 < q else (low, middle)
    return (low + high) / 2


_PRIOR_JOBS = 20
_USUAL = Durations(1, 20.0, 0.7)  # taken for granted where nothing is known and polls are scarce


def took(running: float, done: float, durations: Durations) -> float:
    """Seconds a job probably took that the poll at age ``running`` (0: none) found running and that at ``done`` done.

    Between the two, what past jobs suggest. To be recorded instead of ``done``: schedules made from durations that
    include the lateness of their own polls creep upwards (simulated: 20 % later, as long as it is kept up).
    """
    if not durations.count:
        return (running + done) / 2
    share = (durations.running(running) + durations.running(done)) / 2
    return min(done, max(running, durations.quantile(1.0 - share) or done))


def next_poll(elapsed: float, polls: int, durations: Durations, share: float = math.inf) -> float:
    """Seconds from now until the next poll of a job. Now is when it was last polled, or submitted.

    Where polls are plenty and fewer than three such jobs are known, never more than 2 s (5 % of the age of a job that
    runs for minutes). Else the schedule that costs least if one poll is worth ``price`` seconds of lateness, for the
    log-normal that past jobs fit.

    Args:
        elapsed: seconds since the job was submitted. polls: how many were made so far.
        durations: of past jobs like it.
        share: polls that the allowance pays for per job (``Pace.share``).
    """
    if share < PLENTY:
        return _cheapest(elapsed, durations if durations.count else _USUAL, share)
    careful = min(2.0, max(0.25, elapsed)) if elapsed <= 120.0 else min(0.05 * elapsed, LONGEST_GAP)
    if not durations.count:
        return careful
    best = _cheapest(elapsed, durations, share)
    if not polls:
        # A guess too long costs seconds, one too short only polls.
        best = min(best, max(0.0, min(durations.quantile(0.15) or best, LONGEST_FIRST_WAIT) - elapsed))
    return min(best, careful) if durations.count < 3 else best


def _cheapest(last: float, durations: Durations, share: float) -> float:
    """Seconds from the age ``last`` of the last poll (0: none) to the next one of the schedule that costs least.

    A schedule is best where at each poll F(t) - F(last) = f(t) (price + gap to the next one): the chance that the job
    was done since the last poll, and seen late, balances what a later poll would gain. With the hazard h = f / (1 - F)
    the gap to the next one is about sqrt(2 price / h). Held against the exact optimum (by dynamic programming over a
    grid) it is within 1 % in lateness and polls.
    """
    # That many polls a job takes at that price, measured on log-normals; 7 where there is no need to save.
    price = 2 * durations.sigma * durations.median * (0.62 / (min(7.0, max(1.0, share)) - 0.47)) ** 2
    alive = durations.running(last)
    low, high = last, last + 40 * durations.median
    for _ in range(40):
        age = (low + high) / 2
        still = durations.running(age)
        hazard = durations.hazard(age)
        early = still > 1e-9 * alive and (
            hazard <= 0.0 or alive - still < still * hazard * (price + math.sqrt(2 * price / hazard))
        )
        low, high = (age, high) if early else (low, age)
    # Far beyond every job that was seen ever more slowly; never so slowly that a job seems forgotten.
    return min(max(high - last, 0.05 + 0.05 * last), LONGEST_GAP)
