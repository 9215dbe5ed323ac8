"""Reading a reply: one deadline for all of it, a limit after decoding, labels checked against the bytes.

Needs nothing beyond the standard library; transport.py puts it between requests and the socket.
"""

import http.client
import io
import itertools
import re
import socket
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from .event_log import suppress

CHUNK = 64 * 1024
"""Bytes of a piece: as fast as the whole body at once, and five times faster than 1 kB."""


class CutShortError(Exception):
    """The body ended before its end, or cannot be decoded. The text says why, as the end of a sentence."""


class TooBigError(Exception):
    """The body is above the limit: of so many bytes, or at least so many."""


def pieces(raw: Any, headers: Mapping[str, str], limit: int, *, stop_at_limit: bool = False) -> Iterator[bytes]:
    """The decoded body in pieces of about 64 kB.

    Args:
        raw: urllib3's response: ``read(amount, decode_content=False)`` and ``tell()``.
        limit: bytes after decoding. stop_at_limit: end there, with what lies below it.

    Raises:
        CutShortError, TooBigError, and whatever reading raises.
    """
    total = 0
    promised = promised_length(headers)
    if promised is not None and promised > limit and not stop_at_limit:
        raise TooBigError(promised)
    for piece in _decoded(_from_the_wire(raw, promised), headers.get("Content-Encoding", ""), 0):
        if total + len(piece) > limit:
            if not stop_at_limit:
                raise TooBigError(limit + 1)
            yield piece[: limit - total]
            return
        total += len(piece)
        yield piece


def promised_length(headers: Mapping[str, str]) -> int | None:
    """Bytes on the wire that Content-Length promises, None if the body is framed otherwise or it is nonsense."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if text.isascii() and text.isdecimal() and "Transfer-Encoding" not in headers else None


def _from_the_wire(raw: Any, promised: int | None) -> Iterator[bytes]:
    """The body as it arrives. One that ends early is whole all the same if it is an image with its end marker."""
    first = last = b""
    failure: Exception | None = None
    try:
        while data := raw.read(CHUNK, decode_content=False):
            first, last = (first + data[:12])[:12], (last + data[-12:])[-12:]
            yield data
    except Exception as error:
        failure = error
    failure = raw._original_response.reader.failure or failure
    if promised not in (None, raw.tell()):
        failure = failure or CutShortError(f"{raw.tell()} of {promised} bytes arrived")
    if failure is not None and not _has_its_end(first, last, raw.tell()):
        raise failure


def _has_its_end(first: bytes, last: bytes, size: int) -> bool:
    return (
        (first.startswith(b"\x89PNG") and last == b"\0\0\0\0IEND\xaeB`\x82")
        or (first.startswith(b"RIFF") and int.from_bytes(first[4:8], "little") + 8 == size)
        or (first.startswith(b"\xff\xd8\xff") and last.endswith(b"\xff\xd9"))
    )


# --- content encoding -----------------------------------------------------------------------------------------------

_UNKNOWN_COMPRESSION = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"})
_PLAIN = re.compile(rb"\x89PNG|\xff\xd8\xff|RIFF|GIF8|....ftyp|(\xef\xbb\xbf)?\s*[\[{<]", re.DOTALL)
_MOST_PIECES = 1500  # of the wire that are read at once: above the largest image that is kept
_CHUNK_HEADER = re.compile(rb"([0-9A-Fa-f]{1,8})(;[^\r\n]{0,200})?\r\n")


def _decoded(wire: Iterator[bytes], label: str, depth: int) -> Iterator[bytes]:
    """The bytes inside. Content-Encoding is only a hint: services label plain images, and proxies drop labels."""
    first = next(wire, b"")  # as long as the whole body, or enough to tell
    if not first:
        return
    wire = itertools.chain((first,), wire)
    names = [name.strip().lower() for name in label.split(",")]
    if depth < 4 and first.startswith(b"\x1f\x8b\x08"):
        yield from _decoded(_inflated(wire, zlib.MAX_WBITS | 32), label, depth + 1)
    elif _PLAIN.match(first):
        yield from wire
    elif depth < 4 and "aws-chunked" in names and _CHUNK_HEADER.match(first):
        yield from _decoded(_unchunked(wire), label, depth + 1)
    elif depth < 4 and "deflate" in names:
        zlib_header = first[0] & 15 == 8 and int.from_bytes(first[:2]) % 31 == 0
        window = zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS
        yield from _decoded(_inflated(wire, window), "", depth + 1)
    elif unknown := _UNKNOWN_COMPRESSION.intersection(names):
        raise CutShortError(f"it came in the encoding {min(unknown)!r}, which was not asked for")
    else:
        yield from wire


def _inflated(wire: Iterator[bytes], window: int) -> Iterator[bytes]:
    """gzip or deflate, inflated a piece at a time: a small body may hold gigabytes."""
    inflate = zlib.decompressobj(window)
    whole = False  # at the end of a member; another one may follow
    for data in itertools.chain(wire, (b"",)):
        rest = data
        while True:
            try:
                piece = inflate.decompress(rest, CHUNK)
            except zlib.error:
                if whole:  # padding after the last member
                    return
                raise CutShortError("its compressed data is broken") from None
            if piece:
                yield piece
            rest = inflate.unconsumed_tail
            if inflate.eof:
                rest, inflate, whole = inflate.unused_data.lstrip(b"\0"), zlib.decompressobj(window), True
            elif rest or piece:
                whole = False
            if not rest and len(piece) < CHUNK:
                break
    if not whole:
        raise CutShortError("its compressed data stops in the middle")


def _unchunked(wire: Iterator[bytes]) -> Iterator[bytes]:
    """The content of aws-chunked framing: ``length;chunk-signature=...`` lines before the data, 0 at the end."""
    data, at = b"".join(itertools.islice(wire, _MOST_PIECES)), 0
    while header := _CHUNK_HEADER.match(data, at):
        start, at = header.end(), header.end() + int(header[1], 16)
        if start == at:
            return
        yield from (data[place : min(place + CHUNK, at)] for place in range(start, min(at, len(data)), CHUNK))
        at += data.startswith(b"\r\n", at) * 2
    raise CutShortError("its chunks are broken")


# --- header and deadline --------------------------------------------------------------------------------------------

HEAD_LIMIT = 2**20
"""Bytes of all header lines of a reply, informational ones included."""

_NO_LIMIT = 3600.0  # seconds, for a socket without a time-out
_EMPTY_PATIENCE = 0.5  # seconds in which a body may come all the same of which the header says that it is empty
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection"})


class TimedReply(http.client.HTTPResponse):
    """A reply whose header and body together must arrive within the read time-out, which requests counts per read.

    Its header is read here and not by http.client, which skips no informational reply but 100, gives up above 100
    lines or 64 kB a line, and forgets the lines after one that it cannot read. If the body breaks off, it ends there,
    and ``reader.failure`` says why; http.client would lose what came of it.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.reader = _TimedReader(self.fp.detach(), sock, sock.gettimeout() or _NO_LIMIT)
        self.fp = io.BufferedReader(self.reader)

    def read(self, amount: int | None = None) -> bytes:
        """Up to so many bytes of the body; what its header says of its length or form is checked against what comes."""
        if self.fp is not None and self.chunked and self.chunk_left is None:
            self.chunked = re.match(rb"[\s0-9A-Fa-f]|$", self.fp.peek(1)) is not None
        elif self.fp is not None and self.length:
            self.length = max(self.length, len(self.fp.peek(1)))  # it is not another reply: we ask for one at a time
        elif self.fp is not None and self.length == 0 and self.will_close:
            # Nothing is promised. Servers that say so rightly may leave the connection open all the same.
            self.reader.deadline = min(self.reader.deadline, time.monotonic() + _EMPTY_PATIENCE)
            self.length, self.reader.failure = len(self.fp.peek(1)), None
        try:
            return super().read(amount) if self.reader.failure is None else b""
        except http.client.IncompleteRead as error:
            self.reader.failure = self.reader.failure or error
            return error.partial + getattr(error.__cause__, "partial", b"")

    def begin(self) -> None:
        """Read the header. http.client is given the few lines that say where the body ends."""
        if self.headers is not None:
            return
        first, *lines = self._final_head()
        first = re.sub(rb"^(?!HTTP/1\.[01]\b)(?i:HTTP)/[0-9.]+", b"HTTP/1.1", first)
        fields = _fields(b"".join(lines))
        framing = [f"{name}: {value}\r\n" for name, value in fields if name.lower() in _FRAMING]
        inside, self.fp = self.fp, io.BytesIO(first + "".join(framing).encode("latin-1") + b"\r\n" * bool(first))
        try:
            super().begin()
        finally:
            self.fp = inside
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in fields:
            self.headers[name] = value
        self.reader.in_body = True

    def _final_head(self) -> list[bytes]:
        """Status line and header lines of the first reply that is not informational; one empty line at the end of the
        stream."""
        left = HEAD_LIMIT
        while True:
            lines: list[bytes] = []
            while line := self.fp.readline(left + 1):
                left -= len(line)
                if left < 0:
                    raise http.client.LineTooLong("header")
                if line.strip(b"\r\n"):
                    lines.append(line)
                elif lines:  # empty lines before the status line are skipped
                    break
            if not re.match(rb"(?i:HTTP)/[0-9.]+ +1(?!01)[0-9][0-9]\b", lines[0] if lines else b""):
                return lines or [b""]


def _fields(head: bytes) -> list[tuple[str, str]]:
    """Names and values, continued lines joined, lines that are not header fields left out.

    Different values of Content-Length say nothing: the body then ends with the connection.
    """
    unfolded = re.sub(r"\s*\n[ \t]+", " ", head.decode("latin-1"))
    fields = [(name, value.strip()) for name, value in re.findall(r"(?m)^([!-9;-~]+)[ \t]*:(.*)$", unfolded)]
    named = ",".join(value for name, value in fields if name.lower() == "content-length")
    lengths = dict.fromkeys(value.strip() for value in named.split(",") if value.strip())
    kept = [field for field in fields if field[0].lower() != "content-length"]
    return kept + [("Content-Length", value) for value in lengths] if len(lengths) == 1 else kept


class _TimedReader(io.RawIOBase):
    """Reads from a socket until a deadline: each read may take what is left. A body ends where reading it fails."""

    def __init__(self, inside: Any, sock: socket.socket, seconds: float) -> None:
        self._inside, self._sock, self._seconds = inside, sock, seconds
        self.deadline = time.monotonic() + seconds
        self.in_body = False
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        left = self.deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError("the whole reply took too long")
            self._sock.settimeout(left)
            return self._inside.readinto(buffer)
        except OSError as error:
            if not self.in_body:
                raise
            self.failure = self.failure or error
            return 0

    def close(self) -> None:
        if not self.closed:
            with suppress(OSError):  # the socket may be closed; if not, it may serve another request
                self._sock.settimeout(self._seconds)
            self._inside.close()
        super().close()
