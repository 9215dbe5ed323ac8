"""The live schema decides under which keys a count and an image go; without it the documentation, or a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from kling_notebook.api.errors import InputError
from kling_notebook.api.generation_request import GenerationRequest, SourceImage
from kling_notebook.api.schema import IMAGE_KEYS, ModelSchema, check_body, read_schema, run_body

PLAIN = {
    "prompt": {"type": "string"},
    "negative_prompt": {"type": "string"},
    "resolution": {},
    "aspect_ratio": {},
    "output_format": {},
}
URL = "https://example.com/a.png"


def _schema(*, closed: bool = True, **properties: Any) -> ModelSchema:
    schema = read_schema({"requestSchema": {"properties": PLAIN | properties, "additionalProperties": not closed}})
    assert schema is not None
    return schema


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda s: {"requestSchema": s},
        lambda s: {"schema": s},
        lambda s: s,
        lambda s: {"apiId": "kling-image", "name": "Kling", "requestSchema": s},
        lambda s: {"model": {"apiId": "kling-image", "schema": s}},
        lambda s: {"data": {"requestSchema": s}},
        lambda s: {"requestSchema": {"schema": s}},
        lambda s: {"requestSchema": {"$ref": "#/$defs/In", "$defs": {"In": s}}},
        lambda s: {"requestSchema": {"allOf": [{"properties": {"prompt": {}}}, s]}},
        lambda s: {"requestSchema": {"oneOf": [s, {"properties": {"prompt": {}}}]}},
    ],
)
def test_the_schema_is_found_wherever_the_pages_put_it(wrapped: Any) -> None:
    schema = read_schema(wrapped({"properties": {**PLAIN, "num_images": {}}, "additionalProperties": False}))
    assert schema is not None
    assert schema.count_key == "num_images"
    assert schema.closed
    assert {"prompt", "num_images"} <= schema.properties


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        3,
        {},
        {"requestSchema": None},
        {"schema": []},
        {"properties": []},
        {"properties": {}},
        {"properties": {"a": {}}},
        {"requestSchema": {"$ref": "#/$defs/None"}},
        {"requestSchema": {"$ref": "https://elsewhere/x"}},
        {"schema": {"$ref": "#/schema", "allOf": 3}},
    ],
)
def test_what_is_not_a_schema_is_none(body: Any) -> None:
    assert read_schema(body) is None


def test_a_schema_that_refers_to_itself_ends() -> None:
    loop: dict[str, Any] = {"$ref": "#"}
    assert read_schema({"schema": loop}) is None
    assert read_schema(
        {"schema": {"allOf": [{"$ref": "#"}], "properties": {"prompt": {"$ref": "#/properties/prompt"}}}}
    )


@pytest.mark.parametrize(
    ("properties", "key"),
    [
        ({"num_outputs": {}}, "num_outputs"),
        ({"num_images": {}}, "num_images"),
        ({"num_images": {}, "num_outputs": {}}, "num_outputs"),
        ({}, None),
    ],
)
def test_the_count_key_is_the_one_that_the_schema_lists(properties: dict[str, Any], key: str | None) -> None:
    assert _schema(**properties).count_key == key


@pytest.mark.parametrize("key", IMAGE_KEYS)
@pytest.mark.parametrize(
    ("node", "is_list"),
    [
        ({"type": "string"}, False),
        ({"type": "array", "items": {"type": "string"}}, True),
        ({"items": {"type": "string"}}, True),
        ({"type": ["string", "null"]}, False),
        ({"type": ["array", "null"]}, True),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, False),
        ({"anyOf": [{"type": "array"}, {"type": "null"}]}, True),
        ({}, None),
        (True, None),
    ],
)
def test_the_image_key_is_found_and_whether_it_takes_a_list(key: str, node: Any, is_list: bool | None) -> None:
    schema = _schema(**{key: node})
    assert schema.image_key == key
    assert schema.image_is_list == (key in ("image_urls", "images") if is_list is None else is_list)
    body = run_body(GenerationRequest("a fox", image=URL), schema)
    assert body[key] == ([URL] if schema.image_is_list else URL)
    assert [name for name in body if name in IMAGE_KEYS] == [key]


def test_the_body_of_a_plain_request_needs_no_schema() -> None:
    assert run_body(GenerationRequest("a fox", aspect_ratio="16:9"), None) == {
        "prompt": "a fox",
        "resolution": "1K",
        "aspect_ratio": "16:9",
        "output_format": "png",
    }
    assert run_body(GenerationRequest("a fox", negative_prompt="rain"), None)["negative_prompt"] == "rain"


@pytest.mark.parametrize(
    ("schema", "key"),
    [
        (None, "num_outputs"),
        (_schema(closed=False), "num_outputs"),
        (_schema(num_outputs={}), "num_outputs"),
        (_schema(num_images={}), "num_images"),
        (_schema(num_images={}, num_outputs={}), "num_outputs"),
    ],
)
def test_a_count_goes_under_one_key_and_only_above_one(schema: ModelSchema | None, key: str) -> None:
    counts = {"num_outputs", "num_images"}
    assert {k: v for k, v in run_body(GenerationRequest("x", num_outputs=4), schema).items() if k in counts} == {key: 4}
    assert not counts & set(run_body(GenerationRequest("x"), schema))


_BARE = read_schema({"properties": {"prompt": {}}, "additionalProperties": False})
_BARE_IMAGE = read_schema({"properties": {"prompt": {}, "image_url": {}}})


@pytest.mark.parametrize(
    ("request_", "schema", "parameter"),
    [
        (GenerationRequest("x", image=URL), None, "image"),
        (GenerationRequest("x", image=URL), _schema(), "image"),
        (GenerationRequest("x", image=URL), _schema(closed=False, num_outputs={}), "image"),
        (GenerationRequest("x", image=URL, negative_prompt="y"), _BARE_IMAGE, "negative_prompt"),
        (GenerationRequest("x", num_outputs=2), _schema(), "num_outputs"),
        (GenerationRequest("x", negative_prompt="y"), _BARE, "negative_prompt"),
        (GenerationRequest("x", resolution="2K"), _BARE, "resolution"),
        (GenerationRequest("x", extra={"style": 1}), _schema(), "extra"),
    ],
)
def test_what_has_no_key_is_refused_before_spending(request_: Any, schema: ModelSchema | None, parameter: str) -> None:
    with pytest.raises(InputError) as caught:
        check_body(request_, schema)
    assert caught.value.parameter == parameter
    with pytest.raises(InputError):
        run_body(request_, schema)


def test_an_image_with_a_negative_prompt_goes_where_the_schema_lists_both() -> None:
    body = run_body(GenerationRequest("x", image=URL, negative_prompt="y"), _schema(image_url={}))
    assert (body["image_url"], body["negative_prompt"]) == (URL, "y")


def test_a_closed_schema_gets_no_key_it_does_not_list() -> None:
    schema = read_schema({"properties": {"prompt": {}, "aspect_ratio": {}}, "additionalProperties": False})
    assert run_body(GenerationRequest("x"), schema) == {"prompt": "x", "aspect_ratio": "1:1"}


def test_extra_keys_go_raw() -> None:
    extra = {"image_url": URL, "style": {"a": [1]}}
    assert run_body(GenerationRequest("x", extra=extra), None).items() >= extra.items()
    assert run_body(GenerationRequest("x", extra={"style": 1}), _schema(style={}))["style"] == 1


def test_bytes_of_our_own_go_as_a_data_url() -> None:
    source = SourceImage.of_bytes(b"bytes", "image/webp", "a.webp")
    assert (
        run_body(GenerationRequest("x", image=source), _schema(image_url={}))["image_url"]
        == "data:image/webp;base64,Ynl0ZXM="
    )


LIST = {"responses": {"200": {"content": {"application/json": {"schema": {"type": "array", "items": {}}}}}}}
HELD = {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Jobs"}}}}}}
ONE = {
    "responses": {"200": {"content": {"application/json": {"schema": {"properties": {"jobId": {"type": "string"}}}}}}}
}
NEEDS = LIST | {"parameters": [{"in": "query", "name": "team", "required": True}]}
PARTS = {"components": {"schemas": {"Jobs": {"properties": {"jobs": {"type": "array"}, "total": {"type": "integer"}}}}}}
