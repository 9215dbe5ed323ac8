"""The process is the user's: its global state stays as it was; and a forked child reads, and pays for nothing."""

# ruff: noqa: E501  # scripts

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox

EVERYTHING = """
import asyncio, json, locale, logging, os, random, signal, sys, threading, warnings
import matplotlib, numpy, pandas
import anywidget, ipywidgets, keyring, matplotlib.figure, nest_asyncio2, PIL.Image, requests  # importing them adds filters and handlers
from IPython.core.interactiveshell import InteractiveShell

def state():
    options = {name: repr(pandas.get_option(name)) for name in pandas._config.config._registered_options}
    loggers = ("", "kling_notebook", "urllib3", "PIL", "matplotlib", "asyncio")
    return {
        "random": repr(random.getstate()), "numpy": repr(numpy.random.get_state()), "locale": locale.setlocale(locale.LC_ALL),
        "rcParams": repr(dict(matplotlib.rcParams)), "backend": str(dict.get(matplotlib.rcParams, "backend")), "pandas": options,
        "warnings": repr(warnings.filters), "showwarning": repr(warnings.showwarning), "numpy errors": numpy.geterr(),
        "signals": {n: repr(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)},
        "logging": {name: (logging.getLogger(name).level, repr(logging.getLogger(name).handlers)) for name in loggers},
        "policy": repr(asyncio.get_event_loop_policy()), "threading": (repr(threading.excepthook), threading.stack_size()),
        "hooks": (repr(sys.excepthook), repr(sys.unraisablehook), sys.getrecursionlimit(), sys.getswitchinterval()),
        "cwd": os.getcwd(), "environment": dict(os.environ), "umask": os.umask(os.umask(0o22)),
    }

shell = InteractiveShell.instance()
random.seed(0)
numpy.random.seed(0)
asyncio.get_event_loop_policy()
sys.unraisablehook, asyncio.get_event_loop_policy()
shell.run_cell("%matplotlib agg")
before = state()

import kling_notebook as kling
settings = json.loads(sys.argv[1])
shell.run_line_magic("load_ext", "kling_notebook")
kling.connect(**settings)
kling.generate("a red fox", num_outputs=2, show_progress=False)
shell.run_cell_magic("kling", "--quiet --sweep resolution=1K,2K", "an owl")
sweep = kling.sweep("a {x}", x=["cat", "dog", "hen"], pick=2, show_progress=False)
sweep.figure()
kling.batch([{"prompt": "a hare"}, {"prompt": "a stoat"}], show_progress=False).table()
kling.history(everything=True), kling.images(), kling.measure(lambda image: image.width, name="wide")
for line in ("status", "history", "log", "check", "show 1", "config", "help"):
    shell.run_line_magic("kling", line)
panel = kling.panel()
panel.form.load({"prompt": "a wren"})
panel.form.button.click()
handle = kling.submit("an otter")
handle.result(60)
kling.export(sweep, "exported")
shell.run_line_magic("unload_ext", "kling_notebook")
after = state()
print()
print(json.dumps({name: [str(before[name])[:2000], str(after[name])[:2000]] for name in before if before[name] != after[name]}))
os._exit(0)
"""


def test_a_session_of_everything_leaves_the_process_as_it_was(make_sandbox: Callable[..., Sandbox], tmp_path) -> None:
    """Numbers that the user's own seed gives are the same with and without us, retries and their jitter included."""
    from kling_notebook.sandbox import Fault

    faults = [Fault("poll", "drop_after", at=2, times=2), Fault("submit", "rate_limited", at=3, retry_after=0.1),
              Fault("download", "truncated", at=2)]  # fmt: skip
    sandbox = make_sandbox(faults=faults)
    settings = {"api_key": sandbox.key, "base_url": sandbox.base_url, "requests_per_minute": 6000}
    environment = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EVERYTHING, json.dumps(settings)],
        capture_output=True, text=True, timeout=170, check=False, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert json.loads(ran.stdout.splitlines()[-1]) == {}
    assert sandbox.count("submit") >= 9


FORKED = """
import json, os, sys
import kling_notebook as kling
from kling_notebook.session import current

kling.connect(**json.loads(sys.argv[1]))
kling.generate("a red fox", show_progress=False)
session = current.existing_session()
read, write = os.pipe()
child = os.fork()
if not child:
    told = []
    for pay in (lambda: kling.generate("an owl", show_progress=False), lambda: session.start([session.request("a cat")],
                source="python"), lambda: kling.connect(**json.loads(sys.argv[1])) and kling.generate("a dog", show_progress=False)):
        try:
            told.append(repr(pay()))
        except kling.SettingsError as error:
            told.append(str(error))
    told += [len(kling.history(everything=True)), len(session.rows()), kling.result(1)[0].width]
    os.write(write, json.dumps(told).encode())
    sys.exit(0)  # with all that an interpreter does at its end
os.waitpid(child, 0)
locks = [path.name for path in (session.folder / ".kling" / "locks").iterdir()]
from filelock import FileLock, Timeout
try:
    FileLock(session.folder / ".kling" / "locks" / f"{session.id}.lock").acquire(timeout=0)
    held = False
except Timeout:
    held = True
told = json.loads(os.read(read, 100000))
print(json.dumps([told, held, f"{session.id}.lock" in locks, kling.generate("a hare", show_progress=False).number]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_forked_child_reads_and_pays_for_nothing(sandbox: Sandbox, folder, tmp_path) -> None:
    settings = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder), "budget": 3}
    command = [sys.executable, "-W", "ignore", "-c", FORKED, json.dumps(settings)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr[-3000:]
    (*refused, rows, same_rows, width), held, there, number = json.loads(ran.stdout.splitlines()[-1])
    assert len(refused) == 3
    assert all("not by its forked children. Nothing was sent" in text for text in refused), refused
    assert (rows, same_rows, width) == (1, 1, 1024)
    assert held, "the child's end frees no lock of its parent: its jobs would look abandoned"
    assert there
    assert number == 2
    assert sandbox.count("submit") == 2
