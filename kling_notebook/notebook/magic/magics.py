"""The magics: ``%%kling`` makes images from the cell, ``%kling`` does the rest. Thin: parse, hand on, show.

No state lives here: a reload makes new magics, and the session stays. Importing this module imports nothing heavy.
"""

import sys
from collections.abc import Sequence
from typing import Any

import traitlets
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from ...api import errors
from ...settings import SETTINGS
from .options_table import help_of_options
from .subcommands import help_text, run

# How many past jobs completion offers.
RECENT = 12

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
    def kling_cell(self, line: str, cell: str) -> Any:
        from .cell_arguments import parse_cell
        from .cell_magic import run_cell
        from .user_variables import names_of_caller

        options = parse_cell(line, cell, names_of_caller(self.shell))
        if not options.help:
            return run_cell(options, self.shell)
        print(help_of_options())
        return None

    @no_var_expand
    @line_magic("kling")  # type: ignore[arg-type]
    def kling_line(self, line: str) -> Any:
        return run(line, self.shell)


# IPython shows a magic's docstring for ``%kling?`` and ``%%kling?``.
KlingMagics.kling_cell.__doc__ = f"{help_of_options()}\n\n{help_text()}"  # type: ignore[assignment]
KlingMagics.kling_line.__doc__ = f"{help_text()}\n\n{help_of_options()}"  # type: ignore[assignment]


def recent_jobs() -> Sequence[tuple[int, int]]:
    """(number, images) of the newest jobs, for completion. Pressing Tab begins no session."""
    current = sys.modules.get("kling_notebook.session.current")
    session = current.existing_session() if current else None
    if session is None:
        return []
    return [(record.number, len(record.images)) for record in session.rows(limit=RECENT)]
