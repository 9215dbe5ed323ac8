"""The line of requests: whose turn it is, and that no one who left, slept or died holds it up."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import closing

import pytest

from kling_notebook.api.rate_limiter import RateLimiter
from kling_notebook.api.request_queue import RequestQueue, Slot


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(clock: Clock) -> RequestQueue:
    return RequestQueue(RateLimiter(60.0), clock, lambda: 0.0)


def _held(line: RequestQueue, seconds: float) -> None:
    """Let the service ask for a pause, so that no one may go."""
    line.observe_reply(429, {"Retry-After": str(seconds)})


def _go(line: RequestQueue, tickets: dict[str, Slot], clock: Clock) -> list[str]:
    """Everybody asks, and asks again when told, until all have gone; the order in which they went."""
    order: list[str] = []
    again = dict.fromkeys(tickets, clock.now)
    end = clock.now + 600.0
    while again and clock.now < end:
        name = min(again, key=lambda key: again[key])
        clock.now = max(clock.now, again[name])
        wait = tickets[name].ready()
        if wait == 0.0:
            order.append(name)
            line.observe_reply(200, {})
            del again[name]
        else:
            again[name] = clock.now + wait
    return order


def test_clients_refused_at_once_come_back_one_by_one(clock: Clock) -> None:
    """Kernels that share a key: without a Retry-After each waits a second, less up to half of it by chance."""
    lines = [RequestQueue(RateLimiter(60.0), clock) for _ in range(20)]
    waits = []
    for one in lines:
        one.observe_reply(429, {})
        waits.append(one.slot("poll").ready())
    assert len(set(waits)) > 10
    assert all(0.49 < wait <= 1.0 for wait in waits)


def test_a_moment_that_the_service_named_is_kept_to(clock: Clock) -> None:
    """Chance shortens our own guess and never the service's word."""
    line = RequestQueue(RateLimiter(60.0), clock, lambda: 0.0, lambda: 0.999)
    _held(line, 3)
    assert line.slot("poll").ready() == pytest.approx(3.0)


def test_with_allowance_the_turn_comes_at_once(line: RequestQueue) -> None:
    assert line.slot("submit").ready() == 0.0


def test_asking_again_after_the_turn_takes_nothing(line: RequestQueue) -> None:
    ticket = line.slot("submit")
    assert ticket.ready() == 0.0
    before = line.limiter
    assert ticket.ready() == 0.0
    assert line.limiter == before


def test_a_turn_before_its_time_is_told_how_long(line: RequestQueue, clock: Clock) -> None:
    ticket = line.slot("poll", due=clock.now + 7.0)
    assert ticket.ready() == 7.0
    clock.now += 7.0
    assert ticket.ready() == 0.0


def test_when_the_service_asks_for_a_pause_it_is_kept(line: RequestQueue, clock: Clock) -> None:
    _held(line, 9.0)
    ticket = line.slot("submit")
    assert 8.9 < ticket.ready() < 9.1
    clock.now += 9.01
    assert ticket.ready() == 0.0


def test_purchases_go_before_polls_and_what_is_due_first_goes_first(line: RequestQueue, clock: Clock) -> None:
    _held(line, 5.0)
    tickets = {
        "late poll": line.slot("poll", due=clock.now - 1),
        "early poll": line.slot("poll", due=clock.now - 2),
        "second purchase": line.slot("submit"),
        "schema": line.slot("other"),
        "third purchase": line.slot("submit"),
    }
    assert _go(line, tickets, clock) == ["schema", "second purchase", "third purchase", "early poll", "late poll"]


def test_a_purchase_that_is_not_due_holds_no_poll_up(line: RequestQueue, clock: Clock) -> None:
    later = line.slot("submit", due=clock.now + 100)
    assert line.slot("poll").ready() == 0.0
    assert later.ready() == 100.0


def test_who_left_holds_no_one_up(line: RequestQueue) -> None:
    first, second = line.slot("submit"), line.slot("poll")
    assert second.ready() > 0.0
    with closing(first):
        pass
    assert second.ready() == 0.0


def test_who_left_is_never_told_to_go(line: RequestQueue) -> None:
    ticket = line.slot("submit")
    ticket.close()
    with pytest.raises(RuntimeError, match="left the queue"):
        ticket.ready()


def test_who_died_holds_no_one_up(line: RequestQueue) -> None:
    first, second = line.slot("submit"), line.slot("poll")
    assert second.ready() > 0.0
    del first
    gc.collect()
    assert second.ready() == 0.0


def test_who_sleeps_through_the_turn_holds_no_one_up_and_keeps_the_place(line: RequestQueue, clock: Clock) -> None:
    first, second, third = line.slot("submit"), line.slot("poll"), line.slot("poll")
    assert second.ready() > 0.0
    clock.now += 5.0
    assert second.ready() == 0.0  # the first never came
    assert third.ready() == 0.0
    fourth = line.slot("poll")
    assert first.ready() == 0.0
    assert fourth.ready() == 0.0


def test_leaving_after_the_turn_gives_nothing_back(line: RequestQueue) -> None:
    ticket = line.slot("submit")
    ticket.ready()
    before = line.limiter
    ticket.close()
    assert line.limiter == before


def test_many_threads_never_get_more_than_the_allowance() -> None:
    clock = Clock()
    line = RequestQueue(RateLimiter(10.0, announced=10), clock, lambda: 0.0)
    for _ in range(4):  # the first replies, so that the pace has seen some
        line.slot("submit").ready()
        line.observe_reply(200, {})
    gone: list[float] = []

    def work() -> None:
        ticket = line.slot("submit")
        for _ in range(50):
            if ticket.ready() == 0.0:
                gone.append(clock.now)
                line.observe_reply(200, {})
                return
            time.sleep(0.001)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert 1 <= len(gone) <= 6
