"""Saving an image: whole or not at all, under a name no reply can choose, never over another image."""

from __future__ import annotations

import errno
import io
import os
import random
import re
import struct
import subprocess
import sys
import threading
import time
import unicodedata
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kling_notebook.api.errors import DownloadError, TransportError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.image_files import containers, decode, metadata, saving, thumbnails
from kling_notebook.view import pixels
from kling_notebook.view.figure import tiles_figure
from kling_notebook.view.sheet import contact_sheet
from kling_notebook.view.tiles import Tile

KINDS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
RECIPE = metadata.build(request=GenerationRequest("a fox"), backend="sandbox", created_at=1.75e9, job_id="job_1")


def image(kind: str = "PNG", seed: int = 1, mode: str = "RGB", size: tuple[int, int] = (80, 60)) -> bytes:
    out = io.BytesIO()
    colors = random.Random(seed).randbytes(size[0] * size[1] * len(mode))  # noqa: S311
    Image.frombytes(mode, size, colors).save(out, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return out.getvalue()


def giving(data: bytes, piece: int = 1000) -> Callable[[Callable[[bytes], object]], None]:
    def fetch(write: Callable[[bytes], object]) -> None:
        for start in range(0, len(data), piece):
            write(data[start : start + piece])

    return fetch


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save some bytes in the test's folder; a warning is an error unless the test takes warnings."""

    def complain(text: str) -> None:
        raise AssertionError(text)

    def run(data: bytes = b"", fetch: Any = None, **options: Any) -> Path:
        known = {
            "owner": "me",
            "recipe": RECIPE,
            "thumbnails": tmp_path / ".kling" / "thumbnails",
            "unsaved": tmp_path / ".kling" / "unsaved",
            "on_warning": complain,
        }
        stem = options.pop("stem", "job_1_fox_0")
        return saving.save(fetch or giving(data), tmp_path, stem, **{**known, **options})

    return run


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".kling")


# An image arrives


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_image_is_saved_with_its_recipe_and_its_own_pixels(kind: str, mode: str, save: Any, tmp_path: Path):
    if (kind, mode) == ("JPEG", "RGBA"):
        mode = "CMYK"
    data = image(kind, mode=mode)
    saved = save(data)
    assert saved == tmp_path / f"job_1_fox_0{KINDS[kind]}"
    assert decode.header(saved) == (80, 60, kind.lower())
    assert metadata.read(saved) == RECIPE
    assert Image.open(saved).tobytes() == Image.open(io.BytesIO(data)).tobytes()
    assert files(tmp_path) == [saved.name]


def test_without_a_recipe_the_services_bytes_are_kept(save: Any):
    assert save(image(), recipe=None).read_bytes() == image()


def test_the_ending_is_what_the_bytes_say(save: Any):
    assert save(image("WEBP"), stem="fox.png").name == "fox.png.webp"


def test_the_folder_is_made(save: Any, tmp_path: Path):
    saved = saving.save(
        giving(image()),
        tmp_path / "new" / "folder",
        "fox",
        owner="me",
        recipe=None,
        thumbnails=tmp_path / "elsewhere",
        unsaved=tmp_path / "unsaved",
        on_warning=print,
    )
    assert saved.is_file()


def test_a_recipe_that_cannot_go_in_costs_a_warning_not_the_image(save: Any):
    told: list[str] = []
    long = {**RECIPE, "prompt": "a" * 70_000}
    saved = save(image("JPEG"), recipe=long, on_warning=told.append)
    assert saved.read_bytes() == image("JPEG")
    assert len(told) == 1
    assert "job_1_fox_0.json beside it" in told[0]
    assert metadata.read(saved) == long


def test_a_splice_that_goes_wrong_costs_a_warning_not_the_image(save: Any, monkeypatch: pytest.MonkeyPatch):
    """Here a header that no longer fits its image."""
    told: list[str] = []
    right = containers.write_exif

    def mistake_the_size(data: bytes, block: bytes) -> bytes:
        after = bytearray(right(data, block))
        after[24] += 1
        return bytes(after)

    monkeypatch.setattr(containers, "write_exif", mistake_the_size)
    data = image("WEBP", mode="RGBA")
    assert save(data, on_warning=told.append).read_bytes() == data
    assert len(told) == 1


def test_a_warning_that_fails_does_no_harm(save: Any):
    def fail(text: str) -> None:
        raise RuntimeError

    assert save(image(), recipe={"odd": float("nan")}, on_warning=fail).read_bytes() == image()


def test_a_disk_without_space_for_the_recipe_keeps_the_image(save: Any, monkeypatch: Any, tmp_path: Path):
    right = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if len(data) > len(image()):
            right(path, data[:50])
            raise OSError(errno.ENOSPC, "full")
        return right(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    told: list[str] = []
    assert save(image(), on_warning=told.append).read_bytes() == image()
    assert len(told) == 1
    assert files(tmp_path) == ["job_1_fox_0.json", "job_1_fox_0.png"]
    assert metadata.read(tmp_path / "job_1_fox_0.png") == RECIPE


def test_an_animation_is_saved_as_it_is_with_its_first_image_as_thumbnail(save: Any, tmp_path: Path):
    frames = [Image.new("RGB", (60, 60), color) for color in ("red", "blue")]
    for kind in ("PNG", "WEBP"):
        out = io.BytesIO()
        frames[0].save(out, kind, save_all=True, append_images=frames[1:])
        saved = save(out.getvalue(), stem=kind)
        assert Image.open(io.BytesIO(saved.read_bytes())).n_frames == 2
        jpeg, *_ = thumbnails.thumbnail(saved, tmp_path / "cache")
        red, _, blue = Image.open(io.BytesIO(jpeg)).getpixel((30, 30))
        assert (red > 200, blue < 100) == (True, True)


# What is not an image


def bomb(kind: str) -> bytes:
    """A few bytes that claim 10 000 x 10 000 pixels."""
    if kind == "PNG":
        header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
        parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
        chunks = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    if kind == "JPEG":
        data = bytearray(image("JPEG"))
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 10_000, 10_000)
        return bytes(data)
    data = bytearray(image("WEBP"))
    at = data.index(b"VP8L") + 9
    data[at : at + 4] = (9_999 | 9_999 << 14).to_bytes(4, "little")
    return bytes(data)


WRONG = {
    "nothing": (b"", "empty"),
    "html": (b"<!DOCTYPE html><p>Gone", "HTML"),
    "json": (b'{"error": "gone"}', "JSON"),
    "text": (b"Not found", "text"),
    "gif cut short": (b"GIF89a\1\0\1\0", "damaged"),
    "zeros": (bytes(500), "unknown kind"),
    "png cut short": (image("PNG")[:-200], "cut short"),
    "jpeg cut short": (image("JPEG")[:-2], "cut short"),
    "jpeg cut in the middle": (image("JPEG")[:900], "cut short"),
    "webp cut short": (image("WEBP")[:-2], "cut short"),
    "png bomb": (bomb("PNG"), "50 million"),
    "jpeg bomb": (bomb("JPEG"), "50 million"),
    "webp bomb": (bomb("WEBP"), "50 million"),
}


@pytest.mark.parametrize(("data", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_not_a_whole_image_is_never_shown_as_one(data: bytes, reason: str, save: Any, tmp_path: Path):
    with pytest.raises(DownloadError, match=reason) as caught:
        save(data)
    assert caught.value.final is (reason == "50 million")
    assert files(tmp_path) == []
    (tmp_path / "fox.png").write_bytes(data)
    with pytest.raises(decode.NotAnImageError, match=reason):
        decode.decode(data, 1, lenient=False)
    with pytest.raises(DownloadError, match=reason):
        thumbnails.thumbnail(tmp_path / "fox.png", tmp_path / "cache")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_pixels_inside_a_whole_container_are_found(kind: str, save: Any):
    data = bytearray(image(kind, size=(300, 300)))
    if kind == "PNG":
        parts = [p for p in containers._png_parts(bytes(data)) if p.kind == b"IDAT"]
        body = b"IDAT" + zlib.compress(b"short")
        data[parts[0].start : parts[-1].end] = (
            struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        )
    elif kind == "JPEG":
        at = data.index(b"\xff\xc4")
        data[at + 4 : at + 60] = b"\x55" * 56
    else:
        data[40:] = b"\xff" * (len(data) - 40)
    with pytest.raises(DownloadError, match="damaged"):
        save(bytes(data))


def test_a_bomb_is_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decode, "_reader", lambda *_, **__: pytest.fail("decoded"))
    for kind in KINDS:
        with pytest.raises(decode.NotAnImageError, match="50 million"):
            decode.decode(bomb(kind), 256)


@pytest.mark.parametrize("limit", [1000, *(pytest.param(more, marks=pytest.mark.long) for more in (1, None))])
@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_of_pixels_that_the_user_gave_pillow_costs_no_image(
    kind: str, limit: int | None, save: Any, monkeypatch: pytest.MonkeyPatch
):
    """It is for images of theirs, as is a filter that makes errors of its warnings; neither is changed."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        path = save(image(kind))
        assert decode.header(path) == (80, 60, kind.lower())
        assert saving.open_image(path).size == (80, 60)
        jpeg = thumbnails.thumbnail(path, path.parent / "thumbnails")[0]
        assert pixels.smaller(jpeg, 40) != jpeg
        tile = Tile(jpeg, 80, 60, "a fox", "12a \u00b7 a caption", None)
        assert contact_sheet([tile], 1, title="A title of some length")
        noisy = io.BytesIO()
        Image.effect_noise((800, 800), 90).convert("RGB").save(noisy, "JPEG")
        (shown,) = tiles_figure(
            [replace(tile, jpeg=noisy.getvalue(), width=800, height=800)]
        )._repr_mimebundle_().keys() - {"text/plain"}
        assert shown == "image/jpeg"
    assert limit == Image.MAX_IMAGE_PIXELS


def test_metadata_that_the_decoder_would_choke_on_does_not_cost_the_image(save: Any):
    """A text chunk that unpacks to 100 MB, and a broken EXIF block, both beside perfectly good pixels."""
    text = b"zTXtnote\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    data = image()
    with pytest.raises(ValueError, match="Decompressed data too large"):
        Image.open(io.BytesIO(data[:33] + chunk + data[33:])).load()
    assert decode.header(save(data[:33] + chunk + data[33:]))[0] == 80
    jpeg = containers.write_exif(image("JPEG"), b"II*\0\x08\0\0\0\x05\0" + b"\x9a\x82\x05\0\xff\xff\xff\x7f" * 4)
    assert decode.header(save(jpeg, stem="broken exif"))[0] == 80


def test_an_endless_body_is_refused_at_64_mb(save: Any, tmp_path: Path):
    sent = 0

    def fetch(write: Callable[[bytes], object]) -> None:
        nonlocal sent
        while True:
            write(bytes(2**20))
            sent += 2**20

    with pytest.raises(DownloadError, match="64 MB") as caught:
        save(fetch=fetch)
    assert caught.value.final
    assert sent == 64 * 2**20
    assert files(tmp_path) == []


def test_what_the_fetch_raises_is_passed_on_and_nothing_is_left(save: Any, tmp_path: Path):
    def fetch(write: Callable[[bytes], object]) -> None:
        write(image()[:50])
        assert files(tmp_path) == [".job_1_fox_0.me.part"]
        raise TransportError("The connection broke.")

    with pytest.raises(TransportError):
        save(fetch=fetch)
    assert files(tmp_path) == []


def test_an_interrupt_leaves_nothing(save: Any, tmp_path: Path):
    def fetch(write: Callable[[bytes], object]) -> None:
        write(b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(fetch=fetch)
    assert files(tmp_path) == []


# Disks


LIMITED = """
import resource, sys
from pathlib import Path
from kling_notebook.api.errors import DownloadError, TransportError
from kling_notebook.image_files import saving
folder = Path(sys.argv[1])
data = (folder / "whole.png").read_bytes()
def fetch(write):
    try:
        write(data[:3000])
        write(data[3000:])
    except OSError as error:
        raise TransportError("as a client would that takes any OSError for the network's")
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    places = {"thumbnails": folder / "t", "unsaved": folder / "u"}
    saving.save(fetch, folder, "fox", owner="me", recipe=None, **places, on_warning=print)
except DownloadError as error:
    print(error.final, error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file sizes")
def test_a_full_disk_is_told_as_such_and_leaves_nothing(tmp_path: Path):
    (tmp_path / "whole.png").write_bytes(image())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, tmp_path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("True There is no space left for the image")
    assert files(tmp_path) == ["whole.png"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_space_that_runs_out_at_the_last_moment_is_told_too(number: int, save: Any, monkeypatch: Any, tmp_path: Path):
    def full(descriptor: int) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="no space left") as caught:
        save(image())
    assert isinstance(caught.value.__cause__, OSError)
    assert files(tmp_path) == []


def test_a_folder_that_is_a_file_is_told(tmp_path: Path):
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be written in") as caught:
        saving.save(
            giving(image()),
            tmp_path / "folder",
            "fox",
            owner="me",
            recipe=None,
            thumbnails=tmp_path,
            unsaved=tmp_path / "unsaved",
            on_warning=print,
        )
    assert caught.value.final


def test_the_bytes_are_on_the_disk_before_the_name_is(save: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    seen: list[list[str]] = []
    right = os.fsync

    def watch(descriptor: int) -> None:
        seen.append(files(tmp_path))
        right(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    save(image())
    assert seen[0] == [".job_1_fox_0.me.part"]
    assert seen[1:] in ([], [["job_1_fox_0.png"]], [[".job_1_fox_0.me.part", "job_1_fox_0.png"]])


def test_a_disk_that_knows_no_fsync_still_saves(save: Any, monkeypatch: pytest.MonkeyPatch):
    def unknown(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "no fsync here")

    monkeypatch.setattr(os, "fsync", unknown)
    assert save(image()).is_file()


# Names


def test_another_image_of_that_name_is_never_overwritten(save: Any, tmp_path: Path):
    first = save(image(seed=1))
    second = save(image(seed=2))
    third = save(image(seed=3))
    assert [first.name, second.name, third.name] == ["job_1_fox_0.png", "job_1_fox_0-2.png", "job_1_fox_0-3.png"]
    assert [Image.open(p).tobytes() for p in (first, second, third)] == [
        Image.open(io.BytesIO(image(seed=seed))).tobytes() for seed in (1, 2, 3)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_image_is_not_saved_twice(kind: str, save: Any, tmp_path: Path):
    first = save(image(kind))
    before = first.read_bytes()
    assert save(image(kind), recipe={**RECIPE, "number": 99}) == first
    assert first.read_bytes() == before
    assert files(tmp_path) == [first.name]


def test_a_file_that_is_not_an_image_is_not_overwritten_either(save: Any, tmp_path: Path):
    (tmp_path / "job_1_fox_0.png").write_text("a note of the user's")
    assert save(image()).name == "job_1_fox_0-2.png"
    assert (tmp_path / "job_1_fox_0.png").read_text() == "a note of the user's"


def test_a_disk_without_hard_links_keeps_the_same_promise(save: Any, monkeypatch: Any, tmp_path: Path):
    def unknown(*paths: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", unknown)
    assert save(image(seed=1)).name == "job_1_fox_0.png"
    assert save(image(seed=2)).name == "job_1_fox_0-2.png"
    assert save(image(seed=1)).name == "job_1_fox_0.png"
    assert files(tmp_path) == ["job_1_fox_0-2.png", "job_1_fox_0.png"]


def test_many_threads_saving_under_one_name_keep_every_image(tmp_path: Path):
    def run(seed: int) -> None:
        saving.save(
            giving(image(seed=seed)),
            tmp_path,
            "fox",
            owner=f"owner{seed}",
            recipe=RECIPE,
            thumbnails=tmp_path / ".kling",
            unsaved=tmp_path / "unsaved",
            on_warning=print,
        )

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {Image.open(path).tobytes() for path in tmp_path.glob("*.png")}
    assert kept == {Image.open(io.BytesIO(image(seed=seed))).tobytes() for seed in range(12)}
    assert len(files(tmp_path)) == 12


RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@given(number=st.integers(0, 10**8), job=st.text(max_size=80), prompt=st.text(max_size=500), k=st.integers(0, 25))
def test_a_name_is_safe_whatever_the_service_and_the_prompt_hold(number: int, job: str, prompt: str, k: int):
    stem = saving.file_stem(number, k, prompt, job)
    assert re.fullmatch(r"\d{4,9}[a-z](-[a-z0-9-]{1,40})?-[0-9a-f]{6}", stem)
    assert stem.lower() not in RESERVED


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("A red fox, in the snow!", "-a-red-fox-in-the-snow"),
        ("Crème brûlée  à la façon", "-creme-brulee-a-la-facon"),
        (unicodedata.normalize("NFD", "é"), "-e"),
        ("狐", ""),
        ("../../etc/passwd", "-etc-passwd"),
        ("one two three four five six seven eight nine ten", "-one-two-three-four-five-six-seven-eight"),
        ("a" * 99, f"-{'a' * 40}"),
    ],
)
def test_a_name_has_the_address_and_the_first_words_of_the_prompt(prompt: str, slug: str):
    assert saving.file_stem(12, 1, prompt, "job_1") == f"0012b{slug}-{saving.file_stem(12, 1, '', 'job_1')[-6:]}"


def test_names_of_two_jobs_differ_also_in_folders_that_are_copied_into_one_another():
    assert saving.file_stem(1, 0, "a fox", "job_1") != saving.file_stem(1, 0, "a fox", "job_2")
    assert saving.file_stem(1, 0, "a fox", "job_1") == saving.file_stem(1, 0, "a fox", "job_1")


def test_find_knows_whole_images_only(save: Any, tmp_path: Path):
    assert saving.find(tmp_path, "job_1_fox_0") is None
    (tmp_path / "job_1_fox_0.png").write_bytes(image()[:-5])
    assert saving.find(tmp_path, "job_1_fox_0") is None
    (tmp_path / "job_1_fox_0.webp").write_bytes(image("WEBP"))
    assert saving.find(tmp_path, "job_1_fox_0") == tmp_path / "job_1_fox_0.webp"


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_image_opens_for_a_person_with_its_metadata(kind: str, save: Any):
    opened = saving.open_image(save(image(kind)))
    assert opened.tobytes() == Image.open(io.BytesIO(image(kind))).tobytes()
    assert "a fox" in opened.getexif()[0x010E]


def test_an_image_that_is_gone_or_spoilt_says_so(save: Any):
    path = save(image())
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DownloadError, match="cut short"):
        saving.open_image(path)
    path.unlink()
    with pytest.raises(DownloadError, match="No such file"):
        saving.open_image(path)


# Temporaries


def test_temporaries_of_dead_sessions_go_and_those_of_living_ones_stay(tmp_path: Path):
    """What is not named exactly as ours stays, however old: it may be somebody's file."""
    dead, alive, hour_ago = "deaddeaddead", "a11fea11feaa", time.time() - 3700
    ours = [f".0012b-a-fox-3f9c1a.{dead}.part", f"..12345a-3f9c1a.{dead}.part"]
    kept = [
        f".0012b-a-fox-3f9c1a.{alive}.part",
        f"0012b-a-fox-3f9c1a.{dead}.part",
        f".0012b-a-fox-3f9c1a.{dead}.part.txt",
        ".0012b-a-fox-3f9c1a.dead.part",
        ".notes.2.part",
        "mine.part",
        ".hidden",
    ]
    for name in [*ours, *kept]:
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (hour_ago, hour_ago))
    saving.remove_temporaries(tmp_path, living={alive})
    assert files(tmp_path) == sorted(kept)


def test_what_a_killed_session_leaves_is_known_again(save: Any, tmp_path: Path):
    def fetch(write: Callable[[bytes], object]) -> None:
        write(image())
        saving.remove_temporaries(tmp_path, living={"a11fea11feaa"})
        assert len(files(tmp_path)) == 1
        saving.remove_temporaries(tmp_path, living=set())
        assert files(tmp_path) == []
        raise TransportError("enough")

    with pytest.raises(TransportError):
        save(fetch=fetch, stem=saving.file_stem(12, 1, "a fox", "job_1"), owner="a11fea11feaa")


def test_a_missing_folder_has_no_temporaries(tmp_path: Path):
    saving.remove_temporaries(tmp_path / "none", living=set())


def test_at_most_two_images_are_decoded_at_a_time(save: Any, monkeypatch: pytest.MonkeyPatch):
    now, most, lock = 0, 0, threading.Lock()
    right = decode.decode

    def watched(data: bytes, side: int, **options: Any) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        try:
            return right(data, side, **options)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(decode, "decode", watched)
    threads = [threading.Thread(target=lambda n=n: save(image(seed=n), stem=f"fox{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
