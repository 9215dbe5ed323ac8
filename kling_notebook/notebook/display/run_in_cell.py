"""Start, show, wait: what the Python API and the magic share. The session does the work; this puts it in a cell."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ...api.errors import InputError, Interrupted, KlingError, StillRunningError
from ...api.generation_request import GenerationRequest
from ...jobs.call import Call, Stopped
from ...results.batch_result import BatchPlan, BatchResult
from ...results.handle import JobHandle
from ...results.result import Result, grid_tiles
from ...results.sweep_result import SweepPlan, SweepResult
from ...session.session import Session, Source
from ...view.markup import plural
from ..checks import check_reuse, check_timeout
from . import wait as waiting
from .progress_display import LiveDisplay

Bind = Callable[[Any], object]
Plan = SweepPlan | BatchPlan | None
Held = SweepResult | BatchResult | JobHandle
AGAIN = "Run it again to make only what is missing."
COLLECTED = "Collecting buys nothing: `%kling status` says what is left of them."


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
        bind: is given the handle (or the paused SweepResult) as soon as there is one, so that a variable holds it
            whatever happens, and the Result at the end.

    Raises:
        As `generate`; of a sweep only where not one job succeeded.
    """
    check_timeout(timeout)
    check_reuse(reuse)
    begun: list[Call] = []
    with interrupts_explained(session, begun), waiting.interrupts_noted():
        batch = session.start(requests, source=source, max_credits=max_credits, reuse=reuse, sweep=plan is not None)
        begun.append(batch)
        held: Held = plan.gather(batch.handles) if plan is not None else batch.handles[0]
        if bind:
            bind(held)
        notice = " ".join(session.pop_notices()) if show_progress else ""  # taken when they will be shown
        labels = plan.labels(requests) if plan is not None else {}
        live = LiveDisplay(
            requests,
            labels=labels,
            title=_title(batch, plan.shape) if plan is not None else "",
            notice=notice,
            show=show_progress,
            free=session.is_sandbox,
            background=not wait,
        )
        for handle in batch.jobs:
            handle.add_observer(live)
        if not wait:
            _finish_later(session, batch, plan, held, live, notice=notice)
            return held
        _wait(session, batch, live, timeout)
    with interrupts_explained(session, begun):
        try:
            done = _shown(session, batch, plan, held, live, notice=notice)
        finally:
            live.finish()
    done.already_shown = waiting.in_this_cell() if show_progress else bool
    if bind:
        bind(done)
    return done


@contextlib.contextmanager
def interrupts_explained(session: Session, begun: Sequence[Call]) -> Iterator[None]:
    """An interrupt beside the waiting, while jobs are started or their images drawn, does and says as one within."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        for batch in begun:
            batch.cancel_unsent()
        jobs = [handle for batch in begun for handle in batch.jobs if not handle.cancelled()]
        ids = [handle.job_id for handle in jobs if handle.job_id]
        line = "Nothing was sent." if not jobs else ""
        going = {str(handle.number): handle for handle in jobs if not handle.done()}
        _leave(session, going.values())
        if done := [number for handle in jobs if (number := str(handle.number)) not in going]:
            line += f"Done: {', '.join(done)}; `%kling show {done[0]}` shows it. "
        if going:
            line += f"Still running: {', '.join(going)}; `%kling resume` shows the images."
        raise Interrupted(f"Stopped. {line}".strip(), ids) from None


def _leave(session: Session, still_running: Iterable[JobHandle]) -> None:
    session.unwatched.update({handle.number: handle for handle in still_running})


def _wait(session: Session, batch: Call, live: LiveDisplay, timeout: float | None) -> None:
    def stop() -> Stopped:
        still_running = [handle for handle in batch.jobs if not handle.done()]
        stopped = batch.cancel_unsent()
        _leave(session, (handle for handle in still_running if not handle.cancelled()))
        return stopped

    try:
        waiting.wait(batch.jobs, timeout=timeout, cancel_unsent=stop, nest=session.settings.nest)
    except (Interrupted, StillRunningError) as stopped:
        live.finish(footer=str(stopped))
        if isinstance(stopped, StillRunningError) and len(batch.jobs) == 1:
            stopped.with_job(number=batch.handles[0].number)
        raise
    except BaseException:
        live.finish()
        raise


def _shown(
    session: Session, batch: Call, plan: Plan, held: Held, live: LiveDisplay, *, notice: str
) -> Result | SweepResult | BatchResult:
    """All jobs are done: the result in place of the progress, or the error."""
    errors = [error for handle in batch.jobs if (error := _error_of(handle)) is not None]
    if errors and len(errors) == len(batch.jobs):
        raise errors[0]
    if errors:
        notice = " ".join([notice, _what_failed(errors, len(batch.jobs), AGAIN)]).strip()
    done = held.result() if isinstance(held, JobHandle) else held
    notice = " ".join([notice, *(session.pop_notices() if live.shows else ())]).strip()
    live.finish(done.bundle(title=_summary(batch, plan.shape) if plan is not None else "", notice=notice))
    return done


def _finish_later(session: Session, batch: Call, plan: Plan, held: Held, live: LiveDisplay, *, notice: str) -> None:
    """Let the last job to end put the result in place of the progress."""
    left = set(batch.jobs)
    lock = threading.Lock()

    def one_done(handle: Any) -> None:
        with lock:
            left.discard(handle)
            if left:
                return
        try:
            _shown(session, batch, plan, held, live, notice=notice)
        except BaseException as error:  # there is no caller to raise it to: the display shows it
            live.finish(footer=str(error))

    for handle in batch.jobs:
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


def _title(batch: Call, shape: str) -> str:
    """What is about to happen, before it does: shape, images, cost, time, what comes from the folder."""
    estimate = batch.estimate
    verb = "make" if estimate.free else "buy"
    here = f"{estimate.reused} of {len(batch.jobs)} from this folder, {estimate.jobs} to {verb}: "
    return f"{shape}, {here if estimate.reused and estimate.jobs else ''}{estimate.cost}"


def _summary(batch: Call, shape: str) -> str:
    reused = batch.estimate.reused
    many = "all" if not batch.estimate.jobs else str(reused)
    return f"{shape}{f', {many} from this folder at no cost' if reused else ''}"


def collect(
    session: Session,
    which: int | str | None = None,
    job_id: str | None = None,
    *,
    timeout: float | None = None,
    show_progress: bool = True,
) -> list[Result]:
    """Resume jobs with one progress display, and show what was fetched. See `kling_notebook.resume`."""
    check_timeout(timeout)
    if job_id is not None and which is None:
        raise InputError(
            f"Say which job {job_id} is: the number of the job unconfirmed goes before it.", parameter="job"
        )
    begun: list[Call] = []
    with interrupts_explained(session, begun), waiting.interrupts_noted():
        batch = session.resume(which, job_id)
        if which is None:
            jobs = session.unwatched | {handle.number: handle for handle in batch.jobs}
            batch = Call(tuple(jobs.values()), batch.estimate)
        begun.append(batch)
        if not batch.jobs:
            return []
        live = LiveDisplay(
            [handle.request for handle in batch.jobs], title="Resuming", show=show_progress, free=session.is_sandbox
        )
        for handle in batch.jobs:
            handle.add_observer(live)
        _wait(session, batch, live, timeout)
    errors = [error for handle in batch.jobs if (error := _error_of(handle)) is not None]
    with interrupts_explained(session, begun):
        try:
            if errors and (which is not None or len(errors) == len(batch.jobs)):
                raise errors[0]
            results = [handle.result() for handle in batch.jobs if _error_of(handle) is None]
            live.finish(resumed_bundle(results, errors))
            for handle in batch.jobs:  # shown: another resume need not show it again
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
        if results[0].reused:
            title = f"Job {results[0].number}: all of it is here already"
        return results[0].bundle(title=title, notice=notice)
    return grid_bundle(grid_tiles([image for one in results for image in one]), title=title, notice=notice)
