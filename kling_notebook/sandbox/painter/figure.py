"""A figure or drawing shaded and lit on a sheet of its own, ready to be laid into the picture."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Array, Canvas, enlarge, lattice, mix
from .catalog import index, read
from .illustrations import Spot, outlines, render_drawing
from .land import snowy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .catalog import RGB

GLOWING = frozenset(("glow", "flame"))
_SOFT = ("body", "skin", "hair", "crownhair", "wood", "white", "cream", "frost", "red", "gold", "flesh", "leaf")
_BARE = frozenset(("person", "woman", "astronaut", "robot", "umbrella-person", "dolphin", "whale", "penguin"))
"""Creatures without fur or feathers one could see."""
_FIRES = frozenset(("rocket", "campfire", "lantern", "robot"))
"""Figures that glow by day too."""


@functools.cache
def roles() -> Mapping[str, RGB]:
    """The colour of every role of our own figures; `body` is the figure's own colour."""
    return {name: (red, green, blue) for name, (red, green, blue) in read("roles").items()}


@dataclass(slots=True)
class Sheet:
    """`colour` (h, w, 3) as lit, `alpha` (h, w), and where something glows: role, place on the sheet, mask."""

    colour: Array
    alpha: Array
    glowing: list[tuple[str, Spot, Array]]


def sheet_of(c: Canvas, name: str, height: int, colour: RGB | None, *, mirror: bool) -> Sheet:
    """The drawing at so many pixels of height, in this colour (None: its usual one) and in the scene's light."""
    drawing = index()[name]
    if drawing.kind != "set":
        return _own_figure(c, name, height, colour or drawing.colour, mirror=mirror)
    pixels, alpha = render_drawing(name, height, colour=colour, mirror=mirror)
    return Sheet(_lit(c, pixels, alpha, 0.6), alpha, [])


def _own_figure(c: Canvas, name: str, height: int, own: RGB, *, mirror: bool) -> Sheet:
    """One of our own figures, each of its layers swelling from its outline."""
    shape, layers = outlines(name, height, mirror=mirror)
    colour, alpha, lamps = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    glowing: list[tuple[str, Spot, Array]] = []
    body = np.asarray(own, np.float32)
    tones = {"body": body, "bodydark": body * np.float32(0.66), "bodylight": mix(own, (1.0, 0.97, 0.80), 0.26)}
    for given, where, mask in layers:
        role = _with_traits(given, c.scene.traits)
        if not role:
            continue
        burning = _burning(c, name, role)
        tone = np.asarray(tones[role] if role in tones else roles()[role], np.float32)
        if role in {"roof", "slate"} and snowy(c):
            tone = np.array((0.92, 0.94, 0.98), np.float32)
        if role == "glow" and not burning:
            tone = np.array((0.36, 0.42, 0.48), np.float32)  # a window by day, an eye that is off
        if role in GLOWING:
            glowing.append((role, where, mask))
            lamps[where] = np.maximum(lamps[where], mask * np.float32(burning))
        else:
            lamps[where] *= 1 - mask
        plump = not c.flat and role.startswith(_SOFT)
        shade = _rounded(c, mask, 0.028 * height) if plump else np.float32(1)
        block = colour[where]
        block += (tone * shade - block) * mask[..., None]
        alpha[where] = np.maximum(alpha[where], mask)
    unlit = colour
    if index()[name].kind == "creature" and name not in _BARE and not c.flat:
        colour = colour * _coat(c.rng(f"coat {name}"), shape, height)
    lit = _lit(c, colour, alpha, 1.0)
    return Sheet(lit + (unlit - lit) * lamps[..., None], alpha, glowing)


def _with_traits(role: str, traits: frozenset[str]) -> str:
    """The role with the hair and beard that the prompt gives a person; "" if it is left out."""
    if (role == "beard" and not {"beard", "greybeard"} & traits) or (role.startswith("crown") and "bald" in traits):
        return ""
    hair = next((name for name in ("grey", "blond", "red", "black") if name in traits), "")
    hair = hair or ("grey" if {"greybeard", "old"} & traits else "")
    if hair and role.removeprefix("crown") in {"hair", "hairlight", "beard"}:
        return f"hair{hair}{'light' if role.endswith('light') else ''}"
    return role


def _burning(c: Canvas, name: str, role: str) -> float:
    """Whether a lamp or window is lit."""
    if role == "flame" or name in _FIRES or c.light.dark > 0.5 or "space" in c.scene.places:
        return 1.0
    return 0.9 if c.scene.time in {"dusk", "sunset", "dawn"} or c.scene.weather & {"storm", "fog"} else 0.0


def _lit(c: Canvas, colour: Array, alpha: Array, shading: float) -> Array:
    """The sheet in the scene's light, with so much `shading` of its outline: a published drawing is shaded already."""
    h, w = alpha.shape
    places = set(c.scene.places)
    if "underwater" in places:
        lit = mix(colour, (0.10, 0.45, 0.60), 0.25) * np.float32(0.5 + 0.5 * max(c.light.ambient))
    elif {"space", "studio"} & places or c.scene.view in {"top", "logo", "title"}:
        lit = colour * np.float32(0.55 + 0.42 * max(c.light.ambient) if c.scene.time != "day" else 0.96)
    else:
        # Silhouettes keep a little of their colour even at night: a black fox would not be seen.
        distance = float(np.clip(0.28 - 0.5 * h / c.unit, 0.0, 0.28))
        lit = c.light.on(colour, distance) + colour * np.float32(0.11 + 0.16 * c.light.dark)
    lit *= 1 + 0.11 * np.linspace(-1, 1, w, dtype=np.float32)[None, :, None] * np.float32(c.side())
    if not c.flat and h > 24:
        lit *= 1 + (_rounded(c, alpha, 0.055 * h) - 1) * np.float32(shading)
    return np.asarray(lit + _rim(c, alpha) * np.asarray(c.light.sun, np.float32) * np.float32(shading), np.float32)


def _rounded(c: Canvas, mask: Array, radius: float) -> Array:
    """Shading of a body swelling inward from its outline, about 1, (h, w, 1). `radius` in pixels: how far it turns."""
    h, w = mask.shape
    q = max(1, min(4, int(radius / 4)))
    small = Image.fromarray((mask * 255).astype(np.uint8)).resize((max(2, w // q), max(2, h // q)))
    soft = np.asarray(small.filter(ImageFilter.GaussianBlur(max(0.8, radius / q))), np.float32) / 255
    down, across = np.gradient(soft)
    turn = (down * np.float32(0.8) - across * np.float32(c.side())) * np.float32(radius / q)
    shade: Array = np.asarray(1 + np.clip(turn * np.float32(1.05), -0.42, 0.34), np.float32)
    return enlarge(shade, w, h)[..., None]


def _coat(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Array:
    """Fur or feathers: fine strokes, longer than wide, about 1, (h, w, 1). `scale` is the figure's height in pixels."""
    h, w = shape
    total = lattice(rng, h / scale * 24, w / scale * 84, h, w)
    total = total + np.float32(0.7) * lattice(rng, h / scale * 9, w / scale * 14, h, w)
    return (1 + total * np.float32(0.045))[..., None]


def _rim(c: Canvas, whole: Array) -> Array:
    """Light caught on the edge that faces the sun, (h, w, 1)."""
    reach = max(1, round(c.unit / 260))
    sideways = int(-c.side() * reach)
    h, w = whole.shape
    moved = np.pad(whole, reach)[0:h, reach - sideways : reach - sideways + w]
    strength = 0.42 * c.light.glow if c.light.dark < 0.5 else 0.26
    out: Array = (np.clip(whole - moved, 0, 1) * np.float32(strength))[..., None]
    return out
