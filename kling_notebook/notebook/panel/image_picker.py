"""The image well: where a source image for image to image comes from, and what is wrong with it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ...api.errors import InputError, KlingError
from ...api.event_log import suppress
from ...api.generation_request import SourceImage
from ...image_files import thumbnails
from ...journal import layout
from ...session.session import Session
from ...view.markup import image_source, tag
from .widgets import Toolkit, column, labeled, row, say, shown, text_html

SIDE = 56  # of the preview, in CSS pixels: with an image, too, Generate stands on the first screen of a small laptop


class ImagePicker:
    """A field for paths, URLs and addresses, an upload, and a preview.

    Args:
        changed: called when another image is chosen.
    """

    def __init__(self, kit: Toolkit, changed: Callable[[], object]) -> None:
        self._kit = kit
        self._changed = changed
        self._chosen: SourceImage | InputError | None = None  # loaded or uploaded; if there is none the text decides
        self._key: object = None
        self._found: SourceImage | InputError | None = None
        self.text = labeled(
            widgets.Text,
            "Start from an image",
            placeholder="a path, a URL, or an image's address such as 12b",
            continuous_update=False,
        )
        self.upload = widgets.FileUpload(
            accept="image/png,image/jpeg,image/webp",
            description="Upload an image",
            tooltip="PNG, JPEG or WebP, at most 10 MB, at least 300 pixels a side",
        ).add_class("kling-button")
        self.remove = kit.button("Remove image", self.clear, tooltip="Use no source image")
        self.preview = kit.html()
        # Announced beforehand: many Jupyter servers drop a longer message, and then no reason can reach the page.
        limits = kit.html(text_html("PNG, JPEG or WebP, up to 10 MB", "muted"), look="kling-wide")
        self.view = column(self.text, row(self.upload, self.remove, limits, self.preview), gap="6px")
        kit.watch(self.text, self._typed)
        kit.watch(self.upload, self._uploaded)
        shown(self.remove, False)

    def load(self, value: Any) -> None:
        """A source image of the journal, a path, URL, address, or None. Notifies nothing."""
        self._set(value if isinstance(value, SourceImage) else None, str(getattr(value, "label", value) or ""))

    def clear(self) -> None:
        self.text.value = ""

    def forget(self) -> None:
        """Read the image anew when it is next asked for: a file may have changed."""
        self._key = None

    def resolve(self) -> SourceImage | None:
        """The chosen image, read once.

        Raises:
            InputError: it cannot be used; the message says why.
        """
        session = self._kit.session()
        # Of the folder too: the address 12b means another image after a reconnect.
        key = (session.folder, self._chosen, self.text.value.strip())
        if key != self._key:
            self._key, self._found = key, self._resolved(session)
            shown(self.remove, bool(self.text.value))
            say(self.preview, self._preview(self._found, session))
        if isinstance(self._found, InputError):
            raise self._found
        return self._found

    def _resolved(self, session: Session) -> SourceImage | InputError | None:
        text = self.text.value.strip()
        if self._chosen is not None or not text:
            return self._chosen
        try:
            return session.workspace.attachments.resolve(text)
        except InputError as error:
            error.parameter = "image"  # also if it is about a job that does not exist
            return error

    def _uploaded(self) -> None:
        files = self.upload.value
        with self._kit.silently():
            self.upload.value = ()  # else the bytes travel to every page that is loaded
        for file in files:  # one; none if a page has cleared it
            self._set(self._of_upload(file["name"], bytes(file["content"])), f"uploaded: {file['name']}")
            self._changed()

    def _of_upload(self, name: str, data: bytes) -> SourceImage | InputError | None:
        attachments = self._kit.session().workspace.attachments
        try:
            if (source := attachments.resolve(data)) is not None:
                attachments.keep(source)  # so that the code shown names a file that is there
            return source
        except InputError as error:
            # By its own name: several files may have been tried.
            message = re.sub(r"^The source image", lambda _: name, str(error))
            return InputError(f"{message} Or remove it.", parameter="image")

    def _typed(self) -> None:
        self._chosen = None
        self._changed()

    def _set(self, chosen: SourceImage | InputError | None, text: str) -> None:
        self._chosen = chosen
        with self._kit.silently():
            self.text.value = text

    def _preview(self, source: object, session: Session) -> str:
        """A small image of it; nothing for a URL, for one of the journal whose copy is gone, or if there is none."""
        with suppress(KlingError):
            if isinstance(source, SourceImage) and (data := session.workspace.attachments.load(source).data):
                style = f"display: block; max-width: {2 * SIDE}px; max-height: {SIDE}px; border-radius: 4px"
                cache = layout.thumbnails(session.folder)
                jpeg, *_ = thumbnails.thumbnail(Path(source.label), cache, 2 * SIDE, data=data)
                return tag("img", src=image_source(jpeg), alt=f"source image {source.label}", style=style)
        return ""
