"""The address of an image: a job's number and a letter."""

from __future__ import annotations

import pytest

from kling_notebook.api.address import MOST_IMAGES, address_of, letter_of, parse_address, place_of, split_address
from kling_notebook.api.errors import InputError


def test_every_address_reads_back_in_either_case() -> None:
    for place in range(MOST_IMAGES):
        address = address_of(12, place)
        assert parse_address(address) == parse_address(f" {address.upper()} ") == (12, place)
        assert place_of(letter_of(place)) == place


@pytest.mark.parametrize(
    "text", ["", "12", "b", "012b", "0b", "12bb", "12:1", "16:9", "12 b", "1234567890b", "\u0661b", "12\u00e9"]
)
def test_anything_else_is_not_an_address(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "parts"), [("12b", ("12", 1)), ("12", ("12", None)), (" job_1 ", ("job_1", None)), ("1:1", ("1:1", None))]
)
def test_a_job_may_be_named_without_an_image(text: str, parts: tuple[str, int | None]) -> None:
    assert split_address(text) == parts


def test_nothing_is_not_a_job() -> None:
    with pytest.raises(InputError, match="12b its second image"):
        split_address(" ")


def test_a_place_that_no_image_has_is_written_all_the_same() -> None:
    assert address_of(12, 30) == "12[30]"
