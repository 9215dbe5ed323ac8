"""Front end by way of asking: where the images of a result are seen. The run prints the table; no cell may say lost.

*seen*: an image is in the output (in a terminal: its path). *named*: the first text tells where the images are.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError
from PIL import Image

from kling_notebook.sandbox import Sandbox

pytestmark = pytest.mark.timeout(900)

WAYS = {
    "plain cell": "kling.generate('plain cell')",
    "magic": "%%kling\nmagic",
    "loop": "for k in range(2): kling.generate(f'loop')",
    "function": "def make(): return kling.generate('function')\nmade = make()",
    "thread": "thread = threading.Thread(target=kling.generate, args=('thread',)); thread.start(); thread.join()",
    "widgets.Output": "out = widgets.Output(); display(out)\nwith out: made = kling.generate('widgets.Output')",
    "interact_manual": (
        "def ask(n=1): made = kling.generate('interact_manual')\n"
        "form = widgets.interact_manual.options(manual_name='Ask')(ask, n=(1, 9)).widget"
    ),
    "button callback": (
        "button, there = widgets.Button(description='Press'), widgets.Output()\n"
        "@there.capture()\ndef pressed(_): kling.generate('button callback')\n"
        "button.on_click(pressed); display(button, there)"
    ),
    "%%capture": "%%capture kept\nkling.generate('%%capture')",
    "cap.show()": "kept.show()",
    "clear_output loop": "for k in range(3):\n    clear_output(wait=True); made = kling.generate('clear_output loop')",
    "--no-wait": "%%kling --no-wait -o handle\n--no-wait",
    "after --no-wait": "made = handle.result(60) if hasattr(handle, 'done') else handle",
}
PROMPTS = {"cap.show()": "%%capture", "after --no-wait": "--no-wait"}
"""Cells that show what an earlier one asked for."""
QUIET = {"%%capture", "after --no-wait"}
"""Cells that show nothing by themselves."""
WIDGETS = {"widgets.Output", "interact_manual", "button callback"}
PRESSES = {
    "interact_manual": "form.children[1].click()",
    "button callback": "button.click()",
}


def paint(prompt: str, **_: Any) -> bytes:
    """What the images show does not matter here."""
    out = io.BytesIO()
    Image.new("RGB", (256, 256), "#446688").save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def service() -> Iterator[Sandbox]:
    with Sandbox(latency=0.4, paint=paint) as service:
        yield service


@pytest.fixture
def setup(service: Sandbox) -> str:
    """The first cell."""
    options = f"api_key={service.key!r}, base_url={service.base_url!r}, requests_per_minute=6000"
    return (
        "import threading, ipywidgets as widgets\nfrom IPython.display import clear_output, display\n"
        f"import kling_notebook as kling\n%load_ext kling_notebook\nsession = kling.connect({options})"
    )


Record = Callable[[str, dict[str, str]], None]


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Keep a row of the table for the summary of the run, and fail if something was lost."""

    def keep(front_end: str, cells: dict[str, str]) -> None:
        request.node.user_properties.append(("matrix", (front_end, cells)))
        assert set(cells) == set(WAYS) - QUIET
        assert [way for way, word in cells.items() if word == "lost"] == []

    return keep


def judged(way: str, images: int, text: str) -> str:
    if images:
        return "seen"
    return "named" if "images appear below; `%kling show" in text else "lost"


# without a browser ----------------------------------------------------------------------------------------------------


def notebook_of(setup: str, *, pressed: bool) -> nbformat.NotebookNode:
    """``pressed``: the buttons are pressed by the cell, since no person is there to do it."""
    sources = [setup]
    sources += [f"{code}\n{PRESSES.get(way, '') if pressed else ''}".rstrip("\n") for way, code in WAYS.items()]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def in_file(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """What a saved notebook shows, the outputs inside its widgets included."""
    state = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    inside = [output for model in state.values() for output in model["state"].get("outputs", ())]
    cells = {}
    for way, cell in zip(WAYS, notebook.cells[1:], strict=True):
        if way in QUIET:
            continue
        prompt = PROMPTS.get(way, way)
        outputs = [*cell.outputs, *(inside if way in WIDGETS else ())]
        data = [output.get("data", {}) for output in outputs]
        images = sum(f'alt="{prompt}"' in "".join(one.get("text/html", "")) for one in data)
        cells[way] = judged(way, images, "".join("".join(one.get("text/plain", "")) for one in data))
    return cells


def until_not_stuck(execute: Callable[[], Any]) -> None:
    """nbclient may miss the reply of a cell that ends while a ``widgets.Output`` shows something, a ``print`` as well:
    it sends the widget's state over the socket on which it waits. Then the notebook is executed once more."""
    for _ in range(2):
        with suppress(CellTimeoutError):
            execute()
            return
    execute()


def test_nbclient(setup: str, record: Record, tmp_path: Path) -> None:
    notebook = notebook_of(setup, pressed=True)
    options = {"timeout": 20, "resources": {"metadata": {"path": str(tmp_path)}}}
    until_not_stuck(nbclient.NotebookClient(notebook, **options).execute)
    record("nbclient", in_file(notebook))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_papermill(setup: str, record: Record, tmp_path: Path) -> None:
    papermill = pytest.importorskip("papermill")
    nbformat.write(notebook_of(setup, pressed=True), tmp_path / "in.ipynb")
    (tmp_path / "out").mkdir()
    paths = [str(tmp_path / "in.ipynb"), str(tmp_path / "out" / "out.ipynb")]
    options = {"cwd": str(tmp_path), "progress_bar": False, "kernel_name": "python3", "execution_timeout": 60}
    until_not_stuck(partial(papermill.execute_notebook, *paths, **options))
    record("papermill", in_file(nbformat.read(paths[1], as_version=4)))


TERMINALS = {
    "terminal IPython": ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--no-confirm-exit"],
    "jupyter console": [
        *["-m", "jupyter_console", "--simple-prompt", "--no-confirm-exit"],
        # It hands images to a viewer; here to a program that notes their sizes.
        "--ZMQTerminalInteractiveShell.image_handler=stream",
        "--ZMQTerminalInteractiveShell.stream_image_handler=['sh', '-c', 'wc -c >> viewed.txt']",
    ],
}


@pytest.mark.parametrize("front_end", ["terminal IPython", pytest.param("jupyter console", marks=pytest.mark.long)])
def test_a_terminal(front_end: str, setup: str, record: Record, tmp_path: Path) -> None:
    pexpect = pytest.importorskip("pexpect", reason="terminals of this kind exist on POSIX systems only")
    pytest.importorskip(TERMINALS[front_end][1])
    environment = os.environ | {"IPYTHONDIR": str(tmp_path / ".ipython"), "TERM": "dumb"}
    command = TERMINALS[front_end]
    (tmp_path / "setup.ipy").write_text(setup, encoding="utf-8")
    options = {"env": environment, "cwd": str(tmp_path), "encoding": "utf-8", "timeout": 60, "dimensions": (40, 200)}
    program = pexpect.spawn(sys.executable, command, **options)

    viewed = tmp_path / "viewed.txt"
    viewed.touch()

    def run(code: str) -> str:
        """Type a cell by way of a file: a terminal takes several lines in ways of its own."""
        (tmp_path / "cell.ipy").write_text(f"{code}\n", encoding="utf-8")
        if code.startswith("%%"):  # runs in the terminal itself, as a person would type it
            line, _, body = code.partition("\n")
            magic, _, rest = line[2:].partition(" ")
            code = f"get_ipython().run_cell_magic({magic!r}, {rest!r}, {body!r})"
        else:
            code = "get_ipython().run_cell(open('cell.ipy').read()); None"
        program.sendline(code)
        program.expect(r"In \[\d+\]: ")
        return str(program.before)

    program.expect(r"In \[\d+\]: ")
    run(setup)
    cells = {}
    try:
        for way, code in WAYS.items():
            if way in WIDGETS:
                cells[way] = "not applicable"
                continue
            before = len(viewed.read_text().splitlines())
            text = run(code)
            if way not in QUIET:
                slug = re.sub(r"[^a-z]+", "-", PROMPTS.get(way, way)).strip("-")
                images = len(re.findall(rf"kling_images/\d+a-{slug}-\w+\.png", text))
                cells[way] = judged(way, images + len(viewed.read_text().splitlines()) - before, text)
                if way == "--no-wait" and cells[way] == "lost":  # its text comes when the terminal is free
                    text += run("made = handle.result(60)") + run("None")
                    cells[way] = judged(way, text.count(f"-{slug}-"), text)
    finally:
        program.terminate(force=True)
    record(front_end, cells)


# in a browser ---------------------------------------------------------------------------------------------------------

LOOK = """(prompt) => [...document.querySelectorAll('img')].filter(
    (img) => img.alt === prompt && img.naturalWidth > 100 && img.getBoundingClientRect().width > 60).length"""


def look(page: Any, wait: bool = True) -> dict[str, str]:
    """What a person sees, once the last image has come."""
    if wait:
        page.wait_for_function(f"({LOOK})('--no-wait') > 0", timeout=60_000)
    cells = {}
    for way in WAYS:
        if way in QUIET:
            continue
        page.wait_for_timeout(50)
        cells[way] = judged(way, page.evaluate(LOOK, PROMPTS.get(way, way)), page.inner_text("body"))
    return cells


def press(page: Any, label: str, prompt: str) -> None:
    page.get_by_role("button", name=label, exact=True).first.click()
    page.wait_for_function(f"({LOOK})({json.dumps(prompt)}) > 0", timeout=30_000)


@pytest.mark.long
def test_jupyterlab(open_notebook: Any, setup: str, record: Record) -> None:
    notebook = open_notebook([setup, *WAYS.values()])
    notebook.run_all()
    press(notebook.page, "Ask", "interact_manual")
    press(notebook.page, "Press", "button callback")
    record("JupyterLab", look(notebook.page))


@pytest.mark.long
def test_notebook_7(notebook_7: tuple[str, Path], chromium: Any, setup: str, record: Record) -> None:
    url, folder = notebook_7
    nbformat.write(notebook_of(setup, pressed=False), folder / "matrix.ipynb")
    page = chromium.new_page()
    page.goto(f"{url}/notebooks/matrix.ipynb")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    press(page, "Ask", "interact_manual")
    press(page, "Press", "button callback")
    record("Notebook 7", look(page))
    page.close()


@pytest.mark.long
def test_voila(voila: Any, chromium: Any, setup: str, record: Record) -> None:
    nbformat.write(notebook_of(setup, pressed=False), voila.folder / "matrix.ipynb")
    page = chromium.new_page()
    page.goto(f"{voila.url}/voila/render/matrix.ipynb", timeout=120_000)
    page.get_by_role("button", name="Press", exact=True).wait_for(timeout=120_000)
    press(page, "Ask", "interact_manual")
    press(page, "Press", "button callback")
    record("Voila", look(page))
    page.close()
