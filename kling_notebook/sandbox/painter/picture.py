"""From a prompt to an image: the order in which things are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .abstract import paint_abstract
from .brush import to_image
from .canvas import Canvas
from .encode import open_source, sign
from .grade import finish, grade
from .light import light_of
from .places import paint_place
from .restyle import restyle
from .scene import compose
from .styles import apply_styles
from .subjects import paint_subjects
from .weather import paint_weather

if TYPE_CHECKING:
    from PIL import Image

_CLEAN = frozenset(("pixel", "blueprint", "ink", "stitch", "glass", "pencil", "charcoal", "watercolour", "sumi"))
"""Styles with a ground of their own: no vignette over them."""


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
    if source is not None:
        restyle(canvas, open_source(source, width, height))
    elif scene.abstract:
        paint_abstract(canvas)
        paint_weather(canvas)
    else:
        paint_place(canvas)
        paint_subjects(canvas)
        paint_weather(canvas)
    if source is not None or not scene.abstract:
        grade(canvas)
    apply_styles(canvas)
    clean = bool(_CLEAN & set(scene.styles))
    finish(canvas, vignette=0.0 if clean else 0.20, grain=0.0 if "pixel" in scene.styles else 0.010)
    image = to_image(canvas.pixels)
    sign(image)
    return image
