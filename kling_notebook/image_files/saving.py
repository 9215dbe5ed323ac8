"""An image on its way into the folder: to a temporary file, checked, with its metadata, and only then under its name.

What stands under an image's name arrived whole: a crash at any moment leaves the file or nothing, beside a temporary
that the next session removes.
"""

import contextlib
import errno
import hashlib
import os
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.address import letter_of
from ..api.errors import DownloadError, InputError
from ..api.event_log import log_suppressed, suppress
from . import containers, decode, decode_pool, metadata
from .file_kinds import HEAD, UNKNOWN, kind_of
from .regular_file import open_regular, write_whole
from .thumbnails import LARGE, Views, keep, previews

if TYPE_CHECKING:
    from PIL import Image


_TEMPORARY = re.compile(r"\.{1,2}[0-9]{4,9}[a-z]-[a-z0-9-]*[0-9a-f]{6}\.(?P<owner>[0-9a-f]{12})\.part")
_SLUG_LENGTH = 40
_SAME_NAMES = 1000

# Which views of an image the cache shall keep: thumbnails in pixels a side, and whether the large one too.
Wanted = tuple[Sequence[int], bool]


def file_stem(number: int, place: int, prompt: str, job_id: str) -> str:
    """A file name without its ending that is safe on every system: ``0012b-slug-of-the-prompt-3f9c1a``.

    Job number and letter come first, so that files sort as the jobs were made; six hex digits of the job id's hash make
    the name one of its own, so that folders can be copied into one another. No reply chooses a path.
    """
    mark = hashlib.sha256(job_id.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return "-".join(part for part in (f"{number:04d}{letter_of(place)}", _slug(prompt), mark) if part)


def open_image(path: Path, data: bytes | None = None) -> "Image.Image":
    """A saved image as a PIL image, decoded, the file closed; from ``data`` if its bytes are at hand.

    Raises:
        DownloadError: it cannot be read.
    """
    try:
        return decode_pool.run(lambda: decode.load(data or decode.read_bounded(path), as_it_is=True)[1])
    except decode.NotAnImageError as error:
        raise DownloadError(f"{path.name} cannot be opened: {error}.") from None
    except OSError as error:
        raise DownloadError(f"{path} cannot be read: {error.strerror or error}. Was it moved or deleted?") from None


def save(
    fetch: Callable[[Callable[[bytes], object]], object],
    folder: Path,
    stem: str,
    *,
    owner: str,
    recipe: Mapping[str, Any] | None,
    thumbnails: Path,
    unsaved: Path,
    thumbnail_sizes: Sequence[int] = (256,),
    alone: bool = False,
    last: bool = False,
    on_warning: Callable[[str], object],
) -> Path:
    """Fetch one image and put it in ``folder`` as ``stem`` with the ending that its bytes say; returns its path.

    What arrived whole is kept, whatever it is. Its metadata is inside the file, or in a JSON file beside it if the
    file is signed or cannot be edited.

    Args:
        fetch: called once with a function that takes the body in pieces; what it raises is passed on.
        owner: the session's id, part of the temporary's name. recipe: the metadata; None leaves it out.
        thumbnails: the folder of the cache. unsaved: the folder for bytes that are not an image, kept if this was the
            ``last`` attempt. thumbnail_sizes: what to keep there, in pixels a side. alone: keep the
            large view too, for an image shown by itself.
        last: it will not be fetched again; what may be damaged is then kept too.
        on_warning: told that the metadata could not be written.

    A file of that name that is the same image is kept; if it is another one, a number is added to the name.

    Raises:
        DownloadError: no image came, or it cannot be written; ``final`` if fetching it again would not help.
    """
    temporary = folder / f".{stem}.{owner}.part"
    try:
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            _fetch_into(temporary, fetch, folder)
            ending, views, left_out = decode_pool.run(
                _check_and_add_metadata, temporary, recipe, (thumbnail_sizes, alone), last
            )
        except (decode.NotAnImageError, DownloadError) as error:
            raise _refused(error, temporary, unsaved / stem, last) from error.__cause__
        with _disk(folder):
            _sync(temporary, os.O_RDWR)
            target = _put(temporary, folder, stem, ending)
            with suppress(OSError):  # Windows opens no folders, and needs none of it
                _sync(folder, os.O_RDONLY)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    if recipe is not None and left_out is not None:
        _write_beside(target, recipe, left_out, on_warning)
    forget_unsaved(unsaved, stem)
    keep(target, thumbnails, views)
    return target


def is_saved_image(path: Path) -> bool:
    """Whether a file that was paid for stands at ``path``, as far as its first bytes tell: not an emptied file."""
    try:
        with open_regular(path) as file:
            kind = kind_of(file.read(HEAD))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError as error:  # it cannot be read just now, which is not a reason to pay again; a pipe never can
        return error.errno != errno.EINVAL
    return kind.kept and (kind is not UNKNOWN or path.suffix == UNKNOWN.ending)


def find(folder: Path, stem: str) -> Path | None:
    """What was saved whole as ``stem`` earlier, for a session that was killed between the rename and its record."""
    for path in sorted(folder.glob(f"{stem}.*")):
        with suppress(OSError, decode.NotAnImageError):
            if path.suffix != metadata.BESIDE and is_saved_image(path):
                decode_pool.run(_check_whole, path)
                return path
    return None


def _check_whole(path: Path) -> None:
    data = decode.read_bounded(path)
    if kind_of(data).media_type in decode.FORMATS:  # other kinds were kept as they came
        decode.decode(data, 1, lenient=False)


def forget_unsaved(unsaved: Path, stem: str) -> None:
    """Remove what `save` left of an image that could not be kept: it came after all, or its job was dismissed."""
    for path in unsaved.glob(f"{stem}.*"):
        with suppress(OSError):
            path.unlink()


def remove_temporaries(folder: Path, *, living: set[str]) -> None:
    """Remove what crashed sessions left half-fetched.

    Files of the sessions in ``living`` stay. Files that are not named exactly as ours are never touched.
    """
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if (found := _TEMPORARY.fullmatch(path.name)) and found["owner"] not in living:
                with suppress(OSError):  # that one stays, the others go all the same
                    path.unlink()


def _fetch_into(temporary: Path, fetch: Callable[[Callable[[bytes], object]], object], folder: Path) -> None:
    """Stream the body to the temporary, at most 64 MB."""

    def write(piece: bytes) -> None:
        size = file.tell() + len(piece)
        if size > decode.MOST_BYTES:
            raise DownloadError("The image is larger than 64 MB and was refused.", final=True, too_large=size)
        with _disk(folder):  # here, so that no client takes a full disk for a broken connection
            file.write(piece)

    with _disk(folder), temporary.open("wb") as file:
        fetch(write)


def _check_and_add_metadata(
    temporary: Path, recipe: Mapping[str, Any] | None, wanted: Wanted, last: bool
) -> tuple[str, Views, str | None]:
    """Check the temporary, put the metadata into it, and make its views. Returns the file's ending, the views, and why
    the metadata is not inside: "" for no fault, None if it is.

    What is decoded is the file with its metadata: one decoding tells that the image is whole and that it still is
    with the metadata. If that fails, the bytes that came are looked at by themselves.
    """
    with _disk(temporary.parent), open_regular(temporary) as file:
        kind = kind_of(file.read(HEAD))
    if kind.media_type not in decode.FORMATS:
        whole = kind.kept and not containers.is_cut_short(_read(temporary))
        if not whole or (kind is UNKNOWN and not last):
            raise decode.NotAnImageError(f"it is {kind.name}{', cut short' * (kind.kept and not whole)}", whole=whole)
        return kind.ending, {}, ""
    reason = ""
    if recipe is not None:
        try:
            return kind.ending, _with_metadata(temporary, recipe, wanted), None
        except metadata.NotEditedError:
            pass
        except Exception as error:
            reason = str(error) if isinstance(error, (InputError, decode.NotAnImageError)) else repr(error)
    try:
        return kind.ending, _views(_read(temporary), *wanted, lenient=last), reason
    except decode.NotAnImageError as error:
        if error.final or not (error.whole and last):
            raise
        return kind.ending, {}, reason


def _with_metadata(temporary: Path, recipe: Mapping[str, Any], wanted: Wanted) -> Views:
    """Replace the temporary by itself with its metadata. Whatever is raised, the temporary is as it was."""
    edited = metadata.splice(_read(temporary), recipe)
    views = _views(edited, *wanted, lenient=False)
    # The name is one that `remove_temporaries` knows.
    write_whole(temporary, edited, temporary.with_name(f".{temporary.name}"))
    return views


def _views(data: bytes, sizes: Sequence[int], alone: bool, *, lenient: bool) -> Views:
    facts, reduced = decode.decode(data, max(*sizes, LARGE if alone else 0), lenient=lenient)
    return previews(reduced, facts, sizes, alone)


def _write_beside(target: Path, recipe: Mapping[str, Any], reason: str, on_warning: Callable[[str], object]) -> None:
    """The metadata in a file of its own. A warning if it should have been inside the image, or cannot be written."""
    try:
        beside = metadata.write_beside(target, recipe)
        text = f"The metadata of {target.name} is in {beside.name} beside it: {reason}" if reason else ""
    except (OSError, ValueError) as error:
        text = f"{target.name} was saved without its metadata: {reason or error}"
    with suppress(Exception):
        if text:
            on_warning(text)


def _refused(
    error: decode.NotAnImageError | DownloadError, temporary: Path, unsaved: Path, last: bool
) -> DownloadError:
    """The error to raise. The bytes of the last attempt are put aside: they may be all there will ever be."""
    refusal = (
        error
        if isinstance(error, DownloadError)
        else DownloadError(f"What came is not an image that can be kept: {error}.", final=error.final)
    )
    if (last and not refusal.final) or (isinstance(error, decode.NotAnImageError) and error.final):
        with suppress(OSError):
            if (size := temporary.stat().st_size) > 0:
                refusal.too_large = size if refusal.final else 0
                with temporary.open("rb") as file:
                    kept = unsaved.with_name(unsaved.name + kind_of(file.read(HEAD)).ending)
                kept.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(kept)
                refusal.args = (f"{refusal} What came is kept as {kept.relative_to(kept.parents[2])}.",)
    return refusal


def _read(temporary: Path) -> bytes:
    with _disk(temporary.parent):
        return decode.read_bounded(temporary)


def _put(temporary: Path, folder: Path, stem: str, ending: str) -> Path:
    """Give the temporary its name without ever taking the name from another image."""
    for attempt in range(1, _SAME_NAMES):
        target = folder / (f"{stem}{ending}" if attempt == 1 else f"{stem}-{attempt}{ending}")
        if _claim(temporary, target) or _same_image(temporary, target):
            return target
    raise OSError(errno.EEXIST, f"a thousand files are named {stem}")


def _claim(temporary: Path, target: Path) -> bool:
    """True where the file now has that name. A hard link fails where the name is taken, in one step."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:  # a file system without hard links
        log_suppressed(__name__, error)
        if os.path.lexists(target):
            return False
        temporary.replace(target)
    return True


def _same_image(temporary: Path, target: Path) -> bool:
    def same() -> bool:
        one, other = decode.read_bounded(target), decode.read_bounded(temporary)
        return one == other or containers.same_pixel_data(one, other)

    with suppress(OSError, ValueError):
        return decode_pool.run(same)
    return False


def _sync(path: Path, flags: int) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # file systems that know no fsync
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"The image cannot be written in {folder}: {error.strerror or error}. Make the folder writable"
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG):
            text = f"There is no space left for the image in {folder}. Free some space"
        raise DownloadError(f"{text}, then %kling resume fetches it.", final=True) from error


def _slug(prompt: str) -> str:
    plain = unicodedata.normalize("NFKD", prompt[:400]).encode("ascii", "ignore").decode("ascii").lower()
    words = re.sub(r"[^a-z0-9]+", " ", plain).strip()
    short = textwrap.shorten(words, _SLUG_LENGTH, placeholder="") or words[:_SLUG_LENGTH]
    return short.replace(" ", "-")
