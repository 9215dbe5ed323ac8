"""Frozen values: what is asked for, what the service says of it, and what an observer is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Self

from .errors import KlingError
from .generation_request import GenerationRequest


class JobStatus(StrEnum):
    """Where a job's record stands in its life. The history's ``status`` column holds these words; see `STATUSES`."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    UNCONFIRMED = "unconfirmed"
    RUNNING = "running"
    DOWNLOADING = "downloading"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    DISMISSED = "dismissed"

    @property
    def over(self) -> bool:
        """True if nothing is left to do."""
        return STATUSES[self].over


# The highest price of a job and balance of an account, in credits, and the latest moment, in epoch seconds up to the
# year 9999 (a date can be shown), that are believed, written down and read again.
MOST_CREDITS, MOST_BALANCE, LATEST = 1e6, 1e12, 2.5e11


class StatusRow(NamedTuple):
    """What a status means and how it is shown.

    Attributes:
        meaning: one sentence. icon, text: what stands beside a job. tone: what kind of news it is, for a color.
        over: True if nothing is left to do.
    """

    meaning: str
    icon: str
    text: str
    tone: Literal["waiting", "moving", "good", "stopped", "unsure", "bad"]
    over: bool = False


# One row per status. Views get its fields as arguments.
STATUSES: Mapping[JobStatus, StatusRow] = {
    JobStatus.QUEUED: StatusRow("It is written down; nothing was sent.", "\u25cb", "queued", "waiting"),
    JobStatus.SUBMITTING: StatusRow("It is being sent.", "\u25cc", "submitting", "moving"),
    JobStatus.UNCONFIRMED: StatusRow(
        "It may have been submitted and charged; it is never sent again by itself.", "?", "unconfirmed", "unsure"
    ),
    JobStatus.RUNNING: StatusRow("The service gave a job id and makes the images.", "\u25b8", "running", "moving"),
    JobStatus.DOWNLOADING: StatusRow("The images are being saved.", "\u2193", "downloading", "moving"),
    JobStatus.PAUSED: StatusRow("It is not polled now; resume continues it.", "\u2016", "paused", "stopped"),
    JobStatus.COMPLETED: StatusRow("Every image is in the folder.", "\u2713", "completed", "good", True),
    JobStatus.FAILED: StatusRow("The service says that the job failed.", "\u2715", "failed", "bad", True),
    JobStatus.EXPIRED: StatusRow(
        "Its images cannot be had any more: the links ended, or the service no longer knows the job.",
        "\u29d7",
        "expired",
        "bad",
        True,
    ),
    JobStatus.REJECTED: StatusRow(
        "The service refused the request; no job was made.", "\u2298", "rejected", "bad", True
    ),
    JobStatus.CANCELLED: StatusRow("It was cancelled before it was sent.", "\u2013", "cancelled", "stopped", True),
    JobStatus.DISMISSED: StatusRow(
        "It was unconfirmed or paused, and was given up.", "\u00d7", "dismissed", "stopped", True
    ),
}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as one reply of the service shows it.

    Attributes:
        state: our reading of the status: running, completed or failed. status: the service's own word, lower-cased.
        image_urls: temporary URLs (or data URLs) of a completed job's images, in the service's order.
        output_urls: the same of a job in any state: what stands in its output so far.
        status_url: where to poll, if usable.
        credit_cost, credits_remaining: None where the reply did not say.
        error: the service's reason, for a failed job or one that a reply without its id calls failed.
        warnings: what the service says of the images' content.
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
        warnings: what the service says of the images' content.
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
    warnings: tuple[str, ...] = ()
    error: KlingError | None = None

    def replace(self, **changes: Any) -> Self:
        """The next snapshot: this one with some facts replaced."""
        return replace(self, **changes)


# Called from a worker's thread at each change. What it raises never reaches the job.
Observer = Callable[[Snapshot], None]
