"""Layouts of tiles: a grid, a single large picture, and labelled facets; each as one mimebundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .markup import LINE, Html, bounded, bundle, frame, heading, join, picture_source, tag
from .sheet import contact_sheet
from .tiles import TITLE_LENGTH, Tile, caption_html, thumbnail_size, tile_html, tiles_text

__all__ = ["Facet", "facets_bundle", "grid_bundle", "large_bundle", "tiles_text"]

GAP = 12


@dataclass(frozen=True)
class Facet:
    """A labelled grid: ``cells[r][c]`` are the tiles made with ``rows[r]`` and ``columns[c]``.

    ``row_axis`` is "" (and ``rows`` holds one label, which is not shown) for a single row.
    """

    title: str
    row_axis: str
    rows: tuple[str, ...]
    column_axis: str
    columns: tuple[str, ...]
    cells: tuple[tuple[tuple[Tile, ...], ...], ...]


def columns_for(tiles: Sequence[Tile]) -> int:
    """How many stand side by side where there is room: full last rows, nine as three by three."""
    count = len(tiles)
    wide = bool(tiles) and sum(tile.ratio for tile in tiles) / count >= 1.9
    tall = bool(tiles) and sum(tile.ratio for tile in tiles) / count <= 0.72
    if count <= 3:
        return min(count, 2) if wide else max(count, 1)
    if count == 4:
        return 4 if tall else 2
    if count in {5, 6, 9}:
        return 3
    return 3 if wide else 4


def grid_bundle(tiles: Sequence[Tile], *, title: str = "", notice: str = "") -> dict[str, Any]:
    """A grid of thumbnails with captions, a contact sheet, and plain text."""
    columns = columns_for(tiles)
    plain = tiles_text(list(tiles), title=title, notice=notice)
    if not tiles:
        return bundle(frame(heading(title, notice), tag("div", "No pictures.")), plain)
    html = frame(heading(title, notice), _grid(tiles, columns))
    return bundle(html, plain, contact_sheet(tiles, columns, title=title))


def _grid(tiles: Sequence[Tile], columns: int) -> Html:
    sizes = [thumbnail_size(tile) for tile in tiles]
    cell = max(*(width for width, _ in sizes), 168)
    least = 150 if columns >= 3 else 200
    # Never more than `columns` side by side, fewer where they would get narrower than `least`.
    track = f"minmax(max({least}px, calc((100% - {(columns - 1) * GAP}px) / {columns})), 1fr)"
    style = (
        f"display: grid; grid-template-columns: repeat(auto-fit, {track}); gap: {GAP}px; "
        f"max-width: {columns * cell + (columns - 1) * GAP}px; align-items: stretch"
    )
    return tag("div", *(tile_html(tile) for tile in tiles), style=style)


def large_bundle(tile: Tile, *, title: str = "", notice: str = "") -> dict[str, Any]:
    """One picture, large; ``tile.jpeg`` is the large JPEG and goes out as it is."""
    plain = tiles_text([tile], title=title, notice=notice)
    if not tile.shown:
        return bundle(frame(heading(title, notice), tile_html(tile), width="420px"), plain)
    width = min(1024, round(900 * tile.ratio), max(tile.width, 1))
    image = tag(
        "img",
        src=picture_source(tile.jpeg),
        alt=tile.alt or tile.caption or "picture",
        title=bounded(tile.alt, TITLE_LENGTH) or None,
        width=width,
        style="display: block; max-width: 100%; height: auto; border-radius: 4px",
    )
    linked = tag("a", image, href=tile.href, target="_blank", rel="noopener") if tile.href else image
    caption = caption_html(tile.caption) if tile.caption else ""
    return bundle(frame(heading(title, notice), tag("figure", linked, caption, style="margin: 0")), plain, tile.jpeg)


def facets_bundle(facets: Sequence[Facet], *, title: str = "", notice: str = "") -> dict[str, Any]:
    """Labelled grids one under the other."""
    tiles = [tile for facet in facets for row in facet.cells for cell in row for tile in cell]
    plain = _facets_text(facets, title, notice)
    if not tiles:
        return bundle(frame(heading(title, notice), tag("div", "No pictures.")), plain)
    columns = max(sum(len(cell) for cell in row) for facet in facets for row in facet.cells)
    html = frame(heading(title, notice), *(_facet(facet) for facet in facets))
    return bundle(html, plain, contact_sheet(tiles, columns, title=title))


def _facet(facet: Facet) -> Html:
    labelled = bool(facet.row_axis)
    edge = f"border: none; border-bottom: 1px solid {LINE}; padding: 4px 6px; text-align: left; font-weight: 600"
    head = [tag("th", facet.row_axis, style=edge)] if labelled else []
    head += [
        tag("th", f"{facet.column_axis} = {label}" if facet.column_axis else label, scope="col", style=edge)
        for label in facet.columns
    ]
    rows = [tag("tr", *head)]
    for label, cells in zip(facet.rows, facet.cells, strict=True):
        row = [tag("th", bounded(label, 120), scope="row", style=edge)] if labelled else []
        row += [tag("td", *map(tile_html, cell), style="padding: 4px; border: none") for cell in cells]
        rows.append(tag("tr", *row))
    return join(heading(facet.title), tag("table", *rows, style="border-collapse: collapse; margin: 0 0 12px 0"))


def _facets_text(facets: Sequence[Facet], title: str, notice: str) -> str:
    lines = [bounded(line, 400) for line in (title, notice) if line]
    for facet in facets:
        if facet.title:
            lines.append(bounded(facet.title, 200))
        for label, cells in zip(facet.rows, facet.cells, strict=True):
            for column, cell in zip(facet.columns, cells, strict=True):
                names = [f"{facet.row_axis} {bounded(label, 60)}"] if facet.row_axis else []
                names.append(f"{facet.column_axis} {bounded(column, 60)}".strip())
                lines.append(", ".join(names))
                lines.append(tiles_text(list(cell)))
    return "\n".join(lines)
