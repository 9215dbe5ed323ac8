"""Replies read with tolerance, and strictly where money hangs on them. Tables; no server."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_notebook.api import wire
from kling_notebook.api.errors import (
    ApiError,
    InsufficientCreditsError,
    InvalidRequestError,
    KlingError,
    ModelNotFoundError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnexpectedReplyError,
)
from kling_notebook.api.retry_policy import AfterSubmit, after_submit
from kling_notebook.api.sanitize import JSON_LIMIT, parse, parse_all, without_urls
from kling_notebook.api.schema import read_schema

BASE = "https://pixeldojo.ai/api/v1"
PENDING = {
    "jobId": "job_abc123",
    "status": "pending",
    "statusUrl": f"{BASE}/jobs/job_abc123",
    "creditCost": 1,
    "creditsRemaining": 95,
}
ONE, TWO = "https://temp.pixeldojo.ai/1.png?sig=a", "https://temp.pixeldojo.ai/2.png?sig=b"


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def _submitted(value: Any, status: int = 200) -> Any:
    return wire.read_submit(status, {}, _bytes(value), base_url=BASE)


def _polled(value: Any, status: int = 200) -> Any:
    return wire.read_job(status, {}, _bytes(value), "job_abc123", base_url=BASE)


# --- submit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202])
def test_the_documented_reply_to_a_submit(status: int) -> None:
    job = _submitted(PENDING, status)
    assert (job.job_id, job.state, job.status) == ("job_abc123", "running", "pending")
    assert job.status_url == f"{BASE}/jobs/job_abc123"
    assert (job.credit_cost, job.credits_remaining) == (1.0, 95.0)
    assert job.image_urls == ()


@pytest.mark.parametrize(
    ("reply", "job_id"),
    [
        ({"jobId": "a", "status": "pending"}, "a"),
        ({"jobId": "a"}, "a"),
        ({"job_id": "a"}, "a"),
        ({"id": "a"}, "a"),
        ({"jobId": 123}, "123"),
        ({"jobId": " a "}, "a"),
        ({"jobId": None, "id": "a"}, "a"),
        ({"jobId": "a", "status": "completed"}, "a"),
        ({"jobId": "a", "status": {"odd": 1}, "creditCost": "?", "statusUrl": 3, "output": 7}, "a"),
        (b"\xef\xbb\xbf" + b'{"jobId": "a"}', "a"),
    ],
)
def test_whatever_else_is_missing_or_odd_a_job_id_is_kept(reply: Any, job_id: str) -> None:
    job = _submitted(reply)
    assert job.job_id == job_id
    assert job.state == "running"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"{",
        b'{"jobId": ',
        b"<html>",
        b"null",
        b"[]",
        b'"job_abc"',
        b"\xff\xfe",
        b"[" * 5000,
        b"1" * 5000,
        {},
        {"jobId": ""},
        {"jobId": "  "},
        {"jobId": None},
        {"jobId": True},
        {"jobId": 1.5},
        {"jobId": ["a"]},
        {"jobId": ".."},
        {"jobId": "a\nb"},
        {"jobId": "a\ud800"},
        {"jobId": "x" * 513},
        {"status": "pending"},
        {"error": "odd"},
    ],
)
def test_a_reply_to_a_submit_without_a_usable_job_id_may_have_bought(reply: Any) -> None:
    with pytest.raises(UnexpectedReplyError) as caught:
        _submitted(reply)
    assert caught.value.maybe_submitted
    assert after_submit(caught.value) is AfterSubmit.UNKNOWN
    assert "not sent again" in str(caught.value)


def test_a_torn_reply_still_tells_its_job_id() -> None:
    """An id is an id: the job continues. One that broke off is none."""
    for torn in (b'{"jobId": "job_abc123", "status": "pen', b'{"jobId": "job_abc123", "pad": "' + b" " * JSON_LIMIT):
        job = wire.read_submit(200, {}, torn, cut="it took too long")
        assert (job.job_id, job.state, job.image_urls) == ("job_abc123", "running", ())
    with pytest.raises(UnexpectedReplyError, match="cut short: it took too long") as caught:
        wire.read_submit(200, {}, b'{"jobId": "job_abc1', cut="it took too long")
    assert caught.value.job_id is None
    assert caught.value.maybe_submitted


# What a reply may be wrapped in, or damaged by, while it is clear what it says.
WRAPPED = {
    "a byte order mark": b"\xef\xbb\xbfREPLY",
    "UTF-16": "REPLY",
    "one byte more": b"REPLYx",
    "a bracket more": b"REPLY}",
    "a list": b"[REPLY]",
    "JSONP": b"callback(REPLY);",
    "JSONP with a comment": b"/**/ typeof cb === 'function' && cb(REPLY);",
    "an event": b"event: message\ndata: REPLY\n\n",
    "events": b'data: {"jobId":"job_abc123","status":"processing"}\n\ndata: REPLY\n\ndata: [DONE]\n\n',
    "lines": b'{"jobId":"job_abc123","status":"queued"}\nREPLY\n',
    "lines about others": b'REPLY\n{"jobId":"job_other","status":"failed"}\n',
    "a guard": b"while(1);REPLY",
    "JSON in JSON": b'{"data":"ESCAPED"}',
    "a text": b'"ESCAPED"',
    "a page": b"<html><style>p{color:red}</style><pre>REPLY</pre>",
    "a notice before": b"Warning: odd {value} in line 3\nREPLY",
    "a comma before the end": b"REPLY,}",
    "an event with quotes before": b'data: {"status":"queued","prompt":"a "red" fox"}\n\ndata: REPLY\n\n',
    "an event with quotes after": b'data: {"status":"queued"}\n\ndata: {"prompt":"a "red" fox","data":REPLY}\n\n',
    "a script before": b'<html><script>var a={"b":"c" + "d"};</script><pre>REPLY</pre></html>',
    "quotes without an escape": b'{"prompt":"a "red" fox called "Rex"","rest":"" , REPLY',
}


def _wrapped(kind: str, reply: Any) -> bytes:
    text, outer = json.dumps(reply), WRAPPED[kind]
    if isinstance(outer, str):
        return outer.replace("REPLY", text).encode("utf-16")
    if kind.startswith("quotes"):
        return outer.replace(b"REPLY", text[1:].encode())
    if kind.startswith("a comma"):
        return text[:-1].encode() + b",}"
    return outer.replace(b"REPLY", text.encode()).replace(b"ESCAPED", json.dumps(text)[1:-1].encode())


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_a_reply_is_wrapped_in_hides_nothing_of_it(kind: str) -> None:
    done = {"jobId": "job_abc123", "status": "completed", "output": {"images": [ONE, TWO]}}
    job = _polled(_wrapped(kind, done))
    assert (job.job_id, job.state, job.image_urls) == ("job_abc123", "completed", (ONE, TWO))
    failed = _polled(_wrapped(kind, {"jobId": "job_abc123", "status": "failed", "error": "NSFW"}))
    assert (failed.state, failed.error) == ("failed", "NSFW")
    if kind != "lines about others":
        assert _submitted(_wrapped(kind, {"jobId": "job_abc123", "status": "pending"})).job_id == "job_abc123"


def test_a_torn_poll_shows_what_arrived_and_ends_nothing() -> None:
    """Its images count if they stand there twice; a failure may be another one's, or be taken back."""
    whole = _bytes({"jobId": "job_abc123", "status": "completed", "output": {"images": [ONE, TWO]}, "cost": 1})
    torn = [_polled(whole[: whole.index(end) + len(end)]) for end in (b'sig=a"', b'sig=b"', b"}")]
    assert [job.state for job in torn] == ["running"] * 3
    assert [job.output_urls for job in torn] == [(ONE,), (ONE, TWO), (ONE, TWO)]
    assert wire.completed_by_evidence(torn[0], torn[0], 2).state == "running"
    assert wire.completed_by_evidence(torn[1], torn[2], 2).image_urls == (ONE, TWO)
    failed = _polled(b'{"jobId": "job_abc123", "status": "failed", "error": "NSFW", "log": "x')
    assert wire.completed_by_evidence(failed, failed, 1).state == "running"


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a \\x41 fox", "jobId": "job_abc123"},
        b'{"prompt": "a \\x fox", "jobId": "job_abc123"}',
        b'{"jobId": "job_abc123", "tags": ["a", "b",], }',
    ],
)
def test_what_is_not_quite_json_is_read(body: Any) -> None:
    assert _submitted(body).job_id == "job_abc123"


@pytest.mark.long
def test_nonsense_does_not_take_long_to_read() -> None:
    for body in (b"[" * JSON_LIMIT, b'{"a":' * 10**6, b'{"a":"' * 10**6, b"{a" * 10**6, b'["' + b"A" * JSON_LIMIT):
        began = time.process_time()
        parse_all(body)
        assert time.process_time() - began < 5


HOSTILE = {
    "escapes": b'{"a":"' + b"\\x" * (JSON_LIMIT // 4) + b'"}',
    "names": b"{" + b",".join(b'"k%d":1' % k for k in range(200_000)) + b"}",
    "addresses": b"jobs/" * (JSON_LIMIT // 5),
    "addresses elsewhere": b'"https://elsewhere.example/jobs/a" ' * 200_000,
    "warnings": b'{"jobId":"job_abc123","warnings":[' + b",".join([b'"odd"'] * 1_000_000) + b"]}",
}


@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_reply_does_not_take_long_to_read(body: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ApiError):
        wire.read_submit(200, {}, HOSTILE[body], base_url=BASE)
    assert time.process_time() - began < 5


# --- names of ids -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "jobId",
        "job_id",
        "JOBID",
        "Job-Id",
        "jobid",
        "id",
        "ID",
        "taskId",
        "TASK_ID",
        "task-id",
        "requestId",
        "request_id",
        "predictionId",
        "prediction_id",
        "generationId",
        "promptId",
        "uuid",
        "UUID",
        "runId",
        "operation_id",
    ],
)
@pytest.mark.parametrize("outer", [None, "data", "result"])
def test_an_id_is_an_id_whatever_the_spelling_of_its_name(name: str, outer: str | None) -> None:
    reply: Any = {name: "job_abc123", "status": "queued"}
    assert _submitted({outer: reply} if outer else reply).job_id == "job_abc123"


@pytest.mark.parametrize(
    "reply",
    [
        {"requestId": "trace-1", "data": {"id": "job_abc123", "status": "queued"}},
        {"request_id": "trace-1", "jobId": "job_abc123"},
        {"id": "call-1", "data": {"task_id": "job_abc123"}},
        {"uuid": "trace-1", "job": {"id": "job_abc123"}},
        {"jobId": "null", "id": "job_abc123"},
        {"jobId": "undefined", "taskId": 0, "id": "job_abc123"},
        {"links": {"list": f"{BASE}/jobs/recent", "self": f"{BASE}/jobs/job_abc123"}},
        {"success": False, "error": "late", "requestId": "trace-1", "jobId": "job_abc123"},
        {"jsonrpc": "2.0", "id": 1, "result": "job_abc123"},
        {"jsonrpc": "2.0", "id": 1, "result": {"id": "job_abc123"}},
        {"requestId": "trace-1", "job": "job_abc123"},
    ],
)
def test_the_id_of_a_request_is_not_taken_for_that_of_its_job(reply: Any) -> None:
    assert _submitted(reply).job_id == "job_abc123"


@pytest.mark.parametrize(
    "reply",
    [
        {"success": False, "error": {"code": "insufficient_credits", "message": "none left"}, "requestId": "trace-1"},
        {"code": 402, "message": "none left", "data": None, "request_id": "trace-1"},
        {"error": "none left", "id": "err-1"},
        {"jobId": "undefined", "status": "pending"},
        {"jobId": 0, "status": "pending"},
        {"status": "pending", "docs": f"{BASE}/jobs/{{jobId}}"},
        {"status": "pending", "docs": f"{BASE}/jobs/:id"},
    ],
)
def test_an_error_or_a_template_names_no_job(reply: Any) -> None:
    with pytest.raises(UnexpectedReplyError) as caught:
        _submitted(reply)
    assert caught.value.maybe_submitted


@pytest.mark.parametrize(
    ("reply", "job_id"),
    [
        ({"job": "job_1"}, "job_1"),
        ({"job": "job_1", "status": "queued"}, "job_1"),
        ({"data": {"job": "job_1"}}, "job_1"),
        ({"task": "831922345719271433"}, "831922345719271433"),
        ({"data": ["0f8fad5b-d9cb-469f-a165-70867728950e"]}, "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ({"jobIds": ["job_1"]}, "job_1"),
        ({"task_ids": ["a"], "status": "queued"}, "a"),
        ({"jobId": {"id": "job_1"}}, "job_1"),
        ({"data": {"taskId": {"id": 7}}}, "7"),
        ({"task": "text-to-image-2", "job": "job_1"}, "job_1"),
        ({"id": "job_1", "job": "job_2"}, "job_1"),
    ],
)
def test_the_id_alone_may_stand_in_the_place_of_the_job(reply: Any, job_id: str) -> None:
    assert _submitted(reply).job_id == job_id


@pytest.mark.parametrize(
    "reply",
    [
        {"job": "image"},
        {"job": "text-to-image"},
        {"job": "text-to-image-2", "task": "img2img"},
        {"job": "job_image"},
        {"job": 1},
        {"result": "ok", "data": "queued"},
        {"jobIds": ["job_1", "job_2"]},
        {"jobs": ["job_1"]},
        {"user": {"job": "job_1"}},
        {"jobId": {"name": "job_1"}},
        {"input": {"job": "job_1"}},
        {"error": "too many at once", "job": "job_1"},
        {"success": False, "data": {"job": "job_1"}},
        {"error": "too many at once", "jobIds": ["job_1"]},
        {"jsonrpc": "2.0", "id": 1, "result": "text-to-image"},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "job_1"}},
        b'{"job": "job_1',
        b'<html><script>{"job": "job_1"}</script></html>',
    ],
)
def test_what_may_be_no_id_of_the_job_is_not_taken_for_one(reply: Any) -> None:
    with pytest.raises(UnexpectedReplyError) as caught:
        _submitted(reply)
    assert caught.value.maybe_submitted


def test_a_job_asked_for_is_not_another_that_stands_beside_it() -> None:
    job = _polled({"id": "job_abc123", "status": "completed", "output": {"images": [ONE]}, "job": "job_1"})
    assert (job.job_id, job.image_urls) == ("job_abc123", (ONE,))


@pytest.mark.parametrize("name", ["X-Job-Id", "job-id", "X-JOB-ID"])
def test_a_header_that_names_the_job_holds_its_id(name: str) -> None:
    for status, body in ((202, b""), (200, b'{"status": "queued"}'), (303, b"")):
        assert wire.read_submit(status, {name: "job_1"}, body, base_url=BASE).job_id == "job_1"
    assert wire.read_submit(202, {name: "job_1"}, _bytes({"statusUrl": "jobs/job_2"}), base_url=BASE).job_id == "job_2"
    for headers, status in (({"X-Request-Id": "job_1"}, 202), ({"X-Job-Type": "job_1"}, 202), ({name: "job_1"}, 409)):
        with pytest.raises(ApiError) as caught:
            wire.read_submit(status, headers, b"{}", base_url=BASE)
        assert caught.value.maybe_submitted is (status == 202)


@pytest.mark.parametrize("status", [400, 402, 403, 409, 422, 429])
@pytest.mark.parametrize(
    "reply",
    [
        {"error": "too many at once", "activeJob": {"jobId": "job_other", "status": "running"}},
        {"error": "too many at once", "jobs": [{"jobId": "job_other", "status": "running"}]},
        {"error": "odd", "details": [{"jobId": "job_other"}]},
        {"error": "odd", "jobId": "undefined"},
        {"message": "too many at once", "job": "job_1"},
        {"message": "too many at once", "jobIds": ["job_1"]},
    ],
)
def test_a_refusal_that_names_another_job_is_a_refusal(reply: Any, status: int) -> None:
    with pytest.raises(ApiError) as caught:
        wire.read_submit(status, {}, _bytes(reply), base_url=BASE)
    assert not caught.value.maybe_submitted


ADDRESSES = [
    f"{BASE}/jobs/job_abc123",
    f"{BASE}/jobs/job_abc123/status?x=1",
    "/api/v1/jobs/job_abc123",
    "jobs/job_abc123",
    "../../jobs/job_abc123",
    "http://pixeldojo.ai/api/v1/jobs/job_abc123",
    "https://pixeldojo.ai:443/api/v1/jobs/job%5Fabc123#top",
    f"{BASE}/job/job_abc123",
    "/api/v1/job/job_abc123/status",
    "https://www.pixeldojo.ai/api/v1/jobs/job_abc123",
    "https://www.pixeldojo.ai/api/v1/job/job_abc123?x=1",
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_of_the_job_holds_its_id(url: str) -> None:
    for reply in (
        {"statusUrl": url},
        {"polling_url": url, "status": "queued"},
        {"urls": {"get": url}},
        {"_links": {"self": {"href": url}}},
        {"data": {"links": [{"rel": "self", "href": url}]}},
    ):
        assert _submitted(reply).job_id == "job_abc123"
        assert _submitted(_bytes(reply).replace(b"/", b"\\/")).job_id == "job_abc123"
    for status in (200, 201, 202, 301, 302, 303):
        assert wire.read_submit(status, {"LOCATION": url}, b"", base_url=BASE).job_id == "job_abc123"
    for status in (307, 308, 400, 500):
        with pytest.raises(ApiError):
            wire.read_submit(status, {"Location": url}, b"", base_url=BASE)


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/api/v1/jobs/job_abc123",
        f"{BASE}/jobs/",
        f"{BASE}/jobs/..",
        f"{BASE}/jobs/%2e%2e",
        "https://pixeldojo.ai/other/jobs/job_abc123",
        "/jobs/job_abc123",
        "https://[",
        "job/day",
        "https://pixeldojo.ai/job/job_abc123",
        f"{BASE}/jobsite/job_abc123",
        "https://www.elsewhere.example/api/v1/job/job_abc123",
        "https://api.pixeldojo.ai/api/v1/jobs/job_abc123",
    ],
)
def test_another_address_holds_none(url: str) -> None:
    for read in (
        lambda: _submitted({"statusUrl": url}),
        lambda: wire.read_submit(201, {"Location": url}, b"{}", base_url=BASE),
    ):
        with pytest.raises(UnexpectedReplyError):
            read()
    with pytest.raises(UnexpectedReplyError):
        _submitted(f'{{"statusUrl":"{BASE}/jobs/job_ab'.encode())


GIVEN = "https://elsewhere.example/given.png"
OTHER = {"jobId": "job_other", "status": "completed", "output": {"images": [GIVEN]}}


@pytest.mark.parametrize("word", ["processing", "rendering"])
@pytest.mark.parametrize(
    "beside",
    [
        {"image": GIVEN},
        {"image_url": GIVEN},
        {"imageUrls": [GIVEN]},
        {"data": {"image_url": GIVEN}},
        {"model": {"image": GIVEN}},
        {"banner": {"url": GIVEN}},
        {"previous": OTHER},
        {"url": "https://pixeldojo.ai/jobs/job_abc123"},
        {"downloadUrl": GIVEN},
        {"output": {"link": GIVEN}},
    ],
)
def test_what_a_running_job_was_given_is_not_its_result(word: str, beside: Any) -> None:
    job = _polled({"jobId": "job_abc123", "status": word, **beside})
    assert wire.completed_by_evidence(job, job, 1).state == "running"


def test_of_many_jobs_in_a_reply_the_one_asked_for_counts() -> None:
    done = {"jobId": "job_abc123", "status": "completed", "output": {"images": [ONE]}}
    for reply in ({"jobs": [OTHER, done]}, {"data": [OTHER, done]}, {"data": {"jobs": [OTHER, done]}}):
        assert _polled(reply).image_urls == (ONE,)
    waiting = {"id": "job_abc123", "status": "processing"}
    for reply in ({"data": [{**OTHER, "id": "job_other"}, waiting]}, {**waiting, "tasks": [{**OTHER, "taskId": "t"}]}):
        assert _polled(reply).output_urls == ()


@pytest.mark.parametrize("name", ["outputUrl", "result_url", "resultUrls", "output_images", "downloadUrl"])
def test_an_address_of_the_result_holds_its_image(name: str) -> None:
    assert _polled({"jobId": "job_abc123", "status": "completed", name: ONE}).image_urls == (ONE,)


def test_a_reference_beside_the_result_is_not_an_image_of_it() -> None:
    for name in ("reference_image", "init_image", "mask"):
        assert _polled({"status": "completed", "output": {"photo": ONE, name: GIVEN}}).image_urls == (ONE,)


# --- what ends a job ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [{"status": "error", "message": "upstream timeout"}, {"state": "Expired"}])
def test_a_failure_that_names_no_job_is_believed_when_it_is_seen_twice(reply: Any) -> None:
    once, other = _polled(reply), _polled({"status": "processing"})
    assert once.state == "running"
    assert wire.completed_by_evidence(None, once, 1).state == "running"
    assert wire.completed_by_evidence(other, once, 1).state == "running"
    assert wire.completed_by_evidence(once, once, 1).state == "failed"
    for name in ("jobId", "id", "task_id"):
        assert _polled({**reply, name: "job_abc123"}).state == "failed"


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ({"success": True, "state": "failed"}, "failed"),
        ({"ok": True, "status": "success", "state": "failed"}, "failed"),
        ({"status": "success", "state": "failed", "output": {"images": [ONE]}}, "completed"),
        ({"status": "error", "state": "completed", "output": {"images": [ONE]}}, "completed"),
        ({"status": "ok", "state": "processing"}, "running"),
        ({"status": 200, "state": "completed", "output": {"images": [ONE]}}, "completed"),
        ({"status": "success", "jobStatus": "processing", "output": {"images": [ONE]}}, "running"),
        ({"success": False, "status": "completed", "output": {"images": [ONE]}}, "completed"),
    ],
)
def test_of_several_words_the_one_counts_that_the_images_bear_out(reply: Any, state: str) -> None:
    assert _polled({"jobId": "job_abc123", **reply}).state == state


@pytest.mark.parametrize("status", [203, 206, 303, 404, 410, 500, 503])
def test_images_count_whatever_the_http_status(status: int) -> None:
    done = {"jobId": "job_abc123", "status": "completed", "output": {"images": [ONE]}}
    assert _polled(done, status).image_urls == (ONE,)
    if not 200 <= status < 300:
        with pytest.raises(ApiError):
            _polled({"jobId": "job_abc123", "status": "error", "message": "no access"}, status)


# --- poll ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        *[
            (word, "completed")
            for word in ("completed", "succeed", "success", "done", "finished", "COMPLETED", " Completed ")
        ],
        *[(word, "failed") for word in ("failed", "error", "cancelled", "canceled", "expired", "Failed")],
        *[(word, "running") for word in ("pending", "processing", "queued", "in_progress", "complete?", "ok", "0")],
        *[(word, "running") for word in (None, 3, ["completed"], {"completed": True})],
    ],
)
def test_a_status_no_one_documented_means_still_running(word: Any, state: str) -> None:
    output = {"images": [ONE]} if state == "completed" else None
    job = _polled({"jobId": "job_abc123", "status": word, "output": output})
    assert job.state == state


def test_the_services_own_word_is_kept_lower_cased_and_short() -> None:
    assert _polled({"status": "Warming_Up"}).status == "warming_up"
    assert len(_polled({"status": "x" * 500}).status) == 40
    assert _polled({"status": "a\x1b[31m\nb"}).status == "a b"
    assert _polled({}).status == "unknown"


def test_a_reply_with_images_and_no_status_is_completed() -> None:
    assert _polled({"output": {"images": [ONE]}}).state == "completed"


@pytest.mark.parametrize(
    "body",
    [
        {"output": {"images": [ONE, TWO]}},
        {"output": {"images": [{"url": ONE}, {"url": TWO}]}},
        {"output": {"images": [ONE, None, {"url": TWO}, 3, "", {}]}},
        {"output": {"images": [ONE, ONE, {"url": TWO}, TWO, ONE]}},
        {"output": [ONE, TWO]},
        {"output": [{"url": ONE}, {"url": TWO}]},
        {"output": {"image": ONE, "images": [TWO]}, "only": "order"},
        {"output": {"assets": [{"url": ONE, "type": "image"}, {"url": TWO}]}},
        {"assets": [{"url": ONE}, {"url": TWO}]},
        {"output": None, "assets": [{"url": ONE}, {"url": TWO}]},
        {"output": {"images": []}, "images": [ONE, TWO]},
        {"output": {"images": [{"id": 1, "link": ONE}, {"id": 2, "link": TWO}]}},
        {"output": {"images": [{"url": ONE, "link": "https://pixeldojo.ai/view/1"}, {"url": TWO}]}},
        {"output": {"images": [ONE, TWO]}, "downloadUrl": "https://temp.pixeldojo.ai/all.zip"},
        {
            "choices": [
                {"message": {"content": "", "images": [{"image_url": {"url": ONE}}, {"image_url": {"url": TWO}}]}}
            ]
        },
        {"downloadUrls": [ONE, TWO]},
        {"output": {"images": [ONE.replace("?", "?a=1&amp;"), TWO]}, "only": "escaped"},
    ],
)
def test_images_are_found_in_every_shape_of_output(body: dict[str, Any]) -> None:
    job = _polled({"status": "completed", **body})
    if body.get("only") == "escaped":
        assert job.image_urls == (ONE.replace("?", "?a=1&"), TWO)
    elif "only" in body:
        assert set(job.image_urls) == {ONE, TWO}
    else:
        assert job.image_urls == (ONE, TWO)


@pytest.mark.parametrize(
    "output", [ONE, {"image": ONE}, {"image": {"url": ONE}}, {"images": ONE}, {"url": ONE}, [[ONE]]]
)
def test_one_image_is_found_in_every_shape_of_output(output: Any) -> None:
    assert _polled({"status": "completed", "output": output}).image_urls == (ONE,)


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        (json.dumps({"images": [ONE, TWO]}), (ONE, TWO)),
        (json.dumps([ONE, TWO]), (ONE, TWO)),
        ({"images": json.dumps([{"url": ONE}])}, (ONE,)),
        (f"{ONE}\n{TWO}", (ONE, TWO)),
        ({"images": f"{ONE},{TWO}"}, (ONE, TWO)),
        (f"{ONE}, {TWO}", (ONE, TWO)),
        ({"images": [f"{ONE} {TWO}"]}, (ONE, TWO)),
        (f"![a fox]({ONE})", (ONE,)),
        (f'<p><img alt="a fox" src="{ONE}"></p>', (ONE,)),
        ({"images": [ONE.removeprefix("https:")]}, (ONE,)),
        ({"images": ["/files/1.png?sig=a"]}, ("https://pixeldojo.ai/files/1.png?sig=a",)),
        ({"image": {"url": "/api/v1/files/a%20b/1.webp"}}, ("https://pixeldojo.ai/api/v1/files/a%20b/1.webp",)),
        ({"path": "/mnt/out/1.png", "download": ONE}, (ONE,)),
        ({"images": ["https://temp.pixeldojo.ai/a fox, red.png"]}, ("https://temp.pixeldojo.ai/a fox, red.png",)),
    ],
)
def test_addresses_are_found_in_a_text_and_those_of_the_service_without_its_host(
    output: Any, urls: tuple[str, ...]
) -> None:
    assert _polled({"jobId": "job_abc123", "status": "completed", "output": output}).image_urls == urls


@pytest.mark.parametrize("output", [{"b64_json": "A" * 12 * 10**6}, "<img " * 10**6, f"{ONE}{' ' * 10**5}x"])
def test_a_long_text_does_not_take_long_to_search_for_addresses(output: Any) -> None:
    began = time.process_time()
    wire._images_of({"output": output}, BASE)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "output",
    ["see https://pixeldojo.ai/help", "/api/v1/jobs/job_abc123", "[a](https://x.y/z)", {"lock": "/var/job.lock"}],
)
def test_an_address_in_a_sentence_is_not_an_image(output: str) -> None:
    job = _polled({"jobId": "job_abc123", "status": "warming", "output": output})
    assert job.output_urls == ()


@pytest.mark.parametrize("output", [None, {}, [], "", 3, {"images": []}, {"images": [None]}, {"images": ["image.png"]}])
def test_completed_without_an_image_is_unexpected_and_the_reply_is_kept(output: Any) -> None:
    reply = {"jobId": "job_abc123", "status": "completed", "output": output, "seen": "x"}
    with pytest.raises(UnexpectedReplyError) as caught:
        _polled(reply)
    assert caught.value.raw["seen"] == "x"
    assert caught.value.job_id == "job_abc123"
    assert not caught.value.maybe_submitted


def test_images_of_a_running_job_are_not_taken_for_the_result() -> None:
    assert _polled({"status": "processing", "output": {"images": [ONE]}}).image_urls == ()


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"null", b"[]", b'{"status": "comp'])
def test_a_poll_that_cannot_be_read_keeps_the_job_id(body: bytes) -> None:
    with pytest.raises(UnexpectedReplyError) as caught:
        _polled(body)
    assert caught.value.job_id == "job_abc123"
    assert not caught.value.maybe_submitted


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("content policy", "content policy"),
        ({"code": "nsfw", "message": "content policy"}, "content policy"),
        ({"message": "content policy"}, "content policy"),
        ({"code": "nsfw"}, "nsfw"),
        ({"error": {"message": "content policy"}}, "content policy"),
        (["content", "policy"], "content; policy"),
        (None, "no reason given"),
        (7, "no reason given"),
    ],
)
def test_the_reason_of_a_failed_job_is_a_string_or_an_object(error: Any, reason: str) -> None:
    assert _polled({"status": "failed", "error": error}).error == reason


def test_a_running_job_has_no_error() -> None:
    assert _polled({"status": "processing", "error": None}).error is None


@pytest.mark.parametrize(
    ("shown_text", "number"),
    [
        (1, 1.0),
        (0, 0.0),
        (0.5, 0.5),
        ("1.5", 1.5),
        (None, None),
        ("?", None),
        (True, None),
        (-1, None),
        ([1], None),
        (float("nan"), None),
        (float("inf"), None),
        ("inf", None),
        ("nan", None),
        (10**400, None),
    ],
)
def test_credits_may_be_fractional_and_are_never_nonsense(shown_text: Any, number: float | None) -> None:
    job = _polled({"status": "pending", "creditCost": shown_text, "creditsRemaining": shown_text})
    assert job.credit_cost == job.credits_remaining == number


@pytest.mark.parametrize(
    "named",
    [
        "https://evil.example/jobs/a",
        "http://pixeldojo.ai/api/v1/jobs/a",
        "https://pixeldojo.ai.evil.example/a",
        "a",
        "",
        3,
        None,
    ],
)
def test_a_status_url_elsewhere_is_ignored(named: Any) -> None:
    assert _submitted({**PENDING, "statusUrl": named}).status_url is None


# --- errors -------------------------------------------------------------------------------------------------------

_R, _A, _U = AfterSubmit.REFUSED, AfterSubmit.AGAIN, AfterSubmit.UNKNOWN


@pytest.mark.parametrize(
    ("base_url", "shown_text"),
    [
        ("https://pixeldojo.ai/api/v1", True),
        ("https://pixeldojo.ai:8443/api/v1", False),
        ("https://gateway.example/v1", False),
        ("http://127.0.0.1:99/api/v1", False),
    ],
)
def test_where_to_buy_credits_is_reported_of_pixeldojo_only(base_url: str, shown_text: bool) -> None:
    """Another service sells its own, and a sandbox none."""
    with pytest.raises(InsufficientCreditsError, match=r"Not enough credits.*nothing was bought") as caught:
        wire.read_submit(402, {}, b"{}", base_url=base_url)
    assert ("https://pixeldojo.ai/api-platform/buy-credits" in str(caught.value)) == shown_text


@pytest.mark.parametrize(
    ("status", "code", "kind", "after"),
    [
        (400, "invalid_request", InvalidRequestError, _R),
        (400, "internal_error", InvalidRequestError, _R),
        (401, "unauthorized", UnauthorizedError, _R),
        (402, "insufficient_credits", InsufficientCreditsError, _R),
        (402, None, InsufficientCreditsError, _R),
        (403, "insufficient_credits", InsufficientCreditsError, _R),
        (403, "NOT_ENOUGH_CREDITS", InsufficientCreditsError, _R),
        (403, "unauthorized", UnauthorizedError, _R),
        (403, None, ApiError, _R),
        (404, "model_not_found", ModelNotFoundError, _R),
        (405, None, ApiError, _R),
        (408, None, ApiError, _U),
        (408, "rate_limited", ApiError, _U),
        (409, None, ApiError, _R),
        (413, "invalid_request", InvalidRequestError, _R),
        (422, None, InvalidRequestError, _R),
        (429, "rate_limited", RateLimitedError, _A),
        (429, None, RateLimitedError, _A),
        (500, "internal_error", ServerError, _U),
        (500, "rate_limited", ServerError, _U),
        (502, None, ServerError, _U),
        (503, "unauthorized", ServerError, _U),
        (504, None, ServerError, _U),
        (599, None, ServerError, _U),
        (600, None, UnexpectedReplyError, _U),
        (999, None, UnexpectedReplyError, _U),
        (100, None, UnexpectedReplyError, _U),
        (0, None, UnexpectedReplyError, _U),
        (300, None, UnexpectedReplyError, _U),
        (301, None, UnexpectedReplyError, _U),
        (302, None, UnexpectedReplyError, _U),
        (303, None, UnexpectedReplyError, _U),
        (304, None, UnexpectedReplyError, _U),
        (307, None, UnexpectedReplyError, _R),
        (308, None, UnexpectedReplyError, _R),
    ],
)
def test_the_http_status_decides_first_then_the_code(
    status: int, code: str | None, kind: type[ApiError], after: AfterSubmit
) -> None:
    body = _bytes({"error": {"code": code, "message": "why"}})
    error = wire.read_error(status, {}, body, submitting=True)
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, code, "why")
    assert after_submit(error) is after
    assert error.maybe_submitted == (after is _U)
    assert str(status) in str(error)
    assert str(error).endswith(".")
    assert not wire.read_error(status, {}, body, submitting=False).maybe_submitted


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"code": "invalid_request", "message": "too long"}}, "invalid_request", "too long"),
        ({"error": "too long"}, None, "too long"),
        ({"error": "unauthorized"}, "unauthorized", "unauthorized"),
        ({"error": "bad_thing", "message": "too long"}, "bad_thing", "too long"),
        ({"message": "too long"}, None, "too long"),
        ({"code": "invalid_request"}, "invalid_request", ""),
        ({"code": 17, "message": "too long"}, "17", "too long"),
        ({"detail": "too long"}, None, "too long"),
        ({"detail": [{"loc": ["body", "prompt"], "msg": "too long"}]}, None, "body.prompt: too long"),
        (
            {"errors": [{"field": "prompt", "message": "too long"}, {"path": ["n"], "message": "?"}]},
            None,
            "prompt: too long; n: ?",
        ),
        ({"error": [{"field": "prompt", "message": "too long"}]}, None, "prompt: too long"),
        ({"error": {"details": [{"path": ["prompt"], "message": "too long"}]}}, None, "prompt: too long"),
        ([{"field": "prompt", "message": "too long"}], None, "prompt: too long"),
        (["too long", 3], None, "too long; 3"),
        ("too long", None, "too long"),
        (b"<html><style>p{}</style><title>502</title><body onload=x>Bad <b>Gateway</b>", None, "502 Bad Gateway"),
        (b"plain words", None, "plain words"),
        (b"", None, ""),
        (b"\xff\xfe\x00", None, "��"),
        ({}, None, ""),
        (None, None, ""),
        ([], None, ""),
        ({"odd": None}, None, '{"odd": null}'),
        ({"error": {"error": {"error": {"error": 1}}}}, None, '{"error": {"error": {"error": {"error": 1}}}}'),
    ],
)
def test_every_shape_of_an_error_body_is_read(body: Any, code: str | None, message: str) -> None:
    error = wire.read_error(400, {}, b"null" if body is None else _bytes(body), submitting=True)
    assert (error.code, error.message) == (code, message or str(error))


def test_a_limit_says_when_to_ask_again() -> None:
    assert wire.read_error(429, {"Retry-After": "7"}, b"", submitting=True).retry_after == 7.0
    dated = {"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}
    assert wire.read_error(429, dated, b"", submitting=True, now=10.0).retry_after == 20.0
    assert wire.read_error(429, {}, b"", submitting=True).retry_after is None


@pytest.mark.parametrize(("status", "waits"), [(429, 40.0), (500, None), (503, None), (404, None)])
def test_when_a_window_ends_matters_only_to_what_was_refused_for_it(status: int, waits: float | None) -> None:
    """X-RateLimit-Reset may come with any reply; Retry-After says of any that it is to be waited for."""
    assert wire.read_error(status, {"X-RateLimit-Reset": "40"}, b"", submitting=False).retry_after == waits
    both = {"X-RateLimit-Reset": "40", "Retry-After": "600"}
    error = wire.read_error(status, both, b"", submitting=False)
    assert error.retry_after == 600.0
    assert "; it asked to wait 600 s. " in str(error)


@pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 429])
def test_only_of_a_refused_submit_is_it_reported_that_nothing_was_bought(status: int) -> None:
    """A poll that is refused concerns a job that was."""
    assert str(wire.read_error(status, {}, b"", submitting=True)).endswith("; nothing was bought.")
    assert "nothing" not in str(wire.read_error(status, {}, b"", submitting=False))


@pytest.mark.parametrize(
    ("body", "submitting", "kind"),
    [
        (b'{"error": {"code": "model_not_found", "message": "no such job"}}', False, ModelNotFoundError),
        (b"{}", False, ModelNotFoundError),
        (b"<html><h1>404 Not Found</h1>nginx</html>", False, UnexpectedReplyError),
        (b"default backend - 404", False, UnexpectedReplyError),
        (b"", False, UnexpectedReplyError),
        (b'"not found"', False, UnexpectedReplyError),
        (b"<html><h1>404 Not Found</h1>nginx</html>", True, ModelNotFoundError),
    ],
)
def test_only_the_service_itself_can_say_that_it_knows_no_such_job(
    body: bytes, submitting: bool, kind: type[ApiError]
) -> None:
    """A gateway's page says nothing of the job; to a submit any 404 means that none was made."""
    error = wire.read_error(404, {}, body, submitting=submitting)
    assert type(error) is kind
    assert error.status == 404
    assert not error.maybe_submitted


def test_messages_are_one_short_harmless_line() -> None:
    nasty = "a\x1b[31mred\x1b[0m\x00\r\nb\u202etxt\u2066 \ud800" + "x" * 1000
    error = wire.read_error(400, {}, _bytes({"error": {"code": "c\nd", "message": nasty}}), submitting=True)
    assert error.message.startswith("ared b txt x")
    assert len(error.message) == 300
    assert error.code == "c d"
    str(error).encode()
    assert str(error).isprintable()


# --- harmless -----------------------------------------------------------------------------------------------------


def test_a_record_of_a_reply_opens_no_image() -> None:
    reply = {
        "output": {"images": [ONE, {"url": TWO}], "note": f"see {ONE}, and data:image/png;base64,AAAA"},
        "inline": "DATA:image/png;base64,AAAA",
        "user": "https://name:pass@temp.example/x",
        ONE: 1,
        "kept": ["text", 1.5, None, True],
    }
    job = _polled({"status": "completed", **reply})
    shown = json.dumps(job.raw)
    assert "sig=" not in shown
    assert "1.png" not in shown
    assert "AAAA" not in shown
    assert "pass" not in shown
    assert "[address on temp.pixeldojo.ai]" in shown
    assert job.raw["kept"] == ["text", 1.5, None, True]
    assert "sig=" not in repr(job)


def test_an_error_message_opens_no_image() -> None:
    error = wire.read_error(500, {}, _bytes({"message": f"could not store {ONE}"}), submitting=False)
    assert "sig=" not in str(error) + error.message
    with pytest.raises(UnexpectedReplyError) as caught:
        _polled(b'{"status": "completed", "output": {"images": ["' + ONE.encode())
    assert "sig=" not in str(caught.value) + repr(caught.value.raw)


def test_nan_surrogates_and_deep_nesting_do_not_reach_a_record() -> None:
    deep = b'{"jobId": "a", "deep": ' + b"[" * 300 + b"]" * 300 + b', "n": NaN, "s": "\\ud800", "i": -Infinity}'
    raw = _submitted(deep).raw
    json.dumps(raw, allow_nan=False).encode()
    raw["s"].encode()
    assert raw["n"] is None


@pytest.mark.parametrize("body", [b"{" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900, b"9" * 5000])
def test_json_that_is_too_much_is_none(body: bytes) -> None:
    without_urls(parse(body))
    assert parse(b" " * JSON_LIMIT + b"1") is None
    assert parse(b"1".rjust(JSON_LIMIT)) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["completed", "failed", ONE]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["jobId", "status", "output", "images", "url", "error", "code", "message", "errors", "creditCost"]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60), st.integers(0, 999))
def test_no_reply_whatever_breaks_the_reader(body: bytes, status: int) -> None:
    """A reply gives a job or one of our errors: anything else would lose track of a purchase."""
    for read in (lambda: wire.read_submit(status, {}, body), lambda: wire.read_job(status, {}, body, "j")):
        try:
            job = read()
        except KlingError as error:
            str(error).encode()
        else:
            json.dumps(job.raw, allow_nan=False).encode()
            job.job_id.encode()
            assert 200 <= status < 300 or job.job_id
    read_schema(parse(body))
