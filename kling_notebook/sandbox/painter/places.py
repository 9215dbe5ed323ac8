"""Which pieces make which place, and in which order they are painted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import alps, land, mountains, perch, stage, town, valley, water
from .canvas import Canvas
from .cosmos import deep_space, moonscape
from .sky import paint_sky
from .street import street
from .subjects import ashore

_HORIZONS = (
    (0.52, {"waterfall"}),
    (0.70, {"city", "village"}),
    (0.66, {"forest", "jungle"}),
    (0.56, {"sea", "beach", "island", "cliff"}),
)
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
    if _closed(c, places):
        return
    if "space" in places:
        deep_space(c)
    else:
        paint_sky(c)
    if places == {"space"}:
        return
    if places <= {"branch", "snow"}:
        places = places | {"forest"}
    _far(c, places)
    _ground(c, places)
    if "branch" in places:
        perch.branch(c)


def _closed(c: Canvas, places: set[str]) -> bool:
    """Paint the places that fill the canvas by themselves. Whether there is one."""
    if c.scene.view == "top":
        stage.table_top(c)
        return True
    for name, painted in _CLOSED.items():
        if name in places and not (name == "street" and c.scene.water):
            if name == "street":
                paint_sky(c)
            if name == "underwater":
                c.sun = (c.width * 0.5, 0.0)
            painted(c)
            return True
    return False


_CLOSED: Mapping[str, Callable[[Canvas], None]] = {
    "lunar": moonscape,
    "interior": stage.interior,
    "studio": stage.backdrop,
    "room": stage.room,
    "street": street,
    "underwater": water.underwater,
}


def _far(c: Canvas, places: set[str]) -> None:
    """What stands at the horizon."""
    base = c.horizon
    c.pixels[base:] = c.light.on(land.ground_colour(c), 0.6)
    open_sea = bool(places & {"sea", "beach", "island", "cliff"}) and not places & {"mountain", "city", "hills"}
    peaks = "mountain" not in c.scene.unwanted
    if "mountain" in places:
        alps.range_of(c, base, 0.51)
    elif "glacier" in places and peaks:
        alps.range_of(c, base, 0.26)
    elif peaks and "lake" in places and not places & {"city", "hills", "canyon", "volcano", "desert"}:
        alps.range_of(c, base, 0.27)
    if "volcano" in places:
        mountains.volcano(c, base)
    if "canyon" in places:
        mountains.mesas(c, base)
    if "waterfall" in places:
        water.waterfall(c, base - 0.32 * c.unit, base + 0.22 * c.unit)
    rolling = places & {"field", "garden", "village", "road", "river"}
    if not open_sea and rolling and not places & {"mountain", "waterfall"}:
        land.hills(c, base - 0.02 * c.unit, layers=3, tall=0.10)
    if "island" in places:
        town.islands(c, base)
    if places & {"lake", "river"} and not places & {"city", "street", "desert", "canyon", "waterfall"}:
        valley.belts(c, base, tall=0.12 if places & {"forest", "jungle"} else 0.05)
    if "city" in places:
        town.city(c, base)


def _ground(c: Canvas, places: set[str]) -> None:
    """From the horizon to the lower edge."""
    base = c.horizon
    if places & {"sea", "beach", "island", "cliff", "lake", "glacier"}:
        _shores(c, places)
        return
    if "desert" in places:
        land.dunes(c, base)
    elif "waterfall" in places:
        water.water(c, int(base + 0.2 * c.unit), rough=0.2)
        water.bank(c, 0.86 if ashore(c) else 0.92, tilt=0.7)
        if places & {"forest", "jungle"}:
            valley.flanks(c)
    elif places & {"forest", "jungle"}:
        if not {"tree", "forest", "jungle"} & c.scene.unwanted:
            land.woods(c, base + 0.01 * c.unit, tall=0.30)
        land.hills(c, base + 0.12 * c.unit, layers=3, tall=0.035, far=0.3)
    elif "city" in places:
        town.riverside(c, base)
    elif places == {"mountain"}:
        valley.valley(c, base)
        return
    elif "mountain" in places or "volcano" in places:
        land.hills(c, base + 0.02 * c.unit, layers=3, tall=0.07, far=0.5)
    elif places & {"hills", "snow"}:
        land.hills(c, base, layers=5)
    else:
        land.hills(c, base + 0.06 * c.unit, layers=2, tall=0.04, far=0.25)
    _upon(c, places)


def _shores(c: Canvas, places: set[str]) -> None:
    """Water up to the horizon, and what stands in it or before it."""
    base = c.horizon
    calm = not places & {"sea", "beach", "cliff"} and "storm" not in c.scene.weather
    water.water(c, base, rough=(0.10 if calm else 0.7) + (0.3 if c.scene.weather & {"storm", "wind"} else 0.0))
    water.far_shore(c, base)
    if "glacier" in places:
        town.icebergs(c, base)
    if "cliff" in places:
        land.cliff(c, base)
    landed = ashore(c) and not places & {"cliff", "island", "beach", "branch"}
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
    if "river" in places and "waterfall" not in places:
        water.river(c, base + int(0.03 * c.unit))
    if "village" in places and "house" not in c.scene.unwanted:
        town.village(c, base)
    if "road" in places:
        town.road(c, base + int(0.05 * c.unit))
    blooms = {"flower", "sunflower", "lavender"}
    planted = places & {"field", "hills"} and any(i.name in blooms and i.count > 1 for i in c.scene.subjects)
    if ("garden" in places or planted) and not blooms & c.scene.unwanted:
        town.flowers(c, base)
    bare = {"city", "desert", "canyon", "volcano", "waterfall", "garden", "road", "river"}
    if not land.snowy(c) and not places & bare and "field" not in c.scene.unwanted:
        land.fringe(c)
