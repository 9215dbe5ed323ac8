"""A local service that speaks PixelDojo's kling-image API, on loopback, with a painter instead of a model.

Shares no code with the other packages: a client and a server that share code are wrong together. Importing this package
imports neither Tornado nor Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .faults import Fault
    from .server import Sandbox

__all__ = ["Fault", "Sandbox"]


def __getattr__(name: str) -> Any:
    if name == "Sandbox":  # on first use: whoever has a key never pays for importing Tornado
        from .server import Sandbox

        return Sandbox
    if name == "Fault":
        from .faults import Fault

        return Fault
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
