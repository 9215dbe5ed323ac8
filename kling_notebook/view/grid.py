"""Layouts of tiles: a grid and a single large image, each as one mimebundle. `facets` has the labeled grids."""

from collections.abc import Sequence
from typing import Any

from .markup import Html, bundle, frame, heading, tag
from .pixels import within
from .sheet import contact_sheet
from .tiles import (
    SIDE,
    Tile,
    caption_html,
    cell_width,
    columns_for,
    image_html,
    least_width,
    light_tiles,
    one_shape,
    side_for,
    tile_html,
    tiles_text,
)

GAP = 12


def grid_bundle(tiles: Sequence[Tile], *, title: str = "", notice: str = "") -> dict[str, Any]:
    """A grid of thumbnails with captions, a contact sheet, and plain text; nine images weigh under 300 kB in all."""
    plain = tiles_text(tiles, title=title, notice=notice)
    if not tiles:
        return bundle(frame(heading(title, notice), tag("div", "No images.")), plain)
    columns = columns_for(tiles)
    html = frame(heading(title, notice), _grid(light_tiles(tiles), columns))
    return bundle(html, plain, contact_sheet(tiles, columns, title=title))


def _grid(tiles: Sequence[Tile], columns: int) -> Html:
    fill = one_shape(tiles)
    # With one shape the images fill their places, which may then be larger; with several they stand in equal squares.
    side = side_for(len(tiles)) if fill else SIDE
    cell = max(cell_width(tile, side) for tile in tiles) if fill else SIDE
    least = min(cell, least_width(tiles, columns))
    # Never more than `columns` side by side, and fewer if they would get narrower than `least`.
    track = f"minmax(max({least}px, calc((100% - {(columns - 1) * GAP}px) / {columns})), 1fr)"
    style = (
        f"display: grid; grid-template-columns: repeat(auto-fill, {track}); gap: {GAP}px; "
        f"max-width: {columns * cell + (columns - 1) * GAP}px; align-items: stretch"
    )
    return tag("div", *(tile_html(tile, side=side, fill=fill) for tile in tiles), style=style)


# Of one image, and of the smaller one for pages without HTML: with base64 at most 130 kB in a notebook.
ALONE_BYTES, FALLBACK_BYTES = 71_000, 19_000
# Pixels a side and quality: quality gives way first, since the image is looked at as a whole.
_ALONE = ((1024, 78), (1024, 68), (1024, 58), (1024, 46), (896, 46), (768, 42), (512, 40))
_FALLBACK = ((640, 66), (512, 66), (512, 50), (512, 40), (512, 30), (384, 50), (256, 45))


def large_bundle(tile: Tile, *, title: str = "", notice: str = "", most: int = 1024) -> dict[str, Any]:
    """One image, large in HTML and once more, smaller, for pages that show no HTML (PDF, a Qt console).

    ``most``: its width in CSS pixels at most.
    """
    plain = tiles_text([tile], title=title, notice=notice)
    if not tile.shown:
        return bundle(frame(heading(title, notice), tile_html(tile), width="420px"), plain)
    # Low enough that it can be seen without scrolling on most screens.
    width = min(most, round(840 * tile.ratio), max(tile.width, 1))
    jpeg = within(tile.jpeg, ALONE_BYTES, _ALONE)
    image = image_html(tile, "max-width: 100%; height: auto; margin: 0; border-radius: 4px", jpeg=jpeg, width=width)
    caption = caption_html(tile.caption) if tile.caption else ""
    figure = tag("figure", image, caption, style="margin: 0; padding: 0")
    return bundle(frame(heading(title, notice), figure), plain, within(jpeg, FALLBACK_BYTES, _FALLBACK))
