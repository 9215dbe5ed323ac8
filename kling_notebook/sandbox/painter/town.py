"""What people and ice put in front of the horizon: skylines, streets, villages, roads, flower fields, icebergs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Array, Canvas, mix, step
from .land import SNOW, broadleaves, ground_colour, snowy, wood_colour
from .shapes import Frame, box, groups, mask_of, polygon
from .sky import glow_spot
from .water import water

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .scene import RGB

LAMP = (1.0, 0.80, 0.46)


def city(c: Canvas, base: int) -> None:
    """A skyline in three depths, its windows lit when it is dark."""
    rng = c.rng("city")
    lamps = _lamps(c)
    for k in range(3):
        t = k / 2
        distance = 0.82 - 0.68 * t
        line = np.full(c.width, float(base + 2), np.float32)
        wide, tall = c.unit * (0.05 + 0.03 * t), c.unit * (0.40 - 0.06 * t)
        boxes = _boxes(c, rng, wide, tall, base)
        for left, right, top, _ in boxes:
            line[left:right] = np.minimum(line[left:right], top)
            if rng.random() < 0.22 and right - left > 4:
                middle = (left + right) // 2
                half = max(1, int(0.0014 * c.unit))
                line[middle - half : middle + half] = np.minimum(
                    line[middle - half : middle + half], top - 0.05 * c.unit * rng.random() - 0.02 * c.unit
                )
        body = mix((0.34, 0.38, 0.47), (0.16, 0.18, 0.26), t)
        if c.scene.place_tint is not None:
            body = mix(body, c.scene.place_tint, 0.7)
        top_colour = c.light.on(body, distance)
        c.below(line, top_colour, mix(top_colour, c.light.haze, 0.45 + 0.25 * (1 - t)), 0.42 * c.unit)
        for left, right, top, _ in boxes:
            # Houses differ: in their stone, and in how they stand to the light.
            c.pixels[max(0, int(top)) : base, left:right] *= np.float32(rng.uniform(0.86, 1.16) if not c.flat else 1.0)
        for left, right, top, lit in boxes:
            _facade(c, rng, (left, right, int(top), base), distance, lamps * lit)
    first = max(0, int(base - 0.4 * c.unit))
    if lamps > 0.3:
        glow = np.exp(-np.abs(np.arange(first, base, dtype=np.float32) - base) / (0.06 * c.unit))[:, None]
        c.add(
            slice(first, base), np.broadcast_to(glow * np.float32(0.32 * lamps), (base - first, c.width)).copy(), LAMP
        )


def _lamps(c: Canvas) -> float:
    """How much of the light is lamplight: 0 by day, 1 at night."""
    return {"dusk": 0.75, "sunset": 0.45, "blue": 0.95, "night": 1.0, "dawn": 0.25, "golden": 0.12}.get(
        c.scene.time, 0.35 if c.scene.weather & {"storm", "rain", "fog"} else 0.0
    )


def _boxes(
    c: Canvas, rng: np.random.Generator, wide: float, tall: float, base: int
) -> list[tuple[int, int, float, float]]:
    """Buildings side by side: left, right, top, share of lit windows; tallest around one centre."""
    boxes = []
    x = -wide * rng.random()
    centre = c.width * rng.uniform(0.35, 0.65)
    while x < c.width:
        w = wide * rng.uniform(0.55, 1.5)
        pull = np.exp(-(((x + w / 2 - centre) / (0.36 * c.unit)) ** 2))
        h = tall * (0.22 + 0.45 * rng.random() ** 1.6 + 0.55 * pull * rng.uniform(0.35, 1.0))
        left, right = max(0, int(x)), min(c.width, int(x + w))
        if right > left:
            boxes.append((left, right, base - h, rng.uniform(0.25, 0.8)))
        x += w * rng.uniform(0.85, 1.12)
    return boxes


def _facade(c: Canvas, rng: np.random.Generator, box: tuple[int, int, int, int], distance: float, lit: float) -> None:
    """Windows on one building."""
    left, right, top, base = box
    pitch = max(3.0, c.unit * (0.0105 + 0.0035 * (1 - distance)))
    columns, rows = int((right - left) / pitch) - 1, int((base - top) / (pitch * 1.35)) - 1
    on = rng.random((max(rows, 1), max(columns, 1))) < (0.18 + 0.5 * lit)
    tone = rng.random(on.shape).astype(np.float32)
    if columns < 1 or rows < 2 or top < 0:
        return
    cell = max(2, int(pitch)), max(2, int(pitch * 1.35))
    pane = np.zeros((cell[1], cell[0]), np.float32)
    pane[: max(1, round(cell[1] * 0.55)), : max(1, round(cell[0] * 0.58))] = 1
    mask = np.kron(on.astype(np.float32), pane)
    warm = np.kron(tone, np.ones_like(pane))[..., None]
    x0 = left + (right - left - mask.shape[1]) // 2
    y0 = top + cell[1]
    block = (slice(y0, min(c.height, y0 + mask.shape[0])), slice(max(0, x0), x0 + mask.shape[1]))
    if x0 < 0 or x0 + mask.shape[1] > c.width or y0 + mask.shape[0] > c.height:
        return
    if lit > 0.05:
        colour = np.array((1.0, 0.70, 0.34), np.float32) * (1 - warm) + np.array((1.0, 0.92, 0.72), np.float32) * warm
        c.lay(block[0], mask * np.float32((0.95 - 0.45 * distance) * min(1.0, 0.35 + lit)), colour, block[1])
    else:
        c.lay(
            block[0],
            mask * np.float32(0.52 * (1 - 0.75 * distance)),
            c.light.on((0.10, 0.14, 0.22), distance),
            block[1],
        )


def riverside(c: Canvas, base: int) -> None:
    """The ground before a skyline: water that mirrors it, a row of trees beyond, and the paved bank one stands on."""
    water(c, base, rough=0.16)
    rng = c.rng("street")
    if "tree" not in c.scene.unwanted:
        foot = np.full(c.width, base + 0.012 * c.unit, np.float32)
        outline = broadleaves(c, rng, foot, 0.06 * c.unit, 1.0)
        colour = c.light.on(mix(wood_colour(c), (0.05, 0.06, 0.08), 0.45), 0.1)
        first, last = int(outline.min()), int(foot.max()) + 1
        mask = c.under(outline, first, last)
        mask[-1:] *= 0.5
        c.lay(slice(first, last), mask, colour)
    quay(c, int(base + 0.54 * (c.height - base)))


def quay(c: Canvas, top: int) -> None:
    """A paved bank from `top` to the lower edge: slabs in perspective, a kerb, lamps that are lit when it is dark."""
    rng = c.rng("quay")
    h = c.height - top
    if h < 6:
        return
    near = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    x = (np.arange(c.width, dtype=np.float32)[None, :] - c.width / 2) / c.unit
    scale = 0.16 + 0.50 * near
    u, v = x / scale * 2.2, np.log(scale) * 7.0
    shift = 0.5 * (np.floor(v) % 2)
    across, down = np.abs((u + shift) % 1 - 0.5), np.abs(v % 1 - 0.5)
    seam = np.clip(np.maximum((across - 0.48) / 0.02, (down - 0.46) / 0.04), 0, 1)
    stain = c.fbm(rng, 5, 4, size=(h, c.width), span=(h / c.unit * 2, c.width / c.unit))
    slab = np.sin(np.floor(u + shift) * 12.9 + np.floor(v) * 78.2) * 0.06
    stone = SNOW if snowy(c) else (0.46, 0.44, 0.44)
    tone = (1 + slab + 0.05 * stain) * (1 - 0.38 * seam) * (0.86 + 0.2 * near)
    wet = 0.30 if c.scene.weather & {"rain", "storm"} else 0.10 + 0.06 * c.light.dark
    mirror = c.pixels[max(0, 2 * top - c.height) : top][::-1][:h]
    colour = c.light.on(np.asarray(stone, np.float32) * tone[..., None]) + np.float32(0.02)
    colour[: mirror.shape[0]] += (mirror - colour[: mirror.shape[0]]) * np.float32(wet)
    kerb = max(2, int(0.012 * c.unit))
    c.pixels[top - kerb : top] = c.light.on((0.20, 0.20, 0.22))
    c.pixels[top:] = colour
    c.pixels[top : top + kerb] = c.light.on((0.62, 0.60, 0.58))
    for k in range(4 if "lantern" not in c.scene.unwanted else 0):
        _lamp(c, (0.06 + 0.29 * k + rng.uniform(-0.01, 0.01)) * c.width, top + 1.5 * kerb)


def _lamp(c: Canvas, x: float, foot: float) -> None:
    """A street lamp, its post as thin as a pencil line."""
    tall, half = 0.20 * c.unit, max(1.0, 0.0028 * c.unit)
    x0, x1, y0, y1 = int(x - half), int(x + half) + 1, int(foot - tall), int(foot)
    if x0 < 0 or x1 >= c.width or y0 < 0:
        return
    c.pixels[y0:y1, x0:x1] = c.light.on((0.10, 0.11, 0.13))
    lit = _lamps(c)
    glow_spot(c, (x, y0), 0.012 * c.unit, (1.0, 0.88, 0.62), 0.35 + 0.65 * lit)
    if lit > 0.3:
        glow_spot(c, (x, y0), 0.055 * c.unit, (1.0, 0.72, 0.36), 0.55 * lit)
        rows = slice(y1, min(c.height, y1 + int(0.16 * c.unit)))
        pool = slice(max(0, int(x - 0.16 * c.unit)), min(c.width, int(x + 0.16 * c.unit)))
        dy = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - y1) / (0.05 * c.unit)
        dx = (np.arange(pool.start, pool.stop, dtype=np.float32)[None, :] - np.float32(x)) / (0.08 * c.unit)
        c.add(rows, np.exp(-(dx * dx + (dy - 0.5) ** 2)) * np.float32(0.42 * lit), (1.0, 0.74, 0.40), pool)


def village(c: Canvas, base: int) -> None:
    """Gabled houses scattered over a slope, or along the near shore where there is one; far ones first."""
    rng = c.rng("village")
    lamps = _lamps(c)
    count = 15
    depth = np.sort(rng.random(count))
    for k in range(count):
        t = depth[k]
        size = c.unit * (0.035 + 0.055 * t)
        x = rng.uniform(0.04, 0.96) * c.width
        y = base + c.unit * (0.03 + 0.20 * t) + 0.02 * c.unit * rng.standard_normal()
        if c.dry is not None:
            shore = float(c.dry[int(x)])
            y = shore + 0.02 * c.unit + (0.94 * c.height - shore) * t
        _gable(c, rng, (x, y, size), 0.5 * (1 - t), lamps)


_WALLS = ((0.93, 0.89, 0.82), (0.86, 0.78, 0.68), (0.80, 0.62, 0.50), (0.76, 0.82, 0.84))
_ROOFS = ((0.62, 0.26, 0.18), (0.48, 0.24, 0.20), (0.36, 0.36, 0.42))
_HOUSE = (
    polygon("front", -0.62, 0, -0.62, 0.62, -0.2, 1.12, 0.2, 0.62, 0.2, 0),
    polygon("side", 0.2, 0, 0.2, 0.62, 0.85, 0.62, 0.85, 0),
    polygon("roof", -0.2, 1.16, 0.55, 1.16, 0.93, 0.58, 0.24, 0.58),
    polygon("roof", -0.7, 0.56, -0.2, 1.18, -0.12, 1.12, -0.62, 0.56),
    box("pane", -0.32, 0.28, -0.1, 0.52),
    box("pane", 0.42, 0.2, 0.62, 0.42),
)


def _gable(
    c: Canvas, rng: np.random.Generator, spot: tuple[float, float, float], distance: float, lamps: float
) -> None:
    """One house, its gable to the left. `spot` is x, y and size in pixels."""
    x, y, s = spot
    x0, y0, x1, y1 = int(x - s), int(y - 1.4 * s), int(x + s) + 2, int(y) + 2
    if x0 < 0 or x1 >= c.width or y1 >= c.height or y0 < 0:
        return
    walls = np.array(_WALLS[int(rng.integers(len(_WALLS)))], np.float32)
    roof = _ROOFS[int(rng.integers(len(_ROOFS)))]
    pane = np.array(LAMP, np.float32) if lamps > 0.2 else c.light.on((0.18, 0.20, 0.26), distance)
    colours = {
        "front": c.light.on(walls, distance),
        "side": c.light.on(walls * np.float32(0.74), distance),
        "roof": c.light.on(SNOW if snowy(c) else roof, distance),
        "pane": pane,
    }
    frame = Frame(s, x - x0, y - y0, 1.0)
    for role, parts in groups(_HOUSE):
        c.lay(slice(y0, y1), mask_of(parts, (x1 - x0, y1 - y0), frame), colours[role], slice(x0, x1))


def road(c: Canvas, top: int) -> None:
    """A road that winds toward the horizon."""
    rng = c.rng("road")
    h = c.height - top
    if h < 4:
        return
    near = np.linspace(0, 1, h, dtype=np.float32)
    bend = rng.uniform(0.16, 0.30) * (1 if rng.random() < 0.5 else -1)
    centre = c.width * (0.5 + bend * np.sin((1 - near) ** 1.4 * 3.6) * (1 - near) ** 0.7)
    half = c.unit * (0.004 + 0.30 * near**1.9)
    c.lane = np.concatenate([np.zeros(top, np.float32), centre - half * 0.42]).astype(np.float32)
    x = np.arange(c.width, dtype=np.float32)[None, :]
    off = (x - centre[:, None]) / half[:, None]
    rows = slice(top, c.height)
    soft = half[:, None]
    # Its far end, thinner than a wheel, is lost in the land.
    shape = np.clip((1 - np.abs(off)) * soft + 0.5, 0, 1) * step(0.10, 0.24, near)[:, None]
    paved = SNOW if snowy(c) else (0.36, 0.35, 0.37)
    tone = np.asarray(paved, np.float32) * np.float32(0.86)
    distance = (0.45 * (1 - near))[:, None, None]
    colour = c.light.on(tone) * (1 - distance) + np.asarray(c.light.haze, np.float32) * distance
    c.lay(rows, shape, colour)
    edge = np.clip((0.035 - np.abs(np.abs(off) - 0.92)) * soft + 0.3, 0, 1) * np.clip(half[:, None] / 4, 0, 1)
    c.lay(rows, edge.astype(np.float32) * np.float32(0.75), c.light.on((0.92, 0.90, 0.84)))
    dash = (np.sin(10 / (near + 0.12)) > 0.1)[:, None]
    middle = np.clip((0.03 - np.abs(off)) * soft + 0.3, 0, 1) * dash * np.clip(half[:, None] / 6, 0, 1)
    c.lay(rows, middle.astype(np.float32) * np.float32(0.9), c.light.on((0.96, 0.84, 0.42)))


_BLOOMS: Mapping[str, RGB | None] = {
    "flower": None,
    "sunflower": (0.98, 0.76, 0.10),
    "lavender": (0.52, 0.38, 0.80),
}
"""What a field of them is coloured like; None: many colours."""


def flowers(c: Canvas, base: int) -> None:
    """A field of flowers in rows that grow toward the viewer."""
    rng = c.rng("flowers")
    first = base + int(0.06 * c.unit)
    h = c.height - first
    if h < 4:
        return
    asked = next((item for item in c.scene.subjects if item.name in _BLOOMS), None)
    hues = [(0.62, 0.42, 0.86), (0.94, 0.40, 0.52), (0.98, 0.80, 0.30), (0.96, 0.94, 0.92), (0.88, 0.22, 0.20)]
    start = int(rng.integers(5))
    if asked is not None and (asked.colour or _BLOOMS[asked.name]):
        hues = [asked.colour or _BLOOMS[asked.name] or hues[0]] * 5
    near = np.linspace(0.02, 1, h, dtype=np.float32)[:, None]
    x = np.arange(c.width, dtype=np.float32)[None, :] - c.width * (0.5 + 0.2 * c.side())
    lane = x / c.unit / (near * 0.55 + 0.02) * 1.5
    rowed = 0.5 + 0.5 * np.cos(lane * np.float32(2 * np.pi))
    speck = c.fbm(rng, 60, 2, size=(h, c.width), span=(h / c.unit, c.width / c.unit), gain=0.9)
    which = (np.floor(lane + 0.5).astype(np.int32) + start) % 3
    mask = step(0.35, 0.75, rowed + 0.22 * speck) * np.clip(near * 9, 0, 1)
    palette = np.array([hues[(start + k) % 5] for k in range(3)], np.float32)
    lit = palette[which] * (0.82 + 0.16 * speck[..., None])
    colour = lit * np.asarray(c.light.ambient, np.float32)
    colour += (np.asarray(c.light.haze, np.float32) - colour) * ((1 - near) ** 3 * 0.6)[..., None]
    c.lay(slice(first, c.height), mask * np.float32(0.92), colour)
    _heads(c, rng, first, palette)


def _heads(c: Canvas, rng: np.random.Generator, first: int, palette: Array) -> None:
    """Single flowers, small behind and large in front, over the bands of colour."""
    h = c.height - first
    sheet = Image.new("RGB", (c.width, h))
    mask = Image.new("L", (c.width, h), 0)
    paint, cover = ImageDraw.Draw(sheet), ImageDraw.Draw(mask)
    for t in np.sort(rng.random(int(1500 * c.width / c.unit)) ** 0.75):
        x, y, r = rng.uniform(0, c.width), h * (0.06 + 0.94 * t), c.unit * (0.0018 + 0.011 * t * t)
        tone = palette[int(rng.integers(len(palette)))] * rng.uniform(0.82, 1.12)
        near = c.light.on(np.minimum(tone, 1.0), 0.4 * (1 - float(t)) ** 2)
        petals, heart = (tuple(int(255 * min(1.0, float(v) * s)) for v in near) for s in (1.0, 0.42))
        box = (x - r, y - r * 0.8, x + r, y + r * 0.8)
        paint.ellipse(box, fill=petals)
        cover.ellipse(box, fill=245)
        if r > 0.004 * c.unit:
            paint.ellipse((x - r * 0.36, y - r * 0.3, x + r * 0.36, y + r * 0.3), fill=heart)
    c.lay(slice(first, c.height), np.asarray(mask, np.float32) / 255, np.asarray(sheet, np.float32) / 255)


def islands(c: Canvas, base: int) -> None:
    """One island with a wooded back, and a far one."""
    rng = c.rng("islands")
    x = np.arange(c.width, dtype=np.float32)
    for k in range(2):
        distance = 0.75 - 0.5 * k
        centre = c.width * (0.5 + c.side() * (0.26 if k == 0 else -0.14))
        half = c.unit * (0.16 + 0.12 * k)
        hump = np.clip(1 - ((x - np.float32(centre)) / np.float32(half)) ** 2, 0, 1)
        line = base + 3 - c.unit * (0.06 + 0.06 * k) * hump * (1 + 0.16 * c.line(rng, 6, 4))
        bare = 1.0 if {"tree", "forest", "palm"} & c.scene.unwanted else 0.25
        tone = c.light.on(mix(wood_colour(c), ground_colour(c), bare), distance)
        first, last = max(0, int(line.min())), base + 2
        h = last - first
        if h < 2:
            continue
        crowns = c.fbm(rng, 26, 4, size=(h, c.width), span=(h / c.unit, c.width / c.unit), gain=0.7)
        down, across = np.gradient(crowns)
        light = 1 + np.clip((across * -c.side() - down) * 0.006 * c.unit, -0.35, 0.4) + 0.05 * crowns
        wooded = tone * (1 if c.flat else light[..., None])
        c.lay(
            slice(first, last),
            c.under(line.astype(np.float32), first, last) * (hump > 0),
            wooded.astype(np.float32) if not c.flat else tone,
        )
        sand = c.light.on((0.88, 0.78, 0.56), distance)
        strip = max(2, int(0.007 * c.unit))
        c.lay(
            slice(base - strip, base + 1), np.broadcast_to((hump > 0.02).astype(np.float32), (strip + 1, c.width)), sand
        )
        if k == 1:
            c.shelf = np.where(hump > 0.1, line, c.height + 9).astype(np.float32)


def icebergs(c: Canvas, base: int) -> None:
    """Blocks of ice afloat, each with its mirror image."""
    rng = c.rng("ice")
    for k in range(6):
        t = (k + rng.random()) / 6
        x, y = rng.uniform(0.05, 0.95) * c.width, base + c.unit * (0.01 + 0.26 * t)
        w, h = c.unit * rng.uniform(0.05, 0.11) * (0.5 + 1.2 * t), c.unit * rng.uniform(0.03, 0.08) * (0.5 + 1.1 * t)
        points = (
            [(-1.0, 0.0)]
            + [(u, 0.35 + 0.65 * rng.random() * (1 - abs(u) ** 2)) for u in (-0.8, -0.45, -0.1, 0.2, 0.55, 0.85)]
            + [(1.0, 0.0)]
        )
        _berg(c, (x, y, w, h), points, 0.6 * (1 - t))


def _berg(
    c: Canvas, spot: tuple[float, float, float, float], points: list[tuple[float, float]], distance: float
) -> None:
    x, y, w, h = spot
    x0, x1, y0, y1 = (
        max(0, int(x - w) - 2),
        min(c.width, int(x + w) + 2),
        max(0, int(y - h * 1.2) - 2),
        min(c.height, int(y + h) + 2),
    )
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    q = 2
    for part, flip in (("body", 1.0), ("face", 1.0), ("mirror", -0.8)):
        sheet = Image.new("L", ((x1 - x0) * q, (y1 - y0) * q), 0)
        outline = points if part != "face" else [(u if u > 0.05 else 0.05 + 0.1 * v, v) for u, v in points]
        ImageDraw.Draw(sheet).polygon(
            [((x + u * w - x0) * q, (y - v * h * flip - y0) * q) for u, v in outline], fill=255
        )
        mask = np.asarray(sheet.reduce(q), np.float32) / 255
        tone = {"body": (0.94, 0.97, 1.0), "face": (0.62, 0.80, 0.92), "mirror": (0.60, 0.78, 0.88)}[part]
        c.lay(
            slice(y0, y1),
            mask * np.float32(0.35 if part == "mirror" else 1.0),
            c.light.on(tone, distance),
            slice(x0, x1),
        )
