"""Weather in front of everything: fog, rain, falling snow, leaves in the wind, lightning."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Array, Canvas, blur, enlarge, mix

_LEAVES = {
    "autumn": ((0.85, 0.40, 0.10), (0.72, 0.20, 0.10), (0.93, 0.66, 0.18)),
    "spring": ((0.98, 0.80, 0.86), (1.0, 0.90, 0.93), (0.95, 0.66, 0.76)),
}
"""Leaves or petals, by season."""


def paint_weather(c: Canvas) -> None:
    """Everything that falls or flies, over the finished scene; in a room, only outside its window."""
    weather, unwanted = c.scene.weather, c.scene.unwanted
    room = c.pixels.copy() if c.pane else c.pixels
    if "fog" in weather:
        _fog_bank(c, 0.62)
    if "storm" in weather and "lightning" not in unwanted:
        _lightning(c)
    if {"rain", "storm"} & weather and "rain" not in unwanted and not c.scene.drawn:
        _rain(c, 1.0 if "rain" in weather else 0.55)
    if "snowfall" in weather:
        _snow(c)
    if "wind" in weather or (c.scene.season in _LEAVES and "wind" not in unwanted):
        _leaves(c, 30 if "wind" in weather else 9)
    if c.pane:
        room[c.pane] = c.pixels[c.pane]
        c.pixels = room


def _fog_bank(c: Canvas, thickness: float) -> None:
    """Mist lying around the horizon, in wisps."""
    h, w = c.height // 3 + 1, c.width // 3 + 1
    wisps = c.fbm(c.rng("fog"), 1.5, 5, size=(h, w), wide=3.4)
    away = np.linspace(0, c.height / c.unit, h, dtype=np.float32)[:, None] - np.float32(c.horizon / c.unit + 0.04)
    lying = np.exp(-((away / 0.30) ** 2))
    mask = np.clip(lying * (0.62 + 0.30 * wisps), 0, 0.96) * np.float32(thickness)
    c.lay(slice(None), enlarge(mask, c.width, c.height), mix(c.light.haze, c.light.horizon, 0.45))


def _streaks(c: Canvas, rng: np.random.Generator, count: float, length: float, width: float) -> Array:
    """So many falling drops per square unit as slanting lines, their length and width in units: a mask."""
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)
    for _ in range(int(count * c.width * c.height / c.unit**2)):
        x, y = rng.uniform(-0.1, 1.1) * c.width, rng.uniform(-0.1, 1.0) * c.height
        reach = length * c.unit * rng.uniform(0.6, 1.2)
        draw.line((x, y, x - 0.2 * reach, y + reach), fill=255, width=max(1, round(width * c.unit)))
    return np.asarray(sheet, np.float32) / 255


def _rain(c: Canvas, amount: float) -> None:
    rng = c.rng("rain")
    tone = mix(c.light.haze, (0.92, 0.95, 1.0), 0.6)
    for count, length, width in ((520, 0.035, 0.001), (190, 0.075, 0.001), (50, 0.12, 0.002)):
        c.lay(slice(None), _streaks(c, rng, count * amount, length, width) * np.float32(0.28), tone)
    veil = np.linspace(0.0, 0.16, c.height, dtype=np.float32)[:, None] * np.float32(amount)
    c.lay(slice(None), np.broadcast_to(veil, (c.height, c.width)), c.light.haze)


def drawn_rain(c: Canvas) -> None:
    """Rain in a drawing: even strokes laid over the finished lines, light on dark grounds and dark on light ones."""
    if not {"rain", "storm"} & c.scene.weather or "rain" in c.scene.unwanted:
        return
    pale = {"blueprint", "comic", "poster"} & set(c.scene.styles)
    tone = (0.96, 0.97, 0.98) if pale else (0.13, 0.14, 0.18)
    c.lay(slice(None), _streaks(c, c.rng("drawn rain"), 170, 0.08, 0.0014) * np.float32(0.62), tone)


def _snow(c: Canvas) -> None:
    """Flakes of three sizes; the large ones are near and out of focus."""
    rng = c.rng("flakes")
    level = min(1.0, 0.45 + 0.55 * max(c.light.ambient))
    for count, radius, soft in ((620, 0.0017, 0.0), (230, 0.0036, 0.0008), (46, 0.0085, 0.0034)):
        sheet = Image.new("L", (c.width, c.height), 0)
        draw = ImageDraw.Draw(sheet)
        for _ in range(int(count * c.width * c.height / c.unit**2)):
            x, y, r = rng.random() * c.width, rng.random() * c.height, radius * rng.uniform(0.6, 1.3) * c.unit
            draw.ellipse((x - max(0.6, r), y - max(0.6, r), x + max(0.6, r), y + max(0.6, r)), fill=255)
        flakes = np.asarray(sheet, np.float32) / 255
        c.lay(slice(None), (blur(flakes, soft * c.unit) if soft else flakes) * np.float32(0.8), (level, level, level))


def _leaves(c: Canvas, count: int) -> None:
    """Leaves or petals carried through the air, so many of each hue."""
    rng = c.rng("leaves")
    for hue in _LEAVES.get(c.scene.season or "", ((0.50, 0.56, 0.24), (0.72, 0.60, 0.26), (0.36, 0.46, 0.22))):
        sheet = Image.new("L", (c.width, c.height), 0)
        draw = ImageDraw.Draw(sheet)
        for _ in range(count):
            x, y, a = rng.random() * c.width, rng.random() * c.height, rng.uniform(0, np.pi)
            u, v = (np.array((np.cos(b), np.sin(b))) * c.unit for b in (a, a + np.pi / 2))
            u, v = u * rng.uniform(0.005, 0.012), v * rng.uniform(0.002, 0.005)
            draw.polygon([(x + dx, y + dy) for dx, dy in (u, v, -u, -v)], fill=240)
        c.lay(slice(None), np.asarray(sheet, np.float32) / 255, c.light.on(hue) + np.float32(0.06))


def _lightning(c: Canvas) -> None:
    """A bolt that forks on its way down to the horizon, and its light in the clouds."""
    rng = c.rng("bolt")
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)
    bolts = [(c.width * (0.5 + c.side() * rng.uniform(0.1, 0.3)), c.height * 0.04, c.horizon * 0.98, 4.5)]
    while bolts:
        x, y, end, width = bolts.pop()
        while y < end:
            nx, ny = x + rng.normal(0, 0.022) * c.unit, y + rng.uniform(0.015, 0.04) * c.unit
            draw.line((x, y, nx, ny), fill=255, width=max(1, round(width * c.unit / 1024)))
            if width > 2.5 and rng.random() < 0.25:
                bolts.append((nx, ny, min(end, ny + rng.uniform(0.08, 0.2) * c.unit), width * 0.45))
            x, y = nx, ny
    mask = np.asarray(sheet, np.float32) / 255
    c.add(slice(None), np.clip(blur(mask, c.unit * 0.05) * 2.6, 0, 0.75), (0.60, 0.66, 1.0))
    c.add(slice(None), blur(mask, c.unit * 0.006), (0.80, 0.82, 1.0))
    c.lay(slice(None), blur(mask, c.unit * 0.0006), (0.98, 0.98, 1.0))
