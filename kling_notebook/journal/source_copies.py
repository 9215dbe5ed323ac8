"""Source images as a folder keeps them: one copy per content, and what names a source so that it is found again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..api.address import parse_address
from ..api.generation_request import SourceImage

_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


def file_name(source: SourceImage) -> str:
    """Of the copy, in ``.kling/sources``: what identifies the source names it."""
    return f"{str(source.pixels or source.sha256)[:32]}{_ENDINGS.get(source.media_type or '', '.img')}"


def named_by_copy(source: SourceImage) -> SourceImage:
    """Relative, so that the folder can move and no notebook shows where it is."""
    return replace(source, label=f".kling/sources/{file_name(source)}")


def findable(source: SourceImage, folder: Path) -> SourceImage:
    """The source as it was named, or by its copy where that name means other bytes by now, or nothing."""
    copy = folder / ".kling" / "sources" / file_name(source)
    if source.url or not copy.exists() or _same(_meant(source.label, folder), copy):
        return source
    return named_by_copy(source)


def _meant(label: str, folder: Path) -> Path | None:
    try:
        address = parse_address(label)
        return _image(folder, *address) if address else Path(label).expanduser()
    except RuntimeError:  # no home directory
        return None


def _image(folder: Path, number: int, place: int) -> Path | None:
    """The file with an address, by the journal alone: whoever holds a result need not have a session."""
    journal = (folder / ".kling" / "journal.sqlite3").absolute()
    try:
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT images FROM jobs WHERE n=?", (number,)).fetchone()
        return folder / json.loads(row[0])[place] if row else None
    except (sqlite3.Error, ValueError, IndexError, OverflowError):
        return None


def _same(path: Path | None, copy: Path) -> bool:
    try:
        return (
            path is not None and path.stat().st_size == copy.stat().st_size and path.read_bytes() == copy.read_bytes()
        )
    except (OSError, ValueError):  # ValueError for a NUL in the path
        return False
