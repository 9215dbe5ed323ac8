"""The words are held to the code: tables of the README are made of the tables that decide."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from kling_notebook.api.parameters import PARAMETERS
from kling_notebook.notebook.magic.options_table import OPTIONS, SUBCOMMANDS
from kling_notebook.settings import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST_SCREEN = "\n".join(README.splitlines()[:40])


def cell(text: str) -> str:
    return text.replace("|", r"\|")


def options_table() -> list[str]:
    rows = []
    for option in OPTIONS:
        typed = ", ".join(f"`{cell(f'{flag} {option.metavar}'.strip())}`" for flag in option.flags)
        rows.append(f"| {typed} | {cell(option.help)} |")
    return rows


def subcommands_table() -> list[str]:
    return [
        f"| `%kling {cell(f'{row.name} {row.usage}'.strip())}` | {cell(row.help)} |" for row in SUBCOMMANDS.values()
    ]


def variables_table() -> list[str]:
    return [f"| `{row.variable}` | {cell(row.help)} |" for row in SETTINGS.values() if row.variable]


@pytest.mark.parametrize(
    ("heading", "wanted"),
    [
        ("| Option | Meaning |", options_table()),
        ("| Command | Meaning |", subcommands_table()),
        ("| Environment variable | Meaning |", variables_table()),
    ],
)
def test_a_table_of_the_readme_says_what_the_code_says(heading, wanted):
    lines = README[README.index(heading) :].splitlines()[2:]
    found = lines[: next((k for k, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    corrected = "\n".join([heading, "|---|---|", *wanted])
    assert found == wanted, f"the README's table should be:\n\n{corrected}\n"


def test_every_parameter_of_the_model_is_an_option():
    flags = {flag for option in OPTIONS for flag in option.flags}
    assert all(set(row.flags) <= flags for row in PARAMETERS.values())


def test_the_first_screen_has_what_a_stranger_needs():
    for needed in (
        "](notebooks/images/quickstart.png)",
        'pip install ".[lab]"',
        "%load_ext kling_notebook",
        "%%kling",
        "No key? It runs on the sandbox",
    ):
        assert needed in FIRST_SCREEN, needed


def test_what_was_never_tried_is_said_plainly():
    assert "never tried" in README
    assert "%kling check" in README
    assert "nest-asyncio2" in README


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_into_the_repository_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_extras_the_words_name_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"(?:kling-notebook|\.)\[(\w+)\]", README))
    assert {"lab", "test"} <= named
    assert named <= set(project["optional-dependencies"])


def test_the_changelog_speaks_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
