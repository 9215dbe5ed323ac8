"""Which drawings there are: the published set and our own figures; reads the archive, draws nothing."""

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

RGB = tuple[float, float, float]
_LOCK = threading.Lock()


def rgb(code: str) -> RGB:
    """A color written as six hexadecimal digits."""
    return int(code[0:2], 16) / 255, int(code[2:4], 16) / 255, int(code[4:6], 16) / 255


class Drawing(NamedTuple):
    """An entry of the index.

    `words` mean it; `home` is where it stands if the prompt names no place; `height` is its usual one in units. `kind`
    is set (the published one), creature, thing or bust (ours). `foot` is the point it stands on, in shares of its own
    width and height.
    """

    words: tuple[str, ...]
    home: str
    height: float
    kind: str = "set"
    colour: RGB = (0.5, 0.5, 0.5)
    foot: tuple[float, float] = (0.5, 1.0)


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
    return {name: Drawing(tuple(words), *rest) for name, (words, *rest) in read("index").items()}
