"""What a reply's headers say about when to ask again. Pure: ``now_epoch`` is seconds since 1970."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

from .sanitize import number


def retry_after(headers: Mapping[str, str], now_epoch: float, *, or_reset: bool = True) -> float | None:
    """Seconds to wait before asking again, None if the reply does not say.

    Retry-After as seconds or as an HTTP date; without it X-RateLimit-Reset, as seconds, epoch seconds or epoch
    milliseconds, unless ``or_reset`` is off. Moments are counted from the reply's own Date if it has one, so that a
    wrong clock on this machine does no harm; a moment that has passed is 0. Nonsense (negative, NaN, infinite, text) is
    as good as absent.
    """
    text = header(headers, "retry-after")
    if (seconds := _number(text)) is not None:
        return seconds
    if (moment := _moment(text)) is not None:
        return max(0.0, moment - _service_clock(headers, now_epoch))
    return reset(headers, now_epoch) if or_reset else None


def reset(headers: Mapping[str, str], now_epoch: float) -> float | None:
    """X-RateLimit-Reset in seconds from now. Small numbers are seconds, large ones epoch, very large milliseconds."""
    if (value := _number(header(headers, "x-ratelimit-reset", "ratelimit-reset"))) is None:
        return None
    if value > 1e11:
        value /= 1000.0
    if value > 1e8:
        value = max(0.0, value - _service_clock(headers, now_epoch))
    return value if value <= 86400.0 else None


def count(headers: Mapping[str, str], what: Literal["limit", "remaining"]) -> int | None:
    value = _number(header(headers, f"x-ratelimit-{what}", f"ratelimit-{what}"))
    return None if value is None else int(min(value, 1e9))


def _service_clock(headers: Mapping[str, str], now_epoch: float) -> float:
    return now_epoch if (moment := _moment(header(headers, "date"))) is None else moment


def header(headers: Mapping[str, str], *names: str) -> str:
    """The first of the headers, whatever the case of its name; "" if none is there."""
    return next((str(value) for name, value in headers.items() if name.lower() in names), "")


def _number(text: str) -> float | None:
    """The number at the start of a header such as ``60`` or ``60, 60;w=60``."""
    return number(re.split("[,;]", text, maxsplit=1)[0])


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # HTTP knows no local time: a date without a zone (asctime's form, or -0000) is in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
