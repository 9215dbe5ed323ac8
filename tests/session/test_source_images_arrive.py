"""Source images of every mode arrive as they look, or are refused before anything is spent: by what was received."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from kling_notebook.api.client import ServiceClient
from kling_notebook.api.errors import InputError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.session.session import Session

Make = Callable[..., Any]

RAMP = np.tile(np.linspace(0, 255, 400).round().astype("uint8"), (300, 1))  # dark on the left, light on the right
RGB = np.dstack([RAMP, RAMP // 2, 255 - RAMP])
GRAY, COLOR = Image.fromarray(RAMP), Image.fromarray(RGB)


def lab() -> Image.Image:
    profiles = [ImageCms.ImageCmsProfile(ImageCms.createProfile(name)) for name in ("sRGB", "LAB")]
    return ImageCms.ImageCmsTransform(*profiles, "RGB", "LAB").apply(COLOR)


def transparent_palette() -> Image.Image:
    image = COLOR.quantize(64)
    image.info["transparency"] = 0
    return image


def stored(kind: str, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    COLOR.save(file, kind, **options)
    return file


def turned(orientation: int = 6) -> io.BytesIO:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return stored("JPEG", quality=95, exif=exif)


def broken_exif() -> io.BytesIO:
    return stored("JPEG", quality=95, exif=b"Exif\0\0not a list of tags")


def opened(file: io.BytesIO) -> Image.Image:
    return Image.open(io.BytesIO(file.getvalue()))


TURN = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description tiff:Orientation=\"6\"/></x:xmpmeta>"


def raw_profile() -> PngImagePlugin.PngInfo:
    """EXIF as a PNG's text, as ImageMagick writes it: no viewer turns the image by it."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(TURN)}\n{TURN.hex()}\n", zip=True)
    return info


def behind_the_pixels() -> io.BytesIO:
    chunk = b"eXIf" + TURN
    data = stored("PNG").getvalue()
    return io.BytesIO(
        data[:-12] + struct.pack(">I", len(TURN)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[-12:]
    )


# What says in an odd way how the image is to be turned, and whether viewers turn it.
ODD_TURNS = {
    "TIFF": (stored("TIFF", exif=TURN), True), "PNG behind the pixels": (behind_the_pixels(), True),
    "AVIF": (stored("AVIF", quality=95, exif=TURN), True), "WebP": (stored("WEBP", quality=95, exif=TURN), True),
    "PNG raw profile": (stored("PNG", pnginfo=raw_profile()), False), "WebP XMP": (stored("WEBP", xmp=XMP), False),
    "JPEG XMP": (stored("JPEG", quality=95, xmp=XMP), False),
    "JPEG cut list": (stored("JPEG", quality=95, exif=TURN[:9] + b"\5" + TURN[10:]), False),
    "JPEG wide number": (stored("JPEG", quality=95, exif=TURN[:13] + b"\4" + TURN[14:18] + b"\0\0\0\6\0\0\0\0"), False),
}  # fmt: skip

ARRIVES: dict[str, tuple[Any, np.ndarray[Any, Any]]] = {
    "L": (GRAY, RAMP), "RGB": (COLOR, RGB), "1": (GRAY.convert("1"), RAMP), "LA": (GRAY.convert("LA"), RAMP),
    "La": (GRAY.convert("LA").convert("La"), RAMP), "P": (COLOR.quantize(256), RGB),
    "P transparent": (transparent_palette(), RGB), "PA": (COLOR.quantize(256).convert("PA"), RGB),
    "RGBA": (COLOR.convert("RGBA"), RGB), "RGBa": (COLOR.convert("RGBA").convert("RGBa"), RGB),
    "RGBX": (COLOR.convert("RGBX"), RGB), "CMYK": (COLOR.convert("CMYK"), RGB), "YCbCr": (COLOR.convert("YCbCr"), RGB),
    "HSV": (COLOR.convert("HSV"), RGB), "LAB": (lab(), RGB),
    "I of 8 bits": (GRAY.convert("I"), RAMP), "I of 16 bits": (Image.fromarray(RAMP.astype("int32") * 257), RAMP),
    "I;16": (Image.fromarray(RAMP.astype("uint16") * 257), RAMP),
    "I;16B": (Image.frombytes("I;16B", (400, 300), (RAMP.astype(">u2") * 257).tobytes()), RAMP),
    "F to 255": (GRAY.convert("F"), RAMP), "F to 1": (Image.fromarray(RAMP.astype("float32") / 255), RAMP),
    "array": (RAMP, RAMP), "array rgb": (RGB, RGB), "array rgba": (np.dstack([RGB, np.full_like(RAMP, 255)]), RGB),
    "array float32": (RAMP.astype("float32") / 255, RAMP), "array float16": ((RAMP / 255).astype("float16"), RAMP),
    "array rgb float": (RGB / 255, RGB), "array of every second pixel": (RGB.repeat(2, 0)[::2], RGB),
    "BytesIO at its end": (stored("PNG"), RGB), "bytes": (stored("PNG").getvalue(), RGB),
    "memoryview": (memoryview(stored("WEBP", lossless=True).getvalue()), RGB),
    **{f"orientation {n} as bytes": (turned(n).getvalue(), np.asarray(Image.fromarray(RGB).transpose(turn)))
       for n, turn in {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.items()},
    "orientation 6 opened": (opened(turned()), np.rot90(RGB, -1)),
    "orientation 6 converted": (opened(turned()).convert("L"), np.rot90(np.asarray(COLOR.convert("L")), -1)),
    "orientation 6 as BytesIO": (turned(), np.rot90(RGB, -1)),
    "broken EXIF as bytes": (broken_exif().getvalue(), RGB), "broken EXIF opened": (opened(broken_exif()), RGB),
    **{f"{name} opened": (opened(file), np.rot90(RGB, -1) if is_turned else RGB)
       for name, (file, is_turned) in ODD_TURNS.items()},
    **{f"{name} as bytes": (file.getvalue(), np.rot90(RGB, -1) if is_turned else RGB)
       for name, (file, is_turned) in ODD_TURNS.items() if name not in ("TIFF", "AVIF")},
}  # fmt: skip
REFUSED = {
    "bool": (RAMP > 99, "uint8 .* not bool. Convert it: array"), "int32": (RAMP.astype("int32"), "not int32"),
    "uint16": (RAMP.astype("uint16"), "array / 65535"), "object": (RAMP.astype(object), "not object"),
    "complex": (RAMP.astype(complex), "not complex128"),
    "float to 255": (RAMP.astype("float32"), "from 0 to 255; 0 to 1"),
    "below 0": (RAMP / 255 - 0.5, "from -0.5 to 0.5"), "NaN": (np.full((300, 400), np.nan), "NaN"),
    "infinite": (np.full((300, 400), np.inf), "infinite"), "empty": (np.zeros((0, 0)), "shape"),
    "channels first": (np.moveaxis(RGB, -1, 0), "moveaxis"), "one channel": (RAMP[..., None], "shape"),
    "a row": (RAMP[0], "shape"), "a stack": (RGB[None], "shape"), "small": (RAMP[:100, :100], "at least 300"),
    "F with NaN": (Image.fromarray(np.full((300, 400), np.nan, "float32")), "NaN"),
    "F below 0": (Image.fromarray(RAMP.astype("float32") - 9), "from -9"),
    "I above 16 bits": (Image.fromarray(RAMP.astype("int32") * 999), "0 to 65535"),
    "a file of text": (io.StringIO("words"), "opened as text"),
    "a number": (5, "cannot be of"),
    "cut short": (opened(io.BytesIO(stored("JPEG").getvalue()[:2000])), "open it anew"),
}  # fmt: skip


@pytest.fixture
def received(make_sandbox: Make, make_session: Make, paint: Any) -> Any:
    """A session, and what its service got as source image, by prompt."""
    found: dict[str, bytes] = {}

    def keep(prompt: str, *, source: bytes | None, **options: Any) -> bytes:
        found[prompt] = source or b""
        return paint(prompt, **options)

    session = make_session(make_sandbox(paint=keep))
    return session, found


def test_every_kind_of_image_arrives_as_it_looks(received: Any, tmp_path: Path) -> None:
    session, found = received
    file = tmp_path / "fox.jpg"
    file.write_bytes(turned().getvalue())
    cases = {**ARRIVES, "orientation 6 by path": (file, np.rot90(RGB, -1))}
    requests = [session.request(name, image=value) for name, (value, _) in cases.items()]
    for handle in session.start(requests, source="python", max_credits=99).handles:
        handle.result(timeout=120)
    wrong = []
    for name, (_, expected) in cases.items():
        image = Image.open(io.BytesIO(found[name]))
        got = np.asarray(image.convert("L" if expected.ndim == 2 else "RGB"), dtype=float)
        print(f"{name}: {image.format} {image.mode} {image.size} mean {got.mean():.1f}, expected {expected.mean():.1f}")
        same = got.shape == expected.shape and abs(got.mean() - expected.mean()) < 3
        # Halves tell where light and dark are, whatever dithering and color conversions do to single pixels.
        halves = [
            np.abs(np.mean(got[k], (0, 1)) - np.mean(expected[k], (0, 1))).max() for k in _quarters(expected.shape)
        ]
        if not same or max(halves) > 6:
            wrong.append((name, got.shape, halves))
    assert not wrong
    by_path, by_image = (session.request("x", image=value) for value in (file, opened(turned())))
    assert by_path.image.sha256 == by_image.image.sha256


def _quarters(shape: tuple[int, ...]) -> list[Any]:
    middle = (
        [slice(0, shape[0] // 2), slice(shape[0] // 2, None)],
        [slice(0, shape[1] // 2), slice(shape[1] // 2, None)],
    )
    return [(rows, columns) for rows in middle[0] for columns in middle[1]]


@pytest.mark.parametrize(("value", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_sent_as_it_looks_is_refused(value: Any, reason: str, session: Any, sandbox: Any) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        session.request("a fox", image=value)
    assert caught.value.parameter == "image"
    assert sandbox.count("submit") == 0


OUT_OF_REACH = [
    "http://127.0.0.1/fox.png", "http://localhost:8888/files/fox.png", "https://LOCALHOST./fox.png", "http://[::1]/fox.png",
    "http://10.0.0.5/fox.png", "http://192.168.1.2/fox.png", "http://172.16.9.9/fox.png", "http://169.254.169.254/latest",
    "http://[fe80::1]/fox.png", "http://[fd00::1]/fox.png", "http://0x7f000001/fox.png", "http://127.1/fox.png",
    "http://2130706433/fox.png", "http://0.0.0.0/fox.png", "http://[::ffff:10.0.0.1]/fox.png", "http://nas/fox.png",
    "http://printer.local/fox.png", "http://me@127.0.0.1/fox.png", "http://\uff11\uff12\uff17.0.0.1/fox.png",
]  # fmt: skip


@pytest.mark.parametrize("url", OUT_OF_REACH)
def test_a_url_that_the_service_cannot_fetch_is_refused(url: str, folder: Path) -> None:
    session = Session({"api_key": "x" * 20, "base_url": "https://service.example/api/v1", "folder": str(folder)})
    with pytest.raises(InputError, match="cannot fetch the source image"):
        session.request("a fox", image=url)
    session.close()
    with pytest.raises(InputError, match="cannot fetch the source image"):
        ServiceClient("x" * 20, base_url="https://service.example/api/v1").check_request(
            GenerationRequest("a fox", image=url)
        )


def test_other_urls_and_a_service_on_this_machine_are_left_alone(session: Any, folder: Path) -> None:
    assert session.request("a fox", image=OUT_OF_REACH[0]).image.url == OUT_OF_REACH[0]
    hosted = Session(
        {"api_key": "x" * 20, "base_url": "https://service.example/api/v1", "folder": str(folder / "other")}
    )
    for url in (
        "https://example.com/fox.png",
        "http://93.184.216.34/a%20fox.png?x=~",
        "https://b\u00fccher.example/fox.png",
    ):
        assert hosted.request("a fox", image=url).image.url == url
    hosted.close()
