"""What ties a figure to the picture: shadow, reflection, the light it gives, the snow on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .canvas import Array, Canvas, blur
from .catalog import index as drawings
from .shapes import ROLES

if TYPE_CHECKING:
    from .figure import Sheet
    from .scene import RGB, Subject


def _at_home(home: str, *names: str) -> frozenset[str]:
    """These, and the drawings of the published set that are at home there."""
    return frozenset(names) | {name for name, drawing in drawings().items() if drawing.home == home}


SKY = _at_home("sky", "bird", "balloon", "dragon", "rocket", "ufo", "lantern")
AFLOAT = _at_home("afloat", "boat", "sailboat", "ship", "swan", "whale", "dolphin")
SWIMMING = _at_home("underwater", "fish", "whale", "dolphin")
WADING = frozenset(("heron", "flamingo", "torii", "bridge"))


def tie(
    c: Canvas,
    subject: Subject,
    sheet: Sheet,
    corner: tuple[int, int],
    spot: tuple[float, float, float, float],
    *,
    aloft: bool,
) -> None:
    """Tie a figure to what it stands on or floats over. `spot` is x, y, half its width and its scale, in pixels."""
    name = subject.name
    x, y, half, scale = spot
    airless = c.scene.studio or c.scene.places == ("space",) or "underwater" in c.scene.places
    if c.scene.water and not airless and name in (AFLOAT | WADING | SWIMMING):
        _reflect(c, sheet, corner, y)
    elif name not in SKY and not airless and not aloft:
        _shadow(c, x, y, half)
    if name == "ufo":
        _beam(c, x, y, scale)


def _window(c: Canvas, corner: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice, slice, slice] | None:
    """Rows and columns of the canvas and of the figure where they overlap."""
    x0, y0 = corner
    rows = slice(max(0, y0), min(c.height, y0 + shape[0]))
    columns = slice(max(0, x0), min(c.width, x0 + shape[1]))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return None
    return rows, columns, slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0)


def lay_sheet(c: Canvas, corner: tuple[int, int], mask: Array, colour: Array) -> None:
    where = _window(c, corner, mask.shape)
    if where is None:
        return
    rows, columns, inner_rows, inner_columns = where
    paint = colour if colour.ndim == 1 else np.broadcast_to(colour, (*mask.shape, 3))[inner_rows, inner_columns]
    c.lay(rows, mask[inner_rows, inner_columns], paint, columns)


def glow_sheet(c: Canvas, corner: tuple[int, int], amount: Array, colour: RGB) -> None:
    where = _window(c, corner, amount.shape)
    if where is not None:
        rows, columns, inner_rows, inner_columns = where
        c.add(rows, amount[inner_rows, inner_columns], colour, columns)


def _shadow(c: Canvas, x: float, y: float, half: float) -> None:
    tall = max(2.0, half * 0.13)
    x0, x1, y0, y1 = int(x - 1.6 * half), int(x + 1.6 * half), int(y - 2 * tall), int(y + 2.4 * tall)
    dx = (np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(x + c.side() * -0.2 * half)) / np.float32(half)
    dy = (np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(y + 0.1 * tall)) / np.float32(tall)
    mask = np.exp(-(dx * dx + dy * dy) * 1.3) * np.float32(0.42)
    if mask.size:
        lay_sheet(c, (x0, y0), mask, np.asarray(c.light.on((0.10, 0.10, 0.14)), np.float32))


def _reflect(c: Canvas, sheet: Sheet, corner: tuple[int, int], y: float) -> None:
    """The figure upside down in the water, broken by ripples."""
    rng = c.rng("ripples")
    x0, y0 = corner
    above, colour = sheet.alpha[: int(y) - y0][::-1], sheet.colour[: int(y) - y0][::-1]
    if above.shape[0] < 2:
        return
    rows = np.arange(above.shape[0], dtype=np.float32)
    wave = np.sin(rows * (0.55 * 1024 / c.unit) + rng.uniform(0, 6)) * (0.0012 * c.unit + rows * 0.018)
    columns = np.clip(np.arange(above.shape[1])[None, :] + wave[:, None].astype(int), 0, above.shape[1] - 1)
    rippled = np.take_along_axis(above, columns, axis=1)
    fade = np.clip(0.62 - 0.5 * rows / max(len(rows), 1), 0, 1)[:, None].astype(np.float32)
    broken = 0.75 + 0.25 * np.sin(rows * (0.9 * 1024 / c.unit))[:, None].astype(np.float32)
    mask = rippled * fade * broken
    mask = _on_water(c, mask, (x0, int(y)))
    shown = np.take_along_axis(colour, columns[..., None], axis=1) * np.float32(0.7)
    lay_sheet(c, (x0, int(y)), mask, shown)


def _on_water(c: Canvas, mask: Array, corner: tuple[int, int]) -> Array:
    """The part of a reflection that lies on water and not on the land before it."""
    where = _window(c, corner, mask.shape)
    if where is None or (c.stream is None and c.dry is None):
        return mask
    rows, columns, inner_rows, inner_columns = where
    out = mask.copy()
    if c.stream is not None:
        out[inner_rows, inner_columns] *= c.stream[rows, columns]
    elif c.dry is not None:
        row = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        out[inner_rows, inner_columns] *= row < c.dry[None, columns]
    return out


def _beam(c: Canvas, x: float, y: float, scale: float) -> None:
    """The cone of light below a flying saucer."""
    top, bottom = int(y - 0.34 * scale), min(c.height, int(c.horizon + 0.24 * c.unit))
    if bottom - top < 4:
        return
    rows = np.arange(max(0, top), bottom, dtype=np.float32)[:, None]
    t = (rows - top) / (bottom - top)
    half = scale * (0.16 + 0.62 * t)
    dx = np.abs(np.arange(c.width, dtype=np.float32)[None, :] - np.float32(x)) / half
    c.add(slice(max(0, top), bottom), np.clip((1 - dx) * 4, 0, 1) * (0.60 - 0.38 * t), (0.62, 1.0, 0.80))


def shine(c: Canvas, sheet: Sheet, corner: tuple[int, int]) -> None:
    """The halo of lamps and fires."""
    dusk = c.scene.time in {"dusk", "sunset", "night", "blue", "dawn"} or "space" in c.scene.places
    for role, (rows, columns), mask in sheet.glowing:
        if role == "glow" and not dusk:
            continue
        reach = max(3, int(0.05 * c.unit))
        halo = blur(np.pad(mask, reach), reach * 0.42)
        at = (corner[0] + columns.start - reach, corner[1] + rows.start - reach)
        glow_sheet(c, at, halo * np.float32(0.85 if dusk else 0.3), ROLES[role])


def pool(c: Canvas, x: float, y: float, wide: float) -> None:
    """Warm light on the ground before windows or a fire."""
    rows = slice(max(0, int(y - 0.10 * wide)), min(c.height, int(y + 0.45 * wide)))
    if rows.stop - rows.start < 2:
        return
    dy = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y + 0.08 * wide)) / (0.16 * wide)
    dx = (np.arange(c.width, dtype=np.float32)[None, :] - np.float32(x)) / (0.52 * wide)
    c.add(rows, np.exp(-(dx * dx + dy * dy)).astype(np.float32) * np.float32(0.34), (1.0, 0.72, 0.38))


def snow_cap(c: Canvas, whole: Array, corner: tuple[int, int]) -> None:
    reach = max(2, round(c.unit / 90))
    lowered = np.zeros_like(whole)
    lowered[reach:] = whole[:-reach]
    lay_sheet(c, corner, np.clip(whole - lowered, 0, 1) * np.float32(0.9), c.light.on((0.95, 0.97, 1.0)))
