"""The rate limit for real: a dozen jobs against a service that counts what it lets pass, and refuses the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from kling_notebook.api import rate_limiter
from kling_notebook.api.job import JobStatus
from kling_notebook.journal.job_record import new_record

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

JOBS = 12


def run_a_dozen(session: Session, sandbox: Sandbox) -> tuple[float, int, int]:
    """Seconds, requests and refusals of a dozen jobs, all of which must come home, each bought once.

    The folder knows already that such jobs take half a second.
    """
    old = {"backend": session.backend, "source": "python", "session": "earlier", "estimate": 1.0}
    session.journal.add(
        new_record(session.request(f"an owl {k}"), **old).replace(status=JobStatus.COMPLETED, seconds=0.5 + k / 50)
        for k in range(10)
    )
    begun = time.monotonic()
    requests = [session.request(f"a fox {k}") for k in range(JOBS)]
    batch = session.start(requests, source="python", sweep=True)
    results = [handle.result(timeout=60) for handle in batch.handles]
    seconds = time.monotonic() - begun
    assert [result.request.prompt for result in results] == [request.prompt for request in requests]
    assert sandbox.charges == JOBS
    counted = [entry for entry in sandbox.log if entry.kind in ("submit", "poll")]
    refused = sum(entry.status == 429 for entry in counted)
    print(f"{seconds:.1f} s, {len(counted)} requests, {refused} refused")
    return seconds, len(counted), refused


def test_an_announced_limit_is_kept_and_nothing_is_refused(
    make_session: Callable[..., Session], make_sandbox: Callable[..., Sandbox]
) -> None:
    """Two requests a second after the first twelve: 24 take six seconds at least."""
    sandbox = make_sandbox(latency=0.5, rate_limit=120, rate_model="bucket", rate_burst=12)
    session = make_session(sandbox, requests_per_minute=60)
    seconds, requests, refused = run_a_dozen(session, sandbox)
    assert refused <= 1, "on a busy machine the two sides count a moment apart"
    assert requests <= 3 * JOBS, "polls are spent where they pay"
    assert seconds < 60
    assert session.client.request_queue.limiter.limit == 120, "what the service says of itself replaces the setting"
    assert session.estimate([session.request(f"a cat {k}") for k in range(100)]).pace == 120


@pytest.mark.long
@pytest.mark.parametrize("retry_after", ["seconds", "none"])
def test_an_unannounced_limit_loses_no_job(
    retry_after: str,
    make_session: Callable[..., Session],
    make_sandbox: Callable[..., Sandbox],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only refusals tell of it. The minute in which limits are counted lasts four seconds here, on both sides."""
    monkeypatch.setattr(rate_limiter, "WINDOW", 4.0)
    options = {"rate_headers": False, "rate_retry_after": retry_after}
    sandbox = make_sandbox(latency=0.5, rate_limit=9, rate_window=4.0, **options)
    seconds, _, refused = run_a_dozen(make_session(sandbox, requests_per_minute=60), sandbox)
    assert refused > 0, "the limit was never met"
    assert refused < JOBS, "one refusal each would be asking without learning"
    assert seconds < 30
