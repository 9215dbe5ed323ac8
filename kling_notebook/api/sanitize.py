"""What comes from outside, made harmless: JSON within bounds, text of one line, records that open no image. Pure."""

import json
import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

JSON_LIMIT = 2**24  # bytes of a reply above which it is not read as JSON: a reply may echo a source image of 13 MB

_LONGEST_TEXT = 20_000  # characters of a text that is kept for a record: longer is an image, or of no use

# 1e400 becomes None as infinity does: JSON could not hold it again.
_READER = json.JSONDecoder(
    parse_constant=lambda _: None,
    parse_float=lambda text: value if math.isfinite(value := float(text)) else None,
    strict=False,
)
_PREFIX = re.compile(r"(?:[^{\[<]{0,200}(?:<br|<b>)[^{\[]{0,500}|\)\]\}'?,?|data:)?\s{0,99}(?=[{\[])", re.IGNORECASE)
_BEGINNING = re.compile(r"[{\[]")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\],]', re.DOTALL)
# With what stands before and after it: one that neither begins nor ends a text belongs to it.
_QUOTE = re.compile(r'([{\[,:]\s*)?(?<!\\)"(?=(\s*(?:[}\],:]|$))?)')
# An escape, a backslash that is none, a comma before an end.
_SLIP = re.compile(r'(\\u[0-9A-Fa-f]{4}|\\["\\/bfnrt])|(\\)|,(?=\s*[}\]])')
MOST_VALUES, MOST_TOKENS = 32, 50_000
"""In one reply; beyond lies nonsense, which must not take long to read."""


def parse(body: bytes) -> Any:
    """The JSON of a reply; None if it is not JSON, is nested too deep or is above 16 MB.

    Read all the same: broken UTF-8 (a text that was cut by bytes), raw control characters, bytes after the end, and
    what some services put before an object. NaN and infinity become None.
    """
    text = _decoded(body) if len(body) <= JSON_LIMIT else ""
    try:
        value, end = _READER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Mapping | list) or not text[end:].strip() else None


def parse_all(body: bytes) -> tuple[list[Any], bool]:
    """The objects and lists in a reply, in their order, and True if they are whole.

    Also of lines of JSON, of a stream of events, of a call (JSONP) and of JSON inside a text. Of a body that ends in
    the middle of the first one: what arrived of it, and False.
    """
    text = _decoded(body[:JSON_LIMIT])
    text = inside if text.startswith('"') and isinstance(inside := parse(body), str) else text
    found: list[Any] = []
    at, tries = _BEGINNING.search(text), 0
    while at is not None and (tries := tries + 1) <= MOST_VALUES:
        try:
            value, end = _READER.raw_decode(text, at.start())
        except (ValueError, RecursionError):
            value, end = _damaged(text, at.start())
            if value is None and len(text) < 2**17:  # a quote of the prompt, perhaps, without an escape
                escaped = text[: at.start()] + _QUOTE.sub(_escaped, text[at.start() :])
                if (read := _damaged(escaped, at.start()))[0]:
                    (value, end), text = read, escaped
            if value and not end and not found:
                return [value], False
        found += [value] if isinstance(value, Mapping | list) and end else []
        at = _BEGINNING.search(text, end or at.end())
    return found, True


def _escaped(mark: re.Match[str]) -> str:
    return mark[0] if mark[1] or mark[2] else '\\"'


def _damaged(text: str, start: int) -> tuple[Any, int]:
    """What can be read of a value that is not quite JSON, None if nothing, and where it ends, 0 if it was cut.

    Commas before an end and escapes that JSON does not know are overlooked.
    """
    open_ones: list[str] = []
    kept = start
    for token in islice(_TOKEN.finditer(text, start), MOST_TOKENS):
        mark, at = token[0], token.start()
        if mark == '"' or (kept > start and not open_ones):  # a text without an end, or the end
            break
        if mark in ("{", "["):
            open_ones.append("}" if mark == "{" else "]")
        elif mark in ("}", "]"):
            open_ones.pop()
        elif mark != "," and open_ones[-1:] != ["]"] and not text[max(0, at - 20) : at].rstrip().endswith(":"):
            continue  # a name: its value has not arrived
        kept = token.end() - (mark == ",")
    closing = "".join(reversed(open_ones))
    try:
        return _READER.decode(_SLIP.sub(r"\1\2\2", text[start:kept] + closing, MOST_TOKENS)), 0 if closing else kept
    except (ValueError, RecursionError):
        return None, 0 if closing else kept


def in_utf8(body: bytes) -> bytes:
    """A body in UTF-16 or UTF-32 in UTF-8, any other as it is."""
    return (
        body
        if (found := json.detect_encoding(body)).startswith("utf-8")
        else body.decode(found, "replace").encode("utf-8", "replace")
    )


def _decoded(body: bytes) -> str:
    """The text, from where its JSON begins if that can be told."""
    text = in_utf8(body).decode("utf-8-sig", "replace").lstrip()
    return text[prefix.end() :] if (prefix := _PREFIX.match(text)) else text


def number(value: object) -> float | None:
    """A finite number of at least 0, perhaps written as text; None for anything else."""
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if 0.0 <= found < math.inf else None


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
_URL = re.compile(r"https?://([^\s/\"'<>?#]*)[^\s\"'<>]*", re.IGNORECASE)
_DATA_URL = re.compile(r"data:([\w/+.-]*)[;,][^\s\"'<>]*", re.IGNORECASE)


def clean(value: Any, limit: int = 300) -> str:
    """One line of readable text, cut: no control characters, no terminal escapes, nothing that turns text around, no
    address that opens an image."""
    if value is None:
        return ""
    if isinstance(value, Mapping | list):
        value = json.dumps(without_urls(value))
    text = str(without_urls(" ".join(_UNSAFE.sub(" ", _ESCAPES.sub("", str(value)[: limit * 20])).split())))
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def without_urls(value: Any, depth: int = 0) -> Any:
    """The same JSON with every address cut to its host and every data URL to its type: the rest opens an image."""
    if depth > 50:
        return "..."
    if isinstance(value, str):
        value = f"{value[:100]} [{len(value)} characters]" if len(value) > _LONGEST_TEXT else value
        text = value.encode("utf-8", "replace").decode("utf-8")
        text = _DATA_URL.sub(lambda found: f"[data URL, {found[1] or 'untyped'}]", text)
        return _URL.sub(lambda found: f"[address on {found[1].rpartition('@')[2]}]", text)
    if isinstance(value, Mapping):
        return {without_urls(key): without_urls(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_urls(item, depth + 1) for item in value]
    return value
