"""A folder from a stranger can neither read, change, send nor remove a file outside of it, nor hang anything."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kling_notebook.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:  # the suite is found from the root of the repository, as by `python -m tests.attacks`
    sys.path.append(str(ROOT))
folders = importlib.import_module("tests.attacks.folders")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and pipes need rights that Windows does not give")


@pytest.fixture(scope="module")
def service() -> Iterator[Sandbox]:
    with Sandbox(latency=0.0, paint=folders.paint) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def ours(service: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.begin(tmp_path_factory.mktemp("ours"), service)


def kind_of(way: str) -> str:
    """The column, the record or the kind of file that is spoiled."""
    spoiled, _, how = way.partition(" is a ")
    return how if how in ("link", "pipe") and ":" not in way else spoiled.partition(": ")[0]


SLOW = {"job_id: a path"}  # the service knows no such job, and is asked five times
SHORT = set({kind_of(way): way for way in reversed(folders.WAYS)}.values()) - SLOW
WAYS = [pytest.param(way, marks=[] if way in SHORT else pytest.mark.long) for way in folders.WAYS]


@pytest.mark.parametrize("way", WAYS)
def test_a_hostile_folder_leads_nowhere(way: str, ours: Path, service: Sandbox, tmp_path: Path) -> None:
    """No witness beside it is changed, opened or sent; what it cannot say is left out, and the rest works."""
    assert folders.attack(ours, tmp_path, way, service).faults == []
