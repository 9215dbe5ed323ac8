"""What one call started: its handles, what it may spend, and how it is stopped."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ..api.errors import InsufficientCreditsError, KlingError
from .budget import Estimate, Limits
from .records import Record
from .runner import JobHandle


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of the jobs when the waiting was stopped.

    Attributes:
        withdrawn: numbers of the jobs taken back before their POST.
        going_on: job ids of those that go on in the background; "job N" where no id is known yet.
    """

    withdrawn: tuple[int, ...]
    going_on: tuple[str, ...]


class Purse:
    """What a session has spent or has under way, in credits by job number. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credits: dict[int, float] = {}

    @property
    def spent(self) -> float:
        with self._lock:
            return sum(self._credits.values())

    def reserve(self, record: Record, estimate: Estimate, batch: Batch) -> None:
        """Set the price aside before the POST. Raises BudgetExceededError where it is not there."""
        with self._lock:
            batch.limits.check(
                estimate,
                call_spent=sum(self._credits.get(number, 0.0) for number in batch.numbers),
                session_spent=sum(self._credits.values()),
            )
            self._credits[record.number] = estimate.credits

    def charge(self, number: int, credits: float) -> None:
        """The reply's ``creditCost``, in place of the estimate. 0 takes the reservation back."""
        with self._lock:
            if number in self._credits:
                self._credits[number] = credits


class Batch:
    """The jobs of one call.

    Attributes:
        handles: one per request, in the requests' order; identical requests share one.
        estimate: what was about to be bought. limits: what the call may spend. numbers: of the jobs it buys.
    """

    def __init__(self, handles: tuple[JobHandle, ...], estimate: Estimate, limits: Limits) -> None:
        self.handles = handles
        self.estimate = estimate
        self.limits = limits
        self.numbers: frozenset[int] = frozenset()
        self._halted: KlingError | None = None

    @property
    def jobs(self) -> tuple[JobHandle, ...]:
        """The different handles, each once."""
        return tuple(dict.fromkeys(self.handles))

    def halt(self, error: KlingError) -> None:
        """The credits ran out: nothing more of this call is sent."""
        if isinstance(error, InsufficientCreditsError):
            self._halted = self._halted or error

    def refuse_if_halted(self, record: Record) -> None:
        if self._halted is not None:
            way_out = "Restart the kernel (the sandbox's credits come back)" if self.estimate.free else "Buy credits"
            raise InsufficientCreditsError(
                f"Job {record.number} was not sent: the credits ran out at job {self._halted.number}. "
                f"{way_out}, then run the same again; with --reuse what is here already is not made twice.",
                status=402,
                number=record.number,
            )

    def withdraw(self) -> Stopped:
        """Take back what was not POSTed; say what goes on."""
        going_on: list[str] = []
        withdrawn: list[int] = []
        for handle in self.jobs:
            if handle.done():
                continue
            if handle.cancel():
                withdrawn.append(handle.number)
            else:
                going_on.append(handle.job_id or f"job {handle.number}")
        return Stopped(tuple(withdrawn), tuple(going_on))
