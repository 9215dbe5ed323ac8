"""Times of day: what colour the sky, the air and everything lit by them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .catalog import RGB, rgb

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
    thick: float = 0.85
    glow: float = 0.5
    dark: float = 0.0

    def on(self, material: RGB | NDArray[Any], distance: float = 0.0) -> NDArray[Any]:
        """The colour `material` has in this light at a distance from 0 (here) to 1 (as far as one sees)."""
        near = np.asarray(material, np.float32) * np.asarray(self.ambient, np.float32)
        far = np.float32(self.thick * distance**0.8)
        return near * (1 - far) + np.asarray(self.haze, np.float32) * far


def _light(colours: str, height: float, ambient: RGB, **more: float) -> Light:
    zenith, middle, horizon, sun, haze, cloud, shade = (rgb(part) for part in colours.split())
    return Light(zenith, middle, horizon, sun, height, ambient, haze, cloud, shade, **more)


# zenith, middle, horizon, sun, haze, lit cloud, shaded cloud
LIGHTS: Mapping[str, Light] = {
    "day": _light("3f7fb8 86b9d8 dfeae4 fff4d6 c3d6dc fffaf0 a9bccd",
           0.66, (0.92, 0.93, 0.88), glow=0.35),
    "dawn": _light("5a6ea6 d79cb0 ffd9b4 ffe2b8 e6b9b4 ffd0c0 9a86ac",
           0.13, (0.66, 0.54, 0.60), thick=0.92, glow=0.75),
    "morning": _light("6aa5cf b5d6e0 fdeccb fff0c4 d9e0d4 fff6e2 b3c3cf",
           0.34, (0.88, 0.84, 0.74), thick=0.9, glow=0.55),
    "noon": _light("1f66b5 5aa3dc c8e4f0 ffffff b4d3e4 ffffff b4c6da",
           0.86, (1.06, 1.06, 1.02), thick=0.7, glow=0.25),
    "golden": _light("5f83b4 efb678 ffdc92 ffedb0 eebd86 ffe0a6 b08682",
           0.17, (0.86, 0.62, 0.38), thick=0.86, glow=0.9),
    "sunset": _light("35386f c9586a ffb45e ffe29a d9776a ff9d6c 6b4a75",
           0.07, (0.50, 0.34, 0.33), thick=0.84, glow=0.9),
    "dusk": _light("1e2450 6c4a80 e99a80 ffc9a0 93688a c98294 463a68",
           0.03, (0.40, 0.34, 0.46), thick=0.84, glow=0.6),
    "blue": _light("0f2350 2f5a97 a9bfd2 dce8f4 5f81ab 7f9cc0 28406c",
           0.3, (0.24, 0.31, 0.46), thick=0.84, glow=0.35, dark=0.7),
    "night": _light("050a1e 10204a 34507f eaf0ff 24406c 3d5685 0f1c3c",
           0.62, (0.19, 0.25, 0.40), thick=0.82, glow=0.5, dark=1.0),
}  # fmt: skip


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
