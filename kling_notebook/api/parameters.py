"""The one table of the model's inputs.

The magic's options and their completion, the panel's controls, validation before spending, and the manual's table
all derive from it: adding an input is one row.

Source: https://pixeldojo.ai/api-platform/kling-image, "Input Parameters".
"""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from .errors import InputError

Value = str | int | float | bool | None

SWITCH_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
_MOST_LISTED = 20


# Control characters, spaces of no width, marks of direction and dashes (an option that was not finished) show nothing.
_VISIBLE = re.compile(
    "[^-\u2013\u2014\\s\0-\x1f\x7f-\x9f\xad\u061c\u180e\u2800\u3164\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input of the model.

    Attributes:
        name: the key of the request and of the Python call.
        kind: text, choice (one of ``choices``), integer or number (``minimum``..``maximum``, None: no bound), switch
            (on or off) or image (a source image).
        default: what is used if it is left out; None means the key is not sent.
        left_out: what leaving it out meant when the parameter was first published. Frozen for ever: identities of
            requests are made with it (see `GenerationRequest.identity`), ``default`` may change.
        flags: what the magic accepts for it, the long form first; empty for the prompt, which is the cell's text.
    """

    name: str
    kind: Literal["text", "choice", "integer", "number", "switch", "image"]
    help: str
    default: Value = None
    left_out: Value = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    flags: tuple[str, ...] = ()
    required: bool = False

    def check(self, value: Any) -> Any:
        """The value as it will be sent, or InputError naming the parameter and what was probably meant."""
        if value is None:
            if self.required:
                raise InputError(f"{self.name} is required. Write what the image should show.", parameter=self.name)
            return self.default
        if self.kind == "image":
            return value  # resolved where the folder and the notebook's variables are known
        return getattr(self, f"_check_{self.kind}")(value)

    @property
    def listed(self) -> tuple[str, ...]:
        """The values as words, if they can be listed; () for anything else, and for a long range of numbers."""
        if self.kind == "switch":
            return "on", "off"
        low, high = self.minimum, self.maximum
        if self.kind == "integer" and low is not None and high is not None and high - low < _MOST_LISTED:
            return tuple(str(number) for number in range(int(low), int(high) + 1))
        return self.choices

    @property
    def range(self) -> str:
        """``1 to 9``, ``0 or more``, ``at most 1``; empty without bounds."""
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f"{low} to {high}"
        return f"{low} or more" if low is not None else f"at most {high}" if high is not None else ""

    def has_form(self, value: Any) -> bool:
        """Whether a stored value is of this kind. Choices and ranges may have been others when it was stored."""
        if value is None:
            return not self.required
        types = {"integer": (int,), "number": (int, float), "switch": (bool,)}.get(self.kind, (str,))
        return self.kind == "image" or type(value) in types

    def _check_text(self, value: Any) -> str | None:
        text = check_characters(self.name, value).strip()
        if self.required and not _VISIBLE.search(text):
            raise InputError(f"The {self.name} is empty. Write what the image should show.", parameter=self.name)
        return text or self.default  # type: ignore[return-value]  # a text's default is a text or None

    def _check_choice(self, value: Any) -> str:
        text = str(value).strip()
        for choice in self.choices:
            if text.lower() == choice.lower():
                return choice
        meant = f" Did you mean {close}?" if (close := self._closest(text)) else ""
        raise InputError(
            f"{self.name} cannot be {text!r}.{meant} Choose one of {', '.join(self.choices)}.", parameter=self.name
        )

    def _closest(self, text: str) -> str | None:
        """The choice that was probably meant: for a ratio the nearest one, else the most similar word."""
        wanted = ratio(text)
        ratios = {choice: each for choice in self.choices if (each := ratio(choice)) is not None}
        if wanted is not None and ratios:
            return min(ratios, key=lambda choice: abs(math.log(ratios[choice] / wanted)))
        lowered = {"jpg": "jpeg"} | {choice.lower(): choice for choice in self.choices}
        found = difflib.get_close_matches(text.lower(), lowered, 1, 0.5)
        return next((lowered[word] for word in found if lowered[word] in self.choices), None)

    def _check_number(self, value: Any) -> float:
        whole = self.kind == "integer"
        try:
            number = float(value) if not whole else int(value.strip(), 10) if isinstance(value, str) else int(value)
        except Exception:  # NumPy's masked values raise an error of their own
            number = math.nan  # outside of every range
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        possible = not isinstance(value, bool) and low <= number <= high and abs(number) < math.inf
        # 2.0 is a whole number, 2.5 is not. Compared last: of an array that is not a number comes an array.
        if not possible or (whole and not isinstance(value, str) and number != value):
            between = f" from {self.range}" if " to " in self.range else f", {self.range}" if self.range else ""
            raise InputError(
                f"{self.name} must be a {'whole ' * whole}number{between}, not {value!r}.", parameter=self.name
            )
        return number

    _check_integer = _check_number

    def _check_switch(self, value: Any) -> bool:
        word = str(value).strip().lower()  # also NumPy's
        if word not in SWITCH_WORDS:
            raise InputError(f"{self.name} must be on or off, not {value!r}.", parameter=self.name)
        return SWITCH_WORDS[word]


def path_from(value: Any, name: str) -> Path:
    """A path that a user gave, ``~`` filled in.

    Raises:
        InputError: it is not a path, or names an unknown home directory.
    """
    try:
        path = Path(value).expanduser()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be a path, not {value!r:.80} ({error}).", parameter=name) from None
    if "\0" in str(path):
        raise InputError(f"{name} holds a character that no path may have.", parameter=name)
    return path


def check_characters(name: str, text: Any) -> str:
    """The text, or InputError: half of a surrogate pair is not a character and can be neither sent nor stored."""
    if not isinstance(text, str):
        raise InputError(f"{name} must be text, not {type(text).__name__}.", parameter=name)
    if re.search("[\ud800-\udfff]", text):
        raise InputError(f"{name} holds half of a surrogate pair, which is not a character. Retype it.", parameter=name)
    return text


def ratio(text: str) -> float | None:
    """Width over height of ``16:9``, ``16x9`` or ``16/9``; None for anything else."""
    found = re.fullmatch(r"(\d{1,4})\s*[:x/]\s*(\d{1,4})", text.lower())
    return int(found[1]) / int(found[2]) if found and int(found[1]) and int(found[2]) else None


def _table(*rows: Parameter) -> Mapping[str, Parameter]:
    return MappingProxyType({row.name: row for row in rows})


PARAMETERS: Mapping[str, Parameter] = _table(
    Parameter("prompt", "text", "what the image should show", required=True),
    Parameter("negative_prompt", "text", "what to avoid in the image", flags=("--negative-prompt", "--negative")),
    Parameter(
        "resolution",
        "choice",
        "size class of the image",
        "1K",
        "1K",
        choices=("1K", "2K"),
        flags=("--resolution", "-r"),
    ),
    Parameter(
        "aspect_ratio",
        "choice",
        "width to height",
        "1:1",
        "1:1",
        choices=("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"),
        flags=("--aspect-ratio", "-a"),
    ),
    Parameter(
        "num_outputs",
        "integer",
        "how many images, each at one credit",
        1,
        1,
        minimum=1,
        maximum=9,
        flags=("--num-outputs", "-n"),
    ),
    Parameter(
        "output_format",
        "choice",
        "file type of the image",
        "png",
        "png",
        choices=("png", "jpeg", "webp"),
        flags=("--output-format", "-f"),
    ),
    Parameter(
        "image",
        "image",
        "source image for image to image: a path, a URL, an address such as 12b, a variable NAME or NAME[K], last or "
        "lastb",
        flags=("--image",),
    ),
)

# The parameters that take a source image.
SOURCES = frozenset(name for name, row in PARAMETERS.items() if row.kind == "image")

# Names the service's pages give to the number of images, ours first. A request carries one of them at most.
COUNT_KEYS = ("num_outputs", "num_images")

CREDITS_PER_IMAGE = 1.0  # the given document's price; an estimate, until a reply says otherwise

# Characters above which the model behind the service refuses or cuts, according to its vendor; we warn and send.
LONG_PROMPT = 2500


def check(name: str, value: Any) -> Any:
    """``PARAMETERS[name].check(value)``, with a suggestion where there is no such parameter."""
    if name not in PARAMETERS:
        close = COUNT_KEYS[:1] if name in COUNT_KEYS else difflib.get_close_matches(name, PARAMETERS, 1)
        meant = f" Did you mean {close[0]}?" if close else f" There are {', '.join(PARAMETERS)}."
        raise InputError(f"There is no parameter {name!r}.{meant}", parameter=name)
    return PARAMETERS[name].check(value)
