"""What README, manual, CONTRIBUTING and notebooks show is run, and they name exactly what the code has.

``python tests/test_docs.py`` writes the tables that are made from the code into the manual.
"""

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
import pytest
from nbclient import NotebookClient

import kling_notebook
from kling_notebook.__main__ import parser
from kling_notebook.api import errors
from kling_notebook.api.job import JobStatus
from kling_notebook.api.parameters import PARAMETERS
from kling_notebook.command import notebooks
from kling_notebook.notebook.magic.options_table import OPTIONS
from kling_notebook.notebook.magic.subcommands import SUBCOMMANDS
from kling_notebook.settings import SETTINGS

ROOT = Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
INSTALLED = {re.match(r"[\w-]+", line)[0] for name in ("test", "dev") for line in EXTRAS[name]}
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
MANUAL = "\n".join([README, *PAGES.values()])
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = {path: path.read_text(encoding="utf-8") for path in (ROOT / "kling_notebook").rglob("*.py")}
IN_TESTS_ONLY = {"KLING_REQUIRE_BROWSER", "KLING_KEEP_IMAGES", "KLING_BENCHMARKS_CACHE"}


def blocks(text: str, *kinds: str) -> list[str]:
    """The fenced blocks of these kinds, in order."""
    return [body for kind, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if kind in kinds]


def notebook_cells() -> str:
    books = [json.loads(path.read_text(encoding="utf-8")) for path in notebooks.shipped()]
    return "\n".join("".join(cell["source"]) for book in books for cell in book["cells"])


EVERYTHING = "\n".join([MANUAL, CONTRIBUTING, notebook_cells()])


def sandbox_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    return kept | {"KLING_SANDBOX": "1"}


# ---- what is shown runs ----


@pytest.mark.long
@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_the_cells_of_a_page_run_in_a_kernel_in_the_order_they_stand(page: str, tmp_path: Path) -> None:
    sources = blocks(README if page == "README.md" else PAGES[page], "", "python")
    if not sources:
        return
    cells = ["%load_ext kling_notebook", *sources]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.rstrip()) for source in cells])
    client = NotebookClient(book, timeout=100, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=sandbox_environment())
    outputs = [output for cell in book.cells for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


def test_the_python_page_runs_as_a_script_without_ipython(tmp_path: Path) -> None:
    code = "import sys\nsys.modules['IPython'] = sys.modules['ipywidgets'] = None\n"
    code += blocks(PAGES["python.md"], "python")[0]
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=sandbox_environment(), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "kling_images").glob("*.png"))) == 3


def commands() -> Iterator[list[str]]:
    """Every shell command of the pages, as words, comments and settings left out."""
    for block in blocks(MANUAL + CONTRIBUTING, "bash"):
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
            known = ("python3", "python", "git", "|")  # git and its pipe: the one command that names the repository
            assert name in known, f"{program} is not checked by this test"
        assert [word for word in rest if word.startswith("tests/") and not (ROOT / word).exists()] == []
    assert {".ci/run", ".venv/bin/pytest", ".venv/bin/kling-notebook"} <= seen


def test_commands_named_in_the_text_parse() -> None:
    for message in set(re.findall(r"`kling-notebook ([a-z][^`]*)`", EVERYTHING)):
        words = message.replace("[DIR]", "DIR").replace(" N", " 3").split()
        parser().parse_args(words)


# ---- every name in the words exists in the code ----


def test_every_option_in_the_words_exists() -> None:
    known = {flag for option in OPTIONS for flag in option.flags}
    known |= {flag for row in SUBCOMMANDS.values() for option in row.options for flag in option.flags}
    for action in parser()._subparsers._group_actions[0].choices.values():  # type: ignore[union-attr,attr-defined]
        known |= set(action._option_string_actions)
    known |= {"--inject-paths", "--execution-timeout"}  # of papermill
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
    documented = set(pattern.findall(MANUAL + CONTRIBUTING)) - IN_TESTS_ONLY
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
    """The rows of the manual's table with this first line, cell by cell."""
    page = next(text for text in PAGES.values() if f"\n{heading}" in text)
    lines = page[page.index(f"\n{heading}") + 1 :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def in_a_cell(text: str) -> str:
    return text.replace("|", r"\|")


def as_written(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "not set" if default is None else f"{default:g}" if isinstance(default, int | float) else str(default)


def tables() -> dict[str, list[str]]:
    """The rows of the manual's tables that are made from the code, by their first line."""
    options = []
    for option in OPTIONS:
        typed = ", ".join(f"`{in_a_cell(f'{flag} {option.metavar}'.strip())}`" for flag in option.flags)
        options.append(f"| {typed} | {in_a_cell(option.help)} |")
        options += [f"| `{option.flags[0]} {in_a_cell(form)}` | {in_a_cell(words)} |" for form, words in option.forms]
    subcommands = [
        f"| `%kling {in_a_cell(f'{row.name} {row.usage}'.strip())}` | {in_a_cell(row.help)} |"
        for row in SUBCOMMANDS.values()
    ]
    settings = [f"| `{name}` | {as_written(row.default)} | {in_a_cell(row.help)} |" for name, row in SETTINGS.items()]
    variables = [f"| `{row.variable}` | {in_a_cell(row.help)} |" for row in SETTINGS.values() if row.variable]
    return {
        "| Option | Meaning |": options,
        "| Command | Meaning |": subcommands,
        "| Setting | Default | Meaning |": settings,
        "| Environment variable | Meaning |": variables,
    }


@pytest.mark.parametrize("heading", tables())
def test_a_table_of_the_manual_says_what_the_code_says(heading: str) -> None:
    wanted = tables()[heading]
    page = next(text for text in PAGES.values() if f"{heading}\n" in text)
    lines = page[page.index(f"{heading}\n") :].splitlines()[2:]
    found = lines[: next((k for k, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    assert found == wanted, "python tests/test_docs.py writes this table anew"


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
    assert "Interrupted" in PAGES["python.md"]


def test_every_notebook_is_named() -> None:
    for path in notebooks.shipped():
        assert f"`{path.stem}" in README, path.name


def test_the_extras_the_manual_names_exist() -> None:
    named = set(re.findall(r"(?:kling-notebook|\.)\[(\w+)\]", MANUAL))
    assert {"lab", "test"} <= named <= set(EXTRAS)


def test_every_parameter_of_the_model_is_an_option() -> None:
    flags = {flag for option in OPTIONS for flag in option.flags}
    assert all(set(row.flags) <= flags for row in PARAMETERS.values())


def test_the_readme_is_short_and_its_first_screen_has_what_a_stranger_needs() -> None:
    assert 500 <= len(README.split()) <= 700
    first_screen = "\n".join(README.splitlines()[:40])
    for needed in (
        "](docs/images/quickstart.png)",
        'pip install ".[lab]"',
        "%load_ext kling_notebook",
        "%%kling",
        "No key? It runs on the sandbox",
    ):
        assert needed in first_screen, needed


def test_what_was_never_tried_is_told_plainly() -> None:
    assert "Never tried against the live service" in README
    assert "%kling check" in README
    assert "nest-asyncio2" in MANUAL


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{name}" for name in PAGES)])
def test_every_link_into_the_repository_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_every_page_of_the_manual_is_linked_from_the_readme() -> None:
    assert [name for name in PAGES if f"(docs/{name})" not in README] == []


def test_the_changelog_speaks_of_this_version() -> None:
    assert f"## {kling_notebook.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


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
    marked = PAGES["front-ends.md"][PAGES["front-ends.md"].index("<!-- Put the address of the repository") :]
    links = re.findall(r"`https://mybinder\.org/v2/gh/OWNER/NAME/HEAD\?urlpath=(\S+?)`", marked)
    assert len(links) == MANUAL.count("mybinder.org") == 2
    paths = [link.replace("%2F", "/") for link in links]
    assert [path.partition("notebooks/")[0] for path in paths] == ["voila/render/", "lab/tree/"]
    assert all((ROOT / "notebooks" / path.partition("notebooks/")[2]).is_file() for path in paths)


if __name__ == "__main__":
    for path in (ROOT / "docs").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        for heading, rows in tables().items():
            if f"{heading}\n" in text:
                start = text.index("\n", text.index(f"{heading}\n") + len(heading) + 1) + 1
                end = re.compile(r"(\|.*\n)*").match(text, start).end()  # type: ignore[union-attr]  # it always matches
                text = text[:start] + "".join(f"{row}\n" for row in rows) + text[end:]
        path.write_text(text, encoding="utf-8")
