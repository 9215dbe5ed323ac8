"""Putting subjects into the picture: where they stand, how large, and what ties them to it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .canvas import Canvas
from .catalog import index as drawings
from .figure import sheet_of
from .illustrations import breadth
from .scene import COLOURS
from .shadows import AFLOAT, SKY, SWIMMING, WADING, at_home, drop_shadow, lay_sheet, pool, shine, tie
from .stage import counter_top
from .trees import out_of_focus
from .vocabulary import plain

if TYPE_CHECKING:
    from .scene import Subject

from .catalog import RGB

Placed: TypeAlias = tuple[float, float, float]
"""Foot x, foot y and height in pixels."""
_MOUNTS = frozenset(("horse", "unicorn"))
_PERCHING, _SYMMETRIC, _ON_THE_WALL = plain("perching"), plain("symmetric"), plain("wall")
_FAR = at_home("town", *plain("far"))


def ashore(c: Canvas) -> bool:
    """Whether the scene names something that needs ground to stand on."""
    return any(item.name not in SKY | AFLOAT | SWIMMING | WADING for item in c.scene.subjects)


def paint_subjects(c: Canvas) -> None:
    """Draw everything the scene names, far things first."""
    if c.scene.close and c.scene.subjects:
        out_of_focus(c, 0.020)
    mounted = _mounted(c)
    rank = dict.fromkeys(SKY, 0) | dict.fromkeys(_FAR, 1)
    ordered = sorted(c.scene.subjects, key=lambda item: rank.get(item.name, 2))
    found = [
        (subject, _spots(c, c.rng(f"subject {subject.name}"), subject, order))
        for order, subject in enumerate(ordered)
        if subject.name != mounted
    ]
    for subject, spots in _apart(c, found):
        for number, spot in enumerate(spots):
            if number == 0 and mounted and subject.name in _MOUNTS:  # the rider first: the mount's back hides the legs
                x, y, height = spot
                rider = next(item for item in c.scene.subjects if item.name == mounted)
                _paint_one(c, rider, 0, (x + 0.02 * height, y - 0.36 * height, 0.74 * height))
            _paint_one(c, subject, number, spot)


def _apart(c: Canvas, found: list[tuple[Subject, list[Placed]]]) -> list[tuple[Subject, list[Placed]]]:
    """The same places, side by side and smaller if one subject would hide another."""
    if c.scene.close or _shown(c) or {"interior", "branch", "space", "underwater"} & set(c.scene.places):
        return found
    ground = [(item, spots) for item, spots in found if item.name not in SKY]
    reach = {item.name: _reach(item.name, spots) for item, spots in ground}
    ends = sorted(reach.values(), key=sum)
    hidden = (min(a[1], b[1]) - max(a[0], b[0]) > 0.3 * min(a[1] - a[0], b[1] - b[0]) for a, b in pairwise(ends))
    if not any(hidden):
        return found
    total = sum(right - left for left, right in ends)
    share, moved = min(1.0, 0.92 * c.width / total), {}
    gap = x = (c.width - share * total) / (len(ends) + 1)
    for item, spots in sorted(ground, key=lambda pair: sum(reach[pair[0].name])):
        left, right = reach[item.name]
        moved[item.name] = [((at - left) * share + x, y, tall * share) for at, y, tall in spots]
        x += share * (right - left) + gap
    return [(item, moved.get(item.name, spots)) for item, spots in found]


def _reach(name: str, spots: list[Placed]) -> tuple[float, float]:
    """The leftmost and rightmost columns of all of them."""
    half = 0.5 * breadth(name)
    return min(x - half * tall for x, _, tall in spots), max(x + half * tall for x, _, tall in spots)


def _mounted(c: Canvas) -> str:
    """Who rides: a single person named with a single mount."""
    names = {item.name for item in c.scene.subjects if item.count == 1}
    riders = [name for name in ("person", "woman", "astronaut", "robot") if name in names]
    return riders[0] if riders and names & _MOUNTS and not c.scene.close else ""


def _home(name: str) -> str:
    """Where a drawing of the published set is at home; "" for a figure of our own."""
    drawing = drawings()[name]
    return drawing.home if drawing.kind == "set" else ""


def _spots(c: Canvas, rng: np.random.Generator, subject: Subject, order: int) -> list[Placed]:
    """A place for each of them."""
    name, places = subject.name, set(c.scene.places)
    if _shown(c) and not c.scene.close:
        return _displayed(c, rng, subject, order)
    if "interior" in places and not c.scene.close:
        return _furnished(c, subject)
    height = drawings()[name].height * c.unit * subject.scale * _emphasis(c, subject)
    away = 0.36 if c.side() > 0 else 0.64
    across = (away, 1 - away + 0.04, 0.5, 0.16, 0.84, 0.7)[order % 6] + rng.uniform(-0.03, 0.03)
    perched = "branch" in places and name in _PERCHING
    if (name in SKY and not perched) or "underwater" in places or places == {"space"}:
        return _floating(c, rng, subject, (across, height))
    if c.scene.close:
        return _near(c, name, order)
    if c.scene.studio:
        tall = min(height, 0.62 * c.width / breadth(name))
        return [(0.5 * c.width, 0.5 * (c.height + tall) + 0.02 * c.unit, tall)]
    if order == 0 and name in AFLOAT and c.light.height < 0.7:
        across = 0.5 + 0.13 * c.side()  # before the light on the water it is seen best
    elif order == 0 and (perched or "room" in places):
        across = 0.5 if perched else 0.5 + 0.06 * c.side()
    if perched:
        height *= 2.1 if subject.count == 1 else 1.6
    if subject.count > 1:
        across += (0.5 - across) * (0.4 if subject.count == 2 else 0.8)
        height *= min(1.0, 0.92 * c.width / (min(subject.count, 4) * breadth(name) * height))
    return _side_by_side(c, rng, subject, (across, _footing(c, name, order), height))


def _side_by_side(c: Canvas, rng: np.random.Generator, subject: Subject, first: Placed) -> list[Placed]:
    """The first of them, and the others to its left and right. `first` is x and y as shares, and the height."""
    across, down, height = first
    apart = breadth(subject.name) * height / c.width * 0.95 + 0.01
    spots = [_grounded(c, subject.name, (across * c.width, down * c.height, height))]
    for k in range(1, subject.count):
        x = across + (k + 1) // 2 * (1 if k % 2 else -1) * apart + rng.uniform(-0.03, 0.03)
        if not 0.03 < x < 0.97:
            x = rng.uniform(0.08, 0.92)
        y = (down - rng.uniform(-0.02, 0.055)) * c.height
        spots.append(_grounded(c, subject.name, (x * c.width, y, height * rng.uniform(0.72, 0.95))))
    return sorted(spots, key=lambda spot: spot[1])


def _shown(c: Canvas) -> bool:
    """Whether things are shown for themselves: on a backdrop, from above, or in a logo."""
    return "studio" in c.scene.places or c.scene.view in {"top", "logo", "title"}


def _displayed(c: Canvas, rng: np.random.Generator, subject: Subject, order: int) -> list[Placed]:
    """In rows about the middle: one large, several smaller, a second subject beside the first."""
    share, wide, count = 1 / len(c.scene.subjects), breadth(subject.name), min(subject.count, 9)
    columns = min(count, 3 if c.width < 1.4 * c.height else 5)
    rows = -(-count // columns)
    above = c.scene.view in {"top", "logo"}
    size = max(0.52, drawings()[subject.name].height) * c.unit * min(subject.scale, 1.3)
    room = 0.62 if c.scene.view == "logo" else 0.79
    size = min(size, (0.70 if above else 0.62) * c.height / rows, room * c.width * share / columns / wide)
    aside = (drawings()[subject.name].foot[0] - 0.5) * size * wide
    floor = 0.5 * c.height + 0.5 * size * rows if above else 0.80 * c.height
    if c.scene.view == "logo" and c.scene.lettering:
        floor -= 0.08 * c.height
    spots = []
    for k in range(count):
        row, column = divmod(k, columns)
        inside = min(columns, count - row * columns)
        x = c.width * share * (order + 0.5) + (column - (inside - 1) / 2) * size * wide * 1.08
        y = floor - (rows - 1 - row) * size * (1.04 if above else 0.62)
        spots.append((x + aside + rng.uniform(-0.01, 0.01) * c.unit, y, size))
    return spots


def _furnished(c: Canvas, subject: Subject) -> list[Placed]:
    """Places in a room: on the wall, along the wall, on the counter, or in the middle of the floor."""
    height = drawings()[subject.name].height * c.unit * subject.scale
    before = [item.name for item in c.scene.subjects]
    before = before[: before.index(subject.name)]
    way = 1 if c.sun[0] < c.width / 2 else -1  # the side without the window
    floor, home = c.height - c.horizon, _home(subject.name)
    counter = bool({"kitchen", "office"} & set(c.scene.places))
    if subject.name in _ON_THE_WALL:
        return [((0.51 + 0.21 * way) * c.width, 0.36 * c.height, min(height, 0.24 * c.unit))]
    if home == "room":
        beside = sum(_home(name) == "room" and name not in _ON_THE_WALL for name in before)
        x = (0.5 + 0.16 * way, 0.5 - 0.10 * way, 0.5)[min(beside, 2)]
        small = 0.62 if subject.name in {"file-cabinet", "toilet", "chair"} else 0.92
        return [(x * c.width, c.horizon + (0.64 if counter else 0.22) * floor, height * small)]
    if home in {"table", "studio"}:
        if counter:
            x = (0.5, 0.30, 0.70, 0.40, 0.6)[len(before) % 5]
            return [(x * c.width, counter_top(c) + 0.012 * c.unit, min(height, 0.22 * c.unit))]
        return [((0.5 - 0.24 * way) * c.width, c.horizon + 0.30 * floor, min(height, 0.34 * c.unit))]
    count = min(subject.count, 4)
    xs = [0.52 + 0.18 * (k - (count - 1) / 2) for k in range(count)]
    return [(x * c.width, c.horizon + 0.66 * floor, height * 1.25) for x in xs]


def _emphasis(c: Canvas, subject: Subject) -> float:
    """Alone in the picture, an animal or a person may be larger."""
    creature = drawings()[subject.name].kind == "creature"
    if c.scene.studio:
        return 0.62 / max(drawings()[subject.name].height, 0.1)
    if {"branch", "room"} & set(c.scene.places):
        return 1.7 if creature and "room" in c.scene.places else 1.0
    if _home(subject.name) in {"studio", "table", "room"}:
        # Out of doors, where it is not shown for itself, and smaller beside somebody.
        return 0.38 if any(drawings()[item.name].kind == "creature" for item in c.scene.subjects) else 0.55
    if len(c.scene.subjects) > 1 or subject.count > 1 or c.scene.close or subject.scale > 1.0:
        return 1.0
    if creature and subject.name not in {"bear", "polarbear"}:
        return 1.22
    return 1.45 if subject.name in {"boat", "sailboat"} else 1.0


def _near(c: Canvas, name: str, order: int) -> list[Placed]:
    """A portrait: one of them, filling the picture, its feet or shoulders at the lower edge."""
    if order > 0:
        return [(0.84 * c.width, 0.96 * c.height, drawings()[name].height * c.unit)]
    if name in {"person", "woman"}:
        return [(0.5 * c.width, 1.02 * c.height, 0.84 * c.unit)]
    return [(0.5 * c.width, 0.90 * c.height, min(0.74 * c.unit, 0.86 * c.width / max(breadth(name), 0.5)))]


def _grounded(c: Canvas, name: str, spot: Placed) -> Placed:
    """The spot moved onto the road or onto raised ground, if there is one."""
    x, _, size = spot
    if c.lane is not None and _home(name) == "road":
        row = min(c.height - 1, int(c.horizon + 0.52 * (c.height - c.horizon)))
        return float(c.lane[row]), row, size * 0.8
    if c.shelf is None or name in AFLOAT | WADING | SWIMMING:
        return spot
    if "branch" in c.scene.places:
        return x, float(c.shelf[int(np.clip(x, 0, c.width - 1))]) + 0.004 * c.unit, size
    on = np.flatnonzero(c.shelf < c.horizon - 0.03 * c.unit)
    if not on.size:
        return spot
    half = min(0.08 * c.unit + 0.34 * breadth(name) * size, 0.5 * float(on.max() - on.min()))
    x = float(np.clip(x, on.min() + half, max(on.max() - half, on.min() + half)))
    return x, float(c.shelf[int(np.clip(x, 0, c.width - 1))]) + 0.012 * c.unit, size * 0.8


def _footing(c: Canvas, name: str, order: int) -> float:
    """How far down (fraction of the height) a thing stands."""
    top, places = c.horizon / c.height, set(c.scene.places)
    if c.scene.water and name in AFLOAT | WADING | SWIMMING:
        return top + (1 - top) * (0.42 if name != "ship" else 0.28)
    if c.scene.water or "city" in places:
        return 0.94 if name not in _FAR else 0.92
    if "room" in places:
        return top + (1 - top) * 0.52
    share = 0.48 if name in _FAR and not {"forest", "jungle"} & places else 0.73
    return top + (1 - top) * (share + 0.05 * (order % 2))


def _floating(c: Canvas, rng: np.random.Generator, subject: Subject, usual: tuple[float, float]) -> list[Placed]:
    """Places in the air or under water; a flock spreads about the first. `usual` is x as a share, and the height."""
    across, height = usual
    places = set(c.scene.places)
    top = 1.0 if places & {"space", "underwater"} else min(c.horizon, c.height) / c.height
    start = top * rng.uniform(0.38, 0.50) + height / c.height * 0.5
    spots = [(across, start, height)]
    for _ in range(1, subject.count):
        x, y = across + rng.uniform(-0.34, 0.40), start + rng.uniform(-0.22, 0.20) * top
        spots.append((x, y, height * rng.uniform(0.45, 0.9)))
    spots.sort(key=lambda spot: spot[2])
    return [
        (float(np.clip(x, 0.08, 0.92)) * c.width, float(np.clip(y, 0.10, 0.92)) * c.height, size)
        for x, y, size in spots
    ]


_LEAVES: dict[str, RGB] = {"autumn": (0.80, 0.38, 0.12), "spring": (0.94, 0.68, 0.76)}


def _own_colour(c: Canvas, subject: Subject, number: int) -> RGB | None:
    """What the prompt, the season or the crowd makes its colour; None: its usual one."""
    if subject.colour is None and subject.name in {"person", "woman", "umbrella-person"}:
        coats = tuple(COLOURS.values())
        return coats[5 * number % len(coats)] if subject.count > 1 else drawings()[subject.name].colour
    if subject.colour is None and subject.name == "tree":
        return _LEAVES.get(c.scene.season or "", (0.28, 0.48, 0.20))
    return subject.colour


def _figure_of(c: Canvas, name: str, number: int) -> str:
    """Which drawing stands for the subject: every second person is a woman, and a portrait shows head and shoulders."""
    if name == "tree" and c.scene.season == "winter":
        return "bare-tree"
    name = "woman" if name == "person" and number % 2 else name
    return f"{name}-bust" if c.scene.close and name in {"person", "woman"} else name


def _paint_one(c: Canvas, subject: Subject, number: int, spot: Placed) -> None:
    """One of them, in this scene's light and with its shadow or reflection."""
    x, y, height = spot
    name = _figure_of(c, subject.name, number)
    drawing = drawings()[name]
    height = min(height, 0.94 * c.width / max(breadth(name), 0.1), 1.5 * c.height)
    turned = drawing.home in {"ground", "road", "afloat"} if drawing.kind == "set" else name not in _SYMMETRIC
    mirror = turned and x > c.width / 2 and not _shown(c)
    tall = max(6, round(height / max(drawing.foot[1], 0.2)))
    sheet = sheet_of(c, name, tall, _own_colour(c, subject, number), mirror=mirror)
    h, w = sheet.alpha.shape
    left = x - w * (1 - drawing.foot[0] if mirror else drawing.foot[0])
    if w < 0.97 * c.width:
        left = min(max(left, 0.015 * c.width), 0.985 * c.width - w)
    corner = (round(left), round(y - h * drawing.foot[1]))
    if c.scene.view == "top":
        drop_shadow(c, sheet.alpha, corner, height)
    elif c.scene.view != "logo":
        aloft = "branch" in c.scene.places or name == _mounted(c) or c.scene.close
        tie(c, subject.name, sheet, corner, (left + 0.5 * w, y, 0.46 * w), aloft=aloft)
    lay_sheet(c, corner, sheet.alpha, sheet.colour)
    shine(c, sheet, corner)
    if (name in {"house", "cabin", "church"} and sheet.glowing and c.light.dark > 0.5) or name == "campfire":
        pool(c, x, y, w)
