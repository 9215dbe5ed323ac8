"""Which drawings of the published set there are; reads the archive, draws nothing."""

from __future__ import annotations

import functools
import io
import json
import threading
import zipfile
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOCK = threading.Lock()


class Drawing(NamedTuple):
    """An entry of the index: the words that mean it, where it is at home, and its usual height in units."""

    words: tuple[str, ...]
    home: str
    height: float


@functools.lru_cache(maxsize=1)
def _archive() -> zipfile.ZipFile:
    data = resources.files(__package__).joinpath("illustrations.zip").read_bytes()
    return zipfile.ZipFile(io.BytesIO(data))


def read(name: str) -> Any:
    """One file of the archive."""
    with _LOCK:  # a ZipFile is one open file
        return json.loads(_archive().read(f"{name}.json"))


@functools.lru_cache(maxsize=1)
def index() -> Mapping[str, Drawing]:
    """Every drawing by its name."""
    return {name: Drawing(tuple(words), home, height) for name, (words, home, height) in read("index").items()}
