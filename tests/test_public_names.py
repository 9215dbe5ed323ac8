"""The public names: exactly these, each loaded when first used, each with words of its own."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import kling_notebook
from kling_notebook.api import errors

CALLS = {
    "batch",
    "compare",
    "connect",
    "current_session",
    "estimate",
    "export",
    "export_history",
    "generate",
    "history",
    "images",
    "measure",
    "panel",
    "read_recipe",
    "result",
    "resume",
    "submit",
    "sweep",
}
CLASSES = {
    "BatchResult",
    "Estimate",
    "GenerationRequest",
    "JobHandle",
    "KlingClient",
    "KlingPanel",
    "Result",
    "Sandbox",
    "SavedImage",
    "Session",
    "SweepResult",
}
ERRORS = {
    name
    for name, thing in vars(errors).items()
    if inspect.isclass(thing) and issubclass(thing, BaseException) and thing.__module__ == errors.__name__
}


def test_the_public_names_are_these_in_order():
    assert kling_notebook.__all__ == sorted(CALLS | CLASSES | ERRORS)


def test_every_class_of_the_error_tree_is_public():
    assert {"KlingError", "Interrupted", "UnexpectedReplyError"} <= ERRORS
    assert set(kling_notebook.__all__) >= ERRORS


@pytest.mark.parametrize("name", sorted(CALLS | CLASSES | ERRORS))
def test_a_public_name_can_be_had_and_says_what_it_is(name):
    thing = getattr(kling_notebook, name)
    assert callable(thing)
    assert thing.__name__ == name
    assert inspect.getdoc(thing)
    assert name in dir(kling_notebook)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_calls_are_annotated(name):
    signature = inspect.signature(getattr(kling_notebook, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


def test_the_calls_take_what_they_promise_to():
    parameters = {name: inspect.signature(getattr(kling_notebook, name)).parameters for name in CALLS}
    for name in ("generate", "submit", "sweep"):
        assert next(iter(parameters[name])) == "prompt"
    assert {"api_key", "base_url", "sandbox", "folder", "budget"} <= set(parameters["connect"])
    assert {"extra", "timeout", "max_credits", "reuse", "show_progress"} <= set(parameters["generate"])
    assert parameters["generate"]["timeout"].default == 300.0
    assert parameters["sweep"]["timeout"].default is None


def test_an_unknown_name_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'genrate'"):
        _ = kling_notebook.genrate


def test_a_star_import_brings_the_public_names_and_no_others():
    code = "before = set(globals())\nfrom kling_notebook import *\nprint(*sorted(set(globals()) - before - {'before'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == kling_notebook.__all__


def test_the_version_is_the_project_s():
    from importlib.metadata import version

    assert version("kling-notebook") == kling_notebook.__version__
