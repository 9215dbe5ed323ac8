"""Small JPEGs of saved images, and the folder that keeps them. The folder is a cache: losing it costs time only.

A thumbnail's name is a hash of its image's name, size and time of change, so an image that was replaced gets a new
one. The image's own width and height stand in the JPEG's comment, and a shown grid need not open the image.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..api.errors import DownloadError
from ..api.event_log import log_suppressed, suppress
from . import containers, decode, decode_pool
from .regular_file import open_regular

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 80
LARGE = 1024
"""Pixels a side of an image shown by itself."""

LIMIT = 200_000
"""Bytes of an image shown by itself, at most."""

_MOST_CACHED = 2**22
_LOWER_QUALITIES = (85, 75, 65, 50, 35, 20)
_COMMENT = re.compile(rb"\xff\xfe\x00.kling (\d{1,6})x(\d{1,6})", re.DOTALL)


def thumbnail(path: Path, cache: Path, size: int = 256, *, data: bytes | None = None) -> tuple[bytes, int, int]:
    """JPEG bytes of at most ``size`` pixels a side, upright, and the image's own width and height in pixels.

    Raises:
        DownloadError: the image is gone or can no longer be read.
    """
    return _cached(path, cache, size, None, data)


def large(
    path: Path, cache: Path, size: int = LARGE, limit: int = LIMIT, *, data: bytes | None = None
) -> tuple[bytes, int, int]:
    """As `thumbnail`, for an image shown by itself: of the best quality that stays within ``limit`` bytes."""
    return _cached(path, cache, size, limit, data)


def previews(reduced: Image.Image, facts: containers.Facts, sizes: Sequence[int], alone: bool) -> dict[str, bytes]:
    """What the cache shall keep of an image that is decoded just now, by kind: its thumbnails, and the large view if
    it will be shown by itself. ``reduced``: it, at most as large as is needed."""
    views = {_kind(size): make(decode.small(reduced, size), facts, size) for size in sizes}
    return views | {_kind(LARGE, LIMIT): make(reduced, facts, LARGE, LIMIT)} if alone else views


def keep(path: Path, cache: Path, views: Mapping[str, bytes]) -> None:
    """Put in the cache what `previews` made while the image was being saved."""
    with suppress(OSError):
        for kind, jpeg in views.items():
            _write(_place(path, cache, kind), jpeg)


def _kind(size: int, limit: int | None = None) -> str:
    return f"t{size}" if limit is None else f"l{size}-{limit}"


def make(small: Image.Image, facts: containers.Facts, size: int, limit: int | None = None) -> bytes:
    """The JPEG of an image already reduced to ``size`` pixels a side; its comment says the image's own size."""
    comment = b"kling %dx%d" % facts.upright_size
    if limit is None:
        return decode.jpeg(small, QUALITY, comment)
    jpeg = b""
    for side in (size, size * 3 // 4, size // 2, size // 4, 64):
        smaller = decode.small(small, max(1, side))
        for quality in _LOWER_QUALITIES:
            jpeg = decode.jpeg(smaller, quality, comment)
            if len(jpeg) <= limit:
                return jpeg
    return jpeg


def _cached(path: Path, cache: Path, size: int, limit: int | None, data: bytes | None) -> tuple[bytes, int, int]:
    """``data``: the image's bytes, of one whose file may be out of reach; nothing is cached of it."""
    try:
        place = _place(path, cache, _kind(size, limit)) if data is None else None
        known = _read(place) if place is not None else None
        if known is not None:
            return known
        jpeg, facts = decode_pool.run(_made, path, data, size, limit)
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(f"{path.name} cannot be read: {reason}. Was it moved or deleted?") from None
    except decode.NotAnImageError as error:
        raise DownloadError(f"{path.name} cannot be shown: {error}.") from None
    with suppress(OSError):
        if place is not None:
            _write(place, jpeg)
    return jpeg, *facts.upright_size


def _made(path: Path, data: bytes | None, size: int, limit: int | None) -> tuple[bytes, containers.Facts]:
    facts, small = decode.decode(data or decode.read_bounded(path), size, draft=True)
    return make(small, facts, size, limit), facts


def _place(path: Path, cache: Path, kind: str) -> Path:
    state = path.stat()
    key = f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}\0{kind}"
    return cache / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.jpg"


def _read(place: Path) -> tuple[bytes, int, int] | None:
    """A cached JPEG with its image's size, None if it is missing, cut short or not a thumbnail of this package."""
    try:
        with open_regular(place, follow=False) as file:
            jpeg = file.read(_MOST_CACHED)
    except OSError as error:
        log_suppressed(__name__, error)
        return None
    comment = _COMMENT.search(jpeg, 0, 1024)
    if comment is None or not jpeg.startswith(b"\xff\xd8") or not jpeg.endswith(b"\xff\xd9"):
        return None
    return jpeg, int(comment[1]), int(comment[2])


def _write(place: Path, jpeg: bytes) -> None:
    """Whole or not at all. No fsync: what a power cut loses is made again."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.stem}.{secrets.token_hex(6)}.part")
    try:
        temporary.write_bytes(jpeg)
        temporary.replace(place)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
