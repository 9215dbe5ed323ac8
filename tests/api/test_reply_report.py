"""What a bug report holds: names and types of replies, and never a value."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kling_notebook.api import reply_report
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.jobs.client import KlingClient


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_report, "_shapes", Counter())


def test_a_report_holds_names_and_types_and_no_value(make_sandbox: Callable[..., Any]) -> None:
    sandbox = make_sandbox()
    client = KlingClient(sandbox.key, base_url=sandbox.base_url)
    client.run(GenerationRequest("a very secret prompt"))
    client.probe()
    text = reply_report.as_json()
    for value in (sandbox.key, "secret", "127.0.0.1", "://", *sandbox.job_ids):
        assert value not in text
    replies = json.loads(text)["replies"]
    submit = next(reply for reply in replies if reply["method"] == "POST")
    assert submit["status"] in (200, 202)
    assert submit["body"]["jobId"] == "text"
    assert submit["body"]["creditCost"] == "number"
    assert "Content-Type" in submit["headers"]
    assert {"images": ["URL"]} in [reply["body"].get("output") for reply in replies]
    assert {reply["status"] for reply in replies} >= {404}


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (b"", "empty"),
        (b"<html>secret", "not JSON, or above 1 MB"),
        (
            b'{"a secret prompt":1,"ok":true,"x":null}',
            {"(not a plain name)": "number", "ok": "truth value", "x": "null"},
        ),
        (b'["https://secret","b"]', ["URL"]),
        (b"[" * 40 + b"]" * 40, None),
        (b'{"n":' + b"1" * 2_000_000 + b"}", "not JSON, or above 1 MB"),
    ],
)
def test_replies_of_every_kind_have_a_shape(body: bytes, shape: Any) -> None:
    reply_report.note("GET", 200, {"X-Secret value": "1", "Date": "now"}, body)
    text = reply_report.as_json()
    assert "secret" not in text.lower()
    (reply,) = json.loads(text)["replies"]
    assert reply["headers"] == ["(not a plain name)", "Date"]
    assert shape is None or reply["body"] == shape
