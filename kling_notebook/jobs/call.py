"""What one call started: its handles, what it may spend, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..api.errors import InsufficientCreditsError, KlingError
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus
from ..api.price_class import Kind, kind
from ..journal.job_record import Record
from ..results.handle import JobHandle
from .spending import Estimate, SpendingLimits


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of the jobs when the waiting was stopped.

    Attributes:
        cancelled: numbers of the jobs taken back before their POST.
        going_on: job ids of those that go on in the background; "job N" where no id is known yet.
    """

    cancelled: tuple[int, ...]
    still_running: tuple[str, ...]


class SpendingLedger:
    """What a session has spent or has under way, in credits by job number. Thread-safe.

    Args:
        before: that of the session before it in this kernel, whose spending counts as well.
    """

    def __init__(self, before: SpendingLedger | None = None) -> None:
        self._before = before
        self._lock = threading.Lock()
        self._credits: dict[int, float] = {}

    @property
    def spent(self) -> float:
        earlier = self._before.spent if self._before is not None else 0.0
        with self._lock:
            return earlier + sum(self._credits.values())

    def reserve(self, record: Record, estimate: Estimate, batch: Call) -> None:
        """Set the price aside before the POST, in place of what was set aside for this job before.

        Raises:
            BudgetExceededError: it is not there; what was set aside before stays so.
        """
        earlier = self._before.spent if self._before is not None else 0.0
        with self._lock:
            others = {number: credits for number, credits in self._credits.items() if number != record.number}
            batch.limits.check(
                estimate,
                call_spent=sum(others.get(number, 0.0) for number in batch.numbers),
                session_spent=earlier + sum(others.values()),
            )
            self._credits[record.number] = estimate.credits

    def of(self, number: int) -> float:
        """What is set aside for a job, or was charged for it."""
        with self._lock:
            return self._credits.get(number, 0.0)

    def charge(self, number: int, credits: float) -> None:
        """The reply's ``creditCost``, in place of the estimate. 0 takes the reservation back."""
        with self._lock:
            if number in self._credits:
                self._credits[number] = credits


class PriceProbe:
    """Who finds out what a kind of job costs. Thread-safe.

    Until a reply has said it, one of a kind is sent at a time: side by side they would go out at a guess, past what may
    be spent.

    Args:
        has_price: whether a reply has said, before this session, what a request like this one costs.
    """

    def __init__(self, has_price: Callable[[GenerationRequest], bool]) -> None:
        self._has_price = has_price
        self._lock = threading.Lock()
        self._known: dict[Kind, bool] = {}
        self._out: dict[Kind, int] = {}

    def may_send(self, record: Record) -> bool:
        """Whether it may be sent: its price is known, or it is the one that finds it out, until `learn` or `over`."""
        which = kind(record.request)
        with self._lock:
            if which not in self._known:
                self._known[which] = self._has_price(record.request)
            return self._known[which] or self._out.setdefault(which, record.number) == record.number

    def learn(self, record: Record) -> None:
        """A reply has said what this job costs."""
        with self._lock:
            self._known[kind(record.request)] = True

    def over(self, record: Record) -> None:
        """Nothing more is heard of this job's price. Where it is completed and had none, no reply ever names one."""
        which = kind(record.request)
        with self._lock:
            if self._out.get(which) == record.number:
                del self._out[which]
                self._known[which] |= record.status is JobStatus.COMPLETED


class Call:
    """The jobs of one call.

    Attributes:
        handles: one per request, in the requests' order; identical requests share one.
        estimate: what was about to be bought. limits: what the call may spend. numbers: of the jobs it buys.
    """

    def __init__(self, handles: tuple[JobHandle, ...], estimate: Estimate, limits: SpendingLimits) -> None:
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

    @property
    def bounded(self) -> bool:
        """Whether there is anything that its jobs may not go past."""
        return self.limits.call is not None or not self.estimate.free

    @property
    def halted(self) -> bool:
        """Whether nothing more of this call is sent."""
        return self._halted is not None

    def refuse_if_halted(self, record: Record) -> None:
        if self._halted is not None:
            way_out = "Restart the kernel (the sandbox's credits come back)" if self.estimate.free else "Buy credits"
            raise InsufficientCreditsError(
                f"Job {record.number} was not sent: the credits ran out at job {self._halted.number}. "
                f"{way_out}, then run the same again; with --reuse what is here already is not made twice.",
                status=402,
                number=record.number,
            )

    def cancel_unsent(self) -> Stopped:
        """Take back what was not POSTed; say what goes on. What another call asked for first is left to that call."""
        still_running: list[str] = []
        cancelled: list[int] = []
        for handle in self.jobs:
            if handle.done():
                continue
            if handle.number in self.numbers and handle.cancel():
                cancelled.append(handle.number)
            else:
                still_running.append(handle.job_id or f"job {handle.number}")
        return Stopped(tuple(cancelled), tuple(still_running))

    @contextmanager
    def cancelled_if_cut_short(self) -> Iterator[None]:
        """While its jobs are set going: what an interrupt leaves without a worker must not look like a running job."""
        try:
            yield
        except BaseException:
            self.cancel_unsent()
            raise
