"""What the user holds: a completed request with its images, and a completed sweep."""

import contextlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ..api.address import address_of, letter_of
from ..api.errors import DownloadError, InputError, KlingError
from ..api.event_log import suppress
from ..api.generation_request import GenerationRequest
from ..api.job import STATUSES
from ..api.parameters import PARAMETERS, path_from, ratio
from ..api.sanitize import clean
from ..api.wire import warnings_of
from ..image_files import decode, metadata, saving, thumbnails
from ..journal import layout, source_copies
from ..journal.job_record import Record
from ..view.grid import grid_bundle, large_bundle
from ..view.table import HistoryRow, compare_bundle
from ..view.tiles import SIDE, State, Tile, side_for
from . import code_export

if TYPE_CHECKING:
    import matplotlib.figure
    import PIL.Image

THUMBNAIL, LARGE = SIDE, 1024


def thumbnail_sizes(setting: int, count: int) -> list[int]:
    """The thumbnails that showing a result of ``count`` images asks for, in pixels a side: in a list of jobs or a
    sweep as the setting says, and in a grid of its own, where a few have more space."""
    return sorted({setting, _in_grid(setting, count)}) if count > 1 else [setting]


def _in_grid(setting: int, count: int) -> int:
    return setting * side_for(count) // SIDE


def grid_tiles(images: "Sequence[SavedImage]") -> list[Tile]:
    """The tiles of a grid of these images."""
    return [replace(one, thumbnail_size=_in_grid(one.thumbnail_size, len(images))).tile() for one in images]


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One saved image. Shown by itself in a cell it is shown large.

    Attributes:
        path: the original file. number: its job's number in the folder. place: its place in the result, from 0.
        request: what was asked for. caption: its address, parameters, seconds and credits in one line.
        data: the file's bytes if they travel with the image, to a worker on another machine; else None.

    >>> kling.generate("a red fox", show_progress=False)[0].width
    1024
    """

    path: Path
    number: int
    place: int
    request: GenerationRequest
    caption: str = ""
    thumbnail_size: int = THUMBNAIL
    data: bytes | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """With the file's bytes: another process may not see the file."""
        # Read now and not when it is unpickled: that may happen where this path does not exist.
        held = self.data
        if held is None:
            with suppress(OSError, ValueError):  # ValueError above 64 MB
                held = decode.read_bounded(self.path)
        return SavedImage, (self.path, self.number, self.place, self.request, self.caption, self.thumbnail_size, held)

    @property
    def address(self) -> str:
        """``12b``, as in captions and in ``--image 12b``."""
        return address_of(self.number, self.place)

    @property
    def letter(self) -> str:
        """The letter of the address: the image's place in the service's reply."""
        return letter_of(self.place)

    @property
    def width(self) -> int:
        """Pixels, as stored: a photograph's orientation is not applied. 0 for a file that cannot be decoded."""
        return self._header[0]

    @property
    def height(self) -> int:
        """Pixels, see `width`."""
        return self._header[1]

    @property
    def _header(self) -> tuple[int, int, str]:
        try:
            return decode.header(self.data or self.path)
        except OSError as error:
            raise DownloadError(f"{self.path} cannot be read ({error.strerror}). `%kling resume` fetches it.") from None

    def image(self) -> "PIL.Image.Image":
        """The original as a PIL image; its pixels are read on first use."""
        return saving.open_image(self.path, self.data)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """``numpy.asarray(image)`` gives the pixels: (height, width, channels), uint8 for most files."""
        image = self.image()
        # Of a palette the array would be the places in it, and not colors.
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        return image.__array_interface__

    def tile(self) -> Tile:
        """The image as a grid shows it: a bounded thumbnail, its alternative text, caption and link."""
        return self._as_tile(thumbnails.thumbnail, self.thumbnail_size)

    def large(self) -> Tile:
        """The image as it is shown alone: a JPEG of up to 1024 px and 200 kB."""
        return self._as_tile(thumbnails.large, LARGE)

    def _as_tile(self, render: Any, size: int) -> Tile:
        try:
            jpeg, width, height = render(self.path, layout.thumbnails(self.path.parent), size, data=self.data)
        except Exception as error:  # shown as such, with the rest of the grid
            if not saving.is_saved_image(self.path):  # never saved, or deleted or emptied since
                note = f"{self.path.name} is not here" if not self.path.exists() else str(error)
                return placeholder_tile(self.request, "missing", note, self.caption)
            return replace(placeholder_tile(self.request, "file", str(error), self.caption), href=link(self.path))
        return Tile(jpeg, width, height, self.request.prompt, self.caption, link(self.path))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG002
        return large_bundle(self.large())

    def __repr__(self) -> str:
        return f"<Image {self.address} {self.path.name}>"


def placeholder_tile(request: GenerationRequest, state: State, note: str, caption: str = "") -> Tile:
    """The place where an image is missing, of the shape that was asked for."""
    wide = min(max(ratio(request.aspect_ratio) or 1.0, 0.1), 10.0)  # stored ratios may be any text
    width, height = round(LARGE * min(1.0, wide)), round(LARGE / max(1.0, wide))
    return Tile(b"", width, height, request.prompt, caption, None, state, note)


MOST_UP = 3  # folders that a link may go up; one that goes further shows names that are none of a reader's business


def page_folder() -> Path:
    """The folder of the notebook that shows a result, wherever ``%cd`` has gone since."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    started = Path(getattr(shell, "starting_dir", None) or Path.cwd())
    output = getattr(shell, "user_ns", {}).get("PAPERMILL_OUTPUT_PATH")  # papermill --inject-paths
    notebook = str(output or os.environ.get("JPY_SESSION_NAME", ""))  # the second is Jupyter's
    return (started / notebook).parent if notebook.endswith(".ipynb") else started


def link(path: Path, seen_from: Path | None = None) -> str | None:
    """The relative address under which a page reaches the file, None if it cannot.

    Args:
        seen_from: the folder of the page; by default of the notebook, see `page_folder`.
    """
    with suppress(ValueError, OSError):  # another drive; a working directory that is gone
        relative = Path(os.path.relpath(path, seen_from or page_folder()))
        if relative.parts.count("..") <= (MOST_UP if seen_from is None else 0):
            return relative.as_posix()
    return None


class Shown:
    """What a call shows by itself: IPython then need not show it again as the value of the cell.

    ``already_shown`` is set by the call that showed it: asked with the value, it says whether this is that echo.
    """

    already_shown: Callable[[object], bool] | None = None

    def bundle(self, *, title: str = "", notice: str = "") -> dict[str, Any]:
        """What is shown, as a mimebundle."""
        raise NotImplementedError

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG002
        return self.bundle()

    def _ipython_display_(self) -> None:
        """Its name or nothing if the cell that ends with this value has shown it; otherwise the mimebundle is shown."""
        if self.already_shown is None or not self.already_shown(self):
            raise NotImplementedError
        if is_terminal(sys.stdout):  # ``Out[1]:`` stands there already, and something has to follow it
            print(repr(self))

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without the cell that showed it."""
        return {name: value for name, value in self.__dict__.items() if name != "already_shown"}


class Result(Shown, Sequence[SavedImage]):
    """One completed request with its saved images: ``result[0].path``, ``len(result)``, ``for image in result``.

    Attributes:
        number: the job's number in its folder. job_id: the service's. request: what was asked for.
        credits: what the service reported as the cost, None if it did not. seconds: from submit to done.
        reused: shown again from the folder at no cost. backend: pixeldojo, sandbox, or another host.
        warnings: what the service says of the images' content, as "not drawn: perfume".
        raw: the body sent and the replies received, without asset URLs and without the key.

    >>> fox = kling.generate("a red fox", num_outputs=2, show_progress=False)
    >>> [image.path.suffix for image in fox]
    ['.png', '.png']
    >>> print(fox.code())
    %%kling --num-outputs 2
    a red fox
    """

    def __init__(self, record: Record, folder: Path, *, reused: bool = False, thumbnail_size: int = THUMBNAIL) -> None:
        self._folder = folder
        self.number = record.number
        self.job_id = record.job_id
        self.request = record.request
        self.credits = record.credits
        self.seconds = record.seconds
        self.reused = reused
        self.backend = record.backend
        self.note = record.note
        self.starred = record.starred
        self.raw: Mapping[str, Any] = record.raw
        self.warnings = _warnings(record)
        self._images = tuple(
            SavedImage(folder / name, record.number, k, record.request, caption_of(record, k, reused), thumbnail_size)
            for k, name in enumerate(record.images)
        )

    @overload
    def __getitem__(self, index: int) -> SavedImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SavedImage]: ...
    def __getitem__(self, index: int | slice) -> SavedImage | Sequence[SavedImage]:
        return self._images[index]

    def __len__(self) -> int:
        return len(self._images)

    @property
    def images(self) -> list[SavedImage]:
        """The images as a list. Each can be pickled, with its bytes."""
        return list(self._images)

    def figure(self, **options: Any) -> "matplotlib.figure.Figure":
        """The images as a matplotlib figure. Options: ``title``, ``width`` in inches at most, ``dpi``."""
        from ..view.figure import tiles_figure  # matplotlib is heavy

        return tiles_figure([image.large() for image in self], **options)

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Copy the originals into ``folder``, which is made where it does not exist. Never overwrites another file.

        Raises:
            InputError: ``folder`` cannot be written. KlingError: an original is gone; the others have been copied.
        """
        return copied(self, path_from(folder, "folder"))

    def code(self) -> str:
        """The cell that makes this again: a ``%%kling`` cell, or a Python call where the magic cannot say it.

        A source image that has changed or gone since is named by the copy that was kept of it.
        """
        return code_export.code_of(self.request.with_sources(lambda one: source_copies.findable(one, self._folder)))

    def bundle(self, *, title: str = "", notice: str = "") -> dict[str, Any]:
        """The result as a mimebundle: one image large, several as a grid."""
        if len(self) == 1:
            return large_bundle(self[0].large(), title=title, notice=notice)
        return grid_bundle(grid_tiles(self), title=title, notice=notice)

    def __repr__(self) -> str:
        here = sum(saving.is_saved_image(image.path) for image in self)
        images = f"{f'{here} of ' * (here < len(self))}{len(self)} image{'s' * (len(self) != 1)}"
        prompt = self.request.prompt if len(self.request.prompt) <= 40 else self.request.prompt[:39] + "…"
        return f"<Result {self.number}: {images} of {prompt!r}{', reused' * self.reused}>"


def _charged(record: Record) -> float | None:
    """What a job cost; None if unknown, and for the sandbox's credits, which are not real."""
    return None if record.backend == "sandbox" else record.credits


def _warnings(record: Record) -> tuple[str, ...]:
    """From either reply: a service may say it when it takes the request, or when the images are there."""
    return tuple(dict.fromkeys(line for reply in ("submit", "final") for line in warnings_of(record.raw.get(reply))))


def caption_of(record: Record, place: int, reused: bool = False) -> str:
    """``12d · 16:9 · 2K · 8.1 s · 1 credit · sandbox``: the address first."""
    values, credits, images = record.request.values, _charged(record), len(record.images)
    facts = (
        address_of(record.number, place),
        *(str(values[name]) for name in ("aspect_ratio", "resolution") if name in values),
        "" if record.request.sample is None else f"sample {record.request.sample}",
        "from an image" if values.get("image") else "",
        "" if record.seconds is None else f"{record.seconds:.1f} s",
        # Of several images it says so: the price of a job is not that of each of its images.
        "" if credits is None else f"{credits:g} credit{'s' * (credits != 1)}" + f" for {images}" * (images > 1),
        "sandbox" if record.backend == "sandbox" else "",
        "reused" if reused else "",
        clean("; ".join(_warnings(record)), 150),  # a line under an image, not a page
    )
    return " · ".join(filter(None, facts))


def is_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal. False for one that is closed, or that the user replaced by a plain writer."""
    with suppress(Exception):
        return bool(stream is not None and stream.isatty())
    return False


@contextlib.contextmanager
def writing(target: Path, kind: str = "path") -> Iterator[None]:
    """What the system has against a path (a file) that was given, as one of our errors."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{target} cannot be written: {error.strerror or error}. Choose another {kind}.", parameter="path"
        ) from None


def leads_out(path: Path) -> bool:
    """Whether it is a link to a file outside of its folder. Such an image is shown, and never sent or copied: the
    folder may be a stranger's, and the file private."""
    # Not by `Path.resolve`, which raises for a link that leads to itself.
    return path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(path.parent))


def copied(images: Sequence[SavedImage], folder: Path) -> list[Path]:
    """Copies of the originals in ``folder``; of one that is gone it is told when all others are there."""
    there = [saving.is_saved_image(image.path) and not leads_out(image.path) for image in images]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        copies = [_copy(image.path, folder) for image in itertools.compress(images, there)]
    if gone := [image for image, whole in zip(images, there, strict=True) if not whole]:
        raise KlingError(
            f"{', '.join(one.address for one in gone)}: {gone[0].path} is gone, or a link that leads out. "
            f"The other {len(copies)} are "
            f"in {folder}. Put it there, or ask the service for it once more: `%kling resume {gone[0].number}`.",
            number=gone[0].number,
        )
    return copies


def _copy(path: Path, folder: Path) -> Path:
    """A copy that never overwrites another image: ``name-2.png`` where ``name.png`` is something else."""
    # The same bytes under the name are the same image: saving twice makes no second file.
    names = itertools.chain([path.name], (f"{path.stem}-{k}{path.suffix}" for k in itertools.count(2)))
    target = next(
        place for place in map(folder.joinpath, names) if not place.exists() or place.read_bytes() == path.read_bytes()
    )
    if not target.exists():
        shutil.copy2(path, target)
        metadata.copy_beside(path, target)
    return target


def _words(value: Any) -> str:
    return "—" if value is None or value == {} else str(getattr(value, "label", value))


class Comparison:
    """Two images side by side, what differs between their requests marked. Shown by a notebook as such.

    Attributes:
        a, b: the images. differences: (parameter, in a, in b), in the table's order.
    """

    def __init__(self, a: SavedImage, b: SavedImage) -> None:
        self.a = a
        self.b = b
        self.differences = [
            (name, _words(left), _words(right))
            for name in (*PARAMETERS, "extra", "sample", "model")
            if (left := getattr(a.request, name)) != (right := getattr(b.request, name))
        ]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG002
        same = [
            (name, _words(value))
            for name, value in self.a.request.values.items()
            if value is not None and value == self.b.request.values[name]
        ]
        return compare_bundle(self.a.large(), self.b.large(), self.differences, same=same)

    def __repr__(self) -> str:
        return f"<Comparison of {self.a.address} and {self.b.address}: {len(self.differences)} differences>"


def chosen_parameters(request: GenerationRequest, without: Container[str] = ()) -> str:
    """What is not left at its default: ``aspect ratio 16:9 · image 2c``; of replicates which one it is."""
    chosen = {name: value for name, value in request.values.items() if value != PARAMETERS[name].default}
    chosen |= {} if request.sample is None else {"sample": request.sample}
    shown = [name for name in chosen if name != "prompt" and name not in without]
    return " · ".join(f"{name.replace('_', ' ')} {_words(chosen[name])}" for name in shown)


def _linked(image: SavedImage, seen_from: Path | None) -> Tile:
    tile = image.tile()
    return tile if seen_from is None or not tile.shown else replace(tile, href=link(image.path, seen_from))


def history_row(record: Record, folder: Path, *, thumbnails: bool = True, seen_from: Path | None = None) -> HistoryRow:
    """A record as the history table shows it; ``thumbnails=False`` reads no file. ``seen_from``: see `link`."""
    return HistoryRow(
        number=record.number,
        tiles=tuple(_linked(image, seen_from) for image in (Result(record, folder) if thumbnails else ())),
        prompt=record.request.prompt,
        parameters=chosen_parameters(record.request),
        status=record.status.value,
        backend=record.backend,
        created=datetime.fromtimestamp(record.created_at).astimezone().strftime("%Y-%m-%d %H:%M"),
        seconds=record.seconds,
        credits=_charged(record),
        starred=tuple(address_of(record.number, place) for place in sorted(record.starred)),
        note=record.note or "",
        error=record.error or "",
        icon=STATUSES[record.status].icon,
        tone=STATUSES[record.status].tone,
    )
