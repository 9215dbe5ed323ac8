"""The history of 1 000 to 1 000 000 jobs, and what one more job costs beside them, with the exponent of each."""

from __future__ import annotations

import json
import sqlite3
import statistics
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus
from kling_notebook.image_files.thumbnails import keep
from kling_notebook.journal.job_record import Record, new_record
from kling_notebook.journal.journal import Filter, Journal
from kling_notebook.results import history
from kling_notebook.results.result import history_row
from kling_notebook.session.session import Session
from kling_notebook.view.progress import ProgressRow, progress_bundle
from kling_notebook.view.table import history_bundle

from . import service
from .report import Row, exponent, ms, seconds

PAGE = 20
PAGE_NAME = f"page of {PAGE} with thumbnails, as shown"
CATEGORIES = ("status", "backend", "source", "model", "resolution", "aspect_ratio", "output_format")
PARAMETERS = ("negative_prompt", "resolution", "aspect_ratio", "num_outputs", "output_format")


def rows(folder: Path, sizes: tuple[int, ...], runs: int) -> Iterator[Row]:
    journals = {count: filled(folder / f"history-{count}", count) for count in sizes}
    costs = {
        name: {n: _median(lambda j=j, work=work: work(j), runs) for n, j in journals.items()}
        for name, work in _READS.items()
    }  # type: ignore[misc]
    for name, got in costs.items():
        most = max(got)
        goal, met = "", None
        if name == PAGE_NAME:
            goal, met = "under 10 ms at any size", got[most] < 0.010
        elif name in _CONSTANT:
            goal, met = "does not grow", exponent(got.items()) < 0.2
        else:
            goal, met = "at most linear", exponent(got.items()) < 1.2
        yield _row(f"history: {name}", got, goal, met)
    yield from _frames(journals, runs)
    yield from _sweeps(folder / "sweeps", runs)


def _row(name: str, got: dict[int, float], goal: str, met: bool | None) -> Row:
    series = ", ".join(f"{_short(n)} {ms(took)}" for n, took in got.items())
    return Row(name, series, "", exponent(got.items()), goal, met, "the ratio is the exponent")


def _short(n: int) -> str:
    return f"{n // 1_000_000}M" if n >= 1_000_000 else f"{n // 1000}k" if n >= 1000 else str(n)


def _median(work: Callable[[], object], runs: int) -> float:
    work()
    return statistics.median(seconds(work) for _ in range(runs))


def filled(folder: Path, count: int) -> Journal:
    """A journal of so many completed jobs; made by SQL, for a million records take minutes otherwise."""
    journal = Journal(folder / ".kling" / "journal.sqlite3")
    made = journal.add(_records(min(count, 200)))
    if count > len(made):
        with closing(sqlite3.connect(journal.path)) as connection:
            columns = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
        fresh = {
            "n": "NULL",
            "identity": "hex(randomblob(32))",
            "job_id": "'job' || hex(randomblob(10))",
            "session": "printf('%012x', k.value / 200)",
            "owner": "printf('%012x', k.value / 200)",
            "created_at": "1.7e9 + k.value * 30",
        }
        chosen = ", ".join(fresh.get(name, f"jobs.{name}") for name in columns)
        with closing(sqlite3.connect(journal.path)) as connection, connection:
            connection.execute("PRAGMA synchronous=OFF")
            more, whole = count - len(made), f"SELECT {chosen} FROM k JOIN jobs ON jobs.n = 1 + k.value % {len(made)}"  # noqa: S608
            numbers = f"WITH RECURSIVE k(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM k LIMIT {more})"  # noqa: S608
            connection.execute(f"INSERT INTO jobs {numbers} {whole}")
    _images(folder, journal)
    return journal


def _records(count: int) -> Iterator[Record]:
    for i in range(count):
        request = GenerationRequest(
            f"a red fox number {i} at dawn in the mist, seen from afar",
            aspect_ratio=("1:1", "16:9")[i % 2],
            num_outputs=1 + i % 4,
        )
        facts = {"backend": "pixeldojo", "source": "magic", "session": "0" * 12, "estimate": 1.0, "now": 1.7e9 + i}
        yield new_record(request, **facts).replace(
            status=JobStatus.COMPLETED,
            job_id=f"job{i}",
            submitted_at=1.7e9 + i,
            completed_at=1.7e9 + i + 20,
            seconds=20.0 + i % 7,
            credits=1.0,
            credits_remaining=1000.0,
            images=tuple(f"job{i}_a-red-fox_{k}.png" for k in range(1 + i % 4)),
            raw={"submit": {"jobId": f"job{i}", "status": "pending"}, "final": {"status": "completed"}},
        )


def left_behind(count: int, backend: str) -> Iterator[Record]:
    """Jobs of a kernel that was killed: half were queued, half were being submitted."""
    for i in range(count):
        facts = {"backend": backend, "source": "magic", "session": "deaddeaddead", "estimate": 1.0, "now": 1.7e9 + i}
        record = new_record(GenerationRequest(f"an owl {i}"), **facts)
        yield record.replace(status=JobStatus.SUBMITTING if i % 2 else JobStatus.QUEUED)


def _images(folder: Path, journal: Journal) -> None:
    """What the newest page shows exists, with its thumbnails, as after a download."""
    from kling_notebook.image_files import thumbnails

    first: Path | None = None
    for record in journal.latest(limit=50):
        for name in record.images:
            path = folder / name
            if path.exists():
                continue
            if first is None:
                path.write_bytes(service.painted())
                first = path
                jpeg = thumbnails.thumbnail(path, folder / ".kling" / "thumbnails")[0]
            else:
                path.hardlink_to(first)
                keep(path, folder / ".kling" / "thumbnails", {(256, None): jpeg})


def _folder(journal: Journal) -> Path:
    return journal.path.parents[1]


def _append(journal: Journal) -> object:
    return journal.add(_records(1))


def _page(journal: Journal) -> object:
    found = journal.latest(limit=PAGE)
    return history_bundle([history_row(one, _folder(journal)) for one in found], total=journal.count())


def _before_a_job(journal: Journal) -> object:
    """What is read for one more job: known durations, prices, an identical request."""
    for backend in ("pixeldojo", "another"):
        journal.past_seconds(backend, ("kling-image", "1K", 1))
        journal.dearest_image(backend)
        journal.last_balance(backend)
    return journal.newest_identical("0" * 64, backend), journal.open_records()


_READS: dict[str, Callable[[Journal], object]] = {
    "append": _append,
    "read for one more job": _before_a_job,
    "records of a page": lambda journal: journal.latest(limit=50),
    PAGE_NAME: _page,
    "search, found at once": lambda journal: journal.latest(search="fox", limit=50),
    "search, found nowhere": lambda journal: journal.latest(search="zebra", limit=50),
    "frame of the newest 200": lambda journal: history.frame(journal, Filter(limit=200)),
}
_CONSTANT = frozenset(_READS) - {"search, found nowhere"}


def _frames(journals: dict[int, Journal], runs: int) -> Iterator[Row]:
    got: dict[int, float] = {}
    for count, journal in journals.items():
        times: dict[str, list[float]] = {"ours": [], "pandas": []}
        if count <= 100_000:
            _frame(journal)
        for _ in range(runs if count <= 100_000 else 1):
            for name, work in (("ours", _frame), ("pandas", by_pandas)):
                times[name].append(seconds(lambda work=work, journal=journal: work(journal)))  # type: ignore[misc]
        ours, peer = (statistics.median(times[name]) for name in ("ours", "pandas"))
        got[count] = ours
        yield Row(
            f"history: DataFrame of {_short(count)} jobs",
            ms(ours),
            f"pandas.read_sql, same conversions {ms(peer)}",
            ours / peer,
            "at most 1.2 x",
            ours <= 1.2 * peer,
        )
    yield _row("history: DataFrame of everything", got, "at most linear", exponent(got.items()) < 1.2)


def _frame(journal: Journal) -> Any:
    return history.frame(journal, Filter(limit=None))


def by_pandas(journal: Journal) -> Any:
    """The same frame as one writes it with pandas."""
    import pandas as pd

    chosen = ", ".join(f"json_extract(request, '$.values.{name}') AS {name}" for name in PARAMETERS)
    query = (
        f"SELECT n, job_id, prompt, {chosen}, json_extract(request, '$.values.image.label') AS image,"  # noqa: S608
        " json_extract(request, '$.sample') AS sample, json_extract(request, '$.model') AS model, status, backend,"
        " created_at, submitted_at, completed_at, seconds, credits, credits_remaining,"
        " json_array_length(images) AS images, error, source, starred,"
        " note FROM jobs"
    )
    connection = sqlite3.connect(journal.path)
    frame = pd.read_sql(query, connection, index_col="n")
    connection.close()
    for name in ("created_at", "submitted_at", "completed_at"):
        frame[name] = pd.to_datetime(frame[name], unit="s")
    for name in CATEGORIES:
        frame[name] = frame[name].astype("category")
    for name in ("num_outputs", "images"):
        frame[name] = frame[name].astype("Int64")
    frame["starred"] = frame["starred"].map(lambda text: "".join("abcdefghi"[place] for place in json.loads(text)))
    return frame


def _sweeps(folder: Path, runs: int) -> Iterator[Row]:
    """What a cell does itself for many jobs: check and price them, journal them, and show how they run."""
    begun = Session({"sandbox": True, "folder": str(folder), "credits_without_asking": 1e9})
    fresh = iter(range(10**9))
    started: dict[int, float] = {}
    shown: dict[int, float] = {}
    for count in (10, 100, 1000):
        lines = [ProgressRow(f"fox {i}", ">", "running", "moving", 3.0, 10.0) for i in range(count)]

        def start(count: int = count) -> None:
            requests = [begun.request(f"fox {next(fresh)}") for _ in range(count)]
            begun.estimate(requests, reuse=True)
            begun.start(requests, source="python", sweep=True, run=lambda *_: None)

        started[count] = _median(start, runs)
        shown[count] = _median(lambda lines=lines: progress_bundle(lines), runs)  # type: ignore[misc]
    begun.dispatcher.jobs.clear()
    begun.close()
    for name, got in (("start a sweep of so many jobs", started), ("one update of so many jobs' progress", shown)):
        yield _row(name, got, "at most linear", exponent(got.items()) < 1.2)
