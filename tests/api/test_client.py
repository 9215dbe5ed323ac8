"""The client against a real service over HTTP: the sandbox, with its faults."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from kling_notebook.api.errors import (
    ApiError,
    DownloadError,
    InputError,
    InsufficientCreditsError,
    Interrupted,
    InvalidRequestError,
    JobFailedError,
    KlingError,
    ModelNotFoundError,
    RateLimitedError,
    ServerError,
    SettingsError,
    StillRunningError,
    TransportError,
    UnauthorizedError,
    UnexpectedReplyError,
)
from kling_notebook.api.generation_request import GenerationRequest, SourceImage
from kling_notebook.api.job import JobStatus, Snapshot
from kling_notebook.jobs import poll_and_save
from kling_notebook.jobs.client import KlingClient
from kling_notebook.jobs.running_job import RunningJob
from kling_notebook.sandbox import Fault, Sandbox

KEY = "sk-canary-0123456789"
FOX = GenerationRequest("a fox", output_format="webp")
Connect = Callable[..., KlingClient]
Start = Callable[..., Sandbox]


def _paint(prompt: str, **_: object) -> bytes:
    """Something like a WebP, at once: here no one looks at it."""
    return b"RIFF\0\0\0\0WEBP" + prompt.encode() * 1000


@pytest.fixture
def start(make_sandbox: Start) -> Start:
    """Start a sandbox with the canary key."""
    return lambda **options: make_sandbox(**{"key": KEY, "paint": _paint, **options})


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make clients of a sandbox with short time-outs; all are closed when the test ends."""
    made: list[KlingClient] = []

    def make(sandbox: Sandbox, **options: Any) -> KlingClient:
        times = {"connect_timeout": 2.0, "read_timeout": 2.0, "download_timeout": 5.0, "rate": 6000.0}
        made.append(KlingClient(sandbox.key, base_url=sandbox.base_url, **{**times, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def service(start: Start) -> Sandbox:
    return start()


@pytest.fixture
def client(service: Sandbox, connect: Connect) -> KlingClient:
    return connect(service)


def _download(client: KlingClient, url: str) -> bytes:
    parts: list[bytes] = []
    client.download(url, parts.append)
    return b"".join(parts)


# --- the ordinary way ---------------------------------------------------------------------------------------------


def test_submit_poll_and_download(client: KlingClient, service: Sandbox) -> None:
    job = client.submit(GenerationRequest("a fox", num_outputs=2, output_format="webp"))
    assert (job.state, job.status, job.credit_cost) == ("running", "pending", 2.0)
    assert job.status_url == f"{service.base_url}/jobs/{job.job_id}"
    done = client.poll(job.job_id, job.status_url)
    assert done.state == "completed"
    assert len(done.image_urls) == 2
    assert all(_download(client, url)[8:12] == b"WEBP" for url in done.image_urls)
    assert [entry.kind for entry in service.log] == ["other", "submit", "poll", "download", "download"]
    assert [entry.with_key for entry in service.log[1:]] == [True, True, False, False]
    assert not any(entry.authorization for entry in service.log if entry.kind == "download")
    assert service.charges == 2


def test_run_gives_the_images_and_tells_its_observer(client: KlingClient) -> None:
    seen: list[Snapshot] = []
    images = client.run(GenerationRequest("a fox", num_outputs=2, output_format="webp"), observer=seen.append)
    assert [image[8:12] for image in images] == [b"WEBP", b"WEBP"]
    assert [snapshot.status for snapshot in seen][:2] == [JobStatus.SUBMITTING, JobStatus.RUNNING]
    assert seen[-1].status is JobStatus.COMPLETED
    assert (seen[-1].saved, seen[-1].images, seen[-1].credits) == (2, 2, 2.0)
    assert seen[-1].job_id
    assert seen[-1].elapsed > 0


def test_an_observer_that_raises_does_not_reach_the_job(client: KlingClient) -> None:
    def broken(_: Snapshot) -> None:
        raise RuntimeError("in the observer")

    assert len(client.run(FOX, observer=broken)) == 1


def test_a_plain_request_does_not_ask_for_the_schema(client: KlingClient, service: Sandbox) -> None:
    client.submit(FOX)
    assert service.count("other") == 0


# --- the schema ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["num_outputs", "num_images"])
def test_a_count_goes_under_the_live_schemas_key(start: Start, connect: Connect, key: str) -> None:
    service = start(schema=key)
    client = connect(service)
    for _ in range(2):
        client.submit(FOX.replace(num_outputs=3))
    posts = [json.loads(entry.body) for entry in service.log if entry.kind == "submit"]
    assert [{k: v for k, v in body.items() if k.startswith("num_")} for body in posts] == [{key: 3}] * 2
    assert service.count("other") == 1
    assert service.charges == 6


@pytest.mark.parametrize("key", ["image_url", "image_urls", "images", "image", "input_image"])
def test_a_source_image_goes_under_the_live_schemas_key(start: Start, connect: Connect, key: str) -> None:
    service = start(image_key=key)
    client = connect(service)
    image = io.BytesIO()
    Image.new("RGB", (400, 400)).save(image, "PNG")
    request = FOX.replace(image=SourceImage.of_bytes(image.getvalue(), "image/png", "fox.png"))
    assert len(client.run(request)) == 1
    shown = client.body_of(request)
    assert "base64" not in json.dumps(shown)
    assert shown[key] in (request.image.identity, [request.image.identity])


def test_without_a_schema_the_documented_key_is_used_and_an_image_is_refused(start: Start, connect: Connect) -> None:
    service = start(schema=None)
    client = connect(service)
    assert client.schema() is None
    client.submit(FOX.replace(num_outputs=2))
    with pytest.raises(InputError, match="could not be had"):
        client.submit(FOX.replace(image="https://example.com/a.png"))
    assert service.count("submit") == 1
    assert service.count("other") == 2  # both pages once: the failure is kept for a minute


def test_a_model_without_a_key_for_images_refuses_them_before_spending(start: Start, connect: Connect) -> None:
    service = start(image_key=None)
    with pytest.raises(InputError, match="lists no key"):
        connect(service).check_request(FOX.replace(image="https://example.com/a.png"))
    assert service.count("submit") == 0


@pytest.mark.parametrize("kind", ["drop_after", "html", "truncated", "hang", "status", "oversized", "redirect"])
def test_a_schema_that_cannot_be_had_does_not_stop_a_request(start: Start, connect: Connect, kind: Any) -> None:
    service = start(faults=[Fault("schema", kind)])
    client = connect(service, read_timeout=0.5)
    client.submit(FOX.replace(num_outputs=2))
    assert service.charges == 2


def test_many_threads_ask_for_the_schema_once(client: KlingClient, service: Sandbox) -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(client.schema())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert found[0].count_key == "num_outputs"
    assert service.count("other") == 1


def test_a_request_for_another_model_is_refused_with_the_way_out(client: KlingClient, service: Sandbox) -> None:
    with pytest.raises(InputError, match="replace") as caught:
        client.submit(FOX.replace(model="flux"))
    assert caught.value.parameter == "model"
    assert service.count("submit") == 0


# --- one purchase, whatever the network does ----------------------------------------------------------------------

UNKNOWN = [
    Fault("submit", "drop_before"),
    Fault("submit", "drop_after"),
    Fault("submit", "hang_before"),
    Fault("submit", "hang"),
    Fault("submit", "wire", raw=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    Fault("submit", "slow_drip"),
    Fault("submit", "html"),
    Fault("submit", "gzip_bomb", size=20 * 2**20),
    *[Fault("submit", "status", status=status) for status in (408, 500, 502, 503, 504)],
    *[Fault("submit", "status", status=500, body=body) for body in ("html", "empty", "list", "text", "json")],
    *[Fault("submit", "redirect", status=status) for status in (301, 302, 303)],
]


@pytest.mark.parametrize("fault", UNKNOWN, ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.body}")
def test_an_unknown_outcome_is_told_and_never_sent_again(start: Start, connect: Connect, fault: Fault) -> None:
    service = start(faults=[fault])
    with pytest.raises(KlingError) as caught:
        connect(service, read_timeout=0.6).run(FOX)
    assert caught.value.maybe_submitted
    assert service.count("submit") == 1
    assert "not sent again" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("submit", "truncated"),
        Fault("submit", "wire", raw=b'HTTP/1.1 200 OK\r\n\r\n{"statusUrl":"{origin}/api/v1/jobs/{job_id}"}'),
        Fault("submit", "oversized"),
    ],
    ids=lambda fault: fault.kind,
)
def test_an_id_that_a_reply_still_holds_is_polled(start: Start, connect: Connect, fault: Fault) -> None:
    """In the torn body, in the address of its status, in a body with 2 MB after it: an id is an id."""
    service = start(faults=[fault])
    assert len(connect(service).run(FOX)) == 1
    assert (service.count("submit"), service.charges) == (1, 1)


REFUSED: list[tuple[Fault, type[ApiError]]] = [
    (Fault("submit", "status", status=400), InvalidRequestError),
    (Fault("submit", "status", status=401), UnauthorizedError),
    (Fault("submit", "status", status=402), InsufficientCreditsError),
    (Fault("submit", "status", status=403, code="insufficient_credits"), InsufficientCreditsError),
    (Fault("submit", "status", status=404), ModelNotFoundError),
    (Fault("submit", "status", status=422, body="list"), InvalidRequestError),
    (Fault("submit", "redirect", status=307), UnexpectedReplyError),
    (Fault("submit", "redirect", status=308), UnexpectedReplyError),
    (Fault("submit", "rate_limited", retry_after=600), RateLimitedError),
]


@pytest.mark.parametrize(("fault", "kind"), REFUSED, ids=lambda value: getattr(value, "status", None) or "")
def test_a_refusal_is_told_and_not_repeated(start: Start, connect: Connect, fault: Fault, kind: type[ApiError]) -> None:
    service = start(faults=[fault])
    with pytest.raises(kind) as caught:
        connect(service).run(FOX)
    assert type(caught.value) is kind
    assert not caught.value.maybe_submitted
    assert (service.count("submit"), service.charges) == (1, 0)


@pytest.mark.parametrize("options", [{"retry_after": 1}, {"retry_after": 1, "as_date": True}, {}])
def test_a_limit_is_waited_for_and_the_request_sent_again(start: Start, connect: Connect, options: Any) -> None:
    service = start(faults=[Fault("submit", "rate_limited", at=1, **options)])
    seen: list[Snapshot] = []
    assert len(connect(service).run(FOX, observer=seen.append)) == 1
    assert (service.count("submit"), service.charges) == (2, 1)
    assert any("rate limit" in (snapshot.waiting_for or "") for snapshot in seen)


def test_what_never_left_is_sent_again(start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    service = start()
    port = int(service.base_url.rpartition(":")[2].partition("/")[0])
    service.stop()
    client = KlingClient(KEY, base_url=service.base_url, rate=6000.0)
    with pytest.raises(TransportError) as caught:
        client.submit(FOX)
    assert caught.value.never_left
    later: list[Sandbox] = []

    def open_shop(snapshot: Snapshot) -> None:
        if "network" in (snapshot.waiting_for or "") and not later:
            later.append(start(port=port))

    assert len(client.run(FOX, observer=open_shop)) == 1
    assert later[0].charges == 1
    client.close()


def test_running_out_of_credits_is_told(start: Start, connect: Connect) -> None:
    service = start(credits=1)
    client = connect(service)
    assert client.submit(FOX).credits_remaining == 0
    with pytest.raises(InsufficientCreditsError, match=r"0 are left.*nothing was bought"):
        client.submit(FOX)


# --- polls and downloads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("poll", "drop_after"), TransportError),
        (Fault("poll", "hang"), TransportError),
        (Fault("poll", "slow_drip"), TransportError),
        (Fault("poll", "truncated"), TransportError),
        (Fault("poll", "wire", raw=b"HTTP/1.1 200 OK\r\nContent-Ty"), UnexpectedReplyError),
        (Fault("poll", "html"), UnexpectedReplyError),
        (Fault("poll", "redirect", status=302), UnexpectedReplyError),
        (Fault("poll", "status", status=500), ServerError),
        (Fault("poll", "status", status=401), UnauthorizedError),
        (Fault("poll", "status", status=404), ModelNotFoundError),
        (Fault("poll", "rate_limited", retry_after=3), RateLimitedError),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_failed_poll_keeps_the_job_id_and_says_nothing_of_the_job(
    start: Start, connect: Connect, fault: Fault, kind: type[KlingError]
) -> None:
    service = start()
    client = connect(service, read_timeout=0.6)
    job = client.submit(FOX)
    service.add_fault(fault)
    with pytest.raises(kind) as caught:
        client.poll(job.job_id)
    assert type(caught.value) is kind
    assert caught.value.job_id == job.job_id
    assert not caught.value.maybe_submitted
    service.clear_faults()
    assert client.poll(job.job_id).state == "completed"


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault("poll", kind, at=1) for kind in ("drop_after", "truncated", "html", "status")),
        Fault("poll", "wire", at=1, raw=b"HTTP/1.1 200 OK\r\nContent-Ty"),
        Fault("poll", "wire", at=1, raw=b'HTTP/1.1 200 OK\r\n\r\n{"status":"warming_up"}'),
    ],
    ids=lambda fault: fault.kind,
)
def test_run_asks_again_after_a_failed_poll(start: Start, connect: Connect, fault: Fault) -> None:
    service = start(faults=[fault])
    assert len(connect(service).run(FOX)) == 1
    assert (service.count("submit"), service.count("poll")) == (1, 2)


def test_a_foreign_status_url_is_not_asked(start: Start, connect: Connect) -> None:
    raw = b'HTTP/1.1 200 OK\r\n\r\n{"jobId":"{job_id}","statusUrl":"https://elsewhere.invalid/api/v1/jobs/{job_id}"}'
    service = start(faults=[Fault("submit", "wire", raw=raw)])
    client = connect(service)
    job = client.submit(FOX)
    assert job.status_url is None
    assert client.poll(job.job_id, "https://elsewhere.invalid/api/v1/jobs/x").state == "completed"
    assert service.log[-1].with_key


def test_a_failed_job_is_told_with_its_reason(start: Start, connect: Connect) -> None:
    service = start(faults=[Fault("submit", "failed", error={"code": "nsfw", "message": "not that"})])
    with pytest.raises(JobFailedError, match="not that") as caught:
        connect(service).run(FOX)
    assert caught.value.job_id


def test_an_expired_address_is_renewed_and_broken_images_are_fetched_again(start: Start, connect: Connect) -> None:
    service = start(faults=[Fault("download", "expired", at=1), Fault("download", "truncated", at=2)])
    assert connect(service).run(FOX)[0][8:12] == b"WEBP"
    assert (service.count("submit"), service.count("poll"), service.count("download")) == (1, 2, 3)


def test_an_image_that_cannot_be_had_holds_none_of_the_others_back(start: Start, connect: Connect) -> None:
    service = start(faults=[Fault("download", "oversized", at=2)])
    with pytest.raises(DownloadError) as caught:
        connect(service).run(GenerationRequest("a fox", num_outputs=3, output_format="webp"))
    first, second, third = caught.value.images
    assert second is None
    assert first is not None
    assert third is not None
    assert first[8:12] == third[8:12] == b"WEBP"
    assert caught.value.job_id
    assert service.count("download") == 3


def test_a_setting_that_stops_one_download_holds_none_of_the_others_back(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that cannot be used stands before one host; the error names the setting and the job."""
    monkeypatch.setenv("HTTPS_PROXY", "http://:8080")
    monkeypatch.setenv("https_proxy", "http://:8080")
    service = start()
    client = connect(service)
    urls = iter(("https://elsewhere.example/0.png",))
    download = client.download
    monkeypatch.setattr(client, "download", lambda url, write: download(next(urls, url), write))
    with pytest.raises(DownloadError, match="HTTPS_PROXY") as caught:
        client.run(FOX.replace(num_outputs=2))
    assert caught.value.job_id == service.job_ids[0]
    assert caught.value.final
    assert [image is not None for image in caught.value.images] == [False, True]
    assert service.count("download") == 1


def test_fresh_addresses_are_asked_for_in_turn(start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """That poll keeps to the limit like every other request."""
    service = start(faults=[Fault("download", "expired", at=1)])
    client = connect(service)
    queue, turns = client.request_queue.slot, []

    def counted(kind: Any, due: float = 0.0) -> Any:
        turns.append(kind)
        return queue(kind, due)

    monkeypatch.setattr(client.request_queue, "slot", counted)
    assert len(client.run(FOX)) == 1
    assert turns == [entry.kind for entry in service.log if entry.kind != "download"] == ["submit", "poll", "poll"]


def test_what_stays_expired_is_told_with_the_job_id(start: Start, connect: Connect) -> None:
    service = start(faults=[Fault("download", "status", status=410)])
    with pytest.raises(DownloadError) as caught:
        connect(service).run(FOX)
    assert caught.value.status == 410
    assert caught.value.job_id
    assert service.count("download") == 3


def test_a_poll_of_an_unknown_job_is_not_found(client: KlingClient) -> None:
    with pytest.raises(ModelNotFoundError):
        client.poll("../../models")


# --- waiting ------------------------------------------------------------------------------------------------------


def test_a_time_out_ends_the_waiting_and_not_the_job(start: Start, connect: Connect) -> None:
    service = start(latency=1.2)
    client = connect(service)
    started = time.monotonic()
    with pytest.raises(StillRunningError, match="keeps running") as caught:
        client.run(FOX, timeout=0.3)
    assert time.monotonic() - started < 1.0
    assert caught.value.job_id
    done = client.wait(caught.value.job_id, timeout=20)
    assert done.state == "completed"
    assert service.count("submit") == 1


def test_a_time_out_while_waiting_for_the_limit_sends_nothing(start: Start, connect: Connect) -> None:
    service = start(faults=[Fault("submit", "rate_limited", retry_after=5)])
    client = connect(service)
    with pytest.raises(RateLimitedError):
        client.submit(FOX)
    with pytest.raises(StillRunningError, match="nothing was sent"):
        client.run(FOX, timeout=0.2)
    assert service.count("submit") == 1


def test_wait_tells_its_observer(client: KlingClient) -> None:
    job = client.submit(FOX)
    seen: list[Snapshot] = []
    client.wait(job.job_id, observer=seen.append)
    assert seen[-1].service_status == "completed"
    assert job.job_id in seen[-1].request.prompt


def test_wait_gives_up_where_the_key_is_refused(start: Start, connect: Connect) -> None:
    service = start()
    client = connect(service)
    job = client.submit(FOX)
    service.add_fault(Fault("poll", "status", status=401))
    with pytest.raises(UnauthorizedError):
        client.wait(job.job_id, timeout=20)
    assert service.count("poll") == 2


def test_an_interrupt_names_the_job_that_continues(
    client: KlingClient, service: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "poll", interrupt)
    with pytest.raises(Interrupted, match="keeps running") as caught:
        client.run(FOX)
    assert len(caught.value.job_ids) == 1
    assert caught.value.job_ids[0] in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself an interrupt there")
def test_an_interrupt_while_the_post_is_out_says_that_a_job_may_have_been_charged(
    start: Start, connect: Connect
) -> None:
    """The service has made the job, and no reply has come."""
    service = start(faults=[Fault("submit", "hang")])
    client = connect(service, read_timeout=20.0)

    def interrupt() -> None:
        while not service.charges:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(Interrupted, match=r"may have been made and charged; it was not sent again.*website") as caught:
        client.run(FOX)
    assert caught.value.maybe_submitted
    assert caught.value.job_ids == ()
    assert (service.count("submit"), service.charges) == (1, 1)


@pytest.mark.parametrize("where", ["slot", "schema", "sleep"])
def test_an_interrupt_before_the_post_says_that_nothing_was_sent(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """While waiting for a turn, for the schema, or for a limit that refused the request."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    service = start(faults=[Fault("submit", "rate_limited", retry_after=1)])
    client = connect(service)
    if where == "sleep":
        monkeypatch.setattr(RunningJob, "pause", interrupt)
    else:
        monkeypatch.setattr(client.request_queue if where == "slot" else client, where, interrupt)
    with pytest.raises(Interrupted, match=r"Nothing was sent\.$") as caught:
        client.run(FOX.replace(num_outputs=2))
    assert not caught.value.maybe_submitted
    assert caught.value.job_ids == ()
    assert service.charges == 0


def test_a_gateways_404_page_says_nothing_of_the_job(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is polled on for a while; the service itself ends the waiting sooner by not knowing the job."""
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: 0.01)  # noqa: ARG005
    service = start(faults=[Fault("poll", "status", status=404, body="html", at=1, times=4)])
    client = connect(service)
    assert client.wait(client.submit(FOX).job_id, timeout=20).state == "completed"
    service.add_fault(Fault("poll", "status", status=404))
    with pytest.raises(ModelNotFoundError):
        client.wait("job_no_one_knows", timeout=20)


NO_IMAGE = b'{"jobId": "x", "status": "completed", "output": {"images": []}}'


@pytest.mark.parametrize("raw", [NO_IMAGE, b"<html>moved</html>"], ids=["no image", "no JSON"])
def test_replies_that_stay_unexpected_end_the_waiting_with_the_raw_reply(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    """After five in a row, from `run` as from `wait`; a reply that can be read begins a new count."""
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: 0.01)  # noqa: ARG005
    odd: dict[str, Any] = {"on": "poll", "kind": "status", "status": 200, "raw": raw}
    service = start(latency=30.0, faults=[Fault(at=1, times=4, **odd), Fault(at=6, times=99, **odd)])
    client = connect(service)
    with pytest.raises(UnexpectedReplyError) as caught:
        client.run(FOX, timeout=20)
    assert service.count("poll") == 10
    assert caught.value.job_id == service.job_ids[0]
    assert caught.value.raw
    with pytest.raises(UnexpectedReplyError):
        client.wait(service.job_ids[0], timeout=20)
    assert (service.count("poll"), service.count("submit")) == (15, 1)


def test_a_job_bought_just_now_is_asked_for_again_where_it_is_not_known_yet(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: 0.01)  # noqa: ARG005
    service = start(faults=[Fault("poll", "status", status=404, at=1, times=8)])
    assert len(connect(service).run(FOX, timeout=20)) == 1
    assert (service.count("poll"), service.count("submit")) == (9, 1)


# --- check --------------------------------------------------------------------------------------------------------


def test_a_probe_tells_whether_the_key_is_accepted_and_posts_nothing(service: Sandbox, client: KlingClient) -> None:
    assert client.probe() == "accepted"
    other = KlingClient("another-key-0123456789", base_url=service.base_url)
    assert other.probe() == "refused"
    assert {entry.method for entry in service.log} == {"GET"}
    other.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("poll", "html"),
        Fault("poll", "status", status=404, body="html"),
        Fault("poll", "status", status=500),
        Fault("poll", "status", status=429),
        Fault("poll", "redirect"),
    ],
)
def test_a_probe_that_learns_nothing_says_so(start: Start, connect: Connect, fault: Fault) -> None:
    assert connect(start(faults=[fault])).probe() == "unknown"


def test_what_is_not_a_request_is_refused_as_bad_input(service: Sandbox, client: KlingClient) -> None:
    for call in (client.run, client.submit):
        with pytest.raises(InputError, match="A request is a GenerationRequest"):
            call("an owl")  # type: ignore[arg-type]
    assert not service.log


def test_a_probe_takes_no_answer_of_a_wrong_path_for_an_accepted_key(service: Sandbox) -> None:
    """There everything is not found, whatever the key."""
    for key in (service.key, "pd_another_key"):
        elsewhere = KlingClient(key, base_url=f"{service.base_url}/elsewhere")
        assert elsewhere.probe() == "unknown"
        elsewhere.close()
    assert service.count("submit") == 0


def test_a_probe_of_a_host_that_is_not_there_raises(start: Start, connect: Connect) -> None:
    service = start()
    service.stop()
    with pytest.raises(TransportError, match="could not be reached"):
        connect(service).probe()


# --- the line -----------------------------------------------------------------------------------------------------


def test_the_line_learns_from_every_reply(start: Start, connect: Connect) -> None:
    service = start(faults=[Fault("submit", "rate_limited", at=1, retry_after=3)])
    client = connect(service)
    assert client.request_queue.slot("submit").ready() == 0.0
    with pytest.raises(RateLimitedError):
        client.submit(FOX)
    assert 2.0 < client.request_queue.slot("poll").ready() <= 3.1


def test_a_batch_on_many_threads_keeps_to_the_services_limit(start: Start, connect: Connect) -> None:
    service = start(rate_limit=20, rate_window=1.0)
    client = connect(service, rate=60.0)
    done: list[int] = []

    def work() -> None:
        done.append(len(client.run(FOX, timeout=60)))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [1] * 5
    assert service.charges == 5


# --- secrets ------------------------------------------------------------------------------------------------------


def test_the_client_shows_no_key_and_cannot_be_copied_away(client: KlingClient) -> None:
    client.probe()
    assert repr(client) == f"KlingClient(base_url={client.base_url!r}, model='kling-image')"
    assert "canary" not in repr(vars(client))
    for copy_away in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="API key"):
            copy_away(client)


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "sk canary"},
        {"api_key": ""},
        {"base_url": "http://pixeldojo.ai/api/v1"},
        {"base_url": "pixeldojo"},
        {"model": ""},
        {"connect_timeout": 0},
        {"read_timeout": -1.0},
        {"download_timeout": float("inf")},
        {"rate": float("nan")},
        {"read_timeout": None},
    ],
)
def test_settings_that_cannot_work_are_refused_when_they_are_set(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        KlingClient(**{"api_key": KEY, **options})
    assert "canary" not in str(caught.value)


def test_a_key_with_stray_spaces_works(service: Sandbox) -> None:
    client = KlingClient(f' "{KEY}"\n', base_url=service.base_url + "/")
    assert client.probe() == "accepted"
    client.close()


def test_importing_and_making_a_client_imports_no_heavy_library() -> None:
    program = (
        "import sys; from kling_notebook.jobs.client import KlingClient; KlingClient('sk-0123456789');"
        "print(sorted({'requests', 'urllib3', 'PIL', 'pandas', 'numpy', 'IPython', 'tornado'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_request_that_was_never_sent_uses_up_nothing_of_the_rate_limit() -> None:
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        client = KlingClient("key-of-a-test", base_url=f"http://127.0.0.1:{closed.getsockname()[1]}", rate=3)

        def refuse() -> None:
            raise InputError("not now")

        for _ in range(5):
            assert client.request_queue.slot("submit").ready() == 0.0
            with pytest.raises(TransportError) as caught:
                client.submit(GenerationRequest("a fox"), before_first_byte=refuse)
            assert caught.value.never_left
    assert client.request_queue.limiter.granted == client.request_queue.limiter.under_way == ()
