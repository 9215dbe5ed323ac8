"""The queue: a row per running job with its bar, status, elapsed and a way to stop waiting or to try again."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ...api.jobs import Snapshot
from ...session.runner import JobHandle
from ...view.progress import fraction_of, status_text
from ..live import row_of
from .form import reason_html

TICK_SECONDS = 0.25  # four updates a second in all, however many jobs run
KEPT = 6  # finished rows that say why they ended without a picture


class Row:
    """One job: what is known of it, and the widgets that say it."""

    def __init__(self, handle: JobHandle, label: str) -> None:
        self.handle = handle
        self.label = label
        self.watched = True
        self._told: tuple[Snapshot, float] = (handle.snapshot, time.monotonic())
        self._shown: tuple[Any, ...] = ()
        self.bar = widgets.FloatProgress(min=0.0, max=1.0, layout=widgets.Layout(width="140px"))
        self.name = widgets.Label(label, layout=widgets.Layout(flex="1 1 160px", min_width="0", max_width="360px"))
        self.said = widgets.HTML(layout=widgets.Layout(flex="1 1 200px"))
        self.stop = widgets.Button(description="Stop waiting", layout=widgets.Layout(width="auto"))
        self.again = widgets.Button(description="Try again", layout=widgets.Layout(width="auto", display="none"))
        self.view = widgets.HBox(
            [self.bar, self.name, self.said, self.stop, self.again],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center", width="100%"),
        )

    def observe(self, snapshot: Snapshot) -> None:
        """From a worker's thread: only noted; the queue's tick shows it."""
        self._told = (snapshot, time.monotonic())

    def show(self) -> None:
        """Bring the widgets in line with what is known; nothing is sent where nothing changed."""
        snapshot, at = self._told
        row = row_of(snapshot, self.label, time.monotonic() - at)
        fraction = fraction_of(row)
        words = status_text(row)
        state = (round(fraction or 0.0, 2), words)
        if state == self._shown:
            return
        self._shown = state
        self.bar.value = 0.15 if fraction is None else fraction
        self.said.value = f"<span>{words}</span>"
        self.bar.bar_style = {"failed": "danger", "done": "success", "unknown": "warning"}.get(row.state, "")

    def fail(self, error: BaseException, *, retry: Callable[[bool], None]) -> None:
        """The job ended without a picture: why, and a way to try again that never repeats a doubtful purchase unasked."""
        doubtful = bool(getattr(error, "maybe_submitted", False))
        self.said.value = reason_html(str(error))
        self.bar.bar_style = "warning" if doubtful else "danger"
        self.stop.layout.display = "none"
        self.again.layout.display = None
        if doubtful:
            self.again.description = "Buy again all the same"
            self.again.tooltip = "The first one may have been charged. This settles it and buys a second one."
        self.again.on_click(lambda _: retry(doubtful))


class Queue:
    """The rows and the one thread that shows them; it lives only while jobs run.

    Args:
        on_done: called with a handle that has a result. on_retry: called with a request and whether a doubtful
            purchase was settled for it.
    """

    def __init__(self, on_done: Callable[[JobHandle], None], on_retry: Callable[[JobHandle, bool], None]) -> None:
        self._on_done = on_done
        self._on_retry = on_retry
        self._rows: list[Row] = []
        self._lock = threading.RLock()
        self._ticking = False
        self.closed = False
        self.view = widgets.VBox([], layout=widgets.Layout(width="100%"))

    @property
    def running(self) -> list[Row]:
        with self._lock:
            return [row for row in self._rows if row.watched and not row.handle.done()]

    def add(self, handle: JobHandle, label: str) -> None:
        """Watch a job."""
        row = Row(handle, label)
        row.stop.on_click(lambda _: self.stop_waiting(row))
        with self._lock:
            self._rows.append(row)
            self._lay_out()
            start = not self._ticking
            self._ticking = True
        handle.add_observer(row.observe)
        if start:
            threading.Thread(target=_tick, args=(weakref.ref(self),), name="kling-panel", daemon=True).start()

    def stop_waiting(self, row: Row) -> None:
        """Withdraw what was not sent; let go of what was: it goes on, and its picture is saved."""
        if row.handle.cancel():
            self._remove(row)
            return
        row.watched = False
        job = row.handle.job_id or f"job {row.handle.number}"
        row.handle.remove_observer(row.observe)
        row.said.value = f"<span>No longer watched; {job} goes on. Look in History, or %kling resume.</span>"
        row.stop.layout.display = "none"

    def tick(self) -> bool:
        """Show every row and hand over what is done; False when nothing runs any more."""
        with self._lock:
            rows = [row for row in self._rows if row.watched]
        for row in rows:
            row.show()
            if row.handle.done():
                self._finish(row)
        with self._lock:
            going = any(row.watched and not row.handle.done() for row in self._rows) and not self.closed
            self._ticking = going
            return going

    def _finish(self, row: Row) -> None:
        row.watched = False
        if row.handle.cancelled():
            self._remove(row)
            return
        error = row.handle.exception()
        if error is None:
            self._remove(row)
            self._on_done(row.handle)
            return

        def retry(settled: bool) -> None:
            self._remove(row)
            self._on_retry(row.handle, settled)

        row.fail(error, retry=retry)
        with self._lock:
            ended = [other for other in self._rows if other.handle.done()]
            for old in ended[:-KEPT]:
                self._rows.remove(old)
            self._lay_out()

    def _remove(self, row: Row) -> None:
        with self._lock:
            if row in self._rows:
                self._rows.remove(row)
            self._lay_out()
        row.view.close()

    def _lay_out(self) -> None:
        self.view.children = tuple(row.view for row in self._rows)

    def close(self) -> None:
        """Stop observing; the jobs go on."""
        self.closed = True
        with self._lock:
            for row in self._rows:
                row.handle.remove_observer(row.observe)


def _tick(queue: weakref.ref[Queue]) -> None:
    """The thread. It holds the queue only while it ticks, so that a forgotten panel can go."""
    while True:
        alive = queue()
        if alive is None or not alive.tick():
            return
        del alive
        time.sleep(TICK_SECONDS)


def label_of(prompt: str, number: int) -> str:
    """A job's name in the queue."""
    return f"{number}  {prompt if len(prompt) <= 48 else prompt[:47] + '…'}"
