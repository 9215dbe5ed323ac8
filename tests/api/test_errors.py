"""The error tree: as drawn, hashable, picklable, one line in a notebook, and never showing what it must not."""

from __future__ import annotations

import inspect
import pickle
import re
from typing import Any

import pytest

from kling_notebook.api import errors
from kling_notebook.api.errors import Interrupted, KlingError

CLASSES = [thing for _, thing in inspect.getmembers(errors, inspect.isclass) if issubclass(thing, BaseException)]


def _drawn() -> dict[str, str]:
    """Class -> parent, read off the drawing in the module's docstring by its indentation."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([\s│├└─]*)(\w+)(\s{2,}|$)", line)
        if not found or not re.match(r"[A-Z]\w+$", found[2]) or line.startswith("The"):
            continue
        depth = len(found[1])
        above = [(d, name) for d, name in above if d < depth]
        if above:
            parents[found[2]] = above[-1][1]
        above.append((depth, found[2]))
    return parents


def test_the_tree_is_as_drawn() -> None:
    assert _drawn() == {cls.__name__: cls.__base__.__name__ for cls in CLASSES if cls.__base__}


EXAMPLES: list[BaseException] = [
    errors.InputError("m", parameter="prompt"),
    errors.BudgetExceededError("m", credits=3.0, limit=2.0),
    errors.TransportError("m", never_left=True),
    errors.RateLimitedError("m", status=429, code="rate_limited", message="slow", retry_after=3.0),
    errors.UnexpectedReplyError("m", raw={"a": [1]}, maybe_submitted=True),
    errors.DownloadError("m", status=410, final=True, job_id="j", number=3),
    Interrupted("m", ["a", "b"], maybe_submitted=True),
    *[cls("m") for cls in CLASSES],
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_with_their_facts(error: BaseException) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error) == "m"
    assert vars(again) == vars(error)
    assert len({error, again}) == 2  # hashable, by identity


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_in_a_notebook_an_error_is_one_line_unless_debugging(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert error._render_traceback_() == [f"{type(error).__name__}: m"]
    monkeypatch.setattr(errors, "full_traceback", True)
    assert "".join(error._render_traceback_()).rstrip().endswith("m")


def test_input_of_several_lines_is_quoted_on_one() -> None:
    error = errors.InputError("No job a\n  b\r\nc\u2028d\x0be in this folder.\n")
    assert str(error) == "No job a b c d e in this folder."
    assert error._render_traceback_() == ["InputError: No job a b c d e in this folder."]


def test_a_loop_that_catches_exceptions_does_not_catch_an_interrupt() -> None:
    assert not issubclass(Interrupted, Exception)
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert Interrupted("m", ["a"]).job_ids == ("a",)
    assert not Interrupted("m", ["a"]).maybe_submitted


def test_what_an_error_already_says_of_its_job_stays() -> None:
    error = KlingError("m", job_id="first")
    assert error.with_job(job_id="second", number=3) is error
    assert (error.job_id, error.number) == ("first", 3)
    assert error.with_job(number=0).number == 3


def test_by_default_nothing_may_have_been_bought() -> None:
    assert not any(error.maybe_submitted for error in (cls("m") for cls in CLASSES) if isinstance(error, KlingError))
    assert not errors.TransportError("m").never_left
