"""Whether a cell is running, shown in the panel: on many kernels a button is answered only after it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from ..display.wait import running_shell

PATIENCE = 1.0  # seconds a cell runs before the panel speaks of it


class BusyIndicator:
    """Tells a panel that a cell runs for longer than a moment, and that it has ended. Holds no thread between cells.

    Args:
        on_long: called from a timer's thread with True, and with False when the cell has ended. on_end: called after
            every cell.
    """

    def __init__(self, on_long: Callable[[bool], object], on_end: Callable[[], object]) -> None:
        self._on_long = weakref.WeakMethod(on_long)
        self._on_end = weakref.WeakMethod(on_end)
        self._timer: threading.Timer | None = None
        self._events = getattr(running_shell(), "events", None)
        if self._events is not None:
            self._events.register("pre_run_cell", self._begun)
            self._events.register("post_run_cell", self._ended)

    def _begun(self, *_: Any) -> None:
        if self._on_long() is None:
            self.stop()
            return
        self._timer = threading.Timer(PATIENCE, self._speak)
        self._timer.daemon = True
        self._timer.start()

    def _speak(self) -> None:
        if (told := self._on_long()) is not None:
            told(True)

    def _ended(self, *_: Any) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if (told := self._on_long()) is not None:
            told(False)
        if (ended := self._on_end()) is not None:
            ended()

    def stop(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._events is not None:
            self._events.unregister("pre_run_cell", self._begun)
            self._events.unregister("post_run_cell", self._ended)
            self._events = None
