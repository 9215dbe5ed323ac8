"""Sessions that talk to the sandbox as if it were the hosted service: with a key, a price and a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

FAULT_TABLE: list[tuple[str, str, str, str]] = []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kling_images"


@pytest.fixture
def make_session(folder: Path) -> Iterator[Callable[..., Session]]:
    """Begin sessions on a sandbox's address, with its key: to them it is a service that costs credits."""
    from kling_notebook.session.session import Session

    begun: list[Session] = []

    def make(sandbox: Sandbox, **said: Any) -> Session:
        quick = {"connect_timeout": 2.0, "read_timeout": 1.5, "download_timeout": 3.0, "requests_per_minute": 6000}
        where = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder)}
        session = Session(where | quick | said)
        begun.append(session)
        return session

    yield make
    for session in begun:
        session.close()


@pytest.fixture
def session(make_session: Callable[..., Session], sandbox: Sandbox) -> Session:
    return make_session(sandbox)


@pytest.fixture
def fault_table() -> list[tuple[str, str, str, str]]:
    return FAULT_TABLE


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what each fault cost: fault, POSTs, charges, outcome."""
    if not FAULT_TABLE:
        return
    terminalreporter.write_sep("-", "faults: what was sent, what was charged, what became of it")
    widths = [max(len(row[i]) for row in FAULT_TABLE) for i in range(4)]
    for row in [("fault", "POSTs", "charges", "outcome"), *sorted(FAULT_TABLE)]:
        terminalreporter.write_line("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)))
