"""Colour after painting: tints the prompt names, moods, refused colours, and the last touch of a print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Array, Canvas, bands, luma, mix
from .vocabulary import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .catalog import RGB

_MOODS: Mapping[str, list[float]] = {name: [float(word) for word in words] for name, words in rows("grade").items()}


def grade(c: Canvas) -> None:
    """Apply every change of colour the scene asks for."""
    scene = c.scene
    if scene.tints:
        _tint(c, scene.tints)
    for *cast, colours, steepness, red, green, blue, share in (_MOODS[mood] for mood in scene.moods):
        c.pixels *= np.array(cast, np.float32)
        saturate(c.pixels, colours)
        contrast(c.pixels, steepness)
        c.pixels += (np.array((red, green, blue), np.float32) - c.pixels) * np.float32(share)
    for colour in scene.unwanted_colours:
        _drain(c, colour)


def _tint(c: Canvas, tints: tuple[RGB, ...]) -> None:
    """Lay one, two or three inks over the picture's lights and darks."""
    level = luma(c.pixels)
    low, high = np.quantile(level[::8, ::8], (0.06, 0.92))
    spread = (level - np.float32(low)) / np.float32(max(high - low, 0.15))
    level = np.clip(level * np.float32(0.2) + spread * np.float32(0.8), 0, 1)
    first, last = np.asarray(tints[0], np.float32), np.asarray(tints[-1], np.float32)
    stops = np.array((first * 0.16, first, last, mix(last, (1, 1, 1), 0.72)))
    at = (0.0, 0.32, 0.68, 1.0) if len(tints) > 1 else (0.0, 0.42, 0.42, 1.0)
    inked = np.stack([np.interp(level, at, stops[:, k]) for k in range(3)], -1).astype(np.float32)
    c.pixels += (inked - c.pixels) * np.float32(0.70)


def saturate(p: Array, amount: float) -> None:
    """More or less colour, in place."""
    for band in bands(p.shape[0]):
        part = p[band]
        grey = luma(part)[..., None]
        part -= grey
        part *= np.float32(amount)
        part += grey


def contrast(p: Array, amount: float) -> None:
    """Push away from middle grey, in place."""
    p -= np.float32(0.45)
    p *= np.float32(amount)
    p += np.float32(0.45)


def bloom(c: Canvas, amount: float) -> None:
    """Let bright parts spill softly over their surroundings."""
    small = Image.fromarray((np.clip(c.pixels[::4, ::4], 0, 1) * 255).astype(np.uint8))
    soft = small.filter(ImageFilter.GaussianBlur(max(1.0, c.unit / 110))).resize(
        (c.width, c.height), Image.Resampling.BILINEAR
    )
    light = np.asarray(soft, np.float32) / np.float32(255)
    c.pixels += light * (1 - np.clip(c.pixels, 0, 1)) * light * np.float32(amount)


def _drain(c: Canvas, colour: RGB) -> None:
    """Take one hue out: what looks like `colour` loses its colour."""
    target = np.asarray(colour, np.float32)
    axis = target - target.mean()
    length = float(np.linalg.norm(axis))
    if length < 0.05:
        c.pixels += (np.float32(0.5) - c.pixels) * np.float32(0.12)
        return
    axis /= np.float32(length)
    grey = c.pixels.mean(axis=-1, keepdims=True)
    chroma = c.pixels - grey
    along = np.clip(chroma @ axis, 0, None)[..., None]
    size = np.linalg.norm(chroma, axis=-1, keepdims=True) + np.float32(1e-4)
    share = np.clip(along / size * 1.6 - 0.5, 0, 1)
    c.pixels -= chroma * share * np.float32(0.92)


def finish(c: Canvas, *, vignette: float = 0.20, grain: float = 0.012) -> None:
    """Darken the corners a little, and lay on grain so that smooth skies do not band."""
    y = np.linspace(-1, 1, c.height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, c.width, dtype=np.float32)[None, :]
    tile = c.rng("grain").standard_normal((256, 256), dtype=np.float32) * np.float32(grain)
    across = np.tile(tile, (1, c.width // 256 + 1))[:, : c.width]
    for band in bands(c.height, 64):
        part, first = c.pixels[band], band.start % 256
        corner = np.clip((x * x + y[band] * y[band]) * np.float32(0.5), 0, 1)
        part *= (1 - np.float32(vignette) * corner * np.sqrt(corner))[..., None]
        part += across[first : first + part.shape[0], :, None]
