"""What ties a figure to the picture: shadow, reflection and the light it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .canvas import Array, Canvas, blur
from .catalog import index as drawings
from .vocabulary import plain

if TYPE_CHECKING:
    from .catalog import RGB
    from .figure import Sheet


def at_home(home: str, *names: str) -> frozenset[str]:
    """These, and the drawings of the published set that are at home there."""
    return frozenset(names) | {name for name, drawing in drawings().items() if drawing.home == home}


SKY = at_home("sky", "bird", "balloon", "dragon", "rocket", "ufo", "lantern")
AFLOAT = at_home("afloat", "boat", "sailboat", "ship", "swan", "whale", "dolphin")
SWIMMING = at_home("underwater", "fish", "whale", "dolphin")
WADING = plain("wading")


def tie(
    c: Canvas, name: str, sheet: Sheet, corner: tuple[int, int], spot: tuple[float, float, float], *, aloft: bool
) -> None:
    """Tie a figure to what it stands on or floats over. `spot` is x, y and half its width, in pixels."""
    x, y, half = spot
    airless = c.scene.studio or c.scene.places == ("space",) or "underwater" in c.scene.places
    if c.scene.water and not airless and name in AFLOAT | WADING | SWIMMING:
        _reflect(c, sheet, corner, y)
    elif name not in SKY and not airless and not aloft:
        _shadow(c, x, y, half)


def lay_sheet(c: Canvas, corner: tuple[int, int], mask: Array, colour: Array) -> None:
    """Lay a sheet with its left upper `corner` there; what reaches over the canvas is cut off."""
    found = c.window(corner, mask.shape)
    if found is not None:
        rows, columns, cut = found
        c.lay(rows, mask[cut], colour if colour.ndim == 1 else colour[cut], columns)


def glow_sheet(c: Canvas, corner: tuple[int, int], amount: Array, colour: RGB) -> None:
    """Add the light of a sheet."""
    found = c.window(corner, amount.shape)
    if found is not None:
        rows, columns, cut = found
        c.add(rows, amount[cut], colour, columns)


def drop_shadow(c: Canvas, alpha: Array, corner: tuple[int, int], height: float) -> None:
    """The shadow of something that lies flat, seen from above."""
    reach = max(2, round(0.035 * height))
    shadow = blur(np.pad(alpha, 2 * reach), reach) * np.float32(0.45)
    lay_sheet(c, (corner[0] - reach, corner[1] - reach), shadow, np.array((0.05, 0.04, 0.05), np.float32))


def _shadow(c: Canvas, x: float, y: float, half: float) -> None:
    tall = max(2.0, half * 0.13)
    x0, x1, y0, y1 = int(x - 1.6 * half), int(x + 1.6 * half), int(y - 2 * tall), int(y + 2.4 * tall)
    dx = (np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(x + c.side() * -0.2 * half)) / np.float32(half)
    dy = (np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(y + 0.1 * tall)) / np.float32(tall)
    mask = np.exp(-(dx * dx + dy * dy) * 1.3) * np.float32(0.42)
    if mask.size:
        lay_sheet(c, (x0, y0), mask, np.asarray(c.light.on((0.10, 0.10, 0.14)), np.float32))


def _reflect(c: Canvas, sheet: Sheet, corner: tuple[int, int], y: float) -> None:
    """The figure upside down in the water, broken by ripples; none on the land before the water."""
    rng = c.rng("ripples")
    tall = max(1, int(y) - corner[1])
    corner = (corner[0], int(y))
    above, colour = sheet.alpha[:tall][::-1], sheet.colour[:tall][::-1]
    rows = np.arange(above.shape[0], dtype=np.float32)
    wave = np.sin(rows * (0.55 * 1024 / c.unit) + rng.uniform(0, 6)) * (0.0012 * c.unit + rows * 0.018)
    columns = np.clip(np.arange(above.shape[1])[None, :] + wave[:, None].astype(int), 0, above.shape[1] - 1)
    fade = np.clip(0.62 - 0.5 * rows / max(len(rows), 1), 0, 1)[:, None].astype(np.float32)
    broken = 0.75 + 0.25 * np.sin(rows * (0.9 * 1024 / c.unit))[:, None].astype(np.float32)
    mask = np.take_along_axis(above, columns, axis=1) * fade * broken
    found = c.window(corner, mask.shape)
    if found is not None and c.stream is not None:
        mask[found[2]] *= c.stream[found[0], found[1]]
    elif found is not None and c.dry is not None:
        mask[found[2]] *= np.arange(found[0].start, found[0].stop)[:, None] < c.dry[None, found[1]]
    lay_sheet(c, corner, mask, np.take_along_axis(colour, columns[..., None], axis=1) * np.float32(0.7))


def shine(c: Canvas, sheet: Sheet, corner: tuple[int, int]) -> None:
    """The halo of lamps and fires."""
    dusk = c.scene.time in {"dusk", "sunset", "night", "blue", "dawn"} or "space" in c.scene.places
    for role, (rows, columns), mask in sheet.glowing:
        if role == "glow" and not dusk:
            continue
        reach = max(3, int(0.05 * c.unit))
        halo = blur(np.pad(mask, reach), reach * 0.42)
        at = (corner[0] + columns.start - reach, corner[1] + rows.start - reach)
        warm = (1.0, 0.82, 0.45) if role == "glow" else (1.0, 0.55, 0.12)
        glow_sheet(c, at, halo * np.float32(0.85 if dusk else 0.3), warm)


def pool(c: Canvas, x: float, y: float, wide: float) -> None:
    """Warm light on the ground before windows or a fire."""
    rows = slice(max(0, int(y - 0.10 * wide)), min(c.height, int(y + 0.45 * wide)))
    if rows.stop - rows.start < 2:
        return
    dy = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y + 0.08 * wide)) / (0.16 * wide)
    dx = (np.arange(c.width, dtype=np.float32)[None, :] - np.float32(x)) / (0.52 * wide)
    c.add(rows, np.exp(-(dx * dx + dy * dy)).astype(np.float32) * np.float32(0.34), (1.0, 0.72, 0.38))
