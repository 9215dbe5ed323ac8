"""When a running job is asked next: pure arithmetic over how long such jobs took before."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

PLENTY = 5.0
"""Polls per job. From here on a poll is no longer saved at the price of a result that is seen much later."""


LONGEST_FIRST_WAIT = 20.0
"""Seconds until the first poll at most, where polls are plenty: past jobs may have been much slower."""


LONGEST_GAP = 300.0
"""Seconds between two polls at most."""


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


def estimate_duration(running: float, done: float, durations: Durations) -> float:
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
