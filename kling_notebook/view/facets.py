"""Labelled grids: one axis as a row of labeled cells, two as a table, three as several tables, more as a list."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .markup import LINE, MUTED, SMALL, Html, bounded, bundle, frame, heading, join, line, tag
from .sheet import LETTER, contact_sheet, side_of
from .tiles import DOT, Tile, cell_width, columns_of_cell, least_width, light_tiles, one_shape, tile_html, tiles_text

LABEL_LENGTH = 160
# Row labels up to this length stand beside their row, longer ones above it.
BESIDE_LENGTH = 22
BESIDE_WIDTH = 92

GAP = 10
# Width in CSS pixels of an image in a list.
IN_LIST = 132
_PLAIN = "border: none; background: transparent; line-height: 1.4"
_LABEL = f"{_PLAIN}; padding: 4px 6px 4px 0; text-align: left; vertical-align: top; font-weight: 600"
_AXIS = f"{_PLAIN}; {MUTED}; padding: 2px 6px 0 0; text-align: left; font-weight: 400; font-size: 12px"
_EMPTY = Tile(b"", 0, 0, "", "", state="missing", note="Not made.")


@dataclass(frozen=True)
class Facet:
    """A labeled grid: ``cells[r][c]`` are the tiles made with ``rows[r]`` and ``columns[c]``.

    ``row_axis`` is "" for a single row, whose one label is then not shown. With ``listed`` it is a list instead: the
    names of several axes and a column for each of them, ``listed[1][r]`` the values of ``rows[r]``.
    """

    title: str
    row_axis: str
    rows: tuple[str, ...]
    column_axis: str
    columns: tuple[str, ...]
    cells: tuple[tuple[tuple[Tile, ...], ...], ...]
    listed: tuple[tuple[str, ...], tuple[tuple[str, ...], ...]] | None = None

    def named(self, letters: int = 120, title: str = "") -> Iterator[tuple[str, tuple[Tile, ...]]]:
        """Every cell with its name: 'fox, dawn'. Where that is longer than ``letters``, its longest part gives way."""
        for label, cells in zip(self.rows, self.cells, strict=True):
            for column, cell in zip(self.columns, cells, strict=True):
                parts = [bounded(part, 60) for part in (title, label if self.row_axis else "", column) if part]
                # Only the longest part is shortened: the short ones (a style, a ratio) are what tells
                # two cells apart.
                longest = max(parts, key=len, default="")
                left = max(8, letters - len(", ".join(parts)) + len(longest))
                yield ", ".join(bounded(part, left) if part is longest else part for part in parts), cell or (_EMPTY,)


def facets_bundle(facets: Sequence[Facet], *, title: str = "", notice: str = "") -> dict[str, Any]:
    """Labelled grids one under the other, a contact sheet with the labels in its captions, and plain text."""
    tiles = [tile for facet in facets for _, cell in facet.named() for tile in cell]
    plain = _facets_text(facets, title, notice)
    if not tiles:
        return bundle(frame(heading(title, notice), tag("div", "No images.")), plain)
    # All tiles of all facets share one byte budget: what counts is how large the whole output gets.
    light = iter(light_tiles(tiles))
    html = frame(heading(title, notice), *(_facet_html(_with_tiles(facet, light)) for facet in facets))
    return bundle(html, plain, _sheet(facets, title))


def _with_tiles(facet: Facet, tiles: Iterator[Tile]) -> Facet:
    """The same facet with the next tiles of ``tiles`` in its cells, in the order of `Facet.named`."""
    return replace(
        facet, cells=tuple(tuple(tuple(next(tiles) for _ in cell or (_EMPTY,)) for cell in row) for row in facet.cells)
    )


def _sheet(facets: Sequence[Facet], title: str) -> bytes:
    """The contact sheet, each tile's labels before its caption; the title of a single facet stands on top."""
    columns = _sheet_columns(facets)
    letters = side_of(sum(len(cell) for facet in facets for _, cell in facet.named()), columns) // LETTER
    # On the sheet a tile has no table around it: its labels go into its caption, as many letters as fit under it.
    several = len(facets) > 1
    tiles = [
        replace(tile, caption=DOT.join(filter(None, (name, tile.caption))))
        for facet in facets
        for name, cell in facet.named(letters, facet.title if several else "")
        for tile in cell
    ]
    return contact_sheet(tiles, columns, title=title if several else DOT.join(filter(None, (title, facets[0].title))))


def _sheet_columns(facets: Sequence[Facet]) -> int:
    """As many as the widest row has tiles; a single row of more than six is broken, and a list stands side by side."""
    widest = max(sum(max(len(cell), 1) for cell in row) for facet in facets for row in facet.cells)
    if any(facet.listed for facet in facets):
        return max(widest, min(4, sum(len(facet.cells) for facet in facets)))
    return min(widest, 4 if widest > 6 and all(len(facet.cells) == 1 for facet in facets) else 12)


def _facet_html(facet: Facet) -> Html:
    grid = _table if facet.row_axis or len(facet.cells) > 1 else _row
    body = _list(facet, *facet.listed) if facet.listed else grid(facet)
    return join(line(facet.title, 200, "font-weight: 600; margin: 10px 0 4px 0"), body)


def _row(facet: Facet) -> Html:
    """One axis: labeled cells side by side that wrap if the page is narrow."""
    cells = facet.cells[0] if facet.cells else ()
    most = max((len(cell) for cell in cells), default=1)
    # One axis is one row if there is space; longer ones are broken into rows of about the same length.
    columns = math.ceil(len(cells) / math.ceil(len(cells) / (6 if most == 1 else 3)))
    # Images of one shape fill their cells; of several shapes each stands in the middle of a mat of one height.
    fill = one_shape([tile for cell in cells for tile in cell])
    wide = (max(cell_width(tile) for cell in cells for tile in cell) if fill else 256) * min(most, 2)
    least = least_width([cell[0] for cell in cells], columns)
    # CSS alone decides how many fit, since the width of the page is not known here and no script may run there.
    track = f"minmax(max({min(wide, least)}px, calc((100% - {(columns - 1) * GAP}px) / {columns})), 1fr)"
    style = (
        f"display: grid; grid-template-columns: repeat(auto-fill, {track}); gap: {GAP + 4}px {GAP}px; "
        f"max-width: {columns * wide + (columns - 1) * GAP}px; margin: 0 0 12px 0; align-items: start"
    )
    return join(line(facet.column_axis, 80, SMALL), tag("div", *map(_labeled, facet.columns, cells), style=style))


def _labeled(label: str, cell: Sequence[Tile]) -> Html:
    """The label and the images are in rows of the whole grid: the longest label says where all images begin."""
    name = tag("div", bounded(label, LABEL_LENGTH), dir="auto", style="font-weight: 600; align-self: end")
    rows = "display: grid; grid-row: span 2; grid-template-rows: subgrid; grid-template-columns: minmax(0, 1fr)"
    return tag("div", name, _cell(cell), style=f"{rows}; gap: 3px; min-width: 0px; align-items: start")


def _cell(cell: Sequence[Tile]) -> Html:
    """The tiles of one cell: one as wide as the cell, several two or three in a row."""
    if len(cell) == 1:
        return tile_html(cell[0], fill=True)
    columns = f"repeat({columns_of_cell(len(cell))}, minmax(0, 1fr))"
    style = f"display: grid; grid-template-columns: {columns}; gap: 6px; align-items: start"
    return tag("div", *(tile_html(tile, fill=True) for tile in cell), style=style)


def _list(facet: Facet, axes: Sequence[str], values: Sequence[Sequence[str]]) -> Html:
    """More than three axes: a row for each combination, a column for each axis, small images at the end."""
    head = f"{_AXIS}; padding: 2px 18px 4px 0; border-bottom: 1px solid {LINE}"
    names = (tag("th", bounded(axis, 80), scope="col", dir="auto", style=head) for axis in axes)
    rows = [tag("tr", *names, tag("th", "images", scope="col", style=head), style=_PLAIN)]
    cell = f"{_PLAIN}; padding: 5px 18px 5px 0; text-align: left; vertical-align: top; overflow-wrap: anywhere"
    for labels, cells in zip(values, facet.cells, strict=True):
        first, *others = labels
        name = tag("th", bounded(first, LABEL_LENGTH), scope="row", dir="auto", style=f"{cell}; font-weight: 600")
        places = (tag("td", bounded(text, LABEL_LENGTH), dir="auto", style=cell) for text in others)
        tiles = (
            tag("div", tile_html(t, fill=True), style=f"width: {IN_LIST}px") for c in cells for t in c or (_EMPTY,)
        )
        strip = tag("div", *tiles, style="display: flex; flex-wrap: wrap; gap: 6px; align-items: flex-start")
        rows.append(tag("tr", name, *places, tag("td", strip, style=f"{cell}; min-width: {IN_LIST}px"), style=_PLAIN))
    style = "border-collapse: collapse; margin: 0 0 12px 0; font-size: 13px"
    return tag("div", tag("table", tag("tbody", *rows), style=style), style="overflow-x: auto")


def _table(facet: Facet) -> Html:
    """Two axes: axis names in small letters, labels in bold; long row labels go above their row."""
    # A long label beside its row would leave the images no width; above it, it has the whole row.
    beside = all(len(label) <= BESIDE_LENGTH for label in facet.rows) and bool(facet.row_axis)
    count = len(facet.columns)
    # The first row of a table with a fixed layout sets the widths of its columns.
    corner = [tag("td", style=f"{_AXIS}; width: {BESIDE_WIDTH}px")] if beside else []
    names = tag(
        "tr", *corner, tag("td", bounded(facet.column_axis, 80), colspan=count, dir="auto", style=_AXIS), style=_PLAIN
    )
    side = (
        [tag("td", bounded(facet.row_axis, 80), dir="auto", style=f"{_AXIS}; vertical-align: bottom")] if beside else []
    )
    ruled = f"{_LABEL}; border-bottom: 1px solid {LINE}"
    labels = (tag("th", bounded(label, LABEL_LENGTH), scope="col", dir="auto", style=ruled) for label in facet.columns)
    rows = [names, tag("tr", *side, *labels, style=_PLAIN)]
    for label, cells in zip(facet.rows, facet.cells, strict=True):
        rows += _table_row(facet.row_axis, label, cells, beside)
    most = max((len(cell) for row in facet.cells for cell in row), default=1)
    width = max((cell_width(tile) for row in facet.cells for cell in row for tile in cell), default=256)
    left = BESIDE_WIDTH if beside else 0
    widest = left + (width * min(most, 2) + GAP) * count
    # Below 96 px a column says nothing: then the table scrolls sideways instead.
    bounds = f"width: 100%; min-width: {left + 96 * count}px; max-width: {widest}px"
    style = f"border-collapse: collapse; table-layout: fixed; {bounds}; margin: 0 0 12px 0; font-size: 13px"
    return tag("div", tag("table", tag("tbody", *rows), style=style), style="overflow-x: auto")


def _table_row(axis: str, label: str, cells: Sequence[Sequence[Tile]], beside: bool) -> list[Html]:
    style = f"{_PLAIN}; padding: {GAP // 2}px {GAP}px {GAP // 2}px 0; text-align: left; vertical-align: top"
    places = [tag("td", _cell(cell), style=style) for cell in cells]
    text = bounded(label, LABEL_LENGTH)
    if beside:
        name = tag("th", text, scope="row", dir="auto", style=f"{_LABEL}; padding: {GAP // 2}px 10px 0 0")
        return [tag("tr", name, *places, style=_PLAIN)]
    named = join(tag("span", f"{bounded(axis, 80)}: ", style=f"{MUTED}; font-weight: 400"), text)
    above = f"{_LABEL}; padding: 8px 6px 0 0"
    name = tag("th", named, scope="rowgroup", colspan=len(cells), dir="auto", style=above)
    return [*[tag("tr", name, style=_PLAIN)] * bool(axis), tag("tr", *places, style=_PLAIN)]


def _facets_text(facets: Sequence[Facet], title: str, notice: str) -> str:
    lines = [bounded(text, 400) for text in (title, notice) if text]
    for facet in facets:
        axes = " x ".join(bounded(axis, 80) for axis in (facet.row_axis, facet.column_axis) if axis)
        lines += [": ".join(part for part in (bounded(facet.title, 200), axes) if part)]
        for name, cell in facet.named():
            lines += [f" {name}"] * bool(name) + [tiles_text(cell)]
    return "\n".join(lines) if any(facet.cells for facet in facets) else "\n".join([*lines, "  (no images)"])
