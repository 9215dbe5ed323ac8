"""Thumbnails made smaller or lighter: what keeps a saved notebook small when a page holds many of them."""

import io
import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# JPEG bytes that nine tiles may hold together; with base64 and the contact sheet the grid stays under 300 kB.
NINE_BYTES = 128_000


def open_image(data: bytes, side: int | None = None) -> "Image.Image | None":
    """The decoded JPEG in RGB, reduced to fit a square of ``side`` pixels; None if the bytes are not one."""
    from PIL import JpegImagePlugin

    try:
        # Not by Image.open, whose limit of pixels the user may have set for other images.
        image: Image.Image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        if side is not None:
            # Before the conversion, and with that gap: a JPEG is then decoded at the least size that does, much faster.
            image.thumbnail((side, side), reducing_gap=1.0)
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None


@lru_cache(maxsize=1024)
def smaller(jpeg: bytes, side: int, quality: int = 72) -> bytes:
    """The image as a JPEG that fits a square of ``side`` pixels; the bytes as they came if they are not an image."""
    return jpeg if (image := open_image(jpeg, side)) is None else encode(image, quality)


def encode(image: "Image.Image", quality: int) -> bytes:
    """JPEG bytes of an RGB image."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def fitting(image: "Image.Image", limit: int, steps: Sequence[tuple[float, int]]) -> bytes:
    """The image as a JPEG of at most ``limit`` bytes: the first of some (scale, quality) that fits, or the last."""
    data = b""
    for scale, same in groupby(steps, key=itemgetter(0)):
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        drawn = image if scale == 1.0 else image.resize(size)
        for _, quality in same:
            data = encode(drawn, quality)
            if len(data) <= limit:
                return data
    return data


def fit_byte_budget(jpegs: Sequence[bytes], *, beside: int = 0) -> list[bytes]:
    """The same images with a bound on their sum, which grows with the square root of their number.

    ``beside`` is the bytes of text that go with them. It counts for three quarters: base64 makes images a third
    longer, and not text.

    Most thumbnails are light enough and stay as they are; only those above their share are encoded again.
    """
    count = sum(1 for jpeg in jpegs if jpeg)
    # By the square root: a sweep of 36 images may weigh twice what nine do, not four times. At least a third of the
    # bound is left to the images, however long the prompts are.
    bound = (NINE_BYTES - min(beside * 3 // 4, NINE_BYTES * 2 // 3)) * max(1.0, math.sqrt(count / 9))
    return list(jpegs) if sum(map(len, jpegs)) <= bound else [within(jpeg, bound / count) for jpeg in jpegs]


# Smaller before coarser: on a page, tiles are shown at about 256 pixels.
_STEPS = ((384, 64), (320, 64), (256, 70), (224, 60), (176, 55), (128, 45), (96, 35))


@lru_cache(maxsize=1024)
def within(jpeg: bytes, limit: float, steps: tuple[tuple[int, int], ...] = _STEPS) -> bytes:
    """The image in at most about ``limit`` bytes: the first of some (pixels a side, quality) that fits, or the last."""
    best = jpeg
    for side, same in groupby(steps, key=itemgetter(0)):
        # Decoded and reduced once for all qualities of a size.
        if len(best) <= limit or (image := open_image(jpeg, side)) is None:
            break
        for _, quality in same:
            best = min(best, encode(image, quality), key=len)
            if len(best) <= limit:
                break
    return best
