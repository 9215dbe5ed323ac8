"""A source image for image to image: read, checked against what the service takes, refused before it costs anything.

The limits are those of the model behind the service: at most 10 MB, at least 300 pixels a side, a ratio of 0.4 to 2.5.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..api.errors import InputError
from ..api.generation_request import SourceImage
from . import decode, decode_pool
from .file_kinds import JPEG, PNG, WEBP, kind_of
from .regular_file import open_regular

if TYPE_CHECKING:
    from PIL import Image

MOST_BYTES = 10_000_000
LEAST_SIDE = 300
LEAST_RATIO, MOST_RATIO = 0.4, 2.5


def load_source(value: str | Path | bytes | Image.Image) -> tuple[bytes, str]:
    """Bytes and media type of a source image given as a path, as a file's bytes or as a PIL image.

    Raises:
        InputError: it cannot be read or the service would refuse it. The last sentence says what to do.
    """
    if isinstance(value, (str, Path)):
        return _checked(_file(Path(value)), str(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _checked(bytes(value), "The source image")
    image = decode.as_image(value)
    if image is None:
        raise _refused(
            f"A source image cannot be of type {type(value).__name__}. Give a path, a URL, bytes or a PIL image."
        )
    _check_size("The source image", image.width, image.height)
    try:
        data, _ = decode_pool.run(_encoded, image)
    except (OSError, ValueError) as error:
        raise _refused(f"The source image cannot be written as a PNG: {error}. Convert it to RGB.") from None
    return _checked(data, "The source image")


def known_by_pixels(source: SourceImage) -> SourceImage:
    """The source with a hash of its mode, size and pixels if it is a PNG: for images that come without a file.

    The bytes of their file are of our making, and another version of Pillow writes others.
    """
    if source.data is None or source.media_type != PNG:  # decoders of JPEG and WebP do not agree to the bit
        return source
    image = decode.load(source.data, as_it_is=True)[1]
    image = image.convert("RGBA") if image.mode == "P" else image
    pixels = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode() + image.tobytes())
    return replace(source, pixels=pixels.hexdigest())


def _encoded(image: Image.Image) -> tuple[bytes, str]:
    """A PNG; a JPEG if the PNG is too large and nothing is transparent."""
    image = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    if out.tell() <= MOST_BYTES or image.mode in ("LA", "RGBA") or "transparency" in image.info:
        return out.getvalue(), PNG
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=95)
    return out.getvalue(), JPEG


def _file(path: Path) -> bytes:
    with contextlib.suppress(RuntimeError):  # no home directory
        path = path.expanduser()
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise _refused(f"{path} is a folder. Give the path of an image in it.")
        _check_bytes(str(path), size)
        with open_regular(path) as file:
            return file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise _refused(f"There is no file {path} (looked in {_working_folder()}). Check its spelling.") from None
    except (OSError, ValueError) as error:  # ValueError for a NUL in the path
        raise _refused(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _checked(data: bytes, name: str) -> tuple[bytes, str]:
    _check_bytes(name, len(data))
    kind = kind_of(data)
    if kind.media_type not in (PNG, JPEG, WEBP):
        way = "Save one frame of it" if data[:4] == b"GIF8" else "Save the image"
        raise _refused(f"{name} is {kind.name}. {way} as PNG, JPEG or WebP.")
    try:
        facts, _ = decode_pool.run(decode.decode, data, 1)
    except decode.NotAnImageError as error:
        raise _refused(f"{name} cannot be used: {error}. Save it anew as PNG, JPEG or WebP.") from None
    if facts.animated:
        raise _refused(f"{name} is animated. Save one frame of it as PNG, JPEG or WebP.")
    _check_size(name, facts.width, facts.height)
    return data, kind.media_type


def _check_bytes(name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise _refused(
            f"{name} has {size / 1e6:.1f} MB; the service takes at most {MOST_BYTES / 1e6:.0f} MB. "
            "Make it smaller, or save it as JPEG."
        )


def _check_size(name: str, width: int, height: int) -> None:
    if min(width, height) < LEAST_SIDE:
        raise _refused(
            f"{name} has {width} x {height} pixels; the service wants at least {LEAST_SIDE} a side. Enlarge it."
        )
    if not LEAST_RATIO <= width / height <= MOST_RATIO:
        raise _refused(
            f"{name} has {width} x {height} pixels, a ratio of {width / height:.2f}; the service takes "
            f"{LEAST_RATIO} to {MOST_RATIO}. Crop it."
        )


def _refused(message: str) -> InputError:
    return InputError(message, parameter="image")


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "a folder that was removed"
