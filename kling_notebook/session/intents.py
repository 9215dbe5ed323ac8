"""Intent files: the record of a job that another process runs, one file per job in the shared folder.

Executors run a task again when its worker dies, also after it was finished. A file that is made in one step stands for
the one right to POST: whoever makes it may send, everybody else finds it and attaches. It goes only where nothing was
sent and the right is given back; that of a job that is over stays, as the proof that the right is used. SQLite is
written by the calling session alone, which folds these files in.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ..api.errors import KlingError
from ..api.jobs import JobStatus
from .images import sync_folder
from .journal import Journal, LostOwnership
from .records import Record, record_as_json, record_from_json

REPLY_SECONDS = 60.0
"""How long a second run waits for the job id of a POST that is under way elsewhere."""


class Intents:
    """The intent files of a working folder, under ``.kling/intents/``. Implements the lifecycle's ledger.

    A file's name holds the job's number and the session that bought it: in a journal that was begun anew the numbers
    come again, and belong to other jobs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".kling" / "intents"

    def path(self, record: Record) -> Path:
        return self.folder / f"{record.number}-{record.session}.json"

    def read(self, record: Record) -> Record | None:
        """What the file of a job says, None where there is none, or none that can be read."""
        try:
            return record_from_json(json.loads(self.path(record).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, KlingError):
            return None

    def claim(self, record: Record) -> bool:
        """Take the right to POST (or, for a withdrawal, take it away). False: somebody has it."""
        written = self._written(record)
        try:
            os.link(written, self.path(record))  # whole and exclusive in one step
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            return self._claim_without_links(record)
        finally:
            written.unlink(missing_ok=True)
        sync_folder(self.folder)
        return True

    def _claim_without_links(self, record: Record) -> bool:
        path = self.path(record)
        try:
            file = path.open("x", encoding="utf-8")
        except FileExistsError:
            return False
        _write(file, record)
        return True

    def _written(self, record: Record) -> Path:
        """A whole file with another name beside the job's own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f".{record.number}.{secrets.token_hex(4)}.part"
        _write(path.open("x", encoding="utf-8"), record)
        return path

    def withdraw(self, record: Record) -> bool:
        """Take the right to POST from whoever may still come to run the job. False: somebody has used it.

        Without the folder no executor was ever given a job here.
        """
        return not self.folder.exists() or self.claim(record.but(status=JobStatus.WITHDRAWN))

    def close(self, journal: Journal, record: Record) -> Record:
        """A planned job that nobody will run: withdrawn now, so that nobody sends it; or how far a worker has come."""
        if self.withdraw(record):
            journal.settle(record.number, JobStatus.WITHDRAWN, JobStatus.PLANNED)
            return record.but(status=JobStatus.WITHDRAWN)
        record = self.fold(journal, record)
        if record.status is JobStatus.PLANNED:  # a file that cannot be read: whoever made it may have sent
            why = "the intent file of its worker cannot be read"
            journal.settle(record.number, JobStatus.MAYBE_SUBMITTED, JobStatus.PLANNED, why)
            return record.but(status=JobStatus.MAYBE_SUBMITTED, error=why)
        return record

    def commit(self, record: Record) -> None:
        """The ledger: SENT is claimed, a request that may be sent again gives its claim back, the rest is replaced."""
        if record.status is JobStatus.SENT:
            if not self.claim(record):
                raise LostOwnership(record.number)
        elif record.status is JobStatus.PLANNED:
            with suppress(FileNotFoundError):
                self.path(record).unlink()
        elif record.status is JobStatus.REFUSED and not self._holds(record) and not self.claim(record):
            raise LostOwnership(record.number)  # this run sent nothing; another one did
        else:
            self._written(record).replace(self.path(record))

    def _holds(self, record: Record) -> bool:
        said = self.read(record)
        return said is not None and said.owner == record.owner

    def take_back(self, record: Record) -> None:
        """The session that bought the job goes on with it itself: the file then says what the journal says, and no
        more is folded from it. Where this fails, `fold` still sees the other job id."""
        with suppress(OSError):
            if self.path(record).exists():
                self._written(record).replace(self.path(record))

    def found(self, record: Record, patience: float = REPLY_SECONDS) -> Record | None:
        """What an earlier run left; a POST that is under way there is given time to be answered."""
        deadline = time.monotonic() + patience
        said = self.read(record)
        while said is not None and said.status is JobStatus.SENT and time.monotonic() < deadline:
            time.sleep(0.2)
            said = self.read(record)
        return said

    def fold(self, journal: Journal, record: Record) -> Record:
        """Write what a worker has said into the journal; the record as it then stands.

        Only while the row is as it was handed over: once a session has taken the job over, or back, the journal knows
        more than the file.
        """
        said = self.read(record)
        if said is None or record.status.over or record.owner != record.session:
            return record
        taken_back = said.owner == record.owner and said.status is not JobStatus.WITHDRAWN
        if taken_back or record.job_id not in (None, said.job_id):
            return record
        now = said.but(
            owner=record.owner,
            source=record.source,
            estimate=record.estimate,
            starred=record.starred,
            note=record.note,
        )
        try:
            if now != record:
                journal.write(now)
        except LostOwnership:  # another kernel has taken it over since we looked
            return journal.get(record.number) or record
        return now


def _write(file: TextIO, record: Record) -> None:
    """All of it, down to the disk, or no file: on a full disk nothing is sent."""
    try:
        with file:
            file.write(json.dumps(record_as_json(record)))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        raise
