"""The quickstart runs from top to bottom on the sandbox, and leaves a small notebook that holds no key."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from kling_notebook.command import notebooks

pytestmark = pytest.mark.timeout(900)
CANARY = "pd_live_canary_91b7d3e0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart")


@pytest.fixture(scope="module")
def executed(folder: Path) -> NotebookNode:
    """The quickstart after Run All in a real kernel, with a key in the environment and the sandbox asked for."""
    notebook = nbformat.read(notebooks.home() / notebooks.FIRST, as_version=4)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    env = kept | {"PIXELDOJO_API_KEY": CANARY, "KLING_SANDBOX": "1", "IPYTHONDIR": str(folder / "ipython")}
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    began = os.times()
    client.execute(env=env)
    ended = os.times()
    spent = ended.children_user + ended.children_system - began.children_user - began.children_system
    notebook.metadata["seconds"] = spent  # of processor time: how busy the machine is does not matter
    nbformat.write(notebook, folder / "executed.ipynb")
    return notebook


def cell(notebook: NotebookNode, start: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(start))


def html(cell: NotebookNode) -> str:
    return "".join(output.data.get("text/html", "") for output in cell.outputs if "data" in output)


def test_it_opens_with_what_it_shows():
    first = nbformat.read(notebooks.home() / notebooks.FIRST, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# Quickstart: ")
    assert "In this notebook you" in first.source


def test_every_cell_ran_in_under_two_minutes(executed):
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert executed.metadata["seconds"] < 120


def test_nothing_was_complained_of(executed):
    noise = [
        output.text for cell in executed.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"
    ]
    assert noise == []


def test_the_prompt_became_a_grid_of_four_saved_images(executed, folder):
    grid = cell(executed, "%%kling")
    assert html(grid).count("<img") == 4
    assert "A beautiful mountain landscape" in html(grid)
    assert any("image/jpeg" in output.get("data", {}) for output in grid.outputs)
    images = sorted((folder / "kling_images").glob("*.png"))
    assert len(images) == 4
    for path in images:
        with Image.open(path) as image:
            image.load()
            assert image.width > image.height


def test_the_sandbox_says_that_it_is_one(executed):
    message = html(cell(executed, "%%kling")) + str(cell(executed, "%%kling").outputs)
    assert "sandbox" in message.lower()


def test_the_history_lists_both_jobs(executed):
    rows = html(cell(executed, "kling.history("))
    assert rows.count("completed") == 2
    assert rows.count("sandbox") == 2


def test_the_executed_notebook_is_small_and_nothing_left_holds_the_key(executed, folder):
    assert (folder / "executed.ipynb").stat().st_size < 1_000_000
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
