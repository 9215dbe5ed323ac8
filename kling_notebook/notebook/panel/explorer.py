"""Explore: a prompt whose words vary, the values and the price, then the sweep as a labeled grid."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from ...api.errors import InputError, KlingError
from ...api.generation_request import GenerationRequest
from ...jobs.purchase import Call
from ...results import code_export, sweep_axes
from ...results.handle import JobHandle
from ...results.result import chosen_parameters
from ...results.sweep_result import SweepResult
from ...session.session import Session
from ...view.markup import FAINT, Html, bounded, plural, tag
from ...view.progress import ProgressRow, progress_bundle
from ...view.table import credits_text
from .axis import HINTS, ParameterAxis, lines_of, values_of, words_of
from .form import EXAMPLES, Form, title_of
from .image_grid import Cell, ImageGrid, group
from .widgets import Ticks, Toolkit, column, labeled, row, say, shown, text_html

INTRO = (
    "Write words in {braces} to vary them, or several prompts, one per line. Everything else is taken from Create. "
    "What this folder has already is not charged again."
)
EXAMPLE = "A {animal} at {time}, watercolor"
# What the page opens with: a grid of three by three; of a person's own prompt three styles.
VALUES = {
    "animal": "red fox\nsnowy owl\nhare",
    "time": "dawn\nnoon\nnight",
    "style": "watercolor\noil painting\nphotograph",
}
SIDE = 256  # pixels of a thumbnail in the grid


# The prompt or prompts, and what becomes of them.
_Planned = tuple[str | list[str], sweep_axes.Axes, list[sweep_axes.Point], list[GenerationRequest]]


class Explorer:
    """Axes on top of the form's request, the sweep, and the grid of its images.

    Args:
        form: what does not vary is taken from it. use_as_source: called with an image and its session.
        on_done: called with the completed sweep.
    """

    def __init__(
        self,
        kit: Toolkit,
        form: Form,
        use_as_source: Callable[..., object],
        on_done: Callable[[SweepResult], object],
    ) -> None:
        self._kit = kit
        self._form = form
        self._on_done = on_done
        # Of the sweep that was started last:
        self.sweep: SweepResult
        self._started: tuple[Session, Call, float]
        self._shown: dict[int, object] = {}
        self.ticks = kit.track(Ticks(kit, self._tick))
        self._edited = False
        self._texts = dict(VALUES)
        self.prompt = labeled(widgets.Textarea, "Prompt, one per line", rows=3)
        self.words: dict[str, Any] = {}
        self._word_fields = column(gap="10px")
        self.axes = [ParameterAxis(kit, "Also vary", self._changed), ParameterAxis(kit, "and", self._changed)]
        self.run = kit.button("Run", self.start, tooltip="Make what is missing of this grid", look="primary")
        self.most = labeled(
            widgets.BoundedFloatText,
            "Spend at most (credits)",
            above=False,
            value=25,
            min=0,
            max=1e6,
            layout={"width": "230px"},
        )
        self.plan, self.cost, self.progress = kit.html(), kit.html(), kit.html()
        self.stop = kit.button("Stop waiting", self.stop_waiting, tooltip="Cancel what was not sent yet")
        self.code = labeled(widgets.Textarea, "The same as a Python call", rows=4)
        self.grid = kit.track(
            ImageGrid(kit, "sweep", "Your grid appears here, with its rows and columns labeled.", use_as_source, {})
        )
        kit.watch(self.prompt, self._changed)
        kit.watch(self.most, self._changed)
        fields = column(
            kit.html(text_html(INTRO, "muted")),
            self.prompt,
            self._word_fields,
            row(*(axis.view for axis in self.axes), align_items="flex-start"),
            column(self.plan, self.most, self.run, self.cost, self.progress, self.stop, gap="6px"),
            self.code,
            gap="12px",
            flex="1 1 300px",
            max_width="420px",
            width="auto",
        )
        made = column(self.grid, flex="3 1 460px", width="auto")
        self.view = row(fields, made, gap="20px 28px", align_items="flex-start")
        shown(self.stop, False)
        self._arrange_words()

    # ---- before ----

    def _arrange_words(self) -> None:
        """A field of values for each word in braces; what was typed for a word stays, also while it is gone."""
        if not self._edited:
            with self._kit.silently():
                self.prompt.value = _offered(" ".join(self._form.controls["prompt"].value.split()))
        words = words_of(lines_of(self.prompt.value))
        if words == list(self.words):
            return
        # Kept beyond this prompt: whoever deletes a word and writes it again finds its values.
        self._texts |= {word: field.value for word, field in self.words.items()}
        old = self.words.values()
        self.words = {word: self._word_field(word) for word in words}
        self._word_fields.children = tuple(self.words.values())
        self._kit.close(*old)

    def _word_field(self, word: str) -> widgets.Textarea:
        return self._kit.watch(
            labeled(widgets.Textarea, f"{{{word}}}", rows=3, value=self._texts.get(word, word), placeholder=HINTS[""]),
            self._changed,
        )

    def _changed(self) -> None:
        self._edited = True
        self.check()

    def _planned(self, session: Session) -> _Planned:
        given, beyond = self._form.values, self._form.beyond
        prompts = lines_of(self.prompt.value)
        axes: dict[str, Any] = {}
        typed = {word: values_of(field.value) for word, field in self.words.items()}
        for name, values in [*typed.items(), *filter(None, (axis.chosen() for axis in self.axes))]:
            if not values:
                raise InputError(f"Give {{{name}}} at least one value.", parameter=name)
            if name in axes:
                raise InputError(f"{title_of(name)} is chosen twice. Vary something else as well, or one alone.")
            axes[name] = values
        fixed = {name: value for name, value in given.items() if name not in ("prompt", *axes)}
        prompt = prompts if len(prompts) > 1 else "".join(prompts)
        planned, points = sweep_axes.expand(prompt, axes, fixed)
        # A replicate that was loaded into the form stays that replicate, or the same image would be charged again.
        if sweep_axes.SAMPLE not in planned:
            points = [replace(point, sample=beyond.get("sample")) for point in points]
        return prompt, planned, points, session.requests(points, beyond.get("extra"))

    def check(self) -> _Planned | None:
        """Say the values, their count and the price, or why there is no sweep; what can run."""
        self._arrange_words()
        self.run.disabled = True
        try:
            session = self._kit.session()
            shown(self.most, not session.is_sandbox)
            planned = prompt, axes, _, requests = self._planned(session)
            if not axes:
                raise InputError(
                    "Nothing varies yet: write a word in {braces}, a second prompt, or choose a parameter."
                )
            estimate = session.estimate(requests, reuse=session.reusing(None, sweep=True))
        except KlingError as error:
            say(self.plan, text_html(str(error), "reason" if self._edited else "muted"))
            self.code.value = ""
            return None
        self.code.value = code_export.call_of(requests[0], prompt, axes)
        taken = chosen_parameters(requests[0], without=axes)
        alike = bool(requests[0].sources.keys() - axes.keys())
        say(self.plan, _plan_html(axes, f"{sweep_axes.shape(axes)}: {estimate.cost}", taken, alike=alike))
        made = f"Make {plural(estimate.images, 'image')} \u00b7 {estimate.money}"
        self.run.description = made if estimate.jobs else "Show the grid \u00b7 no cost"
        refusal = ""
        if not estimate.free and estimate.credits > self.most.value:
            refusal = f"That is above the {credits_text(self.most.value)} allowed beside it. Raise them, or vary less."
        elif self.ticks.running:  # it would take the place of the one that runs, whose end would not be shown
            refusal = "A sweep is running; the next one can begin when it has ended."
        say(self.cost, text_html(refusal, "warning"))
        self.run.disabled = bool(refusal)
        return planned if not refusal else None

    def start(self) -> None:
        """Run the sweep; what is in the folder already is not charged again."""
        if (planned := self.check()) is None:
            return
        _, axes, points, requests = planned
        most = {} if self._kit.session().is_sandbox else {"max_credits": self.most.value}
        if (started := self._kit.start(requests, self.cost, requests, sweep=True, **most)) is None:
            return
        session, call = started
        self._edited = True  # a prompt that is typed in Create from here on does not take the place of this one
        self._started = session, call, time.monotonic()
        self.sweep = SweepResult(axes, points, call.handles)
        # The cells before the layout that names them: the page then has nothing to ask for.
        self._shown.clear()
        self._show_changes(session, _over(call))
        self.grid.show(_groups(self.sweep, session))
        shown(self.stop, True)
        self.ticks.start()
        self.run.disabled = True  # until the end: a second sweep would take the place of this one

    def stop_waiting(self) -> None:
        """Cancel what was not sent; the rest runs on and its images are saved."""
        stopped = self._started[1].cancel_unsent()
        told = f"{len(stopped.cancelled)} cancelled before they were sent, {len(stopped.still_running)} still running."
        say(self.cost, text_html(told, "muted"))

    # ---- the ticker ----

    def _tick(self) -> bool:
        """Say how far it is; False if nothing was to be shown."""
        session, call, began = self._started
        over = _over(call)
        done, jobs = sum(over.values()), len(over)
        shape, elapsed, expected = sweep_axes.shape(self.sweep.axes), time.monotonic() - began, call.estimate.seconds
        bar = ProgressRow(
            shape, "\u25b6", "running", "moving", elapsed, expected, f"{done} of {jobs} jobs", done / jobs
        )
        moved = self._show_changes(session, over) | say(self.progress, progress_bundle([bar])["text/html"])
        if done == jobs:
            self.ticks.close()
            shown(self.stop, False)
            self._kit.when(self._finished)()
        return moved or done == jobs

    def _show_changes(self, session: Session, over: Mapping[JobHandle, bool]) -> bool:
        """Send the page the cells that have changed since, and no other. ``over``: whether each job is."""
        # By what a cell shows and not by the snapshot: that one changes with every poll.
        now = {index: (over[handle], handle.status) for index, handle in enumerate(self.sweep.handles)}
        changed = [index for index, state in now.items() if self._shown.get(index) != state]
        self._shown |= now
        results = list(self.sweep) if changed else []
        reasons = {index: self.sweep.tiles(index)[0] for index in changed if results[index] is None}
        self.grid.put(
            {
                _cell(session, self.sweep, index): Cell(session, results[index], reasons.get(index), SIDE, brief=True)
                for index in changed
            }
        )
        return bool(changed)

    def _finished(self) -> None:
        missing = len(self.sweep.missing)
        ended = f"{missing} of {len(self.sweep)} are missing. Press the button again to make only those."
        say(self.progress, text_html(ended if missing else "All images are here.", "warning" if missing else "muted"))
        self._on_done(self.sweep)
        self.check()


def _over(call: Call) -> dict[JobHandle, bool]:
    """Whether each job is over. Looked up once a tick: each answer takes a lock."""
    return {handle: handle.done() for handle in call.jobs}


def _offered(own: str) -> str:
    """What the page opens with: a person's own prompt with a word that varies; else the example, which shows how."""
    if not own or own in {example["prompt"] for example in EXAMPLES.values()}:
        return EXAMPLE
    return own if words_of([own]) else f"{own}, {{style}}"


def _plan_html(axes: sweep_axes.Axes, price: str, taken: str, *, alike: bool) -> str:
    """Each axis with its values as they were understood, what is taken from Create, then the count and the price.

    ``alike``: a source image is taken from there; if it was forgotten in the form, every image will look like it.
    """
    fixed = text_html(f"Taken from Create: {taken}" if taken else "", "warning" if alike else "muted")
    lines = (_axis_html(name, values) for name, values in axes.items())
    return tag(
        "div",
        *lines,
        fixed,
        tag("div", price, style="margin-top: 6px; font-size: 13px"),
        style="font-size: 12px; line-height: 1.6",
    )


def _axis_html(name: str, values: Sequence[object]) -> Html:
    read = [tag("span", bounded(sweep_axes.label(value), 60), style=_VALUE, dir="auto") for value in values[:12]]
    more = f" and {len(values) - 12} more" if len(values) > 12 else ""
    return tag(
        "div",
        tag("strong", f"{name.replace('_', ' ')} ({len(values)}): "),
        *(part for one in read for part in (one, " ")),
        more,
        style="margin: 2px 0",
    )


_VALUE = f"display: inline-block; padding: 0 6px; margin: 1px 0; border-radius: 4px; background-color: {FAINT}"


def _cell(session: Session, sweep: SweepResult, index: int) -> str:
    """A name for a place of this sweep that no other sweep has."""
    return f"{session.id}.{id(sweep)}.{index}"


def _groups(sweep: SweepResult, session: Session) -> list[dict[str, Any]]:
    """A grid over the two axes with the most values; one for each combination of the others."""
    plan = sweep_axes.layout(sweep.axes, most=len(sweep.axes))
    return [
        group(
            f"{id(sweep)}.{page}",
            sweep_axes.labels(facet),
            ", ".join(plan.facets),
            cells=[[_cell(session, sweep, index) for index in row.values()] for row in rows.values()],
            rows=[sweep_axes.labels(values) for values in rows if values],
            columns=[sweep_axes.labels(values) for values in next(iter(rows.values())) if values],
            axes=" \\ ".join(plan.rows + plan.columns),
        )
        for page, (facet, rows) in enumerate(sweep.grids(plan).items())
    ]
