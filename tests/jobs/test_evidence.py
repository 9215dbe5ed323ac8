# ruff: noqa: E501  # rows hold bytes as they go out
"""Evidence decides: odd replies, byte by byte, through a session; what was sent, charged and saved is counted.

``python tests/jobs/test_evidence.py`` writes the table of docs/money-and-reliability.md.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kling_notebook.api.errors import KlingError, TransportError
from kling_notebook.api.job import JobStatus
from kling_notebook.jobs import poll_and_save
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from kling_notebook.session.session import Session

    Make = Callable[..., Any]

PAGE = Path(__file__).parents[2] / "docs" / "money-and-reliability.md"


def http(body: bytes, *headers: bytes, status: bytes = b"200 OK", before: bytes = b"") -> bytes:
    """A whole reply; the sandbox fills in the length."""
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Content-Length: {length}", *headers]
    return before + b"\r\n".join([*lines, b"", body])


class Row(NamedTuple):
    """One odd exchange, and what may come of it."""

    kind: str
    name: str
    faults: tuple[Fault, ...]
    charges: int = 1
    images: int = 1
    status: JobStatus = JobStatus.COMPLETED
    posts: int = 1


def submit(kind: str, name: str, raw: bytes, **facts: Any) -> Row:
    return Row(kind, name, (Fault("submit", "wire", at=1, raw=raw),), **facts)


def poll(kind: str, name: str, raw: bytes, times: int = 99, **facts: Any) -> Row:
    return Row(kind, name, (Fault("poll", "wire", at=1, times=times, raw=raw),), **facts)


TWO_WAYS = "one of two addresses does not answer (E2)"
SHOWN = "images under other words and shapes (E3)"
INTACT = "replies that are damaged around what is needed (E4)"
LABELS = "labels and headers that say nothing about the bytes (E5)"
PATIENCE = "polls that fail, clocks that jump (E6)"
OWNERSHIP = "the journal replaced while a job runs (E7)"
LIES = "replies that lie (E8)"
OVERREACTION = "stray refusals (E9)"
UNSENT = "nothing was sent: proxy, TLS, name, connection (E1)"

OUTPUT = b'"output":{"images":["{image_url}"]}'
SHAPES = [
    b'"output":{"images":[{"url":"{image_url}"}]}', b'"output":{"image":"{image_url}"}', b'"output":"{image_url}"',
    b'"output":["{image_url}"]', b'"output":{"urls":["{image_url}"]}', b'"assets":[{"url":"{image_url}"}]',
    b'"output":{"images":[{"image_url":{"url":"{image_url}"}}]}', b'"output":[{"file":{"href":"{image_url}"}}]',
    b'"result":{"images":["{image_url}"]}', b'"output":{"images":["{image_url}","{image_url}"]}', b'"images":["{image_url}"]',
    b'"output":{"picture_1":"{image_url}"}', b'"output":{"images":[" {image_url} "]}',
]  # fmt: skip
WORDS = [b"succeed", b"Succeeded", b"SUCCESS", b"done", b"Finished", b"complete", b"COMPLETED", b" completed "]
ROWS = [
    *(
        submit(TWO_WAYS, f"statusUrl {url.decode()}", http(b'{"jobId":"{job_id}","status":"pending","statusUrl":"%s"}' % url))
        for url in (b"BASE/jobs/job_ab", b"BASE/other/path", b"BASE/", b"http://elsewhere.example/jobs/1", b"not an address", b"")
    ),
    *(poll(SHOWN, f"status {word.decode()!r}", http(b'{"jobId":"{job_id}","status":"%s",%s}' % (word, OUTPUT))) for word in WORDS),
    *(poll(SHOWN, f"unknown status, {shape.decode()}", http(b'{"jobId":"{job_id}","status":"ripe",%s}' % shape)) for shape in SHAPES),
    *(
        poll(SHOWN, f"in {outer.decode()}", http(outer.replace(b"REPLY", b'{"jobId":"{job_id}","status":"completed",%s}' % OUTPUT)))
        for outer in (b'{"data":REPLY}', b'{"result":REPLY}', b'{"code":0,"data":{"job":REPLY}}', b'{"data":[REPLY]}', b'{"response":REPLY,"ok":true}')
    ),
    poll(SHOWN, "a name with source in it", http(b'{"jobId":"{job_id}","status":"completed","output":{"works":[{"resource":"{image_url}"}]}}')),
    poll(SHOWN, "under a name not known", http(b'{"code":0,"data":{"task_id":"{job_id}","task_status":"succeed","task_result":{"images":[{"index":0,"url":"{image_url}"}]}}}')),
    poll(SHOWN, "an envelope with a status of its own", http(b'{"status":"error","data":{"status":"completed",%s}}' % OUTPUT)),
    poll(SHOWN, "status is an object", http(b'{"jobId":"{job_id}","status":{"state":"done"},%s}' % OUTPUT)),
    poll(SHOWN, "no status at all", http(b'{"jobId":"{job_id}",%s}' % OUTPUT)),
    *(
        poll(SHOWN, f"failed, {reason.decode()}", http(b'{"jobId":"{job_id}","status":"failed",%s}' % reason), images=0, status=JobStatus.FAILED)
        for reason in (b'"errorMessage":"NSFW content"', b'"failureReason":"NSFW content"', b'"error":{"detail":"NSFW content"}',
                       b'"output":{"message":"NSFW content"}', b'"error":["NSFW content"]', b'"reason":"NSFW content"')
    ),
    poll(INTACT, "an emoji cut in two", http(b'{"jobId":"{job_id}","status":"completed","prompt":"a fox \xf0\x9f\xa6",%s}' % OUTPUT)),
    poll(INTACT, "raw control characters", http(b'{"jobId":"{job_id}","status":"completed","prompt":"a\tfox\n\x01",%s}' % OUTPUT)),
    poll(INTACT, "bytes after the end", http(b'{"jobId":"{job_id}","status":"completed",%s}\r\n\0\0--' % OUTPUT)),
    poll(INTACT, "a byte order mark", http(b'\xef\xbb\xbf{"jobId":"{job_id}","status":"completed",%s}' % OUTPUT)),
    poll(INTACT, "our 13 MB source image echoed", http(
        b'{"jobId":"{job_id}","status":"completed","input":{"image_url":"data:image/png;base64,%s"},%s}' % (b"A" * 13_000_000, OUTPUT))),
    *(
        poll(INTACT, name, http(outer.replace(b"REPLY", b'{"jobId":"{job_id}","status":"completed",%s}' % OUTPUT)))
        for name, outer in (
            ("JSONP", b"callback(REPLY);"), ("an event stream", b'data: {"status":"processing"}\n\ndata: REPLY\n\ndata: [DONE]\n\n'),
            ("lines of JSON", b'{"jobId":"{job_id}","status":"queued"}\nREPLY\n'), ("a list", b"[REPLY]"),
            ("a text around it", b"<pre>REPLY</pre>"), ("a list with another job", b'[{"jobId":"another","status":"failed"},REPLY]'),
        )
    ),
    poll(INTACT, "torn after the images", http(b'{"jobId":"{job_id}","status":"completed",%s,"pro' % OUTPUT)),
    poll(INTACT, "torn within the reason of a failure", http(b'{"jobId":"{job_id}","status":"failed","error":"NS'), times=3),
    poll(INTACT, "a comma too many", http(b'{"jobId":"{job_id}","status":"completed",%s,}' % OUTPUT)),
    poll(INTACT, "500, and the images are there", http(b'{"jobId":"{job_id}","status":"completed",%s}' % OUTPUT, status=b"500 Oops")),
    submit(INTACT, "JSONP", http(b'callback({"jobId":"{job_id}","status":"pending"})')),
    submit(INTACT, "an event stream", http(b'event: queued\ndata: {"jobId":"{job_id}","status":"pending"}\n\n')),
    submit(INTACT, "a list", http(b'[{"jobId":"{job_id}","status":"pending"}]')),
    *(
        submit(INTACT, f"the id as {name}", http(b'{"%s":"{job_id}","status":"pending"}' % name.encode()))
        for name in ("JOBID", "task-id", "predictionId", "request_id", "uuid")
    ),
    submit(INTACT, "the id alone as the job", http(b'{"job":"{job_id}"}')),
    submit(INTACT, "the id alone as a result of JSON-RPC", http(b'{"jsonrpc":"2.0","id":1,"result":"{job_id}"}')),
    submit(INTACT, "the id in X-Job-Id only", http(b'{"status":"queued"}', b"X-Job-Id: {job_id}")),
    *(
        submit(INTACT, f"the id only in {reply.decode()}", http(reply, status=b"202 Accepted"))
        for reply in (b'{"polling_url":"BASE/jobs/{job_id}"}', b'{"urls":{"get":"BASE/jobs/{job_id}"}}', b'{"_links":{"self":{"href":"/api/v1/jobs/{job_id}"}}}')
    ),
    *(
        submit(INTACT, f"only Location names the job, {status.decode()}", http(b"", b"Location: /api/v1/jobs/{job_id}", status=status))
        for status in (b"201 Created", b"202 Accepted", b"303 See Other")
    ),
    submit(INTACT, "an emoji cut in two", http(b'{"jobId":"{job_id}","status":"pending","prompt":"a fox \xf0\x9f\xa6"}')),
    submit(INTACT, "raw control characters", http(b'{"jobId":"{job_id}","status":"pending","prompt":"a\nfox\x02"}')),
    submit(INTACT, "bytes after the end", http(b'{"jobId":"{job_id}","status":"pending"}<!-- 3 ms -->')),
    submit(INTACT, "torn after the id", http(b'{"jobId":"{job_id}","status":"pen').replace(b"{length}", b"4000")),
    submit(INTACT, "torn within the prompt", http(b'{"prompt":"a \\"fox\\"","jobId":"{job_id}","x":"\xc3').replace(b"{length}", b"4000")),
    submit(INTACT, "wrapped", http(b'{"success":true,"data":{"jobId":"{job_id}","status":"pending"}}')),
    submit(INTACT, "a refusal that names the job", http(b'{"jobId":"{job_id}","status":"queued"}', status=b"429 Too Many Requests")),
    submit(INTACT, "a number that is none", http(b'{"jobId":"{job_id}","status":"pending","eta":1e400,"creditCost":2000000}')),
    submit(INTACT, "wrapped as a result", http(b'{"result":{"jobId":"{job_id}","status":"pending"}}')),
    submit(INTACT, "an envelope with a status of its own", http(b'{"status":"success","data":{"id":"{job_id}"}}')),
    submit(INTACT, "only Location names the job", http(b"{}", b"Location: BASE/jobs/{job_id}")),
    submit(INTACT, "500, and the id is there", http(b'{"jobId":"{job_id}","error":"late"}', status=b"500 Oops")),
    submit(INTACT, "no id anywhere", http(b'{"status":"pending"}'), images=0, status=JobStatus.UNCONFIRMED),
    submit(LABELS, "103 Early Hints before", http(b'{"jobId":"{job_id}"}', before=b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")),
    submit(LABELS, "100 and 102 before", http(b'{"jobId":"{job_id}"}', before=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")),
    submit(LABELS, "a chunk that is torn", b'HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n{"jobId":"{job_id}","status":"pen'),
    submit(LABELS, "called chunked and plain", b'HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n{"jobId":"{job_id}"}'),
    submit(LABELS, "a length too short", http(b'{"jobId":"{job_id}"}').replace(b"{length}", b"7")),
    submit(LABELS, "HTTP/2 in the status line", http(b'{"jobId":"{job_id}"}').replace(b"HTTP/1.1", b"HTTP/2")),
    submit(LABELS, "300 headers", http(b'{"jobId":"{job_id}"}', *(b"X-%d: 1" % k for k in range(300)))),
    submit(LABELS, "a header of 100 kB", http(b'{"jobId":"{job_id}"}', b"X-Long: " + b"x" * 100_000)),
    *(
        submit(LABELS, f"Content-Encoding {label.decode()}", http(b'{"jobId":"{job_id}","status":"pending"}', b"Content-Encoding: " + label))
        for label in (b"gzip", b"deflate", b"br", b"zstd", b"aws-chunked", b"identity", b"utf-8")
    ),
    poll(LABELS, "Content-Encoding aws-chunked", http(b'{"jobId":"{job_id}","status":"completed",%s}' % OUTPUT, b"Content-Encoding: aws-chunked")),
    *(
        poll(PATIENCE, name, raw, times=2)
        for name, raw in (
            ("500", http(b"oops", status=b"500 Oops")), ("closed", b""), ("not HTTP", b"220 mail\r\n"), ("HTML", http(b"<html>hello")),
            ("empty object", http(b"{}")), ("null", http(b"null")), ("another status", http(b'{"jobId":"{job_id}","status":"warming up"}')),
        )
    ),
    poll(LIES, "10,000 image URLs", http(b'{"jobId":"{job_id}","status":"completed","output":{"images":[%s]}}' % b",".join(
        b'"{image_url}?%d"' % k for k in range(10_000))), images=26),
    poll(LIES, "another job's failure, then this one", http(b'{"jobId":"job_other","status":"failed","error":"NSFW"}'), times=1),
    Row(LIES, "completed at once, then not known", (
        Fault("submit", "wire", at=1, raw=http(b'{"jobId":"{job_id}","status":"completed",%s}' % OUTPUT)),
        Fault("poll", "wire", at=1, times=99, raw=http(b'{"error":"no such job"}', status=b"404 Not Found")),
    )),
    poll(LIES, "a gateway's failure, then this job", http(b'{"status":"error","message":"upstream timeout"}'), times=1),
    poll(LIES, "a failure that names no job, for ever", http(b'{"status":"failed","error":"NSFW content"}'), images=0, status=JobStatus.FAILED),
    poll(LIES, "success beside failed", http(b'{"jobId":"{job_id}","success":true,"status":"success","state":"failed","error":"NSFW content"}'),
         images=0, status=JobStatus.FAILED),
    poll(LIES, "about another job, then about this one", http(b'{"jobId":"job_other","status":"processing"}'), times=2),
    submit(LIES, "completed with images and without an id", http(b'{"status":"completed",%s}' % OUTPUT)),
    *(
        poll(OVERREACTION, f"one 429, {header.decode()}", http(b'{"error":"rate_limited"}', header, status=b"429 Slow"), times=1)
        for header in (b"Retry-After: 0", b"Retry-After: 1", b"Retry-After: -5", b"Retry-After: soon", b"Retry-After: 1e-3",
                       b"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", b"X-RateLimit-Reset: 0", b"X-RateLimit-Reset: nan",
                       b"X-RateLimit-Limit: none", b"Retry-After: ", b"Retry-After: 0, 0", b"RateLimit-Reset: 1")
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: 0.02)  # noqa: ARG005


def _filled(fault: Fault, base: str) -> Fault:
    values = {name: getattr(fault, name) for name in fault.__slots__}
    return Fault(**(values | {"raw": (fault.raw or b"").replace(b"BASE", base.encode())}))


def _family(row: Row) -> tuple[str, str]:
    """What rows that differ in a word or a number share: their kind, and the first words of their names."""
    return row.kind, " ".join(re.split(r"[\"'{,:]", row.name)[0].split()[:2])


FAMILIES = [_family(row) for row in ROWS]
SHORT = {k for k, family in enumerate(FAMILIES) if FAMILIES[:k].count(family) < 2}  # .ci/run tries the others as well
PARAMETERS = [
    pytest.param(row, id=f"{row.kind[-3:-1]}-{row.name[:60]}", marks=[] if k in SHORT else pytest.mark.long)
    for k, row in enumerate(ROWS)
]


@pytest.mark.parametrize("row", PARAMETERS)
def test_an_odd_reply_costs_no_second_charge_and_no_image(
    row: Row, make_sandbox: Make, make_session: Make, fault_table: Make
) -> None:
    sandbox = make_sandbox()
    for fault in row.faults:
        sandbox.add_fault(_filled(fault, sandbox.base_url))
    session = make_session(sandbox, read_timeout=5.0)
    handle = session.start([session.request("a red fox")], source="python").handles[0]
    error = handle.exception(timeout=60)
    record = session.record(1)
    fault_table(f"{row.kind}: {row.name}", sandbox.count("submit"), sandbox.charges, record.status.value)
    assert (record.status, len(record.images)) == (row.status, row.images), error
    assert (sandbox.count("submit"), sandbox.charges) == (row.posts, row.charges)
    assert all((session.folder / name).stat().st_size > 1000 for name in record.images)
    assert (error is None) == (row.status is JobStatus.COMPLETED)
    if row.status is JobStatus.FAILED:
        assert "NSFW content" in str(error)
    assert session.client.request_queue.limiter.learned is None, "one refusal teaches nothing"


# ---- E7: who owns a job ----


def _replaced(session: Session, folder: Path, older: Path) -> None:
    """Copy an older journal over the present one, in place."""
    data = older.read_bytes()
    with (folder / ".kling" / "journal.sqlite3").open("r+b") as file:
        file.write(data)
        file.truncate()


def test_a_job_whose_journal_is_replaced_gets_a_new_row_and_its_image(
    make_sandbox: Make, make_session: Make, folder: Path, tmp_path: Path, fault_table: Make
) -> None:
    sandbox = make_sandbox(latency=1.5)
    session = make_session(sandbox)
    older = tmp_path / "older.sqlite3"
    shutil.copy(folder / ".kling" / "journal.sqlite3", older)
    handle = session.start([session.request("a red fox")], source="python").handles[0]
    while not sandbox.count("poll"):
        time.sleep(0.01)
    _replaced(session, folder, older)
    result = handle.result(timeout=60)
    fault_table(f"{OWNERSHIP}: an older one without the row", sandbox.count("submit"), sandbox.charges, "completed")
    assert len(result) == 1
    assert result[0].path.stat().st_size > 1000
    assert (sandbox.count("submit"), sandbox.charges) == (1, 1)
    rows = session.journal.latest(limit=5)
    assert [(row.job_id, row.status) for row in rows] == [(sandbox.job_ids[0], JobStatus.COMPLETED)]
    assert any("journal was replaced" in notice for notice in session.pop_notices())


def test_a_job_that_another_living_session_owns_is_left_to_it(
    make_sandbox: Make, make_session: Make, folder: Path
) -> None:
    sandbox = make_sandbox(latency=1.5)
    session, other = make_session(sandbox), make_session(sandbox)
    handle = session.start([session.request("a red fox")], source="python").handles[0]
    while not sandbox.count("poll"):
        time.sleep(0.01)
    with closing(sqlite3.connect(folder / ".kling" / "journal.sqlite3")) as connection, connection:
        connection.execute("UPDATE jobs SET owner=?", (other.id,))
    error = handle.exception(timeout=60)
    assert isinstance(error, KlingError)
    assert "taken over" in str(error)
    assert error.job_id == sandbox.job_ids[0]
    assert len(session.journal.latest(limit=5)) == 1


# ---- E8, over two jobs ----


def test_the_same_job_id_for_two_submits_leaves_the_second_unconfirmed(
    make_sandbox: Make, make_session: Make, fault_table: Make
) -> None:
    sandbox = make_sandbox()
    session = make_session(sandbox)
    session.start([session.request("a red fox")], source="python").handles[0].result(timeout=60)
    first = sandbox.job_ids[0]
    sandbox.add_fault(Fault("submit", "wire", at=1, raw=http(b'{"jobId":"%s"}' % first.encode())))
    error = session.start([session.request("an owl")], source="python").handles[0].exception(timeout=60)
    assert isinstance(error, KlingError)
    assert error.maybe_submitted
    assert session.record(2).status is JobStatus.UNCONFIRMED
    assert any(first in notice for notice in session.pop_notices())
    fault_table(f"{LIES}: the same job id for two submits", 2, sandbox.charges, "completed, unconfirmed")


# ---- E6: clocks ----


@pytest.mark.parametrize(
    "seconds", [7200, -7200, *(pytest.param(day, marks=pytest.mark.long) for day in (86400, -86400))]
)
def test_a_clock_that_jumps_neither_pauses_a_job_nor_delays_it(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    sandbox = make_sandbox(latency=1.0)
    session = make_session(sandbox, job_max_age=60)
    handle = session.start([session.request("a red fox")], source="python").handles[0]
    while not sandbox.count("poll"):
        time.sleep(0.01)
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + seconds)
        assert len(handle.result(timeout=60)) == 1
    assert sandbox.charges == 1


def test_a_job_of_yesterday_is_asked_again_although_the_first_poll_fails(
    make_sandbox: Make, make_session: Make, folder: Path
) -> None:
    """Also what a laptop does that slept: the job is a day old, and patience is with the asking."""
    sandbox = make_sandbox(faults=[Fault("poll", "wire", raw=http(b'{"status":"processing"}'))])
    session = make_session(sandbox, job_max_age=1.0)
    session.start([session.request("a red fox")], source="python").handles[0].exception(timeout=60)
    session.close()
    with closing(sqlite3.connect(folder / ".kling" / "journal.sqlite3")) as connection, connection:
        connection.execute("UPDATE jobs SET created_at=created_at-86400, submitted_at=submitted_at-86400")
    sandbox.clear_faults()
    sandbox.add_fault(Fault("poll", "status", at=1, status=500))
    session = make_session(sandbox, job_max_age=60)
    assert len(session.resume().jobs[0].result(timeout=60)) == 1
    assert sandbox.count("submit") == 1


# ---- E1, through a session ----


def test_behind_a_proxy_that_refuses_nothing_is_counted(
    make_session: Make, monkeypatch: pytest.MonkeyPatch, odd_proxy: tuple[int, list[bytes]], fault_table: Make
) -> None:
    """A budget of 5 and six calls: the sixth is not refused by the budget, since nothing was sent."""
    port, seen = odd_proxy
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("kling_notebook.jobs.advance.SUBMIT_TRIES", 1)

    class Away:
        key, base_url = "key-of-a-test-0123456789", "https://kling.invalid/api/v1"

    session = make_session(Away(), budget=5, connect_timeout=2.0, read_timeout=2.0)
    for k in range(6):
        error = session.start([session.request(f"fox {k}")], source="python").handles[0].exception(timeout=60)
        assert isinstance(error, TransportError), error
        assert error.never_left
        assert not error.maybe_submitted
        assert f"127.0.0.1:{port}" in str(error)
        assert "407" in str(error)
    assert session.dispatcher.ledger.spent == 0
    assert len(seen) == 6
    assert all(request.startswith(b"CONNECT kling.invalid") for request in seen)
    fault_table(f"{UNSENT}: proxy 407", 0, 0, "rejected")


@pytest.fixture
def odd_proxy() -> Any:
    """Answers every request with 407; its port and what arrived."""
    import contextlib
    import socket

    seen: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    seen.append(connection.recv(65536))
                    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    yield int(server.getsockname()[1]), seen
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    server.close()


# ---- the manual's table ----


def table() -> str:
    """One line per kind: replies, POSTs, charges, images saved, jobs left unconfirmed."""
    lines = [
        "| Odd replies, by kind | tried | POSTs | charges | images saved | unconfirmed |",
        "|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(row.kind for row in ROWS):
        rows = [row for row in ROWS if row.kind == kind]
        unconfirmed = sum(row.status is JobStatus.UNCONFIRMED for row in rows)
        sums = (
            len(rows),
            sum(r.posts for r in rows),
            sum(r.charges for r in rows),
            sum(r.images for r in rows),
            unconfirmed,
        )
        lines.append(f"| {kind[:-5]} | " + " | ".join(map(str, sums)) + " |")
    return "\n".join(lines)


def test_the_manual_holds_the_table_of_these_rows() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), "python tests/jobs/test_evidence.py writes it"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(r"\| Odd replies.*?(?=\n\n)", lambda _: table(), text, flags=re.DOTALL), encoding="utf-8")
