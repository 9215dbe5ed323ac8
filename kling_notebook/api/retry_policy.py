"""May a request be sent again, and is a job asked again after a poll that failed? Pure: nothing sleeps here."""

import math
from dataclasses import dataclass
from enum import Enum

from .errors import (
    ApiError,
    BudgetExceededError,
    InputError,
    KlingError,
    ModelNotFoundError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
    UnauthorizedError,
)
from .rate_limiter import LONGEST_WAIT
from .wire import refuses

# Polls since the last good one answered with something that waiting does not mend, before the asking ends.
REFUSED_POLL_TRIES = 5

# Polls since the last good one that did not accept the key; a single such answer may be a gateway's mistake.
UNAUTHORIZED_POLL_TRIES = 2
UNKNOWN_JOB_TRIES = 3  # polls since the last good one answered 404 before the job counts as gone

# A job younger than that does not count as gone, however often the answer is 404: a service of many machines may not
# know it on all of them yet, and what counts as gone may be bought again.
NEW_JOB_SECONDS = 60.0


# --- what may be sent again -------------------------------------------------------------------------------------


class AfterSubmit(Enum):
    """What a failed submit means for the request."""

    AGAIN = "again"  # certain that no job was made: may be sent again
    REFUSED = "refused"  # certain that no job was made: would be refused again
    UNKNOWN = "unknown"  # a job may have been made and charged: never sent again by itself


def after_submit(error: KlingError) -> AfterSubmit:
    """Decide what a submit's error allows. Without evidence: UNKNOWN, for sending again costs money."""
    if error.maybe_submitted:
        return AfterSubmit.UNKNOWN
    if isinstance(error, TransportError):
        return AfterSubmit.AGAIN if error.never_left else AfterSubmit.UNKNOWN
    if isinstance(error, RateLimitedError):
        return AfterSubmit.REFUSED if (error.retry_after or 0.0) > LONGEST_WAIT else AfterSubmit.AGAIN
    before_sending = isinstance(error, InputError | SettingsError | BudgetExceededError)
    refused = before_sending or (isinstance(error, ApiError) and refuses(error.status))
    return AfterSubmit.REFUSED if refused else AfterSubmit.UNKNOWN


# --- what is asked again ----------------------------------------------------------------------------------------


class AfterPoll(Enum):
    """What a failed poll means for the asking. None of them means that the job failed."""

    AGAIN = "again"  # it says nothing of the job
    GONE = "gone"  # the service does not know the job
    REFUSED = "refused"  # asking again is pointless; the job may exist all the same


@dataclass(slots=True)
class FailedPolls:
    """Polls of one job that failed in a row, and when that is enough. After one that succeeds, begin a new count."""

    count: int = 0
    unknown: int = 0
    refused: int = 0
    unauthorized: int = 0

    def after(self, error: KlingError, age: float = math.inf, left: float = math.inf) -> AfterPoll:
        """Count this one. ``age``: the job's in seconds, where it is known. ``left``: seconds of patience with it."""
        self.count += 1
        if isinstance(error, ModelNotFoundError):
            self.unknown += 1
        elif isinstance(error, ApiError) and not isinstance(error, RateLimitedError | ServerError):
            self.refused += 1  # an unreadable reply, a completed job without an image
            self.unauthorized += isinstance(error, UnauthorizedError)
        # Gone comes first: it ends the job, the others only the asking, which resume takes up again.
        if self.unknown >= UNKNOWN_JOB_TRIES and age >= NEW_JOB_SECONDS:
            return AfterPoll.GONE
        pointless = (
            self.refused >= REFUSED_POLL_TRIES
            or self.unauthorized >= UNAUTHORIZED_POLL_TRIES
            or isinstance(error, SettingsError)
            or retry_after_seconds(error) > min(LONGEST_WAIT, left)
        )
        return AfterPoll.REFUSED if pointless else AfterPoll.AGAIN


def retry_after_seconds(error: KlingError) -> float:
    """Seconds, 0.0 where the service did not say."""
    return (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
