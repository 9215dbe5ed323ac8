"""What a tooltip and Tab show of the Python calls."""

from __future__ import annotations

import inspect

import pytest

import kling_notebook as kling
from kling_notebook.api.parameters import PARAMETERS


@pytest.mark.parametrize("call", [kling.generate, kling.submit])
def test_a_call_shows_every_parameter_of_the_table_with_its_default(call: object) -> None:
    """One row of the table is one keyword of the call; nothing hides behind ``**parameters``."""
    shown = inspect.signature(call).parameters  # type: ignore[arg-type]
    for name, row in PARAMETERS.items():
        assert shown[name].default == (inspect.Parameter.empty if name == "prompt" else row.default)
    assert not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in shown.values())
