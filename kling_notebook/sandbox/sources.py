"""Source images for image to image: what a request names, kept small and bounded."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
            for place, path in enumerate(sorted(kept, key=_modified, reverse=True)):
                space -= path.lstat().st_size
                if space < 0 or place >= MAX_FILES:
                    path.unlink(missing_ok=True)


def _modified(path: Path) -> int:
    return path.lstat().st_mtime_ns


def check_image(data: bytes) -> str:
    """Why ``data`` cannot be a source image, in a few words; empty where its header says that it can."""
    if len(data) > MAX_IMAGE:
        return f"it is larger than {MAX_IMAGE // 2**20} MB"
    size = image_size(data)
    if size is None:
        return "it is not a PNG, JPEG or WebP image"
    width, height = size
    if min(width, height) < MIN_SIDE:
        return f"it is {width} x {height} pixels; at least {MIN_SIDE} a side are needed"
    if not MIN_RATIO <= width / height <= MAX_RATIO:
        return f"its ratio is {width / height:.2f}; it must be between {MIN_RATIO} and {MAX_RATIO}"
    return ""


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from the file's header; None for anything but PNG, JPEG and WebP."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None
