"""The speed that is promised, in counts and simulated seconds, by the code that runs in production."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def load() -> ModuleType:
    """Test folders are no packages, so the simulation beside this file is found by its path."""
    spec = importlib.util.spec_from_file_location("rate_simulation", Path(__file__).with_name("rate_simulation.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


sim = load()


def one_by_one(median: float, sigma: float) -> tuple[list[float], list[int], list[float]]:
    """Lateness, polls and durations of jobs one after the other, without those it still learned from."""
    durations = [sim.lognormal(160, median, sigma, seed) for seed in range(2)]
    outcomes = [sim.one_by_one(160, median, sigma, seed=seed) for seed in range(2)]
    return (
        [x for o in outcomes for x in o.lateness[50:]],
        [x for o in outcomes for x in o.polls[50:]],
        [x for d in durations for x in d[50:]],
    )


def test_known_jobs_are_seen_at_most_1_2_seconds_late_with_at_most_7_polls() -> None:
    lateness, polls, _ = one_by_one(20.0, 0.5)
    assert fmean(lateness) <= 1.2
    assert fmean(polls) <= 7.0


@pytest.mark.parametrize(
    ("median", "sigma"),
    [
        (1.0, 0.2),
        (5.0, 0.3),
        *(pytest.param(*more, marks=pytest.mark.long) for more in ((0.02, 0.2), (2.5, 0.1), (8.0, 0.2))),
    ],
)
def test_short_jobs_are_seen_within_0_3_seconds_and_15_percent(median: float, sigma: float) -> None:
    lateness, polls, durations = one_by_one(median, sigma)
    allowed = [0.3 + 0.15 * duration for duration in durations]
    assert fmean(lateness) <= fmean(allowed) / 2
    assert fmean(late <= most for late, most in zip(lateness, allowed, strict=True)) >= 0.95
    assert fmean(polls) <= 7.0


def test_before_anything_is_known_no_job_is_seen_more_than_2_seconds_late() -> None:
    first = [sim.one_by_one(3, 20.0, 0.5, seed=seed).lateness for seed in range(100)]
    assert max(late for lateness in first for late in lateness) <= 2.3  # 2 s, and the way of a request


def test_durations_that_were_learned_from_polling_do_not_creep() -> None:
    durations = sim.lognormal(300, 20.0, 0.5, 3)
    batch = sim.Call(durations, sim.Limiter(model="none"), rate=600.0, in_flight=1, seed=3)
    batch.run()
    assert fmean(batch.past[100:]) == pytest.approx(fmean(durations[100:]), rel=0.02)


@pytest.mark.long
def test_jobs_that_became_faster_or_slower_are_found_out() -> None:
    for before, after in ((60.0, 5.0), (5.0, 60.0)):
        outcome = sim.one_by_one(200, after, 0.3, past=[before] * 30)
        assert fmean(outcome.lateness[100:]) <= 0.3 + 0.15 * after


def ratios(name: str, known: bool, seeds: int = 20) -> tuple[float, float, float]:
    """Mean ratio of the batch's end to its bound, the worst, and the share of 429s; nothing may be lost."""
    outcomes = sim.batches(50, sim.SCENARIOS[name], seeds=seeds, known=known)
    assert [outcome.unseen for outcome in outcomes] == [0] * seeds
    assert [len(outcome.lateness) for outcome in outcomes] == [50] * seeds
    refused = sum(o.refused for o in outcomes) / sum(o.requests for o in outcomes)
    return fmean(o.ratio for o in outcomes), max(o.ratio for o in outcomes), refused


@pytest.mark.parametrize("name", ["60 fixed from the first request", "60 sliding"])
def test_50_jobs_under_60_a_minute_end_within_1_15_of_the_bound(name: str) -> None:
    ratio, _, refused = ratios(name, known=True, seeds=4)
    assert ratio <= 1.15
    assert refused < 0.02


@pytest.mark.parametrize(
    ("name", "most"), [("60 fixed from the first request", 0.02), ("60 sliding", 0.02), ("60 unannounced", 0.1)]
)
def test_50_jobs_of_which_nothing_is_known_end_as_soon(name: str, most: float) -> None:
    ratio, _, refused = ratios(name, known=False, seeds=4)
    assert ratio <= 1.15
    assert refused <= most


def test_without_a_limit_nothing_is_held_back() -> None:
    assert ratios("no limit", known=True, seeds=4)[0] <= 1.1
    batch = [sim.Call([5.0] * 100, sim.Limiter(model="none"), seed=seed).run() for seed in range(3)]
    pool = 4 * (5.0 + 2.0)  # 32 threads that poll every two seconds
    assert fmean(outcome.end for outcome in batch) <= 2 * pool


def test_a_first_batch_learns_from_jobs_that_still_run() -> None:
    batch = [
        sim.Call(sim.lognormal(64, 20.0, 0.5, seed), sim.Limiter(model="none"), seed=seed).run() for seed in (1, 2)
    ]
    assert fmean(polls for outcome in batch for polls in outcome.polls) <= 10
    assert fmean(late for outcome in batch for late in outcome.lateness) <= 1.5


@pytest.mark.parametrize("announced", [True, False])
def test_a_limit_shared_with_another_client_is_found_out(announced: bool) -> None:
    """The other one takes half of it, evenly."""
    limiter = sim.Shared(60, "sliding", "epoch" if announced else "none", every=2.0)
    outcome = sim.Call(sim.lognormal(50, 20.0, 0.5, 1), limiter, seed=1).run()
    assert outcome.unseen == 0
    assert outcome.end <= 1.15 * 60.0  # ours and the other's of the first minute are below 60 and 100 together
    assert outcome.refused <= 0.1 * outcome.requests


@pytest.mark.parametrize(("before", "after"), [(60, 10), (10, 60)])
def test_a_limit_that_changes_is_followed(before: int, after: int) -> None:
    limiter = sim.Changing(before, "sliding", "none", after=after, at=90.0)
    outcome = sim.Call(sim.lognormal(100, 20.0, 0.5, 1), limiter, seed=1).run()
    assert outcome.unseen == 0
    least = 60.0 * (200 - 120) / 10 if after == 10 else 240.0
    assert outcome.end <= 1.3 * least + 90.0
    assert outcome.refused <= 0.15 * outcome.requests


@pytest.mark.parametrize(
    "name", ["60 blend", *(pytest.param(name, marks=pytest.mark.long) for name in ("60 by the minute", "60 bucket"))]
)
def test_limiters_of_other_kinds_are_hardly_ever_made_to_refuse(name: str) -> None:
    assert ratios(name, known=True, seeds=3)[2] < 0.02


@pytest.mark.parametrize(
    "name",
    [
        "10 announced",
        "10 unannounced",
        "10 unannounced, Retry-After",
        *(
            pytest.param(f"10 unannounced, {kind}", marks=pytest.mark.long)
            for kind in ("Retry-After date", "fixed", "by the minute", "bucket")
        ),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_50_jobs_under_10_a_minute_all_end_within_1_1_of_the_bound(name: str, known: bool) -> None:
    _, worst, refused = ratios(name, known, seeds=2)
    assert worst <= 1.1
    assert refused < (0.02 if name == "10 announced" else 0.12)


def test_a_limiter_that_counts_what_it_refused_is_survived() -> None:
    assert ratios("10 unannounced, counts refused", known=True, seeds=3)[1] < 4.0


def test_replies_that_overtake_each_other_do_not_raise_what_remains() -> None:
    """Many requests are under way when little remains; an older reply that names more comes last."""
    for limit in (54, 56, 58):
        for seed in range(10, 16):
            limiter = sim.Limiter(limit, "sliding", "epoch")
            outcome = sim.Call(sim.lognormal(31, 10.0, 0.5, seed), limiter, in_flight=31, seed=seed).run()
            assert outcome.refused == 0, (limit, seed)


@given(
    limit=st.integers(2, 90),
    model=st.sampled_from(["sliding", "fixed", "bucket"]),
    headers=st.sampled_from(["epoch", "ms", "seconds"]),
    jobs=st.integers(1, 40),
    in_flight=st.integers(1, 32),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_an_announced_allowance_is_kept_from_the_first_reply_on(
    limit: int, model: str, headers: str, jobs: int, **options: int
) -> None:
    durations = sim.lognormal(jobs, 10.0, 0.5, options["seed"])
    outcome = sim.Call(durations, sim.Limiter(limit, model, headers), **options).run()
    assert outcome.unseen == 0
    assert outcome.refused <= 2  # the few that went out before the first reply announced anything
    assert outcome.end >= outcome.bound


@given(durations=st.lists(st.floats(0.1, 100.0), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_the_bound_is_the_longest_job_if_there_is_no_limit(durations: Sequence[float]) -> None:
    assert sim.bound(durations, sim.Limiter(model="none")) == max(durations)


def test_the_same_seed_gives_the_same_batch() -> None:
    random.seed(1)
    first = sim.batches(9, sim.SCENARIOS["60 sliding"], seeds=2)
    random.seed(2)
    assert sim.batches(9, sim.SCENARIOS["60 sliding"], seeds=2) == first
