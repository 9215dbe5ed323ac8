"""History: search, filter and page through the folder; load a row back into the form, or run it again."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from ...api.errors import KlingError
from ...api.jobs import JobStatus
from ...session.records import Record
from ...session.results import history_row
from ...session.session import Session
from ...view.table import history_bundle
from .form import reason_html

PAGE = 10


class History:
    """A page of the folder's jobs, newest first.

    Args:
        session: gives the current session. load: puts a record's request into the form. rerun: buys it again.
        show: puts a record's pictures into the gallery.
    """

    def __init__(
        self,
        session: Callable[[], Session],
        load: Callable[[Record], object],
        rerun: Callable[[Record], object],
        show: Callable[[Record], object],
    ) -> None:
        self._session = session
        self._acts: dict[str, Callable[[Record], object]] = {"Load": load, "Run again": rerun, "Show": show}
        self._page = 0
        wide = widgets.Layout(width="auto", flex="1 1 160px")
        self.search = widgets.Text(
            placeholder="search prompts and notes", description="Search", continuous_update=False, layout=wide
        )
        self.status = widgets.Dropdown(
            options=[("any status", None), *((s.value.replace("_", " "), s.value) for s in JobStatus)],
            layout=widgets.Layout(width="150px"),
        )
        self.starred = widgets.Checkbox(description="starred only", indent=False, layout=widgets.Layout(width="120px"))
        self.back = widgets.Button(description="Newer", layout=widgets.Layout(width="auto"))
        self.on = widgets.Button(description="Older", layout=widgets.Layout(width="auto"))
        self.again = widgets.Button(description="Refresh", layout=widgets.Layout(width="auto"))
        self.said = widgets.HTML()
        self.rows = widgets.VBox([])
        for control in (self.search, self.status, self.starred):
            control.observe(self._filtered, names="value")
        self.back.on_click(lambda _: self._turn(-1))
        self.on.on_click(lambda _: self._turn(1))
        self.again.on_click(lambda _: self.refresh())
        bar = widgets.HBox(
            [self.search, self.status, self.starred, self.back, self.on, self.again],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center", width="100%"),
        )
        self.view = widgets.VBox([bar, self.said, self.rows])

    def _filtered(self, _: Any) -> None:
        self._page = 0
        self.refresh()

    def _turn(self, by: int) -> None:
        self._page = max(0, self._page + by)
        self.refresh()

    def refresh(self) -> None:
        """Read the page again."""
        where: dict[str, Any] = {
            "search": self.search.value.strip() or None,
            "status": self.status.value,
            "starred": self.starred.value,
        }
        try:
            session = self._session()
            total = session.count(**where)
            records = session.rows(**where, limit=PAGE, offset=self._page * PAGE)
        except KlingError as error:
            self.said.value = reason_html(str(error))
            return
        first = self._page * PAGE
        self.said.value = (
            f"<span>{escape(f'{first + 1 if records else 0} to {first + len(records)} of {total}')}</span>"
        )
        self.back.disabled = self._page == 0
        self.on.disabled = first + len(records) >= total
        old = self.rows.children
        self.rows.children = tuple(self._row(session, record) for record in records)
        for row in old:
            row.close()

    def _row(self, session: Session, record: Record) -> widgets.VBox:
        table = history_bundle([history_row(record, session.folder)], total=1)["text/html"]
        buttons = []
        for name, act in self._acts.items():
            if name == "Show" and not record.images:
                continue
            button = widgets.Button(
                description=name, tooltip=f"{name} job {record.number}", layout=widgets.Layout(width="auto")
            )
            button.on_click(lambda _, act=act: self._do(act, record))
            buttons.append(button)
        return widgets.VBox([widgets.HTML(table), widgets.HBox(buttons)], layout=widgets.Layout(width="100%"))

    def _do(self, act: Callable[[Record], object], record: Record) -> None:
        try:
            act(record)
        except KlingError as error:
            self.said.value = reason_html(str(error))
