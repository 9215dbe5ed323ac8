"""The history, a comparison and small facts: readable as tables, light, complete in plain text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest
from PIL import Image

from kling_notebook.view.table import (
    HistoryRow,
    compare_bundle,
    facts_bundle,
    history_bundle,
    history_page,
    marked_words,
)
from kling_notebook.view.tiles import Tile

Make = Callable[..., Tile]


def parsed(html: str) -> Element:
    root: Element = html5lib.parse(html, namespaceHTMLElements=False)
    return root


def history_row(make_tile: Make, number: int = 12, images: int = 2, **fields: Any) -> HistoryRow:
    tiles = tuple(make_tile(k, noise=True) for k in range(images))
    values = {"prompt": "a fox", "parameters": "1:1 \u00b7 1K", "status": "completed", "icon": "\u2713"}
    values["backend"] = "pixeldojo"
    return HistoryRow(**{"number": number, "tiles": tiles, "created": "2025-03-02 14:07", **values, **fields})


def test_a_row_has_everything_a_reader_looks_for(make_tile: Make) -> None:
    row = history_row(make_tile, seconds=8.4, credits=2, starred=("12a", "12b"), note="best light", error="odd")
    bundle = history_bundle([row], total=1234, footer="next page: --offset 50")
    text = "".join(parsed(bundle["text/html"]).itertext())
    wanted = ["12", "\u2605 12a", "\u2605 12b", "a fox", "1:1 \u00b7 1K \u00b7 pixeldojo", "\u2713 completed"]
    wanted += ["2025-03-02 14:07", "8.4 s \u00b7 2 credits", "best light", "odd", "1 of 1234 jobs", "--offset 50"]
    for part in wanted:
        assert part in text
    for part in (
        "12 \u260512a,12b",
        "a fox",
        "completed",
        "8.4 s \u00b7 2 credits",
        "best light",
        "odd",
        "1 of 1234 jobs",
    ):
        assert part in bundle["text/plain"]


def test_what_is_not_known_is_left_out(make_tile: Make) -> None:
    text = "".join(parsed(history_bundle([history_row(make_tile)], total=1)["text/html"]).itertext())
    assert "credit" not in text
    assert "None" not in text


@pytest.mark.parametrize("status", ["failed", "unconfirmed", "running", "paused", "completed", "never heard of"])
def test_a_status_is_a_word_people_read(make_tile: Make, status: str) -> None:
    bundle = history_bundle([history_row(make_tile, status=status)], total=1)
    assert status.replace("_", " ") in "".join(parsed(bundle["text/html"]).itertext())


def test_at_most_four_thumbnails_stand_in_a_row(make_tile: Make) -> None:
    for images, shown, more in ((4, 4, ""), (9, 3, "+6 more")):
        html = history_bundle([history_row(make_tile, images=images)], total=1)["text/html"]
        assert html.count("<img") == shown
        assert more in html


def test_fifty_rows_of_heavy_images_stay_light(make_tile: Make) -> None:
    rows = [history_row(make_tile, number=n, images=4) for n in range(50)]
    assert len(history_bundle(rows, total=50)["text/html"]) < 1_000_000


def test_an_empty_history_is_reported() -> None:
    bundle = history_bundle([], total=0)
    assert "No jobs to show." in bundle["text/html"]
    assert bundle["text/plain"] == "No jobs to show."


def test_columns_and_rows_have_headers(make_tile: Make) -> None:
    root = parsed(history_bundle([history_row(make_tile)], total=1)["text/html"])
    assert [cell.attrib["scope"] for cell in root.iter("th")] == ["col"] * 4 + ["row"]


def test_a_missing_image_is_named_in_the_history(make_tile: Make) -> None:
    row = history_row(make_tile, images=0)
    gone = HistoryRow(12, (make_tile(0, state="missing"),), "a fox", "", "completed", "", "", row.seconds)
    assert "missing" in history_bundle([gone], total=1)["text/html"]


def test_the_page_stands_alone(make_tile: Make) -> None:
    html = history_page([history_row(make_tile)], title="Foxes & <owls>")
    assert html.startswith("<!DOCTYPE html>")
    html5lib.HTMLParser(strict=True).parse(html)
    root = parsed(html)
    assert "".join(next(root.iter("title")).itertext()) == "Foxes & <owls>"
    assert {"color-scheme": "light dark"}.items() <= {
        (meta.attrib.get("name"), meta.attrib.get("content")) for meta in root.iter("meta")
    }
    assert all(image.attrib["src"].startswith("data:image/jpeg;base64,") for image in root.iter("img"))


def test_a_comparison_marks_the_words_that_differ() -> None:
    left, right = marked_words("a red fox in deep snow", "an arctic fox in deep snow")
    assert [e.text for e in parsed(left).iter("mark")] == ["a red"]
    assert [e.text for e in parsed(right).iter("mark")] == ["an arctic"]
    assert "".join(parsed(right).itertext()).strip() == "an arctic fox in deep snow"


def test_an_absent_value_is_reported_to_be_none() -> None:
    assert marked_words("", "blurry")[0] == "<em>none</em>"


def test_a_comparison_shows_both_images_what_differs_and_what_does_not(make_tile: Make) -> None:
    a, b = make_tile(0, "16:9", side=512, alt="left"), make_tile(1, side=512, alt="right")
    bundle = compare_bundle(a, b, [("aspect_ratio", "16:9", "1:1")], same=[("resolution", "1K")])
    root = parsed(bundle["text/html"])
    assert [image.attrib["alt"] for image in root.iter("img")] == ["left", "right"]
    text = "".join(root.itertext())
    assert "\u2260 aspect_ratio" in text
    assert "Same in both: resolution 1K" in text
    assert "\u2260 aspect_ratio: 16:9 | 1:1" in bundle["text/plain"]
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))).width > 512


def test_two_equal_requests_are_reported_to_be_equal(make_tile: Make) -> None:
    bundle = compare_bundle(make_tile(0), make_tile(1), [])
    assert "do not differ" in bundle["text/html"]
    assert "do not differ" in bundle["text/plain"]


def test_facts_line_up_in_plain_text() -> None:
    rows = [("api_key", "set", "keyring"), ("base_url", "https://pixeldojo.ai/api/v1", "default")]
    plain = facts_bundle("Settings", rows, header=("Setting", "Value", "From"))["text/plain"].splitlines()
    assert plain[0] == "Settings"
    assert plain[1].index("From") == plain[2].index("keyring") == plain[3].index("default")


def test_facts_may_be_empty_or_ragged() -> None:
    assert facts_bundle("Status", [])["text/plain"] == "Status"
    assert "one" in facts_bundle("", [("one",), ("two", "b", "c")])["text/html"]


def test_a_long_prompt_is_shortened_where_it_is_equal_and_nowhere_else() -> None:
    same = " ".join(f"word{n}" for n in range(300))
    left, right = marked_words(f"{same} red", f"{same} blue")
    assert [e.text for e in parsed(left).iter("mark")] == ["red"]
    assert [e.text for e in parsed(right).iter("mark")] == ["blue"]
    assert len(left) < 600
