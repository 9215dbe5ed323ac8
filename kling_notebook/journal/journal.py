"""The journal: every job from before its POST to its last file, in SQLite.

Rollback journal and ``synchronous=FULL``: an acknowledged row survives a killed kernel and a lost power line, also on
network file systems, where WAL does not work. A busy time-out of 60 s lets several kernels share a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api.api_key import Secret
from ..api.errors import KlingError, SettingsError
from ..api.event_log import suppress
from ..api.job import JobStatus
from ..api.price_class import Kind
from .job_record import COLUMNS, Reader, Record, row_of
from .schema import bring_up, lenient, make_file

BUSY_SECONDS = 60.0

_LOOK_BACK = 2000
"""Rows of a backend in which past durations, prices and balances are looked for: the cost of one more job must not
depend on how many came before."""
_NEWEST = "(SELECT * FROM jobs WHERE backend=? AND key IS ? ORDER BY n DESC LIMIT ?)"
_OF_KIND = (
    "json_extract(request, '$.model')=? AND json_extract(request, '$.values.resolution')=?"
    " AND json_extract(request, '$.values.num_outputs')=?"
)

SPENT = (
    "CASE WHEN backend='sandbox' OR source='recovered' OR status IN ('queued', 'rejected', 'cancelled') THEN 0.0"
    " WHEN status IN ('failed', 'dismissed') THEN COALESCE(credits, 0.0) ELSE COALESCE(credits, estimate) END"
)
"""Credits that a row counts as spent or unconfirmed: the reply's cost, the estimate if no reply came. What was found
again from images was paid for by somebody, some time."""

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM jobs"  # noqa: S608  # names of our own dataclass


class LostOwnership(Exception):  # noqa: N818  # a signal between packages, not an error of the user
    """Another session has taken this record over; whoever sees this stops working on it."""


class JournalError(KlingError):
    """SQLite could not read or write the journal: a full disk, a damaged file."""


class Journal:
    """The folder's record of jobs. Thread-safe; several processes may have the same one open.

    Args:
        tell: called with a line that names rows which cannot be read, once for each.

    Raises:
        SettingsError: the file cannot be made or opened. sqlite3.DatabaseError: it is damaged (see recovery).
    """

    def __init__(self, path: Path, tell: Callable[[str], object] = lambda text: None) -> None:  # noqa: ARG005
        self.path = path
        self._reader = Reader(tell)
        self._lock = threading.RLock()
        self._process = os.getpid()
        self.damage = ""  # what was found since it was opened: nothing is bought any more
        self._written: dict[int, Record] = {}  # as last written here, while they are not over
        self._counted = (0, 0)  # the newest number when all rows were last counted, and how many there were
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                path.parent.chmod(0o700)
            make_file(path)
            self._connection = self._open()
        except OSError as error:
            raise SettingsError(
                f"The journal {path} cannot be written ({error.strerror}). Nothing was sent. Choose another folder: "
                "KLING_FOLDER, or kling.connect(folder=...)."
            ) from None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.text_factory = lenient
        try:
            connection.execute("PRAGMA journal_mode=TRUNCATE")
            connection.execute("PRAGMA synchronous=FULL")
            connection.create_function("holds", 2, _holds, deterministic=True)
            bring_up(connection)
            salt = connection.execute("SELECT value FROM about WHERE name='salt'").fetchone()
            self._salt = str(salt[0]) if salt else ""
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_if_damaged(self) -> None:
        if self.damage:
            raise JournalError(self.damage)

    def check_there(self) -> None:
        """SettingsError if the file was removed since it was opened: SQLite's own message would not help."""
        if not self.path.exists():
            raise SettingsError(
                f"The folder {self.path.parent.parent} was removed, and its journal with it. Nothing was sent. "
                "kling.connect(), with what you gave it before, begins it anew."
            )

    def close(self) -> None:
        with self._using():
            self._connection.close()

    def __del__(self) -> None:
        # A session that is dropped leaves no open file behind. A forked child must not close its parent's connection.
        with suppress(AttributeError, sqlite3.Error):
            if self._process == os.getpid():
                self._connection.close()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Hold the lock; what SQLite raises meanwhile is a JournalError."""
        if self._process != os.getpid():  # a forked child: SQLite forbids it the parent's connection
            self._lock, self._inherited = threading.RLock(), self._connection
            self._process, self._connection = os.getpid(), self._open()
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise JournalError(str(error)) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._using():
            if self._connection.in_transaction:  # that of `together`, on this thread: others wait for the lock
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def fingerprint(self, key: str | Secret) -> str:
        """What the rows of an account's key have in common: tells keys apart, and gives none away."""
        return hashlib.sha256(f"{self._salt} {Secret(key).reveal()}".encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything that this thread writes meanwhile is one transaction, committed also if it is cut short.

        If it cannot be committed, nothing is raised: what is written in this way can be written later as well.
        """
        with self._lock:
            begun = False
            with suppress(sqlite3.Error):
                self._connection.execute("BEGIN IMMEDIATE")
                begun = True
            try:
                yield
            finally:
                for ending in ("COMMIT", "ROLLBACK") if begun else ():
                    with suppress(sqlite3.Error):  # no transaction is open any more when the first one has worked
                        self._connection.execute(ending)

    # ---- writing ----

    def add(self, records: Iterable[Record]) -> list[Record]:
        """Insert new records in one transaction; they come back with their numbers."""
        self._refuse_if_damaged()
        numbered = []
        with self._transaction() as connection:
            for record in records:
                row = row_of(record) | ({"n": record.number} if record.number else {})
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                cursor = connection.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
                numbered.append(record.replace(number=int(cursor.lastrowid or 0)))
                _add_to_sums(connection, numbered[-1].number, 0.0)
        self._written |= {record.number: record for record in numbered}
        return numbered

    @contextmanager
    def _change(self, number: int) -> Iterator[sqlite3.Connection]:
        """A transaction that changes one row, and with it the sum of its session's credits."""
        with self._transaction() as connection:
            before = _spent_for(connection, number)
            yield connection
            _add_to_sums(connection, number, before)

    def write(self, record: Record) -> None:
        """Commit what has changed of a record since it was last written here, if its owner still holds it.

        Raises:
            LostOwnership: another session owns it now. JournalError: it could not be written.
        """
        if record.status is JobStatus.SUBMITTING:
            self._refuse_if_damaged()
        before = self._written.pop(record.number, None)
        known = {} if before is None else row_of(before)
        row = {name: value for name, value in row_of(record).items() if name not in known or known[name] != value}
        row = row or {"owner": record.owner}
        changes = ", ".join(f"{name}=?" for name in row)
        with self._change(record.number) as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET {changes} WHERE n=? AND owner=?",  # noqa: S608  # names of our own dataclass
                (*row.values(), record.number, record.owner),
            )
            if cursor.rowcount != 1:
                raise LostOwnership(record.number)
        if not record.status.over:
            self._written[record.number] = record

    def take_over(self, record: Record, new_owner: str) -> Record | None:
        """Compare and swap of the owner. None where somebody was faster or the record has moved on."""
        with self._transaction() as connection:
            cursor = connection.execute(
                "UPDATE jobs SET owner=? WHERE n=? AND owner=? AND status=?",
                (new_owner, record.number, record.owner, record.status.value),
            )
            return record.replace(owner=new_owner) if cursor.rowcount == 1 else None

    def settle(self, number: int, status: JobStatus, expected: JobStatus, error: str | None = None) -> bool:
        """Move a record that no session is working on from one status to another."""
        self._written.pop(number, None)
        with self._change(number) as connection:
            cursor = connection.execute(
                "UPDATE jobs SET status=?, error=COALESCE(?, error) WHERE n=? AND status=?",
                (status.value, error, number, expected.value),
            )
            return cursor.rowcount == 1

    def star(self, number: int, image: int, on: bool) -> None:
        with self._transaction() as connection:
            row = connection.execute("SELECT starred FROM jobs WHERE n=?", (number,)).fetchone()
            starred = set(json.loads(row[0]))
            starred = starred | {image} if on else starred - {image}
            connection.execute("UPDATE jobs SET starred=? WHERE n=?", (json.dumps(sorted(starred)), number))

    def note(self, number: int, text: str | None) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE jobs SET note=? WHERE n=?", (text or None, number))

    def keep_measures(self, rows: Iterable[tuple[int, int, str, str, Any]]) -> None:
        """Keep measures of images: number, place, name, hash of the code, and a value that is JSON."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO measures (n, place, name, code, value) VALUES (?, ?, ?, ?, ?)",
                [(*row[:4], json.dumps(row[4])) for row in rows],
            )

    # ---- reading ----

    def measures(self, numbers: Collection[int]) -> dict[tuple[int, int], dict[str, tuple[str, Any]]]:
        """The measures of these jobs' images: by number and place, name -> hash of the code and value."""
        found: dict[tuple[int, int], dict[str, tuple[str, Any]]] = {}
        with self._using():
            rows = self._connection.execute(
                "SELECT n, place, name, code, value FROM measures WHERE n IN (SELECT value FROM json_each(?))",
                (json.dumps(list(numbers)),),
            )
            for number, place, name, code, value in rows:
                found.setdefault((number, place), {})[name] = code, json.loads(value)
        return found

    def marks(self, numbers: Collection[int]) -> dict[int, tuple[frozenset[int], str | None]]:
        """By number, the places that are starred and the note."""
        with self._using():
            rows = self._connection.execute(
                "SELECT n, starred, note FROM jobs WHERE n IN (SELECT value FROM json_each(?))",
                (json.dumps(list(numbers)),),
            ).fetchall()
        return {number: (frozenset(json.loads(starred)), note) for number, starred, note in rows}

    def _records(self, rest: str, values: Sequence[Any] = ()) -> list[Record]:
        with self._using():
            return self._reader.records(self._connection.execute(f"{_SELECT} {rest}", values))

    def get(self, number: int) -> Record | None:
        return next(iter(self._records("WHERE n=?", (number,))), None)

    def by_job_id(self, job_id: str) -> Record | None:
        return next(iter(self._records("WHERE job_id=? ORDER BY n DESC LIMIT 1", (job_id,))), None)

    def newest_identical(self, identity: str, backend: str) -> Record | None:
        """The newest record of the same request on this backend that decides whether it is bought again."""
        find_reusable = [s.value for s in JobStatus if not s.over or s is JobStatus.COMPLETED]
        marks = ", ".join("?" * len(find_reusable))
        found = self._records(
            f"WHERE identity=? AND backend=? AND status IN ({marks}) ORDER BY n DESC LIMIT 1",
            (identity, backend, *find_reusable),
        )
        return next(iter(found), None)

    def open_records(self) -> list[Record]:
        """Everything that is not over, oldest first: few rows, found by the index on status."""
        going = [s.value for s in JobStatus if not s.over]
        marks = ", ".join("?" * len(going))
        return self._records(f"WHERE status IN ({marks}) ORDER BY n", going)

    def latest(self, **where: Any) -> list[Record]:
        """Newest first; see Filter for the words."""
        clause, values = Filter(**where).sql()
        return self._records(clause, values)

    def count(self, **where: Any) -> int:
        clause, values = Filter(**(where | {"limit": None, "offset": 0})).sql(order=False)
        if not clause:
            return self._count_all()
        with self._using():
            row = self._connection.execute(f"SELECT COUNT(*) FROM jobs {clause}", values).fetchone()  # noqa: S608
        return int(row[0])

    def _count_all(self) -> int:
        """How many rows there are. None is ever deleted, so that only those since the last count are counted."""
        with self._using():
            newest, known = self._counted
            since = f" WHERE n > {newest}" if newest else ""  # without it SQLite counts along its smallest index
            both = f"SELECT (SELECT COUNT(*) FROM jobs{since}), (SELECT MAX(n) FROM jobs)"  # noqa: S608  # a number
            new, last = self._connection.execute(both).fetchone()
            self._counted = (last or newest, known + new)
            return self._counted[1]

    def spent(self, *, sessions: Sequence[str] = ()) -> float:
        """Credits spent or unconfirmed on hosted backends: replies' costs, estimates where no reply came.

        Args:
            sessions: only what these bought; without it the whole folder.
        """
        only = f" WHERE session IN ({_marks(sessions)})" if sessions else ""
        with self._using():
            row = self._connection.execute(f"SELECT TOTAL(credits) FROM sums{only}", sessions).fetchone()  # noqa: S608
        return float(row[0])

    def past_seconds(self, backend: str, which: Kind, limit: int = 200, *, key: str | None = None) -> list[float]:
        """Durations in seconds of the newest completed jobs of a kind, newest first."""
        with self._using():
            rows = self._connection.execute(
                f"SELECT seconds FROM {_NEWEST}"  # noqa: S608  # constants
                f" WHERE status='completed' AND seconds IS NOT NULL AND {_OF_KIND} LIMIT ?",
                (backend, key, _LOOK_BACK, *which, limit),
            )
            return [float(row[0]) for row in rows]

    def has_price(self, backend: str, which: Kind, *, key: str | None = None) -> bool:
        """Whether a reply of this backend has stated what a job of a kind costs; then `dearest_image` has seen it."""
        with self._using():
            row = self._connection.execute(
                f"SELECT EXISTS(SELECT 1 FROM {_NEWEST} WHERE credits IS NOT NULL AND {_OF_KIND})",  # noqa: S608  # constants
                (backend, key, _LOOK_BACK, *which),
            ).fetchone()
        return bool(row[0])

    def dearest_image(self, backend: str, *, key: str | None = None) -> float | None:
        """The largest ``creditCost`` per image that a backend has named to an account, lately. Rows of another
        key do not count: a folder may be a stranger's, and its prices would block every purchase."""
        with self._using():
            row = self._connection.execute(
                f"SELECT MAX(credits / MAX(1, json_extract(request, '$.values.num_outputs'))) FROM {_NEWEST}"  # noqa: S608  # constants
                " WHERE credits IS NOT NULL",
                (backend, key, _LOOK_BACK),
            ).fetchone()
        return None if row[0] is None else float(row[0])

    def last_balance(self, backend: str, *, key: str | None = None) -> tuple[float, float] | None:
        """(credits remaining, when submitted) as last reported by a backend."""
        with self._using():
            row = self._connection.execute(
                f"SELECT credits_remaining, submitted_at FROM {_NEWEST}"  # noqa: S608  # constants
                " WHERE credits_remaining IS NOT NULL LIMIT 1",
                (backend, key, _LOOK_BACK),
            ).fetchone()
        return (float(row[0]), float(row[1] or 0)) if row else None

    def balances_around(self, backend: str, number: int) -> tuple[range, float] | None:
        """The jobs between the two known balances around job ``number``, and by how much more the balance fell than
        known jobs among them cost; None where not known."""
        with self._using():
            ask = self._connection.execute
            before = ask(
                "SELECT n, credits_remaining FROM jobs WHERE backend=? AND n<? AND credits_remaining IS NOT NULL"
                " ORDER BY n DESC LIMIT 1",
                (backend, number),
            ).fetchone()
            after = ask(
                "SELECT n, credits_remaining FROM jobs WHERE backend=? AND n>? AND credits_remaining IS NOT NULL"
                " ORDER BY n LIMIT 1",
                (backend, number),
            ).fetchone()
            if before is None or after is None:
                return None
            between = ask(
                "SELECT TOTAL(credits) FROM jobs WHERE backend=? AND n>? AND n<=?", (backend, before[0], after[0])
            ).fetchone()
        return range(before[0] + 1, after[0]), float(before[1]) - float(after[1]) - float(between[0])

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for long reads, so that no worker's commit waits for the lock of this object."""
        try:
            with self.reading_untranslated() as connection:
                yield connection
        except sqlite3.Error as error:
            raise JournalError(str(error)) from error

    @contextmanager
    def reading_untranslated(self) -> Iterator[sqlite3.Connection]:
        """As `reading`, for this package: what SQLite raises comes out as it is."""
        self.check_there()
        with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only=ON")
            connection.create_function("holds", 2, _holds, deterministic=True)
            yield connection

    def check(self) -> int:
        """Look for damage; how many rows there are.

        Raises:
            JournalError: the journal is damaged.
        """
        with self.reading() as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise JournalError(f"damaged: {verdict}")
            return int(connection.execute("SELECT COUNT(*) FROM jobs").fetchone()[0])


def _spent_for(connection: sqlite3.Connection, number: int) -> float:
    row = connection.execute(f"SELECT {SPENT} FROM jobs WHERE n=?", (number,)).fetchone()  # noqa: S608  # a constant
    return float(row[0]) if row else 0.0


def _add_to_sums(connection: sqlite3.Connection, number: int, before: float) -> None:
    """Add what a row counts now, and did not count before, to the sum of its session."""
    change = _spent_for(connection, number) - before
    if change:
        connection.execute(
            "INSERT INTO sums SELECT session, ? FROM jobs WHERE n=?"
            " ON CONFLICT (session) DO UPDATE SET credits = credits + excluded.credits",
            (change, number),
        )


def _holds(text: bytes | None, folded: str) -> bool:
    """Whether SQLite's text holds the other one, in any case of letters; as in `lenient`, whatever its bytes are."""
    return text is not None and folded in text.decode("utf-8", "replace").casefold()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows of the folder: text in prompt or note, a status, starred, noted, since (epoch seconds), sessions."""

    search: str | None = None
    status: str | None = None
    starred: bool = False
    noted: bool = False
    since: float | None = None
    backend: str | None = None
    sessions: tuple[str, ...] = ()
    numbers: frozenset[int] = frozenset()
    limit: int | None = 50
    offset: int = 0

    def sql(self, *, order: bool = True) -> tuple[str, list[Any]]:
        """The WHERE, ORDER and LIMIT of a SELECT on jobs, and its values."""
        clauses: list[str] = []
        values: list[Any] = []
        if self.search and not self.search.isascii():
            clauses.append("(holds(CAST(prompt AS BLOB), ?) OR holds(CAST(note AS BLOB), ?))")
            values += [self.search.casefold()] * 2
        elif self.search:  # SQLite's own is quick, and knows the case of ASCII letters only
            pattern = self.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            clauses.append("(prompt LIKE ? ESCAPE '\\' OR note LIKE ? ESCAPE '\\')")
            values += [f"%{pattern}%"] * 2
        if self.status:
            clauses.append("status=?")
            values.append(self.status)
        if self.starred:
            clauses.append("starred <> '[]'")
        if self.noted:
            clauses.append("note IS NOT NULL")
        if self.since is not None:
            clauses.append("created_at >= ?")
            values.append(self.since)
        if self.backend:
            clauses.append("backend=?")
            values.append(self.backend)
        if self.sessions:
            also = f" OR n IN ({', '.join(str(int(n)) for n in sorted(self.numbers))})" if self.numbers else ""
            marks = _marks(self.sessions)
            clauses.append(f"(session IN ({marks}) OR owner IN ({marks}){also})")
            values += [*self.sessions, *self.sessions]
        text = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        if order:
            text += " ORDER BY n DESC"
        if self.limit is not None:
            text += f" LIMIT {int(self.limit)} OFFSET {int(self.offset)}"
        return text, values


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
