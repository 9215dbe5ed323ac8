"""A branch close by, the world behind it out of focus."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .brush import to_image, to_pixels
from .canvas import Array, Canvas, mix
from .land import snowy

_NEEDLES = (0.20, 0.34, 0.27)
_LEAVES = {"autumn": (0.78, 0.36, 0.12), "spring": (0.96, 0.74, 0.80), "summer": (0.30, 0.50, 0.20)}


def out_of_focus(c: Canvas, amount: float = 0.016) -> None:
    """Blur what is painted so far, as a lens does that looks at something near."""
    small = to_image(c.pixels).resize((max(8, c.width // 4), max(8, c.height // 4)), Image.Resampling.BOX)
    soft = small.filter(ImageFilter.GaussianBlur(max(0.6, amount * c.unit / 4)))
    c.pixels = to_pixels(soft.resize((c.width, c.height), Image.Resampling.BICUBIC))


def branch(c: Canvas) -> None:
    """A branch from edge to edge. Leaves its upper edge as `c.shelf`."""
    out_of_focus(c)
    if not c.flat:
        _lights(c)
    rng = c.rng("branch")
    x = np.arange(c.width, dtype=np.float32) / c.width
    root = x if c.side() > 0 else 1 - x  # it grows from the side away from the light
    middle = c.height * (0.80 - 0.05 * root - 0.03 * np.sin(root * 3.0)) + 0.007 * c.unit * c.line(rng, 3.5, 3)
    half = c.unit * (0.034 - 0.020 * root) * (1 + 0.10 * c.line(rng, 7, 3))
    _twigs(c, rng, middle)
    first, last = max(0, int((middle - half).min()) - 2), min(c.height, int((middle + half).max()) + 3)
    across = (np.arange(first, last, dtype=np.float32)[:, None] - middle[None, :]) / half[None, :]
    span = ((last - first) / c.unit, c.width / c.unit)
    grain = c.fbm(rng, 60, 3, size=(last - first, c.width), span=span, wide=7, gain=0.7)
    lit = np.clip(0.52 - 0.52 * across + 0.16 * grain, 0, 1.2)[..., None]
    dark, bright = c.light.on((0.13, 0.09, 0.08)), c.light.on((0.50, 0.39, 0.31)) + np.float32(0.03)
    c.lay(slice(first, last), np.clip((1 - np.abs(across)) * half[None, :] + 0.5, 0, 1), dark + (bright - dark) * lit)
    c.shelf = (middle - 0.8 * half).astype(np.float32)
    cold = snowy(c) or any(item.name == "snowyowl" for item in c.scene.subjects)
    if cold and "snow" not in c.scene.unwanted:
        _snow_on(c, rng, c.shelf)


def _lights(c: Canvas) -> None:
    """Discs of light, as gaps between leaves become when they are out of focus."""
    rng = c.rng("bokeh")
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)
    for _ in range(int(26 * c.width / c.unit)):
        x, y = rng.random() * c.width, (0.10 + 0.62 * rng.random()) * c.height
        r = c.unit * rng.uniform(0.010, 0.034)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.uniform(30, 105)))
    glow = np.asarray(sheet.filter(ImageFilter.GaussianBlur(c.unit / 500)), np.float32) / 255
    c.add(slice(None), glow * np.float32(0.25 + 0.35 * c.light.glow), mix(c.light.sun, c.light.horizon, 0.4))


def _twigs(c: Canvas, rng: np.random.Generator, middle: Array) -> None:
    """Side shoots with leaves or needles, behind the branch; none where somebody sits."""
    wood, leaves = (Image.new("L", (c.width, c.height), 0) for _ in range(2))
    on_wood, on_leaves = ImageDraw.Draw(wood), ImageDraw.Draw(leaves)
    tone = _LEAVES.get(c.scene.season or "", _NEEDLES)
    way = 1 if c.side() > 0 else -1
    for share in (0.05, 0.12, 0.20, 0.29, 0.70, 0.78, 0.86, 0.94):
        x, angle = (share + rng.uniform(-0.03, 0.03)) * (c.width - 1), rng.uniform(-0.9, 0.9)
        y, long = float(middle[int(x)]), c.unit * rng.uniform(0.012, 0.028)
        for k in range(8):
            nx, ny = x + way * np.cos(angle) * long, y - np.sin(angle) * long
            on_wood.line((x, y, nx, ny), fill=255, width=max(1, round(c.unit / 110 * (1 - k / 10))))
            for turn in (-0.75, 0.75):
                reach = c.unit * rng.uniform(0.018, 0.032)
                ex, ey = nx + way * np.cos(angle + turn) * reach, ny - np.sin(angle + turn) * reach
                thick = 0.0024 if tone == _NEEDLES else 0.009
                on_leaves.line((nx, ny, ex, ey), fill=255, width=max(1, round(thick * c.unit)))
            x, y, angle = nx, ny, angle + rng.normal(0, 0.10)
    c.lay(slice(None), np.asarray(leaves, np.float32) / 255, c.light.on(tone) + np.float32(0.02))
    c.lay(slice(None), np.asarray(wood, np.float32) / 255, c.light.on((0.22, 0.16, 0.13)))


def _snow_on(c: Canvas, rng: np.random.Generator, line: Array) -> None:
    """Snow lying along a line, bluish at its foot."""
    thick = c.unit * np.clip(0.012 + 0.008 * c.line(rng, 6, 3), 0.002, 0.04)
    first, last = max(0, int((line - thick).min()) - 2), min(c.height, int(line.max() + 0.02 * c.unit))
    rows = np.arange(first, last, dtype=np.float32)[:, None]
    depth = (rows - (line - thick)[None, :]) / (thick + 0.008 * c.unit)[None, :]
    mask = np.clip(depth * 6, 0, 1) * np.clip((1 - depth) * 6, 0, 1)
    bright, blue = c.light.on((0.98, 0.99, 1.0)) * np.float32(1.06), c.light.on((0.66, 0.74, 0.88))
    c.lay(slice(first, last), mask, bright + (blue - bright) * np.clip(depth, 0, 1)[..., None])
