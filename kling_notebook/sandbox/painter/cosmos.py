"""Outer space: nebulae, stars, planets, and the ground of the moon."""

from __future__ import annotations

import numpy as np

from .bodies import paint_body, paint_planet
from .canvas import Canvas, enlarge, step
from .sky import paint_stars

_GASES = (
    ((0.16, 0.08, 0.36), (0.80, 0.24, 0.50), (1.0, 0.72, 0.50)),
    ((0.05, 0.14, 0.34), (0.14, 0.56, 0.72), (0.86, 0.60, 0.92)),
    ((0.22, 0.06, 0.18), (0.86, 0.36, 0.22), (0.40, 0.72, 0.86)),
)


def deep_space(c: Canvas) -> None:
    """A nebula among stars, and a ringed planet or the moon."""
    rng = c.rng("space")
    c.sun = (c.width * (0.22 if rng.random() < 0.5 else 0.78), c.height * 0.2)
    horizon, c.horizon = c.horizon, int(c.height * 1.6)
    c.pixels[:] = (0.012, 0.014, 0.035)
    _nebula(c, rng)
    if "stars" not in c.scene.unwanted:
        paint_stars(c, 1.5)
    if {"moon", "crescent", "sun"} & c.scene.sky:
        c.sun = (c.width * (0.70 if c.sun[0] > c.width / 2 else 0.30), c.height * 0.30)
        paint_body(c)
    elif "planet" not in c.scene.unwanted:
        across = 0.27 if c.sun[0] < c.width / 2 else 0.73
        paint_planet(c, "ringed-planet", 0.24 if c.scene.subjects else 0.32, across, 0.25)
    c.horizon = horizon


def _nebula(c: Canvas, rng: np.random.Generator) -> None:
    """Gas that glows along a band, bent by noise, with dust before it."""
    h, w = size = (c.height // 3 + 1, c.width // 3 + 1)
    low, middle, high = (np.array(k, np.float32) for k in _GASES[int(rng.integers(len(_GASES)))])
    warp = c.fbm(rng, 1.7, 4, size=size)
    y, x = np.mgrid[0:h, 0:w]
    reach = np.float32(0.09 * c.unit / 3)
    rows = np.clip(y + warp * reach, 0, h - 1).astype(np.intp)
    columns = np.clip(x + c.fbm(rng, 1.7, 4, size=size) * reach, 0, w - 1).astype(np.intp)
    gas, fine = (c.fbm(rng, cells, 5, size=size, gain=0.6)[rows, columns] for cells in (1.3, 5.0))
    u, v = (x - w / 2) * np.float32(3 / c.unit), (y - h / 2) * np.float32(3 / c.unit)
    band = np.exp(-((v - rng.uniform(-0.8, 0.8) * u) ** 2) / 0.14)
    amount = np.clip(step(-0.9, 2.1, gas + 0.35 * fine) * (0.10 + 0.90 * band), 0, 1)[..., None]
    glow = low * amount + middle * amount**2.2 * 0.62 + high * amount**5 * 0.75
    dust = step(0.0, 1.3, warp + 0.5 * fine)[..., None] * np.float32(0.62)
    c.pixels += enlarge((glow * (1 - dust)).astype(np.float32), c.width, c.height)


def moonscape(c: Canvas) -> None:
    """The ground of the moon under a black sky, the earth above it."""
    rng = c.rng("moonscape")
    c.sun = (c.width * (0.14 if rng.random() < 0.5 else 0.86), c.height * 0.2)
    c.pixels[:] = (0.008, 0.009, 0.016)
    paint_stars(c, 1.2)
    paint_planet(c, "globe-showing-europe-africa", 0.22, 0.5 - 0.22 * c.side(), 0.24)
    for k in range(3):
        line = c.horizon + c.unit * ((0.0, 0.05, 0.16)[k] - (0.06, 0.035, 0.03)[k] * c.line(rng, 1.4 + k, 3, 0.4))
        first = max(0, int(line.min()))
        h = c.height - first
        if h < 4:
            continue
        bumps = c.fbm(rng, 5 - k, 5, size=(h, c.width), span=(h / c.unit * 2.2, c.width / c.unit), gain=0.50)
        down, across = np.gradient(bumps)
        relief = (across * np.float32(-c.side()) - down * np.float32(0.25)) * np.float32(0.0046 * c.unit)
        dust = np.clip(0.40 + 0.05 * k + relief, 0.06, 0.95)[..., None] * np.array((0.98, 0.96, 0.93), np.float32)
        c.lay(slice(first, c.height), c.under(line.astype(np.float32), first, c.height), dust)
    _craters(c, rng)


def _craters(c: Canvas, rng: np.random.Generator) -> None:
    """Round hollows, flat with distance: a dark inner wall toward the sun, a bright rim away from it."""
    for t in np.sort(rng.random(26) ** 0.8):
        x, y = rng.random() * c.width, c.horizon + c.unit * 0.06 + t * (c.height - c.horizon - 0.06 * c.unit)
        r = c.unit * rng.uniform(0.012, 0.075) * (0.25 + t)
        rows, columns, dx, dy = c.around((x, y), (2 * r, r))
        away = np.hypot(dx / np.float32(r), dy / np.float32(0.36 * r))
        inside, wall = step(1.0, 0.72, away), np.exp(-(((away - 1.0) / 0.16) ** 2))
        toward = np.clip(dx / np.float32(r * c.side()), -1, 1)
        shade = 0.42 * wall * np.clip(0.3 - toward, 0, 1) - 0.5 * inside * np.clip(0.6 + toward, 0, 1)
        c.pixels[rows, columns] *= (1 + shade)[..., None]
