"""The journal: old ones open, many kernels share one, a full disk and damage lose nothing that was bought."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.api.errors import InputError, SettingsError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus
from kling_notebook.image_files import metadata
from kling_notebook.jobs.running_job import RunningJob
from kling_notebook.journal import journal as journal_module
from kling_notebook.journal import layout, recovery, schema
from kling_notebook.journal.job_record import Record, new_record
from kling_notebook.journal.journal import SPENT, Filter, Journal, JournalError, LostOwnership
from kling_notebook.journal.locks import Locks

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

FIRST_VERSION = """
PRAGMA user_version=1;
CREATE TABLE jobs (n INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL, status TEXT NOT NULL,
    backend TEXT NOT NULL, source TEXT NOT NULL, session TEXT NOT NULL, owner TEXT NOT NULL, prompt TEXT NOT NULL,
    request TEXT NOT NULL, estimate REAL NOT NULL DEFAULT 0, job_id TEXT, status_url TEXT, created_at REAL NOT NULL,
    submitted_at REAL, completed_at REAL, seconds REAL, credits REAL, credits_remaining REAL,
    images TEXT NOT NULL DEFAULT '[]', error TEXT, raw TEXT NOT NULL DEFAULT '{}', starred TEXT NOT NULL DEFAULT '[]',
    note TEXT);
INSERT INTO jobs (n, identity, status, backend, source, session, owner, prompt, request, job_id, created_at, images,
    credits, starred, note) VALUES
    (7, 'aa', 'completed', 'pixeldojo', 'magic', '5e5510000001', '5e5510000001', 'a red fox',
    '{"model": "kling-image", "values": {"prompt": "a red fox", "num_outputs": 2, "long_gone": 1}, "sample": null}',
    'job_1', 1750000000.5, '["a.png", "b.png"]', 2.0, '[1]', 'the good one');
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".kling" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path)
    yield opened
    opened.close()


def a_record(prompt: str = "a fox", session: str = "5e5510000001", **facts: Any) -> Record:
    return new_record(
        GenerationRequest(prompt), backend="pixeldojo", source="python", session=session, estimate=1.0
    ).replace(**facts)


def write(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


# ---- versions ----


SCHEMA_1 = "9f4d3cbb21087508f977de2537ebac3e817b9ea4289e06c07473fad48c1a6b9b"
NEXT = (("mood", "ALTER TABLE jobs ADD COLUMN mood TEXT; UPDATE jobs SET mood='calm'"),)
WEATHER = (("weather", "ALTER TABLE jobs ADD COLUMN weather TEXT"),)
BROKEN = (("broken", "ALTER TABLE jobs ADD COLUMN mood TEXT; UPDATE jobs SET mood='calm'; UPDATE nothing SET here=1"),)


@pytest.fixture
def first(path: Path) -> Path:
    """A journal of schema 1 with one job, number 7."""
    opened = Journal(path)
    opened.add([a_record(number=7)])
    opened.close()
    return path


def test_the_schema_of_010_never_changes() -> None:
    """A journal of a released version is opened by all later ones: steps are added, none is edited."""
    name, script = schema.MIGRATIONS[0]
    assert name == "0.1.0: jobs, measures, sums of credits"
    assert hashlib.sha256(script.encode()).hexdigest() == SCHEMA_1


def test_an_older_journal_is_brought_up_once(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step once and in order, whoever opens it first; every row is there afterwards."""
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *NEXT, *WEATHER))
    faults: list[BaseException] = []

    def use() -> None:
        try:
            opened = Journal(first)
            assert opened.get(7)
            opened.close()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    connection = sqlite3.connect(first)
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert connection.execute("SELECT n, mood, weather FROM jobs").fetchall() == [(7, "calm", None)]
    connection.close()


def test_a_journal_brought_up_while_it_is_opened_is_still_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version was read before the other process's commit, its tables are read after it: it is still ours."""
    tables, others = schema._schema_of, []

    def meanwhile(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
        if not others:
            others.append(threading.Thread(target=lambda: Journal(path).close()))
            others[0].start()
            others[0].join(1)  # it may have to wait for this one
        return tables(connection)

    monkeypatch.setattr(schema, "_schema_of", meanwhile)
    Journal(path).close()
    others[0].join()


def test_a_migration_that_fails_leaves_the_journal_as_it_was(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it or nothing: the version that wrote it can still open it."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *BROKEN))
        with pytest.raises(sqlite3.Error):
            Journal(first)
    opened = Journal(first)
    assert [record.number for record in opened.latest()] == [7]
    opened.close()


def test_rows_of_an_older_journal_that_cannot_be_brought_up_are_read(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lacks columns of this version, and keeps the salt by which keys are known."""
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *WEATHER))
    with closing(Journal(first.with_name("journal.new"))) as new:
        assert recovery._salvage(first, new) == 1
        assert new.get(7) is not None
    ask = "SELECT value FROM about WHERE name='salt'"
    with closing(sqlite3.connect(first)) as old, closing(sqlite3.connect(first.with_name("journal.new"))) as made:
        assert old.execute(ask).fetchone() == made.execute(ask).fetchone()


def test_a_journal_of_a_newer_version_is_refused_and_not_touched(
    folder: Path, make_session: Callable[..., Session], sandbox: Sandbox
) -> None:
    """Its rows may mean what we do not know: say so, and do not take it for damaged."""
    path = folder / ".kling" / "journal.sqlite3"
    make_session(sandbox).close()
    write(path, "ALTER TABLE jobs ADD COLUMN later TEXT; PRAGMA user_version=2;")
    before = path.read_bytes()
    with pytest.raises(SettingsError, match=r"newer kling_notebook.*Update"):
        make_session(sandbox)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("journal.*-*.sqlite3"))


NOT_OURS = {
    "before 0.1.0": None,
    "with a trigger": "CREATE TRIGGER t AFTER UPDATE ON jobs BEGIN UPDATE jobs SET images='[]'; END",
    "with a view": "CREATE VIEW v AS SELECT * FROM jobs",
    "jobs as a view": "ALTER TABLE jobs RENAME TO kept; CREATE VIEW jobs AS SELECT * FROM kept",
    "with another column": "ALTER TABLE jobs ADD COLUMN odd TEXT",
    "with another type": "PRAGMA writable_schema=ON; UPDATE sqlite_master SET sql=replace(sql, 'note T', 'note R')",
}


@pytest.mark.parametrize("change", NOT_OURS.values(), ids=list(NOT_OURS))
def test_a_journal_that_is_not_literally_ours_is_kept_aside_and_its_images_are_read_back(
    change: str | None, folder: Path, make_session: Callable[..., Session], sandbox: Sandbox
) -> None:
    session = make_session(sandbox)
    asked = [session.request(f"fox {k}", num_outputs=2) for k in range(3)]
    for handle in session.start(asked, source="python").handles:
        handle.result(timeout=60)
    (folder / session.record(2).images[0]).unlink()
    session.close()
    session.journal.close()
    path = folder / ".kling" / "journal.sqlite3"
    if change is None:
        path.unlink()
    write(path, change or FIRST_VERSION)
    before = path.read_bytes()

    later = make_session(sandbox)
    (notice,) = later.pop_notices()
    (aside,) = path.parent.glob("journal.earlier-*")
    assert aside.name in notice
    assert "3 jobs found again" in notice
    assert aside.read_bytes() == before
    records = {record.number: record for record in later.rows()}
    assert {number: record.request.prompt for number, record in records.items()} == {1: "fox 0", 2: "fox 1", 3: "fox 2"}
    assert not make_session(sandbox).pop_notices(), "it is told once"
    # What was found again is shown and reused; it was not paid for by this folder, and the service is not asked.
    polls = sandbox.count("poll")
    assert later.status().spent_folder == 0
    assert later.start([asked[0]], source="python", reuse=True).handles[0].result(timeout=60).reused
    assert later.resume().handles == ()
    with pytest.raises(InputError, match="found again from its images"):
        later.resume(2)
    assert sandbox.count("poll") == polls
    assert sandbox.count("submit") == 3


def test_a_folder_without_a_journal_gets_its_history_back_once(
    folder: Path, make_session: Callable[..., Session], sandbox: Sandbox
) -> None:
    """Numbers are those of the file names; of two jobs with one number, from folders put together, one moves."""
    session = make_session(sandbox)
    for k in range(3):
        session.start([session.request(f"fox {k}")], source="python").handles[0].result(timeout=60)
    session.close()
    session.journal.close()
    shutil.rmtree(folder / ".kling")
    twin = next(folder.glob("0003a-*"))
    twin.rename(folder / twin.name.replace("0003a", "0001a"))
    later = make_session(sandbox)
    (notice,) = later.pop_notices()
    assert notice == "This folder had no journal: 3 jobs found again from the metadata in the images."
    prompts = {record.number: record.request.prompt for record in later.rows()}
    assert set(prompts) == {1, 2, 3}
    assert prompts[2] == "fox 1"
    assert {prompts[1], prompts[3]} == {"fox 0", "fox 2"}, "one of two with the same number moves"
    assert later.start([later.request("one more")], source="python").handles[0].result(timeout=60).number == 4
    assert not make_session(sandbox).pop_notices()


# ---- sums, keys, and what reaches the disk ----


def test_the_sums_are_those_of_the_rows(journal: Journal) -> None:
    """Whatever a row goes through: they change in the transaction of the row."""
    rows = journal.add([a_record(f"fox {k}", session=f"{k % 2:012x}", estimate=2.0) for k in range(6)])
    assert journal.spent() == 0
    journal.write(rows[0].replace(status=JobStatus.SUBMITTING))
    assert journal.spent() == 2
    journal.write(rows[0].replace(status=JobStatus.RUNNING, credits=3.0))
    journal.write(rows[1].replace(status=JobStatus.UNCONFIRMED))
    assert (journal.spent(), journal.spent(sessions=["000000000001"])) == (5, 2)
    journal.settle(2, JobStatus.DISMISSED, JobStatus.UNCONFIRMED)
    journal.write(rows[2].replace(status=JobStatus.FAILED))
    journal.write(rows[3].replace(status=JobStatus.COMPLETED, credits=1.0))
    journal.settle(5, JobStatus.CANCELLED, JobStatus.QUEUED)
    with pytest.raises(LostOwnership):
        journal.write(rows[5].replace(status=JobStatus.COMPLETED, credits=9.0, owner="another"))
    journal.add([a_record(backend="sandbox", status=JobStatus.COMPLETED, credits=5.0)])
    assert journal.spent() == 4
    with journal.reading() as connection:
        (counted,) = connection.execute(f"SELECT TOTAL({SPENT}) FROM jobs").fetchone()  # noqa: S608  # a constant
    assert counted == 4


def test_a_key_is_known_by_a_salted_fingerprint(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "other" / "journal.sqlite3")
    assert re.fullmatch("[0-9a-f]{16}", journal.fingerprint("a key"))
    assert journal.fingerprint("a key") == journal.fingerprint("a key") != journal.fingerprint("another key")
    assert journal.fingerprint("a key") != other.fingerprint("a key")
    other.close()


COMMIT = """
import sys
from pathlib import Path
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.journal.job_record import new_record
from kling_notebook.journal.journal import Journal
journal = Journal(Path(sys.argv[1]))
record = new_record(GenerationRequest("a fox"), backend="b", source="python", session="s", estimate=1.0)
(record,) = journal.add([record])
Path(sys.argv[2]).touch()
journal.write(record.replace(note="x"))
Path(sys.argv[3]).touch()
"""


def test_the_last_system_call_of_a_commit_is_a_sync(tmp_path: Path) -> None:
    """TRUNCATE and FULL: what was acknowledged survives a power cut. DELETE would end with an unlink."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed: apt-get install strace")
    trace, began, ended = tmp_path / "trace", tmp_path / "began", tmp_path / "ended"
    calls = "trace=fsync,fdatasync,write,pwrite64,ftruncate,unlink,openat,rename"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", calls, sys.executable, "-c", COMMIT]
    subprocess.run([*command, str(tmp_path / "j" / "journal.sqlite3"), str(began), str(ended)], check=True, timeout=120)
    lines = trace.read_text().splitlines()
    first, last = (next(k for k, line in enumerate(lines) if str(mark) in line) for mark in (began, ended))
    touching = [line for line in lines[first:last] if "journal.sqlite3" in line]
    assert any("pwrite64" in line for line in touching)
    assert re.search(r"(fsync|fdatasync)\(", touching[-1]), touching[-3:]


# ---- who may read and write ----


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_only_its_user_can_read_it_from_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder 0700, file 0600, whatever the umask; also while SQLite has it open for the first time."""
    before = os.umask(0)
    seen: list[int] = []
    original = Journal._open

    def watched(self: Journal) -> sqlite3.Connection:
        seen.append(stat.S_IMODE(path.stat().st_mode))
        return original(self)

    monkeypatch.setattr(Journal, "_open", watched)
    try:
        opened = Journal(path)
        opened.add([a_record()])
        opened.close()
    finally:
        os.umask(before)
    assert seen == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_is_a_rollback_journal_that_reaches_the_disk(journal: Journal) -> None:
    """No WAL, which network file systems do not know; FULL, so that a committed row survives a power cut."""
    ask = journal._connection.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("truncate",)
    assert ask("PRAGMA synchronous").fetchone() == (2,)
    assert ask("PRAGMA busy_timeout").fetchone() == (60_000,)


# ---- ownership ----


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0.2, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("writes")
except sqlite3.OperationalError as error:
    print(error)
"""


def test_a_second_journal_in_one_process_leaves_the_locks_of_the_first(journal: Journal, path: Path) -> None:
    """kling.connect() again while a worker commits: no other kernel gets in between."""
    with journal._transaction():
        Journal(path).close()
        story = subprocess.check_output([sys.executable, "-c", WRITER, str(path)], text=True)
    assert story.strip() == "database is locked"


def test_a_row_is_taken_over_once_and_then_lost_to_its_old_owner(journal: Journal) -> None:
    """Compare and swap: of two takers one gets it, and the old owner's next commit changes nothing."""
    (record,) = journal.add([a_record(status=JobStatus.RUNNING, job_id="job_1")])
    assert journal.take_over(record, "5e5510000002") == record.replace(owner="5e5510000002")
    assert journal.take_over(record, "5e5510000003") is None
    with pytest.raises(LostOwnership):
        journal.write(record.replace(status=JobStatus.COMPLETED))
    assert journal.get(record.number) == record.replace(owner="5e5510000002")


def test_a_row_that_moved_on_is_not_taken_over(journal: Journal) -> None:
    """What was seen as running and is completed by now is not an one's to take."""
    (record,) = journal.add([a_record(status=JobStatus.RUNNING)])
    journal.write(record.replace(status=JobStatus.COMPLETED))
    assert journal.take_over(record, "5e5510000002") is None


def test_marks_survive_a_commit_of_the_worker(journal: Journal) -> None:
    """A star set while the job runs is not overwritten by the job's next state."""
    (record,) = journal.add([a_record(status=JobStatus.RUNNING)])
    journal.star(record.number, 0, True)
    journal.note(record.number, "mine")
    journal.write(record.replace(status=JobStatus.COMPLETED))
    found = journal.get(record.number)
    assert found is not None
    assert (found.starred, found.note, found.status) == (frozenset({0}), "mine", JobStatus.COMPLETED)


@pytest.mark.parametrize("text", ["étoile", "ÉTOILE", "ΟΔΌΣ", "straße", "STRASSE: Ä%"])
def test_search_ignores_the_case_of_every_alphabet(journal: Journal, text: str) -> None:
    """In prompts and notes, and also where a byte of the row is damaged."""
    first, second, *_ = journal.add([a_record("une ÉTOILE, οδός"), a_record(), a_record("étole")])
    journal.note(second.number, "straße: ä%")
    with journal.reading() as connection:
        clause, values = Filter(search=text).sql()
        aside = connection.execute(f"SELECT n FROM jobs {clause}", values).fetchall()  # noqa: S608
    found = [record.number for record in journal.latest(search=text)]
    assert found == [(second if text.casefold().startswith("strasse") else first).number]
    assert [n for (n,) in aside] == found
    assert journal.count(search=text) == 1
    write(journal.path, "UPDATE jobs SET prompt=CAST(x'c9ff' || prompt AS TEXT)")
    assert [record.number for record in journal.latest(search=text)] == found


def test_search_finds_all_words_in_any_order(journal: Journal) -> None:
    journal.add([a_record("A yellow car, night"), a_record("a car")])
    found = {text: len(journal.latest(search=text)) for text in ("night yellow", "car", "yellow boat", " ")}
    assert found == {"night yellow": 1, "car": 2, "yellow boat": 0, " ": 2}


def test_search_takes_its_text_literally(journal: Journal) -> None:
    """Percent signs, underlines and quotes are characters."""
    journal.add([a_record("100% fox"), a_record("a_b"), a_record("it's"), a_record("acb")])
    found = {text: [r.request.prompt for r in journal.latest(search=text)] for text in ("%", "_", "'", "\\")}
    assert found == {"%": ["100% fox"], "_": ["a_b"], "'": ["it's"], "\\": []}
    assert Filter(numbers=frozenset({1}), sessions=("x",)).sql()[1] == ["x", "x"]


def test_a_lock_frees_itself_with_its_process(tmp_path: Path) -> None:
    """Alive while the process lives, dead the moment it is killed, and its file goes."""
    code = f"""
    from pathlib import Path
    from kling_notebook.journal.locks import Locks
    locks = Locks(Path({str(tmp_path)!r}), "7e7e7e7e7e7e")
    print("held", flush=True)
    input()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        mine = Locks(tmp_path, "3e3e3e3e3e3e")
        assert mine.living() == {"3e3e3e3e3e3e", "7e7e7e7e7e7e"}
        child.kill()
    assert mine.living() == {"3e3e3e3e3e3e"}
    assert not mine.alive("7e7e7e7e7e7e")
    assert [file.name for file in (tmp_path / ".kling" / "locks").iterdir()] == ["3e3e3e3e3e3e.lock"]
    mine.release()
    assert not list((tmp_path / ".kling" / "locks").iterdir())


def test_sessions_that_start_together_see_each_other(tmp_path: Path) -> None:
    """A lock is held before its file can be seen: no one takes a session that is just starting for dead."""
    started, faults = [], []

    def start(name: str) -> None:
        try:
            for k in range(25):
                locks = Locks(tmp_path, f"{name}{k:011}")
                started.append(locks)
                locks.living()
        except SettingsError as fault:
            faults.append(fault)

    threads = [threading.Thread(target=start, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(started[0].living()) == 100
    for locks in started:
        locks.release()


# ---- many kernels, one folder ----

BUYER = """
import json, sys
from kling_notebook.session.session import Session

shown_text, name, jobs = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
session = Session(shown_text)
requests = [session.request(f"{name} {k}") for k in range(jobs)]
handles = session.start(requests, source="python", max_credits=jobs).handles
errors = [repr(error) for handle in handles if (error := handle.exception(timeout=150))]
print(json.dumps({"errors": errors, "numbers": [handle.number for handle in handles]}))
"""


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str], timeout: float = 170) -> dict[str, Any]:
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.mark.long
def test_two_kernels_with_three_hundred_jobs_each_lose_no_row(
    make_sandbox: Callable[..., Sandbox],
    make_session: Callable[..., Session],
    paint: Callable[..., bytes],
    folder: Path,
) -> None:
    """One folder: every job is bought once, completed and saved, and no one hears of a locked database."""
    sandbox = make_sandbox(paint=paint, rate_limit=None)
    shown_text = {
        "api_key": sandbox.key,
        "base_url": sandbox.base_url,
        "folder": str(folder),
        "requests_per_minute": 6000,
    }
    buyers = [child(BUYER, json.dumps(shown_text), name, "300") for name in ("fox", "owl")]
    stories = [told(buyer) for buyer in buyers]
    assert [story["errors"] for story in stories] == [[], []]
    assert sandbox.count("submit") == sandbox.charges == 600
    session = make_session(sandbox)
    assert session.count(status="completed") == 600
    assert {number for story in stories for number in story["numbers"]} == set(range(1, 601))
    files = [name for record in session.rows(limit=None) for name in record.images]
    assert len(set(files)) == 600
    assert all((folder / name).exists() for name in files)


def test_a_journal_that_is_locked_for_long_while_a_job_runs_leaves_no_one_waiting_for_ever(
    make_session: Callable[..., Session],
    make_sandbox: Callable[..., Sandbox],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be read says only when to poll next; what cannot be written is written when it can be."""
    monkeypatch.setattr(journal_module, "BUSY_SECONDS", 0.1)
    session = make_session(make_sandbox(latency=1.5))
    handle = session.start([session.request("a fox")], source="python").handles[0]
    while not session.record(1).job_id:
        time.sleep(0.02)
    other = sqlite3.connect(folder / ".kling" / "journal.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    time.sleep(2.5)
    other.execute("ROLLBACK")
    other.close()
    assert len(handle.result(timeout=60)) == 1
    assert session.record(1).status is JobStatus.COMPLETED


def test_a_job_whose_row_cannot_be_read_any_more_ends_with_the_error(
    make_session: Callable[..., Session], make_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in the middle of a job, and a journal that answers no more: the cell that waits is told all the same."""

    def broken(*_: object, **__: object) -> None:
        raise JournalError("disk I/O error")

    session = make_session(make_sandbox(latency=1.0))
    handle = session.start([session.request("a fox")], source="python").handles[0]
    while not session.record(1).job_id:
        time.sleep(0.02)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "get", broken)
        patch.setattr(RunningJob, "notify", broken)
        assert "disk I/O error" in str(handle.exception(timeout=60))
    assert session.resume(1).handles[0].exception(timeout=60) is None


# ---- damage ----


def torn(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no database at all": lambda path: path.write_bytes(b"this is not a database, " * 500),
    "pages overwritten": torn,
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "the header zeroed": lambda path: path.write_bytes(b"\\0" * 200 + path.read_bytes()[200:]),
}


def test_an_image_found_again_keeps_its_address_where_the_one_before_it_is_gone(
    make_session: Callable[..., Session], sandbox: Sandbox
) -> None:
    """JOB:2 is never shown as JOB:1."""
    session = make_session(sandbox)
    result = session.start([session.request("a fox", num_outputs=3)], source="python").handles[0].result(timeout=60)
    names = [image.path.name for image in result]
    result[1].path.unlink()
    session.close()
    session.journal.path.write_bytes(b"no journal at all" * 500)
    later = make_session(sandbox)
    found = later.result(1)
    assert [found[0].path.name, found[2].path.name] == [names[0], names[2]]
    assert not found[1].path.exists()


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_journal_is_kept_aside_and_its_images_are_found_again(
    damage: Callable[[Path], object],
    sandbox: Sandbox,
    make_session: Callable[..., Session],
    folder: Path,
) -> None:
    """The user is told; every completed job is back from its recipes; the next job is bought as usual."""
    session = make_session(sandbox)
    asked = [
        session.request(f"fox {k}", num_outputs=k, output_format=f, sample=k)
        for k, f in ((1, "png"), (2, "jpeg"), (3, "webp"))
    ]
    for handle in session.start(asked, source="python").handles:
        handle.result(timeout=60)
    session.close()
    session.journal.close()
    (folder / "of_somebody_else.png").write_bytes(b"no image")
    path = folder / ".kling" / "journal.sqlite3"
    damage(path)
    damaged = path.read_bytes()

    session = make_session(sandbox)
    (notice,) = session.pop_notices()
    (aside,) = path.parent.glob("journal.damaged-*")
    assert aside.read_bytes() == damaged
    assert "damaged" in notice
    assert aside.name in notice
    assert "3 jobs found again" in notice
    records = session.rows()
    assert {record.request for record in records} == set(asked)
    assert sorted(len(record.images) for record in records) == [1, 2, 3]
    assert all(record.status is JobStatus.COMPLETED and record.job_id in sandbox.job_ids for record in records)
    assert sum(record.credits or 0 for record in records) == 6
    posts = sandbox.count("submit")
    for handle in session.start(asked, source="python", reuse=True).handles:
        assert handle.result(timeout=60).reused
    assert sandbox.count("submit") == posts
    session.start([session.request("one more")], source="python").handles[0].result(timeout=60)
    assert not make_session(sandbox).pop_notices()


def test_two_kernels_that_see_the_damage_together_begin_one_journal(
    sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """The second does not put the first one's new journal aside."""
    path = folder / ".kling" / "journal.sqlite3"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is not a database, " * 500)
    sessions: list[Session] = []
    threads = [threading.Thread(target=lambda: sessions.append(make_session(sandbox))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sessions) == 5
    assert len(list(path.parent.glob("journal.damaged-*"))) == 1
    sessions[0].start([sessions[0].request("a fox")], source="python").handles[0].result(timeout=60)
    assert [session.count() for session in sessions] == [1] * 5


def test_damage_in_the_middle_is_seen_at_once_and_costs_only_what_stood_there(
    sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """The rows before and behind it are read with their numbers, marks and job ids; the rest comes from the recipes."""
    session = make_session(sandbox)
    filler = [a_record(f"fox {k}", status=JobStatus.COMPLETED, raw={"submit": "x" * 400}) for k in range(150)]
    session.journal.add(filler)
    session.journal.note(1, "the good one")
    lost = session.start([session.request("an owl")], source="python").handles[0].result(timeout=60)
    session.journal.add(filler)
    paid = session.client.submit(session.request("a hare")).job_id
    left = a_record("a hare", "deaddeaddead", status=JobStatus.PAUSED, job_id=paid, backend=session.backend)
    (left,) = session.journal.add([left])
    session.close()
    session.journal.close()
    path = folder / ".kling" / "journal.sqlite3"
    data = bytearray(path.read_bytes())
    for page in range(0, len(data), 4096):
        if lost.job_id.encode() in data[page : page + 4096]:
            data[page : page + 4096] = os.urandom(4096)
    path.write_bytes(data)

    session = make_session(sandbox)
    told, paused = session.pop_notices()
    assert re.search(r"damaged.*kept as journal.damaged-.* 29\d jobs could .* be read, 1 job found again", told)
    assert paused.startswith("1 job is paused")
    records = {record.number: record for record in session.rows(limit=None)}
    assert records[1].note == "the good one"
    assert [r.images for r in records.values() if r.job_id == lost.job_id] == [(lost[0].path.name,)]
    assert session.resume(left.number).handles[0].result(timeout=60).job_id == paid
    assert len(session.history(everything=True)) == len(records) > 290
    assert not make_session(sandbox).pop_notices()


def test_damage_to_the_indexes_costs_no_row(
    sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """No row is torn, and yet each search along an index would fail: nothing is left for the recipes to tell."""
    path = folder / ".kling" / "journal.sqlite3"
    opened = Journal(path)
    opened.add([a_record(f"fox {k}", status=JobStatus.COMPLETED) for k in range(300)])
    opened.close()
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        if data[page] == 10:  # the leaf of an index
            data[page : page + 4096] = os.urandom(4096)
    path.write_bytes(data)
    session = make_session(sandbox)
    (notice,) = session.pop_notices()
    assert "300 jobs could still be read, 0 jobs found again" in notice
    assert [record.number for record in session.rows(limit=None)] == [*range(300, 0, -1)]
    assert session.count(status="completed") == 300


def test_a_long_journal_is_looked_through_in_the_background_and_damage_stops_purchases(
    sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """Opening reads the newest 200 rows and those that are not over; the next session begins a new journal."""
    path = folder / ".kling" / "journal.sqlite3"
    opened = Journal(path)
    opened.add([a_record(f"fox {k}", status=JobStatus.COMPLETED) for k in range(5000)])
    opened.close()
    write(path, "UPDATE jobs SET images='[' WHERE n=2500")
    session = make_session(sandbox)
    for thread in threading.enumerate():
        if thread.name == "kling-journal-check":
            thread.join(60)
    (notice,) = session.pop_notices()
    assert notice.startswith("The journal is damaged (row 2500 cannot be a job's), and nothing more is sent.")
    with pytest.raises(SettingsError, match="Nothing was sent"):
        session.start([session.request("a fox")], source="python")
    assert sandbox.count("submit") == 0
    session.close()
    session.journal.close()
    session = make_session(sandbox)
    assert "4999 jobs could still be read" in session.pop_notices()[0]
    session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    assert not layout.damage_seen(folder).exists()


@pytest.mark.parametrize("change", ["status='running', images='['", "error=x'00', images='['"])
def test_a_damaged_row_that_is_new_or_not_over_is_seen_when_a_long_journal_is_opened(
    change: str, sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    path = folder / ".kling" / "journal.sqlite3"
    opened = Journal(path)
    opened.add([a_record(f"fox {k}", status=JobStatus.COMPLETED) for k in range(3000)])
    opened.close()
    number = 7 if "running" in change else 2900
    write(path, f"UPDATE jobs SET {change} WHERE n={number}")  # noqa: S608
    assert f"(row {number} cannot be a job's)" in make_session(sandbox).pop_notices()[0]


def three_foxes(folder: Path, change: str) -> Path:
    """A journal of three completed jobs, the first and the last changed in SQL."""
    path = folder / ".kling" / "journal.sqlite3"
    opened = Journal(path)
    opened.add([a_record(f"fox {k}", status=JobStatus.COMPLETED) for k in range(3)])
    opened.close()
    write(path, f"UPDATE jobs SET {change} WHERE n IN (1, 3)")  # noqa: S608
    return path


UNREADABLE = {
    "a status of another version": "status='dreaming'",
    "a value of another form": "status='running', request=replace(request, '\"1:1\"', '5')",
}


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=list(UNREADABLE))
def test_rows_that_cannot_be_read_are_left_out_and_named_once(
    change: str, sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """They stay where they are, whatever they mean; all others are there, and the next job is bought."""
    path = three_foxes(folder, change)
    session = make_session(sandbox)
    assert [record.number for record in session.rows()] == [2]
    (notice,) = session.pop_notices()
    assert notice.startswith("Jobs 1, 3 of this folder cannot be read and are left out (")
    assert [record.number for record in session.rows()] == [2]
    assert not session.pop_notices()
    session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    assert session.history(everything=True).index.tolist() == [1, 2, 3, 4]
    assert not list(path.parent.glob("*damaged*"))


@pytest.mark.parametrize("change", ["raw='{broken'", "raw=x'ff00'"], ids=["a torn reply", "no text at all"])
def test_a_journal_with_rows_that_cannot_be_is_put_aside_and_the_others_taken_over(
    change: str, sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    path = three_foxes(folder, change)
    session = make_session(sandbox)
    (notice,) = session.pop_notices()
    assert "(row 1 cannot be a job's)" in notice
    assert "1 job could still be read" in notice
    assert [record.number for record in session.rows()] == [2]
    session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    assert len(session.rows()) == 2
    assert len(list(path.parent.glob("*damaged*"))) == 1


@pytest.mark.parametrize("change", ["jobs SET n=999999999 WHERE n=3", "sqlite_sequence SET seq=999999998"])
def test_a_strangers_number_is_not_counted_on_from(
    change: str, sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """The next jobs would have numbers that no address has, and looking through the rows would not end."""
    write(three_foxes(folder, "note='x'"), f"UPDATE {change}")
    session = make_session(sandbox)
    (notice,) = session.pop_notices()
    assert "cannot be a job's" in notice
    made = session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    assert made.number <= 4
    assert session.image(made.number, 0).address == made[0].address
    assert {1, 2, made.number} <= set(session.history(everything=True).index)


@pytest.mark.parametrize("column", ["request", "images", "starred"])
def test_a_row_whose_json_is_torn_stops_no_purchase(
    column: str, sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """SQL adds up over it and would fail for every job to come: it is damage, and found again like any other."""
    session = make_session(sandbox)
    first = session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    session.journal.add([a_record("an owl", status=JobStatus.COMPLETED)])
    session.close()
    session.journal.close()
    write(session.journal.path, f"UPDATE jobs SET {column}='[' WHERE n=1")  # noqa: S608
    session = make_session(sandbox)
    (notice,) = session.pop_notices()
    assert "(row 1 cannot be a job's)" in notice
    assert "1 job could still be read, 1 job found again" in notice
    found = [(record.number, record.job_id) for record in session.rows()]
    assert found == [(2, None), (1, first.job_id)], "with the number that its files have"
    session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    assert len(session.history(everything=True)) == 3


def test_a_flipped_bit_in_a_text_costs_a_letter(path: Path) -> None:
    opened = Journal(path)
    opened.add([a_record(error="a fox")])
    opened.close()
    write(path, "UPDATE jobs SET error=CAST(x'ff20666f78' AS TEXT)")
    opened = Journal(path)
    assert [record.error for record in opened.latest()] == ["\ufffd fox"]
    opened.close()


STRANGE: dict[str, dict[str, Any]] = {
    "a place that is a word": {"image": "x"},
    "a place that is a list": {"image": [1]},
    "a job id that is an object": {"job_id": {"a": 1}},
    "no job id": {"job_id": None},
    "a backend that is half a letter": {"backend": "\ud800"},
    "a backend that is a list": {"backend": [1]},
    "a cost that is an object": {"credits": {"a": 1}},
    "a cost that is not a number": {"credits": "nan"},
    "a cost without end": {"credits": 10**400},
    "a prompt that is half a letter": {"prompt": "\ud800"},
    "a date of no calendar": {"created": "yesterday"},
    "parameters of another version": {"parameters": {"aspect_ratio": "5:4"}},
}


@pytest.mark.parametrize("strange", [*STRANGE.values(), None], ids=[*STRANGE, "a link to nowhere"])
def test_a_strange_file_does_not_stop_the_recovery(
    strange: dict[str, Any] | None, sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """Whatever stands beside the images, they are found again."""
    session = make_session(sandbox)
    made = session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    session.close()
    session.journal.close()
    if strange is None:
        try:
            (folder / "link.png").symlink_to(folder / "nowhere.png")
        except OSError:
            pytest.skip("this system lets no one make links")
    else:
        data = made[0].path.read_bytes()
        (folder / "a_strange_one.png").write_bytes(metadata.splice(data, metadata.read(data) | strange))
    session.journal.path.write_bytes(b"this is not a database, " * 500)
    session = make_session(sandbox)
    assert [(record.job_id, record.images) for record in session.rows()] == [(made.job_id, (made[0].path.name,))]
    assert "1 job found again" in session.pop_notices()[0]


KILLED = """
import json, os, signal, sys
from pathlib import Path
from kling_notebook.image_files import metadata
from kling_notebook.session.session import Session

def deadly(owner, name, times):
    original, calls = getattr(owner, name), []
    def called(*arguments, **options):
        calls.append(name)
        if len(calls) == times:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return original(*arguments, **options)
    setattr(owner, name, called)

where = {"a recipe is read": (metadata, "read", 2), "the old one is kept": (os, "link", 1),
    "the new one gets its name": (Path, "replace", 1)}[sys.argv[2]]
deadly(*where)
Session(json.loads(sys.argv[1]))
"""


@pytest.mark.parametrize("when", ["a recipe is read", "the old one is kept", "the new one gets its name"])
def test_a_recovery_that_is_killed_is_done_by_the_next_session(
    when: str, sandbox: Sandbox, make_session: Callable[..., Session], folder: Path
) -> None:
    """Before its last step the damaged journal stands where it stood: no empty history, and nothing told twice."""
    session = make_session(sandbox)
    asked = [session.request(f"fox {k}") for k in range(3)]
    for handle in session.start(asked, source="python").handles:
        handle.result(timeout=60)
    session.close()
    session.journal.close()
    path = session.journal.path
    path.write_bytes(b"this is not a database, " * 500)
    shown_text = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder)}
    process = child(KILLED, json.dumps(shown_text), when)
    process.communicate(timeout=60)
    assert process.returncode
    assert path.read_bytes() == b"this is not a database, " * 500
    session = make_session(sandbox)
    assert {record.request for record in session.rows()} == set(asked)
    assert "3 jobs found again" in session.pop_notices()[0]
    assert not list(path.parent.glob("journal.new*"))


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_a_folder_that_was_removed_is_reported_to_be_and_begun_anew(
    session: Session, make_session: Callable[..., Session], sandbox: Sandbox
) -> None:
    """It was reported to be full. Reading makes no empty journal in its place either."""
    shutil.rmtree(session.folder)
    (session.folder / ".kling").mkdir(parents=True)  # as the copy of a source would
    for use in (lambda: session.start([session.request("a fox")], source="python"), session.history):
        with pytest.raises(SettingsError, match=r"kling_images was removed.* Nothing was sent\. kling\.connect\(\)"):
            use()
    assert not session.journal.path.exists()
    again = make_session(sandbox)
    assert again.start([again.request("a fox")], source="python").handles[0].result(timeout=60)
    assert sandbox.count("submit") == 1


ODD_FACTS: list[dict[str, Any]] = [
    {"job_id": "j\u00a0b\u200b" + "x" * 490},
    {"created_at": -1e9, "submitted_at": 1e12, "completed_at": 4e11},
    {"raw": {"submit": {"eta": None}}, "credits": 1e6},
]


@pytest.mark.parametrize("facts", ODD_FACTS, ids=lambda facts: next(iter(facts)))
def test_what_is_written_can_be_read(journal: Journal, facts: dict[str, Any]) -> None:
    """An id that a service gave is one, and a clock may show no date: the row must not be left out for it."""
    (record,) = journal.add([a_record(**facts)])
    found = journal.get(record.number)
    assert found is not None
    assert found.job_id == record.job_id


def test_an_empty_journal_is_none_and_its_images_are_found_again(
    sandbox: Sandbox, make_session: Callable[..., Session]
) -> None:
    """As a full disk or a crash leaves it."""
    session = make_session(sandbox)
    request = session.request("a fox")
    session.start([request], source="python").handles[0].result(timeout=60)
    session.close()
    session.journal.path.write_bytes(b"")
    later = make_session(sandbox)
    assert "1 job found again" in " ".join(later.pop_notices())
    assert later.start([request], source="python", reuse=True).handles[0].result(timeout=60).reused
    assert sandbox.count("submit") == 1
