"""Measures: a function per image; its code decides whether a kept value still holds; an error stops nothing."""

from __future__ import annotations

import functools
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kling_notebook.api.errors import InputError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.results import measures
from kling_notebook.results.result import SavedImage


def images(count: int) -> list[SavedImage]:
    return [SavedImage(Path(f"{k}.png"), k + 1, 0, GenerationRequest(f"fox {k}")) for k in range(count)]


def number(image: SavedImage) -> int:
    return image.number


def brightness(image: SavedImage) -> float:
    """The mean of all pixels, from an image that travelled here with its bytes."""
    return float(np.asarray(image).mean())


def values(function: Any, count: int = 3, executor: Any = None) -> list[Any]:
    return sorted((one.image.number, one.value, one.error) for one in measures.run(function, images(count), executor))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1, 1),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        ("red", "red"),
        (True, True),
        (None, None),
        (float("nan"), None),
        ({"mean": np.float64(1.0), "name": "x"}, {"mean": 1.0, "name": "x"}),
    ],
)
def test_numbers_texts_and_dicts_of_them_are_values(value: Any, kept: Any) -> None:
    (one,) = measures.run(lambda _: value, images(1))
    assert (one.value, one.error) == (kept, "")


@pytest.mark.parametrize("value", [np.zeros(3), [1], {"a": [1]}, object(), b"x"])
def test_anything_else_is_that_image_s_error(value: Any) -> None:
    (one,) = measures.run(lambda _: value, images(1))
    assert one.value is None
    assert "return a number, a text or a dict of these" in one.error


def test_half_of_a_surrogate_pair_is_kept_as_a_question_mark() -> None:
    """Kept as it is it would let no table of the folder be made any more."""
    (one,) = measures.run(lambda _: {"read\udcff": "a fo\ud83dx"}, images(1))
    assert (one.value, one.error) == ({"read?": "a fo?x"}, "")


def test_an_error_is_that_image_s_and_stops_nothing() -> None:
    def odd(image: SavedImage) -> int:
        if image.number == 2:
            raise ZeroDivisionError("no")
        return image.number

    assert values(odd) == [(1, 1, ""), (2, None, "ZeroDivisionError: no"), (3, 3, "")]


@pytest.mark.parametrize("count", [0, 3, 100])
def test_an_executor_gets_every_image_once_and_a_bounded_number_at_a_time(count: int) -> None:
    busy, most, lock = 0, 0, threading.Lock()

    class Counting(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            nonlocal busy, most
            with lock:
                busy += 1
                most = max(most, busy)
            future = super().submit(*args, **kwargs)
            future.add_done_callback(lambda _: done())
            return future

    def done() -> None:
        nonlocal busy
        with lock:
            busy -= 1

    def slow(image: SavedImage) -> int:
        time.sleep(0.001)
        return image.number

    with Counting(4) as pool:
        assert values(slow, count, pool) == [(k + 1, k + 1, "") for k in range(count)]
    assert most <= measures.MOST_AT_ONCE


def test_an_executor_that_takes_no_tasks_is_an_input_error() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(InputError, match="takes no more tasks"):
        list(measures.run(number, images(1), pool))


@pytest.mark.parametrize("executor", [5, "pool"])
def test_what_is_not_an_executor_is_refused(executor: Any) -> None:
    with pytest.raises(InputError, match="executor must be"):
        list(measures.run(number, images(1), executor))


def test_a_function_that_cannot_travel_is_refused_with_the_way_out() -> None:
    with ProcessPoolExecutor(1) as pool, pytest.raises(InputError, match="Define it with def in a module"):
        list(measures.run(lambda image: image.number, images(1), pool))


@pytest.mark.parametrize(
    ("function", "name", "found"),
    [(number, None, "number"), (number, "sharpness", "sharpness"), (functools.partial(number), "x", "x")],
)
def test_a_measure_is_kept_under_its_name(function: Any, name: str | None, found: str) -> None:
    assert measures.name_of(function, name) == found


@pytest.mark.parametrize(
    ("function", "name"), [(5, None), (lambda _: 1, None), (number, "two words"), (functools.partial(number), None)]
)
def test_a_measure_without_a_usable_name_is_refused(function: Any, name: str | None) -> None:
    with pytest.raises(InputError):
        measures.name_of(function, name)


def test_the_hash_is_of_the_code_with_and_without_a_source_file() -> None:
    namespace: dict[str, Any] = {}
    exec("def number(image):\n    return image.number + 1", namespace)  # noqa: S102  # code without a source file
    other = namespace["number"]
    exec("def number(image):\n    return image.number + 2", namespace)  # noqa: S102
    assert measures.code_hash(other) != measures.code_hash(namespace["number"])
    assert measures.code_hash(number) == measures.code_hash(number)
    assert measures.code_hash(functools.partial(number, a=1)) != measures.code_hash(functools.partial(number, a=2))


def test_a_dict_becomes_one_column_per_key() -> None:
    assert measures.columns_of("color", {"r": 1, "g": 2}) == {"color_r": 1, "color_g": 2}
    assert measures.columns_of("color", 3) == {"color": 3}


def test_functions_of_one_factory_are_told_apart() -> None:
    def make(bound: int) -> Any:
        def score(image: Any, offset: int = bound) -> int:
            return bound + offset

        return score

    def closed(bound: int) -> Any:
        def score(image: Any) -> int:
            return bound

        return score

    for factory in (make, closed):
        assert measures.code_hash(factory(1)) != measures.code_hash(factory(2))
        assert measures.code_hash(factory(1)) == measures.code_hash(factory(1))
