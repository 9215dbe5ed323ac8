"""How late a completed job is seen and for how many polls; many jobs under a rate limit that nothing is known of.

In simulated time by the code that runs in production, and in real time against services of their own processes. A bound
holds what the service does, and none of our settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import requests

from kling_notebook.session.session import Session

from . import service
from .apart import Apart, apart
from .report import Row, ms

JOBS, LIMIT = 50, 60
ANSWER = 0.1  # seconds within which a service of another process has answered a request


def rows(folder: Path, seeds: int, real: bool) -> Iterator[Row]:
    simulation = service.simulation()
    yield from _lateness(simulation)
    yield from _first_batch(simulation, seeds)
    yield from _limited(simulation, seeds)
    if real:
        yield from _in_real_time(simulation, folder)


def _fixed(durations: list[float], gap: float) -> tuple[float, float]:
    """Lateness and polls of a loop that sleeps ``gap`` between polls; the first at once, as the example has it."""
    polls = [int(-(-one // gap)) for one in durations]
    return fmean(n * gap - one for n, one in zip(polls, durations, strict=True)), fmean(n + 1 for n in polls)


def _lateness(simulation: Any) -> Iterator[Row]:
    for median, sigma in ((20.0, 0.5), (8.0, 0.4), (2.5, 0.1)):
        got = simulation.one_by_one(300, median, sigma)
        late, polls = fmean(got.lateness[100:]), fmean(got.polls[100:])
        peer, spent = _fixed(simulation.lognormal(300, median, sigma, 1), 2.0)
        if median == 20.0:
            goal, met = "at most 1.2 s late, at most 7 polls", round(late, 1) <= 1.2 and polls <= 7
        else:
            most = 0.3 + 0.15 * median
            goal, met = f"at most {most:.2f} s late", late <= most
        counts = f"{polls:.1f} polls a job (fixed 2 s: {spent:.1f})"
        yield Row(
            f"seen late, jobs of {median:g} s (simulated)",
            ms(late),
            f"fixed 2 s: {ms(peer)}",
            late / peer,
            goal,
            met,
            counts,
        )
    first = [simulation.one_by_one(1, 20.0, 0.5, seed=seed).lateness[0] for seed in range(60)]
    yield Row(
        "seen late, the first job ever (simulated)", ms(max(first)), goal="never worse than 2 s", met=max(first) <= 2.1
    )


def _first_batch(simulation: Any, seeds: int, jobs: int = 64) -> Iterator[Row]:
    for known, most_polls, most_late in ((False, 10.0, 1.5), (True, 8.0, 1.2)):
        got = simulation.batches(jobs, simulation.SCENARIOS["no limit"], seeds=seeds, known=known)
        polls = fmean(x for one in got for x in one.polls)
        late = fmean(x for one in got for x in one.lateness)
        _, fixed = _fixed(simulation.lognormal(jobs, 20.0, 0.5, 1), 2.0)
        yield Row(
            f"polls of a batch of {jobs}, {'known' if known else 'nothing known'} (simulated)",
            f"{polls:.1f} a job",
            f"fixed 2 s: {fixed:.1f}",
            polls / fixed,
            f"at most {most_polls:g}, {most_late:g} s late",
            polls <= most_polls and late <= most_late,
            f"{late:.2f} s late",
        )


def _limited(simulation: Any, seeds: int) -> Iterator[Row]:
    scenarios = {
        "60 sliding": (1.15, 0.02),
        "60 fixed from the first request": (1.15, 0.02),
        "60 unannounced": (1.15, 0.1),
        "10 unannounced": (1.1, 0.1),
        "10 unannounced, Retry-After": (1.1, 0.1),
        "no limit": (1.15, 0.0),
    }
    for name, (most, refusals) in scenarios.items():
        got = simulation.batches(JOBS, simulation.SCENARIOS[name], seeds=seeds, known=False)
        yield _limited_row(f"{JOBS} jobs, {name} (simulated)", got, most, refusals)
    for name, limiter, most in (
        ("60 announced, another client takes half", simulation.Shared(LIMIT, every=2.0), 1.15),
        ("60, from 90 s on 10", simulation.Changing(LIMIT, headers="none", after=10, at=90.0), 1.15),
        ("10, from 90 s on 60", simulation.Changing(10, headers="none", after=LIMIT, at=90.0), 1.15),
    ):
        run = simulation.Call(simulation.lognormal(JOBS, 20.0, 0.5, 1), limiter, seed=1)
        yield _limited_row(f"{JOBS} jobs, {name} (simulated)", [run.run()], most, 0.15)


def _limited_row(title: str, got: list[Any], most: float, refusals: float) -> Row:
    refused = sum(one.refused for one in got) / sum(one.requests for one in got)
    ratio, lost = fmean(one.ratio for one in got), sum(one.unseen for one in got)
    late = fmean(x for one in got for x in one.lateness)
    goal = f"at most {most:g} x, none lost, at most {100 * refusals:g} % refused"
    met = ratio <= most and not lost and refused <= refusals
    end, least = fmean(one.end for one in got), fmean(one.bound for one in got)
    counts = f"{fmean(one.requests for one in got):.0f} requests, {100 * refused:.1f} % refused, {late:.1f} s late"
    return Row(title, ms(end), f"bound {ms(least)}", ratio, goal, met, counts)


@dataclass(frozen=True)
class Scene:
    """A batch in real time: how many jobs of how many seconds against which limit.

    Attributes:
        limits: requests a minute that the service lets pass in the first minute, the second, ...; the last from then
            on, and none for no limit. other: seconds between requests of another client with the same key.
        most: times the bound. refused: share of requests that may be answered with 429.
    """

    name: str
    durations: list[float]
    limits: tuple[int, ...] = ()
    announced: bool = True
    other: float = 0.0
    most: float = 1.15
    refused: float = 0.02
    known: list[float] = field(default_factory=list)

    def bound(self) -> float:
        """Seconds that cannot be beaten, even knowing the limit and when each job ends: each needs a submit and a poll,
        all submits go first, and as many as the limit lets pass go at once when a minute begins, before any other
        client's."""
        jobs = len(self.durations)
        submits = (self._passes(place + 1) + seconds for place, seconds in enumerate(self.durations))
        return max(*submits, self._passes(2 * jobs)) + ANSWER

    def _passes(self, count: int) -> float:
        minute, passed = 0, 0
        while self.limits:
            passed += self.limits[min(minute, len(self.limits) - 1)]
            if passed >= count:
                break
            minute += 1
        return 60.0 * minute


def _scenes(simulation: Any) -> list[list[Scene]]:
    """Those of one list follow each other: all at once would wait for the processor and not for the service."""

    def lasting(jobs: int, seed: int) -> list[float]:
        made: list[float] = simulation.lognormal(jobs, 20.0, 0.5, seed)
        return made

    five = Scene("100 jobs of 5 s, no limit", [5.0] * 100, most=0.0, refused=0.0)
    return [
        [
            Scene("no limit, nothing known", lasting(64, 1), refused=0.0),
            Scene("no limit, durations known", lasting(64, 2), refused=0.0, known=lasting(60, 3)),
            five,
        ],
        [
            Scene("60 announced", lasting(JOBS, 4), (LIMIT,)),
            Scene("60 unannounced", lasting(JOBS, 5), (LIMIT,), announced=False, refused=0.1),
        ],
        # To learn a limit costs as many refusals for a few jobs as for many; 50 jobs would take nine minutes.
        [Scene("10 unannounced", lasting(18, 6), (10,), announced=False, most=1.1, refused=0.2)],
        [Scene("60 announced, another client asks every 2 s", lasting(40, 7), (LIMIT,), other=2.0, refused=0.15)],
        [Scene("10 announced, 60 from the second minute on", lasting(30, 8), (10, LIMIT), refused=0.15)],
    ]


def _in_real_time(simulation: Any, folder: Path) -> Iterator[Row]:
    """Side by side, for they wait most of the time; each with a folder and against a service of its own."""
    lists = _scenes(simulation)
    with ThreadPoolExecutor(len(lists)) as threads:
        played = threads.map(lambda scenes: [(scene, _play(scene, folder / scene.name)) for scene in scenes], lists)
        made = [one for several in played for one in several]
    for scene, (end, late, counts) in made:
        asked, jobs = counts["submit"] + counts["poll"], len(scene.durations)
        share, bound, most = counts["refused"] / asked, scene.bound(), scene.most
        what, beside = f"{jobs} jobs, {scene.name} (real time)", f"bound {ms(bound)}"
        if not most:  # what cannot be beaten is one job's time; what people reach is a pool's
            bound, most = _by_pool(folder / "pool", scene.durations), 2.0
            what, beside = f"{scene.name} (real time)", f"pool(32) {ms(bound)}"
        yield Row(
            what,
            ms(end),
            beside,
            end / bound,
            f"at most {most:g} x, at most {100 * scene.refused:g} % refused",
            end <= most * bound and share <= scene.refused,
            f"{counts['poll'] / jobs:.1f} polls a job, {late:.1f} s late, {100 * share:.1f} % refused",
        )


def _by_pool(folder: Path, durations: list[float]) -> float:
    folder.mkdir(parents=True)
    with apart(durations) as where:
        begun = time.monotonic()
        service.pool(where, folder, len(durations))
        return time.monotonic() - begun


def _play(scene: Scene, folder: Path) -> tuple[float, float, dict[str, int]]:
    """Seconds until the last image is there, seconds that the mean job was seen late, and what the service counted."""
    with ExitStack() as stack:
        options: dict[str, Any] = {"rate_headers": scene.announced}
        if scene.limits:
            options |= {"rate_limit": scene.limits[0]}
        where = stack.enter_context(apart(scene.durations, **options))
        begun = service.session(where, folder, requests_per_minute=None)
        stack.callback(begun.close)
        service.know(begun, scene.known)
        start = time.monotonic()
        batch = begun.start([begun.request(f"fox {i}") for i in range(len(scene.durations))], source="python")
        seen: list[float] = []
        for handle in batch.handles:
            handle.add_done_callback(lambda _: seen.append(time.monotonic() - start))
        theirs = _meanwhile(scene, where, batch.handles, start)
        counts = where.counts()
        counts["poll"] -= len(theirs)
        counts["refused"] -= theirs.count(429)
        return max(seen), _late(begun, scene.durations), counts


def _meanwhile(scene: Scene, where: Apart, handles: tuple[Any, ...], start: float) -> list[int]:
    """What others do until all jobs are done: a limit that changes, another client's polls (the replies' statuses)."""
    limits, theirs = list(scene.limits[1:]), list[int]()
    while not all(handle.done() for handle in handles):
        now = time.monotonic() - start
        if limits and now >= 60.0:
            where.counts(limits.pop(0))
        if scene.other and now >= len(theirs) * scene.other:
            headers = {"Authorization": f"Bearer {where.key}"}
            theirs.append(requests.get(f"{where.base_url}/jobs/another", headers=headers, timeout=10).status_code)
        if now > 420.0:
            raise TimeoutError(f"{scene.name}: no end after {now:.0f} s")
        time.sleep(0.1)
    for handle in handles:
        handle.result(60)
    return theirs


def _late(begun: Session, durations: list[float]) -> float:
    """Seconds from a job's end to the poll that saw it, on average."""
    records = begun.rows(limit=len(durations))
    return fmean((one.completed_at or 0.0) - (one.submitted_at or 0.0) for one in records) - fmean(durations)
