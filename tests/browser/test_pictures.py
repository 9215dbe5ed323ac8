"""The pictures of the README, taken of the real thing. This puts them in their place in the repository:

KLING_KEEP_PICTURES=1 pytest tests/browser/test_pictures.py
"""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

KEPT = os.environ.get("KLING_KEEP_PICTURES") == "1"
PICTURES = Path(__file__).parent.parent.parent / "notebooks" / "pictures"


def keep(taken: Path, name: str) -> None:
    if KEPT:
        with Image.open(taken) as picture:
            picture.convert("RGB").save(PICTURES / name, optimize=True)


def test_the_readme_s_first_picture_can_be_taken(open_notebook):
    page = open_notebook(
        [
            "%load_ext kling_notebook",
            "%%kling --aspect-ratio 16:9 -n 4 -o fox\nA beautiful mountain landscape at golden hour, photorealistic",
            "",  # JupyterLab marks the last cell as the active one; this one is not in the picture
        ],
        width=820,
        scale=1.5,
    )
    page.run_all()
    assert page.failed_cells() == []
    keep(page.shoot("readme", cells=2), "quickstart.png")
