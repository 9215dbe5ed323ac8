"""No frame that an error or an interrupt leaves behind holds the key, from any entry point."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
frames = importlib.import_module("tests.attacks.frames")


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signal to a thread")
@pytest.mark.parametrize("entry_point", [*frames.INTERRUPTED, *frames.FAILED])
def test_no_frame_holds_the_key(entry_point: str, tmp_path: Path) -> None:
    """As %xmode Verbose, rich and pytest --showlocals print it: every local variable of every frame."""
    assert frames.attack(entry_point, tmp_path / "k") == []
