"""From a prompt to an image: the order in which things are done."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from .encode import open_source, sign


def render(
    prompt: str,
    width: int,
    height: int,
    *,
    negative_prompt: str | None = None,
    index: int = 0,
    seed: int = 0,
    source: bytes | None = None,
) -> Image.Image:
    """Paint `prompt` at width x height (RGB), signed."""
    text = repr((prompt.lower().split(), (negative_prompt or "").lower().split(), seed, index))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "little"))
    top, middle, bottom = rng.uniform(20, 235, (3, 3)).astype(np.float32)
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    column = np.where(t < 0.5, top + (middle - top) * t * 2, middle + (bottom - middle) * (t * 2 - 1))
    pixels = np.broadcast_to(column[:, None, :], (height, width, 3))
    image = Image.fromarray(pixels.astype(np.uint8))
    if source is not None:
        image = Image.blend(open_source(source, width, height), image, 0.35)
    sign(image)
    return image
