"""Figures for papers: `matplotlib.figure.Figure` only (pyplot is not safe on threads), text as text.

Importing this module imports matplotlib: import it where a figure is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from textwrap import wrap
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw

from .facets import Facet
from .markup import bounded, clean
from .pixels import open_picture
from .tiles import Tile, columns_for

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

# Families that carry what DejaVu Sans does not, where they are installed.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Microsoft YaHei", "PingFang SC", "Hiragino Sans",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Segoe UI", "Segoe UI Symbol", "Arial Unicode MS", "Noto Emoji", "Symbola",
)  # fmt: skip
_TITLE = 0.34  # inches
LONGEST_ROW = 6


class NotebookFigure(Figure):
    """A Figure that a notebook shows although pyplot was never imported, and whose PDF text is text for a journal."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As `Figure.savefig`; fonts are embedded as TrueType, which publishers ask for."""
        with matplotlib.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=min(self.dpi, 110), facecolor="white")
        return buffer.getvalue()


def tiles_figure(tiles: Sequence[Tile], *, title: str = "", width: float = 8.0, dpi: int = 150) -> Figure:
    """Tiles in rows of equal height with their captions. ``width`` in inches; the height follows from the pictures."""
    columns = max(1, min(columns_for(tiles), len(tiles)))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    shapes = [_row_shape(row, columns) for row in rows]
    heights = [width / sum(shape) + 0.34 for shape in shapes] or [1.0]
    figure = _figure(width, sum(heights) + (_TITLE if title else 0.0), dpi)
    if title:
        figure.suptitle(**_text(title, width, 11), fontsize=11)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    for place, (row, shape) in enumerate(zip(rows, shapes, strict=True)):
        inner = grid[place].subgridspec(1, len(shape), width_ratios=shape)
        for column, tile in enumerate(row):
            ax = figure.add_subplot(inner[0, column])
            _draw(ax, (tile,))
            _label(ax, "x", tile.caption, width * shape[column] / sum(shape), 7)
    return figure


def _row_shape(row: Sequence[Tile], columns: int) -> list[float]:
    """Widths of a row's places at one height; a short last row is filled up with empty ones."""
    ratios = [tile.ratio for tile in row]
    return ratios + [sum(ratios) / len(ratios)] * (columns - len(ratios))


def facets_figure(facets: Sequence[Facet], *, title: str = "", width: float = 8.0, dpi: int = 150) -> Figure:
    """Labelled grids with axis titles, one facet under the other; ``width`` in inches.

    A list, and a single axis too long for one row, become rows of pictures with their labels under them.
    """
    if any(facet.listed or (len(facet.cells) == 1 and len(facet.columns) > LONGEST_ROW) for facet in facets):
        named = [replace(tile, caption=name) for facet in facets for name, cell in facet.named() for tile in cell]
        axes = ", ".join(filter(None, (facets[0].row_axis, facets[0].column_axis)))
        return tiles_figure(named, title=title or axes, width=width, dpi=dpi)
    sizes = [_sizes(facet, width) for facet in facets]
    heights = [
        sum(tall) + 0.44 + (0.28 if facet.title else 0.0) for facet, (_, tall) in zip(facets, sizes, strict=True)
    ]
    figure = _figure(width, sum(heights, 0.0) + (_TITLE if title else 0.0), dpi)
    if title:
        figure.suptitle(**_text(title, width, 11), fontsize=11)
    if facets:
        parts = figure.subfigures(len(facets), 1, squeeze=False, height_ratios=heights)
        for part, facet, (wide, tall) in zip(parts[:, 0], facets, sizes, strict=True):
            _facet(part, facet, wide, tall)
    return figure


def _figure(width: float, height: float, dpi: int) -> Figure:
    figure = NotebookFigure(figsize=(width, max(height, 0.8)), dpi=dpi)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.0)
    FigureCanvasAgg(figure)
    return figure


def _sizes(facet: Facet, width: float) -> tuple[list[float], list[float]]:
    """Widths of the columns and heights of the rows in inches, such that the pictures of a row are equally high."""
    ratios = [[max(sum(tile.ratio for tile in cell), 0.3) if cell else 1.0 for cell in row] for row in facet.cells]
    columns = [max(column) for column in zip(*ratios, strict=True)] or [1.0]
    usable = width - (0.55 if facet.row_axis else 0.1)
    wide = [usable * column / sum(columns) for column in columns]
    return wide, [max(w / ratio for w, ratio in zip(wide, row, strict=True)) + 0.06 for row in ratios] or [1.0]


def _facet(part: SubFigure, facet: Facet, wide: Sequence[float], tall: Sequence[float]) -> None:
    """Column labels under the lowest row and row labels at its left, as on the axes of a plot."""
    if facet.title:
        part.suptitle(**_text(facet.title, sum(wide), 10), fontsize=10)
    axes = part.subplots(len(tall), len(wide), squeeze=False, width_ratios=wide, height_ratios=tall)
    for r, cells in enumerate(facet.cells):
        for c, cell in enumerate(cells):
            ax = axes[r, c]
            _draw(ax, cell)
            ax.set_anchor("S")
            if r == len(facet.cells) - 1:
                _label(ax, "x", facet.columns[c], wide[c], 9)
            if c == 0 and facet.row_axis:
                _label(ax, "y", facet.rows[r], tall[r], 9)
    if facet.column_axis:
        part.supxlabel(**_text(facet.column_axis, sum(wide), 10), fontsize=10, fontweight="bold")
    if facet.row_axis:
        part.supylabel(**_text(facet.row_axis, sum(tall), 10), fontsize=10, fontweight="bold")


def _label(ax: Axes, side: Literal["x", "y"], text: str, inches: float, size: int) -> None:
    """A label of at most two lines that fit ``inches``."""
    style = {**_style(), "fontsize": size}
    lines = wrap(drawable(bounded(text, 200)), max(8, _letters(inches, size)), max_lines=2, placeholder="\u2026")
    if side == "x":
        ax.set_xlabel("\n".join(lines), **style)
    else:
        ax.set_ylabel("\n".join(lines), **style)


def _letters(inches: float, size: int) -> int:
    """About how many letters of ``size`` points fit."""
    return int(inches * 72 / (size * 0.6))


def _draw(ax: Axes, cell: Sequence[Tile]) -> None:
    """The pictures of one cell side by side; where there is none, a dashed frame with the reason."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    pictures = [open_picture(tile.jpeg) if tile.shown else None for tile in cell]
    if any(pictures):
        ax.imshow(_side_by_side(cell, pictures), interpolation="lanczos")
        return
    ax.set_box_aspect(1 / max(sum(tile.ratio for tile in cell), 0.3) if cell else 1.0)
    for spine in ax.spines.values():
        spine.set(visible=True, linestyle=(0, (3, 3)), color="0.45", linewidth=0.8)
    tile = cell[0] if cell else None
    state = tile.state if tile is not None and tile.state != "picture" else "missing"
    note = wrap(drawable(bounded(tile.note, 120)), 26, max_lines=4, placeholder="\u2026") if tile is not None else []
    ax.text(
        0.5, 0.5, "\n".join([state, *note]), ha="center", va="center", fontsize=7, transform=ax.transAxes, **_style()
    )


def _side_by_side(cell: Sequence[Tile], pictures: Sequence[Image.Image | None]) -> Pixels:
    """One picture made of a cell's pictures at one height; a crossed-out box stands for one that is missing."""
    height = min(picture.height for picture in pictures if picture is not None)
    fitted = []
    for tile, picture in zip(cell, pictures, strict=True):
        width = max(1, round(height * (tile.ratio if picture is None else picture.width / picture.height)))
        fitted.append(_crossed(width, height) if picture is None else picture.resize((width, height)))
    gap = 6
    wide = Image.new("RGB", (sum(picture.width for picture in fitted) + gap * (len(fitted) - 1), height), "white")
    left = 0
    for picture in fitted:
        wide.paste(picture, (left, 0))
        left += picture.width + gap
    return np.asarray(wide)


def _crossed(width: int, height: int) -> Image.Image:
    box = Image.new("RGB", (width, height), (240, 240, 240))
    draw = ImageDraw.Draw(box)
    draw.line((0, 0, width, height), fill=(150, 150, 150))
    draw.line((0, height, width, 0), fill=(150, 150, 150))
    draw.rectangle((0, 0, width - 1, height - 1), outline=(150, 150, 150))
    return box


def _text(text: str, inches: float, size: int) -> dict[str, Any]:
    """One line that fits ``inches``, as `suptitle` and its kin want it."""
    return {"t": drawable(bounded(text, max(12, _letters(inches, size)))), **_style()}


def _style() -> dict[str, Any]:
    # A dollar sign in a prompt is a dollar sign, not mathematics.
    return {"parse_math": False, "family": [name for name, _ in _fonts()]}


@lru_cache(maxsize=1)
def _fonts() -> tuple[tuple[str, FT2Font], ...]:
    """DejaVu Sans, which comes with matplotlib, and the fallbacks that are installed."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    names = ["DejaVu Sans", *(name for name in _FALLBACKS if name in there)]
    return tuple((name, font_manager.get_font(font_manager.findfont(name))) for name in names)


def drawable(text: str) -> str:
    """Text in which characters that no font here has are boxes: matplotlib would warn of each when it draws."""
    return "".join(c if c.isascii() or _known(c) else "" if _joins(c) else "\u25a1" for c in clean(text))


def _joins(character: str) -> bool:
    return character in "\u200d\u200b\ufe0e\ufe0f" or 0x1F3FB <= ord(character) <= 0x1F3FF


@lru_cache(maxsize=4096)
def _known(character: str) -> bool:
    return any(font.get_char_index(ord(character)) for _, font in _fonts())
