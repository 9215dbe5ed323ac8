"""The shapes of the service's replies, for a bug report: status codes, header names, key names and types.

Never a value, the key, a prompt or a URL: what is kept here may be sent to strangers.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .sanitize import parse

MOST_SHAPES = 100
LARGEST_BODY = 2**20  # bytes; of a larger body only the size class is noted
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")

_shapes: Counter[str] = Counter()  # each different shape, as JSON text, and how often it came


def note(method: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Take in a reply."""
    reply = parse(body) if len(body) <= LARGEST_BODY else None
    shape = shape_of(reply) if reply is not None else "empty" if not body else "not JSON, or above 1 MB"
    text = json.dumps({"method": method, "status": status, "headers": sorted(map(_name, headers)), "body": shape})
    if text in _shapes or len(_shapes) < MOST_SHAPES:
        _shapes[text] += 1


def shape_of(value: Any, depth: int = 0) -> Any:
    """Names and types in place of values."""
    if isinstance(value, Mapping):
        return {_name(key): shape_of(item, depth + 1) for key, item in value.items()} if depth < 8 else "object"
    if isinstance(value, list):
        return [shape_of(item, depth + 1) for item in value[:1]] if depth < 8 else "list"
    if isinstance(value, str):
        return "URL" if value.startswith(("http:", "https:", "data:")) else "text"
    return {"bool": "truth value", "int": "number", "float": "number"}.get(type(value).__name__, "null")


def _name(key: object) -> str:
    """A name as it stands if it looks like one: a key may be anything, also a prompt."""
    return str(key) if _NAME.fullmatch(str(key)) else "(not a plain name)"


def as_json() -> str:
    """What was noted in this process, as the text of a JSON file."""
    replies = [json.loads(text) | {"times": times} for text, times in _shapes.items()]
    return json.dumps({"replies": replies}, indent=1) + "\n"
