"""What a call is about to ask for, checked but not sent: the plan of a sweep or of a batch, and its requests."""

from collections.abc import Mapping
from typing import Any

from ..api.errors import InputError
from ..api.generation_request import GenerationRequest
from ..results import sweep_axes
from ..results.batch_result import BatchPlan, plan_batch
from ..results.sweep_axes import Pick
from ..results.sweep_result import SweepPlan
from ..results.table_rows import Row, check_column, read_table, rows_of
from .session import Session


def sweep_plan(
    session: Session,
    prompt: Any,
    axes: Mapping[str, Any] | None,
    more: Mapping[str, Any],
    *,
    pick: int | None = None,
    pick_seed: int | str = 0,
) -> SweepPlan:
    """The plan of `kling_notebook.sweep`; without axes that of a single request.

    Raises:
        InputError: an axis or a value that cannot be used.
    """
    draw = None if pick is None else Pick(sweep_axes.plain(pick), sweep_axes.plain(pick_seed))
    return SweepPlan(
        *sweep_axes.parse_axes(prompt, axes, more, source=session.workspace.attachments.resolve, pick=draw), pick=draw
    )


def batch_plan(
    session: Session,
    frame: Any,
    columns_or_values: Mapping[str, Any],
    *,
    prompt: str = "prompt",
    id_column: str | None = None,
    extra: Mapping[str, Any] | None = None,
    skip_invalid: bool = False,
) -> BatchPlan:
    """The plan of `kling_notebook.batch`.

    Raises:
        InputError: no table, a column that does not exist, or rows that cannot be asked for.
    """
    table, ids = read_table(frame), None
    if id_column is not None:
        check_column(table, id_column, "id")
        ids = (str(id_column), table[id_column].tolist())
    rows = rows_of(table, prompt, columns_or_values)
    beside: dict[str, Any] = {"sources": {}, "extra": extra}  # rows that share a source image read it once
    requests = [_request_of(session, row, **beside) for row in rows]
    return plan_batch(table.index, ids, rows, requests, skip_invalid=skip_invalid)


def _request_of(session: Session, row: Row, **beside: Any) -> GenerationRequest | str:
    """The checked request of a row, or why it cannot be asked for."""
    try:
        return row.error or session.request(row.prompt, **beside, **row.parameters)
    except InputError as error:
        return str(error)
