"""Woods seen from near: a few drawn trees per row, set down many times in different sizes and tones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .canvas import Array, Canvas, blur, lattice, mix, step
from .shapes import Frame, Part, disc, limb, mask_of, polygon

if TYPE_CHECKING:
    from collections.abc import Sequence

Sprite = tuple[Array, Array]
"""Mask of the whole tree and how light each spot is (0..1), both (h, w)."""


def _fir(rng: np.random.Generator) -> tuple[list[Part], list[Part]]:
    """A spruce: boughs in uneven whorls, drooping more the lower they grow. All of it, and its lit boughs."""
    whole: list[Part] = [limb("all", 0.0, -0.02, 0.015, 0.0, 0.5, 0.011, 0.0, 0.985, 0.003)]
    lit: list[Part] = []
    tiers = int(rng.integers(17, 23))
    slim = rng.uniform(0.15, 0.21)
    for k in range(tiers):
        t = k / (tiers - 1)
        y = 0.07 + 0.89 * t
        half = (slim * (1 - t) ** 0.80 + 0.008) * rng.uniform(0.86, 1.08)
        for way in (-1, 1):
            reach = way * half * rng.uniform(0.72, 1.12)
            drop = (0.020 + 0.045 * (1 - t)) * rng.uniform(0.7, 1.4)
            top, low = y + 0.052 * (1.3 - t), y - 0.012
            edge = [(0.0, top), (reach * 0.55, y + 0.004), (reach, y - drop), (reach * 0.84, y - drop * 0.92)]
            edge += [(reach * 0.74, y - drop * 1.25), (reach * 0.60, y - drop * 0.80), (reach * 0.46, y - drop * 1.15)]
            edge += [(reach * 0.30, y - drop * 0.66), (reach * 0.16, y - drop * 0.90), (0.0, low)]
            whole.append(polygon("all", *(v for point in edge for v in point)))
            if way > 0:
                tip = (0.0, top - 0.006, reach * 0.5, y + 0.002, reach * 0.97, y - drop, reach * 0.5, y - drop * 0.5)
                lit.append(polygon("lit", *tip))
    return whole, lit


def _crown(rng: np.random.Generator) -> tuple[list[Part], list[Part]]:
    """A leafy tree: trunk, a heap of leaf clouds, light on the upper ones."""
    lean = rng.uniform(-0.03, 0.03)
    whole: list[Part] = [
        limb("all", 0.0, -0.02, 0.028, lean, 0.25, 0.018, lean, 0.5, 0.012),
        limb("all", lean, 0.28, 0.012, lean + 0.12, 0.5, 0.006),
        limb("all", lean, 0.24, 0.012, lean - 0.13, 0.46, 0.006),
    ]
    crown: list[Part] = []
    for _ in range(24):
        a, d = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        x, y = lean + 0.20 * d * np.cos(a), 0.66 + 0.25 * d * np.sin(a)
        r = rng.uniform(0.050, 0.095)
        crown.append(disc("all", x, y, r, r * 0.9))
    return whole, crown


def leafed(rng: np.random.Generator, crown: Array, tall: float, side: float) -> Sprite:
    """Leaves instead of smooth discs: a ragged edge with gaps, and clumps lit from above and from the `side`."""
    h, w = crown.shape
    fine = lattice(rng, h / tall * 38, w / tall * 38, h, w) + 0.7 * lattice(rng, h / tall * 76, w / tall * 76, h, w)
    clumps = lattice(rng, h / tall * 11, w / tall * 11, h, w)
    swell = blur(crown, 0.045 * tall)
    ragged = step(0.42, 0.58, swell + np.float32(0.13) * fine + np.float32(0.10) * clumps)
    down, across = np.gradient(swell + np.float32(0.16) * clumps)
    lit = 0.42 + (down - across * np.float32(side)) * np.float32(0.055 * tall) + np.float32(0.20) * fine
    return ragged, np.clip(lit, 0, 1).astype(np.float32)


def sprites(rng: np.random.Generator, tall: float, *, leafy: bool, side: float, kinds: int = 3) -> list[Sprite]:
    """A few trees `tall` pixels high, their light on the side given (-1 left, 1 right)."""
    made = []
    for _ in range(kinds):
        whole, lit = (_crown if leafy else _fir)(rng)
        half = 0.36 if leafy else 0.28
        size = (max(4, int(2 * half * tall)), max(6, int(1.04 * tall)))
        frame = Frame(tall, size[0] / 2, size[1] - 0.02 * tall, side)
        mask, bright = mask_of(whole, size, frame), mask_of(lit, size, frame)
        if leafy:
            leaves, bright = leafed(rng, bright, tall, side)
            mask, bright = np.maximum(mask, leaves), bright * leaves
        made.append((mask, bright))
    return made


def _sized(kind: Sprite, scale: float) -> Sprite:
    mask, lit = kind
    size = (max(3, int(mask.shape[1] * scale)), max(4, int(mask.shape[0] * scale)))
    small = [np.asarray(Image.fromarray(m).resize(size, Image.Resampling.BILINEAR)) for m in (mask, lit)]
    return small[0], small[1]


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
    # A few sizes of each, drawn once: one tree is seen to be another's copy no sooner than two are alike in size.
    ready = [[_sized(kind, scale) for scale in (0.66, 0.78, 0.92, 1.06)] for kind in kinds]
    for place in rng.permutation(places):
        body, bright = ready[int(rng.integers(len(ready)))][int(rng.integers(4))]
        x = place * c.width
        ground = float(foot[int(np.clip(x, 0, c.width - 1))])
        x0, y0 = int(x - body.shape[1] / 2), int(ground - body.shape[0])
        rows = slice(max(0, y0), min(c.height, y0 + body.shape[0]))
        columns = slice(max(0, x0), min(c.width, x0 + body.shape[1]))
        if rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        cut = (slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0))
        tone = tones[int(rng.integers(len(tones)))]
        dark, light = tone * np.float32(0.80), mix(tone, tone * np.float32(1.35) + np.float32(0.02), 0.9)
        c.lay(rows, body[cut], dark + (light - dark) * bright[cut][..., None], columns)
