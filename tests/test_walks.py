"""The walks of CONTRIBUTING are true: a purchase passes through the modules they name, in functions one can take in."""

from __future__ import annotations

import ast
import re
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from kling_notebook import calls
from kling_notebook.session import current

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kling_notebook"
MOST_MODULES, MOST_LINES = 8, 40


def walks() -> dict[str, list[str]]:
    """The modules that each walk of CONTRIBUTING names, in its order, as paths below the package."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Three walks")[2].partition("\n## ")[0]
    found = {}
    for paragraph in re.split(r"\n\n(?=\*\*)", text.strip()):
        title = re.match(r"\*\*(.+?)\*\*", paragraph)
        assert title is not None, paragraph
        found[title[1]] = re.findall(r"`([a-z_/]+\.py)`", paragraph)
    return found


def paths_of(modules: list[str]) -> list[Path]:
    """A module named without its folder is in the folder of the one before it."""
    paths: list[Path] = []
    for module in modules:
        paths.append(PACKAGE / module if "/" in module else paths[-1].parent / module)
    return paths


def function_lines(path: Path) -> dict[str, int]:
    """Lines of each function of a file without its docstring, by name."""
    lengths = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            lengths[node.name] = (node.end_lineno or 0) - node.lineno + 1 - docstring
    return lengths


def test_there_are_three_walks_of_few_modules_that_exist() -> None:
    assert len(walks()) == 3
    for title, modules in walks().items():
        assert 1 < len(modules) <= MOST_MODULES, title
        assert [path for path in paths_of(modules) if not path.is_file()] == [], title


@pytest.fixture
def shell(make_sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(current, "_session", None)
    service = make_sandbox()
    calls.connect(api_key=service.key, base_url=service.base_url)
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    shell.run_line_magic("load_ext", "kling_notebook")
    shell.run_cell_magic("kling", "--dry-run", "warm up")  # what is imported at the first use is not part of the walk
    yield shell
    shell.run_line_magic("unload_ext", "kling_notebook")
    InteractiveShell.clear_instance()
    current.existing_session().close()


def test_a_purchase_takes_the_first_walk(shell: Any) -> None:
    """Every module of the walk runs, and no function that runs there is long."""
    walk = paths_of(next(iter(walks().values())))
    ran: dict[Path, list[str]] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path in walk and frame.f_code.co_name != "<module>":
            ran.setdefault(path, []).append(frame.f_code.co_name)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        result = shell.run_cell_magic("kling", "--quiet", "a red fox")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert all(image.path.is_file() for image in result)
    assert set(ran) == set(walk)
    long = {
        f"{path.relative_to(PACKAGE)}: {name}": lines
        for path, names in ran.items()
        for name, lines in function_lines(path).items()
        if name in names and lines > MOST_LINES
    }
    assert long == {}
