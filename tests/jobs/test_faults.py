"""One purchase per request, whatever the network does: every fault of the service, through a session, counted there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kling_notebook.api.errors import (
    DownloadError,
    InsufficientCreditsError,
    InvalidRequestError,
    JobFailedError,
    KlingError,
    ModelNotFoundError,
    RateLimitedError,
    ServerError,
    TransportError,
    UnauthorizedError,
)
from kling_notebook.api.job import JobStatus
from kling_notebook.sandbox import Fault
from kling_notebook.sandbox.payloads import png_bomb

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

HANG = 2.5  # longer than the sessions' read time-out of 1.5 s


class Row(NamedTuple):
    """A fault, and what it may cost: POSTs sent, images charged, the record's end, the error's class."""

    name: str
    fault: Fault
    posts: int
    charges: int
    status: JobStatus = JobStatus.COMPLETED
    error: type[KlingError] | None = None


def unconfirmed(name: str, charges: int, error: type[KlingError] = KlingError, **fault: Any) -> Row:
    return Row(name, Fault("submit", at=1, **fault), 1, charges, JobStatus.UNCONFIRMED, error)


def refused(name: str, error: type[KlingError], **fault: Any) -> Row:
    return Row(name, Fault("submit", at=1, **fault), 1, 0, JobStatus.REJECTED, error)


def harmless(name: str, on: Any, **fault: Any) -> Row:
    return Row(f"{on}: {name}", Fault(on, **({"at": 1} | fault)), 1, 1)


ROWS = [
    unconfirmed("POST read, connection dropped, no job", 0, TransportError, kind="drop_before"),
    unconfirmed("POST accepted, connection dropped", 1, TransportError, kind="drop_after"),
    unconfirmed("POST read, no reply until time-out, no job", 0, TransportError, kind="hang_before", seconds=HANG),
    unconfirmed("POST accepted, no reply until time-out", 1, TransportError, kind="hang", seconds=HANG),
    unconfirmed("POST accepted, half a header", 1, kind="wire", raw=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    unconfirmed("POST accepted, reply dripped past the deadline", 1, kind="slow_drip", seconds=12 * HANG),
    Row("POST accepted, reply dripped past the deadline, its id before",
        Fault("submit", "slow_drip", at=1, seconds=HANG), 1, 1),
    Row("POST accepted, reply cut short after the id", Fault("submit", "truncated", at=1), 1, 1),
    unconfirmed("POST accepted, HTML instead of JSON", 1, kind="html"),
    Row("POST accepted, reply names the job by its address only",
        Fault("submit", "wire", at=1, raw=b'HTTP/1.1 200 OK\r\n\r\n{"statusUrl":"{origin}/api/v1/jobs/{job_id}"}'),
        1, 1),
    unconfirmed("POST accepted, reply grows to 128 MB", 1, kind="gzip_bomb"),
    Row("POST accepted, reply of 2 MB", Fault("submit", "oversized", at=1), 1, 1),
    unconfirmed("POST answered 408", 0, kind="status", status=408),
    unconfirmed("POST answered 500, no job", 0, ServerError, kind="status", status=500),
    unconfirmed("POST answered 500, job made", 1, ServerError, kind="status", status=500, made=True),
    unconfirmed("POST answered 502", 1, ServerError, kind="status", status=502, made=True, body="html"),
    unconfirmed("POST answered 503", 0, ServerError, kind="status", status=503),
    unconfirmed("POST answered 504, job made", 1, ServerError, kind="status", status=504, made=True),
    refused("POST answered 400", InvalidRequestError, kind="status", status=400),
    refused("POST answered 401", UnauthorizedError, kind="status", status=401),
    refused("POST answered 402", InsufficientCreditsError, kind="status", status=402),
    refused("POST answered 403 with a credits code", InsufficientCreditsError, kind="status", status=403,
            code="insufficient_credits"),
    refused("POST answered 404", ModelNotFoundError, kind="status", status=404),
    refused("POST redirected 307", KlingError, kind="redirect", status=307),
    refused("POST redirected 308", KlingError, kind="redirect", status=308),
    refused("POST answered 429, Retry-After 600", RateLimitedError, kind="rate_limited", retry_after=600),
    Row("POST answered 429, Retry-After 1", Fault("submit", "rate_limited", at=1, retry_after=1), 2, 1),
    Row("POST answered 429, Retry-After a date",
        Fault("submit", "rate_limited", at=1, retry_after=2, as_date=True), 2, 1),
    Row("POST answered 429, no Retry-After", Fault("submit", "rate_limited", at=1, retry_after=None), 2, 1),
    harmless("foreign statusUrl", "submit", kind="wire",
             raw=b'HTTP/1.1 200 OK\r\n\r\n{"jobId":"{job_id}","statusUrl":"https://elsewhere.example/jobs/1"}'),
    harmless("dropped", "poll", kind="drop_before"),
    harmless("dropped after", "poll", kind="drop_after"),
    harmless("no reply", "poll", kind="hang", seconds=HANG),
    harmless("500", "poll", kind="status", status=500),
    harmless("503 in HTML", "poll", kind="status", status=503, body="html"),
    harmless("404 once", "poll", kind="status", status=404),
    harmless("404 in HTML, three times", "poll", kind="status", status=404, body="html", times=3),
    harmless("429 with Retry-After 1", "poll", kind="rate_limited", retry_after=1),
    harmless("cut short", "poll", kind="truncated"),
    harmless("HTML", "poll", kind="html"),
    harmless("half a header", "poll", kind="wire", raw=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    harmless("unknown status", "poll", kind="wire", raw=b'HTTP/1.1 200 OK\r\n\r\n{"status":"warming_up"}', times=2),
    harmless("reply grows to 128 MB", "poll", kind="gzip_bomb"),
    harmless("redirected", "poll", kind="redirect", status=302),
    harmless("dropped", "download", kind="drop_after"),
    harmless("no reply", "download", kind="hang", seconds=HANG),
    harmless("500", "download", kind="status", status=500),
    harmless("cut short", "download", kind="truncated"),
    harmless("half an image with a fitting length", "download", kind="wrong_content", raw=png_bomb(10**6)[:80]),
    harmless("HTML", "download", kind="wrong_content", body="html"),
    harmless("nothing at all", "download", kind="wrong_content", body="empty"),
    harmless("JSON", "download", kind="wrong_content", body="json"),
    harmless("410", "download", kind="expired"),
    harmless("403", "download", kind="expired", status=403),
    harmless("404", "download", kind="expired", status=404),
    Row("job: failed", Fault("poll", "failed", at=1, error="no such animal"), 1, 1, JobStatus.FAILED, JobFailedError),
    Row("job: failed with an object", Fault("poll", "failed", at=1, error={"code": "nsfw", "message": "no"}), 1, 1,
        JobStatus.FAILED, JobFailedError),
    Row("download: 410 for ever", Fault("download", "status", status=410, times=99), 1, 1, JobStatus.EXPIRED,
        DownloadError),
    Row("download: never an image", Fault("download", "wrong_content", body="html", times=99), 1, 1,
        JobStatus.PAUSED, DownloadError),
    Row("download: 400 million pixels", Fault("download", "bomb"), 1, 1, JobStatus.PAUSED, DownloadError),
    Row("download: body grows to 128 MB", Fault("download", "gzip_bomb"), 1, 1, JobStatus.PAUSED, DownloadError),
    Row("download: 65 MB", Fault("download", "oversized", sized=True), 1, 1, JobStatus.PAUSED, DownloadError),
    Row("poll: image URL on a host that is not there",
        Fault("poll", "wire",
              raw=b'HTTP/1.1 200 OK\r\n\r\n{"status":"completed","output":{"images":["http://127.0.0.1:9/x.png"]}}'),
        1, 1, JobStatus.PAUSED, DownloadError),
]  # fmt: skip


LONG = {  # another of the same kind is among the others
    "POST read, no reply until time-out, no job",
    "POST accepted, half a header",
    "POST answered 408",
    "POST answered 502",
    "POST answered 503",
    "POST answered 504, job made",
    "POST redirected 308",
    "POST answered 429, Retry-After a date",
    "poll: dropped after",
    "poll: 503 in HTML",
    "poll: 404 in HTML, three times",
    "poll: HTML",
    "poll: half a header",
    "poll: reply grows to 128 MB",
    "download: 500",
    "download: nothing at all",
    "download: JSON",
    "download: 403",
    "download: 404",
    "download: body grows to 128 MB",
    "job: failed with an object",
}
assert {row.name for row in ROWS} > LONG


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name, marks=[pytest.mark.long] * (row.name in LONG)) for row in ROWS]
)
def test_a_fault_never_buys_twice_and_never_loses_what_was_bought(
    row: Row,
    make_sandbox: Callable[..., Sandbox],
    make_session: Callable[..., Session],
    fault_table: Callable[..., None],
) -> None:
    """The service counts one purchase per request; the record ends as it must; an id that was given is kept."""
    sandbox = make_sandbox(faults=[row.fault])
    session = make_session(sandbox, connect_timeout=2.0, read_timeout=1.5, download_timeout=2.0)
    batch = session.start([session.request("a red fox")], source="python")
    error = batch.handles[0].exception(timeout=60)
    record = session.record(1)
    fault_table(row.name, sandbox.count("submit"), sandbox.charges, record.status.value)

    assert sandbox.count("submit") == row.posts
    assert sandbox.charges == row.charges
    assert record.status is row.status
    if row.error is None:
        assert error is None
        assert len(record.images) == 1
        assert (session.folder / record.images[0]).stat().st_size > 1000
    else:
        assert isinstance(error, row.error)
        assert error.maybe_submitted == (row.status is JobStatus.UNCONFIRMED)
        assert error.number == 1
        assert sandbox.key not in str(error)
    if row.charges and row.status is not JobStatus.UNCONFIRMED:
        assert record.job_id
    assert not list(session.folder.glob(".*.part"))
    assert all(entry.with_key == (entry.kind != "download") for entry in sandbox.log)
