"""A mountain range as a landscape seen from a valley: a field of heights, its light and shadow, snow, scree and woods.

The field has one column per column of the picture and one row per step into the distance. Heights are as the eye
measures them, in units of the picture above the horizon, so that what is far needs no smaller noise. What one pixel
sees is the nearest row that reaches up to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .canvas import Array, Canvas, bands, enlarge, lattice, mix, step
from .land import ROCK, SNOW, ground_colour, snowy, wood_colour

STEPS = 360
"""Rows of the field. A face that spans a third of them has about one row for each of its pixels."""


@dataclass(slots=True)
class Field:
    """What is known of each spot of the range, (STEPS, columns): near rows first."""

    height: Array
    light: Array
    hollow: Array
    steep: Array
    rough: Array


def range_of(c: Canvas, base: float, tall: float) -> None:
    """Paint the range. `base` is the row of its feet, `tall` the height of its summits in units."""
    rng = c.rng("mountains")
    columns = min(c.width, max(48, int(400 * c.width / c.unit)))
    field = _shaped(c, rng, columns, tall)
    line = np.float32(base) - enlarge(field.height, c.width, STEPS) * np.float32(c.unit)
    first, last = max(0, int(line.min()) - 1), min(c.height, int(base + 0.06 * c.unit))
    if last - first < 2:
        return
    _paint(c, _coloured(c, rng, field), line, _nearest(line, first, last), first)


def _ridged(rng: np.random.Generator, down: float, across: float, size: tuple[int, int], octaves: int) -> Array:
    """Sharp crests and soft valleys, about 0..1: each octave only roughens what the one before it raised."""
    total = np.zeros(size, np.float32)
    weight: Array = np.ones(size, np.float32)
    power, share = 0.0, 1.0
    warp = lattice(rng, down * 0.9, across * 0.9, *size)
    at_y, at_x = np.arange(size[0])[:, None], np.arange(size[1])[None, :]
    for octave in range(octaves):
        noise = lattice(rng, down, across, *size)
        if octave < 3:
            # Bent by one another, the crests leave the lattice they grew on.
            rows = np.clip(at_y + warp * np.float32(0.30 * size[0] / down), 0, size[0] - 1).astype(np.intp)
            columns = np.clip(at_x + warp[::-1] * np.float32(0.30 * size[1] / across), 0, size[1] - 1).astype(np.intp)
            noise = noise[rows, columns]
        signal = np.clip(1 - np.abs(noise) * np.float32(1.15), 0, 1)
        signal *= signal
        total += np.float32(share) * signal * weight
        power += share
        weight = np.clip(signal * np.float32(1.6), 0.12, 1)
        share *= 0.47
        down, across = down * 2.05, across * 2.05
    return total / np.float32(power * 0.78)


def _shaped(c: Canvas, rng: np.random.Generator, columns: int, tall: float) -> Field:
    size = (STEPS, columns)
    broad = c.width / c.unit
    far = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
    across = np.linspace(0, broad, columns, dtype=np.float32)[None, :]
    rock = _ridged(rng, 4.2, broad * 2.2, size, 7)
    swell = lattice(rng, 2.0, broad * 1.3, *size)
    warp = lattice(rng, 7, broad * 4, *size) + 0.5 * lattice(rng, 15, broad * 9, *size)
    # The summit stands away from the sun, on the third of the picture that has room for it.
    side = float(c.side())
    summit = broad * 0.5 - side * rng.uniform(0.06, 0.26) * min(broad, 1.4)
    height = step(0.0, 0.8, far) * (0.24 + 0.07 * swell) * (0.5 + 0.8 * rock)
    for dx, dz, wide, tower in (
        (0.0, 0.74, 0.74, 1.0),
        (side * rng.uniform(0.5, 0.8), 0.66, 0.50, rng.uniform(0.5, 0.66)),
        (-side * rng.uniform(0.45, 0.7), 0.84, 0.56, rng.uniform(0.6, 0.78)),
        (side * rng.uniform(-0.5, 0.5), 0.5, 0.40, rng.uniform(0.3, 0.42)),
    ):
        cone = _cone(rng, across - np.float32(summit + dx), far - np.float32(dz), wide, warp)
        height = np.maximum(height, tower * cone * (0.62 + 0.40 * rock))
    height = np.float32(tall) * (height - 0.15 * (1 - far) ** 2)
    height = np.asarray(height, np.float32)
    slope_x = np.gradient(height, axis=1) * np.float32(columns / broad)
    slope_z = np.gradient(height, axis=0) * np.float32(STEPS / 1.5)
    length = np.sqrt(slope_x * slope_x + slope_z * slope_z + 1)
    light = (-slope_x * np.float32(side) * np.float32(0.80) + slope_z * np.float32(0.20) + np.float32(0.34)) / length
    light = np.clip(light * np.float32(1.5), 0, 1)
    light *= 1 - np.float32(0.82) * _shadow(height, side, broad)
    soft = enlarge(np.ascontiguousarray(height[::8, ::8]), columns, STEPS)
    return Field(height, light, (height - soft) / np.float32(tall), 1 - 1 / length, rock)


def _cone(rng: np.random.Generator, dx: Array, dz: Array, wide: float, warp: Array) -> Array:
    """One mountain, 0..1: flanks that steepen to a point, cut by gullies between spurs that run down and fork."""
    spurs = _spurs(rng)
    down, around = spurs.shape
    dz = dz / np.float32(0.86)
    away = np.sqrt(dx * dx + dz * dz)
    away *= (1 + np.float32(0.10) * warp) / np.float32(wide)
    turn = (np.arctan2(dz, dx) + np.float32(0.16) * warp) * np.float32(around / (2 * np.pi))
    at = np.minimum(away * np.float32(down), down - 1).astype(np.int32) * around
    at += turn.astype(np.int32) % around
    body = np.clip(1 - away, 0, 1)
    cut = np.take(spurs.ravel(), at) * np.clip(away * np.float32(2.6), 0, 1)
    out: Array = body * np.clip(np.sqrt(np.sqrt(body)) * np.float32(0.98) - cut, 0, 1)
    return out


def _spurs(rng: np.random.Generator) -> Array:
    """How deep the gullies are, by distance from the summit (rows) and direction (columns, round once)."""
    size = (160, 1536)
    total = np.zeros(size, np.float32)
    for around, depth in ((9, 0.26), (21, 0.13), (47, 0.062)):
        table = rng.standard_normal((9, around + 4)).astype(np.float32)
        table[:, -4:] = table[:, :4]
        image = Image.fromarray(table).resize(size[::-1], Image.Resampling.BICUBIC, box=(2, 0, around + 2, 9))
        total += np.minimum(np.abs(np.asarray(image)) * np.float32(depth * 1.3), np.float32(depth))
    return total


def _shadow(height: Array, side: float, broad: float) -> Array:
    """What a higher ridge on the sun's side keeps in the shade, 0..1. The sun stands low."""
    fall = np.arange(height.shape[1], dtype=np.float32) * np.float32(0.40 * broad / height.shape[1])
    along = height[:, ::-1] if side > 0 else height
    edge = np.maximum.accumulate(along + fall, axis=1) - fall
    shade = np.clip((edge - along) * np.float32(34), 0, 1)
    out: Array = shade[:, ::-1] if side > 0 else shade
    return out


def _nearest(line: Array, first: int, last: int) -> Array:
    """Which step of the field each pixel of the rows first..last sees (beyond the last one: sky)."""
    steps, width = line.shape
    hit = np.full((last - first, width), np.float32(steps + 9))
    columns = np.arange(width)
    at = np.ceil(np.minimum.accumulate(line, axis=0) - np.float32(first + 0.5)).astype(np.intp)
    for k in range(steps - 1, -1, -1):  # nearer steps overwrite farther ones
        inside = (at[k] >= 0) & (at[k] < last - first)
        hit[at[k][inside], columns[inside]] = k
    out: Array = np.minimum.accumulate(hit, axis=0)
    return out


def _paint(c: Canvas, tone: Array, line: Array, nearest: Array, first: int) -> None:
    """Lay the range into the picture: each pixel takes the `tone` between the two steps it lies between.

    `line` is the row of the picture every spot of the field is seen at, `first` the uppermost row of the range.
    """
    steps, rows = tone.shape[0], nearest.shape[0]
    tone = enlarge(tone, c.width, steps).reshape(-1, 3)
    top = np.minimum.accumulate(line - np.float32(first), axis=0).ravel()
    column = np.arange(c.width, dtype=np.intp)
    grain = _grain(c, c.rng("stones"), rows)
    above = c.pixels[max(first - 1, 0)].copy()
    for band in bands(rows, 32):
        step_here = nearest[band].astype(np.intp)
        ground = step_here < steps
        index = np.minimum(step_here, steps - 1) * c.width + column
        before = np.maximum(index - c.width, column)
        y = np.arange(band.start, band.stop, dtype=np.float32)[:, None]
        edge, under = top[index], top[before]
        colour, nearer = tone[index], tone[before]
        nearer -= colour
        nearer *= np.clip((y - edge) / np.maximum(under - edge, np.float32(0.5)), 0, 1)[..., None]
        colour += nearer
        colour *= grain[band, :, None]
        block = c.pixels[first + band.start : first + band.stop]
        np.copyto(colour, block, where=~ground[..., None])
        # Where a crest ends within a pixel, the pixel above shows through.
        behind = np.concatenate([above[None], colour[:-1]])
        behind += (colour - behind) * np.clip(y + np.float32(0.5) - edge, 0, 1)[..., None]
        np.copyto(block, behind, where=ground[..., None])
        above = colour[-1]


def _grain(c: Canvas, rng: np.random.Generator, h: int) -> Array:
    """Stones too small for the field: each lump has a bright flank on the sun's side, and a dark one. (h, width)"""
    if c.flat:
        return np.ones((h, c.width), np.float32)
    size, span = (h // 2 + 1, c.width // 2 + 1), (h / c.unit, c.width / c.unit)
    noise = c.fbm(rng, 22, 4, size=size, span=span, gain=0.72, wide=1.2)
    relief = noise - np.roll(noise, (-2, 2 if c.side() > 0 else -2), axis=(0, 1))
    return enlarge(1 + np.clip(relief, -1.6, 1.6) * np.float32(0.055), c.width, h)


def _coloured(c: Canvas, rng: np.random.Generator, field: Field) -> Array:
    """The colour of each spot, (STEPS, columns, 3)."""
    light = c.light
    far = np.linspace(0, 1, field.height.shape[0], dtype=np.float32)[:, None]
    high = field.height / np.float32(max(float(field.height.max()), 1e-3))
    material, patchy = _material(c, rng, field, high)
    lit = np.clip(field.light * (1 + np.float32(0.25) * patchy), 0, 1)
    if c.flat:
        lit = np.where(field.light > 0.42, np.float32(0.85), np.float32(0.12))
    ambient, strength = np.asarray(light.ambient, np.float32), max(light.ambient)
    sunny = ambient * np.float32(0.95) + np.asarray(light.sun, np.float32) * np.float32(0.48 * strength)
    # What the sun does not reach is lit by the sky, and takes its colour.
    sky = np.asarray(light.zenith, np.float32) * np.float32(0.46 * (1 - 0.35 * light.dark))
    shady = ambient * np.float32(0.16) + sky
    colour = material * (shady + (sunny - shady) * lit[..., None])
    if not c.flat:
        colour *= np.clip(1 + field.hollow * np.float32(2.4), 0.45, 1.25)[..., None]
    # The air lies in the valleys: feet fade sooner than summits.
    air = (0.10 + 0.62 * far**1.3) * (1.25 - 0.62 * high) + np.float32(0.25) * np.clip(0.2 - high, 0, 1)
    air = np.clip(air, 0, 0.97) * np.float32(light.thick)
    colour += (mix(light.haze, light.middle, 0.25) - colour) * air[..., None]
    return np.asarray(colour, np.float32)


def _material(c: Canvas, rng: np.random.Generator, field: Field, high: Array) -> tuple[Array, Array]:
    """Rock, meadow, woods and snow by height and steepness, and the patches they come in."""
    scene, size, broad = c.scene, high.shape, c.width / c.unit
    patchy = lattice(rng, 26, 26 * broad, *size) * np.float32(0.5)
    patchy += lattice(rng, 60, 60 * broad, *size) * np.float32(0.35)
    if c.flat:
        patchy *= np.float32(0.2)  # plain patches have plain borders
    rock = ground_colour(c) if "canyon" in scene.places else ROCK
    stone = np.asarray(mix(rock, (0.52, 0.46, 0.42), 0.4) if scene.place_tint is None else scene.place_tint, np.float32)
    shades = np.float32(1) + np.float32(0.0 if c.flat else 0.16) * (field.rough * 2 - 1 + np.float32(0.3) * patchy)
    material = np.asarray(stone * shades[..., None], np.float32)
    if {"desert", "canyon"} & set(scene.places):
        return material, patchy
    if scene.place_tint is None:
        _grow(c, material, high, field, patchy)
    if "snow" not in scene.unwanted:
        low = np.float32(0.10 if snowy(c) else 0.50)
        hold = np.float32(1.6) * field.hollow - np.float32(0.34) * np.clip(field.steep - 0.30, 0, 1)
        white = step(-0.07, 0.07, high - low + np.float32(0.13) * patchy + hold)
        material += (np.asarray(SNOW, np.float32) - material) * white[..., None]
    return material, patchy


def _grow(c: Canvas, material: Array, high: Array, field: Field, patchy: Array) -> None:
    """Woods on the lower slopes, meadows where they are gentle, in place."""
    grass = 0.50 - high + np.float32(0.12) * patchy - np.float32(0.8) * np.clip(field.steep - 0.45, 0, 1)
    turf = np.asarray(ground_colour(c), np.float32) * np.float32(0.8)
    material += (turf - material) * (step(-0.10, 0.10, grass) * np.float32(0.8))[..., None]
    if {"tree", "pine", "forest"} & c.scene.unwanted:
        return
    wood = 0.40 - high + np.float32(0.10) * patchy - np.float32(0.9) * np.clip(field.steep - 0.55, 0, 1)
    leaves = np.asarray(mix(wood_colour(c), (0.05, 0.10, 0.08), 0.4), np.float32)
    crowns = leaves * (1 + np.float32(0.22) * patchy[..., None])
    material += (crowns - material) * step(-0.08, 0.10, wood)[..., None]
