"""High ground that stands alone: table rocks, a volcano. Ranges are in `alps`."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, blur, enlarge, mix, smooth_values, step
from .land import RED_ROCK, rock


def mesas(c: Canvas, base: float) -> None:
    """Flat-topped rocks in layers, with banded walls."""
    rng = c.rng("mesas")
    x = np.arange(c.width, dtype=np.float32)
    for k in range(3):
        distance = 0.80 - 0.30 * k
        foot = np.float32(base + 0.035 * c.unit * k)
        line, ragged = np.full(c.width, foot, np.float32), 0.05 * c.line(rng, 14, 4)
        for _ in range((5, 4, 2)[k]):
            centre, half = rng.uniform(-0.05, 1.05) * c.width, rng.uniform(0.035, 0.14) * c.unit * (0.8 + 0.2 * k)
            height = rng.uniform(0.10, 0.30) * c.unit * (0.75 + 0.18 * k)
            off = np.abs(x - np.float32(centre)) / np.float32(half) + ragged
            # A wall, a ledge below it, and the slope of what has fallen down.
            wall = 0.56 * np.clip((1.0 - off) * 8, 0, 1) + 0.12 * np.clip((1.28 - off) * 3.4, 0, 1)
            line = np.minimum(line, foot - np.float32(height) * (wall + 0.32 * np.clip((2.5 - off) / 1.5, 0, 1) ** 1.5))
        line = (line + 0.003 * c.unit * c.line(rng, 30, 3)).astype(np.float32)
        first, last = max(0, int(line.min())), min(c.height, int(base + 0.07 * c.unit))
        size = (last - first, c.width)
        rough = c.fbm(rng, 10, 4, size=size, span=(size[0] / c.unit, c.width / c.unit), wide=0.6)
        rows = np.arange(first, last, dtype=np.float32)[:, None] / c.unit
        tone = 0.52 + 0.20 * smooth_values(rng, np.clip((rows + 0.006 * rough) * 60, 0, 190)) + 0.17 * rough
        dim, bright = c.light.on((0.46, 0.20, 0.17), distance), c.light.on((0.92, 0.55, 0.35), distance)
        rock(c, line, last, (dim, bright, tone), distance)
        c.pixels[last:] = c.light.on(RED_ROCK, distance * 0.8)


def volcano(c: Canvas, base: float) -> None:
    """A cone with a lit crater, lava down its side and a plume."""
    rng = c.rng("volcano")
    x = np.arange(c.width, dtype=np.float32)
    centre = c.width * (0.5 - 0.12 * c.side())
    tall, crater = 0.36 * c.unit, 0.055 * c.unit
    off = np.maximum(np.abs(x - np.float32(centre)) - np.float32(crater), 0)
    line = (base - tall * np.exp(-off / (0.24 * c.unit)) + 0.006 * c.unit * c.line(rng, 12, 4)).astype(np.float32)
    peak, last = max(0, int(line.min())), min(c.height, int(base + 0.02 * c.unit))
    _plume(c, rng, centre, peak, crater)
    size = (last - peak, c.width)
    streaks = c.fbm(rng, 11, 4, size=size, span=(0.4 * size[0] / c.unit, c.width / c.unit), gain=0.6)
    facing = np.clip(0.5 + c.side() * (x - np.float32(centre)) / (0.3 * c.unit), 0, 1)[None, :]
    stone = c.scene.place_tint or (0.34, 0.28, 0.28)
    dim, bright = (c.light.on(mix(stone, *by), 0.28) for by in (((0.10, 0.13, 0.25), 0.6), ((1, 0.95, 0.88), 0.25)))
    rock(c, line, last, (dim, bright, 0.25 + 0.5 * facing + 0.16 * streaks), 0.28)
    c.pixels[last:] = c.light.on((0.24, 0.20, 0.20), 0.4)
    rows = np.arange(peak, last, dtype=np.float32)[:, None]
    t = (rows - peak) / tall
    glow = np.zeros(size, np.float32)
    for k in range(3):
        path = centre + (k - 1) * crater * 0.8 + c.unit * (k - 0.9) * 0.11 * t
        path = path + 0.012 * c.unit * smooth_values(rng, t[:, 0] * 9)[:, None]
        away = (x[None, :] - path) / (c.unit * (0.009 - 0.003 * t))
        glow += np.exp(-(away**2)) * np.clip(1.15 - t * (1.2 + 0.3 * k), 0, 1)
    c.add(slice(peak, last), blur(glow, 0.02 * c.unit) * np.float32(0.9), (1.0, 0.26, 0.05))
    inside = np.clip(rows - line[None, :], 0, 1)
    c.lay(slice(peak, last), np.clip(glow * 1.4, 0, 1) * inside, (1.0, 0.62, 0.18))


def _plume(c: Canvas, rng: np.random.Generator, centre: float, peak: float, crater: float) -> None:
    """Smoke that leans away from the sun, lit from below where it rises."""
    bottom = int(peak + 0.02 * c.unit)
    h, w = max(2, bottom // 2), c.width // 2
    noise = c.fbm(rng, 4.2, 5, size=(h, w), span=(bottom / c.unit, c.width / c.unit))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) * 2
    up = np.clip((peak - y) / c.unit, 0, None)
    away = (x - centre + c.side() * up * up * 0.55 * c.unit) / (crater * 0.8 + up * 0.30 * c.unit)
    body = np.exp(-(away**2)) * 1.3 + noise * 0.28 - 0.42
    tone = np.clip(0.5 + 0.3 * noise, 0, 1)[..., None]
    dark, pale = mix(c.light.shade, (0.1, 0.09, 0.1), 0.55), mix(c.light.cloud, (0.4, 0.36, 0.36), 0.5)
    smoke = dark + (pale - dark) * tone
    smoke += (np.clip(1 - up * 4.5, 0, 1) * step(0, 0.6, body))[..., None] * np.array((0.85, 0.25, 0.05), np.float32)
    mask = enlarge(step(0.0, 0.5, body) * np.float32(0.9), c.width, bottom)
    c.lay(slice(0, bottom), mask, enlarge(smoke.astype(np.float32), c.width, bottom))
