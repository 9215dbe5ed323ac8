"""What the sandbox refuses by a request's headers, and the bounds of its connections."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.sandbox import server

if TYPE_CHECKING:
    from .conftest import Api

HEAD = "POST /api/v1/models/kling-image/run HTTP/1.1\r\nHost: {}\r\n{}Content-Length: 13000000\r\n\r\n"


@pytest.mark.parametrize(
    ("host", "more"),
    [("127.0.0.1", "Origin: https://evil.example\r\n"), ("evil.example", ""), ("127.0.0.1", "Origin: null\r\n")],
    ids=["origin", "host", "null origin"],
)
def test_a_stranger_is_refused_before_the_body_is_read(api: Api, host: str, more: str) -> None:
    reply = api.raw(HEAD.format(host, more).encode())  # the body is never sent
    assert reply.startswith(b"HTTP/1.1 403 ")
    assert b"forbidden" in reply
    assert api.sandbox.log[-1].body == b""


def test_a_body_without_the_key_is_not_kept(api: Api) -> None:
    api.headers = {}
    reply = api.submit(prompt="x" * 3_000_000)
    assert reply.status_code == 401
    assert api.sandbox.log[-1].body == b""
    assert api.sandbox.charges == 0


def test_an_idle_connection_ends(quick: Callable[..., Api], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_IDLE", 0.2)
    sandbox = quick().sandbox
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=30) as connection:
        assert connection.recv(1) == b""


def test_connections_are_bounded(quick: Callable[..., Api], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    api = quick()
    held: list[Any] = [socket.create_connection(("127.0.0.1", api.sandbox.port), timeout=30) for _ in range(3)]
    try:
        assert held[2].recv(1) == b""
        held[0].sendall(b"GET /api/v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert held[0].recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in held:
            connection.close()
