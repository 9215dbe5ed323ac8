"""Cut the first line into tokens, and find the options among them; say what was meant if one is unknown. Pure.

``shlex.split`` alone will not do: its escape character eats the backslashes of Windows paths, and it drops the quotes
that say which commas belong to a value. So a token here keeps both what was meant and what was typed.
"""

import difflib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...api.errors import InputError
from ...results.typed_values import QUOTES, literal, unquoted
from ...view.markup import bounded
from .options_table import Option

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
        """True if it starts with a quote: then it is a value, whatever it looks like."""
        return self.raw[:1] in QUOTES


# A word, and in it the first quote that nothing closes.
_WORD = re.compile(r"""(?=\S)(?:[^\s"']|"[^"]*"|'[^']*')*(?:(?P<open>["'])(?:[^\s"']|"[^"]*"|'[^']*'|["'])*)?""")


def split(line: str, *, apostrophes: bool = False) -> tuple[Token, ...]:
    r"""The words of ``line``: spaces separate, quotes of either kind protect, nothing escapes.

    With ``apostrophes`` a quote after a letter that is not closed stands for itself.

    >>> [token.text for token in split(r'--image C:\pics\a.png --negative "red, blurry"')]
    ['--image', 'C:\\pics\\a.png', '--negative', 'red, blurry']

    Raises:
        InputError: a quote is not closed.
    """
    tokens = []
    for found in _WORD.finditer(line):
        open_quote = found["open"]
        if open_quote and not (apostrophes and line[: found.start("open")][-1:].isalpha()):
            what = f"A quote ({open_quote}) is not closed: {bounded(line[found.start() :], 60)}."
            raise InputError(f"{what} Close it, or put the other kind around the value.")
        tokens.append(Token(unquoted(found[0]), found[0], *found.span()))
    return tuple(tokens)


def parse_options(
    tokens: Sequence[Token], options: Sequence[Option], line: str, command: str = "%%kling"
) -> tuple[dict[str, Any], tuple[Token, ...]]:
    """The options among ``tokens`` by key, and the words that are none.

    A switch gives True, an option its text (as typed, quotes kept, if its row says so), a repeatable one the list of
    its values.

    Raises:
        InputError: an unknown option, a missing value, or an option given twice.
    """
    given: dict[str, Any] = {}
    words: list[Token] = []
    place = 0
    while place < len(tokens):
        token, place = tokens[place], place + 1
        # A dash and a letter: -1 is a value. The long dashes are what word processors make of two short ones.
        if token.quoted or not re.match(r"[-\u2013\u2014]+[^\W\d]", token.text):
            words.append(token)
            continue
        option, flag, value = _find(token, options, command)
        if value is not None and not option.metavar:
            raise InputError(f"{flag} takes no value.")
        if value is None and option.metavar:
            if place >= len(tokens) or _is_option(tokens[place], options):
                raise InputError(f"{flag} needs a value: {flag} {option.metavar}.")
            value, place = tokens[place].raw if option.typed else tokens[place].text, place + 1
        if option.repeatable and value is not None:
            value, place = _continued(value, tokens, place, line, options)
            given.setdefault(option.key, []).append(value)
        elif option.key in given:
            raise InputError(f"{flag} is given twice. Keep one.")
        else:
            given[option.key] = True if value is None else value
    return given, tuple(words)


def _find(token: Token, options: Sequence[Option], command: str) -> tuple[Option, str, str | None]:
    """The option a token names, the flag it used, and the value attached to it (None if there is none)."""
    name, equals, value = token.text.partition("=")
    flags = {flag: option for option in options for flag in option.flags}
    if name in flags:
        typed = token.raw.partition("=")[2] if flags[name].typed else value
        return flags[name], name, typed if equals else None
    # -n4: a short flag with its value behind it.
    short = token.text[:2]
    if short in flags and not token.text.startswith("--") and f"-{name}" not in flags and flags[short].metavar:
        return flags[short], short, token.text[2:].removeprefix("=")
    raise InputError(_unknown_option(name, flags, command))


def _is_option(token: Token, options: Sequence[Option]) -> bool:
    return not token.quoted and any(token.text.partition("=")[0] in option.flags for option in options)


_MEANT = {
    "--ar": "--aspect-ratio",
    "--ratio": "--aspect-ratio",
    "--size": "--resolution",
    "--count": "--num-outputs",
    "--number": "--num-outputs",
    "--num-images": "--num-outputs",
    "--type": "--output-format",
    "--name": "--output",
    "--wait": "--no-wait",
    "--budget": "--max-credits",
    "--no-reuse": "--fresh",
}


def _unknown_option(name: str, flags: Mapping[str, Option], command: str) -> str:
    plain = re.sub(r"^[-\u2013\u2014]+", "", name).replace("_", "-").lower()
    long = f"--{plain}"
    # The message leaves the value out: it may be a key.
    if "key" in plain.split("-") or "token" in plain.split("-") or plain == "apikey":
        return "A key is never an option: it would be saved in the notebook. Use %kling login, or PIXELDOJO_API_KEY."
    if plain == "seed" and "--sweep" in flags:
        return "The model has no seed. --sweep sample=4 makes four replicates."
    if not flags:
        return f"{command} takes no options."
    longs = [flag for flag in flags if flag.startswith("--")]
    # --n, -N4, or a dash that a word processor made
    short = f"-{plain[:1]}" if not plain[1:] or plain[1].isdigit() else ""
    # From the surest guess to the vaguest.
    close = (
        [flag for flag in (long, short) if flag in flags]
        or [flag for flag in longs if len(plain) > 1 and flag.startswith(long)]
        or [_MEANT[long] for _ in [0] if _MEANT.get(long) in flags]
        or [flag for flag in longs if len(plain) > 2 and plain in flag]
        or difflib.get_close_matches(long, longs, 1, 0.6)
    )
    if close:
        return f"There is no option {name}. Did you mean {close[0]}?"
    return f"There is no option {name}. There are {', '.join(sorted(set(longs)))}."


def unexpected_word(token: Token) -> str:
    if any(mark in token.raw for mark in CURLY):
        return f'{token.raw} has curly quotes. Use straight ones around a value: "like this".'
    return (
        f"Unexpected {token.raw!r} on the first line. Put options there and the prompt below; "
        "quote values that contain spaces."
    )


def _continued(raw: str, tokens: Sequence[Token], place: int, line: str, options: Sequence[Option]) -> tuple[str, int]:
    """The value of ``--sweep`` as typed, and the place after it: a list, or values after a comma, may have spaces.

    ``raw``: its first token, which ends before ``place``.
    """
    start = tokens[place - 1].end - len(raw)
    if raw.partition("=")[2][:1] in ("[", "("):
        # Up to the token that completes the list: a bracket inside a text does not.
        for last in range(place, len(tokens) + 1):
            whole = line[start : tokens[last - 1].end]
            if _closes(whole.partition("=")[2]):
                return whole, last
        return raw, place
    while place < len(tokens) and not _is_option(tokens[place], options):
        if not raw.endswith(",") and not tokens[place].raw.startswith(","):
            break
        place += 1
        raw = line[start : tokens[place - 1].end]
    return raw, place


def _closes(text: str) -> bool:
    try:
        literal(text)
    except InputError:
        return False
    return True


def number(flag: str, text: str, *, zero: bool = False) -> float:
    """A finite number above zero (or zero if ``zero``).

    Raises:
        InputError: it is not.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise InputError(f"{flag} needs a number {'from 0 up' if zero else 'above 0'}, not {text!r}.")
    return value


def closest(word: str, words: Collection[str]) -> str:
    """`` Did you mean x?`` or nothing."""
    close = [known for known in words if len(word) > 1 and known.startswith(word)] or difflib.get_close_matches(
        word, words, 1, 0.6
    )
    return f" Did you mean {close[0]}?" if close else ""
