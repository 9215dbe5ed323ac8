"""Executors for the tests of sweeps beyond one machine; in a module of its own so that workers can import it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from kling_notebook.session import remote

DEATHS = "KLING_TEST_DEATHS"


def run_and_die_once(task: Any) -> dict[str, Any]:
    """Run a task; the first worker that has POSTed kills itself with SIGKILL before it could tell."""
    from kling_notebook.session.intents import Intents

    commit = Intents.commit

    def deadly(self: Intents, record: Any) -> None:
        commit(self, record)
        marker = Path(os.environ[DEATHS])
        if record.job_id:
            try:
                marker.open("x").close()
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

    Intents.commit = deadly  # type: ignore[method-assign]
    try:
        return remote.run_task(task)
    finally:
        Intents.commit = commit  # type: ignore[method-assign]


def run_and_die_before_the_reply(task: Any) -> dict[str, Any]:
    """Run a task; the first one's worker is killed when the service has its POST and before the reply is read."""
    from kling_notebook.api.client import KlingClient

    submit = KlingClient.submit

    def deadly(self: KlingClient, request: Any) -> Any:
        job = submit(self, request)
        if request.prompt == "a fox":
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    KlingClient.submit = deadly  # type: ignore[method-assign]
    try:
        return remote.run_task(task)
    finally:
        KlingClient.submit = submit  # type: ignore[method-assign]
