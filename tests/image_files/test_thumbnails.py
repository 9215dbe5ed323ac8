"""Small JPEGs of every kind of image, and a cache that may be lost, spoilt or read-only without harm."""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kling_notebook.api.errors import DownloadError
from kling_notebook.image_files import decode, saving, thumbnails

GRAY = 160


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / ".kling" / "thumbnails"


@pytest.fixture
def red(tmp_path: Path) -> Path:
    return put(tmp_path, Image.new("RGB", (800, 400), "red"), "red.png")


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """One entry for each image that was decoded."""
    seen: list[int] = []
    right = decode.decode
    monkeypatch.setattr(decode, "decode", lambda data, side, **how: seen.append(side) or right(data, side, **how))
    return seen


def put(folder: Path, image: Image.Image, name: str, **options: Any) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def seen(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    image.load()
    return image


def middle(jpeg: bytes) -> tuple[int, ...]:
    image = seen(jpeg).convert("RGB")
    return image.getpixel((image.width // 2, image.height // 2))


def near(color: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(color, other, strict=True))


def test_a_thumbnail_is_a_small_jpeg_that_knows_the_images_size(red: Path, cache: Path):
    jpeg, width, height = thumbnails.thumbnail(red, cache)
    assert (width, height) == (800, 400)
    assert (seen(jpeg).format, seen(jpeg).size) == ("JPEG", (256, 128))
    assert near(middle(jpeg), (254, 0, 0))
    assert thumbnails.thumbnail(red, cache, 64)[1:] == (800, 400)
    assert seen(thumbnails.thumbnail(red, cache, 64)[0]).size == (64, 32)


def test_a_small_image_is_not_enlarged(tmp_path: Path, cache: Path):
    path = put(tmp_path, Image.new("RGB", (10, 20)), "small.png")
    assert seen(thumbnails.thumbnail(path, cache)[0]).size == (10, 20)
    assert seen(thumbnails.large(path, cache)[0]).size == (10, 20)


ORANGE = (250, 130, 20)


def orange(mode: str) -> Image.Image:
    return Image.new("RGB", (600, 600), ORANGE).convert(mode)


def sixteen_bit_grey() -> Image.Image:
    return Image.frombytes("I;16", (600, 600), (200 * 257).to_bytes(2, "little") * 360_000)


def palette_with_a_hole() -> Image.Image:
    image = Image.new("P", (600, 600), 1)
    image.putpalette([0, 0, 0, *ORANGE])
    return image


@pytest.mark.parametrize(
    ("image", "saved_as", "color"),
    [
        (orange("RGB"), ("a.png", {}), ORANGE),
        (orange("RGBA"), ("a.png", {}), ORANGE),
        (orange("P"), ("a.png", {}), ORANGE),
        (palette_with_a_hole(), ("a.png", {"transparency": 0}), ORANGE),
        (palette_with_a_hole(), ("a.png", {"transparency": 1}), (GRAY,) * 3),
        (palette_with_a_hole(), ("a.png", {"transparency": b"\xff\x80"}), (205, 145, 90)),
        (Image.new("RGBA", (600, 600), (255, 0, 0, 0)), ("a.png", {}), (GRAY,) * 3),
        (Image.new("RGBA", (600, 600), (255, 0, 0, 0)), ("a.webp", {}), (GRAY,) * 3),
        (Image.new("RGB", (600, 600), (1, 2, 3)), ("a.png", {"transparency": (1, 2, 3)}), (GRAY,) * 3),
        (Image.new("LA", (600, 600), (200, 255)), ("a.png", {}), (200,) * 3),
        (Image.new("L", (600, 600), 200), ("a.png", {}), (200,) * 3),
        (Image.new("1", (600, 600), 1), ("a.png", {}), (255,) * 3),
        (sixteen_bit_grey(), ("a.png", {}), (200,) * 3),
        (orange("CMYK"), ("a.jpg", {"quality": 95}), ORANGE),
        (orange("L"), ("a.jpg", {}), (orange("L").getpixel((0, 0)),) * 3),
        (orange("RGB"), ("a.jpg", {"progressive": True}), ORANGE),
        (orange("RGB"), ("a.webp", {}), ORANGE),
        (orange("RGB"), ("a.webp", {"lossless": True}), ORANGE),
    ],
)
def test_every_kind_of_image_has_a_true_thumbnail(
    image: Image.Image, saved_as: tuple[str, dict[str, Any]], color: tuple[int, ...], tmp_path: Path, cache: Path
):
    name, options = saved_as
    path = put(tmp_path, image, name, **options)
    for jpeg, *_ in (thumbnails.thumbnail(path, cache), thumbnails.large(path, cache)):
        assert seen(jpeg).mode in ("RGB", "L")
        assert near(middle(jpeg), color)


def test_a_shape_of_one_pixel_height_works(tmp_path: Path, cache: Path):
    path = put(tmp_path, Image.new("RGB", (9000, 1)), "line.png")
    assert seen(thumbnails.thumbnail(path, cache)[0]).size == (256, 1)


def test_the_large_jpeg_stays_within_its_limit_whatever_the_image(tmp_path: Path, cache: Path):
    noise = Image.frombytes("RGB", (2048, 2048), random.Random(1).randbytes(2048 * 2048 * 3))  # noqa: S311
    path = put(tmp_path, noise, "noise.jpg", quality=95)
    jpeg, width, height = thumbnails.large(path, cache)
    assert len(jpeg) <= 200_000
    assert (width, height) == (2048, 2048)
    assert max(seen(jpeg).size) >= 512
    assert len(thumbnails.large(path, cache, limit=5_000)[0]) <= 5_000


def test_a_plain_image_is_large_at_full_quality(tmp_path: Path, cache: Path):
    path = put(tmp_path, Image.linear_gradient("L").resize((2048, 1024)), "plain.png")
    jpeg, *_ = thumbnails.large(path, cache)
    assert seen(jpeg).size == (1024, 512)


def test_a_second_look_decodes_nothing(red: Path, cache: Path, decodings: list[int]):
    first = thumbnails.thumbnail(red, cache), thumbnails.large(red, cache)
    assert len(decodings) == 2
    assert (thumbnails.thumbnail(red, cache), thumbnails.large(red, cache)) == first
    assert len(decodings) == 2


def test_saving_leaves_the_thumbnail_ready(red: Path, cache: Path, tmp_path: Path, decodings: list[int]):
    saved = saving.save(
        lambda write: write(red.read_bytes()),
        tmp_path,
        "fox",
        owner="me",
        recipe=None,
        thumbnails=cache,
        unsaved=tmp_path / "unsaved",
        on_warning=print,
    )
    assert thumbnails.thumbnail(saved, cache)[1:] == (800, 400)
    assert len(decodings) == 1


def test_a_replaced_image_gets_a_new_thumbnail(red: Path, cache: Path, tmp_path: Path):
    """Of the very same length, too: the time of change tells them apart."""
    thumbnails.thumbnail(red, cache)
    length = red.stat().st_size
    put(tmp_path, Image.new("RGB", (800, 400), "blue"), "red.png", compress_level=9)
    red.write_bytes(red.read_bytes().ljust(length, b"\0"))
    assert red.stat().st_size == length
    os.utime(red, (1, 1))
    assert near(middle(thumbnails.thumbnail(red, cache)[0]), (0, 0, 254))


def test_a_moved_folder_keeps_its_thumbnails(red: Path, cache: Path, tmp_path: Path, decodings: list[int]):
    thumbnails.thumbnail(red, cache)
    (tmp_path / "elsewhere").mkdir()
    thumbnails.thumbnail(red.rename(tmp_path / "elsewhere" / red.name), cache)
    assert len(decodings) == 1


@pytest.mark.parametrize("spoilt", [b"", b"junk", None])
def test_a_lost_or_spoilt_cache_is_made_again(spoilt: bytes | None, red: Path, cache: Path):
    right = thumbnails.thumbnail(red, cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-9] if spoilt is None else spoilt)
    assert thumbnails.thumbnail(red, cache) == right
    kept.unlink()
    assert thumbnails.thumbnail(red, cache) == right
    assert [path.name for path in cache.iterdir()] == [kept.name]


def test_a_cache_that_cannot_be_written_does_no_harm(red: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    assert thumbnails.thumbnail(red, tmp_path / "file")[1:] == (800, 400)
    saved = saving.save(
        lambda write: write(red.read_bytes()),
        tmp_path,
        "fox",
        owner="me",
        recipe=None,
        thumbnails=tmp_path / "file",
        unsaved=tmp_path / "unsaved",
        on_warning=print,
    )
    assert saved.is_file()


def test_a_cache_written_by_a_crash_leaves_no_half_file(red: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(path: Path, data: bytes) -> int:
        path.open("wb").close()
        raise OSError("full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert thumbnails.thumbnail(red, cache)[1:] == (800, 400)
    assert list(cache.iterdir()) == []


def test_an_image_that_is_gone_says_so(tmp_path: Path, cache: Path):
    for ask in (thumbnails.thumbnail, thumbnails.large):
        with pytest.raises(DownloadError, match="moved or deleted"):
            ask(tmp_path / "none.png", cache)


def test_many_threads_may_ask_for_the_same_thumbnail(red: Path, cache: Path):
    made: list[tuple[bytes, int, int]] = []
    threads = [threading.Thread(target=lambda: made.append(thumbnails.thumbnail(red, cache))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 12
    assert len(set(made)) == 1
    assert len(list(cache.iterdir())) == 1


def test_nine_thumbnails_of_busy_images_fit_a_saved_notebook(tmp_path: Path, cache: Path):
    """300 kB is the goal for a grid of nine, in base64 and with a contact sheet beside them."""
    photo = Image.effect_mandelbrot((2048, 2048), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    path = put(tmp_path, photo, "busy.png", compress_level=1)
    assert len(thumbnails.thumbnail(path, cache)[0]) < 15_000


def test_the_comment_is_all_the_metadata_there_is(red: Path, cache: Path):
    jpeg, *_ = thumbnails.thumbnail(red, cache)
    assert seen(jpeg).info["comment"] == b"kling 800x400"
    assert b"Exif" not in jpeg
    assert thumbnails.QUALITY == 80
