"""Scripted failures, byte for byte, as a client's socket sees them."""

from __future__ import annotations

import http.client
import io
import json
import struct
import time
import zlib
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
from PIL import Image

from kling_notebook.sandbox import Fault, Sandbox
from kling_notebook.sandbox.faults import Script
from kling_notebook.sandbox.payloads import png_bomb

if TYPE_CHECKING:
    from .conftest import Api

Quick = Callable[..., "Api"]


# -- when ---------------------------------------------------------------------------------------------------------


def test_a_fault_strikes_the_kth_request_and_only_that_one(quick: Quick) -> None:
    api = quick(faults=[Fault("submit", "status", at=2)])
    assert [api.submit().status_code for _ in range(4)] == [200, 500, 200, 200]


def test_a_fault_can_strike_several_in_a_row_or_every_one() -> None:
    script = Script([Fault("poll", "html", at=2, times=3)])
    assert [script.take("poll") is not None for _ in range(6)] == [False, True, True, True, False, False]
    script = Script([Fault("poll", "html")])
    assert all(script.take("poll") for _ in range(6))
    assert script.take("submit") is None


def test_a_fault_added_later_counts_from_then_and_the_first_of_two_wins() -> None:
    script = Script([Fault("poll", "html", at=2)])
    script.take("poll")
    script.add(Fault("poll", "truncated", at=1, times=2))
    kinds = [fault.kind if fault else None for fault in (script.take("poll") for _ in range(3))]
    assert kinds == ["html", "truncated", None]
    script.add(Fault("poll", "html"))
    script.clear()
    assert script.take("poll") is None


@pytest.mark.parametrize(
    "fault",
    [
        {"on": "pol", "kind": "html"},
        {"on": "poll", "kind": "drop"},
        {"on": "poll", "kind": "bomb"},
        {"on": "download", "kind": "fewer"},
        {"on": "schema", "kind": "failed"},
        {"on": "poll", "kind": "html", "at": 0},
        {"on": "poll", "kind": "wire"},
    ],
)
def test_a_fault_that_cannot_be_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fault|count|bytes"):
        Fault(**fault)


def test_faults_come_and_go_while_it_runs(api: Api) -> None:
    api.sandbox.add_fault(Fault("submit", "status", status=503))
    assert api.submit().status_code == 503
    api.sandbox.clear_faults()
    assert api.submit().status_code == 200


# -- breaking connections -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "made"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_submit_sends_no_byte_and_makes_a_job_or_none(quick: Quick, kind: Any, made: int) -> None:
    api = quick(faults=[Fault("submit", kind, at=1)])
    assert api.raw_submit() == b""
    assert (api.sandbox.charges, api.sandbox.count("submit")) == (made, 1)
    assert api.sandbox.log[0].status == 0
    assert api.raw_submit().startswith(b"HTTP/1.1 200 OK")


def test_a_submit_dropped_before_reading_is_closed_before_its_body_has_come(quick: Quick) -> None:
    """The header alone is enough; the log counts the request, and the next one is answered."""
    api = quick(faults=[Fault("submit", "drop_before", at=1)])
    head = (
        "POST /api/v1/models/kling-image/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {api.sandbox.key}\r\nContent-Length: 1000000\r\n\r\n"
    )
    assert api.raw(head.encode()) == b""
    (entry,) = api.sandbox.log
    assert (entry.kind, entry.body, entry.with_key, entry.status) == ("submit", b"", True, 0)
    assert api.sandbox.charges == 0
    assert api.submit().status_code == 200


def test_a_dropped_request_is_a_connection_error_to_a_client(quick: Quick) -> None:
    api = quick(faults=[Fault("submit", "drop_after"), Fault("poll", "drop_before")])
    for call in (api.submit, lambda: api.poll("x")):
        with pytest.raises(requests.ConnectionError):
            call()


@pytest.mark.parametrize(("kind", "made"), [("hang_before", 0), ("hang", 1)])
def test_a_hanging_submit_is_silent_until_its_time_is_over(quick: Quick, kind: Any, made: int) -> None:
    api = quick(faults=[Fault("submit", kind, at=1), Fault("submit", kind, at=2, seconds=0.3)])
    with pytest.raises(requests.ReadTimeout):
        api.submit(timeout=1.0)
    assert api.sandbox.charges == made
    started = time.monotonic()
    assert api.raw_submit() == b""
    assert 0.25 < time.monotonic() - started < 10


def test_half_a_header_looks_like_a_reply_to_http_client_and_is_not_one(quick: Quick) -> None:
    api = quick(faults=[Fault("submit", "wire", raw=b"HTTP/1.1 200 OK\r\nContent-Ty")])
    received = api.raw_submit()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in received
    assert api.sandbox.charges == 1
    connection = http.client.HTTPConnection("127.0.0.1", api.sandbox.port, timeout=60)
    connection.request(
        "POST", "/api/v1/models/kling-image/run", b'{"prompt":"x"}', {"Content-Type": "application/json", **api.headers}
    )
    assert connection.getresponse().status == 200
    connection.close()


def test_a_truncated_reply_announces_more_than_it_sends(quick: Quick) -> None:
    api = quick(faults=[Fault("submit", "truncated"), Fault("download", "truncated")])
    header, _, body = api.raw_submit().partition(b"\r\n\r\n")
    announced = next(
        int(line.split(b":")[1]) for line in header.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    assert 0 < len(body) < announced
    assert api.sandbox.charges == 1
    api.sandbox.clear_faults()
    url = api.images()[0]
    api.sandbox.add_fault(Fault("download", "truncated"))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        requests.get(url, timeout=60)


def test_a_slow_drip_never_pauses_long_and_still_takes_its_time(quick: Quick) -> None:
    api = quick(faults=[Fault("download", "slow_drip", seconds=2.0)])
    started = time.monotonic()
    data = requests.get(api.images()[0], timeout=1.5).content  # a read time-out per read never strikes
    assert 1.6 < time.monotonic() - started < 10
    assert data == png_bomb(4096)


# -- the reply's bytes as given -----------------------------------------------------------------------------------


def test_a_reply_can_be_any_bytes_with_the_ids_and_urls_of_the_job_in_them(quick: Quick) -> None:
    """Informational replies, odd labels, torn JSON: whatever a service may send. The job is made, and works."""
    submitted = (
        b'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 202 Sure\r\nX-Odd: a\r\n\r\n{"jobId":"{job_id}",'
    )
    polled = b'HTTP/1.1 200 OK\r\n\r\n{"status":"succeed","id":"{job_id}","urls":["{image_url}","{image_url_1}"]}'
    api = quick(faults=[Fault("submit", "wire", at=1, raw=submitted), Fault("poll", "wire", at=1, times=2, raw=polled)])
    received = api.raw_submit()
    (job_id,) = api.sandbox.job_ids
    assert received == submitted.replace(b"{job_id}", job_id.encode())
    assert (api.sandbox.charges, api.sandbox.log[0].status) == (1, 103)
    first, second = (api.poll(job_id).json() for _ in range(2))
    assert first == second
    assert (first["status"], first["id"]) == ("succeed", job_id)
    assert all(requests.get(url, timeout=60).content == png_bomb(4096) for url in first["urls"])
    assert len(set(first["urls"])) == 2
    assert api.poll(job_id).json()["status"] == "completed"


def test_a_reply_of_given_bytes_can_leave_the_connection_open(quick: Quick) -> None:
    raw = b'HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Encoding: aws-chunked\r\n\r\n{"jobId":"{job_id}"}'
    api = quick(
        faults=[Fault("submit", "wire", at=1, raw=raw, close=False), Fault("download", "wire", raw=b"HTTP/1.1 ")]
    )
    with requests.Session() as session:
        for _ in range(2):
            answer = session.post(api.run_url, json={"prompt": "x"}, headers=api.headers, timeout=60)
            assert answer.json()["jobId"] in api.sandbox.job_ids
        url = session.get(f"{api.sandbox.base_url}/jobs/{answer.json()['jobId']}", headers=api.headers, timeout=60)
        (image,) = url.json()["output"]["images"]
    assert len({entry.port for entry in api.sandbox.log}) == 1
    assert (
        api.raw(f"GET {image[len(api.sandbox.origin) :]} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()) == b"HTTP/1.1 "
    )


def test_a_reply_of_given_bytes_can_come_without_a_job(quick: Quick) -> None:
    api = quick(faults=[Fault("submit", "wire", raw=b"HTTP/1.1 200 OK\r\n\r\n{job_id}", made=False)])
    assert api.raw_submit() == b"HTTP/1.1 200 OK\r\n\r\n"
    assert api.sandbox.charges == 0


# -- wrong answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 418, 422, 429, 500, 502, 503, 504, 520])
@pytest.mark.parametrize("on", ["submit", "poll", "download", "schema"])
def test_any_status_can_be_answered(quick: Quick, status: int, on: Any) -> None:
    api = quick()
    url = api.images()[0]
    api.sandbox.add_fault(Fault(on, "status", status=status))
    charges = api.sandbox.charges
    answer = {
        "submit": api.submit,
        "poll": lambda: api.poll("x"),
        "download": lambda: requests.get(url, timeout=60),
        "schema": lambda: api.get("/api/v1/models/kling-image/schema"),
    }[on]()
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == "A scripted fault."
    assert api.sandbox.charges == charges
    assert api.sandbox.log[-1].status == status


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("error", {"error": {"code": "insufficient_credits", "message": "A scripted fault."}}),
        ("string", {"error": "A scripted fault."}),
        ("message", {"message": "A scripted fault."}),
        ("code", {"code": "insufficient_credits"}),
        ("list", {"errors": [{"path": ["prompt"], "message": "A scripted fault."}]}),
        ("json", [None, {}, "nothing to see"]),
    ],
)
def test_an_error_body_can_have_other_shapes(quick: Quick, body: Any, expected: object) -> None:
    assert quick(faults=[Fault("submit", "status", status=402, body=body)]).submit().json() == expected


def test_an_error_body_can_be_html_text_nothing_or_any_bytes(quick: Quick) -> None:
    def answer(**options: Any) -> requests.Response:
        return quick(faults=[Fault("submit", "status", status=502, **options)]).submit()

    assert answer(body="html").headers["Content-Type"].startswith("text/html")
    assert answer(body="text").text == "A scripted fault."
    assert answer(body="empty").content == b""
    raw = answer(raw=b"\xff\0<script>", content_type="text/weird")
    assert (raw.content, raw.headers["Content-Type"]) == (b"\xff\0<script>", "text/weird")
    assert answer(code="credits_exhausted").json()["error"]["code"] == "credits_exhausted"


@pytest.mark.parametrize("made", [False, True])
def test_a_5xx_can_come_before_or_after_the_job_was_made(quick: Quick, made: bool) -> None:
    api = quick(faults=[Fault("submit", "status", status=503, made=made)])
    assert api.submit().status_code == 503
    assert api.sandbox.charges == made


def test_a_429_carries_seconds_a_date_or_nothing(quick: Quick) -> None:
    def answer(**options: Any) -> requests.Response:
        api = quick(faults=[Fault("submit", "rate_limited", **options)])
        refused = api.submit()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert api.sandbox.charges == 0
        return refused

    assert answer(retry_after=3).headers["Retry-After"] == "3"
    assert answer(retry_after=500).headers["Retry-After"] == "500"
    date = parsedate_to_datetime(answer(retry_after=30, as_date=True).headers["Retry-After"])
    assert 28 <= date.timestamp() - time.time() <= 32
    assert "Retry-After" not in answer().headers


def test_an_html_page_can_come_with_200_after_the_job_was_made(quick: Quick) -> None:
    api = quick(faults=[Fault("submit", "html")])
    answer = api.submit()
    assert (answer.status_code, answer.text[:9]) == (200, "<!DOCTYPE")
    assert api.sandbox.charges == 1


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_leads_to_the_same_address_and_following_it_buys(quick: Quick, status: int) -> None:
    api = quick(faults=[Fault("submit", "redirect", at=1, status=status)])
    answer = api.submit()
    assert answer.status_code == status
    assert answer.headers["Location"] == api.run_url + "?moved=1"
    assert api.sandbox.charges == 0
    followed = requests.post(answer.headers["Location"], json={"prompt": "x"}, headers=api.headers, timeout=60)
    assert followed.status_code == 200


def test_a_download_can_be_redirected_here_or_anywhere(quick: Quick) -> None:
    api = quick(
        faults=[
            Fault("download", "redirect", at=1, status=302),
            Fault("download", "redirect", at=3, url="https://elsewhere.invalid/"),
        ]
    )
    url = api.images()[0]
    assert requests.get(url, timeout=60).content == png_bomb(4096)
    last = requests.get(url, timeout=60, allow_redirects=False)
    assert (last.status_code, last.headers["Location"]) == (307, "https://elsewhere.invalid/")


def test_a_job_can_fail_with_a_string_or_an_object(quick: Quick) -> None:
    problem = {"code": "nsfw", "message": "no"}
    api = quick(faults=[Fault("submit", "failed", at=1), Fault("poll", "failed", at=2, error=problem)])
    first, second = (api.submit().json()["jobId"] for _ in range(2))
    for _ in range(2):
        answers = [api.poll(job_id).json() for job_id in (first, second)]
    assert [answer["status"] for answer in answers] == ["failed", "failed"]
    assert [answer["error"] for answer in answers] == ["A scripted failure of the model.", problem]


def test_a_job_can_deliver_fewer_or_more_pictures(quick: Quick) -> None:
    api = quick(faults=[Fault("submit", "fewer", at=1), Fault("submit", "more", at=2)])
    for expected in (1, 3):
        urls = api.images(num_outputs=2)
        assert len(urls) == expected
        assert all(requests.get(url, timeout=60).status_code == 200 for url in urls)


# -- wrong pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_expired_picture_comes_back_when_the_job_is_asked_again(quick: Quick, status: int) -> None:
    api = quick(faults=[Fault("download", "expired", at=1, status=status)])
    job_id = api.submit().json()["jobId"]
    first = api.poll(job_id).json()["output"]["images"][0]
    assert requests.get(first, timeout=60).status_code == status
    assert requests.get(first, timeout=60).status_code == 410  # and stays away
    second = api.poll(job_id).json()["output"]["images"][0]
    assert requests.get(second, timeout=60).content == png_bomb(4096)


@pytest.mark.parametrize(
    ("body", "start"), [("html", b"<!DOCTYPE"), ("empty", b""), ("text", b"This is"), ("json", b"{")]
)
def test_what_comes_may_be_no_picture_whatever_its_type_says(quick: Quick, body: Any, start: bytes) -> None:
    api = quick(faults=[Fault("download", "wrong_content", body=body)])
    answer = requests.get(api.images()[0], timeout=60)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.content.startswith(start)
    assert bool(answer.content) == bool(start)


def test_a_bomb_is_a_small_valid_png_of_many_pixels(quick: Quick) -> None:
    api = quick(faults=[Fault("download", "bomb")])
    data = requests.get(api.images()[0], timeout=30).content
    assert len(data) < 100_000
    assert struct.unpack(">II", data[16:24]) == (20_000, 20_000)
    small = Image.open(io.BytesIO(png_bomb(10_000)))
    small.load()
    assert small.size == (100, 100)


@pytest.mark.parametrize("on", ["download", "poll"])
def test_a_gzip_bomb_grows_a_thousandfold(quick: Quick, on: Any) -> None:
    api = quick()
    job = api.submit().json()
    url = job["statusUrl"] if on == "poll" else api.poll(job["jobId"]).json()["output"]["images"][0]
    api.sandbox.add_fault(Fault(on, "gzip_bomb", size=70 * 2**20))
    with requests.get(url, headers=api.headers if on == "poll" else {}, stream=True, timeout=30) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        packed = answer.raw.read(decode_content=False)
    assert len(packed) < 100_000
    assert len(zlib.decompress(packed, 31)) == 70 * 2**20


@pytest.mark.parametrize("sized", [True, False])
def test_a_download_can_be_larger_than_anybody_wants(quick: Quick, sized: bool) -> None:
    api = quick(faults=[Fault("download", "oversized", sized=sized)])
    with requests.get(api.images()[0], stream=True, timeout=30) as answer:
        assert ("Content-Length" in answer.headers) == sized
        assert sum(len(chunk) for chunk in answer.iter_content(2**16)) == 65 * 2**20


def test_a_json_reply_can_be_larger_than_anybody_wants(quick: Quick) -> None:
    api = quick(faults=[Fault("poll", "oversized", at=1)])
    job_id = api.submit().json()["jobId"]
    answer = api.poll(job_id)
    assert len(answer.content) == 2 * 2**20
    assert json.loads(answer.content)["status"] == "completed"


def test_a_client_that_leaves_in_the_middle_harms_no_one(quick: Quick) -> None:
    api = quick(faults=[Fault("download", "oversized", at=1), Fault("download", "slow_drip", at=2, seconds=20)])
    for url in api.images(num_outputs=2):
        answer = requests.get(url, stream=True, timeout=30)
        next(answer.iter_content(1))
        answer.close()
    assert api.submit().status_code == 200


def test_the_schema_can_fail_or_be_left_out(make_sandbox: Callable[..., Sandbox]) -> None:
    def status(**options: Any) -> int:
        return requests.get(f"{make_sandbox(**options).base_url}/models/kling-image/schema", timeout=60).status_code

    assert status() == 200
    assert status(schema=None) == 404
    assert status(faults=[Fault("schema", "status", status=503)]) == 503
    with pytest.raises(requests.ConnectionError):
        status(faults=[Fault("schema", "drop_before")])
