"""A full disk, a read-only folder: what cannot be written down is not bought, and what was bought is not lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus
from kling_notebook.journal.job_record import new_record
from kling_notebook.journal.journal import Journal

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

    FullDisk = Callable[..., tuple[Sandbox, dict[str, Any]]]


def story_of(code: str, *arguments: str) -> dict[str, Any]:
    """What a process of its own told in its last line."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])  # type: ignore[no-any-return]


FULL = """
import json, os, resource, sys, threading, time
from pathlib import Path
from kling_notebook.api.errors import KlingError
from kling_notebook.session.session import Session

settings, how, when = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
ballast = Path(settings["folder"]).parent / "ballast"

def fill():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        return
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass

def free_space():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        ballast.unlink()

def row():
    record = session.journal.get(1)
    return {"status": record.status.value, "job_id": record.job_id, "images": len(record.images)} if record else None

session = Session(settings)
story = {}
if when == "before the POST":
    fill()
    try:
        session.start([session.request("a fox")], source="python")
    except KlingError as error:
        story = {"error": type(error).__name__, "text": str(error)}
    free_space()
    story["row"] = row()
    story["again"] = len(session.start([session.request("a fox")], source="python").handles[0].result(timeout=60))
elif when == "before the intent":
    full = threading.Event()
    def watch(snapshot):
        if snapshot.status == "queued" and not full.is_set():
            full.set()
            fill()
    handle = session.start([session.request("a fox")], source="python").handles[0]
    handle.add_observer(watch)
    error = handle.exception(timeout=60)
    free_space()
    story = {"error": type(error).__name__, "text": str(error), "unconfirmed": error.maybe_submitted}
    story["again"] = len(session.start([session.request("a fox")], source="python").handles[0].result(timeout=60))
    story["row"] = row()
else:
    session.dispatcher.workspace.journal.latest()
    full = threading.Event()
    def watch(snapshot):
        if snapshot.status == "submitting" and not full.is_set():
            fill()
            full.set()
    handle = session.start([session.request("a fox")], source="python").handles[0]
    handle.add_observer(watch)
    assert full.wait(60)
    while handle.job_id is None:
        time.sleep(0.05)
    story["unwritten"] = row()
    if when == "until the next polls":
        free_space()
        while not row()["job_id"]:
            time.sleep(0.05)
        story["while it runs"] = row() | {"done": handle.done()}
        story["images"] = len(handle.result(timeout=60))
    else:
        error = handle.exception(timeout=60)
        story |= {"error": type(error).__name__, "text": str(error), "job_id": error.job_id, "still": row()}
        free_space()
        story["images"] = len(session.resume(error.job_id).handles[0].result(timeout=60))
    story["row"] = row()
print(json.dumps(story))
"""


@pytest.fixture(params=["mount", pytest.param("limit", marks=pytest.mark.long)])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder whose disk can be full: a small tmpfs where one can be mounted, and a limit of the process always."""
    if os.name == "nt":
        pytest.skip("Windows knows neither")
    place = tmp_path / "small"
    place.mkdir()
    mounted = (
        request.param == "mount"
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    )
    yield ("disk" if mounted else "limit"), place
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def connection(sandbox: Sandbox, folder: Path) -> str:
    """What a session of another process is told."""
    return json.dumps({"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder)})


@pytest.fixture
def full_disk(small: tuple[str, Path], make_sandbox: Callable[..., Sandbox], paint: Callable[..., bytes]) -> FullDisk:
    """Run FULL with the disk full at the given moment: the sandbox, made with the given options, and the story."""

    def run(when: str, **options: Any) -> tuple[Sandbox, dict[str, Any]]:
        sandbox = make_sandbox(paint=paint, **options)
        return sandbox, story_of(FULL, connection(sandbox, small[1] / "k"), small[0], when)

    return run


def test_what_cannot_be_written_down_is_not_sent(full_disk: FullDisk) -> None:
    """A full disk before the POST: an error that says so, no purchase, no row; with space again it continues."""
    sandbox, story = full_disk("before the POST")
    assert story["error"] == "SettingsError"
    assert "Nothing was sent. Free some space" in story["text"]
    assert story["row"] is None
    assert story["again"] == 1
    assert sandbox.count("submit") == 1


def test_an_intent_that_cannot_be_written_down_is_not_sent(full_disk: FullDisk) -> None:
    """The plan was written, and the disk is full before the intent is: nothing is charged or unconfirmed."""
    sandbox, story = full_disk("before the intent")
    assert story["error"] == "SettingsError"
    assert "Nothing was sent. Free some space" in story["text"]
    assert not story["unconfirmed"]
    assert story["again"] == 1
    assert story["row"]["status"] == "rejected", "written down as soon as there is space"
    assert sandbox.count("submit") == 1


def test_a_job_id_that_could_not_be_written_is_written_while_the_job_runs(full_disk: FullDisk) -> None:
    """The disk is full when the reply comes, and has space a moment later: the next poll writes the id down."""
    sandbox, story = full_disk("until the next polls", latency=lambda _: 6.0)
    assert story["unwritten"] == {"status": "submitting", "job_id": None, "images": 0}
    assert story["while it runs"] == {"status": "running", "job_id": sandbox.job_ids[0], "images": 0, "done": False}
    assert story["row"]["status"] == "completed"
    assert sandbox.count("submit") == 1


def test_a_disk_that_stays_full_leaves_the_job_id_in_the_error(full_disk: FullDisk) -> None:
    """Neither the id nor the image can be written: the error names the job, and with space resume collects it."""
    sandbox, story = full_disk("to the end")
    assert story["job_id"] == sandbox.job_ids[0]
    assert sandbox.job_ids[0] in story["text"]
    assert "space" in story["text"]
    assert story["still"] == {"status": "submitting", "job_id": None, "images": 0}
    assert story["images"] == 1
    assert story["row"]["status"] == "completed"
    assert sandbox.count("submit") == 1


BEGUN = """
import json, os, sys
from kling_notebook.api.errors import KlingError
from kling_notebook.session.session import Session

if sys.argv[2] == "limit":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
else:
    from pathlib import Path
    with open(Path(json.loads(sys.argv[1])["folder"]).parent / "ballast", "wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
try:
    session = Session(json.loads(sys.argv[1]))
    print(json.dumps({"rows": [record.status.value for record in session.rows()], "notices": session.pop_notices()}))
except KlingError as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
"""


def test_a_session_begins_on_a_full_disk_and_a_later_one_settles_what_a_dead_kernel_left(
    small: tuple[str, Path], make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """What is left behind is named and shown; the plan is closed and the job recorded when there is space again."""
    sandbox, folder = make_sandbox(), small[1] / "k"
    opened = Journal(folder / ".kling" / "journal.sqlite3")
    host = sandbox.base_url.partition("//")[2].partition("/")[0]
    for status in (JobStatus.SUBMITTING, JobStatus.QUEUED):
        request = GenerationRequest(f"fox {status}")
        dead = new_record(request, backend=host, source="python", session="deaddeaddead", estimate=1.0)
        opened.add([dead.replace(status=status)])
    opened.close()
    (folder / ".kling" / "locks").mkdir()
    story = story_of(BEGUN, connection(sandbox, folder), small[0])
    assert story["rows"] == ["queued", "submitting"]
    assert story["notices"] == ["1 job may have been submitted: see `%kling status`."]
    (small[1] / "ballast").unlink(missing_ok=True)
    session = make_session(sandbox, folder=str(folder))
    assert [record.status for record in session.rows()] == [JobStatus.CANCELLED, JobStatus.UNCONFIRMED]
    session.close()
    session.journal.close()


READ_ONLY = """
import json, os, sys
from kling_notebook.api.errors import KlingError
from kling_notebook.session.session import Session

if os.getuid() == 0:
    os.setuid(65534)  # for root no folder is read-only
try:
    Session(json.loads(sys.argv[1]))
    print(json.dumps({}))
except KlingError as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
"""


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such permissions")
@pytest.mark.parametrize("what", ["a new folder", "one with a journal", "the journal alone"])
def test_a_read_only_folder_is_refused_with_the_way_out(what: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Before anything is sent, whether it is new or has a journal; the message names the setting."""
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())  # one that others may enter
    folder.chmod(0o755)
    try:
        if what != "a new folder":
            path = folder / "k" / ".kling" / "journal.sqlite3"
            Journal(path).close()
            path.chmod(0o444)
            path.parent.chmod(0o555 if what == "one with a journal" else 0o777)
        folder.chmod(0o555)
        story = story_of(READ_ONLY, connection(sandbox, folder / "k"))
    finally:
        for path in (folder, folder / "k" / ".kling"):
            if path.exists():
                path.chmod(0o755)
        subprocess.run(["rm", "-r", str(folder)], check=True)
    assert story["error"] == "SettingsError"
    assert "Nothing was sent" in story["text"]
    assert "KLING_FOLDER" in story["text"]
    assert not sandbox.log


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_recovery_without_space_is_refused_and_done_when_there_is(
    sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """The damaged journal stays; the message says what to do."""
    session = make_session(sandbox)
    session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    session.close()
    session.journal.close()
    session.journal.path.write_bytes(b"this is not a database, " * 500)
    story = story_of(BEGUN, connection(sandbox, folder), "limit")
    assert story["error"] == "SettingsError"
    assert "is damaged" in story["text"]
    assert "Nothing was sent. Free some space" in story["text"]
    assert session.journal.path.read_bytes() == b"this is not a database, " * 500
    assert make_session(sandbox).count() == 1
