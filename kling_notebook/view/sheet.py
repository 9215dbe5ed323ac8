"""The contact sheet: one JPEG for pages that show no HTML (PDF, code hosts, a Qt console)."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from .markup import bounded
from .pixels import fitting, open_image
from .tiles import COLORS, DOT, SYMBOLS, Tile, thumbnail_size

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

SHEET_BYTES = 44_000
GAP = 12
# About as many pixels wide is a letter of the bold line under an image.
LETTER = 8
# Quality before size, but a smaller sheet at a fair quality is easier to look at than a large one full of blocks.
_STEPS = ((1.0, 82), (1.0, 64), (1.0, 48), (0.75, 55), (0.75, 40), (0.5, 45), (0.5, 30), (0.5, 15))
_PAPER = (255, 255, 255)
_INK = (38, 42, 48)
_MUTED = (88, 94, 102)
_MAT = (243, 244, 246)


@lru_cache(maxsize=8)
def _font(size: int, bold: bool = False) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    """DejaVu Sans, which travels with matplotlib (not imported for it); Pillow's own if it is not there."""
    from PIL import ImageFont

    spec = find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
        path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name
        if path.exists():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


def side_of(count: int, columns: int) -> int:
    """Pixels a side of an image on a sheet of so many."""
    return 256 if count <= 12 and columns <= 4 else 192 if count <= 30 else 128


def contact_sheet(tiles: Sequence[Tile], columns: int, *, title: str = "") -> bytes:
    """A JPEG of at most about `SHEET_BYTES`: thumbnails in ``columns``, captions under them, a title on top."""
    from PIL import Image, ImageDraw

    side = side_of(len(tiles), columns)
    columns = max(1, min(columns, len(tiles)))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    sizes = [[thumbnail_size(tile, side) for tile in row] for row in rows]
    # At least two thirds of a side, so that a caption under a tall, narrow image has space for its facts.
    cell = max(max((width for row in sizes for width, _ in row), default=side), side * 2 // 3)
    heights = [max(height for _, height in row) for row in sizes]
    caption = 34 if any(tile.caption for tile in tiles) else 0
    top = 34 if title else GAP
    size = (columns * (cell + GAP) + GAP, top + sum(heights) + len(rows) * (caption + GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        _line(draw, (GAP, 10), title, size[0] - 2 * GAP, 13, bold=True)
    y = top
    for row, row_sizes, height in zip(rows, sizes, heights, strict=True):
        for column, (tile, fitted) in enumerate(zip(row, row_sizes, strict=True)):
            x = GAP + column * (cell + GAP)
            _place(sheet, draw, tile, fitted, (x, y, x + cell, y + height))
            _caption(draw, tile.caption, (x, y + height + 3), cell)
        y += height + caption + GAP
    return fitting(sheet, SHEET_BYTES, _STEPS)


def _place(
    sheet: "Image.Image", draw: "ImageDraw.ImageDraw", tile: Tile, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    image = open_image(tile.jpeg) if tile.shown else None
    left, top, right, bottom = box
    if image is None:
        state = tile.absence
        draw.rectangle((left, top, right - 1, bottom - 1), fill=_MAT, outline=COLORS[state])
        _line(draw, (left + 8, top + 8), f"{SYMBOLS[state]} {state}", right - left - 16, 13, bold=True)
        # A letter of the small line is about six pixels wide.
        note = wrap(drawable(tile.note, 11), (right - left - 16) // 6, max_lines=4, placeholder="\u2026")
        for number, line in enumerate(note):
            _line(draw, (left + 8, top + 30 + number * 15), line, right - left - 16, 11)
        return
    image = image.resize(size) if image.size != size else image
    sheet.paste(image, (left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2))


def _caption(draw: "ImageDraw.ImageDraw", caption: str, at: tuple[int, int], width: int) -> None:
    """The first fact in bold on a line of its own, the others under it."""
    first, _, rest = caption.partition(DOT)
    _line(draw, at, first, width, 12, bold=True)
    if rest:
        _line(draw, (at[0], at[1] + 15), rest, width, 11, color=_MUTED)


def _line(
    draw: "ImageDraw.ImageDraw",
    at: tuple[int, int],
    text: str,
    width: int,
    size: int,
    *,
    bold: bool = False,
    color: tuple[int, int, int] = _INK,
) -> None:
    """One line of text, shortened until it fits ``width`` pixels."""
    font = _font(size, bold)
    shown = drawable(text, size)
    while shown and font.getlength(shown) > width:
        shown = bounded(shown, max(2, min(len(shown) - 1, int(len(shown) * width / font.getlength(shown)))))
        # One letter and an ellipsis: what is still too wide then is drawn over the edge.
        if len(shown) <= 2:
            break
    try:
        draw.text(at, shown, font=font, fill=color)
    except Exception:
        return  # the limit of pixels is the user's, for other images: a sheet without this line is better than none


def drawable(text: str, size: int) -> str:
    """Text on one line without the characters our font has no shape for."""
    line = bounded(text, 300)
    return line if line.isascii() else "".join(c for c in line if c.isascii() or _has_shape(c, size)).strip()


@lru_cache(maxsize=4096)
def _has_shape(character: str, size: int) -> bool:
    # A character without a shape is drawn like one that no font has.
    font = _font(size)
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010fffe"))
