"""Editing PNG, JPEG and WebP files without touching a pixel, whatever the bytes are."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from kling_notebook.image_files import containers, exif
from kling_notebook.image_files.containers import BrokenContainerError
from kling_notebook.image_files.file_kinds import WEBP, kind_of

BLOCK = exif.with_description(None, "hello")


def noise(mode: str, size: tuple[int, int] = (37, 23)) -> Image.Image:
    """An image whose every pixel differs, alpha included."""
    base = {"P": "RGB", "1": "L", "I;16": "L"}.get(mode, mode)
    channels = len(Image.new(base, (1, 1)).getbands())
    image = Image.frombytes(base, size, random.Random(5).randbytes(size[0] * size[1] * channels))  # noqa: S311
    return image.quantize(16) if mode == "P" else image.convert(mode)


def encoded(mode: str, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    noise(mode).save(out, kind, **options)
    return out.getvalue()


IMAGES: dict[str, Callable[[], bytes]] = {
    "png rgb": lambda: encoded("RGB", "PNG"),
    "png rgba": lambda: encoded("RGBA", "PNG"),
    "png gray": lambda: encoded("L", "PNG"),
    "png gray alpha": lambda: encoded("LA", "PNG"),
    "png palette": lambda: encoded("P", "PNG"),
    "png palette with a transparent color": lambda: encoded("P", "PNG", transparency=3),
    "png one bit": lambda: encoded("1", "PNG"),
    "png 16 bit": lambda: encoded("I;16", "PNG"),
    "png with exif": lambda: encoded("RGB", "PNG", exif=b"Exif\0\0" + BLOCK),
    "jpeg": lambda: encoded("RGB", "JPEG"),
    "jpeg progressive": lambda: encoded("RGB", "JPEG", progressive=True),
    "jpeg gray": lambda: encoded("L", "JPEG"),
    "jpeg cmyk": lambda: encoded("CMYK", "JPEG"),
    "jpeg restart markers": lambda: encoded("RGB", "JPEG", restart_marker_blocks=2),
    "jpeg with exif": lambda: encoded("RGB", "JPEG", exif=b"Exif\0\0" + BLOCK, comment=b"hello"),
    "webp lossy": lambda: encoded("RGB", "WEBP"),
    "webp lossy alpha": lambda: encoded("RGBA", "WEBP"),
    "webp lossless": lambda: encoded("RGB", "WEBP", lossless=True),
    "webp lossless alpha": lambda: encoded("RGBA", "WEBP", lossless=True),
    "webp with exif": lambda: encoded("RGB", "WEBP", exif=BLOCK),
    "webp with xmp": lambda: encoded("RGB", "WEBP", xmp=b"<x:xmpmeta/>"),
    "webp with profile": lambda: encoded("RGB", "WEBP", icc_profile=b"odd"),
}


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> bytes:
    return IMAGES[request.param]()


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_the_headers_say_type_and_size(image: bytes):
    facts = containers.facts(image)
    image = decoded(image)
    assert (facts.media_type, facts.width, facts.height) == (Image.MIME[str(image.format)], *image.size)
    assert not facts.animated


@pytest.mark.parametrize("length", [0, 1, 300])
def test_a_block_put_in_reads_back_and_no_pixel_changes(image: bytes, length: int):
    block = exif.with_description(None, "x" * length)
    after = containers.write_exif(image, block)
    before_image, after_image = decoded(image), decoded(after)
    assert containers.read_exif(after) == block
    assert (after_image.mode, after_image.size) == (before_image.mode, before_image.size)
    assert after_image.tobytes() == before_image.tobytes()
    assert after_image.convert("RGBA").tobytes() == before_image.convert("RGBA").tobytes()
    assert after_image.getexif().get(0x010E, "") == "x" * length
    assert containers.pixel_data(after) == containers.pixel_data(image)


def test_a_block_put_in_twice_stands_there_once(image: bytes):
    once = containers.write_exif(image, BLOCK)
    other = exif.with_description(None, "other")
    assert containers.write_exif(containers.write_exif(image, other), BLOCK) == once
    assert once.count(BLOCK) == 1


def test_the_essence_of_png_and_jpeg_is_a_file_of_its_own(image: bytes):
    if kind_of(image).media_type != WEBP:
        assert (
            decoded(containers.pixel_data(image)).convert("RGBA").tobytes() == decoded(image).convert("RGBA").tobytes()
        )


def test_the_essence_leaves_metadata_out():
    for kind in ("PNG", "JPEG", "WEBP"):
        with_block = encoded("RGB", kind, exif=b"Exif\0\0" + exif.with_description(None, "secret"))
        assert b"secret" in with_block
        assert b"secret" not in containers.pixel_data(with_block)


def test_different_images_have_different_essences():
    assert containers.pixel_data(encoded("RGB", "PNG")) != containers.pixel_data(encoded("RGBA", "PNG"))


def test_whatever_is_cut_off_an_image_is_noticed(image: bytes):
    for length in range(0, len(image), max(1, len(image) // 60)):
        with pytest.raises(BrokenContainerError):
            containers.facts(image[:length])
    with pytest.raises(BrokenContainerError):
        containers.facts(image[:-1])


def test_bytes_after_the_image_are_left_alone(image: bytes):
    after = containers.write_exif(image + b"tail", BLOCK)
    assert after.endswith(b"tail")
    assert decoded(after).tobytes() == decoded(image).tobytes()


def test_a_flipped_bit_in_a_png_is_noticed():
    data = bytearray(encoded("RGB", "PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(BrokenContainerError, match="checksum"):
        containers.facts(bytes(data))


def test_fill_bytes_between_jpeg_segments_are_skipped():
    data = encoded("RGB", "JPEG")
    filled = data[:2] + b"\xff\xff" + data[2:]
    assert containers.facts(filled) == containers.facts(data)
    assert decoded(containers.write_exif(filled, BLOCK)).tobytes() == decoded(data).tobytes()


def test_webp_headers_that_contradict_each_other_are_noticed():
    data = bytearray(containers.write_exif(encoded("RGB", "WEBP"), BLOCK))
    data[24] -= 1
    with pytest.raises(BrokenContainerError, match="contradict"):
        containers.facts(bytes(data))


@pytest.mark.parametrize("side", [0, 2])
def test_a_webp_without_pixels_is_broken(side: int):
    """Its lossy header is the only one that can say 0; it answers as any other damage does, wherever it is read."""
    data = bytearray(encoded("RGB", "WEBP"))
    at = data.index(b"\x9d\x01\x2a") + 3 + side
    data[at : at + 2] = b"\0\0"
    for work in (containers.facts, lambda data: containers.write_exif(data, BLOCK)):
        with pytest.raises(BrokenContainerError, match="no pixels"):
            work(bytes(data))
    survive(bytes(data))


def test_png_keeps_the_block_before_its_pixels():
    data = containers.write_exif(encoded("RGB", "PNG"), BLOCK)
    assert data.index(b"eXIf") < data.index(b"IDAT")


def test_jpeg_keeps_jfif_first_and_the_block_next():
    data = containers.write_exif(encoded("RGB", "JPEG"), BLOCK)
    assert data[2:4] == b"\xff\xe0"
    length = int.from_bytes(data[4:6], "big")
    assert data[4 + length : 6 + length] == b"\xff\xe1"


def test_jpeg_refuses_a_block_that_does_not_fit_its_segment():
    with pytest.raises(BrokenContainerError, match="too large"):
        containers.write_exif(encoded("RGB", "JPEG"), b"MM\0*" + b"x" * 65_530)


def test_webp_keeps_the_alpha_flag_and_sets_the_one_for_the_block():
    for mode, alpha in (("RGB", False), ("RGBA", True)):
        for lossless in (True, False):
            data = containers.write_exif(encoded(mode, "WEBP", lossless=lossless), BLOCK)
            assert data[12:16] == b"VP8X"
            assert bool(data[20] & 0x10) is alpha
            assert data[20] & 0x08
            assert int.from_bytes(data[4:8], "little") == len(data) - 8


def test_webp_keeps_the_block_before_xmp():
    data = containers.write_exif(encoded("RGB", "WEBP", xmp=b"<x:xmpmeta/>"), BLOCK)
    assert data.index(b"EXIF") < data.index(b"XMP ")
    assert decoded(data).info["xmp"] == b"<x:xmpmeta/>"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_recognised(kind: str):
    out = io.BytesIO()
    noise("RGB").save(out, kind, save_all=True, append_images=[noise("RGB").rotate(180)])
    assert containers.facts(out.getvalue()).animated
    assert decoded(containers.write_exif(out.getvalue(), BLOCK)).n_frames == 2


def test_a_size_hidden_in_a_second_header_counts():
    jpeg = encoded("RGB", "JPEG")
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 60_000, 50_000, 1) + b"\x01\x11\x00"
    assert containers.facts(jpeg[:2] + frame + jpeg[2:]).width == 50_000


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_file_chopped_into_a_million_parts_is_refused_at_once():
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"teXt", b"") * 1_000_000 + chunk(b"IEND", b"")
    start = time.perf_counter()
    with pytest.raises(BrokenContainerError, match="parts"):
        containers.facts(data)
    assert time.perf_counter() - start < 5


HEADS = [
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"RIFF\x20\0\0\0WEBP",
    b"RIFF\x20\0\0\0WEBPVP8X",
    b"RIFF\0\0\0\0WEBP",
    b"",
]


def survive(data: bytes) -> None:
    for work in (
        containers.facts,
        containers.pixel_data,
        containers.read_exif,
        lambda d: containers.write_exif(d, BLOCK),
    ):
        with contextlib.suppress(BrokenContainerError):
            work(data)


@given(head=st.sampled_from(HEADS), rest=st.binary(max_size=200))
@example(head=b"\xff\xd8\xff", rest=b"\xd9")
@example(head=b"\x89PNG\r\n\x1a\n", rest=b"\0\0\0\0IEND\0\0\0\0")
@settings(deadline=None, max_examples=300)
def test_hostile_bytes_give_an_answer_or_one_error(head: bytes, rest: bytes):
    survive(head + rest)


@given(name=st.sampled_from(sorted(IMAGES)), where=st.floats(0, 1), put=st.binary(min_size=1, max_size=8))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_image_gives_an_answer_or_one_error(name: str, where: float, put: bytes):
    data = IMAGES[name]()
    at = int(where * len(data))
    survive(data[:at] + put + data[at + len(put) :])


@given(block=st.binary(max_size=120), text=st.text(st.characters(max_codepoint=127, exclude_characters="\0")))
@example(block=b"II*\0\x08\0\0\0\xff\xff", text="a")
@settings(deadline=None, max_examples=300)
def test_any_old_block_takes_a_description(block: bytes, text: str):
    assert exif.read_description(exif.with_description(block, text)) == text


@given(rest=st.binary(max_size=80), order=st.sampled_from([b"II*\0", b"MM\0*"]))
@settings(deadline=None, max_examples=300)
def test_a_hostile_block_is_read_or_refused(rest: bytes, order: bytes):
    with contextlib.suppress(exif.BrokenExifError):
        exif.read_description(order + rest)
    assert exif.read_description(exif.with_description(order + rest, "text")) == "text"


@pytest.mark.parametrize("endian", ["<", ">"])
def test_every_other_tag_stays(endian: str):
    tags = Image.Exif()
    tags.endian = endian
    tags[0x010F] = "A maker with a long name"
    tags[0x0112] = 6
    tags[0x010E] = "an older description"
    tags.get_ifd(0x8769)[0x9286] = b"a user's comment"
    tags.get_ifd(0x8825)[1] = "N"
    old = tags.tobytes().removeprefix(b"Exif\0\0")
    read = Image.Exif()
    read.load(exif.with_description(old, "the new one"))
    assert (read[0x010F], read[0x0112], read[0x010E]) == ("A maker with a long name", 6, "the new one")
    assert read.get_ifd(0x8769)[0x9286] == b"a user's comment"
    assert read.get_ifd(0x8825)[1] == "N"


def test_a_list_of_tags_begins_at_an_even_offset_as_tiff_asks():
    tags = Image.Exif()
    tags[0x010F] = "A maker"
    old = tags.tobytes().removeprefix(b"Exif\0\0")
    for block in (old, old + b"\0"):
        new = exif.with_description(block, "text")
        assert int.from_bytes(new[4:8], "little" if new[:2] == b"II" else "big") % 2 == 0


def test_a_block_of_this_package_does_not_grow_when_written_again():
    first = exif.with_description(None, "a" * 500)
    assert exif.with_description(first, "a" * 500) == first


def test_a_text_that_ends_beyond_the_block_is_refused():
    with pytest.raises(exif.BrokenExifError, match="cut short"):
        exif.read_description(exif.with_description(None, "a" * 50)[:-10])


def test_a_list_of_as_many_tags_as_can_be_counted_takes_a_description():
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, 0) for tag in range(65_535))
    block = b"II*\0" + struct.pack("<IH", 8, 65_535) + entries + bytes(4)
    assert exif.read_description(exif.with_description(block, "text")) == "text"
