"""The images of the README, taken of the real thing. This puts them in their place in the repository:

KLING_KEEP_IMAGES=1 pytest tests/browser/test_readme_images.py
"""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

KEPT = os.environ.get("KLING_KEEP_IMAGES") == "1"
SCREENSHOTS = Path(__file__).parent / "screenshots"
IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"


def keep(taken: Path, name: str) -> None:
    if KEPT:
        with Image.open(taken) as image:
            whole = image.convert("RGB")
            few = whole.quantize(palette=whole.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)  # half the bytes
            few.save(IMAGES / name, optimize=True)


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
    page.page.mouse.move(0, 0)
    page.page.wait_for_timeout(500)
    page.page.set_viewport_size({"width": 1240, "height": 2000})
    box = area.locator(".jp-OutputArea-output").first.bounding_box()
    box |= {"x": box["x"] - 6, "width": box["width"] + 10, "height": box["height"] + 4}
    SCREENSHOTS.mkdir(exist_ok=True)
    taken = SCREENSHOTS / "readme-panel.png"
    page.page.screenshot(path=taken, clip=box)
    assert 300 < box["height"] < 1100
    keep(taken, "panel.png")


def test_the_manual_s_image_of_explore_can_be_taken(open_notebook):
    page = open_notebook(["import kling_notebook as kling\n\nkling.panel()", ""], width=1280, scale=1.5)
    page.run_all()
    page.page.set_default_timeout(120_000)
    area = page.output(0)
    area.get_by_role("tab", name="Explore").click()
    area.get_by_role("button", name="Make 9 images").click()
    area.get_by_text("All images are here").wait_for()
    area.locator(".kling-sweep .kling-tile").nth(4).click()
    page.page.wait_for_function("document.querySelector('.kling-sweep figure img').naturalWidth === 1024")
    page.page.mouse.move(0, 0)
    page.page.set_viewport_size({"width": 1280, "height": 1600})
    page.page.wait_for_timeout(500)
    box = area.locator(".jp-OutputArea-output").first.bounding_box()
    box |= {"x": box["x"] - 6, "width": box["width"] + 10, "height": box["height"] + 4}
    SCREENSHOTS.mkdir(exist_ok=True)
    taken = SCREENSHOTS / "readme-explore.png"
    page.page.screenshot(path=taken, clip=box)
    assert 300 < box["height"] < 1300
    keep(taken, "explore.png")
