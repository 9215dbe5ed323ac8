"""The user's variables in a cell's options: axes of a sweep, source images, ``{name}`` in a prompt.

Names are looked up in a mapping; literals are read; nothing is evaluated.
"""

import re
import sys
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import FrameType
from typing import Any

from ...api.errors import InputError
from ...api.parameters import path_from
from ...results.sweep_axes import as_list, plain
from ...results.typed_values import literal, samples, typed_values, unquoted, unwrap
from ...view.markup import plural
from .parsing import closest

# Packages between the caller and here.
_INSIDE = ("kling_notebook", "IPython", "decorator")


def names_of_caller(shell: Any) -> Mapping[str, Any]:
    """What the caller of a magic sees: local variables of a function first, then globals, then the user's.

    IPython gives a cell magic the user's globals only, also inside a function that runs one.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _INSIDE:
        frame = frame.f_back
    scopes: list[Mapping[str, Any]] = []
    while frame is not None:
        scopes.append(frame.f_locals)
        if not frame.f_code.co_name.startswith("<") or frame.f_code.co_name == "<module>":
            scopes.append(frame.f_globals)
            break
        frame = frame.f_back  # around a comprehension or a lambda stands the function that it is in
    return ChainMap(*(dict(scope) for scope in scopes), shell.user_ns)


def parse_axis(raw: str, variables: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and values of one axis, from the value of ``--sweep`` as typed.

    Quotes around the whole (``'animal=red fox, asleep'``) protect its commas too: one value, unless lists or quotes
    follow the ``=``.

    Raises:
        InputError: no name, no values, an unknown variable, or values that are no text and no number.
    """
    inner, wrapped = unwrap(raw.strip())
    name, equals, rest = inner.partition("=")
    name, rest = name.strip().strip("{}").replace("-", "_"), rest.strip()
    if not equals or not name.isidentifier():
        raise InputError(f"--sweep {inner} needs a name and values, as in --sweep animal=fox,owl.")
    if not rest:
        raise InputError(f"The axis {name} has no values. Write --sweep {name}=one,two.")
    typed: Sequence[str] = ()
    values: Any
    if rest.startswith("@"):
        values = _lines_of(name, unquoted(rest[1:]))
    elif rest.startswith("$"):
        values = _listed(name, _variable(rest[1:], variables), rest)
    elif rest.startswith(("[", "(")):
        values = _listed(name, literal(rest), rest)
    else:
        whole = wrapped and not rest.startswith(("'", '"'))
        typed = [rest] if whole else typed_values(rest)
        values = [rest] if whole else [unquoted(value) for value in typed]
        if name == "sample":
            values = samples(values)
    if name == "image":
        values = [
            source(value, variables, typed=typed_text) if isinstance(value, str) else value
            for value, typed_text in zip(values, typed or values, strict=True)
        ]
    return name, values


def batch_table(text: str, variables: Mapping[str, Any]) -> Any:
    """The table of ``--batch``: the object of a variable, or the path of a file as it is."""
    text = unquoted(text)
    table = _variable(text[1:], variables) if text.startswith("$") else text
    if table is None:
        raise InputError(
            f"{text[1:]} is None and not a table. Is it the result of a call with inplace=True?", parameter="batch"
        )
    return table


def _lines_of(name: str, path: str) -> list[str]:
    """The values of an axis from a text file, one a line; empty lines are skipped."""
    try:
        lines = path_from(path, name).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file in UTF-8"
        raise InputError(
            f"The values of the axis {name} cannot be read from {path}: {reason}.", parameter=name
        ) from None
    values = [line.strip() for line in lines if line.strip()]
    if not values:
        raise InputError(f"{path} has no values for the axis {name}. Write one a line.", parameter=name)
    return values


def _variable(name: str, variables: Mapping[str, Any]) -> Any:
    name = name.strip().removeprefix("{").removesuffix("}")
    if not name.isidentifier():
        raise InputError(
            f"${name} is not the name of a variable; nothing is evaluated here. Assign it to a name first."
        )
    if name not in variables:
        raise InputError(f"There is no variable {name!r}.{_close(name, variables)}")
    return variables[name]


def _listed(name: str, values: Any, typed_text: str) -> Any:
    if getattr(values, "ndim", 1) > 1:  # walking through a table would give the names of its columns
        raise InputError(f"{typed_text} is a table. Put one of its columns into a variable, and give that.")
    values = plain(values)
    if name == "sample" and isinstance(values, int) and not isinstance(values, bool):
        return values
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise InputError(f"{typed_text} is one value, not a list. Write {name}=[...] or the values with commas.")
    values = [plain(value) for value in as_list(values)]  # a list of NumPy numbers holds what a list of numbers does
    if name != "image":
        for value in values:
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                raise InputError(f"{typed_text} holds a {type(value).__name__}; a sweep takes text and numbers.")
    return values


_NAME = re.compile(
    r"""(?P<name>[^\W\d]\w*)(?P<subscript>\[(?:(?P<place>-?\d+)|'(?P<one>[^']*)'|"(?P<two>[^"]*)")\])?"""
)


def source(text: str, variables: Mapping[str, Any], *, typed: str = "") -> Any:
    """What ``--image`` names: the object of a variable, or the text itself (a path, a URL, an address) for the session.

    ``last`` and ``lastb`` are addresses even if a variable has that name. ``typed``: the text with its quotes,
    which say whether ``foxes['1']`` the value or ``foxes[1]`` the place is meant.
    """
    found = _NAME.fullmatch(typed.strip().removeprefix("$")) or _NAME.fullmatch(text.strip().removeprefix("$"))
    if not found or found["name"] == "last":
        return text
    given, text = text.strip(), found[0]
    if found["name"] not in variables:
        if found["subscript"] is None and not given.startswith("$"):
            return text
        raise InputError(
            f"There is no variable {found['name']!r}.{_close(found['name'], variables)}", parameter="image"
        )
    held = variables[found["name"]]
    value = held if found["subscript"] is None else _picked(held, found)
    if value is None:  # taken as it is, the image would be made, and paid, without its source
        raise InputError(
            f"{text} is None. Put an image, a path or a URL into it, or leave the image out.", parameter="image"
        )
    return value


def _picked(value: Any, found: re.Match[str]) -> Any:
    """What a variable holds at a place, or under a name: of a sweep the result of that value."""
    try:
        return value[int(found["place"]) if found["place"] is not None else found["one"] or found["two"] or ""]
    except IndexError:
        raise InputError(
            f"{found['name']} has {plural(len(value), 'image')}; {found[0]} is not one of them. Count from 0.",
            parameter="image",
        ) from None
    except (TypeError, KeyError):
        kind = "list of images" if found["place"] is not None else "sweep or dictionary"
        raise InputError(f"{found['name']} is not a {kind}, so there is no {found[0]}.", parameter="image") from None


def placeholder_values(
    texts: Iterable[str], variables: Mapping[str, Any], keep: Collection[str] = ()
) -> dict[str, str]:
    """What ``--fill`` puts in place of each ``{name}`` in ``texts`` that is the name of a variable.

    Unknown names stay as they are, and so do the names in ``keep`` (a sweep fills those in, together with these: what a
    variable holds is not filled in again).

    Raises:
        InputError: the variable holds no text and no number.
    """
    found = {}
    for name in re.findall(r"\{([^\W\d]\w*)\}", " ".join(texts)):
        if name in keep or name not in variables:
            continue
        value = plain(variables[name])
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            kind = type(variables[name]).__name__
            raise InputError(f"--fill puts in text and numbers; {name} is a {kind}.", parameter="prompt")
        found[name] = str(value)
    return found


def _close(name: str, variables: Mapping[str, Any]) -> str:
    return closest(name, [known for known in variables if not known.startswith("_")]) or " Define it first."
