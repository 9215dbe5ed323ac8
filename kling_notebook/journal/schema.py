"""The journal's file and tables: made for its user alone, brought up by named migrations, used only if it is ours."""

import errno
import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from ..api.errors import SettingsError

APPLICATION_ID = 0x4B4C4E47  # "KLNG": with it a file is ours, of a version since 0.1.0

_FIRST = """
CREATE TABLE jobs (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    identity TEXT NOT NULL,
    status TEXT NOT NULL,
    backend TEXT NOT NULL,
    key TEXT,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    owner TEXT NOT NULL,
    prompt TEXT NOT NULL,
    request TEXT NOT NULL,
    estimate REAL NOT NULL DEFAULT 0,
    job_id TEXT,
    status_url TEXT,
    created_at REAL NOT NULL,
    submitted_at REAL,
    completed_at REAL,
    seconds REAL,
    credits REAL,
    credits_remaining REAL,
    images TEXT NOT NULL DEFAULT '[]',
    error TEXT,
    raw TEXT NOT NULL DEFAULT '{}',
    starred TEXT NOT NULL DEFAULT '[]',
    note TEXT
);
CREATE INDEX jobs_identity ON jobs (identity, n);
CREATE INDEX jobs_job_id ON jobs (job_id);
CREATE INDEX jobs_session ON jobs (session, n);
CREATE INDEX jobs_owner ON jobs (owner, n);
CREATE INDEX jobs_status ON jobs (status, n);
CREATE INDEX jobs_backend ON jobs (backend, n);
CREATE INDEX jobs_created ON jobs (created_at);
CREATE INDEX jobs_starred ON jobs (n) WHERE starred <> '[]';
CREATE INDEX jobs_noted ON jobs (n) WHERE note IS NOT NULL;
CREATE TABLE measures (
    n INTEGER NOT NULL,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (n, place, name)
) WITHOUT ROWID;
CREATE TABLE sums (session TEXT PRIMARY KEY, credits REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO about VALUES ('salt', hex(randomblob(16)));
"""

# Name and statements of each step, in order. A released step never changes: a journal is ours if its schema is, word
# for word, what the steps up to its version make.
MIGRATIONS: tuple[tuple[str, str], ...] = (("0.1.0: jobs, measures, sums of credits", _FIRST),)


class OtherSchemaError(sqlite3.DatabaseError):
    """A sound database that is not our journal: from before 0.1.0, or made or changed by something else."""


# How SQLite's text is decoded: a flipped bit costs a letter, not the row.
lenient = partial(str, encoding="utf-8", errors="replace")


def make_file(path: Path) -> None:
    """An empty file that only its user can read; SQLite would make it readable to all.

    One that is there is not touched: to close any descriptor of it frees, on POSIX, the locks that SQLite holds for
    this process's other connections, and another kernel would write into their transactions.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def bring_up(connection: sqlite3.Connection) -> None:
    """Make the tables of a new journal, or bring one of an older version up to this one.

    Raises:
        SettingsError: it is of a newer version. OtherSchemaError: it is not ours.
    """
    connection.execute("PRAGMA trusted_schema=OFF")
    with connection:
        connection.execute("BEGIN")  # version and tables of one moment: another process may bring it up between them
        found = _version(connection)
    if found == len(MIGRATIONS):
        return
    with connection:  # commits, or rolls back whatever the error is
        connection.execute("BEGIN IMMEDIATE")
        for _, script in MIGRATIONS[_version(connection) :]:  # asked again: another process may have been faster
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    """How many migrations the journal has seen."""
    application, version = (
        connection.execute(f"PRAGMA {mark}").fetchone()[0] for mark in ("application_id", "user_version")
    )
    found = _schema_of(connection)
    if not found and not application and not version:
        return 0
    if application == APPLICATION_ID and version > len(MIGRATIONS):
        raise SettingsError(
            f"The journal was written by a newer kling_notebook (version {version}, this one knows "
            f"{len(MIGRATIONS)}). Update kling_notebook, or choose another folder."
        )
    if application != APPLICATION_ID or version < 1 or found != _schema_up_to(version):
        raise OtherSchemaError("it has another schema than the journals of kling_notebook since 0.1.0")
    return int(version)


def _schema_of(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Everything the schema holds, triggers and views too; not the statistics that ANALYZE leaves."""
    ask = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'table' OR name NOT LIKE 'sqlite_stat_'"
    return sorted(map(tuple, connection.execute(ask)), key=repr)


def _schema_up_to(version: int) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for _, script in MIGRATIONS[:version]:
            connection.executescript(script)
        return _schema_of(connection)
