"""What every part of a panel is made with: its widgets, the wiring of their callbacks, and their end.

Callbacks come on any thread, on some kernels in the middle of a running cell: those of one panel run one at a time.
ipywidgets keeps every open widget in a global list, so a callback that held its panel would keep a forgotten panel
alive for ever: here a widget holds its part weakly. Looks are in ``panel.css``.
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import ipywidgets as widgets
from ipywidgets.widgets.widget_string import HTMLStyle

from ...api.errors import KlingError
from ...api.generation_request import GenerationRequest
from ...jobs.purchase import Call
from ...session.session import Session
from ...view.markup import AMBER, MUTED, Html, tag
from ..display.progress_display import TICKER
from .busy_kernel import InputSync

# Seconds within which the same thing asked for again is one press: a double click, or presses that a running cell held
# back and that then arrive together.
ONE_PRESS = 0.7
PATIENCE = 0.2  # seconds the ticker of all displays waits for a panel whose callback is at work
HIDDEN = "kling-hidden"
_STYLES = {
    "plain": "",
    "muted": f"font-size: 12px; {MUTED}",
    "reason": "color: var(--jp-error-color1, rgb(198, 40, 40)); font-size: 12px",
    "warning": f"font-size: 12px; border-left: 3px solid {AMBER}; padding: 1px 0 1px 8px",
}

logger = logging.getLogger("kling_notebook.panel")


def text_html(text: str, kind: Literal["plain", "muted", "reason", "warning"] = "plain") -> Html:
    """A line of text; a reason carries a sign, so that it does not speak by its color alone."""
    if not text:
        return Html()
    reason = kind == "reason"
    style = f"line-height: 1.4; overflow-wrap: anywhere; {_STYLES[kind]}"
    return tag("div", f"\u26a0 {text}" if reason else text, style=style, role="alert" if reason else None, dir="auto")


class Toolkit:
    """Makes and wires one panel's widgets.

    Attributes:
        session: gives the current session. input_sync: what a press waits for.
        lock: held while a callback or a tick of the panel runs.
        fault: says what a callback raised, until another button is pressed.
        pressed: what was started last, and when.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self.session = session
        self.input_sync = InputSync(self.when)
        self.lock = threading.RLock()
        self._silent = False
        self._loose: weakref.WeakSet[Any] = weakref.WeakSet()
        self._layout, self._style, self._text = widgets.Layout(), widgets.ButtonStyle(), HTMLStyle()
        self.pressed: tuple[object, float] = (None, 0.0)
        self.fault = self.html()

    def start(
        self, press: object, place: widgets.HTML, requests: Sequence[GenerationRequest], **options: Any
    ) -> tuple[Session, Call] | None:
        """Start the jobs that a press asks for; None if nothing was started, and ``place`` says why.

        The same press again at once is taken for one. It is remembered only once it has started something: the reason
        of a refusal stays.
        """
        last, at = self.pressed
        if press == last and time.monotonic() - at < ONE_PRESS:
            say(place, text_html("Pressed twice at once: taken as one press", "muted"))
            return None
        try:
            session = self.session()
            call = session.start(requests, source="panel", **options)
        except KlingError as error:
            say(place, text_html(str(error), "reason"))
            return None
        self.pressed = (press, time.monotonic())
        return session, call

    def when(self, act: Callable[..., object], *args: Any) -> Callable[..., None]:
        """A callback that calls the bound method ``act`` with ``args`` and what it is given, while its object lives."""
        target = weakref.WeakMethod(act)
        return lambda *given: self._call(target, (*args, *given))

    def _call(self, target: weakref.WeakMethod[Any], args: Sequence[Any]) -> None:
        method = target()
        if method is None:
            return
        with self.lock:
            try:
                method(*args)
            except KlingError as error:
                say(self.fault, text_html(str(error), "reason"))
            except Exception as error:
                logger.exception("a callback of the panel failed")
                say(self.fault, text_html(f"Internal error of kling_notebook: {error!r}", "reason"))

    def button(
        self,
        name: str,
        act: Callable[..., object],
        *args: Any,
        tooltip: str = "",
        look: Literal["primary", "plain", "small"] = "plain",
    ) -> widgets.Button:
        """A button; all share their layout and style, and look as their class in the style sheet says.

        The primary one charges: it waits for what was typed before it was pressed.
        """
        does, button_style = self.when(act, *args), ""
        if look == "primary":
            does, button_style = self.when(self.input_sync.then, does), "primary"
        looks = {"layout": self._layout, "style": self._style, "button_style": button_style}
        made = widgets.Button(description=name, tooltip=tooltip or name, **looks)
        made.add_class("kling-button").add_class(f"kling-{look}")
        made.on_click(lambda _: (say(self.fault, ""), does()))
        return self.track(made)

    def html(self, value: str = "", look: str = "kling-text") -> widgets.HTML:
        """A place for markup; all share their layout and style. An empty one takes no space."""
        return widgets.HTML(value, layout=self._layout, style=self._text).add_class(look)

    def track(self, widget: Any) -> Any:
        """A widget that is not always below the panel's root, or what listens or ticks: it ends with the panel too."""
        self._loose.add(widget)
        return widget

    def watch(self, widget: widgets.Widget, act: Callable[[], object]) -> Any:
        """Call ``act`` when a person changes the widget's value; the widget itself."""
        does = self.when(act)

        def changed(_: object) -> None:
            with self.lock:  # on other threads: until what is set silently is set
                if not self._silent:
                    does()

        widget.observe(changed, names="value")
        return widget

    @contextmanager
    def silently(self) -> Iterator[None]:
        """Values set in here are not a person's: nothing that watches is called."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def close(self, *roots: Any) -> None:
        """Close widgets with all they hold. Not for buttons or text alone: those share a layout with all others."""
        for root in roots:
            self.close(*getattr(root, "children", ()))
            for part in (getattr(root, "layout", None), getattr(root, "style", None), root):
                if part is not None:
                    part.close()

    def end(self, root: widgets.Widget) -> None:
        """Close the whole panel."""
        self.input_sync.close()
        self.close(root, *self._loose)


class Ticks:
    """What a part of a panel shows a little at a time, under the panel's lock. Holds the part weakly.

    Args:
        act: shows what changed since the last tick; False if nothing did.
    """

    def __init__(self, kit: Toolkit, act: Callable[[], bool]) -> None:
        self._kit = kit
        self._act = weakref.WeakMethod(act)
        self.running = False

    def start(self) -> None:
        if not self.running:
            self.running = True
            TICKER.add(self.tick)

    def close(self) -> None:
        self.running = False
        TICKER.remove(self.tick)

    def tick(self) -> bool:
        act = self._act()
        if act is None:
            self.close()
        # Not for long: one thread shows the progress of everything, and this panel may be asking a service.
        if act is None or not self._kit.lock.acquire(timeout=PATIENCE):
            return False
        try:
            return bool(act())
        finally:
            self._kit.lock.release()


def row(*children: Any, gap: str = "6px 8px", **layout: Any) -> widgets.HBox:
    """Widgets side by side, wrapping if there is no space."""
    wrapped = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": gap, "width": "100%"}
    return widgets.HBox(children, layout=widgets.Layout(**{**wrapped, "overflow": "visible", **layout}))


def column(*children: Any, gap: str = "8px", **layout: Any) -> widgets.VBox:
    """Widgets one under the other."""
    options = {"grid_gap": gap, "width": "100%", "min_width": "0", "overflow": "visible"}
    return widgets.VBox(children, layout=widgets.Layout(**(options | layout)))


def labeled(kind: type[widgets.Widget], name: str, *, above: bool = True, **options: Any) -> Any:
    """A control whose label stands above it (beside it otherwise) and is tied to it by ipywidgets."""
    layout = {"width": "100%", **options.pop("layout", {})}
    made = kind(
        description=name, layout=widgets.Layout(**layout), style={"description_width": "max-content"}, **options
    )
    return made.add_class("kling-field").add_class("kling-above" if above else "kling-beside")


def shown(widget: widgets.Widget, on: bool) -> None:
    """Show or hide a widget."""
    # By a class and not by layout.display: the layout of buttons and texts is one for all.
    (widget.remove_class if on else widget.add_class)(HIDDEN)


def say(place: widgets.HTML, markup: str) -> bool:
    """Put markup into a place; False, and nothing is sent, if it holds that already."""
    before, place.value = place.value, markup
    return bool(before != markup)
