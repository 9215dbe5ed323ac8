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
    "glass": (0.16, 0.22, 0.32),
    "glow": (1.0, 0.82, 0.45),
    "flame": (1.0, 0.55, 0.12),
}
GLOWING = frozenset(("glow", "flame"))


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a figure. `numbers` are x, y pairs (polygon, smooth, line), x, y, radius (limb), x, y, rx, ry (disc)."""

    role: str
    kind: Literal["polygon", "smooth", "limb", "disc", "line"]
    numbers: tuple[float, ...]
    width: float = 0.0


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


def curve(points: np.ndarray, closed: bool, steps: int = 8) -> np.ndarray:
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


def draw_part(draw: ImageDraw.ImageDraw, part: Part, scale: float, ox: float, oy: float, mirror: float) -> None:
    """Draw one part in white. Pixel = (ox + mirror * x * scale, oy - y * scale)."""
    n = np.asarray(part.numbers, np.float64)

    def place(points: np.ndarray) -> list[tuple[float, float]]:
        return [(ox + mirror * x * scale, oy - y * scale) for x, y in points]

    match part.kind:
        case "polygon":
            draw.polygon(place(n.reshape(-1, 2)), fill=255)
        case "smooth":
            draw.polygon(place(curve(n.reshape(-1, 2), True)), fill=255)
        case "line":
            draw.line(place(n.reshape(-1, 2)), fill=255, width=max(1, round(part.width * scale)), joint="curve")
        case "disc":
            x, y = ox + mirror * n[0] * scale, oy - n[1] * scale
            draw.ellipse((x - n[2] * scale, y - n[3] * scale, x + n[2] * scale, y + n[3] * scale), fill=255)
        case "limb":
            _draw_limb(draw, n.reshape(-1, 3), scale, ox, oy, mirror)


def _draw_limb(
    draw: ImageDraw.ImageDraw, circles: np.ndarray, scale: float, ox: float, oy: float, mirror: float
) -> None:
    path = curve(circles, False, 7)
    x, y, r = ox + mirror * path[:, 0] * scale, oy - path[:, 1] * scale, np.maximum(path[:, 2], 0.002) * scale
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
    for k in range(0, len(path), 2):
        draw.ellipse((x[k] - r[k], y[k] - r[k], x[k] + r[k], y[k] + r[k]), fill=255)
    draw.ellipse((x[-1] - r[-1], y[-1] - r[-1], x[-1] + r[-1], y[-1] + r[-1]), fill=255)


def groups(parts: Sequence[Part]) -> list[tuple[str, list[Part]]]:
    """Neighbouring parts of one role together, so that their seams do not show."""
    found: list[tuple[str, list[Part]]] = []
    for part in parts:
        if found and found[-1][0] == part.role:
            found[-1][1].append(part)
        else:
            found.append((part.role, [part]))
    return found


def mask_of(
    parts: Sequence[Part], scale: float, size: tuple[int, int], ox: float, oy: float, mirror: float
) -> np.ndarray:
    """Anti-aliased mask (height, width) in 0..1 of the parts' union. `size` is (width, height)."""
    q = 3 if max(size) < 900 else 2
    sheet = Image.new("L", (size[0] * q, size[1] * q), 0)
    draw = ImageDraw.Draw(sheet)
    for part in parts:
        draw_part(draw, part, scale * q, ox * q, oy * q, mirror)
    return np.asarray(sheet.reduce(q), np.float32) / 255
