"""advance(): takes one job from whatever state its record says to its end. The only code that buys.

    planned -> sent -> running -> downloading -> completed
       |         |        |            |
       |         |        |            +-> expired: the URLs died twice; the id is kept
       |         |        +-> failed: the service says so.  paused: parked, resumable
       |         +-> maybe_submitted: nobody knows.  planned: 429, or nothing left this machine.  refused
       +-> cancelled, refused

Each arrow is committed before the next step is taken, so running, resuming and running elsewhere are one function.
"""

from __future__ import annotations

import functools
import random
import time

from ..api import errors, rate_limiter, retry_policy
from ..api.errors import KlingError, ModelNotFoundError, TransportError
from ..api.job import Job, JobStatus
from ..api.quantities import about
from ..journal.job_record import Record
from .job_context import Outcome, Work, wait_for_rate_limit
from .poll_and_save import collect, failure

SUBMIT_TRIES = 4  # of a POST that never left this machine; a 429 is asked again for as long as the job may take
COMMIT_TRIES = 3  # of the last commit, when the ones before failed


def advance(record: Record, work: Work) -> Outcome:
    """Take the job to its end, or to where nobody can go on without the user.

    Args:
        record: the job as its record says; its owner is this session.
        work: the client, the observer and the places to write to.

    Raises:
        LostOwnership: another session has taken the record over.
    """
    return _settle_unwritten(_advance(record, work), work)


def _advance(record: Record, work: Work) -> Outcome:
    if record.status is JobStatus.QUEUED:
        outcome = _submit(record, work)
        if outcome.error or outcome.record.status is not JobStatus.RUNNING:
            return outcome
        record = outcome.record
    elif record.status is JobStatus.SUBMITTING:  # its worker died between the intent and the reply
        return _doubtful(record, work, _doubt(record, "its kernel ended while it was being submitted"))
    elif record.status in (JobStatus.PAUSED, JobStatus.EXPIRED):
        record = work.commit(record, status=JobStatus.RUNNING, error=None)
    if record.status in (JobStatus.RUNNING, JobStatus.DOWNLOADING):
        return _unless_mistyped(collect(record, work), work)
    return Outcome(record, error_from_record(record))


def error_from_record(record: Record) -> KlingError | None:
    """The error of a job that ended in an earlier run or elsewhere, made from its record; None where it completed."""
    n, status = record.number, record.status
    if status is JobStatus.COMPLETED:
        return None
    if status is JobStatus.UNCONFIRMED:
        error = _doubt(record, record.error or "Nobody knows what became of its submit")
        return error.with_job(job_id=record.job_id)
    if status is JobStatus.FAILED:
        return failure(record)
    if status is JobStatus.REJECTED:
        return _refusal(record)
    if status is JobStatus.CANCELLED:
        return KlingError(f"Job {n} was not sent: it was cancelled, or its kernel ended. Run it again.", number=n)
    why = f": {record.error}" if record.error else ", in another kernel."
    return KlingError(f"Job {n} is {status.value}{why}", number=n, job_id=record.job_id)


def _refusal(record: Record) -> KlingError:
    """Of the class that was seen: a 402 stops the rest of its call."""
    kind = getattr(errors, str(record.raw.get("refused")), None)
    if not isinstance(kind, type) or not issubclass(kind, KlingError):
        kind = KlingError
    return kind(record.error or f"Job {record.number} was refused.", number=record.number)


def _unless_mistyped(outcome: Outcome, work: Work) -> Outcome:
    """Where the service does not know an id that a person attached, it was the wrong one: the doubt is as it was."""
    record, error = outcome.record, outcome.error
    if record.status is not JobStatus.EXPIRED or not record.id_unverified or not isinstance(error, ModelNotFoundError):
        return outcome
    error = _doubt(record, f"The service knows no job {record.job_id}", error)
    error.job_id = None
    return _doubtful(record, work, error)


# ---- buying ----


def _submit(record: Record, work: Work) -> Outcome:
    """From planned to an answer. Sends again only what pacing.after_submit allows."""
    never_left = 0
    began = time.monotonic()
    while True:
        try:
            work.client.check_request(record.request)
            if not _may_go(record, work):
                return Outcome(record.replace(status=JobStatus.CANCELLED))
        except KlingError as error:
            return _refuse(record, work, error)
        answer = _post_once(record, work)
        if isinstance(answer, Outcome):
            return answer
        never_left += isinstance(answer, TransportError)
        if never_left >= SUBMIT_TRIES or time.monotonic() - began > work.job_max_age:
            return _refuse(record, work, answer)
        record = work.commit(record, status=JobStatus.QUEUED, submitted_at=None)
        work.gate.sent(False)
        _before_again(record, work, answer, never_left)


def _may_go(record: Record, work: Work) -> bool:
    """Wait for the price, for a share of the rate limit, then ask for the money. A share that is not used is given
    back: hundreds of refusals would otherwise leave nothing for the polls of what was bought."""
    told = functools.cache(lambda: work.tell(record, waiting_for="the first one's price"))  # once
    if not work.gate.priced(record, told) or not wait_for_rate_limit(record, work, "submit"):
        return False
    allowed = False
    try:
        allowed = work.gate.allow(record)
    finally:
        if not allowed:
            work.client.release_unused()
    return allowed


def _post_once(record: Record, work: Work) -> Outcome | KlingError:
    """Commit the intent, then send. The outcome; or the error after which it may be sent again."""
    try:
        sent = {"submitted_at": time.time(), "raw": {"body": work.client.body_of(record.request)}}
        record = work.commit(record, strict=True, status=JobStatus.SUBMITTING, **sent)
    except KlingError as error:
        return _refuse(record, work, error)
    try:
        job = work.client.submit(record.request)
    except KlingError as error:
        decision = retry_policy.after_submit(error)
        if decision is retry_policy.AfterSubmit.AGAIN:
            return error
        if decision is retry_policy.AfterSubmit.REFUSED:
            return _refuse(record, work, error)
        outcome = _doubtful(record, work, _doubt(record, str(error), error))
    except Exception as fault:  # a fault of ours in the middle of a purchase is a doubt as well
        outcome = _doubtful(record, work, _doubt(record, f"{type(fault).__name__} while submitting: {fault}"))
    else:
        outcome = Outcome(_accept(record, work, job))
    work.gate.sent(True)
    return outcome


def _doubtful(record: Record, work: Work, error: KlingError) -> Outcome:
    """Nobody knows. A job id that a torn reply still showed is kept: resume then needs no other."""
    record = work.commit(record, status=JobStatus.UNCONFIRMED, error=str(error), job_id=error.job_id)
    return Outcome(record, error)


def _before_again(record: Record, work: Work, error: KlingError, tries: int) -> None:
    """Say why it waits, and wait out the network; the rate limit is waited out in the line."""
    if isinstance(error, TransportError):
        seconds = rate_limiter.backoff(tries, random.random())  # noqa: S311  # jitter, not a secret
        work.tell(record, waiting_for=f"network, {seconds:.0f} s")
        work.gate.pause(seconds)
    else:
        work.tell(record, waiting_for="rate limit")


def _accept(record: Record, work: Work, job: Job) -> Record:
    """The id is committed before anything else happens."""
    return work.commit(
        record,
        status=JobStatus.RUNNING,
        job_id=job.job_id,
        status_url=job.status_url,
        credits=job.credit_cost,
        credits_remaining=job.credits_remaining,
        raw={**record.raw, "submit": dict(job.raw)},
    )


def _refuse(record: Record, work: Work, error: KlingError) -> Outcome:
    error.with_job(number=record.number)
    try:
        raw = {**record.raw, "refused": type(error).__name__}
        record = work.commit(record, status=JobStatus.REJECTED, error=str(error), submitted_at=None, raw=raw)
    finally:
        work.gate.sent(False)
    return Outcome(record, error)


def _doubt(record: Record, why: str, seen: KlingError | None = None) -> KlingError:
    """The error of a submit whose outcome nobody knows; its class says what was seen."""
    n, seen_first = record.number, why.partition(". ")[0].rstrip(".")
    text = (
        f"{seen_first}. Job {n} may have been submitted and charged ({about(record.estimate)}); it is not "
        f"sent again. Look at the website: `%kling resume {n} JOB_ID` attaches it, `%kling dismiss {n}` settles it."
    )
    if seen is None:
        return KlingError(text, number=record.number, maybe_submitted=True)
    seen.args = (text,)
    seen.maybe_submitted = True
    return seen.with_job(number=record.number)


def _settle_unwritten(outcome: Outcome, work: Work) -> Outcome:
    """The job is over and its last commit failed: try a little longer, then say where everything is."""
    record = outcome.record
    for attempt in range(1, COMMIT_TRIES + 1):
        if work.unwritten is None:
            return outcome
        time.sleep(rate_limiter.backoff(attempt, 0.0))
        work.commit(record)
    if work.unwritten is None or outcome.error:
        return outcome
    return Outcome(
        record,
        KlingError(
            f"Job {record.job_id} is done and its images are in {work.folder}, but the journal could not be written "
            f"({work.unwritten}). Make room, then `%kling resume {record.job_id}`.",
            job_id=record.job_id,
            number=record.number,
        ),
    )
