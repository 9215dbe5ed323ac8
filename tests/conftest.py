"""Fixtures for every package: an environment without keys, sandboxes, and sessions that take one for the service."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from kling_notebook.settings import key_from_keyring

# Importing nbformat would compile a grammar of international addresses, which no notebook here holds: two seconds in
# every process of the run.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

if TYPE_CHECKING:
    from nbclient import NotebookClient

    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

# What one process of the run has compiled, the others and the kernels that tests start need not compile again, also
# where the environment says that nothing be kept: a tenth of the run's work.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Of an environment that is active and not the one that runs the tests: IPython warns of it.
os.environ.pop("VIRTUAL_ENV", None)

# Thousands of tests are collected and stay: the collector of garbage would go through them again and again, an eighth
# of the work of a run. It begins when they are there, and leaves them out.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# How long an example takes is the machine's load, not the test's result.
settings.register_profile("loaded machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded machine")

# A shell's background job ignores Ctrl-C and so would all its children; tests send it to some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


SIZES = {"1:1": (1024, 1024), "3:2": (1248, 832), "4:3": (1168, 880), "16:9": (1360, 768), "21:9": (1552, 656)}


def flat(prompt: str, *, resolution: str, aspect_ratio: str, output_format: str, index: int, **_: Any) -> bytes:
    """An image of the right size and format in one color, in a few milliseconds."""
    ratio = aspect_ratio if aspect_ratio in SIZES else ":".join(reversed(aspect_ratio.split(":")))
    sides = SIZES[ratio] if ratio == aspect_ratio else SIZES[ratio][::-1]
    size = (sides[0] * 2, sides[1] * 2) if resolution == "2K" else sides
    color = hash((prompt, index)) & 0xFFFFFF
    image = Image.new("RGB", size, f"#{color:06x}")
    out = io.BytesIO()
    image.save(out, output_format.upper(), **({"compress_level": 1} if output_format == "png" else {}))
    return out.getvalue()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test may see the developer's key, keyring, netrc, proxy or IPython profile, wherever HOME points."""
    for name in list(os.environ):
        if name.startswith(("PIXELDOJO_", "KLING_")):
            monkeypatch.delenv(name)
    key_from_keyring.cache_clear()
    empty = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("IPYTHONDIR", str(empty / "ipython"))
    monkeypatch.setenv("NETRC", str(empty / "netrc"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,::1")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost,::1")


@pytest.fixture(scope="session", autouse=True)
def kernels_that_start() -> Iterator[None]:
    """A port chosen for a kernel may be taken before it begins. Then nbclient begins again: no cell has run."""
    from nbclient import NotebookClient

    start, connect = NotebookClient.async_start_new_kernel, NotebookClient.async_start_new_kernel_client
    given: dict[int, dict[str, Any]] = {}

    async def start_noted(client: NotebookClient, **options: Any) -> None:
        given[id(client)] = options
        await start(client, **options)

    async def connect_again(client: NotebookClient) -> Any:
        for _ in range(2):
            try:
                return await connect(client)
            except RuntimeError as error:
                if "Kernel died before replying" not in str(error):
                    raise
            client.create_kernel_manager()
            await start(client, **given[id(client)])
        return await connect(client)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NotebookClient, "async_start_new_kernel", start_noted)
        patch.setattr(NotebookClient, "async_start_new_kernel_client", connect_again)
        yield


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Find a TCP port of this machine that a server may be told to take."""

    def find() -> int:
        # Below those that systems give out by themselves: a kernel would take one of them before the server is up.
        for port in random.sample(range(10_000, 32_000), 100):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        pytest.fail("a hundred ports are taken")

    return find


@pytest.fixture(scope="module", autouse=True)
def nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Processes and threads that a file of tests starts end with it; in tests/browser servers last for the session."""
    if "browser" in request.path.parts:
        yield
        return
    this = psutil.Process()
    threads, processes = set(threading.enumerate()), {child.pid for child in this.children(recursive=True)}

    def left() -> list[str]:
        names = [one.name for one in set(threading.enumerate()) - threads if not one.daemon]
        for child in this.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                command = " ".join(child.cmdline())
                if child.pid not in processes and child.status() != psutil.STATUS_ZOMBIE:
                    names += [command] * ("multiprocessing" not in command)  # it keeps a process of its own
        return names

    yield
    end = time.monotonic() + 60
    while left() and time.monotonic() < end:
        time.sleep(0.05)
    assert left() == []


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes with any options; all are stopped when the test ends. Unless told otherwise their jobs take no
    time, their images are one flat color, and their key, for which a pattern is compiled, is always the same."""
    from kling_notebook.sandbox import Sandbox

    started: list[Sandbox] = []

    def make(**options: Any) -> Sandbox:
        sandbox = Sandbox(**{"latency": 0.0, "paint": flat, "key": "sandbox-" + "k3y" * 9, **options})
        started.append(sandbox)
        return sandbox.start()

    yield make
    for sandbox in started:
        sandbox.stop()


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A running sandbox whose jobs are done at the first poll."""
    return make_sandbox()


def tiny(*_: Any, output_format: str, index: int, **__: Any) -> bytes:
    """An image of 16 pixels a side: nothing to paint, to decode or to store."""
    image = Image.new("RGB", (16, 16), (40 * index % 255, 90, 160))
    file = io.BytesIO()
    image.save(file, output_format)
    return file.getvalue()


@pytest.fixture
def paint() -> Callable[..., bytes]:
    return tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kling_images"


@pytest.fixture
def make_session(folder: Path) -> Iterator[Callable[..., Session]]:
    """Begin sessions on a sandbox's address, with its key: to them it is a service that costs credits."""
    from kling_notebook.session.session import Session

    begun: list[Session] = []

    def make(sandbox: Sandbox, *, before: Session | None = None, **message: Any) -> Session:
        quick = {"requests_per_minute": 6000}
        where = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder)}
        session = Session(where | quick | message, before=before)
        begun.append(session)
        return session

    yield make
    for session in begun:
        session.close()


@pytest.fixture
def session(make_session: Callable[..., Session], sandbox: Sandbox) -> Session:
    return make_session(sandbox)


@pytest.fixture
def run_variant(tmp_path: Path) -> Callable[..., Any]:
    """Run a script with a copy of the package in which texts are replaced, as another version of it; what it prints
    last, which is JSON."""

    def run(script: str, edits: dict[str, dict[str, str]], *arguments: str) -> Any:
        package = Path(__file__).parent.parent / "kling_notebook"
        copy = Path(tempfile.mkdtemp(dir=tmp_path)) / "kling_notebook"
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(package.parent / "notebooks", copy.parent / "notebooks")  # the manual's examples are read there
        for name, replaced in edits.items():
            text = (copy / name).read_text(encoding="utf-8")
            for old, new in replaced.items():
                assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
                text = text.replace(old, new)
            (copy / name).write_text(text, encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(copy.parent), "IPYTHONDIR": str(copy.parent / "ipython")}
        command = [sys.executable, "-c", script, *arguments]
        ran = subprocess.run(
            command, env=environment, cwd=copy.parent, capture_output=True, text=True, timeout=150, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    return run


@pytest.fixture
def fault_table(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Note a row for the table at the end of the run; it travels with the test's report, also from another process."""
    return lambda *row: record_property("fault", row)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what each fault cost, and where the images of a result are seen."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    noted = [one for report in reports for one in getattr(report, "user_properties", ())]
    faults = sorted(tuple(map(str, value)) for name, value in noted if name == "fault")
    title = "faults: what was sent, what was charged, what became of it"
    _print_table(terminalreporter, title, [("fault", "POSTs", "charges", "outcome"), *faults])
    ends = dict(value for name, value in noted if name == "matrix")
    ways = list(next(iter(ends.values()), ()))
    title = "results: where their images are seen, by front end and way of asking"
    _print_table(
        terminalreporter, title, [("", *ends), *((way, *(cells[way] for cells in ends.values())) for way in ways)]
    )


def _print_table(terminalreporter: Any, title: str, table: list[tuple[str, ...]]) -> None:
    if len(table) < 2:
        return
    terminalreporter.write_sep("-", title)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        terminalreporter.write_line("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)))
