"""``kling-notebook tour``: the quickstart without a browser, on the sandbox unless a live run is asked for."""

import asyncio
import importlib.util
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.event_log import suppress
from . import CannotStartError
from .notebooks import FIRST, free_name, home, make_folder

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

IMAGES = "kling_images"
COST = 6  # credits: the images that the quickstart makes
NOTHING = "data:text/javascript,"  # in place of scripts from the web: the page must open at once without a network


def run(folder: Path, *, live: bool = False, max_credits: float | None = None) -> bool:
    """Execute the quickstart in ``folder``; leaves the executed notebook, a page and the images. True: all went well.

    On the sandbox an exported key is dropped from the kernel's environment. ``live`` runs against the service, and
    then ``max_credits`` is the budget of the whole tour.
    """
    if absent := [name for name in ("nbclient", "nbconvert", "ipykernel") if importlib.util.find_spec(name) is None]:
        raise CannotStartError(f'{absent[0]} is not installed. Install it: pip install "kling-notebook[lab]"')
    env = environment(os.environ, live=live, max_credits=max_credits)
    if live:
        check_key(env)
        if max_credits is not None and max_credits < COST:
            raise CannotStartError(
                f"The tour makes {COST} images, about {COST} credits; --max-credits allows {max_credits:g}. "
                f"Nothing was sent. Allow it with --max-credits {COST}."
            )
    # Checked before anything is written or started: what cannot start leaves nothing behind.
    original, folder = home() / FIRST, make_folder(folder)
    target = free_name(original, folder)
    import nbformat

    notebook = nbformat.read(original, as_version=4)
    if live:
        notebook.cells.append(nbformat.v4.new_code_cell("%kling check --report"))
    print(
        f"This tour pays for images from the service, at most {max_credits:g} credits."
        if live
        else "The tour runs on the sandbox: no key is used and nothing is billed.",
        flush=True,
    )
    try:
        return _execute(notebook, folder, env)
    finally:
        _leave(notebook, target)


def environment(given: Mapping[str, str], *, live: bool, max_credits: float | None) -> dict[str, str]:
    """The kernel's environment: no settings of the caller's but, for a live run, the key and the service's address."""
    # A budget, folder or switch of the caller's would make another tour of it than the one that is described.
    dropped = ("KLING_",) if live else ("KLING_", "PIXELDOJO_")
    added = {"KLING_SANDBOX": "0", "KLING_BUDGET": f"{max_credits:g}"} if live else {"KLING_SANDBOX": "1"}
    return {name: value for name, value in given.items() if not name.startswith(dropped)} | added


def check_key(env: Mapping[str, str]) -> None:
    """Raise CannotStartError or SettingsError if the kernel of a live tour would find no key, or an impossible one."""
    from ..api.api_key import KEYS_PAGE
    from ..api.client import ServiceClient
    from ..settings import choose_backend, resolve

    settings = resolve({}, {}, env)
    if not settings.api_key:
        raise CannotStartError(
            f"A live tour needs a key: set PIXELDOJO_API_KEY (get one at {KEYS_PAGE}). Without --live it needs none."
        )
    ServiceClient(settings.api_key, base_url=choose_backend(settings, person_present=False).base_url)


def _execute(notebook: "NotebookNode", folder: Path, env: dict[str, str]) -> bool:
    """Run every cell, a line in the terminal for each; False if a cell failed. The notebook gets the outputs."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    progress = Progress(notebook)
    client = NotebookClient(
        notebook,
        # Without folders to look in, the kernel is this interpreter's own and not another environment's "python3".
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])),
        timeout=600,
        extra_arguments=["--log-level=CRITICAL"],  # the terminal is for the tour; what matters is in the notebook
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=progress.begin,
        on_cell_executed=progress.end,
    )
    interrupts = Interrupts(client)
    client.on_notebook_start = interrupts.listen
    try:
        asyncio.run(client.async_execute(cleanup_kc=True, env=env))
    except CellExecutionError as error:
        print(f"The cell failed. {error.ename}: {error.evalue}")
        return False
    except (CellTimeoutError, DeadKernelError, asyncio.CancelledError) as error:
        if interrupts.came:
            raise KeyboardInterrupt from None
        print(f"\nThe tour stopped: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
        return False
    return True


class Interrupts:
    """Ctrl-C ends the tour at once. (nbclient's own handler shuts the kernel down and then reports it as dead.)"""

    def __init__(self, client: "NotebookClient") -> None:
        self.came = False
        self._client = client

    def listen(self, **_: Any) -> None:
        with suppress(RuntimeError):  # Windows has no such handlers; there the interrupt is raised as usual
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt, asyncio.current_task())

    def _interrupt(self, task: asyncio.Task[Any] | None) -> None:
        self.came = True
        self._client.shutdown_kernel = "immediate"
        if task is not None:
            task.cancel()


class Progress:
    """One line in the terminal per code cell: which of how many, its first line, how long it took."""

    def __init__(self, notebook: "NotebookNode") -> None:
        self._code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        self._began = 0.0

    def begin(self, cell: "NotebookNode", cell_index: int) -> None:
        self._began = time.monotonic()
        first = next(iter(cell.source.splitlines()), "")
        print(f"[{self._code.index(cell_index) + 1}/{len(self._code)}] {first[:68]:<68} ", end="", flush=True)

    def end(self, cell: "NotebookNode", cell_index: int, execute_reply: Mapping[str, Any]) -> None:  # noqa: ARG002 - nbclient's names
        went = "" if execute_reply["content"]["status"] == "ok" else "  failed"
        print(f"{time.monotonic() - self._began:6.1f} s{went}", flush=True)


def _leave(notebook: "NotebookNode", target: Path) -> None:
    """Write what there is, even of a tour that was cut short, and say where."""
    import nbformat
    from nbconvert import HTMLExporter

    nbformat.write(notebook, target)
    scripts = dict.fromkeys(("require_js_url", "jquery_url", "mathjax_url", "mermaid_js_url"), NOTHING)
    page, _ = HTMLExporter(**scripts).from_notebook_node(notebook, {"metadata": {"name": target.stem}})
    target.with_suffix(".html").write_text(page, encoding="utf-8")
    images = target.parent / IMAGES
    print(f"notebook  {target}\npage      {target.with_suffix('.html')}")
    if images.is_dir():
        count = sum(path.suffix in {".png", ".jpg", ".jpeg", ".webp"} for path in images.iterdir())
        print(f"images    {images} ({count} files)", flush=True)
