"""Styles that work on the finished picture: paint, print and pencil. Each takes the canvas and changes its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from .brush import displace, outline, patches, soften, to_image, to_pixels, tones
from .canvas import Array, Canvas, bands, blur, enlarge, luma, mix, step
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


def watercolour(c: Canvas) -> None:
    """Washes that bleed, pigment at their edges, white paper at the border."""
    rng = c.rng("wash")
    p = _reduced(c, c.pixels)
    small_h, small_w = p.shape[:2]
    wander = small_h / c.height * c.unit * 0.0045
    h, w = c.height // 4 + 1, c.width // 4 + 1
    dy = enlarge(c.fbm(rng, 9, 4, size=(h, w)), small_w, small_h) * np.float32(wander)
    dx = enlarge(c.fbm(rng, 9, 4, size=(h, w)), small_w, small_h) * np.float32(wander)
    p = displace(p, dy, dx)
    small = patches(p, 2)
    soft = luma(soften(small, small_h / c.height * c.unit / 65)) - luma(small)
    rim = enlarge(np.clip(soft * 2.2, -0.05, 0.4), c.width, c.height)
    c.pixels = to_pixels(to_image(small).resize((c.width, c.height), Image.Resampling.BICUBIC))
    wash = enlarge(np.clip(c.fbm(rng, 3.0, 5, size=(h, w)) * 0.13 + 0.04, 0, 0.5), c.width, c.height)
    _on_paper(c, rim, wash, enlarge(c.fbm(rng, 7, 5, size=(h, w)), c.width, c.height))


def _on_paper(c: Canvas, rim: Array, wash: Array, ragged: Array) -> None:
    """Thin the paint by `wash`, darken it at every `rim`, and end it before the edge of the sheet, raggedly."""
    y = (np.minimum(np.arange(c.height), np.arange(c.height)[::-1])[:, None] / c.unit).astype(np.float32)
    x = (np.minimum(np.arange(c.width), np.arange(c.width)[::-1])[None, :] / c.unit).astype(np.float32)
    sheet = np.array((0.985, 0.975, 0.95), np.float32)
    tooth = paper(c, 0.014)
    saturate(c.pixels, 1.25)
    for band in bands(c.height):
        p = c.pixels[band]
        p += (1 - p) * np.float32(0.20)
        p *= 1 - rim[band, :, None]
        p += (1 - p) * wash[band, :, None]
        border = np.minimum(y[band], x) + ragged[band] * np.float32(0.011)
        edge = np.exp(-(((border - np.float32(0.046)) / np.float32(0.006)) ** 2)) * np.float32(0.16)
        p *= 1 - edge[..., None]
        p -= sheet
        p *= step(0.030, 0.046, border)[..., None]
        p += sheet
        p *= tooth[band]


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
    rng = c.rng("pen")
    line = np.clip(outline(c, max(0.8, c.unit / 900)) * 2.6 - 0.10, 0, 1)
    dark = 1 - tones(c.pixels)
    dark = np.clip((dark - 0.30) * 1.5, 0, 1)
    wave = enlarge(c.fbm(rng, 2.2, 3, size=(c.height // 4 + 1, c.width // 4 + 1)), c.width, c.height) * np.float32(
        c.unit * 0.006
    )
    pitch = max(3.2, c.unit / 165)
    ink_on = _hatch(c, dark * np.float32(0.92), 0.62, pitch, wave)
    ink_on = np.maximum(ink_on, _hatch(c, np.clip(dark - 0.42, 0, 1) * 1.3, -0.75, pitch, wave))
    ink_on = np.maximum(ink_on, _hatch(c, np.clip(dark - 0.70, 0, 1) * 2.2, 0.05, pitch * 0.8, wave))
    ink_on = np.maximum(ink_on, np.clip(line, 0, 1))
    sheet = np.array((0.965, 0.945, 0.90), np.float32) * paper(c, 0.012)
    c.pixels = sheet + (np.array((0.09, 0.09, 0.12), np.float32) - sheet) * (ink_on * np.float32(0.93))[..., None]


def sumi(c: Canvas) -> None:
    """Ink wash: a few greys that run, on warm paper."""
    rng = c.rng("sumi")
    p = _reduced(c, c.pixels)
    wander = p.shape[0] / c.height * c.unit * 0.008
    shift = c.fbm(rng, 8, 4, size=(p.shape[0], p.shape[1])) * np.float32(wander)
    p = displace(p, shift, shift[::-1])
    soft = to_pixels(
        to_image(tones(patches(p, max(2, min(c.unit // 340, 3))))).resize((c.width, c.height), Image.Resampling.BICUBIC)
    )
    level = np.clip((soft - 0.04) / 0.86, 0, 1)
    steps = np.floor(level * 5) / 5
    wash = steps + (level - steps) * 0.45 + step(0.82, 0.98, level) * 0.1
    bleed = enlarge(c.fbm(rng, 3, 5, size=(c.height // 2 + 1, c.width // 2 + 1)), c.width, c.height)
    ink_on = np.clip((1 - wash) * (0.95 + 0.13 * bleed), 0, 0.95)
    line = np.clip(outline(c, max(1.2, c.unit / 500)) * 1.5 - 0.18, 0, 0.75)
    dark = np.clip(np.maximum(ink_on * 0.92, line), 0, 0.95)[..., None]
    sheet = np.array((0.955, 0.93, 0.87), np.float32) * paper(c, 0.02)
    c.pixels = sheet + (np.array((0.07, 0.075, 0.10), np.float32) - sheet) * dark


def _drawn(
    c: Canvas, *, blunt: float, strength: float, tooth: float, tone: float, stick: tuple[float, float, float]
) -> None:
    rng = c.rng("pencil")
    line = np.clip(outline(c, max(0.8, c.unit * blunt)) * strength - 0.10, 0, 1)
    dark = np.clip(1.02 - tones(c.pixels) * 1.08, 0, 1)
    grain = c.fbm(rng, 170, 2, gain=0.9)
    strokes = c.fbm(rng, 95, 2, wide=0.20)
    shade = step(
        0.0,
        1.0,
        dark * np.float32(tone)
        + (grain * np.float32(tooth) + strokes * np.float32(tooth * 0.9)) * (0.25 + dark)
        - 0.12,
    )
    amount = np.clip(shade * 0.78 + line * (0.75 + 0.15 * grain), 0, 0.95)[..., None]
    sheet = np.array((0.97, 0.965, 0.95), np.float32) * paper(c, 0.015)
    c.pixels = sheet + (np.array(stick, np.float32) - sheet) * amount


def pencil(c: Canvas) -> None:
    """Graphite: fine outlines, soft shading."""
    _drawn(c, blunt=0.0013, strength=2.4, tooth=0.06, tone=0.74, stick=(0.22, 0.22, 0.25))


def charcoal(c: Canvas) -> None:
    """Charcoal: broad blacks with the paper showing through."""
    contrast(c.pixels, 1.25)
    _drawn(c, blunt=0.0030, strength=1.0, tooth=0.055, tone=0.96, stick=(0.06, 0.055, 0.06))


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
    """Oil: colour in broad dabs that follow a flow, with the relief of the brush."""
    rng = c.rng("oil")
    q = min(1.0, 620 / c.unit)
    h, w = round(c.height * q), round(c.width * q)
    saturate(c.pixels, 1.25)
    c.pixels += (np.float32(1) - np.clip(c.pixels, 0, 1)) * np.clip(0.34 - c.pixels, 0, 1) * np.float32(0.35)
    small = to_pixels(to_image(c.pixels).resize((w, h), Image.Resampling.BOX))
    angle = c.fbm(rng, 1.4, 2, size=(h, w)) * np.float32(0.8) + np.float32(0.35)
    shift = c.fbm(rng, 30, 2, size=(h, w)) * np.float32(0.0024 * min(h, w))
    small = displace(small, np.cos(angle) * shift, np.sin(angle) * shift)
    small = patches(small, 2)
    relief = _strokes(rng, angle, 4)
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
    """An old print: brown, faded, dark at the corners, with a worn edge."""
    level = np.clip(luma(c.pixels), 0, 1)[..., None] * np.float32(0.86) + np.float32(0.08)
    p = np.array((0.20, 0.12, 0.06), np.float32) * (1 - level) + np.array((1.0, 0.92, 0.76), np.float32) * level
    y = np.linspace(-1, 1, c.height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, c.width, dtype=np.float32)[None, :]
    p *= (1 - 0.42 * np.clip((x * x + y * y) * 0.5, 0, 1) ** 1.4)[..., None]
    stain = enlarge(c.fbm(c.rng("stain"), 1.5, 5, size=(c.height // 4 + 1, c.width // 4 + 1)), c.width, c.height)
    c.pixels = p * (1 + 0.035 * stain[..., None])


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
    p = to_pixels(to_image(c.pixels).filter(ImageFilter.GaussianBlur(c.unit / 900)))
    p = p + (np.array((1.0, 0.96, 0.94), np.float32) - p) * np.float32(0.40)
    rng = c.rng("chalk")
    grain = step(-0.9, 1.1, c.fbm(rng, 130, 2, gain=0.9) + 0.6 * c.fbm(rng, 60, 2, wide=0.25))[..., None]
    sheet = mix((0.97, 0.93, 0.88), (1, 1, 1), 0.2)
    c.pixels = sheet + (p - sheet) * (0.66 + 0.34 * grain)
    saturate(c.pixels, 1.15)


def neon(c: Canvas) -> None:
    """Outlines as glowing tubes over a dark scene."""
    line = np.clip(outline(c, max(1.2, c.unit / 600)) * 1.7 - 0.07, 0, 1)
    y = np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, c.width, dtype=np.float32)[None, :]
    near, wide = blur(line, c.unit / 260), blur(line[::4, ::4], c.unit / 110)
    wide = enlarge(wide, c.width, c.height)
    pink, cyan = np.array((1.0, 0.16, 0.62), np.float32), np.array((0.10, 0.85, 1.0), np.float32)
    lamp = mix((1.0, 0.8, 0.5), (1, 1, 1), 0.2) * np.float32(0.9)
    for band in bands(c.height):
        p = c.pixels[band]
        bright = np.clip(luma(p) - np.float32(0.72), 0, 1)[..., None]
        sweep = np.clip(0.5 + 0.5 * np.sin(y[band] * 4.2 + x * 3.1 + 0.6), 0, 1)[..., None]
        hue = pink * sweep + cyan * (1 - sweep)
        # Crowded lines share the light.
        own = line[band] * (1 - np.float32(0.6) * np.clip(wide[band] * 1.8, 0, 1))
        glow = np.clip(near[band] * 0.75 + wide[band] * 0.55, 0, 1.2)[..., None]
        np.clip(p, 0, 1, out=p)
        p *= np.array((0.34, 0.29, 0.56), np.float32)
        p += hue * glow + (own**3)[..., None] * np.float32(0.5) + bright * hue * lamp
    np.clip(c.pixels, 0, 1.4, out=c.pixels)


def impressionist(c: Canvas) -> None:
    """Dabs of broken colour, large ones under small ones."""
    rng = c.rng("dabs")
    q = min(1.0, 600 / c.unit)
    w, h = round(c.width * q), round(c.height * q)
    p = c.pixels.copy()
    saturate(p, 1.3)
    p *= (1 + np.clip(0.42 - luma(p), 0, 1) * np.float32(2.2))[..., None]  # no dabs of black
    picture = to_pixels(to_image(p).resize((w, h), Image.Resampling.BOX))
    field = c.fbm(rng, 1.6, 2, size=(h, w))
    out = picture.copy()
    for size, amount in ((10, 0.055), (6, 0.06)):
        shift_y = rng.integers(-size, size, (h // size + 2, w // size + 2))
        shift_x = rng.integers(-size, size, shift_y.shape)
        tone = rng.normal(0, amount, (*shift_y.shape, 3)).astype(np.float32)
        y, x = np.mgrid[0:h, 0:w].astype(np.float32)
        long = np.cos(field) * x + np.sin(field) * y
        wide = np.cos(field) * y - np.sin(field) * x
        wide = (
            wide + (rng.uniform(0, 1, 64).astype(np.float32)[(np.floor(long / (2.6 * size)).astype(int)) % 64]) * size
        )
        a, b = np.floor(long / (2.6 * size)).astype(int), np.floor(wide / size).astype(int)
        row, column = a % shift_y.shape[0], b % shift_y.shape[1]
        source = out if size < 10 else picture
        dabbed = displace(source, shift_y[row, column] * 0.8, shift_x[row, column] * 0.8)
        # A dab has one colour: what the picture has at the dab's own place.
        out = dabbed + tone[row, column] * (0.10 + 0.9 * dabbed)
    smooth = to_image(patches(out, 2))
    c.pixels = to_pixels(smooth.resize((c.width, c.height), Image.Resampling.BICUBIC)).copy()


STYLES: Mapping[str, Callable[[Canvas], None]] = {
    "watercolour": watercolour,
    "ink": ink,
    "sumi": sumi,
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
