"""What happened to each job, for the logger ``kling_notebook`` and for ``%kling log``.

The last lines are kept in this process whatever logging is configured. A line never holds the key or a prompt.
"""

from __future__ import annotations

import logging
import time
from collections import deque

LINES_KEPT = 500

_logger = logging.getLogger("kling_notebook")
_lines: deque[str] = deque(maxlen=LINES_KEPT)


def log_event(level: int, text: str) -> None:
    """Keep a line, and hand it to the logger; ``level`` is one of `logging`."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    _lines.append(f"{stamp} {logging.getLevelName(level):<7} {text}")
    _logger.log(level, "%s", text)


def log_suppressed(where: str, error: BaseException) -> None:
    """Say at DEBUG that an error was caught and the work continued."""
    log_event(logging.DEBUG, f"{where}: {type(error).__name__} was suppressed")


def log_lines() -> list[str]:
    """The lines that are kept, oldest first."""
    return list(_lines)
