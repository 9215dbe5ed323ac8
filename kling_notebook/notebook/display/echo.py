"""Whether IPython is about to print, as the value of a cell, what the same cell has just shown.

Only that echo is held back: what a user asks to display is always displayed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .wait import running_shell

Held = Callable[[object], bool]


class _Cell:
    """The cell that runs now, from its first result to its end. ``cleared``: how often it cleared its output."""

    current: _Cell | None = None

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._watched: list[Any] = []
        self.cleared = 0
        shell.events.register("post_execute", self._end)

    def watch(self, publisher: Any) -> None:
        """See what it clears, once for each publisher: ``%%capture`` has one of its own."""
        if publisher not in self._watched and hasattr(publisher, "register_hook"):
            publisher.register_hook(self._look)
            self._watched.append(publisher)

    def _look(self, message: dict[str, Any]) -> dict[str, Any]:
        self.cleared += message["header"]["msg_type"] == "clear_output"
        return message

    def _end(self) -> None:
        _Cell.current = None
        self._shell.events.unregister("post_execute", self._end)
        for publisher in self._watched:
            publisher.unregister_hook(self._look)


def held_back() -> Held | None:
    """A question for later, to be asked with a value: is this its echo, in the cell that runs now?

    None if nothing is to be held back: outside IPython, and inside ``widgets.Output``, which may not be on the screen.
    """
    shell = running_shell()
    if shell is None or _inside_output_widget():
        return None
    if _Cell.current is None:
        _Cell.current = _Cell(shell)
    cell, cleared, publisher = _Cell.current, _Cell.current.cleared, shell.display_pub
    cell.watch(publisher)

    def is_echo(value: object) -> bool:
        same = _Cell.current is cell and cell.cleared == cleared and shell.display_pub is publisher
        return same and _is_cell_value(value)

    return is_echo


def _is_cell_value(value: object) -> bool:
    """Whether a display hook was called with this very object."""
    frame = sys._getframe()
    while frame is not None:
        names = frame.f_locals if frame.f_code.co_name == "__call__" else {}
        if "DisplayHook" in type(names.get("self")).__name__:
            return names.get("result") is value
        frame = frame.f_back  # type: ignore[assignment]  # None at the outermost
    return False


def _inside_output_widget() -> bool:
    widgets = getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", {})
    return any(getattr(widget, "msg_id", "") for widget in list(widgets.values()))
