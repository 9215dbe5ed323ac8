"""Times of day: what colour the sky, the air and everything lit by them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .catalog import RGB, rgb
from .vocabulary import rows

if TYPE_CHECKING:
    from .scene import Scene


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one hour. Colours are RGB in 0..1.

    `height` is how high sun or moon stand, 0 the horizon, 1 the top; `haze` the colour distance fades to, `thick`
    how strongly; `ambient` multiplies the colour of lit things; `dark` is 1 when lamps are on and stars are out.
    """

    zenith: RGB
    middle: RGB
    horizon: RGB
    sun: RGB
    height: float
    ambient: RGB
    haze: RGB
    cloud: RGB
    shade: RGB
    thick: float
    glow: float
    dark: float

    def on(self, material: RGB | NDArray[Any], distance: float = 0.0) -> NDArray[Any]:
        """The colour `material` has in this light at a distance from 0 (here) to 1 (as far as one sees)."""
        near = np.asarray(material, np.float32) * np.asarray(self.ambient, np.float32)
        far = np.float32(self.thick * distance**0.8)
        return near * (1 - far) + np.asarray(self.haze, np.float32) * far


def _light(words: tuple[str, ...]) -> Light:
    zenith, middle, horizon, sun, haze, cloud, shade = (rgb(code) for code in words[:7])
    height, red, green, blue, thick, glow, dark = map(float, words[7:])
    return Light(zenith, middle, horizon, sun, height, (red, green, blue), haze, cloud, shade, thick, glow, dark)


LIGHTS: Mapping[str, Light] = {name: _light(words) for name, words in rows("light").items()}


def light_of(scene: Scene) -> Light:
    """The light of the scene's hour, bent by its weather."""
    light = LIGHTS[scene.time]
    if "storm" in scene.weather:
        light = _overlaid(light, (0.23, 0.27, 0.33), 0.72, (0.44, 0.49, 0.54), glow=0.15)
    elif {"rain"} & scene.weather or "overcast" in scene.sky:
        light = _overlaid(light, (0.52, 0.57, 0.62), 0.62, (0.68, 0.71, 0.73), glow=0.2)
    if "snowfall" in scene.weather:
        light = _overlaid(light, (0.70, 0.75, 0.81), 0.5, (0.82, 0.86, 0.90), glow=0.2)
    if "fog" in scene.weather:
        zenith, middle = _to(light.zenith, light.haze, 0.45), _to(light.middle, light.haze, 0.5)
        light = replace(light, thick=0.985, zenith=zenith, middle=middle)
    return light


def _overlaid(light: Light, grey: RGB, amount: float, haze: RGB, glow: float) -> Light:
    """The light under a closed sky: grey from above, flat, with what the hour leaves of its colour."""
    level = 0.35 + 0.65 * max(light.ambient)
    sky, air = _to((0, 0, 0), grey, level), _to((0, 0, 0), haze, level)
    flat = sum(light.ambient) / 3 * 0.88
    closed: dict[str, Any] = {name: _to(getattr(light, name), sky, amount) for name in ("zenith", "middle")}
    hazy: dict[str, Any] = {name: _to(getattr(light, name), air, amount) for name in ("horizon", "haze", "cloud")}
    shade = _to(light.shade, (sky[0] * 0.6, sky[1] * 0.6, sky[2] * 0.62), amount)
    ambient = _to(light.ambient, (flat, flat, flat * 1.06), amount)
    return replace(light, **closed, **hazy, shade=shade, ambient=ambient, glow=glow)


def _to(a: RGB, b: RGB, t: float) -> RGB:
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t
