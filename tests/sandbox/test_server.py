"""The sandbox over HTTP: what a client meets, what a stranger meets, and what a thousand jobs leave behind."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests
from PIL import Image

from kling_notebook.sandbox import Sandbox
from kling_notebook.sandbox.service import Service

if TYPE_CHECKING:
    from .conftest import Api

RUN = "/api/v1/models/kling-image/run"


# -- the path of one job ------------------------------------------------------------------------------------------


def test_a_job_goes_from_submit_to_its_pictures(sandbox: Sandbox) -> None:
    key = {"Authorization": f"Bearer {sandbox.key}"}
    body = {"prompt": "a fox at dawn", "num_outputs": 2, "aspect_ratio": "3:2", "output_format": "jpeg"}
    submitted = requests.post(f"{sandbox.base_url}/models/kling-image/run", json=body, headers=key, timeout=60).json()
    assert submitted["status"] == "pending"
    assert submitted["creditCost"] == 2
    assert submitted["creditsRemaining"] == sandbox.credits == 9998
    done = requests.get(submitted["statusUrl"], headers=key, timeout=60).json()
    assert done["jobId"] == submitted["jobId"]
    assert done["status"] == "completed"
    assert done["creditCost"] == sandbox.charges == 2
    files = [requests.get(url, timeout=30) for url in done["output"]["images"]]
    assert [file.headers["Content-Type"] for file in files] == ["image/jpeg"] * 2
    sizes = [Image.open(io.BytesIO(file.content)).size for file in files]
    assert sizes == [(1248, 832)] * 2
    assert files[0].content != files[1].content
    counts = [sandbox.count(kind) for kind in ("submit", "poll", "download", "other")]
    assert counts == [1, 1, 2, 0]
    assert [entry.with_key for entry in sandbox.log] == [True, True, False, False]


def test_a_job_with_latency_is_pending_processing_and_completed_over_http(quick: Callable[..., Api]) -> None:
    api = quick(latency=1.2)
    job_id = api.submit().json()["jobId"]
    seen = []
    while not seen or seen[-1] not in ("completed", "failed"):
        seen.append(api.poll(job_id).json()["status"])
        time.sleep(0.03)
    # A busy machine may miss the short first state; test_service holds all three with a clock of its own.
    assert list(dict.fromkeys(seen)) in (["pending", "processing", "completed"], ["processing", "completed"])


def test_pictures_are_painted_while_the_job_is_running(quick: Callable[..., Api]) -> None:
    painted = threading.Event()
    api = quick(latency=3600.0, paint=lambda *_, **__: painted.set() or b"x")
    api.submit()
    assert painted.wait(60)


def test_the_log_tells_what_arrived(api: Api) -> None:
    before = time.time()
    api.submit("a fox", num_outputs=2)
    requests.post(api.run_url, json={"prompt": "x"}, headers={"Authorization": "Bearer wrong"}, timeout=60)
    api.get("/api/v1/models?a=b")
    first, second, third = api.sandbox.log
    assert (first.kind, first.method, first.path, first.status) == ("submit", "POST", RUN, 200)
    assert json.loads(first.body) == {"prompt": "a fox", "num_outputs": 2}
    assert before <= first.at <= second.at <= time.time()
    assert (second.with_key, second.authorization, second.status) == (False, True, 401)
    assert (third.kind, third.path, third.authorization) == ("other", "/api/v1/models?a=b", False)
    assert first.port != second.port


# -- the key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic {key}", "{key}", "Bearer {key}x"]
)
@pytest.mark.parametrize("address", [("POST", RUN), ("GET", "/api/v1/jobs/job_x")])
def test_a_wrong_key_is_401_for_submit_and_poll(api: Api, value: str | None, address: tuple[str, str]) -> None:
    headers = {} if value is None else {"Authorization": value.format(key=api.sandbox.key)}
    method, path = address
    answer = requests.request(method, api.sandbox.origin + path, json={"prompt": "x"}, headers=headers, timeout=60)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"
    assert api.sandbox.charges == 0


def test_a_key_of_any_characters_is_compared_without_stumbling(api: Api) -> None:
    head = b"GET /api/v1/jobs/x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer \xff\r\n\r\n"
    assert api.raw(head).startswith(b"HTTP/1.1 401 ")


def test_two_sandboxes_have_different_keys_and_neither_shows_its_own(make_sandbox: Callable[..., Sandbox]) -> None:
    first, second = make_sandbox(key=None), make_sandbox(key=None)
    assert first.key != second.key
    assert len(first.key) > 24
    assert first.key not in repr(first)
    assert make_sandbox(key="mine").key == "mine"


# -- refusals -----------------------------------------------------------------------------------------------------


def test_without_credits_a_submit_is_402(quick: Callable[..., Api]) -> None:
    api = quick(credits=3)
    assert api.submit(num_outputs=2).json()["creditsRemaining"] == 1
    refused = api.submit(num_outputs=2)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_credits")
    assert api.submit().json()["creditsRemaining"] == 0


def test_an_unknown_model_and_an_unknown_job_are_404(api: Api) -> None:
    answer = requests.post(
        f"{api.sandbox.base_url}/models/dall-e/run", json={"prompt": "x"}, headers=api.headers, timeout=60
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    for path in ("/api/v1/models/dall-e", "/api/v1/models/dall-e/schema"):
        assert api.get(path).json()["error"]["code"] == "model_not_found"
    for job_id in ("job_unknown", "..%2f..%2fetc%2fpasswd", "%00", "%ff", "x" * 2000):
        assert api.poll(job_id).status_code == 404
    for path in ("/", "/api", "/api/v2/models", "/temp/", "/temp/a/b/c", "/temp/a/1-2-3/0.png", "//", "/api/v1/jobs/"):
        assert api.get(path, **api.headers).status_code == 404


def test_a_source_picture_that_cannot_be_read_lets_the_job_fail_with_the_reason(api: Api) -> None:
    job_id = api.submit(image_url="data:image/png;base64,AAAA").json()["jobId"]
    answer = api.poll(job_id).json()
    assert answer["status"] == "failed"
    assert "not a PNG, JPEG or WebP" in answer["error"]


def test_a_picture_of_its_own_can_be_the_source(api: Api) -> None:
    url = api.images()[0]
    assert api.poll(api.submit(image_url=url).json()["jobId"]).json()["status"] == "completed"
    gone = api.poll(api.submit(image_url=url.replace("/0.png", "/1.png")).json()["jobId"]).json()
    assert gone["status"] == "failed"


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "missing"),
        (b"   ", "missing"),
        (b"{", "not JSON"),
        (b'{"prompt": "x"} x', "not JSON"),
        (b'{"prompt": "\xff"}', "UTF-8"),
        ('{"prompt": "x"}'.encode("utf-16"), "UTF-8"),
        (b'{"prompt": "x", "num_outputs": NaN}', "NaN"),
        (b'{"prompt": "x", "num_outputs": -Infinity}', "-Infinity"),
        (b'{"prompt": "x", "num_outputs": 1e999}', "num_outputs must be a whole number."),
        (b'{"prompt": "x", "num_outputs": 1.5}', "num_outputs must be a whole number."),
        (b'{"prompt": "x", "num_outputs": ' + b"9" * 5000 + b"}", "num_outputs must be between 1 and 9."),
        (b'{"prompt": "x", "num_outputs": -' + b"9" * 5000 + b"}", "num_outputs must be between 1 and 9."),
        (b"[" * 200_000, "nested"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested"),
        (b'{"prompt": "' + b"x" * (17 * 2**20) + b'"}', "larger than 16 MB"),
        (b'{"prompt": "' + b"x" * (2 * 2**20) + b'"}', "prompt"),
        (b'{"prompt": "x", "\xc3\xa9<script>": 1}', "\\xe9<script>"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_body_is_400_and_the_service_continues(api: Api, body: bytes, says: str) -> None:
    answer = api.post_bytes(body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert says in answer.json()["error"]["message"]
    assert len(answer.content) < 500
    assert "Traceback" not in answer.text
    assert api.sandbox.charges == 0
    assert api.submit().status_code == 200


def test_no_more_of_a_body_is_kept_than_is_allowed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"prompt": "x" * 5000}).encode()
    assert api.post_bytes(body).status_code == 200
    monkeypatch.setattr("kling_notebook.sandbox.server.MAX_BODY", 1000)
    assert "not JSON" in api.post_bytes(body).json()["error"]["message"]  # the rest was read and dropped


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "json", "application/json; charset=utf-16"],
)
def test_a_wrong_content_type_is_400_and_named(api: Api, content_type: str | None) -> None:
    answer = api.post_bytes(b'{"prompt": "x"}', content_type)
    assert answer.status_code == 400
    assert "Content-Type" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "content_type", ["application/json;charset=UTF-8", "Application/JSON", 'application/json; charset="utf-8"']
)
def test_json_may_be_written_in_other_ways(api: Api, content_type: str) -> None:
    assert api.post_bytes(b'{"prompt": "x"}', content_type).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"])
def test_a_wrong_method_is_405_and_says_which_is_right(api: Api, method: str) -> None:
    answer = requests.request(method, api.run_url, headers=api.headers, timeout=60)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    if method != "HEAD":
        assert answer.json()["error"]["code"] == "invalid_request"
    assert api.submit().status_code == 200


def test_a_body_in_chunks_is_read(api: Api) -> None:
    answer = requests.post(
        api.run_url,
        data=iter([b'{"prompt"', b': "x"}']),
        headers={**api.headers, "Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == 200


def test_noise_on_the_wire_does_not_stop_the_service(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for noise in (
        b"\0\1\2\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST " + RUN.encode() + b" HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        assert b"Traceback" not in api.raw(noise)
    with socket.create_connection(("127.0.0.1", api.sandbox.port)) as connection:
        connection.sendall(b"POST " + RUN.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf")
    assert api.submit().status_code == 200
    assert not caplog.records


def test_an_accident_inside_is_a_documented_500_without_a_traceback(
    api: Api, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError("canary")

    with monkeypatch.context() as patch:
        patch.setattr(Service, "submit", stumble)
        answer = api.submit()
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "canary" not in answer.text + "".join(capfd.readouterr())
    assert api.submit().status_code == 200


# -- strangers ----------------------------------------------------------------------------------------------------


def test_it_listens_on_loopback_only(sandbox: Sandbox) -> None:
    own = [
        c
        for c in psutil.Process().net_connections("inet")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == sandbox.port
    ]
    assert [connection.laddr.ip for connection in own] == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:99", "localhost", "LOCALHOST:8", "[::1]", "[::1]:80"])
def test_its_own_names_are_answered(api: Api, host: str) -> None:
    assert api.get("/api/v1/models", Host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "127.0.0.2",
        "0.0.0.0",  # noqa: S104 - a name to refuse, not one to bind
        "::1",
        "127.0.0.1:x",
        "",
    ],
)
def test_any_other_host_name_is_refused(api: Api, host: str) -> None:
    answer = api.get("/api/v1/models", Host=host)
    assert answer.status_code in (400, 403)  # an empty one is refused by the HTTP layer
    assert "kling-image" not in answer.text


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1", "null", ""])
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
def test_a_web_page_is_refused_even_with_the_key(api: Api, origin: str, method: str) -> None:
    answer = requests.request(
        method, api.run_url, json={"prompt": "x"}, headers={**api.headers, "Origin": origin}, timeout=60
    )
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert api.sandbox.charges == 0


def test_links_use_the_name_the_client_called(api: Api) -> None:
    answer = requests.post(
        api.run_url.replace("127.0.0.1", "localhost"), json={"prompt": "x"}, headers=api.headers, timeout=60
    ).json()
    assert answer["statusUrl"].startswith(f"http://localhost:{api.sandbox.port}/api/v1/jobs/")


# -- the rate limit -----------------------------------------------------------------------------------------------


def test_there_is_no_rate_limit_unless_asked_for(api: Api) -> None:
    answers = [api.submit() for _ in range(80)]
    assert {answer.status_code for answer in answers} == {200}
    assert "X-RateLimit-Limit" not in answers[0].headers


def test_a_rate_limit_refuses_and_says_when_to_come_back(quick: Callable[..., Api]) -> None:
    api = quick(rate_limit=3)
    first, _, third, refused = [api.submit() for _ in range(4)]
    assert [first.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")] == ["3", "2"]
    assert third.headers["X-RateLimit-Remaining"] == "0"
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert 55 <= int(refused.headers["Retry-After"]) <= 60
    assert 55 <= int(refused.headers["X-RateLimit-Reset"]) - time.time() <= 61
    assert api.poll("job_x").status_code == 429
    assert api.get("/api/v1/models").status_code == 200
    assert api.sandbox.charges == 3


def test_a_rate_limit_can_be_unannounced_or_give_a_date(quick: Callable[..., Api]) -> None:
    silent, dated = quick(rate_limit=1, rate_headers=False), quick(rate_limit=1, rate_retry_after="date")
    for api in (silent, dated):
        assert api.submit().status_code == 200
    refused = silent.submit()
    assert refused.status_code == 429
    assert not {"Retry-After", "X-RateLimit-Limit", "X-RateLimit-Reset"} & set(refused.headers)
    date = parsedate_to_datetime(dated.submit().headers["Retry-After"])
    assert 50 <= date.timestamp() - time.time() <= 62


def test_a_short_window_opens_again(quick: Callable[..., Api]) -> None:
    api = quick(rate_limit=1, rate_window=1.0)
    assert [api.submit().status_code for _ in range(2)] == [200, 429]
    time.sleep(1.05)
    assert api.submit().status_code == 200


# -- life ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"port": 70_000}, "port must be a whole number from 0 to 65535"),
        ({"port": "80"}, "port must be a whole number from 0 to 65535"),
        ({"key": "a b"}, "key must be text without spaces"),
        ({"key": " k "}, "key must be text without spaces"),
        ({"key": ""}, "key must be text without spaces"),
        ({"key": "sch\u00fcssel"}, "plain ASCII"),
        ({"latency": float("nan")}, "latency must be a number from 0 up"),
        ({"latency": -1}, "latency must be a number from 0 up"),
        ({"credits": float("inf")}, "credits must be a number from 0 up"),
        ({"fail_rate": 3}, "fail_rate must be a number from 0 to 1"),
        ({"rate_limit": 0}, "rate_limit must be a whole number from 1 up"),
        ({"rate_limit": 1, "rate_window": 0}, "rate_window must be a number above 0"),
        ({"rate_model": "leaky"}, "rate_model must be 'fixed' or 'bucket'"),
        ({"rate_retry_after": "later"}, "rate_retry_after must be"),
        ({"schema": "foo"}, "schema must be 'num_outputs', 'num_images' or None, not 'foo'"),
        ({"asset_lifetime": None}, "asset_lifetime must be a number from 0 up"),
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_by_name_and_range(options: dict[str, Any], says: str) -> None:
    """When the sandbox is made: not by odd answers later."""
    with pytest.raises(ValueError, match=says):
        Sandbox(**options)


def test_a_taken_port_is_an_oserror_in_the_callers_thread(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match=r"[Aa]ddress"):
        Sandbox(port=sandbox.port).start()


def test_stop_ends_the_thread_closes_the_port_and_hanging_requests(quick: Callable[..., Api]) -> None:
    from kling_notebook.sandbox import Fault

    others = set(threading.enumerate())
    api = quick(faults=[Fault("poll", "hang")])
    port = api.sandbox.port
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(api.poll, "x")
        while not api.sandbox.count("poll"):
            time.sleep(0.01)
        started = time.monotonic()
        api.sandbox.stop()
        with pytest.raises(requests.ConnectionError):
            waiting.result()
    assert time.monotonic() - started < 60  # not the hour the request would have hung
    assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "kling-sandbox"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    api.sandbox.stop()


def test_a_stopped_sandbox_starts_again_at_the_same_address(api: Api) -> None:
    url = api.images()[0]
    api.sandbox.stop()
    api.sandbox.start()
    assert requests.get(url, timeout=60).status_code == 200


def test_a_restarted_sandbox_delivers_the_same_pictures(quick: Callable[..., Api], tmp_path: Path) -> None:
    state = tmp_path / "sandbox.json"
    paint = lambda prompt, **options: f"{prompt} {sorted(options.items())}".encode()  # noqa: E731
    first = quick(state_path=state, paint=paint)
    job_id = first.submit("a fox", num_outputs=2).json()["jobId"]
    before = [requests.get(url, timeout=60).content for url in first.poll(job_id).json()["output"]["images"]]
    first.sandbox.stop()
    second = quick(state_path=state, paint=paint, seed=7)
    urls = second.poll(job_id).json()["output"]["images"]
    assert [requests.get(url, timeout=60).content for url in urls] == before
    assert second.sandbox.charges == 0


def test_an_image_to_image_job_is_the_same_picture_after_a_restart(quick: Callable[..., Api], tmp_path: Path) -> None:
    """The source that was sent along is kept beside the table, for its owner only."""
    state, sent = tmp_path / "sandbox.json", io.BytesIO()
    Image.new("RGB", (320, 300), "crimson").save(sent, "png")
    paint = lambda _prompt, *, source, **_: b"from " + (source or b"nothing")  # noqa: E731
    first = quick(state_path=state, paint=paint)
    url = f"data:image/png;base64,{base64.b64encode(sent.getvalue()).decode()}"
    job_id = first.submit("a fox", image_url=url).json()["jobId"]
    first.sandbox.stop()
    second = quick(state_path=state, paint=paint)
    (address,) = second.poll(job_id).json()["output"]["images"]
    assert requests.get(address, timeout=60).content == b"from " + sent.getvalue()
    (kept,) = (tmp_path / "sandbox_sources").iterdir()
    if os.name == "posix":
        assert [path.stat().st_mode & 0o777 for path in (kept.parent, kept)] == [0o700, 0o600]
    kept.write_bytes(b"something else")
    third = quick(state_path=state, paint=paint)
    gone = requests.get(third.poll(job_id).json()["output"]["images"][0], timeout=60)
    assert gone.status_code == 410  # rather than a picture of something else
    assert "source image is no longer kept" in gone.json()["error"]["message"]


def test_it_starts_in_a_running_event_loop(make_sandbox: Callable[..., Sandbox]) -> None:
    async def cell() -> int:
        started = make_sandbox()
        return requests.get(f"{started.base_url}/models", timeout=60).status_code

    assert asyncio.run(cell()) == 200


def test_importing_the_package_loads_neither_tornado_nor_pillow() -> None:
    code = (
        "import sys, kling_notebook.sandbox as s; s.Fault; "
        "print([n for n in ('tornado', 'PIL', 'numpy', 'requests') if n in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_sandbox_imports_no_other_room() -> None:
    code = (
        "import sys, kling_notebook.sandbox as s; s.Sandbox; import kling_notebook.sandbox.painter; "
        "print([n for n in sys.modules if n.startswith('kling_notebook.') and '.sandbox' not in n])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# -- size and speed -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_thousand_jobs_leave_little_behind(quick: Callable[..., Api]) -> None:
    paint = lambda _prompt, *, index, seed, **_: (b"%d %d " % (index, seed)) * 25_000  # noqa: E731 - some 400 kB each
    api = quick(paint=paint)
    process = psutil.Process()

    def jobs(number: int) -> int:
        with requests.Session() as session:
            for _ in range(number):
                job = session.post(api.run_url, json={"prompt": "x" * 500}, headers=api.headers, timeout=60).json()
                done = session.get(job["statusUrl"], headers=api.headers, timeout=60).json()
                assert len(session.get(done["output"]["images"][0], timeout=60).content) > 200_000
        gc.collect()  # what earlier tests left is not counted
        return process.memory_info().rss

    full = jobs(220)  # the kept pictures are at their limit
    assert jobs(1000) - full < 24 * 2**20


def test_source_pictures_sent_along_leave_no_more_behind_than_their_bound(
    quick: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither their bytes nor the data URLs they came in: a job keeps what is needed to paint it."""
    monkeypatch.setattr("kling_notebook.sandbox.sources.MAX_KEPT", 4 * 2**20)
    api = quick(latency=60)
    process = psutil.Process()
    file = io.BytesIO()
    Image.new("RGB", (400, 400), "teal").save(file, "png")

    def jobs(start: int, stop: int) -> int:
        for number in range(start, stop):
            data = file.getvalue() + number.to_bytes(4, "big") * 2**17  # half a megabyte, another one every time
            url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
            assert api.submit(image_url=url).status_code == 200
        gc.collect()
        return process.memory_info().rss

    full = jobs(0, 40)  # the kept sources are at their limit
    assert jobs(40, 160) - full < 24 * 2**20


def test_many_clients_at_once_are_served(quick: Callable[..., Api]) -> None:
    api = quick(credits=64)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: api.submit(), range(80)))
    codes = [answer.status_code for answer in answers]
    assert (codes.count(200), codes.count(402)) == (64, 16)
    assert api.sandbox.charges == 64
    assert api.sandbox.credits == 0


def test_polls_stay_quick_while_it_paints(sandbox: Sandbox) -> None:
    key = {"Authorization": f"Bearer {sandbox.key}"}
    with requests.Session() as session:

        def submit() -> dict[str, Any]:
            body = {"prompt": "a forest at dawn", "num_outputs": 9}
            answer = session.post(f"{sandbox.base_url}/models/kling-image/run", json=body, headers=key, timeout=60)
            return dict(answer.json())

        urls = session.get(submit()["statusUrl"], headers=key, timeout=60).json()["output"]["images"]
        with ThreadPoolExecutor(4) as pool:
            downloads = [pool.submit(requests.get, url, timeout=60) for url in urls]
            job, times = submit(), []
            while not all(download.done() for download in downloads):
                started = time.monotonic()
                session.get(job["statusUrl"], headers=key, timeout=60)
                times.append(time.monotonic() - started)
    assert len(times) > 5
    assert statistics.median(times) < 0.1  # painting on the loop would make each poll wait for a picture
