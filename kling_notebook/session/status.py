"""What a session can say of itself: its status, and the check that spends nothing."""

import importlib.metadata
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..api import reply_report
from ..api.client import ServiceClient
from ..api.errors import KlingError
from ..api.job import JobStatus
from ..api.quantities import count
from ..image_files.regular_file import write_whole
from ..jobs.dispatcher import Dispatcher
from ..jobs.workspace import Workspace
from ..journal.job_record import Record


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """How things stand. Credits are those of hosted backends: play money is never in a sum.

    Attributes:
        running: this session's jobs under way. elsewhere: those another living kernel works on.
        paused: paused or left behind, resumable. unconfirmed: may have been submitted.
        hints: for an unconfirmed job's number, what the balance says of it.
        since: from when spent_session counts, epoch seconds.
        spent_session, spent_folder: credits. budget, balance: None where not set, not known.
    """

    backend: str
    folder: str
    running: tuple[Record, ...]
    elsewhere: tuple[Record, ...]
    paused: tuple[Record, ...]
    unconfirmed: tuple[Record, ...]
    hints: dict[int, str]
    spent_session: float
    spent_folder: float
    since: float
    budget: float | None
    balance: float | None

    def rows(self) -> list[tuple[str, str]]:
        """(name, text) lines for a small table."""
        rows = [
            ("backend", self.backend),
            ("folder", self.folder),
            ("running", _numbers(self.running) or "nothing"),
            *([("in another kernel", _numbers(self.elsewhere))] if self.elsewhere else []),
            *([("paused", f"{_numbers(self.paused)}: %kling resume fetches them")] if self.paused else []),
            *(
                (
                    f"job {record.number} unconfirmed",
                    f"may have been submitted and charged (about {record.estimate:g}). "
                    f"{self.hints.get(record.number, '')}"
                    f"%kling resume {record.number} JOB_ID, or %kling dismiss {record.number}",
                )
                for record in self.unconfirmed
            ),
        ]
        if self.backend == "sandbox":
            return [*rows, ("credits", "play money: nothing is billed")]
        budget = "no budget" if self.budget is None else f"budget {self.budget:g}"
        spent = (
            f"{self.spent_session:g} since {datetime.fromtimestamp(self.since):%Y-%m-%d %H:%M} "
            f"({budget}; jobs that run or are unconfirmed count), {self.spent_folder:g} in the folder in all"
        )
        left = "not known yet" if self.balance is None else f"{self.balance:g} credits (last reported by the service)"
        return [*rows, ("spent", spent), ("left", left)]


def _numbers(records: tuple[Record, ...]) -> str:
    return ", ".join(f"{record.number} ({record.status.value})" for record in records)


def status_of(dispatcher: Dispatcher, budget: float | None) -> SessionStatus:
    """Gather the status from the journal. Sends nothing."""
    workspace = dispatcher.workspace
    found: dict[str, list[Record]] = {"running": [], "elsewhere": [], "paused": [], "unconfirmed": []}
    for record in workspace.journal.open_records():
        if record.backend != workspace.backend:
            continue
        left = "elsewhere" if workspace.runs_elsewhere(record) else "paused"
        stopped = "unconfirmed" if record.status is JobStatus.UNCONFIRMED else left
        found["running" if record.number in dispatcher.jobs else stopped].append(record)
    records = found["unconfirmed"]
    return SessionStatus(
        backend=workspace.backend,
        folder=str(workspace.folder),
        **{name: tuple(records) for name, records in found.items()},
        hints={one.number: hint for one in records if (hint := balance_hint(workspace, one, records))},
        spent_session=0.0 if workspace.is_sandbox else dispatcher.ledger.spent,  # what its budget goes by
        spent_folder=workspace.journal.spent(),
        since=dispatcher.ledger.since,
        budget=budget,
        balance=workspace.journal.last_balance(workspace.backend, key=workspace.key),
    )


def balance_hint(workspace: Workspace, record: Record, records: Sequence[Record]) -> str:
    """What the balance on the next accepted job says of an unconfirmed one: a hint, never acted on.

    One fall cannot prove each of several jobs between the same two balances: it is compared with all of them.
    """
    if (around := workspace.journal.balances_around(workspace.backend, record.number)) is None:
        return ""
    between, unexplained = around
    together = [record for record in records if record.number in between]
    fell = f"Hint: the balance fell by {unexplained:g} more than known jobs explain; "
    # A hundredth less than the estimate still counts as charged: prices may be fractional, and sums of floats inexact.
    if unexplained < min(record.estimate for record in together) * 0.99:
        who = "it was" if len(together) == 1 else f"{_listed(together)} were"
        return f"Hint: the balance fell by no more than known jobs explain; {who} probably not charged. "
    if len(together) == 1:
        return f"{fell}it was probably charged. "
    return f"{fell}{_listed(together)} together would be about {sum(one.estimate for one in together):g}. "


def _listed(records: Sequence[Record]) -> str:
    *most, last = [str(record.number) for record in records]
    return f"jobs {', '.join(most)} and {last}"


def check(workspace: Workspace, client: ServiceClient) -> list[tuple[str, str, str]]:
    """Rows of (what, ok | failed | unknown | warning, text). Spends nothing and never POSTs."""
    rows = [
        _checked("folder", lambda: _folder(workspace)),
        _checked("journal", lambda: f"sound, {count(workspace.journal.check(), 'job')}"),
        *pillow_row(importlib.metadata.version("Pillow")),
    ]
    try:
        answer = client.probe()
    except KlingError as error:
        return [
            *rows,
            ("host", "failed", f"{client.base_url} cannot be reached: {error}"),
            *((what, "unknown", "the host did not answer") for what in ("key", "schema")),
        ]
    words = {
        "accepted": ("ok", "accepted"),
        "refused": ("failed", "not accepted: check PIXELDOJO_API_KEY"),
        "unknown": ("unknown", "the answer says nothing of the key: is this the right base URL?"),
    }
    # Each fact has a row of its own: host, key and path can each be what is wrong.
    rows += [
        ("host", "ok" if answer != "unknown" else "unknown", f"{client.base_url} answers"),
        ("key", *words[answer]),
    ]
    schema = client.schema()
    if schema is None:
        rows.append(
            ("schema", "unknown", "none published: num_outputs is used for the count, image to image is refused")
        )
    else:
        rows += [
            ("number sent as", "ok", schema.count_key or "num_outputs (the schema names none)"),
            (
                "image sent as",
                *(("ok", schema.image_key) if schema.image_key else ("unknown", "none: no image to image")),
            ),
        ]
    return [*rows, ("submitting", "unknown", "never tried by this check: it would cost a credit")]


def write_report(folder: Path) -> Path:
    """Write what a bug report needs to know of the service's replies to ``kling-report.json``; the file's path."""
    path = folder / "kling-report.json"
    write_whole(path, reply_report.as_json().encode("utf-8"))  # not through a link that a stranger's folder has there
    return path.absolute()


def pillow_row(version: str) -> list[tuple[str, str, str]]:
    """A row if this Pillow decodes JPEGs with a known overflow, and no row otherwise."""
    if int(version.partition(".")[0]) >= 13:
        return []
    return [("Pillow", "warning", f"{version} has an overflow in its JPEG decoder: pip install -U 'Pillow>=13'")]


def _checked(what: str, look: Callable[[], str]) -> tuple[str, str, str]:
    try:
        return what, "ok", look()
    except (KlingError, OSError) as error:
        return what, "failed", str(error)


def _folder(workspace: Workspace) -> str:
    probe = workspace.folder / f".{workspace.id}.check"
    probe.write_bytes(os.urandom(16))
    probe.unlink()
    return f"{workspace.folder} can be written"
