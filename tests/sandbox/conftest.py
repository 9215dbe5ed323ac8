"""What the sandbox's own tests share: a small client of their own, and a painter that takes no time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests

from kling_notebook.sandbox.payloads import png_bomb

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox


class Api:
    """Talks to one sandbox like a client somebody else wrote: requests, and nothing of this package."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.run_url = f"{sandbox.base_url}/models/kling-image/run"
        self.headers = {"Authorization": f"Bearer {sandbox.key}"}

    def submit(self, prompt: str = "a red fox", timeout: float = 60.0, **parameters: Any) -> requests.Response:
        body = {"prompt": prompt, **parameters}
        return requests.post(self.run_url, json=body, headers=self.headers, timeout=timeout, allow_redirects=False)

    def post_bytes(self, body: bytes, content_type: str | None = "application/json") -> requests.Response:
        headers = {**self.headers, **({"Content-Type": content_type} if content_type else {})}
        return requests.post(self.run_url, data=body, headers=headers, timeout=30)

    def poll(self, job_id: str, timeout: float = 60.0) -> requests.Response:
        url = f"{self.sandbox.base_url}/jobs/{job_id}"
        return requests.get(url, headers=self.headers, timeout=timeout, allow_redirects=False)

    def images(self, **parameters: Any) -> list[str]:
        """The picture URLs of a new job that is done at once."""
        job = self.submit(**parameters).json()
        return self.poll(job["jobId"]).json()["output"]["images"]

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.sandbox.origin + path, headers=headers, timeout=60)

    def raw(self, request: bytes, timeout: float = 60.0) -> bytes:
        """Every byte that comes back on a connection of its own until it is closed."""
        with socket.create_connection(("127.0.0.1", self.sandbox.port), timeout=timeout) as connection:
            connection.sendall(request)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    def raw_submit(self) -> bytes:
        body = b'{"prompt": "a red fox"}'
        head = (
            "POST /api/v1/models/kling-image/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.sandbox.key}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return self.raw(head.encode() + body)


@pytest.fixture
def quick(make_sandbox: Callable[..., Sandbox]) -> Callable[..., Api]:
    """Start a sandbox that delivers one small black PNG for everything, at once."""

    def make(**options: Any) -> Api:
        return Api(make_sandbox(**{"paint": lambda _prompt, **_: png_bomb(4096), **options}))

    return make


@pytest.fixture
def api(quick: Callable[..., Api]) -> Api:
    """A client of a quick sandbox without options."""
    return quick()
