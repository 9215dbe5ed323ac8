"""A kernel in any environment, driven message by message."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty
from typing import Any, Self

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager


def clean_environment(folder: Path) -> dict[str, str]:
    """That of this process without what is set for us, and with an IPython profile of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    return clean | {"IPYTHONDIR": str(folder / "ipython"), "PYTHONDONTWRITEBYTECODE": ""}


def connected(service: Any) -> dict[str, str]:
    """The environment in which a kernel takes the sandbox for the hosted service."""
    return {"PIXELDOJO_API_BASE": service.base_url, "PIXELDOJO_API_KEY": service.key}


class Kernel:
    """A fresh kernel; ``messages`` holds (time, message) of everything it told the front end."""

    def __init__(self, folder: Path, python: Path | str = sys.executable, **environment: str) -> None:
        self.manager = KernelManager()
        argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"]
        self.manager._kernel_spec = KernelSpec(argv=argv, display_name="peer", language="python")
        everything = clean_environment(folder) | environment
        self.manager.start_kernel(cwd=str(folder), env=everything, stderr=subprocess.DEVNULL)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)
        self.messages: list[tuple[float, dict[str, Any]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def send(self, code: str) -> str:
        return str(self.client.execute(code, allow_stdin=True))

    def run(self, code: str, timeout: float = 300.0) -> str:
        """Run a cell to its end; the text it printed. Raises RuntimeError where it failed."""
        return self.wait(self.send(code), timeout)

    def wait(self, message_id: str, timeout: float = 300.0) -> str:
        text, end = "", time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except Empty:
                continue
            self.messages.append((time.monotonic(), message))
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                text += content["text"]
            elif kind == "error":
                raise RuntimeError(f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                return text
        raise TimeoutError(f"no end after {timeout} s")
