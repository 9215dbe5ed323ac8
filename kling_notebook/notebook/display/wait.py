"""The only place that waits in a cell, a terminal or a script.

Every Jupyter cell runs inside a running event loop. A wait that blocks it would freeze the user's own asyncio tasks, so
here the loop is kept turning (nest_asyncio2) while workers run. Patching turns the process's asyncio tasks into
pure-Python ones for good: it happens when the first wait in a running loop begins, never at import, and the setting
``nest`` turns it off. If no loop runs on this thread, or it cannot be patched, the wait blocks in short slices.

IPython is touched only if a shell is found already running.
"""

import asyncio
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from types import FrameType
from typing import Any, ClassVar

from ...api.errors import Interrupted, StillRunningError
from ...api.event_log import log_suppressed, suppress
from ...jobs.purchase import Stopped
from ...results.result import is_terminal

# Seconds a blocking wait holds the thread: what an interrupt waits for at most, on every system.
SLICE = 0.2

# Seconds after which an interrupt that was not handled goes where it would have gone without us.
PATIENCE = 2.0


def running_shell() -> Any | None:
    """The IPython shell this code runs in, or None. Never imports IPython."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython() if get_ipython else None


def in_notebook() -> bool:
    """True in a kernel: what is shown goes to a front end and not to a terminal."""
    return getattr(running_shell(), "kernel", None) is not None


def person_is_present() -> bool:
    """True if a person can answer: the kernel's front end allows stdin, or stdin is a terminal."""
    if (kernel := getattr(running_shell(), "kernel", None)) is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return is_terminal(sys.stdin)


class InterruptsNoted:
    """While this block runs, SIGINT is noted instead of raised; the wait inside it, or its end, raises it.

    Raised, it would end whichever of the user's tasks happens to run in the turning loop, and a second one would break
    the cancelling off in the middle. While many jobs are being started, an interrupt must not leave those that are
    started already without a waiter. Only the main thread gets signals; elsewhere this does nothing. Nested blocks
    share the outermost one, so that the wait answers what was noted before it began.
    """

    _active: ClassVar["InterruptsNoted | None"] = None

    def __init__(self) -> None:
        self.seen = self.answered = False
        self._since = 0.0
        self._previous: Any = None

    def __enter__(self) -> "InterruptsNoted":
        if threading.current_thread() is not threading.main_thread():
            return self
        if InterruptsNoted._active is not None:
            return InterruptsNoted._active
        # A handler that was set outside Python cannot be put back, and is left alone.
        if callable(signal.getsignal(signal.SIGINT)):
            self._previous = signal.signal(signal.SIGINT, self._note)
            InterruptsNoted._active = self
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._previous is None:
            return
        InterruptsNoted._active = None
        signal.signal(signal.SIGINT, self._previous)
        # An exception that is under way already must not be hidden by the interrupt.
        if self.seen and not self.answered and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.seen:
            self.seen, self._since = True, time.monotonic()
        elif time.monotonic() - self._since > PATIENCE:
            self._previous(number, frame)


def wait(
    handles: Collection[Future[Any]],
    *,
    timeout: float | None = None,
    cancel_unsent: Callable[[], Stopped] | None = None,
    nest: bool = True,
) -> None:
    """Return when every handle is done, whatever its outcome.

    Args:
        handles: real futures; they may be equal, and may be done already.
        timeout: seconds from now, None for no limit.
        cancel_unsent: cancels what was not sent yet and says what keeps running. Called once, on an interrupt or a
            time-out.
        nest: keep a running loop turning; False blocks it.

    Raises:
        Interrupted: the user interrupted. A further interrupt meanwhile changes nothing.
        StillRunningError: the time-out passed.
    """
    pending = {handle for handle in handles if not handle.done()}
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    with InterruptsNoted() as interrupts:
        try:
            interrupted = not _settle(pending, deadline, interrupts, nest)
        except KeyboardInterrupt:  # raised by something that ran in the loop, or on a thread that gets no signals
            interrupted = True
        # What is done at the last moment is not a time-out.
        if all(handle.done() for handle in pending) and not interrupted:
            return
        # The exception raised below answers it; the block need not raise another.
        interrupts.answered = interrupted
        stopped = cancel_unsent() if cancel_unsent else None
    line = what_keeps_running(stopped) if stopped else ""
    ids = [job.job_id for job in stopped.still_running if job.job_id] if stopped else []
    if interrupted:
        raise Interrupted(f"Stopped waiting. {line}", ids) from None
    raise StillRunningError(f"Not completed after {timeout:g} s. {line}", job_id=ids[0] if len(ids) == 1 else None)


def _settle(pending: set[Future[Any]], deadline: float, interrupts: InterruptsNoted, nest: bool) -> bool:
    """Wait until all are done or the deadline has passed; False if an interrupt came first."""

    def over() -> bool:
        return all(handle.done() for handle in pending) or interrupts.seen or time.monotonic() >= deadline

    loop = _patched_loop() if nest and not over() else None
    if loop is not None:
        # The step of the loop that runs this cell began before the loop was patched, and takes as many callbacks as
        # were ready then. Those are run below; what it finds in their place does nothing.
        ready = len(getattr(loop, "_ready", ()))
        try:
            loop.run_until_complete(_turning(loop, pending, over, deadline))
        except Exception as error:  # the jobs were started: whatever the loop has against it, wait without it
            log_suppressed("keeping the event loop turning", error)
        finally:
            for _ in range(ready):
                loop.call_soon(lambda: None)
    # No loop to turn, or one that ended early.
    while not over():
        wait_for_futures(pending, timeout=_slice(deadline))
    return not interrupts.seen


def _patched_loop() -> asyncio.AbstractEventLoop | None:
    """The loop running on this thread, made re-entrant; None if there is none or it cannot be."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    try:
        import nest_asyncio2  # type: ignore[import-untyped]  # it ships no types

        nest_asyncio2.apply(loop, error_on_mispatched=True)
    except Exception as error:  # uvloop's loop, or one that the archived nest_asyncio patched: it loses queued cells
        log_suppressed("making the event loop re-entrant", error)
        return None
    return loop


async def _turning(
    loop: asyncio.AbstractEventLoop,
    pending: set[Future[Any]],
    over: Callable[[], bool],
    deadline: float,
) -> None:
    wake = asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: nothing is left to wake
            loop.call_soon_threadsafe(wake.set)

    for handle in pending:
        handle.add_done_callback(tell)
    while not over():
        # Beside the handles only time and an interrupt end the wait; both are looked at in slices.
        timer = loop.call_later(_slice(deadline), wake.set)
        await wake.wait()
        timer.cancel()
        wake.clear()


def _slice(deadline: float) -> float:
    return max(0.0, min(SLICE, deadline - time.monotonic()))


def what_keeps_running(stopped: Stopped) -> str:
    """What was cancelled and what keeps running, in one line."""
    numbers, count = [str(job.number) for job in stopped.still_running], len(stopped.cancelled)
    gone = f"{count} request{'s were' if count > 1 else ' was'} cancelled before being sent. " if count else ""
    hint = "%kling resume" if running_shell() is not None else "kling.resume()"
    if not numbers:
        return f"{gone}No jobs are still running."
    if len(numbers) == 1:
        return f"{gone}Job {numbers[0]} keeps running; {hint} shows its images."
    return f"{gone}{len(numbers)} jobs keep running ({few_of(numbers)}); {hint} shows their images."


def few_of(numbers: Sequence[str]) -> str:
    """'1, 2, 3 and 5 more'."""
    return ", ".join(numbers[:3]) + (f" and {len(numbers) - 3} more" if len(numbers) > 3 else "")
