"""The subcommands of ``%kling``: each takes its words and options, asks the session, and shows what it says."""

from __future__ import annotations

import inspect
import math
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ...api.address import address_of, split_address
from ...api.errors import InputError
from ...api.event_log import log_lines
from ...api.generation_request import GenerationRequest
from ...api.job import JobStatus
from ...api.parameters import PARAMETERS
from ...jobs.spending import Estimate
from ...results import sweep_axes
from ...results.result import history_row
from ...view.markup import plural
from ...view.progress import message_bundle
from ...view.table import credits_text, facts_bundle, history_bundle
from .. import kernel_session
from ..display.run_in_cell import collect
from .login import login
from .options_table import SUBCOMMANDS, help_text
from .parsing import closest, number, parse_options
from .tokenizer import split, unwrap

PAGE = 20
MOST_PLANNED = 50
"""Rows of a history page unless given otherwise, and of a dry run at most."""
MOST_WHOLE = 1_000_000_000


def run(line: str, shell: Any) -> Any:
    """Do what a ``%kling`` line asks for; its value is the cell's.

    Raises:
        InputError: no such subcommand, or words that do not fit it.
    """
    name, _, rest = line.strip().partition(" ")
    if name in ("", "-h", "--help", "?"):
        name = "help"
    row = SUBCOMMANDS.get(name.lower())
    if row is None:
        raise InputError(_unknown(name))
    if row.name == "note":  # the text is taken as it stands, quotes and dashes included
        _show(shell, _note(rest.split(None, 1)))
        return None
    given, tokens = parse_options(split(rest), row.options, rest, f"%kling {row.name}")
    function = _SUBCOMMANDS[row.name]
    try:
        call = inspect.signature(function).bind(*(token.text for token in tokens), **given)
    except TypeError:
        raise InputError(f"Write: %kling {row.name} {row.usage}".rstrip() + ".") from None
    shown = function(*call.args, **call.kwargs)
    if isinstance(shown, dict):  # something to show, and not a value
        _show(shell, shown)
        return None
    return shown


def _unknown(name: str) -> str:
    if name.startswith("-"):
        return f"{name} is not a subcommand. Options for images go on the first line of a cell, after %%kling."
    close = closest(name.lower(), list(SUBCOMMANDS))
    hint = close or " To make images, write %%kling on the first line of a cell and the prompt below it."
    return f"There is no subcommand {name!r}.{hint}"


def _show(shell: Any, bundle: dict[str, Any]) -> None:
    shell.display_pub.publish(bundle)


# ---- past jobs ----


def _show_job(where: str, *, code: bool = False) -> Any:
    job, place = split_address(where)
    result = kernel_session.current_session().result(job)
    if code:
        print(result.code())
        return None
    if place is None:
        return result
    if place >= len(result):
        images = plural(len(result), "image")
        raise InputError(f"Job {result.number} has {images}; there is no {address_of(result.number, place)}.")
    return result[place]


def _resume(job: str | None = None, job_id: str | None = None) -> Any:
    if not collect(kernel_session.current_session(), job, job_id):
        return message_bundle("Nothing is left to fetch.")
    return None


def _dismiss(job: str) -> Any:
    record = kernel_session.current_session().dismiss(job)
    return message_bundle(f"Job {record.number} is dismissed; it is not asked about again.")


def _star(where: str, *, off: bool = False) -> Any:
    job, place = split_address(where)
    if place is None:
        raise InputError(f"Say which image of job {job}: %kling star {job}a.")
    kernel_session.current_session().star(job, place, not off)
    return message_bundle(f"{'No longer starred' if off else 'Starred'}: {where.strip().lower()}.")


def _note(words: Sequence[str]) -> dict[str, Any]:
    if len(words) < 2:
        raise InputError('Write: %kling note JOB TEXT. (%kling note JOB "" removes it.)')
    job, _ = split_address(words[0])
    text = unwrap(words[1].strip())[0]
    kernel_session.current_session().note(job, text)
    return message_bundle(f"Note to job {job}: {text}" if text.strip() else f"The note to job {job} is removed.")


def _history(**given: Any) -> Any:
    session = kernel_session.current_session()
    where: dict[str, Any] = {"search": given.get("search"), "starred": "starred" in given, "noted": "noted" in given}
    if "status" in given:
        where["status"] = _status_word(given["status"])
    if "since" in given:
        where["since"] = since(given["since"], time.time())
    mine = "all" not in given
    limit, page = _whole("--limit", given.get("limit", str(PAGE))), _whole("--page", given.get("page", "1"))
    records = session.rows(**where, limit=limit, offset=(page - 1) * limit, mine=mine)
    total = session.count(**where, mine=mine)
    pages = math.ceil(total / limit)
    footer = ""
    if page < pages:
        footer = f"older ones: --page {page + 1}"
    elif page > pages > 0:
        footer = f"there {'is 1 page' if pages == 1 else f'are {pages} pages'} of them: --page {pages} shows the oldest"
    elif mine and not records:
        footer = "this session only; %kling history --all shows the whole folder"
    return history_bundle([history_row(record, session.folder) for record in records], total=total, footer=footer)


def _status_word(word: str) -> str:
    known = [status.value for status in JobStatus]
    plain = word.lower().replace("-", "_")
    if plain not in known:
        hint = closest(plain, known) or f" There are {', '.join(known)}."
        raise InputError(f"There is no status {word!r}.{hint}")
    return plain


_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def since(text: str, now: float) -> float:
    """``2d``, ``12h``, ``30m``, ``1w`` before ``now``, or a date, in seconds since the epoch.

    >>> since("2d", 1_000_000.0)
    827200.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", text.strip().lower())
    if found:
        return now - float(found[1]) * _UNITS[found[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InputError(f"--since takes 30m, 12h, 2d, 1w or a date such as 2026-01-31, not {text!r}.") from None


def _whole(flag: str, text: str) -> int:
    value = number(flag, text)
    if value != int(value):
        raise InputError(f"{flag} needs a whole number, not {text!r}.")
    if value > MOST_WHOLE:  # limit times page must be a number that SQLite can hold
        raise InputError(f"{flag} needs a whole number up to {MOST_WHOLE}, not {text!r}.")
    return int(value)


# ---- the session ----


def _status() -> Any:
    session = kernel_session.current_session()
    rows = session.status().rows()
    return facts_bundle("Status", [*rows, *(("note", line) for line in session.pop_notices())])


def _budget(credits: str | None = None) -> Any:
    session = kernel_session.current_session()
    if credits is not None:
        off = credits.lower() in ("off", "none")
        session.configure(budget="off" if off else number("%kling budget", credits, zero=True))
    status = session.status()
    if session.settings.budget is None:
        return message_bundle(f"No budget; {credits_text(status.spent_session)} spent in this session.")
    left = max(0.0, session.settings.budget - status.spent_session)
    return message_bundle(f"Budget {credits_text(session.settings.budget)}; {left:g} left.")


def _switch(word: str | None) -> bool | None:
    if word is None:
        return None
    if word.lower() not in ("on", "off"):
        raise InputError(f"Say on or off, not {word!r}.")
    return word.lower() == "on"


def _reuse(switch: str | None = None) -> Any:
    session, on = kernel_session.current_session(), _switch(switch)
    if on is not None:
        session.configure(reuse=on)
    texts = {
        True: "Reuse is on: an identical completed request is shown again and not bought.",
        False: "Reuse is off: every request is bought.",
        None: "Reuse is on for sweeps and off for single requests.",
    }
    return message_bundle(texts[session.settings.reuse])


def _sandbox(switch: str | None = None) -> Any:
    on = _switch(switch)
    session = kernel_session.current_session() if on is None else kernel_session.reconnect(sandbox=on)
    lines = session.pop_notices()
    text = "The sandbox is on." if session.is_sandbox else f"The sandbox is off; the service is {session.backend}."
    return message_bundle(text, lines=lines)


def _login() -> Any:
    return message_bundle(login())


def _check() -> Any:
    rows = kernel_session.current_session().check()
    if "ipykernel" in sys.modules and (fault := kernel_fault(sys.modules["ipykernel"].__version__)):
        rows.append(("kernel", "failed", fault))
    return facts_bundle("Check (spends nothing)", rows)


def kernel_fault(version: str) -> str | None:
    """What is wrong with this ipykernel; None if nothing that we know of."""
    if (7, 0) <= tuple(map(int, version.split(".")[:2])) < (7, 4):
        return (
            f"ipykernel {version} now and then stops reading requests: cells stay at [*], and only a restart helps "
            f'(%kling resume then fetches the images). pip install -U "ipykernel>=7.4"'
        )
    return None


def _config() -> Any:
    """Needs no session: it is what one looks at when none can be made."""
    return facts_bundle("Settings", kernel_session.settings_in_force().described(), header=("setting", "value", "from"))


def _log() -> Any:
    print("\n".join(log_lines()) or "Nothing has happened yet.")


def _panel() -> Any:
    from ..panel.panel import KlingPanel

    return KlingPanel(kernel_session.current_session)


def _help(*_: str) -> Any:
    print(help_text())


_SUBCOMMANDS: Mapping[str, Callable[..., Any]] = {
    "panel": _panel,
    "history": _history,
    "show": _show_job,
    "resume": _resume,
    "dismiss": _dismiss,
    "status": _status,
    "star": _star,
    "budget": _budget,
    "reuse": _reuse,
    "sandbox": _sandbox,
    "login": _login,
    "check": _check,
    "log": _log,
    "config": _config,
    "help": _help,
}


def show_plan(estimate: Estimate, requests: Sequence[GenerationRequest], plan: Any) -> dict[str, Any]:
    """What a dry run shows: the shape, the estimate, and the jobs one by one."""
    axes = getattr(plan, "axes", {})
    names = [name for name in axes if name != "prompt"]
    fixed = [name for name in PARAMETERS if name not in ("prompt", *axes)]
    values = {name: {sweep_axes.label(request.values[name]) for request in requests} for name in fixed}
    rows = []
    for place, request in enumerate(requests[:MOST_PLANNED], 1):
        at = dict(zip(axes, plan.points[place - 1].coordinates, strict=True)) if names else {}
        rows.append((str(place), *(sweep_axes.label(at[name]) for name in names), request.prompt))
    if len(requests) > MOST_PLANNED:
        rows.append(("", *("" for _ in names), f"and {len(requests) - MOST_PLANNED} more"))
    same = ", ".join(f"{name} {next(iter(one))}" for name, one in values.items() if len(one) == 1 and one != {"none"})
    shape = f"{plan.shape}, " if plan is not None and len(requests) > 1 else ""
    title = f"Dry run, nothing was sent: {shape}{estimate.cost if shape else estimate}; {same}"
    return facts_bundle(title, rows, header=("job", *names, "prompt"))
