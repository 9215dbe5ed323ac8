"""What lies before a range of mountains: a lake or a meadow, belts of firs, and trees near by that give the scale."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, mix
from .land import fringe, ground_colour, hills, leafy, snowy, treeline, wood_colour
from .trees import stand
from .water import bank, far_shore, river, water


def valley(c: Canvas, base: int) -> None:
    """From the feet of the range to the viewer's. Every other picture of a job has a lake, if nothing stands there."""
    firs = not {"tree", "pine", "forest"} & c.scene.unwanted
    lake = c.scene.index % 2 == 0 and not c.scene.subjects and not {"lake", "river", "sea"} & c.scene.unwanted
    if lake:
        belts(c, base)
        water(c, base, rough=0.05)
        far_shore(c, base)
        bank(c, 0.90)
    else:
        belts(c, base)
        meadow(c, base)
    if firs and not c.scene.subjects:
        near_firs(c)
    if not snowy(c):
        fringe(c)


def meadow(c: Canvas, base: float) -> None:
    """A valley floor that rises toward the viewer in swells, firs along them, a river down its middle."""
    hills(c, base + 0.025 * c.unit, layers=4, tall=0.055, far=0.34)
    if not c.scene.subjects and "river" not in c.scene.unwanted:
        river(c, int(base + 0.045 * c.unit))


def belts(c: Canvas, base: float, tall: float = 0.05) -> None:
    """Woods along a far shore, two deep, thinning out here and there. `tall` in units."""
    if {"tree", "forest"} & c.scene.unwanted:
        c.pixels[int(base) :] = c.light.on(ground_colour(c), 0.34)
        return
    rng = c.rng("belts")
    for k in range(2):
        high = tall * (0.65 + 0.40 * k) * c.unit
        swell = np.clip(0.55 + 0.5 * c.line(rng, 1.3 + k, 3), 0.0, 1.3)
        foot = np.full(c.width, base + 1.0, np.float32)
        outline = treeline(c, rng, foot, high, 2.6, leaves=leafy(c))
        outline = foot - (foot - outline) * swell - np.float32(0.004 * c.unit)
        tone = c.light.on(mix(wood_colour(c), (0.05, 0.09, 0.10), 0.45), 0.42 - 0.22 * k)
        first, last = max(0, int(outline.min())), min(c.height, int(base) + 1)
        c.lay(slice(first, last), c.under(outline.astype(np.float32), first, last), tone)
    c.pixels[int(base) :] = c.light.on(ground_colour(c), 0.34)


def near_firs(c: Canvas) -> None:
    """Tall firs at the edge of the picture on the sun's side, dark against the light."""
    rng = c.rng("near firs")
    tones = [c.light.on(mix(wood_colour(c), (0.03, 0.06, 0.07), share)) for share in (0.6, 0.4)]
    away = [rng.uniform(*reach) for reach in ((-0.02, 0.02), (0.05, 0.09), (0.11, 0.17), (0.2, 0.24))]
    spots = [1 - a * c.unit / c.width if c.side() > 0 else a * c.unit / c.width for a in away]
    ground = np.full(c.width, 0.965 * c.height, np.float32)
    stand(c, rng, ground, tones, tall=0.42 * c.unit, leafy=False, spots=spots)


def flanks(c: Canvas) -> None:
    """Trees at both edges of the picture, that leave its middle open."""
    if {"tree", "forest", "jungle"} & c.scene.unwanted:
        return
    rng = c.rng("flanks")
    own = wood_colour(c)
    shore = c.dry if c.dry is not None else np.full(c.width, 0.88 * c.height, np.float32)
    for k, inland in enumerate((0.012, 0.035, 0.075)):
        reach = (0.34, 0.25, 0.16)[k]
        spots = [reach * rng.random() if j % 2 else 1 - reach * rng.random() for j in range(14 - 3 * k)]
        tones = [c.light.on(mix(own, (0.05, 0.09, 0.08), 0.15 * k + share), 0.20 - 0.09 * k) for share in (0.1, 0.3)]
        foot = (shore + np.float32(inland * c.unit)).astype(np.float32)
        tall = (0.26, 0.34, 0.44)[k] * c.unit
        stand(c, rng, foot, tones, tall=tall, leafy=leafy(c), spots=spots)
