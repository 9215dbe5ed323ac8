"""``%load_ext kling_notebook`` and ``%unload_ext kling_notebook``: a pair that leaves the shell as it was.

IPython removes nothing by itself on unload. What a user set up (the session, its key, its running jobs) belongs to the
session and outlives a reload. Loading imports little: what a cell or a Tab needs comes with the first of them.
"""

import os
import re
from itertools import islice
from pathlib import Path
from types import MethodType
from typing import Any

from ...api import errors
from ...api.event_log import log_suppressed
from .magics import KlingMagics, recent_jobs

COMPLETION = "kling_notebook.completion"
MOST_PATHS = 200
_CELL = re.compile(r"%%kling(\s|$)")


def load(shell: Any) -> None:
    """Register the magics, their defaults for ``%config`` and their completions; once, however often it is called."""
    unload(shell)
    shell.register_magics(KlingMagics(shell))
    shell.input_transformers_cleanup.append(let_through)
    _offer_completions(shell)


def unload(shell: Any) -> None:
    """Remove everything that loading put there."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "matcher_identifier", "") != COMPLETION]
    cleanup = shell.input_transformers_cleanup
    cleanup[:] = [known for known in cleanup if getattr(known, "__qualname__", "") != let_through.__qualname__]
    manager = shell.magics_manager
    manager.registry.pop(KlingMagics.__name__, None)
    for table in manager.magics.values():
        # Only bound methods are looked into: asking one of IPython's own unloaded magics for anything imports it.
        for name in [n for n, magic in table.items() if isinstance(magic, MethodType) and _is_ours(magic.__self__)]:
            del table[name]
    shell.configurables[:] = [known for known in shell.configurables if not _is_ours(known)]
    errors.full_traceback = False


def let_through(lines: list[str]) -> list[str]:
    """An input transformer: comments above ``%%kling`` are dropped, and a cell without a body gets an empty line.

    IPython would take the first for Python and refuse the second before the magic sees it.
    """
    first = next((k for k, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    if first is None or not _CELL.match(lines[first]):
        return lines
    head, *body = lines[first:]
    return [head if head.endswith("\n") else f"{head}\n", *(body if any(map(str.strip, body)) else ["\n"])]


# What only asks whether a cell is complete must not see it: at a terminal the body is typed after the first line.
let_through.has_side_effects = True  # type: ignore[attr-defined]


def _is_ours(what: object) -> bool:
    """By name: after the modules were reloaded, the class of the old magics is a different one."""
    return bool(type(what).__name__ == KlingMagics.__name__)


def _offer_completions(shell: Any) -> None:
    """Hook into the completer by matchers of API v2, which can also keep Python names out."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(identifier=COMPLETION, priority=1000)  # type: ignore[untyped-decorator]  # IPython's
    def matcher(context: Any) -> dict[str, Any]:
        from .completion import Known, complete

        lines = context.full_text.split("\n")
        first = not any(line.strip() for line in lines[: context.cursor_line])
        offer = complete(context.text_until_cursor, Known(recent_jobs, shell.user_ns, _paths), first_line=first)
        if offer is None:
            return {"completions": []}
        # IPython keeps its own names out only if there is something else: if nothing fits, what is typed stays.
        # For an empty string a terminal shows nothing, and JupyterLab a blank line that changes nothing.
        return {
            "completions": [SimpleCompletion(text, type="kling") for text in offer.matches or (offer.fragment,)],
            "matched_fragment": offer.fragment,
            "suppress": True,
            "ordered": True,
        }

    shell.Completer.custom_matchers.append(matcher)


def _paths(typed: str) -> list[str]:
    """The paths that begin with what was typed, those of folders with a slash at the end; hidden ones after a dot.
    At most two hundred: a folder may hold any number of images."""
    folder, name = os.path.split(typed)
    before = typed[: len(typed) - len(name)]
    try:
        with os.scandir(Path(folder).expanduser()) as entries:
            wanted = (entry for entry in entries if entry.name.startswith(name))
            shown = (entry for entry in wanted if name or not entry.name.startswith("."))
            return sorted(f"{before}{entry.name}{'/' * entry.is_dir()}" for entry in islice(shown, MOST_PATHS))
    except (OSError, RuntimeError) as error:  # no such folder, or no such user's home
        log_suppressed(__name__, error)
        return []
