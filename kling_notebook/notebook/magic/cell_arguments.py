"""From the text of a ``%%kling`` cell to ``CellOptions``. Pure."""

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...api.errors import InputError
from ...api.parameters import PARAMETERS
from ...results.sweep_axes import Pick, fill
from ...results.typed_values import unquoted
from .options_table import OPTIONS
from .parsing import number, parse_options, split, unexpected_word
from .user_variables import batch_table, parse_axis, placeholder_values, source

_DASHES = re.compile(r"^---[^\S\n]*$", re.MULTILINE)  # lines end in a line feed only: U+2028 is the prompt's own


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What a cell asks for; everything in it has been checked as far as it can be without the session.

    Attributes:
        prompts: one, or more if lines of three dashes separate them (then the axis "prompt"); as written.
        filled: with ``--fill``, what stands in the user's variables for each ``{name}`` of the prompts.
        parameters: what was given on the line, by the table's names, checked. ``image`` is text (a path, a URL, an
            address) or the object a variable holds.
        axes: values by name, in the order given. ``sample`` may be one whole number: so many replicates.
        reuse: None if neither ``--reuse`` nor ``--fresh`` was given.
        timeout: seconds; None if it was not given.
        pick: how many points to draw. table: of ``--batch``, None without it; parameters may hold a ``{column}``.
    """

    prompts: tuple[str, ...] = ()
    filled: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None
    dry_run: bool = False
    max_credits: float | None = None
    reuse: bool | None = None
    wait: bool = True
    timeout: float | None = None
    quiet: bool = False
    help: bool = False
    pick: Pick | None = None
    table: Any = None


def parse_cell(line: str, cell: str, variables: Mapping[str, Any]) -> CellOptions:
    """What the first line and the body of a ``%%kling`` cell ask for. Without a body, its words are the prompt.

    Raises:
        InputError: one line that says what was wrong, and what was probably meant.
    """
    if line.rstrip().endswith("\\"):
        raise InputError(
            "The first line ends in a backslash, which does not continue it: the rest would be sent as prompt. "
            "Write all options on the first line."
        )
    given, words = parse_options(split(line, apostrophes=not cell.strip()), OPTIONS, line)
    # Help needs no prompt, and no options that are right.
    if "help" in given:
        return CellOptions(help=True)
    # With a body, words on the first line are a mistake; without one they are the prompt.
    if words and cell.strip():
        raise InputError(unexpected_word(words[0]))
    prompts = split_prompts(" ".join(word.text for word in words) if words else cell)
    table = batch_table(given["batch"], variables) if "batch" in given else None
    parameters = {name: _parameter(name, given[name], variables, table) for name in PARAMETERS if name in given}
    axes = _axes(given.get("sweep", ()), variables)
    # Before the prompts become an axis themselves: an axis of that name is still one that was typed.
    _check_together(given, prompts, parameters, axes)
    if len(prompts) > 1:
        axes = {"prompt": list(prompts)} | axes
    negative = parameters.get("negative_prompt")
    if "fill" in given and negative is not None:
        parameters["negative_prompt"] = fill(negative, placeholder_values([negative], variables, axes))
    return CellOptions(
        prompts=prompts,
        filled=placeholder_values(prompts, variables, axes) if "fill" in given else {},
        parameters=parameters,
        axes=axes,
        output=_identifier(given["output"]) if "output" in given else None,
        dry_run="dry_run" in given,
        max_credits=number("--max-credits", given["max_credits"], zero=True) if "max_credits" in given else None,
        reuse=True if "reuse" in given else False if "fresh" in given else None,
        wait="no_wait" not in given,
        timeout=number("--timeout", given["timeout"]) if "timeout" in given else None,
        quiet="quiet" in given,
        pick=_pick(given["pick"]) if "pick" in given else None,
        table=table,
    )


def _check_together(
    given: Mapping[str, Any], prompts: Sequence[str], parameters: Mapping[str, Any], axes: Mapping[str, Any]
) -> None:
    """InputError for what is right by itself and makes no sense together."""
    several = len(prompts) > 1
    twice = next((name for name in axes if name in parameters), "")
    refused = {
        "--reuse and --fresh exclude each other. Keep one.": "reuse" in given and "fresh" in given,
        "--batch and --sweep exclude each other: put the values of the sweep into the table.": (
            "batch" in given and "sweep" in given
        ),
        "--batch takes one text with {column} in it; remove the lines of three dashes.": "batch" in given and several,
        "The prompt stands in the cell; an axis would give it twice. Separate prompts by lines of three dashes, or "
        "write {name} below and --sweep name=a,b.": "prompt" in axes,
        f"{twice} is given both as an option and as an axis of the sweep. Remove one.": bool(twice),
        "--pick draws points of a sweep. Add --sweep NAME=VALUES.": "pick" in given and not axes and not several,
    }
    for message, holds in refused.items():
        if holds:
            raise InputError(message)


def _axes(raws: Sequence[str], variables: Mapping[str, Any]) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    for raw in raws:
        name, values = parse_axis(raw, variables)
        if name in axes:
            raise InputError(f"The axis {name} is given twice. Put all its values into one --sweep.")
        axes[name] = values
    return axes


def split_prompts(cell: str) -> tuple[str, ...]:
    """The prompts of a cell, stripped at their ends; lines of exactly three dashes separate them.

    Raises:
        InputError: the cell is empty, or one of its prompts is.
    """
    prompts = tuple(part.strip() for part in _DASHES.split(cell.replace("\r\n", "\n")))
    if not any(prompts):
        raise InputError(
            "The prompt is empty. Write below the first line what the image should show.", parameter="prompt"
        )
    for place, prompt in enumerate(prompts, 1):
        if not prompt:
            raise InputError(
                f"Prompt {place} of {len(prompts)} is empty. Write it, or remove a line of three dashes.",
                parameter="prompt",
            )
    return prompts


def _parameter(name: str, text: str, variables: Mapping[str, Any], table: Any) -> Any:
    """``text``: of an image as typed, else without its quotes. With a table ``{column}`` is filled in row by row."""
    if table is not None and "{" in text:
        return unquoted(text) if PARAMETERS[name].kind == "image" else text
    if PARAMETERS[name].kind == "image":
        return source(unquoted(text), variables, typed=text)
    return PARAMETERS[name].check(text)


def _pick(text: str) -> Pick:
    """``40`` or ``40:SEED``; a seed of digits is a number."""
    count, _, seed = text.partition(":")
    if not count.isdecimal():
        raise InputError(f"--pick needs a whole number, as in --pick 40 or --pick 40:7, not {text!r}.")
    return Pick(int(count), int(seed) if seed.isdecimal() else seed or 0)


def _identifier(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"--output needs the name of a variable, not {name!r}.")
    return name
