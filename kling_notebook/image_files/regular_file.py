"""Open a file that may be a stranger's: a pipe would wait for a writer, a device may have no end.

A module of its own because everything that reads an image needs it, and nothing else of what they need.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

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
