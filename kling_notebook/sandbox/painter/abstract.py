"""Pictures of nothing: a composition in which every unknown word becomes a form and a colour."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from PIL import Image, ImageDraw

from .canvas import Array, Canvas, blur, enlarge, mix, step
from .light import LIGHTS

_PALETTES = (
    ("f4ecdd", "1f2a44", "d9533b", "e9b44c", "2f7f79", "8fb7b3"),
    ("141726", "e8e1d0", "ef6f5b", "f3c26b", "4f6db8", "8c4f7d"),
    ("efe6e0", "2b2d42", "7a5c91", "d98ba3", "f2c9a1", "4d8aa8"),
    ("0f2b33", "f0e7d3", "e07a3f", "3fa796", "f4d06f", "9c3848"),
    ("f6f1e7", "22333b", "c6ac8f", "5e503f", "a3b18a", "bc4b51"),
    ("1b1030", "fbe8d3", "ff6b6b", "845ec2", "00a6a6", "ffc15e"),
    ("e9eef2", "12355b", "d72638", "f49d37", "3f88c5", "a0b9c6"),
)


def paint_abstract(c: Canvas) -> None:
    """Ground, flow, then one form per word, larger words first."""
    words = list(c.scene.words[:14]) or ["quiet"]
    rng = c.rng("abstract")
    colours = [_rgb(code) for code in _PALETTES[_number("".join(words)) % len(_PALETTES)]]
    if c.scene.time != "day":
        light = LIGHTS[c.scene.time]
        colours = [mix(colour, light.haze, 0.25) * np.float32(0.45 + 0.55 * max(light.ambient)) for colour in colours]
    for tint in c.scene.tints:
        colours = [mix(colour, tint, 0.4) if k % 2 else colour for k, colour in enumerate(colours)]
    c.sun = (c.width * rng.uniform(0.2, 0.8), c.height * 0.2)
    c.horizon = int(c.height * 0.6)
    _flow(c, rng, colours)
    count = max(5, min(9, len(words) + 3))
    for k in range(count):
        word = words[k % len(words)]
        _form(c, rng, word, (k, count), colours)
    _threads(c, rng, words, colours)


def _rgb(code: str) -> Array:
    return np.array([int(code[k : k + 2], 16) / 255 for k in (0, 2, 4)], np.float32)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "little")


def _flow(c: Canvas, rng: np.random.Generator, colours: list[Array]) -> None:
    """A ground of slow, folded colour: noise bent by noise."""
    h, w = c.height // 3 + 1, c.width // 3 + 1
    bend = c.fbm(rng, 0.9, 3, size=(h, w))
    base = c.fbm(rng, 0.8, 2, size=(h, w), wide=1.4)
    fold = np.sin(base * 1.3 + bend * 1.6) * 0.5 + 0.5
    fine = np.sin(base * 7.0 + bend * 5.0) * 0.5 + 0.5
    ground, ink, third = colours[0], colours[1], colours[5]
    t = step(0.15, 0.95, fold)[..., None]
    picture = ground * (1 - t * 0.55) + third * t * 0.55
    picture = picture + (mix(ground, ink, 0.25) - picture) * (step(0.72, 1.0, fine)[..., None] * np.float32(0.22))
    c.pixels[:] = enlarge(picture.astype(np.float32), c.width, c.height)


def _form(c: Canvas, rng: np.random.Generator, word: str, place: tuple[int, int], colours: list[Array]) -> None:
    """One word's form, set on a golden spiral about an off-centre heart, with a soft shadow."""
    k, count = place
    n = _number(f"{word} {k}")
    turn = k * 2.399963 + (_number(word) % 628) / 100 + rng.uniform(-0.3, 0.3)
    reach = 0.10 + 0.36 * math.sqrt(k / count)
    cx = c.width * 0.5 + math.cos(turn) * reach * c.width * 0.9 + 0.03 * c.unit
    cy = c.height * 0.5 + math.sin(turn) * reach * c.height * 0.9
    r = c.unit * (0.29 - 0.20 * (k / count)) * rng.uniform(0.8, 1.15)
    colour = colours[1 + (n // 7) % 5]
    reach = int(r * 1.36 + 0.07 * c.unit)
    rows = slice(max(0, int(cy) - reach), min(c.height, int(cy) + reach))
    columns = slice(max(0, int(cx) - reach), min(c.width, int(cx) + reach))
    h, w = rows.stop - rows.start, columns.stop - columns.start
    if h < 4 or w < 4:
        return
    sheet = Image.new("L", (w * 2, h * 2), 0)
    _draw_form(ImageDraw.Draw(sheet), n, ((cx - columns.start) * 2, (cy - rows.start) * 2, r * 2), rng)
    mask = np.asarray(sheet.reduce(2), np.float32) / 255
    drop = max(1, round(c.unit * 0.016))
    shadow = blur(np.pad(mask, ((drop, 0), (drop, 0)))[:h, :w], c.unit * 0.014)
    c.lay(rows, shadow * np.float32(0.30), colours[1] * np.float32(0.35), columns)
    y = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(cy)) / np.float32(r)
    x = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(cx)) / np.float32(r)
    angle = rng.uniform(0, 2 * math.pi)
    tone = np.clip(0.5 + 0.4 * (x * math.cos(angle) + y * math.sin(angle)), 0, 1)[..., None]
    other = colours[1 + (n // 11) % 5]
    c.lay(rows, mask * np.float32(0.93), mix(colour, other, 0.45) * (1 - tone) + colour * tone, columns)


def _draw_form(draw: ImageDraw.ImageDraw, n: int, spot: tuple[float, float, float], rng: np.random.Generator) -> None:
    x, y, r = spot
    start = n % 360

    def ring(size: float) -> tuple[float, float, float, float]:
        return x - size * r, y - size * r, x + size * r, y + size * r

    match n % 7:
        case 0:
            draw.ellipse(ring(1.0), fill=255)
        case 1:
            for size, fill in ((1.0, 255), (0.72, 0), (0.36, 255)):
                draw.ellipse(ring(size), fill=fill)
        case 2:
            draw.pieslice(ring(1.2), start // 90 * 90, start // 90 * 90 + 180, fill=255)
        case 3:
            for j in range(5):
                draw.arc(ring(1.25 - 0.24 * j), start, start + 180, fill=255, width=max(1, int(r * 0.11)))
        case 4:
            corners = [math.radians(start) + j * math.tau / 3 for j in range(3)]
            draw.polygon([(x + 1.2 * r * math.cos(a), y + 1.2 * r * math.sin(a)) for a in corners], fill=255)
        case 5:
            a = math.radians(start % 60 - 30)
            for j in range(-3, 4):
                mx, my = x - math.sin(a) * j * r * 0.26, y + math.cos(a) * j * r * 0.26
                dx, dy = (v * r * (1.3 - 0.12 * abs(j)) for v in (math.cos(a), math.sin(a)))
                draw.line((mx - dx, my - dy, mx + dx, my + dy), fill=255, width=max(1, int(r * 0.10)))
        case _:
            _pebble(draw, spot, rng.uniform(0.72, 1.2, 9))


def _pebble(draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], wobble: Array) -> None:
    """A rounded, irregular outline through the radii `wobble`."""
    x, y, r = spot
    points = []
    for j in range(72):
        t = j / 72 * len(wobble)
        a, b = wobble[int(t) % len(wobble)], wobble[(int(t) + 1) % len(wobble)]
        m = (1 - math.cos((t % 1) * math.pi)) / 2
        radius = r * (a * (1 - m) + b * m)
        points.append((x + radius * math.cos(j / 72 * math.tau), y + radius * math.sin(j / 72 * math.tau)))
    draw.polygon(points, fill=255)


def _threads(c: Canvas, rng: np.random.Generator, words: list[str], colours: list[Array]) -> None:
    """Fine lines and dots that tie the forms together."""
    sheet = Image.new("L", (c.width, c.height), 0)
    draw = ImageDraw.Draw(sheet)
    thick = max(1, round(c.unit / 420))
    for word in words[:4]:
        n = _number(word)
        phase, lift, rate = n % 628 / 100, 0.2 + (n // 9 % 60) / 100, 1 + n % 3
        xs = np.linspace(-0.02, 1.02, 120)
        ys = lift + 0.10 * np.sin(xs * math.tau * rate * 0.6 + phase) + 0.05 * np.sin(xs * 13 + phase)
        draw.line(
            [(float(a) * c.width, float(b) * c.height) for a, b in zip(xs, ys, strict=True)],
            fill=220,
            width=thick,
            joint="curve",
        )
        for _ in range(3):
            j = int(rng.integers(8, 112))
            r = c.unit * rng.uniform(0.005, 0.012)
            px, py = xs[j] * c.width, ys[j] * c.height
            draw.ellipse((px - r, py - r, px + r, py + r), fill=255)
    c.lay(slice(None), np.asarray(sheet, np.float32) / 255 * np.float32(0.85), colours[1])
