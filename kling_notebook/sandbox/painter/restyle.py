"""Image to image: the source keeps its shapes, the prompt changes light, weather, colour and style."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .canvas import Canvas, luma, mix
from .light import LIGHTS
from .sky import paint_stars
from .subjects import paint_subjects
from .weather import paint_weather

if TYPE_CHECKING:
    from PIL import Image


def restyle(c: Canvas, source: Image.Image) -> None:
    """Put the source on the canvas and bend it toward the scene."""
    c.pixels = np.asarray(source, np.float32) / np.float32(255)  # a copy: asarray changed the type
    c.horizon = int(c.height * 0.62)
    c.sun = (c.width * 0.72, c.height * 0.24)
    scene = c.scene
    if scene.time != "day":
        _relight(c)
    if scene.season is not None or {"snow"} & set(scene.places):
        _season(c, "winter" if "snow" in scene.places else scene.season or "")
    if scene.abstract and not (scene.styles or scene.tints or scene.moods):
        _unknown(c)
    if {"stars", "milkyway", "aurora"} & scene.sky or c.light.dark > 0.9:
        paint_stars(c, 0.4)
    # What the prompt names is often in the source already: a second one stays small.
    c.scene = replace(scene, subjects=tuple(replace(item, scale=item.scale * 0.5) for item in scene.subjects))
    paint_subjects(c)
    paint_weather(c)


def _relight(c: Canvas) -> None:
    """The hour's colours by brightness: dark parts take the zenith's, bright ones the horizon's."""
    light = LIGHTS[c.scene.time]
    level = np.clip(luma(c.pixels), 0, 1)
    ambient = np.asarray(light.ambient, np.float32)
    tinted = c.pixels * (ambient * np.float32(0.8) + np.float32(0.2 * max(light.ambient)))
    stops = (
        mix(light.zenith, ambient, 0.2) * np.float32(0.30),
        np.asarray(light.middle) * 0.72,
        mix(light.horizon, light.sun, 0.4),
    )
    table = np.stack(
        [np.interp(np.linspace(0, 1, 256), (0, 0.5, 1), [stop[k] for stop in stops]) for k in range(3)], -1
    )
    inked = table.astype(np.float32)[(level * 255).astype(np.uint8)]
    c.pixels = (tinted + inked) * np.float32(0.5)
    y = np.linspace(0, 1, c.height, dtype=np.float32)[:, None]
    x = np.arange(c.width, dtype=np.float32)[None, :]
    away = ((x - np.float32(c.sun[0])) / c.unit) ** 2 + (y - 0.24) ** 2
    c.add(slice(None), np.exp(-away / 0.18) * np.float32(0.30 * light.glow), light.sun)


def _season(c: Canvas, season: str) -> None:
    """Turn greens to the season's colour; winter also pales the ground."""
    p = c.pixels
    green = np.clip((p[..., 1] - 0.5 * (p[..., 0] + p[..., 2])) * 6, 0, 1)[..., None]
    level = luma(p)[..., None]
    colour = {
        "autumn": (1.25, 0.66, 0.24),
        "spring": (1.12, 1.10, 0.86),
        "summer": (0.86, 1.12, 0.42),
        "winter": (1.28, 1.34, 1.44),
    }.get(season)
    if colour is None:
        return
    p += (np.array(colour, np.float32) * (level * 0.9 + 0.06) - p) * green * np.float32(0.8)
    if season == "winter":
        down = np.linspace(0, 1, c.height, dtype=np.float32)[:, None, None] ** 1.5
        p += (np.array((0.92, 0.95, 1.0), np.float32) - p) * (0.18 + 0.30 * down)


def _unknown(c: Canvas) -> None:
    """A prompt that names nothing known still leaves its mark: two inks made from its words."""
    rng = c.rng("inks")
    level = np.clip(luma(c.pixels), 0, 1)[..., None]
    hue = rng.random(3).astype(np.float32) * np.float32(0.5)
    dark, pale = hue * np.float32(0.6), 1 - hue[::-1] * np.float32(0.35)
    c.pixels += (dark * (1 - level) + pale * level - c.pixels) * np.float32(0.45)
