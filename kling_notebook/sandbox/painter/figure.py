"""A figure drawn, shaded and lit on a sheet of its own, ready to be laid into the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .canvas import Array, Canvas, mix
from .figures import CREATURES
from .land import snowy
from .relief import coat, rim, rounded
from .shapes import GLOWING, ROLES, Frame, Part, extent, groups, mask_of
from .trees import leafed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .scene import RGB

_SOFT = ("body", "skin", "hair", "wood", "white", "cream", "frost", "red", "gold", "flesh", "leaf")
_BARE = frozenset(("person", "woman", "astronaut", "robot", "umbrella", "dolphin", "whale", "penguin"))
"""Figures without fur or feathers one could see."""
_FIRES = frozenset(("rocket", "campfire", "lantern", "robot"))
"""Figures that glow by day too."""
_LEAFY = frozenset(("tree", "pine", "palm", "flower", "rock", "crystal"))
"""Figures made of leaves or facets, which do not swell one by one."""
Spot = tuple[slice, slice]


@dataclass(slots=True)
class Sheet:
    """`colour` (h, w, 3) as lit, `alpha` (h, w), and where something glows: role, place on the sheet, mask."""

    colour: Array
    alpha: Array
    glowing: list[tuple[str, Spot, Array]]


def sheet_of(c: Canvas, name: str, parts: Sequence[Part], own: RGB, place: tuple[tuple[int, int], Frame]) -> Sheet:
    """Draw the figure on a sheet. `place` is the sheet's width and height, and where the figure stands on it."""
    size, frame = place
    height = frame.scale * max(extent(parts)[3], 0.3)
    colour = np.zeros((size[1], size[0], 3), np.float32)
    alpha, lamps = np.zeros(colour.shape[:2], np.float32), np.zeros(colour.shape[:2], np.float32)
    glowing: list[tuple[str, Spot, Array]] = []
    plump = not c.flat and name not in _LEAFY
    for role, some in groups(parts):
        where = _spot(some, size, frame)
        rows, columns = where
        if rows.stop - rows.start < 1 or columns.stop - columns.start < 1:
            continue
        inner = Frame(frame.scale, frame.x - columns.start, frame.y - rows.start, frame.mirror)
        mask = mask_of(some, (columns.stop - columns.start, rows.stop - rows.start), inner)
        if name == "tree" and role.startswith("body") and not c.flat:
            mask, leaves = leafed(c.rng(f"leaves {role}"), mask, height, c.side())
            mask = mask * np.float32(0.96)
            tone = _base(role, own) * (np.float32(0.62) + np.float32(0.62) * leaves)[..., None]
        else:
            tone = _base(role, own)
        if role in {"roof", "slate"} and snowy(c):
            tone = np.array((0.92, 0.94, 0.98), np.float32)
        if role == "glow" and not _burning(c, name, role):
            tone = np.array((0.36, 0.42, 0.48), np.float32)  # a window by day, an eye that is off
        if role in GLOWING:
            glowing.append((role, where, mask))
            lamps[where] = np.maximum(lamps[where], mask * np.float32(_burning(c, name, role)))
        else:
            lamps[where] *= 1 - mask
        shade = rounded(c, mask, 0.028 * height) if plump and role.startswith(_SOFT) else np.float32(1)
        block = colour[where]
        block += (tone * shade - block) * mask[..., None]
        alpha[where] = np.maximum(alpha[where], mask)
    return Sheet(_lit(c, name, colour, (alpha, lamps), height), alpha, glowing)


def lit_drawing(c: Canvas, colour: Array, alpha: Array) -> Array:
    """A drawing of the published set in the scene's light: it is shaded already."""
    height = alpha.shape[0]
    if "underwater" in c.scene.places:
        lit = mix(colour, (0.10, 0.45, 0.60), 0.22) * np.float32(0.55 + 0.45 * max(c.light.ambient))
    elif {"space", "lunar", "studio"} & set(c.scene.places) or c.scene.view in {"top", "logo", "title"}:
        lit = colour * np.float32(0.55 + 0.42 * max(c.light.ambient) if c.scene.time != "day" else 0.97)
    else:
        distance = float(np.clip(0.24 - 0.5 * height / c.unit, 0.0, 0.24))
        lit = c.light.on(colour, distance) + colour * np.float32(0.12 + 0.14 * c.light.dark)
    across = np.linspace(-1, 1, alpha.shape[1], dtype=np.float32)[None, :, None] * np.float32(c.side())
    lit *= 1 + 0.09 * across
    if not c.flat and height > 24:
        shade = rounded(c, alpha, 0.07 * height)
        lit *= 1 + (shade - 1) * np.float32(0.6)
        lit += rim(c, alpha) * np.asarray(c.light.sun, np.float32) * np.float32(0.5)
    return np.asarray(lit, np.float32)


def _spot(parts: Sequence[Part], size: tuple[int, int], frame: Frame) -> Spot:
    """The rows and columns of the sheet that these parts can touch."""
    left, bottom, right, top = extent(parts)
    xs = sorted((frame.x + frame.mirror * left * frame.scale, frame.x + frame.mirror * right * frame.scale))
    rows = slice(max(0, int(frame.y - top * frame.scale) - 2), min(size[1], int(frame.y - bottom * frame.scale) + 3))
    return rows, slice(max(0, int(xs[0]) - 2), min(size[0], int(xs[1]) + 3))


def _base(role: str, own: RGB) -> Array:
    match role:
        case "body":
            return np.asarray(own, np.float32)
        case "bodydark":
            return np.asarray(own, np.float32) * np.float32(0.66)
        case "bodylight":
            return mix(own, (1.0, 0.97, 0.80), 0.26)
        case _:
            return np.asarray(ROLES[role], np.float32)


def _burning(c: Canvas, name: str, role: str) -> float:
    """Whether a lamp or window is lit."""
    if role == "flame" or name in _FIRES or c.light.dark > 0.5 or "space" in c.scene.places:
        return 1.0
    return 0.9 if c.scene.time in {"dusk", "sunset", "dawn"} or c.scene.weather & {"storm", "fog"} else 0.0


def _lit(c: Canvas, name: str, colour: Array, masks: tuple[Array, Array], height: float) -> Array:
    """The sheet in the picture's light; what burns keeps its own."""
    alpha, lamps = masks
    own = colour.copy()
    if (name in CREATURES or name in {"tree", "rock"}) and name not in _BARE and not c.flat:
        colour = colour * coat(c.rng(f"coat {name}"), alpha.shape, height)
    if "underwater" in c.scene.places:
        lit = mix(colour, (0.10, 0.45, 0.60), 0.28) * np.float32(0.5 + 0.5 * max(c.light.ambient))
    elif {"space", "lunar"} & set(c.scene.places):
        lit = colour * np.float32(0.92)
    else:
        # Silhouettes keep a little of their colour even at night: a black fox would not be seen.
        distance = float(np.clip(0.30 - 0.5 * height / c.unit, 0.0, 0.3))
        lit = c.light.on(colour, distance) + colour * np.float32(0.10 + 0.16 * c.light.dark)
    h, w = alpha.shape
    across = np.linspace(-1, 1, w, dtype=np.float32)[None, :, None] * np.float32(c.side())
    down = np.linspace(1, -1, h, dtype=np.float32)[:, None, None]
    lit *= 1 + 0.13 * across + 0.07 * down
    if not c.flat:
        lit *= rounded(c, alpha, 0.055 * height)
    lit += rim(c, alpha) * np.asarray(c.light.sun, np.float32)
    unlit = np.where(lamps > 0.01, lamps, 0)[..., None]
    out: Array = lit + (own - lit) * unlit
    return out
