"""The widget panel. The same session, the same history, no code.

A view: no HTTP, no SQL, no file is written here. Callbacks return at once; the session's workers do the work.
"""

import time
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import ipywidgets as widgets

from ...api.errors import KlingError
from ...api.event_log import suppress
from ...api.generation_request import GenerationRequest
from ...journal.job_record import Record
from ...results.handle import JobHandle
from ...results.result import Result, SavedImage
from ...results.sweep_result import SweepResult
from ...session.session import Session
from ...view.markup import AMBER, FONT, GREEN, SMALL, Html, join, pill, plural, tag
from ..display.progress_display import LastResult
from ..display.wait import in_notebook, running_shell
from .busy_kernel import BusyIndicator
from .explorer import Explorer
from .form import Code, Form
from .gallery import Gallery, persistent_output
from .history import History
from .widgets import Toolkit, column, row, say, text_html

Part = TypeVar("Part", Explorer, History, Code)
TABS = ("Create", "Explore", "History", "Code")
CREATE, EXPLORE, HISTORY, CODE = range(4)
ASLEEP = "The panel's controls need a running kernel: run this cell again. The last result stands below."
NO_NOTEBOOK = (
    "The panel needs a notebook. Open one in JupyterLab (`kling-notebook lab` does), and write %kling panel there."
)
# On ipykernel 7 some clicks take effect at once, by a thread of the kernel's own; on 7.4 which ones differs by the
# message that a control sent last. The panel cannot know, and a press that waits in silence looks like a dead button.
BUSY = "A cell is running; clicks here may take effect only when it ends."
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
        self.kit = kit = Toolkit(session)
        self.title, self.notice, self.busy = (kit.html() for _ in range(3))
        self.fault = kit.fault
        self.gallery = Gallery(
            kit,
            on_done=self._finished,
            start_again=self._start,
            use_as_source=self._use_as_source,
            echoed=kit.input_sync.echoed,
        )
        kit.input_sync.ask = self.gallery.grid.send
        self.form = Form(kit, self.generate, self._form_changed)
        self.tabs = self._laid_out()
        self.view = column(self.title, self.notice, self.fault, self.busy, self.tabs, gap="6px", max_width="1400px")
        self.view.add_class("kling-panel")
        kit.track(BusyIndicator(kit.when(self._cell_runs)))
        # A panel without references is collected, and closes its widgets then. Not at exit: the page stays.
        self._end = weakref.finalize(self, kit.end, self.view)
        self._end.atexit = False
        self._follow()

    def _laid_out(self) -> widgets.Tab:
        made = column(self.gallery.grid, flex="3 1 420px", width="auto")
        boxes = [column(padding="10px 4px 4px 4px").add_class("kling-page") for _ in TABS]
        boxes[CREATE].children = (row(self.form.view, made, gap="20px 32px", align_items="flex-start"),)
        tabs = widgets.Tab(boxes, titles=TABS, layout=widgets.Layout(width="100%", margin="0"))
        tabs.observe(self.kit.when(self._tab_changed), names="selected_index")
        return tabs

    # ---- built at the first visit ----

    @cached_property
    def explorer(self) -> Explorer:
        return self._place(EXPLORE, Explorer(self.kit, self.form, self._use_as_source, self._finished))

    @cached_property
    def history(self) -> History:
        return self._place(HISTORY, History(self.kit, self._use_as_source, self._of_history))

    @cached_property
    def code(self) -> Code:
        return self._place(CODE, Code(self.kit))

    def _place(self, tab: int, part: Part) -> Part:
        self.tabs.children[tab].children = (part.view,)
        return part

    # ---- shown ----

    def _ipython_display_(self) -> None:
        """The widgets, and beneath them a plain output: what must last when the widgets are gone."""
        if running_shell() and not in_notebook():  # a terminal has no widgets, and no output that is filled in later
            print(NO_NOTEBOOK)
            return
        if not self._end.alive:
            print("This panel was closed; kling.panel() opens another.")
            return
        from IPython.display import display

        self.view.panel = self  # what is on a page is not forgotten
        bundle = dict(self.view._repr_mimebundle_())
        # Front ends that show widgets ignore the rest; all others, and pages without a kernel, show these words.
        bundle |= {"text/plain": ASLEEP, "text/html": str(text_html(ASLEEP, "muted"))}
        display(bundle, raw=True)  # type: ignore[no-untyped-call]
        output = LastResult()
        self._outputs.append(output)
        if self._last is not None:
            output.show(persistent_output(self._last, LASTING))

    def _repr_html_(self) -> str:
        """For pages that do not ask `_ipython_display_` and take no such widgets: marimo."""
        return str(text_html(NO_NOTEBOOK, "muted"))

    def __repr__(self) -> str:
        done = sum(card.result is not None for card in self.gallery.cards)
        return f"<KlingPanel with {plural(done, 'result')}, {plural(len(self.gallery.running), 'job')} under way>"

    def close(self) -> None:
        """Stop looking at jobs and remove the widgets. Running jobs continue."""
        with self.kit.lock:
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
        # Another session has another folder, price and balance: what was estimated or read before is asked for again.
        if session is not self._known:
            self._known = session
            say(self.title, _title(session))
            say(self.notice, "")
            self.form.check(fresh=True)
        lines = [line for line in lines if not line.startswith("Sandbox:")]  # the title says so for as long as it is so
        if lines:
            say(self.notice, join(*(text_html(line, "warning") for line in lines)))

    def _cell_runs(self, runs: bool) -> None:
        """A cell runs for long; or it has ended, and may have connected to another backend or changed a setting."""
        say(self.busy, text_html(BUSY, "warning") if runs else "")
        if not runs:
            self._follow()

    def _tab_changed(self, _: object) -> None:
        self._follow()
        if self.tabs.selected_index == EXPLORE:
            self.explorer.check()
        elif self.tabs.selected_index == HISTORY:
            self.history.refresh()
        elif self.tabs.selected_index == CODE:
            self.code.show(self.form.check())

    # ---- buying ----

    def _form_changed(self, request: GenerationRequest | None) -> None:
        if "code" in self.__dict__:
            self.code.show(request)

    def generate(self) -> JobHandle | None:
        """What the Generate button does: start the form's request. None if it was refused; the form says why."""
        with self.kit.lock:
            self._follow()
            # Once more: a file may have changed, and another session may have spent what was left of a budget.
            request = self.form.check(fresh=True)
            return self._start("Generate", request, reuse=None) if request is not None else None

    def _start(self, button: str, request: GenerationRequest, *, reuse: bool | None = False) -> JobHandle | None:
        started = self.kit.start((button, request), self.form.message, [request], reuse=reuse)
        if started is None:
            return None
        session, call = started
        handle = call.handles[0]
        with suppress(Exception):  # it is bought: a fault of what shows it must not make anybody ask again
            self.gallery.watch(handle, session)
            say(self.form.message, text_html(time.strftime(f"Job {handle.number} is under way (%H:%M:%S)"), "muted"))
        return handle

    # ---- the gallery ----

    def _finished(self, result: Result | SweepResult | None) -> None:
        """Keep it in the notebook too; the balance and the estimate have moved."""
        if isinstance(result, Result) or (result is not None and result.done):
            self._last = result
            for output in self._outputs:
                output.show(persistent_output(result, LASTING))
        self.form.check(fresh=True)
        self._follow()

    def _use_as_source(self, image: SavedImage, session: Session) -> None:
        """By its address if that means this image here; in another folder by its path."""
        here = self._session().folder == session.folder
        self.form.well.load(image.address if here else str(image.path))
        self.form.check()
        self.tabs.selected_index = CREATE

    # ---- the history ----

    def _of_history(self, what: str, record: Record, session: Session) -> None:
        """What a button of a row does: the form and the gallery, on the first tab, show what comes of it."""
        self.tabs.selected_index = CREATE
        match what:
            case "load":
                self.form.load(record.request.values, extra=record.request.extra, sample=record.request.sample)
            case "show":
                self.gallery.add(session.result(record.number), session)
            case "fetch":
                for handle in session.resume(record.number).jobs:
                    self.gallery.watch(handle, session)
            case "again":
                self._start("Run again", record.request)


def _title(session: Session | None) -> Html:
    """What this is, and where the images come from."""
    parts = [tag("span", "Kling Image V3", style="font-weight: 600; font-size: 16px")]
    if session is not None:
        free = session.is_sandbox
        says = "painted on this machine, nothing is billed" if free else "images cost credits"
        parts += [pill(session.backend, AMBER if free else GREEN), tag("span", says, style=SMALL)]
    style = f"{FONT}; display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline; padding: 4px 0"
    return tag("div", *parts, style=style)
