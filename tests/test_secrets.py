"""A canary for a key: notebooks that succeed and that fail in each way, and then every byte that was written, searched.

The service is a sandbox whose key is the canary, so that everything runs as with the hosted one. It also repeats the
key in its errors, as a careless service might.
"""

from __future__ import annotations

import base64
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from kling_notebook.sandbox import Fault, Sandbox

CANARY = "pd_live_canary_c0ffee5eca1edbadf00d"
FORMS = (CANARY.encode(), base64.b64encode(CANARY.encode())[:-4], CANARY[8:].encode(), CANARY[::-1].encode())
ECHO = b'{"error": {"code": "oops", "message": "your key %s is odd"}}' % CANARY.encode()

FIRST = """
import logging, os, pickle
logging.basicConfig(filename="everything.log", level=logging.DEBUG)
for name in ("urllib3", "requests", "kling_notebook", "asyncio", "tornado"):
    logging.getLogger(name).setLevel(logging.DEBUG)
import http.client
http.client.HTTPConnection.debuglevel = 0
key = lambda: os.environ["PIXELDOJO_API_KEY"]
base = lambda: os.environ["PIXELDOJO_API_BASE"]  # by name in a cell, older IPythons show all of os.environ beside it
import kling_notebook as kling
"""
GOOD = [
    "%load_ext kling_notebook",
    "%xmode Verbose",
    "%kling config",
    "%kling check",
    "%%kling -n 2 -o fox\na red fox",
    "fox",
    "fox[0]",
    "fox.raw",
    "print(fox.code(), kling.read_recipe(fox[0].path))",
    "%%kling --dry-run --sweep sample=3\na fox",
    "%%kling --sweep sample=1,2 -o grid\na {sample} fox",
    "grid.table()",
    "%kling status",
    "%kling history --all",
    "%config KlingMagics",
    "%kling panel",
    "kling.history()",
    "kling.export_history('history.html')",
    "session = kling.current_session()\nsession, session.client, session.settings, session.given",
    "session.settings.values, session.settings.origin",
    "vars(session.settings) if hasattr(session.settings, '__dict__') else session.settings.described()",
    "kling.submit('an owl').result(60)",
    "print(sum(key() in open(f'/proc/{p}/cmdline', errors='replace').read() for p in os.listdir('/proc') "
    "if p.isdigit() and os.path.exists(f'/proc/{p}/cmdline')) if os.path.exists('/proc') else 0, 'command lines')",
]
BAD = {
    "400": Fault("submit", "status", status=400, raw=ECHO),
    "401": Fault("submit", "status", status=401, raw=ECHO),
    "402": Fault("submit", "status", status=402, raw=ECHO),
    "404": Fault("submit", "status", status=404, raw=ECHO),
    "408": Fault("submit", "status", status=408, raw=ECHO),
    "500": Fault("submit", "status", status=500, raw=ECHO),
    "500 in HTML": Fault("submit", "status", status=500, raw=b"<h1>" + ECHO, content_type="text/html"),
    "escaped in JSON": Fault("submit", "status", status=400, raw=ECHO.replace(b"pd_", rb"\u0070d_")),
    "escaped in a URL": Fault("submit", "status", status=400, raw=ECHO.replace(b"_", b"%5f")),
    "escaped in HTML": Fault("submit", "status", status=500, raw=b"<p>" + ECHO.replace(b"p", b"&#x70;")),
    "redirected": Fault("submit", "redirect", status=307, url="{elsewhere}/run"),
    "dropped": Fault("submit", "drop_after"),
    "half a header": Fault("submit", "wire", raw=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "no reply": Fault("submit", "hang", seconds=1.5),
    "no job id": Fault("submit", "html"),
    "failed": Fault("poll", "failed", error={"message": f"because of {CANARY}"}),
    "unreadable": Fault("poll", "status", status=401, raw=ECHO, times=2),
    "another's image": Fault(
        "poll",
        "wire",
        raw=b'HTTP/1.1 200 OK\r\n\r\n{"status":"completed","output":{"images":["{elsewhere}/image.png"]}}',
    ),
    "another's status": Fault(
        "submit", "wire", raw=b'HTTP/1.1 200 OK\r\n\r\n{"jobId":"{job_id}","statusUrl":"{elsewhere}/api/v1/jobs/1"}'
    ),
    "image elsewhere": Fault("download", "redirect", status=302, url="{elsewhere}/image.png", times=9),
    "no image": Fault("download", "wrong_content", raw=ECHO, times=9),
    "429": Fault(
        "submit", "rate_limited", retry_after=600, raw=ECHO
    ),  # the last one: it holds up whatever comes after it
}
OUR_FAULTS = [
    "session = kling.connect()",
    "kling.connect(api_key=key() + ' and more', base_url=base())",
    "kling.connect(api_key=key() + '\\u00e9')",
    "kling.connect(api_key=[key()])",
    "kling.connect(api_key=key(), base_url='http://example.com/' + 'x')",
    "kling.connect(api_key=key(), folder='/proc/nowhere')",
    "kling.connect(api_key=key(), budget='much')",
    "%config KlingMagics.budget = 'much'\n",
    "%kling status",
    "%config KlingMagics.budget = None\n",
    "pickle.dumps(session)",
    "pickle.dumps(session.client)",
    "pickle.dumps(session.client._key)",
    "import kling_notebook.session.session as inside",
    "kept, inside.open_journal = inside.open_journal, lambda *a: 1 / 0",
    "kling.connect(api_key=key(), base_url=base())",
    "%kling sandbox off",
    "inside.open_journal = kept",
    "import kling_notebook.settings as settings\nkept, settings.checked = settings.checked, lambda *a: 1 / 0",
    "kling.connect(sandbox=True)",
    "settings.checked = kept",
    "import kling_notebook.journal.journal as journal",
    "kept, journal.Journal.add = journal.Journal.add, lambda *a: 1 / 0",
    "%%kling\na fox",
    "journal.Journal.add = kept",
    "import kling_notebook.api.transport as transport\nkept, transport._send = transport._send, lambda *a, **k: 1 / 0",
    "%%kling\na fox",
    "session.client.probe()",
    "transport._send = kept",
]


class Ran(NamedTuple):
    """What a notebook left behind."""

    notebook: NotebookNode
    folder: Path
    service: Sandbox
    elsewhere: Sandbox


def on(fault: Fault, origin: str) -> Fault:
    import dataclasses

    raw = fault.raw and fault.raw.replace(b"{elsewhere}", origin.encode())
    return dataclasses.replace(fault, at=1, raw=raw, url=fault.url and fault.url.format(elsewhere=origin))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """One notebook of every call and every failure, run by nbclient with the key in the environment, and exported."""
    folder = tmp_path_factory.mktemp("canary")
    with Sandbox(key=CANARY, latency=0.0) as service, Sandbox(latency=0.0) as elsewhere:
        code = [FIRST, *GOOD, *("%%kling\n" + name for name in BAD), "%kling status", *OUR_FAULTS]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in code])
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
        (folder / "netrc").write_text("machine 127.0.0.1 login x password y\n")
        env = kept | {
            "PIXELDOJO_API_KEY": CANARY,
            "PIXELDOJO_API_BASE": service.base_url,
            "IPYTHONDIR": str(folder / "ipython"),
            "NETRC": str(folder / "netrc"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        }
        client = NotebookClient(
            notebook,
            timeout=60,
            allow_errors=True,
            resources={"metadata": {"path": str(folder)}},
            store_widget_state=True,
            ipython_hist_file=str(folder / "history.sqlite"),
        )

        def prepare(cell: NotebookNode, cell_index: int) -> None:
            service.clear_faults()
            fault = BAD.get(cell.source.removeprefix("%%kling\n"))
            if fault is not None:
                service.add_fault(on(fault, elsewhere.origin))

        client.on_cell_execute = prepare
        client.execute(env=env)
        nbformat.write(notebook, folder / "executed.ipynb")
        (folder / "executed.html").write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
        yield Ran(notebook, folder, service, elsewhere)


def outputs(ran: Ran, start: str) -> list[NotebookNode]:
    return [output for cell in ran.notebook.cells if cell.source.startswith(start) for output in cell.outputs]


def test_the_key_is_in_no_byte_that_was_written(ran: Ran) -> None:
    """Notebook, exported page, journal, images, thumbnails, logs, widget state, IPython's history: nowhere."""
    files = [path for path in ran.folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {
        "executed.ipynb",
        "executed.html",
        "everything.log",
        "journal.sqlite3",
        "history.html",
        "history.sqlite",
    } <= names
    assert any(path.suffix == ".png" for path in files)
    found = [path for path in files for form in FORMS if form in path.read_bytes()]
    assert found == []
    assert "application/vnd.jupyter.widget-state+json" in ran.notebook.metadata.widgets, (
        "the panel's state was searched"
    )
    assert (ran.folder / "everything.log").stat().st_size > 1000


def test_the_search_would_find_it(ran: Ran) -> None:
    """What the test greps for is there to be found: in a file that is given it, also inside SQLite."""
    copy = shutil.copy(ran.folder / "history.sqlite", ran.folder / "copy.sqlite")
    try:
        connection = sqlite3.connect(copy)
        (cells,) = connection.execute("SELECT COUNT(*) FROM history").fetchone()
        connection.execute("UPDATE history SET source_raw = ?", (CANARY,))
        connection.commit()
        connection.close()
        assert cells > len(GOOD), "IPython kept the cells"
        assert FORMS[0] in Path(copy).read_bytes()
    finally:
        Path(copy).unlink()


def test_everything_that_was_meant_to_succeed_did(ran: Ran) -> None:
    for cell in ran.notebook.cells[: 1 + len(GOOD)]:
        assert not [output for output in cell.outputs if output.output_type == "error"], cell.source
    (shown_text,) = outputs(ran, "print(sum(")
    assert shown_text.text.startswith("0 command lines")


@pytest.mark.parametrize("name", [name for name in BAD if not name.startswith("another's")])
def test_every_failure_failed_in_one_line_that_says_what_to_do(name: str, ran: Ran) -> None:
    """Under ``%xmode Verbose``, which prints the local variables of every frame it is given: it is given none."""
    errors = [output for output in outputs(ran, "%%kling\n" + name) if output.output_type == "error"]
    assert errors, name
    for error in errors:
        assert len(error.traceback) == 1
        assert "[key]" in error.evalue or CANARY not in error.evalue


def test_faults_of_this_package_show_frames_and_still_no_key(ran: Ran) -> None:
    """The bugs planted in the notebook did come up, with the frames in which the key was at hand."""
    raised = [o for cell in ran.notebook.cells for o in cell.outputs if o.output_type == "error"]
    frames = [o for o in raised if o.ename == "ZeroDivisionError"]
    assert len(frames) >= 4
    assert all(len(o.traceback) > 1 for o in frames)
    assert {"SettingsError", "TypeError"} <= {o.ename for o in raised}


def test_the_key_went_to_the_configured_host_and_to_no_image(ran: Ran) -> None:
    """Not across a redirect, not to a foreign status address, not with a download, whoever asks."""
    assert not any(entry.authorization for entry in ran.elsewhere.log)
    assert any(entry.path == "/image.png" for entry in ran.elsewhere.log), "it was asked, without the key"
    assert not any(entry.method == "POST" for entry in ran.elsewhere.log)
    assert not any("/jobs/1" in entry.path for entry in ran.elsewhere.log)
    downloads = [entry for entry in ran.service.log if entry.kind == "download"]
    assert downloads
    assert not any(entry.authorization for entry in downloads)
    assert all(entry.with_key for entry in ran.service.log if entry.kind in ("submit", "poll"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_what_is_private_is_readable_by_its_owner_only(ran: Ran) -> None:
    hidden = ran.folder / "kling_images" / ".kling"
    assert hidden.stat().st_mode & 0o077 == 0
    assert (hidden / "journal.sqlite3").stat().st_mode & 0o077 == 0
