"""The form: one control per row of the parameter table, the reason beside what is not valid, and the cost.

And what it asks for as code: the cell and the Python call that make the same request.
"""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import ipywidgets as widgets

from ...api.errors import InputError, KlingError
from ...api.generation_request import GenerationRequest
from ...api.parameters import LONG_PROMPT, PARAMETERS, Parameter
from ...jobs.spending import Estimate
from ...results import code_export
from ...results.typed_values import left_in_braces
from ...session.session import Session
from ...view.markup import plural, tag
from ...view.table import credits_text
from .image_picker import ImagePicker
from .widgets import Toolkit, column, labeled, row, say, shown, text_html

# Six images one click away.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "Mountain": {"prompt": "A beautiful mountain landscape at golden hour, photorealistic", "aspect_ratio": "16:9"},
    "Fox": {"prompt": "A red fox in a misty forest at dawn, watercolor"},
    "City": {"prompt": "A city by the sea at night, neon", "aspect_ratio": "21:9"},
    "Boat": {"prompt": "A small boat on a quiet lake under the moon, oil painting", "aspect_ratio": "4:3"},
    "Aurora": {"prompt": "Aurora over snow and a lonely house", "aspect_ratio": "3:2"},
    "Blueprint": {"prompt": "A blueprint of a lighthouse", "aspect_ratio": "3:4"},
}

# Where the table's name is not what a person would say.
TITLES = {"num_outputs": "Images", "output_format": "File format"}


HOW, NO_CODE, ONLY_CALL = (
    "The same request as code. Copy it into a cell.",
    "The form is not valid yet, so no code can be made for it.",
    "The cell magic has no way to write this request; use the Python call.",
)
# In the order of the form: words first, lists together, the image last.
KINDS = ("text", "choice", "switch", "integer", "number", "image")


def title_of(name: str) -> str:
    """A parameter's name beside its control."""
    return TITLES.get(name) or name.replace("_", " ").capitalize()


class Form:
    """The controls and what they say. It buys nothing.

    Attributes:
        beyond: what it holds of a loaded request and has no control for (``extra``, ``sample``).

    Args:
        on_generate: called by the Generate button. on_change: called after each change with the request, or None
            where it is not valid.
    """

    def __init__(
        self,
        kit: Toolkit,
        on_generate: Callable[[], object],
        on_change: Callable[[GenerationRequest | None], object],
    ) -> None:
        self._kit = kit
        self._on_change = on_change
        self._estimated: tuple[Any, Estimate] | None = None
        self.beyond: dict[str, Any] = {}
        self.controls: dict[str, Any] = {}
        self.reasons = {name: kit.html() for name in PARAMETERS}
        self.well = ImagePicker(kit, self.check)
        self.button = kit.button("Generate", on_generate, tooltip="Make what the form says", look="primary")
        self.cost, self.account, self.message = kit.html(), kit.html(), kit.html()
        self.examples = [
            kit.button(name, self._example, name, tooltip=str(values["prompt"]), look="small")
            for name, values in EXAMPLES.items()
        ]
        self.view = self._laid_out()
        self._example(next(iter(EXAMPLES)))  # so that one press makes an image

    def _laid_out(self) -> widgets.VBox:
        """The prompt first; what is chosen from lists side by side; what costs, last and together."""
        fields: list[Any] = []
        for kind, parameters in groupby(
            sorted(PARAMETERS.values(), key=lambda each: KINDS.index(each.kind)), key=lambda each: each.kind
        ):
            made = [self._field(parameter) for parameter in parameters]
            fields += [row(*made, align_items="flex-start")] if kind in ("choice", "switch") else made
        # Right below the prompt, which they fill in.
        fields.insert(1, row(self._kit.html(tag("div", "Try", style="font-size: 12px")), *self.examples, gap="4px 6px"))
        price = column(self.button, self.cost, self.account, self.message, gap="4px", margin="6px 0 0 0")
        return column(*fields, price, gap="12px", flex="1 1 320px", max_width="460px", width="auto")

    def _field(self, parameter: Parameter) -> widgets.VBox:
        """A control with its reason under it."""
        control = self.well.view if parameter.name == "image" else self._control(parameter)
        layout = {"flex": "1 1 96px", "width": "auto"} if parameter.kind in ("choice", "switch") else {}
        return column(control, self.reasons[parameter.name], gap="2px", **layout)

    def _control(self, parameter: Parameter) -> Any:
        """The control a row of the table asks for. Adding a row adds a control."""
        kind, default = parameter.kind, parameter.default
        title = title_of(parameter.name)
        beside: dict[str, Any] = {"above": False, "layout": {"width": "130px"}}
        numeric = kind in ("integer", "number")
        if kind in ("choice", "switch"):
            options: Any = [(choice, choice) for choice in parameter.choices] or [("on", True), ("off", False)]
            unset = [("not set", None)] * (default is None)
            made = labeled(widgets.Dropdown, title, options=[*unset, *options], value=default)
        elif numeric and default is not None:
            field = widgets.BoundedIntText if kind == "integer" else widgets.BoundedFloatText
            ends = (("min", parameter.minimum), ("max", parameter.maximum), ("value", default))
            bounds: dict[str, Any] = {name: value for name, value in ends if value is not None}
            made = labeled(field, title, **bounds, **beside)
        elif numeric or kind == "image":
            made = labeled(widgets.Text, title, placeholder="not set", **beside)
        else:
            made = labeled(widgets.Textarea, title, rows=3 if parameter.required else 2, placeholder=parameter.help)
        made.tooltip = parameter.help
        self.controls[parameter.name] = self._kit.watch(made, self.check)
        if not (kind == "integer" and default is not None and parameter.listed):
            return made
        # Beside the number, which is the control: a slider alone cannot be set by keyboard to a value one knows.
        slider = widgets.IntSlider(**bounds, readout=False, layout=widgets.Layout(flex="1 1 140px", margin="0 4px"))
        widgets.link((made, "value"), (slider, "value"))
        return row(made, slider)

    # ---- what it says ----

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter as the controls say it; a source image as it was read.

        Raises:
            InputError: the source image cannot be used. SettingsError: no session can be made.
        """
        # An empty field is a parameter left out, not one that is an empty text.
        given = {name: None if control.value == "" else control.value for name, control in self.controls.items()}
        return given | {"image": self.well.resolve()}

    def load(self, values: Mapping[str, Any], **beyond: Any) -> None:
        """Fill the form; parameters not named get their defaults.

        ``beyond`` stays until the next loading.
        """
        self._set({name: values.get(name, parameter.default) for name, parameter in PARAMETERS.items()})
        self.beyond = {name: value for name, value in beyond.items() if value not in (None, {})}
        self.check()

    def _set(self, values: Mapping[str, Any]) -> None:
        """Put values into the controls, and say nothing in between."""
        with self._kit.silently():
            for name, value in values.items():
                if name == "image":
                    self.well.load(value)
                else:
                    typed = isinstance(self.controls[name], widgets.Text | widgets.Textarea)
                    text = "" if value is None else str(getattr(value, "label", value))
                    self.controls[name].value = text if typed else value

    def _example(self, name: str) -> None:
        """Another prompt and shape; what else was chosen stays."""
        self._set({"aspect_ratio": PARAMETERS["aspect_ratio"].default, **EXAMPLES[name]})
        self.check()

    def request(self) -> GenerationRequest:
        """The request of the form.

        Raises:
            InputError: naming the parameter. SettingsError: no session can be made.
        """
        return self._kit.session().request(**self.values, **self.beyond)

    def check(self, *, fresh: bool = False) -> GenerationRequest | None:
        """Say the cost, or the reason beside the field; the request where there is a valid one.

        ``fresh``: what was estimated or read before is asked for again.
        """
        if fresh:
            self._estimated = None
            self.well.forget()
        reasons = dict.fromkeys(PARAMETERS, "")
        request: GenerationRequest | None = None
        try:
            request = self.request()
            estimate = self._estimate(request)
            here = estimate.reused and not estimate.jobs
            self.button.description = f"Generate \u00b7 {'no cost' if here else estimate.money}"
            cost = _cost_html(estimate)
            warnings = ["What stands in braces is sent as it is."] * bool(left_in_braces([request]))
            if len(request.prompt) > LONG_PROMPT:
                warnings += [
                    f"{len(request.prompt)} characters: the model takes {LONG_PROMPT}, according to its vendor."
                ]
            reasons["prompt"] = text_html(" ".join(warnings), "warning") if warnings else ""
        except InputError as error:  # what is not about one field stands under the first one
            where = str(error.parameter) if error.parameter in reasons else "prompt"
            reasons[where] = text_html(str(error), "reason")
            cost = text_html(f"Not valid yet: see {title_of(where).lower()} above.", "muted")
        except KlingError as error:
            cost = text_html(str(error), "reason")
        for name, reason in reasons.items():
            say(self.reasons[name], reason)
        say(self.cost, cost)
        # The balance is read from the journal: not with each letter that is typed.
        self.button.disabled = request is None
        if request is not None and (fresh or not self.account.value):
            say(self.account, text_html(_account(self._kit.session()), "muted"))
        say(self.message, "")
        self._on_change(request)
        return request

    def _estimate(self, request: GenerationRequest) -> Estimate:
        """Asked of the journal only when what decides the price changes, not with every letter of the prompt."""
        session = self._kit.session()
        reuse = session.reusing(None)
        # With reuse any letter of the prompt may decide whether the image is there already.
        key = (id(session), request if reuse else (request.resolution, request.num_outputs))
        if self._estimated is None or self._estimated[0] != key:
            self._estimated = (key, session.estimate([request], reuse=reuse))
        return self._estimated[1]


def _cost_html(estimate: Estimate) -> str:
    """``1 image · about 12 s``; the price stands on the button."""
    made = " \u00b7 ".join(filter(None, (plural(estimate.images, "image"), estimate.time)))
    return text_html("This folder has it already." if estimate.reused and not estimate.jobs else made, "muted")


def _account(session: Session) -> str:
    """What is left and the budget."""
    if session.is_sandbox:
        return ""
    status = session.status()
    balance = "balance not known yet" if status.balance is None else f"{credits_text(status.balance)} left"
    budget = (
        "no budget set"
        if status.budget is None
        else f"{max(0, status.budget - status.spent_session):g} of the budget of {status.budget:g} left"
    )
    return f"{balance} \u00b7 {budget}"


class Code:
    """Two fields of text, kept in step with the form. Editing them changes nothing."""

    def __init__(self, kit: Toolkit) -> None:
        self.note = kit.html(text_html(HOW, "muted"))
        self.cell = labeled(widgets.Textarea, "Cell", rows=6)
        self.call = labeled(widgets.Textarea, "Python call", rows=4)
        self._cell_note = kit.html()
        self.view = column(self.note, self.cell, self._cell_note, self.call, max_width="900px")

    def show(self, request: GenerationRequest | None) -> None:
        """The code of a request, or why there is none."""
        cell = code_export.cell_of(request) if request is not None else None
        say(self.note, text_html(NO_CODE if request is None else HOW, "muted"))
        say(self._cell_note, text_html(ONLY_CALL if request is not None and cell is None else "", "muted"))
        shown(self.cell, cell is not None)
        shown(self.call, request is not None)
        self.cell.value = cell or ""
        self.call.value = code_export.call_of(request) if request is not None else ""
