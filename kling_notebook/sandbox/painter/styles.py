"""Styles that work on the finished picture: paint, print, pencil and pixels. Each takes the canvas and changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .brush import displace, flat, outline, palette_of, patches, soften, to_image, to_pixels, tones
from .canvas import Array, Canvas, blur, enlarge, luma, step
from .grade import bloom, contrast, saturate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def apply_styles(c: Canvas) -> None:
    """Apply the scene's styles in the order of the prompt, those without colour at the end."""
    last = {"mono", "sepia"}  # a style after them would bring colour back
    for name in sorted(c.scene.styles, key=lambda name: name in last):
        STYLES[name](c)


def paper(c: Canvas, strength: float) -> Array:
    """The tooth of paper, about 1, (h, w, 1)."""
    rng = c.rng("paper")
    tooth = c.fbm(rng, 110, 2, gain=0.6, size=(c.height // 2 + 1, c.width // 2 + 1))
    return (1 + enlarge(tooth, c.width, c.height) * np.float32(strength))[..., None]


def _noise(c: Canvas, rng: np.random.Generator, cells: float, octaves: int) -> Array:
    """Smooth noise, made at a quarter of the size, (h, w)."""
    size = (c.height // 4 + 1, c.width // 4 + 1)
    return enlarge(c.fbm(rng, cells, octaves, size=size), c.width, c.height)


def watercolour(c: Canvas) -> None:
    """Washes that bleed, pigment at their edges, white paper at the border."""
    rng = c.rng("wash")
    share = min(1.0, 580 / c.unit)  # enough for what is going to be soft
    h, w = round(c.height * share), round(c.width * share)
    p = to_pixels(to_image(c.pixels).resize((w, h), Image.Resampling.BOX))
    wander = np.float32(h / c.height * c.unit * 0.0045)
    dy, dx = (enlarge(_noise(c, rng, 9, 4), w, h) * wander for _ in range(2))
    p = patches(displace(p, dy, dx), 2)
    soft = luma(soften(p, h / c.height * c.unit / 65)) - luma(p)
    rim = enlarge(np.clip(soft * 2.2, -0.05, 0.4), c.width, c.height)
    c.pixels = to_pixels(to_image(p).resize((c.width, c.height), Image.Resampling.BICUBIC))
    saturate(c.pixels, 1.25)
    c.pixels += (1 - c.pixels) * np.float32(0.20)
    c.pixels *= 1 - rim[..., None]
    c.pixels += (1 - c.pixels) * np.clip(_noise(c, rng, 3, 5) * 0.13 + 0.04, 0, 0.5)[..., None]
    down, across = np.ogrid[: c.height, : c.width]
    border = np.minimum(np.minimum(down, c.height - 1 - down), np.minimum(across, c.width - 1 - across)) / c.unit
    away = border.astype(np.float32) + _noise(c, rng, 7, 5) * np.float32(0.011)
    c.pixels *= 1 - (np.exp(-(((away - np.float32(0.046)) / np.float32(0.006)) ** 2)) * np.float32(0.16))[..., None]
    sheet = np.array((0.985, 0.975, 0.95), np.float32)
    c.pixels = (sheet + (c.pixels - sheet) * step(0.030, 0.046, away)[..., None]) * paper(c, 0.014)


def _inked(c: Canvas, amount: Array, ink: tuple[float, float, float], sheet: tuple[float, float, float]) -> None:
    """Replace the picture by so much ink (h, w) on paper."""
    ground = np.array(sheet, np.float32) * paper(c, 0.015)
    c.pixels = ground + (np.array(ink, np.float32) - ground) * amount[..., None]


def ink(c: Canvas) -> None:
    """Pen and ink: outlines, and hatching that thickens in the dark."""
    line = np.clip(outline(c, max(0.8, c.unit / 900)) * 2.6 - 0.10, 0, 1)
    dark = np.clip((0.70 - tones(c.pixels)) * 1.5, 0, 1)
    pitch = np.float32(max(3.2, c.unit / 165))
    y = np.arange(c.height, dtype=np.float32)[:, None] / pitch
    x = np.arange(c.width, dtype=np.float32)[None, :] / pitch
    for start, along in ((0.0, 0.6 * x + 0.8 * y), (0.42, 0.8 * y - 0.6 * x)):
        away = np.abs(along % 1 - np.float32(0.5)) * 2
        line = np.maximum(line, np.clip((dark - start - away) * pitch * 0.55 + 0.3, 0, 1) * (dark > start + 0.02))
    _inked(c, line * np.float32(0.93), (0.09, 0.09, 0.12), (0.965, 0.945, 0.90))


def pencil(c: Canvas) -> None:
    """Graphite: fine outlines, soft shading, the tooth of the paper."""
    rng = c.rng("pencil")
    line = np.clip(outline(c, max(0.8, c.unit * 0.0013)) * 2.4 - 0.10, 0, 1)
    dark = np.clip(1.02 - tones(c.pixels) * 1.08, 0, 1)
    grain = c.fbm(rng, 170, 2, gain=0.9)
    rough = (grain + 0.9 * c.fbm(rng, 95, 2, wide=0.20)) * np.float32(0.058) * (0.25 + dark)
    shade = step(0.0, 1.0, dark * np.float32(0.74) + rough - 0.12)
    amount = np.clip(shade * 0.78 + line * (0.75 + 0.15 * grain), 0, 0.95)
    _inked(c, amount, (0.22, 0.22, 0.25), (0.97, 0.965, 0.95))


def _strokes(rng: np.random.Generator, angle: Array, length: int) -> Array:
    """Bristle marks along a flow (`angle`, at the size they are wanted at): a relief of about -1..1."""
    h, w = angle.shape
    noise = enlarge(rng.standard_normal((h // 4 + 1, w // 4 + 1), dtype=np.float32), w, h)
    dy, dx = np.sin(angle), np.cos(angle)
    total = np.zeros((h, w), np.float32)
    for k in range(-length, length + 1):
        total += displace(noise[..., None], dy * (2 * k), dx * (2 * k))[..., 0]
    return total / np.float32(0.62 * np.sqrt(2 * length + 1))


def oil(c: Canvas) -> None:
    """Oil: color in broad dabs that follow a flow, with the relief of the brush."""
    saturate(c.pixels, 1.25)
    c.pixels += (np.float32(1) - np.clip(c.pixels, 0, 1)) * np.clip(0.34 - c.pixels, 0, 1) * np.float32(0.35)
    _brushed(c, 620, reach=0.0024, dab=2, length=4)


def _brushed(c: Canvas, sharp: int, *, reach: float, dab: int, length: int) -> None:
    """Dabs along a flow, at `sharp` pixels a side; `reach` is how far color is carried, in units."""
    rng = c.rng("oil")
    q = min(1.0, sharp / c.unit)
    h, w = round(c.height * q), round(c.width * q)
    small = to_pixels(to_image(c.pixels).resize((w, h), Image.Resampling.BOX))
    angle = c.fbm(rng, 1.4, 2, size=(h, w)) * np.float32(0.8) + np.float32(0.35)
    shift = c.fbm(rng, 30, 2, size=(h, w)) * np.float32(reach * min(h, w))
    small = patches(displace(small, np.cos(angle) * shift, np.sin(angle) * shift), dab)
    relief = _strokes(rng, angle, length)
    lift = np.zeros_like(relief)
    lift[1:, 1:] = relief[1:, 1:] - relief[:-1, :-1]
    small *= (1 + relief * np.float32(0.026))[..., None]
    small += (lift * np.float32(0.034))[..., None]
    contrast(small, 1.06)
    c.pixels = to_pixels(to_image(small).resize((c.width, c.height), Image.Resampling.BICUBIC))


def mono(c: Canvas) -> None:
    """Black and white, with a red filter's dark skies and a firm curve."""
    grey = c.pixels @ np.array((0.42, 0.42, 0.16), np.float32)
    level = np.clip(grey, 0, 1)
    curve = level * level * (3 - 2 * level)
    c.pixels = np.repeat((0.25 * level + 0.75 * curve)[..., None] * np.array((1.0, 0.995, 0.985), np.float32), 1, 2)


def sepia(c: Canvas) -> None:
    """An old print: brown and faded."""
    level = np.clip(luma(c.pixels), 0, 1)[..., None] * np.float32(0.86) + np.float32(0.08)
    p = np.array((0.20, 0.12, 0.06), np.float32) * (1 - level) + np.array((1.0, 0.92, 0.76), np.float32) * level
    c.pixels = p * (0.98 + 0.035 * _noise(c, c.rng("stain"), 1.5, 5))[..., None]


def film(c: Canvas) -> None:
    """Cinema: teal shadows, orange lights, halation, black bars."""
    contrast(c.pixels, 1.12)
    level = np.clip(luma(c.pixels), 0, 1)[..., None]
    c.pixels += (1 - level) ** 2 * np.array((-0.035, 0.02, 0.05), np.float32)
    c.pixels += level**2 * np.array((0.06, 0.015, -0.055), np.float32)
    bloom(c, 0.25)
    bar = round(c.height * 0.075) if c.width / c.height < 2 and "photo" not in c.scene.styles else 0
    if bar:
        c.pixels[:bar] = 0.01
        c.pixels[-bar:] = 0.01


def photo(c: Canvas) -> None:
    """A photograph: a little more contrast, the highlights spread; no frame and no bars."""
    contrast(c.pixels, 1.06)
    bloom(c, 0.12)


def neon(c: Canvas) -> None:
    """Outlines as glowing tubes over a dark scene."""
    line = np.clip(outline(c, max(1.2, c.unit / 600)) * 1.7 - 0.07, 0, 1)
    wide = enlarge(blur(line[::4, ::4], c.unit / 110), c.width, c.height)
    y = np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, c.width, dtype=np.float32)[None, :]
    sweep = np.clip(0.5 + 0.5 * np.sin(y * 4.2 + x * 3.1 + 0.6), 0, 1)[..., None]
    cyan, pink = np.array((0.10, 0.85, 1.0), np.float32), np.array((1.0, 0.16, 0.62), np.float32)
    hue = cyan + (pink - cyan) * sweep
    lamps = np.clip(luma(c.pixels) - np.float32(0.72), 0, 1) * np.float32(0.9)
    glow = np.clip(blur(line, c.unit / 260) * 0.75 + wide * 0.55, 0, 1.2) + lamps
    own = line * (1 - np.float32(0.6) * np.clip(wide * 1.8, 0, 1))  # crowded lines share the light
    np.clip(c.pixels, 0, 1, out=c.pixels)
    c.pixels *= np.array((0.34, 0.29, 0.56), np.float32)
    c.pixels += hue * glow[..., None] + (own**3)[..., None] * np.float32(0.5)
    np.clip(c.pixels, 0, 1.4, out=c.pixels)


def pixel(c: Canvas) -> None:
    """Pixel art: few and square, few colours."""
    side = max(5, round(c.unit / 128))
    w, h = -(-c.width // side), -(-c.height // side)
    saturate(c.pixels, 1.2)
    contrast(c.pixels, 1.08)
    small = to_image(c.pixels).resize((w, h), Image.Resampling.BOX)
    few = small.quantize(palette=palette_of(small, 32), dither=Image.Dither.NONE).convert("RGB")
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


STYLES: Mapping[str, Callable[[Canvas], None]] = {
    "watercolour": watercolour,
    "ink": ink,
    "pencil": pencil,
    "oil": oil,
    "neon": neon,
    "mono": mono,
    "sepia": sepia,
    "film": film,
    "photo": photo,
    "pixel": pixel,
    "blueprint": blueprint,
    "poster": poster,
    "comic": comic,
}
