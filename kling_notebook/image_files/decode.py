"""Decoding: is it an image, and a small JPEG of it. The only module of this package that imports Pillow.

Callers come here by way of `decode_pool.run`, which bounds the memory that all of them take together.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from ..api.event_log import suppress
from . import containers, exif
from .containers import Facts
from .file_kinds import HEAD, JPEG, PNG, WEBP, FileKind, kind_of
from .regular_file import open_regular

if TYPE_CHECKING:
    from PIL import Image, ImageFile

MOST_PIXELS = 50_000_000
MOST_BYTES = 64 * 2**20

# What is decoded, by media type, with Pillow's name for it. Nothing else reaches a decoder.
FORMATS = {PNG: "PNG", JPEG: "JPEG", WEBP: "WEBP", "image/gif": "GIF", "image/avif": "AVIF"}

# What shows through a transparent image in a thumbnail; neither of a notebook's two themes.
_GROUND = (160, 160, 160, 255)

# By EXIF's orientation, the `PIL.Image.Transpose` that makes the image upright.
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}


def warm_up() -> None:
    """Import the decoder and its formats."""
    from PIL import AvifImagePlugin, Image, WebPImagePlugin  # noqa: F401

    Image.preinit()


def _reader(name: str) -> Callable[..., ImageFile.ImageFile]:
    """Pillow's reader of a format. Called by itself: `Image.open` has a limit of pixels, which is the user's to set for
    images of theirs, and may not refuse what was paid for."""
    from PIL import Image

    warm_up()
    return Image.OPEN[name][0]


class _ShortReads(io.BytesIO):
    """A file that gives at most 16 bytes if it is asked for some. Pillow's reader of WebP looks for the size in the
    first 30, to hold it against the same limit; it then takes the rest as a whole."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(16 if size is not None and size > 0 else -1)


@dataclass(eq=False, repr=False)
class NotAnImageError(ValueError):
    """The bytes are not an image that can be shown. The text is the reason, as the end of a sentence.

    Attributes:
        final: the bytes are what was meant, only too large; fetching them again would not help.
        whole: nothing of the file is missing as far as can be told; it is only not decoded.
    """

    reason: str
    final: bool = field(default=False, kw_only=True)
    whole: bool = field(default=False, kw_only=True)


def read_bounded(path: Path) -> bytes:
    """The file's bytes. Raises NotAnImageError above 64 MB, OSError if it cannot be read."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise NotAnImageError("it is larger than 64 MB", final=True)
        return file.read(MOST_BYTES)


def decode(data: bytes, side: int, *, draft: bool = False, lenient: bool = True) -> tuple[Facts, Image.Image]:
    """Decode an image and return what its headers say and an upright RGB or gray copy of at most ``side`` pixels a
    side. Of an animation the first image counts.

    Args:
        draft: decode a JPEG at a fraction of its size: much faster, and no proof that it is whole.
        lenient: see `load`.

    Raises:
        NotAnImageError: as `load`.
    """
    facts, image = load(data, lenient=lenient, draft=2 * side if draft else None)
    return facts, upright(small(image, side), facts.orientation)


def load(
    data: bytes, *, lenient: bool = True, draft: int | None = None, as_it_is: bool = False
) -> tuple[Facts, Image.Image]:
    """Decode an image. Whoever saves, opens, measures, shows or compares an image comes here.

    Its size is known from the headers before anything is decoded. PNG and JPEG reach the decoder without metadata, so
    that nothing beside the pixels can make a good image fail; if that fails, as they came.

    Args:
        lenient: also take a file whose container is broken if the decoder reads all of its pixels.
        draft: pixels a side that are enough. as_it_is: with the metadata, if the decoder can read it.

    Raises:
        NotAnImageError: empty, another kind of file, cut short, damaged, or above 50 million pixels.
    """
    kind = kind_of(data)
    if kind.media_type not in FORMATS:
        raise NotAnImageError(f"it is {kind.name}", whole=kind.kept)
    facts, reason = _facts(data, kind, lenient)
    bare = [containers.pixel_data(data)] if facts is not None and kind.media_type in (PNG, JPEG) else []
    for form in [data, *bare] if as_it_is else [*bare, data]:
        try:
            image = _opened(form, kind, facts)
            if draft is not None:
                image.draft(None, (draft, draft))
            image.load()
        except NotAnImageError:
            raise
        except Exception as error:  # decoders raise anything at all on damaged input
            shown = (str(error) or type(error).__name__).splitlines()[0][:120]
            reason = reason or f"it is damaged ({shown})"
        else:
            return facts or _facts_of(image, kind), image
    whole = not containers.is_cut_short(data) if kind.media_type not in (PNG, JPEG, WEBP) else facts is not None
    raise NotAnImageError(reason, whole=whole)


def header(source: Path | bytes) -> tuple[int, int, str]:
    """Width and height in pixels, 0 if it cannot be decoded, and the format, from the first bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file:
        kind = kind_of(file.read(HEAD))
        file.seek(0)
        width, height = 0, 0
        with suppress(Exception):  # decoders raise anything at all on damaged input
            if kind.media_type in FORMATS:
                width, height = _reader(FORMATS[kind.media_type])(file, "").size
    if not width and kind.media_type in FORMATS:
        with suppress(NotAnImageError):
            width, height = load(source if isinstance(source, bytes) else read_bounded(source))[1].size
    return width, height, kind.media_type.partition("/")[2]


def _facts(data: bytes, kind: FileKind, lenient: bool) -> tuple[Facts | None, str]:
    """What the container says; or None, and why not."""
    from PIL import ImageFile

    if kind.media_type not in (PNG, JPEG, WEBP):
        return None, ""
    try:
        facts = containers.facts(data)
    except containers.BrokenContainerError as error:
        # With that option of Pillow's, which is the user's to set, half an image decodes as well.
        if lenient and not ImageFile.LOAD_TRUNCATED_IMAGES:
            return None, str(error)
        raise NotAnImageError(str(error)) from None
    _check_size(facts.width, facts.height)
    return facts, ""


def _opened(data: bytes, kind: FileKind, facts: Facts | None) -> Image.Image:
    """The image, known to the decoder and not decoded yet."""
    # Of a WebP file whose headers could not be read Pillow's own limit is left in force: its reader makes the canvas.
    file = _ShortReads(data) if kind.media_type == WEBP and facts is not None else io.BytesIO(data)
    image = _reader(FORMATS[kind.media_type])(file, "")
    if facts is not None and image.width * image.height > facts.width * facts.height:
        raise NotAnImageError("its headers contradict each other")
    _check_size(image.width, image.height)
    return image


def _facts_of(image: Image.Image, kind: FileKind) -> Facts:
    animated = bool(getattr(image, "is_animated", False))
    return Facts(kind.media_type, *image.size, animated, orientation=orientation_of(image))


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise NotAnImageError("it has no pixels")
    if width * height > MOST_PIXELS:
        raise NotAnImageError(f"it has {width} x {height} pixels, above the limit of 50 million", final=True)


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation of a PIL image, as of a file's bytes. `PIL.Image.Image.getexif` would also believe XMP and a
    text chunk, which viewers do not, and a TIFF's tag, by which Pillow turns the image itself."""
    image.load()  # in a PNG it may stand behind the pixels
    return exif.read_orientation(image.info.get("exif", b"").removeprefix(b"Exif\0\0"))


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image as viewers show it, given EXIF's orientation."""
    from PIL import Image

    return image.transpose(Image.Transpose(_TURNS[orientation])) if orientation in _TURNS else image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A file of Pillow's format ``kind`` without metadata but what ``options`` put in."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _plain(image: Image.Image) -> Image.Image:
    """A mode that resamples well: palettes, bits and 16-bit gray spread out to 8-bit channels."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda level: level * (1 / 257)).convert("L")
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("1", "F"):
        return image.convert("L")
    return image


def small(image: Image.Image, side: int) -> Image.Image:
    """An RGB or gray copy of at most ``side`` pixels a side, never enlarged. Alpha is laid on a neutral ground."""
    from PIL import Image

    plain = _plain(image)
    factor = max(1, max(plain.width, plain.height) // (2 * side))  # leaves twice what is wanted to the finer filter
    small = plain.reduce(factor) if factor > 1 else plain
    if max(small.size) > side:
        small = small.copy() if small is image else small
        small.thumbnail((side, side))
    if small.mode in ("RGBA", "LA", "RGBa", "La"):
        ground = Image.new("RGBA", small.size, _GROUND)
        return Image.alpha_composite(ground, small.convert("RGBA")).convert("RGB")
    return small if small.mode in ("RGB", "L") else small.convert("RGB")


def is_instance(value: object, module: str, name: str) -> bool:
    """Whether ``value`` is of this class, without importing its module if nothing has."""
    return isinstance(value, getattr(sys.modules.get(module), name, ()))


def is_image(value: object) -> TypeGuard[Image.Image]:
    """Whether ``value`` is a PIL image."""
    return is_instance(value, "PIL.Image", "Image")
