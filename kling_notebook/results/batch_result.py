"""BatchResult: what became of a table of prompts, row by row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..api.errors import InputError
from ..api.generation_request import GenerationRequest
from ..api.quantities import count
from ..view.grid import grid_bundle
from .handle import Gathered, JobHandle
from .result import grid_tiles
from .sweep_result import free_name
from .table_rows import Row

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMED = 5  # rows named in an error
MOST_SHOWN = 24  # images in the display of a batch; the rest is in its table


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """A batch before its jobs are started.

    Attributes:
        row_labels: the table's own index. ids: name and values of the column with the rows' ids.
        requests: one per row, in order; None for a row that is skipped. invalid: by the row's place, why it is.
    """

    row_labels: Any
    ids: tuple[str, Sequence[Any]] | None
    requests: Sequence[GenerationRequest | None]
    invalid: Mapping[int, str]

    @property
    def shape(self) -> str:
        skipped = f", {len(self.invalid)} skipped" if self.invalid else ""
        return f"{count(len(self.requests), 'row')}{skipped}"

    def labels(self, requests: Sequence[GenerationRequest]) -> dict[GenerationRequest, str]:
        """What each request is called beside its progress."""
        return {request: request.prompt for request in requests}

    def gather(self, handles: Sequence[JobHandle]) -> "BatchResult":
        """The result of handles that were started for the rows that are not skipped, in order."""
        # Only rows with a request were started; the handles come in the order of those.
        left = iter(handles)
        return BatchResult(
            self.row_labels, self.ids, [None if one is None else next(left) for one in self.requests], self.invalid
        )


def plan_batch(
    row_labels: Any,
    ids: tuple[str, Sequence[Any]] | None,
    rows: Sequence[Row],
    requests: Sequence[GenerationRequest | str],
    *,
    skip_invalid: bool,
) -> BatchPlan:
    """The plan of a batch.

    Args:
        requests: per row its request, or why there is none.

    Raises:
        InputError: a row has no request and ``skip_invalid`` is off, or no row has one.
    """
    invalid = {row.place: request for row, request in zip(rows, requests, strict=True) if isinstance(request, str)}
    if invalid and (not skip_invalid or len(invalid) == len(rows)):
        lines = [f"row {place}: {why.rstrip('.')}" for place, why in list(invalid.items())[:MOST_NAMED]]
        more = f"; and {len(invalid) - MOST_NAMED} more" if len(invalid) > MOST_NAMED else ""
        way = "Mend the table." if skip_invalid else "Mend the table, or skip such rows with skip_invalid=True."
        raise InputError(
            f"{count(len(invalid), 'row')} of {len(rows)} cannot be requested (rows count from 0): {'; '.join(lines)}"
            f"{more}. Nothing was sent. {way}",
            parameter="frame",
        )
    return BatchPlan(row_labels, ids, [None if isinstance(one, str) else one for one in requests], invalid)


class BatchResult(Gathered):
    """The results of a batch, one per row of its table and in its order; None for a row that has none.

    Rows that ask for the same share one job.

    Attributes:
        row_labels: the table's own index. ids: name and values of the column with the rows' ids, None if there is none.
        handles: one per row, None for a row that was skipped. invalid: by the row's place from 0, why it was skipped.

    >>> batch = kling.batch([{"prompt": "a red fox"}, {"prompt": "a snowy owl"}], show_progress=False)
    >>> list(batch.table()["status"])
    ['completed', 'completed']
    """

    def __init__(
        self,
        row_labels: Any,
        ids: tuple[str, Sequence[Any]] | None,
        handles: Sequence[JobHandle | None],
        invalid: Mapping[int, str],
    ) -> None:
        self.row_labels = row_labels
        self.ids = ids
        self.handles = tuple(handles)
        self.invalid = dict(invalid)

    def status(self, place: int) -> str:
        """The status of a row: that of its job, or ``invalid``."""
        return "invalid" if (handle := self.handles[place]) is None else handle.status.value

    def error(self, place: int) -> str | None:
        """Why a row has no images; None if it has, or its job is not over."""
        return self.invalid[place] if (handle := self.handles[place]) is None else handle.failed

    def table(self) -> "pd.DataFrame":
        """One row per row of the table, on the table's own index.

        Columns: the id column under its own name, ``number`` of the job, ``status``, ``images`` (how many are saved),
        ``credits`` (each row's share of what its job cost), ``seconds``, ``error``.
        """
        import pandas as pd

        # Rows that ask for the same share a job and its price, so that the column can be summed.
        shares = Counter(handle.number for handle in self.handles if handle is not None)
        results = list(self)
        places = range(len(self))
        credits = [None if r is None or r.credits is None else r.credits / shares[r.number] for r in results]
        columns = {
            "number": pd.array([None if h is None else h.number for h in self.handles], dtype="Int64"),
            "status": [self.status(place) for place in places],
            "images": pd.array([0 if r is None else len(r) for r in results], dtype="int64"),
            "credits": pd.array(credits, dtype="Float64"),
            "seconds": pd.array([None if r is None else r.seconds for r in results], dtype="Float64"),
            "error": [self.error(place) for place in places],
        }
        named = {} if self.ids is None else {free_name(self.ids[0], columns, "row"): list(self.ids[1])}
        return pd.DataFrame(named | columns, index=self.row_labels)

    @property
    def summary(self) -> str:
        """``500 rows: 497 completed, 2 failed, 1 invalid``."""
        counts = Counter(self.status(place) for place in range(len(self)))
        return f"{count(len(self), 'row')}: {', '.join(f'{n} {word}' for word, n in counts.most_common())}"

    def bundle(self, *, title: str = "", notice: str = "") -> dict[str, Any]:
        """The batch as a mimebundle: its first images as a grid, under what became of its rows."""
        images = self.images
        more = f", the first {MOST_SHOWN} of {len(images)} images" if len(images) > MOST_SHOWN else ""
        return grid_bundle(grid_tiles(images[:MOST_SHOWN]), title=title or self.summary + more, notice=notice)

    def __repr__(self) -> str:
        return f"<BatchResult {self.summary}>"
