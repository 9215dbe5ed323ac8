"""Sweeps on executors: processes and a Dask cluster; a task that is run again never buys again."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook import calls
from kling_notebook.api.errors import InsufficientCreditsError
from kling_notebook.api.jobs import JobStatus
from kling_notebook.sandbox import Fault
from kling_notebook.session import remote
from kling_notebook.session.intents import Intents
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
    assert not list((session.folder / ".kling" / "intents").iterdir())
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


def test_the_same_task_run_twice_posts_once(connected: tuple[Session, Sandbox]) -> None:
    """A second run finds the first one's intent file and attaches to its job."""
    session, sandbox = connected
    tasks = []

    class Keeping(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            tasks.append(args[0])
            done: Future[Any] = Future()
            done.set_result(fn(*args, **kwargs))
            return done

    calls.sweep("a {animal}", animal=["fox"], executor=Keeping(), show_progress=False)
    intents = Intents(session.folder)
    record = session.record(1)
    intents.claim(record.but(status=JobStatus.RUNNING, images=()))
    told = remote.run_task(tasks[0])
    assert told["record"]["status"] == "finished"
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


def test_a_dask_cluster_of_two_processes_runs_a_sweep(connected: tuple[Session, Sandbox]) -> None:
    """``client.get_executor()`` is an executor like any other."""
    distributed = pytest.importorskip("distributed")
    _, sandbox = connected
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        sweep = calls.sweep(
            "a {animal}", animal=["fox", "owl", "hare", "bat"], executor=client.get_executor(), show_progress=False
        )
        assert not sweep.missing
    assert sandbox.count("submit") == 4
