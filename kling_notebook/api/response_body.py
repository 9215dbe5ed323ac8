"""Reading the body of a reply: one deadline for all of it, a limit after decoding, a length that is checked.

Needs nothing beyond the standard library; transport.py puts it between requests and the socket.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

CHUNK = 64 * 1024
"""Bytes of a piece: as fast as the whole body at once, and five times faster than 1 kB."""


class CutShortError(Exception):
    """The body ended before its end, or cannot be decoded. The text says why, as the end of a sentence."""


class TooBigError(Exception):
    """The decoded body is above the limit."""


def pieces(raw: Any, headers: Mapping[str, str], limit: int, *, stop_at_limit: bool = False) -> Iterator[bytes]:
    """The decoded body in pieces of at most 64 kB.

    Args:
        raw: urllib3's response: ``read(amount, decode_content=False)`` and ``tell()``.
        limit: bytes after decoding. stop_at_limit: end there, with what lies below it.

    Raises:
        CutShortError, TooBigError, and whatever reading raises.
    """
    decode = _decoder(headers.get("Content-Encoding", ""))
    total = 0
    while True:
        data = raw.read(CHUNK, decode_content=False)
        for piece in decode(data):
            if total + len(piece) > limit:
                if stop_at_limit:
                    yield piece[: limit - total]
                    return
                raise TooBigError
            total += len(piece)
            yield piece
        if not data:
            break
    promised = promised_length(headers)
    if promised is not None and raw.tell() != promised:
        raise CutShortError(f"{raw.tell()} of {promised} bytes arrived")


def promised_length(headers: Mapping[str, str]) -> int | None:
    """Bytes on the wire that Content-Length promises, None where the body is framed otherwise or it is nonsense."""
    said = headers.get("Content-Length", "").strip()
    return int(said) if said.isdecimal() and "Transfer-Encoding" not in headers else None


def _decoder(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    """From bytes on the wire to decoded pieces; called with b"" at the end. We ask for no encoding and take gzip."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda data: iter((data,) if data else ())
    if name in ("gzip", "x-gzip", "deflate"):
        return _Inflate().feed
    raise CutShortError(f"it came in the encoding {name[:20]!r}, which was not asked for")


class _Inflate:
    """gzip and zlib, inflated a piece at a time: a small body may hold gigabytes."""

    def __init__(self) -> None:
        self._inside: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not data and self._inside is not None:
            raise CutShortError("its compressed data stops in the middle")
        while data:
            if self._inside is None:
                self._inside = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, by its first bytes
            try:
                piece = self._inside.decompress(data, CHUNK)
            except zlib.error:
                raise CutShortError("its compressed data is broken") from None
            data = self._inside.unconsumed_tail
            if self._inside.eof:  # another gzip member may follow, or padding
                data, self._inside = self._inside.unused_data.lstrip(b"\0"), None
            if piece:
                yield piece


class TimedReply(http.client.HTTPResponse):
    """A reply whose header and body together must arrive within the read time-out, which requests counts per read."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        seconds = sock.gettimeout()
        if seconds:
            self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, seconds))


class _TimedReader(io.RawIOBase):
    """Reads from a socket until a deadline: each read may take what is left."""

    def __init__(self, inside: Any, sock: socket.socket, seconds: float) -> None:
        self._inside, self._sock, self._seconds = inside, sock, seconds
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the whole reply took too long")
        self._sock.settimeout(left)
        return self._inside.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(OSError):  # the socket may be closed; if not, it may serve another request
                self._sock.settimeout(self._seconds)
            self._inside.close()
        super().close()
