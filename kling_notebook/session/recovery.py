"""A journal that is damaged is kept aside and a new one begun, from the recipes inside the pictures."""

from __future__ import annotations

import calendar
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..api.errors import KlingError, SettingsError
from ..api.jobs import JobStatus
from . import recipes
from .journal import Journal
from .locks import alone
from .records import Record, new_record

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp"}


def open_journal(folder: Path, session: str, tell: Callable[[str], object]) -> Journal:
    """The folder's journal; where it is damaged, a new one with the pictures found again from their recipes.

    Raises:
        SettingsError: it can neither be opened nor put aside.
    """
    path = folder / ".kling" / "journal.sqlite3"
    try:
        return _sound(path)
    except sqlite3.DatabaseError:
        # One at a time: of two kernels that see the damage, the second must not put the first one's new journal aside.
        with alone(path.with_name("recovery.lock")):
            return _recovered(path, folder, session, tell)


def _recovered(path: Path, folder: Path, session: str, tell: Callable[[str], object]) -> Journal:
    try:
        return _sound(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise SettingsError(
                f"The journal {path} cannot be opened ({error}). Nothing was sent. Choose another folder: "
                "KLING_FOLDER, or kling.connect(folder=...)."
            ) from None
        aside = path.with_name(f"journal.damaged-{time.strftime('%Y%m%d-%H%M%S')}.sqlite3")
        path.rename(aside)
        with suppress(OSError):
            path.with_name(path.name + "-journal").rename(aside.with_name(aside.name + "-journal"))
        journal = Journal(path)
        found = readopt(journal, folder, session)
        tell(
            f"The journal was damaged ({error}). It is kept as {aside.name}, and a new one was begun: "
            f"{found} job{'s' * (found != 1)} found again from the recipes in the pictures."
        )
        return journal


def _sound(path: Path) -> Journal:
    journal = Journal(path)
    try:
        journal.open_records()
        journal.latest(limit=1)
    except BaseException:
        journal.close()
        raise
    return journal


def readopt(journal: Journal, folder: Path, session: str) -> int:
    """Add one finished record per job whose pictures carry our recipe; how many jobs that were."""
    jobs: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
    for path in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime):
        if path.suffix.lower() not in _ENDINGS or not path.is_file():
            continue
        with suppress(KlingError):
            recipe = recipes.read(path)
            job_id = str(recipe.get("job_id"))
            jobs.setdefault(job_id, []).append((int(recipe.get("picture") or 0), path.name, recipe))
    records = []
    for pictures in jobs.values():
        with suppress(KlingError, KeyError, TypeError, ValueError):
            records.append(_record(sorted(pictures, key=lambda found: found[0]), session))
    journal.add(records)
    return len(records)


def _record(pictures: list[tuple[int, str, dict[str, Any]]], session: str) -> Record:
    recipe = pictures[0][2]
    created = float(calendar.timegm(time.strptime(recipe["created"], "%Y-%m-%dT%H:%M:%SZ")))
    record = new_record(
        recipes.request_of(recipe),
        backend=str(recipe["backend"]),
        source="recovered",
        session=session,
        estimate=float(recipe.get("credits") or 0.0),
        now=created,
    )
    return record.but(
        status=JobStatus.FINISHED,
        job_id=recipe.get("job_id"),
        submitted_at=created,
        credits=recipe.get("credits"),
        images=tuple(name for _, name, _ in pictures),
    )
