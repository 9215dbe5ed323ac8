"""Image to image: the source keeps its shapes, the prompt changes light, weather, colour and style."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .canvas import Array, Canvas, blur, luma, mix
from .grade import saturate
from .land import ground_colour
from .light import LIGHTS
from .scene import WATERS
from .sky import paint_aurora, paint_body, paint_planet, paint_rainbow, paint_stars
from .subjects import paint_subjects
from .weather import paint_weather

if TYPE_CHECKING:
    from PIL import Image


_SEASONS = {
    "autumn": (1.25, 0.66, 0.24),
    "spring": (1.02, 1.30, 0.62),
    "summer": (0.86, 1.12, 0.42),
    "winter": (1.28, 1.34, 1.44),
}
"""What greens become."""


def restyle(c: Canvas, source: Image.Image) -> None:
    """Put the source on the canvas and bend it toward the scene."""
    c.pixels = np.asarray(source, np.float32) / np.float32(255)  # a copy: asarray changed the type
    c.horizon, c.sun = int(c.height * 0.62), (c.width * 0.72, c.height * 0.24)
    scene, sky = c.scene, np.clip(2 * _above(c), 0, 1)[..., None]
    if scene.time != "day":
        _relight(c)
    if scene.weather & {"storm", "rain", "fog", "snowfall"} or "overcast" in scene.sky:  # the grey of bad weather
        saturate(c.pixels, 0.55)
        c.pixels *= np.array((0.95, 1.0, 1.05), np.float32) * np.float32(0.58 if "storm" in scene.weather else 0.82)
    snowy = "snowfall" in scene.weather or "snow" in scene.places or scene.season == "winter"
    if snowy or scene.season is not None:
        _season(c, "winter" if snowy else scene.season or "")
    if snowy:
        _lying_snow(c)
    if "fog" in scene.weather:
        away = np.abs(np.linspace(0, 1, c.height, dtype=np.float32)[:, None] - np.float32(0.5))
        c.lay(slice(None), np.broadcast_to(0.66 - 0.7 * away, (c.height, c.width)), mix(c.light.haze, (1, 1, 1), 0.2))
    level = np.clip(luma(c.pixels), 0, 1)[..., None]
    if scene.view == "card" and not (scene.styles or scene.tints or scene.moods):
        # A prompt that names nothing known still leaves its mark: two inks made from its words.
        dark, pale = c.rng("inks").random((2, 3)).astype(np.float32) * np.float32(0.3) + ((0.0,), (0.65,))
        c.pixels += (dark + (pale - dark) * level - c.pixels) * np.float32(0.45)
    wet = (WATERS | {"underwater"}) & scene.placed
    # A place cannot be built into a finished image: its color is laid over it.
    if wet or scene.placed & {"desert", "canyon", "forest", "jungle", "field", "garden", "hills"}:
        tone = (0.14, 0.44, 0.60) if wet else ground_colour(c)
        c.pixels += (np.array(tone, np.float32) * (0.25 + 1.1 * level) - c.pixels) * np.float32(0.26)
    before = c.pixels.copy()
    _sky(c)
    if not {"sun", "moon", "crescent", "planet"} & scene.sky:
        c.pixels = before + (c.pixels - before) * sky  # stars do not shine before a wall
    # What the prompt names is in the source already, unless the prompt asks for more.
    if scene.adding and not scene.close:
        c.scene = replace(scene, subjects=tuple(replace(item, scale=item.scale * 0.6) for item in scene.subjects))
        paint_subjects(c)
    paint_weather(c)


def _above(c: Canvas) -> Array:
    """How much of each pixel is probably sky: what is blue or bright and high up."""
    p, y = c.pixels, np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    blue = np.clip((p[..., 2] - 0.52 * (p[..., 0] + p[..., 1])) * 9 + 0.35 * (luma(p) > 0.55), 0, 1)
    return np.asarray(blue * np.clip(1.5 - 2.1 * y, 0, 1) * np.float32(0.72), np.float32)


def _relight(c: Canvas) -> None:
    """The hour's light over the picture: bright parts take some of the sun's colour, dark ones of the sky's."""
    light, p = LIGHTS[c.scene.time], c.pixels
    y = np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    sky = _above(c)[..., None]
    level = np.clip(luma(p), 0, 1)[..., None]
    # A lamp's colour at its usual strength: the hour's own is meant for white paint, not for a finished picture.
    strength = np.float32(min(1.0, 0.30 + 0.80 * max(light.ambient)))
    p *= (np.asarray(light.ambient, np.float32) / np.float32(max(light.ambient))) ** np.float32(0.62) * strength
    p += (np.asarray(light.zenith, np.float32) * np.float32(0.55) - p) * np.float32(0.30) * (1 - level) ** 2
    warm = mix(light.sun, light.horizon, 0.35)
    p += (1 - np.clip(p, 0, 1)) * warm * level**2 * np.float32(0.40 * (0.3 + light.glow) * strength)
    # The sky gets the hour's own colours: multiplying blue by gold gives mud.
    stops = np.array((light.zenith, light.middle, light.horizon), np.float32)
    column = np.stack([np.interp(y[:, 0], (0, 0.29, 0.57), stops[:, k]) for k in range(3)], -1)[:, None, :]
    p += (column * (0.62 + 0.60 * level) - p) * sky
    saturate(p, 1.0 + 0.22 * light.glow)
    if light.dark < 0.5:
        x = (np.arange(c.width, dtype=np.float32)[None, :] - np.float32(c.sun[0])) / c.unit
        c.add(slice(None), np.exp(-(x**2 + (y - 0.24) ** 2) / 0.16) * np.float32(0.34 * light.glow), light.sun)


def _sky(c: Canvas) -> None:
    """Stars, northern lights, a moon or a sun in the upper part of the source."""
    scene = c.scene
    if "stars" in scene.sky or c.light.dark > 0.9:
        paint_stars(c, 0.8 if "stars" in scene.sky else 0.4)
    if "aurora" in scene.sky:
        paint_aurora(c)
    if "rainbow" in scene.sky:
        paint_rainbow(c)
    if {"moon", "crescent", "sun"} & scene.sky:
        c.sun = (c.width * 0.78, c.height * 0.20)
        paint_body(c)
    if "planet" in scene.sky:
        paint_planet(c, "ringed-planet", 0.26, 0.24, 0.22)


def _season(c: Canvas, season: str) -> None:
    """Turn greens to the season's colour; winter also pales the ground."""
    p = c.pixels
    green = np.clip((p[..., 1] - 0.5 * (p[..., 0] + p[..., 2])) * 6 - 0.25, 0, 1)[..., None]
    level = luma(p)[..., None]
    tone = level * 0.42 + 0.40 if season == "winter" else level * 0.9 + (0.14 if season == "spring" else 0.06)
    p += (np.array(_SEASONS[season], np.float32) * tone - p) * green * np.float32(0.8)
    if season == "winter":
        down = np.linspace(0, 1, c.height, dtype=np.float32)[:, None, None] ** 1.5
        p += (np.array((0.92, 0.95, 1.0), np.float32) - p) * (0.18 + 0.30 * down)


def _lying_snow(c: Canvas) -> None:
    """Snow on the ground, and on every edge that has the sky above it."""
    level = luma(c.pixels)
    reach = max(2, round(0.010 * c.unit))
    above, below = np.roll(level, reach, axis=0), np.roll(level, -reach, axis=0)
    caps = np.clip((above - below - np.float32(0.10)) * 4, 0, 1)
    caps[:reach] = 0
    caps[-reach:] = 0
    down = np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    ground = np.clip((down - np.float32(0.60)) * 5, 0, 1) * np.clip(level * 1.6 + 0.25, 0, 1) * np.float32(0.45)
    white = np.array((0.93, 0.96, 1.0), np.float32) * np.float32(0.45 + 0.55 * max(c.light.ambient))
    c.lay(slice(None), np.maximum(blur(caps, 0.3 * reach), ground), white)
