"""Notebook 7: the same kernel and the same outputs in the other front end of the family."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kling_notebook.command import notebooks

pytest.importorskip("notebook")


@pytest.fixture
def notebook_7(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A running Notebook 7: its address, and the folder it serves."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_", "JUPYTER"))
    }
    home = tmp_path / "home"
    folder = tmp_path / "served"
    for path in (home, folder, home / "runtime"):
        path.mkdir()
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }
    for name, values in settings.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    own = {
        "HOME": home,
        "KLING_SANDBOX": "1",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTER_CONFIG_DIR": home / "config",
    }
    own["JUPYTERLAB_SETTINGS_DIR"] = home / "settings"
    command = [sys.executable, "-m", "notebook", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--expose-app-in-browser"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=kept | {k: str(v) for k, v in own.items()}, stdout=log, stderr=log)
    try:
        yield address(home / "runtime", process, tmp_path / "log"), folder
    finally:
        process.terminate()
        process.wait(20)


def address(runtime: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it answers, read from the file Jupyter leaves for that."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                url = str(json.loads(path.read_text(encoding="utf-8"))["url"]).rstrip("/")
                with urllib.request.urlopen(f"{url}/api", timeout=2):  # noqa: S310 - our own loopback address
                    return url
            except (OSError, ValueError):
                continue
        time.sleep(0.1)
    pytest.fail(f"Notebook 7 did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def test_the_quickstart_runs_in_notebook_7(chromium, notebook_7):
    url, folder = notebook_7
    shutil.copy(notebooks.home() / notebooks.FIRST, folder)
    context = chromium.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.goto(f"{url}/notebooks/{notebooks.FIRST}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )
    done = page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    assert done is not False
    cells = page.locator(".jp-Notebook .jp-Cell")
    grid = cells.nth(3).locator("img")
    assert grid.count() == 4
    sizes = grid.evaluate_all("(all) => all.map((img) => [img.naturalWidth, img.getBoundingClientRect().width])")
    assert all(natural > 100 and width > 100 for natural, width in sizes)
    assert page.locator(".jp-OutputArea [data-mime-type='application/vnd.jupyter.error']").count() == 0
    shots = Path(__file__).parent / "screenshots"
    shots.mkdir(exist_ok=True)
    page.screenshot(path=shots / "notebook-7.png")
    context.close()
