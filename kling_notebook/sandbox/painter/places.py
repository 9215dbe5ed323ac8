"""Which pieces make which place, and in which order they are painted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from . import alps, land, stage, town, trees, water
from .canvas import Canvas, mix
from .sky import deep_space, paint_sky
from .subjects import ashore

_HORIZONS = ((0.70, {"city", "village"}), (0.66, {"forest", "jungle"}), (0.56, {"sea", "beach", "cliff"}))
"""How far down the horizon lies, by place; the first that holds."""


def horizon_of(c: Canvas) -> int:
    """The row of the horizon for the scene's places."""
    places = set(c.scene.places)
    share = next((row for row, names in _HORIZONS if places & names), 0.66 if "sky" in c.scene.sky else 0.60)
    if c.scene.water:
        share = min(share, 0.60 if places & {"city", "village"} else 1.0)
    return int(c.height * (share + (0.03 if c.height > c.width else 0.0)))


def paint_place(c: Canvas) -> None:
    """Sky, land and water, back to front. Subjects come after."""
    places = set(c.scene.places)
    c.horizon = horizon_of(c)
    if c.scene.studio:
        c.pixels[:] = 0.62
        c.sun = (c.width * 0.8, 0.1 * c.height)
        return
    # Some places fill the canvas by themselves; what is seen from above lies on a table.
    closed = next((painted for name, painted in _CLOSED.items() if name in places), None)
    closed = stage.table_top if c.scene.view == "top" else closed
    (closed or (deep_space if "space" in places else paint_sky))(c)
    if closed or places == {"space"}:
        return
    if places <= {"branch", "snow"}:
        places = places | {"forest"}
    _far(c, places)
    _ground(c, places)
    if "branch" in places:
        trees.branch(c)


_CLOSED: Mapping[str, Callable[[Canvas], None]] = {
    "interior": stage.interior,
    "studio": stage.backdrop,
    "room": stage.room,
    "underwater": water.underwater,
}


def _far(c: Canvas, places: set[str]) -> None:
    """What stands at the horizon."""
    base = c.horizon
    c.pixels[base:] = c.light.on(land.ground_colour(c), 0.6)
    open_sea = bool(places & {"sea", "beach", "cliff"}) and not places & {"mountain", "city", "hills"}
    peaks = "mountain" not in c.scene.unwanted
    if places & {"mountain", "canyon"}:
        alps.range_of(c, base, 0.51)
    elif peaks and places & {"lake", "glacier"} and not places & {"city", "hills", "desert"}:
        alps.range_of(c, base, 0.27)
    rolling = places & {"field", "garden", "village", "road", "river"}
    if not open_sea and rolling and "mountain" not in places:
        land.hills(c, base - 0.02 * c.unit, layers=3, tall=0.10)
    if "city" in places:
        town.city(c, base)
    if places & {"lake", "river", "city"} and not places & {"desert", "canyon", "sea"}:
        _belts(c, base, tall=0.12 if places & {"forest", "jungle"} else 0.08 if "city" in places else 0.05)


def _ground(c: Canvas, places: set[str]) -> None:
    """From the horizon to the lower edge."""
    base = c.horizon
    if places & {"sea", "beach", "cliff", "lake", "glacier"}:
        _shores(c, places)
        return
    if places & {"forest", "jungle"}:
        if not {"tree", "forest", "jungle"} & c.scene.unwanted:
            land.woods(c, base + 0.01 * c.unit, tall=0.30)
        land.hills(c, base + 0.12 * c.unit, layers=3, tall=0.035, far=0.3)
    elif "city" in places and "road" not in places:
        water.water(c, base, rough=0.16)
        water.bank(c, 0.84, tilt=0.6)
    elif places == {"mountain"}:
        _valley(c, base)
        return
    elif places & {"mountain", "canyon"}:
        land.hills(c, base + 0.02 * c.unit, layers=3, tall=0.07, far=0.5)
    elif places & {"hills", "snow", "desert"}:
        land.hills(c, base, layers=5)
    else:
        land.hills(c, base + 0.06 * c.unit, layers=2, tall=0.04, far=0.25)
    _upon(c, places)


def _shores(c: Canvas, places: set[str]) -> None:
    """Water up to the horizon, and what stands in it or before it."""
    base = c.horizon
    calm = not places & {"sea", "beach", "cliff"} and "storm" not in c.scene.weather
    water.water(c, base, rough=(0.10 if calm else 0.7) + (0.3 if c.scene.weather & {"storm", "wind"} else 0.0))
    if "cliff" in places:
        land.cliff(c, base)
    landed = ashore(c) and not places & {"cliff", "beach", "branch"}
    if "village" in places and "house" not in c.scene.unwanted:
        water.bank(c, 0.74, tilt=0.6)
        town.village(c, base)
    elif "beach" in places or (landed and "sea" in places and "glacier" not in places):
        water.beach(c, 0.76)
    elif landed:
        water.bank(c, 0.80, tilt=0.5)
    elif places & {"forest", "jungle", "field", "garden", "hills"} or places == {"lake"}:
        water.bank(c, 0.90)


def _upon(c: Canvas, places: set[str]) -> None:
    """What lies on the ground: rivers, roads, houses, flowers, the grass in front."""
    base = c.horizon
    if "river" in places and "city" not in places:
        water.river(c, base + int(0.03 * c.unit))
        if "waterfall" in places:
            water.falls(c)
    if "village" in places and "house" not in c.scene.unwanted:
        town.village(c, base)
    if "road" in places:
        town.road(c, base + int(0.05 * c.unit))
    blooms = {"flower", "sunflower", "lavender"}
    planted = places & {"field", "hills"} and any(i.name in blooms and i.count > 1 for i in c.scene.subjects)
    if ("garden" in places or planted) and not blooms & c.scene.unwanted:
        town.flowers(c, base)
    bare = {"city", "desert", "canyon", "garden", "road", "river"}
    if not land.snowy(c) and not places & bare and "field" not in c.scene.unwanted:
        land.fringe(c)


def _valley(c: Canvas, base: int) -> None:
    """From the feet of the range to the viewer's. Every other picture of a job has a lake, if nothing stands there."""
    firs = not {"tree", "pine", "forest"} & c.scene.unwanted
    lake = c.scene.index % 2 == 0 and not c.scene.subjects and not {"lake", "river", "sea"} & c.scene.unwanted
    if lake:
        _belts(c, base)
        water.water(c, base, rough=0.05)
        water.bank(c, 0.90)
    else:
        _belts(c, base)
        land.hills(c, base + 0.025 * c.unit, layers=4, tall=0.055, far=0.34)
        if not c.scene.subjects and "river" not in c.scene.unwanted:
            water.river(c, int(base + 0.045 * c.unit))
    if firs and not c.scene.subjects:
        _near_firs(c)
    if not land.snowy(c):
        land.fringe(c)


def _belts(c: Canvas, base: float, tall: float = 0.05) -> None:
    """Woods along a far shore, two deep, thinning out here and there. `tall` in units."""
    if {"tree", "forest"} & c.scene.unwanted:
        c.pixels[int(base) :] = c.light.on(land.ground_colour(c), 0.34)
        return
    rng = c.rng("belts")
    for k in range(2):
        high = tall * (0.65 + 0.40 * k) * c.unit
        swell = np.clip(0.55 + 0.5 * c.line(rng, 1.3 + k, 3), 0.0, 1.3)
        foot = np.full(c.width, base + 1.0, np.float32)
        outline = land.treeline(c, rng, foot, high, 2.6, leaves=land.leafy(c))
        outline = foot - (foot - outline) * swell - np.float32(0.004 * c.unit)
        tone = c.light.on(mix(land.wood_colour(c), (0.05, 0.09, 0.10), 0.45), 0.42 - 0.22 * k)
        first, last = max(0, int(outline.min())), min(c.height, int(base) + 1)
        c.lay(slice(first, last), c.under(outline.astype(np.float32), first, last), tone)
    c.pixels[int(base) :] = c.light.on(land.ground_colour(c), 0.34)


def _near_firs(c: Canvas) -> None:
    """Tall firs at the edge of the picture on the sun's side, dark against the light."""
    rng = c.rng("near firs")
    tones = [c.light.on(mix(land.wood_colour(c), (0.03, 0.06, 0.07), share)) for share in (0.6, 0.4)]
    away = [rng.uniform(*reach) for reach in ((-0.02, 0.02), (0.05, 0.09), (0.11, 0.17), (0.2, 0.24))]
    spots = [1 - a * c.unit / c.width if c.side() > 0 else a * c.unit / c.width for a in away]
    ground = np.full(c.width, 0.965 * c.height, np.float32)
    trees.stand(c, rng, ground, tones, tall=0.42 * c.unit, leafy=False, spots=spots)
