"""Sandboxes with images painted beforehand, sessions on them, and the scripts people write without us."""

from __future__ import annotations

import base64
import functools
import importlib.util
import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import requests

from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus
from kling_notebook.journal.job_record import new_record
from kling_notebook.sandbox import Sandbox
from kling_notebook.sandbox.painter import paint
from kling_notebook.session.session import Session

from .apart import Apart


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


def session(service: Sandbox | Apart, folder: Path, **message: Any) -> Session:
    """A session to which the sandbox is the hosted service."""
    where = {"api_key": service.key, "base_url": service.base_url, "folder": str(folder)}
    settings = {"requests_per_minute": 6000, "credits_without_asking": 1e9} | message  # None leaves one as it is
    return Session(where | {name: value for name, value in settings.items() if value is not None})


def know(begun: Session, durations: list[float]) -> None:
    """Let a session remember jobs that took so long."""
    request = GenerationRequest("an earlier one")
    facts = {"backend": begun.backend, "source": "python", "session": "earlier", "estimate": 1.0}
    record = new_record(request, **facts)
    done = [record.replace(status=JobStatus.COMPLETED, seconds=one, credits=1.0) for one in durations]
    begun.journal.add(done)


def script(
    service: Sandbox | Apart, folder: Path, prompt: str, *, side_by_side: int = 1, **parameters: Any
) -> list[str]:
    """The given document's example, its poll URL mended, with what anybody adds: the files, and the images shown."""
    headers = {"Authorization": f"Bearer {service.key}", "Content-Type": "application/json"}
    body = {"prompt": prompt, "aspect_ratio": "1:1"} | parameters
    job = requests.post(f"{service.base_url}/models/kling-image/run", headers=headers, json=body).json()  # noqa: S113  # as people write it
    while True:
        status = requests.get(f"{service.base_url}/jobs/{job['jobId']}", headers=headers).json()  # noqa: S113
        if status.get("status") in ("completed", "failed"):
            break
        time.sleep(2)

    def show(k: int, url: str) -> str:
        path = folder / f"{job['jobId']}_{k}.png"
        path.write_bytes(requests.get(url).content)  # noqa: S113
        return embedded(path)

    with ThreadPoolExecutor(side_by_side) as pool:
        return list(pool.map(show, *zip(*enumerate(status["output"]["images"]), strict=True)))


def pool(service: Sandbox | Apart, folder: Path, jobs: int, workers: int = 32, **parameters: Any) -> list[str]:
    """So many jobs by the same script in a pool of threads; the images as they are shown."""
    with ThreadPoolExecutor(workers) as threads:
        made = threads.map(lambda i: script(service, folder, f"fox {i}", **parameters), range(jobs))
        return [image for images in made for image in images]


def embedded(path: Path, side: int = 1024) -> str:
    """An image as HTML, made from the file as a careful author would."""
    from PIL import Image

    image = Image.open(path)
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=85)
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}">'
