"""The attacks on the promises in their short form; ``python -m tests.attacks`` runs the long one and prints a table."""

from __future__ import annotations

import importlib
import random
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
main = importlib.import_module("tests.attacks.__main__")

NAMES = (
    "kills",
    "copies",
    "together",
    pytest.param("limits", marks=pytest.mark.long),
    "faulty",
    "interrupts",
    "replies",
)  # the others have tests of their own


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("name", NAMES)
def test_the_promises_hold(name: str, tmp_path: Path) -> None:
    """What was paid for is kept, nothing is paid for twice, and whatever comes is an answer or a KlingError."""
    row = main.attacks(tmp_path, True, random.randrange(10**6))[name]()  # noqa: S311  # not for secrets
    assert row.faults == [], row
