"""High ground that stands alone: table rocks, a volcano. Ranges are in `alps`."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas, bands, blur, enlarge, mix, smooth_values, step
from .land import RED_ROCK, ROCK, SNOW, ground_colour, snowy


def _massif(c: Canvas, rng: np.random.Generator, line: Array, *, base: float, distance: float, size: float) -> None:
    """One range with lit and shaded faces and, high up, snow. Its feet stand in haze."""
    first, last = max(0, int(line.min())), min(c.height, int(base + 0.05 * c.unit))
    if last <= first:
        return
    light, h = c.light, last - first
    rows = np.arange(first, last, dtype=np.float32)[:, None]
    depth = rows - line[None, :]
    lit, streak = _faces(c, rng, line, depth)
    if c.flat:
        c.cast(line)
        lit, streak = np.full_like(lit, 0.6), np.zeros_like(streak)
    bare = {"desert", "canyon", "volcano"} & set(c.scene.places)
    rock = RED_ROCK if "canyon" in c.scene.places else (0.34, 0.28, 0.28) if "volcano" in c.scene.places else ROCK
    if c.scene.place_tint is not None:
        rock = c.scene.place_tint
    bright = light.on(mix(rock, (1.0, 0.95, 0.88), 0.25), distance)
    dim = light.on(mix(rock, (0.10, 0.13, 0.25), 0.60), distance)
    cap: Array | None = None
    white = blue = bright
    if not bare:
        low = 0.80 if snowy(c) else 0.34
        lower = np.clip((line - line.min()) / size, 0, 1)[None, :]
        cap = step(-0.05, 0.05, low - depth / size + 0.09 * streak - lower * (0.35 if snowy(c) else 0.85))
        shine = np.float32(1.0 + 0.75 * light.dark)
        white, blue = light.on(np.asarray(SNOW) * shine, distance * 0.7), light.on((0.50, 0.58, 0.77), distance * 0.8)
    foot = np.clip((rows - first) / max(h, 1), 0, 1)[..., None] ** 2.0
    foot = (foot * np.float32(0.30 + 0.60 * distance)).astype(np.float32)
    for band in bands(h):
        shine_here = lit[band, :, None]
        colour = dim + (bright - dim) * shine_here
        if cap is not None:
            colour += (blue + (white - blue) * shine_here - colour) * cap[band, :, None]
        colour += (np.asarray(light.haze, np.float32) - colour) * foot[band]
        rows_here = slice(first + band.start, first + band.stop)
        c.lay(rows_here, np.clip(depth[band] + np.float32(0.5), 0, 1), colour)
    c.pixels[last:] = mix(light.haze, light.on(ground_colour(c), 0.5), 0.25)


def _faces(c: Canvas, rng: np.random.Generator, line: Array, depth: Array) -> tuple[Array, Array]:
    """How much light each spot of a range catches (0..1), and the streaks that run down its sides."""
    h, w = depth.shape
    reach = max(2, int(0.016 * c.unit))
    kernel = np.hanning(reach * 2 + 1)[1:-1].astype(np.float32)
    smooth = np.convolve(np.pad(line, reach - 1, mode="edge"), kernel / kernel.sum(), "valid")[:w]
    slope = np.gradient(smooth).astype(np.float32)
    span = (h / c.unit, w / c.unit)
    streaks = c.fbm(rng, 11.0, 4, size=(h, w), span=(span[0] * 0.42, span[1]), gain=0.62)
    x = np.arange(w, dtype=np.float32)[None, :]
    below = np.clip(depth, 0, None)
    # Spurs run down the side they stand on, so the texture is sheared by the slope above it.
    lean = np.tanh(slope * 2.2)[None, :] * np.float32(0.8)
    columns = np.clip(x - lean * below, 0, w - 1).astype(np.intp)
    streak = np.take_along_axis(streaks, columns, axis=1)
    # The crease between the two sides of a peak wanders as it descends.
    wander = smooth_values(rng, below[:, w // 2] / c.unit * 22 + 3) * np.float32(0.010 * c.unit)
    facing = slope[np.clip(x + wander[:, None] + streak * below * 0.05, 0, w - 1).astype(np.intp)]
    lit = 1 / (1 + np.exp(np.float32(c.side()) * facing * np.float32(-5.0) - 1.15 * streak))
    return lit, streak


def mesas(c: Canvas, base: float) -> None:
    """Flat-topped rocks in layers, with banded walls."""
    rng = c.rng("mesas")
    x = np.arange(c.width, dtype=np.float32)
    for k in range(3):
        t = k / 2
        distance = 0.80 - 0.60 * t
        foot = np.float32(base + 0.035 * c.unit * k)
        line = np.full(c.width, foot, np.float32)
        ragged = 0.05 * c.line(rng, 14, 4)
        for _ in range((5, 4, 2)[k]):
            centre, half = rng.uniform(-0.05, 1.05) * c.width, rng.uniform(0.035, 0.14) * c.unit * (0.8 + 0.4 * t)
            height = rng.uniform(0.10, 0.30) * c.unit * (0.75 + 0.35 * t)
            off = np.abs(x - np.float32(centre)) / np.float32(half) + ragged
            wall = (
                np.clip((1.0 - off) * 8, 0, 1) * 0.56
                + np.clip((1.28 - off) * 3.4, 0, 1) * 0.12
                + np.clip((2.5 - off) / 1.5, 0, 1) ** 1.5 * 0.32
            )
            line = np.minimum(line, foot - np.float32(height) * wall)
        line = (line + 0.003 * c.unit * c.line(rng, 30, 3)).astype(np.float32)
        first, last = max(0, int(line.min())), min(c.height, int(base + 0.07 * c.unit))
        h = last - first
        rows = np.arange(first, last, dtype=np.float32)[:, None] / c.unit
        span = (h / c.unit, c.width / c.unit)
        rough = c.fbm(rng, 10, 4, size=(h, c.width), span=span, wide=0.6)
        levels = smooth_bands(rng, np.clip((rows + 0.006 * rough) * 60, 0, 190))
        tone = np.clip(0.52 + 0.20 * levels + 0.17 * rough, 0, 1)[..., None]
        bright, dim = c.light.on((0.92, 0.55, 0.35), distance), c.light.on((0.46, 0.20, 0.17), distance)
        colour = dim + (bright - dim) * tone
        fade = np.clip((rows * c.unit - first) / max(h, 1), 0, 1)[..., None] ** 2
        colour += (np.asarray(c.light.haze, np.float32) - colour) * (fade * np.float32(0.55 * distance + 0.05))
        c.lay(slice(first, last), c.under(line, first, last), colour)
        c.pixels[last:] = c.light.on(RED_ROCK, distance * 0.8)


def smooth_bands(rng: np.random.Generator, at: Array) -> Array:
    """Strata: random values along `at` (0..190), joined smoothly."""
    knots = rng.standard_normal(192).astype(np.float32)
    return np.interp(at, np.arange(192), knots).astype(np.float32)


def volcano(c: Canvas, base: float) -> None:
    """A cone with a lit crater, lava down its side and a plume."""
    rng = c.rng("volcano")
    x = np.arange(c.width, dtype=np.float32)
    centre = c.width * (0.5 - 0.12 * c.side())
    tall, crater = 0.36 * c.unit, 0.055 * c.unit
    off = np.maximum(np.abs(x - np.float32(centre)) - np.float32(crater), 0)
    line = base - tall * np.exp(-off / (0.24 * c.unit)) + 0.006 * c.unit * c.line(rng, 12, 4)
    peak = float(line.min())
    _plume(c, rng, centre, peak, crater)
    _massif(c, rng, line.astype(np.float32), base=base, distance=0.28, size=tall)
    first, last = max(0, int(peak)), min(c.height, int(base + 0.02 * c.unit))
    rows = np.arange(first, last, dtype=np.float32)[:, None]
    t = (rows - peak) / tall
    glow = np.zeros((last - first, c.width), np.float32)
    for k in range(3):
        path = (
            centre
            + (k - 1) * crater * 0.8
            + c.unit * (k - 0.9) * 0.11 * t
            + 0.012 * c.unit * smooth_values(rng, t[:, 0] * 9)[:, None]
        )
        width = c.unit * (0.006 + 0.003 * (1 - t))
        glow += np.exp(-(((x[None, :] - path) / width) ** 2)) * np.clip(1.15 - t * (1.2 + 0.3 * k), 0, 1)
    inside = np.clip(rows - line[None, :], 0, 1)
    c.add(slice(first, last), blur(glow, 0.02 * c.unit) * np.float32(0.9), (1.0, 0.26, 0.05))
    c.lay(slice(first, last), np.clip(glow * 1.4, 0, 1) * inside, (1.0, 0.62, 0.18))


def _plume(c: Canvas, rng: np.random.Generator, centre: float, peak: float, crater: float) -> None:
    bottom = int(peak + 0.02 * c.unit)
    if bottom < 8:
        return
    h, w = bottom // 2, c.width // 2
    noise = c.fbm(rng, 4.2, 5, size=(h, w), span=(bottom / c.unit, c.width / c.unit))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) * 2
    up = np.clip((peak - y) / c.unit, 0, None)
    path = centre - c.side() * up * up * 0.55 * c.unit
    width = crater * 0.8 + up * 0.30 * c.unit
    body = np.exp(-(((x - path) / width) ** 2)) * 1.3 + noise * 0.28 - 0.42
    mask = enlarge(step(0.0, 0.5, body) * np.float32(0.9), c.width, bottom)
    warm = enlarge(np.clip(1 - up * 4.5, 0, 1) * step(0, 0.6, body), c.width, bottom)[..., None]
    tone = enlarge(np.clip(0.5 + 0.3 * noise, 0, 1), c.width, bottom)[..., None]
    smoke = mix(c.light.shade, (0.1, 0.09, 0.1), 0.55) * (1 - tone) + mix(c.light.cloud, (0.4, 0.36, 0.36), 0.5) * tone
    c.lay(slice(0, bottom), mask, smoke + warm * np.array((0.85, 0.25, 0.05), np.float32))
