"""What people put in front of the horizon: skylines, villages, roads and flower fields."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Array, Canvas, mix, step
from .catalog import index as drawings
from .figure import sheet_of
from .land import SNOW, snowy
from .shadows import lay_sheet, shine

LAMPS = {"dusk": 0.75, "sunset": 0.45, "blue": 0.95, "night": 1.0, "dawn": 0.25, "golden": 0.12}
"""How much of the light is lamplight, by the hour."""
_WALLS = ((0.93, 0.89, 0.82), (0.86, 0.78, 0.68), (0.80, 0.62, 0.50), (0.76, 0.82, 0.84))


def lamplight(c: Canvas) -> float:
    """How much of the light is lamplight: 0 by day, 1 at night."""
    if "lantern" in c.scene.unwanted:
        return 0.0
    return LAMPS.get(c.scene.time, 0.35 if c.scene.weather & {"storm", "rain", "fog"} else 0.0)


def city(c: Canvas, base: int) -> None:
    """A skyline in three depths, its windows lit when it is dark."""
    rng = c.rng("city")
    for k in range(3):
        distance = 0.82 - 0.34 * k
        body = mix((0.34, 0.38, 0.47), (0.16, 0.18, 0.26), k / 2)
        if c.scene.place_tint is not None:
            body = mix(body, c.scene.place_tint, 0.7)
        wide, tall = c.unit * (0.05 + 0.015 * k), c.unit * (0.40 - 0.03 * k)
        centre, x = c.width * rng.uniform(0.35, 0.65), -wide * rng.random()
        while x < c.width:
            w = wide * rng.uniform(0.55, 1.5)
            pull = np.exp(-(((x + w / 2 - centre) / (0.36 * c.unit)) ** 2))
            h = tall * (0.22 + 0.45 * rng.random() ** 1.6 + 0.55 * pull * rng.uniform(0.35, 1.0))
            _house(c, rng, (x, w, base - h, base), c.light.on(body * rng.uniform(0.86, 1.16), distance), distance)
            x += w * rng.uniform(0.85, 1.12)
    glow = np.exp(-np.abs(np.arange(base, dtype=np.float32) - base) / (0.06 * c.unit))[:, None]
    lamps = np.broadcast_to(glow * np.float32(0.32 * lamplight(c)), (base, c.width))
    c.add(slice(0, base), lamps, (1.0, 0.80, 0.46))


def _house(
    c: Canvas, rng: np.random.Generator, box: tuple[float, float, float, float], wall: Array, distance: float
) -> None:
    """One building, left, width, top and foot given, fading into the haze toward its foot; some carry a mast."""
    x, w, top, foot = box
    left, right, first, last = max(0, int(x)), min(c.width, int(x + w)), max(0, int(top)), int(foot) + 1
    if right - left < 2 or last - first < 2:
        return
    t = np.linspace(0, 0.3 + 0.4 * distance, last - first, dtype=np.float32)[:, None, None]
    c.pixels[first:last, left:right] = wall + (np.asarray(c.light.haze, np.float32) - wall) * t
    if rng.random() < 0.22:
        middle = (left + right) // 2
        c.pixels[max(0, first - int(0.05 * c.unit)) : first, middle : middle + max(1, c.unit // 400)] = wall
    pitch = max(3.0, c.unit * (0.014 - 0.0035 * distance))
    down = (np.arange(last - first, dtype=np.float32) - 0.7 * pitch) / (1.35 * pitch)
    across = (np.arange(right - left, dtype=np.float32) - 0.4 * pitch) / pitch
    pane = ((down % 1 < 0.55) & (down > 0))[:, None] & ((across % 1 < 0.58) & (across > 0))[None, :]
    chance = rng.random((max(1, int(down.max()) + 1), max(1, int(across.max()) + 1))).astype(np.float32)
    seen = chance[np.maximum(down, 0).astype(int)[:, None], np.maximum(across, 0).astype(int)[None, :]]
    lamps = lamplight(c) * rng.uniform(0.25, 0.8)
    lit = pane & (seen < 0.18 + 0.5 * lamps)
    strength, colour = 0.52 * (1 - 0.75 * distance), c.light.on((0.10, 0.14, 0.22), distance)
    if lamps > 0.05:
        strength, colour = (0.95 - 0.45 * distance) * min(1.0, 0.35 + lamps), np.array((1.0, 0.80, 0.50), np.float32)
    c.lay(slice(first, last), lit * np.float32(strength), colour, slice(left, right))


def village(c: Canvas, base: int) -> None:
    """Houses scattered over a slope, or along the near shore if there is one; far ones first."""
    rng = c.rng("village")
    foot = drawings()["house"].foot
    for t in np.sort(rng.random(15)):
        x = rng.uniform(0.04, 0.96) * c.width
        y = base + c.unit * (0.03 + 0.20 * t) + 0.02 * c.unit * rng.standard_normal()
        if c.dry is not None:
            shore = float(c.dry[int(x)])
            y = shore + 0.02 * c.unit + (0.94 * c.height - shore) * t
        height = max(6, round(c.unit * (0.04 + 0.07 * t)))
        sheet = sheet_of(c, "house", height, _WALLS[int(rng.integers(4))], mirror=bool(rng.random() < 0.5))
        h, w = sheet.alpha.shape
        corner = (round(x - 0.5 * w), round(y - foot[1] * h))
        lay_sheet(c, corner, sheet.alpha, mix(sheet.colour, c.light.haze, 0.35 * float(1 - t)))
        shine(c, sheet, corner)


def road(c: Canvas, top: int) -> None:
    """A road that winds toward the horizon."""
    rng = c.rng("road")
    h = c.height - top
    near = np.linspace(0, 1, h, dtype=np.float32)
    bend = rng.uniform(0.16, 0.30) * (1 if rng.random() < 0.5 else -1)
    centre = c.width * (0.5 + bend * np.sin((1 - near) ** 1.4 * 3.6) * (1 - near) ** 0.7)
    half = c.unit * (0.004 + 0.30 * near**1.9)
    c.lane = np.concatenate([np.zeros(top, np.float32), centre - half * 0.42]).astype(np.float32)
    soft = half[:, None]
    off = np.abs(np.arange(c.width, dtype=np.float32)[None, :] - centre[:, None]) / soft
    # Its far end, thinner than a wheel, is lost in the land.
    shape = np.clip((1 - off) * soft + 0.5, 0, 1) * step(0.10, 0.24, near)[:, None]
    distance = (0.45 * (1 - near))[:, None, None]
    paved = c.light.on(np.asarray(SNOW if snowy(c) else (0.36, 0.35, 0.37)) * 0.86)
    c.lay(slice(top, c.height), shape, paved * (1 - distance) + np.asarray(c.light.haze, np.float32) * distance)
    edge = np.clip((0.035 - np.abs(off - 0.92)) * soft + 0.3, 0, 1) * np.clip(soft / 4, 0, 1)
    dash = np.clip((0.03 - off) * soft + 0.3, 0, 1) * (np.sin(10 / (near + 0.12)) > 0.1)[:, None]
    c.lay(slice(top, c.height), edge * np.float32(0.75), c.light.on((0.92, 0.90, 0.84)))
    c.lay(slice(top, c.height), dash * np.clip(soft / 6, 0, 1), c.light.on((0.96, 0.84, 0.42)))


def flowers(c: Canvas, base: int) -> None:
    """A field of flowers, small behind and large in front, in rows of one hue each."""
    rng = c.rng("flowers")
    first = base + int(0.06 * c.unit)
    h = c.height - first
    hues = [(0.62, 0.42, 0.86), (0.94, 0.40, 0.52), (0.98, 0.80, 0.30), (0.96, 0.94, 0.92), (0.88, 0.22, 0.20)]
    usual = {"flower": None, "sunflower": (0.98, 0.76, 0.10), "lavender": (0.52, 0.38, 0.80)}
    asked = next((item for item in c.scene.subjects if item.name in usual), None)
    if asked is not None and (asked.colour or usual[asked.name]):
        hues = [asked.colour or usual[asked.name] or hues[0]]
    sheet = Image.fromarray((np.clip(c.pixels[first:], 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(sheet)
    for t in np.sort(rng.random(int(3600 * c.width / c.unit)) ** 0.62):
        x, y, r = rng.uniform(0, c.width), h * (0.04 + 0.96 * t), c.unit * (0.0028 + 0.011 * t * t)
        row = int((x / c.width - 0.5) / (0.25 + t) * 14 + 50)
        tone = c.light.on(np.asarray(hues[row % len(hues)]) * rng.uniform(0.78, 1.1), 0.4 * (1 - float(t)) ** 2)
        petals, heart = (tuple(int(255 * min(1.0, float(v) * s)) for v in tone) for s in (1.0, 0.42))
        draw.ellipse((x - r, y - 0.8 * r, x + r, y + 0.8 * r), fill=petals)
        if r > 0.004 * c.unit:
            draw.ellipse((x - 0.36 * r, y - 0.3 * r, x + 0.36 * r, y + 0.3 * r), fill=heart)
    c.pixels[first:] = np.asarray(sheet, np.float32) / 255
