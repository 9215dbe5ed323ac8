"""Water: it mirrors what is already painted above it, broken by waves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Array, Canvas, enlarge, lattice, mix, smooth_values, step
from .land import SAND, SNOW, foam, ground_colour, roll, snowy

if TYPE_CHECKING:
    pass


def water(c: Canvas, top: int, *, rough: float) -> None:
    """Fill everything below the row `top` with water. `rough` 0 is a mirror, 1 an open sea."""
    h = c.height - top
    rng = c.rng("water")
    near = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    waves = _waves(c, rng, h)
    down = np.arange(h, dtype=np.float32)[:, None] * (0.95 - 0.25 * rough)
    source = top - 1 - down - waves * ((0.004 + 0.034 * rough) * c.unit * (0.25 + 1.6 * near))
    index = np.clip(source, 0, top - 1).astype(np.intp) * c.width + np.arange(c.width, dtype=np.intp)
    mirror = np.take(c.pixels.reshape(-1, 3), index, axis=0) * np.float32(0.93)
    light = c.light
    deep = mix(np.asarray(light.zenith, np.float32), light.on((0.10, 0.26, 0.34)), 0.55) * np.float32(0.8)
    if c.scene.place_tint is not None:
        deep = light.on(c.scene.place_tint) * np.float32(0.8)
    body = mix(light.horizon, deep, 0.6) * (1 - near) + deep * near
    share = np.float32(0.30 + 0.40 * rough) * (0.35 + 0.65 * near)
    colour = mirror + (body[:, None, :] - mirror) * share[..., None]
    if rough > 0.4:
        colour *= (1 + waves * np.float32(0.07 * rough) * (0.4 + near))[..., None]
    c.pixels[top:] = colour
    _glitter(c, top, waves, rough)


def _waves(c: Canvas, rng: np.random.Generator, h: int) -> Array:
    """Ripples (h, width), long sideways, closer together toward the horizon."""
    # Perspective: rows far away lie closer together on the water.
    flat = 1.9 * np.log1p(np.arange(h, dtype=np.float32) / c.unit * 9)
    total = np.zeros((h, c.width), np.float32)
    for cells, weight, wide in ((9, 1.0, 5.0), (19, 0.8, 4.0), (41, 0.55, 3.2)):
        down = float(flat[-1]) * cells + 3
        field = lattice(rng, down, c.width / c.unit * cells / wide, min(4 * max(8, int(down)), 700), c.width)
        at = flat / flat[-1] * (field.shape[0] - 1)
        low = np.minimum(at.astype(np.int32), field.shape[0] - 2)
        part = (at - low)[:, None]
        total += np.float32(weight) * (field[low] * (1 - part) + field[low + 1] * part)
    return total / np.float32(1.2)


def _glitter(c: Canvas, top: int, waves: Array, rough: float) -> None:
    """The path of light under a low sun or the moon."""
    light, h = c.light, waves.shape[0]
    low = light.height < 0.5 or light.dark > 0.6
    if not low or {"storm", "rain", "snowfall"} & c.scene.weather or "overcast" in c.scene.sky:
        return
    if light.dark > 0.6 and ("moon" in c.scene.unwanted or "space" in c.scene.places):
        return
    near = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    x = np.arange(c.width, dtype=np.float32)[None, :]
    width = c.unit * (0.035 + 0.16 * near * (0.4 + 0.6 * rough))
    path = np.exp(-(((x - np.float32(c.sun[0])) / width) ** 2))
    spark = step(0.25, 1.5, waves) * path * (1 - 0.45 * near)
    strength = 0.9 if light.dark < 0.5 else 0.55
    c.add(slice(top, top + h), spark * np.float32(strength), mix(light.sun, light.horizon, 0.15))
    c.add(slice(top, top + h), path * np.float32(0.22), light.sun)


def bank(c: Canvas, row: float, *, tilt: float = 1.0) -> Array:
    """The near shore: ground rising to one side of the picture. Gives back its line."""
    rng = c.rng("bank")
    x = np.arange(c.width, dtype=np.float32) / c.width
    inward = x if c.side() > 0 else 1 - x
    line = c.height * (1 - (1 - row) * (1.25 - 0.95 * tilt * inward**1.3)) + 0.012 * c.unit * c.line(rng, 2.2, 4)
    c.dry = line.astype(np.float32)
    roll(c, rng, c.dry, ground_colour(c), distance=0.0, fade=0.22)
    return line.astype(np.float32)


def beach(c: Canvas, row: float) -> None:
    """Sand in front of the sea, with a wet edge and lines of foam."""
    rng = c.rng("beach")
    x = np.arange(c.width, dtype=np.float32) / c.width
    lean = x if c.side() > 0 else 1 - x
    line = (c.height * (row + 0.10 * lean) + 0.012 * c.unit * c.line(rng, 2.0, 3)).astype(np.float32)
    sand = SNOW if snowy(c) else SAND
    c.dry = line
    wet = c.light.on(np.asarray(sand) * np.float32(0.66))
    c.below(line, mix(wet, c.light.horizon, 0.35), wet, 0.05 * c.unit)
    for k, (drop, strength) in enumerate(((-0.004, 0.95), (-0.035, 0.6), (-0.075, 0.35))):
        edge = line + drop * c.unit + 0.006 * c.unit * c.line(rng, 5 + 2 * k, 3)
        foam(c, rng, edge.astype(np.float32), np.ones(c.width, np.float32), strength)
    dry = line + 0.055 * c.unit + 0.01 * c.unit * c.line(rng, 1.7, 3)
    roll(c, rng, dry.astype(np.float32), sand, distance=0.0, fade=0.3)


def river(c: Canvas, top: int) -> None:
    """A river winding from the distance to the lower edge, mirroring the sky."""
    rng = c.rng("river")
    near = np.arange(c.height - top, dtype=np.float32) / (c.height - top)
    swing = smooth_values(rng, (1 - near) ** 1.6 * 3.4 + 0.7) * (0.15 * (1 - near) + 0.10) * 0.7
    half = c.unit * (0.006 + 0.24 * near**1.7) + 0.006 * c.unit * near * smooth_values(rng, near * 40)
    away = np.abs(np.arange(c.width, dtype=np.float32)[None, :] - c.width * (0.5 + swing[:, None])) - half[:, None]
    before = c.pixels[top:].copy()
    water(c, top, rough=0.12)
    # Too far off to be told from the meadow: a hair-thin line would look like a scratch.
    wet = np.clip(0.5 - away, 0, 1) * step(0.01, 0.07, near)[:, None]
    c.stream = np.zeros((c.height, c.width), np.float32)
    c.stream[top:] = wet
    before += (c.pixels[top:] - before) * wet[..., None]
    shore = np.exp(-np.abs(away) / (0.012 * c.unit * (0.2 + near[:, None]))) * (away > 0) * np.float32(0.27)
    c.pixels[top:] = before * (1 - shore * step(0.03, 0.12, near)[:, None])[..., None]


def falls(c: Canvas) -> None:
    """A wall of rock across the river's beginning, and the river falling over it."""
    rng, row = c.rng("falls"), int(c.horizon + 0.26 * (c.height - c.horizon))
    wet = c.stream[row] if c.stream is not None else np.zeros(c.width, np.float32)
    at = np.arange(c.width, dtype=np.float32)
    x = (at - np.float32((wet * at).sum() / max(float(wet.sum()), 1.0))) / c.unit
    wall = np.exp(-((np.abs(x) / 0.40) ** 4)) * (0.46 + 0.05 * c.line(rng, 7, 4)) - 0.02
    crest = (row - wall * c.unit).astype(np.float32)
    first = max(0, int(crest.min()))
    foot = (row + 0.02 * c.unit + 0.015 * c.unit * c.line(rng, 6, 3)).astype(np.float32)
    last = min(c.height, int(foot.max()) + 1)
    h = last - first
    lip = float(crest[np.abs(x) < 0.05].mean())
    face = 0.80 + 0.12 * c.fbm(rng, 10, 4, size=(h, c.width), span=(h / c.unit, c.width / c.unit), wide=0.3)
    y = np.arange(first, last, dtype=np.float32)[:, None]
    moss = np.maximum(1 - (y - crest) / (0.05 * c.unit), 1 - (foot - y) / (0.09 * c.unit)).clip(0, 0.9)[..., None]
    rock = np.array((0.40, 0.38, 0.36), np.float32)
    tone = (rock + (np.asarray(ground_colour(c), np.float32) - rock) * moss) * face[..., None]
    c.lay(slice(first, last), c.under(crest, first, last) * (1 - c.under(foot, first, last)), c.light.on(tone, 0.12))
    fall = (y - lip) / max(row - lip, 1)
    streaks = c.fbm(rng, 34, 3, size=(h, c.width), span=(h / c.unit, c.width / c.unit), wide=0.05)
    half = 0.048 + 0.022 * fall
    sheet = np.clip((half - np.abs(x)) * 100, 0, 1) * step(-0.02, 0.02, fall) * (y < row + 0.02 * c.unit)
    c.lay(slice(first, last), sheet * np.clip(0.86 + 0.10 * streaks, 0, 0.97), c.light.on((0.93, 0.96, 0.98), 0.1))
    mist = c.around((float(np.argmin(np.abs(x))), row), (0.24 * c.unit, 0.10 * c.unit))
    cloud = np.exp(-((mist[2] / (0.11 * c.unit)) ** 2) - (mist[3] / (0.035 * c.unit)) ** 2) * np.float32(0.85)
    c.lay(mist[0], cloud, c.light.on((0.95, 0.97, 0.98), 0.2), mist[1])


def underwater(c: Canvas) -> None:
    """Below the surface: blue deepening downward, shafts of light, sand, weed and bubbles."""
    rng, c.sun = c.rng("under"), (c.width * 0.5, 0.0)
    t = np.linspace(0, 1, c.height, dtype=np.float32)
    level = np.float32(0.35 + 0.65 * max(c.light.ambient))
    stops = np.array([(0.42, 0.82, 0.84), (0.06, 0.44, 0.60), (0.02, 0.16, 0.32)], np.float32) * level
    c.pixels[:] = np.stack([np.interp(t, (0, 0.45, 1), stops[:, k]) for k in range(3)], -1)[:, None, :]
    y, x = np.mgrid[0 : c.height // 4 + 1, 0 : c.width // 4 + 1].astype(np.float32) * np.float32(4 / c.unit)
    fan = (x - np.float32(c.sun[0] / c.unit)) / (y + 0.5) + 4
    rays = smooth_values(rng, np.clip(fan * 7, 0, 60)) + 0.5 * smooth_values(rng, np.clip(fan * 17, 0, 140))
    shafts = step(0.1, 1.8, rays) * np.clip(1 - y / (c.height / c.unit) * 1.15, 0, 1) * np.float32(0.42)
    c.add(slice(None), enlarge(shafts, c.width, c.height), (0.75, 1.0, 0.95))
    for k in range(3):
        line = c.height * (0.80 + 0.07 * k) + 0.03 * c.unit * c.line(rng, 1.4 + k, 3)
        tone = mix((0.05, 0.30, 0.42), (0.72, 0.70, 0.52), 0.12 + 0.22 * k) * level
        if k == 2:
            _weed(c, rng, line, mix(tone * np.float32(0.42), (0.02, 0.24, 0.20), 0.5))
        c.below(line.astype(np.float32), tone, tone * np.float32(0.55), 0.25 * c.unit)


def _weed(c: Canvas, rng: np.random.Generator, line: Array, tone: Array) -> None:
    """Ribbons of weed swaying up from the sea floor in clumps."""
    weed = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(weed)
    for _ in range(7):
        middle = rng.random() * c.width
        for _ in range(9):
            x = middle + rng.normal(0, 0.035) * c.unit
            y = float(line[int(np.clip(x, 0, c.width - 1))]) + 0.02 * c.unit
            t = np.linspace(0, 1, 14)
            px = x + np.sin(t * 5 + rng.uniform(0, 6)) * 0.018 * c.unit * t
            py, wide = y - t * c.unit * rng.uniform(0.08, 0.26), c.unit * 0.0055 * (1 - t) ** 0.6
            outline = np.concatenate([np.stack([px - wide, py], -1), np.stack([px + wide, py], -1)[::-1]])
            draw.polygon([(float(u), float(v)) for u, v in outline], fill=255)
    c.lay(slice(None), np.asarray(weed, np.float32) / 255 * np.float32(0.85), tone)
