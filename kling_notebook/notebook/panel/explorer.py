"""Explore: one or two axes, the cost, the sweep; then sliders that move among pictures already bought."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets as widgets

from ...api.errors import KlingError
from ...api.parameters import PARAMETERS
from ...session import sweeps
from ...session.session import Session
from ...session.sweepresult import SweepResult
from ...view.tiles import tile_html
from ..splitting import split_values
from .form import reason_html

NONE = "(none)"
PLACEHOLDER = "{…} in the prompt"


class Axis:
    """One axis: a parameter with its choices, or a name in the prompt with values of one's own."""

    def __init__(self, title: str, changed: Callable[[Any], None]) -> None:
        names = [name for name, row in PARAMETERS.items() if row.kind in ("choice", "integer", "text")]
        options = [(name.replace("_", " "), name) for name in [*names, "sample"]]
        self.which = widgets.Dropdown(
            options=[(NONE, None), *options, (PLACEHOLDER, "{}")],
            description=title,
            layout=widgets.Layout(width="260px"),
        )
        self.name = widgets.Text(placeholder="name", layout=widgets.Layout(width="110px", display="none"))
        self.values = widgets.Text(placeholder="values, separated by commas", layout=widgets.Layout(flex="1 1 220px"))
        self.view = widgets.HBox(
            [self.which, self.name, self.values], layout=widgets.Layout(flex_flow="row wrap", width="100%")
        )
        self.which.observe(self._picked, names="value")
        for widget in (self.which, self.name, self.values):
            widget.observe(changed, names="value")

    def _picked(self, change: Any) -> None:
        name = change["new"]
        self.name.layout.display = None if name == "{}" else "none"
        if name in PARAMETERS and PARAMETERS[name].choices:
            self.values.value = ", ".join(PARAMETERS[name].choices[:3])
        elif name == "sample":
            self.values.value = "1, 2, 3"
        else:
            self.values.value = ""

    def axis(self) -> tuple[str, list[str]] | None:
        """(name, values), None where no axis is chosen."""
        name = self.which.value
        if name is None:
            return None
        return (self.name.value.strip() if name == "{}" else name), split_values(self.values.value)


class Explorer:
    """Axes on top of the form's request, the sweep, and the browser of its pictures.

    Args:
        session: gives the current session. values: the form's values, whose parameters do not vary.
        on_done: called with the finished sweep.
    """

    def __init__(
        self,
        session: Callable[[], Session],
        values: Callable[[], Mapping[str, Any]],
        on_done: Callable[[SweepResult], object],
    ) -> None:
        self._session = session
        self._values = values
        self._on_done = on_done
        self.sweep: SweepResult | None = None
        self.axes = [Axis("Vary", self._changed), Axis("and", self._changed)]
        self.run = widgets.Button(description="Run sweep", button_style="primary", disabled=True)
        self.run.on_click(lambda _: self.start())
        self.cost = widgets.HTML()
        self.progress = widgets.HTML()
        self.sliders = widgets.VBox([])
        self.picture = widgets.HTML()
        note = "The other values are those of the form. The sliders below move among pictures already bought: no cost."
        self.view = widgets.VBox(
            [
                widgets.HTML(f"<div>{note}</div>"),
                *(axis.view for axis in self.axes),
                widgets.HBox([self.run, self.cost], layout=widgets.Layout(flex_flow="row wrap", align_items="center")),
                self.progress,
                self.sliders,
                self.picture,
            ]
        )

    def _changed(self, _: Any = None) -> None:
        self.check()

    def _planned(self) -> tuple[sweeps.Axes, list[sweeps.Point]]:
        fixed = dict(self._values())
        prompt = fixed.pop("prompt") or ""
        axes: dict[str, Any] = {}
        for axis in self.axes:
            one = axis.axis()
            if one is not None:
                name, values = one
                fixed.pop(name, None)
                axes[name] = values
        if "prompt" in axes:
            prompt = axes.pop("prompt")
        return sweeps.expand(prompt, axes, fixed)

    def check(self) -> bool:
        """Say the shape and the cost, or why there is no sweep; True where it can run."""
        self.run.disabled = True
        if all(axis.which.value is None for axis in self.axes):
            self.cost.value = "<span>Pick one or two things to vary.</span>"
            return False
        try:
            axes, points = self._planned()
            session = self._session()
            requests = session.requests(points)
            estimate = session.estimate(requests, reuse=session.reusing(None, sweep=True))
            self.cost.value = f"<span>{escape(sweeps.shape(axes))}: {escape(str(estimate))}</span>"
        except KlingError as error:
            self.cost.value = reason_html(str(error))
            return False
        self.run.disabled = False
        return True

    def start(self) -> None:
        """Run the sweep; what is in the folder already is not bought again."""
        if not self.check():
            return
        try:
            session = self._session()
            axes, points = self._planned()
            batch = session.start(session.requests(points), source="panel", sweep=True)
        except KlingError as error:
            self.cost.value = reason_html(str(error))
            return
        self.sweep = SweepResult(axes, points, batch.handles)
        self._make_sliders()
        threading.Thread(
            target=_watch, args=(weakref.ref(self), self.sweep), name="kling-explorer", daemon=True
        ).start()

    def _make_sliders(self) -> None:
        assert self.sweep is not None  # noqa: S101  # made just before
        sliders = []
        for name, values in self.sweep.axes.items():
            options = [(sweeps.label(value), value) for value in values]
            slider = widgets.SelectionSlider(
                options=options, description=name, layout=widgets.Layout(width="100%", max_width="640px")
            )
            slider.observe(lambda _: self.show(), names="value")
            sliders.append(slider)
        self.sliders.children = tuple(sliders)
        self.show()

    def show(self) -> None:
        """The pictures at the sliders' place; what is missing is shown as missing."""
        if self.sweep is None:
            return
        at = tuple(slider.value for slider in self.sliders.children)
        index = next(i for i, point in enumerate(self.sweep.points) if point.coordinates == at)
        self.picture.value = "".join(str(tile_html(tile, height=420)) for tile in self.sweep.tiles(index))

    def tick(self, sweep: SweepResult) -> bool:
        """Say how far it is; False when this sweep is over or replaced."""
        if sweep is not self.sweep:
            return False
        done = sum(handle.done() for handle in sweep.handles)
        failed = sum(
            handle.done() and (handle.cancelled() or handle.exception() is not None) for handle in sweep.handles
        )
        words = f"{done} of {len(sweep)} done"
        if failed:
            words += f", {failed} failed: run it again to buy only what is missing"
        html = f"<progress max='{len(sweep)}' value='{done}'></progress> {escape(words)}"
        if html != self.progress.value:
            self.progress.value = html
            self.show()
        if done < len(sweep):
            return True
        self._on_done(sweep)
        return False

    def stop(self) -> None:
        """Forget the sweep that is being watched; its jobs go on."""
        self.sweep = None


def _watch(explorer: weakref.ref[Explorer], sweep: SweepResult) -> None:
    """One thread per running sweep, gone with it or with a forgotten panel."""
    for _ in itertools.count():
        alive = explorer()
        if alive is None or not alive.tick(sweep):
            return
        del alive
        time.sleep(0.5)
