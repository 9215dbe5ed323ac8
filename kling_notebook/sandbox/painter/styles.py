"""Styles that work on the finished picture: paint, print and pencil. Each takes the canvas and changes its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .brush import displace, outline, patches, soften, to_image, to_pixels, tones
from .canvas import Array, Canvas, blur, enlarge, luma, step
from .grade import bloom, contrast, saturate
from .prints import PRINTS

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


def _reduced(c: Canvas, p: Array) -> Array:
    """The picture at no more than 580 pixels a side: enough for what is going to be soft."""
    share = min(1.0, 580 / c.unit)
    return to_pixels(to_image(p).resize((round(c.width * share), round(c.height * share)), Image.Resampling.BOX))


def _noise(c: Canvas, rng: np.random.Generator, cells: float, octaves: int) -> Array:
    """Smooth noise, made at a quarter of the size, (h, w)."""
    size = (c.height // 4 + 1, c.width // 4 + 1)
    return enlarge(c.fbm(rng, cells, octaves, size=size), c.width, c.height)


def border(c: Canvas) -> Array:
    """How far every pixel is from the edge of the sheet, in units, (h, w)."""
    y = np.minimum(np.arange(c.height), np.arange(c.height)[::-1])[:, None]
    x = np.minimum(np.arange(c.width), np.arange(c.width)[::-1])[None, :]
    return (np.minimum(y, x) / c.unit).astype(np.float32)


def watercolour(c: Canvas) -> None:
    """Washes that bleed, pigment at their edges, white paper at the border."""
    rng = c.rng("wash")
    p = _reduced(c, c.pixels)
    h, w = p.shape[:2]
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
    away = border(c) + _noise(c, rng, 7, 5) * np.float32(0.011)
    c.pixels *= 1 - (np.exp(-(((away - np.float32(0.046)) / np.float32(0.006)) ** 2)) * np.float32(0.16))[..., None]
    sheet = np.array((0.985, 0.975, 0.95), np.float32)
    c.pixels = (sheet + (c.pixels - sheet) * step(0.030, 0.046, away)[..., None]) * paper(c, 0.014)


def _inked(c: Canvas, amount: Array, ink: tuple[float, float, float], sheet: tuple[float, float, float]) -> None:
    """Replace the picture by so much ink (h, w) on paper."""
    ground = np.array(sheet, np.float32) * paper(c, 0.015)
    c.pixels = ground + (np.array(ink, np.float32) - ground) * amount[..., None]


def _hatch(c: Canvas, tone: Array, angle: float, pitch: float, wave: Array) -> Array:
    """Lines of one direction, thicker where `tone` (0 light, 1 dark) is darker; (h, w) of ink."""
    y = np.arange(c.height, dtype=np.float32)[:, None]
    x = np.arange(c.width, dtype=np.float32)[None, :]
    along = (x * np.float32(np.sin(angle)) + y * np.float32(np.cos(angle)) + wave) / np.float32(pitch)
    away = np.abs(along - np.floor(along) - np.float32(0.5)) * 2
    out: Array = np.clip((tone - away) * np.float32(pitch * 0.55) + 0.5, 0, 1) * (tone > 0.02)
    return out


def ink(c: Canvas) -> None:
    """Pen and ink: outlines, and hatching that thickens in the dark."""
    line = np.clip(outline(c, max(0.8, c.unit / 900)) * 2.6 - 0.10, 0, 1)
    dark = np.clip((0.70 - tones(c.pixels)) * 1.5, 0, 1)
    wave = _noise(c, c.rng("pen"), 2.2, 3) * np.float32(c.unit * 0.006)
    pitch = max(3.2, c.unit / 165)
    for start, gain, angle in ((0.0, 0.92, 0.62), (0.42, 1.3, -0.75), (0.70, 2.2, 0.05)):
        line = np.maximum(line, _hatch(c, np.clip(dark - start, 0, 1) * np.float32(gain), angle, pitch, wave))
    _inked(c, line * np.float32(0.93), (0.09, 0.09, 0.12), (0.965, 0.945, 0.90))


def _drawn(c: Canvas, *, blunt: float, strength: float, tone: float, stick: tuple[float, float, float]) -> None:
    """Outlines and shading with a stick whose point is `blunt` units wide."""
    rng = c.rng("pencil")
    line = np.clip(outline(c, max(0.8, c.unit * blunt)) * strength - 0.10, 0, 1)
    dark = np.clip(1.02 - tones(c.pixels) * 1.08, 0, 1)
    grain = c.fbm(rng, 170, 2, gain=0.9)
    rough = (grain + 0.9 * c.fbm(rng, 95, 2, wide=0.20)) * np.float32(0.058) * (0.25 + dark)
    shade = step(0.0, 1.0, dark * np.float32(tone) + rough - 0.12)
    _inked(c, np.clip(shade * 0.78 + line * (0.75 + 0.15 * grain), 0, 0.95), stick, (0.97, 0.965, 0.95))


def pencil(c: Canvas) -> None:
    """Graphite: fine outlines, soft shading."""
    _drawn(c, blunt=0.0013, strength=2.4, tone=0.74, stick=(0.22, 0.22, 0.25))


def charcoal(c: Canvas) -> None:
    """Charcoal: broad blacks with the paper showing through."""
    contrast(c.pixels, 1.25)
    _drawn(c, blunt=0.0030, strength=1.0, tone=0.96, stick=(0.06, 0.055, 0.06))


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


def impressionist(c: Canvas) -> None:
    """Short thick strokes of pure color, no black among them."""
    saturate(c.pixels, 1.5)
    c.pixels *= (1 + np.clip(0.42 - luma(c.pixels), 0, 1) * np.float32(2.2))[..., None]
    hue = c.rng("dabs").normal(0, 0.07, (c.height // 12 + 1, c.width // 12 + 1, 3)).astype(np.float32)
    c.pixels *= 1 + enlarge(hue, c.width, c.height)
    _brushed(c, 420, reach=0.012, dab=2, length=6)


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
    c.pixels = p * (0.92 + 0.08 * step(0.0, 0.2, border(c)) + 0.035 * _noise(c, c.rng("stain"), 1.5, 5))[..., None]


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


def pastel(c: Canvas) -> None:
    """Chalk pastel: light, soft, with the tooth of the paper."""
    rng = c.rng("chalk")
    grain = step(-0.9, 1.1, c.fbm(rng, 130, 2, gain=0.9) + 0.6 * c.fbm(rng, 60, 2, wide=0.25))[..., None]
    sheet = np.array((0.976, 0.944, 0.904), np.float32)
    c.pixels += (np.array((1.0, 0.96, 0.94), np.float32) - c.pixels) * np.float32(0.40)
    c.pixels = sheet + (c.pixels - sheet) * (0.66 + 0.34 * grain)
    saturate(c.pixels, 1.15)


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


STYLES: Mapping[str, Callable[[Canvas], None]] = {
    "watercolour": watercolour,
    "ink": ink,
    "pencil": pencil,
    "charcoal": charcoal,
    "oil": oil,
    "impressionist": impressionist,
    "neon": neon,
    "mono": mono,
    "sepia": sepia,
    "film": film,
    "photo": photo,
    "pastel": pastel,
    **PRINTS,
}
