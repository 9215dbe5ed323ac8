"""What a reply's headers say about when to ask again. Pure: ``now_epoch`` is seconds since 1970."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from .sanitize import number

DAY = 86400.0  # seconds; a moment further away is nonsense


def retry_after(headers: Mapping[str, str], now_epoch: float, *, or_reset: bool = True) -> float | None:
    """Seconds to wait before asking again, None if the reply does not say.

    Retry-After as seconds, epoch seconds or an HTTP date; without it X-RateLimit-Reset, as seconds, epoch seconds or
    epoch milliseconds, unless ``or_reset`` is off. Moments are counted from the reply's own Date if it has one, so that
    a wrong clock on this machine does no harm; a moment that has passed is 0. Nonsense (negative, NaN, infinite, text)
    is as good as absent.
    """
    text = header(headers, "retry-after")
    if (seconds := _number(text)) is not None:
        return _from_now(seconds, headers, now_epoch)
    if (moment := _moment(text)) is not None:
        return max(0.0, moment - _service_clock(headers, now_epoch))
    return reset(headers, now_epoch) if or_reset else None


def reset(headers: Mapping[str, str], now_epoch: float) -> float | None:
    """X-RateLimit-Reset in seconds from now. Small numbers are seconds, large ones epoch, very large milliseconds."""
    value = _number(header(headers, "x-ratelimit-reset", "ratelimit-reset"))
    return None if value is None or (seconds := _from_now(value, headers, now_epoch)) > DAY else seconds


def _from_now(value: float, headers: Mapping[str, str], now_epoch: float) -> float:
    """Seconds from now. Large numbers are epoch seconds, very large ones milliseconds, unless that is days away."""
    seconds = (value / 1000.0 if value > 1e11 else value) - _service_clock(headers, now_epoch)
    return max(0.0, seconds) if value > 1e8 and seconds <= DAY else value


def remaining(headers: Mapping[str, str]) -> int | None:
    """X-RateLimit-Remaining."""
    value = _number(header(headers, "x-ratelimit-remaining", "ratelimit-remaining"))
    return None if value is None else int(min(value, 1e9))


def limit(headers: Mapping[str, str]) -> tuple[int, float] | None:
    """How many requests may be sent in how many seconds: the tightest limit that is announced, None if there is none.

    The seconds may stand in the value (``10;w=1``, ``10/s``) or the name (X-RateLimit-Limit-Second); without them it is
    a minute. Of longer ones a minute may hold as much: what remains tells the rest.
    """
    kinds = ((_LIMIT_NAME.fullmatch(name.lower()), text.lower()) for name, text in headers.items())
    # Without the names of policies, which may hold digits: "api/v1/models".
    texts = re.sub(r'"[^"]*"', "", ", ".join(f"{text}/{kind[1]}" if kind[1] else text for kind, text in kinds if kind))
    plain = _number(header(headers, "x-ratelimit-limit", "ratelimit-limit")) or 0
    named = [
        (int(n[:9]), int(of[:9] or 1) * _SECONDS[unit]) for n, of, unit in _LIMIT_WINDOW.findall(texts) if of + unit
    ]
    found = [(n, min(60.0, seconds)) for n, seconds in named or [(int(min(plain, 1e9)), 60.0)] if n and seconds]
    return min(found, key=lambda pair: pair[0] / pair[1], default=None)


_LIMIT_NAME = re.compile(r"(?:x-)?rate-?limit-(?:limit|policy)(?:-(second|minute|hour|day))?")
_LIMIT_WINDOW = re.compile(r"(\d+)(?:[^,\d]*;\s*w\s*=\s*|\s*(?:/|per)\s*)(\d*)([smhd]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 60.0, "d": 60.0}


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
