"""Images as a DataFrame: one plain row per image, whatever holds them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.errors import InputError
from ..api.event_log import log_suppressed
from ..api.parameters import PARAMETERS
from ..image_files import decode
from .batch_result import BatchResult
from .history import plain_column
from .measures import columns_of
from .result import SavedImage
from .sweep_axes import label
from .sweep_result import SweepResult, free_name
from .table_rows import is_missing

if TYPE_CHECKING:
    import pandas as pd

_FACTS = ("address", "number", "letter", "path")


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
    elif isinstance(what, Iterable) and not isinstance(what, str | bytes | Mapping):
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
    import pandas as pd

    rows = []
    taken = {*_FACTS, *PARAMETERS, "sample", "width", "height", "format", "bytes", "starred", "note"}
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
            **{free_name(name, taken, "axis"): _cell(value) for name, value in more.items() if name not in PARAMETERS},
            "width": width,
            "height": height,
            "format": kind,
            "bytes": size,
            **marks,
        }
        rows.append(row | {free_name(name, row, "measure"): value for name, value in measures.items()})
    return plain_frame(rows) if rows else pd.DataFrame(columns=[*_FACTS])


def plain_frame(rows: Sequence[Mapping[str, Any]], index: Any = None) -> "pd.DataFrame":
    """The rows as a table that files and data bases take: whole numbers stay whole beside missing ones, and numbers
    beside texts become texts."""
    import pandas as pd

    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: plain_column([row.get(name) for row in rows]) for name in names}, index=index)


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
    return plain_frame(rows, pd.Index([image.address for image in images], name="address"))


def _of_the_file(image: SavedImage) -> Sequence[Any]:
    """Width, height, format and size of the file; missing if it is gone or cannot be read."""
    try:
        width, height, kind = decode.header(image.path)
        return width or None, height or None, kind, image.path.stat().st_size
    except OSError as error:
        log_suppressed(__name__, error)
        return None, None, None, None


def _cell(value: Any) -> Any:
    plain = isinstance(value, str | int | float)
    return None if is_missing(value) else value if plain else label(value)
