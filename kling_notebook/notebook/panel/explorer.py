"""Explore: one or two things to vary, the cost, the sweep; then sliders that move among images already bought."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from ...api.errors import InputError, KlingError
from ...api.generation_request import GenerationRequest
from ...jobs.call import Call
from ...results import sweep_axes
from ...results.sweep_result import SweepResult
from ...session.session import Session
from ...view.markup import join
from ...view.progress import progress_bundle
from ...view.table import credits_text
from ..display.progress_display import TICKER, row_of
from .axis import Axis
from .form import Form, title_of
from .input_sync import InputSync
from .queue import PATIENCE
from .widgets import PRESSED_TWICE, Toolkit, column, html, labeled, output, row, say, shown, text_html

INTRO = (
    "Pick one or two things to vary; everything else is taken from the form. Each combination is bought once, and what "
    "this folder has already is not bought again. Then move the sliders: looking costs nothing."
)

RUNNING = "A sweep is running; the next one can begin when it has ended."


class Explorer:
    """Axes on top of the form's request, the sweep, and the browser of its images.

    Args:
        session: gives the current session. arrival: waits for what was typed before a press.
        form: what does not vary is taken from it.
        on_done: called with the completed sweep.
    """

    def __init__(
        self,
        kit: Toolkit,
        session: Callable[[], Session],
        arrival: InputSync,
        form: Form,
        on_done: Callable[[SweepResult], object],
    ) -> None:
        self._kit = kit
        self._session = session
        self._arrival = arrival
        self._form = form
        self._on_done = on_done
        self.sweep: SweepResult | None = None
        self._batch: Call | None = None
        self._bought_from: Session | None = None
        self._ticking: _Weakly | None = None
        self._noted: dict[Any, tuple[Any, float]] = {}
        self.axes = [Axis(kit, "Vary", self.check), Axis(kit, "and", self.check)]
        self.run = kit.button("Run the sweep", self._pressed, tooltip="Make what is missing of it", look="primary")
        self.run.disabled = True
        self.most = labeled(
            widgets.BoundedFloatText,
            "Spend at most (credits)",
            above=False,
            value=25,
            min=0,
            max=1e6,
            layout={"width": "230px"},
        )
        kit.watch(self.most, self.check)
        self.cost, self.progress, self.image = html(), html(width="100%"), output(max_width="860px")
        self.stop = kit.button("Stop waiting", self.stop_waiting, tooltip="Take back what was not sent yet")
        self._stop_row = row(self.stop)
        self.sliders = column(gap="2px", max_width="640px")
        self.view = column(
            html(text_html(INTRO, "muted")),
            *(axis.view for axis in self.axes),
            self.most,
            column(self.run, self.cost, gap="4px", max_width="460px"),
            self.progress,
            self._stop_row,
            self.sliders,
            self.image,
            gap="12px",
        )
        shown(self._stop_row, False)

    # ---- before ----

    def _planned(self, session: Session) -> tuple[sweep_axes.Axes, list[sweep_axes.Point], list[GenerationRequest]]:
        fixed, beyond = self._form.values, self._form.beyond
        prompt = fixed.pop("prompt") or ""
        axes: dict[str, Any] = {}
        for axis in self.axes:
            chosen = axis.chosen()
            if chosen is None:
                continue
            name, values = chosen
            if name in axes:
                raise InputError(f"{title_of(name)} is chosen twice. Vary something else as well, or one alone.")
            fixed.pop(name, None)
            axes[name] = values
        if "prompt" in axes:
            prompt = axes.pop("prompt")
        planned, points = sweep_axes.expand(prompt, axes, fixed)
        if sweep_axes.SAMPLE not in planned:
            points = [replace(point, sample=beyond.get("sample")) for point in points]
        return planned, points, session.requests(points, beyond.get("extra"))

    def check(self) -> bool:
        """Show the shape and the cost, or why there is no sweep; True if it can run."""
        self.run.disabled = True
        with contextlib.suppress(KlingError):  # no session: what is planned below says so
            shown(self.most, not self._session().is_sandbox)
        if all(not axis.which.value for axis in self.axes):
            say(self.cost, text_html("Nothing is chosen to vary yet.", "muted"))
            return False
        try:
            session = self._session()
            axes, _, requests = self._planned(session)
            estimate = session.estimate(requests, reuse=session.reusing(None, sweep=True))
            priced = text_html(f"{sweep_axes.shape(axes)}: {estimate.cost}")
            say(self.cost, priced)
        except KlingError as error:
            say(self.cost, text_html(str(error), "reason"))
            return False
        if not estimate.free and estimate.credits > self.most.value:
            limit = f"That is above the {credits_text(self.most.value)} allowed beside it. Raise them, or vary less."
            say(self.cost, join(priced, text_html(limit, "reason")))
            return False
        if self._ticking is not None:  # it would take the place of the one that runs, whose end would not be shown
            say(self.cost, join(priced, text_html(RUNNING, "muted")))
            return False
        self.run.disabled = False
        return True

    def _pressed(self) -> None:
        self._arrival.then(self.start)

    def start(self) -> None:
        """Run the sweep; what is in the folder already is not bought again."""
        if not self.check():
            return
        try:
            session = self._session()
            axes, points, requests = self._planned(session)
            if self._kit.asked_just_now(requests):
                say(self.cost, text_html(PRESSED_TWICE, "muted"))
                return
            limit = None if session.is_sandbox else self.most.value
            self._batch = session.start(requests, source="panel", sweep=True, max_credits=limit)
        except KlingError as error:
            say(self.cost, text_html(str(error), "reason"))
            return
        self._kit.asked(requests)
        self._bought_from = session
        self.sweep = SweepResult(axes, points, self._batch.handles)
        self._noted.clear()
        shown(self._stop_row, True)
        self._make_sliders()
        self._ticking = _Weakly(self)
        TICKER.add(self._ticking)
        self.run.disabled = True

    def stop_waiting(self) -> None:
        """Cancel what was not sent; the rest keeps running and its images are saved."""
        if self._batch is None:
            return
        stopped = self._batch.cancel_unsent()
        words = f"{len(stopped.cancelled)} cancelled before they were sent, {len(stopped.still_running)} still running."
        say(self.cost, text_html(words, "muted"))

    # ---- after ----

    def _make_sliders(self) -> None:
        """One slider per axis. They are told of nothing but their own move: looking buys nothing."""
        assert self.sweep is not None  # noqa: S101  # made just before
        old = self.sliders.children
        sliders = []
        for name, values in self.sweep.axes.items():
            options = [(sweep_axes.label(value), place) for place, value in enumerate(values)]
            slider = widgets.SelectionSlider(
                options=options,
                description=name.replace("_", " "),
                style={"description_width": "130px"},
                layout=widgets.Layout(width="100%", margin="0"),
            )
            sliders.append(self._kit.watch(slider, self.show))
        self.sliders.children = tuple(sliders)
        self._kit.close(*old)
        self.show()

    def show(self) -> bool:
        """The images at the sliders' place, what is missing as missing; True where that took a message."""
        if self.sweep is None:
            return False
        values = zip(self.sliders.children, self.sweep.axes.values(), strict=True)
        at = tuple(choices[slider.value] for slider, choices in values)
        index = next(i for i, point in enumerate(self.sweep.points) if point.coordinates == at)
        return say(self.image, self.sweep.point_bundle(index)["text/html"])

    # ---- the ticker ----

    def tick(self) -> bool:
        """Say how far it is; False where nothing was to be shown."""
        if not self._kit.lock.acquire(timeout=PATIENCE):
            return False
        try:
            if self.sweep is None or self._batch is None or self._bought_from is None:
                self._end_ticking()
                return False
            moved = self._say_progress(self.sweep, self._batch, self._bought_from)
            if all(handle.done() for handle in self._batch.jobs):
                self._end_ticking()
                shown(self._stop_row, False)
                if not self.sweep.missing:
                    done = f"{sweep_axes.shape(self.sweep.axes)}, all here. Move the sliders to look at them."
                    say(self.progress, text_html(done))
                self.show()
                self._kit.when(self._finished, self.sweep)()
                return True
            return self.show() or moved
        finally:
            self._kit.lock.release()

    def _say_progress(self, sweep: SweepResult, batch: Call, session: Session) -> bool:
        now = time.monotonic()
        rows = []
        for handle in batch.jobs:
            place = sweep.points[batch.handles.index(handle)]
            label = ", ".join(sweep_axes.label(value) for value in place.coordinates)
            snapshot = handle.snapshot
            if self._noted.get(handle, (None, 0))[0] is not snapshot:
                self._noted[handle] = (snapshot, now)
            rows.append(row_of(snapshot, label, now - self._noted[handle][1], free=session.is_sandbox))
        failed = sum(row.tone in ("bad", "unsure") for row in rows)
        footer = "Run it again to make only what is missing." if failed else ""
        return say(self.progress, progress_bundle(rows, footer=footer)["text/html"])

    def _finished(self, sweep: SweepResult) -> None:
        self._on_done(sweep)
        self.check()

    def _end_ticking(self) -> None:
        if self._ticking is not None:
            TICKER.remove(self._ticking)
            self._ticking = None

    def close(self) -> None:
        """Forget the sweep that is being watched; its jobs keep running."""
        self._end_ticking()
        self.sweep = self._batch = None


class _Weakly:
    """An explorer as the ticker holds it."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = weakref.ref(explorer)

    def tick(self) -> bool:
        explorer = self._explorer()
        if explorer is None:
            TICKER.remove(self)
            return False
        return explorer.tick()
