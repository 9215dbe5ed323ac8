"""Images as a DataFrame: one plain row per image, whatever holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..api.errors import InputError
from ..api.parameters import PARAMETERS
from ..image_files import containers
from .batch_result import BatchResult
from .measures import columns_of
from .result import Result, SavedImage
from .sweep_axes import label
from .sweep_result import SweepResult

if TYPE_CHECKING:
    import pandas as pd

_FACTS = ("address", "number", "letter", "path", "prompt")
_OF_THE_FILE = ("width", "height", "format", "bytes")
_WHOLE = ("width", "height", "bytes")


def images_of(what: Any) -> list[SavedImage]:
    """The images of an image, a result, a sweep, a batch, or a list of these; each once.

    Raises:
        InputError: it is none of these.
    """
    return list({image.address: image for image, _ in _walk(what)}.values())


def _walk(what: Any) -> Iterator[tuple[SavedImage, Mapping[str, Any]]]:
    """Each image, and the columns that its sweep or batch adds: the axes' values, or the row's index and id."""
    if isinstance(what, SavedImage):
        yield what, {}
    elif isinstance(what, Result):
        yield from ((image, {}) for image in what)
    elif isinstance(what, SweepResult):
        for point, result in zip(what.points, what, strict=True):
            at = dict(zip(what.axes, point.coordinates, strict=True))
            for image in result or ():
                yield image, {name: value if _is_plain(value) else label(value) for name, value in at.items()}
    elif isinstance(what, BatchResult):
        for place, result in enumerate(what):
            row = {} if what.ids is None else {what.ids[0]: what.ids[1][place]}
            for image in result or ():
                yield image, {"row": place} | row
    elif isinstance(what, Iterable) and not isinstance(what, str | bytes | Mapping):
        for one in what:
            if one is not None:  # a sweep or batch as a list has None for what failed
                yield from _walk(one)
    else:
        raise InputError(
            f"{type(what).__name__} holds no images. Give a result, a sweep, a batch, an image, or a list of these.",
            parameter="what",
        )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def images_frame(
    what: Any,
    marks: Mapping[int, tuple[frozenset[int], str | None]],
    measures: Mapping[tuple[int, int], Mapping[str, Any]],
) -> pd.DataFrame:
    """One row per image, in the order of ``what``.

    Columns: address, number, letter, path, prompt, the parameters of the model, sample, the axes of a sweep or ``row``
    (the place in its table, from 0) and id of a batch, width and height in pixels, format, bytes, starred, note, then
    the measures. A name that an axis or id shares with another column gets ``axis_`` before it. Every value is a
    number, a text, True, False or missing.

    Args:
        marks: by job number, the places starred and the job's note. measures: by job number and place, name -> value.
    """
    import pandas as pd

    rows = []
    taken = {*_FACTS, *PARAMETERS, *_OF_THE_FILE, "sample", "starred", "note"}
    for image, more in _walk(what):
        values = image.request.values
        starred, note = marks.get(image.number, (frozenset(), None))
        row: dict[str, Any] = dict(zip(_FACTS, _facts(image), strict=True))
        row |= {name: _cell(values.get(name)) for name in PARAMETERS if name != "prompt"}
        row["sample"] = image.request.sample
        row |= {
            f"axis_{name}" if name in taken else name: _cell(value)
            for name, value in more.items()
            if name not in PARAMETERS
        }
        row |= dict(zip(_OF_THE_FILE, _of_the_file(image), strict=True))
        row |= {"starred": image.place in starred, "note": note}
        row |= measures.get((image.number, image.place), {})
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row)) or [*_FACTS]
    frame = pd.DataFrame(rows, columns=columns)
    whole = [
        name for name in (*_WHOLE, *(n for n, row in PARAMETERS.items() if row.kind == "integer")) if name in frame
    ]
    return frame.astype(dict.fromkeys(whole, "Int64"))  # a missing one stays missing, and the others stay whole


def measured_frame(
    name: str, images: Sequence[SavedImage], values: Mapping[str, Any], errors: Mapping[str, str]
) -> pd.DataFrame:
    """One row per image, index ``address``: the columns of a measure, and ``name_error`` if there are any errors.

    Args:
        values, errors: by address.
    """
    import pandas as pd

    rows = []
    for address in (image.address for image in images):
        row = columns_of(name, values[address]) if address in values else {}
        rows.append(row | ({f"{name}_error": errors[address]} if address in errors else {}))
    return pd.DataFrame(rows, index=pd.Index([image.address for image in images], name="address"))


def _facts(image: SavedImage) -> Sequence[Any]:
    return image.address, image.number, image.letter, str(image.path), image.request.prompt


def _of_the_file(image: SavedImage) -> Sequence[Any]:
    """Width, height, format and size of the file; missing if it is gone or cannot be read."""
    try:
        facts = containers.facts(image.path.read_bytes())
        return facts.width, facts.height, facts.media_type.partition("/")[2], image.path.stat().st_size
    except (OSError, ValueError):
        return None, None, None, None


def _cell(value: Any) -> Any:
    return value if value is None or _is_plain(value) else label(value)
