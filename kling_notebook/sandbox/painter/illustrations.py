"""Common things from a published set: Noto Emoji by Google (Apache-2.0, NOTO-EMOJI-LICENSE.txt).

`illustrations.zip` is made by tests/sandbox/make_illustrations.py, which also describes its format: filled contours,
so that a drawing is sharp at every size. Pillow fills them; light, shadow and style are the painter's own.
"""

from __future__ import annotations

import colorsys
import functools
from typing import TYPE_CHECKING, Any

from .catalog import read

if TYPE_CHECKING:
    from PIL import Image

    from .canvas import Array
    from .scene import RGB

SHEET = 2560
"""Width and height of a drawing in its own units."""


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


def render_drawing(name: str, height: int, *, colour: RGB | None = None, mirror: bool = False) -> tuple[Array, Array]:
    """The drawing at so many pixels of height, cut to its outline: colour (h, w, 3) and alpha (h, w) in 0..1."""
    import numpy as np
    from PIL import Image

    left, top, right, bottom = bounds(name)
    fine = 2 if height < 900 else 1
    scale = fine * height / max(bottom - top, 1.0)
    size = (max(fine, round((right - left) * scale)), max(fine, round((bottom - top) * scale)))
    sheet, alpha = Image.new("RGB", size), Image.new("L", size)
    layers = _layers(name)
    shift = _recolouring(layers, colour) if colour is not None else None
    for paint, opacity, rings in layers:
        scaled = [(ring - (left, top)) * scale for ring in rings]
        _fill(sheet, alpha, (paint, opacity, shift), scaled, (left, top, scale))
    if fine > 1:
        sheet, alpha = sheet.reduce(fine), alpha.reduce(fine)
    cover = np.asarray(alpha, np.float32) * np.float32(1 / 255)
    pixels = np.asarray(sheet, np.float32) * np.float32(1 / 255)
    pixels /= np.maximum(cover, np.float32(1 / 64))[..., None]  # painted on black: premultiplied
    if mirror:
        pixels, cover = pixels[:, ::-1], cover[:, ::-1]
    return np.clip(pixels, 0, 1), np.ascontiguousarray(cover)


def _fill(
    sheet: Image.Image, alpha: Image.Image, look: tuple[Any, float, Any], rings: list[Array],
    frame: tuple[float, float, float],
) -> None:  # fmt: skip
    """Fill one layer's contours; holes follow the contours they lie in, and so are taken out again."""
    import numpy as np
    from PIL import Image, ImageDraw

    paint, opacity, shift = look
    every = np.concatenate(rings)
    x0, y0 = (max(0, int(v)) for v in every.min(axis=0))
    x1, y1 = (min(size, int(v) + 2) for v, size in zip(every.max(axis=0), sheet.size, strict=True))
    if x1 <= x0 or y1 <= y0:
        return
    mask = Image.new("L", (x1 - x0, y1 - y0))
    pen = ImageDraw.Draw(mask)
    outer = _turn(rings[0])
    for ring in rings:
        pen.polygon([(x - x0, y - y0) for x, y in ring.tolist()], fill=255 if _turn(ring) == outer else 0)
    if isinstance(paint, str):
        colour: Any = _bytes(paint, shift)
        if opacity < 1:
            mask = mask.point(lambda v: round(v * opacity))
    else:
        colour, cover = _gradient(paint, (x0, y0, x1, y1), frame, shift)
        if opacity < 1 or cover is not None:
            share = np.float32(opacity) * (np.float32(1) if cover is None else cover)
            mask = Image.fromarray((np.asarray(mask, np.float32) * share).astype(np.uint8))
    sheet.paste(colour, (x0, y0, x1, y1), mask)
    alpha.paste(255, (x0, y0, x1, y1), mask)


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


def _rgb(code: str) -> RGB:
    return int(code[0:2], 16) / 255, int(code[2:4], 16) / 255, int(code[4:6], 16) / 255


def _bytes(code: str, shift: Any) -> tuple[int, int, int]:
    red, green, blue = shift(_rgb(code)) if shift else _rgb(code)
    return round(red * 255), round(green * 255), round(blue * 255)


def _recolouring(layers: list[tuple[Any, float, list[Array]]], colour: RGB) -> Any:
    """The change of colour that turns the drawing's main hue into `colour` and leaves its other hues alone."""
    weights: dict[int, float] = {}
    for paint, opacity, rings in layers:
        code = paint if isinstance(paint, str) else paint[1][len(paint[1]) // 2][1]
        hue, _, strength = colorsys.rgb_to_hls(*_rgb(code))
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
