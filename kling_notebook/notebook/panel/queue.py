"""The queue: a row per running job with its bar, status, elapsed and a way to stop waiting or to try again.

Nothing here is called by a worker: the ticker that all displays share looks at each job's latest snapshot, and shows
one row per tick. It holds the queue weakly, and lets go of it with the last running job.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ...results.handle import JobHandle
from ...session.session import Session
from ...view.markup import bounded
from ...view.progress import progress_bundle
from ..display.progress_display import TICKER, row_of
from .widgets import Toolkit, column, html, row, say, text_html

KEPT = 6  # ended rows that stay to say why they have no image
PATIENCE = 0.2  # seconds the ticker of all displays waits for a panel whose callback is at work


class Row:
    """One job: what is known of it, and the widgets that say it."""

    def __init__(self, kit: Toolkit, queue: Queue, handle: JobHandle, session: Session) -> None:
        number = handle.number
        self.handle = handle
        self.session = session
        self.watched = True
        self.shown_at = 0.0
        self._kit = kit
        self._label = f"{number}  {bounded(handle.request.prompt, 70)}"
        self._seen: tuple[Any, float] = (None, 0.0)
        self.stop = kit.button("Stop waiting", queue.stop_waiting, self, tooltip=f"Let go of job {number}")
        self.watch = kit.button("Watch again", queue.watch_again, self, tooltip=f"Wait for job {number} again")
        self.again = kit.button("Try again", queue.try_again, self, tooltip=f"Send what job {number} asked for again")
        cost = session.priced([handle.request]).money
        another = f"Settle job {number} and make another: {cost}"
        self.sure = kit.button("Make it again", queue.buy_again, self, tooltip=another)
        self.leave = kit.button(
            "Leave it", queue.explain, self, tooltip=f"Make nothing; job {number} stays unconfirmed"
        )
        self.clear = kit.button("Clear", queue.clear, self, tooltip="Take this line away; the history keeps the job")
        self.bar, self.message = html(flex="1 1 260px"), html(width="100%")
        self.buttons = row(self.stop, width="auto", flex="0 0 auto")
        self.view = row(self.bar, self.buttons, self.message, gap="2px 12px")
        self.show()

    @property
    def unconfirmed(self) -> bool:
        """Whether it ended without our knowing if it was bought."""
        return self.handle.done() and bool(getattr(self.handle.exception(), "maybe_submitted", False))

    def offer(self, *buttons: widgets.Button) -> None:
        """Show these buttons and no other."""
        self.buttons.children = buttons

    def show(self) -> bool:
        """Bring the bar in line with what is known; True where that took a message."""
        snapshot, now = self.handle.snapshot, time.monotonic()
        if snapshot is not self._seen[0]:
            self._seen = (snapshot, now)
        self.shown_at = now
        progress = row_of(snapshot, self._label, now - self._seen[1], free=self.session.is_sandbox)
        return say(self.bar, progress_bundle([progress])["text/html"])

    def close(self) -> None:
        """Its widgets end, also those that are not offered just now."""
        self._kit.close(self.view, self.stop, self.watch, self.again, self.sure, self.leave, self.clear)


class Queue:
    """The rows of one panel.

    Args:
        on_done: called with a handle that has a result, and its session. on_retry: called with the request to buy.
    """

    def __init__(
        self,
        kit: Toolkit,
        on_done: Callable[[JobHandle, Session], object],
        on_retry: Callable[[Row], object],
    ) -> None:
        self._kit = kit
        self._on_done = on_done
        self._on_retry = on_retry
        self._rows: list[Row] = []
        self._ticking: _Weakly | None = None
        self.view = column(gap="4px")

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(self._rows)

    @property
    def running(self) -> list[Row]:
        return [row for row in self._rows if row.watched]

    def add(self, handle: JobHandle, session: Session) -> Row:
        """Watch a job."""
        with self._kit.lock:
            made = Row(self._kit, self, handle, session)
            self._rows.append(made)
            self._lay_out()
            self._keep_ticking()
            return made

    def _keep_ticking(self) -> None:
        if self._ticking is None:
            self._ticking = _Weakly(self)
            TICKER.add(self._ticking)

    # ---- what the buttons do ----

    def stop_waiting(self, row: Row) -> None:
        """Cancel what was not sent; stop watching what was: it keeps running, and its images are saved."""
        if row.handle.cancel():
            self.clear(row)
            return
        row.watched = False
        number = row.handle.number
        say(
            row.message,
            text_html(
                f"Stopped waiting. Job {number} keeps running; its images will be saved: "
                f"find them under History as {number}.",
                "muted",
            ),
        )
        row.offer(row.watch, row.clear)

    def watch_again(self, row: Row) -> None:
        """Wait for a job again; one that ended meanwhile hands its result over at the next tick."""
        row.watched = True
        say(row.message, "")
        row.offer(row.stop)
        self._keep_ticking()

    def try_again(self, row: Row) -> None:
        """Send it again; where the first one may have been charged, ask before."""
        if not row.unconfirmed:
            self._on_retry(row)
            return
        say(
            row.message,
            text_html(
                f"Job {row.handle.number} may have been bought already, and then a second one is charged as well. "
                "Look at the website or the balance first.",
                "warning",
            ),
        )
        row.offer(row.sure, row.leave)

    def buy_again(self, row: Row) -> None:
        """The unconfirmed job is dismissed: request it once more."""
        row.session.dismiss(row.handle.number)
        self._on_retry(row)

    def explain(self, row: Row) -> None:
        """Why a job ended without images, and what can be done."""
        error = row.handle.exception()
        say(row.message, text_html(str(error), "reason"))
        row.offer(row.again, row.clear)

    def clear(self, row: Row) -> None:
        """Take a row away."""
        if row in self._rows:
            self._rows.remove(row)
        self._lay_out()
        row.close()

    # ---- the ticker ----

    def tick(self) -> bool:
        """Hand over what is done, and show the row that has waited longest; False where nothing was to be shown."""
        if not self._kit.lock.acquire(timeout=PATIENCE):
            return False
        try:
            done = [row for row in self._rows if row.watched and row.handle.done()]
            for row in done:
                self._kit.when(self._finish, row)()
            moved = any(row.show() for row in sorted(self.running, key=lambda row: row.shown_at))
            if not self.running and self._ticking is not None:
                TICKER.remove(self._ticking)
                self._ticking = None
            return bool(done) or moved
        finally:
            self._kit.lock.release()

    def _finish(self, row: Row) -> None:
        row.watched = False
        if row.handle.cancelled():
            self.clear(row)
        elif row.handle.exception() is None:
            self.clear(row)
            self._on_done(row.handle, row.session)
        else:
            row.show()
            self.explain(row)
            for old in [other for other in self._rows if other.handle.done()][:-KEPT]:
                self.clear(old)

    def _lay_out(self) -> None:
        self.view.children = tuple(row.view for row in self._rows)

    def close(self) -> None:
        """Stop watching the jobs; they keep running."""
        if self._ticking is not None:
            TICKER.remove(self._ticking)
            self._ticking = None
        for one in self._rows:
            one.watched = False


class _Weakly:
    """A queue as the ticker holds it: a forgotten panel is not kept alive by its jobs."""

    def __init__(self, queue: Queue) -> None:
        self._queue = weakref.ref(queue)

    def tick(self) -> bool:
        queue = self._queue()
        if queue is None:
            TICKER.remove(self)
            return False
        return queue.tick()
