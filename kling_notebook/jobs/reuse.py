"""What the folder holds of a request already: a completed result, a job under way, or a doubt that must be settled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..api.errors import KlingError
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus
from ..journal.job_record import Record
from ..journal.locks import alone
from ..results.handle import JobHandle
from .dispatcher import Dispatcher, Workspace


@contextmanager
def reuse_lock(place: Workspace) -> Iterator[None]:
    """Held from looking for identical rows until the own ones are written: two kernels that run the same notebook at
    the same moment would otherwise both find nothing, and both buy."""
    with alone(place.folder / ".kling" / "planning.lock"):
        yield


def find_reusable(place: Workspace, running: Dispatcher, request: GenerationRequest) -> Record | None:
    """The record that answers an identical request without buying, None where it must be bought."""
    record = place.journal.newest_identical(request.identity(place.backend))
    if record is None:
        return None
    if record.status is JobStatus.QUEUED:  # nobody will send it where its kernel, or its call in this one, is gone
        mine = record.owner == place.id
        going = record.number in running.handles if mine else place.locks.alive(record.owner)
        return record if going else None
    if record.status is JobStatus.COMPLETED:
        return record if place.has_all(record) else None
    return record


def answer(place: Workspace, running: Dispatcher, request: GenerationRequest) -> JobHandle | None:
    """A handle that costs nothing: a completed result, a running or an unconfirmed job; None if it must be bought."""
    record = find_reusable(place, running, request)
    if record is None:
        return None
    if (going := running.handles.get(record.number)) is not None:
        return going
    handle = JobHandle(request, record.number, record.status)
    if record.status is JobStatus.COMPLETED:
        return running.answered(handle, record, reused=True)
    if record.status is JobStatus.UNCONFIRMED:
        error = KlingError(
            f"The same request may have been bought already (job {record.number}). Not sent. "
            f"`%kling dismiss {record.number}` settles it; --fresh buys afresh.",
            number=record.number,
            maybe_submitted=True,
        )
        handle.set_exception(error)
        return handle
    running.follow(record, handle)
    return handle
