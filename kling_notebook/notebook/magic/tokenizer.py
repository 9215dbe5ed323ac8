"""Cut the magic's first line into tokens. Pure.

``shlex.split`` alone will not do: its escape character eats the backslashes of Windows paths, and it drops the quotes
that say which commas belong to a value. So a token here keeps both what was meant and what was typed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...api.errors import InputError
from ...results.typed_values import QUOTES
from ...view.markup import bounded

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


def split(line: str, *, apostrophes: bool = False) -> tuple[Token, ...]:
    r"""The words of ``line``: spaces separate, quotes of either kind protect, nothing escapes.

    With ``apostrophes`` a quote after a letter that is not closed stands for itself.

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
        elif character in QUOTES and not (apostrophes and text[-1:].isalpha() and character not in line[place + 1 :]):
            quote = character
        elif character.isspace():
            tokens.append(Token(text, line[start:place], start, place))
            start = -1
        else:
            text += character
    if quote:
        raise InputError(
            f"A quote ({quote}) is not closed: {bounded(line[start:], 60)}. Close it, or put the other kind around the "
            "value."
        )
    if start >= 0:
        tokens.append(Token(text, line[start:], start, len(line)))
    return tuple(tokens)
