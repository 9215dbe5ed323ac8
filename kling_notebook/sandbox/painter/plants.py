"""Plants and stones, grown from random numbers: no two alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .shapes import Part, disc, limb, line, polygon, smooth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np


def _tree(rng: np.random.Generator, *, bare: bool = False) -> tuple[Part, ...]:
    """A broad-leaved tree: branches that fork, and clouds of leaves at their ends."""
    wood: list[Part] = []
    tips: list[tuple[float, float]] = []

    def grow(at: tuple[float, float], angle: float, length: float, thick: float, depth: int) -> None:
        x, y = at
        bend = angle + rng.normal(0, 0.12)
        mx, my = x + math.cos(angle) * length * 0.5, y + math.sin(angle) * length * 0.5
        ex, ey = mx + math.cos(bend) * length * 0.5, my + math.sin(bend) * length * 0.5
        if thick > 0.010:
            wood.append(limb("bark", x, y, thick, mx, my, thick * 0.82, ex, ey, thick * 0.66))
        else:
            wood.append(line("bark", thick * 1.8, x, y, mx, my, ex, ey))
        if depth <= 2:
            tips.append((ex, ey))
        if depth == 0:
            return
        for turn in (-0.48, 0.42) if depth % 2 else (-0.36, 0.52):
            grow((ex, ey), bend + turn + rng.normal(0, 0.14), length * rng.uniform(0.68, 0.84), thick * 0.62, depth - 1)

    grow((0.0, -0.02), math.pi / 2, 0.30, 0.050, 5)
    wood += [limb("bark", -0.10, -0.01, 0.02, 0.0, 0.06, 0.045), limb("bark", 0.11, -0.01, 0.02, 0.0, 0.06, 0.045)]
    if bare:
        return tuple(wood)
    dark, body, bright = [], [], []
    for x, y in tips:
        r = rng.uniform(0.055, 0.105)
        dark.append(disc("bodydark", x + rng.normal(0, 0.03), y - 0.035, r * 1.05))
        body.append(disc("body", x + rng.normal(0, 0.035), y + rng.normal(0, 0.03), r))
        bright += [
            disc("bodylight", x + rng.normal(-0.02, 0.03), y + rng.uniform(0.02, 0.07), r * 0.42) for _ in range(2)
        ]
    return (*wood, *dark, *body, *bright)


def _pine(rng: np.random.Generator) -> tuple[Part, ...]:
    tiers: list[Part] = [limb("bark", 0.0, -0.01, 0.03, 0.0, 0.30, 0.02)]
    count = 9
    for k in range(count):
        t = k / (count - 1)
        y, half = 0.10 + 0.78 * t, 0.27 * (1 - t) ** 0.86 + 0.03
        points = [0.0, y + 0.17 - 0.06 * t]
        teeth = 7
        edge = [
            (half * (1 - 2 * j / (teeth - 1)), y - 0.02 * (j % 2) + rng.uniform(-0.012, 0.012)) for j in range(teeth)
        ]
        for x, yy in edge:
            points += [x, yy]
        tiers.append(polygon("body" if k % 2 == 0 else "bodydark", *points))
        tiers.append(polygon("bodylight", 0.0, y + 0.16 - 0.06 * t, -half * 0.75, y + 0.022, -half * 0.35, y + 0.035))
    return tuple(tiers)


def _palm(rng: np.random.Generator) -> tuple[Part, ...]:
    lean = rng.uniform(0.14, 0.26)
    top = (lean, 0.86)
    parts: list[Part] = [limb("bark", 0.0, -0.01, 0.040, 0.02, 0.30, 0.028, lean * 0.55, 0.62, 0.023, *top, 0.020)]
    for k, angle in enumerate((2.95, 2.45, 1.9, 1.25, 0.75, 0.25, -0.12, 3.3)):
        reach = rng.uniform(0.34, 0.44)
        ex, ey = top[0] + math.cos(angle) * reach, top[1] + math.sin(angle) * reach * 0.62 - 0.10
        mx, my = top[0] + math.cos(angle) * reach * 0.55, top[1] + math.sin(angle) * reach * 0.62 + 0.045
        role = "bodydark" if k % 2 else "body"
        under = 0.07
        parts.append(
            smooth(
                role,
                *top,
                mx,
                my + 0.012,
                ex,
                ey,
                mx + (ex - mx) * 0.4,
                my - under * 0.8,
                mx,
                my - under,
                (top[0] + mx) / 2,
                (top[1] + my) / 2 - 0.03,
            )
        )
        for j in range(1, 7):
            t = j / 7
            sx = top[0] + (mx - top[0]) * min(1, 2 * t) + (ex - mx) * max(0, 2 * t - 1)
            sy = top[1] + (my - top[1]) * min(1, 2 * t) + (ey - my) * max(0, 2 * t - 1)
            parts.append(line(role, 0.012, sx, sy, sx + 0.02 * math.cos(angle), sy - 0.11 * (0.5 + t * (1.3 - t))))
    parts += [disc("bark", top[0] + dx, top[1] - 0.03, 0.026) for dx in (-0.03, 0.02)]
    return tuple(parts)


def _flower(rng: np.random.Generator) -> tuple[Part, ...]:
    lean = rng.uniform(-0.12, 0.12)
    parts: list[Part] = [limb("leaf", 0.0, -0.02, 0.018, lean * 0.2, 0.40, 0.016, lean, 0.76, 0.014)]
    parts.append(smooth("leaf", 0.01, 0.18, 0.12, 0.34, 0.27, 0.40, 0.20, 0.24))
    parts.append(smooth("leaflight", -0.01, 0.26, -0.12, 0.40, -0.25, 0.44, -0.18, 0.29))
    for k in range(10):
        a = k * math.tau / 10 + rng.uniform(-0.08, 0.08)
        px, py = lean + 0.15 * math.cos(a), 0.80 + 0.15 * math.sin(a)
        parts.append(
            limb(
                "body" if k % 2 else "bodylight",
                lean + 0.05 * math.cos(a),
                0.80 + 0.05 * math.sin(a),
                0.03,
                px,
                py,
                0.058,
                px + 0.05 * math.cos(a),
                py + 0.05 * math.sin(a),
                0.03,
            )
        )
    return (*parts, disc("gold", lean, 0.80, 0.075), disc("wood", lean, 0.80, 0.045))


def _rock(rng: np.random.Generator) -> tuple[Part, ...]:
    edge = [
        (math.cos(a) * rng.uniform(0.85, 1.1), math.sin(a) * rng.uniform(0.6, 0.8))
        for a in (0.0, 0.5, 1.0, 1.5, 2.0, 2.6, math.pi)
    ]
    outline = [v for x, y in edge for v in (x, y)]
    ridge = edge[3]
    return (
        polygon("bodydark", *outline, -1.02, -0.06, 1.02, -0.06),
        polygon("body", *edge[3], *edge[4], *edge[5], *edge[6], -0.95, -0.05, -0.2, -0.05, ridge[0] - 0.1, 0.25),
        polygon("bodylight", *edge[3], *edge[4], *edge[5], -0.35, 0.36, ridge[0] - 0.1, 0.30),
    )


_BELL = smooth(
    "body",
    -0.36,
    0.62,
    -0.34,
    0.84,
    -0.18,
    1.0,
    0.0,
    1.04,
    0.18,
    1.0,
    0.34,
    0.84,
    0.36,
    0.62,
    0.20,
    0.68,
    0.0,
    0.64,
    -0.20,
    0.68,
)
_BELL_INNER = smooth("bodylight", -0.20, 0.74, -0.16, 0.90, 0.0, 0.96, 0.16, 0.90, 0.20, 0.74, 0.0, 0.80)


GROWN: Mapping[str, tuple[tuple[float, float, float], float, Callable[[np.random.Generator], tuple[Part, ...]]]] = {
    "tree": ((0.28, 0.48, 0.20), 0.50, _tree),
    "pine": ((0.16, 0.34, 0.24), 0.46, _pine),
    "palm": ((0.20, 0.46, 0.24), 0.46, _palm),
    "flower": ((0.90, 0.26, 0.34), 0.24, _flower),
    "lavender": ((0.52, 0.38, 0.80), 0.20, _flower),
    "sunflower": ((0.98, 0.76, 0.10), 0.30, _flower),
    "rock": ((0.52, 0.50, 0.50), 0.12, _rock),
}


def bare_tree(rng: np.random.Generator) -> tuple[Part, ...]:
    """A tree without leaves."""
    return _tree(rng, bare=True)
