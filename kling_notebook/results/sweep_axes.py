"""Sweeps: axes, their product, and how the product is laid out. Pure.

An axis is a parameter of the table, a ``{name}`` in the prompt, ``prompt`` itself, or ``sample`` (replicates: the
model has no seed).
"""

import difflib
import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..api.errors import InputError
from ..api.parameters import COUNT_KEYS, PARAMETERS, check

MOST_JOBS = 10_000
SAMPLE = "sample"

Axes = Mapping[str, tuple[Any, ...]]
Source = Callable[[Any], Any]


def plain(value: Any) -> Any:
    """A NumPy scalar, or an array of no dimensions, as the Python value it holds, None for one that is masked;
    everything else as it is.

    Times stay what they are: those in nanoseconds would come out as bare integers.
    """
    held = getattr(value, "ndim", None) == 0 and not str(value.dtype).startswith(("datetime64", "timedelta64"))
    return value if not held else value.tolist() if hasattr(value, "mask") else value.item()


@dataclass(frozen=True, slots=True)
class Point:
    """One job of a sweep: its place along each axis, what to ask for, and the draw it comes from if it was drawn."""

    coordinates: tuple[Any, ...]
    prompt: str
    parameters: Mapping[str, Any]
    sample: int | str | None = None
    draw: Mapping[str, Any] | None = None

    def at(self, axes: Iterable[str]) -> dict[str, Any]:
        """The place along each axis by the axis' name."""
        return dict(zip(axes, self.coordinates, strict=True))


@dataclass(frozen=True, slots=True)
class Pick:
    """Some points of a product, drawn without building it: the same ones for the same number and seed.

    Raises:
        InputError: not a whole number from 1 to 10,000, or a seed that is neither a whole number nor a text.
    """

    number: int
    seed: int | str = 0

    def __post_init__(self) -> None:
        _check_count("pick", self.number)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | str):
            raise InputError(f"pick_seed must be a whole number or a text, not {self.seed!r}.", parameter="pick_seed")

    def drawn(self, axes: Axes, values: Sequence[Any]) -> dict[str, Any]:
        """What is kept with a drawn point: the seed, the number of all points, and its place along each axis."""
        return {
            "pick_seed": self.seed,
            "pick_of": math.prod(map(len, axes.values())),
            "point": {
                name: value if isinstance(value, str | int | float) else label(value)
                for name, value in zip(axes, values, strict=True)
            },
        }

    def indices(self, points: int) -> list[int]:
        """The indices that are drawn, in order; all of them if there are no more than asked for."""
        if points <= self.number:
            return list(range(points))
        # A set instead of random.sample over a range: that one needs len(), which ends at 2**63, and a
        # product of axes may have more points. Repeats are rare, since at most 10,000 of a larger number are
        # drawn.
        chance = random.Random(self.seed)  # noqa: S311  # a draw that can be repeated, not a secret
        drawn: set[int] = set()
        while len(drawn) < self.number:
            drawn.add(chance.randrange(points))
        return sorted(drawn)


def _check_count(name: str, value: Any) -> None:
    # True and False are numbers to Python, and a slip to everyone else.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_JOBS:
        raise InputError(f"{name} must be a whole number from 1 to {MOST_JOBS}, not {value!r}.", parameter=name)


def expand(
    prompt: Any,
    axes: Mapping[str, Any],
    fixed: Mapping[str, Any] = MappingProxyType({}),
    *,
    filled: Mapping[str, str] = MappingProxyType({}),
    source: Source = plain,
    pick: Pick | None = None,
) -> tuple[Axes, list[Point]]:
    """The product of the axes' values, the last axis turning fastest; with ``pick`` the points it draws.

    Args:
        prompt: the text, in which ``{name}`` of a declared axis is filled in and all other braces stay; or a list of
            texts, which is the axis ``prompt``.
        axes: name -> values (list, tuple, Series, array, or one value). fixed: parameters; their texts are filled in.
        filled: texts for other ``{name}`` in the prompt, filled in with the axes in one pass: braces in a value stay.
        source: makes the source image, which has a label and can be told apart, of a value of the axis ``image``.

    Raises:
        InputError: an axis that appears nowhere, is empty, repeats a value, or holds a value the table refuses.
    """
    axes = {name: _kept(values) for name, values in axes.items()}  # iterators give their values once
    if prompt is None and "prompt" not in axes:
        check("prompt", prompt)  # which says that it is required
    if not isinstance(prompt, str | None):
        axes = {"prompt": _kept(prompt)} | axes
    texts = [str(text) for text in (*as_list(axes.get("prompt", prompt)), *fixed.values())]
    checked = {name: _axis(name, values, texts, source) for name, values in axes.items()}
    written = checked.get("prompt", (prompt,))
    # Prompts are told apart as they will be read (labels, with `filled` put in); a request needs them as they were
    # written, to be filled in with all values in one pass.
    labels = tuple(fill(text, filled) for text in written)
    if "prompt" in checked:
        _check_duplicates("prompt", labels)
        checked["prompt"] = labels
    as_written = dict(zip(labels, written, strict=True))
    jobs = math.prod(len(values) for values in checked.values())
    if pick is None and jobs > MOST_JOBS:
        raise InputError(
            f"The axes give {shape(checked)}; at most {MOST_JOBS} go in one sweep. Split it, or draw some: pick=100."
        )
    # Never built in memory: drawn points are computed each.
    combinations: Iterable[tuple[Any, ...]] = itertools.product(*checked.values())
    if pick is not None:
        combinations = (_combination(checked, index) for index in pick.indices(jobs))
    # In the axes' order: results are matched to points by their place, and a grid takes rows and columns in this order.
    points = []
    for values in combinations:
        at = dict(zip(checked, values, strict=True))
        text = as_written[at.pop("prompt", labels[0])]
        sample = at.pop(SAMPLE, None)
        varied = {name: value for name, value in at.items() if name not in PARAMETERS}
        parameters = {
            **{name: fill(one, varied) if isinstance(one, str) else one for name, one in fixed.items()},
            **{name: value for name, value in at.items() if name in PARAMETERS},
        }
        # Kept with the point, so that a file can say which draw it belongs to. Asking for all points is not a draw.
        draw = pick.drawn(checked, values) if pick is not None and pick.number < jobs else None
        points.append(Point(values, fill(text, {**filled, **varied}), parameters, sample, draw))
    return checked, points


def _combination(axes: Axes, index: int) -> tuple[Any, ...]:
    """The values of the product's point with this index, without building the product."""
    values = []
    for choices in reversed(list(axes.values())):  # the last axis turns fastest
        index, place = divmod(index, len(choices))
        values.append(choices[place])
    return tuple(reversed(values))


def parse_axes(
    prompt: Any,
    axes: Mapping[str, Any] | None,
    more: Mapping[str, Any],
    *,
    source: Source = plain,
    pick: Pick | None = None,
) -> tuple[Axes, list[Point]]:
    """Axes and points of a Python call, where lists and single values come mixed: a list is an axis, a single value is
    fixed, or for a placeholder an axis of one. Cells and the panel know their axes, and call `expand`."""
    all_axes = _named(axes)
    if "prompt" in all_axes and prompt is not None and not (isinstance(prompt, str) and not prompt.strip()):
        raise InputError(
            "The prompt is given both as text and as an axis. Give its texts as a list, or write {name} in it and "
            "name=[...].",
            parameter="prompt",
        )
    if both := sorted(all_axes.keys() & more.keys()):
        raise InputError(f"The axis {both[0]} is given twice.", parameter=both[0])
    fixed: dict[str, Any] = {}
    for name, given in more.items():
        values = _kept(given)
        # resolution="2K" fixes a parameter; resolution=["2K"] is an axis of one value, which appears in the table.
        single = len(as_list(values)) == 1 and not isinstance(values, list | tuple)
        kept = fixed if name in PARAMETERS and (values is None or single) else all_axes
        kept[name] = values
    return expand(prompt, all_axes, fixed, source=source, pick=pick)


def _named(axes: Any) -> dict[str, Any]:
    """``axes=`` as a dict of our own, its names checked."""
    if not isinstance(axes, Mapping | None):
        raise InputError(f"axes must be {{name: values}}, not a {type(axes).__name__}.", parameter="axes")
    for name in axes or ():
        if not isinstance(name, str):
            raise InputError(f"The name of an axis must be text, not {name!r}.", parameter="axes")
    return dict(axes or {})


def _kept(values: Any) -> Any:
    """An iterator as the list it gives, since it gives it once; NumPy's single values as Python's."""
    return list(values) if isinstance(values, Iterator) else plain(values)


def _axis(name: str, values: Any, prompts: Sequence[str], source: Source) -> tuple[Any, ...]:
    """The values of one axis as plain Python values, checked."""
    if (dimensions := getattr(values, "ndim", 1)) > 1:  # walking through a table would give the names of its columns
        raise InputError(
            f"The axis {name} is a {type(values).__name__} of {dimensions} dimensions. Give one column of it, as in "
            f"frame['{name}'].",
            parameter=name,
        )
    if name == SAMPLE and isinstance(values, int):
        _check_count(SAMPLE, values)
        values = range(1, values + 1)
    made = [_plain(name, value) for value in as_list(values)]
    if not made:
        raise InputError(f"The axis {name} is empty. Give it at least one value.", parameter=name)
    if name in PARAMETERS:
        made = [source(value) if PARAMETERS[name].kind == "image" else check(name, value) for value in made]
    elif name != SAMPLE and not any(f"{{{name}}}" in prompt for prompt in prompts):
        raise InputError(_unknown_axis_message(name, prompts), parameter=name)
    _check_duplicates(name, made)
    return tuple(made)


def _check_duplicates(name: str, values: Sequence[Any]) -> None:
    """Values that are equal or read the same ask for one request, or could not be told apart when selecting."""
    seen: dict[Any, str] = {}
    for value in values:
        shown = repr(value) if isinstance(value, str | int | float) else label(value)
        # Equal by any of three: the value itself, its text (1 and "1" read the same in a label), an image by
        # its content.
        marks = {value, getattr(value, "identity", str(value)), getattr(value, "sha256", None) or value}
        for earlier in (seen[mark] for mark in marks if mark in seen):
            what = f"{shown} twice" if earlier == shown else f"{earlier} and {shown}, which are the same"
            raise InputError(f"The axis {name} has {what}. For replicates use sample=2.", parameter=name)
        seen |= dict.fromkeys(marks, shown)


def _unknown_axis_message(name: str, prompts: Sequence[str]) -> str:
    """The message about an axis that varies nothing: what was probably meant, else what there is."""
    known = [*PARAMETERS, SAMPLE, *re.findall(r"\{([^{}\n]+)\}", "\n".join(prompts))]
    flags = {flag.lstrip("-"): row.name for row in PARAMETERS.values() for flag in row.flags}
    meant = COUNT_KEYS[0] if name in COUNT_KEYS else flags.get(name)
    close = [meant] if meant else difflib.get_close_matches(name, known, 1)
    way = (
        f"Did you mean {close[0]}?"
        if close
        else f"Parameters are {', '.join(PARAMETERS)}; write {{{name}}} where its values belong."
    )
    return f"The axis {name} appears nowhere: it is not a parameter, and the prompt has no {{{name}}}. {way}"


def as_list(values: Any) -> list[Any]:
    """A list, tuple, range, pandas Series or NumPy array as a list; a single value as a list of it."""
    single = getattr(values, "ndim", 1) == 0 or hasattr(values, "address") or isinstance(values, str | bytes | Mapping)
    return [values] if single or not isinstance(values, Iterable) else list(values)


def _plain(name: str, value: Any) -> Any:
    """The value in Python's own type; NaN and None are refused, since they would be asked for as words."""
    value = plain(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"The axis {name} holds {value!r}. Give every value.", parameter=name)
    if name not in PARAMETERS and not isinstance(value, str | int | float):
        raise InputError(f"The axis {name} holds a {type(value).__name__}; give text or numbers.", parameter=name)
    return value


def fill(prompt: str, values: Mapping[str, Any]) -> str:
    """Put values in place of ``{name}``; in one pass, so that a value's own braces stay as they are."""
    if not values:
        return prompt
    # The longest name first, so that {animals} is not taken for {animal}.
    names = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
    return re.sub(rf"\{{({names})\}}", lambda found: str(values[found[1]]), prompt)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which axes go where: facets, then rows, then columns; () where there is none. ``fixed``: those of one value."""

    facets: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


def layout(axes: Mapping[str, Sequence[Any]], *, complete: bool = True, most: int = 3) -> Layout:
    """One axis is a row, two a grid, three facets by the axis with the fewest values, more a table of rows.

    An axis of one value has nothing to lay out: it is left to the title. Points that are not a complete product are a
    table of rows.

    Args:
        complete: all points of the product are there. most: axes that are laid out as grids.
    """
    names = tuple(name for name in axes if len(axes[name]) > 1)
    fixed = tuple(name for name in axes if name not in names)
    if not complete or len(names) > most:
        return Layout(rows=names, fixed=fixed)
    # Few large grids can be compared more easily than many small ones.
    inner = sorted(names, key=lambda name: len(axes[name]))[-2:]
    outer = tuple(name for name in names if name not in inner)
    names = tuple(name for name in names if name in inner)
    return Layout(outer, names[:-1], names[-1:], fixed)


def label(value: Any) -> str:
    """An axis value as it is written beside a grid; one that says nothing as "none"."""
    text = str(getattr(value, "address", None) or getattr(value, "label", None) or value)
    return "none" if value is None or not text.strip() else text


def labels(values: Iterable[Any]) -> str:
    """The labels of several axes' values: ``red fox, dawn``."""
    return ", ".join(map(label, values))


def shape(axes: Axes, pick: Pick | None = None) -> str:
    """``2 x 2 x 2 = 8 jobs``; of drawn points ``40 of 100 x 100 = 10000 jobs, seed 0``."""
    sides = [len(values) for values in axes.values()]
    total = math.prod(sides)
    jobs = f"{total} job{'s' * (total != 1)}"
    whole = f"{' x '.join(map(str, sides))} = {jobs}" if len(sides) > 1 else jobs
    return f"{pick.number} of {whole}, seed {pick.seed}" if pick is not None and pick.number < total else whole
