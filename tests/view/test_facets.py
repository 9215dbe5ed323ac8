"""Labelled grids: every label readable, every cell in its place, what is missing drawn as missing."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from itertools import product
from xml.etree.ElementTree import Element

import html5lib
import pytest
from PIL import Image

from kling_notebook.view import sheet
from kling_notebook.view.facets import Facet, facets_bundle
from kling_notebook.view.tiles import Tile

Make = Callable[..., Tile]


def parsed(html: str) -> Element:
    root: Element = html5lib.parseFragment(html, namespaceHTMLElements=False)
    return root


def two_by_three(make_tile: Make, title: str = "", rows: tuple[str, str] = ("fox", "owl")) -> Facet:
    cells = tuple(tuple((make_tile(r * 3 + c, alt=f"{rows[r]} {c}"),) for c in range(3)) for r in range(2))
    return Facet(title, "animal", rows, "time", ("dawn", "noon", "night"), cells)


def test_two_axes_are_a_table_with_row_and_column_headers(make_tile: Make) -> None:
    root = parsed(facets_bundle([two_by_three(make_tile)])["text/html"])
    headers = [(cell.attrib["scope"], "".join(cell.itertext())) for cell in root.iter("th")]
    assert headers == [("col", "dawn"), ("col", "noon"), ("col", "night"), ("row", "fox"), ("row", "owl")]
    assert {"animal", "time"} <= {"".join(cell.itertext()) for cell in root.iter("td")}
    body = [row for row in root.iter("tr") if row.findall(".//img")]
    alts = [[image.attrib["alt"] for image in row.iter("img")] for row in body]
    assert alts == [["fox 0", "fox 1", "fox 2"], ["owl 0", "owl 1", "owl 2"]]


def test_a_long_row_label_stands_above_its_row(make_tile: Make) -> None:
    prompt = "a red fox asleep in deep snow under birches, first light"
    root = parsed(facets_bundle([two_by_three(make_tile, rows=(prompt, "owl"))])["text/html"])
    above = [cell for cell in root.iter("th") if cell.attrib["scope"] == "rowgroup"]
    assert ["".join(cell.itertext()) for cell in above] == [f"animal: {prompt}", "animal: owl"]
    assert all(cell.attrib["colspan"] == "3" for cell in above)


def test_one_axis_is_a_row_that_wraps(make_tile: Make) -> None:
    facet = Facet("", "", ("",), "style", tuple("abcd"), (tuple((make_tile(k),) for k in range(4)),))
    html = facets_bundle([facet])["text/html"]
    assert "<table" not in html
    assert "auto-fill" in html
    assert "/ 4)" in html
    text = "".join(parsed(html).itertext())
    assert text.startswith("stylea12a")


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (6, 6), (7, 4), (12, 6), (13, 5)])
def test_a_long_axis_is_broken_into_even_rows(make_tile: Make, count: int, columns: int) -> None:
    labels = tuple(str(k) for k in range(count))
    facet = Facet("", "", ("",), "style", labels, (tuple((make_tile(k),) for k in range(count)),))
    assert f"/ {columns})" in facets_bundle([facet])["text/html"]


def test_three_axes_are_grids_with_titles(make_tile: Make) -> None:
    bundle = facets_bundle([two_by_three(make_tile, "ratio = 1:1"), two_by_three(make_tile, "ratio = 16:9")])
    root = parsed(bundle["text/html"])
    assert len(list(root.iter("table"))) == 2
    assert "ratio = 16:9" in "".join(root.itertext())
    assert "ratio = 16:9: animal x time" in bundle["text/plain"]


def listed(make_tile: Make) -> Facet:
    """Four axes: sixteen combinations, two images each."""
    axes = ("animal", "time", "style", "sample")
    values = tuple(product(("fox", "owl"), ("dawn", "night"), ("ink", "oil"), "12"))
    cells = tuple(((make_tile(k), make_tile(k)),) for k in range(16))
    return Facet("", ", ".join(axes), tuple(map(", ".join, values)), "", ("",), cells, (axes, values))


def test_four_axes_are_a_list_with_a_column_for_each(make_tile: Make) -> None:
    bundle = facets_bundle([listed(make_tile)])
    root = parsed(bundle["text/html"])
    heads = [cell for cell in root.iter("th") if cell.attrib["scope"] == "col"]
    assert ["".join(cell.itertext()) for cell in heads] == ["animal", "time", "style", "sample", "images"]
    assert [cell.attrib["scope"] for cell in root.iter("th")].count("row") == 16
    assert bundle["text/html"].count("<img") == 32
    assert "fox, night, oil, 2" in bundle["text/plain"]
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"]))) as sheet:
        assert sheet.height < 4 * sheet.width, "the contact sheet is not a ribbon"


def test_several_images_of_one_cell_stay_together(make_tile: Make) -> None:
    cells = (((make_tile(0), make_tile(1)), (make_tile(2),)),) * 2
    root = parsed(facets_bundle([Facet("", "a", ("x", "y"), "b", ("p", "q"), cells)])["text/html"])
    counts = [len(list(cell.iter("img"))) for cell in root.iter("td") if list(cell.iter("img"))]
    assert counts == [2, 1, 2, 1]


def test_failed_and_empty_cells_say_why(make_tile: Make) -> None:
    failed = make_tile(0, state="failed", note="The service refused it.")
    bundle = facets_bundle([Facet("", "a", ("x", "y"), "b", ("p",), (((failed,),), ((),)))])
    text = "".join(parsed(bundle["text/html"]).itertext())
    assert "\u2715 failed" in text
    assert "The service refused it." in text
    assert "\u25cb missing" in text
    assert "failed: The service refused it." in bundle["text/plain"]


def test_plain_text_names_every_cell(make_tile: Make) -> None:
    plain = facets_bundle([two_by_three(make_tile)], title="a {animal} at {time}")["text/plain"]
    assert plain.splitlines()[0] == "a {animal} at {time}"
    for name in ("fox, dawn", "owl, night"):
        assert f"\n {name}\n" in plain


def test_beside_a_long_prompt_the_contact_sheet_keeps_the_label_of_the_column(make_tile: Make) -> None:
    """The longest label gives way, so that a name says which of the row's images it is."""
    prompt = "a red fox asleep in deep snow under birches, first light"
    facet = two_by_three(make_tile, rows=(prompt, "owl"))
    names = [name for name, _ in facet.named(28)]
    assert names[1:4] == ["a red fox asleep in\u2026, noon", "a red fox asleep in\u2026, night", "owl, dawn"]
    drawn: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheet, "_line", lambda *message, **_: drawn.append(message[2]))
        facets_bundle([facet])
    assert [text.rpartition(", ")[2] for text in drawn if ", " in text] == ["dawn", "noon", "night"] * 2


def test_dozens_of_heavy_cells_stay_light(make_tile: Make) -> None:
    heavy = make_tile(0, noise=True)
    cells = tuple(tuple((heavy,) for _ in range(6)) for _ in range(6))
    facet = Facet("", "a", tuple("uvwxyz"), "b", tuple("uvwxyz"), cells)
    assert len(json.dumps(facets_bundle([facet]))) < 600_000


@pytest.mark.parametrize("facets", [[], [Facet("", "", (), "", (), ())], [Facet("x", "a", ("b",), "c", (), ((),))]])
def test_no_cells_is_reported(facets: list[Facet]) -> None:
    bundle = facets_bundle(facets, title="fox")
    assert "No images." in bundle["text/html"]
    assert bundle["text/plain"].strip()
