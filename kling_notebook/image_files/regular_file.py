"""Read a file that may be a stranger's: a pipe would wait for a writer, a device may have no end. Write one whole.

A module of its own because everything that reads an image needs it, and nothing else of what they need.
"""

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from ..api.event_log import suppress

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """Open for reading.

    Args:
        follow: False refuses a link.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    if not follow and path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", str(path))
    flags = _FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    file = open(path, "rb", opener=lambda name, _: os.open(name, flags))  # noqa: SIM115  # it is given to the caller
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def write_whole(path: Path, data: bytes, temporary: Path | None = None) -> None:
    """Write a file whole or not at all, by way of a temporary. No fsync: of what a power cut may cost.

    Args:
        temporary: beside it; without it one of a random name, under which no link can wait.
    """
    temporary = temporary or path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
