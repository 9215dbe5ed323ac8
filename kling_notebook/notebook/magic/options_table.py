"""What may be typed on the first line of a ``%%kling`` cell: each option is one row, written once.

Parsing, completion, help and the manual read the table; the model's inputs come from ``PARAMETERS``. Pure data.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ...api.parameters import PARAMETERS, Parameter


@dataclass(frozen=True, slots=True)
class Option:
    """One magic option.

    Attributes:
        key: what it sets. flags: how it is typed, the long form first.
        metavar: stands for its value in the help; empty if the option takes none.
        choices: the values it takes, if they can be listed; completion offers them.
        repeatable: may stand on the line more than once. typed: its value is kept as typed, with its quotes.
        forms: the ways to write its value, each with what it means.
    """

    key: str
    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    typed: bool = False
    forms: tuple[tuple[str, str], ...] = ()


def _of_parameter(parameter: Parameter) -> Option:
    choices = parameter.listed
    # Up to three values fit into the help; for more stands the last word of the name, and the help lists them.
    listed = "|".join(choices) if len(choices) <= 3 else parameter.name.rpartition("_")[2].upper()
    metavar = {"text": "TEXT", "integer": "N", "number": "X", "image": "SOURCE"}.get(parameter.kind, listed)
    values = ", ".join(choices) if parameter.kind == "choice" and len(choices) > 3 else parameter.range
    default = "" if parameter.default is None else f" (default {parameter.default})"
    words = f"{parameter.help}{f': {values}' if values else ''}{default}"
    forms = _SOURCES if parameter.kind == "image" else ()
    return Option(parameter.name, parameter.flags, words, metavar, choices, typed=bool(forms), forms=forms)


_SOURCES = (
    ("12b", "the second image of job 12"),
    ("last", "the newest image; lastb: its job's second"),
    ("fox.png", "a file; ./12b for one that is named like an image of a job"),
    ("https://...", "an address on the web"),
    ("fox, fox[1]", "a variable that holds an image, a result or a path"),
)
_AXES = (
    ('animal=fox,owl,"a, b"', "values between commas, for {animal} in the prompt"),
    ("aspect_ratio=1:1,16:9", "values of a parameter"),
    ("sample=4", "four replicates"),
    ("animal=$animals", "the values of a variable"),
    ('animal=["fox", "owl"]', "a Python list of plain values"),
    ("animal=@animals.txt", "a file, one value a line"),
)


OPTIONS: tuple[Option, ...] = (
    *(_of_parameter(parameter) for parameter in PARAMETERS.values() if parameter.flags),
    Option("output", ("--output", "-o"), "bind the result to a variable; with --dry-run the estimate", "NAME"),
    Option(
        "sweep",
        ("--sweep",),
        "one axis of a sweep; repeatable. NAME is a parameter, a {NAME} in the prompt, or sample",
        "NAME=VALUES",
        repeatable=True,
        typed=True,
        forms=_AXES,
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
    Option("reuse", ("--reuse",), "show the result of an identical completed request instead of paying again"),
    Option("fresh", ("--fresh",), "always request anew, even in a sweep"),
    Option("no_wait", ("--no-wait",), "return at once; the output fills in when the job is done"),
    Option("timeout", ("--timeout",), "stop waiting after S seconds; the job keeps running and can be resumed", "S"),
    Option("quiet", ("--quiet",), "show nothing; the result is the cell's value"),
    Option("help", ("--help", "-h"), "show this help"),
)

EXAMPLES = """\
%%kling --aspect-ratio 16:9 -n 4 -o fox
A red fox in fresh snow, golden hour

%%kling --sweep animal=fox,owl --sweep aspect_ratio=1:1,16:9 --dry-run
A {animal} made of paper

%%kling --image 12b --negative "text, watermark"
The same scene at night"""


def two_columns(rows: Sequence[tuple[str, str]], width: int = 36, line: int = 100) -> list[str]:
    """Two columns; a long left side gets a line of its own, a long right side is folded."""
    lines: list[str] = []
    for left, right in rows:
        folded = textwrap.wrap(right, line - width) or [""]
        lines.append(f"  {left:<{width - 2}}{folded.pop(0)}" if len(left) < width - 3 else f"  {left}")
        lines += [f"{'':<{width}}{part}" for part in folded]
    return lines


def help_of_options() -> str:
    """The help of ``%%kling --help`` and ``%%kling?``."""
    rows: list[tuple[str, str]] = []
    for option in OPTIONS:
        rows.append((" ".join([", ".join(option.flags), option.metavar]).strip(), option.help))
        rows += [(f"  {option.flags[0]} {form}", meaning) for form, meaning in option.forms]
    return "\n".join(
        [
            "Make images with Kling Image V3. The cell is the prompt, taken literally.",
            "",
            "  %%kling [options]",
            "  first prompt",
            "  ---                               a line of three dashes starts the next prompt",
            "  second prompt",
            "",
            "Options:",
            *two_columns(rows),
            "",
            "Examples:",
            "",
            *(f"  {line}".rstrip() for line in EXAMPLES.splitlines()),
        ]
    )
