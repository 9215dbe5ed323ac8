"""The notebooks are the tests of the documentation: each runs from top to bottom, offline, on the sandbox."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from kling_notebook.command import notebooks

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox

pytestmark = pytest.mark.timeout(900)  # kernels paint, perhaps beside other work
CANARY = "pd_live_canary_c04d11aa"
NAMES = [path.stem for path in notebooks.shipped()]
RUN_HERE = [name for name in NAMES if name != "quickstart"]  # test_quickstart.py runs that one
PAINTS = {"research", "sweeps"}  # 15 s of processor time each
RUN = [pytest.param(name, marks=[pytest.mark.long] * (name in PAINTS)) for name in RUN_HERE]


async def run(name: str, folder: Path, settings: Mapping[str, str], first: str | None = None) -> NotebookNode:
    """The notebook after Run All in a kernel of its own; ``first`` runs after its first code cell."""
    notebook = nbformat.read(notebooks.home() / f"{name}.ipynb", as_version=4)
    if first:
        place = next(k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code") + 1
        notebook.cells.insert(place, nbformat.v4.new_code_cell(first, id="inserted"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    await client.async_execute(cleanup_kc=True, env=kept | settings)
    return notebook


def text_of(notebook: NotebookNode, cell_id: str) -> str:
    """Everything the cell with this id says as text."""
    (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
    texts: list[str] = []
    for streams, outputs in itertools.groupby(cell.outputs, lambda output: output.output_type == "stream"):
        shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
        texts += ["".join(shown)] if streams else shown  # a kernel may send one print in two
    return "\n".join(filter(None, texts))  # where the progress was, an empty output stays


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(name) for name in RUN_HERE}


class Executed(dict[str, NotebookNode]):
    """Notebooks after Run All, on the sandbox and with a key that must not be used; each runs at its first use."""

    def __init__(self, folders: Mapping[str, Path], profile: Path) -> None:
        self._folders = folders
        self._settings = {"PIXELDOJO_API_KEY": CANARY, "KLING_SANDBOX": "1", "IPYTHONDIR": str(profile)}

    def __missing__(self, name: str) -> NotebookNode:
        began = os.times()
        notebook = self[name] = asyncio.run(run(name, self._folders[name], self._settings))
        ended = os.times()
        spent = ended.children_user + ended.children_system - began.children_user - began.children_system
        notebook.metadata["seconds"] = spent
        nbformat.write(notebook, self._folders[name] / "executed.ipynb")
        return notebook


@pytest.fixture(scope="module")
def executed(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return Executed(folders, tmp_path_factory.mktemp("elsewhere") / "ipython")


def test_these_notebooks_travel_in_this_order():
    assert NAMES == ["quickstart", "history", "panel", "research", "sweeps"]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_committed_clean_and_opens_with_words(name):
    notebook = nbformat.read(notebooks.home() / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", RUN)
class TestRun:
    def test_every_cell_ran_in_under_two_minutes(self, executed, name):
        """Of processor time, all its cells together: how busy the machine is does not matter."""
        code = [cell for cell in executed[name].cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert executed[name].metadata["seconds"] < 120

    def test_nothing_was_complained_of(self, executed, name):
        outputs = [output for cell in executed[name].cells for output in cell.get("outputs", [])]
        assert [output.text for output in outputs if output.get("name") == "stderr"] == []

    def test_what_is_left_is_small_and_holds_no_key(self, executed, folders, name):
        assert executed[name]
        assert (folders[name] / "executed.ipynb").stat().st_size < 1_500_000
        files = [path for path in folders[name].rglob("*") if path.is_file()]
        assert len(files) > 1
        assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


@pytest.mark.long
class TestSweeps:
    def test_one_axis_is_a_row_two_a_grid_three_facets(self, executed):
        message = [text_of(executed["sweeps"], name) for name in ("row", "grid", "facets")]
        assert [line.splitlines()[0] for line in message] == ["3 jobs", "2 x 3 = 6 jobs", "2 x 2 x 2 = 8 jobs"]
        assert "place = desert: time x aspect_ratio" in message[2]

    def test_it_was_stopped_in_the_middle_and_completed(self, executed):
        stopped, rest = text_of(executed["sweeps"], "stop"), text_of(executed["sweeps"], "again")
        assert "cancelled" in stopped
        # Two at a time: one may just have ended, and one that is just being sent has no id yet.
        assert re.search("still being made: [0-2]$", stopped, re.M)
        assert "already made, at no cost" in rest
        assert text_of(executed["sweeps"], "missing") == "[]"

    def test_it_leaves_a_figure_for_a_paper(self, executed, folders):
        assert (folders["sweeps"] / "notebook_output" / "houses.pdf").read_bytes().startswith(b"%PDF")
        assert "6 already made, at no cost" in text_of(executed["sweeps"], "nothing")


class TestHistory:
    def test_the_starred_the_found_and_the_copied_recipe_are_there(self, executed):
        notebook = executed["history"]
        assert "candidate for the cover" in text_of(notebook, "starred")
        assert "2 of 2 jobs" in text_of(notebook, "search")
        assert text_of(notebook, "code").startswith("%%kling --aspect-ratio 3:2\n")
        assert "≠ prompt" in text_of(notebook, "compare")
        assert "A snowy owl on a branch at night, watercolor" in text_of(notebook, "recipe")

    def test_the_same_cell_again_is_reused(self, executed):
        assert text_of(executed["history"], "same") == "reused: True - the same job: True\n"

    def test_too_much_is_refused_and_an_unconfirmed_job_is_attached(self, executed):
        assert "4 of 6 credits left in the budget" in text_of(executed["history"], "budget")
        assert "may have been charged: True" in text_of(executed["history"], "lost")
        assert "fetched: 2a 0002a-a-red-balloon-over-a-city" in text_of(executed["history"], "attach")

    def test_the_dead_kernel_s_images_are_fetched_without_another_request(self, executed):
        notebook = executed["history"]
        assert "requests the service has received: 3" in text_of(notebook, "dies")
        assert "1 job is paused" in text_of(notebook, "session")
        assert "1 job fetched" in text_of(notebook, "resume")
        assert text_of(notebook, "stop") == "requests the service has received: 3\n"


class TestEverywhere:
    @pytest.mark.parametrize("name", RUN)
    def test_it_leaves_nothing_behind_but_two_folders(self, executed, folders, name):
        assert executed[name]
        left = {path.name for path in folders[name].iterdir()} - {"executed.ipynb", ".ipython"}
        assert left <= {"kling_images", "notebook_output"}


@pytest.mark.long
class TestResearch:
    def test_a_table_becomes_a_measured_data_set(self, executed, folders):
        notebook = executed["research"]
        assert text_of(notebook, "price").startswith("12 jobs, 24 images")
        assert "12 rows" in text_of(notebook, "batch")
        lines = (folders["research"] / "notebook_output" / "styles" / "metadata.jsonl").read_text().splitlines()
        assert len(lines) == 24
        assert {"file_name", "item", "colorfulness"} <= set(json.loads(lines[0]))


def flat(*_: Any, output_format: str, **__: Any) -> bytes:
    """An image that costs no time."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(out, output_format)
    return out.getvalue()


@pytest.mark.long
@pytest.mark.parametrize(("name", "posts"), [("quickstart", 2), ("sweeps", 23)])
def test_run_all_in_a_second_kernel_buys_nothing_with_reuse_on(
    name: str, posts: int, make_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    sandbox = make_sandbox(paint=flat)
    settings = {"PIXELDOJO_API_KEY": sandbox.key, "PIXELDOJO_API_BASE": sandbox.base_url}
    first = "%config KlingMagics.requests_per_minute = 6000\n%kling reuse on"
    asyncio.run(run(name, tmp_path, settings, first))
    assert sandbox.count("submit") == posts
    charges = sandbox.charges
    second = asyncio.run(run(name, tmp_path, settings, first))
    assert sandbox.count("submit") == posts
    assert sandbox.charges == charges
    assert "reused" in "".join(text_of(second, cell.id) for cell in second.cells if cell.cell_type == "code")


@pytest.mark.long
def test_papermill_runs_a_notebook_with_a_parameter_and_stops_at_an_error(tmp_path: Path) -> None:
    cells = ["prompt = 'a fox'", "import kling_notebook as kling\nmade = kling.generate(prompt)", "made.nothing", "1"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    book.cells[0].metadata["tags"] = ["parameters"]
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "given.ipynb")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "given.ipynb", "made.ipynb", "-p", "prompt", "an owl"],
        cwd=tmp_path,
        env=kept | {"KLING_SANDBOX": "1"},
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.returncode != 0
    made = nbformat.read(tmp_path / "made.ipynb", as_version=4)
    message = json.dumps(made.cells)
    assert 'alt=\\"an owl\\"' in message
    assert "AttributeError" in message
    assert made.cells[-1].execution_count is None
