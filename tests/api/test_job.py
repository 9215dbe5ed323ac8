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
from kling_notebook.api.job import Job, JobStatus, Snapshot
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
    assert request.replace(**change).identity("pixeldojo") != request.identity("pixeldojo")


def test_the_backend_is_part_of_the_identity() -> None:
    assert GenerationRequest("a fox").identity("sandbox") != GenerationRequest("a fox").identity("pixeldojo")


def test_a_source_image_is_known_by_its_content_and_not_by_its_name() -> None:
    renamed = SourceImage.of_bytes(b"\x89PNG bytes", "image/png", "other.png")
    other = SourceImage.of_bytes(b"other bytes", "image/png", "fox.png")
    identity = GenerationRequest("x", image=PNG).identity("b")
    assert GenerationRequest("x", image=renamed).identity("b") == identity
    assert GenerationRequest("x", image=other).identity("b") != identity


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
    TEXT,
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
    assert again.identity("b") == request.identity("b")
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301  # our own bytes
    assert copy.deepcopy(request) == request
    assert request.replace() == request


def test_a_pickled_request_keeps_the_bytes_of_its_source() -> None:
    again = pickle.loads(pickle.dumps(GenerationRequest("x", image=PNG)))  # noqa: S301  # our own bytes
    assert again.image.data == PNG.data


def test_a_record_with_fields_of_another_version_still_opens() -> None:
    record = GenerationRequest("a fox").as_json()
    record["values"]["seed"] = 3
    del record["values"]["resolution"]
    assert GenerationRequest.from_json(record) == GenerationRequest("a fox")


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
