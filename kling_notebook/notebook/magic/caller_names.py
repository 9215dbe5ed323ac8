"""The names that the caller of a magic sees: local variables of a function first, then globals, then the user's."""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Mapping
from types import FrameType
from typing import Any

_INSIDE = ("kling_notebook", "IPython", "decorator")
"""Packages between the caller and here."""


def names_of_caller(shell: Any) -> Mapping[str, Any]:
    """IPython gives a cell magic the user's globals only, also inside a function that runs one."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _INSIDE:
        frame = frame.f_back
    scopes: list[Mapping[str, Any]] = []
    while frame is not None:
        scopes.append(frame.f_locals)
        if not frame.f_code.co_name.startswith("<") or frame.f_code.co_name == "<module>":
            scopes.append(frame.f_globals)
            break
        frame = frame.f_back  # around a comprehension or a lambda stands the function that it is in
    return ChainMap(*(dict(scope) for scope in scopes), shell.user_ns)
