"""A real JupyterLab on loopback, driven in a real Chromium.

Playwright's own browsers are not used: Debian's ``chromium`` is. Where it or Playwright is missing the tests here are
skipped, and with KLING_REQUIRE_BROWSER=1 they fail instead, so that no one takes a skip for a pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

REQUIRED = os.environ.get("KLING_REQUIRE_BROWSER") == "1"  # read now: no test sees the environment's KLING_ variables
START_SECONDS = 400
"""A server of Jupyter's is up in 3; on a machine that runs other tests as well it takes more than 60."""
SCREENSHOTS = Path(__file__).parent / "screenshots"
CHROMIUM_FLAGS = (
    "--no-sandbox",  # a container's root has no user namespaces
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # a container's /dev/shm may be tiny
)
NOISE = (
    # What JupyterLab itself says on a clean notebook, none of it about us.
    "favicon",
    "/api/news",
    "lsp/status",
)


def chromium_path() -> str | None:
    """Debian calls it chromium; elsewhere it has other names."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def missing(reason: str) -> None:
    if REQUIRED:
        pytest.fail(f"KLING_REQUIRE_BROWSER=1, and {reason}")
    pytest.skip(reason)


def quiet_settings(folder: Path, theme: str = "light") -> None:
    """JupyterLab's own settings for a test: no news, every cell in the page whether scrolled to or not."""
    wanted = {
        "apputils-extension/themes": {"theme": f"JupyterLab {theme.title()}", "adaptive-theme": False},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
        "docmanager-extension/plugin": {"autosave": False},
    }
    for name, values in wanted.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


def strangers_environment(home: Path) -> dict[str, str]:
    """The environment of a stranger: no key, no settings of this package or Jupyter's, the sandbox asked for."""
    own = ("PIXELDOJO_", "KLING_", "JUPYTER", "IPYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    quiet_settings(home / "settings")
    return kept | {
        "KLING_SANDBOX": "1",
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 - our own loopback address
            return bool(reply.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


@contextlib.contextmanager
def running(command: Sequence[str], ready_url: str, log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server process from the moment it answers to the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not answers(ready_url):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[2]} did not come up:\n{log.read_text(errors='replace')[-3000:]}")
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class JupyterServer:
    """A running front end: where it answers and which folder it serves."""

    url: str
    folder: Path
    home: Path


@pytest.fixture(scope="session")
def jupyter_lab(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[JupyterServer]:
    """JupyterLab on loopback with no token, serving an empty folder, as a stranger without a key would have it."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("lab")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    command += ["--expose-app-in-browser"]  # so that a test can ask for a cell's outputs
    with running(command, f"{url}/api", home / "lab.log", env=strangers_environment(home), cwd=folder):
        yield JupyterServer(url, folder, home)


@pytest.fixture(scope="session")
def voila(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[JupyterServer]:
    """Voila on loopback, serving an empty folder of notebooks to strangers without a key."""
    home, folder = tmp_path_factory.mktemp("voila-home"), tmp_path_factory.mktemp("voila")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "voila", "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}", str(folder)]
    # nbclient sends what a widgets.Output captured while the cell runs, past what reads replies on the same socket: the
    # reply of that cell is then sometimes never read. Seen without this package, too; the next cell begins after this.
    command += ["--port_retries=0", "--VoilaExecutor.timeout=40"]
    # Not told to use the sandbox: somebody looks at the page, and that is enough.
    environment = {name: value for name, value in strangers_environment(home).items() if name != "KLING_SANDBOX"}
    with running(command, url, home / "voila.log", env=environment, cwd=folder):
        yield JupyterServer(url, folder, home)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser. One per module and no longer: Playwright keeps an event loop running in this thread meanwhile."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed")
    if (path := chromium_path()) is None:
        missing("there is no chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@dataclass
class NotebookPage:
    """A notebook open in JupyterLab. Cells count from 0, text cells included, as in the file."""

    page: Any
    path: Path
    errors: list[str] = field(default_factory=list)

    def cell(self, index: int) -> Any:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Any:
        return self.cell(index).locator(".jp-OutputArea")

    def menu(self, *names: str) -> None:
        """Choose in the menu bar, e.g. ``menu("Run", "Run All Cells")``."""
        self.page.locator(f".lm-MenuBar-itemLabel:text-is('{names[0]}')").click()
        for name in names[1:]:
            self.page.locator(f".lm-Menu-itemLabel:text-is('{name}')").click()

    def wait_for_kernel(self, timeout: float = 180) -> None:
        """Until the notebook's own kernel is up: whoever runs cells before is asked to choose one."""
        self.page.wait_for_function(
            """() => {
                const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
                return context?.isReady && context.session?.kernel?.status === 'idle';
            }""",
            timeout=timeout * 1000,
        )

    def end_kernel(self) -> None:
        """Shut the notebook's kernel down: one left over per test would fill the memory."""
        self.page.evaluate("() => window.jupyterapp?.shell.currentWidget?.sessionContext.shutdown()")

    def start_all(self) -> None:
        """What Run > Run All Cells does; returns at once. ``wait_idle`` waits for its end."""
        self.page.evaluate("() => { window.allRun = window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def run_all(self, timeout: float = 240) -> None:
        """Run all cells and wait for the end, or for the first that fails. Says nothing of which it was."""
        self.start_all()
        self.wait_idle(timeout)

    def wait_idle(self, timeout: float = 240) -> None:
        """Until the cells that were started have ended, none shows [*], and the kernel says idle."""
        self.page.evaluate(
            """async (seconds) => {
                const late = new Promise((_, no) => setTimeout(() => no(new Error('still running')), seconds * 1000));
                await Promise.race([window.allRun, late]);
            }""",
            timeout,
        )
        self.page.wait_for_function(
            """() => {
                const busy = [...document.querySelectorAll('.jp-Notebook .jp-InputPrompt')].some(
                    (prompt) => prompt.textContent.includes('*'));
                const kernel = document.querySelector('.jp-Notebook-ExecutionIndicator');
                return !busy && kernel && kernel.dataset.status === 'idle';
            }""",
            timeout=timeout * 1000,
        )

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """What the cell's outputs are just now, as they would be saved: display and updates applied."""
        cells = "window.jupyterapp.shell.currentWidget.content.model.cells"
        found: list[dict[str, Any]] = self.page.evaluate(f"(k) => {cells}.get(k).outputs?.toJSON() ?? []", index)
        return found

    def failed_cells(self) -> list[int]:
        """The cells whose outputs hold an error."""
        count = self.page.locator(".jp-Notebook .jp-Cell").count()
        return [k for k in range(count) if any(output["output_type"] == "error" for output in self.outputs(k))]

    def save(self, timeout: float = 20) -> NotebookNode:
        """Save it, and read what was saved."""
        before = self.path.stat().st_mtime_ns
        self.menu("File", "Save Notebook")
        deadline = time.monotonic() + timeout
        while self.path.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline, "JupyterLab did not save the notebook"
            self.page.wait_for_timeout(100)
        self.page.wait_for_timeout(200)
        return nbformat.read(self.path, as_version=4)

    def shoot(self, name: str, *, whole: bool = True, cells: int | None = None) -> Path:
        """An image of the page for people to look at: tests/browser/screenshots/NAME.png.

        ``whole``: the window is made as tall as the notebook first, so that nothing is cut off. ``cells``: only
        the first so many cells, without JupyterLab around them.
        """
        if whole:
            self.page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
            last = self.page.locator(".jp-Notebook .jp-Cell").last.bounding_box()
            size = {"width": self.page.viewport_size["width"], "height": int(last["y"] + last["height"]) + 60}
            self.page.set_viewport_size(size)
            self.page.wait_for_timeout(500)
            self.page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
        SCREENSHOTS.mkdir(exist_ok=True)
        clip = None
        if cells is not None:
            first, last = (self.cell(k).bounding_box() for k in (0, cells - 1))
            bottom = last["y"] + last["height"]
            clip = {"x": first["x"], "y": first["y"], "width": first["width"], "height": bottom - first["y"] - 6}
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", clip=clip)
        return SCREENSHOTS / f"{name}.png"


def listen(page: Any, errors: list[str]) -> None:
    """Collect what the page complains about: uncaught errors and error lines of the console."""

    def complain(text: str) -> None:
        if not any(noise in text for noise in NOISE):
            errors.append(text)

    page.on("pageerror", lambda error: complain(f"uncaught: {error}"))
    page.on(
        "console", lambda line: complain(f"{line.text} ({line.location.get('url')})") if line.type == "error" else None
    )


def write_notebook(path: Path, cells: Sequence[str]) -> Path:
    """A notebook of code cells, with fresh cell ids."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


OpenNotebook = Callable[..., NotebookPage]


@pytest.fixture
def open_notebook(chromium: Any, jupyter_lab: JupyterServer, request: pytest.FixtureRequest) -> Iterator[OpenNotebook]:
    """``open_notebook(cells_or_path, theme="light")``: in a fresh folder of its own, until the kernel is idle.

    At the end of the test the console must have held no errors; a test that expects some clears ``page.errors``.
    """
    pages: list[NotebookPage] = []
    with contextlib.ExitStack() as opened:

        def open_(
            source: Sequence[str] | Path, *, theme: str = "light", width: int = 1200, scale: float = 1
        ) -> NotebookPage:
            folder = jupyter_lab.folder / f"{request.node.name.split('[')[0]}-{time.monotonic_ns()}"
            folder.mkdir()
            if isinstance(source, Path):
                path = Path(shutil.copy(source, folder))
            else:
                path = write_notebook(folder / "notebook.ipynb", source)
            quiet_settings(jupyter_lab.home / "settings", theme)
            context = chromium.new_context(
                viewport={"width": width, "height": 900}, color_scheme=theme, device_scale_factor=scale
            )
            opened.callback(context.close)
            page = NotebookPage(context.new_page(), path)
            opened.callback(page.end_kernel)
            listen(page.page, page.errors)
            page.page.goto(f"{jupyter_lab.url}/lab/tree/{path.relative_to(jupyter_lab.folder).as_posix()}?reset")
            page.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=150_000)
            page.wait_for_kernel()
            pages.append(page)
            page.page.keyboard.press("Control+b")  # the file browser only takes space
            return page

        yield open_
        # Taken before the pages close: a page whose kernel ends complains of that.
        complaints = [complaint for page in pages for complaint in page.errors]
    assert not complaints, "the browser's console held errors:\n" + "\n".join(complaints)


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
    deadline = time.monotonic() + START_SECONDS
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
