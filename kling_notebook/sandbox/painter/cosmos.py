"""Outer space: nebulae, stars, planets."""

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


def deep_space(c: Canvas, *, grounded: bool) -> None:
    """A nebula among stars; with no ground below, a planet's limb and a ringed planet as well."""
    rng = c.rng("space")
    c.sun = (c.width * (0.22 if rng.random() < 0.5 else 0.78), c.height * 0.2)
    horizon, c.horizon = c.horizon, int(c.height * 1.6)
    c.pixels[:] = (0.012, 0.014, 0.035)
    _nebula(c, rng)
    if "stars" not in c.scene.unwanted:
        paint_stars(c, 1.5)
    if not grounded:
        _limb(c, rng)
    if {"moon", "crescent", "sun", "eclipse"} & c.scene.sky:
        c.sun = (c.width * (0.70 if c.sun[0] > c.width / 2 else 0.30), c.height * 0.30)
        paint_body(c)
    elif "planet" not in c.scene.unwanted:
        paint_planet(c, 0.20 if c.scene.subjects else 0.27, 0.27 if c.sun[0] < c.width / 2 else 0.73, 0.25)
    c.horizon = horizon


def _nebula(c: Canvas, rng: np.random.Generator) -> None:
    h, w = c.height // 3 + 1, c.width // 3 + 1
    low, middle, high = (np.array(k, np.float32) for k in _GASES[int(rng.integers(len(_GASES)))])
    warp = c.fbm(rng, 1.7, 4, size=(h, w))
    base = c.fbm(rng, 1.3, 6, size=(h, w), gain=0.58)
    y, x = np.mgrid[0:h, 0:w]
    shift = warp * np.float32(0.09 * c.unit / 3)
    rows = np.clip(y + shift, 0, h - 1).astype(np.intp)
    sideways = c.fbm(rng, 1.7, 4, size=(h, w)) * np.float32(0.09 * c.unit / 3)
    columns = np.clip(x + sideways, 0, w - 1).astype(np.intp)
    gas = base[rows, columns]
    lean = rng.uniform(-0.8, 0.8)
    u = (x - w / 2) * np.float32(3 / c.unit)
    v = (y - h / 2) * np.float32(3 / c.unit)
    band = np.exp(-((v - lean * u) ** 2) / 0.14)
    fine = c.fbm(rng, 5.0, 5, size=(h, w), gain=0.62)[rows, columns]
    amount = np.clip(step(-0.9, 2.1, gas + 0.35 * fine) * (0.10 + 0.90 * band), 0, 1)[..., None]
    glow = low * amount + middle * amount**2.2 * 0.62 + high * amount**5 * 0.75
    dust = step(0.0, 1.3, warp + 0.5 * fine)[..., None] * np.float32(0.62)
    c.pixels += enlarge((glow * (1 - dust)).astype(np.float32), c.width, c.height)


def _limb(c: Canvas, rng: np.random.Generator) -> None:
    """The curved edge of a world along the lower border, its air lit."""
    radius = 1.5 * c.unit
    cx, cy = c.width * 0.5 + c.side() * 0.25 * c.unit, c.height + radius - 0.20 * c.unit
    first = max(0, int(cy - radius - 0.2 * c.unit))
    dy = np.arange(first, c.height, dtype=np.float32)[:, None] - np.float32(cy)
    dx = np.arange(c.width, dtype=np.float32)[None, :] - np.float32(cx)
    out = (np.sqrt(dx * dx + dy * dy) - np.float32(radius)) / c.unit
    rows = slice(first, c.height)
    lit = np.clip(0.62 + c.side() * dx / c.unit * 0.75, 0.06, 1)
    c.add(rows, np.exp(-np.maximum(out, 0) / 0.026) * lit * np.float32(0.9), (0.35, 0.66, 1.0))
    inside = np.clip(0.5 - out * c.unit, 0, 1)
    span = ((c.height - first) / c.unit, c.width / c.unit)
    lands = c.fbm(rng, 2.6, 5, size=out.shape, span=span, wide=1.8)
    cloud = step(0.1, 1.5, c.fbm(rng, 3.4, 5, size=out.shape, span=span, wide=3))[..., None]
    ground = np.where(
        lands[..., None] > 0.35, np.array((0.22, 0.30, 0.20), np.float32), np.array((0.04, 0.16, 0.36), np.float32)
    )
    ground = ground + (np.array((0.9, 0.94, 1.0), np.float32) - ground) * cloud * np.float32(0.8)
    shade = (lit * np.clip(1.0 + out * 2.2, 0.25, 1))[..., None]
    rim = np.exp(np.minimum(out, 0) / 0.018)[..., None] * np.array((0.30, 0.55, 0.9), np.float32) * lit[..., None]
    c.lay(rows, inside, ground * shade + rim)


def moonscape(c: Canvas) -> None:
    """The ground of the moon under a black sky, the earth above it."""
    rng = c.rng("moonscape")
    c.sun = (c.width * (0.14 if rng.random() < 0.5 else 0.86), c.height * 0.2)
    c.pixels[:] = (0.008, 0.009, 0.016)
    paint_stars(c, 1.2)
    _earth(c)
    base = c.horizon
    for k in range(3):
        line = base + c.unit * (0.0, 0.05, 0.16)[k] - c.unit * (0.06, 0.035, 0.03)[k] * c.line(rng, 1.4 + k, 3, 0.4)
        first = max(0, int(line.min()))
        h = c.height - first
        if h < 4:
            continue
        bumps = c.fbm(rng, 5 - k, 5, size=(h, c.width), span=(h / c.unit * 2.2, c.width / c.unit), gain=0.50)
        down, across = np.gradient(bumps)
        tone = (
            0.40 + 0.05 * k + (across * np.float32(-c.side()) - down * np.float32(0.25)) * np.float32(0.0046 * c.unit)
        )
        dust = np.clip(tone, 0.06, 0.95)[..., None] * np.array((0.98, 0.96, 0.93), np.float32)
        c.lay(slice(first, c.height), c.under(line.astype(np.float32), first, c.height), dust)
    _craters(c, rng)


def _craters(c: Canvas, rng: np.random.Generator) -> None:
    """Round hollows, flat with distance: a dark inner wall toward the sun, a bright rim away from it."""
    for t in np.sort(rng.random(26) ** 0.8):
        x, y = rng.random() * c.width, c.horizon + c.unit * 0.06 + t * (c.height - c.horizon - 0.06 * c.unit)
        r = c.unit * rng.uniform(0.012, 0.075) * (0.25 + t)
        rows = slice(max(0, int(y - r)), min(c.height, int(y + r)))
        columns = slice(max(0, int(x - 2 * r)), min(c.width, int(x + 2 * r)))
        if rows.stop - rows.start < 2 or columns.stop - columns.start < 2:
            continue
        dy = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)) / np.float32(0.36 * r)
        dx = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(r)
        away = np.sqrt(dx * dx + dy * dy)
        inside, wall = step(1.0, 0.72, away), np.exp(-(((away - 1.0) / 0.16) ** 2))
        toward = np.clip(dx * np.float32(c.side()), -1, 1)
        block = c.pixels[rows, columns]
        shade = 0.42 * wall * np.clip(-toward + 0.3, 0, 1) - 0.5 * inside * np.clip(0.6 + toward, 0, 1)
        block *= (1 + shade)[..., None]


def _earth(c: Canvas) -> None:
    rng = c.rng("earth")
    r = 0.11 * c.unit
    x, y = c.width * (0.5 - 0.22 * c.side()), 0.24 * c.height
    rows = slice(max(0, int(y - 2 * r)), min(c.height, int(y + 2 * r)))
    columns = slice(max(0, int(x - 2 * r)), min(c.width, int(x + 2 * r)))
    dy = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)) / np.float32(r)
    dx = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(r)
    away = np.sqrt(dx * dx + dy * dy)
    shape, span = away.shape, (4.0, 4.0)
    land = step(0.2, 0.5, c.fbm(rng, 1.1, 5, size=shape, span=span))[..., None]
    cloud = step(0.2, 1.5, c.fbm(rng, 1.6, 5, size=shape, span=span, wide=2.4))[..., None]
    ball = np.array((0.05, 0.22, 0.55), np.float32) * (1 - land) + np.array((0.26, 0.36, 0.20), np.float32) * land
    ball = ball + (np.array((0.95, 0.97, 1.0), np.float32) - ball) * cloud
    lit = np.clip(0.42 + dx * np.float32(c.side()) * 0.85 - 0.2 * dy, 0.015, 1.05)[..., None]
    c.add(
        rows,
        np.exp(-np.maximum(away - 1, 0) / 0.10) * np.clip(lit[..., 0], 0, 1) * np.float32(0.5),
        (0.4, 0.7, 1.0),
        columns,
    )
    c.lay(rows, np.clip((1 - away) * r + 0.5, 0, 1), (ball * lit).astype(np.float32), columns)
