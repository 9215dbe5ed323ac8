"""From a prompt to an image: the order in which things are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .abstract import paint_abstract
from .brush import to_image
from .canvas import Canvas
from .encode import open_source, sign
from .grade import finish, grade
from .lettering import paint_badge, paint_card, paint_lettering
from .light import light_of
from .places import paint_place
from .restyle import restyle
from .scene import compose
from .styles import apply_styles
from .subjects import paint_subjects
from .weather import drawn_rain, paint_weather

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

_CLEAN = frozenset(("pixel", "blueprint", "ink", "pencil", "watercolour"))
"""Styles with a ground of their own: no vignette over them."""
_SHARES: Mapping[str, tuple[float, float, float, float]] = {
    **dict.fromkeys(("watercolour", "oil", "neon"), (0.75, 0.75, 0.5, 0.5)),
    **dict.fromkeys(("ink", "pencil", "blueprint", "comic", "poster"), (1.0, 1.0, 0.5, 0.75)),
    "pixel": (0.5, 1.0, 0.5, 1.0),
}
_USUAL = (1.0, 1.0, 0.75, 0.75)
"""How large a picture is painted, and then styled, as shares of its size: at 1K, then at 2K.

Where the style leaves no fine detail, none is painted. Nothing painted is as fine as a pixel at 2K.
"""


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
    painted, styled = _shares(scene.styles, min(width, height))
    canvas = Canvas(round(width * painted), round(height * painted), scene, light_of(scene))
    _paint(canvas, source)
    if styled > painted:
        canvas = canvas.grown(round(width * styled), round(height * styled))
    apply_styles(canvas)
    if scene.drawn and not scene.abstract and not scene.indoors:
        drawn_rain(canvas)
    if styled < 1:
        canvas = canvas.grown(width, height)
    finish(canvas, vignette=0.0 if _CLEAN & styles else 0.20, grain=0.0 if {"pixel", "blueprint"} & styles else 0.010)
    image = to_image(canvas.pixels)
    sign(image)
    return image


def _shares(styles: tuple[str, ...], unit: int) -> tuple[float, float]:
    """The shares for a picture in these styles: the most that any of them needs."""
    if unit <= 512:
        return 1.0, 1.0
    first = 2 if unit > 1300 else 0
    needed = [_SHARES.get(name, _USUAL)[first : first + 2] for name in styles or ("",)]
    return max(paint for paint, _ in needed), max(style for _, style in needed)


def _paint(canvas: Canvas, source: bytes | None) -> None:
    """Everything but the style."""
    if source is not None:
        restyle(canvas, open_source(source, canvas.width, canvas.height))
    elif canvas.scene.abstract:
        paint_abstract(canvas)
        paint_weather(canvas)
        return
    elif canvas.scene.view == "card":
        paint_card(canvas)
    else:
        (paint_badge if canvas.scene.view == "logo" else paint_place)(canvas)
        for paint in (paint_weather, paint_subjects) if canvas.scene.indoors else (paint_subjects, paint_weather):
            paint(canvas)
        paint_lettering(canvas)
    grade(canvas)
