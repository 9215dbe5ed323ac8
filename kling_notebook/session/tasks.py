"""A job of a sweep as a task that runs anywhere: in another process, on another machine, in a Dask cluster.

A task is a plain function and plain values. It holds no key: a worker takes the key from its own environment or
keyring. It calls the same ``advance``; its ledger is an intent file, so that a task that is run again never buys again.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api.client import KlingClient
from ..api.errors import KlingError, SettingsError
from .attachments import Attachments
from .intents import Intents
from .journal import LostOwnership
from .lifecycle import advance
from .records import Record, record_as_json, record_from_json
from .settings import resolve
from .work import Work


@dataclass(frozen=True, slots=True)
class Task:
    """Plain values: what a worker needs besides its own key.

    ``door`` names a file in the folder with the address and the play key of the calling session's sandbox, None for
    the hosted service.
    """

    folder: str
    row: str
    base_url: str
    options: tuple[tuple[str, Any], ...]
    door: str | None = None


class _Open:
    """The gate of a task: the money was set aside by the caller, and a withdrawal takes the intent file instead."""

    def priced(self, record: Record, waiting: Callable[[], None]) -> bool:  # noqa: ARG002
        return True

    def allow(self, record: Record) -> bool:  # noqa: ARG002
        return True

    def sent(self, accepted: bool) -> None: ...
    def cancelled(self) -> bool:
        return False

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


def run_task(task: Task) -> dict[str, Any]:
    """Run one job to its end, wherever this process is; the record as plain values, and the error.

    A second run of the same task finds the first one's intent file: it attaches to the job, or reports the doubt.
    """
    folder = Path(task.folder)
    intents = Intents(folder)
    record = record_from_json(json.loads(task.row))
    record = intents.found(record) or record
    me = f"{record.session}-{os.getpid()}-{secrets.token_hex(3)}"  # so that two runs never share a temporary
    options = dict(task.options)
    if record.request.image is not None:
        sources = Attachments(folder / ".kling" / "sources", _no_picture)
        record = record.but(request=record.request.replace(image=sources.load(record.request.image)))
    work = Work(
        client=_client_of(task, options),
        observer=lambda snapshot: None,  # noqa: ARG005  # the caller watches the intent file
        ledger=intents,
        gate=_Open(),
        folder=folder,
        job_max_age=options["job_max_age"],
        thumbnail_size=options["thumbnail_size"],
        recipe=options["recipe"],
        warn=lambda text: None,  # noqa: ARG005  # nobody reads a worker's warnings
        resumed=record.job_id is not None,
    )
    try:
        outcome = advance(record.but(owner=me), work)
    except LostOwnership:  # another run of this task was faster by a moment
        found = intents.found(record)
        if found is None:
            raise
        outcome = advance(found.but(owner=me), work)
    return {"record": record_as_json(outcome.record), "error": outcome.error}


def _client_of(task: Task, options: dict[str, Any]) -> KlingClient:
    names = ("connect_timeout", "read_timeout", "download_timeout", "model")
    common = {name: options[name] for name in names}
    if task.door is not None:
        door = json.loads((Path(task.folder) / ".kling" / task.door).read_text(encoding="utf-8"))
        return KlingClient(door["key"], base_url=door["base_url"], rate=options["rate"], **common)
    key = resolve({}).api_key
    if not key:
        raise SettingsError("This worker has no API key. Set PIXELDOJO_API_KEY in the workers' environment.")
    return KlingClient(key, base_url=task.base_url, rate=options["rate"], **common)


def _no_picture(number: int | None, place: int) -> Any:
    raise KlingError(f"A worker looks up no picture ({number}:{place}).")
