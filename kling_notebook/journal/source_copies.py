"""Source images as a folder keeps them: one copy per content, and what names a source so that it is found again."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..api.address import parse_address
from ..api.event_log import suppress
from ..api.generation_request import SourceImage
from ..image_files.decode import read_bounded
from . import layout


def named_by_copy(source: SourceImage) -> SourceImage:
    """Named by its copy, if there can be one."""
    name = layout.source_name(source.pixels or source.sha256, source.media_type)
    return source if name is None else replace(source, label=layout.source_label(name))


def copy_of(source: SourceImage, folder: Path) -> Path | None:
    """Where its copy is or would be; None if there can be none."""
    name = layout.source_name(source.pixels or source.sha256, source.media_type)
    return None if name is None else layout.source(folder, name)


def findable(source: SourceImage, folder: Path) -> SourceImage:
    """The source as it was named, or by its copy where that name means other bytes by now, or nothing."""
    copy = None if source.url else copy_of(source, folder)
    if copy is None or not copy.exists():
        return source
    with suppress(Exception):  # nothing of that name can be read any more, or there never was one
        if read_bounded(_meant(source.label, folder)) == read_bounded(copy):
            return source
    return named_by_copy(source)


def _meant(label: str, folder: Path) -> Path:
    """The file that a label names: its path, or an image's address. Raises anything if there is none.

    An address is looked up in the journal alone: whoever holds a result need not have a session.
    """
    if (address := parse_address(label)) is None:
        return Path(label).expanduser()
    number, place = address
    journal = layout.journal(folder).absolute()
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        (images,) = connection.execute("SELECT images FROM jobs WHERE n=?", (number,)).fetchone()
    if not layout.is_plain_name(name := json.loads(images)[place]):
        raise ValueError(f"{name!r:.60} is not the name of an image")
    return folder / str(name)
