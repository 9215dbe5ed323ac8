"""The package stays small enough for one person to know."""

from __future__ import annotations

import runpy
from pathlib import Path

size = runpy.run_path(str(Path(__file__).parent / "statements.py"))
LINES_OF_THE_SANDBOX = 7_000


def test_the_package_has_at_most_so_many_statements() -> None:
    assert size["counted"]().total() <= size["MOST"], "python tests/statements.py lists them by package"


def test_the_sandbox_has_at_most_so_many_lines() -> None:
    modules = (size["PACKAGE"] / "sandbox").rglob("*.py")
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in modules) <= LINES_OF_THE_SANDBOX


def test_no_function_is_too_long_to_be_taken_in() -> None:
    assert [line for path in size["sources"]() for line in size["long_functions"](path)] == []
