"""How silhouettes are written down and drawn: outlines, tapered limbs, discs and lines in a unit of their own.

A figure stands on y = 0, looks to the right (+x), and is about 1 tall; y points up. Each part has a role, which names
its colour: `body` is the figure's own colour, the others stand in `ROLES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Array

if TYPE_CHECKING:
    from .scene import RGB

ROLES: Mapping[str, RGB] = {
    "white": (0.95, 0.94, 0.91),
    "cream": (0.93, 0.87, 0.76),
    "dark": (0.10, 0.09, 0.10),
    "shade": (0.26, 0.21, 0.20),
    "wood": (0.40, 0.27, 0.18),
    "bark": (0.24, 0.17, 0.13),
    "roof": (0.60, 0.22, 0.16),
    "slate": (0.30, 0.33, 0.40),
    "stone": (0.60, 0.58, 0.56),
    "stonedark": (0.40, 0.39, 0.41),
    "metal": (0.70, 0.73, 0.77),
    "red": (0.80, 0.16, 0.13),
    "gold": (0.93, 0.72, 0.28),
    "pink": (0.95, 0.62, 0.62),
    "sail": (0.96, 0.93, 0.86),
    "leaf": (0.24, 0.46, 0.20),
    "leaflight": (0.40, 0.60, 0.26),
    "skin": (0.88, 0.68, 0.56),
    "skindark": (0.78, 0.57, 0.46),
    "lips": (0.72, 0.32, 0.32),
    "hair": (0.24, 0.15, 0.11),
    "hairlight": (0.46, 0.31, 0.21),
    "hairgrey": (0.74, 0.73, 0.72),
    "hairgreylight": (0.88, 0.87, 0.86),
    "hairblond": (0.80, 0.62, 0.34),
    "hairblondlight": (0.92, 0.78, 0.50),
    "hairred": (0.58, 0.24, 0.10),
    "hairredlight": (0.76, 0.38, 0.18),
    "hairblack": (0.08, 0.07, 0.08),
    "hairblacklight": (0.22, 0.21, 0.24),
    "beard": (0.24, 0.15, 0.11),
    "lemon": (0.96, 0.84, 0.30),
    "flesh": (0.96, 0.62, 0.36),
    "grape": (0.38, 0.20, 0.42),
    "frost": (0.84, 0.86, 0.90),
    "glass": (0.16, 0.22, 0.32),
    "glow": (1.0, 0.82, 0.45),
    "flame": (1.0, 0.55, 0.12),
}
GLOWING = frozenset(("glow", "flame"))


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a figure.

    `numbers` are x, y pairs (polygon, smooth, line), x, y, radius triples (limb) or x, y, rx, ry (disc).
    """

    role: str
    kind: Literal["polygon", "smooth", "limb", "disc", "line"]
    numbers: tuple[float, ...]
    width: float = 0.0


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a figure stands on a sheet of pixels: pixel = (x + mirror * figure x * scale, y - figure y * scale)."""

    scale: float
    x: float
    y: float
    mirror: float

    def place(self, points: Array) -> list[tuple[float, float]]:
        """Points (n, 2) of the figure as pixels."""
        return [(self.x + self.mirror * x * self.scale, self.y - y * self.scale) for x, y in points]


def polygon(role: str, *numbers: float) -> Part:
    """Straight-edged outline."""
    return Part(role, "polygon", numbers)


def smooth(role: str, *numbers: float) -> Part:
    """Closed curve through the points."""
    return Part(role, "smooth", numbers)


def limb(role: str, *numbers: float) -> Part:
    """A tapering round-ended stroke through circles (x, y, radius)."""
    return Part(role, "limb", numbers)


def disc(role: str, x: float, y: float, rx: float, ry: float | None = None) -> Part:
    """An ellipse."""
    return Part(role, "disc", (x, y, rx, rx if ry is None else ry))


def line(role: str, width: float, *numbers: float) -> Part:
    """An open line of even width."""
    return Part(role, "line", numbers, width)


def box(role: str, x0: float, y0: float, x1: float, y1: float) -> Part:
    """An upright rectangle."""
    return Part(role, "polygon", (x0, y0, x1, y0, x1, y1, x0, y1))


def curve(points: Array, closed: bool, steps: int = 8) -> Array:
    """Catmull-Rom through `points` (n, k): (m, k)."""
    ring = (
        np.concatenate([points[-1:], points, points[:2]])
        if closed
        else np.concatenate([points[:1], points, points[-1:]])
    )
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (ring[k : len(ring) - 3 + k, None, :] for k in range(4))
    out = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    flat = out.reshape(-1, points.shape[1])
    return flat if closed else np.concatenate([flat, points[-1:]])


def extent(parts: Sequence[Part]) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of a figure."""
    xs: list[float] = []
    ys: list[float] = []
    for part in parts:
        n = part.numbers
        match part.kind:
            case "limb":
                radius = max(n[2::3])
                xs += [min(n[0::3]) - radius, max(n[0::3]) + radius]
                ys += [min(n[1::3]) - radius, max(n[1::3]) + radius]
            case "disc":
                xs += [n[0] - n[2], n[0] + n[2]]
                ys += [n[1] - n[3], n[1] + n[3]]
            case _:
                spare = part.width + (0.08 if part.kind == "smooth" else 0.0)
                xs += [min(n[0::2]) - spare, max(n[0::2]) + spare]
                ys += [min(n[1::2]) - spare, max(n[1::2]) + spare]
    return min(xs), min(ys), max(xs), max(ys)


def draw_part(draw: ImageDraw.ImageDraw, part: Part, frame: Frame) -> None:
    """Draw one part in white."""
    n = np.asarray(part.numbers, np.float64)
    match part.kind:
        case "polygon":
            draw.polygon(frame.place(n.reshape(-1, 2)), fill=255)
        case "smooth":
            draw.polygon(frame.place(curve(n.reshape(-1, 2), True)), fill=255)
        case "line":
            width = max(1, round(part.width * frame.scale))
            draw.line(frame.place(n.reshape(-1, 2)), fill=255, width=width, joint="curve")
        case "disc":
            x, y = frame.place(n[:2].reshape(1, 2))[0]
            rx, ry = n[2] * frame.scale, n[3] * frame.scale
            draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=255)
        case "limb":
            _draw_limb(draw, n.reshape(-1, 3), frame)


def _draw_limb(draw: ImageDraw.ImageDraw, circles: Array, frame: Frame) -> None:
    path = curve(circles, False, 7)
    x, y = np.array(frame.place(path[:, :2])).T
    r = np.maximum(path[:, 2], 0.002) * frame.scale
    dx, dy = np.gradient(x), np.gradient(y)
    length = np.maximum(np.hypot(dx, dy), 1e-6)
    nx, ny = -dy / length * r, dx / length * r
    for k in range(len(path) - 1):
        draw.polygon(
            [
                (x[k] + nx[k], y[k] + ny[k]),
                (x[k + 1] + nx[k + 1], y[k + 1] + ny[k + 1]),
                (x[k + 1] - nx[k + 1], y[k + 1] - ny[k + 1]),
                (x[k] - nx[k], y[k] - ny[k]),
            ],
            fill=255,
        )
    for k in (*range(0, len(path) - 1, 2), len(path) - 1):
        draw.ellipse((x[k] - r[k], y[k] - r[k], x[k] + r[k], y[k] + r[k]), fill=255)


def groups(parts: Sequence[Part]) -> list[tuple[str, list[Part]]]:
    """Neighbouring parts of one role together, so that their seams do not show."""
    found: list[tuple[str, list[Part]]] = []
    for part in parts:
        if found and found[-1][0] == part.role:
            found[-1][1].append(part)
        else:
            found.append((part.role, [part]))
    return found


def mask_of(parts: Sequence[Part], size: tuple[int, int], frame: Frame) -> Array:
    """Anti-aliased mask (height, width) in 0..1 of the parts' union. `size` is (width, height)."""
    q = 3 if max(size) < 400 else 2
    sheet = Image.new("L", (size[0] * q, size[1] * q), 0)
    draw = ImageDraw.Draw(sheet)
    fine = Frame(frame.scale * q, frame.x * q, frame.y * q, frame.mirror)
    for part in parts:
        draw_part(draw, part, fine)
    return np.asarray(sheet.reduce(q), np.float32) / 255
