"""Two threads on which all images are decoded, however many threads ask.

A 2K image takes 16 MB once decoded, some decoders three times that. A limit on how many are decoded at a time is not
enough: the C library keeps a store of freed memory for each thread that ever asked for some, and thirty-two threads
that took turns kept 350 MB. Two threads keep two stores.
"""

import os
import threading
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .worker_pool import WorkerPool

P = ParamSpec("P")
T = TypeVar("T")

AT_A_TIME = 2

_here = threading.local()
# By process: a forked child has none of its parent's threads.
_pools: dict[int, WorkerPool] = {}


def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``work(...)`` on one of the two threads: what it returns or raises. May be called from work that runs there."""

    def decode() -> T:
        _here.decodes = True
        try:
            return work(*args, **kwargs)
        except BaseException as error:
            _forget_locals(error)
            raise
        finally:
            _here.decodes = False  # it may be the caller's own thread, if the machine gives none

    if getattr(_here, "decodes", False):  # to wait here for another of the two threads could be for ever
        return work(*args, **kwargs)
    pool = _pools.get(os.getpid()) or _pools.setdefault(os.getpid(), WorkerPool(AT_A_TIME))
    return pool.submit(decode).result()


def _forget_locals(error: BaseException | None) -> None:
    """An error is kept and shown for long; the image that the frames of its traceback hold must not be."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
