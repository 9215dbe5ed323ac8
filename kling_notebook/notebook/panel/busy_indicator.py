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
        tell: called from a timer's thread with True, and with False after every cell. Held weakly.
    """

    def __init__(self, tell: Callable[[bool], object]) -> None:
        self._target = weakref.WeakMethod(tell)
        self._timer = threading.Timer(PATIENCE, self._tell)
        self._events = getattr(running_shell(), "events", None)
        if self._events is not None:
            self._events.register("pre_run_cell", self._begun)
            self._events.register("post_run_cell", self._ended)

    def _tell(self, runs: bool) -> None:
        if (target := self._target()) is not None:
            target(runs)

    def _begun(self, *_: Any) -> None:
        self._timer = threading.Timer(PATIENCE, self._tell, [True])
        self._timer.daemon = True
        self._timer.start()

    def _ended(self, *_: Any) -> None:
        self._timer.cancel()
        self._tell(False)

    def stop(self) -> None:
        """Listen no more."""
        self._timer.cancel()
        if self._events is not None:
            self._events.unregister("pre_run_cell", self._begun)
            self._events.unregister("post_run_cell", self._ended)
            self._events = None
