"""What one job's worker needs at hand, and how it says and commits what happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..api.client import ServiceClient
from ..api.errors import KlingError, SettingsError
from ..api.job import Observer, Snapshot
from ..api.poll_schedule import Durations
from ..api.rate_limiter import Kind
from ..api.request_queue import Slot
from ..image_files import saving
from ..journal.job_record import Record
from ..journal.journal import JournalError


class Ledger(Protocol):
    """Where a record is committed: the journal, or an intent file where another process runs the job."""

    def commit(self, record: Record) -> None: ...


class Gate(Protocol):
    """Whether the POST may go out."""

    def priced(self, record: Record, waiting: Callable[[], None]) -> bool:
        """Wait until somebody has found out what such a job costs, or it is this one that does. False: cancelled.

        ``waiting`` is called where it has to wait.
        """

    def allow(self, record: Record) -> bool:
        """Close the gate. False: cancelled. Raises KlingError where the money is not there."""

    def sent(self, accepted: bool) -> None: ...
    def cancelled(self) -> bool: ...
    def pause(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a job ended, and the error to raise where that is not ``completed``."""

    record: Record
    error: KlingError | None = None


@dataclass(slots=True)
class Work:
    """What one job's worker needs at hand. ``unwritten`` is the last commit's error while it is being retried."""

    client: ServiceClient
    observer: Observer
    ledger: Ledger
    gate: Gate
    folder: Path
    durations: Durations = field(default_factory=Durations)
    known: Callable[[], Durations] | None = None
    job_max_age: float = 3600.0
    thumbnail_size: int = 256
    recipe: bool = True
    warn: Callable[[str], object] = print
    resumed: bool = False
    unwritten: Exception | None = None
    snapshot: Snapshot | None = None

    def tell(self, record: Record, **facts: object) -> None:
        """Give the observer the next snapshot; facts not named are those of the record."""
        since = record.submitted_at or record.created_at
        known = {
            "status": record.status,
            "number": record.number,
            "job_id": record.job_id,
            "elapsed": max(0.0, (record.completed_at or time.time()) - since),
            "expected": self.durations.expected,
            "credits": record.credits,
            "saved": self.saved(record),
            "waiting_for": None,
        }
        base = self.snapshot or Snapshot(record.request, record.status, images=record.request.num_outputs)
        self.snapshot = base.replace(**known | facts)
        self.observer(self.snapshot)

    def saved(self, record: Record) -> int:
        """How many of its images are in the folder: a name whose file is not there holds a place."""
        return sum(saving.is_saved_image(self.folder / name) for name in record.images)

    def refresh(self) -> None:
        """Take in how long the jobs took that have ended meanwhile."""
        if self.known is not None:
            with suppress(JournalError):  # it only says when to ask next
                self.durations = self.known()

    def commit(self, record: Record, *, strict: bool = False, **changes: object) -> Record:
        """Commit the record's next state and tell the observer.

        Once a job may exist, a commit that fails stops nothing: the whole row is written again at the next one.
        ``strict`` is for everything before the POST: what cannot be written down is not sent.
        """
        record = record.replace(**changes)
        try:
            self.ledger.commit(record)
            self.unwritten = None
        except (JournalError, OSError) as error:
            if strict:
                raise SettingsError(
                    f"The journal could not be written ({error}). Nothing was sent. Make room, or change the folder.",
                    number=record.number,
                ) from None
            self.unwritten = error
        self.tell(record)
        return record


def wait_for_rate_limit(record: Record, work: Work, kind: Kind, due: float = 0.0) -> bool:
    """Wait in the client's line for a share of the rate limit. False: cancelled meanwhile."""
    with work.client.queue(kind, due) as ticket:
        return _wait_in_line(record, work, ticket)


def _wait_in_line(record: Record, work: Work, ticket: Slot) -> bool:
    said = False
    while (seconds := ticket.ready()) > 0:
        if work.gate.cancelled():
            return False
        if seconds > 1.0 or said:
            said = True
            work.tell(record, waiting_for=f"rate limit, {seconds:.0f} s")
        work.gate.pause(min(seconds, 1.0))
    if said:
        work.tell(record)
    return True
