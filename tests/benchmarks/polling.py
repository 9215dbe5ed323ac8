"""How late a completed job is seen and for how many polls; many jobs under a rate limit. Mostly in simulated time, by
the code that runs in production; one run in real time against the sandbox's rate limiter says whether to believe it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from . import service
from .report import Row, ms

JOBS, LIMIT = 50, 60


def rows(folder: Path, seeds: int, real: bool) -> Iterator[Row]:
    simulation = service.simulation()
    yield from _lateness(simulation)
    yield from _limited(simulation, seeds)
    if real:
        yield from _in_real_time(simulation, folder)


def _fixed(durations: list[float], gap: float) -> tuple[float, float]:
    """Lateness and polls of a loop that sleeps ``gap`` between polls; the first at once, as the example has it."""
    polls = [int(-(-one // gap)) for one in durations]
    return fmean(n * gap - one for n, one in zip(polls, durations, strict=True)), fmean(n + 1 for n in polls)


def _lateness(simulation: Any) -> Iterator[Row]:
    for median, sigma in ((20.0, 0.5), (8.0, 0.4), (2.5, 0.1)):
        got = simulation.one_by_one(600, median, sigma)
        late, polls = fmean(got.lateness[100:]), fmean(got.polls[100:])
        peer, spent = _fixed(simulation.lognormal(600, median, sigma, 1), 2.0)
        if median == 20.0:
            goal, met = "at most 1.2 s late, at most 7 polls", late <= 1.2 and polls <= 7
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


def _in_real_time(simulation: Any, folder: Path) -> Iterator[Row]:
    """Ours and the example in threads, at the same time, each against a sandbox of its own."""
    fates = []
    for seed in range(9):
        durations, past = (
            simulation.lognormal(JOBS, 20.0, 0.5, seed),
            simulation.lognormal(60, 20.0, 0.5, 10_000 + seed),
        )
        ahead = simulation.Call(durations, simulation.Limiter(LIMIT, "sliding"), past=past, seed=seed).run()
        fates.append((ahead.ratio, durations, past, ahead))
    _, durations, past, ahead = sorted(fates, key=lambda fate: fate[0])[len(fates) // 2]  # an ordinary one
    options = {"rate_limit": LIMIT, "rate_model": "sliding", "latency": lambda ordinal: durations[ordinal]}
    with service.sandbox(**options) as ours, service.sandbox(**options) as theirs:
        begun = service.session(ours, folder / "limited", requests_per_minute=60)
        service.know(begun, past)
        naive: list[dict[str, Any]] = []
        peer = threading.Thread(target=_naive, args=(theirs, folder, naive))
        start = time.monotonic()
        peer.start()
        batch = begun.start([begun.request(f"fox {i}") for i in range(JOBS)], source="python")
        seen = []
        for handle in batch.handles:
            handle.add_done_callback(lambda _: seen.append(time.monotonic() - start))
        for handle in batch.handles:
            handle.result(300)
        end = max(seen)
        log = [entry for entry in ours.log if entry.kind in ("submit", "poll")]
        refused = sum(entry.status == 429 for entry in log)
        asked = len(log)
        peer.join()
    slow = max((one["seen"] for one in naive), default=start) - start
    share = refused / asked
    spent = sum(one["requests"] for one in naive)
    counts = f"{ours.count('submit')} POSTs, {ours.count('poll')} polls, {100 * share:.1f} % 429s"
    yield Row(
        f"{JOBS} jobs, {LIMIT} sliding, in real time",
        ms(end),
        f"bound {ms(ahead.bound)}",
        end / ahead.bound,
        "at most 1.1 x, under 2 % 429s",
        end <= 1.1 * ahead.bound and share < 0.02,
        counts,
    )
    lost = 100 * sum(one["refused"] for one in naive) / max(1, spent)
    yield Row(
        "",
        ms(end),
        f"example in {JOBS} threads {ms(slow)}",
        end / slow,
        counts=f"its requests: {spent}, {lost:.0f} % 429s",
    )
    agreement = max(abs(end / ahead.end - 1), abs(asked / ahead.requests - 1))
    yield Row(
        "simulation against real time",
        f"{ms(end)}, {asked} requests",
        f"{ms(ahead.end)}, {ahead.requests} requests",
        end / ahead.end,
        "agree within 15 %",
        agreement <= 0.15,
    )


def _naive(theirs: Any, folder: Path, into: list[dict[str, Any]]) -> None:
    until = time.monotonic() + 170.0

    def one(i: int) -> None:
        into.append(service.script(theirs, folder, f"fox {i}", patient=True, until=until))

    service.in_threads([lambda i=i: one(i) for i in range(JOBS)])  # type: ignore[misc]
