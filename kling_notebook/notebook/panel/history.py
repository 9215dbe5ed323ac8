"""History: search, filter and page through the folder; load a row back into the form, run it again, collect it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as widgets

from ...api.errors import KlingError
from ...api.job import JobStatus
from ...jobs.resume import RESUMABLE
from ...journal.job_record import Record
from ...results.result import history_row
from ...session.session import Session
from ...view.markup import MUTED, bounded, frame, join, pill, plural, seconds_text, tag
from ...view.pixels import smaller
from ...view.table import HistoryRow, credits_text, status_html
from ...view.tiles import Tile, image_html
from .widgets import LINE, Toolkit, column, html, labeled, options_of, row, say, text_html

PAGE = 8
SIDE = 64  # of a thumbnail, in CSS pixels


@dataclass(frozen=True)
class RowCallbacks:
    """What the buttons of a row do, given the record and the session it was read from."""

    load: Callable[[Record], object]
    rerun: Callable[[Record], object]
    show: Callable[[Record, Session], object]
    collect: Callable[[Record, Session], object]


class History:
    """A page of the folder's jobs, newest first."""

    def __init__(self, kit: Toolkit, session: Callable[[], Session], actions: RowCallbacks) -> None:
        self._kit = kit
        self._session = session
        self._actions = actions
        self._page = 0
        side: dict[str, Any] = {"above": False, "layout": {"width": "auto", "flex": "1 1 220px"}}
        self.search = labeled(
            widgets.Text, "Search", placeholder="words of a prompt or a note", continuous_update=False, **side
        )
        words = [("any", ""), *((text.replace("_", " "), value) for text, value in options_of([*JobStatus]))]
        self.status = labeled(
            widgets.Dropdown, "Status", above=False, options=words, layout={"width": "auto", "flex": "0 1 190px"}
        )
        self.starred = widgets.Checkbox(
            description="Starred only", indent=False, layout=widgets.Layout(width="auto", margin="0")
        )
        self.newer = kit.button("Newer", self._turn, -1)
        self.older = kit.button("Older", self._turn, 1)
        self.again = kit.button("Refresh", self.refresh)
        self.message = html(flex="1 1 auto")
        self.list = column(gap="0")
        for control in (self.search, self.status, self.starred):
            kit.watch(control, self._filtered)
        bar = row(self.search, self.status, self.starred, self.again, gap="6px 12px")
        self.view = column(bar, self.list, row(self.message, self.newer, self.older), gap="10px")

    def _filtered(self) -> None:
        self._page = 0
        self.refresh()

    def _turn(self, by: int) -> None:
        self._page = max(0, self._page + by)
        self.refresh()

    def refresh(self) -> None:
        """Read the page again."""
        where: dict[str, Any] = {
            "search": self.search.value.strip() or None,
            "status": self.status.value or None,
            "starred": self.starred.value,
        }
        try:
            session = self._session()
            total = session.count(**where)
            records = session.rows(**where, limit=PAGE, offset=self._page * PAGE)
        except KlingError as error:
            say(self.message, text_html(str(error), "reason"))
            return
        first = self._page * PAGE
        found = f"{first + 1} to {first + len(records)} of {plural(total, 'job')}" if records else "No job matches."
        self.newer.disabled = self._page == 0
        self.older.disabled = first + len(records) >= total
        before = self.list.children
        self.list.children = tuple(self._row(session, record) for record in records)
        self._kit.close(*before)
        say(self.message, text_html(found, "muted"))

    def _row(self, session: Session, record: Record) -> widgets.HBox:
        n = record.number
        button = self._kit.button
        cost = session.priced([record.request]).money
        buttons = [button("Load", self._load, record, tooltip=f"Fill the form with job {n}", look="small")]
        if record.images:
            buttons.append(button("Show", self._show, record, session, tooltip=f"Job {n} in the gallery", look="small"))
        if record.status in RESUMABLE and record.backend == session.backend:
            tooltip = f"Wait for job {n} again, at no cost"
            buttons.append(button("Fetch", self._collect, record, session, tooltip=tooltip, look="small"))
        rerun = button("Run again", self._rerun, record, tooltip=f"Make job {n} once more: {cost}", look="small")
        text = html(frame(_row_html(history_row(record, session.folder))), flex="1 1 320px")
        return row(
            text, row(*buttons, rerun, gap="4px", width="auto", flex="0 0 auto"), border_top=LINE, padding="8px 0"
        )

    def _load(self, record: Record) -> None:
        self._actions.load(record)

    def _rerun(self, record: Record) -> None:
        self._actions.rerun(record)

    def _show(self, record: Record, session: Session) -> None:
        self._actions.show(record, session)

    def _collect(self, record: Record, session: Session) -> None:
        self._actions.collect(record, session)


def _row_html(entry: HistoryRow) -> str:
    """Small images, then the number and prompt, then the facts in one muted line."""
    stars = "".join(f" \u2605{address}" for address in entry.starred)
    cost = credits_text(entry.credits) if entry.credits is not None and entry.backend != "sandbox" else ""
    seconds = seconds_text(entry.seconds) if entry.seconds is not None else ""
    facts = [entry.created, entry.parameters, entry.backend, seconds, cost]
    lines = [
        tag(
            "div",
            tag("strong", f"{entry.number}{stars} "),
            tag("span", bounded(entry.prompt, 160), dir="auto"),
            style="overflow-wrap: anywhere",
        ),
        tag(
            "div",
            status_html(entry.status),
            " \u00b7 ",
            " \u00b7 ".join(fact for fact in facts if fact),
            style=f"{MUTED}; font-size: 12px",
        ),
    ]
    lines += (
        [tag("div", f"\u270e {bounded(entry.note, 200)}", dir="auto", style="font-size: 12px")] if entry.note else []
    )
    lines += [text_html(bounded(entry.error, 240), "muted")] if entry.error else []
    images = tag("div", *_images(entry.tiles), style=f"display: flex; gap: 4px; flex: 0 0 {SIDE}px")
    words = tag("div", join(*lines), style="flex: 1 1 auto; min-width: 0")
    return tag("div", images, words, style="display: flex; gap: 12px; align-items: flex-start")


def _images(tiles: tuple[Tile, ...]) -> list[str]:
    """The first image; how many more there are."""
    if not tiles:
        return []
    first = tiles[0]
    if not first.shown:
        return [pill(first.state, "rgb(108, 114, 122)")]
    style = f"max-width: {SIDE}px; max-height: {SIDE}px; margin: 0; border-radius: 4px"
    # Without its link, which would lead from the page and not from the notebook: "Show" has the one that works.
    made: list[str] = [image_html(replace(first, href=None), style, jpeg=smaller(first.jpeg, SIDE * 2))]
    if len(tiles) > 1:
        more = f"+{len(tiles) - 1}"
        made.append(tag("span", more, style=f"{MUTED}; font-size: 11px; align-self: flex-end; margin-left: -2px"))
    return made
