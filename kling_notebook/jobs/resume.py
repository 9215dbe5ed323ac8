"""What earlier kernels left behind: named at first use, resumed, dismissed, attached to an id from the website."""

from __future__ import annotations

from contextlib import suppress

from ..api.errors import InputError
from ..api.job import JobStatus
from ..api.parameters import check_characters
from ..api.quantities import count
from ..image_files import saving
from ..journal.job_record import Record
from ..journal.journal import JournalError
from ..results.handle import JobHandle
from ..results.result import Result, SavedImage
from .dispatcher import Dispatcher, Workspace

RESUMABLE = (JobStatus.RUNNING, JobStatus.DOWNLOADING, JobStatus.PAUSED)
_COLLECTABLE = (*RESUMABLE, JobStatus.EXPIRED)


def recover_on_start(place: Workspace) -> list[str]:
    """At first use: what dead kernels left behind is named, what was never sent is closed."""
    counts = {"here": 0, "unconfirmed": 0, "elsewhere": 0}
    others: set[str] = set()
    notices: list[str] = []
    for record in place.journal.open_records():
        if place.locks.alive(record.owner):
            continue
        if record.status is JobStatus.QUEUED:
            _settle(place, record, JobStatus.CANCELLED)
            continue
        if record.status is JobStatus.SUBMITTING:
            _settle(place, record, JobStatus.UNCONFIRMED, "its kernel ended while it was being submitted")
        unconfirmed = record.status in (JobStatus.SUBMITTING, JobStatus.UNCONFIRMED)
        mine = record.backend == place.backend
        counts["unconfirmed" if unconfirmed and mine else "here" if mine else "elsewhere"] += 1
        if not mine:
            others.add(record.backend)
    if counts["here"]:
        n = counts["here"]
        notices.append(f"{n} job{'s are' if n > 1 else ' is'} paused: `%kling resume` collects.")
    if counts["unconfirmed"]:
        n = counts["unconfirmed"]
        notices.append(f"{n} job{'s' if n > 1 else ''} may have been submitted: see `%kling status`.")
    if counts["elsewhere"]:
        notices.append(f"{counts['elsewhere']} paused on another backend ({', '.join(sorted(others))}).")
    saving.remove_temporaries(place.folder, living=place.locks.living())
    return notices


def _settle(place: Workspace, record: Record, status: JobStatus, why: str | None = None) -> None:
    """As Journal.settle. On a full disk the session begins all the same, and a later one settles it."""
    with suppress(JournalError):
        place.journal.settle(record.number, status, record.status, why)


def find(place: Workspace, which: int | str) -> Record | None:
    """The record with this number or job id."""
    text = check_characters("job", str(which).strip())
    record = place.journal.by_job_id(text)
    if record is None and text.isdecimal() and len(text) < 19:  # as much as SQLite counts
        record = place.journal.get(int(text))
    return record


def get(place: Workspace, which: int | str) -> Record:
    """As `find`; InputError where the folder knows no such job."""
    record = find(place, which)
    if record is None:
        raise InputError(f"This folder knows no job {which}. `%kling history --all` lists them.", parameter="job")
    return record


def resume_all(place: Workspace, running: Dispatcher) -> list[JobHandle]:
    """Collect every paused job of this backend whose kernel is gone. Other backends' jobs are left alone."""
    running.write_again()
    handles = []
    for record in place.journal.open_records():
        if record.backend != place.backend or record.status not in RESUMABLE:
            continue
        if (going := running.handles.get(record.number)) is not None:
            if record.status is not JobStatus.PAUSED:
                handles.append(going)
        elif record.owner == place.id or not place.locks.alive(record.owner):
            handles += _take(place, running, record)
    return handles


def resume_one(place: Workspace, running: Dispatcher, which: int | str, job_id: str | None = None) -> JobHandle:
    """Collect one job: an paused, an expired, or a unconfirmed one whose id was read off the website.

    Args:
        which: a number, a job id of this folder, or a job id it never saw, where exactly one job is unconfirmed.
        job_id: the id to attach to the unconfirmed job ``which``, also in the place of one that was attached before.

    Raises:
        InputError: there is no such job, or nothing of it is left to collect. The message says what to do.
    """
    running.write_again()
    record = find(place, which)
    if record is None and not str(which).strip().isdecimal():
        job_id, record = str(which).strip(), _only_doubt(place, str(which))
    if record is None:
        record = get(place, which)
    another = job_id if job_id != record.job_id else None
    if (going := running.handles.get(record.number)) is not None and not another:
        return going
    if record.backend != place.backend:
        raise InputError(
            f"Job {record.number} belongs to {record.backend}; this session talks to {place.backend}. "
            "Connect to that backend first.",
            parameter="job",
        )
    if another or (record.status is JobStatus.UNCONFIRMED and record.job_id):
        record = _attach(place, running, record, another or str(record.job_id))
    handle = JobHandle(record.request, record.number, record.status)
    if record.status is JobStatus.COMPLETED and place.has_all(record):
        return running.answered(handle, record, reused=True)
    if record.status in (*_COLLECTABLE, JobStatus.COMPLETED) and record.job_id:
        if record.status is JobStatus.COMPLETED:  # its files were deleted: the service may still have them
            record = _reopen(place, record)
        taken = _take(place, running, record)
        if taken:
            return taken[0]
        raise InputError(
            f"Job {record.number} is being worked on by another kernel. It goes on there.", parameter="job"
        )
    if record.status is JobStatus.UNCONFIRMED:
        raise InputError(
            f"Job {record.number} has no job id. Read it off the website, then `%kling resume {record.number} JOB_ID`; "
            f"or `%kling dismiss {record.number}`.",
            parameter="job",
        )
    raise InputError(
        f"Nothing is left to collect of job {record.number}: it is {record.status.value}.", parameter="job"
    )


def dismiss(place: Workspace, running: Dispatcher, which: int | str) -> Record:
    """Settle a unconfirmed or paused job: it no longer counts and is not asked about again.

    Raises:
        InputError: there is no such job, it is neither unconfirmed nor paused, or it is being worked on.
    """
    record = get(place, which)
    if record.number in running.handles:
        raise InputError(f"Job {record.number} is running; it can be dismissed when it has stopped.", parameter="job")
    alive = record.owner != place.id and place.locks.alive(record.owner)
    settled = record.status in (JobStatus.UNCONFIRMED, JobStatus.PAUSED) or (record.status in RESUMABLE and not alive)
    if not settled or not place.journal.settle(record.number, JobStatus.DISMISSED, record.status):
        raise InputError(f"Job {record.number} is {record.status.value}; there is nothing to dismiss.", parameter="job")
    return record.replace(status=JobStatus.DISMISSED)


def unconfirmed(place: Workspace) -> list[Record]:
    """The jobs of this backend that may have been submitted."""
    return [
        record
        for record in place.journal.open_records()
        if record.backend == place.backend and record.status is JobStatus.UNCONFIRMED
    ]


def _only_doubt(place: Workspace, job_id: str) -> Record:
    unconfirmed_records = unconfirmed(place)
    if len(unconfirmed_records) == 1:
        return unconfirmed_records[0]
    if not unconfirmed_records:
        raise InputError(f"This folder knows no job {job_id}, and none is unconfirmed.", parameter="job")
    numbers = ", ".join(str(record.number) for record in unconfirmed_records)
    raise InputError(
        f"This folder knows no job {job_id}; jobs {numbers} are unconfirmed. Say which: `%kling resume N {job_id}`.",
        parameter="job",
    )


def _attach(place: Workspace, running: Dispatcher, record: Record, job_id: str) -> Record:
    """The unconfirmed record becomes an paused one with the id the user read off the website.

    The id is marked as theirs: where the service does not know it, it was mistyped, and the doubt is as it was.
    """
    n, other = record.number, place.journal.by_job_id(job_id)
    if other is not None and other.number != n:
        raise InputError(
            f"{job_id} is job {other.number} of this folder. Job {n} must be another one.", parameter="job"
        )
    if record.status is not JobStatus.UNCONFIRMED and not (record.id_unverified and record.status in _COLLECTABLE):
        raise InputError(
            f"Job {n} is {record.status.value} as {record.job_id or 'no job'}; it cannot be given another id.",
            parameter="job",
        )
    busy = record.status is not JobStatus.UNCONFIRMED and record.owner != place.id
    if n in running.handles or (busy and place.locks.alive(record.owner)):
        raise InputError(f"Job {n} is being asked for as {record.job_id}. Wait for what comes of it.", parameter="job")
    taken = _own(place, record)
    if taken is None:
        raise InputError(f"Job {n} is being worked on by another kernel.", parameter="job")
    raw = {**taken.raw, "attached": job_id}
    attached = taken.replace(status=JobStatus.PAUSED, job_id=job_id, status_url=None, raw=raw, error=None)
    place.journal.write(attached)
    return attached


def _reopen(place: Workspace, record: Record) -> Record:
    taken = _own(place, record)
    reopened = (taken or record).replace(status=JobStatus.PAUSED)  # the images still there stay in its row
    if taken is not None:
        place.journal.write(reopened)
    return reopened


def _own(place: Workspace, record: Record) -> Record | None:
    """The record as this session's own, which goes on with it here; None where somebody was faster."""
    if record.owner != place.id:
        return place.journal.take_over(record, place.id)
    now = place.journal.get(record.number)
    if now is None or now.status is not record.status:  # its worker has just ended
        return None
    return record


def _take(place: Workspace, running: Dispatcher, record: Record) -> list[JobHandle]:
    """Make the record this session's own and set it going; [] where somebody was faster."""
    if record.owner != place.id and place.locks.alive(record.owner):
        return []
    taken = _own(place, record)
    if taken is None:
        return []
    record = taken
    handle = running.handle(record)
    handle.set_running_or_notify_cancel()  # it was bought: there is nothing to cancel
    running.run(record, handle, resumed=True)
    return [handle]


def result(place: Workspace, which: int | str) -> Result:
    """A past result; InputError where there is no such job, or it has no images: the message says why."""
    record = get(place, which)
    if not record.images:
        what = f": {record.error.rstrip('.')}" if record.error else ""
        raise InputError(f"Job {record.number} has no images; it is {record.status.value}{what}.", parameter="job")
    return place.as_result(record)


def image(place: Workspace, which: int | str | None, k: int) -> SavedImage:
    """The image at ``k`` of a job; None means the latest completed job, of this session where it has one."""
    if which is None:
        latest = place.journal.latest(status="completed", sessions=place.sessions, limit=1)
        latest = latest or place.journal.latest(status="completed", limit=1)
        if not latest:
            raise InputError("There is no last image yet.", parameter="image")
        found = place.as_result(latest[0])
    else:
        found = result(place, which)
    if not 0 <= k < len(found):
        raise InputError(
            f"Job {found.number} has {count(len(found), 'image')}, counted from 0; there is no {k}.",
            parameter="image",
        )
    return found[k]
