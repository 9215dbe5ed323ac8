"""One axis of the explorer: what varies, and over which values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ...api.errors import InputError
from ...api.parameters import PARAMETERS
from ...results.typed_values import samples, split_values
from .form import title_of
from .widgets import Toolkit, labeled, row, shown

PLACEHOLDER = "{}"
STARTS = {"num_outputs": "1, 4", "sample": "1, 2, 3"}


class Axis:
    """A parameter with its choices to tick, a name in the prompt with values of one's own, or replicates.

    Args:
        title: beside the choice. changed: called when anything of it changes.
    """

    def __init__(self, kit: Toolkit, title: str, changed: Callable[[], object]) -> None:
        self._kit = kit
        self._changed = changed
        self._turning = False
        names = [name for name, row in PARAMETERS.items() if row.kind in ("choice", "integer", "text")]
        options = [(title_of(name), name) for name in names]
        options += [("Replicates", "sample"), ("A {word} in the prompt", PLACEHOLDER)]
        self.which = labeled(
            widgets.Dropdown, title, above=False, options=[("nothing", ""), *options], layout={"width": "250px"}
        )
        self.name = labeled(widgets.Text, "Word", above=False, placeholder="animal", layout={"width": "170px"})
        self.values = labeled(
            widgets.Text,
            "Values",
            above=False,
            placeholder="separated by commas",
            layout={"width": "auto", "flex": "1 1 240px"},
        )
        self.boxes: list[widgets.Checkbox] = []
        self._ticks = row(gap="2px 14px", width="auto", flex="1 1 240px")
        self.view = row(self.which, self.name, self.values, self._ticks, gap="6px 14px")
        kit.watch(self.which, self._turned)
        kit.watch(self.name, self._moved)
        kit.watch(self.values, self._moved)
        self._arrange("")

    def _turned(self) -> None:
        self._turning = True
        try:
            self._arrange(self.which.value)
        finally:
            self._turning = False
        self._changed()

    def _moved(self) -> None:
        if not self._turning:
            self._changed()

    def _arrange(self, name: str) -> None:
        """The fields that this choice needs, filled with something that can run."""
        choices = PARAMETERS[name].choices if name in PARAMETERS else ()
        old, self.boxes = self.boxes, [self._box(choice, k < 3) for k, choice in enumerate(choices)]
        self._ticks.children = tuple(self.boxes)
        self._kit.close(*old)
        shown(self._ticks, bool(choices))
        shown(self.name, name == PLACEHOLDER)
        shown(self.values, bool(name) and not choices)
        self.values.value = STARTS.get(name, "")

    def _box(self, choice: str, on: bool) -> widgets.Checkbox:
        layout = widgets.Layout(width="auto", margin="0")
        return self._kit.watch(widgets.Checkbox(value=on, description=choice, indent=False, layout=layout), self._moved)

    def chosen(self) -> tuple[str, Any] | None:
        """(name, values), None where nothing varies; of replicates how many, or their labels, as the magic takes them.

        Raises:
            InputError: no values, or a quote that is not closed.
        """
        name = self.which.value
        if not name:
            return None
        if self.boxes:
            values = [box.description for box in self.boxes if box.value]
            if not values:
                raise InputError(f"Tick at least one value of {title_of(name).lower()}.", parameter=name)
            return name, values
        if name == PLACEHOLDER:
            name = self.name.value.strip("{} ")
            if not name:
                raise InputError("Which word? Write {animal} in the prompt, and animal here.")
        if not self.values.value.strip():
            raise InputError("Give the values to vary over, separated by commas.", parameter=name)
        values = split_values(self.values.value)
        return name, samples(values) if name == "sample" else values
