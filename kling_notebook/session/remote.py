"""Jobs of a sweep on any ``concurrent.futures.Executor``: processes, other machines, a Dask cluster.

A task is a plain function and plain values. It holds no key: a worker takes the key from its own environment or
keyring. It calls the same ``advance``; its ledger is an intent file, so that a task that is run again never buys again.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api.client import KlingClient
from ..api.errors import KlingError, SettingsError
from ..api.jobs import GenerationRequest, JobStatus, Snapshot
from .attachments import Attachments
from .batch import Batch
from .intents import Intents
from .journal import LostOwnership
from .lifecycle import advance
from .records import Record, record_as_json, record_from_json
from .runner import JobHandle
from .running import Running
from .session import Session, Source
from .settings import resolve
from .work import Work

WATCH_SECONDS = 1.0


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

    def priced(self, record: Record) -> bool:  # noqa: ARG002
        return True

    def allow(self, record: Record) -> bool:  # noqa: ARG002
        return True

    def sent(self, accepted: bool) -> None: ...
    def cancelled(self) -> bool:
        return False

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


def run_task(task: Task) -> dict[str, Any]:
    """Run one job to its end, wherever this process is; the record and the error's words as plain values.

    A second run of the same task finds the first one's intent file: it attaches to the job, or reports the doubt.
    """
    folder = Path(task.folder)
    intents = Intents(folder)
    record = record_from_json(json.loads(task.row))
    record = intents.found(record.number) or record
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
        found = intents.found(record.number)
        if found is None:
            raise
        outcome = advance(found.but(owner=me), work)
    error = outcome.error
    return {
        "record": record_as_json(outcome.record),
        "error": error,
    }


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


# ---- the calling side ----


class RemoteHandle(JobHandle):
    """The handle of a job that an executor runs. Withdrawing takes the right to POST away from the workers."""

    def __init__(self, record: Record, intents: Intents) -> None:
        super().__init__(record.request, record.number, record.status)
        self._record = record
        self._intents = intents
        self.task: Future[Any] | None = None

    def cancel(self) -> bool:
        if self.done() or not self._intents.claim(self._record.but(status=JobStatus.WITHDRAWN)):
            return False
        withdrawn = super().cancel()  # before the task is: whoever hears of its end must find the handle done
        if self.task is not None:
            self.task.cancel()
        return withdrawn


def start_on(
    session: Session,
    requests: Sequence[GenerationRequest],
    executor: Executor,
    *,
    source: Source,
    max_credits: float | None = None,
    reuse: bool | None = None,
) -> Batch:
    """As Session.start, on an executor. All rows are committed and all credits set aside before the first task goes."""
    intents = session.place.intents
    door = _open_door(session) if session.is_sandbox else None
    settings = session.settings
    names = ("connect_timeout", "read_timeout", "download_timeout", "model", "job_max_age", "thumbnail_size", "recipe")
    options = (*((name, getattr(settings, name)) for name in names), ("rate", session.rate))
    intents.folder.mkdir(parents=True, exist_ok=True)  # from now on a row may have a worker that outlives its kernel
    tasks: dict[int, Task] = {}
    callers: list[_Caller] = []

    def make(record: Record) -> JobHandle:
        handle = RemoteHandle(record, intents)
        row = json.dumps(record_as_json(record))
        tasks[record.number] = Task(str(session.folder), row, session.client.base_url, options, door)
        return handle

    def run(record: Record, handle: JobHandle, batch: Batch) -> None:
        assert isinstance(handle, RemoteHandle)  # noqa: S101  # made above
        caller = _Caller(session.running, intents, record, handle, batch, tasks[record.number], callers)
        callers.append(caller)
        try:
            session.running.purse.reserve(record, session.priced([record.request]), batch)
            handle.task = executor.submit(run_task, tasks[record.number])
        except Exception as refusal:  # the tasks before it are on their way: its call must still get its batch
            caller.refuse(refusal)
            return
        handle.task.add_done_callback(lambda done: session.running.runner.start(lambda: caller.conclude(done)))
        session.running.runner.start(caller.watch)

    return session.start(requests, source=source, max_credits=max_credits, reuse=reuse, sweep=True, make=make, run=run)


def _open_door(session: Session) -> str:
    """The sandbox's address and play key, for workers on this machine; readable to this user only."""
    name = f"sandbox-{session.id}.json"
    path = session.folder / ".kling" / name
    client = session.client
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"base_url": client.base_url, "key": session.sandbox_key}, file)
    return name


@dataclass(slots=True)
class _Caller:
    """The calling session's side of one task; ``callers`` are those of all tasks of its call."""

    running: Running
    intents: Intents
    record: Record
    handle: RemoteHandle
    batch: Batch
    task: Task
    callers: list[_Caller]

    def watch(self) -> None:
        """Tell the observers what the intent file says, until the task is done; what it cost, as soon as it is said."""
        priced = False
        while self.handle.task is not None and not self.handle.task.done() and not self.handle.done():
            said = self.intents.read(self.record.number)
            if said is not None and said.status is not JobStatus.WITHDRAWN:
                self.handle.publish(_snapshot(self.handle.snapshot, said))
                if said.credits is not None and not priced:
                    self._fold(said)
                    priced = True
            time.sleep(WATCH_SECONDS)

    def _fold(self, said: Record) -> Record:
        """Write what a worker has said into the journal. A price above what was set aside concerns the whole call."""
        mine = self.record
        record = said.but(owner=mine.owner, session=mine.session, source=mine.source, estimate=mine.estimate)
        before = self.running.purse.of(record.number)
        try:
            self.running.commit(record)
        except LostOwnership:
            return record
        except sqlite3.Error:
            self.running.unwritten[record.number] = record
        if self.running.purse.of(record.number) > before:
            self._recheck_all()
        return record

    def _recheck_all(self) -> None:
        """Ask for the money again where nothing was sent yet, the first first: a reply has said what a job costs, or
        that the credits ran out."""
        unsent = [one for one in self.callers if not one.handle.done() and one.intents.read(one.record.number) is None]
        for caller in unsent:
            self.running.purse.charge(caller.record.number, 0.0)
        for caller in unsent:
            caller.recheck()

    def recheck(self) -> None:
        """Set the price aside anew; where it is not there, take the right to POST from the task."""
        try:
            self.batch.refuse_if_halted(self.record)
            self.running.purse.reserve(self.record, self.running.priced([self.record.request]), self.batch)
        except KlingError as error:
            if self.intents.withdraw(self.record):
                self.refuse(error)
                if self.handle.task is not None:
                    self.handle.task.cancel()

    def refuse(self, why: Exception) -> None:
        """The task was not handed over: nothing was sent, and nothing will be."""
        number = self.record.number
        text = f"The executor took no more jobs ({type(why).__name__}: {why}). Nothing was sent for job {number}."
        error = why if isinstance(why, KlingError) else KlingError(text)
        self.running.purse.charge(number, 0.0)
        with suppress(sqlite3.Error):
            self.running.place.journal.settle(number, JobStatus.REFUSED, JobStatus.PLANNED, str(error))
        self.running.conclude(
            self.handle, self.record.but(status=JobStatus.REFUSED), error.concerning(number=number), self.batch
        )

    def conclude(self, task: Future[Any]) -> None:
        """Fold the task's end into the journal; where its worker died, go on here."""
        if self.handle.done():
            return
        try:
            told = task.result()
        except BaseException as death:  # a broken pool, a killed worker, an executor that was shut down
            told = self._here(death)
        if told is None:
            return
        record = self._fold(record_from_json(told["record"]))
        if record.status.over and record.number not in self.running.unwritten:
            with suppress(OSError):
                self.intents.path(record.number).unlink()
        self.running.conclude(self.handle, record, told["error"], self.batch)
        if self.batch.halted:
            self._recheck_all()

    def _here(self, death: BaseException) -> dict[str, Any] | None:
        """The executor failed this task: run it in this process, where its intent file says how far it had come."""
        try:
            return run_task(self.task)
        except Exception as error:
            fault = error if isinstance(error, KlingError) else KlingError(f"The executor failed: {death!r}; {error!r}")
            self.running.conclude(self.handle, self.record, fault.concerning(number=self.record.number), self.batch)
            return None


def _snapshot(before: Snapshot, said: Record) -> Snapshot:
    since = said.submitted_at or said.created_at
    return before.but(
        status=said.status,
        job_id=said.job_id,
        elapsed=max(0.0, time.time() - since),
        credits=said.credits,
        saved=len(said.images),
    )


Make = Callable[[Record], JobHandle]
