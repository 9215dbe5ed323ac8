"""Rate limits: pure windows over a clock that is a parameter."""

import math
from dataclasses import dataclass
from email.utils import formatdate
from typing import Literal

LimitModel = Literal["fixed", "bucket"]


@dataclass(frozen=True, slots=True)
class Turn:
    """The answer of a limit to one request.

    Attributes:
        allowed: the request may pass.
        remaining: requests left before the next refusal.
        reset: epoch seconds when the allowance is whole again (fixed) or the next request would pass.
    """

    allowed: bool
    remaining: int
    reset: float


class RateLimit:
    """So many requests per window.

    ``fixed``: the count starts anew at each multiple of the window since the first request. ``bucket``: a bucket of
    ``burst`` tokens, filled at limit/window per second.
    """

    def __init__(
        self, limit: int, *, window: float = 60.0, model: LimitModel = "fixed", burst: int | None = None
    ) -> None:
        self.limit = limit
        self.window = window
        self.model = model
        self.burst = limit if burst is None else max(1, burst)
        self._start: float | None = None
        self._used = 0
        self._tokens = float(self.burst)
        self._filled: float | None = None

    def turn(self, now: float) -> Turn:
        """Ask for one request at ``now`` (epoch seconds); allowance is taken where it is granted."""
        return self._bucket(now) if self.model == "bucket" else self._fixed(now)

    def _fixed(self, now: float) -> Turn:
        if self._start is None:
            self._start = now
        # Windows stay on multiples of the first one, however long no one asked: a real service counts by its clock.
        if now >= self._start + self.window:
            self._start += math.floor((now - self._start) / self.window) * self.window
            self._used = 0
        reset = self._start + self.window
        if self._used >= self.limit:
            return Turn(False, 0, reset)
        self._used += 1
        return Turn(True, self.limit - self._used, reset)

    def _bucket(self, now: float) -> Turn:
        pace = self.limit / self.window
        if self._filled is not None:
            self._tokens = min(float(self.burst), self._tokens + max(0.0, now - self._filled) * pace)
        self._filled = now
        # Tokens come in fractions; without the tolerance a client that waits exactly as told would be refused.
        allowed = self._tokens >= 1.0 - 1e-9
        if allowed:
            self._tokens -= 1.0
        missing = max(0.0, 1.0 - self._tokens)
        return Turn(allowed, int(self._tokens), now + missing / pace)

    def headers(self, turn: Turn, now: float, *, retry_after: Literal["seconds", "date", "none"]) -> dict[str, str]:
        """``X-RateLimit-*`` (reset in epoch seconds), and ``Retry-After`` where the request was refused."""
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(turn.remaining),
            "X-RateLimit-Reset": str(math.ceil(turn.reset)),
        }
        if not turn.allowed:
            headers |= retry_after_header(max(0.0, turn.reset - now), now, form=retry_after)
        return headers


def retry_after_header(seconds: float, now: float, *, form: Literal["seconds", "date", "none"]) -> dict[str, str]:
    """``Retry-After`` in whole seconds or as an HTTP date, both rounded up; or no header at all."""
    if form == "none":
        return {}
    # Rounded up: a client that came back a moment early would be refused again.
    if form == "date":
        return {"Retry-After": formatdate(math.ceil(now + seconds), usegmt=True)}
    return {"Retry-After": str(math.ceil(seconds))}
