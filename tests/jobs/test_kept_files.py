"""What was paid for and arrived whole is kept, whatever it is; what did not is fetched again, and not forgotten."""

from __future__ import annotations

import io
import json
import shutil
import struct
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from kling_notebook.api.errors import DownloadError, SettingsError, UnexpectedReplyError
from kling_notebook.api.job import JobStatus
from kling_notebook.image_files import metadata
from kling_notebook.jobs import poll_and_save
from kling_notebook.results.frames import images_frame
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from kling_notebook.session.session import Session

Make = Callable[..., Any]


def encoded(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, kind, **options)
    return out.getvalue()


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def twelve_bits() -> bytes:
    """A JPEG that says it has twelve bits a channel: whole, and no decoder here reads it."""
    data = bytearray(encoded("JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    return bytes(data)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a download is repeated."""
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: 0.01)  # noqa: ARG005


def bought(session: Session, prompt: str = "a red fox") -> Any:
    return session.start([session.request(prompt)], source="python").handles[0]


def sent(make_sandbox: Make, data: bytes, **options: Any) -> Any:
    """A service whose images are these bytes."""
    return make_sandbox(faults=[Fault("download", "wrong_content", raw=data, **options)])


SHOWN = {
    "avif": (encoded("AVIF"), ".avif"),
    "gif": (encoded("GIF"), ".gif"),
    "animated gif": (encoded("GIF", save_all=True, append_images=[Image.new("RGB", (256, 256), "red")]), ".gif"),
    "png": (encoded("PNG"), ".png"),
    "jpeg": (encoded("JPEG"), ".jpg"),
    "webp": (encoded("WEBP"), ".webp"),
}
LINKED = {
    "tiff": (encoded("TIFF"), ".tif", "a TIFF image"),
    "bmp": (encoded("BMP"), ".bmp", "a BMP image"),
    "jpeg 2000": (encoded("JPEG2000"), ".jp2", "a JPEG 2000 image"),
    "jpeg xl": (b"\xff\x0a" + bytes(range(200)), ".jxl", "a JPEG XL image"),
    "jpeg xl in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlc", bytes(50)),
                         ".jxl", "a JPEG XL image"),
    "heic": (box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(60)) + box(b"mdat", bytes(500)),
             ".heic", "a HEIC image"),
    "mp4": (box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41") + box(b"moov", bytes(60)) + box(b"mdat", bytes(900)),
            ".mp4", "an MP4 video"),
    "webm": (b"\x1aE\xdf\xa3" + bytes(300), ".webm", "a WebM video"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', ".svg",
            "an SVG drawing"),
    "svg of an editor": (b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C" "x.dtd" [<!ENTITY n "a>b">]>'
                         b'<svg xmlns="&n;"></svg>', ".svg", "an SVG drawing"),
    "svg with a prefix": (b'<svg:svg xmlns:svg="http://www.w3.org/2000/svg"></svg:svg>', ".svg", "an SVG drawing"),
    "jpeg-ls": (b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\1\1\x11\0" + bytes(100) + b"\xff\xd9", ".jls",
                "a JPEG-LS image"),
    "pdf": (b"%PDF-1.7\n" + bytes(100), ".pdf", "a PDF document"),
    "zip": (b"PK\x03\x04" + bytes(100), ".zip", "a ZIP archive"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "ending"), SHOWN.values(), ids=SHOWN)
def test_five_kinds_are_fetched_once_and_shown(
    data: bytes, ending: str, make_sandbox: Make, make_session: Make
) -> None:
    sandbox = sent(make_sandbox, data)
    result = bought(make_session(sandbox)).result(timeout=60)
    assert sandbox.count("download") == 1
    assert result[0].path.suffix == ending
    assert result[0].tile().state == "image"
    assert (result[0].width, result[0].height) == (256, 256)
    assert result[0].image().convert("RGB").tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()
    assert metadata.read(result[0].path)["prompt"] == "a red fox"


@pytest.mark.parametrize("kind", LINKED)
def test_another_kind_is_fetched_once_kept_as_it_came_and_linked(
    kind: str, make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, ending, words = LINKED[kind]
    sandbox = sent(make_sandbox, data)
    session = make_session(sandbox)
    monkeypatch.chdir(session.folder.parent)
    result = bought(session).result(timeout=60)
    assert sandbox.count("download") == 1
    path = result[0].path
    assert (path.suffix, path.read_bytes()) == (ending, data)
    tile = result[0].tile()
    assert (tile.state, tile.href) == ("file", f"{session.folder.name}/{path.name}")
    assert tile.note == f"{path.name} cannot be shown: it is {words}."
    assert f'href="{session.folder.name}/{path.name}"' in result._repr_mimebundle_()["text/html"]
    assert path.name in result._repr_mimebundle_()["text/plain"]
    assert metadata.read(path)["prompt"] == "a red fox"
    with pytest.raises(DownloadError, match=words):
        result[0].image()
    assert result.save(session.folder / "copies")[0].read_bytes() == data
    assert metadata.read(session.folder / "copies" / path.name)["prompt"] == "a red fox"


@pytest.mark.parametrize("data", [twelve_bits(), bytes(3000)], ids=["twelve bits", "unknown"])
def test_what_is_whole_and_not_understood_is_fetched_again_and_then_kept(
    data: bytes, make_sandbox: Make, make_session: Make
) -> None:
    sandbox = sent(make_sandbox, data)
    result = bought(make_session(sandbox)).result(timeout=60)
    assert sandbox.count("download") == 3
    assert result[0].path.read_bytes() == data
    assert result[0].tile().state == "file"


CUT = {
    "png": encoded("PNG")[:-300], "jpeg": encoded("JPEG")[:-300], "webp": encoded("WEBP")[:-30],
    "avif": encoded("AVIF")[:-30], "gif": encoded("GIF")[:-300], "heic": LINKED["heic"][0][:-100],
    "mp4": LINKED["mp4"][0][:-100], "svg": LINKED["svg"][0][:-8],
    "html": b"<!DOCTYPE html><p>Gone", "json": b'{"error": "gone"}', "text": b"Not found",
    "utf-16": '{"error": "gone"}'.encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_what_is_cut_short_or_a_page_is_fetched_again(data: bytes, make_sandbox: Make, make_session: Make) -> None:
    sandbox = sent(make_sandbox, data, at=1)
    result = bought(make_session(sandbox)).result(timeout=60)
    assert sandbox.count("download") == 2
    assert result[0].tile().state == "image"


@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_the_last_bytes_stay_until_the_job_is_dismissed(data: bytes, make_sandbox: Make, make_session: Make) -> None:
    sandbox = sent(make_sandbox, data)
    session = make_session(sandbox)
    error = bought(session).exception(timeout=60)
    assert sandbox.count("download") == 3
    assert session.record(1).status is JobStatus.PAUSED
    [left] = (session.folder / ".kling" / "unsaved").iterdir()
    assert left.read_bytes() == data
    assert f".kling/unsaved/{left.name}" in str(error)
    session.dismiss(1)
    assert not left.exists()


def test_the_last_bytes_go_when_the_image_comes_after_all(make_sandbox: Make, make_session: Make) -> None:
    sandbox = sent(make_sandbox, b"<html>", at=1, times=3)
    session = make_session(sandbox)
    bought(session).exception(timeout=60)
    assert len(list((session.folder / ".kling" / "unsaved").iterdir())) == 1
    assert len(session.resume(1).jobs[0].result(timeout=60)) == 1
    assert not list((session.folder / ".kling" / "unsaved").iterdir())


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        (Fault("download", "oversized", sized=True), 65 * 2**20),
        (Fault("download", "oversized"), 64 * 2**20),
        (Fault("download", "gzip_bomb"), 64 * 2**20),
        (Fault("download", "bomb"), 1000),
    ],
)
def test_of_what_is_too_large_url_and_size_are_kept(
    fault: Fault, size: int, make_sandbox: Make, make_session: Make
) -> None:
    sandbox = make_sandbox(faults=[fault])
    session = make_session(sandbox)
    error = bought(session).exception(timeout=60)
    assert sandbox.count("download") == 1
    kept = session.record(1).raw["too_large"]["a"]
    assert kept["url"].startswith(sandbox.origin)
    assert kept["bytes"] >= size
    assert kept["url"] in str(error)
    assert kept["url"] in session.record(1).error


def test_a_png_without_its_last_chunk_is_kept_if_it_stays_so(make_sandbox: Make, make_session: Make) -> None:
    """Every pixel is there: fetched again, and at last taken as it is, with its metadata beside it."""
    data = encoded("PNG")[:-12]
    sandbox = sent(make_sandbox, data)
    result = bought(make_session(sandbox)).result(timeout=60)
    assert sandbox.count("download") == 3
    assert result[0].path.read_bytes() == data
    assert result[0].tile().state == "image"
    assert metadata.read(result[0].path)["prompt"] == "a red fox"


def test_half_an_image_is_not_taken_for_one_if_pillow_is_told_to_read_such(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    session = make_session(sent(make_sandbox, encoded("PNG")[:-300]))
    assert isinstance(bought(session).exception(timeout=60), DownloadError)


def noisy_text() -> bytes:
    """Two megabytes of text, compressed: Pillow refuses to unpack so much."""
    text = b"zTXtnote\0\0" + zlib.compress(bytes(2_000_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return encoded("PNG")[:33] + chunk + encoded("PNG")[33:]


def wrong_checksum() -> bytes:
    chunk = b"tEXtnote\0words"
    return encoded("PNG")[:33] + struct.pack(">I", len(chunk) - 4) + chunk + b"\0\0\0\0" + encoded("PNG")[33:]


def junk_between_segments() -> bytes:
    data = encoded("JPEG")
    end = 4 + int.from_bytes(data[4:6], "big")
    return data[:end] + bytes(5) + data[end:]


TOLERATED = {
    "png with 2 MB of text": noisy_text(), "png with a wrong checksum beside the image": wrong_checksum(),
    "jpeg with junk between segments": junk_between_segments(), "bytes after the png": encoded("PNG") + b"after",
    "bytes after the jpeg": encoded("JPEG") + b"after", "bytes after the webp": encoded("WEBP") + b"after",
}  # fmt: skip


@pytest.mark.parametrize("data", TOLERATED.values(), ids=TOLERATED)
def test_what_was_saved_can_be_opened_measured_shown_and_compared(
    data: bytes, make_sandbox: Make, make_session: Make
) -> None:
    sandbox = sent(make_sandbox, data)
    session = make_session(sandbox)
    first, second = (bought(session).result(timeout=60)[0] for _ in range(2))
    assert sandbox.count("download") == 2
    assert first.image().size == (256, 256)
    assert first.image().tobytes() == second.image().tobytes()
    assert (first.width, first.height) == (256, 256)
    assert first.tile().state == first.large().state == "image"
    assert metadata.read(first.path)["number"] == 1
    row = images_frame([first], {}).iloc[0]
    assert (row["width"], row["height"], row["bytes"]) == (256, 256, first.path.stat().st_size)


def test_a_journal_that_is_lost_comes_back_from_files_of_any_kind(make_sandbox: Make, make_session: Make) -> None:
    session = make_session(sent(make_sandbox, encoded("AVIF")))
    path = bought(session).result(timeout=60)[0].path
    session.close()
    (session.folder / ".kling" / "journal.sqlite3").write_bytes(b"damaged" * 999)
    again = make_session(make_sandbox())
    assert again.record(1).images == (path.name,)
    assert json.loads(path.with_suffix(".json").read_text())["prompt"] == "a red fox"


# ---- a place that cannot be written ----


@pytest.mark.parametrize("name", ["thumbnails", "unsaved"])
def test_a_place_that_cannot_be_written_is_noticed_before_the_purchase(
    name: str, make_sandbox: Make, make_session: Make
) -> None:
    sandbox = make_sandbox()
    session = make_session(sandbox)
    bought(session).result(timeout=60)
    place = session.folder / ".kling" / name
    if place.exists():
        shutil.rmtree(place)
    place.write_text("a plain file")
    with pytest.raises(SettingsError, match=f"{name}.*Nothing was sent"):
        bought(session, "an owl")
    assert sandbox.count("submit") == 1


def test_images_that_cannot_be_written_are_noticed_before_the_purchase(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = make_sandbox()
    session = make_session(sandbox)

    def refuse(dir: Any) -> Any:  # its name
        if dir == session.folder:
            raise PermissionError(13, "Permission denied")
        return io.BytesIO()

    monkeypatch.setattr("kling_notebook.journal.layout.tempfile.TemporaryFile", refuse)
    with pytest.raises(SettingsError, match=r"cannot be written \(Permission denied\). Nothing was sent"):
        bought(session)
    assert sandbox.count("submit") == 0


def test_a_place_that_is_spoiled_after_the_purchase_pauses_the_job_and_says_what_is_true(
    make_sandbox: Make, make_session: Make
) -> None:
    sandbox = make_sandbox(latency=1.0)
    session = make_session(sandbox)
    handle = bought(session)
    while not sandbox.count("poll"):
        time.sleep(0.01)
    place = session.folder / ".kling" / "thumbnails"
    place.write_text("a plain file")
    error = handle.exception(timeout=60)
    assert isinstance(error, DownloadError)
    assert "Nothing was sent" not in str(error)
    assert str(place) in str(error)
    assert session.record(1).status is JobStatus.PAUSED
    place.unlink()
    assert len(session.resume().jobs[0].result(timeout=60)) == 1
    assert sandbox.count("submit") == 1


def test_a_completed_job_that_shows_no_image_is_paused_and_not_lost(make_sandbox: Make, make_session: Make) -> None:
    empty = b'HTTP/1.1 200 OK\r\n\r\n{"jobId":"{job_id}","status":"completed","output":{"images":[]}}'
    sandbox = make_sandbox(faults=[Fault("poll", "wire", times=99, raw=empty)])
    session = make_session(sandbox)
    assert isinstance(bought(session).exception(timeout=60), UnexpectedReplyError)
    assert (session.record(1).status, sandbox.count("poll")) == (JobStatus.PAUSED, 5)
    sandbox.clear_faults()
    assert len(session.resume().jobs[0].result(timeout=60)) == 1
    assert sandbox.count("submit") == 1


@pytest.mark.parametrize("status", [200, 500])
def test_an_unconfirmed_submit_quotes_the_reply(status: int, make_sandbox: Make, make_session: Make) -> None:
    raw = f'HTTP/1.1 {status} Odd\r\n\r\n{{"note":"ask desk 7","at":"https://cdn.example/x.png?sig=1"}}'.encode()
    session = make_session(make_sandbox(faults=[Fault("submit", "wire", raw=raw)]))
    text = str(bought(session).exception(timeout=60))
    assert "ask desk 7" in text
    assert "sig=1" not in text
    assert "may have been submitted and charged" in text
    assert "ask desk 7" in str(session.record(1).error)
