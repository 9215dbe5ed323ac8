"""The second half of a job's life: poll until the service is done, then save its images."""

import math
import time
from collections.abc import Iterable
from functools import partial

from ..api import poll_schedule, rate_limiter, request_queue, retry_policy, url_policy
from ..api.address import MOST_IMAGES, address_of, letter_of
from ..api.errors import (
    ApiError,
    DownloadError,
    JobFailedError,
    KlingError,
    ModelNotFoundError,
    RateLimitedError,
    StillRunningError,
    UnexpectedReplyError,
)
from ..api.job import Job, JobStatus
from ..api.quantities import count
from ..api.wire import completed_by_evidence
from ..image_files import saving
from ..journal.job_record import Record
from .running_job import RunningJob

ASSET_TRIES = 3  # per URL
ASSET_REFRESHES = 2  # times a job is asked for fresh URLs
PLAN_SECONDS = 2.0  # a plan for the next poll is good for so long
OLD_SECONDS = 60.0  # from this age on, a resumed job is asked for like a job of this age
GONE = (403, 404, 410)  # statuses of an asset whose URL has died


class StoppedAskingError(Exception):
    """Asking again is pointless; with the error, and what becomes of the job here. A signal between functions."""


def collect(job: RunningJob) -> KlingError | None:
    """Poll until the service is done, then save the images; both again if URLs have died."""
    number = len(job.record.images)  # none that was seen is forgotten if a later reply leaves it out
    errors: dict[int, DownloadError] = {}
    job.store.prepare()
    for refresh in range(ASSET_REFRESHES + 1):
        try:
            reply = ask_until_over(job)
        except StoppedAskingError as stopped:
            return _pause_job(job, *stopped.args)
        except StillRunningError:
            if not errors:
                raise
            break  # those that came are worth more than the time-out
        if reply.state == "failed":
            job.commit(status=JobStatus.FAILED, error=reply.error or reply.status)
            return failure(job.record)
        number = max(number, len(reply.image_urls))
        errors = _save_images(job, reply, number)
        if not errors:
            job.commit(status=JobStatus.COMPLETED, error=None)
            return None
        if refresh == ASSET_REFRESHES or not any(error.status in GONE for error in errors.values()):
            break
        # As for a resumed job: no wait before the poll, saved images are looked for, and no duration is learned.
        job.resumed = True
    gone = all(error.status in GONE for error in errors.values())
    return _pause_job(job, next(iter(errors.values())), JobStatus.EXPIRED if gone else JobStatus.PAUSED, missing=errors)


# ---- polling ----


def ask_until_over(job: RunningJob) -> Job:
    """Poll until the service says completed or failed. A failed poll is not a failed job: it is asked again later.

    Raises:
        StoppedAskingError: it is over for now. StillRunningError: the caller's time-out passed.
    """
    if (answered := job.answered) is not None:
        _note_end(job, answered, None)
        job.answered = None if job.record.job_id else answered  # if its links are dead, a job with an id is polled
        return answered
    submitted = _submitted(job)
    job.refresh_durations()
    failed = retry_policy.FailedPolls()
    began = time.monotonic()  # patience is with the asking, not with the job: a kernel may have been down for a day
    polls, age, running = 0, 0.0, 0.0  # how often asked; the job's age when last asked, and when last found running
    before: Job | None = None  # as the service sent it: the same images in two replies are evidence, whatever its words
    while True:
        if job.unwritten is not None:  # a full disk may have space again: the job id must not wait for the job's end
            job.commit()
        _check_patience(job, began)
        due = time.monotonic()
        if not failed.count and (polls or not job.resumed):  # a failed poll was waited out already
            due = _wait_until_due(job, submitted, age, polls, began + job.max_age)
        job.wait_for_rate_limit("poll", due)
        # Counted from the first poll: the job may have waited long for its share of the rate limit.
        began = began if polls else time.monotonic()
        polls += 1
        age = time.monotonic() - submitted
        try:
            if (reply := _ask(job)).job_id != job.record.job_id:  # neither its end nor its images are ours
                job.store.warn(f"{job.name} was asked for as {job.record.job_id}; a reply is about {reply.job_id}.")
                raise UnexpectedReplyError("The service answered about another job.")
        except KlingError as error:
            _wait_after_failed_poll(job, failed, error, age, began)
            continue
        failed = retry_policy.FailedPolls()
        reply, before = completed_by_evidence(before, reply, job.record.request.num_outputs), reply
        if reply.state == "running":
            running, job.found_running = age, age - job.unasked
            job.notify(service_status=reply.status, warnings=reply.warnings)
            continue
        seen = running or not job.resumed  # when a later kernel first asks, it may have been done for hours
        _note_end(job, reply, poll_schedule.estimate_duration(running, age, job.durations) if seen else None)
        return reply


def _check_patience(job: RunningJob, began: float) -> None:
    """Raise StoppedAskingError if the job was polled since ``began`` for longer than the setting allows."""
    if time.monotonic() - began > job.max_age:
        raise StoppedAskingError(
            StillRunningError(
                f"{job.name} was asked for during {time.monotonic() - began:.0f} s, still runs, and is paused. "
                f"{job.resume_hint}"
            ),
            JobStatus.PAUSED,
        )


def _submitted(job: RunningJob) -> float:
    """When the job was submitted, on the monotonic clock: one that is set back delays no poll."""
    if job.submitted is not None:
        return job.submitted
    # Submitted by an earlier process, or another machine: from here on its age counts on our clock.
    age = max(0.0, time.time() - (job.record.submitted_at or job.record.created_at))
    # The gaps of the schedule grow with a job's age. One that was left alone since yesterday may end any second.
    job.unasked = max(job.unasked, age - OLD_SECONDS)
    return time.monotonic() - age


def _ask(job: RunningJob) -> Job:
    """One poll. If the reply's status URL does not know the job, or says nothing of use, the address made of base and
    id is asked as well; the one that answers is kept."""
    job_id, given = str(job.record.job_id), job.record.status_url
    try:
        return job.client.poll(job_id, given)
    except (ModelNotFoundError, UnexpectedReplyError):
        if given is None or given == url_policy.job_url(job.client.base_url, job_id):
            raise
    job.wait_for_rate_limit("poll")
    reply = job.client.poll(job_id)
    job.record = job.record.replace(status_url=None)
    return reply


def _wait_after_failed_poll(
    job: RunningJob, failed: retry_policy.FailedPolls, error: KlingError, age: float, began: float
) -> None:
    """Count the failure, and sleep until it makes sense to ask again. Raises StoppedAskingError if it never does, and
    StillRunningError if ``error`` is the caller's time-out."""
    if isinstance(error, StillRunningError):
        raise error
    left = max(0.0, began + job.max_age - time.monotonic())
    # The service knows a job that had a result, and one whose id was read off its website.
    known = not job.record.raw.keys().isdisjoint(("final", "attached"))
    after = failed.after(error, math.inf if known else age, left)
    if after is not retry_policy.AfterPoll.AGAIN:
        raise StoppedAskingError(error, JobStatus.EXPIRED if after is retry_policy.AfterPoll.GONE else JobStatus.PAUSED)
    seconds = min(
        left, retry_policy.retry_after_seconds(error) or rate_limiter.backoff(failed.count, request_queue.jitter())
    )
    job.notify(waiting_for=f"{_why(error)}, asks again in {seconds:.0f} s")
    job.pause(seconds)


def _wait_until_due(job: RunningJob, submitted: float, age: float, polls: int, end: float) -> float:
    """Sleep until the job is to be asked again; that moment on the monotonic clock, at most ``end``.

    Planned anew every few seconds: others end meanwhile, or are refused, and leave more of the allowance to this one.
    """
    while (left := (due := min(end, submitted + _next_age(job, age, polls))) - time.monotonic()) > 0:
        job.pause(min(left, PLAN_SECONDS))
    return due


def _next_age(job: RunningJob, age: float, polls: int) -> float:
    """The job's age in seconds at which it is asked next."""
    job.refresh_durations()
    share = job.client.request_queue.share(job.durations.expected or 30.0)
    return age + poll_schedule.next_poll(max(0.0, age - job.unasked), polls, job.durations, share)


def _note_end(job: RunningJob, reply: Job, seconds: float | None) -> None:
    """The service is done with it: completed or failed. ``seconds`` it took, None if not known."""
    record = job.record
    job.record = record.replace(
        completed_at=record.completed_at or time.time(),
        seconds=seconds if record.seconds is None else record.seconds,
        credits=record.credits if reply.credit_cost is None else reply.credit_cost,
        credits_remaining=record.credits_remaining if reply.credits_remaining is None else reply.credits_remaining,
        raw={**record.raw, "final": dict(reply.raw)},
    )
    job.notify(service_status=reply.status, warnings=reply.warnings)


def failure(record: Record) -> JobFailedError:
    """The error of a job that the service says has failed."""
    why = (record.error or "no reason given").strip().rstrip(".")
    return JobFailedError(
        f"Job {record.number or record.job_id} failed at the service: {why}. Change the prompt, or try again.",
        job_id=record.job_id,
        number=record.number or None,
    )


def _why(error: KlingError) -> str:
    if isinstance(error, RateLimitedError):
        return "rate limit"
    return f"the service answered {error.status}" if isinstance(error, ApiError) and error.status else "network"


def _pause_job(job: RunningJob, error: KlingError, status: JobStatus, missing: Iterable[int] = ()) -> KlingError:
    """Pause the job and keep its id: nothing that was paid for is forgotten. ``missing``: places known to be empty."""
    record = job.record
    n, name = record.number, job.name
    if not isinstance(error, StillRunningError):
        saved = job.saved
        lost = "is lost to us in part" if saved else "is lost to us"
        what = lost if status is JobStatus.EXPIRED else "was bought and is not all here"
        shown = f" (`%kling show {n}`)" if saved and n else ""
        empty = ", ".join(address_of(n, k) if n else f"image {k + 1}" for k in missing)
        named = f"{name} ({record.job_id})" if n else name
        error.args = (
            f"{str(error).rstrip('.')}. {named} {what}: {count(saved, 'image')} saved{shown}"
            f"{f', {empty} not' if empty else ''}. {job.resume_hint}",
        )
    error.with_job(job_id=record.job_id, number=n or None)
    job.commit(status=status, error=str(error))
    return error


# ---- saving ----


def _save_images(job: RunningJob, reply: Job, number: int) -> dict[int, DownloadError]:
    """Save every image that can be had, side by side; by place, why the others could not.

    All URLs die soon: one bad image must not hold back the rest. What is in the folder is not fetched again.
    ``number``: how many there are; one that the reply no longer names is gone, like one whose URL has died.
    """
    asked = job.record.request.num_outputs
    if number != asked:
        job.store.warn(
            f"{job.name}: {count(asked, 'image')} {'were' if asked != 1 else 'was'} asked for and {number} came."
        )
    if number > MOST_IMAGES:
        job.store.warn(f"{job.name}: only the first {MOST_IMAGES} of {number} images are kept.")
        number = MOST_IMAGES
    job.record = job.record.replace(status=JobStatus.DOWNLOADING)
    job.notify(images=number)
    names = job.record.images
    places = [k for k in range(number) if k >= len(names) or not job.store.has(names[k])]
    errors: dict[int, DownloadError] = {}
    tasks = [partial(_save_one, job, reply.image_urls[k] if k < len(reply.image_urls) else None, k) for k in places]
    for k, saved in zip(places, job.store.download_all(tasks), strict=True):
        if isinstance(saved, DownloadError):
            errors[k] = saved
            if saved.too_large:
                _note_too_large(job, k, reply.image_urls[k], saved)
        else:
            job.record = job.record.replace(images=_placed(job.record, k, saved))
            job.notify()
    return errors


def _note_too_large(job: RunningJob, k: int, url: str, error: DownloadError) -> None:
    """Of an image that is too large to keep, the user gets to know where it is: in the message and in `Result.raw`."""
    url = "the reply itself" if url_policy.is_data_url(url) else url
    known = {**job.record.raw.get("too_large", {}), letter_of(k): {"url": url, "bytes": error.too_large}}
    job.record = job.record.replace(raw={**job.record.raw, "too_large": known})
    error.args = (f"{error} It is at <{url}>.",)


def _placed(record: Record, k: int, name: str) -> tuple[str, ...]:
    """The record's names with ``name`` in place ``k``.

    A gap before it holds the name its image would have, without an ending. No file has that name, so a gap is what
    a deleted image is as well: shown as missing, fetched by resume, and the others keep their addresses.
    """
    gaps = (image_stem(record, place) for place in range(len(record.images), k))
    return (*record.images[:k], *gaps, name, *record.images[k + 1 :])


def image_stem(record: Record, k: int) -> str:
    """The name of an image's file, without its ending."""
    return saving.file_stem(record.number, k, record.request.prompt, str(record.job_id))


def _save_one(job: RunningJob, url: str | None, k: int) -> str | DownloadError:
    """The image's name. Wrong bytes and broken connections are fetched again; a URL that is gone is not."""
    if url is None:
        return DownloadError(f"The service no longer names image {k + 1}.", status=410)
    # Saved, and killed before the commit; a new job never takes what lies there for its own.
    if job.resumed and (there := job.store.find(job.record, k)) is not None:
        return there
    for attempt in range(1, ASSET_TRIES + 1):
        try:
            last = attempt == ASSET_TRIES
            return job.store.save(job.record, k, lambda write: job.client.download(url, write), last=last)
        except DownloadError as error:
            if last or error.final or error.status in GONE:
                return error
            job.notify(waiting_for=f"image {k + 1} again: {error}")
            time.sleep(rate_limiter.backoff(attempt, request_queue.jitter()))
    raise AssertionError("unreachable")
