"""From a prompt to an image: the order in which things are done."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .canvas import Canvas
from .encode import sign
from .light import light_of
from .places import paint_place
from .scene import compose


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
    scene = compose(prompt, negative_prompt, index=index, seed=seed)
    canvas = Canvas(width, height, scene, light_of(scene))
    paint_place(canvas)
    image = finish(canvas)
    sign(image)
    return image


def finish(c: Canvas) -> Image.Image:
    """Float pixels to an 8-bit image."""
    return Image.fromarray((np.clip(c.pixels, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8))
