"""Indoors: a wall with a window, and a table in its light."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas, blur, mix, step


def room(c: Canvas) -> None:
    """Fill the canvas. The table's far edge is the horizon."""
    rng = c.rng("room")
    c.horizon = int(0.66 * c.height)
    left = rng.random() < 0.5
    c.sun = (c.width * (0.12 if left else 0.88), 0.2 * c.height)
    _wall(c, rng)
    room_window(c, 0.04 if left else 0.60)
    _table(c, rng)


def room_level(c: Canvas) -> Array:
    """Daylight, or lamplight after dark."""
    day = np.asarray(c.light.ambient, np.float32)
    lamp = np.array((0.72, 0.56, 0.40), np.float32)
    return np.asarray(day * (1 - c.light.dark) + lamp * np.float32(c.light.dark), np.float32)


def _wall(c: Canvas, rng: np.random.Generator) -> None:
    y = np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    x = np.arange(c.width, dtype=np.float32)[None, :] / c.width
    away = np.abs(x - np.float32(c.sun[0] / c.width))
    tone = np.asarray(c.scene.place_tint or c.scene.sky_tint or (0.66, 0.60, 0.52), np.float32)
    plaster = c.fbm(rng, 3, 4, size=(c.height, c.width)) * np.float32(0.025)
    fall = (1.02 - 0.62 * away - 0.18 * y + plaster)[..., None]
    c.pixels[:] = tone * fall * room_level(c)


def room_window(c: Canvas, start: float, *, wide: float = 0.36) -> None:
    """A window with a view. `start` and `wide` are shares of the canvas."""
    x0, x1 = int(start * c.width), int((start + wide) * c.width)
    y0, y1 = int(0.06 * c.height), int(0.50 * c.height)
    h, w = y1 - y0, x1 - x0
    if h < 8 or w < 8:
        return
    t = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    light = c.light
    sky = np.asarray(light.zenith, np.float32) * (1 - t) + np.asarray(light.horizon, np.float32) * t
    hills = 0.74 + 0.06 * np.sin(np.linspace(0, 5, w, dtype=np.float32))
    ground = step(-0.01, 0.01, t[..., 0] - hills[None, :])[..., None]
    view = sky + (light.on((0.42, 0.54, 0.30), 0.5) - sky) * ground
    c.lay(slice(y0, y1), 1.0, np.broadcast_to(view, (h, w, 3)).astype(np.float32), slice(x0, x1))
    wood = np.array((0.92, 0.90, 0.86), np.float32) * room_level(c)
    bar = max(2, int(0.014 * c.unit))
    for a, b, d, e in (
        (y0 - bar, y0 + bar, x0 - bar, x1 + bar),
        (y1 - bar, y1 + 2 * bar, x0 - 2 * bar, x1 + 2 * bar),
        (y0, y1, x0 - bar, x0 + bar),
        (y0, y1, x1 - bar, x1 + bar),
        ((y0 + y1) // 2 - bar // 2, (y0 + y1) // 2 + bar // 2 + 1, x0, x1),
        (y0, y1, (x0 + x1) // 2 - bar // 2, (x0 + x1) // 2 + bar // 2 + 1),
    ):
        c.pixels[max(a, 0) : b, max(d, 0) : e] = wood
    glow = np.zeros((c.height // 8 + 1, c.width // 8 + 1), np.float32)
    glow[y0 // 8 : y1 // 8, x0 // 8 : x1 // 8] = 1
    from_window = blur(glow, c.unit / 8 * 0.10).repeat(8, 0).repeat(8, 1)[: c.height, : c.width]
    c.add(slice(None), from_window * np.float32(0.30 * (1 - light.dark)), light.sun)


def _table(c: Canvas, rng: np.random.Generator) -> None:
    top = c.horizon
    h = c.height - top
    if h < 4:
        return
    near = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    x = (np.arange(c.width, dtype=np.float32)[None, :] - c.width / 2) / c.unit
    grain = c.fbm(rng, 16, 4, size=(h, c.width), span=(h / c.unit * 3, c.width / c.unit), wide=9, gain=0.6)
    plank = np.floor(x / (0.55 + 0.9 * near) * 4)
    tone = 0.84 + 0.05 * np.sin(plank * 12.9) + 0.075 * grain
    seam = np.abs(x / (0.55 + 0.9 * near) * 4 - np.round(x / (0.55 + 0.9 * near) * 4))
    tone *= 1 - 0.35 * np.clip(1 - seam / 0.02, 0, 1)
    away = np.abs(np.arange(c.width, dtype=np.float32)[None, :] - np.float32(c.sun[0])) / c.width
    tone = tone * (1.12 - 0.55 * away) * (0.86 + 0.2 * (1 - near))
    colour = mix((0.50, 0.32, 0.19), (0.60, 0.42, 0.27), 0.3) * tone[..., None] * room_level(c)
    c.pixels[top:] = colour
    edge = max(2, int(0.008 * c.unit))
    c.pixels[top : top + edge] *= np.float32(1.25)
    c.pixels[top - 2 * edge : top] *= np.float32(0.72)
