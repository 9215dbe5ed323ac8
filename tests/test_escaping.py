"""What a prompt or the service says stays text, from the cell to the saved notebook and the exported page.

The renderers by themselves are tested beside them; here it is the whole way, in a kernel, read by a browser's parser.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from kling_notebook.sandbox import Fault, Sandbox

BAIT = "<img src=x onerror=alert(1)>\"'&amp;"
CLOSING = "</td></table></div></script><script>alert(2)</script><svg/onload=alert(3)>"
BUTTON = "<button data-commandlinker-command='x'>go</button><a href='javascript:alert(4)'>x</a>"
WORDS = (BAIT, CLOSING, BUTTON)
REFUSAL = json.dumps({"error": {"code": f"bad{BAIT}", "message": f"no {CLOSING} {BUTTON}"}}).encode()

WARMING = b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps({"status": f"warming {BAIT}"}).encode()

FORBIDDEN = {"script", "style", "svg", "button", "form", "iframe", "object", "embed", "input", "link", "base", "video"}
ADDRESS = re.compile(r"https://|data:image/(png|jpeg|webp);base64,|(?![a-zA-Z][a-zA-Z0-9+.-]*:|/)")

CELLS: list[tuple[str, Fault | None]] = [
    ("%load_ext kling_notebook\nimport kling_notebook as kling", None),
    (f"%%kling -o fox\na fox {BAIT}", None),
    ("fox", None),
    (f"%%kling -n 2 -o two\ntwo foxes {CLOSING}", None),
    (f"%%kling -o grid\na {BAIT}\n---\nb {CLOSING}\n---\nc {BUTTON}", None),
    ("kling.sweep('a {animal}', animal=" + repr(list(WORDS)) + ", negative_prompt=" + repr(BAIT) + ")", None),
    (f"%%kling --dry-run\n{BUTTON} {BAIT}", None),
    (f"kling.compare(fox, kling.generate({CLOSING!r}, negative_prompt={BAIT!r}))", None),
    (f"%kling note 1 {BAIT} {BUTTON}", None),
    (f"%%kling\nrefused {BAIT}", Fault("submit", "status", at=1, status=400, raw=REFUSAL)),
    (f"%%kling\nunconfirmed {BAIT}", Fault("submit", "status", at=1, status=500, raw=REFUSAL)),
    (f"%%kling\nin HTML {BAIT}", Fault("submit", "status", at=1, status=500, raw=f"<h1>{CLOSING}{BAIT}".encode(),
                                       content_type="text/html")),
    (f"%%kling\nfailed {BAIT}", Fault("poll", "failed", at=1, error=f"because {CLOSING}{BAIT}")),
    (f"%%kling\nfailed again {BAIT}", Fault("poll", "failed", at=1, error={"message": BUTTON, BAIT: BAIT})),
    (f"%%kling --no-wait\nslow {BAIT}", Fault("poll", "wire", at=1, raw=WARMING)),
    (f"%%kling --aspect-ratio {BAIT}\nx", None),
    (f"%kling {BAIT}", None),
    (f"%kling history --all --search {BAIT.split(maxsplit=1)[0]}", None),
    ("%kling history --all --limit 100", None),
    ("%kling status", None),
    ("kling.export_history('page.html')", None),
    ("%kling panel", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bait")


@pytest.fixture(scope="module")
def notebook(folder: Path) -> NotebookNode:
    cells = [nbformat.v4.new_code_cell(source) for source, _ in CELLS]
    made = nbformat.v4.new_notebook(cells=cells)
    with Sandbox(latency=0.0) as service:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
        here = {"PIXELDOJO_API_KEY": service.key, "PIXELDOJO_API_BASE": service.base_url}
        client = NotebookClient(made, timeout=60, allow_errors=True, resources={"metadata": {"path": str(folder)}})

        def prepare(cell: NotebookNode, cell_index: int) -> None:
            service.clear_faults()
            if (fault := CELLS[cell_index][1]) is not None:
                service.add_fault(fault)

        client.on_cell_execute = prepare
        client.execute(env=kept | here | {"IPYTHONDIR": str(folder / "ipython")})
    return made


def elements(html: str) -> Iterator[Element]:
    """Every element as a browser sees it."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    whole = html.lstrip().lower().startswith("<!doctype")
    for element in (parser.parse(html) if whole else parser.parseFragment(html)).iter():
        if isinstance(element.tag, str) and element.tag != "DOCUMENT_FRAGMENT":
            yield element


def pages(notebook: NotebookNode, folder: Path) -> dict[str, str]:
    found = {"page.html": (folder / "page.html").read_text(encoding="utf-8")}
    for cell in notebook.cells:
        for place, output in enumerate(cell.outputs):
            if "text/html" in output.get("data", {}):
                found[f"{cell.source[:40]!r} {place}"] = output.data["text/html"]
    return found


def seen(found: list[Element]) -> str:
    return " ".join("".join(e.itertext()) + " " + " ".join(e.attrib.values()) for e in found)


def test_no_output_holds_an_element_that_somebody_else_wrote(notebook: NotebookNode, folder: Path) -> None:
    """No script, no handler, no button, no image from elsewhere: in no output of the notebook and on no page."""
    found = pages(notebook, folder)
    assert len(found) > 12
    for name, html in found.items():
        for element in elements(html):
            assert element.tag not in FORBIDDEN, f"{name}: <{element.tag}>"
            for key, value in element.attrib.items():
                assert not key.startswith(("on", "data-")), f"{name}: {key}="
                if key in ("src", "href"):
                    assert ADDRESS.match(value), f"{name}: {value[:60]}"
                    assert value != "x", name


@pytest.mark.parametrize("word", WORDS, ids=["handler", "closing tags", "button"])
def test_what_was_written_is_read(word: str, notebook: NotebookNode, folder: Path) -> None:
    """Nothing is swallowed either: each text arrives whole where its image is shown, and in the history."""
    shown = [name for name, html in pages(notebook, folder).items() if word in seen(list(elements(html)))]
    assert "page.html" in shown
    assert len(shown) >= 4, shown


def test_the_exported_notebook_runs_nothing_of_it(notebook: NotebookNode) -> None:
    """nbconvert's page, error outputs included: none of the baits has become an element."""
    html = HTMLExporter().from_notebook_node(notebook)[0]
    for element in elements(html):
        assert not [key for key in element.attrib if key in ("onerror", "onload", "data-commandlinker-command")]
        assert element.attrib.get("src") != "x"
        assert not element.attrib.get("href", "").startswith("javascript")
        assert not (element.tag == "script" and "alert(2)" in "".join(element.itertext()))


def test_errors_are_one_line_without_control_characters(notebook: NotebookNode) -> None:
    """A terminal shows them as they are: what the service says must not move its cursor."""
    errors: list[Any] = [output for cell in notebook.cells for output in cell.outputs if output.output_type == "error"]
    assert len(errors) >= 6
    for error in errors:
        assert len(error.traceback) == 1
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", error.evalue), error.evalue
