"""The magic in a terminal IPython: a text bar, the saved paths, the same errors."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

pexpect = pytest.importorskip("pexpect", reason="terminals of this kind exist on POSIX systems only")


class Terminal:
    def __init__(self, folder, service) -> None:
        environment = os.environ | {
            "IPYTHONDIR": str(folder / ".ipython"),
            "TERM": "xterm",
            "PIXELDOJO_API_BASE": service.base_url,
            "PIXELDOJO_API_KEY": service.key,
        }
        command = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--no-confirm-exit"]
        self.program = pexpect.spawn(
            sys.executable,
            command,
            env=environment,
            cwd=str(folder),
            encoding="utf-8",
            timeout=30,
            dimensions=(40, 160),
        )
        self.ready()

    def ready(self) -> str:
        """Until the next prompt; what was written before it."""
        self.program.expect(r"In \[\d+\]: ")
        return self.program.before or ""

    def send(self, text: str) -> None:
        """Type a cell; one of several lines ends with two empty ones."""
        lines = text.split("\n")
        for line in [*lines, "", ""] if len(lines) > 1 else lines:
            self.program.sendline(line)

    def run(self, text: str) -> str:
        self.send(text)
        return self.ready()


@pytest.fixture
def terminal(tmp_path, make_sandbox) -> Iterator[Callable[..., Terminal]]:
    terminals = []

    def make(**options: object) -> Terminal:
        terminals.append(Terminal(tmp_path, make_sandbox(**options)))
        terminals[-1].run("%load_ext kling_notebook")
        return terminals[-1]

    yield make
    for made in terminals:
        if made.program.isalive():
            made.program.kill(signal.SIGKILL)
            made.program.wait()  # on a busy machine even this takes a moment
        made.program.close()


def test_a_cell_shows_a_bar_and_then_the_saved_paths(terminal):
    shell = terminal(latency=1.5)
    seen = shell.run("%%kling -n 2 -o fox\na red fox")
    assert re.search(r"running · \d s", seen)
    assert re.findall(r"kling_images/0001([ab])-a-red-fox-\w{6}\.png", seen) == ["a", "b"]
    assert "Traceback" not in seen
    assert "2" in shell.run("len(fox)")
    assert "1b" in shell.run("fox[1]")


def test_an_error_is_one_line(terminal):
    seen = terminal().run("%%kling -n 12\na red fox")
    assert "InputError: num_outputs must be a whole number from 1 to 9" in seen
    assert "Traceback" not in seen


def test_an_interrupt_and_a_resume(terminal):
    shell = terminal(latency=4.0)
    shell.send("%%kling\na red fox")
    shell.program.expect(r"running · 1 s")
    shell.program.sendintr()
    seen = shell.ready()
    assert re.search(r"Interrupted: Stopped waiting\. Job 1 keeps running; %kling resume shows its images\.", seen)
    assert re.search(r"kling_images/\S+\.png", shell.run("%kling resume"))


def test_the_panel_says_that_it_needs_a_notebook_and_disturbs_no_bar_after_it(terminal):
    """It made a bar that was never closed, which every later one then stood below."""
    shell = terminal(latency=1.5)
    seen = shell.run("%kling panel")
    assert "The panel needs a notebook." in seen
    assert "need a running kernel" not in seen
    after = shell.run("import tqdm; print(len(tqdm.tqdm._instances))")
    assert after.split()[-1] == "0", after


def test_a_value_that_was_shown_or_is_quiet_follows_its_prompt_by_name(terminal):
    """`Out[3]: ` with nothing behind it looks like a fault."""
    shell = terminal()
    name = r"Out\[\d+\]: <Result \d: 1 image of 'a red fox'>"
    assert re.search(name, shell.run("%%kling --quiet\na red fox"))
    shell.run("import kling_notebook as kling")
    seen = shell.run("kling.generate('a red fox')")
    assert re.search(name, seen)
    assert len(re.findall(r"kling_images/\S+\.png", seen)) == 1
    sweep = shell.run("kling.sweep('a {x}', x=['fox', 'owl'])")
    assert re.search(r"Out\[\d+\]: <SweepResult 2 over x>", sweep)


def test_no_wait_does_not_write_while_one_types(terminal):
    shell = terminal(latency=1.5)
    shell.run("%%kling --no-wait\na red fox")
    seen = shell.run("import time; time.sleep(4)")
    assert "running" not in seen
    assert re.search(r"kling: completed · \d s", seen)
    assert re.search(r"kling_images/\S+\.png", seen)
