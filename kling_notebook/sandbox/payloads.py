"""Bodies a service should never send: error shapes, pages, bombs."""

import functools
import json
import math
import struct
import zlib
from typing import Any, Literal

from .replies import STATUS_OF_CODE

BodyShape = Literal["error", "string", "message", "code", "list", "html", "empty", "text", "json"]

HTML = (
    b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>"
    b"<body><h1>Bad Gateway</h1><p>The gateway is having a rest.</p></body></html>"
)
#: What arrives in an image's place, by the body that a fault names; HTML if it names another.
WRONG_CONTENT = {"empty": b"", "text": b"This is not an image.", "json": b'{"error": "not an image"}'}


def error_body(shape: BodyShape, status: int, code: str | None) -> tuple[str, bytes]:
    """Content type and bytes of an error body.

    ``error`` is the sandbox's own shape; ``string``, ``message``, ``code``, ``list`` (of field errors), ``html``,
    ``text`` and ``empty`` are what other services send; ``json`` is valid JSON that says nothing.
    """
    message = "A scripted fault."
    if code is None:
        known = {value: key for key, value in STATUS_OF_CODE.items()}
        code = known.get(status, "internal_error" if status >= 500 else "invalid_request")
    # A gateway before a service answers in its own words, whatever the client accepts.
    if shape == "html":
        return "text/html; charset=utf-8", HTML
    if shape == "empty":
        return "application/json", b""
    if shape == "text":
        return "text/plain; charset=utf-8", message.encode()
    values: dict[str, Any] = {
        "error": {"error": {"code": code, "message": message}},
        "string": {"error": message},
        "message": {"message": message},
        "code": {"code": code},
        "list": {"errors": [{"path": ["prompt"], "message": message}]},
        "json": [None, {}, "nothing to see"],
    }
    return "application/json", json.dumps(values[shape]).encode()


@functools.lru_cache(maxsize=4)
def png_bomb(pixels: int) -> bytes:
    """A valid PNG of about ``pixels`` black pixels (one bit each): some kilobytes that grow to much more."""
    side = math.isqrt(pixels)
    # Line by line: the whole image would take the memory that it is meant to take of the client.
    line = b"\0" * (1 + (side + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(line) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@functools.lru_cache(maxsize=4)
def gzip_bomb(size: int) -> bytes:
    """A gzip file of ``size`` zero bytes, rounded up to whole megabytes: a thousandth of its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"\0" * 2**20
    return b"".join([*(packer.compress(block) for _ in range(-(-size // len(block)))), packer.flush()])
