"""Read the values of an axis as a person types them: commas separate, quotes protect, literals are read. Pure."""

import ast
import re
from collections.abc import Iterable
from typing import Any

from ..api.errors import InputError
from ..view.markup import bounded

QUOTES = "\"'"
_QUOTED = "\"[^\"]*\"|'[^']*'"
_PIECE = re.compile(f"((?:[^,\"']|{_QUOTED})*),")


def typed_values(raw: str) -> list[str]:
    """The values between the commas of ``raw``, each with its quotes; commas inside quotes belong to the value.

    >>> typed_values('"red fox, asleep",owl')
    ['"red fox, asleep"', 'owl']

    Raises:
        InputError: a value is empty and not quoted, or a quote is not closed.
    """
    if unclosed := re.search("[\"']", re.sub(_QUOTED, "", raw)):
        raise InputError(f"A quote ({unclosed[0]}) is not closed: {bounded(raw, 60)}. Close it.")
    # With a comma behind it the last piece ends like all others.
    pieces = [piece.strip() for piece in _PIECE.findall(f"{raw},")]
    if not all(pieces):
        raise InputError(f'A value of the sweep is empty in {bounded(raw, 60)}. Remove the comma, or write "".')
    return pieces


def unwrap(raw: str) -> tuple[str, bool]:
    """``raw`` without the quotes around the whole of it, and whether there were any.

    >>> unwrap("'animal=red fox, asleep'"), unwrap('animal="red fox",owl')
    (('animal=red fox, asleep', True), ('animal="red fox",owl', False))
    """
    if len(raw) >= 2 and raw[0] in QUOTES and raw.find(raw[0], 1) == len(raw) - 1:
        return raw[1:-1], True
    return raw, False


def literal(text: str) -> object:
    """The value of a Python literal. Nothing is evaluated but literals.

    Raises:
        InputError: it is not one.
    """
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise InputError(
            f"{bounded(text, 60)} is not a Python list of plain values. Put texts in quotes, as in ['fox', 'owl'], or "
            "leave out the brackets."
        ) from None


def unquoted(typed: str) -> str:
    """What was meant by what was typed: the same without its quotes.

    >>> unquoted('"red fox", asleep')
    'red fox, asleep'
    """
    return re.sub(_QUOTED, lambda quoted: quoted[0][1:-1], typed)


def samples(values: list[str]) -> list[int | str] | int:
    """``3`` is three replicates; ``1,2,7`` and ``first,second`` are labels of replicates."""
    labels = [int(value) if re.fullmatch(r"[-+]?\d+", value.strip()) else value for value in values]
    return labels[0] if len(labels) == 1 and isinstance(labels[0], int) else labels


_BRACES = re.compile(r"\{(?:([^\W\d]\w*)|([^{}|]+(?:\|[^{}|]+)+))\}")


def left_in_braces(requests: Iterable[Any]) -> list[str]:
    """A line for each ``{name}`` and ``{a|b}`` in texts that are about to be sent: the model gets them as they are.

    >>> left_in_braces([kling.GenerationRequest("a {red|blue} fox")])
    ['{red|blue} is sent as it is. For an axis write {color} in the prompt, and --sweep color=red,blue.']
    """
    lines = {}
    for name, choices in _BRACES.findall(" ".join(sorted({str(one.values.values()) for one in requests}))):
        if name:
            how = f"To fill it define a variable {name} and use --fill, or use --sweep {name}=one,two."
        else:
            how = (
                "For an axis write {color} in the prompt, and --sweep color="
                f"{','.join(map(str.strip, choices.split('|')))}."
            )
        lines[name or choices] = f"{{{name or choices}}} is sent as it is. {how}"
    return list(lines.values())
