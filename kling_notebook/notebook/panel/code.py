"""Show code: the cell and the Python call that ask for exactly what the form says."""

from __future__ import annotations

import ipywidgets as widgets

from ...api.generation_request import GenerationRequest
from ...results import code_export
from .widgets import Toolkit, column, labeled, say, shown, text_html

HOW = "The same request as code. Copy it into a cell."
INVALID = "The form is not valid yet, so no code can be made for it."
ONLY_CALL = "The cell magic has no way to write this request; use the Python call."


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
        say(self.note, text_html(HOW if request is not None else INVALID, "muted"))
        say(self._cell_note, text_html(ONLY_CALL, "muted") if request is not None and cell is None else "")
        shown(self.cell, cell is not None)
        shown(self.call, request is not None)
        self.cell.value = cell or ""
        self.call.value = code_export.call_of(request) if request is not None else ""
