"""A source image for image to image: read, checked against what the service takes, refused before it costs anything.

The limits are those of the model behind the service: at most 10 MB, at least 300 pixels a side, a ratio of 0.4 to 2.5.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.errors import InputError
from ..api.generation_request import SourceImage
from . import decode, decode_pool
from .file_kinds import JPEG, PNG, WEBP, kind_of
from .regular_file import open_regular

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

MOST_BYTES = 10_000_000
LEAST_SIDE = 300
LEAST_RATIO, MOST_RATIO = 0.4, 2.5
_ROUNDING = 1e-4  # what a resize or a change of color space adds at the ends of a range


def has_pixels(value: object) -> bool:
    """Whether the value is an image without a file: a PIL image or a NumPy array."""
    return decode.is_image(value) or decode.is_instance(value, "numpy", "ndarray")


def is_loadable(value: object) -> bool:
    """Whether the value itself holds an image: pixels, bytes or an open file."""
    is_file = isinstance(value, bytes | bytearray | memoryview) or callable(getattr(value, "read", None))
    return is_file or has_pixels(value)


def load_source(value: Any) -> tuple[bytes, str]:
    """Bytes and media type of a source image: a path, a file's bytes, an open file, a PIL image or a NumPy array.

    A file is passed on as it is, unless its EXIF says that it has to be turned. Images in memory arrive as they look.

    Raises:
        InputError: it cannot be read or the service would refuse it. The last sentence says what to do.
    """
    if isinstance(value, (str, Path)):
        return _checked(_file(Path(value)), str(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _checked(bytes(value), "The source image")
    if callable(getattr(value, "read", None)):
        return _checked(_read(value), "The source image")
    if not has_pixels(value):
        raise _refused(
            f"A source image cannot be of type {type(value).__name__}. Give a path, a URL, bytes, a PIL image or a "
            "NumPy array."
        )
    image: Image.Image = value if decode.is_image(value) else _image_of(value)
    _check_size("The source image", image.width, image.height)
    try:
        data, media_type = decode_pool.run(_encoded, image)
    except InputError:
        raise
    except Exception as error:  # of a file behind the image, or a mode that Pillow cannot convert
        raise _refused(
            f"The source image cannot be read and written as a PNG: {error}. If its file was closed or is not whole, "
            "open it anew; otherwise convert the image to RGB."
        ) from None
    _check_bytes("The source image", len(data))
    return data, media_type


def _read(file: Any) -> bytes:
    """All of a BytesIO, wherever it stands; of any other file what is left of it."""
    try:
        data = file.getvalue() if isinstance(file, io.BytesIO) else file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _refused(f"The source image cannot be read: {error}.") from None
    if not isinstance(data, bytes):
        raise _refused("The source image is a file opened as text. Open it with open(path, 'rb'), or give its path.")
    return data


def _image_of(array: np.ndarray[Any, Any]) -> Image.Image:
    """An array of gray, RGB or RGBA pixels as an image."""
    import numpy as np
    from PIL import Image

    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or not array.size:
        raise _refused(
            f"A source image as an array has the shape (height, width), (height, width, 3) or (height, width, 4), not "
            f"{array.shape}. numpy.moveaxis(array, 0, -1) puts channels last."
        )
    if array.dtype.kind == "f":
        array = _as_bytes(array, 1)
    if array.dtype != np.uint8:
        raise _refused(
            f"A source image as an array is uint8 (0 to 255) or float (0 to 1), not {array.dtype}. Convert it: "
            "array / 65535 for 16 bits, array.astype(float) for booleans."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _as_bytes(values: Any, most: float) -> np.ndarray[Any, Any]:
    """Values from 0 to ``most`` as bytes from 0 to 255."""
    import numpy as np

    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise _refused("The source image holds NaN or infinite values. Replace them: numpy.nan_to_num(array).")
    low, high = values.min(), values.max()
    if low < -most * _ROUNDING or high > most * (1 + _ROUNDING):
        raise _refused(
            f"The source image has values from {low:g} to {high:g}; 0 to {most:g} are understood. Scale it, or convert "
            "it to uint8."
        )
    scaled: np.ndarray[Any, Any] = (values.clip(0, most) * (255 / most) + 0.5).astype(np.uint8)
    return scaled


def source_of(value: Any, label: str = "") -> SourceImage:
    """The source image in a file, in bytes or in memory; see `load_source`. One in memory is known by its pixels."""
    source = SourceImage.of_bytes(*load_source(value), label)
    return known_by_pixels(source) if has_pixels(value) else source


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
    """A PNG of the image as it looks; a JPEG if the PNG is too large and nothing is transparent."""
    profile = image.info.get("icc_profile") if image.mode not in ("CMYK", "LAB") else None
    image = decode.upright(_as_it_looks(image), decode.orientation_of(image))
    data = decode.encoded(image, "PNG", compress_level=6, icc_profile=profile)
    if len(data) <= MOST_BYTES or image.mode in ("LA", "RGBA"):
        return data, PNG
    return decode.encoded(image, "JPEG", quality=95, icc_profile=profile), JPEG


def _as_it_looks(image: Image.Image) -> Image.Image:
    """The image in the mode L, LA, RGB or RGBA: what every reader of a PNG understands alike."""
    import numpy as np
    from PIL import Image, ImageCms

    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.float64)
        high = values.max()
        most = 65535 if image.mode.startswith("I;") or (image.mode == "I" and high > 255) else 255
        return Image.fromarray(_as_bytes(values, 1 if image.mode == "F" and high <= 1 + _ROUNDING else most))
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        return ImageCms.ImageCmsTransform(lab, srgb, "LAB", "RGB").apply(image)
    if image.mode in ("L", "LA", "RGB", "RGBA") and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        return image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _file(path: Path) -> bytes:
    try:
        path = path.expanduser()
        _check_bytes(str(path), path.stat().st_size)
        if path.is_dir():
            raise _refused(f"{path} is a folder. Give the path of an image in it.")
        with open_regular(path) as file:
            return file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise _refused(f"There is no file {path}. Check its spelling, and the working directory.") from None
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the path; no home directory
        raise _refused(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _checked(data: bytes, name: str) -> tuple[bytes, str]:
    _check_bytes(name, len(data))
    kind = kind_of(data)
    if kind.media_type not in (PNG, JPEG, WEBP):
        way = "Save one frame of it" if data[:4] == b"GIF8" else "Save the image"
        raise _refused(f"{name} is {kind.name}. {way} as PNG, JPEG or WebP.")
    try:
        facts, _ = decode_pool.run(decode.decode, data, 1)
        turned = facts.orientation > 1 and not facts.animated
        image = decode_pool.run(decode.load, data, as_it_is=True)[1] if turned else None
    except decode.NotAnImageError as error:
        raise _refused(f"{name} cannot be used: {error}. Save it anew as PNG, JPEG or WebP.") from None
    if facts.animated:
        raise _refused(f"{name} is animated. Save one frame of it as PNG, JPEG or WebP.")
    _check_size(name, facts.width, facts.height)
    return (data, kind.media_type) if image is None else load_source(image)


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
