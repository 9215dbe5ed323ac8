"""``%load_ext kling_notebook`` and ``%unload_ext kling_notebook``: a pair that leaves the shell as it was.

IPython removes nothing by itself on unload. What a user set up (the session, its key, its running jobs) belongs to the
session and outlives a reload.
"""

from __future__ import annotations

from typing import Any

from ..api import errors
from . import completion
from .config import MAGICS
from .magics import KlingMagics, recent_jobs


def load(shell: Any) -> None:
    """Register the magics, their defaults for ``%config`` and their completions; once, however often it is called."""
    unload(shell)
    shell.register_magics(KlingMagics(shell))
    completion.install(shell, recent_jobs)


def unload(shell: Any) -> None:
    """Remove everything that loading put there."""
    completion.remove(shell)
    manager = shell.magics_manager
    manager.registry.pop(MAGICS, None)
    for table in manager.magics.values():
        for name in [name for name, magic in table.items() if _is_ours(getattr(magic, "__self__", None))]:
            del table[name]
    shell.configurables[:] = [known for known in shell.configurables if not _is_ours(known)]
    errors.full_traceback = False


def _is_ours(what: object) -> bool:
    """By name: after the modules were reloaded, the class of the old magics is no longer ours."""
    return type(what).__name__ == MAGICS
