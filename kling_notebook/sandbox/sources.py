"""Source images for image to image: what a request names, kept small and bounded."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import io
import os
import re
import threading
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from .state import MAX_JOBS, read_plain, write_privately

MAX_IMAGE = 10 * 2**20
MAX_KEPT = 64 * 2**20
#: More files than jobs in the table are of no use.
MAX_FILES = MAX_JOBS
#: A source is named by its hash, and nothing else in the folder is read or removed.
NAME = re.compile("[0-9a-f]{64}")
MIN_SIDE = 300
MIN_RATIO, MAX_RATIO = 0.4, 2.5


@dataclass(frozen=True, slots=True)
class Source:
    """Where a job's source image comes from.

    Attributes:
        kind: ``data`` (``value`` is the hash of bytes that were sent along), ``asset`` (``value`` is the path of a
            image of this sandbox) or ``url`` (``value`` is an address that is not fetched).
        problem: why it cannot be used, in a few words; empty where it can.
    """

    kind: Literal["data", "asset", "url"]
    value: str
    problem: str = ""


class Sources:
    """The bytes of data URLs, the oldest dropped above 64 MB in all. Safe on any thread.

    Args:
        folder: where they are kept as well, in the same bounds, for another sandbox that continues with the jobs: a
            image is painted again from the very source it was made from. It is made at the first use.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def take(self, image: str | None) -> Source | None:
        """The source a request names; its bytes, if any, are kept."""
        if image is None:
            return None
        if image.startswith("https://"):
            return Source("url", image[:500])
        if image.startswith("http://"):
            return Source("asset", "/" + image.split("/", 3)[3][:500])
        return self._take_data(image.partition(",")[2])

    def _take_data(self, encoded: str) -> Source:
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return Source("data", "", "its base64 is broken")
        problem = check_image(data)
        name = hashlib.sha256(data).hexdigest()
        if not problem:
            with self._lock:
                self._size += len(data) - len(self._kept.pop(name, b""))
                self._kept[name] = data
                while self._size > MAX_KEPT:
                    self._size -= len(self._kept.popitem(last=False)[1])
            self._write(name, data)
        return Source("data", name, problem)

    def data(self, name: str) -> bytes | None:
        """The bytes with this hash; None where they were dropped, or sent to a sandbox that kept no files."""
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None or self._folder is None or not NAME.fullmatch(name):
            return kept
        with contextlib.suppress(OSError, ValueError):
            data = read_plain(self._folder / name, MAX_IMAGE)
            return data if hashlib.sha256(data).hexdigest() == name else None
        return None

    def _write(self, name: str, data: bytes) -> None:
        """Keep a file, and no more than the newest. A demo continues where the disk does not."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._folder.is_symlink():
                return
            write_privately(self._folder / name, data)
            now = time.time_ns()
            os.utime(self._folder / name, ns=(now, now))  # a file system's own clock may be too coarse to order them
            space = MAX_KEPT
            kept = [path for path in self._folder.iterdir() if NAME.fullmatch(path.name)]
            for place, path in enumerate(sorted(kept, key=lambda path: path.lstat().st_mtime_ns, reverse=True)):
                space -= path.lstat().st_size
                if space < 0 or place >= MAX_FILES:
                    path.unlink(missing_ok=True)


def check_image(data: bytes) -> str:
    """Why ``data`` cannot be a source image, in a few words; empty where its header says that it can."""
    if len(data) > MAX_IMAGE:
        return f"it is larger than {MAX_IMAGE // 2**20} MB"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            width, height = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")).size
    except Image.DecompressionBombError:  # what a large image would cost is the painter's to refuse
        return ""
    except (OSError, SyntaxError, ValueError):
        return "it is not a PNG, JPEG or WebP image"
    if min(width, height) < MIN_SIDE:
        return f"it is {width} x {height} pixels; at least {MIN_SIDE} a side are needed"
    if not MIN_RATIO <= width / height <= MAX_RATIO:
        return f"its ratio is {width / height:.2f}; it must be between {MIN_RATIO} and {MAX_RATIO}"
    return ""
