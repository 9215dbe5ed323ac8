"""Whether IPython is about to print, as the value of a cell, what the same cell has just shown.

Only that echo is held back: what a user asks to display is always displayed.
"""

import sys
from typing import Any

from .wait import running_shell


class _Shown:
    """A result on the screen, from there to the end of its cell. Called with a value: is this its echo?"""

    def __init__(self, shell: Any) -> None:
        self._shell, self._publisher = shell, shell.display_pub
        self._stands = True  # until the cell clears its output, or ends
        shell.events.register("post_execute", self._end)
        if hasattr(self._publisher, "register_hook"):  # the one inside ``%%capture`` has none
            self._publisher.register_hook(self._look)

    def __call__(self, value: object) -> bool:
        return self._stands and self._shell.display_pub is self._publisher and _is_cell_value(value)

    def _look(self, message: dict[str, Any]) -> dict[str, Any]:
        self._stands &= message["header"]["msg_type"] != "clear_output"
        return message

    def _end(self) -> None:
        self._stands = False
        self._shell.events.unregister("post_execute", self._end)
        if hasattr(self._publisher, "unregister_hook"):
            self._publisher.unregister_hook(self._look)


def held_back() -> _Shown | None:
    """A question for later, to be asked with a value: is this its echo, in the cell that runs now?

    None if nothing is to be held back: outside IPython, and inside ``widgets.Output``, which may not be on the screen.
    """
    shell = running_shell()
    return None if shell is None or _inside_output_widget() else _Shown(shell)


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
