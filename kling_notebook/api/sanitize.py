"""What comes from outside, made harmless: JSON within bounds, text of one line, records that open no image. Pure."""

import json
import math
import re
from collections.abc import Mapping
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
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\],]', re.DOTALL)


def parse(body: bytes) -> Any:
    """The JSON of a reply; None if it is not JSON, is nested too deep or is above 16 MB.

    Read all the same: broken UTF-8 (a text that was cut by bytes), raw control characters, bytes after the end, and
    what some services put before an object. NaN and infinity become None.
    """
    if len(body) > JSON_LIMIT:
        return None
    text = _decoded(body)
    try:
        value, end = _READER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Mapping | list) or not text[end:].strip() else None


def parse_torn(body: bytes) -> Any:
    """What arrived whole of an object that ends in the middle; None if nothing did."""
    text = _decoded(body[:JSON_LIMIT])
    open_ones: list[str] = []
    kept, closing = 0, ""
    for token in _TOKEN.finditer(text):
        mark, at = token[0], token.start()
        if mark == '"' or (mark in ("}", "]") and not open_ones):  # a text without an end, an end without a beginning
            break
        if mark in ("{", "["):
            open_ones.append("}" if mark == "{" else "]")
        elif mark in ("}", "]"):
            open_ones.pop()
        elif mark != "," and open_ones[-1:] != ["]"] and not text[max(0, at - 20) : at].rstrip().endswith(":"):
            continue  # a name: its value has not arrived
        kept, closing = token.end() - (mark == ","), "".join(reversed(open_ones))
    try:
        return _READER.decode(text[:kept] + closing)
    except (ValueError, RecursionError):
        return None


def _decoded(body: bytes) -> str:
    """The text, from where its JSON begins if that can be told."""
    encoding = json.detect_encoding(body)
    text = body.decode("utf-8-sig" if encoding == "utf-8" else encoding, "replace").lstrip()
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
        if len(value) > _LONGEST_TEXT:
            value = f"{value[:100]} [{len(value)} characters]"
        text = value.encode("utf-8", "replace").decode("utf-8")
        text = _DATA_URL.sub(lambda found: f"[data URL, {found[1] or 'untyped'}]", text)
        return _URL.sub(lambda found: f"[address on {found[1].rpartition('@')[2]}]", text)
    if isinstance(value, Mapping):
        return {without_urls(key): without_urls(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_urls(item, depth + 1) for item in value]
    return value
