"""The canvas: pixels, named random streams, smooth noise, and laying colour on through masks.

Colours are float32 RGB in 0..1, sRGB as seen (not linear). Lengths given as fractions are of `unit`, the shorter
side, so that a scene looks the same at every size. Random numbers never depend on the size in pixels either.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .light import Light
    from .scene import Scene

Array: TypeAlias = NDArray[Any]
"""Always float32; NumPy's own types lose that in arithmetic with plain numbers."""
Window: TypeAlias = tuple[slice, slice, tuple[slice, slice]]
"""Rows and columns of the canvas, and the part of the sheet that lies on them."""
Colour: TypeAlias = "Sequence[float] | Array"


class Canvas:
    """A picture being painted. `pixels` is (height, width, 3)."""

    def __init__(self, width: int, height: int, scene: Scene, light: Light) -> None:
        self.width, self.height = width, height
        self.unit = min(width, height)
        self.scene, self.light = scene, light
        self.pixels: Array = np.empty((height, width, 3), np.float32)
        self.horizon = int(height * 0.6)
        """Row where the sky ends."""
        self.sun: tuple[float, float] = (width * 0.7, height * 0.3)
        """Where the light comes from, in pixels; set when the sky is painted."""
        self.shelf: Array | None = None
        """The line of raised ground that things can stand on (one row per column; beyond the height: none)."""
        self.flat = bool({"poster", "comic", "ink", "blueprint"} & set(scene.styles))
        """Whether shapes stay plain: no texture inside them."""
        self.stream: Array | None = None
        """Where a river runs, (height, width) in 0..1, if it is the only water."""
        self.dry: Array | None = None
        """The row where the near shore begins, one per column, if there is water beyond it."""
        self.pane: tuple[slice, slice] | None = None
        """Rows and columns of a room's window."""
        self.lane: Array | None = None
        """The middle of a road (one column per row from the horizon on; 0: none)."""

    def rng(self, name: str) -> np.random.Generator:
        """The random stream of that name: the same for the same scene, independent of every other stream."""
        text = f"{name}|{self.scene.variation}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest, "little"))

    def grown(self, width: int, height: int) -> Canvas:
        """The same picture on a larger canvas."""
        large = Canvas(width, height, self.scene, self.light)
        share = height / self.height
        large.horizon, large.sun = round(self.horizon * share), (self.sun[0] * share, self.sun[1] * share)
        image = Image.fromarray((np.clip(self.pixels, 0, 1) * 255 + 0.5).astype(np.uint8))
        large.pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float32) / np.float32(255)
        return large

    def side(self) -> float:
        """-1 when the light stands left of the middle, else 1."""
        return -1.0 if self.sun[0] < self.width / 2 else 1.0

    def window(self, corner: tuple[int, int], shape: tuple[int, ...]) -> Window | None:
        """Where a sheet of this shape, its left upper corner there, lies on the canvas; None: nowhere."""
        x0, y0 = corner
        rows = slice(max(0, y0), min(self.height, y0 + shape[0]))
        columns = slice(max(0, x0), min(self.width, x0 + shape[1]))
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return None
        return rows, columns, (slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0))

    def around(self, middle: tuple[float, float], reach: tuple[float, float]) -> tuple[slice, slice, Array, Array]:
        """Rows, columns, and dx (1, w) and dy (h, 1) in pixels, of the box about a point; possibly empty."""
        (x, y), (wide, tall) = middle, reach
        rows = slice(max(0, int(y - tall)), max(0, min(self.height, int(y + tall))))
        columns = slice(max(0, int(x - wide)), max(0, min(self.width, int(x + wide))))
        dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)
        dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
        return rows, columns, dx, dy

    def lay(self, rows: slice, mask: Array | float, colour: Colour, columns: slice = slice(None)) -> None:
        """Mix `colour` into a block of pixels. `mask` is (rows, columns) in 0..1; `colour` broadcasts to the block."""
        block = self.pixels[rows, columns]
        paint = np.asarray(colour, np.float32)
        # In bands that fit the cache: the whole block at once would wait for memory, not for arithmetic.
        for band in bands(block.shape[0]):
            part = block[band]
            amount = mask[band, :, None] if isinstance(mask, np.ndarray) else np.float32(mask)
            over = paint[band] if paint.ndim == 3 and paint.shape[0] > 1 else paint
            step_to = over - part
            step_to *= amount
            part += step_to

    def add(self, rows: slice, amount: Array, colour: Colour, columns: slice = slice(None)) -> None:
        """Add light (screen): it brightens and never burns out."""
        block = self.pixels[rows, columns]
        paint = np.asarray(colour, np.float32)
        for band in bands(block.shape[0]):
            part = block[band]
            room = np.minimum(part, np.float32(1))
            np.subtract(np.float32(1), room, out=room)
            room *= amount[band, :, None]
            room *= paint
            part += room

    def below(self, line: Array, top: Colour, bottom: Colour, fade: float) -> None:
        """Fill everything below `line` (one y per column, pixels), from `top` at the line to `bottom` after `fade`."""
        first = max(0, int(np.floor(line.min())))
        last = min(self.height, int(np.ceil(line.max())) + 1)
        if first >= self.height:
            return
        if self.flat:
            bottom = mix(top, bottom, 0.3)
        t = np.clip((np.arange(first, self.height, dtype=np.float32) - first) / max(fade, 1.0), 0, 1)[:, None]
        column = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
        if last > first:
            mask = self.under(line, first, last)
            self.lay(slice(first, last), mask, column[: last - first, None, :])
        self.pixels[max(last, 0) :] = column[max(last, 0) - first :, None, :]

    def under(self, line: Array, first: int, last: int) -> Array:
        """Anti-aliased mask (rows first..last, all columns) of what lies below the line."""
        rows = np.arange(first, last, dtype=np.float32)[:, None]
        out: Array = np.clip(rows - line[None, :] + 0.5, 0, 1)
        return out

    def fbm(
        self,
        rng: np.random.Generator,
        cells: float,
        octaves: int,
        *,
        size: tuple[int, int] | None = None,
        wide: float = 1.0,
        gain: float = 0.5,
        span: tuple[float, float] | None = None,
    ) -> Array:
        """Cloudy noise of mean 0 and spread about 1, (height, width) = `size` (default: the canvas).

        `cells` is how many lumps fit into one unit; `wide` stretches them sideways; `span` is the height and width
        in units that `size` covers (default: the canvas).
        """
        height, width = size or (self.height, self.width)
        tall, broad = span or (self.height / self.unit, self.width / self.unit)
        total = np.zeros((height, width), np.float32)
        power = 0.0
        for octave in range(octaves):
            across, down = broad * cells / wide, tall * cells
            weight = gain**octave
            total += weight * lattice(rng, down, across, height, width)
            power += weight * weight
            cells *= 2.0
        return total / np.float32(0.62 * np.sqrt(power))

    def line(self, rng: np.random.Generator, cells: float, octaves: int, gain: float = 0.5) -> Array:
        """Smooth noise along x, one value per column, spread about 1."""
        total = np.zeros(self.width, np.float32)
        power = 0.0
        x = np.arange(self.width, dtype=np.float32) / self.unit
        for octave in range(octaves):
            total += gain**octave * smooth_values(rng, x * cells)
            power += gain ** (2 * octave)
            cells *= 2.03
        return total / np.float32(0.75 * np.sqrt(power))


def bands(height: int, rows: int = 48) -> Iterator[slice]:
    """The rows of a block, a few at a time."""
    for first in range(0, height, rows):
        yield slice(first, min(first + rows, height))


def lattice(rng: np.random.Generator, down: float, across: float, height: int, width: int) -> Array:
    """One octave of noise: random values on a grid of down x across cells, drawn out smoothly to height x width."""
    rows, columns = int(np.ceil(down)) + 3, int(np.ceil(across)) + 3
    values = rng.standard_normal((rows, columns), dtype=np.float32)
    image = Image.fromarray(values)
    box = (1.0, 1.0, 1.0 + max(across, 0.01), 1.0 + max(down, 0.01))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box))


def smooth_values(rng: np.random.Generator, at: Array) -> Array:
    """Random values on the integers, smoothly joined, read at the places `at` (all at least 0)."""
    count = int(at.max()) + 3 if at.size else 3
    knots = rng.standard_normal(max(count, 64)).astype(np.float32)
    whole = np.minimum(at.astype(np.int32), len(knots) - 2)
    part = at - whole
    part = part * part * (3 - 2 * part)
    out: Array = knots[whole] * (1 - part) + knots[whole + 1] * part
    return out


def step(low: float | Array, high: float | Array, value: Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    out: Array = t * t * (3 - 2 * t)
    return out


def mix(a: Colour, b: Colour, t: float) -> Array:
    """Colour `t` of the way from a to b."""
    return np.asarray(a, np.float32) * np.float32(1 - t) + np.asarray(b, np.float32) * np.float32(t)


def enlarge(field: Array, width: int, height: int) -> Array:
    """A smooth field (h, w) or picture (h, w, 3) drawn out to height x width."""
    if field.shape[:2] == (height, width):
        return field
    if field.ndim == 3:
        return np.stack([enlarge(np.ascontiguousarray(field[..., k]), width, height) for k in range(3)], axis=-1)
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BILINEAR))


def blur(field: Array, radius: float) -> Array:
    """Soft blur of a field in 0..1 (8 bits inside: for glows and masks)."""
    image = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def luma(pixels: Array) -> Array:
    """Brightness as seen, (h, w)."""
    return pixels @ np.array((0.299, 0.587, 0.114), np.float32)
