"""What the folder holds of a request already: a completed result, a running job, or an unconfirmed one."""

from __future__ import annotations

from ..api.errors import KlingError
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus
from ..journal.job_record import Record
from ..results.handle import JobHandle
from .dispatcher import Dispatcher, resolve_handle
from .resume import fetch_again


def find_reusable(dispatcher: Dispatcher, request: GenerationRequest) -> Record | None:
    """The record that answers an identical request without buying, None if it must be bought."""
    workspace = dispatcher.workspace
    record = workspace.journal.newest_identical(request.identity, workspace.backend)
    if record is None:
        return None
    if record.status is JobStatus.QUEUED:  # it is never sent if its kernel, or its call in this one, is gone
        return record if record.number in dispatcher.jobs or workspace.runs_elsewhere(record) else None
    can_be_asked = record.job_id and record.source != "recovered" and not workspace.has_other_key(record)
    if record.status is JobStatus.COMPLETED and not workspace.has_all(record) and not can_be_asked:
        return None
    return record


def reuse(dispatcher: Dispatcher, request: GenerationRequest) -> JobHandle | None:
    """A handle that costs nothing, None if the request must be bought.

    It is of a completed result, whose missing files are asked for again first, or of a running or an unconfirmed job.
    """
    record = find_reusable(dispatcher, request)
    if record is None:
        return None
    if (going := dispatcher.jobs.get(record.number)) is not None:
        return going.handle
    workspace, handle = dispatcher.workspace, JobHandle(request, record.number, record.status)
    if record.status is JobStatus.COMPLETED and workspace.has_all(record):
        return resolve_handle(workspace, handle, record, reused=True)
    if record.status is JobStatus.COMPLETED:
        return fetch_again(dispatcher, record) or dispatcher.resume(record, elsewhere=True)
    if record.status is not JobStatus.UNCONFIRMED and not workspace.has_other_key(record):
        return dispatcher.resume(record, elsewhere=True)
    way_out = f"`%kling resume {record.number}` asks for it with the present API key"
    if record.status is JobStatus.UNCONFIRMED:
        way_out = f"`%kling dismiss {record.number}` gives it up"
    error = KlingError(
        f"The same request may have been paid for already (job {record.number}). Not sent. {way_out}; --fresh pays "
        "again.",
        number=record.number,
        maybe_submitted=True,
    )
    handle.set_exception(error)
    return handle
