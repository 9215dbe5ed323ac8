"""Decoding: is it an image, and a small JPEG of it. The only module of this package that imports Pillow.
Callers come here by way of `decoding.run`, which bounds the memory that all of them take together.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import containers

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 50_000_000
MOST_BYTES = 64 * 2**20


_FORMATS: dict[containers.MediaType, str] = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
_GROUND = (160, 160, 160)
"""What shows through a transparent image in a thumbnail; neither of a notebook's two themes."""


def warm_up() -> None:
    """Import the decoder and its formats."""
    from PIL import Image, WebPImagePlugin  # noqa: F401

    Image.preinit()


class NotAnImageError(ValueError):
    """The bytes are no image that we would show. The text is the reason, as the end of a sentence.

    ``final``: True where the bytes are what was meant, only too large; fetching them again would not help.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def read_bounded(path: Path) -> bytes:
    """The file's bytes. Raises NotAPictureError above 64 MB, OSError where it cannot be read."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise NotAnImageError("it is larger than 64 MB", final=True)
        return file.read(MOST_BYTES)


def decode(data: bytes, side: int, *, draft: bool = False) -> tuple[containers.Facts, Image.Image]:
    """Decode an image and return what its headers say and an RGB or gray copy of at most ``side`` pixels a side.

    Its size is known from the headers before anything is decoded. PNG and JPEG reach the decoder without metadata, so
    that nothing beside the pixels can make a good image fail. Of an animation the first image counts. With
    ``draft`` a JPEG is decoded at a fraction of its size: much faster, and no proof that it is whole.

    Raises:
        NotAPictureError: empty, another kind of file, cut short, damaged, or above 50 million pixels.
    """
    facts = _facts(data)
    image = _opened(data, facts)
    if draft:
        image.draft(None, (2 * side, 2 * side))
    return facts, small(_loaded(image), side)


def _facts(data: bytes) -> containers.Facts:
    if containers.media_type(data[:16]) is None:
        raise NotAnImageError(f"it is {what_it_is(data[:1024])}")
    try:
        facts = containers.facts(data)
    except containers.BrokenContainerError as error:
        raise NotAnImageError(str(error)) from None
    if facts.width < 1 or facts.height < 1:
        raise NotAnImageError("it has no pixels")
    if facts.width * facts.height > MOST_PIXELS:
        size = f"{facts.width} x {facts.height}"
        raise NotAnImageError(f"it has {size} pixels, above the limit of 50 million", final=True)
    return facts


def _opened(data: bytes, facts: containers.Facts) -> Image.Image:
    """The image, known to the decoder and not decoded yet."""
    from PIL import Image

    plain = data if facts.media_type == "image/webp" else containers.pixel_data(data)
    try:
        image = Image.open(io.BytesIO(plain), formats=(_FORMATS[facts.media_type],))
    except Exception as error:  # decoders raise anything at all on damaged input
        raise NotAnImageError(f"it is damaged ({_reason(error)})") from None
    if image.width * image.height > facts.width * facts.height:
        raise NotAnImageError("its headers contradict each other")
    return image


def _loaded(image: Image.Image) -> Image.Image:
    try:
        image.load()
    except Exception as error:
        raise NotAnImageError(f"it is damaged ({_reason(error)})") from None
    return image


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120].replace("<_io.BytesIO object", "<data")


_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "a GIF"),
    (4, b"ftypheic", "a HEIC image"),
    (4, b"ftypheix", "a HEIC image"),
    (4, b"ftypmif1", "a HEIF image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypavis", "an AVIF image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"BM", "a BMP image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\0\0\x01\0", "an icon file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "gzip data"),
)


def what_it_is(head: bytes) -> str:
    """A word for bytes that are no PNG, JPEG or WebP file, for an error message."""
    for offset, magic, word in _KINDS:
        if head[offset : offset + len(magic)] == magic:
            return word
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<"):
        return "an SVG drawing" if b"<svg" in start else "HTML"
    if start.startswith((b"{", b"[")):
        return "JSON"
    if b"\0" not in head and all(byte >= 32 or byte in b"\t\r\n\f\x1b" for byte in head):
        return "text" if head else "empty"
    return "not an image"


def jpeg(image: Image.Image, quality: int, comment: bytes) -> bytes:
    """A JPEG file without metadata but ``comment``."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, comment=comment)
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
    small = plain.reduce(factor) if factor > 1 else plain.copy()
    small.thumbnail((side, side))
    if small.mode in ("RGBA", "LA", "RGBa", "La"):
        small = small.convert("RGBA")
        ground = Image.new("RGB", small.size, _GROUND)
        ground.paste(small, mask=small.getchannel("A"))
        return ground
    return small if small.mode in ("RGB", "L") else small.convert("RGB")


def encode(image: Image.Image, most_bytes: int) -> tuple[bytes, containers.MediaType]:
    """An image in memory as a PNG; as a JPEG where the PNG is above ``most_bytes`` and nothing is transparent."""
    image = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    if out.tell() <= most_bytes or image.mode in ("LA", "RGBA") or "transparency" in image.info:
        return out.getvalue(), "image/png"
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=95)
    return out.getvalue(), "image/jpeg"


def whole(data: bytes) -> Image.Image:
    """The file's bytes as a PIL image for a person: decoded, with all its metadata. Raises NotAPictureError."""
    from PIL import Image

    facts = _facts(data)
    try:
        image = Image.open(io.BytesIO(data), formats=(_FORMATS[facts.media_type],))
    except Exception as error:
        raise NotAnImageError(f"it is damaged ({_reason(error)})") from None
    return _loaded(image)


def header(path: Path) -> tuple[int, int, str]:
    """Width and height in pixels, and the format, from the first bytes of a file. Raises NotAnImageError, OSError."""
    from PIL import Image

    with path.open("rb") as file:
        try:
            image = Image.open(file, formats=tuple(_FORMATS.values()))
        except Exception as error:  # decoders raise anything at all on damaged input
            raise NotAnImageError(f"it is damaged ({_reason(error)})") from None
        return image.width, image.height, str(image.format).lower()


def as_image(value: object) -> Image.Image | None:
    """``value`` if it is a PIL image, without importing Pillow if nothing has."""
    module = sys.modules.get("PIL.Image")
    return value if module is not None and isinstance(value, module.Image) else None
