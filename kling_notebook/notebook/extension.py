"""``%load_ext kling_notebook`` and ``%unload_ext kling_notebook``: a pair that leaves the shell as it was.

IPython removes nothing by itself on unload. What a user set up (the session, its key, its running jobs) belongs to the
session and outlives a reload. Loading imports little: what a cell or a Tab needs comes with the first of them.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from ..api import errors
from .config import MAGICS
from .magics import KlingMagics, recent_jobs

COMPLETION = "kling_notebook.completion"


def load(shell: Any) -> None:
    """Register the magics, their defaults for ``%config`` and their completions; once, however often it is called."""
    unload(shell)
    shell.register_magics(KlingMagics(shell))
    _offer_completions(shell)


def unload(shell: Any) -> None:
    """Remove everything that loading put there."""
    matchers = getattr(getattr(shell, "Completer", None), "custom_matchers", [])
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "matcher_identifier", "") != COMPLETION]
    manager = shell.magics_manager
    manager.registry.pop(MAGICS, None)
    for table in manager.magics.values():
        # Only bound methods are looked into: asking one of IPython's own unloaded magics for anything imports it.
        for name in [n for n, magic in table.items() if isinstance(magic, MethodType) and _is_ours(magic.__self__)]:
            del table[name]
    shell.configurables[:] = [known for known in shell.configurables if not _is_ours(known)]
    errors.full_traceback = False


def _is_ours(what: object) -> bool:
    """By name: after the modules were reloaded, the class of the old magics is no longer ours."""
    return type(what).__name__ == MAGICS


def _offer_completions(shell: Any) -> None:
    """Hook into the completer by matchers of API v2, which can also keep Python names out."""
    completer = getattr(shell, "Completer", None)
    if completer is None or not hasattr(completer, "custom_matchers"):
        return
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(identifier=COMPLETION, priority=1000)  # type: ignore[untyped-decorator]  # IPython's
    def matcher(context: Any) -> dict[str, Any]:
        from .completion import Known, complete

        lines = context.full_text.split("\n")
        first = not any(line.strip() for line in lines[: context.cursor_line])
        offer = complete(context.text_until_cursor, Known(recent_jobs, shell.user_ns), first_line=first)
        if offer is None:
            return {"completions": []}
        path = offer.files and offer.fragment == context.token
        files = completer.file_matcher(context)["completions"] if path else ()
        # IPython keeps its own names out only where there is something else: where nothing fits, what is typed stays.
        # Of an empty word a terminal shows nothing, and JupyterLab a blank line that changes nothing.
        texts = [*offer.matches, *sorted(file.text for file in files)] or [offer.fragment]
        return {
            "completions": [SimpleCompletion(text, type="kling") for text in texts],
            "matched_fragment": offer.fragment,
            "suppress": True,
            "ordered": True,
        }

    completer.custom_matchers.append(matcher)
