"""Values to and from the JSON of requests and replies. Pure: bytes and headers in, values and errors out.

What the service says beyond its documentation is unknown, so a reply is read with tolerance and checked where money
hangs on it: a submit whose reply holds no job id is never taken for a refusal.

Source: https://pixeldojo.ai/api-platform/kling-image.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from .api_key import KEYS_PAGE
from .errors import (
    ApiError,
    InsufficientCreditsError,
    InvalidRequestError,
    ModelNotFoundError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnexpectedReplyError,
)
from .job import Job
from .rate_limiter import retry_after
from .sanitize import clean, parse, without_urls
from .url_policy import same_origin_url

_SUCCESS = frozenset({"completed", "succeeded", "success"})
_FAILURE = frozenset({"failed", "error", "cancelled", "canceled", "expired"})
_ID_KEYS = ("jobId", "job_id", "id")
_WITHOUT_A_JOB = frozenset({307, 308})  # these tell the client to ask elsewhere: the request was not acted on

_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    402: InsufficientCreditsError,
    404: ModelNotFoundError,
    422: InvalidRequestError,
    429: RateLimitedError,
}
_BY_CODE: Mapping[str, type[ApiError]] = {
    "unauthorized": UnauthorizedError,
    "insufficient_credits": InsufficientCreditsError,
    "invalid_request": InvalidRequestError,
    "model_not_found": ModelNotFoundError,
    "rate_limited": RateLimitedError,
}
_ADVICE: Mapping[type[ApiError], tuple[str, str]] = {
    InvalidRequestError: ("The service refused the parameters", "Change them"),
    UnauthorizedError: ("The service did not accept the API key", f"Set a valid one from {KEYS_PAGE}"),
    InsufficientCreditsError: ("Not enough credits", "More credits are needed"),
    ModelNotFoundError: ("The service knows no such model or job", "Check the model, the job id and the base URL"),
    RateLimitedError: ("Too many requests", "Wait and ask again"),
    ServerError: ("The service had an error", "Try again later"),
    UnexpectedReplyError: ("The service answered with something else than expected", "Check the base URL"),
    ApiError: ("The service refused the request", "Check the settings"),
}
CREDITS_PAGE = "https://pixeldojo.ai/api-platform/buy-credits"
_UNKNOWN_OUTCOME = "A job may have been made and charged; it was not sent again."


def read_submit(
    status: int, headers: Mapping[str, str], body: bytes, *, base_url: str = "", cut: str | None = None
) -> Job:
    """The job a submit made.

    Completed without an image counts as running: the id must be kept first, and a poll will tell.

    Args:
        base_url: the configured one; a status URL on another origin is dropped, and every one without it.
        cut: why the body ended too early, as the end of a sentence; None where it is whole.

    Raises:
        ApiError: by status and code. A reply without a usable job id is an UnexpectedReplyError, with ``job_id`` where
            the torn reply still shows one. ``maybe_submitted`` wherever the reply leaves open that a job was made.
    """
    if not 200 <= status < 300:
        raise read_error(status, headers, body, submitting=True, base_url=base_url)
    said = _object(parse(body))
    job_id = _job_id(said)
    if said is None or job_id is None:
        torn = f" was cut short: {cut}." if cut else " holds no job id."
        text = f"The service's reply to a submit{torn}"
        raise _unexpected(text, status, body, maybe_submitted=True, job_id=_torn_job_id(body) if said is None else None)
    return _job(said, job_id, base_url)


def read_job(status: int, headers: Mapping[str, str], body: bytes, job_id: str, *, base_url: str = "") -> Job:
    """What a poll says of a job. A status nobody documented means that it is still running.

    Raises:
        ApiError: by status and code. UnexpectedReplyError where the reply is no JSON object (``raw`` is then text) or
            the job is completed without an image (``raw`` is then the reply).
    """
    if not 200 <= status < 300:
        raise read_error(status, headers, body, submitting=False).with_job(job_id=job_id)
    said = _object(parse(body))
    if said is None:
        raise _unexpected(f"The service's reply about job {job_id} cannot be read.", status, body, job_id=job_id)
    job = _job(said, job_id, base_url)
    if _state(job.status) == "completed" and not job.image_urls:
        text = f"Job {job_id} is completed, and the reply names no image."
        raise _unexpected(text, status, body, job_id=job_id)
    return job


def _job(said: Mapping[str, Any], job_id: str, base_url: str) -> Job:
    images = tuple(dict.fromkeys(_images_of(said)))
    word = clean(said.get("status"), 40).lower()
    if not word:
        word = "completed" if images else "unknown"
    state = _state(word)
    return Job(
        job_id,
        state if state != "completed" or images else "running",
        word,
        image_urls=images if state == "completed" else (),
        status_url=same_origin_url(_text(said, "statusUrl", "status_url"), base_url),
        credit_cost=_number(said, "creditCost", "credit_cost"),
        credits_remaining=_number(said, "creditsRemaining", "credits_remaining"),
        error=_reason(said) if state == "failed" else None,
        raw=without_urls(said),
    )


def _state(word: str) -> Literal["running", "completed", "failed"]:
    return "completed" if word in _SUCCESS else "failed" if word in _FAILURE else "running"


def _reason(said: Mapping[str, Any]) -> str:
    """Why a job failed: ``error`` is a string or an object."""
    code, message = _said(said)
    return message or code or "no reason given"


def _job_id(said: Any) -> str | None:
    """A job id that can be polled: printable text, or a number; not a path that leads elsewhere."""
    if not isinstance(said, Mapping):
        return None
    for key in _ID_KEYS:
        value = said.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and 0 < len(value.strip()) <= 512:
            text = value.strip()
            if text.isprintable() and text not in (".", ".."):
                return text
    return None


def _torn_job_id(body: bytes) -> str | None:
    """The job id in a reply that was cut short or is too long, if it arrived whole: it may be all there is to find
    what was bought."""
    found = re.search(rb'"jobId"\s*:\s*"([A-Za-z0-9_-]{1,64})"', body)
    return found[1].decode("ascii") if found else None


def _images_of(said: Mapping[str, Any]) -> Iterator[str]:
    """URLs of images in the service's order: under ``output`` in any of its shapes, else ``assets`` or ``images``."""
    for key in ("output", "assets", "images"):
        yield from _urls(said.get(key), 0)


def _urls(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip().lower().startswith(("https://", "http://")):
            yield value.strip()
    elif isinstance(value, list) and depth < 4:
        for item in value:
            yield from _urls(item, depth + 1)
    elif isinstance(value, Mapping) and depth < 4:
        for key in ("images", "image", "assets", "url"):
            yield from _urls(value.get(key), depth + 1)


def _number(said: Mapping[str, Any], *keys: str) -> float | None:
    """A number of credits: finite and not negative, perhaps fractional, perhaps written as text."""
    for key in keys:
        value = said.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            number = float(value)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(number) and number >= 0:
            return number
    return None


def _text(said: Mapping[str, Any], *keys: str) -> str | None:
    return next((said[key] for key in keys if isinstance(said.get(key), str)), None)


# ---------------------------------------------------------------------------------------------------------- errors


def read_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    submitting: bool,
    base_url: str = "",
    now: float | None = None,
) -> ApiError:
    """The error a reply amounts to: its class by HTTP status first, then by the code in the body.

    Args:
        submitting: the reply answers a purchase: say whether a job may have been made.
        base_url: the configured one; where credits are sold is said of PixelDojo's own service only.
        now: seconds since the epoch, for a Retry-After that is a date; the clock's where not given.
    """
    said = parse(body)
    code, message = _said(said)
    if not message and code is None:
        message = _plain(body)
    kind = _kind(status, code)
    if kind is ModelNotFoundError and not submitting and _object(said) is None:
        kind = UnexpectedReplyError  # a page of a gateway in between: only the service itself knows its jobs
    unknown = submitting and (status == 408 or not 300 <= status < 500 or _redirects(status))
    what, advice = _ADVICE[kind]
    if kind is InsufficientCreditsError and same_origin_url(CREDITS_PAGE, base_url):
        advice = f"Buy credits at {CREDITS_PAGE}"
    if _redirects(status) or status in _WITHOUT_A_JOB:
        what = (
            "The service redirected the request, which was not followed: neither the key nor a purchase goes elsewhere"
        )
        advice = "Check the base URL"
    if status == 408:
        what = "The service says that the request took too long"
    detail = ": ".join(part for part in (code, message) if part and part not in (what,))
    ending = _UNKNOWN_OUTCOME if unknown else f"{advice}; nothing was bought." if submitting else f"{advice}."
    # X-RateLimit-Reset may come with any reply; only with a refusal does it mean that one must wait for it.
    wait = retry_after(headers, time.time() if now is None else now, or_reset=kind is RateLimitedError)
    asked = f"; it asked to wait {wait:g} s" if wait else ""
    return kind(
        f"{what} ({status}{', ' + detail if detail else ''}){asked}. {ending}",
        status=status,
        code=code,
        message=message,
        retry_after=wait,
        maybe_submitted=unknown,
    )


def _redirects(status: int) -> bool:
    """A 3xx other than 307 and 308 may be what a service says after it has acted."""
    return 300 <= status < 400 and status not in _WITHOUT_A_JOB


def _kind(status: int, code: str | None) -> type[ApiError]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 500 <= status < 600:
        return ServerError
    if not 400 <= status < 500:
        return UnexpectedReplyError
    if status == 403 and code and "credit" in code.lower():
        return InsufficientCreditsError
    return _BY_CODE.get((code or "").lower(), ApiError) if status != 408 else ApiError


def _said(body: Any, depth: int = 0) -> tuple[str | None, str]:
    """Code and message of an error body in any of the shapes services use; (None, "") where there is nothing."""
    if isinstance(body, list):
        return None, _field_errors(body)
    if not isinstance(body, Mapping):
        return None, clean(body) if isinstance(body, str) else ""
    error = body.get("error")
    code, message = _code(body.get("code")), clean(body.get("message"))
    if isinstance(error, Mapping) and depth < 3:
        inner_code, inner_message = _said(error, depth + 1)
        code, message = inner_code or code, inner_message or message
    elif isinstance(error, list):
        message = _field_errors(error) or message
    elif isinstance(error, str):
        if message and code is None:
            code = _code(error)
        message = message or clean(error)
        if code is None and message in _BY_CODE:
            code = message
    for key in ("errors", "details", "detail", "msg", "type"):
        if message:
            break
        value = body.get(key)
        message = _field_errors(value) if isinstance(value, list) else clean(value)
    return code, message


def _code(value: Any) -> str | None:
    text = clean(value, 64) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text or None


def _field_errors(items: list[Any]) -> str:
    """``prompt: too long; image_url: missing`` from a list of field errors."""
    said = []
    for item in items[:5]:
        if isinstance(item, Mapping):
            where = item.get("field") or item.get("loc") or item.get("path") or item.get("param")
            where = ".".join(str(step) for step in where) if isinstance(where, list) else where
            what = clean(item.get("message") or item.get("msg") or item.get("error"))
            said.append(": ".join(part for part in (clean(where, 60), what) if part))
        else:
            said.append(clean(item))
    return clean("; ".join(part for part in said if part))


def _plain(body: bytes) -> str:
    """Readable text of a body that is no JSON: of a page of HTML its words, without styles and scripts."""
    text = body[:20_000].decode("utf-8", "replace")
    if "<" in text:
        text = re.sub(r"(?is)<(script|style)\b.*?(</\1\s*>|$)", " ", text)
        text = re.sub(r"<[^>]*>?", " ", text)
    return "" if text.strip() in ("null", "{}", "[]") else clean(text, 200)


def _object(said: Any) -> Mapping[str, Any] | None:
    return said if isinstance(said, Mapping) else None


def _unexpected(text: str, status: int, body: bytes, **facts: Any) -> UnexpectedReplyError:
    said = parse(body)
    shown = clean(said, 200) if said is not None else _plain(body)
    ending = _UNKNOWN_OUTCOME if facts.get("maybe_submitted") else "Ask again later; the job id is kept."
    raw = without_urls(said) if said is not None else shown
    reply = f" It said: {shown}" if shown else " It was empty."
    return UnexpectedReplyError(f"{text}{reply} {ending}", raw=raw, status=status, message=shown, **facts)
