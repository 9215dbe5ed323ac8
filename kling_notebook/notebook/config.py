"""What ``%config KlingMagics`` holds, for every entry point. Looks only at a shell that runs already."""

from __future__ import annotations

from typing import Any

from .display.wait import running_shell

MAGICS = "KlingMagics"


def configured() -> dict[str, Any]:
    """Settings by name as set with ``%config KlingMagics.name = value``, unchecked; what was not set is left out."""
    manager = getattr(running_shell(), "magics_manager", None)
    magics = getattr(manager, "registry", {}).get(MAGICS)
    return magics.configured() if magics is not None else {}
