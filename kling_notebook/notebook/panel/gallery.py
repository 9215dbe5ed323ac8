"""The gallery: finished pictures, newest first, a row of small labelled buttons under each.

Core widgets know no click on a picture, no clipboard and no download: so buttons, links to the originals, and text
that can be selected.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape

import ipywidgets as widgets

from ...api.errors import KlingError
from ...session import cells, recipes
from ...session.results import Comparison, Picture, Result
from ...view.tiles import tile_html
from .form import reason_html

KEPT = 12  # results whose widgets are kept; older ones are in the history
PRE = (
    "white-space: pre-wrap; overflow-wrap: anywhere; max-width: 100%; padding: 8px; border-radius: 4px; "
    "background: var(--jp-layout-color2, #eeeeee); color: var(--jp-content-font-color1, #212121)"
)


class Actions:
    """What a gallery's buttons do outside it."""

    def __init__(
        self,
        use_as_source: Callable[[Picture], object],
        vary: Callable[[Picture], object],
        star: Callable[[Picture, bool], object],
    ) -> None:
        self.use_as_source = use_as_source
        self.vary = vary
        self.star = star


class Gallery:
    """Results as tiles; one detail below them: a large picture, a recipe, a comparison."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._results: list[widgets.Widget] = []
        self._compared: Picture | None = None
        self.detail = widgets.HTML()
        self._close = widgets.Button(description="Close", layout=widgets.Layout(width="auto", display="none"))
        self._close.on_click(lambda _: self.show_detail(""))
        self._list = widgets.VBox([], layout=widgets.Layout(width="100%"))
        self.view = widgets.VBox([self.detail, self._close, self._list], layout=widgets.Layout(width="100%"))

    def add(self, result: Result) -> None:
        """Put a result on top."""
        note = f"Job {result.number}{' · reused' if result.reused else ''}"
        prompt = result.request.prompt if len(result.request.prompt) <= 120 else result.request.prompt[:119] + "…"
        title = widgets.HTML(f"<div dir='auto'><b>{escape(note)}</b> {escape(prompt)}</div>")
        tiles = widgets.HBox(
            [self._tile(picture, place in result.starred) for place, picture in enumerate(result)],
            layout=widgets.Layout(flex_flow="row wrap", width="100%"),
        )
        self._results.insert(0, widgets.VBox([title, tiles], layout=widgets.Layout(width="100%")))
        for old in self._results[KEPT:]:
            old.close()
        del self._results[KEPT:]
        self._list.children = tuple(self._results)

    def _tile(self, picture: Picture, starred: bool) -> widgets.VBox:
        image = widgets.HTML(str(tile_html(picture.tile())))
        star = widgets.ToggleButton(value=starred, description="★ Star" if starred else "☆ Star")

        def starring(change: object) -> None:
            star.description = "★ Star" if star.value else "☆ Star"
            self._guarded(lambda: self._actions.star(picture, star.value))

        star.observe(starring, names="value")
        buttons = [
            self._button("Larger", lambda: self.show_large(picture)),
            self._button("Use as source", lambda: self._actions.use_as_source(picture)),
            self._button("Vary", lambda: self._actions.vary(picture), "the same request again; it costs the same"),
            star,
            self._button("Recipe", lambda: self.show_recipe(picture)),
            self._button("Compare", lambda: self.compare(picture), "press it under two pictures"),
        ]
        for button in buttons:
            button.layout = widgets.Layout(width="auto", margin="1px")
        row = widgets.HBox(buttons, layout=widgets.Layout(flex_flow="row wrap"))
        return widgets.VBox([image, row], layout=widgets.Layout(width="270px", margin="0 10px 10px 0"))

    def _button(self, name: str, act: Callable[[], object], tooltip: str = "") -> widgets.Button:
        button = widgets.Button(description=name, tooltip=tooltip or name)
        button.on_click(lambda _: self._guarded(act))
        return button

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except KlingError as error:
            self.show_detail(reason_html(str(error)))

    # ---- the detail ----

    def show_detail(self, html: str) -> None:
        self.detail.value = html
        self._close.layout.display = None if html else "none"

    def show_large(self, picture: Picture) -> None:
        self.show_detail(picture._repr_mimebundle_()["text/html"])

    def show_recipe(self, picture: Picture) -> None:
        """The recipe and the code, as text that can be selected."""
        recipe = json.dumps(recipes.read(picture.path), indent=2, ensure_ascii=False)
        code = cells.code_of(picture.request)
        self.show_detail(f"<pre style='{PRE}'>{escape(code)}</pre><pre style='{PRE}'>{escape(recipe)}</pre>")

    def compare(self, picture: Picture) -> None:
        """The first press chooses, the second one shows both."""
        if self._compared is None or self._compared == picture:
            self._compared = picture
            self.show_detail(f"<div>{escape(picture.address)} chosen: press Compare under another picture.</div>")
            return
        first, self._compared = self._compared, None
        self.show_detail(Comparison(first, picture)._repr_mimebundle_()["text/html"])
