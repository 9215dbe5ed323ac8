"""The words the painter knows: one table from word to change of the scene, and the reading of a prompt with it.

The table is words.txt. The first word of a row is its own name, the others are synonyms; an underscore joins the words
of a phrase. Plurals are found by rule. A word that is not in the table may be that of a drawing of the published set.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal, get_args

from .catalog import index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = Literal[
    "place", "time", "sky", "weather", "season", "subject", "style", "colour", "count", "size", "trait", "view", "mood",
    "break", "other",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Word:
    """One row of the table. `value` is what the scene is told, `phrases` how people write it."""

    kind: Kind
    value: str
    phrases: tuple[str, ...]


def _sections() -> Mapping[str, list[str]]:
    """The lines of words.txt by the section they stand in."""
    found: dict[str, list[str]] = {}
    for line in resources.files(__package__).joinpath("words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            lines = found[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


_SECTIONS = _sections()


def plain(section: str) -> frozenset[str]:
    """The words of a section that has no rows."""
    return frozenset(" ".join(_SECTIONS[section]).split())


def rows(section: str) -> Mapping[str, tuple[str, ...]]:
    """The rows of a section: their names, and the words behind each."""
    return {name: tuple(words.split()) for name, _, words in (line.partition(": ") for line in _SECTIONS[section])}


TABLE: tuple[Word, ...] = tuple(
    Word(kind, value, tuple(phrase.replace("_", " ") for phrase in words))
    for kind in get_args(Kind)
    for value, words in (rows(kind) if kind in _SECTIONS else {}).items()
)
SET: tuple[Word, ...] = tuple(Word("subject", name, drawing.words) for name, drawing in index().items())
"""The words for drawings of the published set."""
_INDEX: Mapping[str, Word] = {phrase: word for table in (SET, TABLE) for word in table for phrase in word.phrases}
_LONGEST = max(phrase.count(" ") + 1 for phrase in _INDEX)
_IRREGULAR = {several: one for one, words in rows("irregular").items() for several in words}
_SILENT, _FILLERS = plain("silent"), plain("filler")
_PHRASES = frozenset(phrase.replace("_", " ") for phrase in plain("skipped"))
"""Phrases whose words mean something else than they do alone: they are skipped."""
_NEAREST = frozenset(phrase.replace("_", " ") for phrase in plain("nearest"))
"""Phrases that are drawn as something else, the nearest that the painter knows."""
_THINGS = frozenset(("table", "studio", "room"))
"""Homes of what is only a flavor or a material before another thing: a glass vase, a chocolate cake."""
_STOPS = frozenset(",")
_NOT = frozenset(("no", "without", "not", "minus"))
LETTERS = 12_000
"""Letters of a prompt that are read. The rest is ignored, so that no prompt takes long."""
WORDS = 600
BREAK = Word("break", "", ())
"""A comma or full stop: what stands before it does not describe what comes after."""
SEVERAL, PAIR = Word("count", "3", ()), Word("count", "2", ())
"""What a plural without a number means, and a couple."""
BACKDROP = Word("place", "studio", ())
"""What a color before "background" means."""
OTHER = Word("other", "", ())
"""An unknown word, where a colour before it may have been meant for it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt, read: known words in order, those it denies ("no moon"), and the words that mean nothing here.

    `undrawn` are those of the unknown words that may name something. `quoted` are the words in quotation marks.
    """

    known: tuple[Word, ...]
    denied: frozenset[tuple[Kind, str]]
    unknown: tuple[str, ...]
    undrawn: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()


def read(text: str) -> Reading:
    """Find the table's words in `text`, the longest phrase first. Never fails, whatever the text holds."""
    rest, quoted = _quotes(text[:LETTERS])
    tokens = _tokens(rest)
    known: list[Word] = []
    denied: set[tuple[Kind, str]] = set()
    unknown: list[str] = []
    undrawn: list[str] = []
    at, noun_end, negated = 0, 0, False
    while at < len(tokens):
        word, length, phrase = _longest(tokens, at)
        token, plural = tokens[at], phrase != " ".join(tokens[at : at + length])
        begun, at = at, at + length
        if word is not None:
            if negated:
                denied.add((word.kind, word.value))
            else:
                several = PAIR if token == "couple" else SEVERAL if plural else None  # noqa: S105 - an English word
                _keep(known, word, several, after_noun=begun == noun_end > 0)
                undrawn += [phrase] * (phrase in _NEAREST)
                noun_end = at if word.kind == "subject" and not plural else 0
            negated = False
        elif length > 1:
            continue
        elif known and known[-1].kind == "colour" and tokens[begun] == "background":
            known.append(BACKDROP)
        elif token in _STOPS:
            known.append(BREAK)
            negated = False
        elif token in _NOT:
            negated = True
        elif token not in _SILENT:
            if token != "any":  # noqa: S105 - an English word
                negated = False
            unknown.append(token[:40])
            if token not in _FILLERS and not _verb(token):
                undrawn.append(token[:40])
            known.append(OTHER)
    return Reading(tuple(known), frozenset(denied), tuple(unknown), tuple(dict.fromkeys(undrawn)), quoted)


def _keep(known: list[Word], word: Word, several: Word | None, *, after_noun: bool) -> None:
    """Add a word of the tables, with what its plural and a noun right before it mean."""
    pair = [index()[one.value] for one in (known[-1], word) if one.kind == "subject"] if after_noun else []
    if len(pair) == 2 and all(one.kind == "set" and one.home in _THINGS for one in pair):
        known.pop()
    if several and word.kind == "subject" and not _counted(known):
        known.append(several)
    known.append(word)


def _verb(token: str) -> bool:
    """Whether a word looks like a verb, an adverb, a number or a single letter."""
    return len(token) < 2 or token.isdigit() or token.endswith(("ing", "ly", "ed"))


_QUOTED = re.compile(
    '["\u201c\u201e\u00ab]([^"\u201c\u201d\u201e\u00bb]{1,80})["\u201d\u201c\u00bb]'
    "|(?<!\\w)['\u2018]([^'\u2019]{1,80})['\u2019](?!\\w)"
)


def _quotes(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without what stands in quotation marks, and that."""
    found = tuple(" ".join((a or b).split()) for a, b in _QUOTED.findall(text))
    return _QUOTED.sub(" , ", text), tuple(part for part in found if part)[:3]


def _counted(before: list[Word]) -> bool:
    """Whether a number stands before the noun, colours and sizes between them or not."""
    for word in reversed(before):
        if word.kind == "count":
            return True
        if word.kind not in {"size", "colour", "mood"}:
            return False
    return False


def _longest(tokens: list[str], at: int) -> tuple[Word | None, int, str]:
    """The word at this place, how many tokens it takes, and the phrase of the tables that it was found by."""
    for length in range(min(_LONGEST, len(tokens) - at), 0, -1):
        head = tokens[at : at + length - 1]
        if length > 1 and " ".join(tokens[at : at + length]) in _PHRASES:
            return None, length, ""
        for last in _singulars(tokens[at + length - 1]):
            phrase = " ".join((*head, last))
            if phrase in _INDEX:
                return _INDEX[phrase], length, phrase
    return None, 1, ""


def _singulars(token: str) -> Iterator[str]:
    """The token, then what it may be the plural of."""
    yield token
    if token in _IRREGULAR:
        yield _IRREGULAR[token]
    for ending, instead in (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", "")):
        if token.endswith(ending) and len(token) > len(ending) + 1:
            yield token[: -len(ending)] + instead


def _tokens(text: str) -> list[str]:
    letters: list[str] = []
    for letter in unicodedata.normalize("NFKD", text[:LETTERS]):
        category = unicodedata.category(letter)
        if category == "So":  # emoji have names, and the names are words: FOX FACE, CRESCENT MOON
            letters.append(f" {unicodedata.name(letter, '')} ")
        elif letter in ",.;:!?()\n":
            letters.append(" , ")
        elif category[0] in "LN":
            letters.append(letter)
        elif category[0] != "M":
            letters.append(" ")
    return re.findall(r"\S+", "".join(letters).lower())[:WORDS]
