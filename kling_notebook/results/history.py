"""The history: a plain pandas DataFrame made from the journal."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..api.address import MOST_IMAGES, letter_of
from ..api.parameters import PARAMETERS
from ..journal.journal import Filter, Journal

if TYPE_CHECKING:
    import pandas as pd

_AFTER = (
    "status",
    "backend",
    "created_at",
    "submitted_at",
    "completed_at",
    "seconds",
    "credits",
    "credits_remaining",
    "images",
    "error",
    "source",
    "starred",
    "note",
)
_TIME = "datetime64[us]"
_BY_KIND = {"choice": "category", "integer": "Int64", "number": "float64", "switch": "boolean"}
# Of the columns that are not text; the name of a column decides, so that an empty table has the same types.
_DTYPES: dict[str, Any] = {
    **dict.fromkeys(("status", "backend", "source", "model"), "category"),
    **dict.fromkeys(("created_at", "submitted_at", "completed_at"), _TIME),
    **dict.fromkeys(("seconds", "credits", "credits_remaining"), "float64"),
    **{name: _BY_KIND[row.kind] for name, row in PARAMETERS.items() if row.kind in _BY_KIND},
    "images": "Int64",
}


def frame(journal: Journal, where: Filter) -> "pd.DataFrame":
    """One row per job, index ``n``, newest last, in plain columns that files and data bases take.

    Columns: job_id, prompt, every parameter of the table, sample, model, status, backend, created_at, submitted_at,
    completed_at (UTC, without a zone), seconds, credits, credits_remaining, images (how many), error, source, starred
    (letters of the starred images), note. `images_table.images_frame` has a row per image, with its path.
    """
    import pandas as pd

    expressions = {"n": "n", "job_id": "job_id", "prompt": "prompt"}
    paths = {name: f"{name}.label" if row.kind == "image" else name for name, row in PARAMETERS.items()}
    expressions |= {
        name: f"json_extract(request, '$.values.{path}')" for name, path in paths.items() if name != "prompt"
    }
    # Of the request, and no parameters: replicates differ in nothing else.
    expressions |= {name: f"json_extract(request, '$.{name}')" for name in ("sample", "model")}
    expressions |= {name: name for name in _AFTER} | {"images": "json_array_length(images)"}
    clause, values = where.sql()
    with journal.reading() as connection:
        select = f"SELECT {', '.join(expressions.values())} FROM jobs {clause}"  # noqa: S608  # names of our own
        rows = connection.execute(select, values).fetchall()[::-1]
    data = dict(zip(expressions, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(expressions, ())
    return pd.DataFrame(
        {name: _column(name, column) for name, column in data.items() if name != "n"},
        index=pd.Index(data["n"], name="n", dtype="int64"),
    )


def _column(name: str, values: tuple[Any, ...]) -> Any:
    """The values in their proper dtype."""
    import numpy as np
    import pandas as pd

    if name == "sample":
        return plain_column(values)
    dtype = _DTYPES.get(name, "str")
    if dtype in ("float64", _TIME):
        numbers = np.array([_number(value) for value in values], dtype="float64")
        if dtype == "float64":
            return numbers
        # Not by to_datetime, which raises on numbers that are no time: the row may be a stranger's.
        stamps = np.where(np.isnan(numbers), np.iinfo("int64").min, np.nan_to_num(numbers) * 1e6).astype("int64")
        return pd.DatetimeIndex(stamps.view(_TIME))
    if dtype in ("Int64", "boolean"):
        make = bool if dtype == "boolean" else int
        values = tuple(make(one) if isinstance(one, int) and abs(one) < 2**63 else None for one in values)
    if name == "starred":
        values = tuple(_letters(text) if text != "[]" else "" for text in values)
    return pd.Categorical(values) if dtype == "category" else pd.array(list(values), dtype=dtype)


def plain_column(values: Sequence[Any]) -> Any:
    """Values of a column whose type is not known: whole numbers stay whole beside missing ones, and numbers beside
    texts become texts."""
    import pandas as pd

    # pandas would make floats of whole numbers beside a missing one, and objects of a mixture, which no file takes.
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return pd.array(list(values), dtype="Int64")
    mixed = len(kinds) > 1 and not kinds <= {int, float}
    return [None if value is None else str(value) for value in values] if mixed else list(values)


def _letters(starred: str) -> str:
    """The letters of the places in a JSON list; a place that no image has is left out."""
    return "".join(letter_of(place) for place in json.loads(starred) if place in range(MOST_IMAGES))


def _number(value: Any) -> float:
    """The value, or NaN for one that is missing or that no job can have: the row is somebody else's."""
    return value if isinstance(value, int | float) and abs(value) < 2.5e11 else float("nan")
