"""Cut the magic's first line into tokens, and the value of ``--sweep`` into the values of an axis. Pure.

``shlex.split`` alone will not do: its escape character eats the backslashes of Windows paths, and it drops the quotes
that say which commas belong to a value. So a token here keeps both what was meant and what was typed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ...api.errors import InputError

QUOTES = "\"'"
CURLY = "\u201c\u201d\u2018\u2019"


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the line. ``text``: quotes removed. ``raw``: as typed. ``start``, ``end``: its place in the line."""

    text: str
    raw: str
    start: int
    end: int

    @property
    def quoted(self) -> bool:
        """True where it starts with a quote: then it is a value, whatever it looks like."""
        return self.raw[:1] in QUOTES


def split(line: str) -> tuple[Token, ...]:
    r"""The words of ``line``: spaces separate, quotes of either kind protect, nothing escapes.

    >>> [token.text for token in split(r'--image C:\pics\a.png --negative "red, blurry"')]
    ['--image', 'C:\\pics\\a.png', '--negative', 'red, blurry']

    Raises:
        InputError: a quote is not closed.
    """
    tokens: list[Token] = []
    start, text, quote = -1, "", ""
    for place, character in enumerate(line):
        if start < 0:
            if character.isspace():
                continue
            start, text = place, ""
        if quote:
            quote, text = ("", text) if character == quote else (quote, text + character)
        elif character in QUOTES:
            quote = character
        elif character.isspace():
            tokens.append(Token(text, line[start:place], start, place))
            start = -1
        else:
            text += character
    if quote:
        raise InputError(
            f"A quote ({quote}) is not closed: {_cut(line[start:])}. Close it, or put the other kind around the value."
        )
    if start >= 0:
        tokens.append(Token(text, line[start:], start, len(line)))
    return tuple(tokens)


def split_values(raw: str) -> list[str]:
    """The values between the commas of ``raw``; commas inside quotes belong to the value.

    >>> split_values('"red fox, asleep",owl')
    ['red fox, asleep', 'owl']

    Raises:
        InputError: a value is empty and not quoted, or a quote is not closed.
    """
    return [unquoted(value) for value in typed_values(raw)]


def typed_values(raw: str) -> list[str]:
    """As `split_values`, each value with its quotes."""
    pieces = [piece.strip() for piece in _pieces(raw)]
    if not all(pieces):
        raise InputError(f'A value of the sweep is empty in {_cut(raw)}. Remove the comma, or write "".')
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
            f"{_cut(text)} is not a Python list of plain values. Put texts in quotes, as in ['fox', 'owl'], or leave "
            "out the brackets."
        ) from None


def _pieces(raw: str) -> Iterator[str]:
    start, quote = 0, ""
    for place, character in enumerate(raw):
        if quote:
            quote = "" if character == quote else quote
        elif character in QUOTES:
            quote = character
        elif character == ",":
            yield raw[start:place]
            start = place + 1
    if quote:
        raise InputError(f"A quote ({quote}) is not closed: {_cut(raw)}. Close it.")
    yield raw[start:]


def unquoted(typed: str) -> str:
    """What was meant by what was typed: the same without its quotes.

    >>> unquoted('"red fox", asleep')
    'red fox, asleep'
    """
    text, quote = "", ""
    for character in typed:
        if quote and character == quote:
            quote = ""
        elif not quote and character in QUOTES:
            quote = character
        else:
            text += character
    return text


def _cut(text: str, length: int = 60) -> str:
    """Short enough for one line."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
