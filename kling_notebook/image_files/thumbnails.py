"""Small JPEGs of saved images, and the folder that keeps them. The folder is a cache: losing it costs time only.

A thumbnail's name is a hash of its image's name, size and time of change, so an image that was replaced gets a new
one. The image's own width and height stand in the JPEG's comment, and a shown grid need not open the image.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..api.errors import DownloadError
from ..api.event_log import suppress
from . import containers, decode, decode_pool
from .regular_file import open_regular, write_whole

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 80  # of the files; what is shown smaller than they are is encoded once more by view/pixels.py
# Pixels a side of an image shown by itself.
LARGE = 1024

# Bytes of an image shown by itself, at most.
LIMIT = 200_000

# Small JPEGs of an image, by their pixels a side and the limit of their bytes.
Views = Mapping[tuple[int, int | None], bytes]

_MOST_CACHED = 2**22
_LOWER_QUALITIES = (85, 75, 65, 50, 35, 20)
_COMMENT = re.compile(rb"\xff\xfe\x00.kling (\d{1,6})x(\d{1,6})", re.DOTALL)


def thumbnail(
    path: Path, cache: Path, size: int = 256, limit: int | None = None, *, data: bytes | None = None
) -> tuple[bytes, int, int]:
    """JPEG bytes of at most ``size`` pixels a side, upright, and the image's own width and height in pixels.

    Args:
        limit: bytes; the best quality that stays within it is taken, else a fixed one.
        data: the image's bytes, of one whose file may be out of reach; nothing is cached of it.

    Raises:
        DownloadError: the image is gone or can no longer be read.
    """
    try:
        place = _place(path, cache, size, limit) if data is None else None
        if place is not None and (known := _read(place)) is not None:
            return known
        jpeg, facts = decode_pool.run(_made, path, data, size, limit)
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(f"{path.name} cannot be read: {reason}. Was it moved or deleted?") from None
    except decode.NotAnImageError as error:
        raise DownloadError(f"{path.name} cannot be shown: {error}.") from None
    if place is not None:
        with suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            write_whole(place, jpeg)
    return jpeg, *facts.upright_size


def large(
    path: Path, cache: Path, size: int = LARGE, limit: int = LIMIT, *, data: bytes | None = None
) -> tuple[bytes, int, int]:
    """As `thumbnail`, for an image shown by itself."""
    return thumbnail(path, cache, size, limit, data=data)


def previews(reduced: "Image.Image", facts: containers.Facts, sizes: Sequence[int], alone: bool) -> Views:
    """What the cache shall keep of an image that is decoded just now: its thumbnails, and the large view if it will be
    shown by itself. ``reduced``: it, at most as large as is needed."""
    wanted = [*((size, None) for size in sizes), *[(LARGE, LIMIT)] * alone]
    return {(size, limit): make(reduced, facts, size, limit) for size, limit in wanted}


def keep(path: Path, cache: Path, views: Views) -> None:
    """Put in the cache what `previews` made while the image was being saved."""
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        for (size, limit), jpeg in views.items():
            write_whole(_place(path, cache, size, limit), jpeg)


def make(image: "Image.Image", facts: containers.Facts, size: int, limit: int | None = None) -> bytes:
    """The JPEG of an image reduced to ``size`` pixels a side; its comment says the image's own size."""
    jpeg = b""
    for side in (size, size * 3 // 4, size // 2, size // 4, 64):
        small = decode.small(image, max(1, side))  # once for all qualities
        for quality in (QUALITY,) if limit is None else _LOWER_QUALITIES:
            jpeg = decode.encoded(small, "JPEG", quality=quality, comment=b"kling %dx%d" % facts.upright_size)
            if limit is None or len(jpeg) <= limit:
                return jpeg
    return jpeg


def _made(path: Path, data: bytes | None, size: int, limit: int | None) -> tuple[bytes, containers.Facts]:
    """Decoded, reduced and encoded in one go: a decoded image does not wait for a thread a second time."""
    facts, small = decode.decode(data or decode.read_bounded(path), size, draft=True)
    return make(small, facts, size, limit), facts


def _place(path: Path, cache: Path, size: int, limit: int | None) -> Path:
    state = path.stat()
    key = f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}\0{size}\0{limit}"
    return cache / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.jpg"


def _read(place: Path) -> tuple[bytes, int, int] | None:
    """A cached JPEG with its image's size, None if it is missing, cut short or not a thumbnail of this package."""
    jpeg = b""
    with suppress(OSError), open_regular(place, follow=False) as file:
        jpeg = file.read(_MOST_CACHED)
    comment = _COMMENT.search(jpeg, 0, 1024)
    whole = jpeg.startswith(b"\xff\xd8") and jpeg.endswith(b"\xff\xd9")
    return (jpeg, int(comment[1]), int(comment[2])) if comment is not None and whole else None
