"""Start, show, wait: what the Python API and the magic share. The session does the work; this puts it in a cell."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from ...api.errors import InputError, Interrupted, KlingError, StillRunningError
from ...api.event_log import log_suppressed
from ...api.generation_request import GenerationRequest
from ...jobs.purchase import Call, Stopped
from ...results.batch_result import BatchPlan, BatchResult
from ...results.handle import JobHandle
from ...results.result import Result, grid_tiles
from ...results.sweep_result import SweepPlan, SweepResult
from ...results.typed_values import left_in_braces
from ...session.session import Session, Source
from ...view.markup import bounded, plural
from ...view.progress import message_bundle
from . import wait as waiting
from .echo import held_back
from .outputs import attempt, point_out
from .progress_display import LiveDisplay

Bind = Callable[[Any], object]
Plan = SweepPlan | BatchPlan | None
Held = SweepResult | BatchResult | JobHandle
AGAIN = "Run it again to make only what is missing."
COLLECTED = "Fetching again costs nothing: `%kling status` says what is left of them."


def perform(
    session: Session,
    requests: Sequence[GenerationRequest],
    *,
    source: Source,
    plan: Plan = None,
    timeout: float | None = 300.0,
    max_credits: float | None = None,
    reuse: bool | None = None,
    show_progress: bool = True,
    wait: bool = True,
    bind: Bind | None = None,
) -> Result | SweepResult | BatchResult | JobHandle:
    """Start the requests, show their progress, wait, and put the result in its place.

    Args:
        plan: what the requests belong to, a sweep or a batch; None for a single request.
        wait: False returns at once, and the display fills in when the jobs are done.
        show_progress: False shows nothing, and draws nothing.
        bind: is given the handle (or the running SweepResult) as soon as there is one, so that a variable holds it
            whatever happens, and the Result at the end.

    Raises:
        As `generate`; of a sweep only if not one job succeeded.
    """
    check_timeout(timeout)
    check_reuse(reuse)
    begun: list[Call] = []
    live = LiveDisplay((), show=False)
    if show_progress:  # before anything is sent: who meant a sweep can still stop it
        attempt("pointing out braces", lambda: point_out(left_in_braces(requests)), None)
    with interrupts_explained(session, begun), waiting.InterruptsNoted():
        call = session.start(requests, source=source, max_credits=max_credits, reuse=reuse, sweep=plan is not None)
        begun.append(call)  # from here on an interrupt has something to cancel and to name
        held: Held = plan.gather(call.handles) if plan is not None else call.handles[0]
        _bind(bind, held)  # before the waiting: after an interrupt the variable holds the jobs that keep running
        notice = ""
        if show_progress:  # otherwise the notices wait until somebody sees them
            notice = attempt("reading the notices", lambda: " ".join(session.pop_notices()), "")
            naming: dict[str, Any] = attempt("naming the jobs", lambda: _naming(call, requests, plan), {})
            live = _following(live, call, **naming, notice=notice, free=session.is_sandbox, background=not wait)
        if not wait:
            _finish_later(session, call, plan, held, live, notice=notice)
            return held
        _wait(session, call, live, timeout)
    with interrupts_explained(session, begun):  # all is saved; an interrupt now still says where the images are
        try:
            done = _completed(session, call, plan, held, live, notice=notice)
        finally:
            live.finish()
    _bind(bind, done)
    return done


def check_timeout(timeout: Any) -> None:
    """InputError unless a wait can take it: found out later, the jobs would be bought already."""
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, Real) or not 0 < float(timeout) < math.inf
    ):
        raise InputError(
            f"timeout must be a number of seconds above 0, or None to wait as long as it takes, not {timeout!r}.",
            parameter="timeout",
        )


def check_reuse(reuse: Any) -> None:
    """InputError for anything but True, False and None: the text "off" would be taken for a yes."""
    if not (reuse is None or isinstance(reuse, bool)):
        raise InputError(f"reuse must be True, False or None (as the setting says), not {reuse!r}.", parameter="reuse")


def check_limit(limit: Any) -> int | None:
    """How many rows, None for all. InputError for anything else."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, Integral) or limit < 0):
        raise InputError(f"limit must be a whole number from 0 up, or None for all, not {limit!r}.", parameter="limit")
    return None if limit is None else min(int(limit), 2**63 - 1)  # more than any folder has, for SQLite


def _bind(bind: Bind | None, value: Any) -> None:
    """Give the variable its value; an error of the user's namespace costs no result."""
    if bind is not None:
        attempt("binding the variable", lambda: bind(value), None)


def _naming(call: Call, requests: Sequence[GenerationRequest], plan: Plan) -> dict[str, Any]:
    """What the rows and the whole are called; nothing for a single request."""
    return {"labels": plan.labels(requests), "title": _title(call, plan.shape)} if plan is not None else {}


def _following(nothing: LiveDisplay, call: Call, **options: Any) -> LiveDisplay:
    """A display that follows the jobs of a call; ``nothing`` if there cannot be one."""
    first = attempt("naming the jobs", lambda: _first_text(call.jobs), "")

    def open_display() -> LiveDisplay:
        live = LiveDisplay([handle.request for handle in call.jobs], first=first, **options)
        for handle in call.jobs:
            handle.add_observer(live)
        return live

    return attempt("opening the display", open_display, nothing)


def _first_text(jobs: Sequence[JobHandle]) -> str:
    """Stays true if nothing after it arrives: some front ends drop what comes later."""
    numbers = [str(handle.number) for handle in jobs]
    if len(jobs) == 1:
        return (
            f"Job {numbers[0]}: {bounded(jobs[0].request.prompt, 80)}. Its images appear below; "
            f"`%kling show {numbers[0]}` shows them again."
        )
    return (
        f"Jobs {waiting.few_of(numbers)}. Their images appear below; "
        f"`%kling show {numbers[0]}` shows those of one again."
    )


@contextlib.contextmanager
def interrupts_explained(session: Session, begun: Sequence[Call]) -> Iterator[None]:
    """Handle an interrupt beside the waiting, while jobs are started or their images drawn, like one within it."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        jobs = [handle for call in begun for handle in call.jobs]
        done = [handle for handle in jobs if handle.done() and not handle.cancelled()]
        ids = [handle.job_id for handle in jobs if handle.job_id]
        stopped = _stop(session, begun[0]) if begun else Stopped((), ())
        line = f"{plural(len(done), 'job')} completed; `%kling show {done[0].number}`. " if done else ""
        if stopped.still_running or stopped.cancelled:
            line += waiting.what_keeps_running(stopped)
        raise Interrupted(f"Stopped. {line or 'Nothing was sent.'}".strip(), ids) from None


def _stop(session: Session, call: Call) -> Stopped:
    """Cancel what was not sent. The session remembers what keeps running, so that ``resume`` shows it."""
    stopped = call.cancel_unsent()
    session.unwatched.update({handle.number: handle for handle in stopped.still_running})
    return stopped


def _wait(session: Session, call: Call, live: LiveDisplay, timeout: float | None) -> None:
    try:
        waiting.wait(call.jobs, timeout=timeout, cancel_unsent=lambda: _stop(session, call), nest=session.settings.nest)
    except StillRunningError as error:
        if len(call.jobs) == 1:
            error.with_job(number=call.handles[0].number)
        raise
    finally:
        if not all(handle.done() for handle in call.jobs):
            live.finish()


def _completed(
    session: Session, call: Call, plan: Plan, held: Held, live: LiveDisplay, *, notice: str
) -> Result | SweepResult | BatchResult:
    """All jobs are done: the result in place of the progress, or the error."""
    errors = [error for handle in call.jobs if (error := _error_of(handle)) is not None]
    # One success among many is a result: what failed is drawn in its place, with the reason.
    if errors and len(errors) == len(call.jobs):
        raise errors[0]
    done = held.result() if isinstance(held, JobHandle) else held

    def draw() -> Mapping[str, Any]:
        failed = [_what_failed(errors, len(call.jobs), AGAIN)] if errors else []
        words = " ".join([notice, *failed, *attempt("reading the notices", session.pop_notices, [])]).strip()
        return done.bundle(title=_summary(call, plan.shape) if plan is not None else "", notice=words)

    if live.shows and _show_result(live, draw):
        done.already_shown = attempt("looking at the cell", held_back, None)
    return done


def _show_result(live: LiveDisplay, draw: Callable[[], Mapping[str, Any]]) -> bool:
    """Whether the result is on the screen, or a line that says that it cannot be drawn."""
    failed = message_bundle("The images are saved, but they cannot be drawn here. `%kling log` says why.")
    return live.finish(attempt("drawing the result", draw, failed))


def _finish_later(session: Session, call: Call, plan: Plan, held: Held, live: LiveDisplay, *, notice: str) -> None:
    """Let the last job to end put the result in place of the progress."""
    # The workers call back on their own threads, several at once; the last of them draws.
    left = set(call.jobs)
    lock = threading.Lock()

    def one_done(handle: Any) -> None:
        with lock:
            left.discard(handle)
            if left:
                return
        try:
            _completed(session, call, plan, held, live, notice=notice)
        except BaseException as error:  # nothing waits for it: the rows say it
            log_suppressed("a job that nothing waits for", error)
        finally:
            live.finish()

    for handle in call.jobs:
        handle.add_done_callback(one_done)


def _error_of(handle: JobHandle) -> BaseException | None:
    if handle.cancelled():
        return KlingError(f"Job {handle.number} was cancelled before it was sent.", number=handle.number)
    return handle.exception()


def _what_failed(errors: Sequence[BaseException], jobs: int, then: str) -> str:
    """How many, the first reason, what it says to do (an error's last sentence), and what to do in any case."""
    reason, *more = str(errors[0]).rstrip(".").split(". ")
    advice = f"{more[-1]}. " if more else ""
    return f"{len(errors)} of {jobs} jobs did not succeed ({reason}). {advice}{then}"


def _title(call: Call, shape: str) -> str:
    """What is about to happen, before it does: shape, images, cost, time, what comes from the folder."""
    estimate = call.estimate
    here = f"{estimate.reused} already made, {estimate.jobs} new: " if estimate.reused and estimate.jobs else ""
    return f"{shape}, {here}{estimate.cost}"


def _summary(call: Call, shape: str) -> str:
    estimate = call.estimate
    many = estimate.reused if estimate.jobs else "all"
    return f"{shape}, {many} already made, at no cost" if estimate.reused else shape


def collect(
    session: Session,
    which: int | str | None = None,
    job_id: str | None = None,
    *,
    timeout: float | None = None,
    show_progress: bool = True,
) -> list[Result]:
    """Resume jobs with one progress display, and show their results. See `kling_notebook.resume`."""
    check_timeout(timeout)
    if job_id is not None and which is None:
        raise InputError(
            f"Say which job {job_id} is: put the number of the unconfirmed job before it.", parameter="job"
        )
    begun: list[Call] = []
    with interrupts_explained(session, begun), waiting.InterruptsNoted():
        call = session.resume(which, job_id)
        if which is None:
            # What an interrupted cell of this session left running is waited for as well.
            jobs = session.unwatched | {handle.number: handle for handle in call.jobs}
            call = Call(tuple(jobs.values()), call.estimate)
        begun.append(call)
        if not call.jobs:
            return []
        live = LiveDisplay((), show=False)
        if show_progress:
            live = _following(live, call, title="Resuming", free=session.is_sandbox)
        _wait(session, call, live, timeout)
    errors = [error for handle in call.jobs if (error := _error_of(handle)) is not None]
    with interrupts_explained(session, begun):
        try:
            if errors and (which is not None or len(errors) == len(call.jobs)):
                raise errors[0]
            results = [handle.result() for handle in call.jobs if _error_of(handle) is None]
            if live.shows:
                _show_result(live, lambda: resumed_bundle(results, errors))
            for handle in call.jobs:  # shown: another resume need not show it again
                session.unwatched.pop(handle.number, None)
        finally:
            live.finish()
    return results


def resumed_bundle(results: Sequence[Result], errors: Sequence[BaseException] = ()) -> dict[str, Any]:
    """The images of several results as one grid, a single one large."""
    from ...view.grid import grid_bundle

    notice = _what_failed(errors, len(results) + len(errors), COLLECTED) if errors else ""
    title = f"{plural(len(results), 'job')} fetched"
    if len(results) == 1:
        here = f"Job {results[0].number}: all its images are here already"
        return results[0].bundle(title=here if results[0].reused else title, notice=notice)
    return grid_bundle(grid_tiles([image for one in results for image in one]), title=title, notice=notice)
