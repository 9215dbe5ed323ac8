"""What may be spent: estimates and refusals. Pure; the sums are those of `send_permit`."""

from dataclasses import dataclass
from math import ceil, inf

from ..api.errors import BudgetExceededError, InputError
from ..api.generation_request import GenerationRequest
from ..api.parameters import CREDITS_PER_IMAGE
from ..api.quantities import about, count, duration
from ..results.sweep_axes import plain

SANDBOX_AT_ONCE = 2  # images that our own sandbox paints side by side, however many jobs there are


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call would cost; an estimate until the replies' ``creditCost`` arrive.

    Attributes:
        jobs: to be bought. images: in those jobs. credits: for those images.
        seconds: until the last one is done, None where no such job was seen before.
        reused: requests answered from the folder at no cost. free: True for the sandbox, whose credits are play money.
        pace: requests a minute, where it is they that decide how long it takes; else None.
        unconfirmed: requests that may have been bought already; they are not sent until that is settled.
    """

    jobs: int
    images: int
    credits: float
    seconds: float | None = None
    reused: int = 0
    free: bool = False
    pace: float | None = None
    unconfirmed: int = 0

    def __str__(self) -> str:
        return f"{count(self.jobs, 'job')}, {self.cost}" if self.jobs else self.cost

    @property
    def cost(self) -> str:
        """The same without the number of jobs, for use beside the shape of a sweep, which already tells it."""
        beside = [
            *([f"{self.reused} already made, at no cost"] if self.reused else []),
            *([f"{self.unconfirmed} unconfirmed and not sent: see `%kling status`"] if self.unconfirmed else []),
        ]
        if not self.jobs:
            return ", ".join(beside) or "nothing to pay"
        time = f", {self.time}" if self.time else ""
        more = f" ({', '.join(beside)})" if beside else ""
        return f"{count(self.images, 'image')}, {self.money}{time}{more}"

    @property
    def money(self) -> str:
        """``about 4 credits``, or that it is free."""
        return "free on the sandbox" if self.free else about(self.credits)

    @property
    def time(self) -> str:
        """``about 2 min at 10 requests a minute``; at least how long, where no such job was seen; else nothing."""
        if not self.jobs:
            return ""
        pace = f" at {self.pace:g} requests a minute" if self.pace else ""
        if self.seconds is not None:
            return f"about {duration(self.seconds)}{pace}"
        return f"at least {duration(queueing(self.jobs, self.pace))}{pace}" if self.pace else ""


def price(request: GenerationRequest, dearest: float | None) -> float:
    """Credits one request is thought to cost: its images at the dearest price seen, at least the documented one."""
    return float(request.num_outputs) * max(CREDITS_PER_IMAGE, dearest or 0.0)


def call_time(seconds: float | None, jobs: int, in_flight: int, per_minute: float) -> float | None:
    """Seconds until the last of ``jobs`` is done.

    Args:
        seconds: one job's usual duration. in_flight: how many run at once. per_minute: requests allowed.
    """
    if not jobs:
        return 0.0
    return None if seconds is None else max(ceil(jobs / in_flight) * seconds, queueing(jobs, per_minute) + seconds)


def queueing(jobs: int, per_minute: float) -> float:
    """Seconds that ``jobs`` spend at least in the queue of the rate limit; 0 where all their requests fit a minute."""
    return max(0.0, 2 * jobs - per_minute) * 60.0 / per_minute  # one submit and at best one poll each


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """What one call may spend.

    Attributes:
        call: ``max_credits`` of this call, None where not given. budget: the session's, None where not set.
        ceiling: what one call may spend where neither is given.
    """

    call: float | None
    budget: float | None
    ceiling: float

    def __post_init__(self) -> None:
        """Raise InputError if ``max_credits`` is not a number to compare with: nan would allow everything."""
        call = plain(self.call)  # a sum of NumPy's or pandas' numbers
        if call is not None and (isinstance(call, bool) or not isinstance(call, int | float) or not 0 <= call < inf):
            raise InputError(
                f"max_credits must be a number of credits, 0 or more, not {call!r}.", parameter="max_credits"
            )

    def check(self, estimate: Estimate, *, call_spent: float = 0.0, session_spent: float = 0.0) -> None:
        """Raise BudgetExceededError where ``estimate`` would go above what may be spent.

        Args:
            call_spent: what this call has already spent or has under way. session_spent: the same for the session.
        """
        wanted = estimate.credits
        if not wanted:
            return
        facts = [count(estimate.jobs, "job"), count(estimate.images, "image"), estimate.time]
        option = f"--max-credits {call_spent + wanted:g} (max_credits= in Python)"
        what = f"This needs {about(call_spent + wanted)} ({', '.join(filter(None, facts))})"
        nothing = "Nothing more was sent." if call_spent else "Nothing was sent."
        if self.call is not None and call_spent + wanted > self.call:
            raise BudgetExceededError(
                f"{what}; max_credits allows {self.call:g}. {nothing} Allow it with {option}, or ask for less.",
                credits=call_spent + wanted,
                limit=self.call,
            )
        if self.budget is not None and not estimate.free and session_spent + wanted > self.budget:
            left = max(0.0, self.budget - session_spent)
            raise BudgetExceededError(
                f"{what}; {left:g} of {self.budget:g} credits left in the budget. {nothing} "
                f"Allow it with %kling budget {session_spent + wanted:g}.",
                credits=wanted,
                limit=left,
            )
        if self.call is None and self.budget is None and not estimate.free and call_spent + wanted > self.ceiling:
            raise BudgetExceededError(
                f"{what}; the default limit per call is {self.ceiling:g} credits. {nothing} Allow it with {option}.",
                credits=call_spent + wanted,
                limit=self.ceiling,
            )
