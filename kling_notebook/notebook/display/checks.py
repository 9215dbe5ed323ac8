"""What the calls refuse before anything is sent: found out later, the jobs would be bought already."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from ...api.errors import InputError


def check_timeout(timeout: Any) -> None:
    """InputError unless a wait can take it."""
    seconds = isinstance(timeout, Real) and not isinstance(timeout, bool) and 0 < float(timeout) < math.inf
    if timeout is not None and not seconds:
        raise InputError(
            f"timeout must be a number of seconds above 0, or None to wait as long as it takes, not {timeout!r}.",
            parameter="timeout",
        )


def check_reuse(reuse: Any) -> None:
    """InputError for anything but True, False and None: the text "off" would be taken for a yes."""
    if not (reuse is None or isinstance(reuse, bool)):
        raise InputError(f"reuse must be True, False or None (as the setting says), not {reuse!r}.", parameter="reuse")


def check_limit(limit: Any) -> int | None:
    """How many rows, None for all. InputError for anything else."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, Integral) or limit < 0:
        raise InputError(f"limit must be a whole number from 0 up, or None for all, not {limit!r}.", parameter="limit")
    return int(limit)
