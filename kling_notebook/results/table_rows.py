"""A table of prompts, read into one set of parameters per row. Sends nothing.

The table is a pandas DataFrame, anything with ``to_pandas``, a list of dicts, or the path of a CSV or JSON Lines file.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.errors import InputError
from ..api.parameters import PARAMETERS, path_from
from .sweep_axes import SAMPLE, fill, plain

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 10_000
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_COLUMN = re.compile(r"\s*\{([^{}]+)\}\s*")
_ENDINGS = (*_SEPARATORS, ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: its place from 0, what to ask for, and why it cannot be asked for if it cannot."""

    place: int
    prompt: str
    parameters: Mapping[str, Any]
    error: str = ""


def is_table(what: Any) -> bool:
    """Whether this is a table rather than a prompt or a list of prompts; a path is one if its ending is a table's."""
    if isinstance(what, str | os.PathLike):
        return "\n" not in str(what) and Path(what).suffix.lower() in _ENDINGS
    return (
        (isinstance(what, Sequence) and bool(what) and all(isinstance(row, Mapping) for row in what))
        or hasattr(what, "to_pandas")
        or (hasattr(what, "columns") and hasattr(what, "iloc"))
    )


def read_table(table: Any) -> "pd.DataFrame":
    """The table as a DataFrame; a DataFrame comes back as it is, with its own index.

    Raises:
        InputError: it is not a table, cannot be read, or has no rows or more than 10,000.
    """
    import pandas as pd

    if isinstance(table, str | os.PathLike):
        frame = _read_file(path_from(table, "frame"))
    elif isinstance(table, pd.DataFrame):
        frame = table
    elif hasattr(table, "to_pandas"):
        frame = table.to_pandas()
    elif isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        # As they are: pandas would make floats of whole numbers beside a missing one.
        frame = pd.DataFrame([dict(row) for row in table], dtype=object)
    else:
        frame = None
    if not isinstance(frame, pd.DataFrame):  # also one column of polars or Arrow
        raise InputError(
            f"A batch needs a table: a DataFrame, a list of dicts, or the path of a CSV or JSON Lines file, not "
            f"{type(table).__name__}.",
            parameter="frame",
        )
    if not 1 <= len(frame) <= MOST_ROWS:
        way = f"Split it, for example frame[:{MOST_ROWS}]" if len(frame) else "Add a row for each request"
        raise InputError(
            f"The table has {len(frame) or 'no'} rows; a batch takes 1 to {MOST_ROWS}. {way}.", parameter="frame"
        )
    if frame.columns.nlevels > 1:
        raise InputError(
            f"The columns of the table have {frame.columns.nlevels} levels. Join them into names: "
            "frame.columns = ['_'.join(map(str, column)) for column in frame.columns].",
            parameter="frame",
        )
    if doubled := sorted({str(name) for name in frame.columns[frame.columns.duplicated()]}):
        raise InputError(f"The table has two columns named {doubled[0]}. Rename one.", parameter="frame")
    return frame


def _read_file(path: Path) -> "pd.DataFrame":
    import pandas as pd

    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise InputError(
            f"{path.name} is not a table this can read. Give a {', '.join(_ENDINGS)} file, or a DataFrame.",
            parameter="frame",
        )
    try:
        if ending in _SEPARATORS:  # text stays text: 1:1 is a ratio and not a time, and NA may be a prompt
            # In countries that write 0,5 spreadsheets separate by semicolons.
            header = path.read_text(encoding="utf-8-sig").lstrip().partition("\n")[0]
            separator = ";" if ";" in header and not {",", "\t"} & {*header} else _SEPARATORS[ending]
            frame: pd.DataFrame = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig"
            )
            if not isinstance(frame.index, pd.RangeIndex):  # what pandas takes for row labels are prompts cut in two
                raise ValueError("its rows have more cells than the header has names; quote texts with commas")
            return frame
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # U+2028 and the like belong to a text
        return pd.DataFrame([json.loads(line) for line in lines if line.strip()], dtype=object)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}. Check its spelling.", parameter="frame") from None
    except (OSError, ValueError, AttributeError, TypeError) as error:  # parsers' errors; lines that are not objects
        raise InputError(f"{path.name} cannot be read as a table: {error}.", parameter="frame") from None


def rows_of(frame: "pd.DataFrame", prompt: str, columns_or_values: Mapping[str, Any]) -> list[Row]:
    """What each row asks for.

    Args:
        prompt: the name of a column, or a text with ``{column}`` in it.
        columns_or_values: parameters of the model or ``sample`` by name. A text that names a column, by itself or as
            ``{column}``, is taken from it row by row, and ``{column}`` in a longer text is filled in as in the prompt;
            anything else is one value for all rows. A missing cell means the default.

    Returns:
        One Row per row of the table; those that cannot be asked for carry an error.

    Raises:
        InputError: a column or parameter that does not exist.
    """
    # Columns may be numbers; in a text they are written as text.
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    # A column by its name alone is the same as in braces.
    given = {
        name: f"{{{value}}}" if _names(frame, value, str | int if name == "prompt" else str) else value
        for name, value in {"prompt": prompt, **columns_or_values}.items()
    }
    if not _used(given["prompt"], columns):
        raise InputError(
            f"The table has no column {prompt!r}. Its columns are {', '.join(columns)}; name the one "
            "that holds the prompts, or write a text with {column} in it.",
            parameter="prompt",
        )
    for name, value in columns_or_values.items():
        if name not in PARAMETERS and name != SAMPLE:
            known = ", ".join([*(known for known in PARAMETERS if known != "prompt"), SAMPLE])
            raise InputError(f"{name} is not a parameter. Parameters are {known}.", parameter=name)
        if isinstance(value, str) and (whole := _COLUMN.fullmatch(value)) and whole[1] not in columns:
            check_column(frame, whole[1], name)
    rows = []
    for place in range(len(frame)):
        cells = {name: column[place] for name, column in columns.items()}
        read = {name: _read(name, value, cells) for name, value in given.items()}
        own = {name: value for name, (value, _) in read.items() if value is not None}
        rows.append(Row(place, own.pop("prompt"), own, next((error for _, error in read.values() if error), "")))
    return rows


def _used(text: Any, columns: Iterable[str]) -> list[str]:
    """The columns that a text names in braces."""
    return [name for name in columns if f"{{{name}}}" in text] if isinstance(text, str) else []


def _read(parameter: str, value: Any, cells: Mapping[str, Any]) -> tuple[Any, str]:
    """The value of a parameter in one row, None if its cell is missing, and what is wrong with it."""
    used = _used(value, cells)
    if used and parameter != "prompt" and value.strip() == f"{{{used[0]}}}":  # the cell itself, whatever it holds
        return None if is_missing(cells[used[0]]) else _as_parameter(parameter, cells[used[0]]), ""
    for name in used:
        if is_missing(cells[name]):
            return "", f"the column {name} is empty"
        if not isinstance(plain(cells[name]), str | int | float) or isinstance(plain(cells[name]), bool):
            return "", f"the column {name} holds a {type(cells[name]).__name__}; a text takes text and numbers"
    text = fill(value, {name: _written(cells[name]) for name in used})
    return text, "" if not used or text.strip() else f"its {parameter} is empty"


def check_column(frame: "pd.DataFrame", name: Any, parameter: str) -> None:
    """InputError unless the table has this column."""
    if not _names(frame, name, str | int):
        raise InputError(
            f"The table has no column {name!r}. Its columns are {', '.join(map(str, frame.columns))}.",
            parameter=parameter,
        )


def _names(frame: "pd.DataFrame", value: Any, kinds: Any = str) -> bool:
    return isinstance(value, kinds) and value in frame.columns


def is_missing(cell: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, NaT, pandas' NA, a masked value of NumPy."""
    # By name, so that a history without tables need not import pandas.
    return (held := plain(cell)) is None or (
        type(held).__name__ in ("NAType", "NaTType") or (isinstance(held, float) and math.isnan(held))
    )


def _written(cell: Any) -> str:
    """A cell as it is written into a prompt: 3.0, which was 3 before its column had a missing cell, as 3."""
    cell = plain(cell)
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _as_parameter(name: str, cell: Any) -> Any:
    """A cell as its parameter takes it: a column of whole numbers with a gap holds floats, a CSV file holds text."""
    cell = plain(cell)
    kind = PARAMETERS[name].kind if name in PARAMETERS else "sample"
    if (
        kind in ("integer", "sample")
        and re.fullmatch(r"\s*[-+]?\d+(\.0)?\s*", str(cell))
        and not isinstance(cell, bool)
    ):
        # By its digits: a float holds no 64-bit seed.
        return int(str(cell).strip().removesuffix(".0")) if kind == "integer" or isinstance(cell, float) else cell
    return cell
