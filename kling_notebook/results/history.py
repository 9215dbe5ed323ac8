"""The history: a plain pandas DataFrame made from the journal."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.parameters import PARAMETERS
from ..journal.journal import Filter, Journal

if TYPE_CHECKING:
    import pandas as pd

_BEFORE = ("job_id", "prompt")
_BESIDE = ("sample", "model")  # of the request, and no parameters: replicates differ in nothing else
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
_TIMES = ("created_at", "submitted_at", "completed_at")
_CATEGORIES = ("status", "backend", "source", *_BESIDE, *(n for n, p in PARAMETERS.items() if p.kind == "choice"))
_LISTS = ("images", "starred")


def frame(journal: Journal, folder: Path, where: Filter) -> pd.DataFrame:
    """One row per job, index ``n``, newest last.

    Columns: job_id, prompt, every parameter of the table, sample, model, status, backend, created_at, submitted_at,
    completed_at (UTC), seconds, credits, credits_remaining, images (list of paths, by place; one without an ending
    stands for an image that could not be saved), error, source, starred (list of places), note.
    """
    import pandas as pd

    columns, expressions = ["n"], ["n"]
    for name in _BEFORE:
        columns.append(name)
        expressions.append(name)
    for name, parameter in PARAMETERS.items():
        if name == "prompt":
            continue
        columns.append(name)
        path = f"$.values.{name}" + (".label" if parameter.kind == "image" else "")
        expressions.append(f"json_extract(request, '{path}')")
    columns += _BESIDE + _AFTER
    expressions += [f"json_extract(request, '$.{name}')" for name in _BESIDE] + list(_AFTER)
    clause, values = where.sql()
    with journal.reading() as connection:
        rows = connection.execute(f"SELECT {', '.join(expressions)} FROM jobs {clause}", values).fetchall()  # noqa: S608
    rows.reverse()
    data = dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(columns, ())
    return pd.DataFrame(
        {name: _column(name, data[name], folder) for name in columns[1:]},
        index=pd.Index(data["n"], name="n", dtype="int64"),
    )


def _column(name: str, values: tuple[Any, ...], folder: Path) -> Any:
    """The values in their proper dtype."""
    import numpy as np
    import pandas as pd

    if name in _TIMES:
        seconds = np.array([np.nan if v is None else v for v in values], dtype="float64")
        stamps = np.where(np.isnan(seconds), np.iinfo("int64").min, np.nan_to_num(seconds) * 1e6).astype("int64")
        return pd.DatetimeIndex(stamps.view("datetime64[us]")).tz_localize("UTC")
    if name in _LISTS:
        found: list[Any] = json.loads(f"[{','.join(values)}]")  # one parse instead of one per row
        if name == "images":
            base = f"{folder}{os.sep}"  # what is in the journal are plain names of files; a Path of each costs more
            found = [[base + file for file in files] for files in found]  # than all the rest of the frame
        column = np.empty(len(found), dtype=object)
        column[:] = found
        return column
    if name in _CATEGORIES:
        return pd.Categorical(values)
    if name in PARAMETERS and PARAMETERS[name].kind == "integer":
        return pd.array(list(values), dtype="Int64")
    if name in ("seconds", "credits", "credits_remaining"):
        return np.array([np.nan if v is None else v for v in values], dtype="float64")
    return pd.array(list(values), dtype="str")
