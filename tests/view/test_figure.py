"""Figures: real text, honest gaps, no warnings for any script, and never pyplot."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from kling_notebook.view.facets import Facet
from kling_notebook.view.figure import facets_figure, tiles_figure
from kling_notebook.view.tiles import Tile

Make = Callable[..., Tile]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]  # type: ignore[union-attr]


def drawn(figure: Figure, kind: str = "png") -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    return out.getvalue()


def facet(make_tile: Make, **fields: Any) -> Facet:
    cells = tuple(tuple((make_tile(r * 2 + c),) for c in range(2)) for r in range(2))
    values = {"title": "1:1", "row_axis": "animal", "rows": ("fox", "owl"), "column_axis": "time"}
    return Facet(**{**values, "columns": ("dawn", "night"), "cells": cells, **fields})


def test_tiles_have_captions_a_title_and_the_asked_width(make_tile: Make) -> None:
    figure = tiles_figure([make_tile(k) for k in range(9)], title="foxes", width=7.0, dpi=60)
    assert figure.get_size_inches()[0] == 7.0
    assert figure.dpi == 60
    assert sum(len(ax.images) for ax in figure.axes) == 9
    message = " ".join(texts(figure)).replace("\n", " ")
    assert "foxes" in message
    assert "12i \u00b7 1:1" in message
    assert drawn(figure).startswith(b"\x89PNG")


def test_facets_have_axis_titles_and_labels(make_tile: Make) -> None:
    figure = facets_figure([facet(make_tile), facet(make_tile, title="16:9")], title="a {animal}", dpi=60)
    message = texts(figure)
    assert set(message) >= {"a {animal}", "1:1", "16:9", "animal", "time", "fox", "owl", "dawn", "night"}
    assert message.count("fox") == 2
    drawn(figure)


@pytest.mark.parametrize("listed", [False, True])
def test_many_combinations_are_rows_of_labeled_images_and_no_ribbon(make_tile: Make, listed: bool) -> None:
    names = tuple(f"fox {k}" for k in range(16))
    if listed:
        values = tuple((name, "a", "b", "c") for name in names)
        rows = tuple(map(", ".join, values))
        cells = tuple(((make_tile(k),),) for k in range(16))
        facet = Facet("", "animal, x, y, z", rows, "", ("",), cells, (("animal", "x", "y", "z"), values))
    else:
        facet = Facet("", "", ("",), "animal", names, (tuple((make_tile(k),) for k in range(16)),))
    figure = facets_figure([facet], width=8.0)
    assert 6 < figure.get_figheight() < 12
    labels = [ax.get_xlabel() for ax in figure.get_axes()]
    assert [label.split(",")[0] for label in labels] == list(names)
    assert figure.get_suptitle() == (facet.row_axis or facet.column_axis)


def plain(make_tile: Make, rows: int, columns: int, ratio: str = "1:1", images: int = 1) -> Facet:
    cell = tuple(make_tile(k, ratio) for k in range(images))
    names = [tuple(map(str, range(count))) for count in (rows, columns)]
    return Facet("", "x" if rows > 1 else "", names[0], "y", names[1], ((cell,) * columns,) * rows)


@pytest.mark.parametrize(
    ("rows", "columns", "ratio", "most"),
    [
        (2, 2, "9:16", 9),
        (3, 1, "1:1", 9),
        (12, 2, "1:1", 32),
        pytest.param(60, 2, "1:1", 36, marks=pytest.mark.long),
        (20, 1, "1:1", 36),
        pytest.param(1, 60, "1:1", 12, marks=pytest.mark.long),
        (1, 20, "1:1", 12),
        (2, 3, "1:1", 8),
    ],
)
def test_a_figure_is_narrowed_before_it_gets_too_high(
    make_tile: Make, rows: int, columns: int, ratio: str, most: float
) -> None:
    """About as high as wide; where there are many rows about 2.5 inches for each, and never above 36."""
    figure = facets_figure([plain(make_tile, rows, columns, ratio)], dpi=20)
    drawn(figure)
    assert figure.get_figheight() < most
    assert figure.get_figwidth() <= 8.0
    shown = [ax.get_window_extent() for ax in figure.get_axes()]
    assert min(box.width for box in shown) > 0.35 * figure.dpi


@pytest.mark.parametrize("ratio", ["1:1", "9:16", "16:9"])
def test_the_images_of_a_cell_stand_in_rows_and_not_in_a_ribbon(make_tile: Make, ratio: str) -> None:
    """Nine three by three, four two by two, as the page shows them: a cell has the shape of its images."""
    for images in (9, 4):
        figure = facets_figure([plain(make_tile, 1, 3, ratio, images)], dpi=40)
        drawn(figure)
        for ax in figure.get_axes():
            box = ax.get_window_extent()
            assert box.width / box.height == pytest.approx(make_tile(0, ratio).ratio, rel=0.05)
    many = facets_figure([plain(make_tile, 1, 6, ratio, 4)], dpi=40)
    assert len({round(ax.get_position().y0, 2) for ax in many.get_axes()}) > 1


def test_a_title_of_a_facet_is_kept_where_its_cells_are_listed(make_tile: Make) -> None:
    """It names the axes of one value."""
    facet = plain(make_tile, 1, 8)
    figure = facets_figure([Facet("style = ink", "", ("",), "animal", facet.columns, facet.cells)], dpi=20)
    assert figure.get_suptitle() == "animal \u00b7 style = ink"


def test_images_of_a_row_have_one_height(make_tile: Make) -> None:
    cells = (((make_tile(0, "16:9"),), (make_tile(1, "9:16"),), (make_tile(2),)),)
    figure = facets_figure([facet(make_tile, title="", rows=("fox",), columns=tuple("abc"), cells=cells)], dpi=60)
    drawn(figure)
    heights = [ax.get_window_extent().height for ax in figure.axes]
    assert max(heights) - min(heights) < 0.04 * max(heights)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
@pytest.mark.parametrize(
    "text", ["غابة ثلجية", "\U0001f98a\U0001f468\u200d\U0001f469 x", "狐狸", "a $5 bill, $x^2$ \\frac", "nul\x00\ud800"]
)
def test_any_script_is_drawn_without_a_warning(make_tile: Make, text: str, kind: str) -> None:
    hole = make_tile(1, state="failed", note=text, caption=text)
    figure = tiles_figure([make_tile(0, caption=text), hole], title=text, width=3, dpi=40)
    assert drawn(figure, kind)


def test_a_dollar_is_a_dollar(make_tile: Make) -> None:
    figure = facets_figure([facet(make_tile, rows=("$5", "$x$"), title="$y$")], title="a $z$", dpi=40)
    assert {"$5", "$x$", "$y$", "a $z$"} <= set(texts(figure))
    assert not any(text.get_parse_math() for text in figure.findobj(Text) if "$" in text.get_text())  # type: ignore[union-attr]
    drawn(figure)


@pytest.mark.parametrize("state", ["missing", "failed", "waiting"])
def test_a_missing_image_is_a_frame_with_the_reason(make_tile: Make, state: str) -> None:
    hole = make_tile(1, state=state, note="The file was deleted.")
    figure = tiles_figure([make_tile(0), hole], width=4, dpi=40)
    assert f"{state}\nThe file was deleted." in texts(figure)


def test_a_cell_without_tiles_and_one_with_broken_bytes_are_frames(make_tile: Make) -> None:
    cells = (((make_tile(0),), ()), ((make_tile(1, jpeg=b"no image"),), (make_tile(2), make_tile(3, state="failed"))))
    figure = facets_figure([facet(make_tile, cells=cells)], dpi=40)
    assert texts(figure).count("missing") == 2
    drawn(figure)


def test_text_in_a_pdf_is_text_in_truetype(make_tile: Make) -> None:
    pdf = drawn(tiles_figure([make_tile(0)], width=3, dpi=40), "pdf")
    assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf


def test_nothing_to_draw_is_an_empty_figure() -> None:
    drawn(tiles_figure([], dpi=40))
    drawn(facets_figure([], title="none", dpi=40))


def test_a_notebook_shows_the_figure_without_pyplot(make_tile: Make) -> None:
    figure: Any = tiles_figure([make_tile(0)], width=3, dpi=40)
    assert b64decode(figure._repr_mimebundle_()["image/png"]).startswith(b"\x89PNG"), "small as it is"


@pytest.mark.parametrize(("count", "least"), [(4, 600), pytest.param(16, 300, marks=pytest.mark.long)])
def test_a_figure_of_photographs_is_shown_as_a_jpeg_of_at_most_300_kb(make_tile: Make, count: int, least: int) -> None:
    """A PNG of it takes more than a megabyte of the notebook. What is saved is drawn in full."""
    figure: Any = tiles_figure([make_tile(k, side=400, noise=True) for k in range(count)])
    bundle = figure._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "image/jpeg"]
    assert len(bundle["image/jpeg"]) < 300_000
    shown = Image.open(io.BytesIO(b64decode(bundle["image/jpeg"])))
    assert shown.format == "JPEG"
    assert shown.width >= least
    assert figure.dpi == 150
    assert Image.open(io.BytesIO(drawn(figure))).width == pytest.approx(figure.get_figwidth() * 150, abs=1)


def test_no_setting_of_the_users_changes_what_a_figure_says(make_tile: Make) -> None:
    """LaTeX, mathematics, white text on white paper, images upside down or stretched."""
    hole = make_tile(1, state="failed", note="50% & $x_1$")
    settings = {"text.usetex": True, "text.color": "white", "axes.labelcolor": "white", "figure.facecolor": "black"}
    settings |= {"axes.facecolor": "black", "image.origin": "lower", "image.aspect": "auto", "axes.grid": True}
    with matplotlib.rc_context(settings | {"savefig.facecolor": "auto"}):
        figures = [tiles_figure([make_tile(0), hole], title="a_b", width=3, dpi=40)]
        figures.append(facets_figure([facet(make_tile, rows=("50%", "$x$"))], title="#1 & _", dpi=40))
        for figure in figures:
            shown = [text for text in figure.findobj(Text) if text.get_text()]
            assert len(shown) >= 3
            assert not any(text.get_usetex() or text.get_parse_math() for text in shown)  # type: ignore[union-attr]
            assert {text.get_color() for text in shown} == {"black"}  # type: ignore[union-attr]
            pixels = Image.open(io.BytesIO(drawn(figure))).convert("RGB")
            assert pixels.getpixel((0, 0)) == (255, 255, 255)
            assert all(ax.images[0].origin == "upper" for ax in figure.axes if ax.images)
            assert all(ax.get_aspect() in (1, "equal") for ax in figure.axes if ax.images)


def test_a_figure_can_be_pickled(make_tile: Make) -> None:
    figure = tiles_figure([make_tile(0)], width=3, dpi=40)
    assert len(pickle.loads(pickle.dumps(figure)).axes) == 1  # noqa: S301


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys; from kling_notebook.view.figure import tiles_figure; "
        "tiles_figure([])._repr_mimebundle_(); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_html_needs_no_matplotlib_and_importing_a_layout_no_pillow() -> None:
    code = (
        "import sys, kling_notebook.view.grid, kling_notebook.view.table, kling_notebook.view.progress; "
        "sys.exit(any(name in sys.modules for name in ('PIL', 'matplotlib', 'numpy', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
