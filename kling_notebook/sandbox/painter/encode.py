"""The ends of the pipe: pixel sizes, the source picture coming in, the corner mark and the file going out."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZES: Mapping[str, tuple[int, int]] = {
    "1:1": (1024, 1024), "3:2": (1248, 832), "4:3": (1168, 880), "16:9": (1360, 768), "21:9": (1552, 656),
    "2:3": (832, 1248), "3:4": (880, 1168), "9:16": (768, 1360),
}  # fmt: skip
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
            upright = ImageOps.exif_transpose(image).convert("RGBA")
            paper = Image.new("RGBA", upright.size, "white")
            flat = Image.alpha_composite(paper, upright).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the source is not a picture that can be read: {error}") from error
    return ImageOps.fit(flat, (width, height), Image.Resampling.BICUBIC)


def sign(image: Image.Image) -> None:
    """Write 'sandbox' small into the lower right corner, in place."""
    short = min(image.size)
    at = (image.width - 0.02 * short, image.height - 0.02 * short)
    font, edge = ImageFont.load_default(max(9.0, short * 0.0175)), round(short * 0.002)
    # A dark edge around white letters: they are to be read on snow as well as at night.
    draw = ImageDraw.Draw(image)
    draw.text(at, "sandbox", "white", font, anchor="rb", stroke_width=edge, stroke_fill=(58, 62, 70))


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
