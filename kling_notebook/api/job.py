"""Frozen values: what is asked for, what the service says of it, and what an observer is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from .errors import KlingError
from .generation_request import GenerationRequest


class JobStatus(StrEnum):
    """Where a job's record stands in its life. The history's ``status`` column holds these words."""

    QUEUED = "queued"  # written down; nothing was sent
    SUBMITTING = "submitting"  # the intent is committed; the POST may be under way
    UNCONFIRMED = "unconfirmed"  # it is unknown whether a job was made; never sent again by itself
    RUNNING = "running"  # the service gave a job id
    DOWNLOADING = "downloading"  # the service is done; images are being saved
    PAUSED = "paused"  # not polled now, its job id is kept; resume does
    COMPLETED = "completed"  # every image is in the folder
    FAILED = "failed"  # the service says that the job failed
    EXPIRED = "expired"  # the images' URLs died before they were saved; the id is kept
    REJECTED = "rejected"  # no job was made
    CANCELLED = "cancelled"  # taken back before the POST
    DISMISSED = "dismissed"  # was unconfirmed or paused; the user gave it up

    @property
    def over(self) -> bool:
        """True where nothing is left to do."""
        return self in _OVER


_OVER = frozenset(
    {
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.EXPIRED,
        JobStatus.REJECTED,
        JobStatus.CANCELLED,
        JobStatus.DISMISSED,
    }
)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as one reply of the service shows it.

    Attributes:
        state: our reading of the status: running, completed or failed. status: the service's own word, lower-cased.
        image_urls: temporary URLs (or data URLs) of a completed job's images, in the service's order.
        output_urls: the same of a job in any state: what stands in its output so far.
        status_url: where to poll, if usable.
        credit_cost, credits_remaining: None where the reply did not say.
        error: the service's reason, for a failed job. warnings: what the service says of the images' content.
        raw: the reply, without asset URLs.
    """

    job_id: str
    state: Literal["running", "completed", "failed"]
    status: str
    image_urls: tuple[str, ...] = field(default=(), repr=False)
    output_urls: tuple[str, ...] = field(default=(), repr=False)
    status_url: str | None = None
    credit_cost: float | None = None
    credits_remaining: float | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What an observer is told at each change of a job. Times in seconds.

    Attributes:
        number: the job's number in its folder, 0 without a folder (a bare client).
        service_status: the service's own word, as last reported.
        elapsed: since the submit (since the plan before it). expected: in all, from past jobs; None when unknown.
        waiting_for: why nothing moves just now ("rate limit, 12 s", "network"), None where it moves.
        saved: how many of ``images`` are in the folder. reused: shown again from the folder at no cost.
    """

    request: GenerationRequest
    status: JobStatus
    number: int = 0
    job_id: str | None = None
    service_status: str | None = None
    elapsed: float = 0.0
    expected: float | None = None
    credits: float | None = None
    waiting_for: str | None = None
    saved: int = 0
    images: int = 0
    reused: bool = False
    error: KlingError | None = None

    def replace(self, **changes: Any) -> Snapshot:
        """The next snapshot: this one with some facts replaced."""
        return replace(self, **changes)


Observer = Callable[[Snapshot], None]
"""Called from a worker's thread at each change. What it raises never reaches the job."""
