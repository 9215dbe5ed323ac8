"""Woods seen from near: a few drawn trees per row, set down many times in different sizes and tones; and a branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .brush import to_image, to_pixels
from .canvas import Array, Canvas, blur, lattice, mix, step

if TYPE_CHECKING:
    from collections.abc import Sequence

Sprite = tuple[Array, Array]
"""Mask of the whole tree and how light each spot is (0..1), both (h, w)."""
Outline: TypeAlias = "list[tuple[float, float]]"
"""Corners of a polygon: x from the trunk, y from the ground, in heights of the tree."""


def _fir(rng: np.random.Generator) -> tuple[list[Outline], list[Outline]]:
    """A spruce: boughs in uneven whorls, drooping more the lower they grow. All of it, and its lit boughs."""
    whole: list[Outline] = [[(-0.015, -0.02), (0.015, -0.02), (0.003, 0.985), (-0.003, 0.985)]]
    lit: list[Outline] = []
    tiers = int(rng.integers(17, 23))
    slim = rng.uniform(0.15, 0.21)
    for k in range(tiers):
        t = k / (tiers - 1)
        y = 0.07 + 0.89 * t
        half = (slim * (1 - t) ** 0.80 + 0.008) * rng.uniform(0.86, 1.08)
        for way in (-1, 1):
            reach = way * half * rng.uniform(0.72, 1.12)
            drop = (0.020 + 0.045 * (1 - t)) * rng.uniform(0.7, 1.4)
            top = y + 0.052 * (1.3 - t)
            # The lower edge is toothed, as twigs hang from a bough.
            teeth = ((0.84, 0.92), (0.74, 1.25), (0.60, 0.80), (0.46, 1.15), (0.30, 0.66), (0.16, 0.90))
            edge = [(0.0, top), (reach * 0.55, y + 0.004), (reach, y - drop)]
            edge += [(reach * along, y - drop * down) for along, down in teeth]
            whole.append([*edge, (0.0, y - 0.012)])
            if way > 0:
                lit.append([(0.0, top), (reach * 0.5, y + 0.002), (reach, y - drop), (reach * 0.5, y - drop * 0.5)])
    return whole, lit


def _crown(rng: np.random.Generator) -> tuple[list[Outline], list[Outline]]:
    """A leafy tree: trunk with two boughs, and the heap of leaf clouds over them."""
    lean = rng.uniform(-0.03, 0.03)
    whole: list[Outline] = [[(-0.028, -0.02), (0.028, -0.02), (lean + 0.012, 0.5), (lean - 0.012, 0.5)]]
    fork = [(lean - 0.01, 0.26), (lean + 0.01, 0.24)]
    whole += [[*fork, (lean + reach, 0.48), (lean + reach, 0.49)] for reach in (0.12, -0.13)]
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    crown = []
    for _ in range(24):
        a, d, r = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()), rng.uniform(0.050, 0.095)
        x, y = lean + 0.20 * d * np.cos(a), 0.66 + 0.25 * d * np.sin(a)
        crown.append([(x + r * np.cos(t), y + 0.9 * r * np.sin(t)) for t in turn])
    return whole, crown


def _mask(outlines: list[Outline], size: tuple[int, int], tall: float, side: float) -> Array:
    """What the outlines cover on a sheet of this width and height, the trunk in its middle."""
    sheet = Image.new("L", (size[0] * 2, size[1] * 2))
    draw = ImageDraw.Draw(sheet)
    for outline in outlines:
        draw.polygon([(size[0] + 2 * side * x * tall, 2 * (size[1] - (y + 0.02) * tall)) for x, y in outline], fill=255)
    return np.asarray(sheet.reduce(2), np.float32) / 255


def _leafed(rng: np.random.Generator, crown: Array, tall: float, side: float) -> Sprite:
    """Leaves instead of smooth discs: a ragged edge with gaps, and clumps lit from above and from the `side`."""
    h, w = crown.shape
    fine = lattice(rng, h / tall * 38, w / tall * 38, h, w) + 0.7 * lattice(rng, h / tall * 76, w / tall * 76, h, w)
    clumps = lattice(rng, h / tall * 11, w / tall * 11, h, w)
    swell = blur(crown, 0.045 * tall)
    ragged = step(0.42, 0.58, swell + np.float32(0.13) * fine + np.float32(0.10) * clumps)
    down, across = np.gradient(swell + np.float32(0.16) * clumps)
    lit = 0.42 + (down - across * np.float32(side)) * np.float32(0.055 * tall) + np.float32(0.20) * fine
    return ragged, np.clip(lit, 0, 1).astype(np.float32)


def _sprite(rng: np.random.Generator, tall: float, *, leafy: bool, side: float) -> Sprite:
    """A tree `tall` pixels high, its light on the side given (-1 left, 1 right)."""
    whole, lit = (_crown if leafy else _fir)(rng)
    size = (max(4, int((0.72 if leafy else 0.56) * tall)), max(6, int(1.04 * tall)))
    mask, bright = _mask(whole, size, tall, side), _mask(lit, size, tall, side)
    if not leafy:
        return mask, bright
    leaves, bright = _leafed(rng, bright, tall, side)
    return np.maximum(mask, leaves), bright * leaves


def _sized(kind: Sprite, scale: float) -> Sprite:
    size = (max(3, int(kind[0].shape[1] * scale)), max(4, int(kind[0].shape[0] * scale)))
    mask, lit = (np.asarray(Image.fromarray(m).resize(size, Image.Resampling.BILINEAR)) for m in kind)
    return mask, lit


def stand(
    c: Canvas, rng: np.random.Generator, foot: Array, tones: Sequence[Array], *, tall: float, leafy: bool,
    spots: Sequence[float],
) -> None:  # fmt: skip
    """Set trees up to `tall` pixels high on the line `foot` at `spots` (fractions of the width), in any of `tones`."""
    kinds = [_sprite(rng, tall, leafy=leafy, side=c.side()) for _ in range(3)]
    # A few sizes of each, drawn once: one tree is seen to be another's copy no sooner than two are alike in size.
    ready = [_sized(kind, scale) for kind in kinds for scale in (0.66, 0.78, 0.92, 1.06)]
    for place in rng.permutation(np.asarray(spots)):
        body, bright = ready[int(rng.integers(len(ready)))]
        x = place * c.width
        ground = float(foot[int(np.clip(x, 0, c.width - 1))])
        found = c.window((int(x - body.shape[1] / 2), int(ground - body.shape[0])), body.shape)
        if found is None:
            continue
        rows, columns, cut = found
        tone = tones[int(rng.integers(len(tones)))]
        dark, light = tone * np.float32(0.80), mix(tone, tone * np.float32(1.35) + np.float32(0.02), 0.9)
        c.lay(rows, body[cut], dark + (light - dark) * bright[cut][..., None], columns)


def out_of_focus(c: Canvas, amount: float = 0.016) -> None:
    """Blur what is painted so far, as a lens does that looks at something near."""
    small = to_image(c.pixels).resize((max(8, c.width // 4), max(8, c.height // 4)), Image.Resampling.BOX)
    soft = small.filter(ImageFilter.GaussianBlur(max(0.6, amount * c.unit / 4)))
    c.pixels = to_pixels(soft.resize((c.width, c.height), Image.Resampling.BICUBIC))


def branch(c: Canvas) -> None:
    """A branch from edge to edge. Leaves its upper edge as `c.shelf`."""
    out_of_focus(c)
    rng = c.rng("branch")
    x = np.arange(c.width, dtype=np.float32) / c.width
    root = x if c.side() > 0 else 1 - x  # it grows from the side away from the light
    middle = c.height * (0.80 - 0.05 * root - 0.03 * np.sin(root * 3.0)) + 0.007 * c.unit * c.line(rng, 3.5, 3)
    half = c.unit * (0.034 - 0.020 * root) * (1 + 0.10 * c.line(rng, 7, 3))
    first, last = max(0, int((middle - half).min()) - 2), min(c.height, int((middle + half).max()) + 3)
    across = (np.arange(first, last, dtype=np.float32)[:, None] - middle[None, :]) / half[None, :]
    span = ((last - first) / c.unit, c.width / c.unit)
    grain = c.fbm(rng, 60, 3, size=(last - first, c.width), span=span, wide=7, gain=0.7)
    lit = np.clip(0.52 - 0.52 * across + 0.16 * grain, 0, 1.2)[..., None]
    dark, bright = c.light.on((0.13, 0.09, 0.08)), c.light.on((0.50, 0.39, 0.31)) + np.float32(0.03)
    c.lay(slice(first, last), np.clip((1 - np.abs(across)) * half[None, :] + 0.5, 0, 1), dark + (bright - dark) * lit)
    c.shelf = (middle - 0.8 * half).astype(np.float32)
