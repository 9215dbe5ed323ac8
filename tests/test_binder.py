"""Binder: what repo2docker would build from binder/, read from the Dockerfile it prints without any engine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BINDER = ROOT / "binder"


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Dockerfile of a checkout with nothing in it but what the build may look at."""
    if importlib.util.find_spec("repo2docker") is None:
        pytest.skip("jupyter-repo2docker is not installed")
    checkout = tmp_path_factory.mktemp("binder") / "checkout"
    checkout.mkdir()
    for name in ("binder", "kling_notebook", "notebooks"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "kling_images"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    command = [
        sys.executable,
        "-m",
        "repo2docker",
        "--no-build",
        "--debug",
        "--user-id=1000",
        "--user-name=jovyan",
        ".",
    ]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_image_has_the_python_version_we_name(dockerfile):
    named = (BINDER / "runtime.txt").read_text(encoding="utf-8").strip()
    version = re.fullmatch(r"python-(3\.\d+)", named)
    assert version is not None
    assert "Python version unspecified" not in dockerfile
    assert f"py-2d{version[1].replace('.', '-2e')}-2dlinux" in dockerfile, "the environment of this very version"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tuple(map(int, version[1].split("."))) >= tuple(map(int, project["requires-python"].strip(">=").split(".")))


def test_the_requirements_are_installed_once_the_checkout_is_there(dockerfile):
    copied = dockerfile.index("src/ ${REPO_DIR}/")
    installed = dockerfile.index('pip install --no-cache-dir -r "binder/requirements.txt"')
    assert copied < installed, "they name this checkout"
    assert dockerfile.count("pip install") == 1


def test_postbuild_and_start_are_run(dockerfile):
    assert dockerfile.index("pip install --no-cache-dir -r") < dockerfile.index("RUN ./binder/postBuild")
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


def test_the_front_ends_are_pinned_within_what_the_package_allows():
    lines = [line for line in (BINDER / "requirements.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert lines[0] == ".[voila]"
    pins = dict(line.split("==") for line in lines[1:])
    assert set(pins) == {"jupyterlab", "voila", "ipykernel", "ipywidgets"}
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    allowed = {r.name: r.specifier for r in map(Requirement, project["dependencies"] + extras["lab"] + extras["voila"])}
    assert [name for name, version in pins.items() if version not in allowed[name]] == []


def test_nothing_in_it_holds_a_key_or_an_address():
    for path in BINDER.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path
        assert not re.search(r"PIXELDOJO_API_KEY\s*=", text), path


@pytest.mark.skipif(os.name != "posix", reason="Binder runs on Linux")
@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1 none"), ({"PIXELDOJO_API_KEY": ""}, "1 none"), ({"PIXELDOJO_API_KEY": "k"}, "none k")],
    ids=["no key", "an empty key", "a key"],
)
def test_start_asks_for_the_sandbox_unless_a_key_is_there(given, expected):
    message = ["sh", "-c", 'echo "${KLING_SANDBOX:-none} ${PIXELDOJO_API_KEY:-none}"']
    environment = {"PATH": os.environ["PATH"]} | given
    done = subprocess.run([BINDER / "start", *message], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


@pytest.mark.skipif(os.name != "posix", reason="Binder runs on Linux")
@pytest.mark.parametrize("name", ["start", "postBuild"])
def test_the_scripts_may_be_executed(name):
    assert os.access(BINDER / name, os.X_OK)
