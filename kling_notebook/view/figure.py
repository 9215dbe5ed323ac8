"""Figures for papers: `matplotlib.figure.Figure` only (pyplot is not safe on threads), text as text.

Importing this module imports matplotlib: import it when a figure is asked for.
"""

import base64
import io
import math
import re
import sys
from collections.abc import Sequence
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
from PIL import Image, ImageDraw, PngImagePlugin

from .facets import Facet
from .markup import bounded, clean
from .pixels import fitting, open_image
from .tiles import Tile, columns_for, columns_of_cell, mean_ratio

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Cell = Sequence[Tile]

# Families that carry what DejaVu Sans does not, if they are installed.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Microsoft YaHei", "PingFang SC", "Hiragino Sans",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Segoe UI", "Segoe UI Symbol", "Arial Unicode MS", "Noto Emoji", "Symbola",
)  # fmt: skip
_TITLE = 0.34  # inches
LONGEST_ROW = 6
MANY = 12
# Inches a row may have if there are more than a square figure holds, and all rows together at most.
ROW_HEIGHT, MOST_HEIGHT = 2.5, 30.0
# Of all images together: a page at 430 dots an inch. Matplotlib resamples each pixel twice whenever it draws.
MOST_PIXELS = 16_000_000
GAP = 6
# Bytes of a figure shown in a cell, at most; a third more in the notebook, in base64.
SMALL_PNG, SHOWN_BYTES = 100_000, 220_000
# Quality first, size after it: labels stay readable longer. The list ends where nothing smaller is of use.
_STEPS = ((1.0, 85), (1.0, 70), (0.73, 70), (0.55, 60), (0.36, 50), (0.23, 40))
INK, PAPER = "black", "white"


class NotebookFigure(Figure):
    """A Figure that a notebook shows although pyplot was never imported, and whose PDF text is text for a journal."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As `Figure.savefig`; fonts are embedded as TrueType, which publishers ask for."""
        with matplotlib.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):
            super().savefig(fname, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002
        """A PNG if that is small, otherwise a JPEG of at most `SHOWN_BYTES`: a notebook keeps what it shows."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=min(self.dpi, 110), facecolor=PAPER)
        kind, data = "image/png", buffer.getvalue()
        if len(data) > SMALL_PNG:
            kind, data = (
                "image/jpeg",
                fitting(PngImagePlugin.PngImageFile(io.BytesIO(data)).convert("RGB"), SHOWN_BYTES, _STEPS),
            )
        return {"text/plain": repr(self), kind: base64.b64encode(data).decode("ascii")}

    def _ipython_display_(self) -> None:
        """Shown by itself: the inline backend makes a PNG or SVG of every other Figure, of megabytes."""
        # IPython asks for this, so it is there; to import it is not for this package.
        sys.modules["IPython.display"].display(self._repr_mimebundle_(), raw=True)


def tiles_figure(tiles: Sequence[Tile], *, title: str = "", width: float = 8.0, dpi: int = 150) -> Figure:
    """Tiles in rows of equal height with their captions. ``width``: in inches at most, the height follows from it."""
    return _rows_figure([(tile,) for tile in tiles], [tile.caption for tile in tiles], title, width, dpi)


def facets_figure(facets: Sequence[Facet], *, title: str = "", width: float = 8.0, dpi: int = 150) -> Figure:
    """Labelled grids with axis titles, one facet under the other. ``width``: in inches at most.

    A list, and a single axis too long for one row, become rows of cells with their labels under them.
    """
    # Of several images a cell takes the space of two.
    most = (
        LONGEST_ROW
        if all(len(cell) <= 1 for facet in facets for row in facet.cells for cell in row)
        else LONGEST_ROW // 2
    )
    if any(facet.listed or (len(facet.cells) == 1 and len(facet.cells[0]) > most) for facet in facets):
        named = [one for facet in facets for one in facet.named()]
        axes = " \u00b7 ".join(filter(None, (facets[0].row_axis, facets[0].column_axis, facets[0].title)))
        return _rows_figure([cell for _, cell in named], [name for name, _ in named], title or axes, width, dpi)
    # Sizes are computed before the figure is made, since constrained layout does not change the figure's own size.
    wide, tall = _sizes(facets, width)
    heights = [sum(t) + 0.44 + (0.28 if facet.title else 0.0) for facet, t in zip(facets, tall, strict=True)]
    width = max((sum(w) + _beside(facet) for facet, w in zip(facets, wide, strict=True)), default=width)
    figure = _figure(width, sum(heights, 0.0), dpi, title)
    if facets:
        side = _side(sum(len(row) for facet in facets for row in facet.cells))
        parts = figure.subfigures(len(facets), 1, squeeze=False, height_ratios=heights)
        for part, facet, w, t in zip(parts[:, 0], facets, wide, tall, strict=True):
            _facet(part, facet, w, t, side)
    return figure


def _rows_figure(cells: Sequence[Cell], names: Sequence[str], title: str, width: float, dpi: int) -> Figure:
    """Cells in rows of equal height, each with its name under it."""
    columns = _columns(cells)
    # Each row gets the height at which its images, side by side, are as wide as the page.
    rows = [range(start, min(start + columns, len(cells))) for start in range(0, len(cells), columns)]
    mean = sum(map(_ratio, cells)) / max(1, len(cells))
    # A short last row is filled up with empty places, so that its images are as high as those above.
    shapes = [[*(_ratio(cells[place]) for place in row), *[mean] * (columns - len(row))] for row in rows]
    heights = [width / sum(shape) for shape in shapes] or [1.0]
    fit = _fit(heights, width)
    width, heights = width * fit, [height * fit + 0.34 for height in heights]
    figure = _figure(width, sum(heights), dpi, title)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    for nth, (row, shape) in enumerate(zip(rows, shapes, strict=True)):
        inner = grid[nth].subgridspec(1, len(shape), width_ratios=shape)
        for column, place in enumerate(row):
            ax = figure.add_subplot(inner[0, column])
            _draw(ax, cells[place], _side(len(cells)))
            _label(ax, "x", names[place], width * shape[column] / sum(shape), 7)
    return figure


def _columns(cells: Sequence[Cell]) -> int:
    """As a page shows them; if there are many, so that the whole is about as high as wide."""
    columns = columns_for([cell[0] for cell in cells])
    # As many columns as rows, measured in images: a page of a paper is filled and not overrun.
    if len(cells) > MANY:
        columns = max(columns, math.ceil(math.sqrt(len(cells) / (sum(map(_ratio, cells)) / len(cells)))))
    return max(1, min(columns, len(cells)))


def _ratio(cell: Cell) -> float:
    """Width over height of a cell with its images as `_mosaic` puts them."""
    columns = columns_of_cell(len(cell)) or 1
    return max(columns * mean_ratio(cell) / math.ceil(len(cell) / columns), 0.3) if cell else 1.0


def _fit(heights: Sequence[float], width: float) -> float:
    """How much smaller rows of these heights are drawn: together as high as wide, or as a good height for each."""
    # One percent of tolerance: otherwise rounding alone would shrink a figure that fits.
    most = min(max(width, ROW_HEIGHT * len(heights)), MOST_HEIGHT)
    return most / sum(heights) if sum(heights) > most * 1.01 else 1.0


def _side(cells: int) -> int:
    """Pixels a side that a cell is drawn from."""
    return min(1024, int(math.sqrt(MOST_PIXELS / max(cells, 1))))


def _figure(width: float, height: float, dpi: int, title: str) -> Figure:
    """An empty figure with its title, which needs a height of its own."""
    figure = NotebookFigure(figsize=(width, max(height + (_TITLE if title else 0.0), 0.8)), dpi=dpi, facecolor=PAPER)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.0)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(**_text(title, width, 11), fontsize=11)
    return figure


def _sizes(facets: Sequence[Facet], width: float) -> tuple[list[list[float]], list[list[float]]]:
    """Of each facet the widths of its columns and the heights of its rows in inches: a row's images equally high."""
    all_wide, all_tall = [], []
    for facet in facets:
        ratios = [[_ratio(cell) for cell in row] for row in facet.cells]
        columns = [max(column) for column in zip(*ratios, strict=True)] or [1.0]
        wide = [(width - _beside(facet)) * column / sum(columns) for column in columns]
        all_wide.append(wide)
        all_tall.append([max(w / ratio for w, ratio in zip(wide, row, strict=True)) for row in ratios] or [1.0])
    fit = _fit([height for tall in all_tall for height in tall] or [1.0], width)
    # 0.06 inches between the rows, which the images' own heights do not include.
    return [[w * fit for w in wide] for wide in all_wide], [[t * fit + 0.06 for t in tall] for tall in all_tall]


def _beside(facet: Facet) -> float:
    """Inches that the labels of the rows take."""
    return 0.55 if facet.row_axis else 0.1


def _facet(part: SubFigure, facet: Facet, wide: Sequence[float], tall: Sequence[float], side: int) -> None:
    """Column labels under the lowest row and row labels at its left, as on the axes of a plot."""
    if facet.title:
        part.suptitle(**_text(facet.title, sum(wide), 10), fontsize=10)
    axes = part.subplots(len(tall), len(wide), squeeze=False, width_ratios=wide, height_ratios=tall)
    for r, cells in enumerate(facet.cells):
        for c, cell in enumerate(cells):
            ax = axes[r, c]
            _draw(ax, cell, side)
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
    lines = wrap(drawable(bounded(text, 200)), max(8, _letters(inches, size)), max_lines=2, placeholder="\u2026")
    set_label = ax.set_xlabel if side == "x" else ax.set_ylabel
    set_label("\n".join(lines), fontsize=size, **_style())


def _letters(inches: float, size: int) -> int:
    """About how many letters of ``size`` points fit."""
    return int(inches * 72 / (size * 0.6))


def _draw(ax: Axes, cell: Cell, side: int) -> None:
    """The images of one cell in a square of ``side`` pixels; if there is none, a dashed frame with the reason."""
    images = [open_image(tile.jpeg) if tile.shown else None for tile in cell]
    ax.set(facecolor=PAPER, xticks=[], yticks=[])
    ax.spines[:].set_visible(not any(images))
    if any(images):
        ax.imshow(_mosaic(cell, images, side), interpolation="lanczos", origin="upper", aspect="equal")
        return
    ax.set_box_aspect(1 / _ratio(cell))
    ax.spines[:].set(linestyle=(0, (3, 3)), color="0.45", linewidth=0.8)
    state, reason = (cell[0].absence, cell[0].note) if cell else ("missing", "")
    note = wrap(drawable(bounded(reason, 120)), 26, max_lines=4, placeholder="\u2026")
    ax.text(
        0.5,
        0.5,
        "\n".join([state, *note]),
        ha="center",
        va="center",
        fontsize=7,
        transform=ax.transAxes,
        **_style(),
    )


def _mosaic(cell: Cell, images: Sequence[Image.Image | None], side: int) -> Pixels:
    """One image made of a cell's images, as a page shows them; a crossed-out box stands for one that is missing."""
    columns = columns_of_cell(len(cell))
    ratio = mean_ratio(cell)
    # Never drawn up: an image of few pixels stays as sharp as it is.
    most = max(max(image.size) for image in images if image is not None)
    longer = min(most, side // max(columns, math.ceil(len(cell) / columns)))
    size = (max(1, round(longer * min(ratio, 1.0))), max(1, round(longer / max(ratio, 1.0))))
    steps = [length + GAP for length in size]
    places = [(place % columns * steps[0], place // columns * steps[1]) for place in range(len(cell))]
    # One array per cell, since matplotlib lays out one axes much faster than nine.
    made = Image.new("RGB", (max(x for x, _ in places) + size[0], max(y for _, y in places) + size[1]), "white")
    for place, image in zip(places, images, strict=True):
        made.paste(_crossed(*size) if image is None else image.resize(size), place)
    return np.asarray(made)


def _crossed(width: int, height: int) -> Image.Image:
    box = Image.new("RGB", (width, height), (240, 240, 240))
    draw = ImageDraw.Draw(box)
    draw.line((0, 0, width, height, width, 0, 0, height), fill=(150, 150, 150))
    draw.rectangle((0, 0, width - 1, height - 1), outline=(150, 150, 150))
    return box


def _text(text: str, inches: float, size: int) -> dict[str, Any]:
    """One line that fits ``inches``, as `suptitle` and its kin want it."""
    return {"t": drawable(bounded(text, max(12, _letters(inches, size)))), **_style()}


def _style() -> dict[str, Any]:
    # A dollar sign in a prompt is a dollar sign, not mathematics, and no style of the user's changes what a label says.
    return {"parse_math": False, "usetex": False, "color": INK, "family": [name for name, _ in _fonts()]}


@lru_cache(maxsize=1)
def _fonts() -> tuple[tuple[str, FT2Font], ...]:
    """DejaVu Sans, which comes with matplotlib, and the fallbacks that are installed."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    names = ["DejaVu Sans", *(name for name in _FALLBACKS if name in there)]
    return tuple((name, font_manager.get_font(font_manager.findfont(name))) for name in names)


def drawable(text: str) -> str:
    """Text in which characters that no font here has are boxes: matplotlib would warn of each when it draws."""
    return "".join(c if c.isascii() or _known(c) else "\u25a1" for c in _JOINERS.sub("", clean(text)))


# Joiners, variation selectors and skin tones: they change the character before them, and have no shape of their own.
_JOINERS = re.compile("[\u200b\u200d\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")


@lru_cache(maxsize=4096)
def _known(character: str) -> bool:
    return any(font.get_char_index(ord(character)) for _, font in _fonts())
