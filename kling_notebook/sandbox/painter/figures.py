"""Our own silhouettes: creatures, people, buildings and other made things; read from figures.json.

A figure stands on y = 0, looks to the right, and is about 1 tall. A part is [role, kind, numbers, width], see `shapes`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from typing import Any, NamedTuple

from .scene import RGB
from .shapes import Part


class Figure(NamedTuple):
    """Its usual colour, its height in units, and its parts."""

    colour: RGB
    height: float
    parts: tuple[Part, ...]


@functools.cache
def _group(group: str) -> Mapping[str, Figure]:
    rows: Mapping[str, Any] = json.loads(resources.files(__package__).joinpath("figures.json").read_bytes())
    return {
        name.removesuffix(" bust"): Figure(
            (row["colour"][0], row["colour"][1], row["colour"][2]),
            row["height"],
            tuple(Part(role, kind, tuple(numbers), *width) for role, kind, numbers, *width in row["parts"]),
        )
        for name, row in rows.items()
        if row["group"] == group
    }


CREATURES, THINGS, BUSTS = _group("creature"), _group("thing"), _group("bust")
"""Animals and people; made things; and what a portrait shows of a person."""


def with_traits(parts: tuple[Part, ...], traits: frozenset[str]) -> tuple[Part, ...]:
    """A figure with the hair and beard that the prompt gives it."""
    bearded = bool({"beard", "greybeard"} & traits)
    hair = next((name for name in ("grey", "blond", "red", "black") if name in traits), "")
    hair = "grey" if {"greybeard", "old"} & traits and not hair else hair
    found = []
    for part in parts:
        if (part.role == "beard" and not bearded) or (
            "bald" in traits and part.role.startswith("hair") and max(part.numbers) > 1.04
        ):
            continue
        light = "light" if part.role == "hairlight" else ""
        coloured = part.role in {"hair", "hairlight", "beard"} and hair
        found.append(replace(part, role=f"hair{hair}{light}") if coloured else part)
    return tuple(found)
