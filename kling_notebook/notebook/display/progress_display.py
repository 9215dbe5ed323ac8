"""What is shown of jobs while they run, and their result: one display for the n jobs of a call.

    display = LiveDisplay(requests, title="2 x 2 = 4 jobs")  # on the thread, and in the cell, of the caller
    handle.add_observer(display)                             # called from any thread with frozen snapshots
    display.finish(bundle)                                   # from any thread: the progress goes, the result comes
    display.finish()                                         # or: the last state stays

Nothing in here raises once jobs were started: a display that cannot show is worth less than an image that was paid for.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ...api.generation_request import GenerationRequest
from ...api.job import STATUSES, JobStatus, Snapshot
from ...view.markup import bounded
from ...view.progress import ProgressRow, message_bundle, progress_bundle
from ...view.table import credits_text
from .outputs import CellOutput, Message, Output, attempt, output_for

# Seconds between two messages of all displays together: with an end, which takes two, at most four a second.
TICK = 0.5

# Words of the service that say no more than our own status does.
_ORDINARY = frozenset({"pending", "processing", "running", "queued", "in_progress", "completed", ""})


def row_of(snapshot: Snapshot, label: str, since: float = 0.0, *, free: bool = False) -> ProgressRow:
    """One line of progress. ``since``: seconds since the snapshot was taken. ``free``: credits are play money."""
    status = STATUSES[snapshot.status]
    icon, text = ("\u21ba", "reused") if snapshot.reused else (status.icon, status.text)
    elapsed = snapshot.elapsed + (since if status.tone == "moving" else 0.0)
    # While it waits for its turn, what such jobs usually take says nothing of its end.
    expected = None if snapshot.waiting_for else snapshot.expected
    # While images are fetched the last tenth of the bar is theirs; it never moves back.
    fraction = 0.9 + 0.1 * snapshot.saved / snapshot.images if _fetches(snapshot) else None
    return ProgressRow(label, icon, text, status.tone, elapsed, expected, _detail(snapshot, free), fraction)


def _detail(snapshot: Snapshot, free: bool) -> str:
    """What the status alone does not say: the reason, what it waits for, the service's own word, what it costs."""
    if snapshot.error is not None:
        return str(snapshot.error)
    runs = snapshot.status is JobStatus.RUNNING and not snapshot.waiting_for
    odd = runs and (snapshot.service_status or "").lower() not in _ORDINARY
    known = snapshot.credits is not None and not snapshot.reused and not free
    parts = (
        f"waiting for {snapshot.waiting_for}" if snapshot.waiting_for else "",
        f"the service says {snapshot.service_status!r}" if odd else "",
        f"{snapshot.saved} of {snapshot.images} saved" if _fetches(snapshot) else "",
        credits_text(snapshot.credits or 0.0) if known else "",
        *snapshot.warnings,
    )
    return " \u00b7 ".join(filter(None, parts))


def _fetches(snapshot: Snapshot) -> bool:
    return snapshot.status is JobStatus.DOWNLOADING and snapshot.images > 0


class LiveDisplay:
    """An observer for the jobs of one call. Any thread may call it.

    Args:
        requests: one row each, in this order; equal requests share a row.
        labels: what the rows are called, by request; the prompt if it has none.
        title, notice: shown above the rows. first: what is shown until the first update, and for good by a front end
            that drops updates; it must stay true.
        show: False shows nothing at all, the result included.
        free: the sandbox's credits are play money and not shown.
        background: nothing waits for it, so that in a terminal it must not write while a person types.
    """

    def __init__(
        self,
        requests: Sequence[GenerationRequest],
        *,
        labels: Mapping[GenerationRequest, str] | None = None,
        title: str = "",
        notice: str = "",
        first: str = "",
        show: bool = True,
        free: bool = False,
        background: bool = False,
    ) -> None:
        self._labels = {request: (labels or {}).get(request) or bounded(request.prompt, 80) for request in requests}
        now = time.monotonic()
        # A row for each job from the first message on: the page does not grow under the reader.
        self._last = {request: (Snapshot(request, JobStatus.QUEUED), now) for request in self._labels}
        self._title, self._notice, self._free, self._background = title, notice, free, background
        self._above = tuple(line for line in (title, notice) if line)
        self._lock = threading.Lock()
        self._finished = False
        self._sent: dict[str, Any] | None = None
        self._output: Output = attempt("opening a display", lambda: output_for(show, background), Output())
        if self.shows:
            self._show(lambda: message_bundle(first, lines=self._above) if first else self._bundle(), "start")
        if self._output.live:
            attempt("starting the ticker", lambda: TICKER.add(self.tick), None)

    def __call__(self, snapshot: Snapshot) -> None:
        """The observer. Only notes; the ticker shows."""
        with self._lock:
            if snapshot.request in self._labels and not self._finished:
                self._last[snapshot.request] = (snapshot, time.monotonic())

    def finish(self, result: Mapping[str, Any] | None = None) -> bool:
        """The end, shown once: ``result`` instead of the progress, or the last state of the jobs.

        Jobs that still run are then shown as not waited for. Returns whether the result is on the screen.
        """
        with self._lock:
            if self._finished:
                return False
            self._finished = True
        TICKER.remove(self.tick)
        if not self.shows:
            return False
        if result is not None:
            return self._show(lambda: result, "result")
        self._show(self._bundle, "end")
        return False

    @property
    def shows(self) -> bool:
        """Whether the result is seen through this display."""
        return type(self._output) is not Output

    def rows(self) -> list[ProgressRow]:
        """The rows as they stand now."""
        now = time.monotonic()
        with self._lock:
            # A copy: drawing takes longer than a worker should wait for.
            last, finished = list(self._last.values()), self._finished
        rows = [row_of(snapshot, self._label(snapshot), now - at, free=self._free) for snapshot, at in last]
        if finished and len(rows) == 1 and not self._background:  # the error that is raised has the reason
            rows = [replace(rows[0], detail="")]
        return [_not_waited_for(row) for row in rows] if finished else rows

    def _label(self, snapshot: Snapshot) -> str:
        """The number of the job, which ``%kling show`` takes, before what it is called."""
        label = self._labels[snapshot.request]
        return f"{snapshot.number} \u00b7 {label}" if snapshot.number else label

    def tick(self) -> bool:
        """Show what changed since the last tick; False if nothing did."""
        bundle = attempt("drawing the progress", self._bundle, self._sent)
        return bundle is not None and bundle != self._sent and self._show(lambda: bundle, "update")

    def _bundle(self) -> dict[str, Any]:
        return progress_bundle(self.rows(), title=self._title, notice=self._notice)

    def _show(self, make: Callable[[], Mapping[str, Any]], what: Literal["start", "update", "end", "result"]) -> bool:
        """Whether it was shown. The end comes last: an update that was being made meanwhile is dropped."""

        def send() -> bool:
            if what == "update" and self._finished:
                return False
            bundle = dict(make())
            self._sent = bundle
            self._output.show(Message(what, bundle, self.rows(), self._above))
            return True

        # One message at a time, so that no update drawn before the end is sent after it.
        with _SHOWING:
            return attempt(f"showing the {what}", send, False)


def _not_waited_for(row: ProgressRow) -> ProgressRow:
    left = ProgressRow(row.label, "\u25ab", "not waited for", "stopped", row.elapsed, row.expected)
    return left if row.tone in ("moving", "waiting") else row


class _Ticker:
    """One thread for all displays, one message per tick: their number does not flood the front end.

    Of a display or a panel's queue it holds the function that shows what changed since the last tick, in one message,
    and returns False if nothing did; that must not raise.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: list[Callable[[], bool]] = []
        self._thread: threading.Thread | None = None

    def add(self, tick: Callable[[], bool]) -> None:
        with self._lock:
            self._live.append(tick)
            # It ended when nothing was left to show: an idle kernel has no ticker thread.
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kling-ticker", daemon=True)
                self._thread.start()

    def remove(self, tick: Callable[[], bool]) -> None:
        with self._lock:
            if tick in self._live:
                self._live.remove(tick)

    def _run(self) -> None:
        while True:
            time.sleep(TICK)
            with self._lock:
                if not self._live:
                    self._thread = None
                    return
                waiting = list(self._live)  # the one that waited longest comes first
            # Outside the lock: a display that is being drawn can still be removed.
            shown = next((tick for tick in waiting if tick()), None)
            with self._lock:
                if shown in self._live:
                    self._live.remove(shown)
                    self._live.append(shown)


TICKER = _Ticker()
_SHOWING = threading.RLock()


class LastResult:
    """A plain output in the cell it is made in, for what must last when the widgets above it are gone.

    Empty until something is shown; what is shown replaces what was.
    """

    def __init__(self) -> None:
        self._output: Output = attempt("opening an output", lambda: output_for(True, background=False), Output())
        if isinstance(self._output, CellOutput):
            self.show({"text/html": "", "text/plain": ""}, "start")

    def show(self, bundle: Mapping[str, Any], what: Literal["start", "end"] = "end") -> None:
        """From any thread."""
        with _SHOWING:
            attempt("showing the last result", lambda: self._output.show(Message(what, dict(bundle), ())), None)
