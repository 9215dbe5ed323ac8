"""The layout of a folder. Every path below ``.kling/`` is built here, and checked when it is built.

A folder may come from a stranger. ``.kling`` and what lies below it are refused if they are links or special files: a
link would let the folder choose what is read, written and removed. A name that stands in a row becomes a path only if
it fits the pattern of its kind.
"""

import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath

from ..api.errors import SettingsError

HIDDEN = ".kling"
JOURNAL = "journal.sqlite3"

SESSION_ID = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SOURCE_NAME = re.compile(r"[0-9a-f]{32}\.(png|jpg|webp|img)")
_SOURCE_LABEL = re.compile(rf"(?:.*[/\\])?{re.escape(HIDDEN)}[/\\]sources[/\\]({_SOURCE_NAME.pattern})")
_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
# Half of a surrogate pair is a byte of a file's name from U+DC80 to U+DCFF only.
_NEVER_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udc7f\udd00-\udfff]')
_MOST_BYTES = 240
_FOLDERS = ("locks", "sandbox_sources", "sources", "thumbnails", "unsaved")
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
_WAY_OUT = "Choose another folder: KLING_FOLDER, or kling.connect(folder=...)."


def new_session_id() -> str:
    return secrets.token_hex(6)


def is_plain_name(name: object) -> bool:
    """Whether it can be the name of an image in the folder: no path, nothing hidden, nothing that a system refuses."""
    return (
        isinstance(name, str)
        and 0 < len(name.encode("utf-8", "surrogatepass")) <= _MOST_BYTES
        and not name.startswith(".")
        and not _NEVER_IN_A_NAME.search(name)
    )


def check(folder: Path) -> None:
    """Look at ``.kling`` and what lies in it, before anything there is opened.

    Raises:
        SettingsError: a link, a special file, or a rollback journal that would make SQLite remove another file.
    """
    hidden = _place(folder)
    try:
        with os.scandir(hidden) as entries:
            found = [(Path(entry.path), entry.stat(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(f"{hidden} cannot be read ({error.strerror}). Nothing was sent. {_WAY_OUT}") from None
    for path, state in found:
        is_folder = path.name in _FOLDERS
        _refuse(path, state, stat.S_ISDIR(state.st_mode) or (stat.S_ISREG(state.st_mode) and not is_folder))
    _check_rollback(journal(folder).with_name(f"{JOURNAL}-journal"))


def _check_rollback(path: Path) -> None:
    """A rollback journal may name a file that SQLite removes after it. One database alone, as ours, never does."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(_SUPER_JOURNAL)))
            names_another = file.read() == _SUPER_JOURNAL
    except OSError:
        return
    if names_another:
        raise SettingsError(f"{path} was not written by kling_notebook. Nothing was sent. Remove it. {_WAY_OUT}")


def _place(folder: Path, name: str = "", *, is_folder: bool = True) -> Path:
    """``.kling/name``. Each step is a real folder, or not there yet; the last one a file unless ``is_folder``."""
    path, parts = folder / HIDDEN, PurePath(name).parts
    _look(path, stat.S_ISDIR)
    for depth, part in enumerate(parts, start=1):
        path /= part
        _look(path, stat.S_ISDIR if is_folder or depth < len(parts) else stat.S_ISREG)
    return path


def _look(path: Path, is_kind: Callable[[int], bool]) -> None:
    try:
        state = path.lstat()
    except OSError:  # not there yet; or whoever opens it will say why it cannot be opened
        return
    _refuse(path, state, is_kind(state.st_mode))


def _refuse(path: Path, state: os.stat_result, expected: bool) -> None:
    """Raise SettingsError for a link, a Windows junction, or another kind of file than expected."""
    junction = getattr(state, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
    if stat.S_ISLNK(state.st_mode) or junction:
        what = "a link: it would lead kling_notebook out of the folder"
    elif not expected:
        what = "not the kind of file that belongs there"
    else:
        return
    raise SettingsError(f"{path} is {what}. Nothing was sent. Remove it if the folder is yours. {_WAY_OUT}")


def check_writable(folder: Path) -> None:
    """Raise SettingsError unless what is paid for can be written: images, their thumbnails, what is not an image."""
    for place in (folder, thumbnails(folder), unsaved(folder)):
        try:
            tempfile.TemporaryFile(dir=next(path for path in (place, *place.parents) if path.exists())).close()
        except OSError as error:
            raise SettingsError(f"{place} cannot be written ({error.strerror}). Nothing was sent. {_WAY_OUT}") from None


_file = partial(_place, is_folder=False)
journal = partial(_file, name=JOURNAL)
# What a recovery writes before it gets the journal's name.
new_journal = partial(_file, name="journal.new")
# A file that says: damage was seen in the journal, look through all of it when it is next opened.
damage_seen = partial(_file, name="damage-seen")
recovery_lock = partial(_file, name="recovery.lock")
planning_lock = partial(_file, name="planning.lock")
thumbnails = partial(_place, name="thumbnails")
# The last bytes of images that could not be kept, until their jobs are dismissed.
unsaved = partial(_place, name="unsaved")
locks = partial(_place, name="locks")


def put_aside(folder: Path, why: str) -> Path:
    """A name that is free for a journal that is kept and not used any more."""
    return _file(folder, f"journal.{why}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.sqlite3")


def sandbox_state(folder: Path) -> Path:
    _place(folder, "sandbox_sources")
    return _file(folder, "sandbox.json")


def lock(folder: Path, session: str) -> Path:
    """The lock file of a session, which is removed when the session is dead: so its id must be one of this package."""
    if not SESSION_ID.fullmatch(session):
        raise SettingsError(f"{session[:40]!r} is not the id of a session.")
    return _file(folder, f"locks/{session}.lock")


def locked_sessions(folder: Path) -> list[str]:
    """The ids of the sessions that have a lock file."""
    return [path.stem for path in locks(folder).glob("*.lock") if SESSION_ID.fullmatch(path.stem)]


def source_name(digest: object, media_type: object) -> str | None:
    """The name of the copy of a source image that this hash identifies; None if it is not a hash."""
    known = isinstance(digest, str) and _SHA256.fullmatch(digest)
    return f"{str(digest)[:32]}{_ENDINGS.get(str(media_type), '.img')}" if known else None


def source(folder: Path, name: str) -> Path:
    """The copy of a source image, by its name."""
    if not _SOURCE_NAME.fullmatch(name):
        raise SettingsError(f"{name[:80]!r} is not the name of a source image.")
    return _file(folder, f"sources/{name}")


def source_of_label(folder: Path, label: str) -> Path | None:
    """The copy that a label names, wherever the folder was when it was named; None if it names something else."""
    return source(folder, found[1]) if (found := _SOURCE_LABEL.fullmatch(label)) else None


def source_label(name: str) -> str:
    """How a source image is named by its copy: relative, so that the folder can move and no notebook shows where it
    is."""
    return f"{HIDDEN}/sources/{name}"
