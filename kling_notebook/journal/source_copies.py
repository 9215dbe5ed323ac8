"""Source images as a folder keeps them: one copy per content, and what names a source so that it is found again."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..api.address import parse_address
from ..api.errors import SettingsError
from ..api.event_log import log_suppressed
from ..api.generation_request import SourceImage
from ..image_files.regular_file import open_regular
from . import layout


def named_by_copy(source: SourceImage) -> SourceImage:
    """Named by its copy, if there can be one."""
    name = layout.source_name(source.pixels or source.sha256, source.media_type)
    return source if name is None else replace(source, label=layout.source_label(name))


def findable(source: SourceImage, folder: Path) -> SourceImage:
    """The source as it was named, or by its copy where that name means other bytes by now, or nothing."""
    name = layout.source_name(source.pixels or source.sha256, source.media_type)
    copy = layout.source(folder, name) if name and not source.url else None
    if copy is None or not copy.exists() or _same(_meant(source.label, folder), copy):
        return source
    return named_by_copy(source)


def _meant(label: str, folder: Path) -> Path | None:
    try:
        address = parse_address(label)
        return _image(folder, *address) if address else Path(label).expanduser()
    except RuntimeError as error:  # no home directory
        log_suppressed(__name__, error)
        return None


def _image(folder: Path, number: int, place: int) -> Path | None:
    """The file with an address, by the journal alone: whoever holds a result need not have a session."""
    try:
        journal = layout.journal(folder).absolute()
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT images FROM jobs WHERE n=?", (number,)).fetchone()
        name = json.loads(row[0])[place] if row else None
        return folder / str(name) if layout.is_plain_name(name) else None
    except (SettingsError, sqlite3.Error, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        log_suppressed(__name__, error)
        return None


def _same(path: Path | None, copy: Path) -> bool:
    if path is None:
        return False
    try:
        with open_regular(path) as one, open_regular(copy, follow=False) as other:
            size = os.fstat(one.fileno()).st_size
            return size == os.fstat(other.fileno()).st_size and one.read(size) == other.read(size)
    except (OSError, ValueError) as error:  # ValueError for a NUL in the path
        log_suppressed(__name__, error)
        return False
