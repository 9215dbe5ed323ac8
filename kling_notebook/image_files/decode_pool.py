"""Two threads on which all images are decoded, however many threads ask.

A 2K image takes 16 MB once decoded, some decoders three times that. A limit on how many are decoded at a time is not
enough: the C library keeps a store of freed memory for each thread that ever asked for some, and thirty-two threads
that took turns kept 350 MB. Two threads keep two stores.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

AT_A_TIME = 2

_Task = tuple[Callable[[], Any], Future[Any]]
_tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
_starting = threading.Lock()
_here = threading.local()
_process = 0
"""The process whose threads these are: a forked child has none of them."""


def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``work(...)`` on one of the two threads: what it returns or raises. May be called from work that runs there."""
    if getattr(_here, "decodes", False):
        return work(*args, **kwargs)
    _start()
    future: Future[T] = Future()
    _tasks.put((lambda: work(*args, **kwargs), future))
    return future.result()


def _start() -> None:
    global _process, _tasks  # noqa: PLW0603  # the threads belong to the process, and so does this
    with _starting:
        if _process == os.getpid():
            return
        _tasks = queue.SimpleQueue()
        for number in range(AT_A_TIME):  # daemons: a decoding must not hold up the end of the kernel
            threading.Thread(target=_serve, args=(_tasks,), name=f"kling-decoding-{number}", daemon=True).start()
        _process = os.getpid()


def _serve(tasks: queue.SimpleQueue[_Task]) -> None:
    _here.decodes = True
    while True:
        _do(*tasks.get())


def _do(work: Callable[[], Any], future: Future[Any]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        _forget_locals(error)
        future.set_exception(error)


def _forget_locals(error: BaseException | None) -> None:
    """An error is kept and shown for long; the image that the frames of its traceback hold must not be."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
