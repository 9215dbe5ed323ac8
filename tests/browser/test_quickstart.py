"""The quickstart in a real JupyterLab: the bar moves, the grid takes its place, the images are really shown."""

from __future__ import annotations

import pytest

from kling_notebook.command import notebooks

QUICKSTART = notebooks.home() / notebooks.FIRST
PROMPT = 3  # the cells by their place in the notebook
IMAGE = 5
HISTORY = 10


def shown_images(page, index: int) -> list[dict]:
    """The images of a cell as the browser has them: natural size, size on the page, alternative text."""
    return page.output(index).evaluate(
        """(area) => [...area.querySelectorAll('img')].map((img) => ({
            natural: img.complete ? img.naturalWidth : 0, width: img.getBoundingClientRect().width, alt: img.alt}))"""
    )


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_run_all_shows_the_images(open_notebook, theme):
    page = open_notebook(QUICKSTART, theme=theme)
    page.run_all(120)
    assert page.failed_cells() == []
    grid = shown_images(page, PROMPT)
    assert len(grid) == 4
    assert all(image["natural"] > 0 and image["width"] > 100 for image in grid)
    assert all("mountain landscape" in image["alt"] for image in grid)
    (large,) = shown_images(page, IMAGE)
    assert large["width"] > grid[0]["width"]
    assert "completed" in page.output(HISTORY).inner_text()
    page.shoot(f"quickstart-{theme}")
    assert len(page.save(60)["cells"]) > HISTORY
    assert page.path.stat().st_size < 1_000_000


def test_the_progress_moves_before_the_grid_takes_its_place(open_notebook):
    page = open_notebook(
        [
            "%load_ext kling_notebook\nimport kling_notebook as kling\n"
            "box = kling.Sandbox(latency=4).start()\n"
            "_ = kling.connect(api_key=box.key, base_url=box.base_url)",
            "%%kling -n 2\na red fox in fresh snow",
            "box.stop()",
        ]
    )
    page.start_all()
    seen: list[str] = []
    for _ in range(80):
        text = " ".join(page.output(1).inner_text().split()) if page.output(1).count() else ""
        if text and text not in seen:
            seen.append(text)
            if len(seen) == 3:
                page.shoot("progress", whole=False)
        if shown_images(page, 1) if page.output(1).count() else []:
            break
        page.page.wait_for_timeout(250)
    page.wait_idle()
    assert len(seen) >= 3, f"the progress did not move: {seen}"
    assert page.failed_cells() == []
    assert [bool(one["data"]) for one in page.outputs(1)] == [False, True], "the bar has gone, the grid is an output"
    assert len(shown_images(page, 1)) == 2


def test_a_complaint_in_the_console_is_noticed(open_notebook):
    """Here, where a server runs anyway: of the harness the rest is long."""
    page = open_notebook(["1"])
    page.page.evaluate("console.error('something is wrong')")
    page.page.wait_for_timeout(200)
    assert any("something is wrong" in line for line in page.errors)
    page.errors.clear()
