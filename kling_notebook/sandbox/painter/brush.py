"""What the styles share: 8-bit round trips, outlines, smearing, and calming a picture into patches."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Array, Canvas, bands, luma


def to_image(p: Array) -> Image.Image:
    """8-bit image of float pixels, (h, w, 3) or (h, w)."""
    out = np.empty(p.shape, np.uint8)
    for band in bands(p.shape[0], 64):
        part = np.clip(p[band], 0, 1)
        part *= 255
        part += 0.5
        out[band] = part
    return Image.fromarray(out)


def to_pixels(image: Image.Image) -> Array:
    """Float pixels of an image: a new array, free to change."""
    return np.asarray(image, np.float32) * np.float32(1 / 255)


def soften(p: Array, radius: float) -> Array:
    """Blurred copy of a picture, cheap: three boxes instead of a bell."""
    return to_pixels(to_image(p).filter(ImageFilter.GaussianBlur(radius)))


def tones(p: Array) -> Array:
    """Brightness drawn out to the full range, for styles that have nothing else, (h, w) in 0..1."""
    grey = luma(p)
    low, high = np.quantile(grey[::8, ::8], (0.01, 0.97))
    out: Array = np.clip((grey - np.float32(low)) / np.float32(max(high - low, 0.25)), 0, 1)
    return out


def outline(c: Canvas, radius: float) -> Array:
    """How fast the picture changes after a blur of `radius` pixels: 0 in flat parts, about 1 at outlines, (h, w)."""
    g = luma(c.pixels)
    low, high = np.quantile(g[::8, ::8], (0.01, 0.99))
    g = soften((g - np.float32(low)) / np.float32(max(high - low, 0.35)), radius)
    gx, gy = np.zeros_like(g), np.zeros_like(g)
    np.subtract(g[:, 2:], g[:, :-2], out=gx[:, 1:-1])
    np.subtract(g[2:], g[:-2], out=gy[1:-1])
    gx *= gx
    gy *= gy
    gx += gy
    return np.sqrt(gx) * np.float32(radius * 4.5)


def displace(p: Array, dy: Array, dx: Array) -> Array:
    """Each pixel taken from (dy, dx) away. `p` is (h, w, k)."""
    h, w = p.shape[:2]
    rows = np.clip(np.arange(h)[:, None] + dy, 0, h - 1).astype(np.intp)
    columns = np.clip(np.arange(w)[None, :] + dx, 0, w - 1).astype(np.intp)
    out: Array = np.take(p.reshape(-1, p.shape[2]), rows * w + columns, axis=0)
    return out


def patches(p: Array, radius: int) -> Array:
    """Smooth within shapes, sharp between them (Kuwahara): of four squares around it, each pixel takes the calmest."""
    box = ImageFilter.BoxBlur(radius)
    mean = to_pixels(to_image(p).filter(box))
    grey = luma(p)
    off = (grey - to_pixels(to_image(grey).filter(box))) * np.float32(4)
    # Eight bits inside: the gain keeps faint differences, the blur keeps neighbours from choosing at random.
    spread = soften(to_pixels(to_image(off * off).filter(box)), radius * 0.7)
    h, w = grey.shape
    mean = np.pad(mean, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    spread = np.pad(spread, radius, mode="edge")
    best = spread[:h, :w].copy()
    chosen = mean[:h, :w].copy()
    for y, x in ((0, 2 * radius), (2 * radius, 0), (2 * radius, 2 * radius)):
        other = spread[y : y + h, x : x + w]
        calmer = other < best
        np.copyto(chosen, mean[y : y + h, x : x + w], where=calmer[..., None])
        np.copyto(best, other, where=calmer)
    return chosen


def palette_of(image: Image.Image, count: int) -> Image.Image:
    """A palette. Small bright things keep their colour in it: a red sun counts for more than its area."""
    thumb = np.asarray(image.resize((96, 96), Image.Resampling.NEAREST)).reshape(-1, 3)
    chroma = thumb.max(axis=1).astype(int) - thumb.min(axis=1)
    loud = thumb[np.argsort(-chroma, kind="stable")[:276]]
    sample = np.concatenate([thumb, *[loud] * 8])
    return Image.fromarray(sample[: len(sample) // 96 * 96].reshape(-1, 96, 3)).quantize(count)


def flat(c: Canvas, colours: int, calm: int = 3) -> Array:
    """The picture in so many flat colours, with clean borders."""
    h, w = max(8, c.height * 512 // c.unit), max(8, c.width * 512 // c.unit)
    small = to_pixels(to_image(c.pixels).resize((min(w, c.width), min(h, c.height)), Image.Resampling.BOX))
    image = to_image(patches(small, calm))
    few = image.quantize(palette=palette_of(image, colours), dither=Image.Dither.NONE).convert("RGB")
    return to_pixels(few.resize((c.width, c.height), Image.Resampling.BICUBIC))
