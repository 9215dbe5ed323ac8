"""The sky: gradient, stars, aurora, sun and moon, clouds, and what else hangs up there."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .bodies import paint_body, paint_glow, paint_planet
from .canvas import Array, Canvas, bands, blur, enlarge, step


def paint_sky(c: Canvas) -> None:
    """Fill the whole canvas with sky, and settle where the light comes from."""
    scene = c.scene
    rng = c.rng("sky")
    _gradient(c)
    _place_light(c, rng)
    if _stars_out(c) and "impressionist" in scene.styles:
        _whorls(c)
    if _stars_out(c):
        paint_stars(c, 1.0 if "stars" in scene.sky else 0.55)
    if "milkyway" in scene.sky:
        _milky_way(c)
    if "aurora" in scene.sky:
        paint_aurora(c)
    if "planet" in scene.sky:
        paint_planet(c, "ringed-planet", 0.28, 0.27 if c.sun[0] > c.width / 2 else 0.73, 0.24)
    if "meteor" in scene.sky:
        _meteors(c)
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
    if "synthwave" in c.scene.styles:
        across, height = 0.5, 0.36
    elif c.light.height < 0.25 and {"mountain", "forest", "city", "canyon", "volcano"} & set(c.scene.places):
        height += 0.24  # a low sun clears what stands on the horizon
    room = c.horizon - 0.12 * c.unit
    c.sun = (across * c.width, max(0.13 * c.unit, c.horizon - height * room))


def _stars_out(c: Canvas) -> bool:
    scene = c.scene
    if "stars" in scene.unwanted:
        return False
    closed = {"storm", "rain", "snowfall", "fog"} & scene.weather or "overcast" in scene.sky
    return bool({"stars", "milkyway", "meteor"} & scene.sky) or (c.light.dark > 0.6 and not closed)


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
        at = (float(x[k]), float(y[k]))
        glow_spot(c, at, 1.7 * max(scale, 0.5), tint[k], 1.0 * fade[k])
        glow_spot(c, at, (4 + 6 * rng.random()) * max(scale, 0.5), tint[k], 0.20 * fade[k])


def glow_spot(
    c: Canvas, at: tuple[float, float], radius: float, colour: Array | tuple[float, ...], strength: float
) -> None:
    """A small round light with a bright heart."""
    reach = max(2.0, radius * 3)
    rows, columns, dx, dy = c.around(at, (reach, reach))
    spot = np.exp(-(dx * dx + dy * dy) / np.float32(radius * radius * 0.9)) * np.float32(strength)
    c.add(rows, spot, np.asarray(colour, np.float32), columns)


def _whorls(c: Canvas) -> None:
    """Stars as a painter of swirls sees them: rings of light, and a bright current across the sky."""
    rng = c.rng("whorls")
    h, w = c.height // 4 + 1, c.width // 4 + 1
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) * np.float32(4 / c.unit)
    sway = 0.10 * np.sin(x * 4.2 + 0.8) + 0.05 * c.fbm(rng, 2, 2, size=(h, w))
    current = np.exp(-(((y - 0.30 - sway) / 0.10) ** 2)) * (0.55 + 0.25 * np.sin((y - sway) * 90))
    field = np.clip(current, 0, 1)[..., None] * np.array((0.42, 0.66, 0.86), np.float32) * np.float32(0.75)
    for _ in range(11):
        sx, sy, r = rng.random() * c.width / c.unit, rng.uniform(0.04, 0.44), rng.uniform(0.022, 0.05)
        away = np.hypot(x - np.float32(sx), y - np.float32(sy)) / np.float32(r)
        ring = np.exp(-away * 1.1) * (0.75 + 0.25 * np.cos(away * 7))
        field += np.clip(ring, 0, 1)[..., None] * np.array((1.0, 0.86, 0.36), np.float32)
    fade = np.clip((c.horizon / c.unit - y) * 8, 0, 1)[..., None]
    glow = enlarge((np.clip(field, 0, 1) * fade).astype(np.float32), c.width, c.height)
    c.pixels += glow * (1 - np.minimum(c.pixels, 1))


def _milky_way(c: Canvas) -> None:
    """A slanting band of faint light, its middle split by dust."""
    rng = c.rng("milky way")
    h, w = size = (c.height // 3 + 1, c.width // 3 + 1)
    cloud, dust = c.fbm(rng, 3.0, 5, size=size), c.fbm(rng, 5.0, 5, size=size)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) * np.float32(3 / c.unit)
    lean = rng.uniform(0.5, 0.9) * (1 if rng.random() < 0.5 else -1)
    across = (x - c.width / c.unit / 2) - lean * (y - 0.35) + 0.03 * cloud
    rift = np.exp(-((across + 0.035 * dust) ** 2) / 0.003) * step(-0.4, 0.9, dust)
    band = np.exp(-(across**2) / 0.028) * np.clip(0.75 + 0.2 * cloud, 0.2, 1.3) * (1 - 0.75 * rift)
    core = enlarge(band * np.clip(1.2 - y * c.unit / max(c.horizon, 1), 0, 1), c.width, c.height)
    c.add(slice(None), core * 0.42, (0.72, 0.70, 0.98))
    c.add(slice(None), core**3 * 0.16, (1.0, 0.76, 0.70))
    sparkle = rng.random((c.height, c.width), dtype=np.float32) > 0.994
    c.add(slice(None), core * sparkle * np.float32(0.75), (1.0, 0.97, 0.95))


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


def _meteors(c: Canvas) -> None:
    """Streaks of light that fade backward, each with a bright head."""
    rng = c.rng("meteor")
    sheet = Image.new("L", (c.width, c.height))
    draw = ImageDraw.Draw(sheet)
    for _ in range(3):
        x, y = rng.uniform(0.15, 0.85) * c.width, rng.uniform(0.08, 0.42) * c.horizon
        length = c.unit * rng.uniform(0.12, 0.34)
        for t in np.linspace(1, 0, 30):
            r = max(0.6, c.unit / 400 * (1 - t))
            at = (x + length * t, y - 0.46 * length * t)
            draw.line((x, y, *at), fill=int(255 * (1 - t)), width=round(r))
        glow_spot(c, (x, y), c.unit / 110, (1, 1, 1), 0.95)
    streak = np.asarray(sheet, np.float32) / 255
    c.add(slice(None), streak + blur(streak, c.unit / 170), (0.8, 0.9, 1.0))


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
    elif {"stars", "milkyway", "aurora", "meteor"} & scene.sky or light.dark > 0.6:
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
    if "milkyway" in scene.sky and cover < 0.2:
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
    toward = np.roll(density, (shift if light.height > 0.4 else -(shift // 2), int(-c.side() * shift)), (0, 1))
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
