"""One word for one thing: the words that this project gave up for the field's own appear nowhere.

Identifiers are split at underscores and capitals, so that ``PictureBox`` counts as ``picture``. What a prompt, a
service's reply or a painted subject needs is allowed below, with its reason.
"""

from __future__ import annotations

import functools
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What to write instead stands beside each pattern; a failing test prints it.
DROPPED = {
    r"said": "show, report, given: who or what says it",
    r"nobody": "no one, nothing, or the condition itself",
    r"doors?": "entry point",
    r"houses?|rooms?": "package, module; space",
    r"pictures?|pictured": "image",
    r"set(?:s|ting)? aside|park(?:s|ed|ing)?|unfinished": "paused",
    r"doubt(?:s|ed|ful|fully)?": "unconfirmed, dismiss",
    r"withdr(?:aw|aws|ew|awn|awing|awal|awals)": "cancel",
    r"purses?": "budget, spending ledger",
    r"go(?:es|ing)? on|went on": "continue, keep running",
    r"blanks": "spaces",
    r"(?<!there )is no (?!longer)\w+": "is not a",
    r"of ours": "name the thing",
}
ALLOWED = {
    # Subjects: what is painted, and the prompts that ask for it.
    "kling_notebook/sandbox/painter": {"doors?", "houses?|rooms?", "pictures?|pictured", "park"},
    "tests/sandbox": {"doors?", "houses?|rooms?", "pictures?|pictured", "park"},
    "notebooks": {"houses?|rooms?"},
    "docs": {"houses?|rooms?"},
    "kling_notebook/notebook/panel/form.py": {"houses?|rooms?"},  # an example prompt
    "tests/test_notebooks.py": {"houses?|rooms?"},
    "tests/browser/test_rendered.py": {"of ours"},  # JavaScript: for (const area of ours)
    "tests/notebook/test_extension.py": {"nobody"},  # the name of a user that does not exist
    "tests/jobs/test_evidence.py": {"pictures?|pictured"},  # a service's reply
    "kling_notebook/sandbox/service.py": {"pictures?|pictured"},  # the seed of every image derives from this word
    # The list itself.
    "tests/test_words.py": set(DROPPED),
}
"""Patterns allowed below a path, by a word of theirs."""

FILES = sorted(
    path
    for folder, endings in (
        ("kling_notebook", (".py", ".js")),
        ("tests", (".py",)),
        ("notebooks", (".ipynb",)),
        ("docs", (".md",)),
        ("binder", (".py", ".ipynb", ".md")),
    )
    for path in (ROOT / folder).rglob("*")
    if path.suffix in endings and not any(part.startswith(".") or part == "__pycache__" for part in path.parts)
) + [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", ".github/SECURITY.md")]


def _pieces(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of what a reader reads: names, strings and comments of code; all of a page or a cell."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        for place, cell in enumerate(json.loads(text)["cells"], 1):
            yield place, "".join(cell["source"])
    elif path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.NAME, tokenize.STRING, tokenize.COMMENT):
                yield token.start[0], token.string
    else:
        yield from enumerate(text.splitlines(), 1)


def _words(text: str) -> str:
    """``text`` with identifiers taken apart, in lower case: ``_saidWord`` as "said word"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return re.sub(r"[\W_]+", " ", apart).lower()


def found(path: Path) -> list[str]:
    """What is dropped and stands in a file all the same."""
    name = path.relative_to(ROOT).as_posix()
    allowed = set().union(*(words for below, words in ALLOWED.items() if name.startswith(below)))
    hits = []
    for line, piece in _pieces(path):
        for pattern, match, around in _dropped(_words(piece)):
            if pattern not in allowed:
                hits.append(f"{name}:{line}: {match!r} in '{around}' (write: {DROPPED[pattern]})")
    return hits


@functools.cache
def _dropped(words: str) -> list[tuple[str, str, str]]:
    """(pattern, what it found, the words around it); the same names come again and again."""
    matches = ((pattern, re.search(rf"\b(?:{pattern})\b", words)) for pattern in DROPPED)
    return [
        (pattern, match[0], words[max(0, match.start() - 30) : match.end() + 30].strip())
        for pattern, match in matches
        if match
    ]


def test_no_dropped_word_is_left() -> None:
    hits = [hit for path in FILES for hit in found(path)]
    assert not hits, f"{len(hits)} words of the list:\n" + "\n".join(hits)


@pytest.mark.parametrize(
    "text",
    [
        "_said",
        "PictureGrid",
        "setAside = 1",
        "# Nobody waits",
        "'it is no number'",
        "withdrawals",
        "the job goes on",
        "x_of_ours",
    ],
)
def test_the_search_finds_names_strings_and_comments(text: str, tmp_path: Path) -> None:
    assert any(re.search(rf"\b(?:{pattern})\b", _words(text)) for pattern in DROPPED)
