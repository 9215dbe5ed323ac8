"""What is seen of jobs while they run: one display for the n jobs of a call, until the result replaces it.

    display = LiveDisplay(requests, title="2 x 2 = 4 jobs")   # on the thread, and in the cell, of the caller
    session.start(requests, observer=display)                 # called from any thread with frozen snapshots
    display.finish(bundle)                                    # from any thread: the result in place of the progress
    display.finish(footer="...")                              # or: the last state stays, with the reason

Where it goes: in a kernel, the output of the cell it was made in, whatever runs there meanwhile; in a terminal, a text
bar; in a non-interactive run, the start and the end only. IPython is touched only where a shell is found running.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from ...api.generation_request import GenerationRequest
from ...api.job import JobStatus, Snapshot
from ...view.progress import ProgressRow, State, fraction_of, progress_bundle, status_text
from .wait import person_is_present, running_shell

TICK = 0.35
"""Seconds between two messages of all displays together: with a start or an end in between, at most four a second."""

_STATES: Mapping[JobStatus, State] = {
    JobStatus.QUEUED: "queued",
    JobStatus.SUBMITTING: "waiting",
    JobStatus.UNCONFIRMED: "unknown",
    JobStatus.RUNNING: "running",
    JobStatus.DOWNLOADING: "saving",
    JobStatus.PAUSED: "stopped",
    JobStatus.COMPLETED: "done",
    JobStatus.FAILED: "failed",
    JobStatus.EXPIRED: "failed",
    JobStatus.REJECTED: "failed",
    JobStatus.CANCELLED: "stopped",
    JobStatus.DISMISSED: "stopped",
}
_MOVING: frozenset[State] = frozenset({"queued", "waiting", "running", "saving"})
_ORDINARY = frozenset({"pending", "processing", "running", "queued", "in_progress", "completed", ""})


def row_of(snapshot: Snapshot, label: str, since: float = 0.0, *, free: bool = False) -> ProgressRow:
    """One line of progress. ``since``: seconds since the snapshot was taken. ``free``: credits are play money."""
    state = "reused" if snapshot.reused else _STATES[snapshot.status]
    elapsed = snapshot.elapsed + (since if state in _MOVING else 0.0)
    return ProgressRow(label, state, elapsed, snapshot.expected, _detail(snapshot, free), _saved(snapshot))


def _saved(snapshot: Snapshot) -> float | None:
    """While images are fetched the last tenth of the bar is theirs; it never moves back."""
    if snapshot.status is JobStatus.DOWNLOADING and snapshot.images:
        return 0.9 + 0.1 * snapshot.saved / snapshot.images
    return None


def _detail(snapshot: Snapshot, free: bool) -> str:
    """What the state alone does not say: the reason, what it waits for, the service's own word, what it costs."""
    if snapshot.error is not None:
        return str(snapshot.error)
    parts = []
    if snapshot.waiting_for:
        parts.append(f"waiting for {snapshot.waiting_for}")
    elif snapshot.status is JobStatus.RUNNING and (snapshot.service_status or "").lower() not in _ORDINARY:
        parts.append(f"the service says {snapshot.service_status!r}")
    if snapshot.status is JobStatus.DOWNLOADING and snapshot.images:
        parts.append(f"{snapshot.saved} of {snapshot.images} saved")
    if snapshot.status is JobStatus.CANCELLED:
        parts.append("cancelled before it was sent")
    if snapshot.credits is not None and not snapshot.reused and not free:
        parts.append(f"{snapshot.credits:g} credit{'' if snapshot.credits == 1 else 's'}")
    return " \u00b7 ".join(parts)


class LiveDisplay:
    """An observer for the jobs of one call. Any thread may call it; what goes wrong in showing never reaches a job.

    Args:
        requests: one row each, in this order; equal requests share a row.
        labels: what the rows are called, by request; the prompt where it says nothing.
        title, notice: shown above the rows.
        show: False shows nothing at all, the end included.
        free: the sandbox's credits are play money and not shown.
        background: no call waits for it, so that in a terminal it must not write while a person types.
    """

    def __init__(
        self,
        requests: Sequence[GenerationRequest],
        *,
        labels: Mapping[GenerationRequest, str] | None = None,
        title: str = "",
        notice: str = "",
        show: bool = True,
        free: bool = False,
        background: bool = False,
    ) -> None:
        self._labels = {request: (labels or {}).get(request) or _label(request) for request in requests}
        now = time.monotonic()
        self._last = {request: (Snapshot(request, JobStatus.QUEUED), now) for request in self._labels}
        self._title, self._notice, self._free = title, notice, free
        self._lock = threading.Lock()
        self._finished = False
        self._sent: dict[str, Any] | None = None
        self._place = _place(show, background)
        self._say(self._bundle(), "start")
        if self._place.live:
            _TICKER.add(self)

    def __call__(self, snapshot: Snapshot) -> None:
        """The observer. Only notes; the ticker shows."""
        with self._lock:
            if snapshot.request in self._labels and not self._finished:
                self._last[snapshot.request] = (snapshot, time.monotonic())

    def finish(self, bundle: Mapping[str, Any] | None = None, *, footer: str = "") -> None:
        """The end, shown once: ``bundle`` in place of the progress, or the last state with ``footer`` under it.

        Jobs that still run are then shown as no longer watched.
        """
        with self._lock:
            if self._finished:
                return
            self._finished = True
        _TICKER.remove(self)
        self._say(dict(bundle) if bundle is not None else self._bundle(footer), "result" if bundle else "end")

    @property
    def shows(self) -> bool:
        """Whether the result is seen through this display."""
        return not isinstance(self._place, NullOutput)

    def rows(self) -> list[ProgressRow]:
        """The rows as they stand now."""
        now = time.monotonic()
        with self._lock:
            last, finished = list(self._last.values()), self._finished
        rows = [row_of(snapshot, self._labels[snapshot.request], now - at, free=self._free) for snapshot, at in last]
        return [_unwatched(row, snapshot) for row, (snapshot, _) in zip(rows, last, strict=True)] if finished else rows

    def tick(self) -> bool:
        """Show what changed since the last tick; False where nothing did."""
        bundle = self._bundle()
        if self._finished or bundle == self._sent:
            return False
        self._say(bundle, "update")
        return True

    def _bundle(self, footer: str = "") -> dict[str, Any]:
        return progress_bundle(self.rows(), title=self._title, notice=self._notice, footer=footer)

    def _say(self, bundle: dict[str, Any], what: Literal["start", "update", "end", "result"]) -> None:
        """The end wins: an update that was being made while the end was shown is dropped."""
        with _SAYING:
            if what == "update" and self._finished:
                return
            self._sent = bundle
            with contextlib.suppress(Exception):  # a closed terminal or a kernel going down must not cost a paid job
                self._place.say(Message(what, bundle, self.rows(), (self._title, self._notice)))


def _unwatched(row: ProgressRow, snapshot: Snapshot) -> ProgressRow:
    if row.state not in _MOVING:
        return row
    detail = f"no longer watched; job {snapshot.job_id} keeps running" if snapshot.job_id else "no longer watched"
    return ProgressRow(row.label, "stopped", row.elapsed, row.expected, detail, row.fraction)


def _label(request: GenerationRequest) -> str:
    first, *more = request.prompt.splitlines()
    return first if len(first) <= 80 and not more else f"{first[:79]}\u2026"


class Ticking(Protocol):
    """What shows itself a little at a time: a display, a panel's queue."""

    def tick(self) -> bool:
        """Show what changed since the last tick, in one message; False where nothing did. Must not raise."""


class _Ticker:
    """One thread for all displays, one message per tick: their number does not flood the front end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: deque[Ticking] = deque()
        self._thread: threading.Thread | None = None

    def add(self, display: Ticking) -> None:
        with self._lock:
            self._live.append(display)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kling-ticker", daemon=True)
                self._thread.start()

    def remove(self, display: Ticking) -> None:
        with self._lock:
            if display in self._live:
                self._live.remove(display)

    def _run(self) -> None:
        while True:
            time.sleep(TICK)
            with self._lock:
                if not self._live:
                    self._thread = None
                    return
                self._live.rotate(-1)
                waiting = list(self._live)
            for display in reversed(waiting):  # who waited longest comes first
                if display.tick():
                    self._came_first(display)
                    break

    def _came_first(self, display: Ticking) -> None:
        with self._lock:
            if display in self._live:
                self._live.remove(display)
                self._live.append(display)


_TICKER = TICKER = _Ticker()
_SAYING = threading.RLock()


class LastResult:
    """A plain output in the cell it is made in, for what must last when the widgets above it are gone.

    Empty until something is shown; what is shown replaces what was.
    """

    def __init__(self) -> None:
        self._place = _place(True, background=False)
        if isinstance(self._place, _CellOutput):
            self._place.say(Message("start", {"text/html": "", "text/plain": ""}, ()))

    def show(self, bundle: Mapping[str, Any]) -> None:
        """From any thread."""
        with _SAYING, contextlib.suppress(Exception):  # a kernel going down must not cost a paid job
            self._place.say(Message("result", dict(bundle), ()))


class Message(NamedTuple):
    """One thing to show: the start, an update, the end (the last state stays) or the result (in place of it)."""

    what: Literal["start", "update", "end", "result"]
    bundle: dict[str, Any]
    rows: Sequence[ProgressRow]
    above: Sequence[str] = ()  # shown once before the rows if no display holds it

    @property
    def last(self) -> bool:
        return self.what in ("end", "result")


class _Place(Protocol):
    """Where a display shows. ``live``: it wants the updates between start and end."""

    live: bool

    def say(self, word: Message) -> None: ...


def _place(show: bool, background: bool) -> _Place:
    shell = running_shell()
    if not show:
        return NullOutput()
    if getattr(shell, "kernel", None) is not None:
        publisher = shell.display_pub  # type: ignore[union-attr]  # a shell with a kernel is a shell
        if hasattr(publisher, "pub_socket") and hasattr(publisher, "session"):
            return _CellOutput(publisher, live=person_is_present())
        return _EndOnly(publisher)
    if sys.stderr is not None and sys.stderr.isatty() and not background:
        return _TextBar(shell)
    return _Lines(shell)


class NullOutput:
    live = False

    def say(self, word: Message) -> None:
        pass


class _CellOutput:
    """The output of the cell it was made in.

    Publisher and parent header are kept: another cell's ``%%capture`` swaps the shell's publisher, and the header of a
    thread is that of whichever cell ran last, whose messages nbclient then drops.
    """

    def __init__(self, publisher: Any, *, live: bool) -> None:
        self.live = live
        self._publisher = publisher
        self._parent = dict(getattr(publisher, "parent_header", None) or {})
        self._display_id = uuid.uuid4().hex

    def say(self, word: Message) -> None:
        transient = {"display_id": self._display_id}
        if word.what == "start":
            self._publisher.publish(word.bundle, transient=transient)
            return
        content = {"data": word.bundle, "metadata": {}, "transient": transient}
        publisher = self._publisher
        message = publisher.session.msg("update_display_data", content, parent=self._parent)
        publisher.session.send(publisher.pub_socket, message, ident=publisher.topic)


class _EndOnly:
    """A publisher we do not know (``%%capture`` around our own cell, other kernels): the end, as one output."""

    live = False

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher

    def say(self, word: Message) -> None:
        if word.last:
            self._publisher.publish(word.bundle)


class _TextBar:
    """A bar in the terminal; the result's text in its place."""

    live = True

    def __init__(self, shell: Any | None) -> None:
        from tqdm import tqdm

        class Bar(tqdm):  # type: ignore[type-arg]  # it iterates over nothing
            monitor_interval = 0  # no thread of tqdm's beside our ticker

        self._shell = shell
        self._bar = Bar(
            total=1.0,
            file=sys.stderr,
            leave=False,
            ncols=80,
            nrows=20,  # tqdm's own look at the terminal shows nothing where the size is unknown; so for the columns
            bar_format="{desc}",  # nothing before the first word
        )

    def say(self, word: Message) -> None:
        _print_above(word)
        shares = [1.0 if row.state == "failed" else fraction_of(row) for row in word.rows]
        known = any(share is not None for share in shares)
        self._bar.bar_format = "{desc} {percentage:3.0f}%|{bar}| {unit}" if known else "{desc} {unit}"
        self._bar.ncols = shutil.get_terminal_size().columns - 1
        self._bar.n = sum(share or 0.0 for share in shares) / max(1, len(shares))
        self._bar.set_description_str(_summary(word.rows), refresh=False)
        self._bar.unit = next((row.detail for row in word.rows if row.detail), "")[:60]
        self._bar.leave = word.what == "end"
        self._bar.refresh()
        if word.last:
            self._bar.close()
        if word.what == "result" or (word.last and len(word.rows) > 1):  # of one job the error says all there is
            _print(self._shell, word.bundle)


class _Lines:
    """Neither a terminal nor a kernel: a line at the start and a line at the end, on stderr."""

    live = False

    def __init__(self, shell: Any | None) -> None:
        self._shell = shell

    def say(self, word: Message) -> None:
        _print_above(word)
        if sys.stderr is not None:
            print(f"kling: {_summary(word.rows)}", file=sys.stderr, flush=True)
        if word.last:
            _print(self._shell, word.bundle)


def _print_above(word: Message) -> None:
    """What is about to happen and what it will cost, before it does."""
    if word.what == "start" and sys.stderr is not None:
        print(*(f"kling: {line}\n" for line in word.above if line), sep="", end="", file=sys.stderr, flush=True)


def _summary(rows: Sequence[ProgressRow]) -> str:
    if len(rows) == 1:
        return status_text(rows[0])
    states = [row.state for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states) if state != "done")
    done = f"{states.count('done')} of {len(rows)} done"
    return f"{done}, {counts}" if counts else done


def _print(shell: Any | None, bundle: Mapping[str, Any]) -> None:
    """In a terminal IPython the text of the end; a script has the value the call returns."""
    if shell is not None and bundle.get("text/plain"):
        print(bundle["text/plain"], flush=True)
