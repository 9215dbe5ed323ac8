"""Folders of 1 000 to 100 000 jobs: what opening, asking and one more job cost, and with which exponent that grows."""

from __future__ import annotations

import json
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus
from kling_notebook.image_files.thumbnails import keep
from kling_notebook.journal import recovery
from kling_notebook.journal.job_record import Record, new_record
from kling_notebook.journal.journal import Filter, Journal
from kling_notebook.notebook.magic import subcommands
from kling_notebook.results.frames import history_frame
from kling_notebook.session.session import Session
from kling_notebook.view.progress import ProgressRow, progress_bundle
from kling_notebook.view.table import facts_bundle

from . import service
from .report import Row, exponent, interleaved, ms, seconds

PAGE = subcommands.PAGE
CATEGORIES = ("status", "backend", "source", "model", "resolution", "aspect_ratio", "output_format")
PARAMETERS = ("negative_prompt", "resolution", "aspect_ratio", "num_outputs", "output_format")


def rows(folder: Path, sizes: tuple[int, ...], runs: int) -> Iterator[Row]:
    journals = {count: filled(folder / f"history-{count}", count) for count in sizes}
    sessions = {count: opened(_folder(journal)) for count, journal in journals.items()}
    for name, (work, most) in ASKED.items():
        got = {count: times(lambda one=one, work=work: work(one), runs) for count, one in sessions.items()}
        grows = 1.2 if name in MAY_SCAN else 0.3
        yield _row(f"history: {name}", got, most, grows)
    for session in sessions.values():
        session.close()
    for name, work in READS.items():
        got = {count: times(lambda one=one, work=work: work(one), runs) for count, one in journals.items()}
        yield _row(f"history: {name}", got, None, 0.3)
    yield from _frames(journals, runs)
    yield _left_behind(folder / "left", max(3, runs))
    yield from _sweeps(folder / "sweeps", runs)


def opened(folder: Path) -> Session:
    """A session of a hosted service that is never asked. What opening leaves to the background keeps running."""
    where = {"api_key": "none-asks-for-it", "base_url": "http://127.0.0.1:9/api/v1", "folder": str(folder)}
    return Session(where | {"credits_without_asking": 1e9})


def times(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """Seconds of one call, after one that warms up: median and best."""
    took = []
    for _ in range(runs + 1):
        for thread in threading.enumerate():  # what the last one left to the background is not this one's
            if thread.name == "kling-journal-check":
                thread.join()
        took.append(seconds(work))
    return statistics.median(took[1:]), min(took[1:])


def _row(name: str, got: dict[int, tuple[float, float]], most: float | None, grows: float) -> Row:
    """Medians for each size; goals for the largest and for the exponent. The exponent is that of the best times, which
    other programs disturb least."""
    grown = exponent((count, best) for count, (_, best) in got.items())
    median, best = got[max(got)]
    series = ", ".join(f"{_short(count)} {ms(took)}" for count, (took, _) in got.items())
    goal = (f"at most {ms(most)} at {_short(max(got))}, " if most else "") + f"exponent below {grows:g}"
    met = grown < grows and (most is None or median <= most)
    return Row(name, series, "", grown, goal, met, f"the ratio is the exponent; best {ms(best)}")


def _short(n: int) -> str:
    return f"{n // 1000}k" if n >= 1000 else str(n)


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
            # What is starred or noted is old: the last that somebody finds who looks from the newest on.
            connection.execute("UPDATE jobs SET starred='[0]' WHERE n < 200 AND n % 2")
            connection.execute("UPDATE jobs SET note='for the cover' WHERE n < 200 AND n % 3 = 0")
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


def _shown(session: Session, **given: Any) -> object:
    """A page of ``%kling history``; the whole folder's."""
    subcommands._session = lambda: session  # type: ignore[assignment]
    return subcommands._history(all=True, **given)


def _date_of_newest_but(session: Session, count: int) -> str:
    """When the job was made that so many followed."""
    made = session.rows(limit=1, before=session.rows(limit=1)[0].number - count)[0].created_at
    return datetime.fromtimestamp(made).isoformat()


# What is asked, with the most seconds it may take in the largest folder.
ASKED: dict[str, tuple[Callable[[Session], object], float | None]] = {
    "open a session": (lambda session: opened(session.folder).close(), 0.05),
    "%kling status": (lambda session: facts_bundle("Status", session.status().rows()), 0.02),
    "search, found nowhere": (lambda session: _shown(session, search="zebra"), 0.1),
    "page with thumbnails": (_shown, 0.03),
    "last page but one": (lambda session: _shown(session, page=str(session.count() // PAGE - 1)), 0.03),
    "the panel's last page but one": (lambda session: session.rows(limit=PAGE, before=2 * PAGE), 0.03),
    "--starred": (lambda session: _shown(session, starred=True), 0.03),
    "--noted": (lambda session: _shown(session, noted=True), 0.03),
    "--since, few": (lambda session: _shown(session, since=_date_of_newest_but(session, 5)), 0.03),
    "--since, many": (lambda session: _shown(session, since=_date_of_newest_but(session, 500)), 0.03),
    "--status failed": (lambda session: _shown(session, status="failed"), 0.03),
    "the session's own page": (lambda session: session.rows(mine=True, limit=PAGE), 0.03),
}
MAY_SCAN = ("search, found nowhere",)


def _append(journal: Journal) -> object:
    return journal.add(_records(1))


def _before_a_job(journal: Journal) -> object:
    """What is read for one more job: known durations, prices, an identical request."""
    for backend in ("pixeldojo", "another"):
        journal.past_seconds(backend, ("kling-image", "1K", 1))
        journal.dearest_image(backend)
        journal.last_balance(backend)
    return journal.newest_identical("0" * 64, "pixeldojo"), journal.open_records()


def _slice(journal: Journal) -> object:
    """What the look through a journal reads at a time, in the background."""
    with journal.reading() as connection:
        first = journal.count() // 2
        return recovery._refuse_impossible(connection, f"n BETWEEN {first} AND {first + recovery.SLICE - 1}")


READS: dict[str, Callable[[Journal], object]] = {
    "append": _append,
    f"look through {recovery.SLICE} rows": _slice,
    "read for one more job": _before_a_job,
    "frame of the newest 200": lambda journal: history_frame(journal, Filter(limit=200)),
}


def _frames(journals: dict[int, Journal], runs: int) -> Iterator[Row]:
    """Everything as a DataFrame: both grow with it, and ours must not be slower than what one writes with pandas."""
    got = {}
    for count, journal in journals.items():
        turns = runs if count < 100_000 else 1
        took = interleaved(
            {"ours": lambda one=journal: _frame(one), "pandas": lambda one=journal: by_pandas(one)}, turns
        )  # type: ignore[misc]
        ours, peer = took["ours"], took["pandas"]
        got[count] = ours.median, ours.best
        peers = f"pandas.read_sql, same conversions {ms(peer.median)}"
        ratio = ours.median / peer.median
        yield Row(f"DataFrame of {_short(count)} jobs", ms(ours.median), peers, ratio, "at most 1.2 x", ratio <= 1.2)
    yield _row("DataFrame of everything", got, None, 1.2)


def _frame(journal: Journal) -> Any:
    return history_frame(journal, Filter(limit=None))


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


def _left_behind(folder: Path, runs: int) -> Row:
    """A session opens where a kernel was killed with 2,000 jobs that were not sent, or not answered."""
    took = []
    for run in range(runs):
        here = folder / str(run)
        begun = opened(here)
        begun.journal.add(left_behind(2000, begun.backend))
        begun.close()
        time.sleep(0.1)
        again: list[Session] = []
        took.append(seconds(lambda here=here, again=again: again.append(opened(here))))  # type: ignore[misc]
        assert again[0].count(status="cancelled") == 1000
        again[0].close()
    middle = statistics.median(took)
    best = f"best {ms(min(took))}"
    return Row("start after a kill with 2000 jobs", ms(middle), "", None, "at most 300 ms", middle <= 0.3, best)


def _sweeps(folder: Path, runs: int) -> Iterator[Row]:
    """What a cell does itself for many jobs: check, price and journal them, show how they run, and cancel them."""
    begun = opened(folder)
    begun.dispatcher.start = lambda _: None  # type: ignore[method-assign]  # none is ever sent
    fresh = iter(range(10**9))
    started: dict[int, tuple[float, float]] = {}
    shown: dict[int, tuple[float, float]] = {}
    cancelled: list[float] = []
    for count in (10, 100, 1000):
        lines = [ProgressRow(f"fox {i}", ">", "running", "moving", 3.0, 10.0) for i in range(count)]
        calls = []

        def start(count: int = count, calls: list[Any] = calls) -> None:
            requests = [begun.request(f"fox {next(fresh)}") for _ in range(count)]
            begun.estimate(requests, reuse=True)
            calls.append(begun.start(requests, source="python", sweep=True))

        started[count] = times(start, runs)
        shown[count] = times(lambda lines=lines: progress_bundle(lines), runs)  # type: ignore[misc]
        cancelled = [seconds(call.cancel_unsent) for call in calls]
    begun.close()
    middle, best = statistics.median(cancelled), f"best {ms(min(cancelled))}"
    yield Row("Ctrl-C with 1000 queued jobs", ms(middle), "", None, "at most 200 ms", middle <= 0.2, best)
    for name, got in (("start a sweep of so many jobs", started), ("one update of so many jobs' progress", shown)):
        yield _row(name, got, None, 1.2)
