"""What happened to each job, for the logger ``kling_notebook`` and for ``%kling log``.

The last lines are kept in this process whatever logging is configured. A line never holds the key or a prompt.
"""

import contextlib
import logging
import time
from collections import deque
from types import TracebackType

LINES_KEPT = 500

_logger = logging.getLogger("kling_notebook")
_lines: deque[str] = deque(maxlen=LINES_KEPT)


def log_event(level: int, text: str) -> None:
    """Keep a line, and hand it to the logger; ``level`` is one of `logging`."""
    _lines.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {logging.getLevelName(level):<7} {text}")
    with contextlib.suppress(Exception):  # a handler of the user that raises must not cost a paid job
        _logger.log(level, "%s", text)


class suppress(contextlib.suppress):  # noqa: N801  # used like that of contextlib
    """`contextlib.suppress` that says at DEBUG what it caught, and where."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        caught = super().__exit__(kind, error, traceback)
        if caught and error is not None and traceback is not None:
            log_suppressed(f"{traceback.tb_frame.f_globals['__name__']}:{traceback.tb_lineno}", error)
        return caught


def log_suppressed(where: str, error: BaseException) -> None:
    """Say at DEBUG that an error was caught and the work continued."""
    log_event(logging.DEBUG, f"{where}: {type(error).__name__} was suppressed")


def log_lines() -> list[str]:
    """The lines that are kept, oldest first."""
    return list(_lines)
