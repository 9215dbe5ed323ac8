"""The notebooks that come with the package, and how they get beside the user without overwriting anything."""

import json
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

from ..api.event_log import suppress
from . import CannotStartError

FIRST = "quickstart.ipynb"


def home() -> Path:
    """Where the notebooks are: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if (folder / FIRST).is_file():
            return folder
    raise CannotStartError("The notebooks are missing from this installation. Install kling-notebook again.")


def shipped() -> list[Path]:
    """Every notebook of the package, the quickstart first."""
    return sorted(home().glob("*.ipynb"), key=lambda path: (path.name != FIRST, path.name))


def put_into(folder: Path) -> list[str]:
    """Copy the notebooks into ``folder``; a file that is there is never touched. Returns what became of each."""
    return [_place(original, make_folder(folder) / original.name) for original in shipped()]


def _place(original: Path, target: Path) -> str:
    try:
        # "x" creates or fails: looking first and writing then could overwrite what came in between.
        with target.open("xb") as file:
            file.write(original.read_bytes())
        return f"copied {target}"
    except FileExistsError:
        edited = f"kept your {target}, which differs from the one that comes with this version"
        return f"{target} is already there" if same_cells(original, target) else edited
    except OSError as error:
        raise CannotStartError(f"{target} cannot be written: {error.strerror}. Choose another folder.") from None


def make_folder(folder: Path) -> Path:
    """The folder, created if it does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStartError(f"The folder {folder} cannot be used: {error.strerror}. Choose another.") from None
    return folder.resolve()


def same_cells(one: Path, other: Path) -> bool:
    """Whether the notebook was not edited: the cells' sources are equal, whatever the outputs are."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return list(_sources(one)) == list(_sources(other))
    return False  # not a notebook that can be read: a file of the user's


def _sources(path: Path) -> Iterator[tuple[str, str]]:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield cell["cell_type"], "".join(cell["source"])


def free_name(original: Path, folder: Path) -> Path:
    """A name in ``folder`` for a new run of ``original``: its own, or a numbered one beside an edited file."""
    names = chain([original.name], (f"{original.stem}-{k}{original.suffix}" for k in count(2)))
    return next(path for path in map(folder.joinpath, names) if not path.exists() or same_cells(original, path))
