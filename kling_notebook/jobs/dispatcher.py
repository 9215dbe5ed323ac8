"""The jobs a session has under way: their workers, and how each one ends."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ..api.client import ServiceClient
from ..api.errors import KlingError
from ..api.event_log import suppress
from ..api.generation_request import kind
from ..api.job import JobStatus
from ..api.poll_schedule import Durations
from ..image_files.worker_pool import WorkerPool
from ..journal.job_record import Record
from ..journal.journal import JournalError, LostOwnership
from ..results.handle import JobHandle
from .advance import advance, error_from_record
from .running_job import RunningJob
from .send_permit import SendPermit, SpendingLedger
from .workspace import FolderStore, Workspace

FOLLOW_SECONDS = 1.0  # between looks at a job that another living kernel works on
_CONTINUES = (JobStatus.SUBMITTING, JobStatus.RUNNING, JobStatus.DOWNLOADING, JobStatus.PAUSED)


class Dispatcher:
    """The jobs under way. One worker thread per job, from POST to saved file.

    Args:
        client: makes the client at its first use. ledger: what the session has spent.
        rate: requests a minute as known now. downloads: how many images are fetched at once.

    Attributes:
        jobs: by number. unwritten: how jobs ended whose last commit failed, by number.
        planning: held while rows are looked for and then written or taken, so that no two threads take one.
    """

    def __init__(
        self,
        workspace: Workspace,
        client: Callable[[], ServiceClient],
        ledger: SpendingLedger,
        rate: Callable[[], float],
        downloads: int,
    ) -> None:
        self.workspace = workspace
        self.client = client
        self.ledger = ledger
        self.rate = rate
        self.planning = threading.RLock()
        self.workers = WorkerPool(workspace.settings.in_flight)
        self.downloads = WorkerPool(downloads)
        self.jobs: dict[int, RunningJob] = {}
        self.unwritten: dict[int, Record] = {}

    # ---- starting ----

    def add(self, record: Record, permit: SendPermit | None = None, *, resumed: bool = False) -> RunningJob:
        """A job that is about to run. A resumed one was bought: there is nothing to cancel."""
        job = RunningJob(
            record,
            FolderStore(self.workspace, self.commit, self.downloads, self._durations),
            permit=permit,
            max_age=self.workspace.settings.job_max_age,
            resumed=resumed,
        )
        # Known before it is started: an interrupt between the two must find it, to cancel it.
        self.jobs[record.number] = job
        if resumed:
            job.handle.set_running_or_notify_cancel()
        else:
            job.handle.add_done_callback(self._note_cancelled)
        return job

    def resume(self, record: Record, *, elsewhere: bool = False) -> JobHandle:
        """Continue a job that this session owns; ``elsewhere``: attach to one that another living kernel works on."""
        job = self.add(record, resumed=True)
        self.start(job, elsewhere=elsewhere)
        return job.handle

    def start(self, job: RunningJob, *, elsewhere: bool = False) -> None:
        """Give it a worker. KlingError if there is none: then nothing was sent."""
        work = self._follow if elsewhere else self._run

        def guarded() -> None:
            try:
                work(job)
            except LostOwnership:
                number, job_id = job.record.number, job.record.job_id
                text = f"Job {number} ({job_id or 'not submitted'}) was taken over by another kernel."
                self._conclude(job, KlingError(text, job_id=job_id, number=number))
            except Exception as unexpected:  # an internal error must reach the waiting cell, not die with the thread
                with suppress(Exception):  # reading it may be what went wrong, for lack of memory too
                    job.record = self.workspace.journal.get(job.record.number) or job.record
                error = unexpected if isinstance(unexpected, KlingError) else internal_error(job.record, unexpected)
                self._conclude(job, error)

        try:
            self.workers.start(guarded)
        except KlingError:
            self.jobs.pop(job.record.number, None)
            raise

    def _note_cancelled(self, handle: Any) -> None:
        if handle.cancelled():
            with suppress(JournalError):
                self.workspace.journal.settle(handle.number, JobStatus.CANCELLED, JobStatus.QUEUED)
            handle.publish(handle.snapshot.replace(status=JobStatus.CANCELLED, waiting_for=None))
            self.jobs.pop(handle.number, None)

    # ---- on a worker ----

    def _run(self, job: RunningJob) -> None:
        """One worker, one job."""
        if job.handle.cancelled():
            return
        self._report_load()
        job.client = self.client()
        # Only now: a thousand queued jobs must not each hold the bytes of their source images.
        if job.record.request.sources:
            job.record = job.record.replace(request=job.record.request.with_sources(self.workspace.attachments.load))
        error = advance(job)
        if job.unwritten is not None:
            self.unwritten[job.record.number] = job.record
        self._conclude(job, error)
        self._report_load()

    def _durations(self, record: Record) -> Durations:
        """How long jobs of this kind took before; the ages at which others were last found running say so, too."""
        jobs, which = list(self.jobs.values()), kind(record.request)
        ages = [job.found_running for job in jobs if job.found_running and kind(job.record.request) == which]
        return self.workspace.durations(record.request, ages)

    def _report_load(self) -> None:
        """Report the load so the limiter can divide polls among jobs."""
        with suppress(KlingError):  # no client: the job that needs it says so
            self.client().request_queue.report_load(self.workers.working, self.workers.waiting)

    def _conclude(self, job: RunningJob, error: KlingError | None) -> None:
        record, number = job.record, job.handle.number  # they differ if the journal was replaced meanwhile
        if record.credits is not None or record.status is JobStatus.FAILED:
            self.ledger.settle(number, record.credits or 0.0)
        if job.permit is not None and error is not None:
            job.permit.stop(error)
        self.ledger.completed(record.replace(number=number))
        self.jobs.pop(number, None)
        if error is not None:
            job.fail(error)
        else:
            resolve_handle(self.workspace, job.handle, record)

    def _follow(self, job: RunningJob) -> None:
        """Wait for a job that another living kernel works on; continue it if none does any more."""
        workspace, number = self.workspace, job.record.number
        while True:
            job.record = workspace.journal.get(number) or job.record
            status = job.record.status
            # Its kernel may be gone, or its worker in this one, on a fault: then it is no longer worked on.
            stopped = status.over or status in (JobStatus.UNCONFIRMED, JobStatus.PAUSED)
            if stopped or not workspace.runs_elsewhere(job.record):
                break
            job.notify(waiting_for="another kernel's job")
            time.sleep(FOLLOW_SECONDS)
        if job.record.status is JobStatus.QUEUED:  # its kernel ended before it was sent; only it may buy for that call
            workspace.journal.settle(number, JobStatus.CANCELLED, JobStatus.QUEUED)
            job.record = workspace.journal.get(number) or job.record
        record = job.record
        if record.status is JobStatus.COMPLETED:
            self.jobs.pop(number, None)
            resolve_handle(workspace, job.handle, record, reused=True)
            return
        # A swap: of two kernels that both wait for this job, one continues it.
        mine = record if record.owner == workspace.id else workspace.journal.take_over(record, workspace.id)
        if mine is None or record.status not in _CONTINUES:
            self._conclude(job, error_from_record(record))
        else:
            job.record = mine
            self._run(job)

    def commit(self, record: Record) -> Record:
        """Write a record, and take in what it says of prices; the record as it was written. See Journal.write."""
        if record.credits is not None:  # the next POST must know what this one really cost, written down or not
            self.ledger.settle(record.number, record.credits)
        try:
            written = self._write(record)
        finally:
            if record.credits is not None:  # only now: what the others of its kind will cost is read from there
                self.ledger.price_known(record)
        self.write_again()  # the disk has taken this one: perhaps it takes the others now
        return written

    def _write(self, record: Record) -> Record:
        """Write a record. If its row is gone or is another job's (an older journal was copied over this one), it gets a
        new row: that a row is missing is not evidence that another session works on the job.

        Raises:
            LostOwnership: another living session owns the same job.
        """
        journal = self.workspace.journal
        try:
            journal.write(record)
            return record
        except LostOwnership:
            there = journal.get(record.number)
            if there is not None and (there.identity, there.job_id) == (record.identity, record.job_id):
                if self.workspace.runs_elsewhere(there) or journal.take_over(there, record.owner) is None:
                    raise
                journal.write(record)
                return record
        # Its number may be another job's by now.
        moved = journal.add([record if journal.get(record.number) is None else record.replace(number=0)])[0]
        self.workspace.notices.append(
            f"The journal was replaced while job {record.number} was running; the job is now number {moved.number}."
        )
        return moved

    def write_again(self) -> None:
        """Try once more to write down how jobs ended whose last commit failed: there may be disk space again."""
        for number, record in list(self.unwritten.items()):
            with suppress(JournalError):
                with suppress(LostOwnership):
                    self._write(record)
                self.unwritten.pop(number, None)


def resolve_handle(workspace: Workspace, handle: JobHandle, record: Record, *, reused: bool = False) -> JobHandle:
    """Give the handle the result of a completed job."""
    if handle.done():
        return handle
    found = workspace.as_result(record, reused=reused)
    handle.publish(
        handle.snapshot.replace(
            status=record.status,
            elapsed=record.seconds or 0.0,
            waiting_for=None,
            job_id=record.job_id,
            credits=record.credits,
            saved=len(record.images),
            images=len(record.images),
            reused=reused,
            warnings=found.warnings,
        )
    )
    handle.set_result(found)
    return handle


def internal_error(record: Record, error: BaseException) -> KlingError:
    fault = KlingError(
        f"Job {record.number} stopped on an internal error of kling_notebook ({type(error).__name__}: {error}). "
        f"If it was submitted, `%kling resume {record.number}` fetches it.",
        job_id=record.job_id,
        number=record.number,
    )
    fault.__cause__ = error
    return fault
