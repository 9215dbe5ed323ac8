"""In a real browser, at the widths people have: tiles side by side, nothing scrolls sideways, captions are seen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kling_notebook.view.facets import Facet, facets_bundle
from kling_notebook.view.grid import grid_bundle, large_bundle
from kling_notebook.view.table import HistoryRow, facts_bundle, history_page
from kling_notebook.view.tiles import Tile

Make = Callable[..., Tile]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
ASK = """() => {
  const boxes = [...document.querySelectorAll('figure')].map(f => f.getBoundingClientRect())
  const tops = boxes.map(b => Math.round(b.top))
  const images = [...document.querySelectorAll('img')].map(i => {
    const b = i.getBoundingClientRect(); return [b.width / b.height, i.naturalWidth / i.naturalHeight, b.right]})
  const captions = [...document.querySelectorAll('figcaption')].map(c => c.getBoundingClientRect())
  return {
    rows: tops.filter((t, i) => tops.indexOf(t) === i).map(t => tops.filter(u => u === t).length),
    wide: document.documentElement.scrollWidth, images,
    hidden: captions.filter(c => c.height < 10 || c.right > innerWidth).length, captions: captions.length}
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of Debian's Chromium; without one the tests are skipped, or fail with KLING_REQUIRE_BROWSER=1."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        (pytest.fail if os.environ.get("KLING_REQUIRE_BROWSER") == "1" else pytest.skip)("no Chromium here")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser.new_page()
        browser.close()


def seen(page: Any, html: str, width: int) -> dict[str, Any]:
    page.set_viewport_size({"width": width, "height": 900})
    page.set_content(f"<!DOCTYPE html><body style='margin: 16px'>{html}</body>")
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    found: dict[str, Any] = page.evaluate(ASK)
    assert found["wide"] <= width, "the page scrolls sideways"
    assert found["hidden"] == 0, "a caption cannot be seen"
    for shown, natural, right in found["images"]:
        assert shown == pytest.approx(natural, rel=0.03), "an image is stretched"
        assert right <= width
    return found


@pytest.mark.parametrize(
    ("count", "ratio", "rows"),
    [
        (9, "1:1", {600: [3, 3, 3], 900: [3, 3, 3], 1400: [3, 3, 3]}),
        (9, "9:16", {600: [3, 3, 3], 900: [3, 3, 3], 1400: [3, 3, 3]}),
        (9, "21:9", {600: [2, 2, 2, 2, 1], 900: [3, 3, 3], 1400: [3, 3, 3]}),
        (4, "9:16", {600: [4], 900: [4], 1400: [4]}),
        (4, "1:1", {600: [2, 2], 900: [2, 2], 1400: [2, 2]}),
        (2, "21:9", {600: [2], 900: [2], 1400: [2]}),
        (2, "1:1", {320: [1, 1], 600: [2]}),
    ],
)
def test_tiles_are_arranged_to_read_well(
    page: Any, make_tile: Make, count: int, ratio: str, rows: dict[int, list[int]]
) -> None:
    html = grid_bundle([make_tile(k, ratio) for k in range(count)], title="a fox " * 60)["text/html"]
    for width, expected in rows.items():
        found = seen(page, html, width)
        assert found["rows"] == expected, width
        assert found["captions"] == count


@pytest.mark.parametrize("width", [600, 900, 1400])
def test_mixed_shapes_and_holes_fit_their_page(page: Any, make_tile: Make, width: int) -> None:
    tiles = [make_tile(0, "21:9"), make_tile(1, "9:16"), make_tile(2, state="failed", note="x" * 400), make_tile(3)]
    assert seen(page, grid_bundle(tiles)["text/html"], width)["rows"] == [2, 2]


@pytest.mark.parametrize("width", [600, 900, 1400])
@pytest.mark.parametrize("ratio", ["1:1", "9:16", "21:9"])
def test_a_large_image_fits_its_page(page: Any, make_tile: Make, ratio: str, width: int) -> None:
    seen(page, large_bundle(make_tile(0, ratio, side=1024), title="word" * 200)["text/html"], width)


@pytest.mark.parametrize("width", [600, 900, 1400])
def test_facets_fit_their_page(page: Any, make_tile: Make, width: int) -> None:
    cells = tuple(tuple((make_tile(r * 3 + c), make_tile(9)) for c in range(3)) for r in range(2))
    facet = Facet("ratio = 1:1", "animal", ("fox", "owl"), "time", ("dawn", "noon", "night" * 20), cells)
    assert seen(page, facets_bundle([facet])["text/html"], width)["captions"] == 12


def test_the_history_page_shows_its_dates_on_a_narrow_page(page: Any, make_tile: Make) -> None:
    """They were cut off, in a box that scrolled unseen."""
    tiles = (make_tile(0), make_tile(1), make_tile(2))
    row = HistoryRow(
        12, tiles, "A red fox in an autumn forest", "num outputs 3", "completed", "sandbox", "2026-11-26 01:47"
    )
    page.set_viewport_size({"width": 600, "height": 900})
    page.set_content(history_page([replace(row, starred=("12c",), seconds=2.2)]))
    assert (
        page.evaluate(
            "(() => { const box = document.querySelector('table').parentElement;"
            " return box.scrollWidth - box.clientWidth })()"
        )
        <= 0
    )


def test_many_columns_scroll_in_their_own_box_and_not_the_page(page: Any, make_tile: Make) -> None:
    labels = tuple(f"style {k}" for k in range(12))
    cells = tuple(tuple((make_tile(k, caption=""),) for k in range(12)) for _ in range(2))
    html = facets_bundle([Facet("", "a", ("x", "y"), "b", labels, cells)])["text/html"]
    page.set_viewport_size({"width": 600, "height": 900})
    page.set_content(f"<!DOCTYPE html><body>{html}</body>")
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    assert page.evaluate("Math.min(...[...document.images].map(i => i.getBoundingClientRect().width))") >= 80


def test_a_few_images_are_drawn_larger_than_many_and_no_larger_than_their_pixels(page: Any, make_tile: Make) -> None:
    def widths(count: int, side: int) -> set[float]:
        seen(page, grid_bundle([make_tile(k, side=side) for k in range(count)])["text/html"], 1400)
        found: list[float] = page.evaluate("[...document.images].map(i => i.getBoundingClientRect().width)")
        return set(found)

    assert widths(9, 256) == {256}
    assert widths(4, 384) == {384}


def test_four_images_of_one_point_of_a_sweep_are_two_by_two(page: Any, make_tile: Make) -> None:
    cells = (tuple(tuple(make_tile(4 * c + k, "21:9") for k in range(4)) for c in range(2)),)
    html = facets_bundle([Facet("", "", ("",), "resolution", ("1K", "2K"), cells)])["text/html"]
    assert seen(page, html, 900)["rows"] == [4, 4]
    assert page.evaluate("Math.min(...[...document.images].map(i => i.getBoundingClientRect().width))") > 180


@pytest.mark.parametrize("width", [600, 1400])
def test_the_images_of_a_row_line_up_whatever_their_labels_need(page: Any, make_tile: Make, width: int) -> None:
    """A long label makes space above the whole row; a failed place beside the others is not a higher than they are."""
    labels = ("a long prompt about a fox that walks over a field of snow " * 2, "owl", "hen")
    cells = (((make_tile(0),), (make_tile(1),), (make_tile(2, state="failed", caption=""),)),)
    html = facets_bundle([Facet("", "", ("",), "prompt", labels, cells)])["text/html"]
    page.set_viewport_size({"width": width, "height": 900})
    page.set_content(f"<!DOCTYPE html><body>{html}</body>")
    found = page.evaluate(
        "[...document.querySelectorAll('figure > div')].map(f => f.getBoundingClientRect()).map(b => [b.top, b.bottom])"
    )
    assert len({tuple(map(round, span)) for span in found}) == 1


def test_a_long_path_in_a_table_of_facts_breaks_no_short_word(page: Any) -> None:
    html = facts_bundle("Check", [("folder", "ok", "/" + "long" * 80), ("submitting", "unknown", "never tried")])
    page.set_viewport_size({"width": 600, "height": 900})
    page.set_content(f"<!DOCTYPE html><body>{html['text/html']}</body>")
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
    assert page.evaluate("document.querySelectorAll('tr')[1].getBoundingClientRect().height") < 40


def test_every_renderer_fits_a_narrow_page_and_runs_nothing(
    page: Any, render_everything: Callable[[str], dict[str, dict[str, str]]]
) -> None:
    """Hostile text in a real browser: no dialog, no console error, no request, no sideways scrolling."""
    shown_text: list[str] = []
    page.on("dialog", lambda dialog: (shown_text.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: shown_text.append(message.text))
    page.on("request", lambda request: shown_text.append(request.url) if request.url.startswith("http") else None)
    page.set_viewport_size({"width": 600, "height": 900})
    for text in ("<img src=x onerror=alert(1)>\"'&", "</td></table><script>alert(1)</script>", "w" * 400):
        for renderer, bundle in render_everything(text).items():
            page.set_content(bundle["text/html"])
            assert page.evaluate("document.documentElement.scrollWidth") <= 600, f"{renderer}: {text[:20]}"
    assert shown_text == []
