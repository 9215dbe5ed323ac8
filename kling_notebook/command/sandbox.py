"""``kling-notebook sandbox``: the service alone, until it is interrupted."""

import functools
import time
from collections.abc import Callable
from typing import Any

from . import CannotStartError

announced = functools.partial(print, flush=True)  # a program that reads the address must not wait


def run(*, announce: Callable[[str], Any] = announced, **options: Any) -> None:
    """Run a sandbox until Ctrl-C; ``options`` are Sandbox's.

    ``announce`` gets a few lines: the address, how to point a client to it, and the key if it was not given.
    """
    from ..sandbox import Sandbox

    try:
        sandbox = Sandbox(**options)
    except ValueError as error:
        raise CannotStartError(str(error)) from None
    try:
        sandbox.start()
    except OSError as error:
        raise CannotStartError(f"Port {sandbox.port} cannot be used: {error.strerror}. Choose another.") from None
    with sandbox:
        try:
            for line in (
                f"The sandbox listens on {sandbox.base_url} (Ctrl-C ends it).",
                f"  PIXELDOJO_API_BASE={sandbox.base_url}",
                f"  PIXELDOJO_API_KEY={sandbox.key if not options.get('key') else '(the key you gave)'}",
                f"  what it takes and answers: {sandbox.base_url.removesuffix('/v1')}/openapi",
            ):
                announce(line)
            # The service runs on its own thread; this one only waits for Ctrl-C, which Python delivers to it.
            while True:
                time.sleep(3600.0)
        except KeyboardInterrupt:
            announce("The sandbox has ended.")
