"""Make what a ``%%kling`` cell asks for, or show what it would make. Imported with the first cell, not at loading."""

from collections.abc import Sequence
from typing import Any

from ...api.generation_request import GenerationRequest
from ...api.parameters import PARAMETERS
from ...jobs.spending import Estimate
from ...results import sweep_axes
from ...results.batch_result import BatchPlan
from ...results.result import Result, Shown
from ...results.sweep_result import SweepPlan
from ...results.typed_values import left_in_braces
from ...session.plans import batch_plan
from ...session.session import Session
from ...view.table import facts_bundle
from .. import kernel_session
from ..display.echo import held_back
from ..display.outputs import attempt, point_out
from ..display.run_in_cell import perform
from ..display.wait import person_is_present
from .cell_arguments import CellOptions

# Rows of a dry run at most.
MOST_PLANNED = 50


def run_cell(options: CellOptions, shell: Any) -> Any:
    """Make what a cell asks for. The cell's value is None, or with ``--quiet`` what was made."""
    session = kernel_session.current_session()
    plan, requests = _plan(session, options)
    if options.dry_run:
        estimate = session.estimate(requests, reuse=session.reusing(options.reuse, sweep=plan is not None))
        if options.output:
            shell.push({options.output: estimate})
        if options.quiet:
            return estimate
        point_out(left_in_braces(requests))
        shell.display_pub.publish(_planned_bundle(estimate, requests, plan))
        return None

    def bind(value: Any) -> None:
        """With --no-wait the variable holds the handle, even in a non-interactive run, where the cell waits."""
        if options.wait or not isinstance(value, Result):
            shell.push({options.output: value})

    made = perform(
        session,
        requests,
        source="magic",
        plan=plan,
        # A sweep has no limit of its own: its jobs wait for each other.
        timeout=options.timeout if options.timeout is not None or plan is not None else 300.0,
        max_credits=options.max_credits,
        reuse=options.reuse,
        show_progress=not options.quiet,
        # A non-interactive run saves the notebook as soon as its last cell ends: an output could never fill in.
        wait=options.wait or not person_is_present(),
        bind=bind if options.output else None,
    )
    if not options.quiet:
        return None
    if isinstance(made, Shown):
        # The value of a quiet cell is not displayed for being that.
        made.already_shown = attempt("looking at the cell", held_back, None)
    return made


def _plan(session: Session, options: CellOptions) -> tuple[SweepPlan | BatchPlan | None, list[GenerationRequest]]:
    """What a cell asks for: the plan of its sweep or batch, None for a single request, and the requests."""
    if options.table is not None:
        text = sweep_axes.fill(options.prompts[0], options.filled)
        batch = batch_plan(session, options.table, options.parameters, prompt=text)
        return batch, [request for request in batch.requests if request is not None]
    prompt = list(options.prompts) if len(options.prompts) > 1 else options.prompts[0]
    resolve, pick = session.workspace.attachments.resolve, options.pick
    more: dict[str, Any] = {"filled": options.filled, "source": resolve, "pick": pick}
    axes, points = sweep_axes.expand(prompt, options.axes, options.parameters, **more)
    return SweepPlan(axes, points, pick) if axes else None, session.requests(points)


def _planned_bundle(estimate: Estimate, requests: Sequence[GenerationRequest], plan: Any) -> dict[str, Any]:
    """What a dry run shows: the shape, the estimate, and the jobs one by one."""
    axes = getattr(plan, "axes", {})
    names = [name for name in axes if name != "prompt"]
    fixed = [name for name in PARAMETERS if name not in ("prompt", *axes)]
    values = {name: {sweep_axes.label(request.values[name]) for request in requests} for name in fixed}
    points = [point.at(axes) for point in plan.points] if names else []
    labels = [[sweep_axes.label(point[name]) for name in names] for point in points] or [[]] * len(requests)
    shown = zip(labels, requests[:MOST_PLANNED], strict=False)
    rows = [(str(place), *of_axes, request.prompt) for place, (of_axes, request) in enumerate(shown, 1)]
    if len(requests) > MOST_PLANNED:
        rows.append(("", *("" for _ in names), f"and {len(requests) - MOST_PLANNED} more"))
    same = ", ".join(f"{name} {next(iter(one))}" for name, one in values.items() if len(one) == 1 and one != {"none"})
    shape = f"{plan.shape}, " if plan is not None and len(requests) > 1 else ""
    title = f"Dry run, nothing was sent: {shape}{estimate.cost if shape else estimate}; {same}"
    return facts_bundle(title, rows, header=("job", *names, "prompt"))
