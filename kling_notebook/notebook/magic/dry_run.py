"""What ``--dry-run`` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...api.generation_request import GenerationRequest
from ...api.parameters import PARAMETERS
from ...jobs.spending import Estimate
from ...results import sweep_axes
from ...view.table import facts_bundle

MOST_PLANNED = 50
"""Rows of a dry run at most."""


def planned_bundle(estimate: Estimate, requests: Sequence[GenerationRequest], plan: Any) -> dict[str, Any]:
    """What a dry run shows: the shape, the estimate, and the jobs one by one."""
    axes = getattr(plan, "axes", {})
    names = [name for name in axes if name != "prompt"]
    fixed = [name for name in PARAMETERS if name not in ("prompt", *axes)]
    values = {name: {sweep_axes.label(request.values[name]) for request in requests} for name in fixed}
    rows = []
    for place, request in enumerate(requests[:MOST_PLANNED], 1):
        at = dict(zip(axes, plan.points[place - 1].coordinates, strict=True)) if names else {}
        rows.append((str(place), *(sweep_axes.label(at[name]) for name in names), request.prompt))
    if len(requests) > MOST_PLANNED:
        rows.append(("", *("" for _ in names), f"and {len(requests) - MOST_PLANNED} more"))
    same = ", ".join(f"{name} {next(iter(one))}" for name, one in values.items() if len(one) == 1 and one != {"none"})
    shape = f"{plan.shape}, " if plan is not None and len(requests) > 1 else ""
    title = f"Dry run, nothing was sent: {shape}{estimate.cost if shape else estimate}; {same}"
    return facts_bundle(title, rows, header=("job", *names, "prompt"))
