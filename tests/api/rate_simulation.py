"""What pacing does to a batch, in simulated seconds: lateness, polls per job, refusals and the end of the batch.

A discrete-event simulation around the code that runs in production (``next_poll``, ``Durations``), with the
client's line (submits before polls, polls by when they are due, only the head asks) and models of what a service's
limiter may be. Same seed, same result. By hand: ``python tests/api/rate_simulation.py``.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from statistics import fmean
from typing import Literal

from kling_notebook.api.poll_schedule import Durations, estimate_duration, next_poll
from kling_notebook.api.rate_limiter import RateLimiter

EPOCH = 1_700_000_000.0
WINDOW = 60.0
PLAN_SECONDS = 2.0

Model = Literal["sliding", "fixed", "minutes", "bucket", "blend", "none"]


@dataclass
class Limiter:
    """A service's limiter of ``limit`` requests per minute.

    ``sliding``: never more in any 60 s. ``fixed``: windows that begin with the first request. ``minutes``: windows at
    full minutes of a clock that stands at ``phase`` seconds when the batch starts. ``bucket``: so many at once, filled
    evenly. ``blend``: the count of this minute plus the share of the last one that still lies within 60 s, as popular
    rate-limit services compute it. ``headers``: X-RateLimit-* on every reply, its reset as epoch seconds,
    milliseconds or seconds to go. ``retry_after``: on refusals. ``counts_refused``: refused requests are counted too.
    """

    limit: int = 60
    model: Model = "sliding"
    headers: Literal["none", "epoch", "ms", "seconds"] = "epoch"
    retry_after: Literal["none", "seconds", "date"] = "seconds"
    phase: float = 0.0
    counts_refused: bool = False
    times: list[float] = field(default_factory=list)
    tokens: float = math.nan
    filled: float = 0.0

    def ask(self, now: float) -> tuple[bool, dict[str, str]]:
        if self.model == "none":
            return True, {}
        allowed, remaining, reset = self._bucket(now) if self.model == "bucket" else self._windows(now)
        headers = {}
        if self.headers != "none":
            message = {"epoch": EPOCH + reset, "ms": (EPOCH + reset) * 1000, "seconds": reset - now}[self.headers]
            headers = {
                "X-RateLimit-Limit": str(self.limit),
                "X-RateLimit-Remaining": str(remaining),
                "X-RateLimit-Reset": str(math.ceil(message)),
            }
        if not allowed and self.retry_after == "seconds":
            headers["Retry-After"] = str(math.ceil(reset - now))
        if not allowed and self.retry_after == "date":
            headers["Retry-After"] = formatdate(math.ceil(EPOCH + reset), usegmt=True)
        return allowed, headers

    def _windows(self, now: float) -> tuple[bool, int, float]:
        used, reset = self._used(now)
        allowed = used < self.limit
        if allowed or self.counts_refused:
            self.times.append(now)
        remaining = max(0, math.floor(self.limit - used - 1)) if allowed else 0
        return allowed, remaining, reset if self.model != "sliding" or allowed else self.times[-self.limit] + WINDOW

    def _used(self, now: float) -> tuple[float, float]:
        """How much counts at this moment, and when this window ends."""
        if self.model == "sliding":
            self.times = [t for t in self.times if t > now - WINDOW]
            return len(self.times), (self.times[0] if self.times else now) + WINDOW
        origin = (self.times[0] if self.times else now) if self.model == "fixed" else -self.phase
        start = origin + math.floor((now - origin) / WINDOW) * WINDOW
        current = sum(t >= start for t in self.times)
        if self.model == "blend":
            before = sum(start - WINDOW <= t < start for t in self.times)
            return current + math.floor(before * (1 - (now - start) / WINDOW)), start + WINDOW
        return current, start + WINDOW

    def _bucket(self, now: float) -> tuple[bool, int, float]:
        speed = self.limit / WINDOW
        self.tokens = min(
            self.limit, (self.limit if math.isnan(self.tokens) else self.tokens) + (now - self.filled) * speed
        )
        self.filled = now
        allowed = self.tokens >= 1 - 1e-9
        self.tokens -= allowed
        return allowed, int(self.tokens), now + max(0.0, 1 - self.tokens) / speed


@dataclass
class Shared(Limiter):
    """Another client sends a request every so many seconds."""

    every: float = 2.0
    other: float = 0.0

    def ask(self, now: float) -> tuple[bool, dict[str, str]]:
        while self.other <= now:
            super().ask(self.other)
            self.other += self.every
        return super().ask(now)


@dataclass
class Changing(Limiter):
    """The limit is another one from a moment on."""

    after: int = 10
    at: float = 60.0

    def ask(self, now: float) -> tuple[bool, dict[str, str]]:
        if now >= self.at:
            self.limit = self.after
        return super().ask(now)


def bound(durations: Sequence[float], limiter: Limiter, trip: float = 0.0) -> float:
    """A batch end that cannot be beaten, even knowing the limiter and when each job will be done.

    Every job needs one submit and one poll, so there are at least 2n requests, and ``earliest(k)`` is the soonest that
    the limiter lets the k-th of them (from 1) pass: all submits first, in the order given, then the polls. ``trip`` is
    the quickest way of a request there and back, in seconds. No poll comes too early or too late, and it
    holds no setting of this package.
    """

    def earliest(k: int) -> float:
        n = limiter.limit
        if limiter.model == "none" or k <= n:
            return 0.0
        if limiter.model == "bucket":
            return (k - n) * WINDOW / n
        first = WINDOW - limiter.phase if limiter.model in ("minutes", "blend") else WINDOW
        return first + WINDOW * ((k - 1) // n - 1)

    longest = max(earliest(i + 1) + duration + trip for i, duration in enumerate(durations))
    return max(longest, earliest(2 * len(durations)))


@dataclass
class Outcome:
    """What came of a batch: ``end`` and ``lateness`` (one per job) in seconds, counts of requests and of 429s."""

    end: float
    bound: float
    lateness: list[float]
    polls: list[int]
    requests: int
    refused: int
    unseen: int

    @property
    def ratio(self) -> float:
        return self.end / self.bound


@dataclass
class _Job:
    number: int
    duration: float
    submitted: float = 0.0
    done: float = math.inf
    polls: int = 0
    last: float = 0.0


class Call:
    """One batch of jobs, run by ``in_flight`` workers through one queue and one limiter."""

    def __init__(
        self,
        durations: Sequence[float],
        limiter: Limiter,
        *,
        rate: float = 60.0,
        in_flight: int = 64,
        past: Sequence[float] = (),
        learning: bool = True,
        trip: tuple[float, float] = (0.06, 0.4),
        download: tuple[float, float] = (0.2, 1.0),
        seed: int = 0,
    ) -> None:
        self.download = download
        self.end = 0.0
        self.limiter = limiter
        self.in_flight = in_flight
        self.past = list(past)
        self.learning = learning
        self.random = random.Random(seed)  # noqa: S311 - a simulation
        self.trip = trip
        self.our_limiter = RateLimiter(rate)
        self.waiting = [_Job(i, d) for i, d in enumerate(durations)][::-1]
        self.line: list[tuple[int, float, int, _Job]] = []  # (kind, due, tie, job)
        self.running = 0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.ties = 0
        self.now = 0.0
        self.next_look = 0.0
        self.lateness: list[float] = []
        self.polls: list[int] = []
        self.found_running: dict[int, float] = {}
        self.requests = self.refused = 0
        self.bound = bound(durations, limiter, trip[0])

    def run(self) -> Outcome:
        """Until the last image's job was seen to be done, or a simulated day."""
        while self.running < self.in_flight and self.waiting:
            self._employ()
        self.our_limiter = self.our_limiter.report_load(self.running, len(self.waiting))
        self._move()
        while self.events and self.now < 86400.0:
            self.now, _, happen = heapq.heappop(self.events)
            happen()
            self._move()
        unseen = self.running + len(self.waiting)
        return Outcome(self.end, self.bound, self.lateness, self.polls, self.requests, self.refused, unseen)

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        self.ties += 1
        heapq.heappush(self.events, (when, self.ties, happen))

    def _wake(self, when: float) -> None:
        """Look at the line again then, or earlier if that is planned already."""
        if not self.now < self.next_look <= when:
            self.next_look = when
            self._at(when, lambda: None)

    def _employ(self) -> None:
        self.running += 1
        self._queue(0, self.now, self.waiting.pop())

    def _queue(self, kind: int, due: float, job: _Job) -> None:
        self.ties += 1
        heapq.heappush(self.line, (kind, due, self.ties, job))

    def _move(self) -> None:
        """The head of the line asks for its turn until it has to wait."""
        while self.line:
            ready = [ticket for ticket in self.line if ticket[1] <= self.now]
            if not ready:
                self._wake(min(ticket[1] for ticket in self.line))
                return
            head = min(ready)
            self.our_limiter, wait = self.our_limiter.try_acquire(self.now, "poll" if head[0] else "submit")
            if wait > 0:
                self._wake(self.now + max(wait, 0.05))
                return
            self.line.remove(head)
            self._send(head[0], head[3])

    def _send(self, kind: int, job: _Job) -> None:
        self.requests += 1
        there = self.now + self.random.uniform(*self.trip) / 2
        back = there + self.random.uniform(*self.trip) / 2
        sent = self.now

        def arrive() -> None:
            allowed, headers = self.limiter.ask(self.now)
            if allowed and kind == 0:
                job.done = self.now + job.duration
            finished = allowed and kind == 1 and self.now >= job.done
            self._at(back, lambda: self._learn(allowed, headers))
            self._at(
                back, lambda: self._reply(kind, job, finished, sent) if allowed else self._queue(kind, self.now, job)
            )

        self._at(there, arrive)

    def _learn(self, allowed: bool, headers: dict[str, str]) -> None:
        self.our_limiter = self.our_limiter.observe_reply(self.now, 200 if allowed else 429, headers, EPOCH + self.now)
        self.refused += not allowed

    def _reply(self, kind: int, job: _Job, finished: bool, sent: float) -> None:
        if kind == 0:
            job.submitted = self.now
        else:
            job.polls += 1
        if finished:
            self._finish(job, sent)
            return
        if kind == 1:
            job.last = self.found_running[job.number] = sent - job.submitted
        self._plan(job)

    def _due(self, job: _Job) -> float:
        past = self._durations()
        share = self.our_limiter.share(self.now, past.expected or 30.0)
        return job.submitted + job.last + next_poll(job.last, job.polls, past, share)

    def _durations(self) -> Durations:
        return Durations.of(self.past, self.found_running.values())

    def _plan(self, job: _Job) -> None:
        """A job that waits for its poll looks again every few seconds whether it is now due earlier or later."""
        due = self._due(job)
        if due <= self.now + PLAN_SECONDS:
            self._queue(1, due, job)
        else:
            self._at(self.now + PLAN_SECONDS, lambda: self._plan(job))

    def _finish(self, job: _Job, sent: float) -> None:
        self.found_running.pop(job.number, None)
        self.lateness.append(max(0.0, sent - job.done))
        self.polls.append(job.polls)
        self.end = self.now
        if self.learning:
            seen = sent - job.submitted
            self.past.append(estimate_duration(job.last, seen, self._durations()))
        self._at(self.now + self.random.uniform(*self.download), self._free)

    def _free(self) -> None:
        """A worker has saved its images and takes the next request."""
        self.running -= 1
        if self.waiting:
            self._employ()
        self.our_limiter = self.our_limiter.report_load(self.running, len(self.waiting))


def lognormal(n: int, median: float, sigma: float, seed: int) -> list[float]:
    """Durations of ``n`` jobs in seconds."""
    chance = random.Random(seed)  # noqa: S311 - a simulation
    return [chance.lognormvariate(math.log(median), sigma) for _ in range(n)]


def one_by_one(
    n: int, median: float, sigma: float, *, seed: int = 0, past: Sequence[float] = (), **options: object
) -> Outcome:
    """``n`` jobs one after the other without a limit, each adding to what the next one knows."""
    durations = lognormal(n, median, sigma, seed)
    return Call(durations, Limiter(model="none"), rate=600.0, in_flight=1, past=past, seed=seed).run()


def batches(
    n: int, make: Callable[[float], Limiter], *, seeds: int = 20, known: bool = True, **options: object
) -> list[Outcome]:
    """The same batch under ``seeds`` different fates. ``make`` takes a phase in 0..60 for clocks of its own."""
    outcomes = []
    for seed in range(seeds):
        past = lognormal(60, 20.0, 0.5, 10_000 + seed) if known else ()
        limiter = make((seed + 0.5) * WINDOW / seeds)
        outcomes.append(Call(lognormal(n, 20.0, 0.5, seed), limiter, past=past, seed=seed, **options).run())  # type: ignore[arg-type]
    return outcomes


SCENARIOS: dict[str, Callable[[float], Limiter]] = {
    "60 sliding": lambda _: Limiter(60, "sliding"),
    "60 fixed from the first request": lambda _: Limiter(60, "fixed"),
    "60 by the minute": lambda phase: Limiter(60, "minutes", "ms", phase=phase),
    "60 bucket": lambda _: Limiter(60, "bucket", "seconds"),
    "60 blend": lambda phase: Limiter(60, "blend", "ms", "none", phase=phase),
    "60 unannounced, Retry-After": lambda _: Limiter(60, "sliding", "none"),
    "60 unannounced": lambda _: Limiter(60, "sliding", "none", "none"),
    "10 announced": lambda _: Limiter(10, "sliding"),
    "10 unannounced, Retry-After": lambda _: Limiter(10, "sliding", "none"),
    "10 unannounced, Retry-After date": lambda _: Limiter(10, "fixed", "none", "date"),
    "10 unannounced": lambda _: Limiter(10, "sliding", "none", "none"),
    "10 unannounced, fixed": lambda _: Limiter(10, "fixed", "none", "none"),
    "10 unannounced, by the minute": lambda phase: Limiter(10, "minutes", "none", "none", phase=phase),
    "10 unannounced, bucket": lambda _: Limiter(10, "bucket", "none", "none"),
    "10 unannounced, counts refused": lambda _: Limiter(10, "sliding", "none", "none", counts_refused=True),
    "no limit": lambda _: Limiter(model="none"),
}


def row(name: str, n: int, known: bool, seeds: int) -> str:
    """One line of the table: means over the seeds, and the worst ratio of the batch's end to its bound."""
    got = batches(n, SCENARIOS[name], seeds=seeds, known=known)
    ratios = [o.ratio for o in got]
    late, polls = fmean(x for o in got for x in o.lateness), fmean(x for o in got for x in o.polls)
    refused = 100 * sum(o.refused for o in got) / sum(o.requests for o in got)
    return (
        f"{name:34}{n:5}{'yes' if known else 'no':>6}{fmean(o.end for o in got):8.1f}{fmean(o.bound for o in got):7.1f}"
        f"{fmean(ratios):7.3f}{max(ratios):7.2f}{late:8.2f}{polls:7.2f}{refused:8.1f}"
    )


def report(seeds: int = 20) -> None:
    """Print everything that promises are made about."""
    for median, sigma in ((20.0, 0.5), (8.0, 0.4), (2.5, 0.1)):
        got = one_by_one(600, median, sigma)
        late, polls = fmean(got.lateness[100:]), fmean(got.polls[100:])
        print(f"one by one, median {median} s, sigma {sigma}: {late:.2f} s late with {polls:.2f} polls")
    columns = ("jobs", 5), ("known", 6), ("end s", 8), ("bound", 7), ("ratio", 7), ("worst", 7), ("late s", 8)
    print(" " * 34 + "".join(f"{title:>{width}}" for title, width in (*columns, ("polls", 7), ("429s %", 8))))
    for name in SCENARIOS:
        for n in (1, 9, 50):
            for known in (True, False):
                print(row(name, n, known, seeds), flush=True)


if __name__ == "__main__":
    report()
