"""Where things are shown for themselves: a seamless backdrop, a table top seen from above, a furnished room."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas, blur, mix, step
from .room import room_level, room_window
from .shadows import lay_sheet

_BACKDROPS = (
    ((0.90, 0.87, 0.82), (0.78, 0.74, 0.68)),
    ((0.80, 0.86, 0.88), (0.64, 0.72, 0.76)),
    ((0.91, 0.84, 0.80), (0.80, 0.69, 0.64)),
    ((0.84, 0.87, 0.80), (0.68, 0.73, 0.64)),
    ((0.86, 0.84, 0.90), (0.70, 0.68, 0.78)),
)
"""A wall and the floor it runs into."""


def backdrop(c: Canvas) -> None:
    """A seamless wall and floor, lit from one side. The floor's middle is where things stand."""
    rng = c.rng("backdrop")
    c.horizon = int(0.62 * c.height)
    left = rng.random() < 0.5
    c.sun = (c.width * (0.15 if left else 0.85), 0.12 * c.height)
    wall, floor = _BACKDROPS[int(rng.integers(len(_BACKDROPS)))]
    own = c.scene.place_tint or c.scene.sky_tint
    if own is not None:
        wall, floor = mix(own, (1, 1, 1), 0.10), mix(own, (0, 0, 0), 0.12)  # type: ignore[assignment]
    y = np.arange(c.height, dtype=np.float32)[:, None] / c.height
    x = np.arange(c.width, dtype=np.float32)[None, :] / c.width
    turn = step(0.52, 0.74, y)[..., None]
    base = np.asarray(wall, np.float32) * (1 - turn) + np.asarray(floor, np.float32) * turn
    spot = np.exp(-(((x - 0.5) / 0.55) ** 2 + ((y - 0.46) / 0.5) ** 2))
    side = (0.5 - x) if left else (x - 0.5)
    level = 0.80 + 0.26 * spot + 0.07 * side
    tint = np.asarray(c.light.ambient, np.float32)
    tint = mix(tint / max(float(tint.max()), 0.2), (1, 1, 1), 0.5) * np.float32(0.35 + 0.65 * max(c.light.ambient))
    c.pixels[:] = np.clip(base * level[..., None] * tint, 0, 1)


def table_top(c: Canvas) -> None:
    """Boards or stone filling the image, seen from above."""
    rng = c.rng("table top")
    c.horizon = 0
    c.sun = (0.2 * c.width, 0.1 * c.height)
    y = np.arange(c.height, dtype=np.float32)[:, None] / c.unit
    x = np.arange(c.width, dtype=np.float32)[None, :] / c.unit
    level = room_level(c)
    if rng.random() < 0.65:
        grain = c.fbm(rng, 22, 4, wide=0.10, gain=0.6)
        plank = np.floor(x * 4.2 + 0.3)
        seam = np.abs(x * 4.2 + 0.3 - np.round(x * 4.2 + 0.3))
        tone = 0.86 + 0.06 * np.sin(plank * 12.9) + 0.06 * grain - 0.30 * np.clip(1 - seam / 0.02, 0, 1)
        colour = mix((0.62, 0.44, 0.29), (0.82, 0.70, 0.56), float(rng.random()))
    else:
        tone = 0.95 + 0.035 * c.fbm(rng, 3, 5) + 0.015 * c.fbm(rng, 60, 2)
        colour = mix((0.86, 0.86, 0.84), (0.50, 0.54, 0.56), float(rng.random()) * 0.8)
    light = 1.10 - 0.22 * np.hypot(x * c.unit / c.width - 0.25, y * c.unit / c.height - 0.15)
    own = c.scene.place_tint
    c.pixels[:] = np.asarray(own if own is not None else colour, np.float32) * (tone * light)[..., None] * level


def interior(c: Canvas) -> None:
    """A wall with a window, a floor of boards and a rug; the furniture comes with the subjects."""
    rng = c.rng("interior")
    c.horizon = int(0.66 * c.height)
    left = rng.random() < 0.5
    c.sun = (c.width * (0.12 if left else 0.88), 0.2 * c.height)
    level = room_level(c)
    y = np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    x = np.arange(c.width, dtype=np.float32)[None, :] / c.width
    away = np.abs(x - np.float32(c.sun[0] / c.width))
    walls = ((0.80, 0.77, 0.70), (0.68, 0.75, 0.74), (0.80, 0.70, 0.64), (0.70, 0.72, 0.80))
    tone = np.asarray(c.scene.place_tint or walls[int(rng.integers(4))], np.float32)
    c.pixels[:] = tone * (1.04 - 0.40 * away - 0.14 * y)[..., None] * level
    room_window(c, 0.05 if left else 0.64, wide=0.30)
    _floor(c, rng, level)
    if {"kitchen", "office"} & set(c.scene.places):
        _counter(c, rng, level, legs="office" in c.scene.places)
    elif "bathroom" not in c.scene.places:
        _rug(c, rng, level)


def _floor(c: Canvas, rng: np.random.Generator, level: Array) -> None:
    top = c.horizon
    h = c.height - top
    near = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    x = (np.arange(c.width, dtype=np.float32)[None, :] - c.width / 2) / c.unit / (0.45 + 1.0 * near) * 5
    grain = c.fbm(rng, 16, 3, size=(h, c.width), span=(h / c.unit * 3, c.width / c.unit), wide=0.4)
    seam = np.clip(1 - np.abs(x - np.round(x)) / 0.03, 0, 1)
    tone = 0.90 + 0.05 * np.sin(np.floor(x + 0.5) * 12.9) + 0.04 * grain - 0.25 * seam
    c.pixels[top:] = mix((0.56, 0.38, 0.24), (0.74, 0.58, 0.42), float(rng.random())) * tone[..., None] * level
    board = max(3, round(0.022 * c.unit))
    c.pixels[top - board : top] = np.array((0.90, 0.89, 0.86), np.float32) * level
    c.pixels[top : top + board // 2] *= np.float32(0.72)


def counter_top(c: Canvas) -> int:
    """The row of the top of a kitchen's counter or of a desk."""
    return c.horizon - round(0.06 * c.unit)


def _counter(c: Canvas, rng: np.random.Generator, level: Array, *, legs: bool) -> None:
    """A row of cupboards, or a desk on legs, along the wall."""
    top, foot = counter_top(c), c.horizon + round(0.16 * c.unit)
    wide = (0.62 if legs else 0.90) * c.width
    x0, x1 = round((c.width - wide) / 2), round((c.width + wide) / 2)
    hues = ((0.86, 0.84, 0.78), (0.46, 0.56, 0.56), (0.62, 0.46, 0.32), (0.40, 0.46, 0.58))
    body = np.asarray(hues[int(rng.integers(4))], np.float32) * level
    board = max(3, round(0.028 * c.unit))
    if legs:
        for x in (x0 + board, x1 - 2 * board):
            c.pixels[top:foot, x : x + board] = body * np.float32(0.72)
    else:
        c.pixels[top:foot, x0:x1] = body
        c.pixels[foot - board : foot, x0:x1] = body * np.float32(0.35)
        doors = max(2, round(wide / (0.26 * c.unit)))
        for k in range(doors):
            a, b = round(x0 + k * wide / doors), round(x0 + (k + 1) * wide / doors)
            c.pixels[top:foot, a : a + max(1, board // 8)] = body * np.float32(0.66)
            knob = round(top + 0.07 * c.unit)
            c.pixels[knob : knob + board // 2 + 1, b - board : b - board // 2] = np.float32(0.30)
    c.pixels[top : top + board, x0 - board : x1 + board] = mix((0.40, 0.27, 0.18), (0.9, 0.9, 0.88), 0.2) * level
    c.pixels[top + board : top + board + board // 2, x0:x1] *= np.float32(0.7)


def _rug(c: Canvas, rng: np.random.Generator, level: Array) -> None:
    row, half = c.horizon + 0.52 * (c.height - c.horizon), 0.36 * c.unit
    tall = 0.30 * (c.height - c.horizon)
    y = (np.arange(c.height, dtype=np.float32)[:, None] - np.float32(row)) / np.float32(tall)
    x = (np.arange(c.width, dtype=np.float32)[None, :] - np.float32(c.width / 2)) / np.float32(half)
    away = np.hypot(x, y)
    hues = ((0.62, 0.28, 0.24), (0.24, 0.38, 0.46), (0.74, 0.62, 0.42), (0.36, 0.46, 0.36))
    colour = np.asarray(hues[int(rng.integers(4))], np.float32) * level
    ring = step(0.04, 0.02, np.abs(away - 0.86))[..., None]
    shown = colour + (np.array((0.90, 0.84, 0.72), np.float32) * level - colour) * ring
    c.lay(slice(None), step(1.01, 0.99, away), shown)


def drop_shadow(c: Canvas, alpha: Array, corner: tuple[int, int], height: float) -> None:
    """The shadow of something that lies flat, seen from above."""
    reach = max(2, round(0.035 * height))
    shadow = blur(np.pad(alpha, 2 * reach), reach) * np.float32(0.45)
    lay_sheet(c, (corner[0] - reach, corner[1] - reach), shadow, np.array((0.05, 0.04, 0.05), np.float32))
