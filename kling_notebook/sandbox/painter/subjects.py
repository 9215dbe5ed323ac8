"""Putting subjects into the picture: where they stand, how large, how the light falls on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import stage
from .canvas import Canvas
from .catalog import index as drawings
from .figure import Sheet, lit_drawing, sheet_of
from .figures import BUSTS, CREATURES, THINGS, with_traits
from .illustrations import bounds, render_drawing
from .land import snowy
from .perch import out_of_focus
from .plants import GROWN, bare_tree
from .shadows import AFLOAT, SKY, SWIMMING, WADING, lay_sheet, pool, shine, snow_cap, tie
from .shapes import Frame, Part, extent

if TYPE_CHECKING:
    from .scene import RGB, Subject

_MOUNTS = frozenset(("horse", "unicorn"))
_PERCHING = frozenset(("owl", "snowyowl", "bird", "cat", "parrot", "eagle", "dove", "butterfly", "chipmunk", "koala"))
_FAR = frozenset(
    ("castle", "tower", "windmill", "temple", "church", "lighthouse", "house", "cabin", "tree", "pine",
     *(name for name, drawing in drawings().items() if drawing.home == "town"))
)  # fmt: skip
_SYMMETRIC = frozenset(
    ("bridge", "balloon", "rocket", "ufo", "castle", "temple", "torii", "lantern", "owl", "snowyowl", "robot", "fruit")
)


def ashore(c: Canvas) -> bool:
    """Whether the scene names something that needs ground to stand on."""
    return any(item.name not in SKY | AFLOAT | SWIMMING | WADING for item in c.scene.subjects)


def paint_subjects(c: Canvas) -> None:
    """Draw everything the scene names, far things first."""
    if c.scene.close and c.scene.subjects:
        out_of_focus(c, 0.020)
    mounted = _mounted(c)
    for order, subject in enumerate(sorted(c.scene.subjects, key=lambda item: _rank(item.name))):
        if subject.name in mounted:
            continue
        rng = c.rng(f"subject {subject.name}")
        for number, spot in enumerate(_spots(c, rng, subject, order)):
            if number == 0 and mounted and subject.name in _MOUNTS:
                _ride(c, mounted, spot)
            _paint_one(c, rng, (subject, number), spot)


def _mounted(c: Canvas) -> tuple[str, ...]:
    """Who rides: a single person named with a single mount."""
    names = {item.name for item in c.scene.subjects if item.count == 1}
    riders = tuple(name for name in ("person", "woman", "astronaut", "robot") if name in names)
    return riders[:1] if names & _MOUNTS and not c.scene.close else ()


def _ride(c: Canvas, riders: tuple[str, ...], spot: tuple[float, float, float]) -> None:
    """Paint the rider before the mount, whose back then hides the legs."""
    x, y, height = spot
    for subject in c.scene.subjects:
        if subject.name in riders:
            seat = (x + 0.02 * height, y - 0.36 * height, 0.74 * height)
            _paint_one(c, c.rng(f"subject {subject.name}"), (subject, 0), seat)


def _rank(name: str) -> int:
    return 0 if name in SKY else 1 if name in _FAR else 2


def _by_hand(name: str) -> bool:
    """Whether a subject is drawn by this painter, and not one of the published set."""
    return name in CREATURES or name in THINGS or name in GROWN


def _usual(name: str) -> tuple[RGB, float]:
    if not _by_hand(name):
        return (0.5, 0.5, 0.5), drawings()[name].height
    colour, height = (CREATURES.get(name) or THINGS.get(name) or GROWN[name])[:2]
    return colour, height


def _breadth(name: str) -> float:
    """Width of a figure in its own heights."""
    if not _by_hand(name):
        x0, y0, x1, y1 = bounds(name)
        return (x1 - x0) / max(y1 - y0, 1.0)
    figure = CREATURES.get(name) or THINGS.get(name)
    if figure is None:
        return 0.8
    left, _, right, top = extent(figure[2])
    return (right - left) / max(top, 0.3)


def _spots(c: Canvas, rng: np.random.Generator, subject: Subject, order: int) -> list[tuple[float, float, float]]:
    """Foot x, foot y and height in pixels for each of them."""
    height = _usual(subject.name)[1] * c.unit * subject.scale * _emphasis(c, subject)
    if _shown(c) and not c.scene.close:
        return _displayed(c, rng, subject, order)
    if "interior" in c.scene.places and not c.scene.close:
        return _furnished(c, subject)
    away = 0.36 if c.side() > 0 else 0.64
    across = (away, 1 - away + 0.04, 0.5, 0.16, 0.84, 0.7)[order % 6] + rng.uniform(-0.03, 0.03)
    underwater = "underwater" in c.scene.places
    perched = "branch" in c.scene.places and subject.name in _PERCHING
    adrift = underwater or c.scene.places == ("space",)
    if (subject.name in SKY and not perched) or adrift:
        return _floating(c, rng, subject, height, across)
    down = _footing(c, subject.name, order)
    if c.scene.close:
        return _near(c, subject, order)
    if c.scene.studio:
        tall = min(height, 0.62 * c.width / _breadth(subject.name))
        return [(0.5 * c.width, 0.5 * (c.height + tall) + 0.02 * c.unit, tall)]
    if subject.name in AFLOAT and order == 0 and c.light.height < 0.7:
        across = 0.5 + 0.13 * c.side() + rng.uniform(-0.02, 0.02)  # before the light on the water it is seen best
    if "branch" in c.scene.places and subject.name in _PERCHING:
        height = 2.1 * height if subject.count == 1 else 1.6 * height
        across = 0.5 if order == 0 else across
    if "room" in c.scene.places:
        across = 0.5 + 0.06 * c.side() if order == 0 else across
    if subject.count > 1:
        across += (0.5 - across) * (0.4 if subject.count == 2 else 0.8)
        height *= min(1.0, 0.92 * c.width / (min(subject.count, 4) * _breadth(subject.name) * height))
    return _side_by_side(c, rng, subject, (across, down, height))


def _side_by_side(
    c: Canvas, rng: np.random.Generator, subject: Subject, first: tuple[float, float, float]
) -> list[tuple[float, float, float]]:
    """The first of them, and the others to its left and right. `first` is x and y as shares, and the height."""
    across, down, height = first
    spots = []
    apart = _breadth(subject.name) * height / c.width * 0.95 + 0.01
    for k in range(subject.count):
        if k == 0:
            x, y, size = across, down, height
        else:
            step = (k + 1) // 2 * (1 if k % 2 else -1)
            x = across + step * apart + rng.uniform(-0.03, 0.03)
            y, size = down - rng.uniform(-0.02, 0.055), height * rng.uniform(0.72, 0.95)
            if not 0.03 < x < 0.97:
                x = rng.uniform(0.08, 0.92)
        spots.append(_grounded(c, subject.name, x * c.width, y * c.height, size))
    return sorted(spots, key=lambda spot: spot[1])


def _shown(c: Canvas) -> bool:
    """Whether things are shown for themselves: on a backdrop, from above, or in a logo."""
    return bool({"studio"} & set(c.scene.places)) or c.scene.view in {"top", "logo", "title"}


_ON_THE_WALL = frozenset(("framed-picture", "mirror", "window", "alarm-clock", "mantelpiece-clock", "calendar"))


def _furnished(c: Canvas, subject: Subject) -> list[tuple[float, float, float]]:
    """Places in a room: on the wall, along the wall, on the counter, or in the middle of the floor."""
    height = _usual(subject.name)[1] * c.unit * subject.scale
    order = [item.name for item in c.scene.subjects].index(subject.name)
    lit_left = c.sun[0] < c.width / 2
    floor = c.height - c.horizon
    drawing = drawings().get(subject.name)
    home = drawing.home if drawing is not None and not _by_hand(subject.name) else "ground"
    counter = bool({"kitchen", "office"} & set(c.scene.places))
    away = 0.34 if not lit_left else 0.66  # the side without the window
    if subject.name in _ON_THE_WALL:
        return [((0.30 if not lit_left else 0.72) * c.width, 0.36 * c.height, min(height, 0.24 * c.unit))]
    if home == "room":
        taken = [item.name for item in c.scene.subjects[:order] if _home(item.name) == "room"]
        x = (away, 1 - away + 0.06 * (1 if lit_left else -1), 0.5)[min(len(taken), 2)]
        small = 0.62 if subject.name in {"file-cabinet", "toilet", "chair"} else 0.92
        return [(x * c.width, c.horizon + 0.22 * floor + 0.42 * floor * counter, height * small)]
    if counter and home in {"table", "studio"}:
        spread = (0.5, 0.30, 0.70, 0.40, 0.6)[order % 5]
        return [(spread * c.width, stage.counter_top(c) + 0.012 * c.unit, min(height, 0.22 * c.unit))]
    if home in {"table", "studio"}:
        return [((1 - away) * c.width, c.horizon + 0.30 * floor, min(height, 0.34 * c.unit))]
    apart = (
        [0.0] if subject.count == 1 else [0.18 * (k - (subject.count - 1) / 2) for k in range(min(subject.count, 4))]
    )
    return [((0.52 + dx) * c.width, c.horizon + 0.66 * floor, height * 1.25) for dx in apart]


def _home(name: str) -> str:
    """Where a drawing of the published set is at home; "" for a figure of our own."""
    drawing = drawings().get(name)
    return drawing.home if drawing is not None and not _by_hand(name) else ""


def _displayed(c: Canvas, rng: np.random.Generator, subject: Subject, order: int) -> list[tuple[float, float, float]]:
    """In rows about the middle: one large, several smaller, a second subject beside the first."""
    kinds = len(c.scene.subjects)
    wide, count = _breadth(subject.name), min(subject.count, 9)
    columns = min(count, 3 if c.width < 1.4 * c.height else 5)
    rows = -(-count // columns)
    share = 1 / kinds
    above = c.scene.view in {"top", "logo"}
    field = (0.86 * c.width * share, (0.74 if above else 0.66) * c.height)
    size = min(max(0.52, _usual(subject.name)[1]) * c.unit * min(subject.scale, 1.3), field[1] / rows * 0.94)
    size = min(size, field[0] / columns / wide * 0.92)
    middle = c.width * (share * (order + 0.5))
    floor = c.height * (0.5 if above else 0.80) + (size * rows * 0.5 if above else 0)
    if c.scene.view == "logo" and c.scene.lettering:
        floor -= 0.08 * c.height
    spots = []
    for k in range(count):
        row, column = divmod(k, columns)
        inside = min(columns, count - row * columns)
        x = middle + (column - (inside - 1) / 2) * size * wide * 1.08 + rng.uniform(-0.01, 0.01) * c.unit
        spots.append((x, floor - (rows - 1 - row) * size * (1.04 if above else 0.62), size))
    return spots


def _emphasis(c: Canvas, subject: Subject) -> float:
    """Alone in the picture, an animal or a person may be larger; where the style is coarse, it has to be."""
    if c.scene.studio:
        return 0.62 / max(_usual(subject.name)[1], 0.1)
    if "branch" in c.scene.places or "room" in c.scene.places:
        return 1.7 if subject.name in CREATURES and "room" in c.scene.places else 1.0
    if _home(subject.name) in {"studio", "table", "room"}:
        return 0.55  # out of doors, where it is not shown for itself
    if len(c.scene.subjects) > 1 or subject.count > 1 or c.scene.close or subject.scale > 1.0:
        return 1.0
    coarse = bool({"lowpoly", "mosaic", "pixel", "stitch", "glass"} & set(c.scene.styles))
    if subject.name in CREATURES and subject.name not in {"bear", "polarbear"}:
        return 1.6 if coarse else 1.22
    usual = 1.45 if subject.name in {"boat", "sailboat"} else 1.0
    return max(usual, 1.25) if coarse else usual


def _near(c: Canvas, subject: Subject, order: int) -> list[tuple[float, float, float]]:
    """A portrait: one of them, filling the picture, its feet or shoulders at the lower edge."""
    if order > 0:
        return [(0.84 * c.width, 0.96 * c.height, _usual(subject.name)[1] * c.unit)]
    if subject.name in BUSTS:
        return [(0.5 * c.width, 1.02 * c.height, 0.84 * c.unit)]
    height = min(0.74 * c.unit, 0.86 * c.width / max(_breadth(subject.name), 0.5))
    return [(0.5 * c.width, 0.90 * c.height, height)]


def _grounded(c: Canvas, name: str, x: float, y: float, size: float) -> tuple[float, float, float]:
    """The spot moved onto the road or onto raised ground, where there is one."""
    if c.lane is not None and _home(name) == "road":
        row = min(c.height - 1, int(c.horizon + 0.52 * (c.height - c.horizon)))
        return float(c.lane[row]), row, size * 0.8
    if c.shelf is not None and not (name in AFLOAT or name in WADING or name in SWIMMING):
        on = np.flatnonzero(c.shelf < c.horizon - 0.03 * c.unit)
        if "branch" in c.scene.places:
            return x, float(c.shelf[int(np.clip(x, 0, c.width - 1))]) + 0.004 * c.unit, size
        if on.size:
            half = min(0.08 * c.unit + 0.34 * _breadth(name) * size, 0.5 * float(on.max() - on.min()))
            x = float(np.clip(x, on.min() + half, max(on.max() - half, on.min() + half)))
            y = float(c.shelf[int(np.clip(x, 0, c.width - 1))]) + 0.012 * c.unit
            size *= 0.8
    return x, y, size


def _footing(c: Canvas, name: str, order: int) -> float:
    """How far down (fraction of the height) a thing stands."""
    top = c.horizon / c.height
    room = 1 - top
    if c.scene.water:
        if name in AFLOAT or name in WADING or name in SWIMMING:
            return top + room * (0.42 if name != "ship" else 0.28)
        return 0.95 if name not in _FAR else 0.93
    if "room" in c.scene.places:
        return top + room * 0.52
    if "street" in c.scene.places or "city" in c.scene.places:
        return 0.93 if name not in _FAR else 0.90
    share = 0.48 if name in _FAR else 0.74
    if {"forest", "jungle"} & set(c.scene.places):
        share = max(share, 0.72)
    return top + room * (share + 0.05 * (order % 2))


def _floating(
    c: Canvas, rng: np.random.Generator, subject: Subject, height: float, across: float
) -> list[tuple[float, float, float]]:
    """Places in the air or under water; a flock spreads along a slant."""
    spots = []
    top = min(c.horizon, c.height) / c.height if "space" not in c.scene.places else 1.0
    if "underwater" in c.scene.places:
        top = 1.0
    if "volcano" in c.scene.places:
        across = 1 - across
    start = top * rng.uniform(0.38, 0.50) + height / c.height * 0.5
    for k in range(subject.count):
        size = height * (1.0 if k == 0 else rng.uniform(0.45, 0.9))
        x = across + (0.0 if k == 0 else rng.uniform(-0.34, 0.40))
        y = start + (0.0 if k == 0 else rng.uniform(-0.22, 0.20) * top)
        spots.append((float(np.clip(x, 0.08, 0.92)) * c.width, float(np.clip(y, 0.10, 0.92)) * c.height, size))
    return sorted(spots, key=lambda spot: spot[2])


def _parts(c: Canvas, rng: np.random.Generator, name: str) -> tuple[Part, ...]:
    if name == "tree" and c.scene.season == "winter":
        return bare_tree(rng)
    if c.scene.close and name in BUSTS:
        return with_traits(BUSTS[name].parts, c.scene.traits)
    if name in GROWN:
        return GROWN[name][2](rng)
    parts = (CREATURES.get(name) or THINGS[name])[2]
    return with_traits(parts, c.scene.traits) if name in BUSTS else parts


_COATS: tuple[RGB, ...] = (
    (0.24, 0.36, 0.56), (0.80, 0.62, 0.26), (0.62, 0.24, 0.22), (0.30, 0.46, 0.36), (0.86, 0.84, 0.80),
    (0.44, 0.30, 0.46), (0.20, 0.22, 0.28),
)  # fmt: skip


def _own_colour(c: Canvas, subject: Subject, number: int) -> RGB:
    if subject.colour is not None:
        return subject.colour
    if subject.name in {"person", "woman", "umbrella"} and subject.count > 1:
        return _COATS[number % len(_COATS)]
    if subject.name == "tree":
        season = {"autumn": (0.80, 0.38, 0.12), "spring": (0.94, 0.68, 0.76), "summer": (0.24, 0.50, 0.18)}
        return season.get(c.scene.season or "", _usual("tree")[0])
    return _usual(subject.name)[0]


def _paint_one(
    c: Canvas, rng: np.random.Generator, which: tuple[Subject, int], spot: tuple[float, float, float]
) -> None:
    x, y, height = spot
    subject, number = which
    name = subject.name
    if not _by_hand(name):
        _paint_drawing(c, which, spot)
        return
    own = _own_colour(c, subject, number)
    parts = _parts(c, rng, "woman" if name == "person" and number % 2 else name)
    left, bottom, right, top = extent(parts)
    scale = height / max(top, 0.3)
    if (right - left) * scale > 0.92 * c.width:
        scale = 0.92 * c.width / (right - left)
    mirror = 1.0 if name in _SYMMETRIC or x < c.width / 2 else -1.0
    ahead, behind = (right, -left) if mirror > 0 else (-left, right)
    if (behind + ahead) * scale < 0.96 * c.width:
        x = min(max(x, behind * scale + 0.02 * c.width), c.width * 0.98 - ahead * scale)
    reach = max(-left, right) * scale + 4
    x0, x1 = int(x - reach), int(x + reach)
    y0, y1 = int(y - top * scale - 4), int(y - min(bottom, 0.0) * scale + 4)
    size = (x1 - x0, y1 - y0)
    if size[0] < 3 or size[1] < 3 or size[0] > 3 * c.width or size[1] > 3 * c.height:
        return
    frame = Frame(scale, x - x0, y - y0, mirror)
    sheet = sheet_of(c, name, parts, own, (size, frame))
    aloft = c.scene.close or "branch" in c.scene.places or name in _mounted(c)
    tie(c, subject, sheet, (x0, y0), (x, y, (right - left) * scale * 0.46, scale), aloft=aloft)
    lay_sheet(c, (x0, y0), sheet.alpha, sheet.colour)
    shine(c, sheet, (x0, y0))
    if (name in {"house", "cabin", "church"} and sheet.glowing and c.light.dark > 0.5) or name == "campfire":
        pool(c, x, y, (right - left) * scale)
    if snowy(c) and name in _FAR | {"rock", "cactus"}:
        snow_cap(c, sheet.alpha, (x0, y0))


def _paint_drawing(c: Canvas, which: tuple[Subject, int], spot: tuple[float, float, float]) -> None:
    """One drawing of the published set, in this scene's light and with its shadow or reflection."""
    (subject, number), (x, y, height) = which, spot
    height = min(height, 0.94 * c.width / max(_breadth(subject.name), 0.1), 1.5 * c.height)
    mirror = not _shown(c) and x > c.width / 2 and drawings()[subject.name].home in {"ground", "road", "afloat"}
    pixels, alpha = render_drawing(subject.name, max(6, round(height)), colour=subject.colour, mirror=mirror)
    lit = lit_drawing(c, pixels, alpha)
    h, w = alpha.shape
    x = min(max(x, 0.5 * w + 0.01 * c.width), max(c.width - 0.5 * w - 0.01 * c.width, 0.5 * w))
    corner = (round(x - w / 2), round(y - h))
    sheet = Sheet(lit, alpha, [])
    if c.scene.view == "top":
        stage.drop_shadow(c, alpha, corner, height)
    elif c.scene.view != "logo":
        tie(c, subject, sheet, corner, (x, y, 0.46 * w, height), aloft=c.scene.close and number > 0)
    lay_sheet(c, corner, alpha, lit)
