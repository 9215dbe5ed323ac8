"""Images of a session as tables: what holds them, their measures, and a data set of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..results import dataset, measures
from ..results.images_table import images_frame, images_of, measured_frame
from ..results.measures import Measured, columns_of
from .session import Session

if TYPE_CHECKING:
    import pandas as pd

KEPT_AT_ONCE = 50
"""Measures written in one transaction: what an interrupt can cost."""

Counted = Callable[[Iterable[Measured], int, str], Iterator[Measured]]


def holder(session: Session, what: Any, everything: bool) -> Any:
    """What holds the images that are meant: ``what``, else the results of the session, or of the folder."""
    if what is not None:
        return what
    rows = session.rows(limit=None, mine=not everything)
    return [session.workspace.as_result(record) for record in reversed(rows) if record.images]


def images(session: Session, what: Any, *, everything: bool = False) -> pd.DataFrame:
    """See `kling_notebook.images`."""
    held = holder(session, what, everything)
    numbers = {image.number for image in images_of(held)}
    kept = session.journal.measures(numbers)
    columns: dict[tuple[int, int], dict[str, Any]] = {
        at: {column: one for name, (_, value) in named.items() for column, one in columns_of(name, value).items()}
        for at, named in kept.items()
    }
    return images_frame(held, session.journal.marks(numbers), columns)


def measure(
    session: Session,
    function: Callable[..., Any],
    what: Any,
    *,
    name: str | None,
    executor: Executor | None,
    refresh: bool,
    counted: Counted,
) -> pd.DataFrame:
    """See `kling_notebook.measure`. ``counted`` passes on what is measured, and shows how many have come."""
    name, code = measures.name_of(function, name), measures.code_hash(function)
    found = images_of(holder(session, what, everything=False))
    known = session.journal.measures({image.number for image in found})
    kept = {image.address: known.get((image.number, image.place), {}).get(name) for image in found}
    values = {address: one[1] for address, one in kept.items() if one is not None and one[0] == code and not refresh}
    missing = [image for image in found if image.address not in values]
    again = 0 if refresh else sum(kept[image.address] is not None for image in missing)
    title = f"{name}, again since its code changed" if again else name
    errors: dict[str, str] = {}
    arriving = iter(counted(measures.run(function, missing, executor), len(missing), title))
    while some := list(islice(arriving, KEPT_AT_ONCE)):
        good = [one for one in some if not one.error]
        session.journal.keep_measures((one.image.number, one.image.place, name, code, one.value) for one in good)
        values |= {one.image.address: one.value for one in good}
        errors |= {one.image.address: one.error for one in some if one.error}
    frame = measured_frame(name, found, values, errors)
    frame.attrs["recomputed"] = again
    return frame


def export(session: Session, what: Any, folder: str | os.PathLike[str]) -> Path:
    """See `kling_notebook.export`."""
    frame = images(session, what).drop_duplicates("address").drop(columns="path")
    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    return dataset.export(images_of(holder(session, what, everything=False)), rows, folder)
