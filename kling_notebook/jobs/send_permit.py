"""May this request be sent now? Price, budget, the call's limits and a call stopped by 402 are asked in one place."""

import threading
import time
from collections.abc import Callable

from ..api.errors import InsufficientCreditsError, KlingError
from ..api.generation_request import GenerationRequest, JobKind, kind
from ..api.job import JobStatus
from ..journal.job_record import Record
from .spending import Estimate, SpendingLimits


class CancelledError(Exception):
    """The request was cancelled before it was sent. A signal between modules, never raised to a user."""


class SpendingLedger:
    """What a session has spent or has under way, in credits by job number, and which prices it knows. Thread-safe.

    Until a reply states what a kind of job costs, one of that kind is sent at a time: side by side they would be sent
    at a guess, past what may be spent.

    Args:
        has_price: whether a reply stated, before this session, what a request like this one costs.
        before: the ledger of the session before it in this kernel, whose spending counts as well.

    Attributes:
        since: when the first of these sessions began, epoch seconds.
    """

    def __init__(self, has_price: Callable[[GenerationRequest], bool], before: "SpendingLedger | None" = None) -> None:
        self._has_price = has_price
        self._before = before
        self.since: float = before.since if before is not None else time.time()
        self.lock = threading.RLock()
        self._credits: dict[int, float] = {}
        self._known: dict[JobKind, bool] = {}
        self._probes: dict[JobKind, int] = {}

    @property
    def spent(self) -> float:
        """Credits, those of the sessions before included."""
        with self.lock:
            return (self._before.spent if self._before is not None else 0.0) + sum(self._credits.values())

    def reserved_for(self, *numbers: int) -> float:
        """Credits reserved for these jobs, or charged for them."""
        with self.lock:
            return sum(self._credits.get(number, 0.0) for number in numbers)

    def reserve(self, number: int, credits: float) -> None:
        """Set the price of a job aside, before its POST."""
        with self.lock:
            self._credits[number] = credits

    def settle(self, number: int, credits: float) -> None:
        """The reply's ``creditCost``, in place of the estimate. 0 takes the reservation back."""
        with self.lock:
            if number in self._credits:
                self._credits[number] = credits

    def may_send(self, record: Record) -> bool:
        """Whether the price is known, or this job is the one that finds it out, until `price_known` or `completed`."""
        which = kind(record.request)
        with self.lock:
            if which not in self._known:
                self._known[which] = self._has_price(record.request)
            return self._known[which] or self._probes.setdefault(which, record.number) == record.number

    def price_known(self, record: Record) -> None:
        """A reply has stated what this job costs."""
        with self.lock:
            self._known[kind(record.request)] = True

    def completed(self, record: Record) -> None:
        """Nothing more is heard of this job's price. If it completed without one, no reply ever names one."""
        which = kind(record.request)
        with self.lock:
            if self._probes.get(which) == record.number:
                del self._probes[which]
                self._known[which] |= record.status is JobStatus.COMPLETED


class SendPermit:
    """Whether the jobs of one call may be sent. Thread-safe.

    Args:
        ledger: of the session. limits: of the call. estimate: what some requests would cost now.
        free: whether credits are play money.

    Attributes:
        numbers: of the jobs that the call buys.
    """

    def __init__(
        self,
        ledger: SpendingLedger,
        limits: SpendingLimits,
        estimate: Callable[[list[GenerationRequest]], Estimate],
        *,
        free: bool,
    ) -> None:
        self._ledger = ledger
        self._limits = limits
        self._estimate = estimate
        self._free = free
        self._stopped: KlingError | None = None
        self.numbers: frozenset[int] = frozenset()

    def check(self, record: Record) -> str:
        """What the job has to wait for before it may be sent, "" if nothing. Raises if the call was stopped."""
        self._refuse_if_stopped(record)
        limited = self._limits.call is not None or not self._free
        return "the first one's price" if limited and not self._ledger.may_send(record) else ""

    def acquire(self, record: Record, commit_intent: Callable[[], None]) -> None:
        """Reserve the price and commit the intent, in one step. What ``commit_intent`` raises takes it back.

        Raises:
            BudgetExceededError: the money is not there. InsufficientCreditsError: the call was stopped.
        """
        number = record.number
        # Held from the check to the commit: two jobs that are sent at once must not both see the last credits free.
        with self._ledger.lock:
            self._refuse_if_stopped(record)
            estimate = self._estimate([record.request])
            earlier = self._ledger.reserved_for(number)
            self._limits.check(
                estimate,
                call_spent=self._ledger.reserved_for(*(self.numbers - {number})),
                session_spent=self._ledger.spent - earlier,
            )
            self._ledger.reserve(number, estimate.credits)
            try:
                commit_intent()
            except BaseException:
                self._ledger.reserve(number, earlier)
                raise

    def release(self, record: Record) -> None:
        """No job was made: what was reserved is free again."""
        self._ledger.settle(record.number, 0.0)

    def stop(self, error: KlingError) -> None:
        """Send nothing more of this call if the credits ran out."""
        if isinstance(error, InsufficientCreditsError):
            self._stopped = self._stopped or error

    def _refuse_if_stopped(self, record: Record) -> None:
        if self._stopped is not None:
            way_out = "Restart the kernel (the sandbox's credits come back)" if self._free else "Buy credits"
            raise InsufficientCreditsError(
                f"Job {record.number} was not sent: the credits ran out at job {self._stopped.number}. "
                f"{way_out}, then run the same again; with --reuse what is here already is not made twice.",
                status=402,
                number=record.number,
            )
