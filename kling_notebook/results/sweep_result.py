"""What a sweep leaves in the user's hand: its results laid out along the axes."""

import os
import sys
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.address import letter_of
from ..api.errors import InputError, KlingError
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus
from ..api.parameters import PARAMETERS, check, path_from
from ..image_files import saving
from ..image_files.source_images import source_of
from ..view.facets import Facet, facets_bundle
from ..view.tiles import Tile
from .handle import Gathered, JobHandle
from .result import Result, SavedImage, copied, placeholder_tile, writing
from .sweep_axes import Axes, Layout, Pick, Point, label, labels, layout, plain, shape

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd


Grids = dict[tuple[Any, ...], dict[tuple[Any, ...], dict[tuple[Any, ...], int]]]
_COLUMNS = ("number", "letter", "path", "seconds", "credits", "status")


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """A sweep before its jobs are started: its axes, its points, and the draw they come from."""

    axes: Axes
    points: Sequence[Point]
    pick: Pick | None = None

    @property
    def shape(self) -> str:
        return shape(self.axes, self.pick)

    def labels(self, requests: Sequence[GenerationRequest]) -> dict[GenerationRequest, str]:
        """What each request is called beside its progress."""
        names = [name for name, values in self.axes.items() if len(values) > 1] or list(self.axes)
        return {
            request: ", ".join(f"{name}={label(value)}" for name, value in point.at(self.axes).items() if name in names)
            or request.prompt
            for request, point in zip(requests, self.points, strict=True)
        }

    def gather(self, handles: Sequence[JobHandle]) -> "SweepResult":
        return SweepResult(self.axes, self.points, handles, pick=self.pick)


class SweepResult(Gathered):
    """The results of a sweep, in the order of its points, the last axis turning fastest; None where one is missing.

    ``sweep["fox", "dawn"]`` selects by value, in the axes' order, as it was given or as its label is written; fewer
    values give the part of the sweep that has them. While jobs run their tiles say so; what failed is drawn with its
    reason.

    Attributes:
        axes: name -> values. handles: one per point. pick: the draw that the points come from, None for all points.

    >>> foxes = kling.sweep("a {color} fox", color=["red", "white"], show_progress=False)
    >>> foxes["white"].request.prompt
    'a white fox'
    >>> list(foxes.table()["color"])
    ['red', 'white']
    """

    def __init__(
        self, axes: Axes, points: Sequence[Point], handles: Sequence[JobHandle], *, pick: Pick | None = None
    ) -> None:
        self.axes = dict(axes)
        self.pick = pick
        self.points = tuple(points)
        self.handles: tuple[JobHandle, ...] = tuple(handles)

    def __reversed__(self) -> Iterator[Result | None]:
        return map(self._result, reversed(range(len(self))))

    def index(self, value: Any, start: int = 0, stop: int = sys.maxsize) -> int:
        """The place of a result: by place, also where [] selects by number."""
        return list(self).index(value, start, stop)

    def __getitem__(self, key: Any) -> Any:
        key = plain(key)
        # An axis of numbers is selected by its values, never by place: 3 then means the value 3.
        numbers = any(map(_is_number, next(iter(self.axes.values()), ())))
        if isinstance(key, slice) or (_is_number(key) and isinstance(key, int) and not numbers):
            return super().__getitem__(key)
        return self._select(key if isinstance(key, tuple) else (key,))

    def _select(self, key: tuple[Any, ...]) -> Any:
        names = tuple(self.axes)
        if len(key) > len(names):
            axes = "1 axis" if len(names) == 1 else f"{len(names)} axes"
            raise InputError(f"This sweep has {axes} ({', '.join(names)}); {len(key)} values were given.")
        # Whatever was given becomes the axis' own value first: then points are found by comparing.
        key = tuple(self._meant(name, plain(value)) for name, value in zip(names, key, strict=False))
        chosen = [i for i, point in enumerate(self.points) if point.coordinates[: len(key)] == key]
        if not chosen:
            raise InputError("This point was not drawn. `.table()` lists those that were.")
        if len(key) == len(names):
            if (result := self._result(chosen[0])) is None:
                raise KlingError(f"{self._name(chosen[0])} is missing: {self._reason(chosen[0])}.")
            return result
        # Fewer values than axes: the part of the sweep that has them, a sweep again, over the same jobs.
        rest = {name: self.axes[name] for name in names[len(key) :]}
        points = [replace(self.points[i], coordinates=self.points[i].coordinates[len(key) :]) for i in chosen]
        return SweepResult(rest, points, [self.handles[i] for i in chosen], pick=self.pick)

    def _meant(self, name: str, asked: Any) -> Any:
        """The value of an axis that is asked for: by itself, else as the axis would hold it, else by its label."""
        one = asked[0] if isinstance(asked, Result) else asked
        read, written = _as_held(name, one), label(one)
        # From strict to lenient: a number must not find the label of another value that is written like it.
        for same in (
            lambda value: value == asked,
            lambda value: getattr(value, "identity", value) == read,
            lambda value: label(value) == written,
        ):
            for value in filter(same, self.axes[name]):
                return value
        raise InputError(f"{name} has no value {asked!r}. It has {labels(self.axes[name])}.", parameter=name)

    @property
    def missing(self) -> list[dict[str, Any]]:
        """The points whose images are not all there, as {axis: value}: not made, or gone from the folder since."""
        return [
            self._at(index)
            for index, result in enumerate(self)
            if result is None or not all(saving.is_saved_image(image.path) for image in result)
        ]

    @property
    def draw(self) -> dict[str, Any]:
        """Of drawn points ``pick_seed``, and ``pick_of``: how many they were drawn from."""
        drawn = self.points[0].draw if self.points else None
        return {} if drawn is None else {name: value for name, value in drawn.items() if name != "point"}

    def _at(self, index: int) -> dict[str, Any]:
        return self.points[index].at(self.axes)

    def _name(self, index: int) -> str:
        return ", ".join(f"{name}={label(value)}" for name, value in self._at(index).items())

    def _reason(self, index: int) -> str:
        handle = self.handles[index]
        return (handle.failed or "").partition(". ")[0] if handle.done() else f"still {handle.status.value}"

    # ---- shown ----

    def tiles(self, index: int, *, large: bool = False) -> tuple[Tile, ...]:
        """The tiles of one point: its images (``large`` for print), or one that says why there are none."""
        if (result := self._result(index)) is not None:
            return tuple(image.large() if large else image.tile() for image in result)
        handle = self.handles[index]
        bad = handle.status in (JobStatus.FAILED, JobStatus.REJECTED, JobStatus.EXPIRED)
        state: Any = "waiting" if not handle.done() else "failed" if bad else "missing"
        return (placeholder_tile(handle.request, state, self._reason(index)),)

    def grids(self, plan: Layout) -> Grids:
        """The places of the points: by the values of the facets' axes, then of the rows', then of the columns'."""
        grids: Grids = {}  # dictionaries keep the order in which points appear, which is the axes' order
        for index in range(len(self)):
            at = self._at(index)
            facet, row, column = (tuple(at[n] for n in names) for names in (plan.facets, plan.rows, plan.columns))
            grids.setdefault(facet, {}).setdefault(row, {})[column] = index
        return grids

    def facets(self, *, large: bool = False) -> list[Facet]:
        """The sweep as labeled grids: see `sweep_axes.layout`. ``large``: images good enough for print."""
        plan = layout(self.axes, complete=self.pick is None)
        facets = []
        fixed = [f"{name} = {label(self.axes[name][0])}" for name in plan.fixed]
        for facet, rows in self.grids(plan).items():
            columns = list(next(iter(rows.values())))
            facets.append(
                Facet(
                    title=", ".join([*(f"{n} = {label(v)}" for n, v in zip(plan.facets, facet, strict=True)), *fixed]),
                    row_axis=", ".join(plan.rows),
                    rows=tuple(map(labels, rows)),
                    column_axis=", ".join(plan.columns),
                    columns=tuple(map(labels, columns)),
                    cells=tuple(tuple(self.tiles(row[c], large=large) for c in columns) for row in rows.values()),
                    listed=(plan.rows, tuple(tuple(map(label, row)) for row in rows)) if len(plan.rows) > 1 else None,
                )
            )
        return facets

    def bundle(self, *, title: str = "", notice: str = "") -> dict[str, Any]:
        """The sweep as a mimebundle: labeled grids as HTML, JPEG and text."""
        return facets_bundle(self.facets(), title=title, notice=notice)

    def figure(self, **options: Any) -> "matplotlib.figure.Figure":
        """Labelled facets as a matplotlib figure. Options: ``title``, ``width`` in inches at most, ``dpi``."""
        from ..view.figure import facets_figure

        return facets_figure(self.facets(large=True), **options)

    def table(self) -> "pd.DataFrame":
        """One row per image: the axes, ``number``, ``letter``, ``path``, ``seconds``, ``credits``, ``status``.

        A point without images has one row with an empty path. ``credits`` is each row's share of what its job cost. If
        an axis has the name of one of these columns, the column is called ``job_number`` and so on. Drawn points have
        ``pick_seed`` and ``pick_of``, the number of points they were drawn from.
        """
        import pandas as pd

        names = {name: free_name(name, self.axes, "job") for name in _COLUMNS}
        rows = []
        shares = Counter(handle.number for index, handle in enumerate(self.handles) for _ in self._places(index))
        for index, handle in enumerate(self.handles):
            result = self._result(index)
            at = {name: label(v) if hasattr(v, "label") else v for name, v in self._at(index).items()}
            seconds, paid = getattr(result, "seconds", None), getattr(result, "credits", None)
            # The column can be summed: points that share a job share its price, too.
            share = None if paid is None else paid / shares[handle.number]
            facts = {"number": handle.number, "status": handle.status.value, "seconds": seconds, "credits": share}
            for k, image in enumerate(self._places(index)):
                own = facts | {"letter": letter_of(k), "path": None if image is None else str(image.path)}
                rows.append(at | {names[name]: value for name, value in own.items()})
        frame = pd.DataFrame(rows, columns=[*self.axes, *names.values()])
        return frame.assign(**self.draw).astype({names["seconds"]: "float64", names["credits"]: "float64"})

    def _places(self, index: int) -> Sequence[SavedImage | None]:
        """The images of a point, or one empty place."""
        return self._result(index) or [None]

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the figure and the table: ``figure.pdf`` gives ``figure.pdf`` and ``figure.csv``.

        A folder (one that is there, or a name without an ending, or with a slash at its end) gets ``figure.png``,
        ``table.csv`` and the originals.

        Raises:
            InputError: not a figure format, or a path that cannot be written.
            KlingError: an original is gone; everything else has been written.
        """
        target, given = path_from(path, "path"), str(path)
        into = not target.suffix or target.is_dir() or given.endswith(("/", os.sep))
        drawn = target / "figure.png" if into else target
        table = target / "table.csv" if into else target.with_suffix(".csv")
        # Somebody asked for "figure.csv": the figure is written beside it.
        if drawn == table:
            drawn = table.with_suffix(".png")
        # Drawn before anything is written: a format that is not known leaves nothing behind.
        figure = self.figure()
        known = figure.canvas.get_supported_filetypes()
        if drawn.suffix[1:].lower() not in known:
            raise InputError(
                f"A figure cannot be written as {drawn.suffix!r}. Take one of {', '.join(sorted(known))}; "
                f"for a folder of this name write {given}/."
            )
        with writing(target):
            drawn.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(drawn)
            self.table().to_csv(table, index=False)
        return [drawn, table, *(copied(self.images, target) if into else [])]

    def __repr__(self) -> str:
        sides = " x ".join(str(len(values)) for values in self.axes.values())
        what = f"{sides} over {', '.join(self.axes)}" if self.axes else "without axes"
        return f"<SweepResult {what}{f', {missing} missing' if (missing := len(self.missing)) else ''}>"

    def __deepcopy__(self, memo: object) -> "SweepResult":
        """The jobs are the same ones: a running job is never made twice."""
        return SweepResult(self.axes, self.points, self.handles, pick=self.pick)


def free_name(name: str, taken: Container[str], prefix: str) -> str:
    """A column's name that is not taken: the prefix before it where it is."""
    while name in taken:
        name = f"{prefix}_{name}"
    return name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_held(name: str, asked: Any) -> Any:
    """A value as an axis of this name holds it: as the table reads it, an image by its content; else as it is."""
    if name not in PARAMETERS or isinstance(asked, os.PathLike):  # a path is found by its label
        return asked
    try:
        if PARAMETERS[name].kind != "image":
            return check(name, asked)
        what = asked.path if isinstance(asked, SavedImage) else asked
        return what if isinstance(what, str) else source_of(what).identity
    except InputError:
        return asked
