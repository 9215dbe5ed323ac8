"""Our own figures as contours: outlines, tapered limbs, discs and lines become what the archive of drawings holds.

A figure of figures.json stands on y = 0, looks to the right, and is about 1 tall; y points up. Each part is
[role, kind, numbers, width]: x, y pairs (polygon, smooth, line), x, y, radius triples (limb) or x, y, rx, ry (disc).
A role names the part's color, which the painter knows; neighbors of one role become one layer, so that their seams do
not show.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from shapely import LinearRing, Polygon, unary_union

UNIT = 2000
"""Units of the archive for the height 1."""


def layers_of(parts: list[Any]) -> list[tuple[str, list[np.ndarray]]]:
    """Role and contours of each layer, in pixels of the archive's originals (1/20 unit), y down; needs shapely."""
    found = []
    for role, some in itertools.groupby(parts, key=lambda part: part[0]):
        shapes = [Polygon(ring).buffer(0) for part in some for ring in _rings(*part[1:])]
        whole = unary_union(shapes).simplify(0.0004)
        every = [whole] if whole.geom_type == "Polygon" else list(whole.geoms)
        rings = [orient(ring).coords[:-1] for shape in every for ring in (shape.exterior,)]
        rings += [orient(ring).coords[::-1][:-1] for shape in every for ring in shape.interiors]
        found.append((role, [np.array(ring) * (UNIT / 20, -UNIT / 20) for ring in rings]))
    return found


def orient(ring: LinearRing) -> LinearRing:
    """The ring, run counterclockwise."""
    return ring if ring.is_ccw else LinearRing(ring.coords[::-1])


def _rings(kind: str, numbers: list[float], width: float = 0.0) -> list[np.ndarray]:
    n = np.array(numbers, np.float64)
    if kind == "polygon":
        return [n.reshape(-1, 2)]
    if kind == "smooth":
        return [_curve(n.reshape(-1, 2), closed=True)]
    if kind == "disc":
        return [_ellipse(*n)]
    if kind == "line":
        points = n.reshape(-1, 2)
        return _limb(np.column_stack([points, np.full(len(points), width / 2)]))
    return _limb(_curve(n.reshape(-1, 3), closed=False))


def _ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.column_stack([x + rx * np.cos(t), y + ry * np.sin(t)])


def _limb(path: np.ndarray) -> list[np.ndarray]:
    """Circles along a path, and what lies between each and the next."""
    found = [_ellipse(x, y, max(r, 0.002), max(r, 0.002)) for x, y, r in path]
    for (x0, y0, r0), (x1, y1, r1) in itertools.pairwise(path):
        length = max(np.hypot(x1 - x0, y1 - y0), 1e-6)
        nx, ny = -(y1 - y0) / length, (x1 - x0) / length
        corners = [(x0 + nx * r0, y0 + ny * r0), (x1 + nx * r1, y1 + ny * r1)]
        corners += [(x1 - nx * r1, y1 - ny * r1), (x0 - nx * r0, y0 - ny * r0)]
        found.append(np.array(corners))
    return found


def _curve(points: np.ndarray, *, closed: bool, steps: int = 10) -> np.ndarray:
    """Catmull-Rom through the points."""
    before, after = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    ring = np.concatenate([before, points, after])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (ring[k : len(ring) - 3 + k, None, :] for k in range(4))
    out = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    flat = out.reshape(-1, points.shape[1])
    return flat if closed else np.concatenate([flat, points[-1:]])
