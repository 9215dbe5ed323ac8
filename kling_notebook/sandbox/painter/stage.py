"""Indoors, and where things are shown for themselves: rooms, a table, a backdrop, a table top from above."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas, blur, mix, step

_BACKDROPS = (
    ((0.90, 0.87, 0.82), (0.78, 0.74, 0.68)), ((0.80, 0.86, 0.88), (0.64, 0.72, 0.76)),
    ((0.91, 0.84, 0.80), (0.80, 0.69, 0.64)), ((0.84, 0.87, 0.80), (0.68, 0.73, 0.64)),
    ((0.86, 0.84, 0.90), (0.70, 0.68, 0.78)),
)  # fmt: skip
"""A wall and the floor it runs into."""
_WALLS = ((0.80, 0.77, 0.70), (0.68, 0.75, 0.74), (0.80, 0.70, 0.64), (0.70, 0.72, 0.80))
_FURNITURE = ((0.86, 0.84, 0.78), (0.46, 0.56, 0.56), (0.62, 0.46, 0.32), (0.40, 0.46, 0.58))
_RUGS = ((0.62, 0.28, 0.24), (0.24, 0.38, 0.46), (0.74, 0.62, 0.42), (0.36, 0.46, 0.36))


def _level(c: Canvas) -> Array:
    """Daylight, or lamplight after dark."""
    return np.asarray(mix(c.light.ambient, (0.72, 0.56, 0.40), c.light.dark), np.float32)


def backdrop(c: Canvas) -> None:
    """A seamless wall and floor, lit from one side. The floor's middle is where things stand."""
    rng = c.rng("backdrop")
    c.horizon = int(0.62 * c.height)
    left = rng.random() < 0.5
    c.sun = (c.width * (0.15 if left else 0.85), 0.12 * c.height)
    wall, floor = (np.asarray(tone, np.float32) for tone in _BACKDROPS[int(rng.integers(len(_BACKDROPS)))])
    own = c.scene.place_tint or c.scene.sky_tint
    if own is not None:
        wall, floor = mix(own, (1, 1, 1), 0.10), mix(own, (0, 0, 0), 0.12)
    y = np.arange(c.height, dtype=np.float32)[:, None] / c.height
    x = np.arange(c.width, dtype=np.float32)[None, :] / c.width
    base = wall + (floor - wall) * step(0.52, 0.74, y)[..., None]
    spot = np.exp(-(((x - 0.5) / 0.55) ** 2 + ((y - 0.46) / 0.5) ** 2))
    level = 0.80 + 0.26 * spot + 0.07 * ((0.5 - x) if left else (x - 0.5))
    ambient = np.asarray(c.light.ambient, np.float32)
    tint = mix(ambient / max(float(ambient.max()), 0.2), (1, 1, 1), 0.5) * (0.35 + 0.65 * ambient.max())
    c.pixels[:] = np.clip(base * level[..., None] * tint, 0, 1)


def table_top(c: Canvas) -> None:
    """Boards filling the image, seen from above."""
    rng = c.rng("table top")
    c.horizon, c.sun = 0, (0.2 * c.width, 0.1 * c.height)
    y = np.arange(c.height, dtype=np.float32)[:, None] / c.height
    x = np.arange(c.width, dtype=np.float32)[None, :] / c.width
    tone = 0.86 + 0.06 * c.fbm(rng, 22, 4, wide=0.10, gain=0.6) + _boards(x * (4.2 * c.width / c.unit))
    colour = mix((0.62, 0.44, 0.29), (0.82, 0.70, 0.56), float(rng.random()))
    light = tone * (1.10 - 0.22 * np.hypot(x - 0.25, y - 0.15))
    c.pixels[:] = np.asarray(c.scene.place_tint or colour, np.float32) * light[..., None] * _level(c)


def _boards(at: Array) -> Array:
    """How much lighter or darker boards are that lie side by side along `at`, one for every whole number."""
    seam = np.clip(1 - np.abs(at - np.round(at)) / 0.02, 0, 1)
    return 0.06 * np.sin(np.floor(at) * 12.9) - np.float32(0.30) * seam


def room(c: Canvas) -> None:
    """A table by a window. The table's far edge is the horizon."""
    rng = c.rng("room")
    _walls(c, rng, c.scene.place_tint or c.scene.sky_tint or (0.66, 0.60, 0.52), fall=0.62)
    _planks(c, rng, (0.53, 0.35, 0.21), flat=9)
    edge = max(2, int(0.008 * c.unit))
    c.pixels[c.horizon : c.horizon + edge] *= np.float32(1.25)
    c.pixels[c.horizon - 2 * edge : c.horizon] *= np.float32(0.72)


def interior(c: Canvas) -> None:
    """A wall with a window, a floor of boards and a rug; the furniture comes with the subjects."""
    rng = c.rng("interior")
    _walls(c, rng, c.scene.place_tint or _WALLS[int(rng.integers(4))], fall=0.40)
    _planks(c, rng, mix((0.56, 0.38, 0.24), (0.74, 0.58, 0.42), float(rng.random())), flat=0.4)
    board = max(3, round(0.022 * c.unit))
    c.pixels[c.horizon - board : c.horizon] = np.array((0.90, 0.89, 0.86), np.float32) * _level(c)
    if {"kitchen", "office"} & set(c.scene.places):
        _counter(c, rng, legs="office" in c.scene.places)
    elif "bathroom" not in c.scene.places:
        _rug(c, rng)


def _walls(c: Canvas, rng: np.random.Generator, tone: Array | tuple[float, float, float], *, fall: float) -> None:
    """A wall with a window at one side, darker by `fall` away from it."""
    c.horizon = int(0.66 * c.height)
    left = rng.random() < 0.5
    c.sun = (c.width * (0.12 if left else 0.88), 0.2 * c.height)
    y = np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    away = np.abs(np.arange(c.width, dtype=np.float32)[None, :] - np.float32(c.sun[0])) / c.width
    plaster = c.fbm(rng, 3, 4) * np.float32(0.02)
    c.pixels[:] = np.asarray(tone, np.float32) * (1.03 - fall * away - 0.16 * y + plaster)[..., None] * _level(c)
    _window(c, 0.05 if left else 0.63)


def _window(c: Canvas, start: float) -> None:
    """A window with a view, and its light on the wall. `start` is a share of the width."""
    x0, x1, y0, y1 = int(start * c.width), int((start + 0.32) * c.width), int(0.06 * c.height), int(0.50 * c.height)
    c.pane = slice(y0, y1), slice(x0, x1)
    t = np.linspace(0, 1, y1 - y0, dtype=np.float32)[:, None]
    sky = np.asarray(c.light.zenith, np.float32) * (1 - t) + np.asarray(c.light.horizon, np.float32) * t
    hills = 0.74 + 0.06 * np.sin(np.linspace(0, 5, x1 - x0, dtype=np.float32))
    ground = step(-0.01, 0.01, t - hills[None, :])[..., None]
    c.pixels[y0:y1, x0:x1] = sky[:, None] + (c.light.on((0.42, 0.54, 0.30), 0.5) - sky[:, None]) * ground
    wood, bar = np.array((0.92, 0.90, 0.86), np.float32) * _level(c), max(2, int(0.014 * c.unit))
    for y in (y0, (y0 + y1) // 2, y1):
        c.pixels[max(0, y - bar // 2) : y + bar, max(0, x0 - bar) : x1 + bar] = wood
    for x in (x0, (x0 + x1) // 2, x1):
        c.pixels[y0:y1, max(0, x - bar // 2) : x + bar] = wood
    glow = np.zeros((c.height // 8 + 1, c.width // 8 + 1), np.float32)
    glow[y0 // 8 : y1 // 8, x0 // 8 : x1 // 8] = 1
    spilled = blur(glow, c.unit / 8 * 0.10).repeat(8, 0).repeat(8, 1)[: c.height, : c.width]
    c.add(slice(None), spilled * np.float32(0.30 * (1 - c.light.dark)), c.light.sun)


def _planks(c: Canvas, rng: np.random.Generator, colour: Array | tuple[float, float, float], *, flat: float) -> None:
    """Boards in perspective from the horizon down; `flat` is how far their grain runs sideways."""
    h = c.height - c.horizon
    near = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    x = (np.arange(c.width, dtype=np.float32)[None, :] - c.width / 2) / c.unit
    grain = c.fbm(rng, 16, 3, size=(h, c.width), span=(h / c.unit * 3, c.width / c.unit), wide=flat)
    away = np.abs(np.arange(c.width, dtype=np.float32)[None, :] - np.float32(c.sun[0])) / c.width
    tone = 0.92 + 0.06 * min(1.0, 0.5 + flat / 9) * grain + _boards(x / (0.5 + near) * 5)
    c.pixels[c.horizon :] = np.asarray(colour, np.float32) * (tone * (1.05 - 0.4 * away))[..., None] * _level(c)


def counter_top(c: Canvas) -> int:
    """The row of the top of a kitchen's counter or of a desk."""
    return c.horizon - round(0.06 * c.unit)


def _counter(c: Canvas, rng: np.random.Generator, *, legs: bool) -> None:
    """A row of cupboards, or a desk on legs, along the wall."""
    top, foot, board = counter_top(c), c.horizon + round(0.16 * c.unit), max(3, round(0.028 * c.unit))
    wide = (0.62 if legs else 0.90) * c.width
    x0, x1 = round((c.width - wide) / 2), round((c.width + wide) / 2)
    body = np.asarray(_FURNITURE[int(rng.integers(4))], np.float32) * _level(c)
    if legs:
        for x in (x0 + board, x1 - 2 * board):
            c.pixels[top:foot, x : x + board] = body * np.float32(0.72)
    else:
        c.pixels[top:foot, x0:x1] = body
        c.pixels[foot - board : foot, x0:x1] = body * np.float32(0.35)
        for x in np.linspace(x0, x1, max(2, round(wide / (0.26 * c.unit))) + 1)[:-1].astype(int):
            c.pixels[top:foot, x : x + max(1, board // 8)] = body * np.float32(0.66)
            c.pixels[top + 2 * board : top + 3 * board, x + board : x + board + board // 2] = np.float32(0.30)
    c.pixels[top : top + board, x0 - board : x1 + board] = mix((0.40, 0.27, 0.18), (0.9, 0.9, 0.88), 0.2) * _level(c)


def _rug(c: Canvas, rng: np.random.Generator) -> None:
    row, half, tall = c.horizon + 0.52 * (c.height - c.horizon), 0.36 * c.unit, 0.30 * (c.height - c.horizon)
    rows, columns, dx, dy = c.around((c.width / 2, row), (1.1 * half, 1.1 * tall))
    away = np.hypot(dx / np.float32(half), dy / np.float32(tall))
    colour = np.asarray(_RUGS[int(rng.integers(4))], np.float32)
    shown = (
        colour + (np.array((0.90, 0.84, 0.72), np.float32) - colour) * step(0.04, 0.02, np.abs(away - 0.86))[..., None]
    )
    c.lay(rows, step(1.01, 0.99, away), shown * _level(c), columns)
