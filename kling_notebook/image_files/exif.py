"""One text in EXIF's ImageDescription: read it, or put it in beside whatever tags are there already.

EXIF is a TIFF structure: a list of tags whose longer values lie anywhere in the block. A tag is added by appending a
new first list that repeats the old entries and pointing the header at it, so no value moves and nothing that only its
maker understands (maker notes, sub-lists, a preview) is broken. Pure.
"""

import struct
from dataclasses import dataclass

_DESCRIPTION, ORIENTATION = 0x010E, 0x0112
_ASCII = 2


class BrokenExifError(ValueError):
    """The block is not a readable TIFF structure."""


@dataclass(frozen=True, slots=True)
class _Directory:
    """The first list of tags: its raw 12-byte entries by tag, and the pointer to the next list."""

    order: str
    entries: dict[int, bytes]
    following: int


_NO_TAGS = _Directory(">", {}, 0)


def read_description(block: bytes) -> str | None:
    """ImageDescription of a TIFF structure, None if there is none.

    Raises:
        BrokenExifError: the block is damaged or the text is not ASCII.
    """
    directory = _first_directory(block)
    entry = directory.entries.get(_DESCRIPTION)
    if entry is None:
        return None
    _, kind, count, offset = struct.unpack(directory.order + "HHII", entry)
    text = entry[8 : 8 + count] if count <= 4 else block[offset : offset + count]
    if kind != _ASCII or len(text) != count or not text.isascii():
        raise BrokenExifError("the description is cut short, or not ASCII text")
    return text.rstrip(b"\0").decode("ascii")


def read_orientation(block: bytes | None) -> int:
    """How the image has to be turned to be upright: EXIF's 1 to 8, 1 if nothing says so."""
    try:
        directory = _first_directory(block or b"")
    except BrokenExifError:
        return 1
    entry = directory.entries.get(ORIENTATION, bytes(12))
    value: int = struct.unpack_from(directory.order + "H", entry, 8)[0]
    return value if 1 <= value <= 8 else 1


def with_description(block: bytes | None, text: str) -> bytes:
    """A TIFF structure that says ``text`` (ASCII) and keeps every other tag of ``block``.

    A block that cannot be read keeps nothing: there is no tag in it that anyone could find.
    """
    try:
        directory = _first_directory(block or b"")
    except BrokenExifError:
        directory = _NO_TAGS
    others = {tag: entry for tag, entry in directory.entries.items() if tag != _DESCRIPTION}
    if not others and not directory.following:
        block, directory = b"MM\0*\0\0\0\0", _NO_TAGS
    kept = block or b""
    kept += b"\0" * (len(kept) & 1)  # lists begin at even offsets
    order = directory.order
    value = text.encode("ascii") + b"\0"
    count = len(others) + 1
    # As short a value as four bytes stands in the entry itself, in the place of its offset.
    inside = len(value) <= 4
    place = value.ljust(4, b"\0") if inside else struct.pack(order + "I", len(kept) + 2 + 12 * count + 4)
    others[_DESCRIPTION] = struct.pack(order + "HHI", _DESCRIPTION, _ASCII, len(value)) + place
    listing = b"".join(others[tag] for tag in sorted(others)) + struct.pack(order + "I", directory.following)
    added = struct.pack(order + "H", count) + listing + (b"" if inside else value)
    return kept[:4] + struct.pack(order + "I", len(kept)) + kept[8:] + added


def _first_directory(block: bytes) -> _Directory:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        raise BrokenExifError("no TIFF header")
    start = struct.unpack_from(order + "I", block, 4)[0]
    if start < 8 or start + 2 > len(block):
        raise BrokenExifError("the list of tags lies outside the block")
    count = struct.unpack_from(order + "H", block, start)[0]
    end = start + 2 + 12 * count
    if end > len(block) or count > 1000:
        raise BrokenExifError("the list of tags is cut short, or longer than any")
    raw = [block[at : at + 12] for at in range(start + 2, end, 12)]
    following = struct.unpack_from(order + "I", block, end)[0] if end + 4 <= len(block) else 0
    return _Directory(order, {struct.unpack_from(order + "H", entry)[0]: entry for entry in raw}, following)
