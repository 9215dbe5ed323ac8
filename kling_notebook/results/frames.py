"""Jobs and images as DataFrames: plain columns that files and data bases take."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.address import MOST_IMAGES, letter_of
from ..api.errors import InputError
from ..api.event_log import suppress
from ..api.job import LATEST
from ..api.parameters import PARAMETERS
from ..image_files import decode
from ..journal.journal import Filter, Journal
from .batch_result import BatchResult
from .measures import columns_of
from .result import SavedImage
from .sweep_axes import label
from .sweep_result import SweepResult, free_name
from .table_rows import is_missing

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
# Of the table of images, where the parameters that are choices are plain text.
_IMAGE_DTYPES: dict[str, Any] = {
    **{"address": "str", "number": "Int64", "letter": "str", "path": "str"},
    **{name: "str" if _DTYPES.get(name, "category") == "category" else _DTYPES[name] for name in PARAMETERS},
    **{"sample": None, "width": "Int64", "height": "Int64", "format": "str", "bytes": "Int64"},
    **{"starred": "bool", "note": "str"},
}


# ---- jobs ----


def history_frame(journal: Journal, where: Filter) -> "pd.DataFrame":
    """One row per job, index ``n``, newest last, in plain columns that files and data bases take.

    Columns: job_id, prompt, every parameter of the table, sample, model, status, backend, created_at, submitted_at,
    completed_at (UTC, without a zone), seconds, credits, credits_remaining, images (how many), error, source, starred
    (letters of the starred images), note. `images_frame` has a row per image, with its path.
    """
    import pandas as pd

    expressions = {"n": "n", "job_id": "job_id", "prompt": "prompt"}
    paths = {name: f"{name}.label" if row.kind == "image" else name for name, row in PARAMETERS.items()}
    expressions |= {
        name: f"json_extract(request, '$.values.{path}')" for name, path in paths.items() if name != "prompt"
    }
    # Of the request, and no parameters: replicates differ in nothing else.
    expressions |= {
        **{name: f"json_extract(request, '$.{name}')" for name in ("sample", "model")},
        **{name: name for name in _AFTER},
        "images": "json_array_length(images)",
    }
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
        numbers = np.array([value if type(value) in (float, int) else np.nan for value in values], dtype="float64")
        numbers[np.abs(numbers) >= LATEST] = np.nan  # a value that no job can have: the row is somebody else's
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
    # Not by pd.array, which in pandas 2 makes the text "None" of a missing one.
    return pd.Categorical(values) if dtype == "category" else pd.Series(list(values), dtype=dtype).array


def plain_column(values: Sequence[Any]) -> Any:
    """Values of a column whose type is not known: whole numbers stay whole beside missing ones, and numbers beside
    texts become texts."""
    import pandas as pd

    # pandas would make floats of whole numbers beside a missing one, and objects of a mixture, which no file takes.
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and not _are_large(values):
        return pd.array(list(values), dtype="Int64")
    if _are_large(values) or (len(kinds) > 1 and not kinds <= {int, float}):
        return [None if value is None else str(value) for value in values]
    return list(values) if kinds else pd.array(list(values), dtype="object")


def _are_large(values: Sequence[Any]) -> bool:
    """Whether a number is such as a hash of 64 bits, which no column of numbers holds."""
    return any(isinstance(value, int) and abs(value) >= 2**63 for value in values)


def _letters(starred: str) -> str:
    """The letters of the places in a JSON list; a place that no image has is left out."""
    return "".join(letter_of(place) for place in json.loads(starred) if place in range(MOST_IMAGES))


# ---- images ----


def images_of(what: Any) -> list[SavedImage]:
    """The images of an image, a result, a sweep, a batch, or a list of these; each once, by the name of its file.

    Raises:
        InputError: it is none of these.
    """
    # By name: the same image in a result and in a sweep is one, also if one of them has a relative path.
    return list({image.path.name: image for image, _ in _walk(what)}.values())


def _walk(what: Any) -> Iterator[tuple[SavedImage, Mapping[str, Any]]]:
    """Each image, and the columns that its sweep or batch adds: its axes and draw, or its row and id."""
    if isinstance(what, SavedImage):
        yield what, {}
    elif isinstance(what, SweepResult):
        for point, result in zip(what.points, what, strict=True):
            at = point.at(what.axes) | what.draw
            yield from ((image, at) for image in result or ())
    elif isinstance(what, BatchResult):
        for place, result in enumerate(what):
            row = {} if what.ids is None else {free_name(what.ids[0], {"row"}, "id"): what.ids[1][place]}
            yield from ((image, {"row": place} | row) for image in result or ())
    elif isinstance(what, Iterable) and getattr(what, "ndim", 1) != 0 and not isinstance(what, str | bytes | Mapping):
        for one in what:
            if one is not None:  # a sweep or batch as a list has None for what failed
                yield from _walk(one)
    else:
        raise InputError(
            f"{type(what).__name__} holds no images. Give a result, a sweep, a batch, an image, or a list of these.",
            parameter="what",
        )


def images_frame(what: Any, beside: Mapping[Path, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> "pd.DataFrame":
    """One row per image, in the order of ``what``.

    Columns: address, number, letter, path, prompt, the parameters of the model, sample, the axes of a sweep (and of
    drawn points ``pick_seed`` and ``pick_of``) or ``row`` (the place in its table, from 0) and id of a batch, width and
    height in pixels, format, bytes, starred, note, then the measures. An axis or id that shares its name with another
    column gets ``axis_`` before it, a measure ``measure_``. Every value is a number, a text, True, False or missing.

    Args:
        beside: by path, the star and the note of an image, and its measures.
    """

    rows = []
    for image, more in _walk(what):
        marks, measures = beside.get(image.path, ({"starred": False, "note": None}, {}))
        width, height, kind, size = _of_the_file(image)
        row = {
            "address": image.address,
            "number": image.number,
            "letter": image.letter,
            "path": str(image.path),
            **{name: _cell(value) for name, value in image.request.values.items()},
            "sample": image.request.sample,
            # An axis that is a parameter has its column already.
            **{
                free_name(name, _IMAGE_DTYPES, "axis"): _cell(value)
                for name, value in more.items()
                if name not in PARAMETERS
            },
            "width": width,
            "height": height,
            "format": kind,
            "bytes": size,
            **marks,
        }
        rows.append(row | {free_name(name, row, "measure"): value for name, value in measures.items()})
    # Without images the same columns, of the same types.
    return plain_frame(rows or [dict.fromkeys(_IMAGE_DTYPES)], _IMAGE_DTYPES).iloc[: len(rows)].copy()


def plain_frame(rows: Sequence[Mapping[str, Any]], dtypes: Mapping[str, Any], index: Any = None) -> "pd.DataFrame":
    """The rows as a table that files and data bases take; a column without a dtype as `plain_column` has it."""
    import pandas as pd

    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    return pd.DataFrame(
        {
            name: pd.Series(of, dtype=dtypes[name]).array
            if dtypes.get(name) and not _are_large(of)
            else plain_column(of)
            for name, of in columns.items()
        },
        index=index,
    )


def measured_frame(
    name: str, images: Sequence[SavedImage], values: Mapping[Path, Any], errors: Mapping[Path, str]
) -> "pd.DataFrame":
    """One row per image, index ``address``: the columns of a measure, and ``name_error`` if there are any errors."""
    import pandas as pd

    columns = [columns_of(name, values[image.path]) if image.path in values else {} for image in images]
    error = free_name(f"{name}_error", {key for row in columns for key in row}, name)
    rows = [
        row | ({error: errors[image.path]} if image.path in errors else {})
        for row, image in zip(columns, images, strict=True)
    ]
    return plain_frame(rows, {}, pd.Index([image.address for image in images], name="address"))


def _of_the_file(image: SavedImage) -> Sequence[Any]:
    """Width, height, format and size of the file; missing if it is gone or cannot be read."""
    with suppress(OSError):
        width, height, kind = decode.header(image.path)
        return width or None, height or None, kind, image.path.stat().st_size
    return None, None, None, None


def _cell(value: Any) -> Any:
    return None if is_missing(value) else value if isinstance(value, str | int | float) else label(value)
