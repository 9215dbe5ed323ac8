"""The values an axis of the explorer takes, as a person types or ticks them."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from ...api.errors import InputError
from ...api.parameters import PARAMETERS
from ...results.sweep_axes import SAMPLE
from ...results.typed_values import samples
from .form import title_of
from .widgets import Toolkit, column, labeled, row, shown

STARTS = {"num_outputs": "1, 4", SAMPLE: "3"}
HINTS = {SAMPLE: "how many, or labels", "text": "one per line", "": "one per line, or separated by commas"}


def lines_of(text: str) -> list[str]:
    """The lines that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def values_of(text: str) -> list[str]:
    """One value per line; of a single line those between its commas."""
    # Commas separate only on a single line: whoever writes one value per line may need them within a value.
    lines = lines_of(text)
    return lines if len(lines) != 1 else [part.strip() for part in lines[0].split(",") if part.strip()]


def words_of(prompts: Sequence[str]) -> list[str]:
    """The words that stand in braces, in order, each once."""
    # Without a bar: {a|b} is not a name, and the session points it out before anything is charged.
    return list(dict.fromkeys(word for prompt in prompts for word in re.findall(r"\{([^{}|]+)\}", prompt)))


class ParameterAxis:
    """A parameter with its choices to tick or its values to type, or replicates.

    Args:
        title: beside the choice. changed: called when anything of it changes.
    """

    def __init__(self, kit: Toolkit, title: str, changed: Callable[[], object]) -> None:
        self._kit = kit
        self._changed = changed
        names = [name for name, row in PARAMETERS.items() if row.kind != "image" and name != "prompt"]
        options = [("nothing", ""), *((title_of(name), name) for name in names), ("Replicates", SAMPLE)]
        self.which = labeled(widgets.Dropdown, title, above=False, options=options)
        self.values = labeled(widgets.Textarea, "Values", rows=3)
        self.boxes: list[widgets.Checkbox] = []
        self._ticks = row(gap="2px 14px")
        self.view = column(self.which, self.values, self._ticks, gap="6px", flex="1 1 150px", width="auto")
        kit.watch(self.which, self._turned)
        kit.watch(self.values, changed)
        self._arrange("")

    def _turned(self) -> None:
        # The values are filled in for the person: one check at the end, not one for each of them.
        with self._kit.silently():
            self._arrange(self.which.value)
        self._changed()

    def _arrange(self, name: str) -> None:
        """The fields that this choice needs, filled with something that can run."""
        parameter = PARAMETERS.get(name)
        choices = parameter.listed if parameter and parameter.kind in ("choice", "switch") else ()
        # Three are ticked at first: something that can be run, and still cheap.
        old, self.boxes = self.boxes, [self._box(choice, k < 3) for k, choice in enumerate(choices)]
        self._ticks.children = tuple(self.boxes)
        self._kit.close(*old)
        shown(self._ticks, bool(choices))
        shown(self.values, bool(name) and not choices)
        self.values.value = STARTS.get(name, "")
        self.values.placeholder = HINTS.get(name) or HINTS.get(parameter.kind if parameter else "", HINTS[""])

    def _box(self, choice: str, on: bool) -> widgets.Checkbox:
        box = widgets.Checkbox(value=on, description=choice, indent=False, layout={"width": "auto", "margin": "0"})
        return self._kit.watch(box, self._changed)

    def chosen(self) -> tuple[str, Any] | None:
        """(name, values), None if nothing varies; of replicates how many, or their labels.

        Raises:
            InputError: there are no values.
        """
        name, text = self.which.value, self.values.value
        if not name:
            return None
        if self.boxes:
            values: list[Any] = [box.description for box in self.boxes if box.value]
        else:
            values = lines_of(text) if name in PARAMETERS and PARAMETERS[name].kind == "text" else values_of(text)
        if not values:
            raise InputError(f"{'Tick' if self.boxes else 'Give'} at least one value of {title_of(name).lower()}.")
        return name, samples(values) if name == SAMPLE else values
