"""When to ask again, with tables: what may be resent, what headers say, when polls are due, what may go out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_notebook.api import errors, rate_headers
from kling_notebook.api.poll_schedule import Durations, estimate_duration, next_poll
from kling_notebook.api.rate_headers import retry_after
from kling_notebook.api.rate_limiter import LONGEST_WAIT, RateLimiter, backoff
from kling_notebook.api.retry_policy import AfterPoll, AfterSubmit, FailedPolls, after_submit

NOW = 1_700_000_000.0

AGAIN, REFUSED, UNKNOWN = AfterSubmit.AGAIN, AfterSubmit.REFUSED, AfterSubmit.UNKNOWN


# --- what may be sent again


@pytest.mark.parametrize(
    ("error", "decision"),
    [
        (errors.TransportError("no such host", never_left=True), AGAIN),
        (errors.TransportError("connection dropped"), UNKNOWN),
        (errors.TransportError("dropped", maybe_submitted=True), UNKNOWN),
        (errors.TransportError("contradicts itself", never_left=True, maybe_submitted=True), UNKNOWN),
        (errors.RateLimitedError("slow down", status=429), AGAIN),
        (errors.RateLimitedError("slow down", status=429, retry_after=120.0), AGAIN),
        (errors.RateLimitedError("slow down", status=429, retry_after=120.5), REFUSED),
        (errors.RateLimitedError("who knows", status=429, maybe_submitted=True), UNKNOWN),
        (errors.InvalidRequestError("bad", status=400), REFUSED),
        (errors.UnauthorizedError("key", status=401), REFUSED),
        (errors.InsufficientCreditsError("credits", status=402), REFUSED),
        (errors.InsufficientCreditsError("credits", status=403), REFUSED),
        (errors.ModelNotFoundError("model", status=404), REFUSED),
        (errors.ApiError("conflict", status=409), REFUSED),
        (errors.ApiError("time-out", status=408), UNKNOWN),
        (errors.UnexpectedReplyError("time-out, in HTML", status=408), UNKNOWN),
        (errors.ServerError("boom", status=500), UNKNOWN),
        (errors.ServerError("gateway", status=502), UNKNOWN),
        (errors.ServerError("busy", status=503, retry_after=1.0), UNKNOWN),
        (errors.UnexpectedReplyError("no job id", status=200, maybe_submitted=True), UNKNOWN),
        (errors.UnexpectedReplyError("no job id", status=202), UNKNOWN),
        (errors.UnexpectedReplyError("see other", status=303), UNKNOWN),
        (errors.UnexpectedReplyError("moved, same method", status=307), REFUSED),
        (errors.UnexpectedReplyError("moved, same method", status=308, maybe_submitted=True), UNKNOWN),
        (errors.ApiError("no status"), UNKNOWN),
        (errors.InputError("never sent"), REFUSED),
        (errors.BudgetExceededError("never sent"), REFUSED),
        (errors.SettingsError("never sent"), REFUSED),
        (errors.KlingError("who knows"), UNKNOWN),
        (errors.JobFailedError("a job was made"), UNKNOWN),
    ],
)
def test_only_what_certainly_made_no_job_may_be_sent_again(error: errors.KlingError, decision: AfterSubmit) -> None:
    assert after_submit(error) is decision


# --- what is asked again

NOT_FOUND = errors.ModelNotFoundError("no such job", status=404)
UNREADABLE = errors.UnexpectedReplyError("no image", status=200)
BUSY = errors.ServerError("busy", status=503)


@pytest.mark.parametrize(
    ("failures", "age", "decision"),
    [
        ([BUSY] * 99, 9e9, AfterPoll.AGAIN),
        ([errors.TransportError("dropped")] * 99, 9e9, AfterPoll.AGAIN),
        ([errors.RateLimitedError("slow", status=429, retry_after=120.0)] * 99, 9e9, AfterPoll.AGAIN),
        ([errors.RateLimitedError("slow", status=429, retry_after=121.0)], 0.0, AfterPoll.REFUSED),
        ([errors.UnauthorizedError("key", status=401)], 0.0, AfterPoll.AGAIN),
        ([errors.UnauthorizedError("key", status=401)] * 2, 0.0, AfterPoll.REFUSED),
        ([errors.UnauthorizedError("key", status=401), BUSY] * 2, 0.0, AfterPoll.REFUSED),
        ([errors.SettingsError("proxy")], 0.0, AfterPoll.REFUSED),
        ([UNREADABLE] * 4, 9e9, AfterPoll.AGAIN),
        ([UNREADABLE, BUSY] * 4, 9e9, AfterPoll.AGAIN),
        ([UNREADABLE] * 5, 0.0, AfterPoll.REFUSED),
        ([UNREADABLE, BUSY] * 4 + [UNREADABLE], 0.0, AfterPoll.REFUSED),
        ([NOT_FOUND] * 2, 9e9, AfterPoll.AGAIN),
        ([NOT_FOUND] * 3, 60.0, AfterPoll.GONE),
        ([NOT_FOUND] * 3, math.inf, AfterPoll.GONE),
        ([NOT_FOUND] * 99, 59.0, AfterPoll.AGAIN),
    ],
)
def test_a_job_is_asked_for_again_as_long_as_it_helps(
    failures: list[errors.KlingError], age: float, decision: AfterPoll
) -> None:
    """A job younger than a minute is not given up for not being known yet."""
    polls = FailedPolls()
    assert [polls.after(error, age) for error in failures][-1] is decision
    assert polls.count == len(failures)


# --- what headers say


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"RETRY-AFTER": "0"}, 0.0),
        ({"Retry-After": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"Retry-After": formatdate(NOW - 30, usegmt=True)}, 0.0),
        # the service's clock is an hour ahead of this package: its own Date says how long it means
        ({"Retry-After": formatdate(NOW + 3630, usegmt=True), "Date": formatdate(NOW + 3600, usegmt=True)}, 30.0),
        ({"X-RateLimit-Reset": "17"}, 17.0),
        ({"X-RateLimit-Reset": str(int(NOW) + 17)}, 17.0),
        ({"X-RateLimit-Reset": str((int(NOW) + 17) * 1000)}, 17.0),
        ({"X-RateLimit-Reset": str(int(NOW) - 17)}, 0.0),
        ({"Retry-After": str(int(NOW) + 17)}, 17.0),
        ({"Retry-After": str((int(NOW) + 17) * 1000)}, 17.0),
        ({"Retry-After": str(int(NOW) - 17)}, 0.0),
        ({"Retry-After": str(10**13)}, 1e13),
        ({"Retry-After": "4", "X-RateLimit-Reset": "17"}, 4.0),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "17"}, 17.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Mon, 99 Foo 2024 00:00:00 GMT"}, None),
        ({"X-RateLimit-Reset": "1e300"}, None),
        ({"X-RateLimit-Reset": "later"}, None),
        ({}, None),
    ],
)
def test_retry_after_reads_seconds_dates_and_resets_and_no_nonsense(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds, abs=0.01))


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Tokyo"])
def time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is there."""
    if not hasattr(time, "tzset"):
        pytest.skip("Windows takes its zone from the system.")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 -0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 09:49:37 +0100",
    ],
)
@pytest.mark.usefixtures("time_zone")
def test_a_date_without_a_zone_is_in_utc_wherever_this_machine_is(date: str) -> None:
    """All forms of HTTP dates, in Retry-After and in Date."""
    assert retry_after({"Retry-After": date}, 784111777.0 - 10) == 10.0
    assert retry_after({"Retry-After": "Sun, 06 Nov 1994 08:49:47 GMT", "Date": date}, 0.0) == 10.0


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_header_can_break_the_reading(wait: str, reset: str, date: str) -> None:
    seconds = retry_after({"Retry-After": wait, "X-RateLimit-Reset": reset, "Date": date}, NOW)
    assert seconds is None or 0.0 <= seconds < math.inf


def test_backoff_doubles_from_one_second_to_thirty_and_jitter_only_shortens_it() -> None:
    assert [backoff(k, 0.0) for k in (0, 1, 2, 3, 4, 5, 6, 99, 10**9)] == [1, 1, 2, 4, 8, 16, 30, 30, 30]
    assert all(0.5 * backoff(k, 0.0) < backoff(k, 0.999) < backoff(k, 0.0) for k in range(1, 8))


# --- how long jobs take, and when polls are due


def test_durations_know_nothing_without_jobs_and_ignore_nonsense() -> None:
    assert Durations.of([]) == Durations.of([math.nan, math.inf, -1.0]) == Durations()
    assert Durations().expected is None
    assert Durations().quantile(0.5) is None


def test_durations_fit_what_was_seen() -> None:
    known = Durations.of([10.0, 20.0, 40.0] * 100)
    assert known.expected == pytest.approx(20.0)
    low, high = known.quantile(0.1), known.quantile(0.9)
    assert low is not None
    assert high is not None
    assert low * high == pytest.approx(400.0)
    assert known.running(20.0) == pytest.approx(0.5)
    assert known.running(0.0) == 1.0


def schedule(durations: Durations, until: float, share: float = math.inf) -> list[float]:
    ages = [0.0]
    while ages[-1] < until:
        ages.append(ages[-1] + next_poll(ages[-1], len(ages) - 1, durations, share))
    return ages


def test_polls_of_unknown_jobs_are_never_more_than_two_seconds_apart() -> None:
    ages = schedule(Durations(), 120.0)
    assert max(b - a for a, b in pairwise(ages)) <= 2.0
    assert len(ages) < 66


def test_an_unknown_job_is_asked_for_almost_at_once_and_then_within_two_thirds_of_its_age() -> None:
    ages = schedule(Durations(), 30.0)[1:]
    assert ages[0] < 0.1
    assert all(later - age <= max(0.5, age * 2 / 3) for age, later in pairwise(ages))


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_jobs_are_not_believed_when_they_say_to_wait_longer(count: int) -> None:
    assert max(b - a for a, b in pairwise(schedule(Durations.of([60.0] * count), 119.0))) <= 2.0


def test_the_first_wait_is_capped_however_long_past_jobs_took() -> None:
    assert next_poll(0.0, 0, Durations.of([600.0] * 50)) <= 20.0


def test_polls_gather_around_the_expected_end_and_thin_out_in_the_tail() -> None:
    ages = schedule(Durations(100, 20.0, 0.5), 600.0)
    assert ages[1] == pytest.approx(10.9, abs=0.3)
    assert sum(10.0 < age < 30.0 for age in ages) >= 8
    assert sum(300.0 < age < 600.0 for age in ages) <= 20


@pytest.mark.parametrize("share", [4.0, 2.0, 1.5, 1.0])
def test_a_scarce_allowance_makes_polls_later_and_fewer(share: float) -> None:
    known = Durations(100, 20.0, 0.5)
    plenty, scarce = schedule(known, 40.0), schedule(known, 40.0, share)
    assert len(scarce) < len(plenty)
    assert scarce[1] > plenty[1]
    assert expected_polls(known, share) == pytest.approx(share, abs=0.25)


def expected_polls(durations: Durations, share: float) -> float:
    return sum(durations.running(age) for age in schedule(durations, 400.0, share))


@given(
    elapsed=st.floats(0.0, 1e6),
    polls=st.integers(0, 1000),
    seconds=st.lists(st.floats(0.0, 1e6), max_size=20),
    share=st.floats(0.0, 100.0),
)
@settings(deadline=None)
def test_a_next_poll_always_comes_and_only_a_first_one_at_once(
    elapsed: float, polls: int, seconds: list[float], share: float
) -> None:
    wait = next_poll(elapsed, polls, Durations.of(seconds), share)
    assert 0.0 <= wait <= 300.0
    assert wait > 0.0 or polls == 0


@given(running=st.floats(0.0, 1e4), gap=st.floats(0.0, 1e3), seconds=st.lists(st.floats(0.0, 1e4), max_size=20))
def test_a_job_took_between_its_last_two_polls(running: float, gap: float, seconds: list[float]) -> None:
    assert running <= estimate_duration(running, running + gap, Durations.of(seconds)) <= running + gap


# --- the allowance


def spend(
    pace: RateLimiter, now: float, most: int = 1000, headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[RateLimiter, int]:
    """Send until there is no space; each reply comes at once."""
    for count in range(most):
        pace, wait = pace.try_acquire(now, "submit")
        if wait:
            return pace, count
        pace = pace.observe_reply(now, 200, headers)
    return pace, most


def announced(limit: object, remaining: object, reset: object) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }


LIMIT_ONLY = {"X-RateLimit-Limit": "60"}


def test_an_announced_limit_is_all_that_goes_out_in_a_minute() -> None:
    pace, count = spend(RateLimiter(60), 0.0, headers=LIMIT_ONLY)
    assert count == 60
    assert spend(pace, 59.9, headers=LIMIT_ONLY)[1] == 0
    assert spend(pace, 60.1, headers=LIMIT_ONLY)[1] == 60


def test_without_a_refusal_the_limit_grows_with_each_granted_request() -> None:
    pace, count = spend(RateLimiter(60), 0.0, most=300)
    assert count == pace.limit == 300


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"RateLimit-Policy": "10;w=1"}, (10, 1.0)),
        ({"RateLimit-Limit": "10", "RateLimit-Policy": "10;w=1"}, (10, 1.0)),
        ({"RateLimit-Limit": "10, 10;w=1"}, (10, 1.0)),
        ({"RateLimit-Policy": '"burst";q=20;w=10, "daily";q=1000;w=86400'}, (20, 10.0)),
        ({"ratelimit-policy": "10; w=1, 100;w=60"}, (100, 60.0)),
        ({"RateLimit-Policy": '"api/v1/models";q=100;w=60'}, (100, 60.0)),
        ({"RateLimit-Policy": "600;w=3600"}, (600, 60.0)),
        ({"X-RateLimit-Limit-Second": "5"}, (5, 1.0)),
        ({"X-RateLimit-Limit-Second": "5", "X-RateLimit-Limit-Minute": "60"}, (60, 60.0)),
        ({"X-RateLimit-Limit": "10/s"}, (10, 1.0)),
        ({"X-RateLimit-Limit": "100/15m"}, (100, 60.0)),
        ({"X-RateLimit-Limit": "5 per 2s"}, (5, 2.0)),
        ({"X-Rate-Limit-Limit": "10 per second"}, (10, 1.0)),
        ({"X-RateLimit-Limit": "60, 60;w=60"}, (60, 60.0)),
        ({"X-RateLimit-Limit": "60"}, (60, 60.0)),
        ({"X-RateLimit-Limit": "none", "RateLimit-Policy": "later"}, None),
        ({"X-RateLimit-Limit": "0", "RateLimit-Policy": "0;w=0"}, None),
        ({}, None),
    ],
)
def test_a_limit_is_read_with_the_time_it_is_for(headers: dict[str, str], found: tuple[int, float] | None) -> None:
    assert rate_headers.limit(headers) == found


def test_a_limit_for_a_second_is_kept_each_second_and_not_a_minute_long() -> None:
    pace, count = spend(RateLimiter(60), 0.0, headers={"RateLimit-Policy": "10;w=1"})
    assert count == 10
    assert pace.try_acquire(0.5, "submit")[1] == pytest.approx(0.5)
    assert spend(pace, 1.01, headers={"RateLimit-Policy": "10;w=1"})[1] == 10
    assert pace.report_load(running=64, waiting=0).share(2.0) > 5


def test_beyond_the_limit_few_are_under_way_at_once() -> None:
    """If the real limit is met, few are refused: 60 were granted, and three go, not sixty."""
    pace, _ = spend(RateLimiter(60), 0.0, most=60)
    sent = []
    for replies in (1, 2, 3, 3):
        sent.append(0)
        while not (step := pace.try_acquire(1.0, "submit"))[1]:
            pace, sent[-1] = step[0], sent[-1] + 1
        for _ in range(sent[-1]):
            pace = pace.observe_reply(1.0, 200, {})
        assert sent[-1] <= replies
    assert sent == [1, 2, 3, 3]


def test_one_refusal_teaches_nothing_and_a_second_one_what_held() -> None:
    pace, _ = spend(RateLimiter(60), 0.0, most=80)
    pace = refuse(pace, 0.1)
    assert pace.limit == 80
    pace = refuse(pace, 2.0)
    assert pace.limit == pace.learned == 80
    assert spend(pace, 10.0)[1] == 0
    assert spend(pace, 60.5, most=80)[1] == 80
    pace, _ = spend(refuse(RateLimiter(60), 0.0), 1.1, most=80)
    assert refuse(pace, 500.0).limit == 80, "what was refused long before says nothing of this minute"


def refuse(pace: RateLimiter, now: float) -> RateLimiter:
    pace, wait = pace.try_acquire(now, "submit")
    assert wait == 0.0
    return pace.observe_reply(now, 429, {})


def test_a_rate_without_end_never_waits_and_keeps_no_books() -> None:
    pace, count = spend(RateLimiter(math.inf), 0.0, most=20_000)
    assert count == 20_000
    assert pace.granted == pace.under_way == ()


def test_until_a_reply_tells_more_only_a_few_go_out_at_once() -> None:
    pace, went = RateLimiter(60), 0
    while went < 60:
        pace, wait = pace.try_acquire(0.0, "submit")
        if wait:
            break
        went += 1
    assert went == 4
    pace = pace.observe_reply(0.2, 200, announced(60, 59, 60))
    went = 0
    while not pace.try_acquire(0.2, "submit")[1]:
        pace, _ = pace.try_acquire(0.2, "submit")
        went += 1
    assert went == 56


def test_an_announced_limit_replaces_the_setting_either_way() -> None:
    for limit in (10, 300):
        pace, _ = RateLimiter(60).try_acquire(0.0, "submit")
        assert pace.observe_reply(0.1, 200, announced(limit, limit - 1, 60)).limit == limit


def test_what_others_spend_on_the_same_key_is_seen_in_the_remaining_count() -> None:
    pace, _ = RateLimiter(60).try_acquire(0.0, "submit")
    pace = pace.observe_reply(0.1, 200, announced(60, 1, 30))
    pace, wait = pace.try_acquire(0.1, "poll")
    assert wait == 0.0
    pace = pace.observe_reply(0.2, 200, announced(60, 0, 30))
    wait = pace.try_acquire(0.2, "poll")[1]
    assert wait == pytest.approx(30.0, abs=0.1)


def test_after_the_named_moment_one_request_goes_ahead_and_its_reply_decides() -> None:
    pace, _ = RateLimiter(60).try_acquire(0.0, "submit")
    pace = pace.observe_reply(0.1, 200, announced(60, 0, 20))
    pace, wait = pace.try_acquire(20.2, "poll")
    assert wait == 0.0
    assert pace.try_acquire(20.2, "poll")[1] > 0.0
    pace = pace.observe_reply(20.4, 200, announced(60, 59, 60))
    assert pace.try_acquire(20.4, "poll")[1] == 0.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": formatdate(NOW + 7, usegmt=True)}, 7.0),
        ({"X-RateLimit-Reset": "9"}, 9.0),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "86400"}, LONGEST_WAIT),
        ({}, 1.0),
    ],
)
def test_a_refusal_holds_every_kind_for_as_long_as_it_says(headers: dict[str, str], wait: float) -> None:
    pace, _ = RateLimiter(60).try_acquire(0.0, "poll")
    pace = pace.observe_reply(0.0, 429, headers, NOW)
    assert pace.try_acquire(wait - 0.01, "submit")[1] == pytest.approx(0.01)
    assert pace.try_acquire(wait - 0.01, "other")[1] == pytest.approx(0.01)
    assert pace.try_acquire(wait + 0.01, "submit")[1] == 0.0


def test_refusals_in_a_row_are_asked_again_ever_more_slowly_even_where_retry_after_is_zero() -> None:
    pace, now, waits = RateLimiter(60), 0.0, []
    for _ in range(8):
        pace, wait = pace.try_acquire(now, "poll")
        waits.append(wait)
        now += wait
        if wait:
            pace, _ = pace.try_acquire(now, "poll")
        pace = pace.observe_reply(now, 429, {"Retry-After": "0"})
    assert waits[-1] == 30.0
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    ("headers", "waits"), [({}, [0.6, 1.2, 2.4, 4.8]), ({"Retry-After": "2"}, [2.0, 2.0, 2.4, 4.8])]
)
def test_jitter_shortens_the_back_off_and_no_wait_that_was_asked_for(
    headers: dict[str, str], waits: list[float]
) -> None:
    pace, now, waited = RateLimiter(60), 0.0, []
    for _ in waits:
        pace, _ = pace.try_acquire(now, "poll")
        pace = pace.observe_reply(now, 429, headers, jitter=0.8)
        waited.append(pace.try_acquire(now, "poll")[1])
        now += waited[-1]
    assert waited == pytest.approx(waits)


def test_an_unannounced_limit_is_learned_from_what_passed_and_more_is_tried_later() -> None:
    pace, count = spend(RateLimiter(60), 0.0, most=10)
    pace = refuse(refuse(pace, 0.1), 1.5)
    assert pace.limit == count == 10
    assert spend(pace, 5.0)[1] == 0
    pace = refuse(spend(pace, 62.0, most=10)[0], 62.1)  # a minute later one more is tried, and refused
    assert pace.limit == 10
    pace, count = spend(pace, 124.0)  # the next try is two minutes later
    assert count == 10
    pace, count = spend(pace, 190.0, most=50)  # the limit was raised
    assert count == pace.limit == 50


def test_a_poll_leaves_something_for_the_request_that_waits_for_its_job_to_end() -> None:
    pace = spend(RateLimiter(60), 0.0, most=40, headers=LIMIT_ONLY)[0].report_load(running=32, waiting=18)
    pace, wait = pace.try_acquire(1.0, "poll")
    assert wait == 0.0
    assert pace.try_acquire(1.0, "poll")[1] == pytest.approx(1.0)
    assert pace.try_acquire(1.0, "submit")[1] == 0.0
    assert pace.report_load(running=32, waiting=0).try_acquire(1.0, "poll")[1] == 0.0


def test_the_share_of_polls_falls_with_the_jobs_and_is_never_below_one() -> None:
    assert RateLimiter(60).report_load(500, 0).share(0.0) == math.inf, "nothing is known of a limit"
    pace = RateLimiter(60, announced=60)
    shares = [pace.report_load(jobs, 0).share(0.0) for jobs in (0, 1, 5, 9, 32, 500)]
    assert shares == sorted(shares, reverse=True)
    assert shares[1] > 7.0
    assert shares[-1] == 1.0
    assert pace.report_load(9, 50).share(0.0) < pace.report_load(9, 0).share(0.0)


VALUES = st.one_of(
    st.sampled_from(["", "-1", "nan", "inf", "1e308", "0", "1", "10", "60", "1e12", "60, 60;w=60", "soon", "\x00"]),
    st.integers(-10, 10**15).map(str),
    st.text(max_size=8),
)
HEADERS = st.dictionaries(
    st.sampled_from(["X-RateLimit-Limit", "x-ratelimit-remaining", "X-RateLimit-Reset", "Retry-After", "Date"]), VALUES
)
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 200, 200, 200, 404, 429, 500]), HEADERS, st.floats(0.0, 20.0)), max_size=40
)


@given(steps=STEPS, rate=st.floats(0.0, 1e6))
@settings(deadline=None)
def test_whatever_a_service_says_waits_are_finite_and_a_turn_comes_in_the_end(
    steps: list[tuple[int, dict[str, str], float]], rate: float
) -> None:
    pace, now = RateLimiter(rate), 0.0
    for status, headers, later in steps:
        pace, waited, now = wait_for_a_turn(pace, now)
        assert waited <= 400.0
        now += later
        pace = pace.observe_reply(now, status, headers, NOW + now)
    assert wait_for_a_turn(pace, now)[1] <= 400.0


def wait_for_a_turn(pace: RateLimiter, now: float) -> tuple[RateLimiter, float, float]:
    waited = 0.0
    for _ in range(2000):
        pace, wait = pace.try_acquire(now, "poll")
        assert 0.0 <= wait <= 2 * LONGEST_WAIT
        if wait == 0.0:
            return pace, waited, now
        waited, now = waited + wait, now + wait
    raise AssertionError("no turn came")


@given(rate=st.integers(1, 40), gaps=st.lists(st.floats(0.0, 8.0), min_size=50, max_size=90))
@settings(max_examples=30, deadline=None)
def test_no_minute_ever_holds_more_than_the_announced_limit(rate: int, gaps: list[float]) -> None:
    pace, now, replies = RateLimiter(60, announced=rate), 0.0, []
    for gap in gaps:
        pace, _, now = wait_for_a_turn(pace, now)
        replies.append(now)
        pace = pace.observe_reply(now, 200, {})
        now += gap
    for i in range(len(replies) - rate):
        assert replies[i + rate] - replies[i] >= 59.999


@given(remaining=VALUES, reset=VALUES, gaps=st.lists(st.floats(0.0, 1.0), min_size=30, max_size=60))
@settings(max_examples=30, deadline=None)
def test_no_count_of_what_remains_can_push_it_above_twice_the_announced_limit(
    remaining: str, reset: str, gaps: list[float]
) -> None:
    pace, now, replies = RateLimiter(60), 0.0, []
    for gap in gaps:
        pace, _, now = wait_for_a_turn(pace, now)
        replies.append(now)
        pace = pace.observe_reply(now, 200, announced(10, remaining, reset), NOW + now)
        now += gap
    for i in range(1, len(replies) - 20):
        assert replies[i + 20] - replies[i] >= 59.999


def test_a_stray_refusal_holds_for_as_long_as_it_says_and_no_longer() -> None:
    """Refused after hardly any request: somebody else used the allowance; of the limit it says nothing."""
    pace, _ = RateLimiter(60).try_acquire(0.0, "submit")
    pace = pace.observe_reply(0.1, 429, {"Retry-After": "1"})
    pace, wait = pace.try_acquire(0.1, "submit")
    assert wait == pytest.approx(1.0)
    pace, wait = pace.try_acquire(1.1, "submit")
    assert wait == 0.0
    pace = pace.observe_reply(1.2, 200, {})
    for now in (1.5, 2.0, 2.5):
        pace, wait = pace.try_acquire(now, "poll")
        assert wait == 0.0
        pace = pace.observe_reply(now + 0.01, 200, {})
