"""A study of five hundred rows, interrupted and resumed; bad tables; measures on other processes."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import kling_notebook as kling
from kling_notebook.api.errors import InputError
from kling_notebook.session import current

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

CANARY = "pd_live_canary_77aa01"


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox], paint: Any) -> Sandbox:
    return make_sandbox(paint=paint)


@pytest.fixture(autouse=True)
def session(make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Session:
    made = make_session(sandbox)
    monkeypatch.setattr(current, "_session", made)
    return made


def batch(frame: Any, **options: Any) -> kling.BatchResult:
    return kling.batch(frame, show_progress=False, **({"prompt": "text"} | options))


# ---- from a table to a data set ----


@pytest.mark.long
@pytest.mark.timeout(900)
def test_five_hundred_rows_are_started_interrupted_resumed_and_exported_with_as_many_posts(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    ratios = ["1:1", "3:2", "16:9", "4:3"]
    frame = pd.DataFrame({"text": [f"a fox {k}" for k in range(500)], "ratio": [ratios[k % 4] for k in range(500)]})
    options = {"aspect_ratio": "ratio", "max_credits": 500}

    def interrupt() -> None:
        while sandbox.count("submit") < 60:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Thread(target=interrupt, daemon=True)
    timer.start()
    with pytest.raises(kling.Interrupted):
        batch(frame, **options)
    assert sandbox.count("submit") < 500
    rows = batch(frame, **options)
    assert sandbox.count("submit") == 500
    assert set(rows.table()["status"]) == {"completed"}
    assert [result.request.aspect_ratio for result in rows if result] == list(frame["ratio"])
    folder = kling.export(rows, tmp_path / "set")
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["aspect_ratio"] for line in lines] == list(frame["ratio"])
    assert [line["prompt"] for line in lines] == list(frame["text"])
    assert len(list(folder.glob("*.png"))) == 500
    assert sandbox.count("submit") == 500 == sandbox.charges


def test_a_batch_pickles_when_its_jobs_are_over_and_opens_in_another_process(tmp_path: Path) -> None:
    done = batch([{"text": "a fox"}, {"text": None}, {"text": "an owl"}], skip_invalid=True)
    (tmp_path / "batch.pickle").write_bytes(pickle.dumps(done))
    script = "import pickle, sys; batch = pickle.load(open(sys.argv[1], 'rb')); print(batch.table()['status'].tolist(),"
    script += " [image.address for image in batch.images])"
    argv = [sys.executable, "-c", script, str(tmp_path / "batch.pickle")]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == f"['completed', 'invalid', 'completed'] {[image.address for image in done.images]}"


def test_a_batch_that_runs_is_not_pickled(make_sandbox: Any, make_session: Any, monkeypatch: Any) -> None:
    slow = make_sandbox(latency=3.0)
    monkeypatch.setattr(current, "_session", make_session(slow))
    with pytest.raises(kling.StillRunningError):
        batch([{"text": "a fox"}], timeout=0.2)
    session = kling.current_session()
    (handle,) = session.start([session.request("a fox")], source="python", reuse=True).handles
    running = kling.BatchResult(pd.RangeIndex(1), None, [handle], {})
    with pytest.raises(kling.KlingError, match="It can be pickled when it is over"):
        pickle.dumps(running)
    handle.result(60)
    pickle.dumps(running)


# ---- bad tables ----


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        ({"text": ["a fox"]}, {"prompt": "nowhere"}, "no column 'nowhere'"),
        ({"text": ["a fox"]}, {"id": "nowhere"}, "no column 'nowhere'"),
        ({"text": ["a fox"]}, {"ratio": "ratio"}, "ratio is not a parameter"),
        ({"text": ["a fox"]}, {"aspect_ratio": "nowhere"}, "aspect_ratio"),
        ({"text": ["a fox", np.nan, 7]}, {}, "row 1: the column text is empty"),
        ({"text": [np.nan, np.nan]}, {}, "2 rows of 2"),
        ({"text": ["a fox", ["a", "list"]]}, {}, "row 1: the column text holds a list"),
        ({"text": ["a fox", b"bytes"]}, {}, "row 1: the column text holds a bytes"),
        ({"text": ["a fox", pd.Timestamp("2026-01-01")]}, {}, "row 1: the column text holds a Timestamp"),
        ({"text": ["a fox"], "n": [10]}, {"num_outputs": "n"}, "row 0: num_outputs"),
        ({"text": ["a fox"], "n": ["many"]}, {"num_outputs": "n"}, "row 0: num_outputs"),
        ({"text": ["a fox"], "n": [1.5]}, {"num_outputs": "n"}, "row 0: num_outputs"),
        ({"text": ["a fox", "an owl"], "ratio": ["3:2", 5]}, {"aspect_ratio": "ratio"}, "row 1: aspect_ratio"),
        ({"text": [f"fox {k}" for k in range(100_000)]}, {}, "100000 rows; a batch takes 1 to 10000"),
        ({"text": []}, {}, "no rows"),
    ],
)
def test_a_bad_table_is_refused_before_anything_is_sent(
    frame: dict[str, Any], options: dict[str, Any], message: str, sandbox: Sandbox, session: Session
) -> None:
    with pytest.raises(InputError) as refused:
        batch(pd.DataFrame(frame), **options)
    assert message in str(refused.value)
    assert sandbox.count("submit") == 0
    assert session.count() == 0


def test_a_column_of_words_and_numbers_and_an_index_with_duplicates_are_good_tables(sandbox: Sandbox) -> None:
    frame = pd.DataFrame(
        {"text": ["a fox", 7, 2.5, 7.0, np.int64(7)], "n": [2, "2", None, 2.0, 2]}, index=list("xxyyx")
    )
    rows = batch(frame, num_outputs="n")
    assert [result.request.prompt for result in rows if result] == ["a fox", "7", "2.5", "7", "7"]
    assert [result.request.num_outputs for result in rows if result] == [2, 2, 1, 2, 2]
    assert list(rows.table().index) == list("xxyyx")
    assert sandbox.count("submit") == 3, "rows that ask for the same share one job"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_thousand_rows_are_written_down_in_one_transaction_and_priced(session: Session, monkeypatch: Any) -> None:
    """Nothing is sent: what a row costs before its job runs."""
    from kling_notebook.session.plans import batch_plan

    frame = pd.DataFrame({"text": [f"a fox {k}" for k in range(10_000)]})
    plan = batch_plan(session, frame, {}, prompt="text")
    assert kling.estimate(frame, prompt="text").credits == 10_000
    monkeypatch.setattr(session.dispatcher, "start", lambda _: None)
    commits: list[str] = []
    session.journal._connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    call = session.start(list(plan.requests), source="python", max_credits=1e6, reuse=True)
    session.journal._connection.set_trace_callback(None)
    assert len(call.handles) == session.count() == 10_000
    assert len(commits) == 1
    session.dispatcher.jobs.clear()


def test_a_thousand_million_points_are_drawn_without_building_them(sandbox: Sandbox) -> None:
    axes = {"a": range(1000), "b": range(1000), "c": range(1000)}
    number: Any = np.int64(5)
    grid = kling.sweep("{a} {b} {c}", axes, pick=number, pick_seed=number, show_progress=False)
    assert sandbox.count("submit") == len(grid.done) == 5
    assert set(grid.table()["pick_of"]) == {10**9}


# ---- measures ----


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda _: np.zeros((2, 2)), "it returned a ndarray; return a number, a text or a dict of these"),
        (lambda _: [1], "it returned a list"),
        (lambda _: {"a": {"b": 1}}, "it returned a dict"),
        (lambda image: image.path.unlink() or image.width, "DownloadError"),
    ],
)
def test_a_bad_measure_is_the_images_error_and_nothing_is_kept(bad: Any, why: str, session: Session) -> None:
    fox = kling.generate("a fox", num_outputs=2, show_progress=False)
    frame = kling.measure(bad, fox, name="bad")
    assert frame["bad_error"].str.contains(why, regex=False).all()
    assert not session.journal.measures({1})


def test_a_measure_that_hangs_is_interrupted_and_what_came_before_is_kept(session: Session) -> None:
    fox = kling.generate("a fox", num_outputs=3, show_progress=False)
    hanging = threading.Event()

    def slow(image: kling.SavedImage) -> int:
        if image.letter == "c":
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            hanging.wait(60)
        return image.number

    with pytest.raises(KeyboardInterrupt):
        kling.measure(slow, fox)
    assert sorted(session.journal.measures({1})) == [(1, 0), (1, 1)]
    assert kling.measure(_letter, fox)["_letter"].tolist() == ["a", "b", "c"], "and the next one works"


def _letter(image: kling.SavedImage) -> str:
    return image.letter


def test_a_measure_runs_on_a_process_pool_with_the_bytes_of_each_image() -> None:
    fox = kling.generate("a fox", num_outputs=3, show_progress=False)
    with ProcessPoolExecutor(2) as pool:
        frame = kling.measure(_process, fox, executor=pool)
        assert kling.measure(_fails_on_b, fox, executor=pool)["_fails_on_b_error"].dropna().tolist() == [
            "KeyError: 'b'"
        ]
    assert all(text.endswith(" True") for text in frame["_process"])
    assert str(os.getpid()) not in "".join(frame["_process"])


def _fails_on_b(image: kling.SavedImage) -> str:
    return {"a": "x", "c": "y"}[image.letter]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_measure_runs_on_two_dask_workers_and_no_key_travels(session: Session, monkeypatch: Any) -> None:
    """Each worker is a process of its own; a task holds the function and the image, and no session."""
    distributed = pytest.importorskip("distributed")
    images = kling.generate("a fox", num_outputs=9, show_progress=False)
    assert str(session.settings.api_key).encode() not in pickle.dumps((_process, images[0]))
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    monkeypatch.chdir(session.folder.parent)
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        pids = client.run(os.getpid)
        assert len(set(pids.values()) - {os.getpid()}) == 2
        where = kling.measure(_process, images, executor=client.get_executor())
        assert kling.measure(_process, images)["_process"].equals(where["_process"]), "kept, not computed again here"
    assert set(where["_process"]) <= {f"{pid} True" for pid in pids.values()}
    assert "_process_error" not in where


def _process(image: kling.SavedImage) -> str:
    """The worker's process, and whether the image has its pixels also where there is no file."""
    elsewhere = dataclasses.replace(image, path=Path("nowhere.png"))
    return f"{os.getpid()} {np.asarray(elsewhere).size > 0}"


# ---- a data set ----


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing_behind(tmp_path: Path, monkeypatch: Any) -> None:
    fox = kling.generate("a fox", num_outputs=3, show_progress=False)
    copies = []

    def full(source: Path, target: Path) -> None:
        if len(copies) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        copies.append(target.write_bytes(source.read_bytes()))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(InputError, match="No space left on device"):
        kling.export(fox, tmp_path / "set")
    assert list(tmp_path.glob("*set*")) == []
    assert all(image.path.exists() for image in fox)


def test_a_data_set_names_no_machine_and_holds_no_secret(tmp_path: Path, sandbox: Sandbox) -> None:
    """A source image is named by its last part, in the metadata and in the README; `image` is the images' own name."""
    source = kling.generate("a fox", resolution="2K", show_progress=False)[0].path
    beside = tmp_path / "private" / "my fox.png"
    beside.parent.mkdir()
    from PIL import Image

    Image.new("RGB", (400, 400)).save(beside)
    kling.generate("an owl", image=str(beside), show_progress=False)
    signed = f"https://cdn.example.com/a/b/owl.png?token={CANARY}"
    kling.generate("a hare", image=signed, show_progress=False)
    folder = kling.export(None, tmp_path / "set")
    text = (folder / "metadata.jsonl").read_text(encoding="utf-8") + (folder / "README.md").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()[:3]]
    assert [line.get("source_image") for line in lines] == [None, "my fox.png", "owl.png"]
    assert not any("image" in line for line in lines)
    for secret in (CANARY, str(tmp_path), str(source.parent), "cdn.example.com", sandbox.base_url, sandbox.key):
        assert secret not in text
