"""What axe-core finds in a panel: nothing serious or critical but what core widgets' own markup is at fault for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

OPEN = "import kling_notebook as kling\nkling.panel()"
KNOWN = {
    # ipywidgets ties a slider's label to nothing that has the role; the number field beside it is the same value.
    ("aria-input-field-name", "noUi-handle"),
}
PANEL = Path(__file__).parent.parent.parent / "notebooks" / "panel.ipynb"


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The source of axe-core, from npm."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, "axe-core@4.10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"npm has no axe-core: {done.stderr[-200:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(page, axe, within):
    """(rule, element) for each serious or critical violation."""
    page.evaluate(axe)
    found = page.evaluate("(within) => axe.run(within, {resultTypes: ['violations']})", within)["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    elements = [(one["id"], node["html"][:200]) for one in serious for node in one["nodes"]]
    return [(rule, html) for rule, html in elements if not any(rule == r and part in html for r, part in KNOWN)]


def use(page):
    """Make an image, open what belongs to it, and visit every tab; a state at a time."""
    page.get_by_role("button", name=re.compile("^Generate")).click()
    page.locator(".kling-tile img").first.wait_for()
    yield "image"
    page.get_by_role("button", name="Recipe").click()
    page.locator(".kling-detail pre").first.wait_for()
    yield "recipe"
    for tab, ready in (("Explore", "Make 9"), ("History", "Use these settings"), ("Code", "")):
        page.get_by_role("tab", name=tab).click()
        if ready:
            page.get_by_role("button", name=re.compile(f"^{ready}")).first.wait_for()
        page.wait_for_timeout(500)
        yield tab


@pytest.mark.timeout(600)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_jupyterlab(open_notebook, axe, theme):
    notebook = open_notebook([OPEN], theme=theme)
    notebook.run_all()
    notebook.page.set_default_timeout(90_000)
    for state in use(notebook.page):
        assert violations(notebook.page, axe, ".jp-Notebook .jp-OutputArea") == [], state
        notebook.page.screenshot(path=Path(__file__).parent / "screenshots" / f"panel-{theme}-{state}.png")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_voila(chromium, voila, axe, theme):
    shutil.copy(PANEL, voila.folder / "panel.ipynb")
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    page.set_default_timeout(90_000)
    page.goto(f"{voila.url}/voila/render/panel.ipynb?theme={theme}", timeout=200_000)
    button = page.get_by_role("button", name=re.compile("^Generate"))
    button.wait_for()
    box = button.bounding_box()
    assert box["y"] + box["height"] <= 768, "the button is above the fold"
    for state in use(page):
        assert violations(page, axe, "body") == [], state
        page.screenshot(path=Path(__file__).parent / "screenshots" / f"voila-{theme}-{state}.png")
    page.close()
