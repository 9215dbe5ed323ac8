"""A real kernel, driven message by message."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from PIL import Image

ANSI = re.compile(r"\x1b\[[0-9;]*m")


STARTS = 3  # of a kernel


@dataclass
class Reply:
    """What became of one cell. ``messages``: (seconds since it was sent, message), those of other cells included."""

    status: str = ""
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """Everything a reader sees: streams, plain texts and errors."""
        parts = []
        for output in self.outputs:
            parts.append(output.get("text") or output.get("data", {}).get("text/plain") or "")
            parts += [ANSI.sub("", line) for line in output.get("traceback", ())]
        return "\n".join(parts)

    @property
    def html(self) -> str:
        return "\n".join(output.get("data", {}).get("text/html", "") for output in self.outputs)


class Kernel:
    """Runs cells as a front end does. Outputs follow their display ids, whichever cell sends the update."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
        for attempt in range(1, STARTS + 1):
            self.manager = KernelManager()
            self.manager.start_kernel(cwd=str(folder), env=clean | environment)
            self.client = self.manager.blocking_client()
            self.client.start_channels()
            try:
                self.client.wait_for_ready(timeout=120)
                break
            except (
                RuntimeError
            ):  # a port chosen for it was taken before it had begun: nothing of this package has run yet
                self.client.stop_channels()
                self.manager.shutdown_kernel(now=True)
                if attempt == STARTS:
                    raise
        self.displays: dict[str, list[dict[str, Any]]] = {}
        self.replies: dict[str, Reply] = {}
        self.sent: dict[str, float] = {}
        self.idle: set[str] = set()

    def send(self, code: str, *, person: bool = True) -> str:
        # ipykernel 6 would drop what arrives within an instant after an error, as if Run All had queued it.
        message_id = self.client.execute(code, allow_stdin=person, store_history=True, stop_on_error=False)
        self.replies[message_id], self.sent[message_id] = Reply(), time.monotonic()
        return message_id

    def take(self, timeout: float = 0.05) -> bool:
        """Read one message of the output channel; False where there is none."""
        try:
            message = self.client.get_iopub_msg(timeout=timeout)
        except Empty:
            return False
        parent = message["parent_header"].get("msg_id")
        kind, content = message["msg_type"], message["content"]
        for message_id, reply in self.replies.items():
            if message_id not in self.idle:
                reply.messages.append((time.monotonic() - self.sent[message_id], message))
        if kind == "update_display_data":
            for output in self.displays.get(content["transient"]["display_id"], ()):
                output["data"] = content["data"]
        reply = self.replies.get(parent)
        if reply is None:
            return True
        if kind == "status" and content["execution_state"] == "idle":
            self.idle.add(parent)
        elif kind == "stream" and reply.outputs and reply.outputs[-1].get("name") == content["name"]:
            reply.outputs[-1]["text"] += content["text"]  # as front ends do: a kernel may send one print in two
        elif kind in ("stream", "display_data", "execute_result", "error"):
            output = {"output_type": kind, **content}
            reply.outputs.append(output)
            display_id = content.get("transient", {}).get("display_id")
            if display_id:
                self.displays.setdefault(display_id, []).append(output)
        return True

    def wait(self, message_id: str, timeout: float = 60.0) -> Reply:
        """Until the cell is idle and answered."""
        until = time.monotonic() + timeout
        while message_id not in self.idle:
            if time.monotonic() > until:
                raise TimeoutError(f"no end after {timeout} s: {self.replies[message_id].text}")
            self.take()
        reply = self.replies[message_id]
        reply.seconds = time.monotonic() - self.sent[message_id]
        while True:
            answer = self.client.get_shell_msg(timeout=60)
            content = answer["content"]
            other = self.replies.get(answer["parent_header"]["msg_id"])
            if other is not None:
                other.status = content["status"]
                if content["status"] == "error":
                    other.ename, other.evalue = content["ename"], content["evalue"]
                    other.traceback = [ANSI.sub("", line) for line in content["traceback"]]
            if other is reply:
                return reply

    def run(self, code: str, *, person: bool = True, timeout: float = 60.0) -> Reply:
        return self.wait(self.send(code, person=person), timeout)

    def ok(self, code: str, **options: Any) -> Reply:
        reply = self.run(code, **options)
        assert reply.status == "ok", reply.text
        return reply

    def drain(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.take()

    def until(self, condition: Callable[[], bool], timeout: float = 60.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "it never came to that"
            self.take()

    def complete(self, code: str, cursor: int | None = None) -> list[str]:
        """What Tab offers at the end of ``code``, or at ``cursor``: the whole text each match would leave."""
        cursor = len(code) if cursor is None else cursor
        answer = self.client.complete(code, cursor, reply=True, timeout=60)["content"]
        start, end = answer["cursor_start"], answer["cursor_end"]
        return [code[:start] + match + code[end:] for match in answer["matches"]]

    def help(self, code: str) -> str:
        """What a front end shows for ``code`` and its question mark."""
        payload = self.client.execute_interactive(
            code, store_history=False, allow_stdin=False, timeout=60, output_hook=print
        )["content"]["payload"]
        return ANSI.sub("", "\n".join(part["data"]["text/plain"] for part in payload))

    def answering(self, code: str, answers: list[str]) -> Reply:
        """Run a cell that asks, and type these answers; the first must be asked for masked."""
        message_id = self.send(code)
        for place, answer in enumerate(answers):
            asked = self.client.get_stdin_msg(timeout=60)["content"]
            assert asked["password"] is (place == 0), asked
            self.client.input(answer)
        return self.wait(message_id)

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def make_kernel(tmp_path: Path) -> Iterator[Callable[..., Kernel]]:
    """Start kernels in the test's own folder; keyword arguments go into their environment."""
    kernels: list[Kernel] = []

    def make(**environment: str) -> Kernel:
        kernel = Kernel(
            tmp_path, {"PYTHONWARNINGS": "default", "IPYTHONDIR": str(tmp_path / ".ipython"), **environment}
        )
        kernels.append(kernel)
        return kernel

    yield make
    for kernel in kernels:
        kernel.stop()


@pytest.fixture
def on(make_kernel: Callable[..., Kernel]) -> Callable[..., Kernel]:
    """A kernel with the magics loaded whose service is the given sandbox: ``kernel = on(make_sandbox(...))``."""

    def connect(service: Any, **environment: str) -> Kernel:
        kernel = make_kernel(PIXELDOJO_API_BASE=service.base_url, PIXELDOJO_API_KEY=service.key, **environment)
        kernel.ok("%load_ext kling_notebook")
        return kernel

    return connect


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for a module's harmless cells, with the magics loaded and the sandbox asked for."""
    folder = tmp_path_factory.mktemp("shared")
    kernel = Kernel(folder, {"KLING_SANDBOX": "1", "IPYTHONDIR": str(folder / ".ipython")})
    kernel.ok("%load_ext kling_notebook")
    yield kernel
    kernel.stop()


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory):
    """One kernel and one sandbox for a module's cells; what its images show does not matter."""

    from kling_notebook.sandbox import Sandbox

    out = io.BytesIO()
    Image.new("RGB", (320, 320), "#446688").save(out, "PNG")  # large enough for a source image
    folder = tmp_path_factory.mktemp("nothing")
    with Sandbox(latency=0.0, paint=lambda *_, **__: out.getvalue()) as service:
        kernel = Kernel(folder, {"PIXELDOJO_API_BASE": service.base_url, "PIXELDOJO_API_KEY": service.key})
        kernel.ok("%load_ext kling_notebook")
        yield kernel, service
        kernel.stop()


@pytest.fixture
def kernel(make_kernel: Callable[..., Kernel]) -> Kernel:
    """A kernel without a key, where the sandbox is allowed."""
    return make_kernel(KLING_SANDBOX="1")
