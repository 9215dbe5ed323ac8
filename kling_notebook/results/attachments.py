"""Source images for image to image: from whatever the user has at hand to a value a request can hold."""

import base64
import os
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..api import url_policy
from ..api.address import parse_address, place_of
from ..api.errors import InputError
from ..api.event_log import suppress
from ..api.generation_request import SourceImage
from ..api.parameters import path_from
from ..image_files import saving
from ..image_files.source_images import is_loadable, known_by_pixels, source_of
from ..journal import layout
from ..journal.source_copies import copy_of, named_by_copy
from .handle import JobHandle
from .result import SavedImage, leads_out

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://.*", re.DOTALL)
_LAST = re.compile(r"last([a-z])?")


@dataclass(frozen=True, slots=True)
class Attachments:
    """Resolves ``image=`` and keeps a copy of each source that was used, so that the request can be made again.

    Args:
        folder: where the session works. image: finds a saved image by (number or job id, place); None means the latest.
        base_url: the service's address, which has to reach the URLs of source images; "" for the sandbox.
    """

    folder: Path
    image: Callable[[Any, int], SavedImage]
    base_url: str = ""

    def resolve(self, value: Any) -> SourceImage | None:
        """The source image meant by a path, URL, data URL, address (``12b``), ``last``, ``lastb``, bytes, open file,
        PIL image, NumPy array, SavedImage or completed handle.

        Raises:
            InputError: it is not a usable image (png, jpeg or webp, at most 10 MB, 300 px or more a side, ratio 0.4
                to 2.5), or it cannot be found.
        """
        if value is None or isinstance(value, SourceImage):
            return value
        if isinstance(value, str):
            return self._of_text(value.strip())
        # A str may be an address or a URL; a Path is always a file, so Path("12b") is that file.
        if isinstance(value, os.PathLike):
            return source_of(path_from(value, "image"), os.fspath(value))
        if is_loadable(value):
            return named_by_copy(source_of(value))
        return self._of_image(value if isinstance(value, SavedImage) else _only_image(value))

    def _of_text(self, text: str) -> SourceImage:
        if text.lower().startswith(("https://", "http://")):
            if self.base_url and (why := url_policy.why_out_of_reach(text, self.base_url)) is not None:
                raise InputError(
                    f"The service cannot fetch the source image: {why}. Save it and give its path.", parameter="image"
                )
            return SourceImage(text, text)
        if text.lower().startswith("data:"):
            return named_by_copy(source_of(_data_of(text)))
        if not text:
            raise InputError(
                "image is empty. Give a path, a URL or an address such as 12b, or leave it out.", parameter="image"
            )
        if found := _SCHEME.fullmatch(text):
            raise InputError(
                f"image is a URL of {found[1]}; only http and https work. Save the image and give its path.",
                parameter="image",
            )
        # Before files: an address is what captions show. A file of that name is reached as ./12b.
        if address := parse_address(text):
            return self._of_image(self.image(*address))
        if found := _LAST.fullmatch(text):
            return self._of_image(self.image(None, place_of(found[1] or "a")))
        copy = layout.source_of_label(self.folder, text)
        if copy is not None and copy.exists():
            source = source_of(copy, text)
            # Copies of what was in memory are named by their pixels: Pillow may write other bytes tomorrow.
            by_bytes = str(source.sha256).startswith(copy.stem)
            return named_by_copy(source if by_bytes else known_by_pixels(source))
        return source_of(Path(text), text)

    def _of_image(self, image: SavedImage) -> SourceImage:
        """An image of this folder by its address. One of another folder by its copy: its address would mean another
        image here."""
        here = image.path.parent == self.folder
        if not saving.is_saved_image(image.path):
            name = image.address if here else image.path.name
            way = f"; `%kling resume {image.number}` asks for it again." if here else ". Was it moved or deleted?"
            raise InputError(f"{name} is not here any more{way}", parameter="image")
        if leads_out(image.path):
            raise InputError(
                f"{image.path} is a link to a file outside of its folder, and was not sent. Give the path of that "
                "file if you mean it.",
                parameter="image",
            )
        source = source_of(image.path, image.address)
        return source if here else named_by_copy(source)

    def keep(self, source: SourceImage) -> None:
        """Keep the bytes beside the journal, once per content."""
        copy = copy_of(source, self.folder) if source.data is not None else None
        if source.data is None or copy is None or copy.exists():
            return
        copy.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first: two sessions may keep the same image, and a copy must never be half written.
        temporary = copy.with_suffix(f".{secrets.token_hex(6)}.part")
        try:
            temporary.write_bytes(source.data)
            temporary.replace(copy)
        finally:
            temporary.unlink(missing_ok=True)

    def load(self, source: SourceImage) -> SourceImage:
        """A source from the journal with its bytes at hand again, where they were kept."""
        copy = copy_of(source, self.folder) if not source.url and source.data is None else None
        if copy is None or not copy.exists():
            return source
        # The copy is read by the hash it is named by: a changed one would be sent in place of what was asked for.
        kept = source_of(copy, source.label)
        if (known_by_pixels(kept) if source.pixels else kept).identity != source.identity:
            raise InputError(f"{copy} is not the source image any more. Give the image again.", parameter="image")
        return replace(source, data=kept.data)


def _data_of(url: str) -> bytes:
    head, _, body = url.partition(",")
    with suppress(ValueError):
        if head.lower().endswith(";base64"):
            return base64.b64decode(body, validate=True)
    raise InputError("image is a data URL that is not base64. Give a path instead.", parameter="image")


def _only_image(value: Any) -> SavedImage:
    """The image meant by a Result, a handle or a list: its only one."""
    if isinstance(value, JobHandle):
        if not value.done() or value.failed is not None:
            what = (
                f"has no image: {value.failed}" if value.done() else f"is not completed yet: it is {value.status.value}"
            )
            raise InputError(f"Job {value.number} {what}. Wait for it with NAME.result().", parameter="image")
        value = value.result()
    found = [item for item in value if isinstance(item, SavedImage)] if isinstance(value, Iterable) else []
    if len(found) == 1:
        return found[0]
    if found:
        which = ", ".join(image.address for image in found[:3])
        raise InputError(f"image holds {len(found)} images. Say which: {which}, ...", parameter="image")
    raise InputError(
        f"image cannot be of the type {type(value).__name__}. "
        "Give a path, a URL, an address such as 12b, a PIL image or an image of a result.",
        parameter="image",
    )
