"""History: search, filter and page through the folder; load a row back into the form, run it again, fetch it."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ...api.errors import KlingError
from ...api.job import JobStatus
from ...jobs.resume import RESUMABLE
from ...journal.job_record import Record
from ...results.result import Result, history_row
from ...session.session import Session
from ...view.markup import bounded, plural
from ...view.table import cost_text
from .image_grid import Cell, Content, ImageGrid, group
from .widgets import Toolkit, column, labeled, row, say, text_html

PAGE = 8
BUTTONS = ("load", "show", "fetch", "again")
SIDE, MOST = 144, 4  # pixels of a thumbnail; how many of a job's images are shown here


class History:
    """A page of the folder's jobs, newest first.

    Args:
        act: does what a button of a row says, given its name, the record and the session it was read from.
    """

    def __init__(
        self,
        kit: Toolkit,
        use_as_source: Callable[..., object],
        act: Callable[[str, Record, Session], object],
    ) -> None:
        self._kit = kit
        self._act = act
        self._ends: list[int] = []  # the last number of each page before this one
        self._shown: dict[str, tuple[Record, Session]] = {}
        self.search = labeled(
            widgets.Text,
            "Search",
            above=False,
            placeholder="words of a prompt or a note, then Enter",
            continuous_update=False,
            layout={"width": "auto", "flex": "1 1 220px"},
        )
        self.status = labeled(
            widgets.Dropdown,
            "Status",
            above=False,
            options=[("any", ""), *((status.value.replace("_", " "), status) for status in JobStatus)],
            layout={"width": "auto", "flex": "0 1 190px"},
        )
        self.starred = widgets.Checkbox(
            description="Starred only", indent=False, layout={"width": "auto", "margin": "0"}
        )
        self.newer = kit.button("Newer", self._turn, -1)
        self.older = kit.button("Older", self._turn, 1)
        self.again = kit.button("Refresh", self.refresh)
        self.message = kit.html(look="kling-wide")
        self.grid = kit.track(ImageGrid(kit, "history", "", use_as_source, dict.fromkeys(BUTTONS, self._pressed)))
        for control in (self.search, self.status, self.starred):
            kit.watch(control, self._filtered)
        self.view = column(
            row(self.search, self.status, self.starred, self.again, gap="6px 12px"),
            self.grid,
            row(self.message, self.newer, self.older),
            gap="10px",
        )

    def _filtered(self) -> None:
        self._ends = []
        self.refresh()

    def _turn(self, by: int) -> None:
        # A page is asked for by where the one before it ends: the oldest is found as quickly as the newest.
        numbers = [record.number for record, _ in self._shown.values()]
        self._ends = [*self._ends, min(numbers)] if by > 0 and numbers else self._ends[:-1]
        self.refresh()

    def refresh(self) -> None:
        """Read the page again."""
        filters: dict[str, Any] = {
            "search": self.search.value.strip() or None,
            "status": self.status.value or None,
            "starred": self.starred.value,
        }
        try:
            session = self._kit.session()
            total = session.count(**filters)
            records = session.rows(**filters, limit=PAGE, before=self._ends[-1] if self._ends else None)
        except KlingError as error:
            say(self.message, text_html(str(error), "reason"))
            return
        first = len(self._ends) * PAGE
        found = f"{first + 1} to {first + len(records)} of {plural(total, 'job')}" if records else "No job matches."
        self.newer.disabled = not self._ends
        self.older.disabled = first + len(records) >= total
        # With the session they came from: a button pressed after a reconnect is still about this row.
        self._shown = {f"{session.id}.{record.number}": (record, session) for record in records}
        # Only of rows with images: a result of none would be a row of nothing. Before the rows, so that no page asks.
        results = {key: Result(record, session.folder) for key, (record, _) in self._shown.items() if record.images}
        self.grid.put({key: Cell(session, result, None, SIDE, MOST, brief=True) for key, result in results.items()})
        self.grid.show([_group(key, *shown) for key, shown in self._shown.items()])
        say(self.message, text_html(found, "muted"))

    def _pressed(self, content: Content) -> None:
        if shown := self._shown.get(content["group"]):
            self._act(content["do"], *shown)


def _group(key: str, record: Record, session: Session) -> dict[str, Any]:
    """A row: its number and prompt, the facts, and the buttons; the price stands on the one that charges."""
    entry = history_row(record, session.folder, thumbnails=False)
    fetchable = record.status in RESUMABLE and record.backend == session.backend
    again = f"Run again \u00b7 {session.estimate([record.request]).money}"
    offered = (
        (True, "Use these settings", f"Fill the form in Create with prompt and settings of job {entry.number}"),
        (bool(record.images), "Show images", f"Show the images of job {entry.number} in Create"),
        (fetchable, "Fetch", f"Wait for job {entry.number} again, at no cost"),
        (True, again, f"Make job {entry.number} once more"),
    )
    more = f"{MOST} of {len(record.images)} images shown" if len(record.images) > MOST else ""
    parts = [entry.status, entry.created, entry.parameters, entry.backend, cost_text(entry), more]
    facts = [
        " \u00b7 ".join(filter(None, parts)),
        f"\u270e {bounded(entry.note, 200)}" if entry.note else "",
        bounded(entry.error, 240),
    ]
    return group(
        key,
        str(entry.number),
        bounded(entry.prompt, 160),
        facts=[*filter(None, facts)],
        buttons=[(what, *words) for what, (holds, *words) in zip(BUTTONS, offered, strict=True) if holds],
        cells=[[key]] if record.images else [],
    )
