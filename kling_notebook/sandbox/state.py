"""The job table on disk: small, JSON, replaced as a whole. Images are not in it: they are painted again.

The source images they are painted from stand in files beside it (see `sources`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: A table is rewritten at every submit: only the newest jobs are kept in it.
MAX_JOBS = 200
MAX_TABLE = 16 * 2**20
#: Windows would write \r\n for every \n in an image.
BINARY = getattr(os, "O_BINARY", 0)


class JobTable:
    """Job records by id, in a file that other sandboxes of the same folder write too.

    A file that cannot be read is an empty table, and one that cannot be written is left as it is: a demo continues
    where the disk does not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, dict[str, Any]]:
        """Every record in the file, oldest first; {} where there is none or it is damaged."""
        jobs = self._read().get("jobs")
        if not isinstance(jobs, list):
            return {}
        return {job["id"]: job for job in jobs if isinstance(job, dict) and isinstance(job.get("id"), str)}

    def credits(self) -> float | None:
        """What was left when the table was last written; None where it is not known."""
        left = self._read().get("credits")
        return left if isinstance(left, (int, float)) and 0 <= left < 1e12 else None

    def _read(self) -> dict[str, Any]:
        try:
            value = json.loads(read_plain(self.path, MAX_TABLE))
        except (OSError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def save(self, records: Iterable[Mapping[str, Any]], credits: float) -> None:
        """Put ``records`` beside what other sandboxes have written meanwhile; ours win."""
        merged = self.load() | {str(record["id"]): dict(record) for record in records}
        newest = sorted(merged.values(), key=_age)[-MAX_JOBS:]
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_privately(self.path, json.dumps({"version": 1, "credits": credits, "jobs": newest}).encode())


def read_plain(path: Path, limit: int) -> bytes:
    """A file's bytes. The folder may be a stranger's: no link is followed, and no one waits for a pipe.

    Raises:
        OSError: it cannot be read, or is another kind of file. ValueError: it is above the limit.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(errno.EINVAL, "it is not a plain file", str(path))
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path} is above {limit} bytes")
    return data


def write_privately(path: Path, data: bytes) -> None:
    """Put a whole file in its place, readable by its owner only: prompts and images are no one else's.

    Raises:
        OSError: it cannot be written; nothing is left of the attempt.
    """
    # Under another name first: a reader finds the old file or the new one, never a half.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600), "wb") as file:
            file.write(data)
        os.replace(temporary, path)  # noqa: PTH105 - Path.replace is the same call
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _age(record: Mapping[str, Any]) -> float:
    created = record.get("created_at")
    return float(created) if isinstance(created, (int, float)) else 0.0
