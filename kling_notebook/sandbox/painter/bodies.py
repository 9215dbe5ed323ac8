"""Sun, moon, eclipse and planets, and the glow around what shines."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas, enlarge, mix, step


def _shows_body(c: Canvas) -> str | None:
    """Which of sun, moon, crescent, eclipse is in the sky."""
    scene = c.scene
    asked = next((name for name in ("eclipse", "crescent", "moon", "sun") if name in scene.sky), None)
    if asked in {"crescent", "moon"} and "moon" in scene.unwanted:
        asked = None
    if asked is not None:
        return asked
    if "storm" in scene.weather or "overcast" in scene.sky or {"rain", "snowfall"} & scene.weather:
        return None
    if "synthwave" in scene.styles and "sun" not in scene.unwanted:
        return "sun"
    usual = "moon" if scene.time in {"night", "blue"} else "sun"
    if usual in scene.unwanted or scene.time in {"blue", "noon", "dusk"}:
        return None
    if usual == "moon" and {"milkyway", "aurora", "meteor", "planet"} & scene.sky:
        return None
    return usual


def _distance(c: Canvas, reach: float) -> tuple[slice, slice, Array]:
    """Rows, columns and distances (pixels) around the light."""
    x, y = c.sun
    rows = slice(max(0, int(y - reach)), min(c.height, int(y + reach)))
    columns = slice(max(0, int(x - reach)), min(c.width, int(x + reach)))
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)
    return rows, columns, np.sqrt(dx * dx + dy * dy)


def paint_glow(c: Canvas) -> None:
    """The brightening of the air around the light, wide and soft."""
    body = _shows_body(c)
    strength = c.light.glow
    if strength < 0.05 or "synthwave" in c.scene.styles or (body is None and c.scene.time in {"night", "noon"}):
        return
    if body is None and "sun" in c.scene.unwanted:
        strength *= 0.5
    h, w = c.height // 4 + 1, c.width // 4 + 1
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) * 4
    dx, dy = (x - np.float32(c.sun[0])) / c.unit, (y - np.float32(c.sun[1])) / c.unit
    wide = np.exp(-(dx * dx * 1.1 + dy * dy * 2.6) / 0.16) * np.float32(0.55 * strength)
    near = np.exp(-np.sqrt(dx * dx + dy * dy) / 0.075) * np.float32(0.5 * strength)
    field = enlarge(wide + near, c.width, c.height)
    c.add(slice(None), field, mix(c.light.sun, c.light.horizon, 0.3))


def paint_rings(c: Canvas) -> None:
    """A sky of plain rings around the light, for pictures made of flat pieces."""
    light = c.light
    x, y = c.sun
    dy = np.arange(c.height, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(c.width, dtype=np.float32)[None, :] - np.float32(x)
    away = np.sqrt(dx * dx + dy * dy) / c.unit
    edge = away / np.float32(0.17)
    ring = np.clip(np.floor(edge), 0, 6)
    inner, outer = mix(light.horizon, light.sun, 0.2), mix(light.zenith, light.middle, 0.35)
    table = np.stack([mix(mix(inner, light.middle, min(1.0, k / 3)), outer, k / 6) for k in range(8)]).astype(
        np.float32
    )
    colour = table[ring.astype(np.intp)]
    if c.scene.sky_tint is not None:
        colour = mix(colour, c.scene.sky_tint, 0.6)
    part = edge - ring
    blend = np.clip(part * np.float32(0.17 * c.unit), 0, 1)[..., None]
    colour = table[np.maximum(ring - 1, 0).astype(np.intp)] * (1 - blend) + colour * blend
    if "papercut" in c.scene.styles:
        # Each ring lies behind the next one out: its outer rim is in shadow.
        colour = colour * (1 - 0.30 * np.exp(-(1 - part) / 0.10) * (ring < 6))[..., None]
    c.pixels[:] = colour


def paint_body(c: Canvas) -> None:
    match _shows_body(c):
        case "sun":
            _sun(c)
        case "moon":
            _moon(c, full=True)
        case "crescent":
            _moon(c, full=False)
        case "eclipse":
            _eclipse(c)
        case _:
            pass


def _sun(c: Canvas) -> None:
    low = c.light.height < 0.25
    radius = c.unit * (0.050 if low else 0.042) * (1.35 if "sun" in c.scene.sky else 1.0)
    if "synthwave" in c.scene.styles:
        radius = c.unit * 0.23
    rows, columns, away = _distance(c, radius * 6)
    c.add(
        rows,
        np.clip(np.exp(-np.maximum(away - radius, 0) / (radius * 1.2)) - 0.016, 0, 1) * np.float32(0.6),
        c.light.sun,
        columns,
    )
    if low and "synthwave" not in c.scene.styles:
        # A low sun has no hard edge: its light spills over it.
        c.add(rows, np.exp(-((away / (radius * 1.5)) ** 2)) * np.float32(0.7), (1.0, 0.93, 0.72), columns)
    disc = np.clip(radius - away + 0.5, 0, 1) * (0.55 if "fog" in c.scene.weather else 1.0)
    face: Array = mix(c.light.sun, (1, 1, 0.96), 0.55)
    if c.scene.body_tint is not None:
        face = np.asarray(c.scene.body_tint, np.float32)
    if "synthwave" in c.scene.styles:
        t = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(c.sun[1])) / radius
        gap = (np.sin(t * 22) > 0.55 - 0.75 * np.clip(t, 0, 1)) & (t > -0.1)
        disc = disc * np.where(gap, np.float32(0.0), np.float32(1.0))
        face = (
            np.array((1.0, 0.95, 0.45)) * (1 - np.clip(t * 0.5 + 0.5, 0, 1))[..., None]
            + np.array((1.0, 0.35, 0.55)) * np.clip(t * 0.5 + 0.5, 0, 1)[..., None]
        )
    c.lay(rows, disc, face, columns)


def _moon(c: Canvas, *, full: bool) -> None:
    rng = c.rng("moon")
    asked = {"moon", "crescent"} & c.scene.sky
    radius = c.unit * (0.085 if asked else 0.055)
    rows, columns, away = _distance(c, radius * 6)
    halo = np.exp(-np.maximum(away - radius, 0) / (radius * 1.1)) * np.float32(0.34 if full else 0.22)
    c.add(rows, halo, (0.72, 0.82, 1.0), columns)
    disc = np.clip(radius - away + 0.5, 0, 1)
    span = (away.shape[0] / c.unit, away.shape[1] / c.unit)
    seas = step(0.05, 1.1, c.fbm(rng, 0.16 / (radius / c.unit) * 1.6, 4, size=away.shape, span=span))
    face = np.array((0.98, 0.97, 0.91), np.float32) * (1 - 0.2 * seas[..., None])
    face = face * (1 - 0.12 * np.clip(away / radius, 0, 1) ** 3)[..., None]
    if c.scene.body_tint is not None:
        face = face * mix(c.scene.body_tint, (1, 1, 1), 0.15)
    if not full:
        x, y = c.sun
        dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y + 0.18 * radius)
        side = -c.side()
        dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x + side * 0.5 * radius)
        shadow = np.clip(np.sqrt(dx * dx + dy * dy) - radius * 0.92 + 0.5, 0, 1)
        disc = disc * shadow
    c.lay(rows, disc, face, columns)


def _eclipse(c: Canvas) -> None:
    radius = c.unit * 0.075
    rows, columns, away = _distance(c, radius * 7)
    rays = np.exp(-np.maximum(away - radius, 0) / (radius * 0.55))
    c.add(rows, rays * np.float32(0.95), (1.0, 0.93, 0.8), columns)
    c.add(rows, np.exp(-np.maximum(away - radius, 0) / (radius * 1.9)) * np.float32(0.45), c.light.sun, columns)
    c.lay(rows, np.clip(radius - away + 0.5, 0, 1), (0.03, 0.035, 0.05), columns)


def paint_planet(c: Canvas, radius: float, across: float, down: float) -> None:
    """A shaded sphere with bands and a ring; radius in units, place in fractions of the canvas."""
    rng = c.rng("planet")
    r, cx, cy = radius * c.unit * 0.62, across * c.width, down * c.height
    reach = r * 2.3
    y0, y1, x0, x1 = (
        max(0, int(cy - reach)),
        min(c.height, int(cy + reach)),
        max(0, int(cx - reach)),
        min(c.width, int(cx + reach)),
    )
    dy = (np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(cy)) / np.float32(r)
    dx = (np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(cx)) / np.float32(r)
    rows, columns = slice(y0, y1), slice(x0, x1)
    away = np.sqrt(dx * dx + dy * dy)
    tilt = np.float32(0.32)
    u, v = dx * np.cos(tilt) + dy * np.sin(tilt), (dy * np.cos(tilt) - dx * np.sin(tilt)) * np.float32(3.6)
    ring_at = np.sqrt(u * u + v * v)
    ring = np.clip((ring_at - 1.32) * r * 0.4, 0, 1) * np.clip((2.1 - ring_at) * r * 0.4, 0, 1)
    grooves = 0.72 + 0.28 * np.sin(ring_at * np.float32(34.0)) * np.sin(ring_at * np.float32(9.0))
    ring = (ring * grooves * np.float32(0.8)).astype(np.float32)
    back, front = ring * (v < 0), ring * (v >= 0)
    hue = rng.random()
    warm, cool = np.array((0.94, 0.74, 0.52), np.float32), np.array((0.55, 0.70, 0.92), np.float32)
    base = warm if hue < 0.6 else cool
    ring_colour = mix(base, (1, 0.95, 0.9), 0.4)
    c.lay(rows, back, ring_colour, columns)
    band = smooth_bands(rng, (v / 3.6) * 5 + 8 + u * 0.15)
    lit = np.clip(0.62 + 0.75 * (c.side() * dx * 0.75 - dy * 0.5), 0.05, 1.12)
    ball = base * (0.82 + 0.16 * band[..., None]) * lit[..., None]
    c.lay(rows, np.clip((1 - away) * r + 0.5, 0, 1), ball, columns)
    c.lay(rows, front, ring_colour, columns)


def smooth_bands(rng: np.random.Generator, at: Array) -> Array:
    """Stripes: random values along `at`, joined smoothly."""
    knots = rng.standard_normal(32).astype(np.float32)
    return np.interp(at, np.arange(32), knots).astype(np.float32)
