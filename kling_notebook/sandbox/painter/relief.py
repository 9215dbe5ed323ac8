"""How light falls on a figure that is only an outline: its edges turn away, its back is lit, its coat has a grain."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Array, Canvas, enlarge, lattice


def rounded(c: Canvas, mask: Array, radius: float) -> Array:
    """Shading of a body swelling inward from its outline, about 1, (h, w, 1). `radius` in pixels: how far it turns."""
    h, w = mask.shape
    q = max(1, min(4, int(radius / 4)))
    small = Image.fromarray((mask * 255).astype(np.uint8)).resize((max(2, w // q), max(2, h // q)))
    soft = np.asarray(small.filter(ImageFilter.GaussianBlur(max(0.8, radius / q))), np.float32) / 255
    if min(soft.shape) < 2:
        return np.ones((h, w, 1), np.float32)
    down, across = np.gradient(soft)
    turn = (down * np.float32(0.8) - across * np.float32(c.side())) * np.float32(radius / q)
    shade: Array = np.asarray(1 + np.clip(turn * np.float32(1.05), -0.42, 0.34), np.float32)
    return enlarge(shade, w, h)[..., None]


def coat(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Array:
    """Fur or feathers: fine strokes, longer than wide, about 1, (h, w, 1). `scale` is the figure's height in pixels."""
    h, w = shape[:2]
    total = lattice(rng, h / scale * 24, w / scale * 84, h, w)
    total = total + np.float32(0.7) * lattice(rng, h / scale * 9, w / scale * 14, h, w)
    return (1 + total * np.float32(0.045))[..., None]


def rim(c: Canvas, whole: Array) -> Array:
    """Light caught on the edge that faces the sun, (h, w, 1)."""
    reach = max(1, round(c.unit / 260))
    sideways = int(-c.side() * reach)
    h, w = whole.shape
    moved = np.pad(whole, reach)[0:h, reach - sideways : reach - sideways + w]
    strength = 0.42 * c.light.glow if c.light.dark < 0.5 else 0.26
    out: Array = (np.clip(whole - moved, 0, 1) * np.float32(strength))[..., None]
    return out
