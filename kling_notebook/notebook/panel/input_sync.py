"""Act on a press only once everything typed before it has arrived.

A front end sends the press of a button at once, but holds back what is typed into a field until the kernel has answered
the letters before: on a busy kernel a press overtakes the prompt it is meant for, and another image is bought than
the one asked for. So after a press the page is asked to echo a number; by then it has sent what it held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..display.wait import in_notebook
from .widgets import Toolkit

PATIENCE = 2.0
"""Seconds until a press counts although the page echoed nothing: a front end without our component."""


class InputSync:
    """Questions to the page, and what waits for their echo.

    Attributes:
        ask: sends a message to the page.
    """

    def __init__(self, kit: Toolkit) -> None:
        self._kit = kit
        self.ask: Callable[[dict[str, int]], object] = dict
        self._asked = 0
        self._waiting: dict[int, tuple[Callable[[], object], threading.Timer]] = {}

    def then(self, act: Callable[[], object]) -> None:
        """Call ``act`` once the page has sent what it held; at once if there is no page."""
        if not in_notebook():
            act()
            return
        self._asked += 1
        timer = threading.Timer(PATIENCE, self._kit.when(self._run, self._asked))
        timer.daemon = True
        self._waiting[self._asked] = (act, timer)
        timer.start()
        self.ask({"echo": self._asked})

    def echoed(self, content: Mapping[str, Any]) -> None:
        """The page answered: run what waited for this number or an earlier one."""
        for asked in [asked for asked in self._waiting if asked <= content["echo"]]:
            self._run(asked)

    def _run(self, asked: int) -> None:
        act, timer = self._waiting.pop(asked, (None, None))
        if timer is not None:
            timer.cancel()
        if act is not None:
            act()

    def close(self) -> None:
        """Forget what was asked."""
        for _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
