"""What goes back to a client: a reply, a refusal, and the shapes of an error body."""

from __future__ import annotations

import contextlib
import http
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The error codes of the given document and their HTTP statuses.
STATUS_OF_CODE = {
    "invalid_request": 400,
    "unauthorized": 401,
    "insufficient_credits": 402,
    "model_not_found": 404,
    "rate_limited": 429,
    "internal_error": 500,
}

SERVER = "kling-sandbox"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply.

    Attributes:
        repeat: the body is sent this many times in a row, so that a huge reply needs no memory.
        sized: False sends the body in chunks, without a Content-Length.
        raw: these very bytes are sent instead, what follows the headers spread over ``seconds``; with none, silence
            for ``seconds``. Then the connection is closed if ``close``.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    repeat: int = 1
    sized: bool = True
    raw: bytes | None = None
    seconds: float = 0.0
    close: bool = True

    @property
    def length(self) -> int:
        """Bytes of the whole body."""
        return len(self.body) * self.repeat

    @property
    def sent_status(self) -> int:
        """The status that a client reads; 0 if none is sent."""
        if self.raw is None:
            return self.status
        found = re.match(rb"HTTP/1\.[01] (\d{3})", self.raw)
        return int(found[1]) if found else 0

    @property
    def reason(self) -> str:
        """The words after the status."""
        with contextlib.suppress(ValueError):
            return http.HTTPStatus(self.status).phrase
        return "Unknown"

    def head(self) -> bytes:
        """The header as bytes, for replies that break off."""
        lines = [f"HTTP/1.1 {self.status} {self.reason}", f"Server: {SERVER}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        # The length of the whole body, also if only a part of it follows: that is how a client sees that it is torn.
        lines += [f"Content-Length: {self.length}", "Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1")


class Refusal(Exception):  # noqa: N818 - an answer of the service, not an accident
    """The service says no. Becomes the documented error body; never leaves the sandbox as an exception."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUS_OF_CODE[code] if status is None else status
        self.headers = dict(headers or {})

    def reply(self) -> Reply:
        return json_reply({"error": {"code": self.code, "message": self.message}}, self.status, self.headers)


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """``value`` as an application/json reply."""
    body = json.dumps(value, allow_nan=False).encode()
    return Reply(status, body, {"Content-Type": "application/json", **(headers or {})})
