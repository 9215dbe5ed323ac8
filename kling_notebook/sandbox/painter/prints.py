"""Styles made of flat pieces: prints, tiles, glass, paper, pixels, screens."""

from __future__ import annotations

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
    line = np.clip(np.clip(outline(c, max(1.0, c.unit / 640)) * np.float32(2.89) - 0.12, 0, 1) - 0.06, 0, 1)
    tone = np.clip(luma(c.pixels), 0, 1)
    y, x = np.arange(c.height, dtype=np.float32)[:, None], np.arange(c.width, dtype=np.float32)[None, :]
    pitch = c.unit / 32
    thin = max(1.0, c.unit / 1024)
    grid = np.maximum(
        np.abs((x + pitch / 2) % pitch - pitch / 2) < thin * 0.5,
        np.abs((y + pitch / 2) % pitch - pitch / 2) < thin * 0.5,
    ) * np.float32(0.10)
    big = pitch * 4
    grid = np.maximum(
        grid,
        np.maximum(
            np.abs((x + big / 2) % big - big / 2) < thin * 0.7, np.abs((y + big / 2) % big - big / 2) < thin * 0.7
        )
        * np.float32(0.20),
    )
    hatch = (np.abs(((x + y) / (pitch * 0.22)) % 1 - 0.5) < 0.09) * (tone < 0.30) * np.float32(0.24)
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)
    m = int(c.unit * 0.035)
    draw.rectangle((m, m, c.width - m, c.height - m), outline=255, width=max(1, round(thin * 2.5)))
    draw.rectangle((m * 1.3, m * 1.3, c.width - m * 1.3, c.height - m * 1.3), outline=150, width=max(1, round(thin)))
    frame = np.asarray(sheet, np.float32) / 255
    ink = np.clip(np.maximum(np.maximum(line * 0.95, frame * 0.85), np.maximum(grid, hatch)), 0, 1)[..., None]
    blue = np.array((0.07, 0.22, 0.46), np.float32) + tone[..., None] * np.array((0.04, 0.11, 0.15), np.float32)
    stain = enlarge(c.fbm(c.rng("blueprint"), 2, 5, size=(c.height // 3 + 1, c.width // 3 + 1)), c.width, c.height)[
        ..., None
    ]
    blue = blue * (1 + 0.05 * stain)
    c.pixels = (blue + (np.array((0.90, 0.96, 1.0), np.float32) - blue) * ink).astype(np.float32)


def woodblock(c: Canvas) -> None:
    """A coloured woodcut: flat inks, dark key lines, the grain of board and paper."""
    saturate(c.pixels, 1.4)
    contrast(c.pixels, 1.10)
    line = np.clip(outline(c, max(1.2, c.unit / 560)) * np.float32(3.33) - 0.12, 0, 1)
    p = flat(c, 26, 3)
    cream = np.array((0.95, 0.89, 0.76), np.float32)
    p = p * np.array((1.0, 0.97, 0.90), np.float32)
    p += (cream - p) * np.float32(0.16)
    rng = c.rng("board")
    grain = c.fbm(rng, 46, 3, wide=14)
    p *= (1 + 0.045 * grain)[..., None]
    bokashi = np.clip(1 - np.linspace(0, 5.5, c.height, dtype=np.float32), 0, 1)[:, None, None]
    p += (np.array((0.10, 0.17, 0.36), np.float32) - p) * bokashi * np.float32(0.55)
    p += (np.array((0.10, 0.12, 0.20), np.float32) - p) * (line * np.float32(0.9))[..., None]
    y = np.minimum(np.arange(c.height), np.arange(c.height)[::-1])[:, None]
    x = np.minimum(np.arange(c.width), np.arange(c.width)[::-1])[None, :]
    away = np.minimum(y, x).astype(np.float32) / c.unit
    frame = step(0.026, 0.027, away)[..., None]
    key = (np.abs(away - 0.0275) < 0.0018)[..., None]
    p = cream + (p - cream) * frame
    c.pixels = np.where(key, np.array((0.12, 0.13, 0.2), np.float32), p).astype(np.float32)


def poster(c: Canvas) -> None:
    """A screen print: a handful of flat colours."""
    saturate(c.pixels, 1.18)
    c.pixels = flat(c, 24, 2)


def comic(c: Canvas) -> None:
    """Comic print: black outlines, flat colour, dots in the shadows."""
    saturate(c.pixels, 1.4)
    contrast(c.pixels, 1.1)
    line = np.clip(np.clip(outline(c, max(1.3, c.unit / 520)) * np.float32(4.44) - 0.12, 0, 1), 0, 1)
    tone = luma(c.pixels)
    p = flat(c, 18, 2)
    pitch = max(5.0, c.unit / 120)
    y, x = np.arange(c.height, dtype=np.float32)[:, None], np.arange(c.width, dtype=np.float32)[None, :]
    u, v = (x + y) * np.float32(0.7071 / pitch), (x - y) * np.float32(0.7071 / pitch)
    du, dv = u - np.floor(u) - np.float32(0.5), v - np.floor(v) - np.float32(0.5)
    radius = 0.62 * np.sqrt(
        np.clip(0.80 - np.asarray(blur(tone[::2, ::2], 2.0)).repeat(2, 0).repeat(2, 1)[: c.height, : c.width], 0, 0.62)
    )
    dots = np.clip((radius - np.sqrt(du * du + dv * dv)) * np.float32(pitch) + 0.5, 0, 1)[..., None]
    p += (1 - p) * np.float32(0.14)
    p *= 1 - dots * np.array((0.30, 0.38, 0.22), np.float32)
    c.pixels = p * (1 - line[..., None] * np.float32(0.94))


def _cells(c: Canvas, rng: np.random.Generator, pitch: float, jitter: float) -> tuple[Array, Array, Array]:
    """Cells about jittered points, at about 700 pixels a side: distance to the border, and the point's row and column.

    All are (h, w); distances in units of `pitch`, points in pixels of the small picture.
    """
    q = min(1.0, 700 / c.unit)
    h, w = round(c.height * q), round(c.width * q)
    p = pitch * c.unit * q
    rows, columns = int(h / p) + 4, int(w / p) + 4
    py = (np.arange(rows)[:, None] - 1.5 + rng.uniform(-jitter, jitter, (rows, columns))).astype(
        np.float32
    ) * np.float32(p)
    px = (np.arange(columns)[None, :] - 1.5 + rng.uniform(-jitter, jitter, (rows, columns))).astype(
        np.float32
    ) * np.float32(p)
    y, x = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    a0, b0 = (np.arange(h) / p).astype(int)[:, None] + 1, (np.arange(w) / p).astype(int)[None, :] + 1
    best = np.full((h, w), 1e9, np.float32)
    second = best.copy()
    at_y, at_x = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
    for da in (0, 1, -1, 2):
        for db in (0, 1, -1, 2):
            a, b = np.clip(a0 + da, 0, rows - 1), np.clip(b0 + db, 0, columns - 1)
            cy, cx = py[a, b], px[a, b]
            d = np.hypot(y - cy, x - cx)
            closer = d < best
            second = np.where(closer, best, np.minimum(second, d))
            at_y, at_x = np.where(closer, cy, at_y), np.where(closer, cx, at_x)
            best = np.where(closer, d, best)
    return (second - best) / np.float32(p), np.clip(at_y, 0, h - 1), np.clip(at_x, 0, w - 1)


def _by_cell(c: Canvas, at_y: Array, at_x: Array, radius: float) -> Array:
    h, w = at_y.shape
    small = to_pixels(to_image(c.pixels).resize((w, h), Image.Resampling.BOX).filter(ImageFilter.BoxBlur(radius)))
    out: Array = np.take(small.reshape(-1, 3), at_y.astype(np.intp) * w + at_x.astype(np.intp), axis=0)
    return out


def glass(c: Canvas) -> None:
    """Stained glass: panes of glowing colour in lead."""
    rng = c.rng("glass")
    saturate(c.pixels, 1.7)
    contrast(c.pixels, 1.1)
    border, at_y, at_x = _cells(c, rng, 0.036, 0.42)
    h, w = border.shape
    edge = (
        np.asarray(
            to_image(np.clip(outline(c, max(1.2, c.unit / 620)) * np.float32(3.0) - 0.12, 0, 1)).resize(
                (w, h), Image.Resampling.BOX
            ),
            np.float32,
        )
        / 255
    )
    own = to_pixels(to_image(flat(c, 24, 2)).resize((w, h), Image.Resampling.BOX))
    p = _by_cell(c, at_y, at_x, 3) * np.float32(0.32) + own * np.float32(0.68)
    tone = rng.normal(1.08, 0.13, 4096).astype(np.float32)[((at_y * 7 + at_x * 13).astype(int)) % 4096]
    p = p * tone[..., None] + np.float32(0.03)
    glow = np.clip(border * 1.6, 0, 1)[..., None]
    p *= 0.78 + 0.34 * glow
    lead = (step(0.04, 0.11, border) * np.clip(1.15 - edge * 1.6, 0, 1))[..., None]
    p = np.array((0.05, 0.05, 0.06), np.float32) * (1 - lead) + p * lead
    c.pixels = enlarge(p.astype(np.float32), c.width, c.height).copy()
    c.pixels *= (
        1 + 0.035 * enlarge(c.fbm(rng, 30, 2, size=(c.height // 2 + 1, c.width // 2 + 1)), c.width, c.height)[..., None]
    )


def lowpoly(c: Canvas) -> None:
    """Facets: triangles whose corners lie on the picture's edges, one colour each."""
    rng = c.rng("facets")
    saturate(c.pixels, 1.12)
    pitch = 0.029 * c.unit
    rows, columns = int(c.height / pitch) + 3, int(c.width / pitch) + 3
    small = to_pixels(to_image(c.pixels).resize((max(2, c.width // 4), max(2, c.height // 4)), Image.Resampling.BOX))
    y, x = _corners(rng, luma(small), (rows, columns), pitch / 4)
    near = to_image(small).filter(ImageFilter.BoxBlur(max(1.0, pitch / 4 * 0.16)))
    shown = np.asarray(near, np.float32)
    tone = rng.normal(1.0, 0.030, (rows, columns, 2))
    image = Image.new("RGB", (c.width * 2, c.height * 2))
    draw = ImageDraw.Draw(image)
    h, w = shown.shape[:2]
    for a in range(rows - 1):
        for b in range(columns - 1):
            corners = [(y[a + i, b + j], x[a + i, b + j]) for i in (0, 1) for j in (0, 1)]
            for half, (p, q, r) in enumerate(((0, 1, 2), (1, 3, 2))):
                triangle = (corners[p], corners[q], corners[r])
                cy, cx = sum(v for v, _ in triangle) / 3, sum(v for _, v in triangle) / 3
                sample = shown[min(max(int(cy), 0), h - 1), min(max(int(cx), 0), w - 1)]
                level = tone[a, b, half] + 0.03 * (1 - 2 * half)
                fill = tuple(int(min(255, max(0, v * level))) for v in sample)
                draw.polygon([(px * 8, py * 8) for py, px in triangle], fill=fill)
    c.pixels = to_pixels(image.reduce(2)).copy()


def _corners(rng: np.random.Generator, grey: Array, shape: tuple[int, int], pitch: float) -> tuple[Array, Array]:
    """Rows and columns of a shaken grid's points, each moved to the strongest edge near by."""
    down, across = np.gradient(grey)
    edge = np.hypot(down, across)
    rows, columns = shape
    jitter = rng.uniform(-0.30, 0.30, (2, rows, columns))
    y = (np.arange(rows)[:, None] - 0.5 + jitter[0]) * pitch
    x = (np.arange(columns)[None, :] - 1.0 + 0.5 * (np.arange(rows) % 2)[:, None] + jitter[1]) * pitch
    best, at_y, at_x = np.full(shape, 0.012), y, x
    for dy in (-0.36, -0.18, 0.0, 0.18, 0.36):
        for dx in (-0.36, -0.18, 0.0, 0.18, 0.36):
            ny, nx = y + dy * pitch, x + dx * pitch
            row = np.clip(ny, 0, grey.shape[0] - 1).astype(int)
            found = edge[row, np.clip(nx, 0, grey.shape[1] - 1).astype(int)]
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
