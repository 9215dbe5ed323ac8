"""What Tab offers on a ``%%kling`` or ``%kling`` line: options, their values, subcommands, jobs. Python names stay out.

Pure; the extension hooks it into a shell.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...api.address import address_of
from ...api.parameters import PARAMETERS, SOURCES
from ...results.typed_values import QUOTES
from .options_table import OPTIONS, Option
from .subcommands import SUBCOMMANDS

# By name: importing the classes would load what only a cell needs.
_IMAGE_HOLDERS = frozenset({"Result", "SweepResult", "Image"})
_CELL = re.compile(r"\s*%%kling(?:\s|$)")
_LINE = re.compile(r"\s*(?:[\w.\[\], ]+=\s*)?%kling\s")


@dataclass(frozen=True, slots=True)
class Offer:
    """What may replace ``fragment``, the text just before the cursor."""

    fragment: str
    matches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to name: addresses of recent images and numbers of recent jobs, newest first; variables; the
    paths that begin with a text, those of folders with a slash at the end."""

    jobs: Callable[[], Sequence[tuple[int, int]]] = tuple
    variables: Mapping[str, Any] | None = None
    paths: Callable[[str], Sequence[str]] = lambda _: ()


def complete(before: str, known: Known | None = None, *, first_line: bool = True) -> Offer | None:
    """What to offer after ``before``, the cursor's line up to the cursor; None if the line is not a kling magic.

    Args:
        first_line: whether it is the first line of the cell: below it stands the prompt, where nothing is offered.

    >>> complete("%%kling --asp").matches
    ('--aspect-ratio',)
    """
    known = known or Known()
    cell, line = _CELL.match(before), _LINE.match(before)
    found = cell if first_line and cell else line
    # Right after the name of the magic an option would be glued to it.
    if not found or found.end() > len(before) or (found is cell and before.lstrip() == "%%kling"):
        return None
    words, fragment = _words(before[found.end() :])
    if found is line:
        return _in_line(words, fragment, known)
    return _value(OPTIONS, words, fragment, known) or _starting(fragment, _flags(OPTIONS, words, fragment))


def _words(text: str) -> tuple[list[str], str]:
    """The whole words, and the one the cursor stands in: empty after a space, to the end if a quote is open."""
    found = list(re.finditer(r"""(?:[^\s"']|"[^"]*(?:"|$)|'[^']*(?:'|$))+""", text))
    words = [word[0] for word in found]
    return (words[:-1], words[-1]) if found and found[-1].end() == len(text) else (words, "")


def _in_line(words: Sequence[str], fragment: str, known: Known) -> Offer:
    if not words:
        return _starting(fragment, SUBCOMMANDS)
    row = SUBCOMMANDS.get(words[0])
    if row is None:
        return Offer(fragment, ())
    if value := _value(row.options, words[1:], fragment, known):
        return value
    first = [*row.choices, *(_jobs(row.name, fragment, known) if row.jobs else ())] if len(words) == 1 else []
    return _starting(fragment, [*first, *_flags(row.options, words[1:], fragment)])


def _value(options: Sequence[Option], words: Sequence[str], fragment: str, known: Known) -> Offer | None:
    """What to offer if an option waits for its value; None if none does."""
    flags = {flag: option for option in options for flag in option.flags if option.metavar}
    if words and words[-1] in flags:
        return _values(flags[words[-1]], fragment, known)
    name, equals, value = fragment.partition("=")
    return _values(flags[name], value, known) if equals and name in flags else None


def _flags(options: Sequence[Option], words: Sequence[str], fragment: str) -> list[str]:
    """The flags that may still be given; the short ones only after a single dash."""
    # A flag stands on the line once, unless it may be repeated; the long and the short one are the same.
    used = {word.partition("=")[0] for word in words}
    free = [option for option in options if option.repeatable or not used & set(option.flags)]
    return [flag for option in free for flag in option.flags if flag.startswith("--") or fragment == "-"]


def _values(option: Option, fragment: str, known: Known) -> Offer:
    if option.key == "sweep":
        return _axis(fragment, known)
    if option.key in SOURCES:
        return _images(fragment, known)
    return _starting(fragment, option.choices)


def _axis(fragment: str, known: Known) -> Offer:
    """The name of an axis, then its values; after the last comma if there are several."""
    name, equals, values = fragment.partition("=")
    if not equals:
        return _starting(fragment, [f"{axis}=" for axis in (*(n for n in PARAMETERS if n != "prompt"), "sample")])
    if values.startswith("$"):
        lists = [name for name, value in (known.variables or {}).items() if _is_listed(value)]
        return _starting(values, [f"${name}" for name in lists if not name.startswith("_")])
    # Values that stand before the last comma are not offered again.
    given, _, last = values.rpartition(",")
    key = name.replace("-", "_")
    if key in SOURCES:
        return _images(last, known)
    choices = next((option.choices for option in OPTIONS if option.key == key), ())
    return _starting(last, [choice for choice in choices if choice not in given.split(",")])


def _is_listed(value: Any) -> bool:
    """Whether it can be an axis: a list, or a column or an array of one dimension; asked of its type, not of itself."""
    return isinstance(value, list | tuple | range) or (hasattr(type(value), "tolist") and value.ndim == 1)


def _images(fragment: str, known: Known) -> Offer:
    names = [name for name, value in (known.variables or {}).items() if type(value).__name__ in _IMAGE_HOLDERS]
    named = ["last", "lastb", *(n for n in names if not n.startswith("_")), *_addresses(known)]
    return Offer(fragment, (*_starting(fragment, named).matches, *_paths(fragment, known)))


def _paths(fragment: str, known: Known) -> list[str]:
    """Quotes protect spaces, and nothing escapes. A folder's quote stays open; so does one that was typed."""
    if fragment.startswith(tuple(QUOTES)):
        return [fragment[0] + path for path in known.paths(fragment[1:])]
    return [_quoted(path) for path in known.paths(fragment)]


def _quoted(path: str) -> str:
    quote = "" if not re.search(r"[\s\"',]", path) else "'" if '"' in path else '"'
    return quote + path + quote * (not path.endswith("/"))


def _jobs(subcommand: str, fragment: str, known: Known) -> list[str]:
    """Numbers; addresses of images for ``star``, and for ``show`` once the number is typed."""
    numbers = [] if subcommand == "star" else [str(number) for number, _ in known.jobs()]
    return numbers + (_addresses(known) if subcommand == "star" or (subcommand == "show" and fragment) else [])


def _addresses(known: Known) -> list[str]:
    return [address_of(number, place) for number, images in known.jobs() for place in range(images)]


def _starting(fragment: str, words: Iterable[str]) -> Offer:
    return Offer(fragment, tuple(word for word in words if word.lower().startswith(fragment.lower())))
