"""What one call started: its handles, its estimate, and how it is stopped."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ..results.handle import JobHandle
from .spending import Estimate


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of the jobs when the waiting was stopped.

    Attributes:
        cancelled: numbers of the jobs that were cancelled before they were sent.
        still_running: those that keep running in the background.
    """

    cancelled: tuple[int, ...]
    still_running: tuple[JobHandle, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """The jobs of one call.

    Attributes:
        handles: one per request, in the requests' order; identical requests share one.
        estimate: what was about to be bought. numbers: of the jobs it buys.
        together: makes one transaction of everything that is written meanwhile.
    """

    handles: tuple[JobHandle, ...]
    estimate: Estimate
    numbers: frozenset[int] = frozenset()
    together: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def jobs(self) -> tuple[JobHandle, ...]:
        """The different handles, each once."""
        return tuple(dict.fromkeys(self.handles))

    def cancel_unsent(self) -> Stopped:
        """Cancel what was not sent, and say what keeps running. What another call asked for first is left to it."""
        # In one transaction: with one for each of a thousand jobs, Ctrl-C would take seconds.
        going = [handle for handle in self.jobs if not handle.done()]
        with self.together():
            cancelled = [one.number for one in going if one.number in self.numbers and one.cancel()]
        return Stopped(tuple(cancelled), tuple(handle for handle in going if handle.number not in cancelled))
