"""An image on its way into the folder: to a temporary file, checked, with its recipe, and only then under its name.

What stands under an image's name is always a whole image: a crash at any moment leaves the file or nothing, beside
a temporary that the next session removes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.address import letter_of
from ..api.errors import DownloadError, InputError
from . import containers, decode, decode_pool, metadata
from .thumbnails import LARGE, keep, previews

if TYPE_CHECKING:
    from PIL import Image


_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.(?P<owner>[A-Za-z0-9_-]{1,64})\.part")
_SLUG_LENGTH = 40
_STRANGE_TEMPORARY_AGE = 3600.0
_SAME_NAMES = 1000

Wanted = tuple[Sequence[int], bool]
"""Which views of an image the cache shall keep: thumbnails in pixels a side, and whether the large one too."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One image in the folder. ``width`` and ``height`` in pixels, ``bytes`` the file's size."""

    path: Path
    width: int
    height: int
    media_type: str
    bytes: int


def file_stem(number: int, place: int, prompt: str, job_id: str) -> str:
    """A file name without its ending that is safe on every system: ``0012b-slug-of-the-prompt-3f9c1a``.

    Job number and letter come first, so that files sort as the jobs were made; six hex digits of the job id's hash make
    the name one of its own, so that folders can be copied into one another. No reply chooses a path.
    """
    mark = hashlib.sha256(job_id.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return "-".join(part for part in (f"{number:04d}{letter_of(place)}", _slug(prompt), mark) if part)


def check(path: Path) -> tuple[containers.MediaType, int, int]:
    """Media type, width and height of a file that is a whole image, decoded to its last pixel.

    Raises:
        DownloadError: it is not a PNG, JPEG or WebP image, is cut short or damaged, or has above 50 million pixels.
    """
    try:
        facts, _ = decode_pool.run(lambda: decode.decode(decode.read_bounded(path), 1))
    except decode.NotAnImageError as error:
        raise _no_image(error) from None
    except OSError as error:
        raise DownloadError(f"{path} cannot be read: {error.strerror or error}.") from error
    return facts.media_type, facts.width, facts.height


def open_image(path: Path) -> Image.Image:
    """A saved image as a PIL image, decoded, the file closed. Raises DownloadError where it cannot be read."""
    try:
        return decode_pool.run(lambda: decode.whole(decode.read_bounded(path)))
    except decode.NotAnImageError as error:
        raise DownloadError(f"{path} can no longer be opened: {error}.") from None
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
    thumbnail_sizes: Sequence[int] = (256,),
    alone: bool = False,
    on_warning: Callable[[str], object],
) -> Saved:
    """Fetch one image and put it in ``folder`` as ``stem`` with the ending that its bytes say.

    Args:
        fetch: called once with a function that takes the body in pieces; what it raises is passed on.
        owner: the session's id, part of the temporary's name. recipe: None leaves it out.
        thumbnails: the folder of the cache. thumbnail_sizes: what to keep there, in pixels a side. alone: keep the
            large view too, for an image shown by itself.
        on_warning: told where the recipe had to be left out.

    A file of that name that is the same image is kept; where it is another one, a number is added to the name.

    Raises:
        DownloadError: no image came, or it cannot be written; ``final`` where fetching it again would not help.
            The temporary is gone.
    """
    temporary = folder / f".{stem}.{_safe(owner)}.part"
    try:
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        _fetch_into(temporary, fetch, folder)
        facts, views = decode_pool.run(_checked_with_recipe, temporary, recipe, (thumbnail_sizes, alone), on_warning)
        with _disk(folder):
            _sync(temporary)
            target = _put(temporary, folder, stem, containers.ENDINGS[facts.media_type])
            sync_folder(folder)
            size = target.stat().st_size
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    keep(target, thumbnails, views)
    return Saved(target, facts.width, facts.height, facts.media_type, size)


def is_saved_image(path: Path) -> bool:
    """Whether an image stands at ``path``, as far as its first bytes say: an emptied file is none."""
    try:
        with path.open("rb") as file:
            return containers.media_type(file.read(16)) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it cannot be read just now, which is not a reason to pay again
        return True


def find(folder: Path, stem: str) -> Path | None:
    """A whole image saved as ``stem`` earlier, for a session that was killed between the rename and its record."""
    for ending in containers.ENDINGS.values():
        path = folder / f"{stem}{ending}"
        with contextlib.suppress(DownloadError):
            if path.is_file() and check(path):
                return path
    return None


def remove_temporaries(folder: Path, *, living: set[str]) -> int:
    """Remove what crashed sessions left half-fetched; how many files that were.

    Files of the sessions in ``living`` stay, those of other sessions go at once. Those whose owner cannot be told go
    when they are an hour old. Files that are not named like ours are never touched.
    """
    tags = {_safe(owner) for owner in living}
    removed = 0
    try:
        candidates = [path for path in folder.iterdir() if path.name.startswith(".") and path.name.endswith(".part")]
    except OSError:
        return 0
    for path in candidates:
        ours = _TEMPORARY.fullmatch(path.name)
        with contextlib.suppress(OSError):
            left = ours["owner"] not in tags if ours else _age(path) > _STRANGE_TEMPORARY_AGE
            if left:
                path.unlink()
                removed += 1
    return removed


def _fetch_into(temporary: Path, fetch: Callable[[Callable[[bytes], object]], object], folder: Path) -> None:
    """Stream the body to the temporary, at most 64 MB. A full disk is told as such, whatever ``fetch`` makes of it."""
    trouble: list[DownloadError] = []
    written = 0

    def write(piece: bytes) -> None:
        nonlocal written
        written += len(piece)
        try:
            if written > decode.MOST_BYTES:
                raise DownloadError("The image is larger than 64 MB and was refused.", final=True)
            with _disk(folder):
                file.write(piece)
        except DownloadError as error:
            trouble.append(error)
            raise

    with _disk(folder):
        file = temporary.open("wb")
    try:
        fetch(write)
    except Exception:
        if trouble:
            raise trouble[0] from trouble[0].__cause__
        raise
    finally:
        with _disk(folder):
            file.close()
    if trouble:
        raise trouble[0]


def _checked_with_recipe(
    temporary: Path, recipe: Mapping[str, Any] | None, wanted: Wanted, on_warning: Callable[[str], object]
) -> tuple[containers.Facts, Mapping[str, bytes]]:
    """Check the temporary, put the recipe into it, and make its views. Facts, and JPEGs as `previews` gives them.

    What is decoded is the file with its recipe in it: one decoding tells that the image is whole and that it still
    is with the recipe. Where that fails, the bytes that came are looked at by themselves.
    """
    if recipe is not None:
        try:
            return _with_recipe(temporary, recipe, wanted)
        except Exception as error:
            reason = str(error) if isinstance(error, (InputError, decode.NotAnImageError)) else repr(error)
    try:
        result = _decoded(_read(temporary), *wanted)
    except decode.NotAnImageError as error:
        raise _no_image(error) from None
    if recipe is not None:
        with contextlib.suppress(Exception):
            on_warning(f"The image was saved without its recipe: {reason}")
    return result


def _with_recipe(
    temporary: Path, recipe: Mapping[str, Any], wanted: Wanted
) -> tuple[containers.Facts, Mapping[str, bytes]]:
    """Replace the temporary by itself with its recipe. Whatever is raised, the temporary is as it was."""
    data = _read(temporary)
    spliced = metadata.splice(data, recipe)
    del data
    result = _decoded(spliced, *wanted)
    second = temporary.with_name(f".{temporary.name}")
    try:
        second.write_bytes(spliced)
        second.replace(temporary)
    finally:
        second.unlink(missing_ok=True)
    return result


def _decoded(data: bytes, sizes: Sequence[int], alone: bool) -> tuple[containers.Facts, Mapping[str, bytes]]:
    facts, reduced = decode.decode(data, max(*sizes, LARGE if alone else 0))
    return facts, previews(reduced, facts, sizes, alone)


def _read(temporary: Path) -> bytes:
    with _disk(temporary.parent):
        return decode.read_bounded(temporary)


def _put(temporary: Path, folder: Path, stem: str, ending: str) -> Path:
    """Give the temporary its name without ever taking the name from another image."""
    for attempt in range(1, _SAME_NAMES):
        target = folder / (f"{stem}{ending}" if attempt == 1 else f"{stem}-{attempt}{ending}")
        try:
            if _claim(temporary, target) or _same_image(temporary, target):
                return target
        except FileExistsError:
            continue
    raise OSError(errno.EEXIST, f"a thousand files are named {stem}")


def _claim(temporary: Path, target: Path) -> bool:
    """True where the file now has that name. A hard link fails where the name is taken, in one step."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            return False
        temporary.replace(target)
    return True


def _same_image(temporary: Path, target: Path) -> bool:
    def same() -> bool:
        return containers.same_pixel_data(decode.read_bounded(target), decode.read_bounded(temporary))

    try:
        return decode_pool.run(same)
    except (OSError, ValueError):
        return False


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # file systems that know no fsync
                raise


def sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut. Windows opens no folders and needs none of it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _disk_error(error, folder) from error


def _disk_error(error: OSError, folder: Path) -> DownloadError:
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
    if full:
        return DownloadError(
            f"There is no space left for the image in {folder}. Free some space, then %kling resume fetches it.",
            final=True,
        )
    return DownloadError(
        f"The image cannot be written in {folder}: {error.strerror or error}. Make the folder writable, "
        "then %kling resume fetches it.",
        final=True,
    )


def _no_image(error: decode.NotAnImageError) -> DownloadError:
    return DownloadError(f"What came is not an image that can be kept: {error}.", final=error.final)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _safe(name: str) -> str:
    """The name itself where it is harmless, else a hash of it."""
    if _JOB_ID.fullmatch(name):
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _slug(prompt: str) -> str:
    plain = unicodedata.normalize("NFKD", prompt[:400]).encode("ascii", "ignore").decode("ascii").lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(words) <= _SLUG_LENGTH:
        return words
    cut = words[: _SLUG_LENGTH + 1]
    return (cut.rpartition("-")[0] or words[:_SLUG_LENGTH]).strip("-")
