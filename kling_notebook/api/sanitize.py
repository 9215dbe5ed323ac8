"""What comes from outside, made harmless: JSON within bounds, text of one line, records that open no image. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

JSON_LIMIT = 2**20
"""Bytes of a reply above which it is not read as JSON."""


def parse(body: bytes) -> Any:
    """The JSON of a reply; None where it is none, is nested too deep or is above 1 MB. NaN and infinity become None."""
    if len(body) > JSON_LIMIT:
        return None
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


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
    text = " ".join(_UNSAFE.sub(" ", _ESCAPES.sub("", str(value)[: limit * 20])).split())
    text = str(without_urls(text))
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def without_urls(value: Any, depth: int = 0) -> Any:
    """The same JSON with every address cut to its host and every data URL to its type: the rest opens an image."""
    if depth > 50:
        return "..."
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode("utf-8")
        text = _DATA_URL.sub(lambda found: f"[data URL, {found[1] or 'untyped'}]", text)
        return _URL.sub(lambda found: f"[address on {found[1].rpartition('@')[2]}]", text)
    if isinstance(value, Mapping):
        return {without_urls(key): without_urls(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_urls(item, depth + 1) for item in value]
    return value
