"""The gallery: completed images, newest first, a row of small labeled buttons under each.

Core widgets know no click on an image, no clipboard and no download: so buttons, links to the originals, and text
that can be selected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as widgets

from ...api.errors import InputError
from ...image_files import metadata
from ...results.result import Comparison, Result, SavedImage
from ...session.session import Session
from ...view.markup import MUTED, bounded, bundle, frame, heading, join, plural, tag
from ...view.tiles import Tile, caption_html, image_html, tile_html, tiles_text
from .widgets import LINE, Toolkit, column, html, output, row, say, shown, text_html

KEPT = 12  # results whose widgets are kept; older ones are in the history
GAP = 14
SIDES = {1: 768, 2: 512, 3: 384, 4: 512}  # pixels of the preview, by how many images there are
EMPTY = "Your images appear here. Press Generate for the first one: nothing is bought before you do."


@dataclass(frozen=True)
class Callbacks:
    """What a gallery's buttons do outside it."""

    use_as_source: Callable[[SavedImage, Session], object]
    vary: Callable[[SavedImage], object]
    load: Callable[[SavedImage], object]


class Gallery:
    """Results as cards; a card has its tiles, and above them one detail: a large image, a recipe, a comparison."""

    def __init__(self, kit: Toolkit, actions: Callbacks) -> None:
        self._kit = kit
        self.actions = actions
        self.cards: list[Card] = []
        self.compared: tuple[Card, SavedImage] | None = None
        style = f"{MUTED}; border: 1px dashed rgba(128, 128, 128, 0.5); border-radius: 6px; padding: 56px 24px"
        empty = tag("div", EMPTY, style=f"{style}; text-align: center; font-size: 13px")
        self._empty = kit.track(html(empty, width="100%"))
        self.view = column(self._empty, gap="22px")

    def add(self, result: Result, session: Session) -> None:
        """Put a result on top; where it is there already it moves up."""
        for old in [card for card in self.cards if (card.result.number, card.session) == (result.number, session)]:
            self._drop(old)
        self.cards.insert(0, Card(self._kit, self, result, session))
        for old in self.cards[KEPT:]:
            self._drop(old)
        self._lay_out()

    def _drop(self, card: Card) -> None:
        self.cards.remove(card)
        if self.compared is not None and self.compared[0] is card:
            self.compared = None
        self._lay_out()
        self._kit.close(card.view, *card.spare)

    def _lay_out(self) -> None:
        self.view.children = tuple(card.view for card in self.cards) or (self._empty,)


class Card:
    """One result."""

    def __init__(self, kit: Toolkit, gallery: Gallery, result: Result, session: Session) -> None:
        self._kit = kit
        self._gallery = gallery
        self.result = result
        self.session = session
        self.stars: dict[int, widgets.Button] = {}
        self.detail = output()
        self.close_detail = kit.button("Close", self.show_detail, "", look="small")
        self.spare = (self.close_detail,)
        # Nothing at its sides: what is shown large must not be smaller than the tile under it.
        lines = {"border_top": LINE, "border_bottom": LINE, "padding": "10px 0"}
        self._detail = column(self.detail, row(self.close_detail), gap="6px", **lines)
        cost = session.priced([result.request]).money  # the journal is asked once, not for every image
        self.tiles = [self._tile(image, cost) for image in result]
        grid = widgets.GridBox(
            list(self.tiles),
            layout=widgets.Layout(
                grid_template_columns=_columns(result), grid_gap=f"{GAP}px", width="100%", align_items="flex-start"
            ),
        )
        self.view = column(html(_title(result)), self._detail, grid, gap="8px")
        self.show_detail("")

    def _tile(self, image: SavedImage, cost: str) -> widgets.VBox:
        button = self._kit.button
        starred = image.place in self.result.starred
        star = button(
            _star(starred), self._toggle_star, image, tooltip="Mark it; History finds starred ones", look="small"
        )
        self.stars[image.place] = star
        buttons = [
            button("Larger", self.show_large, image, look="small"),
            button("Use as source", self._use, image, tooltip="Start the next image from this one", look="small"),
            button("Vary", self._vary, image, tooltip=f"Make the same request again: {cost}", look="small"),
            star,
            button("Recipe", self.show_recipe, image, tooltip="How it was made, and the code for it", look="small"),
            button("Compare", self.compare, image, tooltip="Press it under two images", look="small"),
        ]
        image = output(_tile_html(image.tile() if len(self.result) > 4 else _sharper(image, len(self.result))))
        return column(image, row(*buttons, gap="4px 3px"), gap="4px")

    # ---- what the buttons do ----

    def _use(self, image: SavedImage) -> None:
        self._gallery.actions.use_as_source(image, self.session)

    def _vary(self, image: SavedImage) -> None:
        self._gallery.actions.vary(image)

    def _toggle_star(self, image: SavedImage) -> None:
        """The session that made it keeps the mark: another one may have another folder."""
        on = not self.stars[image.place].description.startswith("\u2605")
        self.session.star(image.number, image.place, on)
        self.stars[image.place].description = _star(on)

    def show_detail(self, markup: str) -> None:
        """Show something above the tiles; nothing closes it."""
        say(self.detail, markup)
        shown(self._detail, bool(markup))

    def show_large(self, image: SavedImage) -> None:
        self.show_detail(image._repr_mimebundle_()["text/html"])

    def show_recipe(self, image: SavedImage) -> None:
        """The code and the recipe, as text that can be selected. The code is the journal's: it needs no file."""
        code = _block("The cell that makes it again", self.result.code())
        try:
            recipe = json.dumps(metadata.read(image.path), indent=2, ensure_ascii=False)
        except InputError as error:
            self.show_detail(frame(join(code, text_html(str(error), "muted"))))
            return
        self.show_detail(frame(join(code, _block(f"Recipe inside {image.path.name}", recipe))))

    def compare(self, image: SavedImage) -> None:
        """The first press chooses, the second one shows both."""
        chosen = self._gallery.compared
        if chosen is None or chosen[1] == image:
            self._gallery.compared = (self, image)
            self.show_detail(text_html(f"{image.address} is chosen. Now press Compare under another image.", "muted"))
            return
        card, first = chosen
        self._gallery.compared = None
        if card is not self:
            card.show_detail("")
        self.show_detail(Comparison(first, image)._repr_mimebundle_()["text/html"])


def _sharper(image: SavedImage, count: int) -> Tile:
    """A tile drawn from more pixels, if few images share the space."""
    return replace(image, thumbnail_size=SIDES[count]).tile()


def _tile_html(tile: Tile) -> str:
    if not tile.shown:
        return frame(tile_html(tile))
    image = image_html(tile, "width: 100%; max-width: 100%; height: auto; margin: 0; border-radius: 6px")
    return frame(tag("figure", image, caption_html(tile.caption), style="margin: 0; padding: 0"))


def _columns(images: Sequence[Any]) -> str:
    """As many as make full rows, fewer where they would get too narrow."""
    count = len(images)
    if count == 1:
        return "minmax(0, 640px)"
    side_by_side = 2 if count in {2, 4} else 3
    share = f"calc((100% - {(side_by_side - 1) * GAP}px) / {side_by_side})"
    return f"repeat(auto-fill, minmax(max(190px, {share}), 1fr))"


def persistent_output(result: Result, title: str) -> dict[str, Any]:
    """A result for the notebook itself, beneath the panel: a single image not as large as when it stands alone."""
    if len(result) != 1:
        return result.bundle(title=title)
    tile = _sharper(result[0], 1)
    if not tile.shown:
        return result.bundle(title=title)
    image = image_html(tile, "max-width: 100%; height: auto; margin: 0; border-radius: 6px", width=480)
    figure = tag("figure", image, caption_html(tile.caption), style="margin: 0; padding: 0")
    return bundle(frame(heading(title), figure), tiles_text([tile], title=title), tile.jpeg)


def _title(result: Result) -> str:
    facts = f"{plural(len(result), 'image')}{', from this folder at no cost' if result.reused else ''}"
    return tag(
        "div",
        tag("strong", f"Job {result.number}"),
        " \u00b7 ",
        tag("bdi", bounded(result.request.prompt, 140)),
        tag("span", f" \u00b7 {facts}", style=f"{MUTED}; font-size: 12px"),
        style="font-size: 13px; line-height: 1.5; overflow-wrap: anywhere",
    )


def _star(on: bool) -> str:
    return "\u2605 Starred" if on else "\u2606 Star"


def _block(title: str, text: str) -> str:
    style = (
        "display: block; white-space: pre-wrap; overflow-wrap: anywhere; padding: 8px 10px; border-radius: 4px; "
        "font-family: var(--jp-code-font-family, monospace); font-size: 12px; max-height: 320px; overflow: auto; "
        "background-color: rgba(128, 128, 128, 0.12); color: inherit; margin: 2px 0 10px 0"
    )
    return tag("div", tag("div", title, style="font-weight: 600; font-size: 12px"), tag("code", text, style=style))
