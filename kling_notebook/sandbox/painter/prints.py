"""Styles made of flat pieces: prints, tiles, glass, paper, pixels, screens."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .brush import flat, outline, palette_of, to_image, to_pixels
from .canvas import Array, Canvas, blur, enlarge, luma, step
from .grade import contrast, saturate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def pixel(c: Canvas) -> None:
    """Pixel art: few and square, few colours, ordered dither."""
    side = max(5, round(c.unit / 128))
    w, h = -(-c.width // side), -(-c.height // side)
    saturate(c.pixels, 1.2)
    contrast(c.pixels, 1.08)
    small = to_image(c.pixels).resize((w, h), Image.Resampling.BOX)
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16 - 0.47
    tile = np.tile(bayer, (h // 4 + 1, w // 4 + 1))[:h, :w, None] * np.float32(0.055)
    palette = palette_of(small, 32)
    few = to_image(to_pixels(small) + tile).quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB")
    big = few.resize((w * side, h * side), Image.Resampling.NEAREST).crop((0, 0, c.width, c.height))
    c.pixels = to_pixels(big).copy()


def blueprint(c: Canvas) -> None:
    """White lines on blue paper, a grid, and a frame."""
    line = np.clip(outline(c, max(1.0, c.unit / 640)) * np.float32(2.89) - 0.18, 0, 1)
    tone = np.clip(luma(c.pixels), 0, 1)
    y, x = np.arange(c.height, dtype=np.float32)[:, None], np.arange(c.width, dtype=np.float32)[None, :]
    thin = max(1.0, c.unit / 1024)
    for pitch, share in ((c.unit / 32, 0.10), (c.unit / 8, 0.20)):
        away = np.minimum(np.abs((x + pitch / 2) % pitch - pitch / 2), np.abs((y + pitch / 2) % pitch - pitch / 2))
        line = np.maximum(line, (away < thin * 0.6) * np.float32(share))
    hatch = (np.abs(((x + y) / (c.unit / 145)) % 1 - 0.5) < 0.09) & (tone < 0.30)
    edge = np.minimum(np.minimum(x, c.width - 1 - x), np.minimum(y, c.height - 1 - y))
    frame = (np.abs(edge - 0.035 * c.unit) < 1.3 * thin) | (np.abs(edge - 0.046 * c.unit) < 0.6 * thin)
    ink = np.maximum(line, np.maximum(hatch * np.float32(0.24), frame * np.float32(0.8)))[..., None]
    blue = np.array((0.07, 0.22, 0.46), np.float32) + tone[..., None] * np.array((0.04, 0.11, 0.15), np.float32)
    c.pixels = (blue + (np.array((0.90, 0.96, 1.0), np.float32) - blue) * ink).astype(np.float32)


def woodblock(c: Canvas) -> None:
    """A colored woodcut: flat inks, dark key lines, the grain of board and paper."""
    saturate(c.pixels, 1.4)
    contrast(c.pixels, 1.10)
    line = np.clip(outline(c, max(1.2, c.unit / 560)) * np.float32(3.33) - 0.12, 0, 1)
    cream, blue = np.array((0.95, 0.89, 0.76), np.float32), np.array((0.10, 0.13, 0.28), np.float32)
    p = flat(c, 26, 3) * np.array((1.0, 0.97, 0.90), np.float32)
    p += (cream - p) * np.float32(0.16)
    p *= (1 + 0.045 * c.fbm(c.rng("board"), 46, 3, wide=14))[..., None]
    bokashi = np.clip(1 - np.linspace(0, 5.5, c.height, dtype=np.float32), 0, 1)[:, None, None]
    p += (blue - p) * bokashi * np.float32(0.55)  # the upper edge is wiped darker, as printers do
    p += (blue * np.float32(0.8) - p) * (line * np.float32(0.9))[..., None]
    y = np.minimum(np.arange(c.height), np.arange(c.height)[::-1])[:, None] / c.unit
    x = np.minimum(np.arange(c.width), np.arange(c.width)[::-1])[None, :] / c.unit
    away = np.minimum(y, x)[..., None]
    p = np.where(away > 0.0265, p, cream)
    c.pixels = np.where(np.abs(away - 0.0275) < 0.0018, blue * np.float32(0.8), p).astype(np.float32)


def poster(c: Canvas) -> None:
    """A screen print: a handful of flat colours."""
    saturate(c.pixels, 1.18)
    c.pixels = flat(c, 24, 2)


def comic(c: Canvas) -> None:
    """Comic print: black outlines, flat color, dots in the shadows."""
    saturate(c.pixels, 1.4)
    contrast(c.pixels, 1.1)
    line = np.clip(outline(c, max(1.3, c.unit / 520)) * np.float32(4.44) - 0.12, 0, 1)
    tone = blur(luma(c.pixels), 4.0)
    p = flat(c, 18, 2)
    pitch = np.float32(max(5.0, c.unit / 120))
    y, x = np.arange(c.height, dtype=np.float32)[:, None], np.arange(c.width, dtype=np.float32)[None, :]
    away = np.hypot(*(((v * np.float32(0.7071)) / pitch) % 1 - np.float32(0.5) for v in (x + y, x - y)))
    dots = np.clip((0.62 * np.sqrt(np.clip(0.80 - tone, 0, 0.62)) - away) * pitch + 0.5, 0, 1)[..., None]
    p += (1 - p) * np.float32(0.14)
    p *= 1 - dots * np.array((0.30, 0.38, 0.22), np.float32)
    c.pixels = p * (1 - line[..., None] * np.float32(0.94))


def _cells(c: Canvas, rng: np.random.Generator, pitch: float, jitter: float) -> tuple[Array, Array, Array]:
    """Cells about jittered points, at about 700 pixels a side: distance to the border, and the point's row and column.

    All are (h, w); distances in units of `pitch`, points in pixels of the small picture.
    """
    q = min(1.0, 700 / c.unit)
    h, w = round(c.height * q), round(c.width * q)
    p = np.float32(pitch * c.unit * q)
    shape = (int(h / p) + 4, int(w / p) + 4)
    moved = rng.uniform(-jitter, jitter, (2, *shape)).astype(np.float32)
    py, px = (np.arange(shape[0])[:, None] - 1.5 + moved[0]) * p, (np.arange(shape[1])[None, :] - 1.5 + moved[1]) * p
    y, x = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    best, second = np.full((h, w), 1e9, np.float32), np.full((h, w), 1e9, np.float32)
    at_y, at_x = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
    for da, db in itertools.product((0, 1, 2, 3), repeat=2):
        a = np.clip((y / p).astype(int) + da, 0, shape[0] - 1)
        b = np.clip((x / p).astype(int) + db, 0, shape[1] - 1)
        cy, cx = py[a, b], px[a, b]
        d = np.hypot(y - cy, x - cx)
        closer = d < best
        second = np.where(closer, best, np.minimum(second, d))
        at_y, at_x, best = np.where(closer, cy, at_y), np.where(closer, cx, at_x), np.minimum(best, d)
    return (second - best) / p, np.clip(at_y, 0, h - 1), np.clip(at_x, 0, w - 1)


def glass(c: Canvas) -> None:
    """Stained glass: panes of glowing color in lead."""
    rng = c.rng("glass")
    saturate(c.pixels, 1.7)
    contrast(c.pixels, 1.1)
    border, at_y, at_x = _cells(c, rng, 0.036, 0.42)
    h, w = border.shape
    line = to_image(np.clip(outline(c, max(1.2, c.unit / 620)) * np.float32(3.0) - 0.12, 0, 1))
    edge = to_pixels(line.resize((w, h), Image.Resampling.BOX))
    own = to_pixels(to_image(flat(c, 24, 2)).resize((w, h), Image.Resampling.BOX))
    near = to_image(c.pixels).resize((w, h), Image.Resampling.BOX).filter(ImageFilter.BoxBlur(3))
    pane = to_pixels(near)[at_y.astype(np.intp), at_x.astype(np.intp)]
    tone = rng.normal(1.08, 0.13, 4096).astype(np.float32)[((at_y * 7 + at_x * 13).astype(int)) % 4096]
    p = (pane * np.float32(0.32) + own * np.float32(0.68)) * tone[..., None] + np.float32(0.03)
    p *= 0.78 + 0.34 * np.clip(border * 1.6, 0, 1)[..., None]
    lead = (step(0.04, 0.11, border) * np.clip(1.15 - edge * 1.6, 0, 1))[..., None]
    p = np.array((0.05, 0.05, 0.06), np.float32) * (1 - lead) + p * lead
    c.pixels = enlarge(p.astype(np.float32), c.width, c.height).copy()


def lowpoly(c: Canvas) -> None:
    """Facets: triangles whose corners lie on the picture's edges, one color each."""
    rng = c.rng("facets")
    saturate(c.pixels, 1.12)
    pitch = 0.029 * c.unit
    rows, columns = int(c.height / pitch) + 3, int(c.width / pitch) + 3
    small = to_image(c.pixels).resize((max(2, c.width // 4), max(2, c.height // 4)), Image.Resampling.BOX)
    y, x = _corners(rng, luma(to_pixels(small)), (rows, columns), pitch / 4)
    shown = np.asarray(small.filter(ImageFilter.BoxBlur(max(1.0, pitch / 25))), np.float32)
    image = Image.new("RGB", (c.width * 2, c.height * 2))
    draw = ImageDraw.Draw(image)
    for a, b in itertools.product(range(rows - 1), range(columns - 1)):
        corners = [(x[a + i, b + j], y[a + i, b + j]) for i in (0, 1) for j in (0, 1)]
        for level, triangle in ((1.03, corners[:3]), (0.97, corners[1:])):
            cx, cy = np.mean(triangle, axis=0)
            sample = shown[int(np.clip(cy, 0, shown.shape[0] - 1)), int(np.clip(cx, 0, shown.shape[1] - 1))]
            fill = tuple(int(min(255, max(0, v * level * rng.normal(1.0, 0.02)))) for v in sample)
            draw.polygon([(px * 8, py * 8) for px, py in triangle], fill=fill)
    c.pixels = to_pixels(image.reduce(2)).copy()


def _corners(rng: np.random.Generator, grey: Array, shape: tuple[int, int], pitch: float) -> tuple[Array, Array]:
    """Rows and columns of a shaken grid's points, each moved to the strongest edge near by."""
    edge = np.hypot(*np.gradient(grey))
    jitter = rng.uniform(-0.30, 0.30, (2, *shape))
    y = (np.arange(shape[0])[:, None] - 0.5 + jitter[0]) * pitch
    x = (np.arange(shape[1])[None, :] - 1.0 + 0.5 * (np.arange(shape[0]) % 2)[:, None] + jitter[1]) * pitch
    best, at_y, at_x = np.full(shape, 0.012), y, x
    for dy, dx in itertools.product((-0.36, -0.18, 0.0, 0.18, 0.36), repeat=2):
        ny, nx = y + dy * pitch, x + dx * pitch
        found = edge[np.clip(ny, 0, grey.shape[0] - 1).astype(int), np.clip(nx, 0, grey.shape[1] - 1).astype(int)]
        better = found > best
        best, at_y, at_x = np.where(better, found, best), np.where(better, ny, at_y), np.where(better, nx, at_x)
    return at_y, at_x


def synthwave(c: Canvas) -> None:
    """Pink and cyan, a striped sun, a grid running to the horizon."""
    level = np.clip(luma(c.pixels), 0, 1)
    at = (0.0, 0.22, 0.45, 0.70, 1.0)
    stops = np.array([(0.05, 0.01, 0.14), (0.26, 0.06, 0.42), (0.80, 0.16, 0.58), (1.0, 0.48, 0.42), (1.0, 0.88, 0.56)])
    table = np.stack([np.interp(np.linspace(0, 1, 256), at, stops[:, k]) for k in range(3)], -1).astype(np.float32)
    c.pixels += (table[(level * 255).astype(np.uint8)] - c.pixels) * np.float32(0.80)
    row = min(c.horizon, c.height - 4) if c.horizon < c.height else int(c.height * 0.66)
    _floor_grid(c, row)
    scan = 1 - 0.05 * (np.arange(c.height) // max(1, c.unit // 512) % 2).astype(np.float32)
    c.pixels *= scan[:, None, None]


def _floor_grid(c: Canvas, row: int) -> None:
    h = c.height - row
    near = (np.arange(h, dtype=np.float32) + 1)[:, None] / c.unit
    x = (np.arange(c.width, dtype=np.float32)[None, :] - c.width / 2) / c.unit
    u, v = x / near * np.float32(0.55), 0.13 / near
    thick_u, thick_v = 0.0022 / near * 0.55, 0.13 / near**2 * 0.0022
    line_u = np.clip(1.2 - np.abs(u - np.round(u)) / thick_u, 0, 1)
    line_v = np.clip(1.2 - np.abs(v * 2 - np.round(v * 2)) / np.maximum(thick_v * 2, 1e-4), 0, 1) * (thick_v < 0.28)
    fade = np.clip(near * 14, 0, 1)
    grid = np.maximum(line_u, line_v) * fade
    block = c.pixels[row:]
    block *= 0.55
    glow = enlarge(blur(grid[::2, ::2], c.unit / 260), c.width, h)
    c.add(slice(row, c.height), np.clip(glow * 1.1, 0, 1), (0.85, 0.15, 0.95))
    c.lay(slice(row, c.height), grid * np.float32(0.85), (0.45, 0.92, 1.0))


PRINTS: Mapping[str, Callable[[Canvas], None]] = {
    "pixel": pixel,
    "blueprint": blueprint,
    "woodblock": woodblock,
    "poster": poster,
    "comic": comic,
    "glass": glass,
    "lowpoly": lowpoly,
    "synthwave": synthwave,
}
