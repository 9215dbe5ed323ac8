"""Intent files: the record of a job that another process runs, one file per job in the shared folder.

Executors run a task again when its worker dies. A file made with exclusive create stands for the one right to POST:
whoever makes it may send, everybody else finds it and attaches. SQLite is written by the calling session alone, which
folds these files in.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from ..api.jobs import JobStatus
from .journal import Journal, LostOwnership
from .records import Record, record_as_json, record_from_json

REPLY_SECONDS = 60.0
"""How long a second run waits for the job id of a POST that is under way elsewhere."""


class Intents:
    """The intent files of a working folder, under ``.kling/intents/``. Implements the lifecycle's ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".kling" / "intents"

    def path(self, number: int) -> Path:
        return self.folder / f"{number}.json"

    def read(self, number: int) -> Record | None:
        """What the file of a job says, None where there is none."""
        try:
            return record_from_json(json.loads(self.path(number).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            return None

    def claim(self, record: Record) -> bool:
        """Take the right to POST (or, for a withdrawal, take it away). False: somebody has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.path(record.number).open("x", encoding="utf-8") as file:
                file.write(json.dumps(record_as_json(record)))
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            return False
        return True

    def withdraw(self, record: Record) -> bool:
        """Take the right to POST from whoever may still come to run the job. False: somebody has used it.

        Without the folder no executor was ever given a job here.
        """
        return not self.folder.exists() or self.claim(record.but(status=JobStatus.WITHDRAWN))

    def close(self, journal: Journal, record: Record) -> Record:
        """A planned job whose kernel is gone: withdrawn now, so that nobody sends it; or how far a worker has come."""
        if not self.withdraw(record):
            return self.fold(journal, record, record.owner)
        journal.settle(record.number, JobStatus.WITHDRAWN, JobStatus.PLANNED)
        return record.but(status=JobStatus.WITHDRAWN)

    def commit(self, record: Record) -> None:
        """The ledger: SENT is claimed, a request that may be sent again gives its claim back, the rest is replaced."""
        if record.status is JobStatus.SENT:
            if not self.claim(record):
                raise LostOwnership(record.number)
            return
        if record.status is JobStatus.PLANNED:
            with suppress(FileNotFoundError):
                self.path(record.number).unlink()
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{record.number}.{secrets.token_hex(4)}.part"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(record_as_json(record)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path(record.number))

    def found(self, number: int, patience: float = REPLY_SECONDS) -> Record | None:
        """What an earlier run left; a POST that is under way there is given time to be answered."""
        deadline = time.monotonic() + patience
        record = self.read(number)
        while record is not None and record.status is JobStatus.SENT and time.monotonic() < deadline:
            time.sleep(0.2)
            record = self.read(number)
        return record

    def fold(self, journal: Journal, record: Record, owner: str) -> Record:
        """Write what the file says into the journal; the record as it then stands. The file goes when it is over."""
        said = self.read(record.number)
        if said is None or record.status.over:
            return record
        now = said.but(session=record.session, owner=owner, source=record.source, estimate=record.estimate)
        journal.write(now)
        if now.status.over and now.status is not JobStatus.WITHDRAWN:  # that file keeps a late worker from buying
            with suppress(OSError):
                self.path(record.number).unlink()
        return now
