"""When a running job is asked next: pure arithmetic over how long such jobs took before, and still take."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Self

PLENTY = 5.0  # polls per job; from here on none is saved at the price of a result that is seen much later
MOST = 7.1  # polls per job if none need be saved; in a first batch about two more, from when nothing was known
LONGEST_FIRST_WAIT = 20.0  # seconds until the first poll at most, if polls are plenty: past jobs may have been slower
LONGEST_GAP = 300.0  # seconds between two polls at most
# A few jobs say little about the spread, and jobs polled seldom show less of it than there is: it is mixed with this.
PRIOR_JOBS, PRIOR_VARIANCE = 20, 0.25
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Durations:
    """How long jobs like this one take: a log-normal fitted to the seconds of past jobs and of those still running.

    Attributes:
        count: past jobs seen; 0 means that nothing is known. running_count: jobs that were found running.
        median: seconds. sigma: spread of the logarithm.
    """

    count: int = 0
    median: float = 20.0
    sigma: float = 0.7
    running_count: int = 0

    @classmethod
    def of(cls, seconds: Iterable[float], running: Iterable[float] = ()) -> Self:
        """From the seconds of past jobs; what is negative or not finite is left out. ``running``: the ages at which
        others were last found running. They take longer than that (censored observations): without them a first batch
        would learn from the quick jobs only."""
        # From here on everything is in logarithms: durations are spread log-normally. Ages are counted to 0.1.
        logs = [math.log(max(s, 0.001)) for s in seconds if 0.0 <= s < math.inf]
        ages = Counter(round(math.log(age), 1) for age in running if age > 0.0)
        if not logs:
            return cls(running_count=ages.total())
        count, total = len(logs), len(logs) + ages.total()
        mean = math.fsum(logs) / count
        squares = math.fsum((x - mean) ** 2 for x in logs)
        variance = (squares + PRIOR_JOBS * PRIOR_VARIANCE) / (count + PRIOR_JOBS)
        center = mean
        # Maximum likelihood: a Newton step for the center and an expectation step for the variance, in turns. A job
        # that was found running at z standard deviations is expected h(z) above the center, with h the hazard.
        for _ in range(12 if ages else 0):
            sigma = math.sqrt(variance)
            slope, curve, spread = count * (mean - center) / sigma, float(count), 0.0
            for age, jobs in ages.items():
                z = (age - center) / sigma
                hazard = _hazard(z)
                slope += jobs * hazard
                curve += jobs * hazard * (hazard - z)
                spread += jobs * variance * (1 + z * hazard)
            center += sigma * slope / curve
            spread += squares + count * (mean - center) ** 2
            variance = (spread + PRIOR_JOBS * PRIOR_VARIANCE) / (total + PRIOR_JOBS)
        return cls(count, math.exp(center), max(0.05, math.sqrt(variance)), ages.total())

    @property
    def expected(self) -> float | None:
        """Seconds such a job probably takes, None if nothing is known."""
        return self.median if self.count else None

    @cached_property
    def _logs(self) -> NormalDist:
        return NormalDist(math.log(self.median), self.sigma)

    def quantile(self, q: float) -> float | None:
        """Seconds within which the fraction ``q`` of such jobs is done."""
        return math.exp(self._logs.inv_cdf(min(max(q, 1e-9), 1 - 1e-9))) if self.count else None

    def running(self, age: float) -> float:
        """The share of jobs that still run at this age in seconds."""
        return _NORMAL.cdf(-self._logs.zscore(math.log(max(age, 1e-9))))

    def hazard(self, age: float) -> float:
        """Of the jobs that still run at this age, the share that ends per second."""
        return _hazard(self._logs.zscore(math.log(max(age, 1e-9)))) / self.sigma / max(age, 1e-9)


def _hazard(z: float) -> float:
    """Density over survival of the standard normal distribution."""
    # Far out both vanish; z + 1/z is what their ratio tends to.
    return _NORMAL.pdf(z) / _NORMAL.cdf(-z) if z <= 5.0 else z + 1 / z


def estimate_duration(running: float, done: float, durations: Durations) -> float:
    """Seconds a job probably took that the poll at age ``running`` (0: none) found running and that at ``done`` done.

    Recorded instead of ``done``: a schedule made from durations that hold the lateness of its own polls creeps upwards.
    """
    if not durations.count:
        return (running + done) / 2
    # Halfway between the two polls, in the share of jobs that still run.
    alive = (durations.running(running) + durations.running(done)) / 2
    return min(done, max(running, durations.quantile(1.0 - alive) or done))


def next_poll(elapsed: float, polls: int, durations: Durations, share: float = math.inf) -> float:
    """Seconds until the next poll of a job that was last polled, or submitted, now: ``elapsed`` seconds after its
    submit and after so many ``polls``. ``share``: polls that the rate limit pays for per job.

    In this order: if polls are scarce, only the cheapest schedule counts; if no job has ended yet, caution; before the
    first poll, rather too early; and while fewer than three jobs are known, never later than caution allows.
    """
    if share < PLENTY:
        return _cheapest(elapsed, durations, share)
    # What is known of no job is not waited for longer than 2 s, 5 % of the age of a job that runs for minutes. The
    # first poll comes almost at once, since some services are done by then.
    early = max(0.5 if polls else 0.0625, 0.625 * elapsed)
    careful = min(2.0, early) if elapsed <= 120.0 else min(0.05 * elapsed, LONGEST_GAP)
    if not durations.count:
        # Many jobs run and none has ended yet: that this one ends next is unlikely. The first that does tells the rest.
        in_batch = min(max(3.0, 0.25 * elapsed), max(0.25, 2.0 * elapsed))
        return max(careful, in_batch) if durations.running_count >= 8 else careful
    best = _cheapest(elapsed, durations, share)
    if not polls:
        # A guess too long costs seconds, one too short only polls.
        best = min(best, max(0.0, min(durations.quantile(0.15) or best, LONGEST_FIRST_WAIT) - elapsed))
    return min(best, careful) if durations.count + durations.running_count // 4 < 3 else best


def _cheapest(last: float, durations: Durations, share: float) -> float:
    """Seconds from the age ``last`` of the last poll (0: none) to the next one of the schedule that costs least.

    A schedule is best if at each poll F(t) - F(last) = f(t) (price + gap to the next one): the chance that the job was
    done since the last poll, and seen late, balances what a later poll would gain. ``price`` is what one poll is worth
    in seconds of lateness. With the hazard h = f / (1 - F) the gap to the next one is about sqrt(2 price / h). Held
    against the exact optimum (by dynamic programming over a grid) it is within 1 % in lateness and polls.
    """
    # At a price a job takes 0.47 + 0.62 sqrt(2 sigma median / price) polls, as measured on log-normals; solved here for
    # the price.
    price = 2 * durations.sigma * durations.median * (0.62 / (min(MOST, max(1.0, share)) - 0.47)) ** 2
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
