"""The magics: ``%%kling`` makes images from the cell, ``%kling`` does the rest. Thin: parse, hand on, show.

No state lives here: a reload makes new magics, and the session stays. Importing this module imports nothing heavy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import traitlets
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from ...api import errors
from ...settings import SETTINGS
from ..config import MAGICS
from ..display.wait import person_is_present
from .options_table import help_of_options
from .subcommands import help_text

if TYPE_CHECKING:
    from ...api.generation_request import GenerationRequest
    from ...results.batch_result import BatchPlan
    from ...results.sweep_result import SweepPlan
    from ...session.session import Session
    from .cell_arguments import CellOptions

RECENT = 12
"""How many past jobs completion offers."""

_Magic = TypeVar("_Magic", bound=Callable[..., Any])

_Defaults = type(
    "KlingDefaults",
    (Magics,),
    {
        # Any value is taken and checked at use: a trait that refuses one leaves it in the shell's configuration, and
        # the next load of the extension raises.
        name: traitlets.Any(None, allow_none=True, help=f"{setting.help} (unset: {setting.default})").tag(config=True)
        for name, setting in SETTINGS.items()
        if setting.kind != "secret"  # a key set in a notebook would be saved in it
    },
)


def _with_help(text: str) -> Callable[[_Magic], _Magic]:
    """IPython shows a magic's docstring for ``%kling?`` and ``%%kling?``."""

    def give(magic: _Magic) -> _Magic:
        magic.__doc__ = text
        return magic

    return give


@magics_class
class KlingMagics(_Defaults):  # type: ignore[misc,valid-type]  # made from the table of settings
    """Defaults of the kling magics. Unset, the environment and then the documented default decide."""

    debug = traitlets.Any(False, help="show full tracebacks of errors (True) or one line each (False)").tag(config=True)

    @traitlets.observe("debug")
    def _set_debug(self, change: Any) -> None:
        errors.full_traceback = change["new"] is True or str(change["new"]).lower() in ("1", "true", "on", "yes")

    def configured(self) -> dict[str, Any]:
        """The settings that ``%config`` gave a value."""
        return {name: value for name in SETTINGS if (value := getattr(self, name, None)) is not None}

    @no_var_expand
    @cell_magic("kling")  # type: ignore[arg-type]  # IPython's annotations fit no method, here and below
    @_with_help(f"{help_of_options()}\n\n{help_text()}")
    def kling_cell(self, line: str, cell: str) -> Any:
        from .caller_names import names_of_caller
        from .cell_arguments import parse_cell

        options = parse_cell(line, cell, names_of_caller(self.shell))
        if options.help:
            print(help_of_options())
            return None
        return run_cell(options, self.shell)

    @no_var_expand
    @line_magic("kling")  # type: ignore[arg-type]
    @_with_help(f"{help_text()}\n\n{help_of_options()}")
    def kling_line(self, line: str) -> Any:
        from .subcommands import run

        return run(line, self.shell)


assert KlingMagics.__name__ == MAGICS  # noqa: S101  # the name under which %config and the other modules find it


def run_cell(options: CellOptions, shell: Any) -> Any:
    """Make what a cell asks for. The cell's value is None, or with ``--quiet`` what was made."""
    from ...results.result import Result, Shown
    from .. import kernel_session
    from ..display.echo import held_back
    from ..display.outputs import attempt
    from ..display.run_in_cell import perform

    session = kernel_session.current_session()
    plan, requests = _plan(session, options)
    if options.dry_run:
        estimate = session.estimate(requests, reuse=session.reusing(options.reuse, sweep=plan is not None))
        return _planned(estimate, options, shell, (requests, plan))

    def bind(value: Any) -> None:
        """With --no-wait the variable holds the handle, even in a non-interactive run, where the cell waits."""
        if options.wait or not isinstance(value, Result):
            shell.push({options.output: value})

    made = perform(
        session,
        requests,
        source="magic",
        plan=plan,
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
    from ...results import sweep_axes
    from ...results.sweep_result import SweepPlan
    from ...session.plans import batch_plan

    if options.table is not None:
        text = sweep_axes.fill(options.prompts[0], options.filled)
        batch = batch_plan(session, options.table, {**options.parameters, **options.columns}, prompt=text)
        return batch, [request for request in batch.requests if request is not None]
    prompt = list(options.prompts) if len(options.prompts) > 1 else options.prompts[0]
    pick = None if options.pick is None else sweep_axes.Pick(options.pick, options.pick_seed)
    more: dict[str, Any] = {"filled": options.filled, "source": session.workspace.attachments.resolve, "pick": pick}
    axes, points = sweep_axes.expand(prompt, options.axes, options.parameters, **more)
    return SweepPlan(axes, points, pick) if axes else None, session.requests(points)


def _planned(estimate: Any, options: CellOptions, shell: Any, plan: Any) -> Any:
    """What a dry run leaves: its estimate in the variable, and the plan shown."""
    if options.output:
        shell.push({options.output: estimate})
    if options.quiet:
        return estimate
    from ...results.typed_values import left_in_braces
    from ..display.outputs import point_out
    from .dry_run import planned_bundle

    point_out(left_in_braces({request.prompt for request in plan[0]}))
    shell.display_pub.publish(planned_bundle(estimate, *plan))
    return None


def recent_jobs() -> Sequence[tuple[int, int]]:
    """(number, images) of the newest jobs, for completion. Pressing Tab begins no session."""
    current = sys.modules.get("kling_notebook.session.current")
    session = current.existing_session() if current else None
    if session is None:
        return []
    return [(record.number, len(record.images)) for record in session.rows(limit=RECENT)]
