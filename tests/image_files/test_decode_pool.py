"""Two threads do all the decoding, pass on what comes of it, and hold on to nothing."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from kling_notebook.image_files import decode_pool


class Large:
    """Something that can be watched."""


def test_the_answer_or_the_error_comes_back():
    assert decode_pool.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        decode_pool.run(divmod, 1, 0)


def test_all_work_is_done_by_two_daemon_threads():
    meet = threading.Barrier(2)

    def work() -> threading.Thread:
        meet.wait(60)
        return threading.current_thread()

    with ThreadPoolExecutor(8) as pool:
        threads = set(pool.map(lambda _: decode_pool.run(work), range(16)))
    assert sum(thread.is_alive() for thread in threads) <= 2 <= len(threads), "an idle one may have ended meanwhile"
    assert all(thread.daemon for thread in threads)


def test_work_may_ask_for_more_work_without_waiting_for_itself():
    def nested(depth: int) -> int:
        return decode_pool.run(nested, depth - 1) + 1 if depth else 0

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: decode_pool.run(nested, 3), range(8))) == [3] * 8


def test_an_error_that_is_kept_keeps_no_image():
    seen: list[weakref.ref[Large]] = []

    def work() -> None:
        large = Large()
        seen.append(weakref.ref(large))
        try:
            raise KeyError
        except KeyError:
            raise ValueError from None

    with pytest.raises(ValueError) as caught:  # noqa: PT011  # which one does not matter
        decode_pool.run(work)
    gc.collect()
    assert caught.value is not None
    assert seen[0]() is None


def test_what_was_done_is_let_go():
    large = Large()
    watched = weakref.ref(large)
    assert decode_pool.run(lambda what: what is not None, large)
    del large
    decode_pool.run(int)
    decode_pool.run(int)
    gc.collect()
    assert watched() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_decodes_with_threads_of_its_own():
    decode_pool.run(int)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # a child that waits for threads it does not have must not outlive the test
        os._exit(42 if decode_pool.run(divmod, 7, 2) == (3, 1) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42
