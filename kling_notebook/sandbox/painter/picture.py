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
from .weather import drawn_rain, paint_weather

if TYPE_CHECKING:
    from PIL import Image

_CLEAN = frozenset(("pixel", "blueprint", "ink", "stitch", "glass", "pencil", "charcoal", "watercolour", "sumi"))
"""Styles with a ground of their own: no vignette over them."""
_SOFT = frozenset(("watercolour", "sumi", "oil", "impressionist", "pastel", "charcoal", "glass", "mosaic", "lowpoly"))
"""Styles without fine detail: they are painted smaller, and drawn out at the end."""
_SHARP = frozenset(("ink", "pencil", "blueprint", "woodblock", "comic", "poster", "pixel", "stitch", "neon"))
"""Styles with fine lines over a plain picture: only the picture below them is painted smaller, and only at 2K."""


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
    styles = set(scene.styles)
    soft, sharp = bool(styles) and styles <= _SOFT, bool(styles) and styles <= _SOFT | _SHARP
    share = _share(min(width, height), soft=soft, sharp=sharp)
    canvas = Canvas(round(width * share), round(height * share), scene, light_of(scene))
    _paint(canvas, source)
    if share < 1 and not soft:
        canvas = canvas.grown(width, height)
    apply_styles(canvas)
    if scene.drawn and not scene.abstract:
        drawn_rain(canvas)
    if share < 1 and soft:
        canvas = canvas.grown(width, height)
    finish(canvas, vignette=0.0 if _CLEAN & styles else 0.20, grain=0.0 if {"pixel", "blueprint"} & styles else 0.010)
    image = to_image(canvas.pixels)
    sign(image)
    return image


def _share(unit: int, *, soft: bool, sharp: bool) -> float:
    """How large the picture is painted, as a share of what is asked for: where nothing is lost, time is saved."""
    if soft and unit > 512:
        return 0.5 if unit > 1300 else 0.75
    return 0.5 if sharp and unit > 1300 else 1.0


def _paint(canvas: Canvas, source: bytes | None) -> None:
    """Everything but the style."""
    if source is not None:
        restyle(canvas, open_source(source, canvas.width, canvas.height))
    elif canvas.scene.abstract:
        paint_abstract(canvas)
        paint_weather(canvas)
        return
    else:
        paint_place(canvas)
        paint_subjects(canvas)
        paint_weather(canvas)
    grade(canvas)
