"""What can go wrong, as classes.

    Exception
     └─ KlingError                   job_id, number, maybe_submitted
         ├─ InputError               parameter: bad input, seen before anything was sent
         ├─ SettingsError            a key, URL, folder or setting that cannot work
         ├─ BudgetExceededError      credits, limit: refused before anything was sent
         ├─ TransportError           never_left: no usable reply came back
         ├─ ApiError                 status, code, message, retry_after: the service answered with an error
         │   ├─ InvalidRequestError       400
         │   ├─ UnauthorizedError         401
         │   ├─ InsufficientCreditsError  402, or 403 with a credits code
         │   ├─ ModelNotFoundError        404
         │   ├─ RateLimitedError          429
         │   ├─ ServerError               5xx
         │   └─ UnexpectedReplyError      raw: a reply that does not say what it must
         ├─ JobFailedError           the service made a job and the job failed
         ├─ StillRunningError        a time-out of the caller's waiting; the job keeps running and can be resumed
         └─ DownloadError            status, final: an image that was paid for could not be fetched or saved
    KeyboardInterrupt
     └─ Interrupted                  job_ids, maybe_submitted: the waiting was stopped; what was submitted keeps running

The class says what was seen; the flag ``maybe_submitted`` says whether something may have been charged. The last
sentence of a message says what to do next. Ordinary classes: hashable, and picklable, since each can be made of its
text alone and every other fact lies in its ``__dict__``.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

# `%config KlingMagics.debug = True` sets it: IPython then shows our frames too.
full_traceback = False


def _render_traceback(self: BaseException) -> list[str]:
    """IPython's protocol: one line, since the reader of a notebook wants the reason and not our frames."""
    return traceback.format_exception(self) if full_traceback else [f"{type(self).__name__}: {self}"]


# Facts are fields, so that a type checker knows them. Without eq an error stays hashable, and its repr is Python's.
@dataclass(eq=False, repr=False, kw_only=True)
class KlingError(Exception):
    """Anything this package raises on purpose.

    Attributes:
        job_id: the service's id of the job concerned, None if there is none.
        number: the job's number in its folder, None if it has no record.
        maybe_submitted: True if a job may have been made, and charged, without our knowing its id.
    """

    _render_traceback_ = _render_traceback

    text: str = field(kw_only=False)  # as it was raised; `args` and str() hold it too, perhaps with more
    job_id: str | None = None
    number: int | None = None
    maybe_submitted: bool = False

    def __str__(self) -> str:
        """The text on one line, whatever input it quotes."""
        return " ".join(line.strip() for line in super().__str__().splitlines())

    def with_job(self, *, job_id: str | None = None, number: int | None = None) -> Self:
        """The same error, now saying which job it is about. What it already says stays."""
        self.job_id = self.job_id or job_id
        self.number = self.number if self.number is not None else number
        return self


@dataclass(eq=False, repr=False, kw_only=True)
class InputError(KlingError):
    """Bad input, refused before anything was sent. ``parameter`` names the field."""

    parameter: str | None = None


class SettingsError(KlingError):
    """A key, base URL, folder or other setting that cannot work."""


@dataclass(eq=False, repr=False, kw_only=True)
class BudgetExceededError(KlingError):
    """The estimate is above what may be spent; nothing was sent. ``credits`` asked for, ``limit`` allowed."""

    credits: float = 0.0
    limit: float = 0.0


@dataclass(eq=False, repr=False, kw_only=True)
class TransportError(KlingError):
    """No usable reply came back. ``never_left`` is True only if it is certain that nothing was sent."""

    never_left: bool = False


@dataclass(eq=False, repr=False, kw_only=True)
class ApiError(KlingError):
    """The service answered, and the answer is an error.

    Attributes:
        status: HTTP status. code: the service's own word, e.g. ``rate_limited``, None if it gave none.
        message: the service's message, cut to a readable length. retry_after: seconds, None if not given.
    """

    status: int = 0
    code: str | None = None
    message: str = ""
    retry_after: float | None = None

    def __post_init__(self) -> None:
        self.message = self.message or self.text


class InvalidRequestError(ApiError):
    """400: the service refused the parameters; no job was made."""


class UnauthorizedError(ApiError):
    """401: the key is missing or not accepted; no job was made."""


class InsufficientCreditsError(ApiError):
    """402: not enough credits; no job was made."""


class ModelNotFoundError(ApiError):
    """404: no such model or job."""


class RateLimitedError(ApiError):
    """429: too many requests; no job was made. ``retry_after`` in seconds if the service gave it."""


class ServerError(ApiError):
    """5xx: after a submit it is unknown whether a job was made."""


@dataclass(eq=False, repr=False, kw_only=True)
class UnexpectedReplyError(ApiError):
    """A reply that does not say what it must. ``raw`` is what came, without asset URLs."""

    raw: Any = None


class JobFailedError(KlingError):
    """The service made a job and says that it failed."""


class StillRunningError(KlingError):
    """The caller's time-out passed. The job keeps running and can be resumed."""


@dataclass(eq=False, repr=False, kw_only=True)
class DownloadError(KlingError):
    """An image could not be fetched, checked or saved. The job id is kept.

    ``status`` is the asset's HTTP status, None if there was no reply. ``final`` is True if fetching the same
    URL again cannot help: a refused host, an image too large, a full disk. ``too_large``: the bytes of an image that is
    too large to be kept, as far as they were counted. ``images``, from ``KlingClient.run``: the bytes of those that
    came, None in the place of those that did not.
    """

    status: int | None = None
    final: bool = False
    too_large: int = 0
    images: tuple[bytes | None, ...] = ()


class Interrupted(KeyboardInterrupt):
    """The waiting was interrupted. A KeyboardInterrupt, so that ``except Exception`` in a loop does not buy on.

    Attributes:
        job_ids: the jobs that were submitted and keep running.
        maybe_submitted: True if a submit was interrupted before its reply came: a job may have been made, and
            charged, without our knowing its id.
    """

    _render_traceback_ = _render_traceback

    def __init__(self, message: str, job_ids: Sequence[str] = (), *, maybe_submitted: bool = False) -> None:
        super().__init__(message)
        self.job_ids = tuple(job_ids)
        self.maybe_submitted = maybe_submitted
