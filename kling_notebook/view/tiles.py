"""The tile: one image, or the place where one is missing; what every layout is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .markup import AMBER, FAINT, GRAY, MUTED, RED, Html, address, bounded, escape_text, image_source, join, pill, tag
from .pixels import fit_byte_budget

CAPTION_LENGTH = 140
NOTE_LENGTH = 160
TITLE_LENGTH = 300
# Pixels a side of a place in a grid, and in one of a few images, which have more space.
SIDE, ROOMY = 256, 384
FEW = 4
DOT = " \u00b7 "

State = Literal["image", "file", "missing", "failed", "waiting"]
SYMBOLS = {"file": "\u25a4", "missing": "\u25cb", "failed": "\u2715", "waiting": "\u2026"}
COLORS = {"file": GRAY, "missing": AMBER, "failed": RED, "waiting": GRAY}


@dataclass(frozen=True, slots=True)
class Tile:
    """One place in a layout.

    Attributes:
        jpeg: the thumbnail (or the large image) as JPEG bytes; empty if there is none.
        width, height: the original's size in pixels; for a missing image the shape it would have had.
        alt: the whole prompt.
        caption: short facts, separated by " · "; the first is set in bold (the address, ``12b``).
        href: the original's path relative to the notebook (a path: it is quoted here), or an https URL.
        state: "image", or why there is none; "file" for one that is here and cannot be shown.
        note: the reason, in words.
    """

    jpeg: bytes
    width: int
    height: int
    alt: str
    caption: str
    href: str | None = None
    state: State = "image"
    note: str = ""

    @property
    def ratio(self) -> float:
        """Width over height; 1 if the size is not known."""
        return self.width / self.height if self.width > 0 and self.height > 0 else 1.0

    @property
    def shown(self) -> bool:
        """True if there is an image to draw."""
        return self.state == "image" and bool(self.jpeg)

    @property
    def absence(self) -> State:
        """Why there is no image: ``state``, or "missing" if an image is announced and has no bytes."""
        return "missing" if self.state == "image" else self.state


def thumbnail_size(tile: Tile, side: int = SIDE) -> tuple[int, int]:
    """The size in pixels at which a tile fits a square of ``side``."""
    if tile.width <= 0 or tile.height <= 0:
        return side, side
    scale = min(side / tile.width, side / tile.height, 1.0)
    return max(1, round(tile.width * scale)), max(1, round(tile.height * scale))


def side_for(count: int) -> int:
    """How large the places of a grid of so many images are, in pixels a side."""
    return ROOMY if count <= FEW else SIDE


def cell_width(tile: Tile, side: int = SIDE) -> int:
    """How wide a place may get in CSS pixels: images of all shapes get about the same area, drawn up a little."""
    # A little over the thumbnail's own width: browsers scale up well, and a page looks better filled.
    width = thumbnail_size(tile, side)[0]
    return max(width, round(min(width * 1.28, side * math.sqrt(0.7 * tile.ratio))), 160)


def one_shape(tiles: Sequence[Tile]) -> bool:
    """True if all have the same shape, so that images can fill their places without mats."""
    # Four percent: services round sizes to multiples of eight, so that equal ratios differ a little.
    ratios = [tile.ratio for tile in tiles]
    return max(ratios) <= min(ratios) * 1.04


def least_width(tiles: Sequence[Tile], columns: int) -> int:
    """How narrow a place may get, in CSS pixels, before fewer stand side by side.

    Chosen so that four become two and two, not three and one, if a page is 600 pixels wide.
    """
    mean = mean_ratio(tiles)
    return 120 if mean <= 0.72 else 220 if mean >= 1.9 else 180 if columns in {2, 4} else 150


def mean_ratio(tiles: Sequence[Tile]) -> float:
    """The mean width over height."""
    return sum(tile.ratio for tile in tiles) / len(tiles) if tiles else 1.0


def columns_for(tiles: Sequence[Tile]) -> int:
    """How many stand side by side if there is space: full last rows, nine as three by three."""
    count, mean = len(tiles), mean_ratio(tiles)
    if count <= 3:
        return min(count, 2) if mean >= 1.9 else max(count, 1)
    if count == 4:
        return 4 if mean <= 0.72 else 2
    return 3 if count in {5, 6, 9} or mean >= 1.9 else 4


def columns_of_cell(count: int) -> int:
    """How many images of one point of a sweep stand side by side: up to four two by two, more three by three."""
    return min(count, 2 if count <= FEW else 3)


def light_tiles(tiles: Sequence[Tile]) -> list[Tile]:
    """The same tiles, their images bounded in bytes together, counting the prompts that stand beside them."""
    # The prompt is the alternative text of each image: a long one, times nine, weighs as much as an image.
    words = sum(len(escape_text(tile.alt).encode()) for tile in tiles)
    jpegs = fit_byte_budget([tile.jpeg if tile.shown else b"" for tile in tiles], beside=words)
    return [replace(tile, jpeg=jpeg) if tile.shown else tile for tile, jpeg in zip(tiles, jpegs, strict=True)]


def tile_html(tile: Tile, *, side: int = SIDE, fill: bool = False) -> Html:
    """A figure: the image, linked to its original, and its caption.

    With ``fill`` the image is as wide as its place (for layouts where all have one shape); otherwise it is at most
    ``side`` pixels high and stands in the middle of a faint mat.
    """
    inside = _image(tile, side, fill) if tile.shown else _hole(tile, side)
    mat = (
        "display: flex; flex: 1 1 auto; align-items: center; justify-content: center; border-radius: 4px; "
        f"overflow: hidden; background-color: {FAINT}"
    )
    caption = caption_html(tile.caption) if tile.caption else ""
    bound = f"; max-width: {cell_width(tile, side)}px" if fill else ""
    style = f"display: flex; flex-direction: column; margin: 0; padding: 0; min-width: 0px{bound}"
    return tag("figure", tag("div", inside, style=mat), caption, style=style)


def image_html(tile: Tile, style: str, *, jpeg: bytes = b"", width: int | None = None) -> Html:
    """The image itself, its prompt as alternative text, linked to its original if there is a way to it."""
    image = tag(
        "img",
        src=image_source(jpeg or tile.jpeg),
        alt=tile.alt or tile.caption or "image",
        title=bounded(tile.alt, TITLE_LENGTH) or None,
        width=width,
        style=f"display: block; {style}",
    )
    # An address that may not stand in a saved notebook: the image without a link is still the image.
    if not tile.href or address(tile.href) is None:
        return image
    link = "display: block; max-width: 100%" + "; width: 100%" * ("width: 100%" in style)
    return tag("a", image, href=tile.href, target="_blank", rel="noopener", style=link)


def _image(tile: Tile, height: int, fill: bool) -> Html:
    if fill:
        return image_html(tile, "width: 100%; max-width: 100%; height: auto; margin: 0")
    bounds = f"max-width: 100%; max-height: {height}px; width: auto; height: auto; margin: 0 auto"
    return image_html(tile, bounds, width=round(height * min(tile.ratio, 1.0 if height <= 256 else tile.ratio)))


def _hole(tile: Tile, height: int) -> Html:
    """A dashed box of the shape the image would have had, with a symbol, a word and the reason."""
    state = tile.absence
    style = (
        "display: flex; flex-direction: column; align-items: center; justify-content: center; gap: 6px; width: 100%; "
        f"aspect-ratio: {tile.ratio:.3f}; min-height: {min(110, height)}px; align-self: stretch; padding: 10px; "
        "box-sizing: border-box; text-align: center; "
        f"border: 1px dashed {COLORS[state]}; border-radius: 4px"
    )
    word = pill(f"{SYMBOLS[state]} {state}", COLORS[state])
    words: Html | str = bounded(tile.note, NOTE_LENGTH)
    if tile.href and address(tile.href) is not None:
        words = tag("a", words, href=tile.href, target="_blank", rel="noopener")
    note = tag("div", words, dir="auto", style="font-size: 12px")
    return tag("div", join(word, note if tile.note else ""), style=style, title=bounded(tile.alt, TITLE_LENGTH) or None)


def caption_html(caption: str) -> Html:
    """The facts under an image, the first in bold; a line breaks between facts, not inside one."""
    facts = bounded(caption, CAPTION_LENGTH).split(DOT)
    last = len(facts) - 1
    parts: list[str] = []
    for place, fact in enumerate(facts):
        shown = (tag("strong", fact) if place == 0 < last else fact, DOT.rstrip() if place < last else "")
        parts += [tag("span", *shown, style="white-space: nowrap" if len(fact) <= 24 else None), " "]
    style = f"{MUTED}; font-size: 12px; line-height: 1.4; margin: 3px 1px 0 1px; padding: 0; text-align: left"
    return tag("figcaption", *parts[:-1], dir="auto", style=style)


def tile_line(tile: Tile) -> str:
    """A tile as one line of plain text."""
    why = f"{tile.absence}: {bounded(tile.note, NOTE_LENGTH)}" if tile.note else tile.absence
    href = tile.href or ""
    # Of a long path the end is what tells files apart.
    where = href if len(href) <= 260 else "\u2026" + href[-259:]
    facts = (bounded(tile.caption, CAPTION_LENGTH), f"{tile.width} x {tile.height}" if tile.shown else why, where)
    return DOT.join(filter(None, facts))


def tiles_text(tiles: Sequence[Tile], *, title: str = "", notice: str = "") -> str:
    """The same for a terminal: a title, a notice, a line for each tile."""
    lines = [f"  {tile_line(tile)}" for tile in tiles] or ["  (no images)"]
    return "\n".join([*filter(None, (bounded(title, 200), bounded(notice, 400))), *lines])
