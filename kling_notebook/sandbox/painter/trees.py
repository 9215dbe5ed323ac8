"""Woods seen from near: a few drawn trees per row, set down many times in different sizes and tones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .canvas import Array, Canvas, mix
from .shapes import Frame, Part, disc, limb, mask_of, polygon

if TYPE_CHECKING:
    from collections.abc import Sequence

Sprite = tuple[Array, Array]
"""Mask of the whole tree and how light each spot is (0..1), both (h, w)."""


def _fir(rng: np.random.Generator) -> tuple[list[Part], list[Part]]:
    """A spruce: drooping tiers, none quite level. All of it, and its lit parts."""
    whole: list[Part] = [limb("all", 0.0, -0.02, 0.016, 0.0, 0.5, 0.012, 0.0, 0.99, 0.004)]
    lit: list[Part] = []
    tiers = int(rng.integers(9, 13))
    slim = rng.uniform(0.16, 0.23)
    for k in range(tiers):
        t = k / (tiers - 1)
        y, half = 0.08 + 0.82 * t, slim * (1 - t) ** 0.85 + 0.012
        for way in (-1, 1):
            reach = half * rng.uniform(0.78, 1.15)
            drop = rng.uniform(0.030, 0.060) * (1.2 - t)
            whole.append(
                polygon(
                    "all",
                    0.0,
                    y + 0.11 * (1.2 - t),
                    way * reach,
                    y - drop,
                    way * reach * 0.62,
                    y - drop * 0.4,
                    way * reach * 0.34,
                    y - drop * 1.1,
                    0.0,
                    y - 0.02,
                )
            )
            if way > 0:
                lit.append(polygon("lit", 0.0, y + 0.10 * (1.2 - t), reach * 0.96, y - drop, reach * 0.45, y + 0.005))
    return whole, lit


def _crown(rng: np.random.Generator) -> tuple[list[Part], list[Part]]:
    """A leafy tree: trunk, a heap of leaf clouds, light on the upper ones."""
    lean = rng.uniform(-0.03, 0.03)
    whole: list[Part] = [
        limb("all", 0.0, -0.02, 0.028, lean, 0.25, 0.018, lean, 0.5, 0.012),
        limb("all", lean, 0.28, 0.012, lean + 0.12, 0.5, 0.006),
        limb("all", lean, 0.24, 0.012, lean - 0.13, 0.46, 0.006),
    ]
    lit: list[Part] = []
    for _ in range(26):
        a, d = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        x, y = lean + 0.20 * d * np.cos(a), 0.66 + 0.25 * d * np.sin(a)
        r = rng.uniform(0.045, 0.095)
        whole.append(disc("all", x, y, r, r * 0.9))
        lit += [
            disc("lit", x + rng.uniform(-0.01, 0.05), y + rng.uniform(0.0, 0.055), r * 0.34, r * 0.26) for _ in range(3)
        ]
    return whole, lit


def sprites(rng: np.random.Generator, tall: float, *, leafy: bool, side: float, kinds: int = 3) -> list[Sprite]:
    """A few trees `tall` pixels high, their light on the side given (-1 left, 1 right)."""
    made = []
    for _ in range(kinds):
        whole, lit = (_crown if leafy else _fir)(rng)
        half = 0.36 if leafy else 0.28
        size = (max(4, int(2 * half * tall)), max(6, int(1.04 * tall)))
        frame = Frame(tall, size[0] / 2, size[1] - 0.02 * tall, side)
        mask = mask_of(whole, size, frame)
        made.append((mask, mask_of(lit, size, frame)))
    return made


def stand(
    c: Canvas,
    rng: np.random.Generator,
    foot: Array,
    tones: Sequence[Array],
    *,
    tall: float,
    crowd: float,
    leafy: bool,
    spots: Sequence[float] | None = None,
) -> None:
    """Set a row of trees, `tall` pixels high, on the line `foot`; `crowd` of them per height, in any of `tones`.

    `spots` names their places instead (fractions of the width).
    """
    kinds = sprites(rng, tall, leafy=leafy, side=c.side())
    count = max(3, int(c.width / tall * crowd))
    places = (np.arange(count) + rng.uniform(-0.4, 1.4, count)) / count if spots is None else np.asarray(spots)
    for place in rng.permutation(places):
        mask, lit = kinds[int(rng.integers(len(kinds)))]
        scale = rng.uniform(0.62, 1.08)
        size = (max(3, int(mask.shape[1] * scale)), max(4, int(mask.shape[0] * scale)))
        x = place * c.width
        ground = float(foot[int(np.clip(x, 0, c.width - 1))])
        x0, y0 = int(x - size[0] / 2), int(ground - size[1])
        rows, columns = slice(max(0, y0), min(c.height, y0 + size[1])), slice(max(0, x0), min(c.width, x0 + size[0]))
        if rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        cut = (slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0))
        body, bright = (
            np.asarray(Image.fromarray(m).resize(size, Image.Resampling.BILINEAR))[cut] for m in (mask, lit)
        )
        tone = tones[int(rng.integers(len(tones)))]
        dark, light = tone * np.float32(0.80), mix(tone, tone * np.float32(1.35) + np.float32(0.02), 0.9)
        c.lay(rows, body, dark + (light - dark) * bright[..., None], columns)
