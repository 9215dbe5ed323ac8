"""Drawings as filled contours: Noto Emoji by Google (Apache-2.0, NOTO-EMOJI-LICENSE.txt), and our own figures.

`illustrations.zip` is made by tests/sandbox/make_illustrations.py, which also describes its format: filled contours,
so that a drawing is sharp at every size. Pillow fills them; light, shadow and style are the painter's own.
"""

from __future__ import annotations

import colorsys
import functools
from typing import TYPE_CHECKING, Any, TypeAlias

from .catalog import index, read, rgb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from .canvas import Array
    from .catalog import RGB

Spot: TypeAlias = tuple[slice, slice]
"""Rows and columns of a sheet."""


@functools.lru_cache(maxsize=32)
def _layers(name: str) -> list[tuple[Any, float, list[Array]]]:
    import numpy as np

    def points(ring: list[int]) -> Array:
        return np.cumsum(np.array(ring, np.int32).reshape(-1, 2), axis=0)

    return [(paint, opacity, [points(ring) for ring in rings]) for paint, opacity, rings in read(name)]


def bounds(name: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is drawn, in the drawing's units."""
    import numpy as np

    every = np.concatenate([ring for _, _, rings in _layers(name) for ring in rings])
    (left, top), (right, bottom) = every.min(axis=0), every.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def breadth(name: str) -> float:
    """Width of a drawing in its own heights, as it stands on its foot."""
    left, top, right, bottom = bounds(name)
    return (right - left) / max((bottom - top) * index()[name].foot[1], 1.0)


def render_drawing(name: str, height: int, *, colour: RGB | None = None, mirror: bool = False) -> tuple[Array, Array]:
    """The drawing at so many pixels of height, cut to its outline: colour (h, w, 3) and alpha (h, w) in 0..1."""
    import numpy as np
    from PIL import Image

    fine = 2 if height < 900 else 1
    size, frame = _frame(name, fine * height)
    sheet, alpha = Image.new("RGB", size), Image.new("L", size)
    layers = _layers(name)
    shift = _recolouring(layers, colour) if colour is not None else None
    for paint, opacity, scaled, box in _scaled(layers, size, frame):
        x0, y0, x1, y1 = box
        mask = _filled(scaled, box, 1)
        fill: Any = _bytes(paint, shift) if isinstance(paint, str) else None
        cover = None
        if fill is None:
            fill, cover = _gradient(paint, box, frame, shift)
        if opacity < 1 or cover is not None:
            share = np.float32(opacity) * (np.float32(1) if cover is None else cover)
            mask = Image.fromarray((np.asarray(mask, np.float32) * share).astype(np.uint8))
        sheet.paste(fill, (x0, y0, x1, y1), mask)
        alpha.paste(255, (x0, y0, x1, y1), mask)
    if fine > 1:
        sheet, alpha = sheet.reduce(fine), alpha.reduce(fine)
    cover = np.asarray(alpha, np.float32) * np.float32(1 / 255)
    pixels = np.asarray(sheet, np.float32) * np.float32(1 / 255)
    pixels /= np.maximum(cover, np.float32(1 / 64))[..., None]  # painted on black: premultiplied
    if mirror:
        pixels, cover = pixels[:, ::-1], cover[:, ::-1]
    return np.clip(pixels, 0, 1), np.ascontiguousarray(cover)


def outlines(name: str, height: int, *, mirror: bool) -> tuple[tuple[int, int], list[tuple[str, Spot, Array]]]:
    """A figure of our own at so many pixels of height: the sheet's size (h, w), and role, place and mask per layer."""
    import numpy as np

    (width, tall), frame = _frame(name, height)
    fine = 3 if max(width, tall) < 400 else 2
    found = []
    for paint, _, scaled, box in _scaled(_layers(name), (width, tall), frame):
        x0, y0, x1, y1 = box
        mask = np.asarray(_filled(scaled, box, fine), np.float32) / 255
        columns = slice(width - x1, width - x0) if mirror else slice(x0, x1)
        mask = np.ascontiguousarray(mask[:, ::-1]) if mirror else mask
        found.append((paint.removeprefix("@"), (slice(y0, y1), columns), mask))
    return (tall, width), found


def _frame(name: str, height: int) -> tuple[tuple[int, int], tuple[float, float, float]]:
    """Width and height in pixels, and what maps the drawing's units onto them: left, top, pixels per unit."""
    left, top, right, bottom = bounds(name)
    scale = height / max(bottom - top, 1.0)
    return (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))), (left, top, scale)


def _scaled(layers: Any, size: tuple[int, int], frame: tuple[float, float, float]) -> Iterator[tuple[Any, ...]]:
    """Paint, opacity, contours in pixels, and the pixels they touch (left, top, right, bottom), layer by layer."""
    for paint, opacity, rings in layers:
        scaled = [(ring - frame[:2]) * frame[2] for ring in rings]
        corners = [(ring.min(axis=0), ring.max(axis=0)) for ring in scaled]
        x0, y0 = (max(0, int(min(low[k] for low, _ in corners))) for k in (0, 1))
        x1, y1 = (min(size[k], int(max(high[k] for _, high in corners)) + 2) for k in (0, 1))
        if x1 > x0 and y1 > y0:
            yield paint, opacity, scaled, (x0, y0, x1, y1)


def _filled(rings: list[Array], box: tuple[int, int, int, int], fine: int) -> Image.Image:
    """The contours' mask; holes follow the contours they lie in, and so are taken out again."""
    from PIL import Image, ImageDraw

    x0, y0, x1, y1 = box
    mask = Image.new("L", ((x1 - x0) * fine, (y1 - y0) * fine))
    pen = ImageDraw.Draw(mask)
    outer = _turn(rings[0])
    for ring in rings:
        points = [((x - x0) * fine, (y - y0) * fine) for x, y in ring.tolist()]
        pen.polygon(points, fill=255 if _turn(ring) == outer else 0)
    return mask.reduce(fine) if fine > 1 else mask


def _turn(ring: Array) -> bool:
    """Which way round a contour runs."""
    x, y = ring.T
    return bool((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() + x[-1] * y[0] - x[0] * y[-1] > 0)


def _gradient(
    paint: Any, box: tuple[int, int, int, int], frame: tuple[float, float, float], shift: Any
) -> tuple[Image.Image, Array | None]:
    """A box of a linear or radial gradient, and its alpha if it is not opaque."""
    import numpy as np
    from PIL import Image

    (numbers, stops), (x0, y0, x1, y1), (left, top, scale) = paint, box, frame
    # The archive's gradients are in pixels of the original, 20 units each.
    x = ((np.arange(x0, x1, dtype=np.float32)[None, :] + 0.5) / scale + left) / 20
    y = ((np.arange(y0, y1, dtype=np.float32)[:, None] + 0.5) / scale + top) / 20
    rows = [np.float32(a) * x + np.float32(b) * y + np.float32(c) for a, b, c in zip(*[iter(numbers)] * 3, strict=True)]
    t = rows[0] if len(rows) == 1 else np.hypot(*rows)
    at = (np.clip(t, 0, 1) * 255).astype(np.uint8)
    where = [stop[0] for stop in stops]
    colours = np.array([_bytes(stop[1], shift) for stop in stops], np.float32)
    steps = np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, where, colours[:, k]) for k in range(3)], -1).astype(np.uint8)
    cover = None
    if any(stop[2] < 1 for stop in stops):
        cover = np.interp(steps, where, [stop[2] for stop in stops]).astype(np.float32)[at]
    return Image.fromarray(table[at]), cover


def _bytes(code: str, shift: Any) -> tuple[int, int, int]:
    red, green, blue = shift(rgb(code)) if shift else rgb(code)
    return round(red * 255), round(green * 255), round(blue * 255)


def _recolouring(layers: list[tuple[Any, float, list[Array]]], colour: RGB) -> Any:
    """The change of colour that turns the drawing's main hue into `colour` and leaves its other hues alone."""
    weights: dict[int, float] = {}
    for paint, opacity, rings in layers:
        code = paint if isinstance(paint, str) else paint[1][len(paint[1]) // 2][1]
        hue, _, strength = colorsys.rgb_to_hls(*rgb(code))
        key = round(hue * 12) % 12 if strength > 0.25 else -1
        area = float((rings[0].max(axis=0) - rings[0].min(axis=0)).prod())
        weights[key] = weights.get(key, 0.0) + area * opacity * (1.0 if key >= 0 else 0.35)
    main = max(weights, key=lambda key: weights[key])
    new_hue, new_light, new_strength = colorsys.rgb_to_hls(*colour)

    def change(old: RGB) -> RGB:
        hue, light, strength = colorsys.rgb_to_hls(*old)
        belongs = strength <= 0.25 if main < 0 else strength > 0.15 and abs((hue * 12 - main + 6) % 12 - 6) < 1.3
        if not belongs or (main < 0 and light < 0.22):
            return old
        level = new_light + (light - 0.5) * (0.55 if 0.12 < new_light < 0.9 else 0.3)
        return colorsys.hls_to_rgb(new_hue, min(max(level, 0.03), 0.98), new_strength)

    return change
