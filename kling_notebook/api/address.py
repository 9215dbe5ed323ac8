"""The address of an image: the number of its job and a letter, ``12b``, as panels of a figure are named.

It stands in captions, file names and DataFrames, and is what a person types. The letter is the image's place in the
service's reply; ``12`` alone is the job.
"""

import re
import string

from .errors import InputError

MOST_IMAGES = 26  # images a job has at most

_ADDRESS = re.compile(r"([1-9][0-9]{0,8})([a-z])", re.IGNORECASE)


def letter_of(place: int) -> str:
    """The letter of a place in a result, from 0."""
    return string.ascii_lowercase[place]


def place_of(letter: str) -> int:
    """The place in a result, from 0, of a letter."""
    return string.ascii_lowercase.index(letter.lower())


def address_of(number: int, place: int) -> str:
    """``12b`` for the second image of job 12; ``12[30]`` for a place that no image has."""
    return f"{number}{letter_of(place)}" if place in range(MOST_IMAGES) else f"{number}[{place}]"


def parse_address(text: str) -> tuple[int, int] | None:
    """Job number and place from 0 of an address; None if the text is not one.

    >>> parse_address("12B"), parse_address("12"), parse_address("16:9")
    ((12, 1), None, None)
    """
    return (int(found[1]), place_of(found[2])) if (found := _ADDRESS.fullmatch(text.strip())) else None


def split_address(text: str) -> tuple[str, int | None]:
    """A job (its number or the service's id) and the place of one of its images, None for the whole job.

    Raises:
        InputError: the text is empty.
    """
    text = text.strip()
    if not text:
        raise InputError("Name a job or an image: 12 is job 12, 12b its second image.", parameter="job")
    return (str(found[0]), found[1]) if (found := parse_address(text)) else (text, None)
