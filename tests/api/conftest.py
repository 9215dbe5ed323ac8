"""A socket server for replies that no decent service sends, byte by byte. The others come from the sandbox."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

Answer = Callable[[socket.socket, bytes], None]


class OddServer:
    """Accepts on 127.0.0.1, reads one request at a time and hands it to ``answer`` with the socket.

    ``requests``: what arrived, header and body. ``connections``: how many were opened.
    """

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.context = context
        self.requests: list[bytes] = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            connection.settimeout(20)
            if self.context is not None:
                connection = stack.enter_context(self.context.wrap_socket(connection, server_side=True))
            while request := _read_request(connection):
                self.requests.append(request)
                self.answer(connection, request)
                if b"close" in request.lower().partition(b"connection: ")[2][:5]:
                    return

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self.listener.close()
        self.thread.join(5)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    header, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in header.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        body += connection.recv(65536)
    return header + b"\r\n\r\n" + body


@pytest.fixture
def odd_server() -> Iterator[Callable[..., OddServer]]:
    """Start socket servers with a function that answers; all are stopped when the test ends."""
    started: list[OddServer] = []

    def start(answer: Answer | bytes, context: ssl.SSLContext | None = None) -> OddServer:
        given = answer if callable(answer) else lambda connection, _: connection.sendall(answer)
        server = OddServer(given, context)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole reply with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture(name="reply")
def reply_fixture() -> Callable[..., bytes]:
    """The bytes of a whole reply: ``reply(body, *headers, status=...)``."""
    return reply
