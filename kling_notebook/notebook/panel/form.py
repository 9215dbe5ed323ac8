"""The form: one control per row of the parameter table, the reason beside what is not valid, and the cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets as widgets

from ...api.errors import InputError, KlingError
from ...api.jobs import GenerationRequest, SourceImage
from ...api.parameters import PARAMETERS, Parameter
from ...session.session import Session

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "Mountain": {"prompt": "A beautiful mountain landscape at golden hour, photorealistic", "aspect_ratio": "16:9"},
    "Fox": {"prompt": "A red fox in a misty forest at dawn, watercolour"},
    "City": {"prompt": "A city by the sea at night, neon", "aspect_ratio": "21:9"},
    "Boat": {"prompt": "A small boat on a quiet lake under the moon, oil painting", "aspect_ratio": "4:3"},
    "Aurora": {"prompt": "Aurora over snow and a lonely house", "aspect_ratio": "3:2"},
    "Blueprint": {"prompt": "A blueprint of a lighthouse", "aspect_ratio": "3:4"},
}
"""Six pictures one click away."""

WIDE = {"width": "auto", "max_width": "100%"}
REASON = "color: var(--jp-error-color1, #c62828); font-size: 90%; line-height: 1.3"


def reason_html(text: str) -> str:
    """A reason beside its field; the sign says it without the colour."""
    return f'<div role="alert" style="{REASON}">&#9888; {escape(text)}</div>' if text else ""


class Form:
    """The controls and what they say. It buys nothing.

    Args:
        session: gives the current session. on_generate: called by the Generate button with a valid request.
        on_change: called after each change with the request, or None where it is not valid.
    """

    def __init__(
        self,
        session: Callable[[], Session],
        on_generate: Callable[[], object],
        on_change: Callable[[GenerationRequest | None], object],
    ) -> None:
        self._session = session
        self._on_change = on_change
        self._loading = False
        self._uploaded: tuple[str, bytes] | None = None
        self.controls: dict[str, Any] = {name: _control(row) for name, row in PARAMETERS.items()}
        self.reasons = {name: widgets.HTML(layout=widgets.Layout(margin="0 0 0 112px")) for name in PARAMETERS}
        self.well = _Well(self.controls["image"], self._changed)
        self.button = widgets.Button(
            description="Generate", button_style="primary", icon="magic", layout=widgets.Layout(min_width="120px")
        )
        self.button.on_click(lambda _: on_generate())
        self.cost = widgets.HTML()
        self.examples = [widgets.Button(description=name, layout=widgets.Layout(width="auto")) for name in EXAMPLES]
        for button in self.examples:
            button.on_click(lambda clicked: self.load(EXAMPLES[clicked.description]))
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        self.view = self._laid_out()
        self.load(next(iter(EXAMPLES.values())))

    def _laid_out(self) -> widgets.VBox:
        rows: list[Any] = [_row(*self.examples)]
        for name, control in self.controls.items():
            rows += [self.well.view if name == "image" else control, self.reasons[name]]
        rows.append(_row(self.button, self.cost))
        return widgets.VBox(rows, layout=widgets.Layout(flex="1 1 380px", min_width="0", max_width="560px"))

    # ---- what it says ----

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter as the controls say it; an uploaded picture as its bytes."""
        said = {name: control.value for name, control in self.controls.items()}
        said = {name: value if value != "" else None for name, value in said.items()}
        return said | {"image": self.well.value}

    def load(self, values: Mapping[str, Any]) -> None:
        """Fill the form; parameters not named get their defaults."""
        self._loading = True
        try:
            for name, row in PARAMETERS.items():
                value = values.get(name, row.default)
                if name == "image":
                    self.well.load(value)
                else:
                    self.controls[name].value = "" if value is None else value
        finally:
            self._loading = False
        self._changed()

    def request(self) -> GenerationRequest:
        """The request of the form.

        Raises:
            InputError: naming the parameter. SettingsError: no session can be made.
        """
        return self._session().request(**self.values)

    def _changed(self, _: Any = None) -> None:
        if not self._loading:
            self.check()

    def check(self) -> GenerationRequest | None:
        """Say the cost, or the reason beside the field; the request where there is a valid one."""
        for reason in self.reasons.values():
            reason.value = ""
        request: GenerationRequest | None = None
        try:
            request = self.request()
            session = self._session()
            estimate = session.estimate([request], reuse=session.reusing(None))
            self.cost.value = f"<span>{escape(_cost(session, estimate))}</span>"
        except InputError as error:
            where = error.parameter if error.parameter in self.reasons else "prompt"
            self.reasons[str(where)].value = reason_html(str(error))
            name = str(where).replace("_", " ")
            self.cost.value = f"<span>See {escape(name)}.</span>"
        except KlingError as error:
            self.cost.value = reason_html(str(error))
        self.button.disabled = request is None
        self._on_change(request)
        return request

    def refuse(self, error: KlingError) -> None:
        """Say beside the button why nothing was sent."""
        self.cost.value = reason_html(str(error))


def _cost(session: Session, estimate: Any) -> str:
    """What it will cost, what is left, the budget."""
    words = [str(estimate)]
    if not session.is_sandbox:
        status = session.status()
        if status.balance is not None:
            words.append(f"{status.balance:g} left")
        if status.budget is not None:
            words.append(f"{max(0.0, status.budget - status.spent_session):g} of the budget of {status.budget:g} left")
    return " · ".join(words)


def _row(*children: Any) -> widgets.HBox:
    return widgets.HBox(
        children, layout=widgets.Layout(flex_flow="row wrap", align_items="center", width="100%", overflow="visible")
    )


def _control(row: Parameter) -> Any:
    """The control a row of the table asks for. Adding a row adds a control."""
    style = {"description_width": "104px"}
    name = row.name.replace("_", " ").capitalize()
    common: dict[str, Any] = {"description": name, "style": style, "tooltip": row.help}
    if row.kind == "choice":
        return widgets.Dropdown(
            options=row.choices, value=row.default, layout=widgets.Layout(max_width="320px"), **common
        )
    if row.kind == "integer":
        return widgets.IntSlider(
            value=row.default, min=row.minimum, max=row.maximum, layout=widgets.Layout(max_width="420px"), **common
        )
    if row.kind == "image":
        return widgets.Text(
            placeholder="a path, a URL, or JOB:K such as 12:0",
            continuous_update=False,
            layout=widgets.Layout(**WIDE),
            **common,
        )
    lines = 4 if row.required else 2
    return widgets.Textarea(rows=lines, layout=widgets.Layout(**WIDE), placeholder=row.help, **common)


class _Well:
    """The image well: a text for paths, URLs and addresses, an upload, and what is chosen."""

    def __init__(self, text: Any, changed: Callable[[Any], None]) -> None:
        self.text = text
        self._data: bytes | None = None
        self._changed = changed
        self.upload = widgets.FileUpload(
            accept="image/png,image/jpeg,image/webp",
            multiple=False,
            description="Upload",
            layout=widgets.Layout(width="auto"),
        )
        self.clear = widgets.Button(description="Remove image", layout=widgets.Layout(width="auto", display="none"))
        self.said = widgets.HTML()
        self.view = widgets.VBox(
            [text, widgets.HBox([self.upload, self.clear, self.said], layout=widgets.Layout(margin="0 0 0 112px"))]
        )
        self.upload.observe(self._uploaded, names="value")
        self.clear.on_click(lambda _: self._set(None, ""))
        text.observe(self._typed, names="value")

    @property
    def value(self) -> Any:
        """Bytes of an upload, the text of the field, or None."""
        return self._data if self._data is not None else (self.text.value.strip() or None)

    def load(self, value: Any) -> None:
        """A path, URL, address, a source image of the journal, or None."""
        text = value.label if isinstance(value, SourceImage) else str(value or "")
        self._set(None, text)

    def _uploaded(self, change: Any) -> None:
        if change["new"]:
            file = change["new"][0]
            self._set(bytes(file["content"]), f"uploaded: {file['name']}")
            self.upload.value = ()

    def _typed(self, change: Any) -> None:
        if self._data is not None and not change["new"].startswith("uploaded: "):
            self._data = None
        self._show()

    def _set(self, data: bytes | None, text: str) -> None:
        self._data = data
        self.text.value = text
        self._show()
        self._changed(None)

    def _show(self) -> None:
        self.clear.layout.display = None if self.value is not None else "none"
