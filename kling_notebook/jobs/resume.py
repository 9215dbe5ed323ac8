"""What earlier kernels left behind: named at first use, resumed, dismissed, attached to an id from the website."""

from collections import defaultdict

from ..api.address import MOST_IMAGES, address_of
from ..api.errors import ApiError, InputError, KlingError
from ..api.event_log import log_suppressed, suppress
from ..api.job import JobStatus
from ..api.parameters import check_characters
from ..api.quantities import count
from ..api.wire import refuses
from ..image_files import saving
from ..journal import layout
from ..journal.job_record import Record
from ..journal.journal import JournalError
from ..results.handle import JobHandle
from ..results.result import Result, SavedImage
from .dispatcher import Dispatcher, resolve_handle
from .poll_and_save import image_stem
from .workspace import Workspace

RESUMABLE = (JobStatus.RUNNING, JobStatus.DOWNLOADING, JobStatus.PAUSED)
_COLLECTABLE = (*RESUMABLE, JobStatus.EXPIRED)


def recover_on_start(workspace: Workspace) -> list[str]:
    """At first use: what dead kernels left behind is named, what was never sent is closed."""
    found: dict[str, list[Record]] = defaultdict(list)
    left = workspace.journal.open_records()
    living = {owner for owner in {record.owner for record in left} if workspace.locks.alive(owner)}
    with workspace.journal.together():
        for record in left:
            if record.owner in living:  # its own kernel sees to it
                continue
            if record.status is JobStatus.QUEUED:
                _settle(workspace, record, JobStatus.CANCELLED)
                continue
            if record.status is JobStatus.SUBMITTING:
                _settle(workspace, record, JobStatus.UNCONFIRMED, "its kernel ended while it was being submitted")
            unconfirmed = record.status in (JobStatus.SUBMITTING, JobStatus.UNCONFIRMED)
            which = "unconfirmed" if unconfirmed else "other key" if workspace.has_other_key(record) else "paused"
            found[which if record.backend == workspace.backend else "other backend"].append(record)
    notices = []
    if paused := len(found["paused"]):
        are, them = ("are", "them") if paused > 1 else ("is", "it")
        notices.append(f"{count(paused, 'job')} {are} paused: `%kling resume` fetches {them}.")
    if found["unconfirmed"]:
        notices.append(f"{count(len(found['unconfirmed']), 'job')} may have been submitted: see `%kling status`.")
    if found["other key"]:
        notices.append(_with_another_key(found["other key"]))
    if others := found["other backend"]:
        backends = ", ".join(sorted({record.backend for record in others}))
        notices.append(f"{count(len(others), 'job')} of another backend ({backends}) can be resumed there.")
    saving.remove_temporaries(workspace.folder, living=workspace.locks.living())
    return notices


def _settle(workspace: Workspace, record: Record, status: JobStatus, why: str | None = None) -> None:
    """As Journal.settle. On a full disk the session begins all the same, and a later one settles it."""
    with suppress(JournalError):
        workspace.journal.settle(record.number, status, record.status, why)


def find(workspace: Workspace, which: int | str) -> Record | None:
    """The record with this job id; if there is none, the one with this number."""
    text = check_characters("job", str(which).strip())
    record = workspace.journal.by_job_id(text)
    if record is None and text.isdecimal() and len(text) < 19:  # as much as SQLite counts
        record = workspace.journal.get(int(text))
    return record


def get(workspace: Workspace, which: int | str) -> Record:
    """As `find`; InputError if there is no such job."""
    if (record := find(workspace, which)) is None:
        raise InputError(f"No job {which} in this folder. `%kling history --all` lists them.", parameter="job")
    return record


def resume_all(dispatcher: Dispatcher) -> list[JobHandle]:
    """Fetch every paused job of this backend whose kernel is gone. Other backends' jobs are left alone."""
    dispatcher.write_again()
    workspace, handles, other_key = dispatcher.workspace, [], []
    for record in workspace.journal.open_records():
        if record.backend != workspace.backend or record.status not in RESUMABLE:
            continue
        if workspace.has_other_key(record):
            other_key.append(record)
            continue
        if (job := dispatcher.jobs.get(record.number)) is not None:
            handles += [job.handle] if record.status is not JobStatus.PAUSED else []
        elif (taken := _own(workspace, record)) is not None:
            handles.append(dispatcher.resume(taken))
    if other_key:
        workspace.notices.append(_with_another_key(other_key))
    return handles


def _with_another_key(records: list[Record]) -> str:
    numbers = [record.number for record in records]
    jobs = f"Job{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
    return (
        f"{jobs} of this folder {'were' if len(numbers) > 1 else 'was'} paid for with another API key and left alone. "
        f"`%kling resume {numbers[0]}` asks with the present key."
    )


def _ask_with_this_key(dispatcher: Dispatcher, record: Record) -> None:
    """Raise what the service answers if it gives another key's job not to the present one; nothing has changed then."""
    client, n = dispatcher.client(), record.number
    for status_url in dict.fromkeys((record.status_url, None)):
        try:
            client.poll(str(record.job_id), status_url)
            return
        except KlingError as error:
            if not isinstance(error, ApiError) or error.status == 429 or not refuses(error.status):
                log_suppressed(f"asking for job {n} with another key", error)  # the job's own polls will see what it is
                return
            refusal = error
    refusal.args = (
        f"Job {n} was paid for with another API key, and the service does not give it to the present one "
        f"({refusal.status}). Nothing was changed. Connect with that key, then `%kling resume {n}`.",
    )
    raise refusal.with_job(job_id=record.job_id, number=n)


def resume_one(dispatcher: Dispatcher, which: int | str, job_id: str | None = None) -> JobHandle:
    """Fetch one job: a paused, an expired, or an unconfirmed one whose id was read off the website.

    Args:
        which: a number, a job id of this folder, or a job id it never saw, if exactly one job is unconfirmed.
        job_id: the id to attach to the unconfirmed job ``which``, also in the place of one that was attached before.

    Raises:
        InputError: there is no such job, or nothing of it is left to fetch. The message says what to do.
    """
    dispatcher.write_again()
    workspace, job_id = dispatcher.workspace, None if job_id is None else str(job_id)
    record = find(workspace, which)
    if record is None and not str(which).strip().isdecimal():
        job_id, record = str(which).strip(), _only_unconfirmed(workspace, str(which))
    record = record or get(workspace, which)
    n, another = record.number, job_id if job_id != record.job_id else None
    if (job := dispatcher.jobs.get(n)) is not None and not another:
        return job.handle
    if record.backend != workspace.backend:
        raise InputError(
            f"Job {n} belongs to {record.backend}; this session talks to {workspace.backend}. "
            "Connect to that backend first.",
            parameter="job",
        )
    # The id of a torn reply, which the row has, is taken as if the user had read it off the website.
    if another or (record.status is JobStatus.UNCONFIRMED and record.job_id):
        record = _attach(dispatcher, record, another or str(record.job_id))
    completed = record.status is JobStatus.COMPLETED
    if completed and workspace.has_all(record):
        return resolve_handle(workspace, JobHandle(record.request, n, record.status), record, reused=True)
    recovered = record.source == "recovered"
    if (completed or record.status in _COLLECTABLE) and record.job_id and not recovered:
        if workspace.has_other_key(record):
            _ask_with_this_key(dispatcher, record)
            record = record.replace(key=workspace.key)
        if (handle := fetch_again(dispatcher, record)) is None:
            raise InputError(f"Job {n} is being worked on by another kernel and continues there.", parameter="job")
        return handle
    if record.status is JobStatus.UNCONFIRMED:
        raise InputError(
            f"Job {n} has no job id. Read it off the website, then `%kling resume {n} JOB_ID`; "
            f"or `%kling dismiss {n}`.",
            parameter="job",
        )
    why = "it was found again from its images" if recovered else f"it is {record.status.value}"
    raise InputError(f"Nothing is left to fetch of job {n}: {why}.", parameter="job")


def fetch_again(dispatcher: Dispatcher, record: Record) -> JobHandle | None:
    """Ask the service for a job's images once more; None if another session works on it. Buys nothing."""
    workspace = dispatcher.workspace
    if (taken := _own(workspace, record)) is None:
        return None
    if record.status is JobStatus.COMPLETED:  # its files were deleted: the service may still have them
        taken = taken.replace(status=JobStatus.PAUSED)  # the images still there stay in its row
        workspace.journal.write(taken)
    return dispatcher.resume(taken)


def dismiss(dispatcher: Dispatcher, which: int | str) -> Record:
    """Give up an unconfirmed or paused job: it no longer counts and is not asked about again.

    Raises:
        InputError: there is no such job, it is neither unconfirmed nor paused, or it is being worked on.
    """
    workspace = dispatcher.workspace
    record = get(workspace, which)
    n, status = record.number, record.status
    if n in dispatcher.jobs:
        raise InputError(f"Job {n} is running; it can be dismissed when it has stopped.", parameter="job")
    stopped = status in (JobStatus.UNCONFIRMED, JobStatus.PAUSED) or (
        status in RESUMABLE and not workspace.runs_elsewhere(record)
    )
    if not stopped or not workspace.journal.settle(n, JobStatus.DISMISSED, status):
        raise InputError(f"Job {n} is {status.value}; there is nothing to dismiss.", parameter="job")
    for place in range(MOST_IMAGES):
        saving.forget_unsaved(layout.unsaved(workspace.folder), image_stem(record, place))
    # What the service reported as charged is spent.
    dispatcher.ledger.settle(n, record.credits or 0.0)
    return record.replace(status=JobStatus.DISMISSED)


def _only_unconfirmed(workspace: Workspace, job_id: str) -> Record:
    found = [
        record
        for record in workspace.journal.open_records()
        if record.backend == workspace.backend and record.status is JobStatus.UNCONFIRMED
    ]
    if len(found) == 1:
        return found[0]
    others = (
        f"jobs {', '.join(str(one.number) for one in found)} are unconfirmed. Say which: `%kling resume N {job_id}`"
    )
    raise InputError(f"No job {job_id} in this folder; {others if found else 'none is unconfirmed'}.", parameter="job")


def _attach(dispatcher: Dispatcher, record: Record, job_id: str) -> Record:
    """The unconfirmed record becomes a paused one with the id the user read off the website.

    The id is marked as theirs: if the service does not know it, it was mistyped, and the job is unconfirmed again.
    """
    workspace, n = dispatcher.workspace, record.number
    other, is_unconfirmed = workspace.journal.by_job_id(job_id), record.status is JobStatus.UNCONFIRMED
    if other is not None and other.number != n:
        raise InputError(
            f"{job_id} is job {other.number} of this folder. Job {n} must be another one.", parameter="job"
        )
    if not is_unconfirmed and not (record.id_unverified and record.status in _COLLECTABLE):
        raise InputError(
            f"Job {n} is {record.status.value} as {record.job_id or 'no job'}; it cannot be given another id.",
            parameter="job",
        )
    if n in dispatcher.jobs or (not is_unconfirmed and workspace.runs_elsewhere(record)):
        raise InputError(f"Job {n} is being asked for as {record.job_id}. Wait for what comes of it.", parameter="job")
    if (taken := _own(workspace, record, unless_alive=not is_unconfirmed)) is None:
        raise InputError(f"Job {n} is being worked on by another kernel.", parameter="job")
    attached = taken.replace(
        status=JobStatus.PAUSED, job_id=job_id, status_url=None, raw={**taken.raw, "attached": job_id}, error=None
    )
    workspace.journal.write(attached)
    return attached


def _own(workspace: Workspace, record: Record, *, unless_alive: bool = True) -> Record | None:
    """The record as this session's own; None if another session works on it, or was faster."""
    if unless_alive and workspace.runs_elsewhere(record):
        return None
    if record.owner != workspace.id:
        return workspace.journal.take_over(record, workspace.id)
    now = workspace.journal.get(record.number)
    return record if now is not None and now.status is record.status else None  # else its worker has ended


def result(workspace: Workspace, which: int | str) -> Result:
    """A past result; InputError if there is no such job or it has no images; the message says why."""
    record = get(workspace, which)
    if not record.images:
        what = f": {record.error.rstrip('.')}" if record.error else ""
        raise InputError(f"Job {record.number} has no images; it is {record.status.value}{what}.", parameter="job")
    return workspace.as_result(record)


def image(workspace: Workspace, which: int | str | None, k: int) -> SavedImage:
    """The image at ``k`` of a job; None means the latest completed job, of this session where it has one."""
    if which is None:
        latest = workspace.journal.latest(
            status="completed", sessions=workspace.sessions, limit=1
        ) or workspace.journal.latest(status="completed", limit=1)
        if not latest:
            raise InputError("There is no last image yet.", parameter="image")
        found = workspace.as_result(latest[0])
    else:
        found = result(workspace, which)
    if k not in range(len(found)):
        raise InputError(
            f"Job {found.number} has {count(len(found), 'image')}; there is no {address_of(found.number, k)}.",
            parameter="image",
        )
    return found[int(k)]
