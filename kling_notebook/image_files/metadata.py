"""The recipe inside the file: what an image was made from, as ASCII JSON in EXIF's ImageDescription.

One payload in one tag for PNG, JPEG and WebP, put in by editing the container: the pixels are never coded anew. Files
that are signed, or of another kind, stay byte for byte; their recipe is in a JSON file beside them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..api.errors import InputError
from ..api.event_log import suppress
from ..api.generation_request import GenerationRequest, SourceImage
from ..api.parameters import path_from
from . import containers, decode, exif
from .regular_file import open_regular, write_whole

FORMAT = "kling_notebook recipe"
VERSION = 1
# The ending of the file beside an image that holds its recipe.
BESIDE = ".json"

# A JPEG segment ends at 65 535 bytes, and other tags need space too.
MOST_BYTES = 60_000

_LONG_EXTRA = 2_000
_MOST_BESIDE = 1_000_000


class NotEditedError(InputError):
    """The file is signed, so that any change would make the signature invalid, or it is of another kind."""


def build(
    *,
    request: GenerationRequest,
    backend: str,
    created_at: float,
    job_id: str | None = None,
    number: int | None = None,
    image: int | None = None,
    credits: float | None = None,
) -> dict[str, Any]:
    """What will stand in the file. Holds no key, no path of this machine and no image's bytes.

    Args:
        created_at: epoch seconds. number: the job's number in its folder. image: its place in the result, from 0.
        credits: what the whole job cost, as the service reported.

    A source image is kept as its hash (or its URL without what may be a secret in it), a long ``extra`` as a hash.
    A recipe that is too long all the same is refused by `splice`, never here.
    """
    parameters = {name: value for name, value in request.values.items() if name != "prompt"}
    parameters |= {name: _source(source) for name, source in request.sources.items()}
    extra = request.extra
    recipe: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "prompt": request.values["prompt"],
        "parameters": parameters,
        "extra": _hashed(extra) if len(json.dumps(extra)) > _LONG_EXTRA else extra,
        "sample": request.sample,
        "model": request.model,
        "backend": backend,
        "job_id": job_id,
        "number": number,
        "image": image,
        "created": datetime.fromtimestamp(created_at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "credits": credits,
        "software": _software(),
    }
    if request.draw:
        recipe["draw"] = request.draw
    if extra and len(json.dumps(recipe)) > MOST_BYTES:
        recipe["extra"] = _hashed(extra)
    return recipe


def splice(data: bytes, recipe: Mapping[str, Any]) -> bytes:
    """The image's file with the recipe in it; the coded pixels are the same bytes as before.

    Raises:
        NotEditedError: the file is signed. InputError: the recipe is too long, or the file cannot be edited. Keep the
            file as it is then.
    """
    text = json.dumps(dict(recipe), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    if len(text) > MOST_BYTES:
        raise InputError(f"The recipe has {len(text)} bytes; an image's file has space for {MOST_BYTES}.")
    try:
        if not containers.may_be_edited(data):
            raise NotEditedError("The file is signed, or of a kind that is not edited.")
        spliced = containers.write_exif(data, exif.with_description(containers.read_exif(data), text))
        same = containers.same_pixel_data(spliced, data) and containers.facts(spliced) == containers.facts(data)
        if not same or read(spliced) != json.loads(text):
            raise InputError("The recipe did not read back from the image's file.")
    except containers.BrokenContainerError as error:
        raise InputError(f"The recipe cannot be put into the image's file: {error}.") from None
    return spliced


def write_beside(path: Path, recipe: Mapping[str, Any]) -> Path:
    """Write the recipe of the image at ``path`` into a file beside it, which is returned."""
    beside = path.with_suffix(BESIDE)
    write_whole(beside, (json.dumps(dict(recipe), allow_nan=False, indent=2) + "\n").encode("ascii"))
    return beside


def copy_beside(path: Path, copy: Path) -> None:
    """Give a copy of an image the file beside it, if there is one."""
    if (recipe := _beside(path)) is not None:
        write_beside(copy, recipe)


def read(source: Any) -> dict[str, Any]:
    """The recipe of an image, from its path or its bytes: inside the file, or in the file beside it.

    Raises:
        InputError: there is no such file, or it carries no recipe.
    """
    name = "The image" if isinstance(source, bytes) else str(source)
    path: Path | None = None
    data = source if isinstance(source, bytes) else _file(path := path_from(source, "path"))
    failure = "carries no recipe of kling_notebook. Programs that save an image anew often drop it"
    recipe = None
    try:
        recipe = _parsed(exif.read_description(containers.read_exif(data) or b""))
    except containers.BrokenContainerError as error:
        failure = f"cannot be read: {error}"
    except exif.BrokenExifError:
        pass
    recipe = recipe or (_beside(path) if path is not None else None)
    if recipe is None:
        raise InputError(f"{name} {failure}.", parameter="path")
    return recipe


def request_of(recipe: Mapping[str, Any]) -> GenerationRequest:
    """The request that a recipe tells of. A hashed ``extra`` is left out; a source image's bytes are not at hand.

    Raises:
        InputError: the recipe does not hold a request.
    """
    try:
        values = {**recipe["parameters"], "prompt": recipe["prompt"]}
        extra = recipe.get("extra") or {}
        kept = {} if set(extra) == {"sha256", "bytes"} else extra
        what = {"values": values, "extra": kept, "sample": recipe.get("sample"), "model": recipe["model"]}
        return GenerationRequest.from_json(what)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"The recipe does not hold a request: {error!r}.", parameter="path") from None


def _beside(image: Path) -> dict[str, Any] | None:
    """The recipe beside an image; of a link also beside the file that it leads to."""
    for path in (image, Path(os.path.realpath(image))):
        with suppress(OSError, ValueError), open_regular(path.with_suffix(BESIDE), follow=False) as file:
            return _parsed(file.read(_MOST_BESIDE).decode("utf-8"), _MOST_BESIDE)
    return None


def _file(path: Path) -> bytes:
    try:
        return decode.read_bounded(path)
    except (OSError, ValueError) as error:  # ValueError for a NUL in the path, and above 64 MB
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}.", parameter="path") from None


def _parsed(text: str | None, most: int = MOST_BYTES) -> dict[str, Any] | None:
    if not text or len(text) > most:
        return None
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError):  # the second for ten thousand opening brackets
        return None
    return recipe if isinstance(recipe, dict) and recipe.get("format") == FORMAT else None


@cache
def _software() -> str:
    try:
        return f"kling_notebook {metadata.version('kling-notebook')}"
    except metadata.PackageNotFoundError:  # run from a folder, not installed
        return "kling_notebook"


def _hashed(extra: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(extra, sort_keys=True).encode("ascii")
    return {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}


def _source(source: SourceImage) -> dict[str, Any]:
    """A source image for a file that travels: no folder of this machine, no signed query, no bytes."""
    url, sha256 = source.url, source.sha256
    if url:
        split = urlsplit(url)
        bare = urlunsplit((split.scheme, split.netloc.rpartition("@")[2], split.path, "", ""))
        if split.scheme not in ("http", "https") or bare != url:
            sha256 = hashlib.sha256(url.encode()).hexdigest()
        url = bare if split.scheme in ("http", "https") else None
    inline = source.url is not None and url is None
    label = "data URL" if inline else url or PureWindowsPath(source.label).name[:80]  # it knows both kinds of slash
    kept = {"label": label, "url": url, "sha256": sha256, "media_type": source.media_type}
    return kept | ({"pixels": source.pixels} if source.pixels else {})
