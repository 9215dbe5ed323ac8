"""A source image is checked before anything is bought, and a refusal says what to do."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kling_notebook.api.errors import InputError
from kling_notebook.image_files.source_images import load_source


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def plain(width: int = 400, height: int = 300, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height), 90)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_good_image_is_passed_on_byte_by_byte(kind: str, tmp_path: Path):
    data = encoded(plain(), kind)
    (tmp_path / "fox.dat").write_bytes(data)
    expected = (data, f"image/{kind.lower()}")
    assert load_source(data) == expected
    assert load_source(bytearray(data)) == expected
    assert load_source(tmp_path / "fox.dat") == expected
    assert load_source(str(tmp_path / "fox.dat")) == expected


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "fox.png").write_bytes(encoded(plain(), "PNG"))
    assert load_source("~/fox.png")[1] == "image/png"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "F", "YCbCr", "HSV"])
def test_a_pil_image_of_any_mode_becomes_a_png(mode: str):
    image = plain().convert("L").convert(mode) if mode in ("I;16", "F") else plain().convert(mode)
    data, media_type = load_source(image)
    assert media_type == "image/png"
    assert Image.open(io.BytesIO(data)).size == (400, 300)


def test_a_pil_image_too_large_as_png_becomes_a_jpeg():
    noise = Image.frombytes("RGB", (2000, 2000), random.Random(1).randbytes(12_000_000))  # noqa: S311
    data, media_type = load_source(noise)
    assert media_type == "image/jpeg"
    assert len(data) <= 10_000_000


def animated(kind: str) -> bytes:
    return encoded(plain(), kind, save_all=True, append_images=[Image.new("RGB", (400, 300), "red")])


REFUSED = {
    "gif": (animated("GIF"), "a GIF. Save one frame"),
    "animated png": (animated("PNG"), "animated. Save one frame"),
    "animated webp": (animated("WEBP"), "animated. Save one frame"),
    "text": (b"This is text, named .png", "is text. Save the image as PNG"),
    "html": (b"<html>", "HTML"),
    "svg": (b"<?xml version='1.0'?><svg/>", "an SVG drawing. Save"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image. Save the image as PNG, JPEG or WebP"),
    "avif": (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF image"),
    "tiff": (encoded(plain(), "TIFF"), "a TIFF image"),
    "bmp": (encoded(plain(), "BMP"), "a BMP image"),
    "pdf": (b"%PDF-1.7", "a PDF document"),
    "empty": (b"", "is empty"),
    "cut short": (encoded(plain(), "JPEG")[:-5], "cut short. Save it anew"),
    "too large": (bytes(40_000_000), "40.0 MB; the service takes at most 10 MB. Make it smaller"),
    "tiny": (encoded(plain(10, 10), "PNG"), "10 x 10 pixels; the service wants at least 300 a side. Enlarge"),
    "one side short": (encoded(plain(400, 299), "PNG"), "at least 300"),
    "too wide": (encoded(plain(760, 300), "PNG"), "ratio of 2.53; the service takes 0.4 to 2.5. Crop"),
    "too tall": (encoded(plain(300, 760), "PNG"), "Crop it"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_the_service_would_refuse_is_refused_here(data: bytes, reason: str, tmp_path: Path):
    (tmp_path / "fox.png").write_bytes(data)
    for source in (data, tmp_path / "fox.png"):
        with pytest.raises(InputError) as caught:
            load_source(source)
        assert reason in str(caught.value)
        assert caught.value.parameter == "image"
    assert "fox.png" in str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(300, 300), (750, 300), (300, 750)])
def test_the_limits_themselves_are_allowed(width: int, height: int):
    assert load_source(encoded(plain(width, height), "PNG"))


@pytest.mark.parametrize("image", [plain(10, 10), plain(2000, 400)])
def test_a_pil_image_is_held_to_the_same_limits(image: Image.Image):
    with pytest.raises(InputError, match="pixels"):
        load_source(image)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(50_000_000)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(InputError, match=r"50\.0 MB"):
        load_source(tmp_path / "huge.png")


@pytest.mark.parametrize("name", ["none.png", "a\0b", "x" * 5000])
def test_a_path_that_leads_nowhere_says_so(name: str, tmp_path: Path):
    with pytest.raises(InputError, match=r"no file|cannot be read"):
        load_source(tmp_path / name)


def test_a_folder_is_not_an_image(tmp_path: Path):
    with pytest.raises(InputError, match="is a folder"):
        load_source(tmp_path)


@pytest.mark.parametrize("value", [None, 5, ["fox.png"]])
def test_another_type_is_refused(value: Any):
    with pytest.raises(InputError, match="cannot be of type"):
        load_source(value)


def test_a_float_image_a_little_above_one_is_not_black():
    """A resize adds as much at the ends of a range."""
    ramp = np.tile(np.linspace(0, 1, 400, dtype="float32"), (400, 1))
    means = []
    for scale in (1, 1.00005):
        data, _ = load_source(Image.fromarray(ramp * np.float32(scale)))
        means.append(float(np.asarray(Image.open(io.BytesIO(data))).mean()))
    assert means == pytest.approx([127.5, 127.5], abs=0.5)
