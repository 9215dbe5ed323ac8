"""The widget panel. The same session, the same history, no code.

A view: no HTTP, no SQL, no file is written here. Callbacks return at once; the session's workers do the work.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ...api.errors import KlingError
from ...api.generation_request import GenerationRequest
from ...journal.job_record import Record
from ...results.handle import JobHandle
from ...results.result import Result, SavedImage
from ...results.sweep_result import SweepResult
from ...session.session import Session
from ...view.markup import AMBER, FONT, GREEN, MUTED, Html, join, pill, plural, tag
from ..display.progress_display import LastResult
from ..display.wait import in_notebook, running_shell
from .busy_indicator import BusyIndicator
from .code import Code
from .explorer import Explorer
from .form import Form
from .gallery import Callbacks, Gallery, persistent_output
from .history import History, RowCallbacks
from .input_sync import InputSync
from .queue import Queue, Row
from .widgets import PRESSED_TWICE, Toolkit, column, html, row, say, text_html

TABS = ("Create", "Explore", "History", "Code")
CREATE, EXPLORE, HISTORY, CODE = range(4)
ASLEEP = "The panel's controls need a running kernel: run this cell again. The last result stands below."
NO_NOTEBOOK = (
    "The panel needs a notebook. Open one in JupyterLab (`kling-notebook lab` does), and write %kling panel there."
)
CLOSED = "This panel was closed; kling.panel() opens another."
BUSY = "A cell is running. What is pressed here is answered when it ends."
LASTING = "The last result of the panel, kept in the notebook"


class KlingPanel:
    """Form, queue, gallery, explorer, history and code over one session. Shown by a notebook as such.

    Args:
        session: gives the current session at each use, so that a panel follows a reconnect.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session
        self._outputs: list[LastResult] = []
        self._last: Result | SweepResult | None = None
        self._known: Session | None = None
        self.kit = kit = Toolkit()
        kit.on_press, kit.on_fault = _weak(self, KlingPanel._forget_fault), _weak(self, KlingPanel._fault)
        self.title, self.notice, self.fault, self.busy = (html(width="100%") for _ in range(4))
        self.code = Code()
        self._arrival = InputSync(kit)
        self.queue = Queue(kit, self._done, self._retry)
        self.gallery = Gallery(kit, Callbacks(self._use_as_source, self._vary, self._load_image))
        self.form = Form(kit, session, self._arrival, self.generate, self._form_changed)
        self.explorer = Explorer(kit, session, self._arrival, self.form, self._swept)
        self.history = History(kit, session, RowCallbacks(self._load, self._rerun, self._show, self._collect))
        self.tabs = self._laid_out()
        self.view = column(self.title, self.notice, self.fault, self.busy, self.tabs, gap="6px", max_width="1400px")
        self._watch = BusyIndicator(self._cell_runs_long, self._cell_ended)
        self._end = weakref.finalize(self, _end, kit, self.view, self._watch)
        self._end.atexit = False
        self._follow()

    def _laid_out(self) -> widgets.Tab:
        made = column(self.queue.view, self.gallery.view, flex="3 1 420px", width="auto", gap="14px")
        create = row(self.form.view, made, gap="20px 32px", align_items="flex-start")
        pages = [create, self.explorer.view, self.history.view, self.code.view]
        boxes = [column(page, padding="10px 4px 4px 4px") for page in pages]
        tabs = widgets.Tab(boxes, titles=TABS, layout=widgets.Layout(width="100%", margin="0"))
        tabs.observe(self.kit.when(self._tab_changed), names="selected_index")
        return tabs

    # ---- shown ----

    def _ipython_display_(self) -> None:
        """The widgets, and beneath them a plain output: what must last when the widgets are gone."""
        if running_shell() and not in_notebook():  # a terminal has no widgets, and no output that is filled in later
            print(NO_NOTEBOOK)
            return
        if not self._end.alive:
            print(CLOSED)
            return
        from IPython.display import display

        self.view.panel = self  # what is on a page is not forgotten
        bundle = dict(self.view._repr_mimebundle_())
        bundle |= {"text/plain": ASLEEP, "text/html": str(text_html(ASLEEP, "muted"))}
        display(bundle, raw=True)  # type: ignore[no-untyped-call]
        output = LastResult()
        self._outputs.append(output)
        if self._last is not None:
            output.show(_lasting(self._last))

    def __repr__(self) -> str:
        results, jobs = plural(len(self.gallery.cards), "result"), plural(len(self.queue.running), "job")
        return f"<KlingPanel with {results}, {jobs} under way>"

    def close(self) -> None:
        """Stop looking at jobs and remove the widgets. Running jobs continue."""
        with self.kit.lock:
            self.queue.close()
            self.explorer.close()
            self._arrival.close()
            self.view.panel = None
            self._end()

    # ---- what it says on top ----

    def _follow(self) -> None:
        """Say which session this is, once it is another; and what the session has to say once."""
        try:
            session = self._session()
            lines = session.pop_notices()
        except KlingError as error:
            say(self.title, _title(None))
            say(self.notice, text_html(str(error), "reason"))
            return
        if session is not self._known:
            self._known = session
            say(self.title, _title(session))
            say(self.notice, "")
            self.form.check(fresh=True)
        lines = [line for line in lines if not line.startswith("Sandbox:")]  # the title says so for as long as it is so
        if lines:
            say(self.notice, join(*(text_html(line, "warning") for line in lines)))

    def _fault(self, error: Exception) -> None:
        """A callback raised: a KlingError as its message, anything else as an internal error to report."""
        text = str(error) if isinstance(error, KlingError) else f"Internal error of kling_notebook: {error!r}"
        say(self.fault, text_html(text, "reason"))

    def _forget_fault(self) -> None:
        """Another button is pressed: the last one's message is out of date."""
        say(self.fault, "")

    def _cell_runs_long(self, runs: bool) -> None:
        say(self.busy, text_html(BUSY, "warning") if runs and not self.kit.answered_meanwhile else "")

    def _cell_ended(self) -> None:
        """A cell may have connected to another backend, or changed a setting."""
        with self.kit.lock:
            self._follow()

    def _tab_changed(self) -> None:
        self._follow()
        if self.tabs.selected_index == EXPLORE:
            self.explorer.check()
        elif self.tabs.selected_index == HISTORY:
            self.history.refresh()
        elif self.tabs.selected_index == CODE:
            self.form.check()

    # ---- buying ----

    def _form_changed(self, request: GenerationRequest | None) -> None:
        if self.tabs_at(CODE):
            self.code.show(request)

    def tabs_at(self, place: int) -> bool:
        """Whether this tab is on top."""
        return getattr(self, "tabs", None) is not None and self.tabs.selected_index == place

    def generate(self) -> JobHandle | None:
        """What the Generate button does: start the form's request. None where it was refused; the form says why."""
        with self.kit.lock:
            self._follow()
            request = self.form.check(fresh=True)
            if request is None:
                return None
            handle = self._start("Generate", request)
            if handle is not None:
                self.form.tell(f"Job {handle.number} is under way")
            return handle

    def _start(self, button: str, request: GenerationRequest, *, reuse: bool | None = None) -> JobHandle | None:
        if self.kit.asked_just_now((button, request)):
            self.form.tell(PRESSED_TWICE)
            return None
        try:
            session = self._session()
            batch = session.start([request], source="panel", reuse=reuse)
        except KlingError as error:
            self.form.refuse(error)
            return None
        self.kit.asked((button, request))
        handle = batch.handles[0]
        self.queue.add(handle, session)
        return handle

    # ---- the queue ----

    def _done(self, handle: JobHandle, session: Session) -> None:
        result = handle.result()
        self.gallery.add(result, session)
        self._lasting(result)
        self.form.check(fresh=True)  # the balance and the estimate have moved
        self._follow()

    def _lasting(self, result: Result | SweepResult) -> None:
        self._last = result
        bundle = _lasting(result)
        for output in self._outputs:
            output.show(bundle)

    def _retry(self, row: Row) -> None:
        if self._start("Try again", row.handle.request, reuse=False) is not None:
            self.queue.clear(row)

    # ---- the gallery ----

    def _use_as_source(self, image: SavedImage, session: Session) -> None:
        """By its address where that means this image; in another folder by its path."""
        here = self._session().folder == session.folder
        self.form.use_as_source(image.address if here else str(image.path))
        self.tabs.selected_index = CREATE

    def _vary(self, image: SavedImage) -> None:
        handle = self._start("Vary", image.request, reuse=False)
        if handle is not None:
            self.form.tell(f"Job {handle.number} varies {image.address}")

    def _load_image(self, image: SavedImage) -> None:
        self.form.load_request(image.request)

    # ---- the explorer and the history ----

    def _swept(self, sweep: SweepResult) -> None:
        if sweep.done:
            self._lasting(sweep)
        self.form.check(fresh=True)
        self._follow()

    def _load(self, record: Record) -> None:
        self.form.load_request(record.request)
        self.tabs.selected_index = CREATE

    def _rerun(self, record: Record) -> None:
        self.tabs.selected_index = CREATE
        self._start("Run again", record.request, reuse=False)

    def _show(self, record: Record, session: Session) -> None:
        self.gallery.add(session.result(record.number), session)
        self.tabs.selected_index = CREATE

    def _collect(self, record: Record, session: Session) -> None:
        for handle in session.resume(record.number).jobs:
            self.queue.add(handle, session)
        self.tabs.selected_index = CREATE


def _lasting(result: Result | SweepResult) -> dict[str, Any]:
    return persistent_output(result, LASTING) if isinstance(result, Result) else result.bundle(title=LASTING)


def _weak(owner: Any, method: Callable[..., object]) -> Callable[..., object]:
    """A method as a toolkit may hold it: the owner's end must not wait for it."""
    ref = weakref.ref(owner)

    def told(*args: Any) -> None:
        alive = ref()
        if alive is not None:
            method(alive, *args)

    return told


def _end(kit: Toolkit, view: widgets.Widget, watch: BusyIndicator) -> None:
    watch.stop()
    kit.end(view)


def _title(session: Session | None) -> Html:
    """What this is, and where the images come from."""
    name = tag("span", "Kling Image V3", style="font-weight: 600; font-size: 16px")
    where: list[str] = []
    if session is not None and session.is_sandbox:
        where = [pill("sandbox", AMBER), tag("span", "painted on this machine, nothing is billed", style=_SMALL)]
    elif session is not None:
        where = [pill(session.backend, GREEN), tag("span", "images cost credits", style=_SMALL)]
    style = f"{FONT}; display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline; padding: 4px 0"
    return tag("div", name, *where, style=style)


_SMALL = f"{MUTED}; font-size: 12px"
