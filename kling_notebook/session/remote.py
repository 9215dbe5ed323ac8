"""Jobs of a sweep on any ``concurrent.futures.Executor``: the calling session's side. See tasks for the workers'."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from ..api.errors import KlingError
from ..api.jobs import GenerationRequest, JobStatus, Snapshot
from .batch import Batch
from .intents import Intents
from .journal import LostOwnership
from .records import Record, record_as_json, record_from_json
from .runner import JobHandle, begin
from .running import Running, our_fault
from .session import Session, Source
from .tasks import Task, run_task

WATCH_SECONDS = 1.0


class RemoteHandle(JobHandle):
    """The handle of a job that an executor runs. Withdrawing takes the right to POST away from the workers."""

    def __init__(self, record: Record, intents: Intents) -> None:
        super().__init__(record.request, record.number, record.status)
        self._record = record
        self._intents = intents
        self.task: Future[Any] | None = None

    def cancel(self) -> bool:
        if self.cancelled():
            return True
        try:
            if self.done() or not self._intents.claim(self._record.but(status=JobStatus.WITHDRAWN)):
                return False
        except OSError:  # a full disk: the right cannot be taken away, and the task goes on
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
    watch = _Watch()

    def make(record: Record) -> JobHandle:
        handle = RemoteHandle(record, intents)
        row = json.dumps(record_as_json(record))
        tasks[record.number] = Task(str(session.folder), row, session.client.base_url, options, door)
        return handle

    def run(record: Record, handle: JobHandle, batch: Batch) -> None:
        assert isinstance(handle, RemoteHandle)  # noqa: S101  # made above
        caller = _Caller(session.running, intents, record, handle, batch, tasks[record.number], watch)
        watch.add(caller)
        caller.start(executor)

    return session.start(requests, source=source, max_credits=max_credits, reuse=reuse, sweep=True, make=make, run=run)


def _open_door(session: Session) -> str:
    """The sandbox's address and play key, for workers on this machine; readable to this user only."""
    name = f"sandbox-{session.id}.json"
    path = session.folder / ".kling" / name
    client = session.client
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"base_url": client.base_url, "key": session.sandbox_key}, file)
    return name


class _Watch:
    """One thread for all tasks of a call: it tells what their intent files say, and concludes those that have ended.

    It holds none of the session's workers, goes when the last task is concluded, and does one thing at a time: what a
    file said earlier is never written over how its job ended.
    """

    def __init__(self) -> None:
        self.callers: list[_Caller] = []
        self._ends: SimpleQueue[tuple[_Caller, Future[Any]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._going = False

    def add(self, caller: _Caller) -> None:
        with self._lock:
            self.callers.append(caller)
            if not self._going:
                begin(self._go_round, "kling-executor")
                self._going = True

    def ended(self, caller: _Caller, end: Future[Any]) -> None:
        """A task has ended, well or not. Any thread may say so."""
        self._ends.put((caller, end))

    def _going_on(self) -> list[_Caller]:
        """Those that are not concluded. Where there are none the thread ends; `add` then starts another."""
        with self._lock:
            left = [caller for caller in self.callers if not caller.handle.done()]
            self._going = bool(left)
            return left

    def _go_round(self) -> None:
        while left := self._going_on():
            for caller in left:
                self._conclude(seconds=0.0)
                with suppress(Exception):  # the next round looks again
                    caller.look()
            self._conclude(seconds=WATCH_SECONDS)

    def _conclude(self, seconds: float) -> None:
        """Conclude the tasks that end within so many seconds."""
        deadline = time.monotonic() + seconds
        with suppress(Empty):
            while True:
                caller, end = self._ends.get(timeout=max(0.0, deadline - time.monotonic()))
                try:
                    caller.conclude(end)
                except Exception as fault:  # it must reach the waiting cell, and leaves the other tasks their end
                    error = our_fault(caller.record, fault)
                    caller.running.conclude(caller.handle, caller.record, error, caller.batch)


@dataclass(slots=True)
class _Caller:
    """The calling session's side of one task. ``watch`` has those of all tasks of its call."""

    running: Running
    intents: Intents
    record: Record
    handle: RemoteHandle
    batch: Batch
    task: Task
    watch: _Watch
    priced: bool = field(default=False, init=False)
    here: bool = field(default=False, init=False)  # the executor has failed it, and this process runs it

    def start(self, executor: Executor) -> None:
        """Set the money aside and hand the task over. What is refused is told by the handle: the tasks before it are
        on their way, and its call must still get its batch."""
        if self.handle.done():  # refused before it came to it: a reply has said what such a job costs
            return
        try:
            self._reserve()
        except Exception as refusal:
            self._refuse(refusal)
            return
        try:
            self.handle.task = executor.submit(run_task, self.task)
        except Exception as refusal:
            if self.intents.withdraw(self.record):
                self._refuse(refusal)
                return
            self.handle.task = Future()  # it was taken all the same, and a worker has sent it
            self.handle.task.set_exception(refusal)
        self.handle.task.add_done_callback(lambda end: self.watch.ended(self, end))

    def _reserve(self) -> None:
        self.batch.refuse_if_halted(self.record)
        self.running.purse.reserve(self.record, self.running.priced([self.record.request]), self.batch)

    def look(self) -> None:
        """Tell the observers what the intent file says; what it cost is written down as soon as it is said."""
        said = self.intents.read(self.record)
        if said is None or said.status is JobStatus.WITHDRAWN or self.handle.done():
            return
        self.handle.publish(_snapshot(self.handle.snapshot, said))
        if said.credits is not None and not self.priced:
            dearer = self._write_down(self._mine(said))
            self.priced = True
            if dearer:
                self._recheck_all()

    def _mine(self, said: Record) -> Record:
        """What a worker has said, as this session's row."""
        mine = self.record
        return said.but(owner=mine.owner, session=mine.session, source=mine.source, estimate=mine.estimate)

    def _write_down(self, record: Record, *, last: bool = False) -> bool:
        """Commit to the journal. True: it cost more than was set aside, which concerns the whole call."""
        before = self.running.purse.of(record.number)
        try:
            self.running.commit(record)
        except LostOwnership:
            pass
        except sqlite3.Error:
            if last:  # what was said before the end is never written again over it
                self.running.unwritten[record.number] = record
        return self.running.purse.of(record.number) > before

    def _recheck_all(self) -> None:
        """Ask for the money again where nothing was sent yet, the first first: a reply has said what a job costs, or
        that the credits ran out."""
        callers = self.watch.callers
        unsent = [one for one in callers if not one.handle.done() and one.intents.read(one.record) is None]
        for caller in unsent:
            self.running.purse.charge(caller.record.number, 0.0)
        for caller in unsent:
            caller.recheck()

    def recheck(self) -> None:
        """Set the price aside anew; where it is not there, take the right to POST from the task."""
        try:
            self._reserve()
        except KlingError as error:
            if self.intents.withdraw(self.record):
                self._refuse(error)
                if self.handle.task is not None:
                    self.handle.task.cancel()

    def _refuse(self, why: Exception) -> None:
        """The task was not handed over, or its right to POST was taken back: nothing was sent, and nothing will be."""
        number = self.record.number
        text = f"The executor took no more jobs ({type(why).__name__}: {why}). Nothing was sent for job {number}."
        error = why if isinstance(why, KlingError) else KlingError(text)
        self.running.purse.charge(number, 0.0)
        with suppress(sqlite3.Error):
            self.running.place.journal.settle(number, JobStatus.REFUSED, JobStatus.PLANNED, str(error))
        self.running.conclude(
            self.handle, self.record.but(status=JobStatus.REFUSED), error.concerning(number=number), self.batch
        )

    def conclude(self, end: Future[Any]) -> None:
        """Write the task's end into the journal and give the handle its result; where the executor failed it, go on
        in this process."""
        if self.handle.done():
            return
        try:
            told = end.result()
        except BaseException as death:  # a broken pool, a killed worker, an executor that was shut down
            if not self.here:
                self._go_on_here(death)
                return
            record, error = self._given_up(death)
        else:
            record, error = self._read(told)
        record = self._mine(record)
        if record.status in (JobStatus.REFUSED, JobStatus.WITHDRAWN):
            self.running.purse.charge(record.number, 0.0)
        dearer = self._write_down(record, last=True)
        self.running.conclude(self.handle, record, error, self.batch)
        if dearer or self.batch.halted:
            self._recheck_all()

    def _read(self, told: Any) -> tuple[Record, KlingError | None]:
        """What a worker gives back. One of another version may say it in words that are not known here."""
        try:
            return record_from_json(told["record"]), told["error"]
        except Exception as fault:
            said = self.intents.read(self.record) or self.record
            n, job_id = self.record.number, said.job_id
            way_out = f"`%kling resume {n}` collects it" if job_id else f"`%kling dismiss {n}` settles it"
            error = KlingError(
                f"What the worker of job {n} gave back cannot be read ({fault!r}): is its kling_notebook of another "
                f"version? Job {n} may have been bought: {way_out}.",
                job_id=job_id,
                number=n,
                maybe_submitted=job_id is None,
            )
            status = JobStatus.UNFINISHED if job_id else JobStatus.MAYBE_SUBMITTED
            return said.but(status=status, error=str(error)), error

    def _go_on_here(self, death: BaseException) -> None:
        """Run the task in one of this session's workers; its intent file says how far it had come."""
        self.here = True
        end: Future[Any] = Future()

        def run() -> None:
            try:
                end.set_result(run_task(self.task))
            except BaseException as error:
                known = isinstance(error, KlingError)
                end.set_exception(error if known else KlingError(f"The executor failed: {death!r}; {error!r}"))
            self.watch.ended(self, end)

        try:
            self.running.runner.start(run)
        except KlingError as error:  # no thread is to be had
            end.set_exception(error)
            self.watch.ended(self, end)

    def _given_up(self, why: BaseException) -> tuple[Record, KlingError | None]:
        """Neither the executor nor this process could run it: what nobody has sent is sent no more."""
        record = self.record
        with suppress(sqlite3.Error, OSError):
            record = self.intents.close(self.running.place.journal, record)
        if record.status is JobStatus.FINISHED:
            return record, None
        error = why if isinstance(why, KlingError) else our_fault(record, why)
        return record, error.concerning(number=record.number)


def _snapshot(before: Snapshot, said: Record) -> Snapshot:
    since = said.submitted_at or said.created_at
    return before.but(
        status=said.status,
        job_id=said.job_id,
        elapsed=max(0.0, time.time() - since),
        credits=said.credits,
        saved=len(said.images),
    )
