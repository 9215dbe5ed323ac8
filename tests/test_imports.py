"""Who may lean on whom. The walk sees every import: at the top, inside functions, under TYPE_CHECKING."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kling_notebook"

# Each package may import what stands after it, and itself; what is more, or less, stands in the two tables below.
ORDER = ["command", "calls", "notebook", "session", "jobs", "results", "journal", "image_files", "api"]
EXTRA = {
    "results": {"view"},
    "notebook": {"view", "settings"},
    "calls": {"view", "settings"},
    "session": {"settings", "sandbox"},
    "command": {"settings", "sandbox"},
    "settings": {"api"},
    "view": set(),
    "sandbox": set(),
}
PACKAGES = {
    package: (set(ORDER[ORDER.index(package) + 1 :]) if package in ORDER else set()) | EXTRA.get(package, set())
    for package in [*ORDER, *EXTRA]
} | {"root": {*ORDER, *EXTRA} - {"command"}}
# Within the notebook package.
NOTEBOOK = {
    "notebook.magic": {"notebook", "notebook.panel", "notebook.display"},
    "notebook.panel": {"notebook", "notebook.display"},
    "notebook": {"notebook.display"},
    "notebook.display": set(),
}
# Narrower than the package: only these modules may take that import.
ONLY = {
    ("session", "sandbox"): {"session.session"},
}
# One home per outside library: the modules or packages that may import it. What is imported for its types is free.
HOMES = {
    "requests": {"api.transport"},
    "urllib3": {"api.transport"},
    "IPython": {"notebook"},
    "ipywidgets": {"notebook"},
    "anywidget": {"notebook.panel"},
    "traitlets": {"notebook"},
    "matplotlib": {"view.figure"},
    "PIL": {"image_files", "view", "sandbox.painter", "sandbox.sources"},
    "numpy": {"sandbox.painter", "results.frames", "view.figure", "image_files.source_images"},
    "tornado": {"sandbox.server"},
    "nest_asyncio2": {"notebook.display"},
    "tqdm": {"notebook.display"},
    "keyring": {"settings"},
    "filelock": {"journal"},
    "pandas": {"results", "notebook", "calls"},
    "jupyterlab": {"command"},
    "jupyter_client": {"command"},
    "nbclient": {"command"},
    "nbconvert": {"command"},
    "nbformat": {"command"},
}
SQLITE_HOME = {"journal"}
POSIX_ONLY = {"fcntl", "grp", "posix", "pwd", "pty", "resource", "syslog", "termios", "tty"}
HEAVY = {
    "requests",
    "pandas",
    "PIL",
    "matplotlib",
    "ipywidgets",
    "anywidget",
    "tornado",
    "keyring",
    "tqdm",
    "numpy",
    "nest_asyncio2",
}


@dataclass(frozen=True)
class Import:
    """One name that a module imports. ``at_top``: run when the module is; ``for_types``: never run at all."""

    module: str
    line: int
    name: str
    at_top: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
    for path in PACKAGE.rglob("*.py")
}


def full(module: str) -> str:
    return f"kling_notebook.{module}".rstrip(".")


def targets(node: ast.AST, module: str) -> list[str]:
    """The dotted names an import statement, or an ``import_module("...")`` call, brings in."""
    is_package = MODULES[module].name == "__init__.py"
    package = full(module).split(".") if is_package else full(module).split(".")[:-1]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        home = ".".join([*base, *([node.module] if node.module else [])])
        ours = home.split(".")[0] == "kling_notebook"
        inside = home.removeprefix("kling_notebook").lstrip(".")
        return [
            f"{home}.{alias.name}" if ours and f"{inside}.{alias.name}".lstrip(".") in MODULES else home
            for alias in node.names
        ]
    if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
        first = node.args[0]
        name = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
        return [name if not name.startswith(".") else ".".join(package) + name] if name else []
    return []


def walk(node: ast.AST, module: str, *, at_top: bool = True, for_types: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in targets(child, module):
            yield Import(module, getattr(child, "lineno", 0), name, at_top, for_types)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from walk(child, module, at_top=at_top and not inside, for_types=for_types or typing)


@functools.cache
def imports() -> list[Import]:
    """Every import of the package."""
    return [
        found
        for module, path in sorted(MODULES.items())
        for found in walk(ast.parse(path.read_text(encoding="utf-8")), module)
    ]


@functools.cache
def inside_imports() -> list[Import]:
    """Those of modules of the package."""
    return [found for found in imports() if found.name.split(".")[0] == "kling_notebook"]


@functools.cache
def outside_imports() -> list[Import]:
    """Those of other packages than Python's own."""
    return [
        found
        for found in imports()
        if (top := found.name.split(".")[0]) != "kling_notebook" and top not in sys.stdlib_module_names
    ]


def short(name: str) -> str:
    return name.removeprefix("kling_notebook").lstrip(".")


def package_of(module: str) -> str:
    """The package a module lives in; the package itself is the root, and `__main__` belongs to the command."""
    first = module.split(".", maxsplit=1)[0]
    return {"": "root", "__main__": "command"}.get(first, first)


def lives_in(module: str, homes: set[str]) -> bool:
    return any(module == home or module.startswith(home + ".") or package_of(module) == home for home in homes)


def test_there_are_imports_to_look_at():
    assert len(MODULES) > 10
    assert any(not found.at_top for found in imports()), "the walk must see imports inside functions"


def test_imports_between_packages_point_one_way():
    wrong = [
        str(found)
        for found in inside_imports()
        if (here := package_of(found.module)) != (there := package_of(short(found.name)))
        and there != "root"
        and there not in PACKAGES[here]
    ]
    assert wrong == []


def part_of_notebook(module: str) -> str:
    """The package inside notebook/ that a module lives in; what lies beside them is the package itself."""
    part = ".".join(module.split(".")[:2])
    return part if part in NOTEBOOK else "notebook"


def test_imports_between_the_packages_of_the_notebook_point_one_way():
    inside = [f for f in inside_imports() if package_of(f.module) == package_of(short(f.name)) == "notebook"]
    wrong = [
        str(found)
        for found in inside
        if (here := part_of_notebook(found.module)) != (there := part_of_notebook(short(found.name)))
        and there not in NOTEBOOK[here]
    ]
    assert inside
    assert wrong == []


def test_some_imports_belong_to_one_module():
    wrong = [
        str(found)
        for found in inside_imports()
        if (package_of(found.module), package_of(short(found.name))) in ONLY
        and not lives_in(found.module, ONLY[package_of(found.module), package_of(short(found.name))])
    ]
    assert wrong == []


def test_only_the_command_imports_the_package_itself():
    """Whoever imports the root package depends on everything."""
    wrong = [
        str(found) for found in inside_imports() if short(found.name) == "" and package_of(found.module) != "command"
    ]
    assert wrong == []


def test_sqlite3_has_one_home():
    wrong = [str(f) for f in imports() if f.name.split(".")[0] == "sqlite3" and not lives_in(f.module, SQLITE_HOME)]
    assert wrong == []


def test_there_is_no_import_cycle_even_a_lazy_one():
    leans_on = {
        module: {short(f.name) for f in inside_imports() if f.module == module} & set(MODULES) for module in MODULES
    }

    def path_back(start: str) -> list[str]:
        trails, seen = [[start]], set()
        while trails:
            trail = trails.pop()
            for following in leans_on[trail[-1]]:
                if following == start:
                    return [*trail, start]
                if following not in seen:
                    seen.add(following)
                    trails.append([*trail, following])
        return []

    cycles = [" -> ".join(map(full, cycle)) for module in MODULES if (cycle := path_back(module))]
    assert cycles == []


def test_each_outside_library_has_one_home():
    wrong = [
        str(found)
        for found in outside_imports()
        if not found.for_types and not lives_in(found.module, HOMES.get(found.name.split(".")[0], set()))
    ]
    assert wrong == []


def test_pyplot_is_never_imported():
    """Figures are made on any thread, and pyplot's are shared between threads."""
    assert [str(found) for found in outside_imports() if "pyplot" in found.name] == []


def test_pandas_waits_until_a_table_is_wanted():
    assert [
        str(f) for f in outside_imports() if f.name.split(".")[0] == "pandas" and f.at_top and not f.for_types
    ] == []


def test_nothing_posix_only_is_imported_at_the_top():
    wrong = [str(f) for f in imports() if f.name.split(".")[0] in POSIX_ONLY and f.at_top and not f.for_types]
    assert wrong == []


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has imported after ``code``, beyond what it had before."""
    probe = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_but_the_package():
    new = modules_after("import kling_notebook")
    assert {name for name in new if name.startswith("kling_notebook")} == {"kling_notebook"}
    assert {name.split(".")[0] for name in new} - set(sys.stdlib_module_names) == {"kling_notebook"}


def test_asking_for_an_error_does_not_wake_the_heavy_libraries():
    new = modules_after("import kling_notebook\nkling_notebook.KlingError, kling_notebook.InputError")
    assert {name.split(".")[0] for name in new} & HEAVY == set()


def test_the_client_of_a_plain_script_loads_nothing_of_notebooks_folders_or_tables():
    new = modules_after("import kling_notebook\nkling_notebook.KlingClient")
    assert {name.split(".")[0] for name in new} & (HEAVY | {"IPython", "traitlets", "filelock"}) == set()


def test_loading_the_extension_wakes_none_of_the_heavy_libraries():
    new = modules_after(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "before = set(sys.modules)\n"
        "shell.run_line_magic('load_ext', 'kling_notebook')"
    )
    assert "kling_notebook" in new
    assert {name.split(".")[0] for name in new} & HEAVY == set()


@pytest.mark.parametrize("name", ["generate", "KlingClient", "Session"])
def test_the_python_api_works_without_ipython(name: str):
    code = "sys.modules['IPython'] = sys.modules['ipywidgets'] = None\nimport kling_notebook\n"
    assert "kling_notebook.api" in modules_after(f"{code}kling_notebook.{name}")
