"""Kling Image V3 in Jupyter: a ``%%kling`` cell magic and a widget panel over one careful client.

    %load_ext kling_notebook

    %%kling --aspect-ratio 16:9 -n 4 -o peaks
    A beautiful mountain landscape at golden hour, photorealistic

From Python: ``import kling_notebook as kling`` and ``kling.generate(...)``. Importing this package does nothing and
costs almost nothing: every name below is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.errors import (
        ApiError,
        BudgetExceededError,
        DownloadError,
        InputError,
        InsufficientCreditsError,
        Interrupted,
        InvalidRequestError,
        JobFailedError,
        KlingError,
        ModelNotFoundError,
        RateLimitedError,
        ServerError,
        SettingsError,
        StillRunningError,
        TransportError,
        UnauthorizedError,
        UnexpectedReplyError,
    )
    from .api.generation_request import GenerationRequest
    from .calls import (
        batch,
        compare,
        connect,
        current_session,
        estimate,
        export,
        export_history,
        generate,
        history,
        images,
        measure,
        panel,
        read_recipe,
        result,
        resume,
        submit,
        sweep,
    )
    from .jobs.client import KlingClient
    from .jobs.spending import Estimate
    from .notebook.panel.panel import KlingPanel
    from .results.batch_result import BatchResult
    from .results.handle import JobHandle
    from .results.result import Result, SavedImage
    from .results.sweep_result import SweepResult
    from .sandbox import Sandbox
    from .session.session import Session

__version__ = "0.1.0"

# Where a public name lives: functions in calls, errors in api.errors, and the other classes here. A type checker reads
# the imports above; at run time nothing is imported before its use.
_HOMES = {
    "KlingClient": "jobs.client",
    "GenerationRequest": "api.generation_request",
    "KlingPanel": "notebook.panel.panel",
    "Sandbox": "sandbox",
    "Estimate": "jobs.spending",
    "Result": "results.result",
    "JobHandle": "results.handle",
    "Session": "session.session",
    "SweepResult": "results.sweep_result",
    "BatchResult": "results.batch_result",
    "SavedImage": "results.result",
}

__all__ = [
    "ApiError",
    "BatchResult",
    "BudgetExceededError",
    "DownloadError",
    "Estimate",
    "GenerationRequest",
    "InputError",
    "InsufficientCreditsError",
    "Interrupted",
    "InvalidRequestError",
    "JobFailedError",
    "JobHandle",
    "KlingClient",
    "KlingError",
    "KlingPanel",
    "ModelNotFoundError",
    "RateLimitedError",
    "Result",
    "Sandbox",
    "SavedImage",
    "ServerError",
    "Session",
    "SettingsError",
    "StillRunningError",
    "SweepResult",
    "TransportError",
    "UnauthorizedError",
    "UnexpectedReplyError",
    "batch",
    "compare",
    "connect",
    "current_session",
    "estimate",
    "export",
    "export_history",
    "generate",
    "history",
    "images",
    "measure",
    "panel",
    "read_recipe",
    "result",
    "resume",
    "submit",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = _HOMES.get(name, "calls" if name.islower() else "api.errors")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext kling_notebook``: the ``%%kling`` and ``%kling`` magics and their completion."""
    from .notebook.magic.extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext kling_notebook``: leaves the shell as it was."""
    from .notebook.magic.extension import unload

    unload(shell)
