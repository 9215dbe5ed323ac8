"""The folder's journal, and a new one if there is none that can be used.

A journal that is damaged, or not ours, is kept aside. The new one is begun from what can still be read of a
damaged one, row by row, and from the metadata inside the images.
"""

import calendar
import math
import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ..api.address import MOST_IMAGES
from ..api.errors import SettingsError
from ..api.event_log import log_suppressed, suppress
from ..api.job import JobStatus
from ..api.quantities import count
from ..image_files import metadata, saving
from . import layout
from .job_record import IMPOSSIBLE, Record, new_record
from .journal import NOT_OVER, SPENT, Journal, JournalError
from .locks import alone
from .schema import OtherSchemaError, lenient

# Rows that are looked at when a journal is opened, rows looked at at a time afterwards, and seconds in between.
NEWEST, SLICE, SLICE_PAUSE = 200, 2000, 0.02
# A longer number is not taken from a name: the next jobs are counted on from it.
_NUMBER = re.compile(r"([0-9]{4,6})[a-z]-")
# The newest number is read from a damaged file, and may be damaged itself: it must not keep us for hours.
_MOST_ROWS = 10_000_000


def open_journal(folder: Path, session: str, tell: Callable[[str], object]) -> Journal:
    """The folder's journal; if there is none that can be used, a new one with what its images tell.

    Raises:
        SettingsError: it can neither be opened nor put aside.
    """
    path = layout.journal(folder)
    with suppress(sqlite3.DatabaseError):
        if _begun(path):
            return _sound(path, tell)
    # One at a time: of two kernels that see the damage, the second must not put the first one's new journal aside.
    with alone(layout.recovery_lock(folder)):
        return _begun_anew(path, folder, session, tell)


def _begun(path: Path) -> bool:
    """Whether there is a journal; an empty file, as a full disk or a crash leaves it, is none."""
    return path.exists() and path.stat().st_size > 0


def _sound(path: Path, tell: Callable[[str], object]) -> Journal:
    """The journal, if what matters at once is whole: its schema, the rows that are not over, the newest 200 rows.

    A journal of up to 2,000 rows is looked through to its last page, a longer one in the background: opening it must
    not take longer with each job.
    """
    journal, seen = Journal(path, tell), layout.damage_seen(path.parent.parent)
    try:
        with journal.reading_untranslated() as connection:
            (newest,) = connection.execute(
                "SELECT COALESCE(MAX(n), 0) FROM (SELECT MAX(n) AS n FROM jobs"
                " UNION SELECT CAST(seq AS INTEGER) FROM sqlite_sequence)"
            ).fetchone()
            if newest > _MOST_ROWS:  # the jobs after it would have numbers that no address has
                raise sqlite3.DatabaseError(f"row {newest} cannot be a job's")
            at_once = newest <= SLICE or seen.exists()
            if at_once and (verdict := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(" ".join(verdict.split()))
            _refuse_impossible(connection, "TRUE" if at_once else f"(n > {newest - NEWEST} OR {NOT_OVER})")
    except BaseException:
        journal.close()
        raise
    if not at_once:
        threading.Thread(
            target=_look_through, args=(journal, newest, tell), name="kling-journal-check", daemon=True
        ).start()
    seen.unlink(missing_ok=True)
    return journal


def _refuse_impossible(connection: sqlite3.Connection, which: str) -> None:
    """With a row of impossible values each sum over past jobs would fail or be wrong, and with it each purchase."""
    broken = connection.execute(f"SELECT n FROM jobs WHERE {which} AND {IMPOSSIBLE} LIMIT 1").fetchone()  # noqa: S608
    if broken:
        raise sqlite3.DatabaseError(f"row {broken[0]} cannot be a job's")


def _look_through(journal: Journal, newest: int, tell: Callable[[str], object]) -> None:
    """Read all rows, 2,000 at a time, with pauses in which others may write. Damage stops purchases, and is told."""
    try:
        with journal.reading_untranslated() as connection:
            for first in range(1, newest + 1, SLICE):
                _refuse_impossible(connection, f"n BETWEEN {first} AND {first + SLICE - 1}")
                time.sleep(SLICE_PAUSE)
    except (sqlite3.OperationalError, SettingsError, OSError) as error:  # closed or removed meanwhile, or busy
        log_suppressed("looking through the journal", error)
    except sqlite3.DatabaseError as error:
        journal.damage = f"it is damaged: {error}"
        with suppress(OSError):
            layout.damage_seen(journal.path.parent.parent).touch()
        tell(
            f"The journal is damaged ({error}), and nothing more is sent. Restart the kernel: what can be "
            "read is kept, and the images tell the rest."
        )


def _begun_anew(path: Path, folder: Path, session: str, tell: Callable[[str], object]) -> Journal:
    problem: sqlite3.DatabaseError | None = None
    try:
        if _begun(path):
            return _sound(path, tell)
        if not any(map(_may_be_ours, folder.iterdir())):
            return Journal(path, tell)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise SettingsError(
                f"The journal {path} cannot be opened ({error}). Nothing was sent. Choose another folder: "
                "KLING_FOLDER, or kling.connect(folder=...)."
            ) from None
        problem = error
    try:
        kept, found, aside = _replace(path, folder, session, salvage=not isinstance(problem, OtherSchemaError))
    except (JournalError, sqlite3.Error, OSError) as error:
        raise SettingsError(
            f"The journal {path} is damaged or not ours ({problem}), and no new one could be put in its place "
            f"({error}). Nothing was sent. Free some space and close the folder's other kernels, or choose another "
            "folder with KLING_FOLDER."
        ) from None
    from_images = f"{count(found, 'job')} found again from the metadata in the images"
    if isinstance(problem, OtherSchemaError):
        tell(f"The journal cannot be used: {problem}. It is kept as {aside.name}; in a new one, {from_images}.")
    elif problem is not None:
        tell(
            f"The journal was damaged ({problem}). It is kept as {aside.name}, and a new one was begun: "
            f"{count(kept, 'job')} could still be read, {from_images}."
        )
    elif found:
        tell(f"This folder had no journal: {from_images}.")
    layout.damage_seen(folder).unlink(missing_ok=True)
    return Journal(path, tell)


def _replace(path: Path, folder: Path, session: str, *, salvage: bool) -> tuple[int, int, Path]:
    """How many jobs were read from the old journal and found again, and where the old one is now.

    The new journal gets its name last and in one step: whoever is killed before leaves the damaged one for the next.
    """
    new, aside = layout.new_journal(folder), layout.put_aside(folder, "damaged" if salvage else "earlier")
    for leftover in (new, new.with_name("journal.new-journal")):
        leftover.unlink(missing_ok=True)
    with closing(Journal(new)) as journal:
        kept = _salvage(path, journal) if salvage and path.exists() else 0
        found = import_from_metadata(journal, folder, session)
    new.with_name("journal.new-journal").unlink(missing_ok=True)  # emptied, and not removed, by each commit
    rollback = path.with_name(path.name + "-journal")
    if rollback.exists() and rollback.stat().st_size:  # SQLite would roll it back into whatever has the journal's name
        rollback.rename(aside.with_name(aside.name + "-journal"))
    if path.exists():
        try:
            os.link(path, aside)
        except OSError as error:  # a file system without hard links
            log_suppressed(__name__, error)
            shutil.copy2(path, aside)
    new.replace(path)
    return kept, found, aside


def _salvage(path: Path, journal: Journal) -> int:
    """Take over the rows that can still be read, with their numbers; how many that were."""
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(journal.path)) as new, new:
        old.text_factory = lenient
        old.execute("PRAGMA trusted_schema=OFF")
        theirs = [name for name, *_ in _readable(old, "SELECT name FROM pragma_table_info('jobs')")]
        # One of an earlier version, too damaged to be brought up, lacks the columns that came later.
        columns = [
            name
            for (name,) in new.execute("SELECT name FROM pragma_table_info('jobs')")
            if name in theirs or not theirs
        ]
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        rows = _rows(old, f"SELECT {names} FROM jobs NOT INDEXED WHERE n > ? AND n <= ? ORDER BY n")  # noqa: S608
        new.executemany(f"INSERT OR IGNORE INTO jobs ({names}) VALUES ({marks})", rows)  # noqa: S608
        new.execute(f"DELETE FROM jobs WHERE {IMPOSSIBLE}")  # noqa: S608
        new.execute(f"INSERT INTO sums SELECT session, TOTAL({SPENT}) FROM jobs GROUP BY session")  # noqa: S608
        # With another salt, the fingerprints in the old rows would match no key.
        salts = _readable(old, "SELECT value FROM about WHERE name='salt'")
        new.executemany("UPDATE about SET value=? WHERE name='salt'", salts)
    return journal.count()


def _readable(old: sqlite3.Connection, select: str) -> list[tuple[Any, ...]]:
    """What a damaged journal answers; nothing if it cannot."""
    with suppress(sqlite3.Error):
        return old.execute(select).fetchall()
    return []


def _rows(old: sqlite3.Connection, select: str) -> Iterator[tuple[Any, ...]]:
    """Every row that SQLite gives out. Behind one that it does not, it is asked again from the next number on."""
    newest = [0]
    for ask in ("SELECT MAX(n) FROM jobs", "SELECT seq FROM sqlite_sequence WHERE name='jobs'"):
        with suppress(TypeError, ValueError):
            newest += [int(number) for (number,) in _readable(old, ask)]
    last, end = 0, min(max(newest), _MOST_ROWS)
    while last < end:
        try:
            for row in old.execute(select, (last, end)):
                last = max(last, row[0])  # a torn page may give out any number
                yield row
            return
        except sqlite3.Error as error:
            log_suppressed(__name__, error)
            last += 1


def _may_be_ours(path: Path) -> bool:
    return path.suffix != metadata.BESIDE and not path.is_symlink() and path.is_file() and saving.is_saved_image(path)


def import_from_metadata(journal: Journal, folder: Path, session: str) -> int:
    """Add one completed record per job whose images carry our metadata and that has no row; how many jobs that were.

    A job keeps the number that its files' names have, unless another job has it.
    """
    jobs: dict[str, list[tuple[int, str, Record]]] = {}
    for path in folder.iterdir():
        with suppress(Exception):  # whatever is odd about a stranger's file, the others are found all the same
            if _may_be_ours(path):
                place, record = _record(path, session)
                jobs.setdefault(str(record.job_id), []).append((place, path.name, record))
    with journal.reading_untranslated() as connection:
        rows = connection.execute("SELECT n, job_id FROM jobs").fetchall()
    numbers, known = {0} | {number for number, _ in rows}, {job_id for _, job_id in rows}
    records = []
    for job_id in sorted(jobs.keys() - known, key=lambda job_id: jobs[job_id][0][2].created_at):
        images = sorted(jobs[job_id], key=lambda found: found[:2], reverse=True)
        record, names = images[-1][2], {place: name for place, name, _ in images}
        record = record.replace(number=0 if record.number in numbers else record.number)
        numbers.add(record.number)
        # An image that is gone keeps its place, as in poll_and_save: the others keep their addresses.
        stem = partial(saving.file_stem, record.number, prompt=record.request.prompt, job_id=job_id)
        records.append(record.replace(images=tuple(names.get(k) or stem(k) for k in range(max(names) + 1))))
    return len(journal.add(sorted(records, key=lambda record: not record.number)))  # last those without a number


def _record(path: Path, session: str) -> tuple[int, Record]:
    """The image's place in its job, and the job as its recipe tells of it. Raises anything where there is none."""
    recipe = metadata.read(path)
    job_id, backend, place = recipe["job_id"], recipe["backend"], int(recipe.get("image") or 0)
    credits = None if recipe.get("credits") is None else float(recipe["credits"])
    texts = isinstance(job_id, str) and isinstance(backend, str) and (job_id + backend).isprintable()
    if not texts or not math.isfinite(credits or 0.0) or not 0 <= place < MOST_IMAGES:
        raise ValueError("no job is like that")
    created = float(calendar.timegm(time.strptime(recipe["created"], "%Y-%m-%dT%H:%M:%SZ")))
    named = _NUMBER.match(path.name)
    return place, new_record(
        metadata.request_of(recipe),
        backend=backend,
        source="recovered",
        session=session,
        estimate=credits or 0.0,
        now=created,
    ).replace(
        number=int(named[1]) if named else 0,
        status=JobStatus.COMPLETED,
        job_id=job_id,
        submitted_at=created,
        credits=credits,
    )
