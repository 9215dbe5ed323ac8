"""What the benchmarks time, held by counts: requests, transactions, messages, bytes, modules, steps of SQLite."""

from __future__ import annotations

import importlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kling_notebook.journal.journal import Filter, Journal
from kling_notebook.session.session import Session

ROOT = Path(__file__).parents[2]


def part(name: str) -> ModuleType:
    """A part of the benchmarks: the package is found from the root of the repository."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module(f"tests.benchmarks.{name}")


@pytest.fixture
def service() -> ModuleType:
    return part("service")


@pytest.fixture
def begin(service: ModuleType, tmp_path: Path) -> Iterator[Callable[..., tuple[Any, Session]]]:
    """A sandbox whose images are painted beforehand, and a session on it."""
    made: list[tuple[Any, Session]] = []

    def start(resolution: str = "1K", **shown_text: Any) -> tuple[Any, Session]:
        sandbox = service.sandbox(resolution).start()
        made.append((sandbox, service.session(sandbox, tmp_path / "images", **shown_text)))
        return made[-1]

    yield start
    for sandbox, session in made:
        session.close()
        sandbox.stop()


def run(session: Session, prompt: str = "a red fox", **parameters: Any) -> Any:
    return session.start([session.request(prompt, **parameters)], source="python").handles[0].result(60)


# ---- modules ----

HEAVY = {"requests", "pandas", "PIL", "matplotlib", "ipywidgets", "numpy", "sqlite3", "tornado.httpserver", "tqdm"}

LOADED = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "autoreload")
before = set(sys.modules)
import kling_notebook
alone = set(sys.modules) - before
shell.run_line_magic("load_ext", "kling_notebook")
print(json.dumps([sorted(alone), sorted(set(sys.modules) - before)]))
"""


def test_loading_imports_little_and_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    alone, loaded = json.loads(done.stdout.splitlines()[-1])
    assert alone == ["kling_notebook"]
    ours = [name for name in loaded if name.startswith("kling_notebook")]
    assert len(ours) <= 27, ours
    assert not HEAVY & set(loaded)
    # IPython's own magics load when they are first used; looking them through would import all of them.
    assert not [name for name in loaded if name.startswith("IPython.core.magics.")]


WARMED = """
import json, sys
from pathlib import Path
from kling_notebook.session.session import Session
before = set(sys.modules)
url, key, folder = sys.argv[1:]
session = Session({"base_url": url, "api_key": key, "folder": folder})
result = session.start([session.request("a fox")], source="python").handles[0].result(60)
ready = set(sys.modules)
result.bundle()
print(json.dumps([sorted(ready - before), sorted(set(sys.modules) - ready)]))
"""


def test_what_shows_the_first_image_was_imported_while_it_was_painted(begin, tmp_path) -> None:
    sandbox, _ = begin()
    argv = [sys.executable, "-c", WARMED, sandbox.base_url, sandbox.key, str(tmp_path / "first")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    ready, late = json.loads(done.stdout.splitlines()[-1])
    assert {"PIL.Image", "requests"} <= set(ready)
    assert not {"pandas", "matplotlib", "ipywidgets"} & set(ready)
    assert late == []


# ---- requests ----


def test_one_image_takes_one_post_and_one_download(begin) -> None:
    sandbox, session = begin()
    for number in range(5):
        run(session, f"fox {number}")
    counts = {kind: sandbox.count(kind) for kind in ("submit", "poll", "download", "other")}
    assert counts["submit"] == counts["download"] == 5
    assert counts["poll"] <= 7
    assert counts["other"] == 0


def test_nine_images_take_one_post_and_nine_downloads(begin) -> None:
    sandbox, session = begin()
    run(session, num_outputs=9)
    run(session, "another", num_outputs=9)
    assert (sandbox.count("submit"), sandbox.count("download"), sandbox.count("other")) == (2, 18, 1)


def test_a_result_shown_again_asks_no_one(begin) -> None:
    sandbox, session = begin()
    number = run(session).number
    asked = len(sandbox.log)
    session.result(number).bundle()
    again = session.start([session.request("a red fox")], source="python", reuse=True).handles[0].result(10)
    assert again.reused
    assert len(sandbox.log) == asked


# ---- the journal ----


class Steps:
    """Counts what a journal's connection does: commits, statements, and steps of SQLite's machine (in tens)."""

    def __init__(self, journal: Journal) -> None:
        self.commits = self.steps = 0
        self.statements: list[str] = []
        journal._connection.set_trace_callback(self._trace)
        journal._connection.set_progress_handler(self._step, 10)

    def _trace(self, statement: str) -> None:
        self.commits += statement == "COMMIT"
        self.statements.append(statement)

    def _step(self) -> int:
        self.steps += 1
        return 0


@pytest.mark.parametrize("images", [1, 3])
def test_a_job_takes_three_transactions_and_its_call_one_however_many_came_before(begin, images, monkeypatch) -> None:
    """The intent, the job id, the end: each writes only what has changed. A file is flushed once, and its folder."""
    _, session = begin()
    run(session)
    flushed: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(file) or fsync(file))
    counted = Steps(session.journal)
    run(session, "another", num_outputs=images)
    assert counted.commits == 4
    assert len(flushed) <= 2 * images
    written = [one for one in counted.statements if one.startswith("UPDATE jobs")]
    names = [set(re.findall(r"(?:SET |, )([a-z_]+)=", one)) for one in written]
    assert len(names) == 3
    assert not {"prompt", "request", "identity", "created_at"} & set().union(*names)
    assert names[0] == {"status", "submitted_at", "raw"}
    few = len(counted.statements)
    for number in range(20):
        run(session, f"fox {number}")
    counted = Steps(session.journal)
    run(session, "the last", num_outputs=images)
    assert counted.commits == 4
    assert len(counted.statements) <= few + 8  # a poll more or less


def test_a_thousand_jobs_are_started_and_cancelled_in_two_transactions(begin) -> None:
    """Ctrl-C with a long queue: what was not sent is cancelled at once, and the journal knows it."""
    _, session = begin()
    session.dispatcher.start = lambda _: None  # none is ever sent
    counted = Steps(session.journal)
    requests = [session.request(f"fox {number}") for number in range(1000)]
    call = session.start(requests, source="python", sweep=True, max_credits=1e6)
    assert counted.commits == 1
    assert len(call.cancel_unsent().cancelled) == 1000
    assert counted.commits == 2
    assert session.count(status="cancelled") == 1000
    assert not session.dispatcher.jobs


def test_what_a_dead_kernel_left_behind_is_tidied_in_one_transaction(begin, tmp_path) -> None:
    growth = part("growth")
    _, session = begin()
    session.journal.add(growth.left_behind(2000, session.backend))
    from kling_notebook.jobs.resume import recover_on_start

    counted = Steps(session.journal)
    notices = recover_on_start(session.workspace)
    assert counted.commits == 1
    assert session.count(status="cancelled") == session.count(status="unconfirmed") == 1000
    assert "1000 jobs may have been submitted" in " ".join(notices)


ACTIONS: dict[str, tuple[Callable[[Session], object], int]] = {
    "status": (lambda session: session.status(), 3),
    "page": (lambda session: (session.rows(limit=20), session.count()), 2),
    "deep page": (lambda session: session.rows(limit=1, offset=2), 3),
    "search": (lambda session: session.rows(search="fox", limit=20), 1),
    "show": (lambda session: session.result(1), 2),
    "star": (lambda session: session.star(1, 0), 6),
    "note": (lambda session: session.note(1, "for the cover"), 5),
    "resume nothing": (lambda session: session.resume(), 1),
    "estimate": (lambda session: session.estimate([session.request("a fox")]), 2),
    "estimate a sweep of 20": (
        lambda session: session.estimate([session.request(f"fox {k}") for k in range(20)], reuse=True),
        22,
    ),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_asks_the_journal_so_often(begin, action) -> None:
    _, session = begin()
    for number in range(3):
        run(session, f"fox {number}")
    work, most = ACTIONS[action]
    counted = Steps(session.journal)
    work(session)
    session.journal._connection.set_trace_callback(None)
    assert len(counted.statements) <= most, counted.statements


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Journal]]:
    """Histories of 3 000 and 30 000 jobs."""
    growth = part("growth")
    folder = tmp_path_factory.mktemp("growth")
    made = {count: growth.filled(folder / str(count), count) for count in (3_000, 30_000)}
    yield made
    for journal in made.values():
        journal.close()


def growth_of(journals: dict[int, Journal], work: Callable[[Journal], object]) -> float:
    """The exponent with which the steps of SQLite grow with the number of jobs."""
    steps = {}
    for count, journal in journals.items():
        counted = Steps(journal)
        work(journal)
        steps[count] = counted.steps
    return part("report").exponent(steps.items())


def test_what_one_more_job_reads_and_writes_does_not_grow(journals) -> None:
    growth = part("growth")
    assert growth_of(journals, growth._append) < 0.05
    assert growth_of(journals, growth._before_a_job) < 0.05
    record = journals[3_000].get(1)

    def write(journal: Journal) -> None:
        journal.write(record.replace(owner=journal.get(1).owner))

    assert growth_of(journals, write) < 0.05


def test_a_page_of_the_history_does_not_grow(journals) -> None:
    assert growth_of(journals, lambda journal: (journal.latest(limit=50), journal.count())) < 0.05
    assert growth_of(journals, lambda journal: journal.latest(limit=50, offset=journal.count() - 100)) < 0.05
    assert growth_of(journals, lambda journal: journal.latest(limit=50, before=journal.count() // 2)) < 0.05
    assert growth_of(journals, lambda journal: journal.latest(sessions=("0" * 12,), limit=50)) < 0.05
    assert growth_of(journals, lambda journal: journal.latest(backend="another", limit=50)) < 0.05
    assert growth_of(journals, lambda journal: journal.latest(status="failed", limit=50)) < 0.05
    assert growth_of(journals, lambda journal: journal.latest(starred=True, limit=50)) < 0.05
    assert growth_of(journals, lambda journal: journal.latest(noted=True, limit=50)) < 0.05
    for newer in (5, 200):
        since = {one: one.latest(limit=1, before=one.count() - newer)[0].created_at for one in journals.values()}
        assert growth_of(journals, lambda journal, since=since: journal.latest(since=since[journal], limit=50)) < 0.05


def test_a_search_grows_no_faster_than_the_history(journals) -> None:
    assert growth_of(journals, lambda journal: journal.latest(search="zebra", limit=50)) < 1.05


def test_what_a_job_asks_the_journal_is_answered_by_indexes(begin) -> None:
    _, session = begin()
    run(session)
    counted = Steps(session.journal)
    run(session, "another")
    asked = [one for one in counted.statements if one.startswith(("SELECT", "UPDATE"))]
    session.journal._connection.set_trace_callback(None)
    plans = {one: session.journal._connection.execute(f"EXPLAIN QUERY PLAN {one}").fetchall() for one in asked}
    scans = [one for one, plan in plans.items() if any(row[3].startswith("SCAN jobs") for row in plan)]
    assert asked
    assert scans == []


def test_what_opening_resuming_reuse_and_searching_ask_is_answered_by_indexes(begin, monkeypatch) -> None:
    """In a folder of more jobs than are looked through at once. A page is read in order until it is full."""
    _, session = begin()
    run(session)
    session.journal.add(part("growth").left_behind(2500, session.backend))
    session.close()
    asked: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    _, session = begin()
    session.resume()
    session.start([session.request("a red fox")], source="python", reuse=True).handles[0].result(60)
    session.rows(search="owl 24", limit=5)
    session.rows(search="\u00fcberall", limit=5)
    for where in ({"status": "failed"}, {"starred": True}, {"noted": True}, {"mine": True}, {"since": 1.7e9}):
        session.rows(**where, limit=5)
    session.image(None, 0)
    session.status()
    monkeypatch.undo()
    connection = connect(session.journal.path)
    connection.create_function("holds", 2, lambda *_: False, deterministic=True)
    scans = []
    for one in {one for one in asked if re.match("(SELECT|UPDATE).* jobs", one)}:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {one}")]
        page = "ORDER BY n DESC LIMIT" in one and not any("TEMP B-TREE" in step for step in plan)
        scans += [(one, plan)] if any(step.startswith("SCAN jobs") for step in plan) and not page else []
    connection.close()
    assert len(asked) > 20
    assert scans == []


def test_the_frame_is_what_pandas_makes_with_the_same_conversions(journals) -> None:
    pd = pytest.importorskip("pandas")
    growth, frames = part("growth"), importlib.import_module("kling_notebook.results.frames")
    journal = journals[3_000]
    ours = frames.history_frame(journal, Filter(limit=None))
    theirs = growth.by_pandas(journal)
    assert list(ours.columns) == list(theirs.columns)
    for name in ("images", "starred", "prompt", "num_outputs", "seconds", "created_at"):
        assert list(ours[name].head(50)) == list(theirs[name].head(50)), name
    assert isinstance(ours, pd.DataFrame)


# ---- what is shown ----


def test_what_is_shown_was_made_while_downloading(begin, monkeypatch) -> None:
    from kling_notebook.image_files import decode

    _, session = begin()
    one, nine = run(session), run(session, num_outputs=9)
    monkeypatch.setattr(decode, "decode", None)  # showing decodes nothing
    assert len(json.dumps(one.bundle())) <= 700_000  # the large view in the page and beside it
    assert len(json.dumps(nine.bundle())) <= 160_000
    assert len(list((session.folder / ".kling" / "thumbnails").glob("*.jpg"))) == 11


@pytest.mark.parametrize(("cells", "most"), [("NINE", 160_000), ("ONE", 130_000), ("PANEL", 200_000)])
def test_a_saved_notebook_is_small(service, tmp_path, cells, most) -> None:
    pytest.importorskip("nbclient")
    notebooks = part("notebooks")
    with service.sandbox("2K") as sandbox:
        weight = notebooks.execute(tmp_path, getattr(notebooks, cells), **part("kernels").connected(sandbox))
    assert weight <= most


def test_nine_running_jobs_send_at_most_four_messages_a_second(service, tmp_path) -> None:
    pytest.importorskip("ipykernel")
    with (
        service.sandbox(latency=2.0) as sandbox,
        part("kernels").Kernel(tmp_path, **part("kernels").connected(sandbox)) as kernel,
    ):
        kernel.run("%load_ext kling_notebook")
        kernel.messages.clear()
        kernel.run("get_ipython().run_cell_magic('kling', '--sweep sample=9', 'a red fox')")
    updates = [message for _, message in kernel.messages if message["msg_type"].endswith("display_data")]
    shown = [
        update["header"]["date"].timestamp() for update in updates
    ]  # as sent: on a busy machine they come in heaps
    assert len(shown) >= 3
    assert max(sum(at <= other < at + 1.0 for other in shown) for at in shown) <= 4
    assert not [message for _, message in kernel.messages if message["msg_type"].startswith("comm")]
    assert sandbox.count("submit") == 9


def test_counting_the_folder_again_looks_at_new_rows_only(tmp_path) -> None:
    growth = part("growth")
    one = growth.filled(tmp_path, 3_000)
    other = Journal(one.path)
    assert one.count() == 3_000
    other.add(growth._records(5))
    counted = Steps(one)
    assert one.count() == 3_005
    assert counted.steps <= 10
    assert one.count(status="completed") == 3_005
    assert Journal(tmp_path / "empty" / "journal.sqlite3").count() == 0
