"""Sun, moon and planets, and the glow around what shines."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas, enlarge, mix, step
from .illustrations import render_drawing
from .shadows import lay_sheet


def _shows_body(c: Canvas) -> str | None:
    """Which of sun, moon, crescent is in the sky."""
    scene = c.scene
    asked = next((name for name in ("crescent", "moon", "sun") if name in scene.sky), None)
    if asked == "sun" or (asked and "moon" not in scene.unwanted):
        return asked
    if scene.weather & {"storm", "rain", "snowfall"} or "overcast" in scene.sky:
        return None
    if "synthwave" in scene.styles and "sun" not in scene.unwanted:
        return "sun"
    usual = "moon" if scene.time in {"night", "blue"} else "sun"
    if usual in scene.unwanted or scene.time in {"blue", "noon", "dusk"}:
        return None
    return None if usual == "moon" and {"milkyway", "aurora", "meteor", "planet"} & scene.sky else usual


def paint_glow(c: Canvas) -> None:
    """The brightening of the air around the light, wide and soft."""
    strength = c.light.glow
    if "synthwave" in c.scene.styles or (_shows_body(c) is None and c.scene.time in {"night", "noon"}):
        return
    if "sun" in c.scene.unwanted:
        strength *= 0.5
    y, x = np.mgrid[0 : c.height // 4 + 1, 0 : c.width // 4 + 1].astype(np.float32) * 4
    dx, dy = (x - np.float32(c.sun[0])) / c.unit, (y - np.float32(c.sun[1])) / c.unit
    wide = np.exp(-(dx * dx * 1.1 + dy * dy * 2.6) / 0.16) * np.float32(0.55 * strength)
    near = np.exp(-np.hypot(dx, dy) / 0.075) * np.float32(0.5 * strength)
    c.add(slice(None), enlarge(wide + near, c.width, c.height), mix(c.light.sun, c.light.horizon, 0.3))


def paint_body(c: Canvas) -> None:
    """The sun, the moon, or neither."""
    name = _shows_body(c)
    if name == "sun":
        _sun(c)
    elif name:
        _moon(c, full=name == "moon")


def _sun(c: Canvas) -> None:
    low, synthwave = c.light.height < 0.25, "synthwave" in c.scene.styles
    radius = c.unit * (0.050 if low else 0.042) * (1.35 if "sun" in c.scene.sky else 1.0)
    radius = 0.23 * c.unit if synthwave else radius
    rows, columns, dx, dy = c.around(c.sun, (6 * radius, 6 * radius))
    away = np.hypot(dx, dy)
    halo = np.clip(np.exp(-np.maximum(away - radius, 0) / (radius * 1.2)) - 0.016, 0, 1)
    c.add(rows, halo * np.float32(0.6), c.light.sun, columns)
    if low and not synthwave:  # a low sun has no hard edge: its light spills over it
        c.add(rows, np.exp(-((away / (radius * 1.5)) ** 2)) * np.float32(0.7), (1.0, 0.93, 0.72), columns)
    disc = np.clip(radius - away + 0.5, 0, 1) * (0.55 if "fog" in c.scene.weather else 1.0)
    face: Array = mix(c.light.sun, (1, 1, 0.96), 0.55)
    if c.scene.body_tint is not None:
        face = np.asarray(c.scene.body_tint, np.float32)
    if synthwave:  # stripes that widen downward
        t = dy / np.float32(radius)
        disc = disc * ((np.sin(t * 22) <= 0.55 - 0.75 * np.clip(t, 0, 1)) | (t <= -0.1))
        share = np.clip(t * 0.5 + 0.5, 0, 1)[..., None]
        face = np.array((1.0, 0.95, 0.45)) * (1 - share) + np.array((1.0, 0.35, 0.55)) * share
    c.lay(rows, disc, face, columns)


def _moon(c: Canvas, *, full: bool) -> None:
    rng = c.rng("moon")
    radius = c.unit * (0.085 if {"moon", "crescent"} & c.scene.sky else 0.055)
    rows, columns, dx, dy = c.around(c.sun, (6 * radius, 6 * radius))
    away = np.hypot(dx, dy)
    halo = np.exp(-np.maximum(away - radius, 0) / (radius * 1.1)) * np.float32(0.34 if full else 0.22)
    c.add(rows, halo, (0.72, 0.82, 1.0), columns)
    span = (away.shape[0] / c.unit, away.shape[1] / c.unit)
    seas = step(0.05, 1.1, c.fbm(rng, 0.16 / (radius / c.unit) * 1.6, 4, size=away.shape, span=span))
    rim = 0.12 * np.clip(away / radius, 0, 1) ** 3
    face = np.array((0.98, 0.97, 0.91), np.float32) * ((1 - 0.2 * seas) * (1 - rim))[..., None]
    if c.scene.body_tint is not None:
        face = face * mix(c.scene.body_tint, (1, 1, 1), 0.15)
    disc = np.clip(radius - away + 0.5, 0, 1)
    if not full:
        shadow = np.hypot(dx + np.float32(0.5 * c.side() * radius), dy - np.float32(0.18 * radius))
        disc = disc * np.clip(shadow - radius * 0.92 + 0.5, 0, 1)
    c.lay(rows, disc, face, columns)


def paint_planet(c: Canvas, name: str, size: float, across: float, down: float) -> None:
    """A planet of the published set: its height in units, its middle in fractions of the canvas, shaded by the sun."""
    pixels, alpha = render_drawing(name, round(size * c.unit))
    h, w = alpha.shape
    shade = np.clip(0.62 + 0.55 * c.side() * np.linspace(-1, 1, w, dtype=np.float32), 0.12, 1)[None, :, None]
    lay_sheet(c, (round(across * c.width - w / 2), round(down * c.height - h / 2)), alpha, pixels * shade)
