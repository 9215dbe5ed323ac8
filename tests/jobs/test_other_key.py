"""Jobs of another API key: named and left alone; asked for with the present key only by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.api.errors import ApiError, KlingError
from kling_notebook.api.job import JobStatus
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

Make = Callable[..., "Session"]


def row_of(session: Session) -> tuple[Any, ...]:
    with closing(sqlite3.connect(session.journal.path)) as connection:
        return tuple(connection.execute("SELECT * FROM jobs WHERE n=1").fetchone())


@pytest.fixture
def of_another_key(make_session: Make, sandbox: Sandbox) -> Session:
    """A session in a folder where another key paid for job 1, which is paused and has lost its image."""
    session = make_session(sandbox)
    result = session.start([session.request("a red fox")], source="python").handles[0].result(timeout=60)
    result[0].path.unlink()
    session.journal.settle(1, JobStatus.PAUSED, JobStatus.COMPLETED)
    session.close()
    with closing(sqlite3.connect(session.journal.path)) as connection, connection:
        assert connection.execute("SELECT key FROM jobs").fetchone() == (session.workspace.key,)
        connection.execute("UPDATE jobs SET key='00000000000000aa'")
    return make_session(sandbox)


def test_resume_names_them_and_leaves_them_alone(of_another_key: Session, sandbox: Sandbox) -> None:
    session, polls, before = of_another_key, sandbox.count("poll"), row_of(of_another_key)
    (notice,) = session.pop_notices()
    assert notice.startswith("Job 1 of this folder was paid for with another API key")
    assert session.resume().handles == ()
    assert session.pop_notices() == [notice]
    assert sandbox.count("poll") == polls
    assert row_of(session) == before


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 422])
def test_a_refusal_changes_nothing(status: int, of_another_key: Session, sandbox: Sandbox) -> None:
    session, before = of_another_key, row_of(of_another_key)
    sandbox.add_fault(Fault("poll", "status", status=status, times=9))
    with pytest.raises(ApiError, match=r"another API key.*Nothing was changed") as caught:
        session.resume(1)
    assert (caught.value.status, caught.value.number) == (status, 1)
    assert row_of(session) == before


def test_a_rotated_key_fetches_what_it_can_reach(of_another_key: Session, sandbox: Sandbox) -> None:
    session = of_another_key
    (handle,) = session.resume(1).handles
    assert handle.result(timeout=60)[0].path.exists()
    assert session.record(1).key == session.workspace.key
    assert sandbox.count("submit") == 1


def test_the_same_request_is_not_paid_for_silently(of_another_key: Session, sandbox: Sandbox) -> None:
    session = of_another_key
    (handle,) = session.start([session.request("a red fox")], source="python", reuse=True).handles
    with pytest.raises(KlingError, match=r"job 1.*resume 1.*--fresh"):
        handle.result(timeout=60)
    assert sandbox.count("submit") == 1
