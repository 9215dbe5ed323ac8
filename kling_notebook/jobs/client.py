"""KlingClient: a client for plain scripts, which waits on the caller's own thread."""

from __future__ import annotations

import contextlib
import math
import random
import time

from ..api.client import ServiceClient
from ..api.errors import (
    ApiError,
    DownloadError,
    Interrupted,
    JobFailedError,
    KlingError,
    RateLimitedError,
    StillRunningError,
    TransportError,
)
from ..api.generation_request import GenerationRequest
from ..api.job import Job, JobStatus, Observer, Snapshot
from ..api.poll_schedule import Durations, next_poll
from ..api.rate_limiter import LONGEST_WAIT, Kind, backoff
from ..api.retry_policy import AfterPoll, AfterSubmit, FailedPolls, after_submit

_GONE = frozenset({403, 404, 410})


class KlingClient(ServiceClient):
    """A `ServiceClient` that can also `wait` for a job and `run` a request. No folder, no history, no threads.

    >>> client = KlingClient("YOUR_API_KEY")
    >>> client
    KlingClient(base_url='https://pixeldojo.ai/api/v1', model='kling-image')
    >>> with kling.Sandbox(latency=0) as service:  # stands for the hosted service
    ...     client = KlingClient(service.key, base_url=service.base_url)
    ...     images = client.run(GenerationRequest("a fox in the snow"))
    >>> images[0][:4]
    b'\\x89PNG'

    Arguments and errors are those of `ServiceClient`.

    Source: https://pixeldojo.ai/api-platform/kling-image
    """

    def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = 300.0,
        observer: Observer | None = None,
        request: GenerationRequest | None = None,
    ) -> Job:
        """Poll until the job is over; polls that fail are repeated.

        Args:
            timeout: seconds, None for no limit. It bounds the waiting, never the job.
            observer: called with a `Snapshot` after each poll. request: what the snapshots carry; without it they carry
                one whose prompt names the job.

        Returns:
            The completed or failed job.

        Raises:
            StillRunningError: the time is over; wait again with the same id.
            ApiError: the service will not tell: the key or the id is not accepted, or its replies say nothing of use.
        """
        asked = request or GenerationRequest(f"(job {job_id})")
        return self._wait(job_id, time.monotonic(), timeout, _Teller(asked, observer), first=0.0)

    def run(
        self, request: GenerationRequest, *, timeout: float | None = 300.0, observer: Observer | None = None
    ) -> list[bytes]:
        """Submit, wait and download: the images' bytes, in the service's order.

        A submit is repeated only where it is certain that no job was made: too many requests, or nothing left this
        machine.

        >>> for k, image in enumerate(client.run(GenerationRequest("a fox"))):  # doctest: +SKIP
        ...     Path(f"fox-{k}.png").write_bytes(image)

        Args:
            timeout: seconds from the call, None for no limit. It bounds the waiting, never the job.
            observer: called with a `Snapshot` at each change.

        Raises:
            KlingError: as `submit`, `wait` and `download`; with ``job_id`` from the moment it is known.
            JobFailedError: the service says that the job failed.
            DownloadError: an image cannot be had; those that came are in its ``images``.
            Interrupted: on a keyboard interrupt, with the id of the job that goes on; ``maybe_submitted`` where it
                came before the reply to the submit.
        """
        started = time.monotonic()
        teller = _Teller(request, observer)
        try:
            job = self._submit_patiently(request, started, timeout, teller)
            if job.state == "running":
                job = self._wait(job.job_id, started, timeout, teller, first=None, status_url=job.status_url)
            images = self._download_all(job, started, timeout)
        except KeyboardInterrupt:
            raise teller.interrupted() from None
        teller.tell(JobStatus.COMPLETED, job, started, saved=len(images))
        return images

    def _submit_patiently(
        self, request: GenerationRequest, started: float, timeout: float | None, teller: _Teller
    ) -> Job:
        failures = 0
        self.check_request(request)  # may ask for the schema, and what is asked before the POST costs nothing
        while True:
            self._await_turn("submit", started, timeout, 0.0, None)
            teller.tell(JobStatus.SUBMITTING, None, started)
            try:
                job = self.submit(request)
            except KlingError as error:
                failures += 1
                if after_submit(error) is not AfterSubmit.AGAIN:
                    raise
                pause = _pause(error, failures)
                if timeout is not None and time.monotonic() + pause > started + timeout:
                    raise
                teller.tell(JobStatus.QUEUED, None, started, waiting_for=_waiting(error, pause))
                time.sleep(pause)
            else:
                teller.tell(JobStatus.RUNNING, job, started)
                return job

    def _wait(
        self,
        job_id: str,
        started: float,
        timeout: float | None,
        teller: _Teller,
        *,
        first: float | None,
        status_url: str | None = None,
    ) -> Job:
        begun, polls, failed = time.monotonic(), 0, FailedPolls()
        new = first is None  # submitted just now: of another one nobody knows here how old it is
        pause = next_poll(0.0, 0, Durations()) if first is None else first
        while True:
            self._await_turn("poll", started, timeout, pause, job_id)
            polls += 1
            try:
                job = self.poll(job_id, status_url)
            except KlingError as error:
                age = time.monotonic() - begun if new else math.inf
                if failed.after(error, age) is not AfterPoll.AGAIN:
                    raise
                pause = _pause(error, failed.count)
                teller.tell(JobStatus.RUNNING, None, started, job_id=job_id, waiting_for=_waiting(error, pause))
                continue
            failed = FailedPolls()
            teller.tell(JobStatus.RUNNING, job, started)
            if job.state != "running":
                return job
            pause = next_poll(time.monotonic() - begun, polls, Durations())

    def _await_turn(self, kind: Kind, started: float, timeout: float | None, pause: float, job_id: str | None) -> None:
        with self.queue(kind, time.monotonic() + pause) as ticket:
            while (seconds := ticket.ready()) > 0.0:
                left = seconds if timeout is None else started + timeout - time.monotonic()
                if left <= 0.0:
                    about = f"job {job_id} goes on; wait for it again" if job_id else "nothing was sent"
                    raise StillRunningError(f"The time-out of {timeout:g} s has passed; {about}.", job_id=job_id)
                time.sleep(min(seconds, left))

    def _download_all(self, job: Job, started: float, timeout: float | None) -> list[bytes]:
        """Every image; on URLs that died the job is asked for fresh ones, at most twice. One that cannot be had holds
        none of the others back: they are in the error."""
        if job.state == "failed":
            raise JobFailedError(f"Job {job.job_id} failed: {job.error}.", job_id=job.job_id)
        images: dict[int, bytes] = {}
        errors: dict[int, DownloadError] = {}
        wanted = range(len(job.image_urls))
        for renewals_left in (2, 1, 0):
            for k in (k for k in wanted if k not in images and k < len(job.image_urls)):
                try:
                    images[k] = self._download_one(job.image_urls[k])
                except DownloadError as error:
                    errors[k] = error
            missing = [errors[k] for k in wanted if k not in images]
            if not missing:
                return [images[k] for k in wanted]
            if not renewals_left or all(error.status not in _GONE for error in missing):
                break
            with contextlib.suppress(KlingError):  # a time-out as well: what came is in the error
                self._await_turn("poll", started, timeout, 0.0, job.job_id)
                job = self.poll(job.job_id, job.status_url)
        missing[0].images = tuple(map(images.get, wanted))
        raise missing[0].with_job(job_id=job.job_id)

    def _download_one(self, url: str) -> bytes:
        for attempt in (1, 2, 3):
            parts: list[bytes] = []
            try:
                self.download(url, parts.append)
                return b"".join(parts)
            except DownloadError as error:
                if error.final or error.status in _GONE or attempt == 3:
                    raise
                time.sleep(_pause(error, attempt))
        raise AssertionError("unreachable")


class _Teller:
    """Makes snapshots for one observer. What the observer raises never reaches the job."""

    def __init__(self, request: GenerationRequest, observer: Observer | None) -> None:
        self._snapshot = Snapshot(request, JobStatus.QUEUED)
        self._observer = observer

    def tell(self, status: JobStatus, job: Job | None, started: float, **facts: object) -> None:
        if job is not None:
            facts |= {"job_id": job.job_id, "service_status": job.status, "images": len(job.image_urls)}
            facts["credits"] = job.credit_cost if job.credit_cost is not None else self._snapshot.credits
        elapsed = time.monotonic() - started
        self._snapshot = self._snapshot.replace(status=status, elapsed=elapsed, **({"waiting_for": None} | facts))
        if self._observer is not None:
            with contextlib.suppress(Exception):
                self._observer(self._snapshot)

    def interrupted(self) -> Interrupted:
        """What an interrupt means just now: a job that goes on, a POST that nobody knows the outcome of, or nothing."""
        job_id = self._snapshot.job_id
        if job_id:
            return Interrupted(f"Stopped waiting. {job_id} goes on; client.wait({job_id!r}) collects it.", [job_id])
        if self._snapshot.status is JobStatus.SUBMITTING:
            return Interrupted(
                "Stopped waiting for the reply to the submit. A job may have been made and charged; it was not sent "
                "again. Look at the website.",
                maybe_submitted=True,
            )
        return Interrupted("Stopped waiting. Nothing was sent.")


def _pause(error: KlingError, failures: int) -> float:
    said = error.retry_after if isinstance(error, ApiError) else None
    return min(said, LONGEST_WAIT) if said is not None else backoff(failures, random.random())  # noqa: S311 - no secret


def _waiting(error: KlingError, pause: float) -> str:
    why = {RateLimitedError: "rate limit", TransportError: "network"}.get(type(error), "service")
    return f"{why}, {pause:.0f} s"
