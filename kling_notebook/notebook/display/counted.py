"""A line that counts what was done of many: in a cell a text that is updated, in a terminal a bar."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from .wait import in_notebook

_Item = TypeVar("_Item")
UPDATE_SECONDS = 0.25


def counted(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    """Pass the items on, and show how many have come. The line of a cell is empty at the end."""
    if not total:
        return
    if not in_notebook():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, leave=False, disable=None)  # None: silent unless a terminal
        return
    from IPython.display import DisplayHandle

    line: Any = DisplayHandle()  # type: ignore[no-untyped-call]
    line.display({"text/plain": f"{what}: 0 of {total}"}, raw=True)
    shown = time.monotonic()
    try:
        for done, item in enumerate(items, 1):
            if time.monotonic() - shown > UPDATE_SECONDS:
                line.update({"text/plain": f"{what}: {done} of {total}"}, raw=True)
                shown = time.monotonic()
            yield item
    finally:
        line.update({}, raw=True)
