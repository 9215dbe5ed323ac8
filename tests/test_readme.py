"""What README, CONTRIBUTING and the notebooks show is run, and every name in them is one that exists."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

import kling_notebook
from kling_notebook.__main__ import parser
from kling_notebook.api import errors
from kling_notebook.api.job import JobStatus
from kling_notebook.command import notebooks
from kling_notebook.notebook.magic.options_table import OPTIONS, SUBCOMMANDS
from kling_notebook.settings import SETTINGS

ROOT = Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
INSTALLED = {re.match(r"[\w-]+", line)[0] for name in ("test", "dev") for line in EXTRAS[name]}
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = {path: path.read_text(encoding="utf-8") for path in (ROOT / "kling_notebook").rglob("*.py")}
IN_TESTS_ONLY = {"KLING_REQUIRE_BROWSER", "KLING_KEEP_PICTURES", "KLING_BENCHMARKS_CACHE"}


def blocks(text: str, *kinds: str) -> list[str]:
    """The fenced blocks of these kinds, in order."""
    return [body for kind, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if kind in kinds]


def notebook_cells() -> str:
    books = [json.loads(path.read_text(encoding="utf-8")) for path in notebooks.shipped()]
    return "\n".join("".join(cell["source"]) for book in books for cell in book["cells"])


EVERYTHING = "\n".join([README, CONTRIBUTING, notebook_cells()])


def sandbox_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    return kept | {"KLING_SANDBOX": "1"}


# ---- what is shown runs ----


def test_the_cells_of_the_readme_run_in_a_kernel_in_the_order_they_stand(tmp_path: Path) -> None:
    sources = blocks(README, "", "python")
    assert len(sources) >= 6
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.rstrip()) for source in sources])
    client = NotebookClient(book, timeout=100, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=sandbox_environment())
    said = [output for cell in book.cells for output in cell.outputs]
    assert [output.text for output in said if output.get("name") == "stderr"] == []
    assert sum("<img" in output.get("data", {}).get("text/html", "") for output in said) >= 3
    assert (tmp_path / "grid.pdf").is_file()


def test_the_python_of_the_readme_runs_as_a_script_without_ipython(tmp_path: Path) -> None:
    code = "import sys\nsys.modules['IPython'] = sys.modules['ipywidgets'] = None\n" + blocks(README, "python")[0]
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=sandbox_environment(), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "kling_images").glob("*.png"))) == 3


def commands() -> Iterator[list[str]]:
    """Every shell command of the pages, as words, comments and settings left out."""
    for block in blocks(README + CONTRIBUTING, "bash"):
        for line in block.splitlines():
            for command in line.partition(" #")[0].split("&&"):
                words = [word for word in command.split() if not re.fullmatch(r"[A-Z_]+=\S+", word)]
                if words:
                    yield words


def test_every_shell_command_is_one_that_exists() -> None:
    """CI types them: those that install and test from README and CONTRIBUTING. Here they are held to what is there."""
    seen = set()
    for program, *rest in commands():
        seen.add(program)
        name = Path(program).name
        if program.startswith(".ci/"):
            assert os.access(ROOT / program, os.X_OK), program
        elif name == "kling-notebook":
            parser().parse_args(rest)
        elif name in ("pip", "pytest", "ruff", "mypy"):
            assert name == "pip" or name in INSTALLED, f"no extra of pyproject.toml installs {name}"
        else:
            assert name in ("python3", "python"), f"{program} is not checked by this test"
        assert [word for word in rest if word.startswith("tests/") and not (ROOT / word).exists()] == []
    assert {".ci/run", ".venv/bin/pytest", ".venv/bin/kling-notebook"} <= seen


def test_commands_named_in_the_text_parse() -> None:
    for said in set(re.findall(r"`kling-notebook ([a-z][^`]*)`", EVERYTHING)):
        words = said.replace("[DIR]", "DIR").replace(" N", " 3").split()
        parser().parse_args(words)


# ---- every name in the words exists in the code ----


def test_every_option_in_the_words_exists() -> None:
    known = {flag for option in OPTIONS for flag in option.flags}
    known |= {flag for row in SUBCOMMANDS.values() for option in row.options for flag in option.flags}
    for action in parser()._subparsers._group_actions[0].choices.values():  # type: ignore[union-attr,attr-defined]
        known |= set(action._option_string_actions)
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"```bash.*?```", "", EVERYTHING, flags=re.S)))
    assert mentioned <= known, mentioned - known


def test_every_subcommand_in_the_words_exists() -> None:
    mentioned = set(re.findall(r"(?<!%)%kling ([a-z]+)", EVERYTHING))
    assert mentioned <= set(SUBCOMMANDS), mentioned - set(SUBCOMMANDS)
    assert set(SUBCOMMANDS) <= mentioned


def test_every_name_of_the_package_in_the_words_is_public() -> None:
    mentioned = set(re.findall(r"\bkling\.([A-Za-z_]\w*)", EVERYTHING))
    assert mentioned <= set(kling_notebook.__all__), mentioned - set(kling_notebook.__all__)
    calls = {"generate", "submit", "sweep", "estimate", "history", "panel", "compare", "read_recipe", "connect"}
    assert calls <= mentioned, calls - mentioned


def test_every_setting_of_a_config_line_in_the_words_exists() -> None:
    mentioned = set(re.findall(r"KlingMagics\.(\w+)", EVERYTHING)) - {"NAME"}
    assert mentioned <= {*SETTINGS, "debug"}, mentioned - set(SETTINGS)


def test_every_status_a_filter_names_exists() -> None:
    mentioned = set(re.findall(r"--status (\w+)", EVERYTHING)) - {"S"}
    assert mentioned <= {status.value for status in JobStatus}


def test_environment_variables_are_the_same_in_code_and_words() -> None:
    pattern = re.compile(r"\b((?:KLING|PIXELDOJO)_[A-Z_]+)\b")
    documented = set(pattern.findall(README + CONTRIBUTING)) - IN_TESTS_ONLY
    table = {row.variable for row in SETTINGS.values() if row.variable}
    read = {
        node.value
        for text in PACKAGE.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value)
    }
    assert documented == table
    assert read <= table


# ---- every name in the code stands in the words ----


def table_under(heading: str) -> list[list[str]]:
    """The rows of the README's table with this first line, cell by cell."""
    lines = README[README.index(heading) :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def as_written(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "not set" if default is None else f"{default:g}" if isinstance(default, int | float) else str(default)


def test_the_table_of_settings_is_the_code_s() -> None:
    wanted = [[f"`{name}`", as_written(row.default), row.help] for name, row in SETTINGS.items()]
    corrected = "\n".join("| " + " | ".join(row) + " |" for row in wanted)
    assert table_under("| Setting | Default | Meaning |") == wanted, f"the README's table should be:\n{corrected}"


def test_every_class_of_error_has_its_row_and_no_other() -> None:
    ours = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.KlingError) and thing is not errors.KlingError
    }
    rows = [row[0].strip("`") for row in table_under("| Error | When |")]
    assert set(rows) == ours
    assert len(rows) == len(ours)
    after = rows[rows.index("ApiError") + 1 :][:7]
    assert all(issubclass(getattr(errors, name), errors.ApiError) for name in after), "the next seven are its kinds"
    assert "Interrupted" in README


def test_every_notebook_and_every_extra_is_named() -> None:
    for path in notebooks.shipped():
        assert f"`{path.stem}" in README, path.name


# ---- figures ----


def test_the_money_table_s_last_column_is_what_the_fault_suite_counts() -> None:
    path = ROOT / "tests" / "jobs" / "test_faults.py"
    spec = importlib.util.spec_from_file_location("fault_rows", path)
    assert spec is not None
    assert spec.loader is not None
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    counted = {row.name: row for row in suite.ROWS}
    rows = table_under("| What goes wrong |")
    assert len(rows) >= 8
    for what, *_, ours in rows:
        row = counted[what]
        assert ours == ("ok" if what.startswith("poll") else str(row.posts)), what
        if ours == "ok":
            assert row.status is JobStatus.COMPLETED


def test_the_two_binder_links_stand_in_one_marked_place_and_lead_to_notebooks() -> None:
    marked = README[README.index("<!-- Put the address of the repository") :]
    links = re.findall(r"`https://mybinder\.org/v2/gh/OWNER/NAME/HEAD\?urlpath=(\S+?)`", marked)
    assert len(links) == README.count("mybinder.org") == 2
    paths = [link.replace("%2F", "/") for link in links]
    assert [path.partition("notebooks/")[0] for path in paths] == ["voila/render/", "lab/tree/"]
    assert all((ROOT / "notebooks" / path.partition("notebooks/")[2]).is_file() for path in paths)
