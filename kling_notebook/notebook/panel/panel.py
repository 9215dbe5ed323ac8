"""The panel: the explorer's door. The same session, the same history, no code.

A view: no HTTP, no SQL, no file is written here. Callbacks return at once; the session's workers do the work.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from ...api.errors import KlingError
from ...api.jobs import GenerationRequest
from ...session import cells
from ...session.records import Record
from ...session.results import Picture, Result
from ...session.runner import JobHandle
from ...session.session import Session
from ...session.sweepresult import SweepResult
from ..live import LastResult
from .explorer import Explorer
from .form import Form
from .gallery import PRE, Actions, Gallery
from .history import History
from .queue import Queue, label_of


class KlingPanel:
    """Form, queue, gallery, explorer, history and code over one session. Shown by a notebook as such.

    Args:
        session: gives the current session at each use, so that a panel follows a reconnect.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session
        self._outputs: list[LastResult] = []
        self._last: Result | SweepResult | None = None
        self.notice = widgets.HTML()
        self.code = widgets.HTML()
        self.queue = Queue(self._done, self._retry)
        self.gallery = Gallery(Actions(self._use_as_source, self._vary, self._star))
        self.form = Form(session, self.generate, self._form_changed)
        self.explorer = Explorer(session, lambda: self.form.values, self._swept)
        self.history = History(session, self._load, self._rerun, self._show)
        create = widgets.HBox(
            [
                self.form.view,
                widgets.VBox(
                    [self.queue.view, self.gallery.view],
                    layout=widgets.Layout(flex="2 1 380px", min_width="0", margin="0 0 0 12px"),
                ),
            ],
            layout=widgets.Layout(flex_flow="row wrap", width="100%", align_items="flex-start"),
        )
        self.tabs = widgets.Tab([create, self.explorer.view, self.history.view, self.code])
        for index, name in enumerate(("Create", "Explore", "History", "Code")):
            self.tabs.set_title(index, name)
        self.tabs.observe(self._tab_changed, names="selected_index")
        self.view = widgets.VBox([self.notice, self.tabs], layout=widgets.Layout(width="100%", max_width="1400px"))
        self._say_notices()

    # ---- shown ----

    def _ipython_display_(self) -> None:
        """The widgets, and beneath them a plain output: what must last when the widgets are gone."""
        from IPython.display import display

        display(self.view)
        output = LastResult()
        self._outputs.append(output)
        if self._last is not None:
            output.show(self._last.bundle())

    def __repr__(self) -> str:
        return "<KlingPanel>"

    def close(self) -> None:
        """Stop observing and remove the widgets. Jobs that run go on."""
        self.queue.close()
        self.explorer.stop()
        self.view.close()

    def _say_notices(self) -> None:
        try:
            lines = self._session().take_notices()
        except KlingError as error:
            lines = [str(error)]
        if lines:
            self.notice.value = "<br>".join(escape(line) for line in lines)

    def _tab_changed(self, change: Any) -> None:
        if change["new"] == 1:
            self.explorer.check()
        elif change["new"] == 2:
            self.history.refresh()

    # ---- the form ----

    def _form_changed(self, request: GenerationRequest | None) -> None:
        if request is None:
            self.code.value = "<div>The form is not valid yet.</div>"
            return
        parts = [cells.cell_of(request), cells.call_of(request)]
        self.code.value = "".join(f"<pre style='{PRE}'>{escape(part)}</pre>" for part in parts if part)

    def generate(self) -> JobHandle | None:
        """What the Generate button does: start the form's request. None where it was refused; the form says why."""
        request = self.form.check()
        return self._start(request) if request is not None else None

    def _start(self, request: GenerationRequest, *, reuse: bool | None = None) -> JobHandle | None:
        try:
            batch = self._session().start([request], source="panel", reuse=reuse)
        except KlingError as error:
            self.form.refuse(error)
            return None
        handle = batch.handles[0]
        self.queue.add(handle, label_of(request.prompt, handle.number))
        return handle

    # ---- the queue ----

    def _done(self, handle: JobHandle) -> None:
        self._show_result(handle.result())
        self.form.check()  # the balance and the estimate have moved

    def _show_result(self, result: Result) -> None:
        self.gallery.add(result)
        self._lasting(result)
        self._say_notices()

    def _lasting(self, result: Result | SweepResult) -> None:
        self._last = result
        bundle = result.bundle()
        for output in self._outputs:
            output.show(bundle)

    def _retry(self, handle: JobHandle, settled: bool) -> None:
        if settled:
            self._session().dismiss(handle.number)
        self._start(handle.request)

    # ---- the gallery ----

    def _use_as_source(self, picture: Picture) -> None:
        self.form.load(self.form.values | {"image": picture.address})

    def _vary(self, picture: Picture) -> None:
        self._start(picture.request, reuse=False)

    def _star(self, picture: Picture, on: bool) -> None:
        self._session().star(picture.number, picture.place, on)

    # ---- the explorer and the history ----

    def _swept(self, sweep: SweepResult) -> None:
        if sweep.done:
            self._lasting(sweep)

    def _load(self, record: Record) -> None:
        self.form.load(record.request.values)
        self.tabs.selected_index = 0

    def _rerun(self, record: Record) -> None:
        self.tabs.selected_index = 0
        self._start(record.request, reuse=False)

    def _show(self, record: Record) -> None:
        self.gallery.add(self._session().result(record.number))
        self.tabs.selected_index = 0
