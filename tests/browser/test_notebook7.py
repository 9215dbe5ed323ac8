"""Notebook 7: the same kernel and the same outputs in the other front end of the family."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kling_notebook.command import notebooks

pytestmark = pytest.mark.long

pytest.importorskip("notebook")


def test_the_quickstart_runs_in_notebook_7(chromium, notebook_7):
    url, folder = notebook_7
    shutil.copy(notebooks.home() / notebooks.FIRST, folder)
    context = chromium.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.goto(f"{url}/notebooks/{notebooks.FIRST}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )
    done = page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    assert done is not False
    cells = page.locator(".jp-Notebook .jp-Cell")
    grid = cells.nth(3).locator("img")
    assert grid.count() == 4
    sizes = grid.evaluate_all("(all) => all.map((img) => [img.naturalWidth, img.getBoundingClientRect().width])")
    assert all(natural > 100 and width > 100 for natural, width in sizes)
    assert page.locator(".jp-OutputArea [data-mime-type='application/vnd.jupyter.error']").count() == 0
    shots = Path(__file__).parent / "screenshots"
    shots.mkdir(exist_ok=True)
    page.screenshot(path=shots / "notebook-7.png")
    context.close()
