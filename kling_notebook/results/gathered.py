"""What sweeps and batches share: the results of several jobs, in the order of what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .handle import JobHandle
from .result import Result, SavedImage, Shown


class Gathered(Shown, Sequence[Result | None]):
    """The results of several jobs; None for a place that has none.

    Attributes:
        handles: one per place, None for one that nothing was asked for. Places may share a job.
    """

    handles: tuple[JobHandle | None, ...]

    def __len__(self) -> int:
        return len(self.handles)

    def __iter__(self) -> Iterator[Result | None]:
        return map(self._result, range(len(self)))  # by place, whatever [] selects by

    def _result(self, place: int) -> Result | None:
        handle = self.handles[place]
        return None if handle is None or not handle.done() or handle.failed is not None else handle.result()

    @property
    def done(self) -> list[Result]:
        """The completed results, one per job."""
        return list({id(result): result for result in self if result is not None}.values())

    @property
    def images(self) -> list[SavedImage]:
        """Every image, in order; those of places that share a job once."""
        return [image for result in self.done for image in result]

    @property
    def credits(self) -> float:
        """What the completed jobs cost when they were paid for. Sandbox credits are not counted."""
        return sum((result.credits or 0.0 for result in self.done if result.backend != "sandbox"), 0.0)
