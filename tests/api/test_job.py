"""Requests are valid by construction, frozen, and known by what they would buy."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_notebook.api.errors import InputError
from kling_notebook.api.generation_request import GenerationRequest, SourceImage
from kling_notebook.api.job import STATUSES, Job, JobStatus, Snapshot
from kling_notebook.api.parameters import PARAMETERS

PNG = SourceImage.of_bytes(b"\x89PNG bytes", "image/png", "fox.png")


def test_a_request_has_every_parameter_with_its_default() -> None:
    request = GenerationRequest(" a fox ", aspect_ratio="16:9")
    assert request.values == {
        "prompt": "a fox",
        "negative_prompt": None,
        "resolution": "1K",
        "aspect_ratio": "16:9",
        "num_outputs": 1,
        "output_format": "png",
        "image": None,
    }
    assert request.output_format == "png"
    with pytest.raises(AttributeError):
        request.seed  # noqa: B018  # the access is the test


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"aspect": "1:1"}, "aspect"),
        ({"num_outputs": 0}, "num_outputs"),
        ({"image": 3}, "image"),
        ({"image": "fox.png"}, "image"),
        ({"image": "file:///etc/passwd"}, "image"),
        ({"extra": {"prompt": "other"}}, "extra"),
        ({"extra": {"num_outputs": 9}}, "extra"),
        ({"extra": {"num_images": 9}}, "extra"),
        ({"extra": {"a": float("nan")}}, "extra"),
        ({"extra": {"a": object()}}, "extra"),
        ({"extra": 3}, "extra"),
        ({"extra": {"a": ["\ud800"]}}, "extra"),
        ({"extra": {"\ud800": 1}}, "extra"),
        ({"sample": "\ud800"}, "sample"),
        ({"model": "\ud800"}, "model"),
        ({"image": "https://example.com/\ud800.png"}, "image"),
        ({"image": SourceImage.of_bytes(b"", "image/png", "\udcff.png")}, "image"),
        ({"sample": 1.5}, "sample"),
        ({"sample": object()}, "sample"),
    ],
)
def test_a_request_that_could_not_be_sent_or_counted_cannot_be_made(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as caught:
        GenerationRequest("a fox", **parameters)
    assert caught.value.parameter == named


def test_a_request_does_not_change() -> None:
    request = GenerationRequest("a fox", extra={"a": [1]})
    with pytest.raises(AttributeError, match="replace"):
        request.prompt = "a cat"
    with pytest.raises(AttributeError):
        del request.extra
    request.values["prompt"] = "a cat"
    assert request.prompt == "a fox"
    assert request.replace(prompt="a cat").prompt == "a cat"
    assert request.replace(prompt="a cat").extra == {"a": [1]}


def test_extra_is_a_copy() -> None:
    given_extra: dict[str, Any] = {"a": [1]}
    request = GenerationRequest("a fox", extra=given_extra)
    given_extra["a"].append(2)
    assert request.extra == {"a": [1]}


def test_equal_requests_are_equal_and_hash_alike() -> None:
    one, other = GenerationRequest("a fox", resolution="2k"), GenerationRequest("a fox ", resolution="2K")
    assert one == other
    assert len({one, other}) == 1
    assert one != "a fox"


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a Fox"},
        {"negative_prompt": "rain"},
        {"resolution": "2K"},
        {"aspect_ratio": "4:3"},
        {"num_outputs": 2},
        {"output_format": "webp"},
        {"image": "https://example.com/a.png"},
        {"extra": {"style": 1}},
        {"sample": 0},
        {"sample": "0"},
        {"model": "kling-image-edit"},
    ],
)
def test_whatever_changes_what_is_bought_changes_the_identity(change: dict[str, Any]) -> None:
    request = GenerationRequest("a fox")
    assert request.replace(**change).identity != request.identity


IN_MEMORY = SourceImage("x", None, "1" * 64, "image/png", "2" * 64)
PINNED = [
    ("a red fox", {}, "c988bd8821ecf767d8165e38574ef8e004198714b380294c5a3fcc858060d9b2"),
    ("a red fox", {"resolution": "2K"}, "19da252c6e1833f9608beeaf9e1bc558a3d48401d672104b4b0147acda504d61"),
    (
        "a red fox",
        {"aspect_ratio": "16:9", "num_outputs": 4},
        "c8b7c3392cd3c485e875cefd18bcbea9c59c655a66dd634e3fa340594c78cb0c",
    ),
    ("a red fox", {"output_format": "webp"}, "d261069d80e24a054416cf249fc16bad37edf3a0e96f7c968cfbc34808240e45"),
    ("a red fox", {"negative_prompt": "rain"}, "25e9b1557c11389e1f6ec9ecb68e4cb3eaa23f6d44299c3d4463d4854c207ff6"),
    ("F\u00fcchse\r\nim Schnee", {}, "c9d1545c9558447588c3261281d94802544068cccac92c7cc07461f4770d5789"),
    (
        "a red fox",
        {"image": "https://example.com/a.png"},
        "3f487c80eada4846a36e94c9240152c2dbf993e13e142c055f81d0060c92b3f0",
    ),
    ("a red fox", {"image": PNG}, "592ee56eaac6a76b815475292d9a1dfd5819092b5c0ee1024458529e5a696f98"),
    ("a red fox", {"image": IN_MEMORY}, "b8890c913018917cd75b5b90d0569fa20edea1ee4db5c8f0bd7b468f9d523c8a"),
    (
        "a red fox",
        {"extra": {"style": ["ink", 2, None]}},
        "131095b426bec3fa2f62500d0bcaf8bee34609ae2089add661f418c729d93b77",
    ),
    ("a red fox", {"sample": 3}, "eccf933bd6823b75b23265db355aefcaf33c39a6f83c4130ad9d48efa14fffaa"),
    (
        "a red fox",
        {"sample": "left", "model": "kling-image-edit"},
        "450174bd1b7ecbc7c19cccc601b9f771a970590aafced1f72ddba9c9392c1cf6",
    ),
]


@pytest.mark.parametrize(("prompt", "parameters", "identity"), PINNED)
def test_the_identity_of_a_request_never_changes(prompt: str, parameters: dict[str, Any], identity: str) -> None:
    """What was paid for once must be found again, by every later version."""
    assert GenerationRequest(prompt, **parameters).identity == identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9 in the rain", "cafe\u0301 in the rain"),
        ("a fox\nin the snow", "a fox\r\nin the snow"),
        ("a fox\nin the snow", "a fox\rin the snow"),
        ("a fox", "  a fox\n"),
    ],
)
def test_text_counts_by_what_it_says_and_is_sent_as_written(one: str, other: str) -> None:
    assert GenerationRequest(one).identity == GenerationRequest(other).identity
    assert (
        GenerationRequest("x", negative_prompt=one).identity == GenerationRequest("x", negative_prompt=other).identity
    )
    assert GenerationRequest(other).prompt == other.strip()


def test_a_request_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[object] = []
    whole = GenerationRequest._hashed
    monkeypatch.setattr(GenerationRequest, "_hashed", lambda self: hashed.append(self) or whole(self))
    request = GenerationRequest("a fox")
    assert len({request, request}) == 1
    assert request.identity == request.identity
    assert len(hashed) == 1


def test_a_source_in_memory_is_known_by_its_pixels() -> None:
    """Another version of Pillow writes the same image as other bytes."""
    here, there = (SourceImage("a", None, sha256, "image/png", "p" * 64) for sha256 in ("1" * 64, "2" * 64))
    assert GenerationRequest("x", image=here).identity == GenerationRequest("x", image=there).identity


@pytest.mark.parametrize(
    "spoiled",
    [
        {"prompt": None},
        {"prompt": 3},
        {"prompt": "\ud800"},
        {"num_outputs": "2"},
        {"num_outputs": True},
        {"num_outputs": 10**9},
        {"num_outputs": None},
        {"resolution": ["1K"]},
        {"image": "a.png"},
        {"image": {"label": 3}},
    ],
)
def test_a_stored_request_of_another_form_is_refused(spoiled: dict[str, Any]) -> None:
    record = GenerationRequest("a fox").as_json()
    record["values"] |= spoiled
    with pytest.raises(InputError):
        GenerationRequest.from_json(record)


def test_a_source_image_is_known_by_its_content_and_not_by_its_name() -> None:
    renamed = SourceImage.of_bytes(b"\x89PNG bytes", "image/png", "other.png")
    other = SourceImage.of_bytes(b"other bytes", "image/png", "fox.png")
    identity = GenerationRequest("x", image=PNG).identity
    assert GenerationRequest("x", image=renamed).identity == identity
    assert GenerationRequest("x", image=other).identity != identity


def test_a_source_image_goes_as_its_url_or_as_a_data_url() -> None:
    assert SourceImage.of_url(" https://example.com/a.png ").on_the_wire() == "https://example.com/a.png"
    kind, _, data = PNG.on_the_wire().partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == b"\x89PNG bytes"
    with pytest.raises(InputError, match="not at hand"):
        SourceImage("fox.png", sha256="0" * 64).on_the_wire()


def test_the_bytes_of_a_source_image_are_in_no_repr_and_no_record() -> None:
    request = GenerationRequest("x", image=PNG)
    assert "PNG bytes" not in repr(request)
    assert "PNG bytes" not in json.dumps(request.as_json())


TEXT = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
REQUESTS = st.builds(
    GenerationRequest,
    TEXT.filter(lambda text: any(map(str.isalnum, text))),
    negative_prompt=st.none() | TEXT,
    resolution=st.sampled_from(PARAMETERS["resolution"].choices),
    aspect_ratio=st.sampled_from(PARAMETERS["aspect_ratio"].choices),
    num_outputs=st.integers(1, 9),
    output_format=st.sampled_from(PARAMETERS["output_format"].choices),
    image=st.none() | st.just(PNG) | st.just("https://example.com/a.png"),
    extra=st.none()
    | st.dictionaries(TEXT.filter(lambda key: key not in {*PARAMETERS, "num_images"}), JSON, max_size=3),
    sample=st.none() | st.integers() | TEXT,
)


@given(REQUESTS)
def test_any_request_comes_back_equal_from_json_pickle_and_copy(request: GenerationRequest) -> None:
    again = GenerationRequest.from_json(json.loads(json.dumps(request.as_json())))
    assert again == request
    assert again.identity == request.identity
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301  # our own bytes
    assert copy.deepcopy(request) == request
    assert request.replace() == request


def test_a_pickled_request_keeps_the_bytes_of_its_source() -> None:
    again = pickle.loads(pickle.dumps(GenerationRequest("x", image=PNG)))  # noqa: S301  # our own bytes
    assert again.image.data == PNG.data


def test_a_record_with_fields_of_another_version_still_opens() -> None:
    record = GenerationRequest("a fox").as_json()
    del record["values"]["resolution"]
    assert GenerationRequest.from_json(record) == GenerationRequest("a fox")
    record["values"]["seed"] = 3
    again = GenerationRequest.from_json(record)
    assert again != GenerationRequest("a fox"), "it asked for something that this version does not know"
    assert again.values == GenerationRequest("a fox").values
    assert again.as_json()["values"]["seed"] == 3
    assert pickle.loads(pickle.dumps(again)) == again  # noqa: S301  # our own bytes


def test_a_repr_shows_what_differs_from_the_defaults() -> None:
    assert repr(GenerationRequest("a fox", resolution="2K", sample=1)) == (
        "GenerationRequest('a fox', resolution='2K', sample=1)"
    )


def test_jobs_and_snapshots_are_values() -> None:
    job = Job("j", "running", "pending", image_urls=("https://temp.example/secret",), raw={"a": 1})
    assert hash(job) == hash(Job("j", "running", "pending", image_urls=("https://temp.example/secret",), raw={"a": 1}))
    assert "secret" not in repr(job)
    snapshot = Snapshot(GenerationRequest("a fox"), JobStatus.QUEUED)
    assert snapshot.replace(saved=2).saved == 2
    assert snapshot.saved == 0


def test_the_states_that_are_over_are_those_with_nothing_left_to_do() -> None:
    assert {status.value for status in JobStatus if status.over} == {
        "completed",
        "failed",
        "expired",
        "rejected",
        "cancelled",
        "dismissed",
    }


def test_every_status_has_a_row_of_its_own() -> None:
    assert set(STATUSES) == set(JobStatus)
    for field in ("meaning", "icon", "text"):
        values = [getattr(row, field) for row in STATUSES.values()]
        assert len(set(values)) == len(values), f"two statuses share a {field}"
        assert all(values)
    assert all(len(row.icon) == 1 for row in STATUSES.values())
