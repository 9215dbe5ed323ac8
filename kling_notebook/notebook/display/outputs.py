"""Where a call shows its progress and its result: the output of a cell, a terminal, plain lines, or nowhere.

IPython is touched only if a shell is found running.
"""

import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from ...api.event_log import log_suppressed
from ...results.result import is_terminal
from ...view.progress import ProgressRow, fraction_of, message_bundle, overall_text, status_text
from .wait import in_notebook, person_is_present, running_shell

_Value = TypeVar("_Value")
_Otherwise = TypeVar("_Otherwise")
UPDATE_SECONDS = 0.25


def attempt(what: str, show: Callable[[], _Value], otherwise: _Otherwise) -> _Value | _Otherwise:
    """What ``show`` returns; if it raises, ``otherwise``, and the error goes to the log.

    Whoever catches an exception of a paid call tries again, and pays again: so a display must not raise one.
    """
    try:
        return show()
    except Exception as error:
        log_suppressed(what, error)
        return otherwise


class Message(NamedTuple):
    """One thing to show: the start, an update, the end (the last state stays) or the result (the progress goes)."""

    what: Literal["start", "update", "end", "result"]
    bundle: dict[str, Any]
    rows: Sequence[ProgressRow]
    above: Sequence[str] = ()  # what is about to happen and what it costs; shown before the rows if no display holds it

    @property
    def last(self) -> bool:
        return self.what in ("end", "result")


class Output:
    """Where a display shows; this one nowhere. ``live``: it takes the updates between start and end."""

    live = False

    def show(self, message: Message) -> None:
        """Show a message, from any thread."""


def output_for(show: bool, background: bool) -> Output:
    """The output of the cell, terminal or script that runs now on this thread."""
    shell = running_shell()
    if not show:
        return Output()
    if getattr(shell, "kernel", None) is not None:
        publisher = shell.display_pub  # type: ignore[union-attr]  # a shell with a kernel is a shell
        # Without these two no message can be addressed to the cell: another kernel, or ``%%capture`` around ours.
        if hasattr(publisher, "pub_socket") and hasattr(publisher, "session"):
            return CellOutput(publisher, live=person_is_present())
        return EndOnly(publisher)
    bar = attempt("opening a bar", _open_bar, None) if is_terminal(sys.stderr) and not background else None
    return TextOutput(shell, bar)


class CellOutput(Output):
    """The output of the cell it was made in. The result is an output of its own.

    Updates are optional messages: ``widgets.Output``, Voila's callbacks and ``jupyter console`` drop them.

    Publisher and parent header are kept: another cell's ``%%capture`` swaps the shell's publisher, and the header of a
    thread is that of whichever cell ran last, whose messages nbclient then drops.
    """

    def __init__(self, publisher: Any, *, live: bool) -> None:
        self.live = live
        self._publisher = publisher
        self._parent = dict(getattr(publisher, "parent_header", None) or {})
        self._transient = {"display_id": uuid.uuid4().hex}
        self._thread = threading.get_ident()

    def show(self, message: Message) -> None:
        if message.what == "start":
            self._display(message.bundle, self._transient)
        elif message.what != "result":
            self._send("update_display_data", message.bundle, self._transient)
        else:
            # Nothing at all takes no space in JupyterLab; nbconvert, which reads what batch runs leave, warns of it.
            empty: dict[str, Any] = {} if self.live else {"text/html": "", "text/plain": ""}
            attempt("removing the progress", lambda: self._send("update_display_data", empty, self._transient), None)
            self._display(message.bundle, {})

    def _display(self, bundle: dict[str, Any], transient: dict[str, Any]) -> None:
        """A new output: by the publisher, which flushes what was printed and calls the user's hooks, if the cell is
        still the same, and without it if it fails (a sys.stdout that cannot be flushed)."""
        # On another thread the next cell may begin between this question and the publishing, and would get the output.
        same = dict(getattr(self._publisher, "parent_header", None) or {}) == self._parent
        if same and threading.get_ident() == self._thread:
            try:
                self._publisher.publish(bundle, transient=transient)
                return
            except Exception as error:
                log_suppressed("publishing an output", error)
        self._send("display_data", bundle, transient)

    def _send(self, kind: str, bundle: dict[str, Any], transient: dict[str, Any]) -> None:
        # Past the publisher, whose parent is by now another cell's.
        publisher = self._publisher
        message = publisher.session.msg(
            kind, {"data": bundle, "metadata": {}, "transient": transient}, parent=self._parent
        )
        publisher.session.send(publisher.pub_socket, message, ident=publisher.topic)


class EndOnly(Output):
    """A publisher we do not know (``%%capture`` around our own cell, other kernels): the end, as one output."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher

    def show(self, message: Message) -> None:
        if message.last:
            self._publisher.publish(message.bundle)


class TextOutput(Output):
    """A terminal with a bar, the result's text in its place; without a bar a line at the start and one at the end.

    They go to stderr. Of a script the value that the call returns is the result; a terminal IPython prints its text.
    """

    def __init__(self, shell: Any | None, bar: Any | None) -> None:
        self._shell, self._bar, self.live = shell, bar, bar is not None

    def show(self, message: Message) -> None:
        attempt("printing the progress", lambda: self._progress(message), None)
        # Under the bar of a single job that did not succeed the error says all.
        ended = message.what == "end" and self.live and len(message.rows) == 1
        text = message.bundle.get("text/plain")
        if message.last and not ended and self._shell is not None and text:
            print(text)

    def _progress(self, message: Message) -> None:
        if message.what == "start":
            _tell(message.above)
        if self._bar is None:
            _tell([_summary(message.rows)])
            return
        shares = [fraction_of(row) for row in message.rows]
        known = any(share is not None for share in shares)
        self._bar.bar_format = "{desc} {percentage:3.0f}%|{bar}| {unit}" if known else "{desc} {unit}"
        # One column stays free: some terminals go to the next line after the last one.
        self._bar.ncols = shutil.get_terminal_size().columns - 1
        self._bar.n = sum(share or 0.0 for share in shares) / max(1, len(shares))
        self._bar.set_description_str(_summary(message.rows), refresh=False)
        self._bar.unit = next((row.detail for row in message.rows if row.detail), "")[:60]
        # An end without a result: the last state stays on the screen.
        self._bar.leave = message.what == "end"
        self._bar.refresh()
        if message.last:
            self._bar.close()


def _open_bar() -> Any:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]  # it iterates over nothing
        monitor_interval = 0  # no thread of tqdm's beside our ticker

    return Bar(
        total=1.0,
        file=sys.stderr,
        leave=False,
        ncols=80,
        nrows=20,  # tqdm shows nothing if it cannot find the size of the terminal; the columns likewise
        bar_format="{desc}",  # nothing before the first message
    )


def _tell(lines: Sequence[str]) -> None:
    """Print lines to stderr, which a process without a console does not have."""
    if sys.stderr is not None:
        print(*(f"kling: {line}\n" for line in lines), sep="", end="", file=sys.stderr)


def _summary(rows: Sequence[ProgressRow]) -> str:
    return status_text(rows[0]) if len(rows) == 1 else overall_text(rows)


def point_out(lines: Sequence[str]) -> None:
    """Something to know before anything is sent, as an output of its own; nothing if there are no lines."""
    shell = running_shell()
    if lines and getattr(shell, "kernel", None) is not None:
        shell.display_pub.publish(message_bundle(lines[0], kind="warning", lines=lines[1:]))  # type: ignore[union-attr]
    else:
        _tell(lines)


def counted(items: Iterable[_Value], total: int, what: str) -> Iterator[_Value]:
    """Pass the items on, and count them on a line: in a terminal a bar, in a cell a text that is empty at the end."""
    if not total:
        return
    if not in_notebook():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, leave=False, disable=None)  # None: silent unless a terminal
        return
    from IPython.display import DisplayHandle

    line: Any = DisplayHandle()  # type: ignore[no-untyped-call]
    line.display({"text/plain": f"{what}: 0 of {total}"}, raw=True)
    shown = time.monotonic()
    try:
        for done, item in enumerate(items, 1):
            # Items may come a thousand a second, and messages must not.
            if time.monotonic() - shown > UPDATE_SECONDS:
                line.update({"text/plain": f"{what}: {done} of {total}"}, raw=True)
                shown = time.monotonic()
            yield item
    finally:
        line.update({}, raw=True)
