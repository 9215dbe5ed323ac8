"""The second half of a job's life: poll until the service is done, then save its images. Called by advance() only."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable

from ..api import poll_schedule, rate_limiter, retry_policy
from ..api.errors import ApiError, DownloadError, JobFailedError, KlingError, RateLimitedError, StillRunningError
from ..api.job import Job, JobStatus
from ..image_files import metadata, saving
from ..journal.job_record import Record
from ..results import result
from .job_context import Outcome, Work, wait_for_rate_limit

ASSET_TRIES = 3  # per URL
ASSET_REFRESHES = 2  # times a job is asked for fresh URLs
PLAN_SECONDS = 2.0  # a plan for the next poll is good for so long
GONE = (403, 404, 410)  # statuses of an asset whose URL has died


def collect(record: Record, work: Work) -> Outcome:
    """Poll until the service is done, then save the images; both again where URLs have died."""
    count = len(record.images)  # of the images it was seen to have: none is forgotten that a later reply leaves out
    for refresh in range(ASSET_REFRESHES + 1):
        outcome, job = _poll(record, work)
        if job is None:
            return outcome
        count = max(count, len(job.image_urls))
        record, errors = _save_images(work.commit(outcome.record, status=JobStatus.DOWNLOADING), work, job, count)
        if not errors:
            return Outcome(work.commit(record, status=JobStatus.COMPLETED, error=None))
        gone = [error.status in GONE for error in errors.values()]
        if not any(gone) or refresh == ASSET_REFRESHES:
            status = JobStatus.EXPIRED if all(gone) else JobStatus.PAUSED
            return _park(record, work, next(iter(errors.values())), status, missing=errors)
        work.resumed = True  # the job is done: ask at once
    raise AssertionError("unreachable")


def _poll(record: Record, work: Work) -> tuple[Outcome, Job | None]:
    """Ask until the service says completed or failed. A failed poll is not a failed job: it is asked again later."""
    # Its age counts on from here on the monotonic clock: one that is set back, or another machine's, delays no poll.
    submitted = time.monotonic() - max(0.0, time.time() - (record.submitted_at or record.created_at))
    result.warm_up()
    failed = retry_policy.FailedPolls()
    polls, age, running = 0, 0.0, 0.0  # how often asked; the job's age when last asked, when last found running
    while True:
        if work.unwritten is not None:  # a full disk may have room again: the job id must not wait for the job's end
            work.commit(record)
        if polls and age > work.job_max_age:
            return _park(record, work, _still_running(record, age)), None
        due = time.monotonic() if work.resumed and not polls else _wait_until_due(work, submitted, age, polls)
        wait_for_rate_limit(record, work, "poll", due=due)
        polls += 1
        age = time.monotonic() - submitted
        try:
            job = work.client.poll(str(record.job_id), record.status_url)
        except KlingError as error:
            left = max(0.0, work.job_max_age - age)
            # The service knows a job that had a result, and one whose id was read off its website.
            known = not record.raw.keys().isdisjoint(("final", "attached"))
            after = failed.after(error, math.inf if known else age, left)
            if after is not retry_policy.AfterPoll.AGAIN:
                status = JobStatus.EXPIRED if after is retry_policy.AfterPoll.GONE else JobStatus.PAUSED
                return _park(record, work, error, status), None
            seconds = retry_policy.retry_after_seconds(error) or rate_limiter.backoff(failed.count, random.random())  # noqa: S311  # jitter
            seconds = min(seconds, left)
            work.tell(record, waiting_for=f"{_why(error)}, asks again in {seconds:.0f} s")
            time.sleep(seconds)
            continue
        failed = retry_policy.FailedPolls()
        if job.state == "running":
            running = age
            work.tell(record, service_status=job.status)
            continue
        # A job that was done when a later kernel first asked may have been done for hours.
        seen = running or not work.resumed
        return _finished_there(
            record, work, job, poll_schedule.estimate_duration(running, age, work.durations) if seen else None
        )


def _wait_until_due(work: Work, submitted: float, age: float, polls: int) -> float:
    """Sleep until the job is to be asked again; that moment on the monotonic clock.

    Planned anew every few seconds: others end meanwhile, or are refused, and leave more of the allowance to this one.
    """
    while (left := (due := submitted + _next_age(work, age, polls)) - time.monotonic()) > 0:
        time.sleep(min(left, PLAN_SECONDS))
    return due


def _next_age(work: Work, age: float, polls: int) -> float:
    """The job's age in seconds at which it is asked next; at the latest when it would be set aside."""
    work.refresh()
    share = work.client.share(work.durations.expected or 30.0)
    return min(age + poll_schedule.next_poll(age, polls, work.durations, share), work.job_max_age)


def _finished_there(record: Record, work: Work, job: Job, seconds: float | None) -> tuple[Outcome, Job | None]:
    """The service is done with it: completed or failed. ``seconds`` it took, None where nobody knows."""
    done = record.replace(
        completed_at=record.completed_at or time.time(),
        seconds=seconds if record.seconds is None else record.seconds,
        credits=record.credits if job.credit_cost is None else job.credit_cost,
        credits_remaining=record.credits_remaining if job.credits_remaining is None else job.credits_remaining,
        raw={**record.raw, "final": dict(job.raw)},
    )
    work.tell(done, service_status=job.status)
    if job.state == "completed":
        return Outcome(done), job
    record = work.commit(done, status=JobStatus.FAILED, error=job.error or job.status)
    return Outcome(record, failure(record)), None


def failure(record: Record) -> JobFailedError:
    """The error of a job that the service says has failed."""
    why = (record.error or "no reason given").strip().rstrip(".")
    text = f"Job {record.number} failed at the service: {why}. Change the prompt, or try again."
    return JobFailedError(text, job_id=record.job_id, number=record.number)


def _why(error: KlingError) -> str:
    if isinstance(error, RateLimitedError):
        return "rate limit"
    return f"the service said {error.status}" if isinstance(error, ApiError) and error.status else "network"


def _still_running(record: Record, age: float) -> StillRunningError:
    return StillRunningError(
        f"Job {record.number} has not ended after {age:.0f} s and was set aside. "
        f"`%kling resume {record.number}` asks again.",
        job_id=record.job_id,
        number=record.number,
    )


def _park(
    record: Record,
    work: Work,
    error: KlingError,
    status: JobStatus = JobStatus.PAUSED,
    missing: Iterable[int] = (),
) -> Outcome:
    """Set the job aside with its id. Nothing that was paid for is forgotten. ``missing``: places known to be empty."""
    if not isinstance(error, StillRunningError):
        n, saved = record.number, work.saved(record)
        lost = "is lost to us in part" if saved else "is lost to us"
        what = lost if status is JobStatus.EXPIRED else "was bought and is not all here"
        shown = f" (`%kling show {n}`)" if saved else ""
        empty = ", ".join(f"{n}:{k}" for k in missing)
        error.args = (
            f"{str(error).rstrip('.')}. Job {n} ({record.job_id}) {what}: "
            f"{saved} image{'s' * (saved != 1)} saved{shown}{f', {empty} not' if empty else ''}. "
            f"`%kling resume {n}` tries again.",
        )
    error.with_job(job_id=record.job_id, number=record.number)
    return Outcome(work.commit(record, status=status, error=str(error)), error)


# ---- saving ----


def _save_images(record: Record, work: Work, job: Job, count: int) -> tuple[Record, dict[int, DownloadError]]:
    """Save every image that can be had, committing each; and, by place, why the others could not.

    All URLs die soon: one bad image must not hold back the rest. What is in the folder is not fetched again.
    ``count``: how many there are; one that the reply no longer names is gone, like one whose URL has died.
    """
    errors: dict[int, DownloadError] = {}
    asked = record.request.num_outputs
    if count != asked:
        work.warn(f"Job {record.number}: {asked} image{'s were' if asked != 1 else ' was'} asked for and {count} came.")
    work.tell(record, images=count)
    for k in range(count):
        if k < len(record.images) and saving.is_saved_image(work.folder / record.images[k]):
            continue
        try:
            if k >= len(job.image_urls):
                raise DownloadError(f"The service no longer names image {k + 1}.", status=410)
            name = _save_one(record, work, job.image_urls[k], k)
        except DownloadError as error:
            errors[k] = error
            continue
        record = record.replace(images=_placed(record, k, name))
        if k + 1 < count:  # the last one is committed with the end of its job; images.find mends a crash in between
            record = work.commit(record)
    return record, errors


def _placed(record: Record, k: int, name: str) -> tuple[str, ...]:
    """The record's names with ``name`` in place ``k``.

    A gap before it holds the name its image would have, without an ending. No file has that name, so a gap is what
    a deleted image is as well: shown as missing, fetched by resume, and the others keep their addresses.
    """
    gaps = (_stem(record, place) for place in range(len(record.images), k))
    return (*record.images[:k], *gaps, name, *record.images[k + 1 :])


def _stem(record: Record, k: int) -> str:
    return saving.file_stem(str(record.job_id), record.request.prompt, k)


def _save_one(record: Record, work: Work, url: str, k: int) -> str:
    """The file's name. Wrong bytes and broken connections are fetched again; a URL that is gone is not."""
    stem = _stem(record, k)
    # Saved, and killed before the commit; a new job never takes what lies there for its own.
    if work.resumed and (there := saving.find(work.folder, stem)) is not None:
        return there.name
    for attempt in range(1, ASSET_TRIES + 1):
        try:
            saved = saving.save(
                lambda write: work.client.download(url, write),
                work.folder,
                stem,
                owner=record.owner,
                recipe=_recipe(record, k) if work.recipe else None,
                thumbnails=work.folder / ".kling" / "thumbnails",
                thumbnail_sizes=result.thumbnail_sizes(work.thumbnail_size, record.request.num_outputs),
                alone=record.request.num_outputs == 1,
                on_warning=work.warn,
            )
            return saved.path.name
        except DownloadError as error:
            if attempt == ASSET_TRIES or error.final or error.status in GONE:
                raise
            work.tell(record, waiting_for=f"image {k + 1} again: {error}")
            time.sleep(rate_limiter.backoff(attempt, random.random()))  # noqa: S311  # jitter, not a secret
    raise AssertionError("unreachable")


def _recipe(record: Record, k: int) -> dict[str, object]:
    return metadata.build(
        request=record.request,
        backend=record.backend,
        created_at=record.submitted_at or record.created_at,
        job_id=record.job_id,
        number=record.number,
        image=k,
        credits=record.credits,
    )
