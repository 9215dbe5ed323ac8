"""RunningJob: the only in-process state of a job, and the store that its record and images go to."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, Protocol

from ..api.client import ServiceClient
from ..api.errors import DownloadError, KlingError, SettingsError, StillRunningError
from ..api.event_log import suppress
from ..api.job import Job, JobStatus
from ..api.poll_schedule import Durations
from ..api.rate_limiter import RequestKind
from ..journal.job_record import Record
from ..journal.journal import JournalError
from ..results.handle import JobHandle
from .send_permit import CancelledError, SendPermit

PRICE_SECONDS = 0.1  # between checks for a reply that states what such a job costs

# Downloads one image, given a function that takes its bytes in pieces.
Fetch = Callable[[Callable[[bytes], object]], object]


class RecordStore(Protocol):
    """Where one job's record and images go: a folder (`FolderStore`), or memory (`KlingClient`). Memory knows no other
    jobs: what is asked about those has an answer here."""

    def commit(self, record: Record) -> Record:
        """Make the record durable; returns it as written, perhaps under another number.

        Raises:
            JournalError, OSError: it could not be written. LostOwnership: another session owns the job.
        """
        return record

    def save(self, record: Record, place: int, fetch: Fetch, *, last: bool) -> str:
        """Fetch and keep one image; its name. ``last``: it will not be fetched again. Raises DownloadError."""

    def find(self, record: Record, place: int) -> str | None:  # noqa: ARG002
        """The name of an image that an earlier process saved and did not record."""
        return None

    def has(self, name: str) -> bool:
        """Whether the image of this name is there."""

    def download_all(self, tasks: Iterable[Callable[[], str | DownloadError]]) -> Iterator[str | DownloadError]:
        """Run the tasks, as many side by side as is good; what they return, in their order."""
        return (task() for task in tasks)

    def prepare(self) -> None:
        """Import what images need, while the job runs."""

    def durations(self, record: Record) -> Durations:  # noqa: ARG002
        """How long such jobs took before."""
        return Durations()

    def is_other_job(self, record: Record, job_id: str) -> bool:  # noqa: ARG002
        """Whether another record has this job id already."""
        return False

    def warn(self, text: str) -> None:
        """Tell the user once."""


class RunningJob:
    """One job from its first step here to its last.

    Args:
        record: how it stands. store: where its record and images go.
        permit: what decides whether it may be sent, None for no limits. max_age: seconds this process keeps asking.
        timeout: seconds from now that the caller waits, None for no limit.
        resumed: whether an earlier worker may have polled or saved something of it.

    Attributes:
        answered: the service's reply to the submit, if it is completed and shows its images.
        unwritten: the error of the last commit while it is being retried. submitted: when this process submitted it,
            on the monotonic clock. found_running: its age in seconds at the last poll that found it running.
        unasked: seconds of its age in which it could not be asked for; the schedule of polls leaves them out.
    """

    client: ServiceClient

    def __init__(
        self,
        record: Record,
        store: RecordStore,
        *,
        permit: SendPermit | None = None,
        max_age: float = math.inf,
        timeout: float | None = None,
        resumed: bool = False,
    ) -> None:
        self.record = record
        self.store = store
        self.permit = permit
        self.max_age = max_age
        self.resumed = resumed
        self.handle = JobHandle(record.request, record.number, record.status, self._cancel)
        self._timeout = timeout
        self._deadline = math.inf if timeout is None else time.monotonic() + timeout
        self.unwritten: Exception | None = None
        self.answered: Job | None = None
        self.submitted: float | None = None
        self.durations = Durations()
        self.found_running = self.unasked = 0.0
        self._lock = threading.Lock()
        self._sending = False
        self.cancelled = threading.Event()

    # ---- telling and committing ----

    @property
    def name(self) -> str:
        """What messages call it."""
        record = self.record
        return f"Job {record.number}" if record.number else f"Job {record.job_id}" if record.job_id else "The request"

    @property
    def resume_hint(self) -> str:
        """The sentence that says how to ask for it again."""
        number, job_id = self.record.number, self.record.job_id
        return f"`%kling resume {number}` tries again." if number else f"client.wait({job_id!r}) asks again."

    @property
    def saved(self) -> int:
        """How many of its images are there: the name of one that is not holds a place."""
        return sum(map(self.store.has, self.record.images))

    def notify(self, **facts: object) -> None:
        """Give the observer the next snapshot; facts not named are those of the record."""
        record = self.record
        known: dict[str, Any] = {
            "status": record.status,
            "job_id": record.job_id,
            "elapsed": max(0.0, (record.completed_at or time.time()) - (record.submitted_at or record.created_at)),
            "expected": self.durations.expected,
            "credits": record.credits,
            "saved": self.saved,
            "waiting_for": None,
        }
        self.handle.publish(self.handle.snapshot.replace(**(known | facts)))

    def refresh_durations(self) -> None:
        """Take in how long the jobs took that have ended meanwhile."""
        with suppress(JournalError):  # it only says when to ask next
            self.durations = self.store.durations(self.record)

    def commit(self, **changes: object) -> None:
        """Commit the record's next state and tell the observer.

        Once a job may exist, a commit that fails stops nothing: the record is written again at the next one.
        """
        self.record = self.record.replace(**changes)
        try:
            self.record = self.store.commit(self.record)
            self.unwritten = None
        except (JournalError, OSError) as error:
            self.unwritten = error
        self.notify()

    # ---- may it be sent? ----

    def wait_until_allowed(self) -> None:
        """Wait for the price and for a share of the rate limit. Raises CancelledError, and what the permit raises."""
        while self.permit is not None and (reason := self.permit.check(self.record)):
            if self.handle.snapshot.waiting_for != reason:
                self.notify(waiting_for=reason)
            self.pause(PRICE_SECONDS)
        self.wait_for_rate_limit("submit")

    def wait_for_rate_limit(self, kind: RequestKind, due: float = 0.0) -> None:
        """Wait in the client's queue for a share of the rate limit. ``due``: ``time.monotonic()`` seconds."""
        with closing(self.client.request_queue.slot(kind, due)) as slot:
            told = False
            while (seconds := slot.ready()) > 0:
                if seconds > 1.0 or told:  # a shorter wait is not worth a message
                    told = True
                    self.notify(waiting_for=f"rate limit, {seconds:.0f} s")
                self.pause(min(seconds, 1.0))
            if told:
                self.notify()

    def pause(self, seconds: float) -> None:
        """Sleep; a cancellation wakes.

        Raises:
            CancelledError. StillRunningError: the caller stopped waiting; a job that was sent keeps running.
        """
        if (left := self._deadline - time.monotonic()) <= 0:
            job_id = self.record.job_id
            about = f"job {job_id} keeps running; wait for it again" if job_id else "nothing was sent"
            raise StillRunningError(f"The time-out of {self._timeout:g} s has passed; {about}.", job_id=job_id)
        seconds = min(seconds, left)
        woken = time.monotonic() + seconds
        if self.cancelled.wait(seconds):
            raise CancelledError
        # While a laptop was suspended the job was not asked for: that neither uses up the patience nor makes it old.
        slept = max(0.0, time.monotonic() - woken)
        self.max_age += slept
        self.unasked += slept

    def begin_sending(self) -> None:
        """Called right before the first byte of the POST: the price is reserved and the intent committed in one step.

        Raises:
            CancelledError, BudgetExceededError, InsufficientCreditsError: it may not be sent.
            SettingsError: the intent could not be committed.
        """
        intent = self.record.replace(
            status=JobStatus.SUBMITTING,
            raw={"body": self.client.body_of(self.record.request)},
            submitted_at=time.time(),
        )
        if self.permit is None:
            self._commit_intent(intent)
        else:
            self.permit.acquire(self.record, lambda: self._commit_intent(intent))
        self.submitted = time.monotonic()
        self.notify()

    def _commit_intent(self, intent: Record) -> None:
        # Under the lock of `_cancel`: a request is either cancelled or sent, and its handle says which.
        with self._lock:
            if self.cancelled.is_set():
                raise CancelledError
            self._sending = True
        try:
            intent = self.store.commit(intent)
        except BaseException as error:
            self._sending = False
            if not isinstance(error, JournalError | OSError):
                raise
            raise SettingsError(
                f"The journal could not be written ({error}). Nothing was sent. Free some space, or change the folder.",
                number=self.record.number,
            ) from None
        self.record, self.unwritten = intent, None

    def end_sending(self, *, accepted: bool) -> None:
        """The POST was answered. If no job was made, its price is free again, and it may be cancelled."""
        if not accepted and self.permit is not None:
            self.permit.release(self.record)
        with self._lock:
            self._sending = False
        if accepted and not self.handle.running():
            self.handle.set_running_or_notify_cancel()

    def _cancel(self) -> bool:
        with self._lock:
            if not self._sending:
                self.cancelled.set()
            return self.cancelled.is_set()

    # ---- the end ----

    def fail(self, error: KlingError) -> None:
        """Give the handle the error that the job ended with."""
        if self.handle.done():
            return
        self.handle.publish(self.handle.snapshot.replace(status=self.record.status, error=error, waiting_for=None))
        self.handle.set_exception(error)
