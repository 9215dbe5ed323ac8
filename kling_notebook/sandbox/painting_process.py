"""Large images are painted in a process of its own, so that the kernel keeps its interpreter lock and its memory.

One painting at a time. A request is a line of JSON, followed by the bytes of the source image; a reply is a line of
JSON, followed by the bytes of the painted one. The process ends when its standard input does, that is with the kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

_ROOT = str(Path(__file__).resolve().parents[2])
_CODE = f"import sys; sys.path.insert(0, {_ROOT!r}); from kling_notebook.sandbox.painting_process import serve; serve()"


class PaintingProcess:
    """Paints on request; started by the first one, and again after `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def paint(self, *, source: bytes | None, **arguments: Any) -> bytes:
        """The painter's `paint` with these arguments.

        Raises ValueError as the painter does, and OSError if there can be no such process or it broke off.
        """
        with self._lock:
            process = self._process = self._process or _started()
            assert process.stdin is not None  # noqa: S101 - it was started with pipes
            assert process.stdout is not None  # noqa: S101
            try:
                _send(process.stdin, {**arguments, "source": source is not None}, source or b"")
                head, data = _receive(process.stdout)
            except (OSError, EOFError, ValueError) as problem:
                self._end()  # what it still sends would be taken for the reply to the next request
                raise OSError(f"the painting process broke off: {problem}") from problem
        if "error" in head:
            raise ValueError(head["error"])
        return data

    def close(self) -> None:
        """End the process when it has painted; does nothing if there is none."""
        with self._lock:
            self._end()

    def kill(self) -> None:
        """End the process at once, also while it paints: whoever waits for it gets an OSError."""
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()


def _started() -> subprocess.Popen[bytes]:
    """The process, in a session of its own: an interrupt of the kernel is not meant for it."""
    windows = sys.platform == "win32"
    return subprocess.Popen(  # noqa: S603 - this Python, with code of this package
        [sys.executable, "-c", _CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=not windows,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0) if windows else 0,
    )


def _send(pipe: IO[bytes], head: dict[str, Any], data: bytes) -> None:
    pipe.write(json.dumps({**head, "length": len(data)}).encode() + b"\n")
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """One message. EOFError if the other side has ended."""
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError("no more messages")
    head = json.loads(line)
    data = pipe.read(head.pop("length"))
    return head, data


def serve() -> None:
    """Paint what standard input asks for until it ends."""
    from .painter import paint

    if hasattr(os, "nice"):
        os.nice(5)  # painting can wait; a kernel on the same core cannot
    reader, writer = sys.stdin.buffer, os.fdopen(1, "wb", closefd=False)  # unbuffered, sys.stdout may write a part only
    sys.stdout = sys.stderr  # nothing else may write between the messages
    while True:
        try:
            head, data = _receive(reader)
        except EOFError:
            return
        with_source = head.pop("source")
        try:
            reply, image = {}, paint(**head, source=data if with_source else None)
        except ValueError as problem:
            reply, image = {"error": str(problem)}, b""
        _send(writer, reply, image)
