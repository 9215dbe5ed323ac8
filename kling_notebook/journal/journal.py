"""The journal: every job from before its POST to its last file, in SQLite.

Rollback journal and ``synchronous=FULL``: an acknowledged row survives a killed kernel and a lost power line, also on
network file systems, where WAL does not work. A busy time-out of 60 s lets several kernels share a folder.
"""

import hashlib
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..api.api_key import Secret
from ..api.errors import KlingError, SettingsError
from ..api.event_log import suppress
from ..api.generation_request import JobKind
from ..api.job import JobStatus
from .job_record import COLUMNS, IMPOSSIBLE, Record, record_of, row_of
from .schema import bring_up, lenient, make_file

BUSY_SECONDS = 60.0

# Rows of a backend in which past durations, prices and balances are looked for: the cost of one more job must not
# depend on how many came before.
_LOOK_BACK = 2000
_NEWEST = "(SELECT * FROM jobs WHERE backend=? AND key IS ? ORDER BY n DESC LIMIT ?)"
_OF_KIND = (
    "json_extract(request, '$.model')=? AND json_extract(request, '$.values.resolution')=?"
    " AND json_extract(request, '$.values.num_outputs')=?"
)

# A condition for the rows that are not over: few, found by the index on status.
NOT_OVER = f"status IN ({', '.join(repr(status.value) for status in JobStatus if not status.over)})"

# Credits that a row counts as spent or unconfirmed: the reply's cost, the estimate if no reply came. What was found
# again from images was paid for by somebody, some time.
SPENT = (
    "CASE WHEN backend='sandbox' OR source='recovered' OR status IN ('queued', 'rejected', 'cancelled') THEN 0.0"
    " WHEN status IN ('failed', 'dismissed') THEN COALESCE(credits, 0.0) ELSE COALESCE(credits, estimate) END"
)

_SELECT = f"SELECT {', '.join(COLUMNS)}, {IMPOSSIBLE} FROM jobs"  # noqa: S608  # names of our own dataclass


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
        self._tell = tell
        self._unreadable: set[int] = set()  # numbers of rows that were named as such
        self._lock = threading.RLock()
        self._process = os.getpid()
        self.damage = ""  # what was found since it was opened: nothing is bought any more
        self._written: dict[int, Record] = {}  # as last written here, while they are not over
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
            with self._connection:  # commits, or rolls back whatever the error is
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection

    def fingerprint(self, key: str | Secret) -> str:
        """What the rows of an account's key have in common: tells keys apart, and gives none away."""
        return hashlib.sha256(f"{self._salt} {Secret(key).reveal()}".encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything that this thread writes meanwhile is one transaction, committed also if it is cut short.

        If it cannot be committed, nothing is raised: what is written in this way can be written later as well.
        """
        with self._lock:
            with suppress(sqlite3.Error):
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                for end in (self._connection.commit, self._connection.rollback):  # each does nothing if all is written
                    with suppress(sqlite3.Error):
                        end()

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
        row = {k: v for k, v in row_of(record).items() if k not in known or known[k] != v} or {"owner": record.owner}
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
            update = "UPDATE jobs SET status=?, error=COALESCE(?, error) WHERE n=? AND status=?"
            return connection.execute(update, (status.value, error, number, expected.value)).rowcount == 1

    def star(self, number: int, image: int, on: bool) -> None:
        with self._transaction() as connection:
            (text,) = connection.execute("SELECT starred FROM jobs WHERE n=?", (number,)).fetchone()
            starred = sorted({*json.loads(text)} - {image} | ({image} if on else set()))
            connection.execute("UPDATE jobs SET starred=? WHERE n=?", (json.dumps(starred), number))

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
        select = "SELECT n, place, name, code, value FROM measures WHERE n IN (SELECT value FROM json_each(?))"
        select += " AND typeof(name) = 'text'"
        for number, place, name, code, value in self._rows(select, (json.dumps(list(numbers)),)):
            with suppress(ValueError, RecursionError):  # a stranger's value: that image is measured anew
                found.setdefault((number, place), {})[name] = code, json.loads(value)
        return found

    def marks(self, numbers: Collection[int]) -> dict[int, tuple[frozenset[int], str | None]]:
        """By number, the places that are starred and the note."""
        select = "SELECT n, starred, note FROM jobs WHERE n IN (SELECT value FROM json_each(?))"
        return {
            number: (frozenset(json.loads(starred)), note)
            for number, starred, note in self._rows(select, (json.dumps(list(numbers)),))
        }

    def _rows(self, select: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._using():
            return self._connection.execute(select, values).fetchall()

    def _records(self, rest: str, values: Sequence[Any] = ()) -> list[Record]:
        """The records of some rows. A row that this version cannot read is left out where it is, and named once."""
        records, torn = [], {}
        for row in self._rows(f"{_SELECT} {rest}", values):
            try:
                records.append(record_of(row))
            except Exception as error:  # whatever a stranger's row brings about, the others are read
                torn[int(row[0])] = error
        if new := sorted(torn.keys() - self._unreadable):
            self._unreadable.update(new)
            some = ", ".join(map(str, new[:5])) + (f" and {len(new) - 5} more" if len(new) > 5 else "")
            self._tell(
                f"Job{'s' * (len(new) > 1)} {some} of this folder cannot be read and "
                f"{'are' if len(new) > 1 else 'is'} left out ({torn[new[0]]}). Was it written by a newer version?"
            )
        return records

    def _newest(self, rest: str, values: Sequence[Any]) -> Record | None:
        return next(iter(self._records(f"WHERE {rest} ORDER BY n DESC LIMIT 1", values)), None)

    def get(self, number: int) -> Record | None:
        return self._newest("n=?", (number,))

    def by_job_id(self, job_id: str) -> Record | None:
        return self._newest("job_id=?", (job_id,))

    def newest_identical(self, identity: str, backend: str) -> Record | None:
        """The newest record of the same request on this backend that decides whether it is bought again."""
        # A plus keeps SQLite from the index on backend, by which it would read every row of the folder.
        return self._newest(f"identity=? AND +backend=? AND ({NOT_OVER} OR status='completed')", (identity, backend))

    def open_records(self) -> list[Record]:
        """Everything that is not over, oldest first."""
        return self._records(f"WHERE {NOT_OVER} ORDER BY n")

    def latest(self, **where: Any) -> list[Record]:
        """Newest first; see Filter for the words."""
        asked = Filter(**where)
        unfiltered = asked == Filter(limit=asked.limit, offset=asked.offset)
        # If no number is missing, a row's number is its place: the rows before a page need not be passed over.
        if asked.offset and unfiltered and (total := self.count()) == self._number("SELECT MAX(n) FROM jobs"):
            asked = replace(asked, before=total + 1 - asked.offset, offset=0)
        return self._records(*asked.sql())

    def _number(self, select: str, values: Sequence[Any] = ()) -> float | None:
        """The one number that ``select`` asks for, None for NULL or no row."""
        return next((float(number) for (number,) in self._rows(select, values) if number is not None), None)

    def count(self, **where: Any) -> int:
        clause, values = Filter(**(where | {"limit": None, "offset": 0})).sql(order=False)
        return int(self._number(f"SELECT COUNT(*) FROM jobs {clause}", values) or 0)  # noqa: S608

    def spent(self, *, sessions: Sequence[str] = ()) -> float:
        """Credits spent or unconfirmed on hosted backends: replies' costs, estimates where no reply came.

        Args:
            sessions: only what these bought; without it the whole folder.
        """
        only = f" WHERE session IN ({_marks(sessions)})" if sessions else ""
        return self._number(f"SELECT TOTAL(credits) FROM sums{only}", sessions) or 0.0  # noqa: S608  # marks

    def past_seconds(self, backend: str, which: JobKind, limit: int = 200, *, key: str | None = None) -> list[float]:
        """Durations in seconds of the newest completed jobs of a kind, newest first."""
        rows = self._rows(
            f"SELECT seconds FROM {_NEWEST}"  # noqa: S608  # constants
            f" WHERE status='completed' AND seconds IS NOT NULL AND {_OF_KIND} LIMIT ?",
            (backend, key, _LOOK_BACK, *which, limit),
        )
        return [float(seconds) for (seconds,) in rows]

    def has_price(self, backend: str, which: JobKind, *, key: str | None = None) -> bool:
        """Whether a reply of this backend has stated what a job of a kind costs; then `dearest_image` has seen it."""
        select = f"SELECT 1 FROM {_NEWEST} WHERE credits IS NOT NULL AND {_OF_KIND} LIMIT 1"  # noqa: S608  # constants
        return bool(self._rows(select, (backend, key, _LOOK_BACK, *which)))

    def dearest_image(self, backend: str, *, key: str | None = None) -> float | None:
        """The largest ``creditCost`` per image that a backend has named to an account, lately. Rows of another
        key do not count: a folder may be a stranger's, and its prices would block every purchase."""
        return self._number(
            f"SELECT MAX(credits / MAX(1, json_extract(request, '$.values.num_outputs'))) FROM {_NEWEST}"  # noqa: S608  # constants
            " WHERE credits IS NOT NULL",
            (backend, key, _LOOK_BACK),
        )

    def last_balance(self, backend: str, *, key: str | None = None) -> float | None:
        """Credits remaining, as last reported by a backend."""
        return self._number(
            f"SELECT credits_remaining FROM {_NEWEST} WHERE credits_remaining IS NOT NULL LIMIT 1",  # noqa: S608  # constants
            (backend, key, _LOOK_BACK),
        )

    def balances_around(self, backend: str, number: int) -> tuple[range, float] | None:
        """The jobs between the two known balances around job ``number``, and by how much more the balance fell than
        known jobs among them cost; None where not known."""
        known = "SELECT n, credits_remaining AS balance FROM jobs WHERE backend=?1 AND credits_remaining IS NOT NULL"
        rows = self._rows(
            "SELECT before.n, after.n, before.balance - after.balance - ("  # noqa: S608  # constants
            "SELECT TOTAL(credits) FROM jobs WHERE backend=?1 AND n > before.n AND n <= after.n)"
            f" FROM ({known} AND n < ?2 ORDER BY n DESC LIMIT 1) AS before,"
            f" ({known} AND n > ?2 ORDER BY n LIMIT 1) AS after",
            (backend, number),
        )
        return next(((range(before + 1, after), float(fell)) for before, after, fell in rows), None)

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
            connection.text_factory = lenient
            connection.execute("PRAGMA query_only=ON")
            connection.create_function("holds", 2, _holds, deterministic=True)
            yield connection

    def check(self) -> int:
        """Look for damage; how many rows there are.

        Raises:
            JournalError: the journal is damaged.
        """
        with self.reading() as connection:
            if (verdict := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise JournalError(f"damaged: {verdict}")
            return int(connection.execute("SELECT COUNT(*) FROM jobs").fetchone()[0])


def _spent_for(connection: sqlite3.Connection, number: int) -> float:
    row = connection.execute(f"SELECT {SPENT} FROM jobs WHERE n=?", (number,)).fetchone()  # noqa: S608  # a constant
    return float(row[0]) if row else 0.0


def _add_to_sums(connection: sqlite3.Connection, number: int, before: float) -> None:
    """Add what a row counts now, and did not count before, to the sum of its session."""
    if change := _spent_for(connection, number) - before:
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
    """Which rows of the folder: words in prompt or note, a status, starred, noted, since (epoch seconds), sessions.

    ``before``: only numbers below this one. So a page is found that follows another, at the same cost however deep it
    is; ``offset`` passes over the numbers of all rows before it.
    """

    search: str | None = None
    status: str | None = None
    starred: bool = False
    noted: bool = False
    since: float | None = None
    before: int | None = None
    backend: str | None = None
    sessions: tuple[str, ...] = ()
    numbers: frozenset[int] = frozenset()
    limit: int | None = 50
    offset: int = 0

    def sql(self, *, order: bool = True) -> tuple[str, list[Any]]:
        """The WHERE, ORDER and LIMIT of a SELECT on jobs, and its values."""
        marks, numbers = _marks(self.sessions), ", ".join(str(int(n)) for n in sorted(self.numbers))
        conditions: tuple[tuple[object, str, Sequence[Any]], ...] = (
            *((True, *_holding(word, self.search)) for word in (self.search or "").split()),
            (self.status, "status=?", [self.status]),
            (self.starred, "starred <> '[]'", []),
            (self.noted, "note IS NOT NULL", []),
            # From the first such number on: for a page in order SQLite would read on to the oldest row of the folder.
            (
                self.since is not None,
                "n >= (SELECT MIN(+n) FROM jobs WHERE created_at >= ?) AND created_at >= ?",
                [self.since, self.since],
            ),
            (self.before is not None, "n < ?", [self.before]),
            (self.backend, "backend=?", [self.backend]),
            (
                self.sessions,
                f"(session IN ({marks}) OR owner IN ({marks}){f' OR n IN ({numbers})' * bool(numbers)})",
                [*self.sessions, *self.sessions],
            ),
        )
        asked = [(clause, values) for on, clause, values in conditions if on]
        where = " AND ".join(clause for clause, _ in asked)
        text = f"WHERE {where}" * bool(where) + " ORDER BY n DESC" * order
        if self.limit is not None:
            # Their numbers first: sorted, and passed over, are numbers and not rows.
            page = f"SELECT n FROM jobs {text} LIMIT {int(self.limit)} OFFSET {int(self.offset)}"  # noqa: S608  # integers
            text = f"WHERE n IN ({page}) ORDER BY n DESC"
        return text, [value for _, values in asked for value in values]


def _holding(word: str, search: str | None) -> tuple[str, list[str]]:
    """The condition that prompt or note holds a word of a search, in any case of letters, and its values."""
    if search and not search.isascii():
        return "(holds(CAST(prompt AS BLOB), ?) OR holds(CAST(note AS BLOB), ?))", [word.casefold()] * 2
    # SQLite's own is quick, and knows the case of ASCII letters only.
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"
    return "(prompt LIKE ? ESCAPE '\\' OR note LIKE ? ESCAPE '\\')", [pattern, pattern]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
