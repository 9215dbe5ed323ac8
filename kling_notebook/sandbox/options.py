"""What a sandbox's options may be: one table of ranges, one of words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .limits import LimitModel


class Range(NamedTuple):
    """The least and the most a number may be; ``above`` leaves the least itself out."""

    least: float
    most: float = math.inf
    whole: bool = False
    above: bool = False
    optional: bool = False

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is such a number; NaN and infinity never are."""
        if value is None:
            return self.optional
        # Python counts True as the number 1; whoever writes port=True means something else.
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return math.isfinite(value) and self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.most < math.inf:
            return f"{kind} from {self.least:g} to {self.most:g}"
        return f"{kind} above {self.least:g}" if self.above else f"{kind} from {self.least:g} up"


_RANGES: Mapping[str, Range] = {
    "port": Range(0, 65535, whole=True),
    "latency": Range(0, optional=True),
    "credits": Range(0),
    "credit_cost": Range(0),
    "rate_limit": Range(1, whole=True, optional=True),
    "rate_window": Range(0, above=True),
    "rate_burst": Range(1, whole=True, optional=True),
    "fail_rate": Range(0, 1),
    "asset_lifetime": Range(0),
}
_WORDS: Mapping[str, tuple[str | None, ...]] = {
    "rate_model": LimitModel.__args__,  # type: ignore[attr-defined]  # a Literal knows its values
    "rate_retry_after": ("seconds", "date", "none"),
    "schema": ("num_outputs", "num_images", None),
}
#: What a client can put behind "Bearer" and read back whole.
_KEY = re.compile(r"[!-~]+")


def check_options(**options: Any) -> None:
    """Raise a ValueError that names the option and what it may be, for the first that cannot work."""
    for name, value in options.items():
        if name == "latency" and callable(value):
            continue
        if name in _RANGES and not _RANGES[name].holds(value):
            raise ValueError(f"{name} must be {_RANGES[name]}, not {value!r}.")
        if name in _WORDS and value not in _WORDS[name]:
            words = [repr(word) for word in _WORDS[name]]
            raise ValueError(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, not {value!r}.")
    key = options.get("key")
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise ValueError("key must be text without spaces, of plain ASCII characters: no client could send another.")
