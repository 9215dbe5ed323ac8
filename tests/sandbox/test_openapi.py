"""The sandbox's description of itself is valid, is true, and survives somebody who tries to break it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import openapi_spec_validator
import pytest
import requests

from kling_notebook.sandbox import Sandbox

if TYPE_CHECKING:
    from .conftest import Api


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"schema": "num_images", "image_key": "image_urls"},
        {"schema": None, "image_key": None},
    ],
    ids=str,
)
def test_the_document_is_valid_openapi_31(quick: Callable[..., Api], options: dict[str, object]) -> None:
    document = quick(**options).get("/api/openapi").json()
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1")


def test_the_document_follows_the_variant(quick: Callable[..., Api]) -> None:
    def paths(**options: object) -> set[str]:
        return set(quick(**options).get("/api/openapi").json()["paths"])

    plain = paths()
    assert plain - paths(schema=None) == {"/api/v1/models/{modelId}/schema"}


def test_replies_are_what_the_document_says(quick: Callable[..., Api]) -> None:
    api = quick(credits=3)
    document = api.get("/api/openapi").json()

    def check(value: object, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)

    submitted = api.submit(num_outputs=2)
    check(submitted.json(), "Submitted")
    check(api.poll(submitted.json()["jobId"]).json(), "Job")
    failed = api.submit(image_url="data:image/png;base64,AAAA").json()
    check(api.poll(failed["jobId"]).json(), "Job")
    check(api.submit().json(), "Error")
    check(api.poll("x").json(), "Error")
    check(api.get("/api/v1/models").json(), "ModelList")
    check(api.get("/api/v1/models/kling-image").json(), "Model")
    check(api.get("/api/v1/models/kling-image/schema").json(), "ModelSchema")


def test_every_operation_documents_that_it_refuses_strangers_and_wrong_methods(quick: Callable[..., Api]) -> None:
    """A foreign Host, any Origin and a method that is not there; and no error is described that nothing answers."""
    api = quick()
    document = api.get("/api/openapi").json()
    codes = document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    errors = set()
    for path, methods in document["paths"].items():
        ((method, operation),) = methods.items()
        address = api.sandbox.origin + path.format(modelId="kling-image", jobId="job_x")
        answers = [
            requests.request(method, address, headers={**api.headers, **stranger}, timeout=60)
            for stranger in ({"Host": "evil.example"}, {"Origin": "null"})
        ]
        answers.append(requests.put(address, headers=api.headers, timeout=60))
        assert [answer.status_code for answer in answers] == [403, 403, 405]
        for answer in answers:
            assert str(answer.status_code) in operation["responses"], (path, answer.status_code)
            assert answer.json()["error"]["code"] in codes
        errors |= {reply["$ref"].rpartition("/")[2] for reply in operation["responses"].values() if "$ref" in reply}
    assert errors == set(document["components"]["responses"])


def test_models_and_schema_need_no_key_and_have_the_documented_shape(api: Api) -> None:
    models = api.get("/api/v1/models").json()
    assert models["total"] == 1
    assert models["models"][0] == api.get("/api/v1/models/kling-image").json()
    assert models["models"][0]["apiId"] == "kling-image"
    assert models["models"][0]["creditCost"] == {"default": 1, "type": "per_image", "amount": 1}
    schema = api.get("/api/v1/models/kling-image/schema").json()["requestSchema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["prompt"]
    names = ["prompt", "negative_prompt", "resolution", "aspect_ratio", "num_outputs", "output_format", "image_url"]
    assert list(schema["properties"]) == names
    assert (schema["properties"]["num_outputs"]["minimum"], schema["properties"]["num_outputs"]["maximum"]) == (1, 9)


@pytest.mark.parametrize(
    ("options", "good", "bad"),
    [
        ({"schema": "num_images"}, "num_images", "num_outputs"),
        ({"image_key": "input_image"}, "input_image", "image_url"),
        ({"image_key": None}, "num_outputs", "image_url"),
    ],
)
def test_another_schema_is_published_and_obeyed(
    quick: Callable[..., Api], options: dict[str, object], good: str, bad: str
) -> None:
    api = quick(**options)
    properties = api.get("/api/v1/models/kling-image/schema").json()["requestSchema"]["properties"]
    assert good in properties
    assert bad not in properties
    value: object = 2 if "num" in good else "https://example.org/a.png"
    assert api.submit(**{good: value}).status_code == 200
    refused = api.submit(**{bad: 2})
    assert refused.status_code == 400
    assert bad in refused.json()["error"]["message"]


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"schema": "num_images", "image_key": "image_urls"}], ids=["plain", "variant"])
def test_schemathesis_finds_nothing(
    make_sandbox: Callable[..., Sandbox], options: dict[str, object], tmp_path: Path
) -> None:
    sandbox = make_sandbox(credits=10**9, **options)
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("run", f"{sandbox.origin}/api/openapi", "--header", f"Authorization: Bearer {sandbox.key}"),
        *("--max-examples", "15", "--seed", "1", "--no-color"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "No issues found" in run.stdout
    assert sandbox.count("submit") > 50
    assert {entry.status for entry in sandbox.log} <= {200, 400, 401, 403, 404, 405}
