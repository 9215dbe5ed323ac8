"""What may be typed: the options of ``%%kling`` and the subcommands of ``%kling``, each written once.

Parsing, completion and help read these tables; the model's inputs come from ``PARAMETERS``. Pure data.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ...api.parameters import PARAMETERS, Parameter


@dataclass(frozen=True, slots=True)
class Option:
    """One magic option.

    Attributes:
        key: what it sets. flags: how it is typed, the long form first.
        metavar: stands for its value in the help; empty where the option takes none.
        choices: the values it takes, where they can be listed; completion offers them.
        repeatable: may stand on the line more than once. typed: its value is kept as typed, with its quotes.
    """

    key: str
    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    typed: bool = False


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One word after ``%kling``. ``usage``: its arguments, as shown in the help. ``jobs``: it takes a job's address."""

    name: str
    usage: str
    help: str
    options: tuple[Option, ...] = ()
    choices: tuple[str, ...] = ()
    jobs: bool = False


def _of_parameter(parameter: Parameter) -> Option:
    choices = parameter.choices
    listed = "|".join(choices) if len(choices) <= 3 else parameter.name.rpartition("_")[2].upper()
    metavar = {"text": "TEXT", "integer": "N", "image": "SOURCE"}.get(parameter.kind, listed)
    if parameter.kind == "integer":
        choices = tuple(str(number) for number in range(parameter.minimum, parameter.maximum + 1))
    words = parameter.help
    if len(choices) > 3 and parameter.kind == "choice":
        words += f": {', '.join(parameter.choices)}"
    elif parameter.kind == "integer":
        words += f": {parameter.minimum} to {parameter.maximum}"
    if parameter.default is not None:
        words += f" (default {parameter.default})"
    return Option(parameter.name, parameter.flags, words, metavar, choices, typed=parameter.kind == "image")


OPTIONS: tuple[Option, ...] = (
    *(_of_parameter(parameter) for parameter in PARAMETERS.values() if parameter.flags),
    Option("output", ("--output", "-o"), "bind the result to a variable; with --dry-run the estimate", "NAME"),
    Option(
        "sweep",
        ("--sweep",),
        "one axis of a sweep; repeatable. NAME is a parameter, a {NAME} in the prompt, or sample (replicates). "
        'Values: a,b,"c, d" or $variable or ["a", "b"] or @file.txt, one a line',
        "NAME=VALUES",
        repeatable=True,
        typed=True,
    ),
    Option(
        "pick",
        ("--pick",),
        "draw N points of the sweep instead of making all; the same ones for the same SEED",
        "N[:SEED]",
    ),
    Option(
        "batch",
        ("--batch",),
        "one request per row of a table: a DataFrame, a list of dicts, or a file. The cell is a text with {column} in "
        "it; an option takes a column as {column}",
        "$frame",
    ),
    Option("fill", ("--fill",), "fill {name} in the prompt from your variables (text or number); other braces stay"),
    Option("dry_run", ("--dry-run",), "show the jobs, the estimated credits and time; send nothing"),
    Option("max_credits", ("--max-credits",), "refuse if the estimate is above N credits", "N"),
    Option("reuse", ("--reuse",), "show an identical completed request again instead of buying it"),
    Option("fresh", ("--fresh",), "always buy, also in a sweep"),
    Option("no_wait", ("--no-wait",), "return at once; the output fills in when the job is done"),
    Option("timeout", ("--timeout",), "stop waiting after S seconds; the job keeps running and can be resumed", "S"),
    Option("quiet", ("--quiet",), "show nothing; the result is the cell's value"),
    Option("help", ("--help", "-h"), "show this help"),
)

_SWITCH = ("on", "off")

SUBCOMMANDS: Mapping[str, Subcommand] = MappingProxyType(
    {
        row.name: row
        for row in (
            Subcommand("panel", "", "the widget panel"),
            Subcommand(
                "history",
                "[--all] [--search TEXT] [--status S] [--starred] [--noted] [--since 2d] [--limit N] [--page N]",
                "past jobs with thumbnails, newest first",
                (
                    Option("all", ("--all",), "everything in the folder, not this session only"),
                    Option("search", ("--search",), "jobs whose prompt or note holds TEXT", "TEXT"),
                    Option("status", ("--status",), "jobs of this status", "S"),
                    Option("starred", ("--starred",), "jobs with a starred image"),
                    Option("noted", ("--noted",), "jobs with a note"),
                    Option("since", ("--since",), "jobs of the last 30m, 12h, 2d or 1w, or since 2026-01-31", "AGE"),
                    Option("limit", ("--limit",), "jobs on a page", "N"),
                    Option("page", ("--page",), "the page to show, from 1", "N"),
                ),
            ),
            Subcommand(
                "show",
                "JOB|IMAGE [--code]",
                "a past result again, or the cell that makes it again",
                (Option("code", ("--code",), "show the cell that makes it again"),),
                jobs=True,
            ),
            Subcommand(
                "resume",
                "[JOB [JOB_ID]]",
                "fetch jobs that an earlier kernel left behind; JOB_ID from the website attaches an unconfirmed one",
                jobs=True,
            ),
            Subcommand("dismiss", "JOB", "dismiss an unconfirmed job", jobs=True),
            Subcommand("status", "", "what runs, what is paused, what was spent and what is left"),
            Subcommand(
                "star",
                "IMAGE [--off]",
                "star an image",
                (Option("off", ("--off",), "take the star away"),),
                jobs=True,
            ),
            Subcommand("note", "JOB TEXT", "write a note to a job", jobs=True),
            Subcommand("budget", "[N|off]", "what this session may spend, in credits", choices=("off",)),
            Subcommand(
                "reuse", "[on|off]", "show identical completed requests again instead of buying", choices=_SWITCH
            ),
            Subcommand("sandbox", "[on|off]", "the local practice service: no key, no cost", choices=_SWITCH),
            Subcommand("login", "", "enter the API key, masked"),
            Subcommand("check", "", "check host, key, folder and journal; spends nothing"),
            Subcommand("log", "", "the last 500 lines of what happened to each job"),
            Subcommand("config", "", "every setting and where it came from"),
            Subcommand("help", "", "this help"),
        )
    }
)

EXAMPLES = """\
%%kling --aspect-ratio 16:9 -n 4 -o fox
A red fox in fresh snow, golden hour

%%kling --sweep animal=fox,owl --sweep aspect_ratio=1:1,16:9 --dry-run
A {animal} made of paper

%%kling --image 12b --negative "text, watermark"
The same scene at night"""


def _rows(rows: list[tuple[str, str]], width: int = 36, line: int = 100) -> list[str]:
    """Two columns; a long left side gets a line of its own, a long right side is folded."""
    lines: list[str] = []
    for left, right in rows:
        folded = textwrap.wrap(right, line - width) or [""]
        if len(left) >= width - 3:
            broken = {"initial_indent": "  ", "subsequent_indent": " " * 8, "break_on_hyphens": False}
            lines += textwrap.wrap(left, line, **broken)  # type: ignore[arg-type]  # the names are textwrap's
        else:
            lines.append(f"  {left:<{width - 2}}{folded.pop(0)}")
        lines += [f"{'':<{width}}{part}" for part in folded]
    return lines


def help_text() -> str:
    """The help of ``%kling``, ``%kling help``, ``%kling?`` and ``%%kling?``."""
    options = [(" ".join([", ".join(option.flags), option.metavar]).strip(), option.help) for option in OPTIONS]
    commands = [(f"%kling {row.name} {row.usage}".strip(), row.help) for row in SUBCOMMANDS.values()]
    parts = [
        "Make images with Kling Image V3. The cell is the prompt, taken literally.",
        "",
        "  %%kling [options]",
        "  first prompt",
        "  ---                               a line of three dashes starts the next prompt",
        "  second prompt",
        "",
        "Options of %%kling:",
        *_rows(options),
        "",
        "Subcommands of %kling (JOB is a number of the history or a job id, IMAGE an address such as 12b):",
        *_rows(commands),
        "",
        "Examples:",
        "",
        *(f"  {line}".rstrip() for line in EXAMPLES.splitlines()),
    ]
    return "\n".join(parts)
