"""A street between houses, looking along it: walls in perspective, windows, signs, and a road that mirrors them."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas, enlarge, mix
from .land import SNOW, snowy
from .town import lamplight

WIDE, EYE = 0.62, 0.20
"""Half the street's width and the height of the viewer's eye, in units at a distance of one."""


def street(c: Canvas) -> None:
    """Walls left and right of the vanishing point, the road between them. The sky is already there."""
    rng = c.rng("street view")
    c.horizon = int(0.60 * c.height)
    middle = c.width * (0.5 - 0.10 * c.side())
    q = 2 if c.unit > 1300 else 1  # at 2K every second pixel will do
    h, w = c.height // q, c.width // q
    dy = (np.arange(h, dtype=np.float32)[:, None] * q - np.float32(c.horizon)) / np.float32(c.unit)
    dx = (np.arange(w, dtype=np.float32)[None, :] * q - np.float32(middle)) / np.float32(c.unit)
    depth = np.broadcast_to(np.float32(WIDE) / np.maximum(np.abs(dx), np.float32(0.012)), (1, w))
    up = -dy * depth  # height above the eye of what the wall shows in this pixel
    block = np.floor(depth * 1.1 + np.float32(0.37) * (dx > 0)).astype(np.int32)[0] % 64
    side = (dx[0] > 0).astype(np.int32)
    tall = rng.uniform(0.55, 1.9, (2, 64)).astype(np.float32)[side, block]
    walls = (up > -EYE) & (up < tall[None, :])
    colour = _facades(c, rng, up, depth, (side, block, tall))
    picture = c.pixels if q == 1 else np.ascontiguousarray(c.pixels[::q, ::q][:h, :w])
    far = np.clip(1 - np.exp(-(depth - 0.6) * np.float32(0.16 + 0.1 * ("fog" in c.scene.weather))), 0, 0.96)[..., None]
    colour += (np.asarray(c.light.haze, np.float32) - colour) * far
    np.copyto(picture, colour, where=walls[..., None])
    _road(c, rng, picture, dy, dx)
    if q > 1:
        c.pixels = enlarge(picture, c.width, c.height).copy()


def _facades(c: Canvas, rng: np.random.Generator, up: Array, depth: Array, of: tuple[Array, Array, Array]) -> Array:
    """Colour of the walls, (h, w, 3). `of` is each column's side, house and its height."""
    side, block, tall = of
    tones = rng.uniform(0.24, 0.62, (2, 64, 1)) * rng.uniform(0.85, 1.15, (2, 64, 3)) * np.array((1.0, 0.93, 0.88))
    along = depth * np.float32(13.0)
    storey = up * np.float32(12.5)
    fine = np.clip(5.0 / (depth * depth), 0, 1)  # windows too small to be seen leave their average
    pane = (np.abs(along % 1 - 0.5) < 0.29) & (np.abs(storey % 1 - 0.45) < 0.31) & (up < tall[None, :] - 0.06)
    cell = (np.floor(along).astype(np.int32) * 131 + np.floor(storey).astype(np.int32) * 57 + side * 911) % 4096
    chance = rng.random(4096).astype(np.float32)[cell]
    lit = 0.5 * lamplight(c)
    on = (chance < lit).astype(np.float32)
    share = (pane * fine + (1 - fine) * np.float32(0.30)).astype(np.float32)
    wall = c.light.on(tones[side, block].astype(np.float32)) * np.float32(1.0 if lit < 0.2 else 0.8)
    toward = np.where((side == 0) == (c.side() > 0), 1.14, 0.72).astype(np.float32)
    colour = np.broadcast_to((wall * toward[:, None])[None], (*up.shape, 3)).copy()
    ledge = (np.abs(storey % 1 - 0.95) < 0.045).astype(np.float32) * fine
    colour *= (1 - 0.22 * ledge)[..., None]
    dark = mix(c.light.on((0.10, 0.13, 0.18)), c.light.middle, 0.30)
    colour += (dark - colour) * (share * (1 - on))[..., None]
    warm = np.array((1.0, 0.74, 0.40), np.float32) * (0.75 + 0.35 * (chance / max(lit, 0.01)))[..., None]
    colour += (np.minimum(warm, 1) - colour) * (share * on)[..., None]
    return colour


def _road(c: Canvas, rng: np.random.Generator, picture: Array, dy: Array, dx: Array) -> None:
    """Asphalt between pavements; where it is wet it mirrors what stands above it."""
    h, w = picture.shape[:2]
    first = int(np.searchsorted(dy[:, 0], 0.004))
    below = dy[first:]
    away = np.float32(EYE) / below
    lateral = dx * away
    floor = np.abs(lateral) < WIDE
    wet = 0.62 if c.scene.weather & {"rain", "storm"} else 0.46 if c.light.dark > 0.5 else 0.12
    q = h / c.height
    ripple = c.fbm(rng, 20, 3, size=(h - first, w), span=(0.6, w / h), wide=1.2) * np.float32(0.006)
    source = -(below - np.float32(2 * EYE / WIDE) * np.abs(dx) + ripple * (0.3 + 2.4 * below))
    rows = np.clip(source * np.float32(c.unit * q) + np.float32(c.horizon * q), 0, first).astype(np.intp)
    mirror = np.take(picture.reshape(-1, 3), rows * w + np.arange(w), axis=0)
    walk = np.abs(lateral) > 0.66 * WIDE
    asphalt = np.where(walk[..., None], np.float32(0.42), np.float32(0.20)) * np.array((1.0, 0.98, 0.98), np.float32)
    if snowy(c):
        asphalt = np.where(walk[..., None], np.asarray(SNOW, np.float32), np.float32(0.62))
    grain = c.fbm(rng, 46, 2, size=(h - first, w), span=(0.6, w / h), wide=2.0) * np.float32(0.022)
    colour = c.light.on((asphalt * (1 + grain[..., None])).astype(np.float32))
    dash = (np.abs(lateral) < 0.014) & ((away * 3.2) % 1 < 0.55)
    colour = np.where(dash[..., None], c.light.on((0.95, 0.90, 0.72)) + np.float32(0.05), colour)
    colour += (mirror - colour) * np.where(walk, np.float32(wet * 0.55), np.float32(wet))[..., None]
    far = np.clip(1 - np.exp(-(away - 0.5) * 0.14), 0, 0.95)[..., None]
    colour += (np.asarray(c.light.haze, np.float32) - colour) * far * np.float32(0.8)
    np.copyto(picture[first:], colour.astype(np.float32), where=floor[..., None])
