"""The examples in docstrings run, on the sandbox; every public object says what it is."""

from __future__ import annotations

import doctest
import functools
import importlib
import inspect
import io
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

import kling_notebook
from kling_notebook import sandbox
from kling_notebook.api import errors
from kling_notebook.session import current

SIZES = {"1:1": (1024, 1024), "16:9": (1360, 768)}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
WITHOUT_EXAMPLE = {
    # A class one gets from a call, whose docstring shows it; an error one catches.
    "Estimate",
    "GenerationRequest",
    "JobHandle",
    "KlingPanel",
    "Session",
    *(name for name in kling_notebook.__all__ if hasattr(errors, name)),
}


def modules() -> Iterator[str]:
    yield kling_notebook.__name__
    for module in pkgutil.walk_packages(kling_notebook.__path__, f"{kling_notebook.__name__}."):
        if not module.name.endswith("__main__"):
            yield module.name


def examples(module: ModuleType) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for test in finder.find(module) if test.examples]


def flat(*_: Any, resolution: str, aspect_ratio: str, output_format: str, **__: Any) -> bytes:
    """An image of the right size that costs no time."""
    out = io.BytesIO()
    Image.new("RGB", SIZES[aspect_ratio], "teal").save(out, output_format)
    return out.getvalue()


@pytest.fixture
def sandboxed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty folder, the sandbox whatever key there is, and no session left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KLING_SANDBOX", "1")
    monkeypatch.setattr(current, "_session", None)
    assert kling_notebook.Sandbox is sandbox.Sandbox  # the public name is loaded, and stays what it is
    quick = functools.partial(sandbox.Sandbox, latency=0.0, paint=flat)
    monkeypatch.setattr(sandbox, "Sandbox", quick)  # what a session starts
    monkeypatch.setattr(kling_notebook, "Sandbox", quick)
    yield
    session = current.existing_session()
    if session is not None:
        session.close()


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("name", sorted(name for name in modules() if examples(importlib.import_module(name))))
def test_the_examples_of_a_module_run(name: str) -> None:
    for test in examples(importlib.import_module(name)):
        test.globs["kling"] = kling_notebook
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        message: list[str] = []
        runner.run(test, out=message.append)
        assert runner.summarize(verbose=False).failed == 0, "".join(message)


def test_the_public_calls_show_how_they_are_used() -> None:
    finder = doctest.DocTestFinder()
    bare = [
        name
        for name in kling_notebook.__all__
        if name not in WITHOUT_EXAMPLE
        and not any(test.examples for test in finder.find(getattr(kling_notebook, name), name))
    ]
    assert bare == []


@pytest.mark.parametrize("name", kling_notebook.__all__)
def test_a_public_object_has_words_of_its_own_and_so_have_its_methods(name: str) -> None:
    thing = getattr(kling_notebook, name)
    assert (inspect.getdoc(thing) or "").strip()
    if inspect.isclass(thing) and thing.__module__.startswith("kling_notebook"):
        public = {key: value for key, value in vars(thing).items() if not key.startswith("_")}
        bare = [key for key, value in public.items() if callable(value) and not (value.__doc__ or "").strip()]
        assert bare == [], f"methods of {name} without a docstring"
