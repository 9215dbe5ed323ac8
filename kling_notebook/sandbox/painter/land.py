"""Land: hills, woods, cliffs and the ground they stand on, far layers first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Array, Canvas, enlarge, mix, step
from .trees import stand

if TYPE_CHECKING:
    from .catalog import RGB

GRASS: RGB = (0.42, 0.55, 0.24)
WOOD: RGB = (0.17, 0.33, 0.22)
SAND: RGB = (0.90, 0.70, 0.46)
SNOW: RGB = (0.93, 0.95, 0.99)
ROCK: RGB = (0.46, 0.45, 0.49)
RED_ROCK: RGB = (0.76, 0.38, 0.24)
_BARE = {"desert": SAND, "canyon": RED_ROCK}
_TURF = {"autumn": (0.66, 0.50, 0.20), "spring": (0.48, 0.66, 0.30), "summer": (0.60, 0.60, 0.24)}
_FOLIAGE = {"autumn": (0.74, 0.36, 0.12), "spring": (0.40, 0.58, 0.28), "summer": (0.22, 0.44, 0.18)}


def snowy(c: Canvas) -> bool:
    """Whether snow lies."""
    scene = c.scene
    lies = bool({"snow", "glacier"} & set(scene.places)) or scene.season == "winter" or "snowfall" in scene.weather
    return lies and "snow" not in scene.unwanted


def ground_colour(c: Canvas) -> RGB:
    """What the ground is made of, by place and season."""
    places = c.scene.places
    if c.scene.place_tint is not None and not {"forest", "jungle", "mountain", "city"} & set(places):
        return c.scene.place_tint
    if snowy(c):
        return SNOW
    bare = next((_BARE[name] for name in places if name in _BARE), None)
    return bare or _TURF.get(c.scene.season or "", GRASS)


def wood_colour(c: Canvas) -> RGB:
    """What woods look like, by season."""
    if c.scene.place_tint is not None and {"forest", "jungle"} & set(c.scene.places):
        return c.scene.place_tint
    if snowy(c):
        return (0.36, 0.45, 0.50)
    usual = (0.14, 0.38, 0.20) if "jungle" in c.scene.places else WOOD
    return _FOLIAGE.get(c.scene.season or "", usual)


def hills(c: Canvas, base: float, *, layers: int = 4, tall: float = 0.12, far: float = 0.85) -> None:
    """Rolling hills from `base` down to the lower edge, each layer nearer and darker, with groves on the far ones."""
    rng = c.rng("hills")
    material = ground_colour(c)
    green = material not in {SAND, RED_ROCK, SNOW}
    wooded = material not in {SAND, RED_ROCK}
    for k in range(layers):
        t = k / max(layers - 1, 1)
        distance = far * (1 - t) ** 1.2
        line = base + t * (c.height - base) * 0.62 - tall * c.unit * (0.3 + 0.4 * c.line(rng, 0.9 + 0.5 * t, 3, 0.38))
        shade = 0.80 + 0.20 * (k % 2)
        if wooded and k < layers - 1 and "tree" not in c.scene.unwanted:
            grove(c, rng, line.astype(np.float32), (0.028 + 0.045 * t) * c.unit, distance)
        if green and k == layers - 1:
            line = line - 0.005 * c.unit * np.abs(c.line(rng, 130, 2, 0.9))
        tone = mix(material, WOOD, 0.14 * (k % 3)) * np.float32(shade)
        roll(c, rng, line, tone, distance=distance, fade=0.2 + 0.3 * t)


def grove(c: Canvas, rng: np.random.Generator, foot: Array, tall: float, distance: float) -> None:
    """Trees in clumps along a crest, to be half covered by the ground painted next."""
    pines = (snowy(c) or "mountain" in c.scene.places) and "pine" not in c.scene.unwanted
    sink = foot + np.float32(0.25 * tall)
    outline = treeline(c, rng, sink, tall * (1.25 if pines else 1.0), 1.9, leaves=not pines)
    clump = step(0.15, 0.75, c.line(rng, 2.6, 3))
    outline = sink - (sink - outline) * clump
    first, last = max(0, int(outline.min())), min(c.height, int(sink.max()) + 1)
    if last <= first:
        return
    tone = c.light.on(mix(wood_colour(c), (0.06, 0.10, 0.10), 0.25), distance)
    mask = c.under(outline.astype(np.float32), first, last) * (clump > 0.02)
    rows = np.arange(first, last, dtype=np.float32)[:, None]
    mask *= np.clip(sink[None, :] - rows + 0.5, 0, 1)
    c.lay(slice(first, last), mask, tone)


def fringe(c: Canvas) -> None:
    """Grass at the viewer's feet, dark against the light."""
    rng = c.rng("fringe")
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)
    swell, wide, y = c.line(rng, 2.2, 3), c.unit * 0.0022, c.height + 2
    for _ in range(int(300 * c.width / c.unit)):
        x = rng.random() * c.width
        long = c.unit * max(0.012, 0.040 + 0.024 * float(swell[int(x)])) * rng.uniform(0.5, 1.5)
        lean = rng.normal(0, 0.30) * long
        bend, half = x + lean * 0.35, wide * 0.6
        blade = [(x - wide, y), (bend - half, y - long * 0.6), (x + lean, y - long), (bend + half, y - long * 0.6)]
        draw.polygon([*blade, (x + wide, y)], fill=255)
    tone = mix(ground_colour(c), (0.05, 0.08, 0.06), 0.62) if not snowy(c) else np.array((0.42, 0.40, 0.36), np.float32)
    c.lay(slice(None), np.asarray(sheet, np.float32) / 255 * np.float32(0.92), c.light.on(tone))


def roll(
    c: Canvas, rng: np.random.Generator, line: Array, material: Array | RGB, *, distance: float, fade: float
) -> None:
    """One swell of ground: bright along its crest, darker below, with a breath of texture."""
    material = np.asarray(material, np.float32)
    white = float(material.min()) > 0.75
    if white:
        material = material * np.float32(1 + 0.6 * c.light.dark)  # snow gives back what light there is
    crest = c.light.on(material * np.float32(1.12), distance)
    c.below(line, crest, c.light.on(material * np.float32(0.80 if white else 0.62), distance * 0.72), fade * c.unit)
    first = max(0, int(line.min()))
    if first >= c.height - 4 or c.flat:
        return
    size, span = ((c.height - first) // 2 + 1, c.width // 2 + 1), ((c.height - first) / c.unit, c.width / c.unit)
    # Broad dapples, as clouds leave them, and a fine grain.
    patch = c.fbm(rng, 5.0, 4, size=size, wide=3.5, span=span, gain=0.6)
    patch = patch + np.float32(0.9) * c.fbm(rng, 1.3, 2, size=size, wide=3.0, span=span)
    grain = enlarge(patch * np.float32(0.075 * (1 - 0.6 * distance)), c.width, c.height - first)
    c.pixels[first:] *= (1 + grain * c.under(line, first, c.height))[..., None]


def leafy(c: Canvas) -> bool:
    """Whether woods have leaves and not needles."""
    seasons = {"autumn", "spring", "summer"}
    return c.scene.season in seasons or "jungle" in c.scene.places or "pine" in c.scene.unwanted


def treeline(c: Canvas, rng: np.random.Generator, foot: Array, tall: float, spread: float, *, leaves: bool) -> Array:
    """The upper outline of a wood standing on the line `foot`: round heads, or spires. `tall` in pixels."""
    line = foot.copy()
    count = max(4, int(c.width / (tall * (0.24 if leaves else 0.34)) * spread))
    for share in (np.arange(count) + rng.uniform(0, 1, count)) / count:
        place, height = share * (c.width + tall) - tall / 2, tall * rng.uniform(0.5, 1.08)
        half = height * (rng.uniform(0.15, 0.32) if leaves else rng.uniform(0.17, 0.24))
        a, b = max(0, int(place - half)), min(c.width, int(place + half) + 1)
        if b <= a:
            continue
        off = np.abs(np.arange(a, b, dtype=np.float32) - np.float32(place)) / np.float32(half)
        if leaves:
            rise = np.float32(height - half) + np.float32(half) * np.sqrt(np.clip(1 - off * off, 0, 1))
        else:  # boughs make the flanks of a spire ragged
            ragged = off + 0.07 * (np.modf(off * (7 + place % 3))[0] * 2 - 1) * (0.3 + off)
            rise = np.float32(height) * np.clip(1 - ragged, 0, 1)
        line[a:b] = np.minimum(line[a:b], np.where(off < 1, foot[a:b] - rise, line[a:b]))
    return (line + 0.004 * tall * c.line(rng, 90, 2) * leaves).astype(np.float32)


def woods(c: Canvas, base: float, *, layers: int = 5, tall: float = 0.2) -> None:
    """A forest in depth: rows of trees, pale and small behind, dark and tall in front, mist between them."""
    rng = c.rng("woods")
    leaves = leafy(c)
    for k in range(layers):
        t = k / max(layers - 1, 1)
        distance = 0.88 * (1 - t) ** 0.9 + 0.03
        foot = (base + c.unit * ((t - 0.5) * 0.14 + 0.030 * c.line(rng, 1.2 + t, 3))).astype(np.float32)
        height = tall * c.unit * (0.34 + 0.62 * t)
        material = mix(wood_colour(c), (0.05, 0.09, 0.12), 0.05 + 0.30 * t)
        mist = mix(c.light.on(material, distance), c.light.haze, 0.30 + 0.55 * distance)
        if k < layers - 3 or c.flat or height < 0.07 * c.unit:
            outline = treeline(c, rng, foot, height, 2.1 - 0.7 * t, leaves=leaves)
            c.below(outline, c.light.on(material * np.float32(1.1), distance), mist, height * 1.25)
            continue
        tones = [c.light.on(mix(material, other, 0.45), distance) for other in _leaves(c, leaves)]
        c.below(foot - height * 0.30, mist, mist, height)
        count = max(3, int(c.width / height * ((4.6 if leaves else 5.6) - 1.6 * t)))
        spots = (np.arange(count) + rng.uniform(-0.4, 1.4, count)) / count
        stand(c, rng, foot + 0.05 * height, tones, tall=height, leafy=leaves, spots=spots.tolist())
        c.below(foot + 0.02 * height, mix(tones[0], mist, 0.5), mist, height * 0.5)


def _leaves(c: Canvas, leaves: bool) -> tuple[RGB, ...]:
    """The tones that stand side by side in a wood."""
    own = tuple(float(v) for v in wood_colour(c))
    if c.scene.place_tint is not None or not leaves:
        return ((own[0], own[1], own[2]), (own[0] * 0.8, own[1] * 0.85, own[2] * 0.9))
    return {
        "autumn": ((0.86, 0.46, 0.12), (0.74, 0.24, 0.10), (0.92, 0.66, 0.18), (0.55, 0.30, 0.12)),
        "spring": ((0.96, 0.70, 0.78), (0.50, 0.66, 0.30), (0.98, 0.84, 0.88), (0.62, 0.74, 0.40)),
    }.get(c.scene.season or "", ((0.24, 0.46, 0.18), (0.36, 0.54, 0.20), (0.16, 0.36, 0.18)))


def cliff(c: Canvas, base: float) -> None:
    """A headland at the side away from the light, its foot in the sea. Leaves its top as `c.shelf`."""
    rng = c.rng("cliff")
    x = np.arange(c.width, dtype=np.float32) / c.width
    inward = x if c.side() > 0 else 1 - x
    for k in range(2):
        distance, reach = 0.42 - 0.34 * k, 0.66 - 0.20 * k
        out = np.clip(1 - inward / reach, 0, 1)
        rise = step(-0.06, 0.05, reach - inward + 0.022 * c.line(rng, 8, 4))
        top = base - c.unit * ((0.15 + 0.075 * k) * (0.65 + 0.5 * out) + 0.005 * c.line(rng, 7, 4))
        foot = base + c.unit * (0.012 + 0.05 * k + (0.03 + 0.14 * k) * out + 0.006 * c.line(rng, 12, 3))
        line = np.where(rise > 0.004, foot + (top - foot) * rise, c.height + 9).astype(np.float32)
        first, last = max(0, int(line.min())), min(c.height, int(foot.max()) + 2)
        rows = np.arange(first, last, dtype=np.float32)[:, None]
        span = ((last - first) / c.unit, c.width / c.unit)
        rough = c.fbm(rng, 15, 5, size=(last - first, c.width), span=span, wide=0.55, gain=0.6)
        rough = np.float32(0.4) * np.sign(rough) if c.flat else rough
        rock = mix(ROCK, (0.70, 0.60, 0.50), 0.5)
        lit, dim = c.light.on(rock, distance), c.light.on(rock * np.float32(0.34), distance)
        colour = dim + (lit - dim) * np.clip(0.48 + 0.30 * rough, 0, 1)[..., None]
        depth = np.clip(rows - line[None, :], 0, None) / c.unit
        turf = np.clip(1.2 - (depth + 0.010 * rough) / (0.018 + 0.014 * k), 0, 1)[..., None]
        colour += (c.light.on(ground_colour(c), distance) - colour) * turf
        soft = max(3, c.unit // 24)
        there = np.convolve((rise > 0.5).astype(np.float32), np.ones(soft, np.float32) / soft, "same")
        # The dark mirror image below its foot, then the foam around it.
        dark = np.exp(-np.clip(np.arange(c.height)[int(base) :, None] - foot, 0, None) / (0.045 * c.unit)) * there
        c.pixels[int(base) :] *= (1 - 0.5 * dark)[..., None]
        foam(c, rng, foot.astype(np.float32), there, 0.8)
        c.lay(slice(first, last), c.under(line, first, last) * np.clip(foot[None, :] - rows + 0.5, 0, 1), colour)
        c.shelf = line


def foam(c: Canvas, rng: np.random.Generator, edge: Array, there: Array, strength: float) -> None:
    """A broken white line where water meets land, along `edge` as far as it is `there` (both one per column)."""
    first, last = max(0, int(edge.min()) - 8), min(c.height, int(edge.max() + 0.03 * c.unit))
    t = (np.arange(first, last, dtype=np.float32)[:, None] - edge[None, :]) / (0.009 * c.unit)
    lace = c.fbm(rng, 28, 2, size=t.shape, span=((last - first) / c.unit, c.width / c.unit), wide=2.2)
    mask = np.exp(-np.abs(t) * np.where(t < 0, 1.2, 2.4)) * step(-1.0, 0.7, lace) * there[None, :]
    c.lay(slice(first, last), mask * np.float32(strength), c.light.on((1, 1, 1)))
