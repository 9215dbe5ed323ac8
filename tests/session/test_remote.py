"""Sweeps on executors: processes and a Dask cluster; a task that is run again never buys again."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook import calls
from kling_notebook.api.errors import (
    InputError,
    InsufficientCreditsError,
    JobFailedError,
    KlingError,
    UnauthorizedError,
)
from kling_notebook.api.jobs import JobStatus
from kling_notebook.sandbox import Fault
from kling_notebook.session import remote
from kling_notebook.session.intents import Intents
from kling_notebook.session.journal import LostOwnership
from kling_notebook.session.session import Session

sys.path.insert(0, str(Path(__file__).parent))
import remote_executor

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox

CANARY = "canary-key-that-must-travel-in-no-task"


Connect = Callable[..., "tuple[Session, Sandbox]"]


@pytest.fixture
def connect_to(make_sandbox: Callable[..., Sandbox], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """A current session on a sandbox's address; its key stands in the environment, where workers look for it."""

    def connect(**options: Any) -> tuple[Session, Sandbox]:
        sandbox = make_sandbox(key=CANARY, **options)
        monkeypatch.setenv("PIXELDOJO_API_KEY", CANARY)
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
        monkeypatch.setattr(calls, "_session", None)
        return calls.connect(base_url=sandbox.base_url, folder=folder, requests_per_minute=6000), sandbox

    return connect


@pytest.fixture
def connected(connect_to: Connect) -> tuple[Session, Sandbox]:
    return connect_to()


class Spying(Executor):
    """Passes tasks on to processes, and keeps what was pickled."""

    def __init__(self, workers: int = 2, run: Callable[..., Any] | None = None) -> None:
        self.pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        self.run = run
        self.pickled: list[bytes] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.pickled.append(pickle.dumps((fn, args, kwargs)))
        return self.pool.submit(self.run or fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.pool.shutdown(wait, cancel_futures=cancel_futures)


def test_a_sweep_runs_in_other_processes(connected: tuple[Session, Sandbox]) -> None:
    """Every row finished, every file here, one POST each, and the key in no task."""
    session, sandbox = connected
    with Spying() as executor:
        sweep = calls.sweep("a {animal}", animal=["fox", "owl", "hare"], executor=executor, show_progress=False)
    assert [result.request.prompt for result in sweep] == ["a fox", "a owl", "a hare"]
    assert all(result[0].path.exists() for result in sweep)
    assert sandbox.count("submit") == 3
    assert not any(CANARY.encode() in task for task in executor.pickled)
    assert {record.status for record in session.rows()} == {JobStatus.FINISHED}
    with Spying() as executor:
        again = calls.sweep("a {animal}", animal=["fox", "owl", "hare"], executor=executor, show_progress=False)
    assert all(result.reused for result in again)
    assert sandbox.count("submit") == 3


def test_a_worker_killed_after_its_post_is_not_paid_twice(
    connected: tuple[Session, Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool breaks; the sweep completes all the same, and the service counts one purchase per request.

    One worker: a pool that breaks ends the others wherever they are, which the next test is about.
    """
    monkeypatch.setenv(remote_executor.DEATHS, str(tmp_path / "died"))
    _, sandbox = connected
    with Spying(1, run=remote_executor.run_and_die_once) as executor:
        sweep = calls.sweep("a {animal}", animal=["fox", "owl", "hare"], executor=executor, show_progress=False)
    assert (tmp_path / "died").exists()
    assert not sweep.missing
    assert sandbox.count("submit") == 3
    assert sandbox.charges == 3


def test_a_worker_ended_in_the_middle_of_its_post_leaves_a_doubt_and_no_second_post(
    connected: tuple[Session, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its intent file has no job id: whoever runs the task again cannot know, says so, and sends nothing."""
    session, sandbox = connected
    monkeypatch.setattr(remote.Intents.found, "__defaults__", (0.5,))  # seconds; no reply is coming
    with Spying(1, run=remote_executor.run_and_die_before_the_reply) as executor:
        sweep = calls.sweep("a {animal}", animal=["fox", "owl"], executor=executor, show_progress=False)
    assert sweep.missing == [{"animal": "fox"}]
    assert {record.number: record.status for record in session.rows()} == {
        1: JobStatus.MAYBE_SUBMITTED,
        2: JobStatus.FINISHED,
    }
    assert "may have been submitted" in calls.history().loc[1, "error"]
    assert sandbox.count("submit") == sandbox.charges == 2


@pytest.mark.parametrize(
    ("kind", "status"),
    [(None, "finished"), ("drop_after", "maybe_submitted"), ("failed", "failed"), ("status", "refused")],
)
def test_a_task_that_has_ended_and_is_run_again_sends_nothing(connect_to: Connect, kind: Any, status: str) -> None:
    """Dask does so when the worker that held its result dies: the intent file stays, and says how the job ended."""
    session, sandbox = connect_to(faults=[Fault("submit", kind, status=402, at=1)] if kind else [])
    queued = Queued()
    handle = remote.start_on(session, [session.request("a fox")], queued, source="python").handles[0]
    (_, task) = queued.tasks[0]
    queued.run_one()
    error = handle.exception(timeout=30)
    again = remote.run_task(task)
    assert again["record"]["status"] == status == session.record(1).status
    assert (type(again["error"]) is type(error)) or (kind == "drop_after" and again["error"].maybe_submitted)
    assert sandbox.count("submit") == 1


def test_an_intent_without_a_job_id_is_a_doubt_and_is_not_sent(
    connected: tuple[Session, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first run died in the middle of the purchase: the second one reports it."""
    session, sandbox = connected
    monkeypatch.setattr(Intents.found, "__defaults__", (0.3,))
    tasks = []

    class Dying(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
            tasks.append(args[0])
            record = session.record(1)
            Intents(session.folder).claim(record.but(status=JobStatus.SENT))
            done: Future[Any] = Future()
            done.set_exception(RuntimeError("the worker was killed"))
            return done

    batch = remote.start_on(session, [session.request("a fox")], Dying(), source="python")
    error = batch.handles[0].exception(timeout=30)
    assert error is not None
    assert error.maybe_submitted  # type: ignore[attr-defined]
    assert sandbox.count("submit") == 0
    assert session.record(1).status is JobStatus.MAYBE_SUBMITTED


def test_withdrawing_takes_the_right_to_post_away(connected: tuple[Session, Sandbox]) -> None:
    """A task that starts after the interrupt finds the file taken and sends nothing."""
    session, sandbox = connected
    tasks = []

    class Waiting(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
            tasks.append(args[0])
            return Future()

    batch = remote.start_on(session, [session.request("a fox")], Waiting(), source="python")
    assert batch.withdraw().withdrawn == (1,)
    assert batch.handles[0].cancel(), "withdrawn is withdrawn, however often one asks"
    assert remote.run_task(tasks[0])["record"]["status"] == "withdrawn"
    assert sandbox.count("submit") == 0
    assert session.record(1).status is JobStatus.WITHDRAWN


class Queued(Executor):
    """Keeps tasks until somebody runs them, as a busy cluster does."""

    def __init__(self) -> None:
        self.tasks: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
        self.tasks.append((Future(), args[0]))
        return self.tasks[-1][0]

    def run_one(self) -> None:
        future, task = self.tasks.pop(0)
        if future.set_running_or_notify_cancel():
            future.set_result(remote.run_task(task))


def test_after_402_no_other_task_of_the_call_is_sent(connect_to: Connect) -> None:
    session, sandbox = connect_to(credits=1)
    queued = Queued()
    batch = remote.start_on(session, [session.request(f"fox {k}") for k in range(4)], queued, source="python")
    queued.run_one()
    queued.run_one()
    errors = [handle.exception(timeout=30) for handle in batch.handles]
    assert errors[0] is None
    assert all(isinstance(error, InsufficientCreditsError) for error in errors[1:])
    while queued.tasks:
        queued.run_one()
    assert sandbox.count("submit") == 2
    assert [row.status.value for row in session.rows()] == ["refused", "refused", "refused", "finished"]
    assert session.running.purse.spent == 1


def test_a_dearer_reply_takes_back_the_tasks_that_are_no_longer_covered(connect_to: Connect) -> None:
    """Six credits allow six jobs at one each, and two at three each."""
    session, sandbox = connect_to(credit_cost=3.0)
    queued = Queued()
    requests = [session.request(f"fox {k}") for k in range(6)]
    batch = remote.start_on(session, requests, queued, source="python", max_credits=6)
    queued.run_one()
    assert batch.handles[0].exception(timeout=30) is None
    wait(batch.handles[2:], timeout=30)
    while queued.tasks:
        queued.run_one()
    kinds = [type(handle.exception(timeout=30)).__name__ for handle in batch.handles]
    assert kinds == ["NoneType"] * 2 + ["BudgetExceededError"] * 4
    assert sandbox.charges == 6


def test_a_task_that_outlives_its_kernel_buys_nothing_once_its_row_is_closed(
    connected: tuple[Session, Sandbox], make_session: Callable[..., Session]
) -> None:
    session, sandbox = connected
    queued = Queued()
    remote.start_on(session, [session.request("a fox")], queued, source="python")
    (_, task) = queued.tasks[0]
    session.place.locks.release()  # the kernel dies; the cluster's queue lives on
    later = make_session(sandbox)
    assert later.record(1).status is JobStatus.WITHDRAWN
    assert remote.run_task(task)["record"]["status"] == "withdrawn"
    assert sandbox.count("submit") == 0


def test_what_a_task_bought_after_its_kernel_died_is_found(
    connected: tuple[Session, Sandbox], make_session: Callable[..., Session]
) -> None:
    session, sandbox = connected
    queued = Queued()
    remote.start_on(session, [session.request("a fox")], queued, source="python")
    (_, task) = queued.tasks[0]
    session.place.locks.release()
    remote.run_task(task)
    later = make_session(sandbox)
    assert later.record(1).status is JobStatus.FINISHED
    assert later.start([later.request("a fox")], source="python", reuse=True).handles[0].result(timeout=30).reused
    assert sandbox.count("submit") == 1


def test_a_second_kernel_leaves_the_half_fetched_files_of_living_workers(
    make_sandbox: Callable[..., Sandbox], connected: tuple[Session, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's temporary is its session's: a kernel that opens the folder in the middle of a download keeps it."""
    sandbox = make_sandbox(faults=[Fault("download", "slow_drip", seconds=1.5)])
    monkeypatch.setenv("PIXELDOJO_API_KEY", sandbox.key)
    folder = connected[0].folder
    session = calls.connect(base_url=sandbox.base_url, folder=folder, requests_per_minute=6000)
    with ThreadPoolExecutor(1) as executor:
        batch = remote.start_on(session, [session.request("a fox")], executor, source="python")
        while not (half := list(folder.glob(".*.part"))):
            time.sleep(0.01)
        Session({"base_url": sandbox.base_url, "api_key": sandbox.key, "folder": str(folder)}).close()
        assert list(folder.glob(".*.part")) == half
        assert len(batch.handles[0].result(timeout=30)) == 1
    assert sandbox.count("download") == 1


def test_a_download_of_a_worker_that_outlives_its_kernel_is_left_to_it(connect_to: Connect) -> None:
    """Only what is an hour old is taken for a dead worker's."""
    session, sandbox = connect_to(faults=[Fault("download", "slow_drip", seconds=1.5)])
    queued = Queued()
    remote.start_on(session, [session.request("a fox")], queued, source="python")
    with ThreadPoolExecutor(1) as worker:
        end = worker.submit(remote.run_task, queued.tasks[0][1])
        while not (half := list(session.folder.glob(".*.part"))):
            time.sleep(0.01)
        session.place.locks.release()
        Session({"base_url": sandbox.base_url, "folder": str(session.folder)}).close()
        assert list(session.folder.glob(".*.part")) == half
        assert end.result()["record"]["status"] == "finished"
    assert sandbox.count("download") == 1


# ---- how a task's end is told ----


class Breaking(ThreadPoolExecutor):
    """Its worker is killed when its job has ended, before it could tell."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        def run_and_die() -> None:
            fn(*args, **kwargs)
            raise BrokenProcessPool("the worker was killed")

        return super().submit(run_and_die)


@pytest.mark.parametrize(
    ("kind", "error"), [("drop_after", KlingError), ("failed", JobFailedError), ("status", InsufficientCreditsError)]
)
def test_a_job_that_ended_without_pictures_is_an_error_also_where_its_worker_died(
    connect_to: Connect, kind: Any, error: type[KlingError]
) -> None:
    """Never a Result with no pictures. Of the right class: after a 402 the rest of the call is not sent."""
    session, sandbox = connect_to(faults=[Fault("submit", kind, status=402, at=1)])
    with Breaking(1) as executor:
        batch = remote.start_on(session, [session.request("a fox")], executor, source="python")
        with pytest.raises(error) as caught:
            batch.handles[0].result(timeout=30)
    assert caught.value.maybe_submitted is (kind == "drop_after")
    assert batch.halted is (kind == "status")
    assert sandbox.count("submit") == 1


def test_what_a_worker_of_another_version_gives_back_is_an_error_and_a_doubt(
    connected: tuple[Session, Sandbox],
) -> None:
    """Its handle does not wait for ever, and nothing is bought for it again."""
    session, _ = connected
    queued = Queued()
    handle = remote.start_on(session, [session.request("a fox")], queued, source="python").handles[0]
    queued.tasks[0][0].set_result({"record": {"n": 1}, "error": None})
    with pytest.raises(KlingError, match="another version") as caught:
        handle.result(timeout=10)
    assert caught.value.maybe_submitted
    assert session.record(1).status is JobStatus.MAYBE_SUBMITTED


def test_a_task_that_neither_its_executor_nor_this_process_can_run_is_withdrawn(
    connected: tuple[Session, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent, and what is left of it in a cluster sends nothing either."""
    session, sandbox = connected
    queued = Queued()
    handle = remote.start_on(session, [session.request("a fox")], queued, source="python").handles[0]
    future, task = queued.tasks[0]
    with monkeypatch.context() as patch:
        patch.delenv("PIXELDOJO_API_KEY")
        future.set_exception(RuntimeError("the worker was killed"))
        assert "no API key" in str(handle.exception(timeout=10))
    assert session.record(1).status is JobStatus.WITHDRAWN
    assert remote.run_task(task)["record"]["status"] == "withdrawn"
    assert sandbox.count("submit") == session.running.purse.spent == 0


def test_a_task_that_an_executor_took_although_it_raised_sends_nothing(connected: tuple[Session, Sandbox]) -> None:
    """A pool that fails to start its process keeps the task and runs it with the next one."""
    session, sandbox = connected

    class Taking(Queued):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            super().submit(fn, *args, **kwargs)
            raise OSError("no more processes")

    taking = Taking()
    handle = remote.start_on(session, [session.request("a fox")], taking, source="python").handles[0]
    assert "no more processes" in str(handle.exception(timeout=10))
    taking.run_one()
    assert sandbox.count("submit") == 0
    assert session.record(1).status is JobStatus.REFUSED


def test_what_a_file_said_earlier_is_not_written_over_how_its_job_ended(
    connect_to: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit of the watching thread that has to wait for the journal does not turn a finished row back."""
    session, _ = connect_to(latency=0.5)
    commit, finished = session.running.commit, threading.Event()

    def slow(record: Any) -> None:
        if record.status is JobStatus.FINISHED:
            commit(record)
            finished.set()
        else:
            finished.wait(1.5)
            commit(record)

    monkeypatch.setattr(session.running, "commit", slow)
    monkeypatch.setattr(remote, "WATCH_SECONDS", 0.05)
    with ThreadPoolExecutor(1) as executor:
        batch = remote.start_on(session, [session.request("a fox")], executor, source="python")
        assert len(batch.handles[0].result(timeout=30)) == 1
    time.sleep(0.2)
    assert session.record(1).status is JobStatus.FINISHED


def test_on_a_full_disk_a_job_cannot_be_withdrawn_and_the_others_of_its_call_still_are_asked(
    connected: tuple[Session, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopping the waiting raised the disk's error in place of its own, which ``except Exception`` would swallow."""
    session, sandbox = connected
    batch = remote.start_on(session, [session.request(f"fox {k}") for k in range(2)], Queued(), source="python")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Intents, "claim", full)
        stopped = batch.withdraw()
    assert stopped.withdrawn == ()
    assert stopped.going_on == ("job 1", "job 2")
    assert batch.withdraw().withdrawn == (1, 2)
    assert sandbox.count("submit") == 0


def test_a_job_cannot_be_withdrawn_while_its_end_is_written_down(
    connected: tuple[Session, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = connected
    conclude, withdrawn = session.running.conclude, []

    def late(handle: Any, *how: Any) -> None:
        withdrawn.append(handle.cancel())
        conclude(handle, *how)

    monkeypatch.setattr(session.running, "conclude", late)
    with ThreadPoolExecutor(1) as executor:
        batch = remote.start_on(session, [session.request("a fox")], executor, source="python")
        assert len(batch.handles[0].result(timeout=30)) == 1
    assert withdrawn == [False]
    assert session.record(1).status is JobStatus.FINISHED


def watching() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "kling-executor"}


def test_tasks_that_wait_in_a_cluster_hold_no_worker_of_the_session(connected: tuple[Session, Sandbox]) -> None:
    """However many there are, other jobs are sent, and what has ended is shown at once."""
    session, sandbox = connected
    session.configure(in_flight=1)
    queued, before = Queued(), watching()
    batch = remote.start_on(session, [session.request(f"fox {k}") for k in range(3)], queued, source="python")
    assert len(session.start([session.request("an owl")], source="python").handles[0].result(timeout=10)) == 1
    queued.tasks.reverse()
    queued.run_one()
    assert len(batch.handles[2].result(timeout=10)) == 1
    assert batch.withdraw().withdrawn == (1, 2)
    assert sandbox.count("submit") == 2
    deadline = time.monotonic() + 10
    while watching() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not watching() - before


def test_a_closed_session_is_let_go_of_when_its_last_task_has_ended(connected: tuple[Session, Sandbox]) -> None:
    session, _ = connected
    queued = Queued()
    batch = remote.start_on(session, [session.request("a fox")], queued, source="python")
    session.close()
    lock = session.folder / ".kling" / "locks" / f"{session.id}.lock"
    assert lock.exists()
    queued.run_one()
    assert len(batch.handles[0].result(timeout=10)) == 1
    deadline = time.monotonic() + 5
    while lock.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lock.exists()


# ---- what later kernels make of the files ----


@pytest.mark.parametrize("who", ["another kernel", "the kernel that bought it"])
def test_a_workers_doubt_is_not_put_over_an_id_that_was_attached_since(
    who: str, connect_to: Connect, make_session: Callable[..., Session]
) -> None:
    session, sandbox = connect_to(latency=2.0, faults=[Fault("submit", "drop_after", at=1)])
    with ThreadPoolExecutor(1) as executor:
        batch = remote.start_on(session, [session.request("a fox")], executor, source="python")
        assert batch.handles[0].exception(timeout=30)
    (made,) = sandbox._service.recent(9)
    if who == "another kernel":
        session.place.locks.release()
        session = make_session(sandbox)
    handle = session.resume(1, made.id).handles[0]
    while session.record(1).status is not JobStatus.RUNNING:
        time.sleep(0.01)
    session.place.locks.release()  # that kernel dies as well
    later = make_session(sandbox)
    assert (later.record(1).status, later.record(1).job_id) == (JobStatus.RUNNING, made.id)
    assert len(handle.result(timeout=30)) == 1
    assert sandbox.count("submit") == 1


def test_what_a_worker_said_last_is_not_put_over_what_its_own_kernel_did_since(
    connect_to: Connect, make_session: Callable[..., Session]
) -> None:
    """A worker set the job aside; the kernel that bought it goes on with it, and dies."""
    session, sandbox = connect_to(latency=1.5, faults=[Fault("poll", "status", at=1, status=401)])
    with ThreadPoolExecutor(1) as executor:
        batch = remote.start_on(session, [session.request("a fox")], executor, source="python")
        assert isinstance(batch.handles[0].exception(timeout=30), UnauthorizedError)
    assert session.record(1).status is JobStatus.UNFINISHED
    handle = session.resume(1).handles[0]
    while session.record(1).status is not JobStatus.RUNNING:
        time.sleep(0.01)
    session.place.locks.release()
    later = make_session(sandbox)
    assert (later.record(1).status, later.record(1).error) == (JobStatus.RUNNING, None)
    assert len(handle.result(timeout=30)) == 1


def test_a_file_of_a_damaged_journals_job_is_not_taken_for_that_of_a_new_one(
    connected: tuple[Session, Sandbox], make_session: Callable[..., Session]
) -> None:
    """Its numbers begin anew; a job is known by its number and the session that bought it."""
    session, sandbox = connected
    remote.start_on(session, [session.request("an owl")], Queued(), source="python").withdraw()
    session.close()
    session.journal.close()
    (session.folder / ".kling" / "journal.sqlite3").write_bytes(b"garbage" * 1000)
    later = make_session(sandbox)
    with ThreadPoolExecutor(1) as executor:
        batch = remote.start_on(later, [later.request("a fox")], executor, source="python")
        (picture,) = batch.handles[0].result(timeout=30)
    assert picture.path.exists()
    assert (later.record(1).request.prompt, sandbox.count("submit")) == ("a fox", 1)


def test_a_session_begins_although_another_kernel_takes_a_workers_job_over_at_that_moment(
    connected: tuple[Session, Sandbox], make_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, sandbox = connected
    other = make_session(sandbox)
    queued = Queued()
    remote.start_on(session, [session.request("a fox")], queued, source="python")
    session.place.locks.release()
    remote.run_task(queued.tasks[0][1])
    read, reads = Intents.read, []

    def meanwhile(self: Intents, record: Any) -> Any:
        reads.append(record)
        assert other.journal.take_over(record, other.id) or len(reads) > 1
        return read(self, record)

    monkeypatch.setattr(Intents, "read", meanwhile)
    later = make_session(sandbox)
    assert reads
    assert later.record(1).owner == other.id


def test_a_file_that_cannot_be_read_is_a_doubt_that_can_be_settled(
    connected: tuple[Session, Sandbox], make_session: Callable[..., Session]
) -> None:
    """Whoever made it may have sent. Its row does not stay planned for ever, and a late worker sends nothing."""
    session, sandbox = connected
    queued = Queued()
    remote.start_on(session, [session.request("a fox")], queued, source="python")
    session.place.intents.path(session.record(1)).touch()
    session.place.locks.release()
    later = make_session(sandbox)
    assert later.record(1).status is JobStatus.MAYBE_SUBMITTED
    with pytest.raises(LostOwnership):
        remote.run_task(queued.tasks[0][1])
    assert later.dismiss(1).status is JobStatus.DISMISSED
    assert sandbox.count("submit") == 0


@pytest.mark.parametrize("links", [True, False])
def test_the_right_to_post_is_taken_whole_or_not_at_all(
    links: bool, connected: tuple[Session, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that runs into a full disk leaves no torn file that keeps the others from it; with and without links."""
    session, _ = connected
    remote.start_on(session, [session.request("a fox")], Queued(), source="python")
    intents, record = session.place.intents, session.record(1).but(status=JobStatus.SENT)

    def fails(*_: Any) -> None:
        raise OSError("no room, or no links")

    if not links:
        monkeypatch.setattr("os.link", fails)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fails)
        with pytest.raises(OSError, match="no room"):
            intents.claim(record)
    assert not list(intents.folder.iterdir())
    assert intents.claim(record)
    assert not intents.claim(record.but(status=JobStatus.WITHDRAWN))
    assert intents.read(record) == record
    assert [path.name for path in intents.folder.iterdir()] == [intents.path(record).name]


def test_a_run_that_sent_nothing_does_not_put_its_refusal_over_what_another_bought(
    connected: tuple[Session, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of a task began at the same moment; the slower one's parameters are refused where it runs."""
    session, sandbox = connected
    queued = Queued()
    remote.start_on(session, [session.request("a fox")], queued, source="python")
    (_, task) = queued.tasks[0]
    queued.run_one()
    found, looks = Intents.found, []

    def too_early(self: Intents, record: Any) -> Any:
        looks.append(record)
        return found(self, record) if len(looks) > 1 else None

    def refused(*_: Any) -> None:
        raise InputError("no such parameter", parameter="resolution")

    monkeypatch.setattr(Intents, "found", too_early)
    monkeypatch.setattr("kling_notebook.api.client.KlingClient.check_request", refused)
    assert remote.run_task(task)["record"]["status"] == "finished"
    assert sandbox.count("submit") == 1


def test_the_files_of_jobs_that_are_over_are_not_read_when_a_session_begins(
    connected: tuple[Session, Sandbox], make_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay, and there may be many thousands."""
    session, sandbox = connected
    with ThreadPoolExecutor(2) as executor:
        wait(remote.start_on(session, [session.request(f"fox {k}") for k in range(3)], executor, source="python").jobs)
    session.close()
    reads: list[Any] = []
    monkeypatch.setattr(Intents, "read", lambda _, record: reads.append(record))
    make_session(sandbox)
    assert len(list(session.place.intents.folder.iterdir())) == 3
    assert not reads


def test_a_dask_cluster_of_two_processes_runs_a_sweep(connected: tuple[Session, Sandbox]) -> None:
    """``client.get_executor()`` is an executor like any other. A worker that dies with the results of finished tasks
    lets Dask run them again: nothing is bought again."""
    distributed = pytest.importorskip("distributed")
    session, sandbox = connected
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        requests = [session.request(f"a {animal}") for animal in ("fox", "owl", "hare", "bat")]
        batch = remote.start_on(session, requests, client.get_executor(), source="python")
        assert [len(handle.result(timeout=60)) for handle in batch.handles] == [1, 1, 1, 1]
        before = {key: set(holders) for key, holders in client.who_has().items()}
        dead = next(iter(next(iter(before.values()))))
        os.kill(client.run(os.getpid)[dead], signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            now = {key: set(holders) for key, holders in client.who_has().items()}
            if all(now.get(key, set()) - {dead} for key in before):
                break
            time.sleep(0.1)
        assert all(now.get(key, set()) - {dead} for key in before)
    assert sandbox.count("submit") == sandbox.charges == 4
