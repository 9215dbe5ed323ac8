"""Workspace: the folder a session works in; and FolderStore, where its jobs' records and images go."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..api.errors import DownloadError, SettingsError
from ..api.generation_request import GenerationRequest, kind
from ..api.poll_schedule import Durations
from ..image_files import decode, metadata, saving
from ..image_files.worker_pool import WorkerPool
from ..journal import layout
from ..journal.job_record import Record
from ..journal.journal import Journal
from ..journal.locks import Locks
from ..results import result
from ..results.attachments import Attachments
from ..results.result import Result
from .poll_and_save import image_stem
from .running_job import Fetch

SANDBOX_SECONDS = (2.2, 2.5, 2.8)  # jobs of our own sandbox, known before the first: it must not be seen 2 s late


class JobSettings(Protocol):
    """The settings that jobs go by; what each one means stands with `Settings`."""

    in_flight: int
    job_max_age: float
    thumbnail_size: int
    recipe: bool


@dataclass
class Workspace:
    """Where a session works: its folder, what lies there, and what it has to say once.

    ``sessions``: the ids of this kernel's sessions, the one that works here last. ``key``: the fingerprint of the
    account's key, None on the sandbox.
    """

    sessions: tuple[str, ...]
    backend: str
    folder: Path
    journal: Journal
    locks: Locks
    attachments: Attachments
    settings: JobSettings
    notices: list[str] = field(default_factory=list)
    key: str | None = None

    @property
    def id(self) -> str:
        return self.sessions[-1]

    @property
    def is_sandbox(self) -> bool:
        """Whether credits are play money."""
        return self.backend == "sandbox"

    def runs_elsewhere(self, record: Record) -> bool:
        """Whether another session that is alive works on it."""
        return record.owner != self.id and self.locks.alive(record.owner)

    def has_other_key(self, record: Record) -> bool:
        """Whether another account's key paid for it: with the present one the service may not know it."""
        return None not in (record.key, self.key) and record.key != self.key

    def has_all(self, record: Record) -> bool:
        """Whether the record has images, and every one of them is there."""
        return bool(record.images) and all(saving.is_saved_image(self.folder / name) for name in record.images)

    def has_price(self, request: GenerationRequest) -> bool:
        """Whether this backend has stated what such a job costs."""
        return self.journal.has_price(self.backend, kind(request), key=self.key)

    def durations(self, request: GenerationRequest, running: Iterable[float] = ()) -> Durations:
        """How long such jobs took before on this backend. ``running``: ages of those that were found running."""
        past = self.journal.past_seconds(self.backend, kind(request), key=self.key)
        return Durations.of(past or (SANDBOX_SECONDS if self.is_sandbox else ()), running)

    def as_result(self, record: Record, *, reused: bool = False) -> Result:
        return Result(record, self.folder, reused=reused, thumbnail_size=self.settings.thumbnail_size)


class FolderStore:
    """A job's `RecordStore` in a folder.

    Args:
        commit: makes a record durable. downloads: the session's threads for downloads.
        durations: how long jobs like a record's took before.
    """

    def __init__(
        self,
        workspace: Workspace,
        commit: Callable[[Record], Record],
        downloads: WorkerPool,
        durations: Callable[[Record], Durations],
    ) -> None:
        self._workspace = workspace
        self.durations = durations
        self.warn = workspace.notices.append
        self.commit = commit
        self._downloads = downloads

    def save(self, record: Record, place: int, fetch: Fetch, *, last: bool) -> str:
        settings, folder = self._workspace.settings, self._workspace.folder
        try:
            thumbnails, unsaved = layout.thumbnails(folder), layout.unsaved(folder)
        except SettingsError as error:  # it was sent long ago
            raise DownloadError(str(error).replace("Nothing was sent", "The image was not saved"), final=True) from None
        asked = record.request.num_outputs
        return saving.save(
            fetch,
            folder,
            image_stem(record, place),
            owner=record.owner,
            recipe=metadata.build(
                request=record.request,
                backend=record.backend,
                created_at=record.submitted_at or record.created_at,
                job_id=record.job_id,
                number=record.number,
                image=place,
                credits=record.credits,
            )
            if settings.recipe
            else None,
            thumbnails=thumbnails,
            unsaved=unsaved,
            thumbnail_sizes=result.thumbnail_sizes(settings.thumbnail_size, asked),
            alone=asked == 1,
            last=last,
            on_warning=self.warn,
        ).name

    def find(self, record: Record, place: int) -> str | None:
        return there.name if (there := saving.find(self._workspace.folder, image_stem(record, place))) else None

    def has(self, name: str) -> bool:
        return saving.is_saved_image(self._workspace.folder / name)

    def download_all(self, tasks: Iterable[Callable[[], str | DownloadError]]) -> Iterator[str | DownloadError]:
        futures = [self._downloads.submit(task) for task in tasks]
        return (future.result() for future in futures)

    def prepare(self) -> None:
        decode.warm_up()

    def is_other_job(self, record: Record, job_id: str) -> bool:
        other = self._workspace.journal.by_job_id(job_id)
        if other is None or other.number == record.number or other.backend != record.backend:
            return False
        self.warn(f"Job {record.number} was answered with {job_id}, the id of job {other.number}.")
        return True
