"""A process killed with SIGKILL at any point loses nothing that was bought, and its successor buys nothing again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kling_notebook.api.job import JobStatus

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")

CHILD = """
import json, os, signal, sys
from kling_notebook.api.client import ServiceClient
from kling_notebook.image_files import saving
from kling_notebook.journal.journal import Journal
from kling_notebook.session.session import Session

message, point = json.loads(sys.argv[1]), sys.argv[2]

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def around(owner, name, before=None, after=None):
    original = getattr(owner, name)
    def wrapped(*args, **kwargs):
        if before: before(*args, **kwargs)
        value = original(*args, **kwargs)
        if after: after(*args, **kwargs)
        return value
    setattr(owner, name, wrapped)

def on_status(status):
    return lambda journal, record: die() if record.status == status else None

def half_way(client, url, write, **kwargs):
    def some(data):
        write(data[: len(data) // 2])
        die()
    return download(client, url, some, **kwargs)

if point == "before the intent row": around(Journal, "add", before=die)
elif point == "after the plan": around(Journal, "add", after=die)
elif point == "after the intent row, before the POST":
    submit = ServiceClient.submit
    ServiceClient.submit = lambda client, request, *, before_first_byte: submit(
        client, request, before_first_byte=lambda: (before_first_byte(), die())
    )
elif point == "after the POST, before the job id was committed": around(ServiceClient, "submit", after=die)
elif point == "after the job id was committed": around(ServiceClient, "poll", before=die)
elif point == "in the middle of a download":
    download = ServiceClient.download
    ServiceClient.download = half_way
elif point == "before the rename": around(saving, "_put", before=die)
elif point == "after the rename": around(saving, "_put", after=die)
elif point == "before the end was committed": around(Journal, "write", before=on_status("completed"))

session = Session(message)
batch = session.start([session.request("a red fox", num_outputs=2)], source="python")
batch.handles[0].exception(timeout=60)
"""


class Row(NamedTuple):
    point: str
    charges: int
    found: JobStatus | None
    collected: bool


ROWS = [
    Row("before the intent row", 0, None, False),
    Row("after the plan", 0, JobStatus.CANCELLED, False),
    Row("after the intent row, before the POST", 0, JobStatus.UNCONFIRMED, False),
    Row("after the POST, before the job id was committed", 2, JobStatus.UNCONFIRMED, False),
    Row("after the job id was committed", 2, JobStatus.RUNNING, True),
    Row("in the middle of a download", 2, JobStatus.RUNNING, True),
    Row("before the rename", 2, JobStatus.RUNNING, True),
    Row("after the rename", 2, JobStatus.RUNNING, True),
    Row("before the end was committed", 2, JobStatus.RUNNING, True),
]


def run_and_kill(message: dict[str, Any], point: str) -> None:
    """Run a session in a process of its own until it kills itself at ``point``."""
    command = [sys.executable, "-c", textwrap.dedent(CHILD), json.dumps(message), point]
    ended = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]


@pytest.mark.parametrize("row", ROWS, ids=[row.point for row in ROWS])
def test_a_kernel_killed_at_this_point_loses_nothing_and_buys_nothing_twice(
    row: Row, sandbox: Sandbox, folder: Path, make_session: Callable[..., Session]
) -> None:
    """After resume the service still counts one POST, the files are whole, and no temporary of the dead is left."""
    message = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder)}
    run_and_kill(message, row.point)
    assert sandbox.charges == row.charges

    session = make_session(sandbox)
    notices = " ".join(session.pop_notices())
    record = next(iter(session.rows()), None)
    assert (record.status if record else None) is row.found
    assert not list(folder.glob(".*.part"))
    posts = sandbox.count("submit")
    if not row.collected:
        assert not session.resume().jobs
        assert ("may have been submitted" in notices) == (row.found is JobStatus.UNCONFIRMED)
    else:
        assert "1 job is paused" in notices
        (handle,) = session.resume().jobs
        result = handle.result(timeout=60)
        assert [image.width for image in result] == [1024, 1024]
        assert session.record(1).status is JobStatus.COMPLETED
        assert len(list(folder.glob("*.png"))) == 2
        assert not session.resume().jobs
    assert sandbox.count("submit") == posts == (1 if row.charges else 0)


def test_an_id_read_off_the_website_is_attached_to_the_unconfirmed_job(
    sandbox: Sandbox, folder: Path, make_session: Callable[..., Session]
) -> None:
    """A purchase whose reply was lost is collected by its id, and is not bought again."""
    message = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder)}
    run_and_kill(message, "after the POST, before the job id was committed")
    session = make_session(sandbox)
    (job_id,) = sandbox.job_ids
    (handle,) = session.resume(job_id).jobs
    assert len(handle.result(timeout=60)) == 2
    assert session.record(1).job_id == job_id
    assert sandbox.count("submit") == 1


def test_a_job_whose_kernel_lives_is_left_to_it(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """Resume in a second session takes nothing from a session that is alive."""
    sandbox = make_sandbox(latency=3.0)
    first, second = make_session(sandbox), make_session(sandbox)
    handle = first.start([first.request("a red fox")], source="python").handles[0]
    assert not second.resume().jobs
    assert handle.result(timeout=60).number == 1
    assert sandbox.count("submit") == 1


def test_an_identical_request_of_another_living_kernel_is_attached_to(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """With reuse, two kernels asking for the same at once buy it once."""
    sandbox = make_sandbox(latency=2.0)
    first, second = make_session(sandbox), make_session(sandbox)
    mine = first.start([first.request("a red fox")], source="python", reuse=True).handles[0]
    theirs = second.start([second.request("a red fox")], source="python", reuse=True).handles[0]
    assert theirs.result(timeout=60)[0].path == mine.result(timeout=60)[0].path
    assert theirs.result().reused
    assert sandbox.count("submit") == 1
