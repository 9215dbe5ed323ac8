"""Binder's image as far as it can be had without a container engine: .ci/binder builds the environment and runs this.

The server is started through binder/start, without a key, and the pages are opened by the addresses the manual gives.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

IMAGE, HOME = (os.environ.get(name) for name in ("KLING_BINDER_IMAGE", "KLING_BINDER_HOME"))
PAGE = Path(__file__).parent.parent.parent / "docs" / "front-ends.md"
SCREENSHOTS = Path(__file__).parent / "screenshots"
LIMIT = 1_000_000_000  # bytes of memory the whole demo may take, eight jobs running
pytestmark = pytest.mark.skipif(not (IMAGE and HOME), reason="run by .ci/binder, which builds the environment")


@dataclass(frozen=True)
class Server:
    """As the browser fixtures know a server: where it answers, which folder it serves, where its settings are."""

    url: str
    folder: Path
    home: Path
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def jupyter_lab(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Server]:
    """The image's own Jupyter server with its JupyterLab and Voila; takes the place of the tests' JupyterLab here."""
    home, checkout = tmp_path_factory.mktemp("visitor"), Path(HOME or "")
    port = free_port()
    environment = {
        "PATH": f"{IMAGE}/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = [checkout / "binder" / "start", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--expose-app-in-browser"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/api", process, home / "log")
            yield Server(f"http://127.0.0.1:{port}", checkout, home, process)
        finally:
            process.terminate()
            process.wait(20)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own loopback address
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def link(kind: str) -> str:
    """The path of one of the two Binder links."""
    words = urllib.parse.unquote(PAGE.read_text(encoding="utf-8"))
    found = re.search(rf"https://mybinder\.org/v2/\S*?urlpath=({kind}[^\s`)]+)", words)
    assert found is not None, f"the manual gives no link for {kind}"
    return found[1]


def memory(process: subprocess.Popen[bytes]) -> int:
    """Bytes the server and everything it started take; pages they share are counted once."""
    root = psutil.Process(process.pid)
    total = 0
    for one in [root, *root.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:  # it ended meanwhile
            continue
    return total


def strangers(page: Any, url: str) -> list[str]:
    """From now on: the addresses outside this machine that the page asks for, none of which it gets."""
    asked: list[str] = []

    def outside(route: Any) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route(lambda address: not address.startswith((url, url.replace("http", "ws"), "data:", "blob:")), outside)
    return asked


def test_the_first_link_opens_the_panel_and_nothing_has_to_be_run(chromium, jupyter_lab):
    page = chromium.new_context(viewport={"width": 1200, "height": 900}).new_page()
    strangers(page, jupyter_lab.url)
    page.goto(f"{jupyter_lab.url}/{link('voila')}")
    page.get_by_role("button", name=re.compile("^Generate")).first.wait_for(timeout=90_000)
    message = page.locator("body").inner_text()
    assert "sandbox" in message.lower()
    assert "nothing is billed" in message
    assert "Traceback" not in message
    page.locator("textarea").first.fill("A red fox in an autumn forest, watercolor")
    page.get_by_role("button", name=re.compile("^Generate")).first.click()
    page.wait_for_function(
        "() => [...document.images].some((img) => img.alt.includes('red fox') && img.naturalWidth > 100)",
        timeout=60_000,
    )
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "binder-voila.png", full_page=True)
    page.context.close()


def test_the_second_link_opens_the_quickstart_and_it_runs(open_notebook, jupyter_lab):
    assert (jupyter_lab.folder / link("lab/tree").removeprefix("lab/tree/")).is_file()
    page = open_notebook(jupyter_lab.folder / "notebooks" / "quickstart.ipynb")
    assert page.page.get_by_text("get notified about official Jupyter news").count() == 0
    page.run_all(120)
    assert page.failed_cells() == []
    page.shoot("binder-quickstart")


def test_eight_jobs_at_once_stay_under_a_gigabyte(open_notebook, jupyter_lab):
    page = open_notebook(
        [
            "%load_ext kling_notebook\nimport kling_notebook as kling",
            "handles = [kling.submit(f'mountain {k}', resolution='2K', num_outputs=2) for k in range(8)]\n"
            "images = sum(len(handle.result(timeout=100)) for handle in handles)\nimages",
        ]
    )
    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.25):
            most = max(most, memory(jupyter_lab.process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        page.run_all(110)
    finally:
        done.set()
        watcher.join()
    assert page.outputs(1)[0]["data"]["text/plain"] == "16"
    print(f"\nmost memory of server, kernels and eight 2K jobs of two images: {most / 1e6:.0f} MB")
    message = re.search(r"under (0\.\d) GB\s+with eight 2K jobs", PAGE.read_text(encoding="utf-8"))
    assert message is not None
    assert 100_000_000 < most < float(message[1]) * 1e9 < LIMIT
