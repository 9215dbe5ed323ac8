"""The subcommands of ``%kling``: each is one row of a table with its arguments, its help and the function that does it.

A function takes its words and options, asks the session, and returns what to show. What is heavy is imported when a
subcommand runs: loading the extension reads the table.
"""

import inspect
import math
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...api.address import address_of, split_address
from ...api.errors import InputError
from ...api.event_log import log_lines
from ...api.job import JobStatus
from ...view.markup import plural
from ...view.progress import message_bundle
from .options_table import Option, two_columns
from .parsing import closest, number, parse_options, split

if TYPE_CHECKING:
    from ...session.session import Session


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One word after ``%kling``.

    Attributes:
        usage: its arguments, as shown in the help. run: gets the words by place and the options by key; it returns a
            bundle to show, or the value of the line.
        jobs: it takes a job's number or an image's address. choices: what its first word may be.
        verbatim: the rest of the line is one text, quotes and dashes included.
    """

    name: str
    usage: str
    help: str
    run: Callable[..., Any]
    options: tuple[Option, ...] = ()
    choices: tuple[str, ...] = ()
    jobs: bool = False
    verbatim: bool = False


# Jobs on a page of the history, by default.
PAGE = 20
MOST_WHOLE = 1_000_000_000


def run(line: str, shell: Any) -> Any:
    """Do what a ``%kling`` line asks for; its value is the cell's.

    Raises:
        InputError: no such subcommand, or words that do not fit it.
    """
    name, _, rest = line.strip().partition(" ")
    if name in ("", "-h", "--help", "?"):
        print(short_help())
        return None
    row = SUBCOMMANDS.get(name.lower())
    if row is None:
        raise InputError(_unknown(name, rest))
    if {"-h", "--help"} & {*rest.split()[: 1 if row.verbatim else None]}:
        return _help(row.name)
    if row.verbatim:
        # A note may hold dashes and quotes.
        given: dict[str, Any] = {}
        words = tuple(rest.split(None, 1))
    else:
        given, tokens = parse_options(split(rest), row.options, rest, f"%kling {row.name}")
        words = tuple(token.text for token in tokens)
    # The function's own signature says how many words fit.
    try:
        call = inspect.signature(row.run).bind(*words, **given)
    except TypeError:
        raise InputError(f"Write: %kling {row.name} {row.usage}".rstrip() + ".") from None
    shown = row.run(*call.args, **call.kwargs)
    # A bundle is something to show, anything else the value of the line.
    return shell.display_pub.publish(shown) if isinstance(shown, dict) else shown


def _unknown(name: str, rest: str) -> str:
    if name.startswith("-"):
        return f"{name} is not a subcommand. Options for images belong on the first line of a cell, after %%kling."
    # Several words are a prompt rather than a misspelled subcommand.
    close = closest(name.lower(), list(SUBCOMMANDS)) if len(rest.split()) < 2 else ""
    hint = close or f" To make an image, write two percent signs: %%kling {name} {rest}".rstrip()
    return f"There is no subcommand {name!r}.{hint}"


def _session() -> "Session":
    from .. import kernel_session

    return kernel_session.current_session()


# ---- past jobs ----


def _show_job(where: str, *, code: bool = False) -> Any:
    job, place = split_address(where)
    result = _session().result(job)
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
    from ..display.run_in_cell import collect

    return None if collect(_session(), job, job_id) else message_bundle("Nothing is left to fetch.")


def _dismiss(job: str) -> Any:
    record = _session().dismiss(job)
    return message_bundle(f"Job {record.number} is dismissed; it is not asked about again.")


def _star(where: str, *, off: bool = False) -> Any:
    job, place = split_address(where)
    if place is None:
        raise InputError(f"Say which image of job {job}: %kling star {job}a.")
    _session().star(job, place, not off)
    return message_bundle(f"{'No longer starred' if off else 'Starred'}: {where.strip().lower()}.")


def _note(where: str, text: str) -> dict[str, Any]:
    from ...results.typed_values import unwrap

    job, _ = split_address(where)
    text = unwrap(text.strip())[0]
    _session().note(job, text)
    return message_bundle(f"Note to job {job}: {text}" if text.strip() else f"The note to job {job} is removed.")


def _history(**given: Any) -> Any:
    from ...results.result import history_row
    from ...view.table import history_bundle

    session = _session()
    mine = "all" not in given
    where: dict[str, Any] = {
        "mine": mine,
        "search": given.get("search"),
        "starred": "starred" in given,
        "noted": "noted" in given,
        "status": _status_word(given["status"]) if "status" in given else None,
        "since": since(given["since"], time.time()) if "since" in given else None,
    }
    limit, page = _whole("--limit", given.get("limit", str(PAGE))), _whole("--page", given.get("page", "1"))
    records = session.rows(**where, limit=limit, offset=(page - 1) * limit)
    # A search that fits on a page need not go through the folder a second time.
    total = len(records) if page == 1 and len(records) < limit else session.count(**where)
    pages = math.ceil(total / limit)
    footer = ""
    if page < pages:
        footer = f"older ones: --page {page + 1}"
    # A page past the end would look like an empty history.
    elif page > pages > 0:
        footer = f"there {'is 1 page' if pages == 1 else f'are {pages} pages'} of them: --page {pages} shows the oldest"
    elif mine and not records:
        footer = "this session only; %kling history --all shows the whole folder"
    return history_bundle([history_row(record, session.folder) for record in records], total=total, footer=footer)


_STATUSES = tuple(status.value for status in JobStatus)


def _status_word(word: str) -> str:
    plain = word.lower()
    if plain not in _STATUSES:
        hint = closest(plain, _STATUSES) or f" There are {', '.join(_STATUSES)}."
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
    if value != int(value) or value > MOST_WHOLE:  # limit times page must be a number that SQLite can hold
        raise InputError(f"{flag} needs a whole number up to {MOST_WHOLE}, not {text!r}.")
    return int(value)


# ---- the session ----


def _status() -> Any:
    from ...view.table import facts_bundle

    session = _session()
    return facts_bundle("Status", [*session.status().rows(), *(("note", line) for line in session.pop_notices())])


def _budget(credits: str | None = None) -> Any:
    from ...view.table import credits_text

    session = _session()
    if credits is not None:
        off = credits.lower() == "off"
        session.configure(budget="off" if off else number("%kling budget", credits, zero=True))
    status = session.status()
    if session.settings.budget is None:
        return message_bundle(f"No budget; {credits_text(status.spent_session)} spent in this session.")
    left = max(0.0, session.settings.budget - status.spent_session)
    return message_bundle(f"Budget {credits_text(session.settings.budget)}; {left:g} left.")


def _switch(word: str | None) -> bool | None:
    if word is not None and word.lower() not in _SWITCH:
        raise InputError(f"Say on or off, not {word!r}.")
    return None if word is None else word.lower() == "on"


def _reuse(switch: str | None = None) -> Any:
    session, on = _session(), _switch(switch)
    if on is not None:
        session.configure(reuse=on)
    texts = {
        True: "Reuse is on: an identical completed request is shown again and not bought.",
        False: "Reuse is off: every request is bought.",
        None: "Reuse is on for sweeps and off for single requests.",
    }
    return message_bundle(texts[session.settings.reuse])


def _sandbox(switch: str | None = None) -> Any:
    from .. import kernel_session

    on = _switch(switch)
    session = _session() if on is None else kernel_session.reconnect(sandbox=on)
    text = "The sandbox is on." if session.is_sandbox else f"The sandbox is off; the service is {session.backend}."
    return message_bundle(text, lines=session.pop_notices())


def _login() -> Any:
    from .login import login

    return message_bundle(login())


def _check(*, report: bool = False) -> Any:
    from ...session.status import write_report
    from ...view.table import facts_bundle

    rows = _session().check()
    if report:
        text = f"{write_report(Path.cwd())}: names and types of the replies, no values; attach it to a bug report"
        rows.append(("report", "ok", text))
    version = getattr(sys.modules.get("ipykernel"), "__version__", "")
    if version.startswith(("7.0.", "7.1.", "7.2.", "7.3.")):
        text = (
            f"ipykernel {version} now and then stops reading requests: cells stay at [*], and only a restart helps "
            f'(%kling resume then fetches the images). pip install -U "ipykernel>=7.4"'
        )
        rows.append(("kernel", "failed", text))
    return facts_bundle("Check (spends nothing)", rows)


def _config() -> Any:
    """Needs no session: it is what one looks at when none can be made."""
    from ...view.table import facts_bundle
    from .. import kernel_session

    return facts_bundle("Settings", kernel_session.settings_in_force().described(), header=("setting", "value", "from"))


def _log() -> Any:
    print("\n".join(log_lines()) or "Nothing has happened yet.")


def _panel() -> Any:
    from ..panel.panel import KlingPanel

    return KlingPanel(_session)


def _help(command: str | None = None) -> Any:
    row = SUBCOMMANDS.get((command or "help").lower())
    if row is None:
        raise InputError(f"There is no subcommand {command!r}.{closest(str(command), list(SUBCOMMANDS))}")
    print(help_of(row) if command else help_text())


_SWITCH = ("on", "off")
_FILTERS = (
    Option("all", ("--all",), "everything in the folder, not this session only"),
    Option("search", ("--search",), "jobs whose prompt or note holds TEXT", "TEXT"),
    Option("status", ("--status",), "jobs of this status", "S", _STATUSES),
    Option("starred", ("--starred",), "jobs with a starred image"),
    Option("noted", ("--noted",), "jobs with a note"),
    Option("since", ("--since",), "jobs of the last 30m, 12h, 2d or 1w, or since 2026-01-31", "AGE"),
    Option("limit", ("--limit",), "jobs on a page", "N"),
    Option("page", ("--page",), "the page to show, from 1", "N"),
)
SUBCOMMANDS: Mapping[str, Subcommand] = {
    row.name: row
    for row in (
        Subcommand("panel", "", "the widget panel", _panel),
        Subcommand("history", "[options]", "past jobs with thumbnails, newest first", _history, _FILTERS),
        Subcommand(
            "show",
            "JOB|IMAGE [--code]",
            "a past result again, or the cell that makes it again",
            _show_job,
            (Option("code", ("--code",), "show the cell that makes it again"),),
            jobs=True,
        ),
        Subcommand(
            "resume",
            "[JOB [JOB_ID]]",
            "fetch jobs that an earlier kernel left behind; JOB_ID from the website attaches an unconfirmed one",
            _resume,
            jobs=True,
        ),
        Subcommand("dismiss", "JOB", "dismiss an unconfirmed job", _dismiss, jobs=True),
        Subcommand("status", "", "what runs, what is paused, what was spent and what is left", _status),
        Subcommand(
            "star",
            "IMAGE [--off]",
            "star an image",
            _star,
            (Option("off", ("--off",), "take the star away"),),
            jobs=True,
        ),
        Subcommand("note", "JOB TEXT", 'write a note to a job; "" removes it', _note, jobs=True, verbatim=True),
        Subcommand("budget", "[N|off]", "what this session may spend, in credits", _budget, choices=("off",)),
        Subcommand(
            "reuse",
            "[on|off]",
            "show the result of an identical completed request instead of paying again",
            _reuse,
            choices=_SWITCH,
        ),
        Subcommand("sandbox", "[on|off]", "the local practice service: no key, no cost", _sandbox, choices=_SWITCH),
        Subcommand("login", "", "enter the API key, masked", _login),
        Subcommand(
            "check",
            "[--report]",
            "check host, key, folder and journal; spends nothing",
            _check,
            (
                Option(
                    "report",
                    ("--report",),
                    "write the shapes of the replies, without values, to a file for a bug report",
                ),
            ),
        ),
        Subcommand("log", "", "the last 500 lines of what happened to each job", _log),
        Subcommand("config", "", "every setting and where it came from", _config),
        Subcommand("help", "[COMMAND]", "all subcommands, or one", _help),
    )
}


def short_help() -> str:
    """What ``%kling`` alone prints: ten lines."""
    names = " ".join(SUBCOMMANDS)
    half = names.index(" ", len(names) // 2)
    return f"""\
Make images with Kling Image V3. The cell is the prompt, taken literally:

  %%kling -a 16:9 -n 4 -o fox
  A red fox in fresh snow, golden hour

  %%kling --help       the options of a cell
  %kling panel         the widget panel
  %kling help COMMAND  one of: {names[:half]}
                       {names[half:].strip()}
No key? %kling sandbox on. Past jobs: %kling history. Anything wrong: %kling check."""


def help_of(row: Subcommand) -> str:
    """What ``%kling help COMMAND`` prints."""
    options = two_columns([(" ".join([*option.flags, option.metavar]).strip(), option.help) for option in row.options])
    return "\n".join([f"%kling {row.name} {row.usage}".rstrip(), f"  {row.help}", *options])


def help_text() -> str:
    """The help of ``%kling help`` and ``%kling?``: all subcommands."""
    rows = [(f"%kling {row.name} {row.usage}".rstrip(), row.help) for row in SUBCOMMANDS.values()]
    where = "JOB is a number of the history or a job id, IMAGE an address such as 12b:"
    return "\n".join([f"Subcommands of %kling; {where}", *two_columns(rows)])
