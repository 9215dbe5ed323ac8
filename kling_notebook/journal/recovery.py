"""A journal that is damaged is kept aside and a new one begun: from what can still be read of it, row by row, and from
the recipes inside the images."""

from __future__ import annotations

import calendar
import math
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from ..api.errors import SettingsError
from ..api.job import JobStatus
from ..api.quantities import count
from ..image_files import metadata, saving
from . import layout
from .job_record import Record, impossible_in_sql, new_record
from .journal import Journal, JournalError
from .locks import alone
from .schema import lenient

_MOST_PICTURES = 100
_MOST_ROWS = 10_000_000
"""The newest number is read from a damaged file, and may be damaged itself: it must not keep us for hours."""

# With a row of impossible values each sum over past jobs would fail or be wrong, and with it each purchase.
_NOT_WHOLE = impossible_in_sql()


def open_journal(folder: Path, session: str, tell: Callable[[str], object]) -> Journal:
    """The folder's journal; where it is damaged, a new one with what is left of it and what the images tell.

    Raises:
        SettingsError: it can neither be opened nor put aside.
    """
    path = layout.journal(folder)
    try:
        return _sound(path, tell)
    except sqlite3.DatabaseError:
        # One at a time: of two kernels that see the damage, the second must not put the first one's new journal aside.
        with alone(layout.recovery_lock(folder)):
            return _recovered(path, folder, session, tell)


def _sound(path: Path, tell: Callable[[str], object]) -> Journal:
    """The journal, looked through to its last page: damage found later would stop a sweep in its middle.

    It takes 3 ms with 1 000 jobs and 0.2 s with 100 000.
    """
    journal = Journal(path, tell)
    try:
        with journal.reading_untranslated() as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            broken = connection.execute(f"SELECT n FROM jobs WHERE {_NOT_WHOLE} LIMIT 1").fetchone()  # noqa: S608
        if verdict != "ok" or broken:
            raise sqlite3.DatabaseError(
                " ".join(verdict.split()) if verdict != "ok" else f"row {broken[0]} is not one of ours"
            )
    except BaseException:
        journal.close()
        raise
    return journal


def _recovered(path: Path, folder: Path, session: str, tell: Callable[[str], object]) -> Journal:
    try:
        return _sound(path, tell)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise SettingsError(
                f"The journal {path} cannot be opened ({error}). Nothing was sent. Choose another folder: "
                "KLING_FOLDER, or kling.connect(folder=...)."
            ) from None
        damage = error
    try:
        kept, found, aside = _replace(path, folder, session)
    except (JournalError, sqlite3.Error, OSError) as error:
        raise SettingsError(
            f"The journal {path} is damaged ({damage}), and no new one could be put in its place ({error}). Nothing "
            "was sent. Free space and close the folder's other kernels, or choose another folder with KLING_FOLDER."
        ) from None
    tell(
        f"The journal was damaged ({damage}). It is kept as {aside.name}, and a new one was begun: "
        f"{count(kept, 'job')} could still be read, {count(found, 'job')} found again from the recipes in the images."
    )
    return Journal(path, tell)


def _replace(path: Path, folder: Path, session: str) -> tuple[int, int, Path]:
    """How many jobs were read from the old journal and found again, and where the old one is now.

    The new journal gets its name last and in one step: whoever is killed before leaves the damaged one for the next.
    """
    new, aside = layout.new_journal(folder), layout.put_aside(folder, "damaged")
    for leftover in (new, new.with_name("journal.new-journal")):
        leftover.unlink(missing_ok=True)
    with closing(Journal(new)) as journal:
        kept = _salvage(path, journal)
        found = import_from_metadata(journal, folder, session)
    new.with_name("journal.new-journal").unlink(missing_ok=True)  # emptied, and not removed, by each commit
    rollback = path.with_name(path.name + "-journal")
    if rollback.exists() and rollback.stat().st_size:  # SQLite would roll it back into whatever has the journal's name
        rollback.rename(aside.with_name(aside.name + "-journal"))
    try:
        os.link(path, aside)
    except OSError:  # a file system without hard links
        shutil.copy2(path, aside)
    new.replace(path)
    return kept, found, aside


def _salvage(path: Path, journal: Journal) -> int:
    """Take over the rows that can still be read, with their numbers; how many that were."""
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(journal.path)) as new, new:
        old.text_factory = lenient
        columns = [name for _, name, *_ in new.execute("PRAGMA table_info(jobs)")]
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        rows = _rows(old, f"SELECT {names} FROM jobs NOT INDEXED WHERE n > ? AND n <= ? ORDER BY n")  # noqa: S608
        new.executemany(f"INSERT OR IGNORE INTO jobs ({names}) VALUES ({marks})", rows)  # noqa: S608
        new.execute(f"DELETE FROM jobs WHERE {_NOT_WHOLE}")  # noqa: S608
    return journal.count()


def _rows(old: sqlite3.Connection, select: str) -> Iterator[tuple[Any, ...]]:
    """Every row that SQLite gives out. Behind one that it does not, it is asked again from the next number on."""
    newest = [0]
    for ask in ("SELECT MAX(n) FROM jobs", "SELECT seq FROM sqlite_sequence WHERE name='jobs'"):
        with suppress(sqlite3.Error, TypeError, ValueError):
            newest.append(int(old.execute(ask).fetchone()[0]))
    last, end = 0, min(max(newest), _MOST_ROWS)
    while last < end:
        try:
            for row in old.execute(select, (last, end)):
                last = max(last, row[0])  # a torn page may give out any number
                yield row
            return
        except sqlite3.Error:
            last += 1


def import_from_metadata(journal: Journal, folder: Path, session: str) -> int:
    """Add one completed record per job whose images carry our recipe and that has no row; how many jobs that were."""
    jobs: dict[str, list[tuple[int, str, Record]]] = {}
    for path in folder.iterdir():
        with suppress(Exception):  # whatever is odd about a stranger's file, the others are found all the same
            if path.suffix != metadata.BESIDE and not path.is_symlink() and saving.is_saved_image(path):
                place, record = _record(path, session)
                jobs.setdefault(str(record.job_id), []).append((place, path.name, record))
    with journal.reading_untranslated() as connection:
        known = {job_id for (job_id,) in connection.execute("SELECT job_id FROM jobs")}
    records = []
    for job_id in jobs.keys() - known:
        images = sorted(jobs[job_id], key=lambda found: found[:2], reverse=True)
        record, names = images[-1][2], {place: name for place, name, _ in images}
        gaps = {place: saving.file_stem(0, place, record.request.prompt, job_id) for place in range(max(names))}
        records.append(record.replace(images=tuple((gaps | names)[place] for place in range(max(names) + 1))))
    records.sort(key=lambda record: record.created_at)
    journal.add(records)
    return len(records)


def _record(path: Path, session: str) -> tuple[int, Record]:
    """The image's place in its job, and the job as its recipe tells of it. Raises anything where there is none."""
    recipe = metadata.read(path)
    job_id, backend, credits = recipe["job_id"], recipe["backend"], recipe.get("credits")
    credits = None if credits is None else float(credits)
    texts = isinstance(job_id, str) and isinstance(backend, str) and (job_id + backend).isprintable()
    if not texts or not math.isfinite(credits or 0.0):
        raise ValueError("SQLite would not take it")
    created = float(calendar.timegm(time.strptime(recipe["created"], "%Y-%m-%dT%H:%M:%SZ")))
    about = {"backend": backend, "source": "recovered", "session": session, "estimate": credits or 0.0}
    record = new_record(metadata.request_of(recipe), **about, now=created)
    record = record.replace(status=JobStatus.COMPLETED, job_id=job_id, submitted_at=created, credits=credits)
    place = int(recipe.get("image") or 0)
    if not 0 <= place < _MOST_PICTURES:
        raise ValueError("no job has so many images")
    return place, record
