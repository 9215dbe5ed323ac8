"""What a call asks for becomes jobs: what is here already is reused, the rest estimated, checked against what may be
spent, written down, and started."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from ..api.errors import KlingError, SettingsError
from ..api.generation_request import GenerationRequest, kind
from ..api.job import JobStatus
from ..api.parameters import LONG_PROMPT
from ..journal import layout
from ..journal.job_record import Record, new_record
from ..journal.journal import JournalError
from ..journal.locks import alone
from ..results.handle import JobHandle
from .dispatcher import Dispatcher, resolve_handle
from .resume import fetch_again
from .send_permit import SendPermit
from .spending import SANDBOX_AT_ONCE, Estimate, SpendingLimits, call_time, price, queueing

Found = TypeVar("Found", Record, JobHandle)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of the jobs when the waiting was stopped.

    Attributes:
        cancelled: numbers of the jobs that were cancelled before they were sent.
        still_running: those that keep running in the background.
    """

    cancelled: tuple[int, ...]
    still_running: tuple[JobHandle, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """The jobs of one call.

    Attributes:
        handles: one per request, in the requests' order; identical requests share one.
        estimate: what was about to be bought. numbers: of the jobs it buys.
        together: makes one transaction of everything that is written meanwhile.
    """

    handles: tuple[JobHandle, ...]
    estimate: Estimate
    numbers: frozenset[int] = frozenset()
    together: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def jobs(self) -> tuple[JobHandle, ...]:
        """The different handles, each once."""
        return tuple(dict.fromkeys(self.handles))

    def cancel_unsent(self) -> Stopped:
        """Cancel what was not sent, and say what keeps running. What another call asked for first is left to it."""
        # In one transaction: with one for each of a thousand jobs, Ctrl-C would take seconds.
        going = [handle for handle in self.jobs if not handle.done()]
        with self.together():
            cancelled = [one.number for one in going if one.number in self.numbers and one.cancel()]
        return Stopped(tuple(cancelled), tuple(handle for handle in going if handle.number not in cancelled))


def estimate(dispatcher: Dispatcher, requests: Sequence[GenerationRequest], *, reusing: bool) -> Estimate:
    """What a call would cost now. Sends nothing."""
    return _plan(dispatcher, requests, find_reusable if reusing else None)[2]


def _plan(
    dispatcher: Dispatcher,
    requests: Sequence[GenerationRequest],
    find: Callable[[Dispatcher, GenerationRequest], Found | None] | None,
) -> tuple[dict[GenerationRequest, Found], list[GenerationRequest], Estimate]:
    """What was found of the requests, what is to be bought, and the estimate. Identical requests count once."""
    unique = list(dict.fromkeys(requests))
    found = {request: find(dispatcher, request) for request in unique} if find else {}
    known = {request: one for request, one in found.items() if one is not None}
    # An unconfirmed request is neither reused nor bought: the call refuses it and says what to do.
    unconfirmed = sum(one.status is JobStatus.UNCONFIRMED for one in known.values())
    to_buy = [request for request in unique if request not in known]
    return known, to_buy, estimate_all(dispatcher, to_buy, reused=len(known) - unconfirmed, unconfirmed=unconfirmed)


def estimate_all(
    dispatcher: Dispatcher, requests: Sequence[GenerationRequest], *, reused: int = 0, unconfirmed: int = 0
) -> Estimate:
    """What these requests would cost and take if all of them were bought."""
    workspace = dispatcher.workspace
    dearest = workspace.journal.dearest_image(workspace.backend, key=workspace.key)
    expected = [workspace.durations(request).expected for request in {kind(r): r for r in requests}.values()]
    # A time is shown only if every kind of job in the call has been timed: half a guess looks like a promise.
    slowest = None if None in expected else max(filter(None, expected), default=None)
    # The sandbox has no rate limit unless it was started with one, and then the estimate may be short.
    rate = math.inf if workspace.is_sandbox else dispatcher.rate()
    images = sum(request.num_outputs for request in requests)
    jobs, sandbox = len(requests), workspace.is_sandbox
    pieces, at_once = (images, SANDBOX_AT_ONCE) if sandbox else (jobs, workspace.settings.in_flight)
    return Estimate(
        len(requests),
        images,
        sum(price(request, dearest) for request in requests),
        call_time(slowest, pieces, at_once, rate),
        reused,
        workspace.is_sandbox,
        rate if queueing(len(requests), rate) else None,
        unconfirmed,
    )


def buy(
    dispatcher: Dispatcher,
    requests: Sequence[GenerationRequest],
    *,
    source: str,
    limits: SpendingLimits,
    reusing: bool,
) -> Call:
    """Write the requests down and start them; returns at once. Identical requests are one job.

    Raises:
        BudgetExceededError: the estimate is above what may be spent. SettingsError: the journal cannot be written.
            Nothing was sent.
    """
    dispatcher.write_again()
    workspace = dispatcher.workspace
    permit = SendPermit(
        dispatcher.ledger, limits, lambda wanted: estimate_all(dispatcher, wanted), free=workspace.is_sandbox
    )
    # Held from looking for identical rows until the own ones are written: two cells, or two kernels, that run the same
    # at the same moment would otherwise both find nothing, and both buy.
    lock = alone(layout.planning_lock(workspace.folder)) if reusing else nullcontext()
    with dispatcher.planning, lock:
        known, to_buy, total = _plan(dispatcher, requests, reuse if reusing else None)
        # The whole call is refused before a row is written; each POST is checked again when its turn comes.
        limits.check(total, session_spent=dispatcher.ledger.spent)
        records = add_records(dispatcher, to_buy, source)
        permit.numbers = frozenset(record.number for record in records)
        jobs = {record.request: dispatcher.add(record, permit) for record in records}
    # Outside the lock: from here on the rows are found by whoever asks for the same.
    handles = known | {request: job.handle for request, job in jobs.items()}
    call = Call(tuple(handles[request] for request in requests), total, permit.numbers, workspace.journal.together)
    try:
        for job in jobs.values():
            dispatcher.start(job)
    except BaseException:
        # Starting many jobs takes a moment. What an interrupt leaves without a worker must not look like a running job.
        call.cancel_unsent()
        raise
    return call


def add_records(dispatcher: Dispatcher, requests: Sequence[GenerationRequest], source: str) -> list[Record]:
    """Write queued jobs down, in one transaction."""
    workspace = dispatcher.workspace
    layout.check_writable(workspace.folder)
    dearest = workspace.journal.dearest_image(workspace.backend, key=workspace.key)
    workspace.notices += [
        f"A prompt of {len(request.prompt)} characters: the model takes {LONG_PROMPT}, according to its vendor."
        for request in requests
        if len(request.prompt) > LONG_PROMPT
    ]
    try:
        for request in requests:
            # Source images are stored before the row that names them, so that a resume after a kill can read them.
            for image in request.sources.values():
                workspace.attachments.keep(image)
        return workspace.journal.add(
            new_record(
                request,
                backend=workspace.backend,
                source=source,
                session=workspace.id,
                estimate=price(request, dearest),
                key=workspace.key,
            )
            for request in requests
        )
    except (JournalError, OSError) as error:
        # A journal that somebody removed gets a message of its own instead of SQLite's.
        workspace.journal.check_there()
        raise SettingsError(
            f"The journal in {workspace.journal.path.parent} could not be written ({error}). Nothing was sent. "
            "Free some space, or choose another folder with kling.connect(folder=...)."
        ) from None


# ---- what the folder holds of a request already: a result, a running job, or an unconfirmed one ----


def find_reusable(dispatcher: Dispatcher, request: GenerationRequest) -> Record | None:
    """The record that answers an identical request without buying, None if it must be bought."""
    workspace = dispatcher.workspace
    if (record := workspace.journal.newest_identical(request.identity, workspace.backend)) is None:
        return None
    if record.status is JobStatus.QUEUED:  # it is never sent if its kernel, or its call in this one, is gone
        return record if record.number in dispatcher.jobs or workspace.runs_elsewhere(record) else None
    can_be_asked = record.job_id and record.source != "recovered" and not workspace.has_other_key(record)
    lost = record.status is JobStatus.COMPLETED and not workspace.has_all(record) and not can_be_asked
    return None if lost else record


def reuse(dispatcher: Dispatcher, request: GenerationRequest) -> JobHandle | None:
    """A handle that costs nothing, None if the request must be bought.

    It is of a completed result, whose missing files are asked for again first, or of a running or an unconfirmed job.
    """
    if (record := find_reusable(dispatcher, request)) is None:
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
    way_out = (
        f"`%kling dismiss {record.number}` gives it up"
        if record.status is JobStatus.UNCONFIRMED
        else f"`%kling resume {record.number}` asks for it with the present API key"
    )
    handle.set_exception(
        KlingError(
            f"The same request may have been paid for already (job {record.number}). Not sent. {way_out}; --fresh pays "
            "again.",
            number=record.number,
            maybe_submitted=True,
        )
    )
    return handle
