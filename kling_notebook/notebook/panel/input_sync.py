"""Act on a press only once everything typed before it has arrived.

A front end sends the press of a button at once, but holds back what is typed into a field until the kernel has answered
the letters before: on a busy kernel a press overtakes the prompt it is meant for, and another image is bought than
the one asked for. So after a press the page is asked to say something back; by then it has sent what it held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import ipywidgets as widgets

from ..display.wait import in_notebook
from .widgets import Toolkit

PATIENCE = 2.0
"""Seconds until a press counts although the page sent nothing back: a front end without links of widgets."""


class InputSync:
    """One question to the page at a time, and its answer."""

    def __init__(self, kit: Toolkit) -> None:
        self._kit = kit
        self._question = kit.track(widgets.IntText())
        self._answer = kit.track(widgets.IntText())
        self._link = kit.track(widgets.jsdlink((self._question, "value"), (self._answer, "value")))
        self._waiting: dict[int, tuple[Callable[[], object], threading.Timer]] = {}
        kit.watch(self._answer, self._answered)

    def then(self, act: Callable[[], object]) -> None:
        """Call ``act`` once the page has sent what it held; at once if there is no page."""
        if not in_notebook():
            act()
            return
        asked = self._question.value + 1
        timer = threading.Timer(PATIENCE, self._kit.when(self._late, asked))
        timer.daemon = True
        self._waiting[asked] = (act, timer)
        timer.start()
        self._question.value = asked

    def _answered(self) -> None:
        for asked in [asked for asked in self._waiting if asked <= self._answer.value]:
            self._go(asked)

    def _late(self, asked: int) -> None:
        self._go(asked)

    def _go(self, asked: int) -> None:
        act, timer = self._waiting.pop(asked, (None, None))
        if timer is not None:
            timer.cancel()
        if act is not None:
            act()

    def close(self) -> None:
        """Forget what was asked."""
        while self._waiting:
            _, (_, timer) = self._waiting.popitem()
            timer.cancel()
