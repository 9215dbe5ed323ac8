"""The kling-notebook command: what it starts, what it leaves, what it says and its exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

from kling_notebook.__main__ import main
from kling_notebook.command import CannotStartError, lab, notebooks, tour
from kling_notebook.command import sandbox as alone
from kling_notebook.sandbox import Sandbox

CANARY = "pd_live_canary_5f2e9c71"
COMMAND = [sys.executable, "-m", "kling_notebook"]


@pytest.fixture
def taken_port():
    """A loopback port something else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def exit_code(*arguments: str) -> int:
    try:
        return main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)


def notebook_of(path: Path, *sources: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]), path)
    return path


@pytest.mark.parametrize("command", ["", "lab", "tour", "sandbox", "check"])
def test_help_says_what_it_does_and_what_the_exit_codes_mean(command, capsys):
    assert exit_code(*command.split(), "--help") == 0
    message = capsys.readouterr().out
    assert "usage: kling-notebook" in message
    assert "exit codes:" in message


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "COMMAND"),
        ("labb", "labb"),
        ("lab --prot 1", "--prot"),
        ("lab --port seven", "invalid port"),
        ("lab --port 70000", "0 to 65535"),
        ("tour --max-credits nan", "not an amount"),
        ("sandbox --fail-rate 2", "between 0 and 1"),
        ("sandbox --rate-limit 0", "1 or more"),
        ("sandbox --key schl\u00fcssel", "key must be text without spaces"),
        ("check --live", "--live"),
    ],
)
def test_a_bad_command_line_says_why_and_exits_with_2(arguments, reason, capsys):
    assert exit_code(*arguments.split()) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("arguments", ["tour --live", "tour --max-credits 3"])
def test_a_live_tour_needs_a_limit_and_a_limit_needs_a_live_tour(arguments, tmp_path, capsys):
    assert exit_code(*arguments.split(), "--dir", str(tmp_path / "t")) == 2
    assert "--max-credits" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("command", ["lab", "sandbox"])
def test_a_taken_port_is_a_clear_error(command, taken_port, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code(command, "--port", str(taken_port)) == 2
    message = capsys.readouterr().err
    assert f"Port {taken_port} cannot be used" in message
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "absent"), [("lab", "jupyterlab"), ("tour", "nbclient")])
def test_a_missing_extra_names_the_command_that_installs_it(command, absent, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, absent, None)
    assert exit_code(command) == 2
    assert 'pip install "kling-notebook[lab]"' in capsys.readouterr().err


@pytest.mark.parametrize("command", [["lab"], ["tour", "--dir"]])
def test_a_folder_that_cannot_be_made_is_a_clear_error(command, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert exit_code(*command, str(tmp_path / "file" / "folder")) == 2
    assert "Choose another" in capsys.readouterr().err


class TestNotebooks:
    def test_all_are_copied_the_quickstart_first(self, tmp_path):
        copies = [tmp_path / "mine" / original.name for original in notebooks.shipped()]
        assert notebooks.put_into(tmp_path / "mine") == [f"copied {copy}" for copy in copies]
        assert copies[0].name == "quickstart.ipynb"
        assert copies[0].read_bytes() == notebooks.shipped()[0].read_bytes()

    def test_an_edited_one_is_kept_byte_for_byte(self, tmp_path):
        notebooks.put_into(tmp_path)
        path = tmp_path / "quickstart.ipynb"
        mine = nbformat.read(path, as_version=4)
        mine.cells[0].source = "my notes"
        nbformat.write(mine, path)
        before = path.read_bytes()
        assert notebooks.put_into(tmp_path)[0].startswith(f"kept your {tmp_path / 'quickstart.ipynb'}, which differs")
        assert path.read_bytes() == before

    def test_one_that_was_only_run_counts_as_there(self, tmp_path):
        notebooks.put_into(tmp_path)
        path = tmp_path / "quickstart.ipynb"
        ran = nbformat.read(path, as_version=4)
        ran.cells[1].outputs.append(nbformat.v4.new_output("stream", text="hello"))
        nbformat.write(ran, path)
        assert notebooks.put_into(tmp_path)[0] == f"{path} is already there"

    @pytest.mark.parametrize("content", ["", "not json", "[]", '{"cells": [{}]}', '{"cells": 3}'])
    def test_something_else_under_that_name_is_kept(self, content, tmp_path):
        (tmp_path / "quickstart.ipynb").write_text(content)
        assert notebooks.put_into(tmp_path)[0].startswith(f"kept your {tmp_path / 'quickstart.ipynb'}, which differs")
        assert (tmp_path / "quickstart.ipynb").read_text() == content

    def test_they_are_committed_without_outputs(self):
        for path in notebooks.shipped():
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path


class TestLab:
    def test_it_opens_the_quickstart_and_allows_root_only_to_root(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
        as_root = lab.arguments(tmp_path, port=None, open_browser=True)
        monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
        as_user = lab.arguments(tmp_path, port=9123, open_browser=False)
        assert "--allow-root" in as_root
        assert "--allow-root" not in as_user
        assert "--LabApp.default_url=/lab/tree/quickstart.ipynb" in as_user
        assert {"--ServerApp.port=9123", "--ServerApp.port_retries=0", "--no-browser"} <= set(as_user)

    def test_jupyterlab_comes_up_on_the_port_and_ends_when_told(self, tmp_path, free_port):
        port = free_port()
        env = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path / "c"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "r")}
        with (tmp_path / "log").open("w+") as log:
            process = subprocess.Popen(
                [*COMMAND, "lab", "--no-browser", "--port", str(port), str(tmp_path / "mine")],
                stdout=log,
                stderr=log,
                env=env,
            )
            try:
                wait_for(f"http://127.0.0.1:{port}/api", process)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
            log.seek(0)
            message = log.read()
        assert (tmp_path / "mine" / "quickstart.ipynb").is_file()
        assert f"copied {tmp_path / 'mine' / 'quickstart.ipynb'}" in message
        assert "/lab/tree/quickstart.ipynb?token=" in message


def wait_for(url: str, process: subprocess.Popen[str] | subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the program ended too early"
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own loopback address
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"{url} did not answer")


def printed(cell):
    """What a cell printed: a kernel may send one print in two."""
    return "".join(output.text for output in cell.outputs)


class TestTour:
    @pytest.fixture
    def told(self, monkeypatch, tmp_path):
        """Let the tour run a notebook of this package in place of the quickstart."""

        def tell(*sources: str) -> None:
            (tmp_path / "home").mkdir()
            notebook_of(tmp_path / "home" / "quickstart.ipynb", *sources)
            monkeypatch.setattr(tour, "home", lambda: tmp_path / "home")

        return tell

    def test_the_key_is_dropped_unless_the_tour_is_live(self):
        given = {"PIXELDOJO_API_KEY": CANARY, "PIXELDOJO_API_BASE": "https://x.test", "KLING_FOLDER": "/f", "PATH": "p"}
        assert tour.environment(given, live=False, max_credits=None) == {"PATH": "p", "KLING_SANDBOX": "1"}
        live = tour.environment(given, live=True, max_credits=7.0)
        assert live["PIXELDOJO_API_KEY"] == CANARY
        assert (live["KLING_SANDBOX"], live["KLING_BUDGET"]) == ("0", "7")
        assert "KLING_FOLDER" not in live

    @pytest.mark.parametrize(
        ("key", "says"), [("", "A live tour needs a key: set PIXELDOJO_API_KEY"), ("two words", "API key has a space")]
    )
    def test_live_without_a_key_that_can_be_one_it_does_not_begin(self, key, says, tmp_path, monkeypatch, capsys):
        """It started a kernel and left a notebook whose first cell had failed."""
        monkeypatch.setenv("PIXELDOJO_API_KEY", key)
        monkeypatch.setenv("KLING_SANDBOX", "1")
        assert exit_code("tour", "--live", "--max-credits", "5", "--dir", str(tmp_path / "t")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
        assert not (tmp_path / "t").exists()

    def test_a_live_tour_that_cannot_be_paid_for_does_not_begin(self, tmp_path, monkeypatch, capsys):
        """It bought four images and failed at the next."""
        monkeypatch.setenv("PIXELDOJO_API_KEY", CANARY)
        assert exit_code("tour", "--live", "--max-credits", "5", "--dir", str(tmp_path / "t")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"--max-credits {tour.COST}" in line
        assert not (tmp_path / "t").exists()

    def test_a_live_tour_buys_what_it_says(self, tmp_path, monkeypatch):
        with Sandbox(latency=0) as service:
            monkeypatch.setenv("PIXELDOJO_API_KEY", service.key)
            monkeypatch.setenv("PIXELDOJO_API_BASE", service.base_url)
            assert exit_code("tour", "--live", "--max-credits", str(tour.COST), "--dir", str(tmp_path / "t")) == 0
            assert service.charges == tour.COST

    def test_it_leaves_the_executed_notebook_and_a_page_and_says_where(self, told, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("PIXELDOJO_API_KEY", CANARY)
        told("import os\nprint(f\"{os.environ.get('PIXELDOJO_API_KEY')} {os.environ['KLING_SANDBOX']} {os.getcwd()}\")")
        assert exit_code("tour", "--dir", str(tmp_path / "out")) == 0
        notebook = nbformat.read(tmp_path / "out" / "quickstart.ipynb", as_version=4)
        assert printed(notebook.cells[0]) == f"None 1 {tmp_path / 'out'}\n"
        page = (tmp_path / "out" / "quickstart.html").read_text(encoding="utf-8")
        assert f"None 1 {tmp_path / 'out'}" in page
        assert not re.search(r'<(script|link)[^>]+(src|href)="https?:', page), "the page must open without a network"
        message = capsys.readouterr().out
        assert "[1/1] import os" in message
        assert str(tmp_path / "out" / "quickstart.html") in message

    def test_a_failing_cell_ends_it_with_1_and_leaves_what_there_is(self, told, tmp_path, capsys):
        told("print('before')", "raise ValueError('no luck')", "print('after')")
        assert exit_code("tour", "--dir", str(tmp_path / "out")) == 1
        message = capsys.readouterr().out
        assert "ValueError: no luck" in message
        assert "[2/3]" in message
        assert "[3/3]" not in message
        cells = nbformat.read(tmp_path / "out" / "quickstart.ipynb", as_version=4).cells
        assert printed(cells[0]) == "before\n"
        assert cells[1].outputs[0].ename == "ValueError"

    def test_a_kernel_that_dies_ends_it_with_1(self, told, tmp_path, capsys):
        told("import os\nos._exit(3)")
        assert exit_code("tour", "--dir", str(tmp_path / "out")) == 1
        assert "The tour stopped" in capsys.readouterr().out

    @pytest.mark.long
    def test_a_second_tour_replaces_its_own_notebook_but_never_an_edited_one(self, told, tmp_path):
        told("1 + 1")
        out = tmp_path / "out"
        assert exit_code("tour", "--dir", str(out)) == 0
        assert exit_code("tour", "--dir", str(out)) == 0
        assert sorted(path.name for path in out.iterdir()) == ["quickstart.html", "quickstart.ipynb"]
        edited = notebook_of(out / "quickstart.ipynb", "mine").read_bytes()
        assert exit_code("tour", "--dir", str(out)) == 0
        assert (out / "quickstart.ipynb").read_bytes() == edited
        assert (out / "quickstart-2.ipynb").is_file()

    @pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process")
    def test_an_interrupt_ends_it_with_130_and_leaves_what_there_is(self, tmp_path):
        (tmp_path / "home").mkdir()
        notebook_of(tmp_path / "home" / "quickstart.ipynb", "print('before')", "import time\ntime.sleep(60)")
        code = (
            "import pathlib, sys\nfrom kling_notebook.command import tour\nfrom kling_notebook.__main__ import main\n"
            f"tour.home = lambda: pathlib.Path({str(tmp_path / 'home')!r})\nsys.exit(main(['tour', '--dir', 'out']))"
        )
        with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("[1/2]"):
                    break
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            assert process.wait(30) == 130
        cells = nbformat.read(tmp_path / "out" / "quickstart.ipynb", as_version=4).cells
        assert printed(cells[0]) == "before\n"


class TestSandbox:
    @pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process")
    def test_it_serves_with_the_given_key_until_interrupted(self):
        arguments = [*COMMAND, "sandbox", "--key", "sandbox-key", "--latency", "0", "--credits", "5"]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = None
            for line in process.stdout:
                if match := re.search(r"http://127\.0\.0\.1:\d+/api/v1", line):
                    url = match.group()
                    break
            assert url is not None
            headers = {"Authorization": "Bearer sandbox-key"}
            asked = urllib.request.Request(f"{url}/jobs/none", headers=headers)  # noqa: S310 - our own loopback address
            with pytest.raises(urllib.error.HTTPError) as unknown:
                urllib.request.urlopen(asked, timeout=5)  # noqa: S310
            unknown.value.close()
            assert unknown.value.code == 404
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            assert process.wait(20) in (0, 130)

    @pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process")
    def test_it_says_where_it_is_and_which_key_it_takes_and_that_it_has_ended(self):
        with subprocess.Popen(
            [*COMMAND, "sandbox"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            base, key = (line.split("=", 1)[1].strip() for line in lines[1:])
            asked = urllib.request.Request(f"{base}/jobs/x", headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - our own
            with pytest.raises(urllib.error.HTTPError) as unknown:
                urllib.request.urlopen(asked, timeout=10)  # noqa: S310
            unknown.value.close()
            assert unknown.value.code == 404
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert "ended" in out

    def test_it_does_not_show_a_key_it_was_given_and_ends_when_interrupted_at_once(self):
        message = []

        def announce(line):
            message.append(line)
            if "KEY" in line:
                raise KeyboardInterrupt

        alone.run(announce=announce, key=CANARY)
        assert "ended" in message[-1]
        assert CANARY not in "".join(message)

    def test_a_key_with_a_space_is_one_line_and_2(self, capsys):
        """No client could send it."""
        assert exit_code("sandbox", "--key", "a b") == 2
        assert capsys.readouterr().err.startswith("kling-notebook: key must be text without spaces")

    @pytest.mark.skipif(os.name != "posix", reason="closes one end of a pipe")
    def test_a_reader_that_has_gone_is_not_taken_for_a_port_that_is_taken(self):
        """Only binding says something about the port."""
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [*COMMAND, "sandbox"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
        os.close(write)
        assert "Broken pipe" in done.stderr
        assert not re.search("Port|Traceback", done.stderr)
        assert done.returncode == 1


class TestCheck:
    def test_its_help_names_the_magic_as_it_is_typed(self, capsys):
        """Argparse fills percent signs in in one place of two."""
        assert exit_code("check", "--help") == 0
        assert "the same as %kling check." in capsys.readouterr().out
        assert exit_code("--help") == 0
        assert "the same as %kling check" in " ".join(capsys.readouterr().out.split())

    def test_it_passes_on_the_sandbox(self, tmp_path):
        env = os.environ | {"KLING_SANDBOX": "1"}
        done = subprocess.run(
            [*COMMAND, "check"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "sandbox" in done.stdout

    def test_in_a_pipe_without_a_key_it_says_what_to_set_and_what_works_all_the_same(self, tmp_path):
        done = subprocess.run(
            [*COMMAND, "check"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "PIXELDOJO_API_KEY" in done.stdout
        assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["folder", "ok"], ["journal", "ok"]]
        assert done.stderr == ""


def test_a_missing_notebook_is_a_broken_installation(monkeypatch, tmp_path):
    monkeypatch.setattr(notebooks, "__file__", str(tmp_path / "a" / "b" / "notebooks.py"))
    with pytest.raises(CannotStartError, match="Install kling-notebook again"):
        notebooks.home()
