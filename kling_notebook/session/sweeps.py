"""Sweeps: axes, their product, and how the product is laid out. Pure.

An axis is a parameter of the table, a ``{name}`` in the prompt, ``prompt`` itself, or ``sample`` (replicates: the
model has no seed).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..api.errors import InputError
from ..api.parameters import PARAMETERS, check

MOST_JOBS = 10_000
SAMPLE = "sample"

Axes = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Point:
    """One job of a sweep: its place along each axis, and what to ask for."""

    coordinates: tuple[Any, ...]
    prompt: str
    parameters: Mapping[str, Any]
    sample: int | str | None = None


def expand(prompt: Any, axes: Mapping[str, Any], fixed: Mapping[str, Any] | None = None) -> tuple[Axes, list[Point]]:
    """The product of the axes' values, the last axis turning fastest.

    Args:
        prompt: the text, in which ``{name}`` of a declared axis is filled in and all other braces stay; or a list of
            texts, which is the axis ``prompt``.
        axes: name -> values (list, tuple, Series, array, or a single value). fixed: parameters that do not vary.

    Raises:
        InputError: an axis that appears nowhere, is empty, repeats a value, or holds a value the table refuses.
    """
    axes = {name: _kept(values) for name, values in axes.items()}
    if not isinstance(prompt, str):
        axes = {"prompt": _kept(prompt)} | axes
        prompt = None
    checked = {name: _axis(name, values, prompt, axes) for name, values in axes.items()}
    jobs = math.prod(len(values) for values in checked.values())
    if jobs > MOST_JOBS:
        shape = " x ".join(str(len(values)) for values in checked.values())
        raise InputError(f"The axes give {shape} = {jobs} jobs; at most {MOST_JOBS} go in one sweep. Split it.")
    points = []
    for values in itertools.product(*checked.values()):
        at = dict(zip(checked, values, strict=True))
        text = at.pop("prompt") if "prompt" in at else prompt
        sample = at.pop(SAMPLE, None)
        parameters = dict(fixed or {}) | {name: value for name, value in at.items() if name in PARAMETERS}
        filled = fill(text, {name: value for name, value in at.items() if name not in PARAMETERS})
        points.append(Point(values, filled, parameters, sample))
    return checked, points


def of_call(prompt: Any, axes: Mapping[str, Any] | None, more: Mapping[str, Any]) -> tuple[Axes, list[Point]]:
    """Axes and points of a call. A list is an axis; a single value is fixed, or for a placeholder an axis of one."""
    both = set(axes or {}) & set(more)
    if both:
        raise InputError(f"The axis {sorted(both)[0]} is given twice.", parameter=sorted(both)[0])
    all_axes = dict(axes or {})
    fixed = {}
    for name, given in more.items():
        values = _kept(given)
        single = len(as_list(values)) == 1 and not isinstance(values, list | tuple)
        if name in PARAMETERS and (values is None or single):
            fixed[name] = values
        else:
            all_axes[name] = values
    return expand(prompt, all_axes, fixed)


def _kept(values: Any) -> Any:
    """An iterator as the list it gives, since it gives it once; everything else as it is."""
    return list(values) if isinstance(values, Iterator) else values


def _axis(name: str, values: Any, prompt: str | None, axes: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of one axis as plain Python values, checked."""
    if (dimensions := getattr(values, "ndim", 1)) > 1:  # walking through a table would give the names of its columns
        kind = type(values).__name__
        raise InputError(
            f"The axis {name} is a {kind} of {dimensions} dimensions. Give one column of it, as in frame['{name}'].",
            parameter=name,
        )
    if name == SAMPLE and isinstance(values, int) and not isinstance(values, bool):
        if not 1 <= values <= MOST_JOBS:
            raise InputError(f"sample must be at least 1, not {values}.", parameter=SAMPLE)
        values = range(1, values + 1)
    plain = [_plain(name, value) for value in as_list(values)]
    if not plain:
        raise InputError(f"The axis {name} is empty. Give it at least one value.", parameter=name)
    if name in PARAMETERS:
        if PARAMETERS[name].kind != "image":
            plain = [check(name, value) for value in plain]
    elif name != SAMPLE and not _appears(name, prompt, axes):
        raise InputError(
            f"The axis {name} appears nowhere: it is no parameter, and the prompt has no {{{name}}}. "
            f"Parameters are {', '.join(PARAMETERS)}; write {{{name}}} where its values belong.",
            parameter=name,
        )
    seen: list[Any] = []
    for value in plain:
        if any(value is other or (type(value) is type(other) and value == other) for other in seen):
            raise InputError(f"The axis {name} has {value!r} twice. For replicates use sample=2.", parameter=name)
        seen.append(value)
    return tuple(plain)


def _appears(name: str, prompt: str | None, axes: Mapping[str, Any]) -> bool:
    texts = [prompt] if prompt is not None else as_list(axes.get("prompt", ()))
    return any(f"{{{name}}}" in str(text) for text in texts)


def as_list(values: Any) -> list[Any]:
    """A list, tuple, range, pandas Series or NumPy array as a list; a single value as a list of it."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or hasattr(values, "address"):
        return [values]
    if hasattr(values, "tolist"):
        values = values.tolist()
    return list(values) if not isinstance(values, Mapping) else [values]


def _plain(name: str, value: Any) -> Any:
    """A NumPy scalar as the Python value it holds; NaN and None are refused, since they would be asked for as words."""
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"The axis {name} holds {value!r}. Give every value.", parameter=name)
    if name not in PARAMETERS and not isinstance(value, str | int | float):
        raise InputError(f"The axis {name} holds a {type(value).__name__}; give text or numbers.", parameter=name)
    return value


def fill(prompt: str, values: Mapping[str, Any]) -> str:
    """Put values in place of ``{name}``; in one pass, so that a value's own braces stay as they are."""
    if not values:
        return prompt
    names = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
    return re.sub(rf"\{{({names})\}}", lambda found: str(values[found[1]]), prompt)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which axes go where: facets, then rows, then columns; () where there is none. ``fixed``: those of one value."""

    facets: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


def layout(axes: Mapping[str, Sequence[Any]]) -> Layout:
    """One axis is a row, two a grid, three facets by the axis with the fewest values, more a table of rows.

    An axis of one value has nothing to lay out: it is left to the title.
    """
    names = tuple(name for name in axes if len(axes[name]) > 1)
    fixed = tuple(name for name in axes if name not in names)
    if len(names) <= 1:
        return Layout(columns=names, fixed=fixed)
    if len(names) == 2:
        return Layout(rows=names[:1], columns=names[1:], fixed=fixed)
    if len(names) == 3:
        fewest = min(names, key=lambda name: len(axes[name]))
        rest = tuple(name for name in names if name != fewest)
        return Layout((fewest,), rest[:1], rest[1:], fixed)
    return Layout(rows=names, fixed=fixed)


def label(value: Any) -> str:
    """An axis value as it is written beside a grid."""
    return str(getattr(value, "address", None) or getattr(value, "label", None) or value)


def shape(axes: Axes) -> str:
    """``2 x 2 x 2 = 8 jobs``."""
    sides = [len(values) for values in axes.values()]
    jobs = f"{math.prod(sides)} job{'s' * (math.prod(sides) != 1)}"
    return f"{' x '.join(map(str, sides))} = {jobs}" if len(sides) > 1 else jobs
