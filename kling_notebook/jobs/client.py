"""KlingClient: a client for plain scripts, which waits on the caller's own thread."""

import logging

from ..api.client import ServiceClient
from ..api.errors import DownloadError, Interrupted
from ..api.generation_request import GenerationRequest
from ..api.job import Job, JobStatus, Observer
from ..journal.job_record import Record, new_record
from .advance import advance
from .poll_and_save import StoppedAskingError, ask_until_over
from .running_job import Fetch, RecordStore, RunningJob

_log = logging.getLogger("kling_notebook")


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
        job = self._job(request or GenerationRequest(f"(job {job_id})"), timeout, observer, resumed=True)
        job.record = job.record.replace(status=JobStatus.RUNNING, job_id=job_id, raw={"attached": job_id})
        try:
            return ask_until_over(job)
        except StoppedAskingError as stopped:
            raise stopped.args[0].with_job(job_id=job_id) from None

    def run(
        self, request: GenerationRequest, *, timeout: float | None = 300.0, observer: Observer | None = None
    ) -> list[bytes]:
        """Submit, wait and download: the images' bytes, in the service's order.

        A submit is repeated only if it is certain that no job was made: too many requests, or nothing was sent.

        >>> for k, image in enumerate(client.run(GenerationRequest("a fox"))):  # doctest: +SKIP
        ...     Path(f"fox-{k}.png").write_bytes(image)

        Args:
            timeout: seconds from the call, None for no limit. It bounds the waiting, never the job.
            observer: called with a `Snapshot` at each change.

        Raises:
            KlingError: as `submit`, `wait` and `download`; with ``job_id`` from the moment it is known.
            JobFailedError: the service says that the job failed.
            DownloadError: an image cannot be had; those that came are in its ``images``.
            Interrupted: on a keyboard interrupt, with the id of the job that keeps running; ``maybe_submitted`` if it
                came before the reply to the submit.
        """
        job = self._job(request, timeout, observer)
        try:
            error = advance(job)
        except KeyboardInterrupt:
            raise _interrupted(job.record) from None
        images: dict[int, bytes] = job.store.images  # type: ignore[attr-defined]  # of a _MemoryStore
        if isinstance(error, DownloadError):
            error.images = tuple(map(images.get, range(job.handle.snapshot.images)))
        if error is not None:
            raise error
        return [images[place] for place in sorted(images)]

    def _job(
        self, request: GenerationRequest, timeout: float | None, observer: Observer | None, *, resumed: bool = False
    ) -> RunningJob:
        if not isinstance(request, GenerationRequest):
            self.check_request(request)  # raises InputError
        job = RunningJob(
            new_record(request, backend="", source="python", session="", estimate=0.0),
            _MemoryStore(),
            timeout=timeout,
            resumed=resumed,
        )
        job.client = self
        if observer is not None:
            job.handle.add_observer(observer, at_once=False)
        return job


class _MemoryStore(RecordStore):
    """Keeps a job's images in memory, by their place, and forgets its record."""

    def __init__(self) -> None:
        self.images: dict[int, bytes] = {}

    def save(self, record: Record, place: int, fetch: Fetch, *, last: bool) -> str:  # noqa: ARG002
        parts: list[bytes] = []
        fetch(parts.append)
        self.images[place] = b"".join(parts)
        return str(place)

    def prepare(self) -> None:
        """Nothing is decoded."""

    def has(self, name: str) -> bool:
        return name.isdecimal() and int(name) in self.images

    def warn(self, text: str) -> None:
        _log.warning("%s", text)


def _interrupted(record: Record) -> Interrupted:
    """What an interrupt means just now: a job that keeps running, a POST of unknown outcome, or nothing."""
    if record.job_id:
        return Interrupted(
            f"Stopped waiting. Job {record.job_id} keeps running; client.wait({record.job_id!r}) fetches it.",
            [record.job_id],
        )
    if record.status is JobStatus.SUBMITTING:
        return Interrupted(
            "Stopped waiting for the reply to the submit. A job may have been made and charged; it was not sent "
            "again. Look at the website.",
            maybe_submitted=True,
        )
    return Interrupted("Stopped waiting. Nothing was sent.")
