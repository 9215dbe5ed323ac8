"""Weather in front of everything: fog, rain, falling snow, leaves in the wind, lightning."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Canvas, blur, enlarge, mix


def fog_bank(c: Canvas, thickness: float) -> None:
    """Mist lying around the horizon, in wisps."""
    rng = c.rng(f"fog {thickness:.2f}")
    h, w = c.height // 3 + 1, c.width // 3 + 1
    wisps = c.fbm(rng, 1.5, 5, size=(h, w), wide=3.4)
    rows = np.linspace(0, c.height / c.unit, h, dtype=np.float32)[:, None]
    away = rows - np.float32(c.horizon / c.unit + 0.04)
    lying = np.exp(-np.where(away < 0, (away / 0.26) ** 2, (away / 0.34) ** 2))
    mask = np.clip(lying * (0.62 + 0.30 * wisps), 0, 0.96) * np.float32(thickness)
    colour = mix(c.light.haze, c.light.horizon, 0.45)
    c.lay(slice(None), enlarge(mask.astype(np.float32), c.width, c.height), colour)


def paint_weather(c: Canvas) -> None:
    """Everything that falls or flies, over the finished scene."""
    weather = c.scene.weather
    if "fog" in weather:
        fog_bank(c, 0.62)
    if "storm" in weather:
        _lightning(c)
    if {"rain", "storm"} & weather and "rain" not in c.scene.unwanted and not c.scene.drawn:
        _rain(c, 1.0 if "rain" in weather else 0.55)
    if "snowfall" in weather:
        _snow(c)
    if (
        "wind" in weather
        or (c.scene.season == "autumn" and "wind" not in c.scene.unwanted)
        or c.scene.season == "spring"
    ):
        _leaves(c, 90 if "wind" in weather else 26)


def _rain(c: Canvas, amount: float) -> None:
    rng = c.rng("rain")
    area = c.width * c.height / c.unit**2
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)
    for layer, (count, length, width, strength) in enumerate(
        ((520, 0.035, 1, 0.26), (190, 0.075, 1, 0.34), (50, 0.12, 2, 0.30))
    ):
        xs = rng.uniform(-0.1, 1.1, int(count * area * amount)) * c.width
        ys = rng.uniform(-0.1, 1.0, len(xs)) * c.height
        reach = length * c.unit * rng.uniform(0.6, 1.2, len(xs))
        thick = max(1, round(width * c.unit / 1024))
        lean = 0.20 if layer else 0.16
        for x, y, r in zip(xs, ys, reach, strict=True):
            draw.line((x, y, x - r * lean, y + r), fill=round(235 * strength), width=thick)
    c.lay(slice(None), np.asarray(sheet, np.float32) / 255, mix(c.light.haze, (0.92, 0.95, 1.0), 0.6))
    veil = np.linspace(0.0, 0.16, c.height, dtype=np.float32)[:, None] * np.float32(amount)
    c.lay(slice(None), np.broadcast_to(veil, (c.height, c.width)), c.light.haze)


def drawn_rain(c: Canvas) -> None:
    """Rain in a drawing: even strokes laid over the finished lines, light on dark grounds and dark on light ones."""
    if not {"rain", "storm"} & c.scene.weather or "rain" in c.scene.unwanted:
        return
    rng = c.rng("drawn rain")
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)
    count = int(170 * c.width * c.height / c.unit**2)
    for x, y, r in zip(*rng.uniform(-0.05, 1.05, (2, count)), rng.uniform(0.05, 0.11, count), strict=True):
        long = r * c.unit
        top = (x * c.width, y * c.height)
        draw.line((*top, top[0] - 0.22 * long, top[1] + long), fill=255, width=max(1, round(c.unit / 720)))
    pale = {"blueprint", "comic", "glass", "woodblock", "poster"} & set(c.scene.styles)
    tone = (0.96, 0.97, 0.98) if pale else (0.13, 0.14, 0.18)
    c.lay(slice(None), np.asarray(sheet, np.float32) / 255 * np.float32(0.62), tone)


def _snow(c: Canvas) -> None:
    rng = c.rng("flakes")
    area = c.width * c.height / c.unit**2
    for count, radius, strength, soft in (
        (620, 0.0017, 0.75, 0.0),
        (230, 0.0036, 0.85, 0.0008),
        (46, 0.0085, 0.75, 0.0034),
    ):
        sheet = Image.new("L", (c.width, c.height), 0)
        draw = ImageDraw.Draw(sheet)
        for x, y, r in zip(*rng.random((2, int(count * area))), rng.uniform(0.6, 1.3, int(count * area)), strict=True):
            size = max(0.6, radius * r * c.unit)
            draw.ellipse((x * c.width - size, y * c.height - size, x * c.width + size, y * c.height + size), fill=255)
        flakes = np.asarray(sheet, np.float32) / 255
        if soft:
            flakes = blur(flakes, soft * c.unit)
        level = 0.45 + 0.55 * max(c.light.ambient)
        c.lay(slice(None), flakes * np.float32(strength), np.array((1.0, 1.0, 1.0)) * min(1.0, level))


def _leaves(c: Canvas, count: int) -> None:
    """Leaves or petals carried through the air."""
    rng = c.rng("leaves")
    hues = {
        "autumn": ((0.85, 0.40, 0.10), (0.72, 0.20, 0.10), (0.93, 0.66, 0.18)),
        "spring": ((0.98, 0.80, 0.86), (1.0, 0.90, 0.93), (0.95, 0.66, 0.76)),
    }.get(c.scene.season or "", ((0.50, 0.56, 0.24), (0.72, 0.60, 0.26), (0.36, 0.46, 0.22)))
    for hue in hues:
        sheet = Image.new("L", (c.width, c.height), 0)
        draw = ImageDraw.Draw(sheet)
        for _ in range(count // 3):
            x, y, a = rng.random() * c.width, rng.random() * c.height, rng.uniform(0, np.pi)
            long, wide = rng.uniform(0.005, 0.012) * c.unit, rng.uniform(0.002, 0.005) * c.unit
            ca, sa = np.cos(a), np.sin(a)
            leaf = ((long, 0), (0, wide), (-long, 0), (0, -wide))
            draw.polygon([(x + u * ca - v * sa, y + u * sa + v * ca) for u, v in leaf], fill=240)
        c.lay(slice(None), np.asarray(sheet, np.float32) / 255, c.light.on(hue) + np.float32(0.06))


def _lightning(c: Canvas) -> None:
    rng = c.rng("bolt")
    if "lightning" in c.scene.unwanted:
        return
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)

    def bolt(x: float, y: float, end: float, width: float) -> None:
        while y < end:
            nx, ny = x + rng.normal(0, 0.022) * c.unit, y + rng.uniform(0.015, 0.04) * c.unit
            draw.line((x, y, nx, ny), fill=255, width=max(1, round(width * c.unit / 1024)))
            if width > 2.5 and rng.random() < 0.25:
                bolt(nx, ny, min(end, ny + rng.uniform(0.08, 0.2) * c.unit), width * 0.45)
            x, y = nx, ny

    start = c.width * (0.5 + c.side() * rng.uniform(0.1, 0.3))
    bolt(start, c.height * 0.04, c.horizon * 0.98, 4.5)
    mask = np.asarray(sheet, np.float32) / 255
    wide = blur(mask, c.unit * 0.05)
    c.add(slice(None), np.clip(wide * 2.6, 0, 0.75), (0.60, 0.66, 1.0))
    c.add(slice(None), blur(mask, c.unit * 0.006), (0.80, 0.82, 1.0))
    c.lay(slice(None), blur(mask, c.unit * 0.0006), (0.98, 0.98, 1.0))
