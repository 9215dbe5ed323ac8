"""What others do to the process: jobs end, queued cells run, and nothing is cached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def test_queued_cells_run_after_the_archived_nest_asyncio(on: Any, make_sandbox: Any) -> None:
    """It was applied first, and a wait that turns its loop loses the cells that are queued behind it."""
    pytest.importorskip("nest_asyncio")
    service = make_sandbox(latency=1.5)
    kernel = on(service)
    kernel.ok("import nest_asyncio; nest_asyncio.apply(); order = []")
    first = kernel.send("%%kling -o fox\na fox")
    others = [kernel.send(f"order.append({k})") for k in range(3)]
    assert kernel.wait(first).status == "ok"
    assert [kernel.wait(message_id).status for message_id in others] == ["ok"] * 3
    assert kernel.ok("print(order, len(fox))").text.strip() == "[0, 1, 2] 1"
    cell_id = kernel.send("%%kling\nan owl")
    kernel.until(lambda: service.count("submit") == 2)
    kernel.interrupt()
    assert kernel.wait(cell_id).ename == "Interrupted"


def printed_by(script: str, folder: Path) -> str:
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    return ran.stdout.strip() or ran.stderr


def test_a_loop_of_uvloop_is_waited_in(make_sandbox: Any, tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    service = make_sandbox(latency=0.3)
    script = (
        "import uvloop, kling_notebook as kling\n"
        f"kling.connect(api_key={service.key!r}, base_url={service.base_url!r})\n"
        "async def main(): return kling.generate('a fox')\n"
        "print(len(uvloop.run(main())))"
    )
    assert printed_by(script, tmp_path) == "1"


def test_a_cache_around_requests_keeps_no_reply(make_sandbox: Any, tmp_path: Path) -> None:
    """The first poll was cached, and every job ran for ever."""
    pytest.importorskip("requests_cache")
    service = make_sandbox(latency=0.5)
    script = (
        "import requests_cache\nrequests_cache.install_cache('demo')\nimport kling_notebook as kling\n"
        f"kling.connect(api_key={service.key!r}, base_url={service.base_url!r})\n"
        "print(len(kling.generate('a fox', timeout=60)), len(requests_cache.get_cache().responses))"
    )
    assert printed_by(script, tmp_path) == "1 0"
