"""The images of the README, taken of the real thing. This puts them in their place in the repository:

KLING_KEEP_IMAGES=1 pytest tests/browser/test_readme_images.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.long

KEPT = os.environ.get("KLING_KEEP_IMAGES") == "1"
SCREENSHOTS = Path(__file__).parent / "screenshots"
IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"


def keep(taken: Path, name: str) -> None:
    if KEPT:
        with Image.open(taken) as image:
            whole = image.convert("RGB")
            # Half the bytes. By coverage, so that white stays white and a few red tiles stay red.
            colors = whole.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3)
            few = whole.quantize(palette=colors, dither=Image.Dither.FLOYDSTEINBERG)
            few.save(IMAGES / name, optimize=True)


def shoot_panel(page: Any, name: str, width: int) -> float:
    """The panel as a whole, nothing focused; its height in CSS pixels."""
    area, page = page.output(0), page.page
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    page.set_viewport_size({"width": width, "height": 2000})
    page.wait_for_timeout(800)
    page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
    page.wait_for_timeout(300)
    box = area.locator(".jp-OutputArea-output").first.bounding_box()
    box |= {"x": box["x"] - 6, "width": box["width"] + 10, "height": box["height"] + 4}
    SCREENSHOTS.mkdir(exist_ok=True)
    taken = SCREENSHOTS / f"readme-{name}.png"
    page.screenshot(path=taken, clip=box)
    keep(taken, f"{name}.png")
    return float(box["height"])


def test_the_readme_s_first_image_can_be_taken(open_notebook):
    page = open_notebook(
        [
            "%load_ext kling_notebook",
            "%%kling --aspect-ratio 16:9 -n 4 -o peaks\nA beautiful mountain landscape at golden hour, photorealistic",
            "",  # JupyterLab marks the last cell as the active one; this one is not in the image
        ],
        width=820,
        scale=1.5,
    )
    page.run_all()
    assert page.failed_cells() == []
    keep(page.shoot("readme", cells=2), "quickstart.png")


def test_the_readme_s_image_of_the_panel_can_be_taken(open_notebook):
    page = open_notebook(["import kling_notebook as kling\n\nkling.panel()", ""], width=1240, scale=1.5)
    page.run_all()
    area = page.output(0)
    area.get_by_label("Prompt", exact=True).fill("A lighthouse on a cliff at dusk, watercolor")
    area.get_by_label("Aspect ratio", exact=True).select_option("4:3")
    area.get_by_label("Images", exact=True).first.fill("4")
    area.get_by_label("Images", exact=True).first.blur()
    area.get_by_role("button", name="Generate").click()
    area.locator(".kling-tile img").nth(3).wait_for(timeout=40_000)
    assert 300 < shoot_panel(page, "panel", 1240) < 1100


def test_the_manual_s_image_of_explore_can_be_taken(open_notebook):
    page = open_notebook(["import kling_notebook as kling\n\nkling.panel()", ""], width=1280, scale=1.5)
    page.run_all()
    page.page.set_default_timeout(120_000)
    area = page.output(0)
    area.get_by_role("tab", name="Explore").click()
    area.get_by_role("button", name="Make 9 images").click()
    area.get_by_text("All images are here").wait_for()
    area.locator(".kling-sweep .kling-tile").nth(4).click()
    page.page.wait_for_function("document.querySelector('.kling-sweep figure img').naturalWidth > 1024")
    assert 300 < shoot_panel(page, "explore", 1280) < 1300
