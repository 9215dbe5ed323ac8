"""The table of inputs: what each row accepts, and what it says when it does not."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from kling_notebook.api.errors import InputError
from kling_notebook.api.parameters import COUNT_KEYS, PARAMETERS, check

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")


def test_the_table_says_what_the_documentation_says() -> None:
    facts = {name: (row.default, row.choices, row.minimum, row.maximum) for name, row in PARAMETERS.items()}
    assert facts == {
        "prompt": (None, (), None, None),
        "negative_prompt": (None, (), None, None),
        "resolution": ("1K", ("1K", "2K"), None, None),
        "aspect_ratio": ("1:1", RATIOS, None, None),
        "num_outputs": (1, (), 1, 9),
        "output_format": ("png", ("png", "jpeg", "webp"), None, None),
        "image": (None, (), None, None),
    }
    assert [name for name, row in PARAMETERS.items() if row.required] == ["prompt"]
    assert COUNT_KEYS[0] in PARAMETERS


def test_every_flag_belongs_to_one_row() -> None:
    flags = [flag for row in PARAMETERS.values() for flag in row.flags]
    assert len(flags) == len(set(flags))
    assert all(row.flags for row in PARAMETERS.values() if not row.required)


@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [
        ("prompt", "  a fox\n", "a fox"),
        ("prompt", "{a} $b #c 'd' \"e\" \\", "{a} $b #c 'd' \"e\" \\"),
        ("negative_prompt", None, None),
        ("negative_prompt", "   ", None),
        ("resolution", None, "1K"),
        ("resolution", "2k", "2K"),
        ("resolution", " 1K ", "1K"),
        ("aspect_ratio", "21:9", "21:9"),
        ("output_format", "WebP", "webp"),
        ("num_outputs", None, 1),
        ("num_outputs", 9, 9),
        ("num_outputs", "3", 3),
        ("num_outputs", 2.0, 2),
        ("num_outputs", np.int64(4), 4),
        ("num_outputs", Fraction(4, 2), 2),
        ("image", None, None),
    ],
)
def test_good_values_are_sent_as_the_table_writes_them(name: str, given: Any, sent: Any) -> None:
    value = check(name, given)
    assert value == sent
    assert type(value) is type(sent)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("prompt", None, "prompt is required"),
        ("prompt", "", "prompt is empty"),
        ("prompt", " \n\t", "prompt is empty"),
        ("prompt", "\ufeff \u200b\0\u2800\xad", "prompt is empty"),
        ("prompt", 3, "must be text, not int"),
        ("prompt", "half \ud83d pair", "surrogate"),
        ("negative_prompt", ["a"], "must be text, not list"),
        ("resolution", "3K", "Choose one of 1K, 2K"),
        ("resolution", True, "Choose one of"),
        ("aspect_ratio", "16x9", "Did you mean 16:9?"),
        ("aspect_ratio", "16/9", "Did you mean 16:9?"),
        ("output_format", "jpg", "Did you mean jpeg?"),
        ("output_format", "JPG", "Did you mean jpeg?"),
        ("output_format", "tiff", "Choose one of png, jpeg, webp"),
        ("num_outputs", 0, "from 1 to 9, not 0"),
        ("num_outputs", 12, "from 1 to 9, not 12"),
        ("num_outputs", -1, "from 1 to 9"),
        ("num_outputs", True, "whole number"),
        ("num_outputs", 1.5, "whole number"),
        ("num_outputs", float("nan"), "whole number"),
        ("num_outputs", float("inf"), "whole number"),
        ("num_outputs", "two", "whole number"),
        ("num_outputs", "1.5", "whole number"),
        ("num_outputs", [3], "whole number"),
        ("num_outputs", np.array([1, 2]), "whole number"),
    ],
)
def test_bad_values_are_refused_with_the_parameter_and_what_was_meant(name: str, given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check(name, given)
    assert message in str(caught.value)
    assert caught.value.parameter == name
    assert not caught.value.maybe_submitted


@pytest.mark.parametrize(
    ("name", "meant"), [("aspect", "aspect_ratio"), ("num_images", "num_outputs"), ("promt", "prompt")]
)
def test_a_misspelt_parameter_is_answered_with_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean {meant}"):
        check(name, 1)


def test_an_unknown_parameter_is_answered_with_the_list() -> None:
    with pytest.raises(InputError, match="There are prompt, negative_prompt"):
        check("seed", 1)
