"""Scripted failures: what goes wrong, at which request, and how the answer is bent.

Everything here is a value or a pure function; the server only carries out what `Reply.delivery` says.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from . import payloads
from .limits import retry_after_header
from .payloads import BodyShape
from .replies import Delivery, Reply, json_reply

FaultPoint = Literal["submit", "poll", "download", "schema"]
FaultKind = Literal[
    "drop_before",
    "drop_after",
    "hang_before",
    "hang",
    "half_header",
    "slow_drip",
    "status",
    "rate_limited",
    "truncated",
    "html",
    "no_job_id",
    "unknown_status",
    "foreign_status_url",
    "foreign_image_url",
    "redirect",
    "expired",
    "wrong_content",
    "truncated_picture",
    "bomb",
    "gzip_bomb",
    "oversized",
    "failed",
    "fewer",
    "more",
]

#: Faults that come before the service has done anything: a submit makes no job.
NOTHING_MADE = frozenset({"drop_before", "hang_before", "status", "rate_limited", "redirect", "expired"})
_DOWNLOADS = frozenset({"expired", "wrong_content", "truncated_picture", "bomb"})
_JOBS = frozenset({"failed", "fewer", "more"})
_REPLIES = frozenset({"no_job_id", "unknown_status", "foreign_status_url", "foreign_image_url"})
_WHERE: Mapping[str, frozenset[str]] = {
    "submit": _JOBS | _REPLIES,
    "poll": _JOBS | _REPLIES,
    "download": _DOWNLOADS,
    "schema": frozenset(),
}
_SPECIAL = _DOWNLOADS | _JOBS | _REPLIES
#: How the bytes leave, and over how many seconds where a fault does not say.
_DELIVERIES: Mapping[str, tuple[Delivery, float]] = {
    "drop_before": ("nothing", 0.0),
    "drop_after": ("nothing", 0.0),
    "hang_before": ("hang", 3600.0),
    "hang": ("hang", 3600.0),
    "half_header": ("half_header", 0.0),
    "truncated": ("cut", 0.0),
    "slow_drip": ("drip", 10.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted failure.

    What happens (``kind``), for every request unless said otherwise:

    - ``drop_before``: closed without a byte as soon as the header has come, the body unread, nothing made;
      ``drop_after`` the same after reading it and doing the work
    - ``hang_before``, ``hang``: silence for ``seconds`` (an hour), then closed; before or after doing the work
    - ``half_header``: closed in the middle of the header. ``truncated``: closed in the middle of the body
    - ``slow_drip``: the body spread evenly over ``seconds`` (10)
    - ``status``: ``status`` (500) with a body of the shape ``body`` and the code ``code``
    - ``rate_limited``: 429; ``retry_after`` seconds, as a date with ``as_date``; None sends no Retry-After
    - ``html``: 200 with an HTML page. ``redirect``: ``status`` (307) to ``url`` (the same address, asked once more)
    - ``gzip_bomb``: a small gzip body that grows to ``size`` bytes (128 MB; whole megabytes)
    - ``oversized``: a real body of ``size`` bytes (2 MB of JSON; 65 MB for a download); without Content-Length
      unless ``sized``
    - submit and poll: ``no_job_id``; ``unknown_status`` says ``value`` (warming_up); ``foreign_status_url`` and
      ``foreign_image_url`` point to ``url``; ``failed`` lets the job fail with ``error``, a string or an object;
      ``fewer`` and ``more`` let the job deliver one picture less or more
    - download: ``expired`` answers ``status`` (410) until the job is asked again; ``wrong_content`` sends ``body``
      (html, empty, text or json) as if it were the picture; ``truncated_picture`` half the file under the length of
      half the file; ``bomb`` a small PNG of ``pixels`` (400 million)

    Attributes:
        on: which requests: ``submit`` POSTs, ``poll`` GETs of a job, ``download`` GETs of a picture, ``schema`` GETs of
            the model's schema.
        at: the first such request it strikes, counted from 1 since the fault was added; None strikes every one.
        times: how many in a row it strikes from ``at`` on.
        made: whether a submit's job is made before the answer goes wrong; None takes what the kind implies (``status``,
            ``rate_limited`` and ``redirect``: not made).
        raw: these very bytes as the body, with ``content_type``, instead of ``body``.
    """

    on: FaultPoint
    kind: FaultKind
    at: int | None = None
    times: int = 1
    made: bool | None = None
    status: int | None = None
    body: BodyShape = "error"
    raw: bytes | None = None
    content_type: str | None = None
    code: str | None = None
    message: str = "A scripted fault."
    retry_after: float | None = None
    as_date: bool = False
    seconds: float | None = None
    url: str | None = None
    value: str = "warming_up"
    error: Any = "A scripted failure of the model."
    size: int | None = None
    sized: bool = False
    pixels: int = 400_000_000

    def __post_init__(self) -> None:
        if self.on not in _WHERE:
            raise ValueError(f"A fault is on {', '.join(_WHERE)}; not on {self.on!r}.")
        if self.kind not in FaultKind.__args__:  # type: ignore[attr-defined]  # a Literal knows its values
            raise ValueError(f"There is no fault {self.kind!r}.")
        if self.kind in _SPECIAL and self.kind not in _WHERE[self.on]:
            raise ValueError(f"The fault {self.kind!r} cannot happen on {self.on!r}.")
        if self.at is not None and (self.at < 1 or self.times < 1):
            raise ValueError("at and times count from 1.")

    @property
    def works_first(self) -> bool:
        """Whether the service does its work before the answer goes wrong."""
        return self.kind not in NOTHING_MADE if self.made is None else self.made

    @property
    def unread(self) -> bool:
        """Whether the request's body is not even read."""
        return self.kind == "drop_before" and not self.works_first

    def strikes(self, k: int) -> bool:
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
        """The fault that strikes the request arriving now; the first of several."""
        struck: Fault | None = None
        with self._lock:
            for place, fault in enumerate(self._faults):
                if fault.on == on:
                    self._seen[place] += 1
                    if struck is None and fault.strikes(self._seen[place]):
                        struck = fault
        return struck


def bend(fault: Fault, reply: Reply, *, here: str, now: float) -> Reply:
    """What is sent instead of ``reply``.

    Args:
        reply: what the service would have answered; where it did nothing (`Fault.works_first`), an empty reply.
        here: the address that was asked, with origin and query.
        now: epoch seconds.
    """
    if fault.kind in _DELIVERIES:
        delivery, seconds = _DELIVERIES[fault.kind]
        return replace(reply, delivery=delivery, seconds=seconds if fault.seconds is None else fault.seconds)
    if fault.kind in _REPLIES:
        return _bend_json(fault, reply)
    if fault.kind in ("status", "rate_limited", "html", "redirect", "expired"):
        return _answer(fault, here, now)
    if fault.kind in _JOBS:
        return reply  # the job was changed, and the reply tells the truth about it
    return _payload(fault, reply)


def _answer(fault: Fault, here: str, now: float) -> Reply:
    """An answer that owes nothing to what the service would have said."""
    if fault.kind == "html":
        return Reply(200, payloads.HTML, {"Content-Type": "text/html; charset=utf-8"})
    if fault.kind == "redirect":
        again = here + ("&" if "?" in here else "?") + "moved=1"
        return Reply(fault.status or 307, b"", {"Location": fault.url or again})
    if fault.kind == "rate_limited":
        form: Literal["seconds", "date", "none"] = "date" if fault.as_date else "seconds"
        headers = {} if fault.retry_after is None else retry_after_header(fault.retry_after, now, form=form)
        return _error(fault, fault.status or 429, headers)
    return _error(fault, fault.status or (410 if fault.kind == "expired" else 500), {})


def _error(fault: Fault, status: int, headers: dict[str, str]) -> Reply:
    if fault.raw is not None:
        return Reply(status, fault.raw, {"Content-Type": fault.content_type or "application/json", **headers})
    content_type, body = payloads.error_body(fault.body, status, fault.code, fault.message)
    return Reply(status, body, {"Content-Type": fault.content_type or content_type, **headers})


def _bend_json(fault: Fault, reply: Reply) -> Reply:
    """One fact of a JSON reply made wrong; an error reply stays as it is."""
    if reply.status >= 400:
        return reply
    value = json.loads(reply.body)
    if fault.kind == "no_job_id":
        value.pop("jobId", None)
    elif fault.kind == "unknown_status":
        value["status"] = fault.value
        value.pop("output", None)
    elif fault.kind == "foreign_status_url":
        value["statusUrl"] = fault.url or f"https://elsewhere.invalid/api/v1/jobs/{value.get('jobId')}"
    elif "output" in value:
        foreign = fault.url or "https://elsewhere.invalid/picture.png"
        value["output"] = {"images": [foreign for _ in value["output"]["images"]]}
    return json_reply(value, reply.status)


def _payload(fault: Fault, reply: Reply) -> Reply:
    """A body that is not what it seems."""
    if fault.kind == "truncated_picture":
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    if fault.kind == "bomb":
        return replace(reply, body=payloads.png_bomb(fault.pixels), headers={"Content-Type": "image/png"})
    if fault.kind == "gzip_bomb":
        headers = {**reply.headers, "Content-Encoding": "gzip"}
        return replace(reply, body=payloads.gzip_bomb(fault.size or 128 * 2**20), headers=headers)
    if fault.kind == "oversized":
        return _oversized(fault, reply)
    body = fault.raw if fault.raw is not None else payloads.wrong_content(fault.body)
    return replace(reply, body=body, headers={"Content-Type": fault.content_type or "image/png"})


def _oversized(fault: Fault, reply: Reply) -> Reply:
    """The true reply with blanks after it: JSON that is right and too long, a picture with a tail."""
    size = fault.size or (65 * 2**20 if fault.on == "download" else 2 * 2**20)
    if fault.on != "download":
        return replace(reply, body=reply.body + b" " * max(0, size - len(reply.body)), sized=fault.sized)
    block = b"\0" * 2**16
    return replace(reply, body=block, repeat=-(-size // len(block)), sized=fault.sized)
