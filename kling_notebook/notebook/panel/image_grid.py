"""The panel's images as one component: a page selects, enlarges and compares them without asking the kernel.

``image_grid.js`` says what the page does. Layout travels as a trait; images and details travel in messages, each once,
so that neither the page's state nor a saved notebook grows with them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ...api.errors import InputError
from ...image_files import metadata
from ...results.result import Comparison, Result, SavedImage
from ...session.session import Session
from ...view.pixels import smaller
from ...view.table import EQUAL
from ...view.tiles import Tile
from .widgets import Toolkit, say

HERE = Path(__file__).parent
LARGE = 1536  # pixels of the longer side of an image that fills a window: all of a 1K one
Content = Mapping[str, Any]


def group(key: str, title: str, text: str = "", **more: Any) -> dict[str, Any]:
    """Some cells with a title: a job's, or a grid of a sweep.

    Args:
        more: ``facts``: lines of text. ``buttons``: (what is sent, label, tooltip). ``cells``: rows of names of cells.
            ``rows``, ``columns``: their labels; ``axes``: the axes' names, for the corner. ``progress``: whether a
            message says how far it is, as key -> (share or None, text).
    """
    empty = {"facts": [], "buttons": [], "cells": [], "rows": [], "columns": [], "axes": "", "progress": False}
    return {"key": key, "title": title, "text": text, **empty, **more}


@dataclass
class Cell:
    """What stands in one place: a result's images, or a tile that says why there are none.

    Attributes:
        side: pixels of a thumbnail's longer side. most: how many of the images are shown. brief: under each stands its
            address alone.
    """

    session: Session
    result: Result | None
    reason: Tile | None = None
    side: int = 256
    most: int = 26
    brief: bool = False

    def tiles(self, cell: str) -> list[tuple[dict[str, Any], bytes]]:
        """What the page is told of each tile, and its thumbnail."""
        if self.result is None:
            return [(_facts(f"{cell}:0", self.reason, ""), b"")] if self.reason is not None else []
        told = []
        # Never larger than asked for, and never enlarged: the page has the bytes of a thumbnail, not of the original.
        for image in self.result[: self.most]:
            tile = replace(image, thumbnail_size=max(self.side, image.thumbnail_size)).tile()
            facts = _facts(f"{cell}:{image.place}", tile, image.address) | {
                "starred": image.place in self.result.starred,
                "path": tile.href or str(image.path),
                "label": image.address if self.brief else tile.caption,
            }
            told.append((facts, tile.jpeg if self.side >= image.thumbnail_size else smaller(tile.jpeg, self.side)))
        return told


class ImageGrid(anywidget.AnyWidget):
    """Groups of images in a page.

    Args:
        kind: gallery, sweep (one group at a time, its selected image large beside it) or history (small images).
        empty: the text shown while there are no groups. use_as_source: called with an image and its session.
        actions: what the page's other messages do, by their name; each is given the message.
    """

    _esm = (HERE / "image_grid.js").read_text(encoding="utf-8")
    _css = (HERE / "panel.css").read_text(encoding="utf-8")
    groups: Any = traitlets.List().tag(sync=True)
    kind = traitlets.Unicode().tag(sync=True)
    empty = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        kit: Toolkit,
        kind: str,
        empty: str,
        use_as_source: Callable[[SavedImage, Session], object],
        actions: Mapping[str, Callable[..., object]],
    ) -> None:
        super().__init__(kind=kind, empty=empty)
        self._use = kit.when(use_as_source)
        self._fault = kit.fault
        self.cells: dict[str, Cell] = {}
        own = {
            "cells": self._cells,
            "large": self._large,
            "recipe": self._recipe,
            "compare": self._put_beside,
            "star": self._star,
            "download": self._download,
            "source": self._source,
        }
        self._actions = {name: kit.when(action) for name, action in {**own, **actions}.items()}
        self.on_msg(self._received)

    def show(self, groups: Sequence[dict[str, Any]]) -> None:
        """Lay out these groups; cells that none of them names are forgotten."""
        # What the page no longer shows is forgotten here too; it would keep its results for as long as the panel lives.
        named = {cell for one in groups for line in one["cells"] for cell in line}
        self.cells = {name: cell for name, cell in self.cells.items() if name in named}
        self.groups = list(groups)

    def put(self, cells: Mapping[str, Cell]) -> None:
        """Say what stands in some cells, in one message."""
        self.cells |= cells
        self._tell(list(cells), thumbnails=True)

    def image(self, tile: str) -> SavedImage:
        """The image of a tile."""
        return self._at(tile)[2]

    def _at(self, tile: str) -> tuple[Session, Result, SavedImage]:
        name, _, place = tile.rpartition(":")
        cell = self.cells.get(name)
        if cell is None or cell.result is None:
            raise InputError("This image is not shown any more.")
        return cell.session, cell.result, cell.result[int(place)]

    def _received(self, _: object, content: Content, __: object) -> None:
        what = str(content.get("do"))
        if what not in ("cells", "echo"):  # these two the page sends by itself; all others are presses
            say(self._fault, "")
        if what in self._actions:
            self._actions[what](content)

    # ---- what the page asks for ----

    def _cells(self, content: Content) -> None:
        self._tell([name for name in content["cells"] if name in self.cells], thumbnails=True)

    def _tell(self, names: Sequence[str], *, thumbnails: bool) -> None:
        cells = {name: self.cells[name].tiles(name) for name in names}
        told = [
            {"cell": name, "tiles": [facts | {"sent": bool(jpeg) and thumbnails} for facts, jpeg in tiles]}
            for name, tiles in cells.items()
        ]
        if told:
            jpegs = (jpeg for tiles in cells.values() for _, jpeg in tiles)
            self.send({"cells": told}, [jpeg for jpeg in jpegs if jpeg and thumbnails])

    def _large(self, content: Content) -> None:
        image = self.image(content["tile"])
        self.send({"large": content["tile"]}, [replace(image, thumbnail_size=LARGE).tile().jpeg])

    def _recipe(self, content: Content) -> None:
        """The code and the recipe. The code is the journal's: it needs no file."""
        _, result, image = self._at(content["tile"])
        try:
            recipe = json.dumps(metadata.read(image.path), indent=2, ensure_ascii=False)
        except InputError as error:
            recipe = str(error)
        parts = [("The cell that makes it again", result.code()), (f"Recipe inside {image.path.name}", recipe)]
        self._detail("recipe", content, parts)

    def _put_beside(self, content: Content) -> None:
        first, image = self.image(content["first"]), self.image(content["tile"])
        rows = (f"{name.replace('_', ' ')}: {a}  \u2192  {b}" for name, a, b in Comparison(first, image).differences)
        title = f"What differs from {first.address} to {image.address}"
        self._detail("compare", content, [(title, "\n".join(rows) or EQUAL)])

    def _detail(self, kind: str, content: Content, parts: Sequence[tuple[str, str]]) -> None:
        self.send({"detail": list(parts), "name": f"{kind} {content.get('first', '')} {content['tile']}"})

    def _star(self, content: Content) -> None:
        """The session that made it keeps the mark: another one may have another folder."""
        session, result, image = self._at(content["tile"])
        session.star(image.number, image.place, image.place not in result.starred)
        result.starred ^= {image.place}
        self._tell([content["tile"].rpartition(":")[0]], thumbnails=False)

    def _source(self, content: Content) -> None:
        session, _, image = self._at(content["tile"])
        self._use(image, session)

    def _download(self, content: Content) -> None:
        path = self.image(content["tile"]).path
        self.send({"file": path.name}, [path.read_bytes()])


def _facts(identity: str, tile: Tile, name: str) -> dict[str, Any]:
    return {
        "id": identity,
        "name": name,
        "alt": tile.alt,
        "label": "",
        "caption": tile.caption,
        "note": tile.note,
        "state": tile.state if tile.shown else tile.absence,
        "width": tile.width,
        "height": tile.height,
    }
