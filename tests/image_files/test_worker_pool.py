"""The worker threads: at most so many at once, also where the number is lowered while some of them idle."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kling_notebook.api.errors import KlingError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.image_files.worker_pool import WorkerPool
from kling_notebook.results.handle import JobHandle


def most_at_once(runner: WorkerPool, works: int) -> int:
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
        assert done.acquire(timeout=60)
    return most


def test_no_more_than_in_flight_work_at_once() -> None:
    assert most_at_once(WorkerPool(3), 9) == 3


def test_a_machine_that_gives_no_thread_is_told_and_can_recover(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is not left in the queue of no one, and a later call begins a thread."""
    runner = WorkerPool(1)
    with monkeypatch.context() as patch:
        patch.setattr(
            threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
        )
        with pytest.raises(KlingError, match="No thread could be started"):
            runner.start(lambda: pytest.fail("its caller was told that it does not run"))
    assert most_at_once(runner, 3) == 1


def test_where_a_thread_is_running_it_takes_what_no_other_could(monkeypatch: pytest.MonkeyPatch) -> None:
    runner, begun, release, done = WorkerPool(2), threading.Event(), threading.Event(), threading.Event()
    runner.start(lambda: (begun.set(), release.wait(60)))  # type: ignore[arg-type, return-value]
    assert begun.wait(60)
    with monkeypatch.context() as patch:
        patch.setattr(
            threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
        )
        runner.start(done.set)
    release.set()
    assert done.wait(60)


def test_a_lowered_number_holds_although_idle_threads_are_left() -> None:
    runner = WorkerPool(8)
    assert most_at_once(runner, 16) == 8
    runner.in_flight = 2
    assert most_at_once(runner, 8) == 2
    runner.in_flight = 8
    assert most_at_once(runner, 16) > 2


def test_a_handle_that_two_threads_cancel_at_once_is_cancelled_for_both() -> None:
    """Both have seen that it may be before either has done it."""
    both = threading.Barrier(2)

    def cancel() -> bool:
        both.wait(60)  # between the look and the deed
        return True

    handle = JobHandle(GenerationRequest("a fox"), cancel=cancel)
    with ThreadPoolExecutor(2) as pool:
        assert [done.result(60) for done in [pool.submit(handle.cancel) for _ in range(2)]] == [True, True]
