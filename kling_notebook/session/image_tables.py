"""Images of a session as tables: what holds them, their measures, and a data set of them."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..results import dataset, measures
from ..results.frames import images_frame, images_of, measured_frame
from ..results.measures import Measured, columns_of
from .session import Session

if TYPE_CHECKING:
    import pandas as pd

KEPT_AT_ONCE = 50  # measures written in one transaction

Counted = Callable[[Iterable[Measured], int, str], Iterator[Measured]]


def holder(session: Session, what: Any, everything: bool) -> Any:
    """What holds the images that are meant: ``what``, else the results of the session, or of the folder."""
    if what is not None:
        return list(what) if isinstance(what, Iterator) else what  # it gives its images once
    return [
        session.workspace.as_result(record)
        for record in reversed(session.rows(limit=None, mine=not everything))
        if record.images
    ]


def images(session: Session, what: Any, *, everything: bool = False) -> "pd.DataFrame":
    """See `kling_notebook.images`."""
    held = holder(session, what, everything)
    # Numbers mean something in this folder only: an image of another one may have the number of another job here.
    here = [image for image in images_of(held) if image.path.parent == session.folder]
    numbers = {image.number for image in here}
    marks, kept = session.journal.marks(numbers), session.journal.measures(numbers)
    beside: dict[Path, tuple[dict[str, Any], dict[str, Any]]] = {}
    for image in here:
        starred, note = marks.get(image.number, (frozenset(), None))
        measured = {
            key: one
            for name, (_, value) in kept.get((image.number, image.place), {}).items()
            for key, one in columns_of(name, value).items()
        }
        beside[image.path] = {"starred": image.place in starred, "note": note}, measured
    return images_frame(held, beside)


def measure(
    session: Session,
    function: Callable[..., Any],
    what: Any,
    *,
    name: str | None,
    executor: Executor | None,
    refresh: bool,
    counted: Counted,
) -> "pd.DataFrame":
    """See `kling_notebook.measure`. ``counted`` passes on what is measured, and shows how many have come."""
    name, code = measures.name_of(function, name), measures.code_hash(function)
    found = images_of(holder(session, what, everything=False))
    here = [image for image in found if image.path.parent == session.folder]  # of others the journal knows nothing
    known = session.journal.measures({image.number for image in here})
    kept = {image.path: known.get((image.number, image.place), {}).get(name) for image in here}
    values = {path: one[1] for path, one in kept.items() if one is not None and one[0] == code and not refresh}
    missing = [image for image in found if image.path not in values]
    again = 0 if refresh else sum(kept.get(image.path) is not None for image in missing)
    title = f"{name}, again since its code changed" if again else name
    errors: dict[Path, str] = {}
    unwritten: list[tuple[int, int, str, str, Any]] = []
    try:
        for one in counted(measures.run(function, missing, executor), len(missing), title):
            if one.error:
                errors[one.image.path] = one.error
                continue
            values[one.image.path] = one.value
            if one.image.path in kept:
                unwritten.append((one.image.number, one.image.place, name, code, one.value))
            if len(unwritten) >= KEPT_AT_ONCE:
                session.journal.keep_measures(unwritten)
                unwritten.clear()
    finally:  # also what was measured before an interrupt
        session.journal.keep_measures(unwritten)
    frame = measured_frame(name, found, values, errors)
    frame.attrs["recomputed"] = again
    return frame


def export(session: Session, what: Any, folder: str | os.PathLike[str]) -> Path:
    """See `kling_notebook.export`."""
    held = holder(session, what, everything=False)
    # Of two rows with one image, the first counts.
    rows: dict[str, Any] = {row.pop("path"): row for row in images(session, held).iloc[::-1].to_dict("records")}
    return dataset.export([(image, rows[str(image.path)]) for image in images_of(held)], folder)
