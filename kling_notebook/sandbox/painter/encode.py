"""The ends of the pipe: pixel sizes, the source picture coming in, the corner mark and the file going out."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZES: Mapping[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "3:2": (1248, 832),
    "4:3": (1168, 880),
    "16:9": (1360, 768),
    "21:9": (1552, 656),
    "2:3": (832, 1248),
    "3:4": (880, 1168),
    "9:16": (768, 1360),
}
"""Width and height at 1K. 2K doubles both."""

SOURCE_PIXELS = 50_000_000
"""A source with more pixels than this is refused before it is decoded."""


def pixel_size(resolution: str, aspect_ratio: str) -> tuple[int, int]:
    """Width and height in pixels. ValueError if either word is unknown."""
    factor = {"1K": 1, "2K": 2}.get(resolution.upper())
    if factor is None:
        raise ValueError(f"no such resolution: {resolution!r}")
    size = SIZES.get(aspect_ratio)
    if size is None:
        raise ValueError(f"no such aspect ratio: {aspect_ratio!r}")
    return size[0] * factor, size[1] * factor


def open_source(data: bytes, width: int, height: int) -> Image.Image:
    """Decode a source picture and cut it to fill width x height (RGB). ValueError if it cannot be decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
            if image.width * image.height > SOURCE_PIXELS:
                raise ValueError("the source picture has too many pixels")
            image.draft("RGB", (width, height))
            upright = ImageOps.exif_transpose(image)
            flat = _on_white(upright)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the source is not a picture that can be read: {error}") from error
    return ImageOps.fit(flat, (width, height), Image.Resampling.BICUBIC)


def _on_white(image: Image.Image) -> Image.Image:
    """Flatten transparency: what is see-through becomes paper."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    with_alpha = image.convert("RGBA")
    paper = Image.new("RGBA", with_alpha.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, with_alpha).convert("RGB")


def sign(image: Image.Image) -> None:
    """Write 'sandbox' small into the lower right corner, in place."""
    short = min(image.size)
    font = ImageFont.load_default(max(9.0, short * 0.0175))
    left, top, right, bottom = (round(edge) for edge in font.getbbox("sandbox"))
    pad = max(2, round(short * 0.006))
    margin = round(short * 0.014)
    width, height = right - left + 3 * pad, bottom - top + 2 * pad
    x, y = image.width - margin - width, image.height - margin - height
    plate = Image.new("L", (width * 2, height * 2), 0)
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, width * 2 - 1, height * 2 - 1), radius=height * 0.6, fill=104)
    image.paste((10, 12, 18), (x, y), plate.reduce(2))
    letters = Image.new("L", (width, height), 0)
    ImageDraw.Draw(letters).text((1.5 * pad - left, pad - top), "sandbox", fill=236, font=font)
    image.paste((255, 255, 255), (x, y), letters)


def encode(image: Image.Image, output_format: str) -> bytes:
    """The bytes of a PNG, JPEG or WebP file. ValueError for any other format."""
    file = io.BytesIO()
    match output_format.lower():
        case "png":
            # Level 1: painted grain hardly compresses, and the levels above cost seconds at 2K.
            image.save(file, "PNG", compress_level=1)
        case "jpeg" | "jpg":
            image.save(file, "JPEG", quality=90)
        case "webp":
            image.save(file, "WEBP", quality=88, method=1)
        case _:
            raise ValueError(f"no such output format: {output_format!r}")
    return file.getvalue()
