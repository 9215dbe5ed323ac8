"""Which of the service's recent jobs may be the one that a submit without a reply made. Offered, never attached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ..api.client import KlingClient
from ..api.errors import KlingError
from ..api.harmless import without_urls
from ..api.jobs import Job
from .journal import Journal
from .records import Record

SLACK = 60.0
"""Seconds by which the service's clock may be behind ours."""


def offered(journal: Journal, client: KlingClient, doubts: Sequence[Record]) -> dict[int, tuple[str, ...]]:
    """Job ids by the number of the doubtful job they may belong to. {} where the service lists no jobs.

    A match is unknown to the folder, was made after the intent and, where the list says the prompt, for this prompt.
    """
    if not doubts:
        return {}
    try:
        listed = client.recent_jobs()
    except KlingError:  # it is help beside a status, and must not cost the status
        return {}
    strange = [job for job in listed if journal.by_job_id(job.job_id) is None]
    found = {doubt.number: tuple(_matches(doubt, strange)) for doubt in doubts}
    return {number: ids for number, ids in found.items() if ids}


def _matches(doubt: Record, jobs: Iterable[Job]) -> Iterable[str]:
    since = (doubt.submitted_at or doubt.created_at) - SLACK
    prompt = without_urls(doubt.request.prompt)
    for job in jobs:
        made, said = made_at(job), job.raw.get("prompt")
        if made is not None and made >= since and (said is None or str(said).strip() == prompt):
            yield job.job_id


def made_at(job: Job) -> float | None:
    """Epoch seconds at which the service made the job: an ISO date, or seconds or milliseconds since the epoch."""
    said: Any = next((job.raw[key] for key in ("createdAt", "created_at", "created") if job.raw.get(key)), None)
    try:
        if isinstance(said, str) and not said.replace(".", "", 1).isdecimal():
            moment = datetime.fromisoformat(said)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        seconds = float(said)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds / 1000.0 if seconds > 1e11 else seconds
