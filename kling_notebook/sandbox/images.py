"""Paints jobs' images on two threads of its own and keeps the newest; an old one is painted again when asked for."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from urllib.parse import unquote, urlsplit

from .painting_process import PaintingProcess
from .replies import Refusal
from .service import Job, Service

MAX_THREADS = 2
MAX_KEPT = 32 * 2**20
#: Seconds without anything to paint after which the process for large images ends.
IDLE = 20.0
#: Images painted before anyone asks for them, at most.
MAX_AHEAD = 36
#: Images made of images made of ...: so many are painted again for one.
MAX_CHAIN = 3

Place = tuple[str, int]


#: The painter's `paint`, or what is called like it: the bytes of one image, the same for the same arguments.
Paint = Callable[..., bytes]


class Images:
    """The finished images, by job id and place.

    The painting threads are daemons, not an executor's: those are joined when Python ends, and a kernel must not wait
    for images that no one will see. Their priority is the ordinary one: on a busy machine a thread of a low one is put
    aside while it holds the interpreter's lock, and the whole kernel with it (beside four busy processes: other threads
    late by up to 330 ms instead of 110, and 20 s for an image instead of 4).
    """

    def __init__(self, service: Service, paint: Paint | None = None) -> None:
        self._service = service
        self._paint = paint
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._waiting: list[tuple[int, int, Place, Callable[[], bytes]]] = []
        self._order = itertools.count()
        self._futures: dict[Place, Future[bytes]] = {}
        self._kept: OrderedDict[Place, bytes] = OrderedDict()
        self._size = 0
        self._threads = 0
        self._idle = 0
        self._stopped = False
        self._large = PaintingProcess()

    def get(self, job: Job, k: int) -> Future[bytes]:
        """The bytes of image ``k``, now or when it is painted."""
        return self._ask(job, k, urgency=0)

    def warnings(self, job: Job) -> list[str]:
        """What the job's images do not show; nothing is known of another painter's."""
        if self._paint is not None:
            return []
        from .painter import warnings_of

        return warnings_of(job.wanted.prompt, job.wanted.negative_prompt, source=job.source is not None)

    def paint_ahead(self, job: Job) -> None:
        """Begin with a job's images while it is still running, unless there is enough to do."""
        with self._lock:
            busy = len(self._waiting) + job.count > MAX_AHEAD
        if not busy:
            for k in range(job.count):
                self._ask(job, k, urgency=1)

    def _ask(self, job: Job, k: int, *, urgency: int) -> Future[bytes]:
        place = (job.id, k)
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                done: Future[bytes] = Future()
                done.set_result(self._kept[place])
                return done
            future = self._futures.get(place)
            if future is None:
                future = self._futures[place] = Future()
            elif urgency:
                return future
            if not self._stopped:
                # An urgent second entry overtakes a patient first one, which then finds nothing left to do.
                entry = (urgency, next(self._order), place, lambda: self._render(job, k))
                heapq.heappush(self._waiting, entry)
                self._wake()
            return future

    def _wake(self) -> None:
        if len(self._waiting) > self._idle and self._threads < MAX_THREADS:
            self._threads += 1
            threading.Thread(target=self._run, name=f"kling-painter-{self._threads}", daemon=True).start()
        self._work.notify()

    def _run(self) -> None:
        while True:
            with self._work:
                while not self._waiting and not self._stopped:
                    self._idle += 1
                    called = self._work.wait(IDLE)
                    self._idle -= 1
                    if not called and self._idle == self._threads - 1:
                        self._large.close()
                if self._stopped:
                    self._threads -= 1
                    return
                _, _, place, render = heapq.heappop(self._waiting)
                future = self._futures.get(place)
                if future is None or future.done() or future.running() or not future.set_running_or_notify_cancel():
                    continue
            try:
                data = render()
            except Exception as problem:  # whatever the painter does, the thread continues
                with self._lock:
                    self._futures.pop(place, None)
                future.set_exception(problem)
                continue
            with self._lock:
                self._futures.pop(place, None)
                self._kept[place] = data
                self._size += len(data)
                while self._size > MAX_KEPT and len(self._kept) > 1:
                    self._size -= len(self._kept.popitem(last=False)[1])
            future.set_result(data)

    def start(self) -> None:
        """Paint again after a stop."""
        with self._lock:
            self._stopped = False

    def stop(self) -> None:
        """End the threads after the images at hand; what has not been begun is given up."""
        with self._work:
            self._stopped = True
            self._waiting.clear()
            for place, future in list(self._futures.items()):
                if future.cancel():
                    del self._futures[place]
            self._work.notify_all()
        self._large.kill()
        self._large.close()

    # -- painting -----------------------------------------------------------------------------------------------

    def _render(self, job: Job, k: int, depth: int = 0) -> bytes:
        """Paint, from the source image where there is one. A Refusal (gone) where that can no longer be had."""
        paint = self._paint or self._painter(job.wanted.resolution)
        names = ("negative_prompt", "resolution", "aspect_ratio", "output_format")
        wanted: dict[str, Any] = {name: getattr(job.wanted, name) for name in names}
        wanted |= {"index": k, "seed": job.seed}
        source = self._source(job, depth)
        if source is not None:
            with contextlib.suppress(ValueError):  # its header was fine and the rest is not an image
                return paint(job.wanted.prompt, **wanted, source=source)
        return paint(job.wanted.prompt, **wanted, source=None)

    def _painter(self, resolution: str) -> Paint:
        """What paints an image of this size: the process for large ones, if there can be one."""
        from .painter import paint

        def large(prompt: str, **arguments: Any) -> bytes:
            try:
                return self._large.paint(prompt=prompt, **arguments)
            except OSError:
                if self._stopped:
                    raise
                # A system that allows no processes still gets its images, from a kernel that feels it.
                return paint(prompt, **arguments)

        return large if resolution == "2K" and not self._stopped else paint

    def _source(self, job: Job, depth: int) -> bytes | None:
        source = job.source
        if source is None:
            return None
        if source.kind == "url":
            return self._stand_in(source.value)
        if source.kind == "data":
            found = self._service.sources.data(source.value)
        else:
            found = self._earlier(source.value, depth)
        if found is None:  # painted without it, it would be another image than the one that was bought
            raise Refusal("gone", "The source image is no longer kept. Submit the job again.", status=410)
        return found

    def _earlier(self, path: str, depth: int) -> bytes | None:
        """The image of this sandbox behind an asset's path, painted again where it must be."""
        _, _, job_id, _, name = path.split("/")
        k = int(name.partition(".")[0])
        with self._lock:
            kept = self._kept.get((job_id, k))
        if kept is not None or depth > MAX_CHAIN:
            return kept
        try:
            return self._render(self._service.find(job_id), k, depth + 1)
        except Refusal:
            return None  # the job was dropped long ago

    def _stand_in(self, url: str) -> bytes:
        """An image painted from the words in a URL: the sandbox fetches nothing from outside."""
        path = unquote(urlsplit(url).path.rpartition(".")[0] or url)
        words = " ".join(re.findall(r"[^\W\d_]+", path)) or "image"
        seed = sum(url.encode()) % 2**32
        plain: dict[str, Any] = {"resolution": "1K", "aspect_ratio": "1:1", "output_format": "png", "index": 0}
        return (self._paint or self._painter("1K"))(words, **plain, negative_prompt=None, seed=seed, source=None)
