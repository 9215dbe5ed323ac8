"""The recipe inside an image: complete, readable by others, without secrets, and never at the cost of a pixel."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from kling_notebook.api.errors import InputError
from kling_notebook.api.generation_request import GenerationRequest, SourceImage
from kling_notebook.image_files import containers, exif, metadata

KINDS = ["PNG", "JPEG", "WEBP"]


def image(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(out, kind, **options)
    return out.getvalue()


def recipe_of(request: GenerationRequest, **facts: Any) -> dict[str, Any]:
    known = {"backend": "pixeldojo", "created_at": 1_750_000_000.25, "job_id": "job_1", "number": 12, "image": 3}
    return metadata.build(request=request, **{**known, "credits": 1.5, **facts})


def pixels(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    image = Image.open(io.BytesIO(data))
    return image.mode, image.size, image.tobytes()


def test_the_recipe_says_what_made_the_image():
    request = GenerationRequest(
        "a fox", negative_prompt="blur", resolution="2K", aspect_ratio="16:9", sample=2, extra={"style": "ink"}
    )
    recipe = recipe_of(request)
    assert re.fullmatch(r"kling_notebook( \d+\.\d+.*)?", recipe.pop("software"))
    assert recipe == {
        "format": "kling_notebook recipe",
        "version": 1,
        "prompt": "a fox",
        "parameters": {
            "negative_prompt": "blur",
            "resolution": "2K",
            "aspect_ratio": "16:9",
            "num_outputs": 1,
            "output_format": "png",
            "image": None,
        },
        "extra": {"style": "ink"},
        "sample": 2,
        "model": "kling-image",
        "backend": "pixeldojo",
        "job_id": "job_1",
        "number": 12,
        "image": 3,
        "created": "2025-06-15T15:06:40Z",
        "credits": 1.5,
    }


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(prompt=st.text(min_size=1, max_size=300), sample=st.none() | st.integers() | st.text(max_size=9))
@example(prompt="\0\x1f\x7f\u2028\U0001f98a 日本 \"'\\", sample=None)
@example(prompt="ÿØÿá Exif", sample="\0")
def test_any_prompt_reads_back_and_no_pixel_changes(kind: str, prompt: str, sample: Any):
    if not prompt.strip():
        prompt = "x" + prompt
    try:
        request = GenerationRequest(prompt, sample=sample)
    except InputError:  # half a surrogate pair cannot be sent, so no image can be made of it
        return
    recipe = recipe_of(request)
    before = image(kind)
    after = metadata.splice(before, recipe)
    assert metadata.read(after) == recipe
    assert metadata.request_of(metadata.read(after)) == request
    assert pixels(after) == pixels(before)


@pytest.mark.parametrize("kind", KINDS)
def test_pillow_reads_it_as_the_description(kind: str):
    recipe = recipe_of(GenerationRequest("日本 fox"))
    text = Image.open(io.BytesIO(metadata.splice(image(kind), recipe))).getexif()[0x010E]
    assert text.isascii()
    assert json.loads(text) == recipe


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_exiftool_reads_it_and_has_nothing_to_complain_of(kind: str, tmp_path: Path):
    recipe = recipe_of(GenerationRequest("a fox, 日本"))
    path = tmp_path / "image"
    path.write_bytes(metadata.splice(image(kind), recipe))
    told = subprocess.run(
        ["exiftool", "-json", "-ImageDescription", "-Warning", "-Error", "-validate", path],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    facts = json.loads(told.stdout)[0]
    # exiftool shows numbers and JSON texts as they are, so the description arrives as text or as an object.
    description = facts["ImageDescription"]
    assert (json.loads(description) if isinstance(description, str) else description) == recipe
    assert "Error" not in facts
    serious = [line for key, line in facts.items() if key == "Warning" and "Missing required" not in str(line)]
    assert serious == []


@pytest.mark.parametrize("kind", KINDS)
def test_other_tags_stay(kind: str):
    tags = Image.Exif()
    tags[0x010F] = "The maker"
    data = metadata.splice(image(kind, exif=tags.tobytes()), recipe_of(GenerationRequest("a fox")))
    assert Image.open(io.BytesIO(data)).getexif()[0x010F] == "The maker"
    assert metadata.read(data)["prompt"] == "a fox"


def test_a_recipe_is_replaced_not_added():
    once = metadata.splice(image("PNG"), recipe_of(GenerationRequest("first")))
    twice = metadata.splice(once, recipe_of(GenerationRequest("second")))
    assert metadata.read(twice)["prompt"] == "second"
    assert b"first" not in twice


def test_a_long_extra_is_kept_as_its_hash():
    request = GenerationRequest("a fox", extra={"image_data": "A" * 3000})
    recipe = recipe_of(request)
    assert set(recipe["extra"]) == {"sha256", "bytes"}
    assert "AAAA" not in json.dumps(recipe)
    assert metadata.request_of(recipe) == GenerationRequest("a fox")


def test_an_extra_that_leaves_no_space_is_hashed_though_short():
    recipe = recipe_of(GenerationRequest("a" * 58_500, extra={"style": "b" * 1500}))
    assert set(recipe["extra"]) == {"sha256", "bytes"}
    assert metadata.read(metadata.splice(image("JPEG"), recipe)) == recipe


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_without_space_is_refused(kind: str):
    recipe = recipe_of(GenerationRequest("日" * 12_000))
    with pytest.raises(InputError, match="space for 60000"):
        metadata.splice(image(kind), recipe)


def test_a_source_image_is_kept_as_its_hash_without_its_folder():
    source = SourceImage.of_bytes(b"x" * 50, "image/png", r"C:\Users\alice\secret\fox.png")
    recipe = recipe_of(GenerationRequest("a fox", image=source))
    assert recipe["parameters"]["image"] == {
        "label": "fox.png",
        "url": None,
        "sha256": source.sha256,
        "media_type": "image/png",
    }
    assert metadata.request_of(recipe).image.identity == source.identity
    unix = SourceImage.of_bytes(b"x", "image/png", "/home/alice/fox.png")
    assert "alice" not in json.dumps(recipe_of(GenerationRequest("a fox", image=unix)))


@pytest.mark.parametrize(
    "url",
    [
        "https://host/fox.png?X-Signature=CANARY",
        "https://user:CANARY@host/fox.png",
        "https://host/fox.png#CANARY",
        "data:image/png;base64,CANARY",
    ],
)
def test_a_source_url_leaves_its_secrets_out(url: str):
    recipe = recipe_of(GenerationRequest("a fox", image=SourceImage(url, url)))
    assert "CANARY" not in json.dumps(recipe)
    assert re.fullmatch("[0-9a-f]{64}", recipe["parameters"]["image"]["sha256"])


def test_a_plain_source_url_is_kept():
    recipe = recipe_of(GenerationRequest("a fox", image="https://host/fox.png"))
    assert recipe["parameters"]["image"]["url"] == "https://host/fox.png"
    assert metadata.request_of(recipe) == GenerationRequest("a fox", image="https://host/fox.png")


def test_read_takes_a_path(tmp_path: Path):
    path = tmp_path / "fox.png"
    path.write_bytes(metadata.splice(image("PNG"), recipe_of(GenerationRequest("a fox"))))
    assert metadata.read(path)["prompt"] == metadata.read(str(path))["prompt"] == "a fox"


def test_a_missing_file_says_so(tmp_path: Path):
    with pytest.raises(InputError, match="No such file"):
        metadata.read(tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be read"):
        metadata.read(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_a_recipe_says_so(kind: str):
    with pytest.raises(InputError, match="no recipe"):
        metadata.read(image(kind))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda data, _: data,
        lambda data, block: containers.write_exif(data, block + b"\0").replace(b"a fox", b"a cat"),
        lambda _, block: containers.write_exif(image("PNG", compress_level=0), block),
    ],
    ids=["nothing put in", "another recipe", "other pixels"],
)
def test_a_splice_that_does_not_read_back_is_refused(mistake: Any, monkeypatch: pytest.MonkeyPatch):
    right = containers.write_exif

    def wrong(data: bytes, block: bytes) -> bytes:
        monkeypatch.setattr(containers, "write_exif", right)
        return mistake(data, block)

    monkeypatch.setattr(containers, "write_exif", wrong)
    with pytest.raises(InputError):
        metadata.splice(image("PNG"), recipe_of(GenerationRequest("a fox")))


@pytest.mark.parametrize(("at", "bit"), [(20, 0x10), (24, 1)], ids=["alpha", "size"])
def test_a_webp_header_that_says_something_else_is_refused(at: int, bit: int, monkeypatch: pytest.MonkeyPatch):
    right = containers.write_exif

    def wrong(data: bytes, block: bytes) -> bytes:
        after = bytearray(right(data, block))
        after[at] ^= bit
        return bytes(after)

    monkeypatch.setattr(containers, "write_exif", wrong)
    with pytest.raises(InputError):
        metadata.splice(image("WEBP"), recipe_of(GenerationRequest("a fox")))


HOSTILE = {
    "not json": "{",
    "another object": '{"format":"theirs"}',
    "no object": "[1]",
    "a number of ten thousand digits": "9" * 10_000,
    "brackets": "[" * 50_000,
    "too long": json.dumps({"format": metadata.FORMAT, "prompt": "a" * 70_000}),
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_description_is_not_a_recipe(kind: str, text: str):
    data = containers.write_exif(image(kind), exif.with_description(None, text))
    with pytest.raises(InputError, match="no recipe"):
        metadata.read(data)


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1\0\1", b"RIFF\0\0\0\0WEBP"])
def test_what_is_not_an_image_is_refused(data: bytes):
    with pytest.raises(InputError):
        metadata.read(data)
    with pytest.raises(InputError):
        metadata.splice(data, recipe_of(GenerationRequest("a fox")))


@given(data=st.binary(max_size=300), at=st.floats(0, 1), kind=st.sampled_from(KINDS))
@settings(deadline=None, max_examples=300)
def test_a_damaged_image_is_read_or_refused(data: bytes, at: float, kind: str):
    whole = metadata.splice(image(kind), recipe_of(GenerationRequest("a fox")))
    start = int(at * len(whole))
    for hostile in (
        whole[:start] + data,
        whole[:start] + data + whole[start:],
        whole[:start] + data + whole[start + len(data) :],
    ):
        try:
            metadata.read(hostile)
        except InputError:
            continue


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": None},
        {"parameters": {"resolution": 9}},
        {"parameters": {"image": {"odd": 1}}},
        {"parameters": {"image": 5}},
        {"prompt": None},
        {"prompt": 5},
        {"extra": 5},
        {"extra": ["a"]},
        {"model": None},
    ],
    ids=str,
)
def test_a_recipe_that_holds_no_request_is_refused(change: dict[str, Any]):
    recipe = {**recipe_of(GenerationRequest("a fox")), **change}
    with pytest.raises(InputError):
        metadata.request_of(recipe)
