"""Sandboxes with images painted beforehand, sessions on them, and the scripts people write without us."""

from __future__ import annotations

import base64
import functools
import importlib.util
import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import requests

from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus
from kling_notebook.journal.job_record import new_record
from kling_notebook.sandbox import Sandbox
from kling_notebook.sandbox.painter import paint
from kling_notebook.session.session import Session


def simulation() -> ModuleType:
    """The simulation that the tests of pacing use; test folders are no packages, so it is found by its path."""
    path = Path(__file__).parents[1] / "api" / "rate_simulation.py"
    spec = importlib.util.spec_from_file_location("rate_simulation", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def painted(resolution: str = "1K", kind: str = "png") -> bytes:
    """One image of the sandbox's painter."""
    return paint(
        "a red fox at dawn in the snow",
        negative_prompt=None,
        resolution=resolution,
        aspect_ratio="1:1",
        output_format=kind,
        index=0,
        seed=0,
        source=None,
    )


def sandbox(resolution: str = "1K", **options: Any) -> Sandbox:
    """A sandbox that paints nothing: every image is the same, made beforehand."""
    image = painted(resolution)
    return Sandbox(**{"latency": 0.0, "paint": lambda *_, **__: image, "credits": 1e6} | options)


class Apart(NamedTuple):
    """Where a sandbox of another process is found."""

    base_url: str
    key: str


_APART = """
import sys
from tests.benchmarks import service
seconds = float(sys.argv[1])
with service.sandbox(latency=lambda _: seconds) as ours:
    print(ours.base_url, ours.key, flush=True)
    sys.stdin.read()
"""


@contextmanager
def apart(latency: float) -> Iterator[Apart]:
    """A sandbox in a process of its own, where what it does must not slow down whoever measures."""
    argv = [sys.executable, "-c", _APART, str(latency)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Apart(*process.stdout.readline().split())
        process.stdin.close()


def session(service: Sandbox, folder: Path, **message: Any) -> Session:
    """A session to which the sandbox is the hosted service."""
    where = {"api_key": service.key, "base_url": service.base_url, "folder": str(folder)}
    return Session(where | {"requests_per_minute": 6000, "credits_without_asking": 1e9} | message)


def know(begun: Session, durations: list[float]) -> None:
    """Let a session remember jobs that took so long."""
    request = GenerationRequest("an earlier one")
    facts = {"backend": begun.backend, "source": "python", "session": "earlier", "estimate": 1.0}
    record = new_record(request, **facts)
    done = [record.replace(status=JobStatus.COMPLETED, seconds=one, credits=1.0) for one in durations]
    begun.journal.add(done)


def script(
    service: Sandbox, folder: Path, prompt: str, *, patient: bool = False, until: float = 1e18
) -> dict[str, Any]:
    """The given document's example, its poll URL mended, with what anybody adds: the file, and the image shown.

    Args:
        patient: after a 429, sleep as between polls and ask again (as printed, the example stops with a KeyError).
    """
    headers = {"Authorization": f"Bearer {service.key}", "Content-Type": "application/json"}
    counts = {"requests": 0, "refused": 0}

    def ask(send: Callable[..., requests.Response], url: str, **body: Any) -> Any:
        while True:
            reply = send(url, headers=headers, **body)
            counts["requests"] += 1
            counts["refused"] += reply.status_code == 429
            if not patient or reply.status_code != 429 or time.monotonic() > until:
                return reply.json()
            time.sleep(2)

    body = {"prompt": prompt, "aspect_ratio": "1:1"}
    job = ask(requests.post, f"{service.base_url}/models/kling-image/run", json=body)
    while True:
        status = ask(requests.get, f"{service.base_url}/jobs/{job['jobId']}")
        if status.get("status") in ("completed", "failed") or time.monotonic() > until:
            break
        time.sleep(2)
    seen = time.monotonic()
    shown = []
    for k, url in enumerate(status.get("output", {}).get("images", ())):
        path = folder / f"{job['jobId']}_{k}.png"
        path.write_bytes(requests.get(url).content)  # noqa: S113  # as people write it
        shown.append(embedded(path))
    return counts | {"seen": seen, "shown": shown}


def embedded(path: Path, side: int = 1024) -> str:
    """An image as HTML, made from the file as a careful author would."""
    from PIL import Image

    image = Image.open(path)
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=85)
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}">'


def in_threads(works: list[Callable[[], object]]) -> None:
    """Each on a thread of its own, until all are done."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
