"""The journal's file and its table: made for its user alone, brought up from older versions, refused where newer."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..api.errors import SettingsError

VERSION = 3

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    identity TEXT NOT NULL,
    status TEXT NOT NULL,
    backend TEXT NOT NULL,
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
CREATE INDEX IF NOT EXISTS jobs_identity ON jobs (identity, n);
CREATE INDEX IF NOT EXISTS jobs_job_id ON jobs (job_id);
CREATE INDEX IF NOT EXISTS jobs_session ON jobs (session, n);
CREATE INDEX IF NOT EXISTS jobs_owner ON jobs (owner, n);
CREATE INDEX IF NOT EXISTS jobs_status ON jobs (status, n);
CREATE INDEX IF NOT EXISTS jobs_backend ON jobs (backend, n);
CREATE TABLE IF NOT EXISTS measures (
    n INTEGER NOT NULL,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (n, place, name)
) WITHOUT ROWID;
"""

MIGRATIONS: Mapping[int, str] = {
    1: "CREATE INDEX IF NOT EXISTS jobs_backend ON jobs (backend, n)",
    2: "",  # the table of measures, which every journal gets below
}
"""From version -> statements that lead to the next one."""


lenient = partial(str, encoding="utf-8", errors="replace")
"""How SQLite's text is decoded: a flipped bit costs a letter, not the row."""


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
    """Bring a journal of an older version up to this one; refuse one of a newer version."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise SettingsError(
            f"The journal was written by a newer kling_notebook (version {version}, this one knows {VERSION}). "
            "Update kling_notebook, or choose another folder."
        )
    if version == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been faster
        while 0 < version < VERSION:
            for statement in _statements(MIGRATIONS[version]):
                connection.execute(statement)
            version += 1
        for statement in _statements(_TABLE):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    return (statement for statement in script.split(";") if statement.strip())
