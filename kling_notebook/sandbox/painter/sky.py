"""The sky and outer space: gradient, stars, aurora, sun and moon, clouds, nebulae."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas, bands, enlarge, mix, step
from .illustrations import render_drawing
from .shadows import lay_sheet


def paint_sky(c: Canvas) -> None:
    """Fill the whole canvas with sky, and settle where the light comes from."""
    scene = c.scene
    _gradient(c)
    _place_light(c, c.rng("sky"))
    if _stars_out(c):
        paint_stars(c, 1.0 if "stars" in scene.sky else 0.55)
    if "aurora" in scene.sky:
        paint_aurora(c)
    if "planet" in scene.sky:
        paint_planet(c, "ringed-planet", 0.28, 0.27 if c.sun[0] > c.width / 2 else 0.73, 0.24)
    paint_glow(c)
    if "rainbow" not in scene.sky:
        paint_body(c)  # a rainbow stands opposite the sun: with one, the sun is behind the viewer
    _clouds(c)
    if "rainbow" in scene.sky:
        paint_rainbow(c)


def _gradient(c: Canvas) -> None:
    light = c.light
    stops = np.array([light.zenith, light.middle, light.horizon], np.float32)
    if c.scene.sky_tint is not None:
        # The colour is the middle of the sky; toward the horizon it pales, as skies do.
        tint, level = np.array(c.scene.sky_tint, np.float32), stops.mean(axis=1, keepdims=True)
        pale = np.array([0.0, 0.34, 0.66], np.float32)[:, None] * min(1.0, 1.4 - light.dark)
        asked = (tint + (1 - tint) * pale) * (np.float32(0.45) + np.float32(0.62) * level)
        stops += (asked - stops) * np.float32(0.8)
    at = np.arange(c.height, dtype=np.float32) / max(c.horizon, 1)
    column = np.stack([np.interp(at, (0.0, 0.58, 1.0), stops[:, k]) for k in range(3)], axis=-1).astype(np.float32)
    # Rounds off the corner between the two straight slopes.
    width = max(3, c.height // 6) | 1
    kernel = np.hanning(width + 2)[1:-1].astype(np.float32)
    kernel /= kernel.sum()
    padded = np.pad(column, ((width // 2, width // 2), (0, 0)), mode="edge")
    column = np.stack([np.convolve(padded[:, k], kernel, "valid") for k in range(3)], axis=-1)
    c.pixels[:] = column[:, None, :]


def _place_light(c: Canvas, rng: np.random.Generator) -> None:
    across = rng.uniform(0.16, 0.36)
    across = across if rng.random() < 0.5 else 1 - across
    height = c.light.height * rng.uniform(0.88, 1.1)
    if c.light.height < 0.25 and {"mountain", "forest", "city", "canyon"} & set(c.scene.places):
        height += 0.24  # a low sun clears what stands on the horizon
    room = c.horizon - 0.12 * c.unit
    c.sun = (across * c.width, max(0.13 * c.unit, c.horizon - height * room))


def _stars_out(c: Canvas) -> bool:
    scene = c.scene
    if "stars" in scene.unwanted:
        return False
    closed = {"storm", "rain", "snowfall", "fog"} & scene.weather or "overcast" in scene.sky
    return "stars" in scene.sky or (c.light.dark > 0.6 and not closed)


def paint_stars(c: Canvas, density: float) -> None:
    """Stars of a few sizes and tints; fewer and fainter toward the horizon."""
    rng = c.rng("stars")
    area = c.width * c.height / c.unit**2
    count = int(1500 * density * area)
    x, y = rng.random(count) * (c.width - 3), rng.random(count) ** 1.15 * (c.height - 3)
    bright = rng.random(count) ** 4 * 0.9 + 0.12
    tint = np.stack([1 - 0.25 * rng.random(count), np.full(count, 0.93), 1 - 0.3 * rng.random(count)], -1)
    fade = np.clip(1.15 - y / max(c.horizon, 1), 0, 1) * (0.45 + 0.55 * c.light.dark)
    scale = c.unit / 1024
    light = ((bright * fade)[:, None] * tint).astype(np.float32)
    size = max(1, round(scale * 1.6))
    for dy, dx in np.ndindex(size, size):
        c.pixels[np.minimum(y.astype(int) + dy, c.height - 1), np.minimum(x.astype(int) + dx, c.width - 1)] += light
    for k in np.argsort(-(bright * fade))[: int(26 * density * area)]:
        for across, strength in ((1.7, 1.0), (4 + 6 * rng.random(), 0.20)):
            radius = across * max(scale, 0.5)
            rows, columns, dx, dy = c.around((float(x[k]), float(y[k])), (3 * radius, 3 * radius))
            spot = np.exp(-(dx * dx + dy * dy) / np.float32(radius * radius * 0.9)) * np.float32(strength * fade[k])
            c.add(rows, spot, tint[k], columns)


def paint_aurora(c: Canvas) -> None:
    """Curtains of green and violet light."""
    rng = c.rng("aurora")
    h, w = max(2, c.horizon // 2), c.width // 2
    rows = np.arange(h, dtype=np.float32)[:, None] / h
    total = np.zeros((h, w, 3), np.float32)
    green, violet, teal = (np.array(k, np.float32) for k in ((0.25, 1.0, 0.52), (0.66, 0.28, 0.95), (0.1, 0.85, 0.8)))
    for k in range(3):
        sway = c.line(rng, 1.1 + 0.5 * k, 3)[::2][:w]
        foot = np.float32(0.74 - 0.17 * k) + np.float32(0.13) * sway
        fine = np.clip(0.66 + 0.3 * c.line(rng, 16, 4, 0.75)[::2][:w], 0.12, 1.3)
        strength = np.clip(0.62 + 0.5 * c.line(rng, 1.4, 2)[::2][:w], 0.0, 1.25) * fine * np.float32(0.95 - 0.22 * k)
        reach = (np.float32(0.30) + np.float32(0.06) * c.line(rng, 4, 2)[::2][:w])[None, :]
        up = (foot[None, :] - rows) / reach
        curtain = np.where(up > 0, np.exp(-1.9 * np.maximum(up, 0)), np.exp(7 * np.minimum(up, 0))) * strength[None, :]
        tone = np.clip(up * 0.62, 0, 1)[..., None]
        base = green if k != 1 else teal
        total += curtain[..., None] * (base * (1 - tone) + violet * tone)
    glow = enlarge(np.clip(total, 0, 1.4), c.width, c.horizon)
    block = c.pixels[: c.horizon]
    block += glow * np.float32(0.8) * (1 - np.minimum(block, 1))


def paint_rainbow(c: Canvas) -> None:
    """A bow over the horizon, opposite the sun."""
    y, x = np.mgrid[0 : c.height // 2 + 1, 0 : c.width // 2 + 1].astype(np.float32) * 2
    middle = (c.width * (0.5 - 0.12 * c.side()), c.horizon * 1.12)
    t = (np.hypot(x - np.float32(middle[0]), y - np.float32(middle[1])) / c.unit - 0.52) / 0.062
    inside = np.clip(np.minimum(t, 1 - t) * 5, 0, 1) * np.clip(1.2 - y / c.height, 0, 1) * np.float32(0.42)
    stripes = np.array([(0.62, 0.3, 0.95), (0.2, 0.7, 0.8), (1, 0.95, 0.3), (1, 0.25, 0.25)], np.float32)
    colour = np.stack([np.interp(t, np.linspace(0, 1, 4), stripes[:, k]) for k in range(3)], -1)
    field = enlarge((colour * inside[..., None]).astype(np.float32), c.width, c.height)
    c.pixels += field * (1 - 0.55 * np.minimum(c.pixels, 1))


def _cover(c: Canvas) -> float:
    """How much of the sky is cloud, 0..1."""
    scene, light = c.scene, c.light
    cover = 0.40
    if "clouds" in scene.sky:
        cover = 0.70
    if {"storm", "rain", "snowfall"} & scene.weather or "overcast" in scene.sky:
        cover = 0.95
    elif {"stars", "aurora"} & scene.sky or light.dark > 0.6:
        cover = 0.16 if "clouds" not in scene.sky else 0.5
    return cover


def _clouds(c: Canvas) -> None:
    """Clouds lit from where the light stands: thick ones shade themselves."""
    scene, light = c.scene, c.light
    if "clouds" in scene.unwanted or "clear" in scene.sky:
        return
    cover = _cover(c)
    if scene.drawn and cover < 0.5:  # soft clouds would become scribbles
        return
    rng = c.rng("clouds")
    h, w = max(8, c.horizon // 2), c.width // 2
    tall = c.horizon / c.unit
    span = (tall, c.width / c.unit)
    base = c.fbm(rng, 1.6, 3, size=(h, w), wide=1.9, gain=0.5, span=span)
    base = (base - base.mean()) / np.float32(base.std() + 0.1)  # the cover is asked for, not left to the dice
    puffs = np.abs(c.fbm(rng, 5.0, 5, size=(h, w), wide=1.4, gain=0.52, span=span)) - 0.75
    rows = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    bank = np.float32(1.5 * (cover - 0.60)) + 0.22 * np.cos((rows - 0.62) * 3.6)
    density = base * 0.50 + puffs * (0.0 if scene.drawn else 0.42) + bank
    shift = max(1, int(0.028 * c.unit / 2))
    down, right = shift if light.height > 0.4 else -(shift // 2), int(-c.side() * shift)
    padded = np.pad(density, shift, mode="edge")  # what lies beyond an edge is like the edge, not like the other side
    toward = padded[shift - down : shift - down + h, shift - right : shift - right + w]
    lit = np.clip(0.55 + 0.9 * (density - toward), 0, 1)
    mask = step(0.0, 0.62, density) * np.clip((1.02 - rows) * 3.2, 0.15, 1)
    if cover < 0.9:
        # What shines keeps its window.
        y = np.linspace(0, c.horizon, h, dtype=np.float32)[:, None] - np.float32(c.sun[1])
        x = np.linspace(0, c.width, w, dtype=np.float32)[None, :] - np.float32(c.sun[0])
        mask *= 1 - np.float32(0.85) * np.exp(-(x * x + y * y) / np.float32((0.16 * c.unit) ** 2))
    else:
        mask = np.maximum(mask, 0.35)
    lit = lit * (1 - 0.45 * step(0.3, 1.3, density))
    if scene.drawn:  # plain shapes with an outline
        mask, lit = step(0.62, 0.68, mask), np.full_like(lit, 0.6)
    if "fog" in scene.weather:
        mask *= np.float32(0.3)
    mask, lit = enlarge(mask * np.float32(0.93), c.width, c.horizon), enlarge(lit, c.width, c.horizon)
    shade, bright = np.asarray(light.shade, np.float32), np.asarray(light.cloud, np.float32)
    for band in bands(c.horizon):
        c.lay(band, mask[band], shade + (bright - shade) * lit[band, :, None])


_GASES = (
    ((0.16, 0.08, 0.36), (0.80, 0.24, 0.50), (1.0, 0.72, 0.50)),
    ((0.05, 0.14, 0.34), (0.14, 0.56, 0.72), (0.86, 0.60, 0.92)),
    ((0.22, 0.06, 0.18), (0.86, 0.36, 0.22), (0.40, 0.72, 0.86)),
)


def deep_space(c: Canvas) -> None:
    """A nebula among stars, and a ringed planet or the moon."""
    rng = c.rng("space")
    c.sun = (c.width * (0.22 if rng.random() < 0.5 else 0.78), c.height * 0.2)
    horizon, c.horizon = c.horizon, int(c.height * 1.6)
    c.pixels[:] = (0.012, 0.014, 0.035)
    _nebula(c, rng)
    if "stars" not in c.scene.unwanted:
        paint_stars(c, 1.5)
    if {"moon", "crescent", "sun"} & c.scene.sky:
        c.sun = (c.width * (0.70 if c.sun[0] > c.width / 2 else 0.30), c.height * 0.30)
        paint_body(c)
    elif "planet" not in c.scene.unwanted:
        across = 0.27 if c.sun[0] < c.width / 2 else 0.73
        paint_planet(c, "ringed-planet", 0.24 if c.scene.subjects else 0.32, across, 0.25)
    c.horizon = horizon


def _nebula(c: Canvas, rng: np.random.Generator) -> None:
    """Gas that glows along a band, bent by noise, with dust before it."""
    h, w = size = (c.height // 3 + 1, c.width // 3 + 1)
    low, middle, high = (np.array(k, np.float32) for k in _GASES[int(rng.integers(len(_GASES)))])
    warp = c.fbm(rng, 1.7, 4, size=size)
    y, x = np.mgrid[0:h, 0:w]
    reach = np.float32(0.09 * c.unit / 3)
    rows = np.clip(y + warp * reach, 0, h - 1).astype(np.intp)
    columns = np.clip(x + c.fbm(rng, 1.7, 4, size=size) * reach, 0, w - 1).astype(np.intp)
    gas, fine = (c.fbm(rng, cells, 5, size=size, gain=0.6)[rows, columns] for cells in (1.3, 5.0))
    u, v = (x - w / 2) * np.float32(3 / c.unit), (y - h / 2) * np.float32(3 / c.unit)
    band = np.exp(-((v - rng.uniform(-0.8, 0.8) * u) ** 2) / 0.14)
    amount = np.clip(step(-0.9, 2.1, gas + 0.35 * fine) * (0.10 + 0.90 * band), 0, 1)[..., None]
    glow = low * amount + middle * amount**2.2 * 0.62 + high * amount**5 * 0.75
    dust = step(0.0, 1.3, warp + 0.5 * fine)[..., None] * np.float32(0.62)
    c.pixels += enlarge((glow * (1 - dust)).astype(np.float32), c.width, c.height)


def _shows_body(c: Canvas) -> str | None:
    """Which of sun, moon, crescent is in the sky."""
    scene = c.scene
    asked = next((name for name in ("crescent", "moon", "sun") if name in scene.sky), None)
    if asked == "sun" or (asked and "moon" not in scene.unwanted):
        return asked
    if scene.weather & {"storm", "rain", "snowfall"} or "overcast" in scene.sky:
        return None
    usual = "moon" if scene.time in {"night", "blue"} else "sun"
    if usual in scene.unwanted or scene.time in {"blue", "noon", "dusk"}:
        return None
    return None if usual == "moon" and {"aurora", "planet"} & scene.sky else usual


def paint_glow(c: Canvas) -> None:
    """The brightening of the air around the light, wide and soft."""
    strength = c.light.glow
    if _shows_body(c) is None and c.scene.time in {"night", "noon"}:
        return
    if "sun" in c.scene.unwanted:
        strength *= 0.5
    y, x = np.mgrid[0 : c.height // 4 + 1, 0 : c.width // 4 + 1].astype(np.float32) * 4
    dx, dy = (x - np.float32(c.sun[0])) / c.unit, (y - np.float32(c.sun[1])) / c.unit
    wide = np.exp(-(dx * dx * 1.1 + dy * dy * 2.6) / 0.16) * np.float32(0.55 * strength)
    near = np.exp(-np.hypot(dx, dy) / 0.075) * np.float32(0.5 * strength)
    c.add(slice(None), enlarge(wide + near, c.width, c.height), mix(c.light.sun, c.light.horizon, 0.3))


def paint_body(c: Canvas) -> None:
    """The sun, the moon, or neither."""
    name = _shows_body(c)
    if name == "sun":
        _sun(c)
    elif name:
        _moon(c, full=name == "moon")


def _sun(c: Canvas) -> None:
    low = c.light.height < 0.25
    radius = c.unit * (0.050 if low else 0.042) * (1.35 if "sun" in c.scene.sky else 1.0)
    rows, columns, dx, dy = c.around(c.sun, (6 * radius, 6 * radius))
    away = np.hypot(dx, dy)
    halo = np.clip(np.exp(-np.maximum(away - radius, 0) / (radius * 1.2)) - 0.016, 0, 1)
    c.add(rows, halo * np.float32(0.6), c.light.sun, columns)
    if low:  # a low sun has no hard edge: its light spills over it
        c.add(rows, np.exp(-((away / (radius * 1.5)) ** 2)) * np.float32(0.7), (1.0, 0.93, 0.72), columns)
    disc = np.clip(radius - away + 0.5, 0, 1) * (0.55 if "fog" in c.scene.weather else 1.0)
    face: Array = mix(c.light.sun, (1, 1, 0.96), 0.55)
    if c.scene.body_tint is not None:
        face = np.asarray(c.scene.body_tint, np.float32)
    c.lay(rows, disc, face, columns)


def _moon(c: Canvas, *, full: bool) -> None:
    rng = c.rng("moon")
    radius = c.unit * (0.085 if {"moon", "crescent"} & c.scene.sky else 0.055)
    rows, columns, dx, dy = c.around(c.sun, (6 * radius, 6 * radius))
    away = np.hypot(dx, dy)
    halo = np.exp(-np.maximum(away - radius, 0) / (radius * 1.1)) * np.float32(0.34 if full else 0.22)
    c.add(rows, halo, (0.72, 0.82, 1.0), columns)
    span = (away.shape[0] / c.unit, away.shape[1] / c.unit)
    seas = step(0.05, 1.1, c.fbm(rng, 0.16 / (radius / c.unit) * 1.6, 4, size=away.shape, span=span))
    rim = 0.12 * np.clip(away / radius, 0, 1) ** 3
    face = np.array((0.98, 0.97, 0.91), np.float32) * ((1 - 0.2 * seas) * (1 - rim))[..., None]
    if c.scene.body_tint is not None:
        face = face * mix(c.scene.body_tint, (1, 1, 1), 0.15)
    disc = np.clip(radius - away + 0.5, 0, 1)
    if not full:
        shadow = np.hypot(dx + np.float32(0.5 * c.side() * radius), dy - np.float32(0.18 * radius))
        disc = disc * np.clip(shadow - radius * 0.92 + 0.5, 0, 1)
    c.lay(rows, disc, face, columns)


def paint_planet(c: Canvas, name: str, size: float, across: float, down: float) -> None:
    """A planet of the published set: its height in units, its middle in fractions of the canvas, shaded by the sun."""
    pixels, alpha = render_drawing(name, round(size * c.unit))
    h, w = alpha.shape
    shade = np.clip(0.62 + 0.55 * c.side() * np.linspace(-1, 1, w, dtype=np.float32), 0.12, 1)[None, :, None]
    lay_sheet(c, (round(across * c.width - w / 2), round(down * c.height - h / 2)), alpha, pixels * shade)
