"""What every part of a panel is made with: its widgets, the wiring of their callbacks, and their end.

Callbacks come on any thread, on some kernels in the middle of a running cell: those of one panel run one at a time.
ipywidgets keeps every open widget in a global list, so a callback that held its panel would keep a forgotten panel
alive for ever: here a widget holds its part weakly.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal

import ipywidgets as widgets

from ...api.errors import KlingError
from ...view.markup import AMBER, MUTED, Html, tag

Look = Literal["primary", "plain", "small"]
Kind = Literal["plain", "muted", "reason", "warning"]
LINE = "1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.35))"
LABEL = "max-content"
ONE_PRESS = 0.7
"""Seconds within which the same thing asked for again is one press: a double click, or presses that a running cell
held back and that then arrive together."""
PRESSED_TWICE = "Pressed twice at once: taken as one press"

_LOOKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "primary": ({"width": "100%", "height": "42px", "margin": "0"}, {"font_size": "15px", "font_weight": "600"}),
    "plain": (
        {"width": "auto", "height": "28px", "margin": "0", "padding": "0 10px", "border": LINE},
        {"font_size": "12px", "button_color": "transparent"},
    ),
    "small": (
        {"width": "auto", "height": "24px", "margin": "0", "padding": "0 6px", "border": LINE},
        {"font_size": "11px", "button_color": "transparent"},
    ),
}

logger = logging.getLogger("kling_notebook.panel")


def text_html(text: str, kind: Kind = "plain") -> Html:
    """A line of text; a reason carries a sign, so that it does not speak by its color alone."""
    if not text:
        return Html()
    base = "line-height: 1.4; overflow-wrap: anywhere; "
    if kind == "reason":
        style = f"{base}color: var(--jp-error-color1, rgb(198, 40, 40)); font-size: 12px"
        return tag("div", f"\u26a0 {text}", style=style, role="alert", dir="auto")
    if kind == "warning":
        style = f"{base}font-size: 12px; border-left: 3px solid {AMBER}; padding: 1px 0 1px 8px"
        return tag("div", text, style=style, dir="auto")
    return tag("div", text, style=f"{base}font-size: 12px; {MUTED}" if kind == "muted" else base, dir="auto")


class Toolkit:
    """Makes and wires one panel's widgets.

    Attributes:
        lock: held while a callback or a tick of the panel runs. on_fault: is told what a callback raised.
        on_press: called before what a button does.
        answered_meanwhile: a callback came on a subshell of the kernel: buttons work while a cell runs.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.on_fault: Callable[[Exception], object] = logger.error
        self.on_press: Callable[[], object] = lambda: None
        self.answered_meanwhile = False
        self._loose: weakref.WeakSet[widgets.Widget] = weakref.WeakSet()
        self._shared: dict[str, tuple[widgets.Layout, widgets.ButtonStyle]] = {}
        self._asked: tuple[object, float] = (None, 0.0)

    def asked_just_now(self, what: object) -> bool:
        """Whether the last purchase, a moment ago, was this one by this button: then it is the same press."""
        last, at = self._asked
        return what == last and time.monotonic() - at < ONE_PRESS

    def asked(self, what: object) -> None:
        """Remember a purchase, once it has begun."""
        self._asked = (what, time.monotonic())

    def when(self, act: Callable[..., object], *args: Any) -> Callable[..., None]:
        """A callback that calls the bound method ``act`` with ``args``, as long as its object lives."""
        target = weakref.WeakMethod(act)

        def called(*_: object) -> None:
            method = target()
            if method is None:
                return
            if threading.current_thread().name.startswith("subshell"):
                self.answered_meanwhile = True
            with self.lock:
                try:
                    method(*args)
                except Exception as error:
                    if not isinstance(error, KlingError):
                        logger.exception("a callback of the panel failed")
                    self.on_fault(error)

        return called

    def button(
        self, name: str, act: Callable[..., object], *args: Any, tooltip: str = "", look: Look = "plain"
    ) -> widgets.Button:
        """A button; those of one look share their layout and style, since a gallery has many."""
        layout, style = self._look(look)
        made = widgets.Button(description=name, tooltip=tooltip or name, layout=layout, style=style)
        if look == "primary":
            made.button_style = "primary"
        does = self.when(act, *args)

        def pressed(*_: object) -> None:
            self.on_press()
            does()

        made.on_click(pressed)
        return self.track(made)

    def track(self, widget: Any) -> Any:
        """A widget that is not always below the panel's root, so that it ends with the panel all the same."""
        self._loose.add(widget)
        return widget

    def _look(self, look: Look) -> tuple[widgets.Layout, widgets.ButtonStyle]:
        if look not in self._shared:
            layout, style = _LOOKS[look]
            self._shared[look] = (widgets.Layout(**layout), widgets.ButtonStyle(**style))
        return self._shared[look]

    def watch(self, widget: widgets.Widget, act: Callable[..., object], *args: Any) -> Any:
        """Call ``act`` when the widget's value changes; the widget itself."""
        widget.observe(self.when(act, *args), names="value")
        return widget

    def close(self, *roots: widgets.Widget) -> None:
        """Close widgets with all they hold. What the panel's buttons share stays until the panel itself ends."""
        shared = {id(part) for pair in self._shared.values() for part in pair}
        for root in roots:
            for child in getattr(root, "children", ()):
                self.close(child)
            for part in (getattr(root, "layout", None), getattr(root, "style", None)):
                if isinstance(part, widgets.Widget) and id(part) not in shared:
                    part.close()
            root.close()

    def end(self, root: widgets.Widget) -> None:
        """Close the whole panel."""
        self.close(root, *self._loose)
        for layout, style in self._shared.values():
            layout.close()
            style.close()
        self._shared.clear()


def row(*children: Any, gap: str = "6px 8px", **layout: Any) -> widgets.HBox:
    """Widgets side by side, wrapping if there is no space."""
    options = {
        "flex_flow": "row wrap",
        "align_items": "center",
        "grid_gap": gap,
        "width": "100%",
        "overflow": "visible",
    }
    return widgets.HBox(children, layout=widgets.Layout(**(options | layout)))


def column(*children: Any, gap: str = "8px", **layout: Any) -> widgets.VBox:
    """Widgets one under the other."""
    options = {"grid_gap": gap, "width": "100%", "min_width": "0", "overflow": "visible"}
    return widgets.VBox(children, layout=widgets.Layout(**(options | layout)))


def labeled(kind: type[widgets.Widget], name: str, *, above: bool = True, **options: Any) -> Any:
    """A control whose label stands above it (beside it otherwise) and is tied to it by ipywidgets."""
    layout: dict[str, Any] = {"width": "100%", "margin": "0", "height": "auto" if above else "30px", "min_width": "0"}
    if above:
        layout |= {"display": "grid", "grid_template_columns": "minmax(0, 1fr)"}
        layout |= {"grid_template_rows": "auto minmax(30px, auto)", "align_items": "stretch"}
    layout |= options.pop("layout", {})
    style = {"description_width": LABEL} | options.pop("style", {})
    made = kind(description=name, layout=widgets.Layout(**layout), style=style, **options)
    made.shown_as = layout.get("display")
    return made


def html(value: str = "", **layout: Any) -> widgets.HTML:
    """A place for markup."""
    options = {"margin": "0", "min_width": "0", "overflow": "visible", "display": None if value else "none"}
    return widgets.HTML(value, layout=widgets.Layout(**(options | layout)))


def output(markup: str = "", **layout: Any) -> widgets.Output:
    """A place for images, whose links lead to the originals.

    An HTML widget's links are the page's own, which know nothing of the notebook's folder; those of an output are
    resolved by the front end. The output is set, never captured into.
    """
    options = {"margin": "0", "width": "100%", "min_width": "0", "display": None if markup else "none"}
    return widgets.Output(outputs=_outputs(markup), layout=widgets.Layout(**(options | layout)))


def _outputs(markup: str) -> tuple[dict[str, Any], ...]:
    data = {"text/html": str(markup), "text/plain": ""}
    return ({"output_type": "display_data", "data": data, "metadata": {}},) if markup else ()


def shown(widget: widgets.Widget, on: bool) -> None:
    """Show or hide a widget."""
    wanted = getattr(widget, "shown_as", None) if on else "none"
    if widget.layout.display != wanted:
        widget.layout.display = wanted


def say(place: widgets.HTML | widgets.Output, markup: str) -> bool:
    """Put markup into a place; nothing is sent if it holds that already. Empty widgets take no space."""
    name, value = ("outputs", _outputs(markup)) if isinstance(place, widgets.Output) else ("value", markup)
    if getattr(place, name) == value:
        return False
    setattr(place, name, value)
    shown(place, bool(markup))
    return True


def options_of(choices: Sequence[str]) -> list[tuple[str, str]]:
    """Choices as a dropdown wants them."""
    return [(choice, choice) for choice in choices]
