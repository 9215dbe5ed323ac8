"""Scripted failures: what goes wrong, at which request, and how the reply changes.

Everything here is a value or a pure function; the server only sends what a `Reply` holds.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from . import payloads
from .limits import retry_after_header
from .payloads import BodyShape
from .replies import Reply

FaultPoint = Literal["submit", "poll", "download", "schema"]

_BROKEN = frozenset({"drop_before", "drop_after", "hang_before", "hang", "truncated", "slow_drip", "wire"})
#: Replies that do not depend on what the service would have answered, and their usual status.
_FIXED: Mapping[str, int] = {"status": 500, "rate_limited": 429, "html": 200, "redirect": 307, "expired": 410}
_IMAGES = frozenset({"expired", "wrong_content", "bomb"})
#: Faults that change the job; the reply then reports it as it is.
JOB_FAULTS = frozenset({"failed", "fewer", "more"})
_ANYWHERE = _BROKEN | _FIXED.keys() - _IMAGES | {"gzip_bomb", "oversized"}
_KINDS: Mapping[str, frozenset[str]] = {
    "submit": _ANYWHERE | JOB_FAULTS,
    "poll": _ANYWHERE | JOB_FAULTS,
    "download": _ANYWHERE | _IMAGES,
    "schema": _ANYWHERE,
}
#: Faults before the service does anything: a submit makes no job.
_NOTHING_MADE = frozenset({"drop_before", "hang_before", "status", "rate_limited", "redirect", "expired"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted failure.

    What happens (``kind``), for every request unless stated otherwise:

    - ``wire``: the bytes ``raw``, status line and headers included, are the whole reply. ``{job_id}`` and
      ``{image_url}`` in them become the job's id and the URL of its first image (``{image_url_1}`` of the second;
      the same URLs at every poll), ``{origin}`` the sandbox's origin, ``{length}`` the number of bytes after the
      headers. Then the connection is closed, unless ``close`` is False
    - ``drop_before``: closed without a byte as soon as the header arrived, the body unread, nothing made;
      ``drop_after`` the same after reading it and doing the work
    - ``hang_before``, ``hang``: silence for ``seconds`` (an hour), then closed; before or after doing the work
    - ``truncated``: closed in the middle of the body
    - ``slow_drip``: the body spread evenly over ``seconds`` (10); ``wire`` takes ``seconds`` too
    - ``status``: ``status`` (500) with a body of the shape ``body`` and the code ``code``
    - ``rate_limited``: 429; ``retry_after`` seconds, as a date with ``as_date``; None sends no Retry-After
    - ``html``: 200 with an HTML page. ``redirect``: ``status`` (307) to ``url`` (the same address, asked once more)
    - ``gzip_bomb``: a small gzip body that grows to ``size`` bytes (128 MB; whole megabytes)
    - ``oversized``: a real body of ``size`` bytes (2 MB of JSON; 65 MB for a download); without Content-Length
      unless ``sized``
    - submit and poll: ``failed`` lets the job fail with ``error``, a string or an object; ``fewer`` and ``more`` let
      the job deliver one image less or more
    - download: ``expired`` answers ``status`` (410) until the job is polled again; ``wrong_content`` sends ``body``
      (html, empty, text or json) as if it were the image; ``bomb`` a small PNG of 400 million pixels

    Attributes:
        on: which requests: ``submit`` POSTs, ``poll`` GETs of a job, ``download`` GETs of an image, ``schema`` GETs of
            the model's schema.
        at: the first such request it applies to, counted from 1 since the fault was added; None applies to every one.
        times: to how many in a row it applies from ``at`` on.
        made: whether a submit's job is made before the reply goes wrong; None takes what the kind implies (``status``,
            ``rate_limited`` and ``redirect``: not made).
        raw: these very bytes as the body, with ``content_type``, instead of ``body``; for ``wire`` the whole reply.
    """

    on: FaultPoint
    kind: str
    at: int | None = None
    times: int = 1
    made: bool | None = None
    status: int | None = None
    body: BodyShape = "error"
    raw: bytes | None = None
    close: bool = True
    content_type: str | None = None
    code: str | None = None
    retry_after: float | None = None
    as_date: bool = False
    seconds: float | None = None
    url: str | None = None
    error: Any = "A scripted failure of the model."
    size: int | None = None
    sized: bool = False

    def __post_init__(self) -> None:
        if self.on not in _KINDS:
            raise ValueError(f"A fault is on {', '.join(_KINDS)}; not on {self.on!r}.")
        if self.kind not in _KINDS[self.on]:
            raise ValueError(f"There is no fault {self.kind!r} on {self.on!r}.")
        if self.kind == "wire" and self.raw is None:
            raise ValueError("A wire fault needs the reply's bytes (raw).")
        if self.at is not None and (self.at < 1 or self.times < 1):
            raise ValueError("at and times count from 1.")

    @property
    def works_first(self) -> bool:
        """Whether the service does its work before the reply goes wrong."""
        return self.kind not in _NOTHING_MADE if self.made is None else self.made

    @property
    def unread(self) -> bool:
        """Whether the request's body is not even read."""
        return self.kind == "drop_before" and not self.works_first

    def applies_to(self, k: int) -> bool:
        """Whether the k-th request (from 1) is hit."""
        return self.at is None or self.at <= k < self.at + self.times


class Script:
    """The faults of a sandbox and how many requests each has seen. Safe on any thread."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._seen: list[int] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)
            self._seen.append(0)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
            self._seen.clear()

    def take(self, on: FaultPoint) -> Fault | None:
        """The fault that applies to the request arriving now; the first of several."""
        found: Fault | None = None
        with self._lock:
            for k, fault in enumerate(self._faults):
                if fault.on == on:
                    # Every fault counts every request, also one that another fault takes: "the third poll" stays it.
                    self._seen[k] += 1
                    if found is None and fault.applies_to(self._seen[k]):
                        found = fault
        return found


def faulty_reply(fault: Fault, reply: Reply, *, here: str, now: float) -> Reply:
    """What is sent instead of ``reply``. The placeholders of a ``wire`` fault are the router's to fill in.

    Args:
        reply: what the service would have answered; an empty reply if it did nothing (`Fault.works_first`).
        here: the address of the request, with origin and query.
        now: epoch seconds.
    """
    if fault.kind in _BROKEN:
        return _broken(fault, reply)
    if fault.kind in _FIXED:
        return _fixed(fault, here, now)
    if fault.kind in JOB_FAULTS:
        return reply
    return _wrong_body(fault, reply)


def _broken(fault: Fault, reply: Reply) -> Reply:
    """A reply whose very bytes are wrong, or late."""
    raw, seconds = {
        "wire": (fault.raw, 0.0),
        "truncated": (reply.head() + reply.body[: len(reply.body) // 2], 0.0),
        "slow_drip": (reply.head() + reply.body, 10.0),
        "hang": (b"", 3600.0),
        "hang_before": (b"", 3600.0),
    }.get(fault.kind, (b"", 0.0))
    seconds = seconds if fault.seconds is None else fault.seconds
    return replace(reply, raw=raw, seconds=seconds, close=fault.close)


def _fixed(fault: Fault, here: str, now: float) -> Reply:
    status = fault.status or _FIXED[fault.kind]
    if fault.kind == "redirect":
        # The same address with a query: following it must reach the service, and not end in a loop.
        again = here + ("&" if "?" in here else "?") + "moved=1"
        return Reply(status, b"", {"Location": fault.url or again})
    headers = {}
    if fault.kind == "rate_limited" and fault.retry_after is not None:
        headers = retry_after_header(fault.retry_after, now, form="date" if fault.as_date else "seconds")
    content_type, body = payloads.error_body("html" if fault.kind == "html" else fault.body, status, fault.code)
    if fault.raw is not None:
        content_type, body = "application/json", fault.raw
    return Reply(status, body, {"Content-Type": fault.content_type or content_type, **headers})


def _wrong_body(fault: Fault, reply: Reply) -> Reply:
    """A body that is not what it seems."""
    if fault.kind == "bomb":
        return replace(reply, body=payloads.png_bomb(400_000_000), headers={"Content-Type": "image/png"})
    if fault.kind == "gzip_bomb":
        headers = {**reply.headers, "Content-Encoding": "gzip"}
        return replace(reply, body=payloads.gzip_bomb(fault.size or 128 * 2**20), headers=headers)
    if fault.kind == "oversized":  # the true reply with spaces after it; an image with zeros
        size = fault.size or (65 * 2**20 if fault.on == "download" else 2 * 2**20)
        if fault.on != "download":
            return replace(reply, body=reply.body.ljust(size), sized=fault.sized)
        return replace(reply, body=b"\0" * 2**16, repeat=-(-size // 2**16), sized=fault.sized)
    body = payloads.WRONG_CONTENT.get(fault.body, payloads.HTML) if fault.raw is None else fault.raw
    return replace(reply, body=body, headers={"Content-Type": fault.content_type or "image/png"})
