"""What a call asks for becomes jobs: estimated, checked against what may be spent, written down, and started."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

from ..api.errors import SettingsError
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus
from ..api.parameters import LONG_PROMPT
from ..api.price_class import kind
from ..journal.job_record import Record, new_record
from ..journal.journal import JournalError
from .call import Call
from .dispatcher import Dispatcher
from .reuse import find_reusable, reuse, reuse_lock
from .send_permit import SendPermit
from .spending import Estimate, SpendingLimits, call_time, price, queueing


def estimate(dispatcher: Dispatcher, requests: Sequence[GenerationRequest], *, reusing: bool) -> Estimate:
    """What a call would cost now. Sends nothing."""
    unique = list(dict.fromkeys(requests))
    found = {request: find_reusable(dispatcher, request) for request in unique if reusing}
    here = {request: record for request, record in found.items() if record is not None}
    # An unconfirmed request is neither reused nor bought: the call will refuse it and say what to do.
    unconfirmed = sum(record.status is JobStatus.UNCONFIRMED for record in here.values())
    to_buy = [request for request in unique if request not in here]
    return estimate_all(dispatcher, to_buy, reused=len(here) - unconfirmed, unconfirmed=unconfirmed)


def estimate_all(
    dispatcher: Dispatcher, requests: Sequence[GenerationRequest], *, reused: int = 0, unconfirmed: int = 0
) -> Estimate:
    """What these requests would cost and take if all of them were bought."""
    workspace = dispatcher.workspace
    dearest = workspace.journal.dearest_image(workspace.backend, key=workspace.key)
    expected = [workspace.durations(request).expected for request in {kind(r): r for r in requests}.values()]
    known = [seconds for seconds in expected if seconds is not None]
    # A time is shown only if every kind of job in the call has been timed: half a guess looks like a promise.
    slowest = max(known) if known and len(known) == len(expected) else None
    # The sandbox has no rate limit unless it was started with one, and then the estimate may be short.
    rate = math.inf if workspace.is_sandbox else dispatcher.rate()
    return Estimate(
        len(requests),
        sum(request.num_outputs for request in requests),
        sum(price(request, dearest) for request in requests),
        call_time(slowest, len(requests), workspace.settings.in_flight, rate),
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
    # So that two cells, or two kernels, that ask for the same at once buy it once.
    with dispatcher.planning, reuse_lock(dispatcher) if reusing else nullcontext():
        unique = list(dict.fromkeys(requests))
        found = {request: reuse(dispatcher, request) for request in unique if reusing}
        known = {request: handle for request, handle in found.items() if handle is not None}
        unconfirmed = sum(handle.status is JobStatus.UNCONFIRMED for handle in known.values())
        to_buy = [request for request in unique if request not in known]
        total = estimate_all(dispatcher, to_buy, reused=len(known) - unconfirmed, unconfirmed=unconfirmed)
        # The whole call is refused before a row is written; each POST is checked again when its turn comes.
        permit.check_call(total)
        records = add_records(dispatcher, to_buy, source)
        permit.numbers = frozenset(record.number for record in records)
        jobs = {record.request: dispatcher.add(record, permit) for record in records}
    handles = known | {request: job.handle for request, job in jobs.items()}
    call = Call(tuple(handles[request] for request in requests), total, permit.numbers, workspace.journal.together)
    # Starting many jobs takes a moment. An interrupt in between cancels those that were not sent, and only those.
    with call.cancelled_if_cut_short():
        for job in jobs.values():
            dispatcher.start(job)
    return call


def add_records(dispatcher: Dispatcher, requests: Sequence[GenerationRequest], source: str) -> list[Record]:
    """Write queued jobs down, in one transaction."""
    workspace = dispatcher.workspace
    dearest = workspace.journal.dearest_image(workspace.backend, key=workspace.key)
    for request in requests:
        if len(request.prompt) > LONG_PROMPT:
            workspace.notices.append(
                f"A prompt of {len(request.prompt)} characters: the model takes {LONG_PROMPT}, according to its vendor."
            )
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
