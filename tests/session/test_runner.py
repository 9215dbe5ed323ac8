"""The worker threads: at most so many at once, also where the number is lowered while some of them idle."""

from __future__ import annotations

import threading
import time

from kling_notebook.session.runner import Runner


def most_at_once(runner: Runner, works: int) -> int:
    """Run ``works`` short works and say how many ran side by side."""
    lock, done = threading.Lock(), threading.Semaphore(0)
    running = most = 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        done.release()

    for _ in range(works):
        runner.start(work)
    for _ in range(works):
        assert done.acquire(timeout=10)
    return most


def test_no_more_than_in_flight_work_at_once() -> None:
    assert most_at_once(Runner(3), 9) == 3


def test_a_lowered_number_holds_although_idle_threads_are_left() -> None:
    runner = Runner(8)
    assert most_at_once(runner, 16) == 8
    runner.in_flight = 2
    assert most_at_once(runner, 8) == 2
    runner.in_flight = 8
    assert most_at_once(runner, 16) > 2
