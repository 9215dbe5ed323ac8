"""What is built holds what users need and nothing else; what it promises to work without, it works without."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kling_notebook.command import notebooks

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
NOT_OURS = shutil.ignore_patterns(
    "__pycache__", ".git", ".*_cache", ".hypothesis", ".venv", "screenshots", "kling_images", "dist", "build"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the source archive, built from a copy with things lying about that must not be in them."""
    checkout = tmp_path_factory.mktemp("build") / "checkout"
    shutil.copytree(ROOT, checkout, ignore=NOT_OURS)
    (checkout / "notebooks" / "kling_images").mkdir()
    (checkout / "notebooks" / "kling_images" / "stray.png").write_bytes(b"stray")
    (checkout / "kling_notebook" / "__pycache__").mkdir()
    (checkout / "kling_notebook" / "__pycache__" / "stray.pyc").write_bytes(b"stray")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(checkout.parent / "dist")]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (checkout.parent / "dist").glob("*.whl")
    (source,) = (checkout.parent / "dist").glob("*.tar.gz")
    return {"wheel": wheel, "source": source}


def test_the_wheel_holds_the_package_the_notebooks_and_nothing_else(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = set(wheel.namelist())
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kling_notebook").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    carried = {f"kling_notebook/notebooks/{path.name}" for path in notebooks.shipped()}
    about = {name for name in names if re.match(r"kling_notebook-[\d.]+\.dist-info/", name)}
    assert names - about == modules | carried
    assert {Path(name).name for name in about} == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE"}
    assert built["wheel"].stat().st_size < 6_000_000


def test_the_wheel_says_what_it_needs_and_what_it_starts(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        (metadata,) = (wheel.read(name) for name in wheel.namelist() if name.endswith("METADATA"))
        (entries,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("entry_points.txt"))
    message = message_from_bytes(metadata)
    needed = [line for line in message.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[<>=]", line)[0].lower() for line in needed} >= {
        "requests",
        "ipython",
        "pillow",
        "nest-asyncio2",
    }
    assert all(">=" in line for line in needed), "a dependency without a lowest version was never tested at it"
    assert set(message.get_all("Provides-Extra", [])) == {"keyring", "lab", "voila", "test", "dev"}
    assert "kling-notebook = kling_notebook.__main__:main" in entries


def test_the_source_archive_holds_what_tests_and_binder_need(built: dict[str, Path]) -> None:
    with tarfile.open(built["source"]) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    wanted = {"binder/start", ".ci/run", "tests/conftest.py", "notebooks/sweeps.ipynb", "README.md", "LICENSE"}
    assert wanted <= names
    assert not [name for name in names if "stray" in name or "__pycache__" in name]


def test_the_page_on_pypi_links_to_the_repository(built: dict[str, Path]) -> None:
    """A relative link or image leads nowhere there."""
    with zipfile.ZipFile(built["wheel"]) as wheel:
        (metadata,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("METADATA"))
    page = metadata.partition("\n\n")[2]
    targets = re.findall(r"\]\(([^)]*)\)", page)
    assert len(targets) >= 12
    assert [target for target in targets if not target.startswith("https://")] == []
    assert "raw.githubusercontent.com/OWNER/NAME/HEAD/docs/images/panel.png" in page


PLACEHOLDER = "OWNER/NAME"
PLACES = {
    ".github/SECURITY.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "README.md",
    "docs/front-ends.md",
    "pyproject.toml",
    "tests/test_docs.py",
    "tests/test_packaging.py",
}
"""Where the address of the repository stands. CONTRIBUTING has the command that puts the real one there."""


def test_the_repositorys_address_is_a_placeholder_in_known_places() -> None:
    texts = [
        path
        for path in ROOT.rglob("*")
        if path.suffix in {".md", ".py", ".toml", ".cff", ".yml", ".ipynb", ".txt", ".js"}
        and not {"site-packages", ".git", "node_modules", "build", "dist"} & set(path.parts)
    ]
    found = {path.relative_to(ROOT).as_posix() for path in texts if PLACEHOLDER in path.read_text(encoding="utf-8")}
    assert found == PLACES
    assert f"s#{PLACEHOLDER}#" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_requirement_begins_with_its_lowest_version() -> None:
    """.ci/lowest installs exactly those; it must find one in each."""
    spec = importlib.util.spec_from_file_location("lowest_versions", ROOT / ".ci" / "lowest_versions.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    project = {
        "name": "x",
        "dependencies": ["a>=1.2,<3", "b[c]>=0.5"],
        "optional-dependencies": {"all": ["x[more]", "d >=4"], "dev": ["e"]},
    }
    assert list(script.lowest(project)) == ["a==1.2", "b==0.5", "d==4"]
    with pytest.raises(ValueError, match="does not begin with its lowest version"):
        list(script.lowest(project | {"dependencies": ["a"]}))
    command = [sys.executable, ROOT / ".ci" / "lowest_versions.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "requests==" in done.stdout
    assert "pytest" not in done.stdout


def test_the_bare_client_needs_nothing_of_the_notebook(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = make_sandbox(paint=lambda *_, **__: b"\x89PNG and so on")
    absent = (
        "IPython",
        "ipywidgets",
        "anywidget",
        "ipykernel",
        "traitlets",
        "pandas",
        "numpy",
        "matplotlib",
        "PIL",
        "tornado",
        "tqdm",
    )
    code = f"""
import sys
sys.modules.update(dict.fromkeys({absent!r}))
import kling_notebook as kling
client = kling.KlingClient({sandbox.key!r}, base_url={sandbox.base_url!r})
images = client.run(kling.GenerationRequest("a red fox", num_outputs=2))
assert [image[:4] for image in images] == [b"\\x89PNG"] * 2
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sandbox.count("submit") == 1


@pytest.mark.parametrize("extra", ["keyring", "lab", "voila"])
def test_an_extra_of_the_users_is_named_where_it_is_needed(extra: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "kling_notebook").rglob("*.py"), ROOT / "binder" / "requirements.txt"]
    assert any(f"[{extra}]" in path.read_text(encoding="utf-8") for path in pages)
