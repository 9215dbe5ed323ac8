"""Axes, their product and its layout: pure, table-tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_notebook.api.errors import InputError
from kling_notebook.api.parameters import check
from kling_notebook.results import sweep_axes
from kling_notebook.results.attachments import Attachments
from kling_notebook.results.sweep_axes import Layout, Pick, expand, fill, label, layout, parse_axes


def prompts(prompt: Any, **axes: Any) -> list[str]:
    return [point.prompt for point in expand(prompt, axes)[1]]


def test_the_product_turns_the_last_axis_fastest() -> None:
    """Two axes of two give four points in reading order."""
    axes, points = expand("a {animal} at {time}", {"animal": ["fox", "owl"], "time": ["dawn", "night"]})
    assert [point.prompt for point in points] == [
        "a fox at dawn",
        "a fox at night",
        "a owl at dawn",
        "a owl at night",
    ]
    assert points[1].coordinates == ("fox", "night")
    assert axes == {"animal": ("fox", "owl"), "time": ("dawn", "night")}


def test_a_parameter_is_an_axis_and_its_values_are_checked() -> None:
    """Values are normalised by the table; a wrong one is refused with what was meant."""
    axes, points = expand("x", {"resolution": ["1k", "2K"], "num_outputs": ["1", 3]}, {"aspect_ratio": "16:9"})
    assert axes["resolution"] == ("1K", "2K")
    assert axes["num_outputs"] == (1, 3)
    assert points[0].parameters == {"aspect_ratio": "16:9", "resolution": "1K", "num_outputs": 1}
    with pytest.raises(InputError, match="Did you mean 16:9"):
        expand("x", {"aspect_ratio": ["16:8"]})


def test_samples_are_replicates() -> None:
    """A number counts from one; a list is taken as it is."""
    assert [point.sample for point in expand("x", {"sample": 3})[1]] == [1, 2, 3]
    assert [point.sample for point in expand("x", {"sample": ["a", "b"]})[1]] == ["a", "b"]


@pytest.mark.parametrize(
    "values",
    [["fox", "owl"], ("fox", "owl"), pd.Series(["fox", "owl"]), np.array(["fox", "owl"]), pd.Index(["fox", "owl"])],
)
def test_lists_columns_and_arrays_are_axes(values: Any) -> None:
    """A DataFrame column or a NumPy array does as well as a list."""
    assert prompts("a {animal}", animal=values) == ["a fox", "a owl"]


def test_numbers_of_an_array_are_plain_numbers() -> None:
    """NumPy scalars become Python values, so that they can be journaled."""
    axes, _ = expand("x", {"num_outputs": np.array([1, 2])})
    assert [type(value) for value in axes["num_outputs"]] == [int, int]


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("sample", np.int64(3), 3),
        ("sample", np.array(3), 3),
        ("x", np.array("fox"), "fox"),
        ("x", np.float32(0.5), 0.5),
        ("x", np.array([1, 2]), [1, 2]),
        ("num_outputs", np.int64(2), 2),
        ("aspect_ratio", np.array(["1:1", "16:9"]), ["1:1", "16:9"]),
    ],
)
def test_numbers_and_texts_of_numpy_ask_for_what_pythons_own_do(name: str, value: Any, same: Any) -> None:
    """One number of NumPy as sample was one job and not three; an array of no dimensions was taken letter by letter."""
    rest = {} if name == "x" else {"x": "y"}
    assert parse_axes("a {x}", None, rest | {name: value}) == parse_axes("a {x}", None, rest | {name: same})


MISSING = [pd.NA, pd.NaT, np.nan, None, np.ma.masked, np.ma.array(3, mask=True), np.datetime64("NaT", "ns")]


@pytest.mark.parametrize("value", MISSING, ids=repr)
@pytest.mark.parametrize("name", ["x", "num_outputs", "negative_prompt", "aspect_ratio", "image", "sample"])
def test_a_value_that_is_missing_is_refused_by_the_name_of_its_axis(name: str, value: Any) -> None:
    rest = {} if name == "x" else {"x": "y"}
    with pytest.raises(InputError) as refused:
        parse_axes("a {x}", None, rest | {name: [value, 1]}, source=Attachments(Path(), Any).resolve)
    assert refused.value.parameter == name
    assert name in str(refused.value)


def test_masked_values_are_not_taken_for_what_is_under_the_mask() -> None:
    with pytest.raises(InputError, match="The axis x holds None"):
        parse_axes("a {x}", None, {"x": np.ma.array([1, 2], mask=[False, True])})
    with pytest.raises(InputError, match="num_outputs must be a whole number"):
        check("num_outputs", np.ma.masked)
    assert parse_axes("a {x}", None, {"x": np.ma.array([1, 2])}) == parse_axes("a {x}", None, {"x": [1, 2]})


@pytest.mark.parametrize(
    ("axes", "shown_text"),
    [
        ([1, 2], "axes must be {name: values}, not a list"),
        (pd.DataFrame({"x": [1]}), "not a DataFrame"),
        ({0: ["a"]}, "name of an axis must be text, not 0"),
    ],
)
def test_axes_that_have_no_names_are_refused_in_words(axes: Any, shown_text: str) -> None:
    with pytest.raises(InputError, match=shown_text):
        parse_axes("a {0}", axes, {})


def test_the_prompt_may_be_the_axis() -> None:
    """A list of prompts, each with its placeholders filled."""
    assert prompts(["a {x}", "b {x}"], x=[1, 2]) == ["a 1", "a 2", "b 1", "b 2"]


@pytest.mark.parametrize(
    ("axes", "shown_text"),
    [
        ({"animal": ["fox"]}, "appears nowhere"),
        ({"n": [1, 2]}, r"Did you mean num_outputs\?"),
        ({"place": []}, "empty"),
        ({"place": ["sea", "sea"]}, "twice"),
        ({"place": ["sea", None]}, "None"),
        ({"place": [float("nan")]}, "nan"),
        ({"place": [{"a": 1}]}, "dict"),
        ({"num_outputs": [1, 12]}, "1 to 9"),
        ({"sample": 0}, "a whole number from 1 to 10000, not 0"),
        ({"sample": -3}, "a whole number from 1 to 10000, not -3"),
        ({"sample": 10**9}, "a whole number from 1 to 10000, not 1000000000"),
        ({"sample": True}, "a whole number from 1 to 10000, not True"),
        ({"place": [1, "1"]}, "1 and '1', which are the same"),
        ({"place": [1, True]}, "1 and True, which are the same"),
        ({"place": [1, 1.0]}, "1 and 1.0, which are the same"),
        ({"place": list(range(10_001))}, r"The axes give 10001 jobs; at most"),
        ({"place": np.array(["2020-01-01"], dtype="datetime64[ns]")}, "holds a datetime64; give text or numbers"),
        ({"place": pd.date_range("2020", periods=2)}, "holds a Timestamp; give text or numbers"),
        ({"aspect_ratoi": ["16:9"]}, r"Did you mean aspect_ratio\?$"),
        ({"num_images": [2]}, r"Did you mean num_outputs\?$"),
        ({"plaze": ["sea"]}, r"Did you mean place\?$"),
        ({"samples": 3}, r"Did you mean sample\?$"),
        ({"place": list(range(101)), "sample": 101}, "10201 jobs"),
    ],
)
def test_bad_axes_are_reported_before_anything_is_sent(axes: dict[str, Any], shown_text: str) -> None:
    """The message names the axis and the way out."""
    with pytest.raises(InputError, match=shown_text):
        expand("a {place}", axes)


def test_an_axis_is_filled_into_the_texts_of_parameters_too() -> None:
    _, points = parse_axes("a {animal}", {}, {"animal": ["fox", "{animal}"], "negative_prompt": "no {animal}, {x}"})
    assert [point.parameters["negative_prompt"] for point in points] == ["no fox, {x}", "no {animal}, {x}"]
    _, points = parse_axes("a field", {}, {"x": ["fog", "rain"], "negative_prompt": "no {x}"})
    assert [point.parameters["negative_prompt"] for point in points] == ["no fog", "no rain"]


def test_undeclared_braces_stay() -> None:
    """Only declared names are filled in; a value's own braces are not filled again."""
    assert prompts("{a} {b} {} {0} {{a}}", a=["{b}"]) == ["{b} {b} {} {0} {{b}}"]


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.text(max_size=8), max_size=4), st.text(max_size=40)
)
def test_filling_never_fails_and_leaves_the_rest(values: dict[str, str], prompt: str) -> None:
    """Any prompt, any values."""
    filled = fill(prompt, values)
    if not any(f"{{{name}}}" in prompt for name in values):
        assert filled == prompt


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"a": [1, 2]}, Layout(columns=("a",))),
        ({"a": [1, 2], "b": [1, 2]}, Layout(rows=("a",), columns=("b",))),
        ({"a": [1, 2, 3], "b": [1, 2], "c": [1, 2, 3]}, Layout(("b",), ("a",), ("c",))),
        ({"a": [1, 2], "b": [1, 2], "c": [1, 2], "d": [1, 2]}, Layout(rows=("a", "b", "c", "d"))),
        ({"a": [1]}, Layout(fixed=("a",))),
        ({"a": [1], "b": [1, 2], "c": [1], "d": [1, 2]}, Layout(rows=("b",), columns=("d",), fixed=("a", "c"))),
    ],
)
def test_layout(axes: dict[str, list[int]], expected: Layout) -> None:
    """One axis is a row, two a grid, three facets by the shortest, more a table of rows; one value is left out."""
    assert layout(axes) == expected


@pytest.mark.parametrize("prompt", ["a fox", ["a fox", "an owl"], "a {prompt}"])
def test_a_prompt_given_as_text_and_as_an_axis_is_refused(prompt: Any) -> None:
    """The text was dropped silently; the magic refuses it, too."""
    with pytest.raises(InputError, match="The prompt is given both as text and as an axis") as caught:
        parse_axes(prompt, {"prompt": ["a hare"]}, {})
    assert caught.value.parameter == "prompt"


@pytest.mark.parametrize("prompt", [None, "", " "])
def test_prompts_may_be_an_axis_where_no_text_stands_beside_it(prompt: Any) -> None:
    assert parse_axes(prompt, {"prompt": ["a fox", "an owl"]}, {})[0] == {"prompt": ("a fox", "an owl")}


@pytest.mark.parametrize("value", ["", None, " "])
def test_an_empty_value_is_labeled_none(value: Any) -> None:
    """In grids, sliders and figures stood "None", or nothing."""
    assert label(value) == "none"
    assert [label(other) for other in ("x", 0, False)] == ["x", "0", "False"]


# ---- drawn points ----


def test_drawn_points_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    axes = {"a": range(100), "b": range(100)}
    drawn = [sweep_axes.expand("{a} {b}", axes, pick=Pick(40, seed))[1] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({point.coordinates for point in drawn[0]}) == 40
    assert drawn[0] == sorted(drawn[0], key=lambda point: point.coordinates)


def test_points_are_drawn_without_building_the_product() -> None:
    """10^30 points: neither a list of them nor a range of them could be had."""
    axes = {f"x{k}": range(1000) for k in range(10)}
    _, points = sweep_axes.expand(" ".join(f"{{{name}}}" for name in axes), axes, pick=Pick(40))
    assert len({point.coordinates for point in points}) == 40


def test_a_draw_of_more_points_than_there_are_is_all_of_them() -> None:
    axes = {"a": [1, 2], "b": [3, 4]}
    assert sweep_axes.expand("{a} {b}", axes, pick=Pick(9))[1] == sweep_axes.expand("{a} {b}", axes)[1]
    assert sweep_axes.shape(axes, Pick(9)) == "2 x 2 = 4 jobs"
    assert sweep_axes.shape(axes, Pick(3, "x")) == "3 of 2 x 2 = 4 jobs, seed x"


@pytest.mark.parametrize(
    ("number", "seed"), [(0, 0), (-1, 0), (10_001, 0), (True, 0), (1.5, 0), ("3", 0), (3, 1.5), (3, True)]
)
def test_a_draw_that_cannot_be_repeated_is_refused(number: Any, seed: Any) -> None:
    with pytest.raises(InputError):
        Pick(number, seed)
