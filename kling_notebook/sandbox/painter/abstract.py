"""Abstract shapes, if they are asked for: one form for each word of the prompt, in five inks on paper."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Array, Canvas, blur, mix
from .catalog import rgb

_PALETTES = (
    ("f4ecdd", "1f2a44", "d9533b", "e9b44c", "2f7f79", "8fb7b3"),
    ("141726", "e8e1d0", "ef6f5b", "f3c26b", "4f6db8", "8c4f7d"),
    ("0f2b33", "f0e7d3", "e07a3f", "3fa796", "f4d06f", "9c3848"),
    ("e9eef2", "12355b", "d72638", "f49d37", "3f88c5", "a0b9c6"),
)
"""Ground, ink and four more."""


def paint_abstract(c: Canvas) -> None:
    """Ground, then one form per word, larger ones first."""
    words = list(c.scene.words[:14]) or ["quiet"]
    level = np.float32(0.45 + 0.55 * max(c.light.ambient)) if c.scene.time != "day" else np.float32(1)
    codes = _PALETTES[_number("".join(words)) % len(_PALETTES)]
    colours = [np.array(rgb(code), np.float32) * level for code in codes]
    for tint in c.scene.tints:
        colours = [mix(colour, tint, 0.4) if k % 2 else colour for k, colour in enumerate(colours)]
    c.pixels[:] = colours[0]
    rng = c.rng("abstract")
    count = max(5, min(9, len(words) + 3))
    for k in range(count):
        _form(c, rng, _number(f"{words[k % len(words)]} {k}"), k / count, colours)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "little")


def _form(c: Canvas, rng: np.random.Generator, n: int, share: float, colours: list[Array]) -> None:
    """The form of the number `n` on a golden spiral, at `share` of the way outward, with a soft shadow."""
    turn, reach = share * 21 + rng.uniform(-0.3, 0.3), 0.10 + 0.36 * math.sqrt(share)
    x, y = c.width * (0.5 + 0.9 * reach * math.cos(turn)), c.height * (0.5 + 0.9 * reach * math.sin(turn))
    r = c.unit * (0.29 - 0.20 * share) * rng.uniform(0.8, 1.15)
    sheet = Image.new("L", (c.width, c.height))
    draw = ImageDraw.Draw(sheet)
    if n % 2:
        draw.pieslice((x - r, y - r, x + r, y + r), n % 360, n % 360 + (180 if n % 4 == 1 else 360), fill=255)
    else:
        draw.regular_polygon((x, y, r), 3 + n % 3, n % 360, fill=255)
    mask = np.asarray(sheet, np.float32) / 255
    drop = round(c.unit * 0.016)
    c.lay(slice(None), blur(np.roll(mask, (drop, drop), (0, 1)), drop) * np.float32(0.3), colours[1] * np.float32(0.35))
    c.lay(slice(None), mask * np.float32(0.93), colours[1 + (n // 7) % 5])
