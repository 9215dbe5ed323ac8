"""What a kernel that is busy with a cell does to the panel: presses are answered late, and may overtake typed text."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..display.wait import in_notebook, running_shell

ANNOUNCED = 1.0  # seconds a cell runs before the panel speaks of it
# Seconds until a press counts although the page echoed nothing: a front end without our component.
ECHO = 2.0


class BusyIndicator:
    """Tells a panel that a cell runs for longer than a moment, and that it has ended. Holds no thread between cells.

    Args:
        tell: called from a timer's thread with True, and with False after every cell.
    """

    def __init__(self, tell: Callable[[bool], object]) -> None:
        self._tell = tell
        self._timer = threading.Timer(ANNOUNCED, tell)
        # The shell keeps these methods, and so this object and what it tells: that must not keep the panel.
        self._events = getattr(running_shell(), "events", None)
        if self._events is not None:
            self._events.register("pre_run_cell", self._begun)
            self._events.register("post_run_cell", self._ended)

    def _begun(self, *_: Any) -> None:
        self._timer = threading.Timer(ANNOUNCED, self._tell, [True])
        self._timer.daemon = True
        self._timer.start()

    def _ended(self, *_: Any) -> None:
        # Also after a short cell, which was not announced: it may have connected to another backend.
        self._timer.cancel()
        self._tell(False)

    def close(self) -> None:
        """Listen no more."""
        self._timer.cancel()
        if self._events is not None:
            self._events.unregister("pre_run_cell", self._begun)
            self._events.unregister("post_run_cell", self._ended)


class InputSync:
    """Acts on a press only once everything typed before it has arrived.

    A front end sends the press of a button at once, but holds back what is typed into a field until the kernel has
    answered the letters before: on a busy kernel a press overtakes the prompt it is meant for, and another image is
    bought than the one asked for. So after a press the page is asked to echo a number; by then it has sent what it
    held.

    Attributes:
        ask: sends a message to the page.

    Args:
        when: makes a callback for a timer.
    """

    def __init__(self, when: Callable[..., Callable[[], None]]) -> None:
        self._when = when
        self.ask: Callable[[dict[str, int]], object] = dict
        self._asked = 0
        self._waiting: dict[int, Callable[[], object]] = {}

    def then(self, act: Callable[[], object]) -> None:
        """Call ``act`` once the page has sent what it held; at once if there is no page."""
        if not in_notebook():
            act()
            return
        # A number each time, since two presses may wait at once: the echo of the second answers the first as well.
        self._asked += 1
        self._waiting[self._asked] = act
        timer = threading.Timer(ECHO, self._when(self._run, self._asked))
        timer.daemon = True
        timer.start()
        self.ask({"echo": self._asked})

    def echoed(self, content: Mapping[str, Any]) -> None:
        """The page answered: run what waited for this number or an earlier one."""
        for asked in [asked for asked in self._waiting if asked <= content["echo"]]:
            self._run(asked)

    def _run(self, asked: int) -> None:
        # The echo and the timer both come here; whichever is later finds nothing left to do.
        if act := self._waiting.pop(asked, None):
            act()

    def close(self) -> None:
        """Forget what was asked: its timers then do nothing."""
        self._waiting.clear()
