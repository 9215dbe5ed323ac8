"""advance(): takes one job from whatever state its record has to its end. The only code that sends a purchase.

    queued -> submitting -> running -> downloading -> completed
       |          |            |            |
       |          |            |            +-> expired: the URLs died twice; the id is kept
       |          |            +-> failed: the service says so.  paused: not polled now, resumable
       |          +-> unconfirmed: it may have been submitted.  queued: 429, or nothing was sent.  rejected
       +-> cancelled, rejected

Each step is committed before the next one is taken, so running and resuming are one function.
"""

import time

from ..api import errors, rate_limiter, request_queue, retry_policy
from ..api.errors import ApiError, KlingError, ModelNotFoundError, StillRunningError, TransportError
from ..api.event_log import suppress
from ..api.job import Job, JobStatus
from ..api.quantities import about
from ..journal.job_record import Record
from .poll_and_save import collect, failure
from .running_job import RunningJob
from .send_permit import CancelledError

SUBMIT_TRIES = 4  # of a POST that was never sent; a 429 is sent again for as long as the job may take
COMMIT_TRIES = 3  # of the last commit, when the ones before failed
# What `_reject` names in a record.
_ERRORS = {one.__name__: one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, KlingError)}


def advance(job: RunningJob) -> KlingError | None:
    """Take the job to its end, or to where only the user can continue; the error if that is not "completed".

    Raises:
        LostOwnership: another session has taken the record over. StillRunningError: the caller's time-out passed.
    """
    return _write_end(job, _advance(job))


def _advance(job: RunningJob) -> KlingError | None:
    record = job.record
    if record.status is JobStatus.QUEUED:
        error = _submit(job)
        if error or job.record.status is not JobStatus.RUNNING:
            return error
    elif record.status is JobStatus.SUBMITTING:  # its worker died between the intent and the reply
        return _unconfirmed(job, "its kernel ended while it was being submitted")
    elif record.status in (JobStatus.PAUSED, JobStatus.EXPIRED):
        job.commit(status=JobStatus.RUNNING, error=None)
    if job.record.status in (JobStatus.RUNNING, JobStatus.DOWNLOADING):
        return _unless_mistyped(job, collect(job))
    return error_from_record(job.record)


def error_from_record(record: Record) -> KlingError | None:
    """The error of a job that ended in an earlier run or elsewhere, made from its record; None if it completed."""
    n, status = record.number, record.status
    if status is JobStatus.COMPLETED:
        return None
    if status is JobStatus.UNCONFIRMED:
        why = record.error or "It is not known what became of its submit"
        return unconfirmed_error(record, why).with_job(job_id=record.job_id)
    if status is JobStatus.FAILED:
        return failure(record)
    if status is JobStatus.REJECTED:  # of the class that was seen: a 402 stops the rest of its call
        kind = _ERRORS.get(str(record.raw.get("refused")), KlingError)
        return kind(record.error or f"Job {n} was refused.", number=n)
    if status is JobStatus.CANCELLED:
        return KlingError(f"Job {n} was not sent: it was cancelled, or its kernel ended. Run it again.", number=n)
    why = f": {record.error}" if record.error else ", in another kernel."
    return KlingError(f"Job {n} is {status.value}{why}", number=n, job_id=record.job_id)


def _unless_mistyped(job: RunningJob, error: KlingError | None) -> KlingError | None:
    """If the service does not know an id the user attached, undo the attachment: the job is unconfirmed again."""
    record = job.record
    if record.status is not JobStatus.EXPIRED or not record.id_unverified or not isinstance(error, ModelNotFoundError):
        return error
    error.job_id = None
    return _unconfirmed(job, f"The service knows no job {record.job_id}", error)


# ---- buying ----


def _submit(job: RunningJob) -> KlingError | None:
    """From queued to an answer. Sends again only what `retry_policy.after_submit` allows."""
    never_left = 0
    began = time.monotonic()
    while True:
        error = _post_once(job)
        if error is None or job.record.status is not JobStatus.QUEUED:
            return error
        never_left += isinstance(error, TransportError)
        if never_left >= SUBMIT_TRIES or time.monotonic() - began > job.max_age:
            return _reject(job, error)
        if isinstance(error, TransportError):
            seconds = rate_limiter.backoff(never_left, request_queue.jitter())
            job.notify(waiting_for=f"network, {seconds:.0f} s")
            with suppress(CancelledError):  # seen again before the next POST
                job.pause(seconds)
        else:  # a 429 is a reply: the service is there, and the queue waits as long as it asked for
            job.notify(waiting_for="rate limit")


def _post_once(job: RunningJob) -> KlingError | None:
    """One POST. The record says what came of it: a status of queued, that it may be sent again."""
    try:
        job.client.check_request(job.record.request)
        job.wait_until_allowed()
        reply = job.client.submit(job.record.request, before_first_byte=job.begin_sending)
    except CancelledError:
        job.record = job.record.replace(status=JobStatus.CANCELLED)
        return None
    except StillRunningError:
        raise
    except KlingError as error:
        decision = retry_policy.after_submit(error)
        sent = job.record.status is JobStatus.SUBMITTING
        if decision is retry_policy.AfterSubmit.AGAIN:
            if sent:
                job.commit(status=JobStatus.QUEUED, submitted_at=None)
            job.end_sending(accepted=False)
            return error
        if decision is retry_policy.AfterSubmit.REFUSED or not sent:
            return _reject(job, error)
        return _unconfirmed(job, str(error), error)
    except Exception as fault:  # an internal error in the middle of a purchase leaves it unconfirmed as well
        if job.record.status is not JobStatus.SUBMITTING:
            raise
        return _unconfirmed(job, f"{type(fault).__name__} while submitting: {fault}")
    return _accept(job, reply)


def _accept(job: RunningJob, reply: Job) -> KlingError | None:
    """The id is committed before anything else happens. A reply with images and no id is all there will ever be."""
    if reply.image_urls:
        job.answered = reply
    if reply.job_id and job.store.is_other_job(job.record, reply.job_id):
        return _unconfirmed(job, f"The service answered with {reply.job_id}, which is another job")
    job.commit(
        status=JobStatus.RUNNING,
        job_id=reply.job_id or None,
        status_url=reply.status_url,
        credits=reply.credit_cost,
        credits_remaining=reply.credits_remaining,
        raw={**job.record.raw, "submit": dict(reply.raw)},
    )
    job.end_sending(accepted=True)
    return None


def _unconfirmed(job: RunningJob, why: str, seen: KlingError | None = None) -> KlingError:
    """A job id that a torn reply still showed is kept: resume then needs no other."""
    error = unconfirmed_error(job.record, why, seen)
    job.commit(status=JobStatus.UNCONFIRMED, error=str(error), job_id=error.job_id)
    job.end_sending(accepted=True)
    return error


def _reject(job: RunningJob, error: KlingError) -> KlingError:
    error.with_job(number=job.record.number or None)
    try:
        job.commit(
            status=JobStatus.REJECTED,
            error=str(error),
            submitted_at=None,
            raw={**job.record.raw, "refused": type(error).__name__},
        )
    finally:
        job.end_sending(accepted=False)
    return error


def unconfirmed_error(record: Record, why: str, seen: KlingError | None = None) -> KlingError:
    """The error of a submit of unknown outcome; its class says what was seen."""
    n, seen_first = record.number, why.partition(". ")[0].rstrip(".")
    cost = f" ({about(record.estimate)})" if record.estimate else ""
    reply = seen.message if isinstance(seen, ApiError) and seen.maybe_submitted else ""
    shown = f" Its reply reads: {reply}" if reply and reply != why and reply not in seen_first else ""
    then = f": `%kling resume {n} JOB_ID` attaches it, `%kling dismiss {n}` gives it up" if n else ""
    text = (
        f"{seen_first}.{shown} {f'Job {n}' if n else 'The request'} may have been submitted and charged{cost}; it is "
        f"not sent again. Look at the website{then}."
    )
    error = seen or KlingError(text)
    error.args = (text,)
    error.maybe_submitted = True
    return error.with_job(number=n or None)


def _write_end(job: RunningJob, error: KlingError | None) -> KlingError | None:
    """If the job is over and its last commit failed: try a little longer, then say where everything is."""
    for attempt in range(1, COMMIT_TRIES + 1):
        if job.unwritten is None:  # the usual case, at the first look
            return error
        time.sleep(rate_limiter.backoff(attempt, 0.0))
        job.commit()
    if job.unwritten is None or error:
        return error
    return KlingError(
        f"Job {job.record.job_id} is completed and its images are saved, but the journal could not be written "
        f"({job.unwritten}). Free some space, then `%kling resume {job.record.job_id}`.",
        job_id=job.record.job_id,
        number=job.record.number,
    )
