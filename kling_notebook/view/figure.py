"""Figures for papers: `matplotlib.figure.Figure` only (pyplot is not safe on threads), text as text.

Importing this module imports matplotlib: import it where a figure is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.ft2font import FT2Font
from PIL import Image

from .grid import Facet, columns_for
from .markup import bounded, clean
from .pixels import open_picture
from .tiles import Tile

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

# Families that carry what DejaVu Sans does not, where they are installed.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Microsoft YaHei", "PingFang SC", "Hiragino Sans",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Segoe UI", "Segoe UI Symbol", "Arial Unicode MS", "Noto Emoji", "Symbola",
)  # fmt: skip
_WORDS = {"missing": "missing", "failed": "failed", "waiting": "waiting", "picture": "missing"}


class NotebookFigure(Figure):
    """A Figure that a notebook shows although pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=min(self.dpi, 110), facecolor="white")
        return buffer.getvalue()


def tiles_figure(tiles: Sequence[Tile], *, title: str = "", width: float = 8.0, dpi: int = 150) -> Figure:
    """Tiles in a grid with their captions. ``width`` in inches; the height follows from the pictures."""
    columns = max(1, min(columns_for(tiles), len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    tallest = max((1 / tile.ratio for tile in tiles), default=1.0)
    height = rows * (width / columns * tallest + 0.32) + (0.45 if title else 0.1)
    figure = _figure(width, height, dpi)
    if title:
        figure.suptitle(**_text(title, 140), fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False)
    for place, ax in enumerate(axes.flat):
        _bare(ax)
        if place < len(tiles):
            _draw(ax, (tiles[place],))
            ax.set_xlabel(_text(tiles[place].caption, 60)["t"], **_style(), fontsize=7)
        else:
            ax.set_visible(False)
    return figure


def facets_figure(facets: Sequence[Facet], *, title: str = "", width: float = 8.0, dpi: int = 150) -> Figure:
    """Labelled grids with axis titles, one facet under the other; ``width`` in inches."""
    heights = [_facet_height(facet, width) for facet in facets] or [1.0]
    figure = _figure(width, sum(heights) + (0.45 if title else 0.0), dpi)
    if title:
        figure.suptitle(**_text(title, 140), fontsize=11)
    if facets:
        parts = figure.subfigures(len(facets), 1, squeeze=False, height_ratios=heights)
        for part, facet in zip(parts[:, 0], facets, strict=True):
            _facet(part, facet)
    return figure


def _figure(width: float, height: float, dpi: int) -> Figure:
    figure = NotebookFigure(figsize=(width, max(height, 0.8)), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _facet_height(facet: Facet, width: float) -> float:
    column = width / max(len(facet.columns), 1)
    rows = [max((_cell_shape(cell) for cell in row), default=1.0) for row in facet.cells]
    return sum(column * shape + 0.08 for shape in rows) + 0.5 + (0.3 if facet.title else 0.0)


def _cell_shape(cell: Sequence[Tile]) -> float:
    """Height over width of a cell's pictures side by side."""
    return 1 / max(sum(tile.ratio for tile in cell), 0.2) if cell else 1.0


def _facet(part: SubFigure, facet: Facet) -> None:
    if facet.title:
        part.suptitle(**_text(facet.title, 110), fontsize=10)
    rows, columns = max(len(facet.cells), 1), max(len(facet.columns), 1)
    axes = part.subplots(rows, columns, squeeze=False)
    for r, cells in enumerate(facet.cells):
        for c, cell in enumerate(cells):
            ax = axes[r, c]
            _bare(ax)
            _draw(ax, cell)
            if r == 0:
                ax.set_title(_text(facet.columns[c], 40)["t"], **_style(), fontsize=9)
            if c == 0 and facet.row_axis:
                ax.set_ylabel(_text(facet.rows[r], 40)["t"], **_style(), fontsize=9)
    if facet.column_axis:
        part.supxlabel(**_text(facet.column_axis, 60), fontsize=10)
    if facet.row_axis:
        part.supylabel(**_text(facet.row_axis, 60), fontsize=10)


def _bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _draw(ax: Axes, cell: Sequence[Tile]) -> None:
    """The pictures of one cell side by side; where there is none, a dashed frame with the reason."""
    shown = [(tile, open_picture(tile.jpeg)) for tile in cell if tile.shown]
    pictures = [picture for _, picture in shown if picture is not None]
    if pictures:
        ax.imshow(_side_by_side(pictures), interpolation="lanczos")
    if len(pictures) < len(cell) or not cell:
        lost = [tile for tile in cell if not tile.shown]
        said = "; ".join(f"{_WORDS[tile.state]}: {tile.note}" if tile.note else _WORDS[tile.state] for tile in lost)
        if not pictures:
            ax.set_box_aspect(_cell_shape(cell))
            for spine in ax.spines.values():
                spine.set(visible=True, linestyle=(0, (3, 3)), color="0.45", linewidth=0.8)
        said = said or "missing"
        ax.text(0.5, 0.5, **_said(said, 80), ha="center", va="center", wrap=True, fontsize=7, transform=ax.transAxes)


def _side_by_side(pictures: Sequence[Image.Image]) -> Pixels:
    height = min(picture.height for picture in pictures)
    fitted = [picture.resize((max(1, round(picture.width * height / picture.height)), height)) for picture in pictures]
    gap = 6
    wide = Image.new("RGB", (sum(picture.width for picture in fitted) + gap * (len(fitted) - 1), height), "white")
    left = 0
    for picture in fitted:
        wide.paste(picture, (left, 0))
        left += picture.width + gap
    return np.asarray(wide)


def _text(text: str, limit: int) -> dict[str, Any]:
    return {"t": drawable(bounded(text, limit)), **_style()}


def _said(text: str, limit: int) -> dict[str, Any]:
    return {"s": drawable(bounded(text, limit)), **_style()}


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
