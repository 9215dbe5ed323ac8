"""Tab in a real JupyterLab: options, their values and subcommands, and no Python names among them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kling_notebook.notebook.magic.options_table import OPTIONS
from kling_notebook.notebook.magic.subcommands import SUBCOMMANDS

pytestmark = pytest.mark.long

SETUP = "%load_ext kling_notebook\naspect = history = resolution_of_mine = 1"


def offered(page: Any, typed: str) -> list[str]:
    """What stands in the list after Tab; what was typed is removed again.

    Where nothing is typed yet of a word, JupyterLab itself adds the words that stand in the cell: left out here.
    """
    editor = page.cell(1).locator(".cm-content")
    editor.click()
    page.page.keyboard.type(typed)
    page.page.keyboard.press("Tab")
    box = page.page.locator(".jp-Completer:visible")
    box.wait_for(timeout=20_000)
    words = box.locator(".jp-Completer-match").all_inner_texts()
    page.page.keyboard.press("Escape")
    editor.click()
    page.page.keyboard.press("Control+a")
    page.page.keyboard.press("Delete")
    return [word for word in words if word not in re.findall(r"%%?|\w+|\W", typed)]


@pytest.fixture
def notebook(open_notebook: Any) -> Any:
    page = open_notebook([SETUP, ""])
    page.run_all()
    assert page.failed_cells() == []
    return page


def test_tab_offers_what_the_magic_takes_and_nothing_else(notebook: Any) -> None:
    assert offered(notebook, "%%kling -f ") == ["png", "jpeg", "webp"]
    assert offered(notebook, "%%kling -n 2 -a 2") == ["2:3", "21:9"]
    assert offered(notebook, "%%kling --re") == ["--resolution", "--reuse"]
    everything = offered(notebook, "%%kling ")
    assert set(everything) == {flag for option in OPTIONS for flag in option.flags if flag.startswith("--")}
    assert sorted(offered(notebook, "%kling s")) == ["sandbox", "show", "star", "status"]
    assert set(offered(notebook, "%kling ")) == set(SUBCOMMANDS)
    assert offered(notebook, "%%kling -r") == ["-r"]
    assert offered(notebook, "%%kling -o ") == offered(notebook, "%kling history --search ") == [""]  # no Python names
    notebook.shoot("completion", whole=False)
    editor = notebook.cell(1).locator(".cm-content")
    editor.click()
    notebook.page.keyboard.type("%kling hist")
    notebook.page.keyboard.press("Tab")
    box = notebook.page.locator(".jp-Completer:visible")
    box.wait_for(timeout=20_000)
    notebook.page.keyboard.press("Enter")
    box.wait_for(state="hidden")
    assert editor.inner_text().strip() == "%kling history"


def test_tab_finishes_a_path_with_spaces_inside_quotes(notebook: Any) -> None:
    """Through a folder: its quote stays open until the file in it was chosen."""
    folder = notebook.path.parent / "my images"
    folder.mkdir()
    (folder / "old fox.png").touch()
    editor = notebook.cell(1).locator(".cm-content")
    editor.click()
    box = notebook.page.locator(".jp-Completer:visible")
    for typed in ("%%kling --image my", "o"):
        notebook.page.keyboard.type(typed)
        notebook.page.keyboard.press("Tab")
        box.wait_for(timeout=20_000)
        notebook.page.keyboard.press("Enter")
        box.wait_for(state="hidden")
    assert editor.inner_text().strip() == '%%kling --image "my images/old fox.png'
