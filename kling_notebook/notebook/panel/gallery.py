"""The gallery: completed images, newest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...results.result import Result
from ...session.session import Session
from ...view.markup import bounded, bundle, frame, heading, plural, tag
from ...view.tiles import caption_html, image_html, tiles_text
from .image_grid import Cell, Content, Group, ImageGrid
from .widgets import Toolkit

KEPT = 12  # results that stay; older ones are in the history
SIDES = {1: 768, 2: 512, 3: 384, 4: 512}  # pixels of a thumbnail, by how many images there are
EMPTY = "Your images appear here. Press Generate for the first one; nothing is charged before you do."


@dataclass(frozen=True)
class Card:
    """One result, and the session that made it."""

    result: Result
    session: Session

    @property
    def key(self) -> str:
        """A name that is the same for the same job, whatever else the panel has shown meanwhile."""
        return f"{self.session.id}.{self.result.number}"

    def group(self) -> Group:
        """The result as the page shows it: the price of another one stands on the button that charges it."""
        request, images = self.result.request, plural(len(self.result), "image")
        again = f"Run again \u00b7 {self.session.priced([request]).money}"
        buttons = [("again", again, f"Make the {images} of this request once more")]
        buttons.append(("remove", "Remove", "Take it out of the gallery; its files and its history stay"))
        facts = f"{images}, from this folder at no cost" if self.result.reused else images
        title = f"Job {self.result.number}"
        return Group(self.key, title, bounded(request.prompt, 140), [facts], buttons, cells=[[self.key]])

    def cell(self) -> Cell:
        """Its images, as large as their number allows."""
        return Cell(self.session, self.result, side=SIDES.get(len(self.result), 256))


class Gallery:
    """Results as cards.

    Args:
        run_again: called with the card of a pressed button. actions: what else the page's buttons do.
    """

    def __init__(
        self, kit: Toolkit, run_again: Callable[[Card], object], actions: Mapping[str, Callable[..., object]]
    ) -> None:
        self._run_again = run_again
        self.cards: list[Card] = []
        own = {"again": self._again, "remove": self._remove}
        self.grid = kit.track(ImageGrid(kit, "gallery", EMPTY, {**own, **actions}))

    def add(self, result: Result, session: Session) -> None:
        """Put a result on top; if it is there already it moves up."""
        card = Card(result, session)
        self.cards = [card, *(old for old in self.cards if old.key != card.key)][:KEPT]
        self.grid.put({card.key: card.cell()})
        self.show()

    def show(self) -> None:
        """Lay the cards out again: prices may have changed."""
        self.grid.show([card.group() for card in self.cards])

    def _again(self, content: Content) -> None:
        for card in [card for card in self.cards if card.key == content["group"]]:
            self._run_again(card)

    def _remove(self, content: Content) -> None:
        self.cards = [card for card in self.cards if card.key != content["group"]]
        self.show()


def persistent_output(result: Result, title: str) -> dict[str, Any]:
    """A result for the notebook itself, beneath the panel: a single image not as large as when it stands alone."""
    if len(result) != 1:
        return result.bundle(title=title)
    tile = replace(result[0], thumbnail_size=SIDES[1]).tile()
    if not tile.shown:
        return result.bundle(title=title)
    image = image_html(tile, "max-width: 100%; height: auto; margin: 0; border-radius: 6px", width=480)
    figure = tag("figure", image, caption_html(tile.caption), style="margin: 0; padding: 0")
    return bundle(frame(heading(title), figure), tiles_text([tile], title=title), tile.jpeg)
