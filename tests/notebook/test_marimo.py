"""marimo, which is not Jupyter: results are seen, and the panel is one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.skipif(find_spec("marimo") is None, reason="marimo is not installed")]

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import kling_notebook as kling
    kling.generate("a red fox", num_outputs=2)


@app.cell
def _(kling):
    kling.sweep("a {animal}", animal=["fox", "owl"])


@app.cell
def _(kling):
    kling.panel()
"""


def test_results_are_seen_and_the_panel_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NOTEBOOK, encoding="utf-8")
    command = [sys.executable, "-m", "marimo", "export", "ipynb", "--include-outputs", "mine.py", "-o", "mine.ipynb"]
    names = [name for name in os.environ if name.startswith(("PIXELDOJO_", "KLING_"))]
    clean = {name: value for name, value in os.environ.items() if name not in names}
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env=clean | {"KLING_SANDBOX": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    cells = json.loads((tmp_path / "mine.ipynb").read_text(encoding="utf-8"))["cells"]
    seen = [
        "".join("".join(output["data"].get("text/html", "")) for output in cell["outputs"] if "data" in output)
        for cell in cells
    ]
    assert [html.count("<img") for html in seen] == [2, 2, 0]
    assert "The panel needs a notebook." in seen[2]
    assert "KlingPanel" not in seen[2]
