"""The tile: one picture, or the place where one is missing; what every layout is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .markup import AMBER, FAINT, GREY, MUTED, RED, Html, bounded, join, picture_source, pill, tag

CAPTION_LENGTH = 140
NOTE_LENGTH = 160
TITLE_LENGTH = 400

State = Literal["picture", "missing", "failed", "waiting"]
SYMBOLS = {"picture": "", "missing": "\u25cb", "failed": "\u2715", "waiting": "\u2026"}
_COLOURS = {"picture": GREY, "missing": AMBER, "failed": RED, "waiting": GREY}


@dataclass(frozen=True, slots=True)
class Tile:
    """One place in a layout.

    Attributes:
        jpeg: the thumbnail (or the large picture) as JPEG bytes; empty where there is none.
        width, height: the original's size in pixels; for a missing picture the shape it would have had.
        alt: the whole prompt.
        caption: short facts, separated by " · "; the first is set in bold (the address, ``12:3``).
        href: the original's path relative to the notebook (a path: it is quoted here), or an https URL.
        state: "picture", or why there is none.
        note: the reason, in words.
    """

    jpeg: bytes
    width: int
    height: int
    alt: str
    caption: str
    href: str | None = None
    state: State = "picture"
    note: str = ""

    @property
    def ratio(self) -> float:
        """Width over height; 1 where the size is not known."""
        return self.width / self.height if self.width > 0 and self.height > 0 else 1.0

    @property
    def shown(self) -> bool:
        """True where there is a picture to draw."""
        return self.state == "picture" and bool(self.jpeg)


def thumbnail_size(tile: Tile, side: int = 256) -> tuple[int, int]:
    """The size in pixels at which a tile fits a square of ``side``."""
    scale = min(side / max(tile.width, 1), side / max(tile.height, 1), 1.0) if tile.width > 0 < tile.height else 1.0
    if tile.width <= 0 or tile.height <= 0:
        return side, side
    return max(1, round(tile.width * scale)), max(1, round(tile.height * scale))


def tile_html(tile: Tile, *, height: int = 256, caption: bool = True) -> Html:
    """A figure: the picture on a faint mat, linked to its original, and its caption."""
    inside = _picture(tile, height) if tile.shown else _hole(tile, height)
    mat = (
        "display: flex; flex: 1 1 auto; align-items: center; justify-content: center; border-radius: 4px; "
        f"overflow: hidden; background-color: {FAINT}"
    )
    parts = [tag("div", inside, style=mat)]
    if caption and tile.caption:
        parts.append(caption_html(tile.caption))
    style = "display: flex; flex-direction: column; margin: 0; padding: 0; min-width: 0px"
    return tag("figure", *parts, style=style)


def _picture(tile: Tile, height: int) -> Html:
    width = round(height * tile.ratio)
    style = f"display: block; max-width: 100%; max-height: {height}px; width: auto; height: auto; margin: 0 auto"
    image = tag(
        "img",
        src=picture_source(tile.jpeg),
        alt=tile.alt or tile.caption or "picture",
        title=bounded(tile.alt, TITLE_LENGTH) or None,
        width=width,
        style=style,
    )
    if not tile.href:
        return image
    return tag("a", image, href=tile.href, target="_blank", rel="noopener", style="display: block; max-width: 100%")


def _hole(tile: Tile, height: int) -> Html:
    """A dashed box of the shape the picture would have had, with a symbol, a word and the reason."""
    state = "missing" if tile.state == "picture" else tile.state
    style = (
        "display: flex; flex-direction: column; align-items: center; justify-content: center; gap: 6px; width: 100%; "
        f"min-height: {min(120, height)}px; padding: 10px; box-sizing: border-box; text-align: center; "
        f"border: 1px dashed {_COLOURS[state]}; border-radius: 4px"
    )
    word = pill(f"{SYMBOLS[state]} {state}", _COLOURS[state])
    note = tag("div", bounded(tile.note, NOTE_LENGTH), dir="auto", style="font-size: 12px; overflow-wrap: break-word")
    return tag("div", join(word, note if tile.note else ""), style=style, title=bounded(tile.alt, TITLE_LENGTH) or None)


def caption_html(caption: str) -> Html:
    """The facts under a picture, the first in bold."""
    first, dot, rest = bounded(caption, CAPTION_LENGTH).partition(" \u00b7 ")
    text = join(tag("strong", first), dot, rest) if dot else first
    style = f"{MUTED}; font-size: 12px; line-height: 1.4; margin: 3px 1px 0 1px; text-align: left"
    return tag("figcaption", text, dir="auto", style=f"{style}; overflow-wrap: break-word")


def tile_line(tile: Tile) -> str:
    """A tile as one line of plain text."""
    parts = [bounded(tile.caption, CAPTION_LENGTH)] if tile.caption else []
    if tile.shown:
        parts.append(f"{tile.width} x {tile.height}")
        if tile.href:
            parts.append(tile.href)
    else:
        state = "missing" if tile.state == "picture" else tile.state
        parts.append(f"{state}: {bounded(tile.note, NOTE_LENGTH)}" if tile.note else state)
    return " \u00b7 ".join(parts)


def tiles_text(tiles: Sequence[Tile], *, title: str = "", notice: str = "") -> str:
    """The same for a terminal: a title, a notice, a line for each tile."""
    lines = [bounded(title, 200)] if title else []
    if notice:
        lines.append(bounded(notice, 400))
    lines += [f"  {tile_line(tile)}" for tile in tiles] or ["  (no pictures)"]
    return "\n".join(lines)
