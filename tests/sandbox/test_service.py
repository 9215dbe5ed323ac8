"""The service's own logic: what a job costs, how long it takes, what is accepted. Time is a parameter here."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kling_notebook.sandbox import images as pictures_module
from kling_notebook.sandbox import service as service_module
from kling_notebook.sandbox import sources as sources_module
from kling_notebook.sandbox.images import Images
from kling_notebook.sandbox.limits import RateLimit
from kling_notebook.sandbox.replies import Refusal
from kling_notebook.sandbox.schema import Shape, Wanted, read_body
from kling_notebook.sandbox.service import Service
from kling_notebook.sandbox.sources import Sources, check_image

ORIGIN = "http://127.0.0.1:1"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def wanted(**changes: Any) -> Wanted:
    values = {
        "prompt": "a red fox",
        "negative_prompt": None,
        "resolution": "1K",
        "aspect_ratio": "1:1",
        "count": 1,
        "output_format": "png",
        "image": None,
    }
    return Wanted(**{**values, **changes})


def picture(width: int, height: int, kind: str = "png", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, kind, **options)
    return file.getvalue()


def data_url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


# -- credits ------------------------------------------------------------------------------------------------------


def test_each_picture_costs_a_credit_and_the_balance_runs_out() -> None:
    service = Service(credits=5)
    assert service.submitted(service.submit(wanted(count=3)), ORIGIN)["creditsRemaining"] == 2
    with pytest.raises(Refusal) as refusal:
        service.submit(wanted(count=3))
    assert (refusal.value.status, refusal.value.code) == (402, "insufficient_credits")
    assert "buy" not in refusal.value.message
    assert (service.credits, service.charges) == (2, 3)


def test_a_fractional_price_is_reported_as_it_is() -> None:
    service = Service(credits=10, credit_cost=1.5)
    reply = service.submitted(service.submit(wanted(count=3)), ORIGIN)
    assert (reply["creditCost"], reply["creditsRemaining"]) == (4.5, 5.5)


# -- time ---------------------------------------------------------------------------------------------------------


def test_a_job_is_pending_then_processing_then_completed() -> None:
    clock = Clock()
    service = Service(latency=10, clock=clock)
    job = service.submit(wanted())
    seen = []
    for _ in range(25):
        seen.append(service.polled(job.id, ORIGIN)["status"])
        clock.now += 0.5
    assert list(dict.fromkeys(seen)) == ["pending", "processing", "completed"]


def test_without_latency_the_first_poll_finds_the_job_completed() -> None:
    service = Service(latency=0, clock=Clock())
    reply = service.polled(service.submit(wanted(count=2)).id, ORIGIN)
    assert reply["status"] == "completed"
    assert len(reply["output"]["images"]) == 2


def test_the_realistic_time_is_two_to_three_seconds_and_more_for_larger_jobs() -> None:
    service = Service(latency=None)
    small = [service.submit(wanted()).seconds for _ in range(50)]
    large = [service.submit(wanted(resolution="2K", count=9)).seconds for _ in range(50)]
    assert 2.0 <= min(small) < max(small) <= max(large) <= 3.0
    assert min(large) > max(small)


def test_a_set_latency_is_met_within_a_sixth_and_not_to_the_second() -> None:
    service = Service(latency=20)
    seconds = [service.submit(wanted(count=n, resolution=r)).seconds for n in (1, 9) for r in ("1K", "2K")]
    assert all(20 * 5 / 6 <= value <= 20 * 7 / 6 for value in seconds)
    assert max(seconds) - min(seconds) > 1  # and large jobs take longer here too


def test_the_same_seed_gives_the_same_times_failures_and_picture_seeds() -> None:
    def course(seed: int) -> list[tuple[float, int, object]]:
        service = Service(seed=seed, fail_rate=0.5)
        return [(job.seconds, job.seed, job.error) for job in (service.submit(wanted()) for _ in range(20))]

    assert course(1) == course(1)
    assert course(1) != course(2)


def test_a_fail_rate_lets_about_that_share_of_jobs_fail() -> None:
    service = Service(latency=0, fail_rate=0.3)
    states = [service.polled(service.submit(wanted()).id, ORIGIN) for _ in range(200)]
    failed = [state for state in states if state["status"] == "failed"]
    assert 30 <= len(failed) <= 90
    assert all("error" in state and "output" not in state for state in failed)


# -- addresses of pictures ----------------------------------------------------------------------------------------


def path_of(url: str) -> str:
    return url.removeprefix(ORIGIN)


def test_an_address_expires_and_the_job_gives_a_new_one() -> None:
    clock = Clock()
    service = Service(latency=0, asset_lifetime=60, clock=clock)
    job = service.submit(wanted())
    path = path_of(service.polled(job.id, ORIGIN)["output"]["images"][0])
    assert service.asset(path)[0].id == job.id
    clock.now += 61
    with pytest.raises(Refusal, match="expired") as refusal:
        service.asset(path)
    assert refusal.value.status == 410
    fresh = path_of(service.polled(job.id, ORIGIN)["output"]["images"][0])
    assert service.asset(fresh)[1] == 0


@pytest.mark.parametrize("change", ["place", "expiry", "job", "signature", "shape", "digits"])
def test_an_address_cannot_be_made_up(change: str) -> None:
    service = Service(latency=0)
    first, second = service.submit(wanted()), service.submit(wanted())
    path = path_of(service.polled(first.id, ORIGIN)["output"]["images"][0])
    issue, expires, signature = path.split("/")[3].split("-")
    forged = {
        "place": path.replace("/0.png", "/1.png"),
        "expiry": path.replace(expires, str(int(expires) + 1)),
        "job": path.replace(first.id, second.id),
        "signature": path.replace(signature, "0" * len(signature)),
        "shape": "/temp/" + first.id,
        "digits": path.replace(f"/{issue}-", "/\N{ARABIC-INDIC DIGIT ONE}-"),
    }[change]
    with pytest.raises(Refusal) as refusal:
        service.asset(forged)
    assert refusal.value.status == 404


# -- limits -------------------------------------------------------------------------------------------------------


def test_a_fixed_window_starts_anew() -> None:
    limit = RateLimit(2, window=60)
    assert [limit.turn(now).allowed for now in (0, 1, 2, 59.9, 60, 61, 62)] == [1, 1, 0, 0, 1, 1, 0]
    assert limit.turn(62).reset == 120


def test_a_bucket_refills_evenly() -> None:
    limit = RateLimit(60, window=60, model="bucket", burst=2)
    assert [limit.turn(now).allowed for now in (0, 0, 0, 1, 1, 10, 10, 10)] == [1, 1, 0, 1, 0, 1, 1, 0]


def test_a_refused_request_is_told_when_to_come_back() -> None:
    limit = RateLimit(1, window=60)
    limit.turn(1000.0)
    refused = limit.turn(1010.5)
    assert limit.headers(refused, 1010.5, retry_after="seconds") == {
        "X-RateLimit-Limit": "1",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1060",
        "Retry-After": "50",
    }
    assert limit.headers(refused, 1010.5, retry_after="date")["Retry-After"] == "Thu, 01 Jan 1970 00:17:40 GMT"
    assert "Retry-After" not in limit.headers(refused, 1010.5, retry_after="none")


# -- reading a request --------------------------------------------------------------------------------------------


def read(values: Any, shape: Shape | None = None) -> Wanted:
    return read_body(json.dumps(values).encode(), "application/json", shape or Shape())


def test_defaults_are_those_of_the_given_document() -> None:
    assert read({"prompt": "x"}) == wanted(prompt="x")


def test_every_value_of_the_given_document_is_accepted() -> None:
    for ratio in ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"):
        assert read({"prompt": "x", "aspect_ratio": ratio}).aspect_ratio == ratio
    for resolution in ("1K", "2K"):
        assert read({"prompt": "x", "resolution": resolution}).resolution == resolution
    for kind in ("png", "jpeg", "webp"):
        assert read({"prompt": "x", "output_format": kind}).output_format == kind
    for count in (*range(1, 10), 2.0):
        assert read({"prompt": "x", "num_outputs": count}).count == count
    assert read({"prompt": "x", "negative_prompt": "blur"}).negative_prompt == "blur"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n\t"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": ["x"]}, "prompt"),
        ({"prompt": "x" * 10_001}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": "x", "num_outputs": 0}, "num_outputs"),
        ({"prompt": "x", "num_outputs": 10}, "num_outputs"),
        ({"prompt": "x", "num_outputs": "2"}, "num_outputs"),
        ({"prompt": "x", "num_outputs": 1.5}, "num_outputs"),
        ({"prompt": "x", "num_outputs": True}, "num_outputs"),
        ({"prompt": "x", "num_outputs": 10**400}, "num_outputs"),
        ({"prompt": "x", "num_outputs": None}, "num_outputs"),
        ({"prompt": "x", "resolution": "4K"}, "resolution"),
        ({"prompt": "x", "resolution": "2k"}, "resolution"),
        ({"prompt": "x", "aspect_ratio": "1:2"}, "aspect_ratio"),
        ({"prompt": "x", "aspect_ratio": {}}, "aspect_ratio"),
        ({"prompt": "x", "output_format": "gif"}, "output_format"),
        ({"prompt": "x", "negative_prompt": []}, "negative_prompt"),
        ({"prompt": "x", "num_images": 2}, "num_images"),
        ({"prompt": "x", "seed": 1}, "seed"),
        ({"prompt": "x", "image_url": "file:///etc/passwd"}, "image_url"),
        ({"prompt": "x", "image_url": "http://example.org/a.png"}, "image_url"),
        ({"prompt": "x", "image_url": "http://127.0.0.1:8888/api/contents"}, "image_url"),
        ({"prompt": "x", "image_url": "https://example.org/a.png\n"}, "image_url"),
        ({"prompt": "x", "image_url": "https://user@example.org/a.png"}, "image_url"),
        ({"prompt": "x", "image_url": "data:text/html;base64,AAAA"}, "image_url"),
        ({"prompt": "x", "image_url": ["https://example.org/a.png"]}, "image_url"),
        ([], "object"),
        ("prompt", "object"),
        (None, "object"),
    ],
)
def test_a_bad_request_is_refused_with_the_name_of_the_field(values: Any, field: str) -> None:
    with pytest.raises(Refusal) as refusal:
        read(values)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_request")
    assert field in refusal.value.message


def test_other_names_for_the_count_and_the_image_can_be_published() -> None:
    shape = Shape("num_images", "images")
    url = "https://example.org/a.png"
    assert read({"prompt": "x", "num_images": 3, "images": [url]}, shape) == wanted(prompt="x", count=3, image=url)
    for values, field in (({"num_outputs": 3}, "num_outputs"), ({"images": url}, "images"), ({"images": []}, "images")):
        with pytest.raises(Refusal, match=field):
            read({"prompt": "x", **values}, shape)
    with pytest.raises(Refusal, match="image_url"):
        read({"prompt": "x", "image_url": url}, Shape(image_key=None))


# -- source images ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [("png", {}), ("jpeg", {}), ("jpeg", {"progressive": True}), ("webp", {}), ("webp", {"lossless": True})],
)
def test_a_source_of_every_format_is_measured(kind: str, options: dict[str, Any]) -> None:
    assert check_image(picture(420, 310, kind, **options)) == ""
    assert "420 x 210 pixels" in check_image(picture(420, 210, kind, **options))


def test_a_limit_of_pixels_for_other_images_refuses_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert check_image(picture(420, 310)) == ""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a PNG"),
        (b"<html>", "not a PNG"),
        (b"\xff\xd8\xff\xe0\0\x10", "not a PNG"),
        (picture(299, 400), "at least 300"),
        (picture(1000, 310), "ratio is 3.23"),
        (picture(300, 900), "ratio is 0.33"),
        (picture(300, 300) + b"\0" * 2**24, "10 MB"),
    ],
)
def test_an_unfit_source_lets_the_job_fail_with_the_reason(data: bytes, problem: str) -> None:
    assert problem in check_image(data)
    service = Service(latency=0)
    reply = service.polled(service.submit(wanted(image=data_url(data or b"x"))).id, ORIGIN)
    assert reply["status"] == "failed"
    assert "source image" in reply["error"]


def test_kept_source_pictures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "MAX_KEPT", 5000)
    sources = Sources()
    taken = [sources.take(data_url(picture(300, 300 + k) + b"\0" * 1500)) for k in range(5)]
    kept = [source for source in taken if source and sources.data(source.value)]
    assert kept == taken[-len(kept) :]
    assert 1 <= len(kept) < 4


# -- painting -----------------------------------------------------------------------------------------------------


def painting(service: Service, paint: Any) -> Images:
    return Images(service, paint)


@pytest.mark.skipif(sys.platform != "linux", reason="only there has a thread a priority of its own")
def test_pictures_are_painted_with_the_priority_of_their_process() -> None:
    """With a lower one a busy machine puts it aside while it holds the interpreter's lock, and all threads wait."""

    def paint(prompt: str, **options: Any) -> bytes:
        return b"%d" % os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    service = Service(latency=0)
    own = os.getpriority(os.PRIO_PROCESS, os.getpid())
    assert painting(service, paint).get(service.submit(wanted()), 0).result(30) == b"%d" % own


def test_the_painter_gets_what_was_asked_and_pictures_of_a_job_differ() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def paint(prompt: str, **options: Any) -> bytes:
        asked.append((prompt, options))
        return b"picture %d" % options["index"]

    service = Service(latency=0)
    pictures = painting(service, paint)
    job = service.submit(wanted(negative_prompt="moon", resolution="2K", aspect_ratio="16:9", output_format="webp"))
    assert pictures.get(job, 0).result(60) == b"picture 0"
    assert pictures.get(job, 3).result(60) == b"picture 3"
    expected = {
        "negative_prompt": "moon",
        "resolution": "2K",
        "aspect_ratio": "16:9",
        "output_format": "webp",
        "seed": job.seed,
        "source": None,
    }
    assert asked == [("a red fox", {**expected, "index": k}) for k in (0, 3)]
    pictures.stop()


def test_a_picture_is_painted_once_while_it_is_kept_and_again_when_it_was_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures_module, "MAX_KEPT", 250)
    painted: list[int] = []

    def paint(_prompt: str, *, index: int, **_: Any) -> bytes:
        painted.append(index)
        return bytes([index]) * 100

    service = Service(latency=0)
    pictures = painting(service, paint)
    job = service.submit(wanted(count=9))
    for k in (0, 0, 1, 0, 2, 1):  # 2 drops 1, the one not asked for longest
        assert pictures.get(job, k).result(60) == bytes([k]) * 100
    assert painted == [0, 1, 2, 1]
    pictures.stop()


def test_at_most_two_pictures_are_painted_at_the_same_time() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def paint(_prompt: str, **_: Any) -> bytes:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return b"x"

    service = Service(latency=0)
    pictures = painting(service, paint)
    jobs = [service.submit(wanted(count=9)) for _ in range(2)]
    for future in [pictures.get(job, k) for job in jobs for k in range(9)]:
        assert future.result(60) == b"x"
    assert most == 2
    pictures.stop()


def test_a_picture_somebody_waits_for_overtakes_those_painted_ahead() -> None:
    order: list[int] = []
    gate = threading.Event()

    def paint(_prompt: str, *, index: int, **_: Any) -> bytes:
        gate.wait(60)
        order.append(index)
        return b"x"

    service = Service(latency=0)
    pictures = painting(service, paint)
    job = service.submit(wanted(count=9))
    pictures.paint_ahead(job)
    last = pictures.get(job, 8)
    gate.set()
    last.result(60)
    assert 8 in order[:4]  # two were begun before it was asked for, and two threads finish in any order
    for k in range(9):
        pictures.get(job, k).result(60)
    assert sorted(order) == list(range(9))
    pictures.stop()


def test_a_painter_that_fails_spoils_one_picture_only() -> None:
    def paint(_prompt: str, *, index: int, **_: Any) -> bytes:
        if index == 0:
            raise RuntimeError("no paint left")
        return b"x"

    service = Service(latency=0)
    pictures = painting(service, paint)
    job = service.submit(wanted(count=2))
    with pytest.raises(RuntimeError):
        pictures.get(job, 0).result(60)
    assert pictures.get(job, 1).result(60) == b"x"
    pictures.stop()


def test_a_source_reaches_the_painter_from_data_from_a_picture_and_from_the_words_of_a_url() -> None:
    seen: list[tuple[str, bytes | None]] = []

    def paint(prompt: str, *, source: bytes | None, **_: Any) -> bytes:
        seen.append((prompt, source))
        return prompt.encode()

    service = Service(latency=0)
    pictures = painting(service, paint)
    sent = picture(300, 300)
    first = service.submit(wanted(image=data_url(sent)))
    pictures.get(first, 0).result(60)
    address = service.polled(first.id, ORIGIN)["output"]["images"][0]
    pictures.get(service.submit(wanted(prompt="b", image=address)), 0).result(60)
    pictures.get(service.submit(wanted(prompt="c", image="https://example.org/big/sea%20lion.jpg")), 0).result(60)
    assert seen == [("a red fox", sent), ("b", b"a red fox"), ("big sea lion", None), ("c", b"big sea lion")]
    pictures.stop()


def test_a_source_that_looks_right_and_is_broken_inside_is_left_out() -> None:
    def paint(_prompt: str, *, source: bytes | None, **_: Any) -> bytes:
        if source is not None:
            raise ValueError("not an image")
        return b"without"

    service = Service(latency=0)
    pictures = painting(service, paint)
    assert pictures.get(service.submit(wanted(image=data_url(picture(300, 300)))), 0).result(60) == b"without"
    pictures.stop()


# -- the job table ------------------------------------------------------------------------------------------------


def test_another_sandbox_continues_with_the_jobs_and_paints_the_same_pictures(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / ".kling" / "sandbox.json"
    first = Service(latency=10, credits=9, state_path=path, clock=clock)
    job = first.submit(wanted(count=2))
    second = Service(latency=10, credits=9, state_path=path, clock=clock)
    assert second.find(job.id) == job
    assert second.credits == 9
    assert second.polled(job.id, ORIGIN)["status"] == "pending"
    clock.now += 20
    assert len(second.polled(job.id, ORIGIN)["output"]["images"]) == 2
    assert second.submit(wanted()).seed != job.seed


def test_two_sandboxes_of_one_folder_know_each_others_jobs(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.json"
    first, second = Service(state_path=path), Service(state_path=path)
    jobs = [service.submit(wanted()) for service in (first, second, first)]
    assert [first.find(job.id).id for job in jobs] == [second.find(job.id).id for job in jobs]
    assert {job.id for job in jobs} <= {record["id"] for record in json.loads(path.read_text())["jobs"]}


def test_without_a_refill_the_balance_continues(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.json"
    Service(credits=9, state_path=path).submit(wanted(count=4))
    assert Service(credits=9, refill=False, state_path=path).credits == 5


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"jobs": 3}', '{"jobs": [1, {}, {"id": "x"}, {"id": 2}]}'])
def test_a_damaged_table_is_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sandbox.json"
    path.write_text(text)
    service = Service(latency=0, state_path=path)
    job = service.submit(wanted())
    assert Service(latency=0, state_path=path).find(job.id) == job


def test_a_table_that_cannot_be_written_does_not_stop_the_service(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Service(state_path=tmp_path / "file" / "sandbox.json").submit(wanted()).ordinal == 0


def test_kept_source_files_are_bounded_in_bytes_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest stay; another sandbox of the folder reads them."""
    monkeypatch.setattr(sources_module, "MAX_KEPT", 8000)
    monkeypatch.setattr(sources_module, "MAX_FILES", 3)
    sources = Sources(tmp_path / "sources")

    def left(padding: int) -> list[int]:
        taken = [sources.take(data_url(picture(300, 300 + k) + b"\0" * padding)) for k in range(6)]
        return [k for k, source in enumerate(taken) if source and Sources(tmp_path / "sources").data(source.value)]

    assert left(0) == [3, 4, 5]
    assert left(2500) == [4, 5]


def test_source_files_that_cannot_be_written_do_not_stop_the_service(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sources = Sources(tmp_path / "file" / "sources")
    source = sources.take(data_url(picture(300, 300)))
    assert source is not None
    assert sources.data(source.value) == picture(300, 300)


def test_the_table_stays_small_and_holds_no_source_picture(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.json"
    service = Service(state_path=path)
    service.submit(wanted(image=data_url(picture(300, 300) + b"\0" * 100_000)))
    assert path.stat().st_size < 2000
    for _ in range(210):
        service.submit(wanted())
    assert len(json.loads(path.read_text())["jobs"]) == 200
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "sandbox_sources"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no file modes")
def test_the_table_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.json"
    Service(state_path=path).submit(wanted())
    assert path.stat().st_mode & 0o777 == 0o600


def test_jobs_are_bounded_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_JOBS", 3)
    service = Service()
    jobs = [service.submit(wanted()) for _ in range(5)]
    assert service.job_ids() == [job.id for job in reversed(jobs[2:])]
    with pytest.raises(Refusal) as refusal:
        service.find(jobs[0].id)
    assert refusal.value.status == 404
