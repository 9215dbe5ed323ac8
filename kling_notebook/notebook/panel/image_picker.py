"""The image well: where a source image for image to image comes from, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ...api.address import parse_address
from ...api.errors import InputError
from ...api.event_log import log_suppressed
from ...api.generation_request import GenerationRequest, SourceImage
from ...image_files import metadata, thumbnails
from ...journal import layout
from ...session.session import Session
from ...view.markup import bounded, image_source, tag
from .widgets import Toolkit, column, labeled, row, say, shown, text_html

SIDE = 96  # of the preview, in CSS pixels
LIMITS = "PNG, JPEG or WebP, up to 10 MB"
"""Announced beforehand: many Jupyter servers drop a longer message, and then no reason can reach the page."""
PLACEHOLDER = "a path, a URL, or an image's number such as 12b"


class ImagePicker:
    """A field for paths, URLs and addresses, an upload, a preview, and an offer where the image holds a recipe.

    Args:
        session: gives the current session. changed: called when another image is chosen. load: fills the form with
            a recipe's parameters.
    """

    def __init__(
        self,
        kit: Toolkit,
        session: Callable[[], Session],
        changed: Callable[[], object],
        load: Callable[..., object],
    ) -> None:
        self._session = session
        self._changed = changed
        self._load_form = load
        self._chosen: SourceImage | tuple[str, bytes] | None = None  # loaded, or a file's name and bytes; else the text
        self._read: tuple[Any, SourceImage | None, InputError | None] = (None, None, None)
        self._recipe: GenerationRequest | None = None
        self._setting = False
        self.text = labeled(widgets.Text, "Start from an image", placeholder=PLACEHOLDER, continuous_update=False)
        self.upload = widgets.FileUpload(
            accept="image/png,image/jpeg,image/webp",
            description="Upload an image",
            tooltip="PNG, JPEG or WebP, at most 10 MB, at least 300 pixels a side",
        ).add_class("kling-button")
        self.remove = kit.button("Remove image", self.clear, tooltip="Use no source image")
        self.load_recipe = kit.button("Load its recipe", self._use_recipe, tooltip="Fill the form with what made it")
        self.preview, self.offer = kit.html(), kit.html(look="kling-wide")
        self._offer_row = row(self.offer, self.load_recipe)
        self._remove_row = row(self.remove, width="auto")
        limits = kit.html(text_html(LIMITS, "muted"), look="kling-wide")
        self.view = column(
            self.text, row(self.upload, self._remove_row, limits), self.preview, self._offer_row, gap="6px"
        )
        kit.watch(self.text, self._typed)
        kit.watch(self.upload, self._uploaded)
        self._show()

    def load(self, value: Any) -> None:
        """A source image of the journal, a path, URL, address, or None. Notifies nothing."""
        self._set(value if isinstance(value, SourceImage) else None, str(getattr(value, "label", value) or ""))

    def clear(self) -> None:
        self._set(None, "")
        self._changed()

    def forget(self) -> None:
        """Read the image anew when it is next asked for: a file may have changed."""
        self._read = (None, None, None)

    def resolve(self) -> SourceImage | None:
        """The chosen image, read once.

        Raises:
            InputError: it cannot be used; the message says why.
        """
        session = self._session()
        key = (str(session.folder), self._chosen, self.text.value.strip())
        if key != self._read[0]:
            self._read = (key, *self._resolved(session))
            self._show()
        if self._read[2] is not None:
            raise self._read[2]
        return self._read[1]

    def _resolved(self, session: Session) -> tuple[SourceImage | None, InputError | None]:
        attachments, chosen = session.workspace.attachments, self._chosen
        text = self.text.value.strip()
        if isinstance(chosen, SourceImage):
            return chosen, None
        if not text:
            return None, None
        try:
            source = attachments.resolve(chosen[1] if chosen else text)
            if chosen and source is not None:
                attachments.keep(source)  # so that the code shown names a file that is there
            return source, None
        except InputError as error:
            if chosen is None:  # an address may name a job that is not there: the reason stands here all the same
                error.parameter = "image"
                return None, error
            message = re.sub(r"^The source image", lambda _: str(chosen[0]), str(error))
            return None, InputError(f"{message} Or remove it.", parameter="image")

    def _uploaded(self) -> None:
        if not self.upload.value:
            return
        file = self.upload.value[0]
        self._set((file["name"], bytes(file["content"])), f"uploaded: {file['name']}")
        self.upload.value = ()  # else the bytes travel to every page that is loaded
        self._changed()

    def _typed(self) -> None:
        if not self._setting:
            self._chosen = None
            self._changed()

    def _set(self, chosen: SourceImage | tuple[str, bytes] | None, text: str) -> None:
        self._setting, self._chosen = True, chosen
        self.text.value = text
        self._setting = False

    # ---- what it shows ----

    def _show(self) -> None:
        _, source, error = self._read
        shown(self._remove_row, bool(self.text.value))
        say(self.preview, self._preview(source) if source is not None else "")
        self._recipe = None if source is None or error is not None else self._recipe_of(source)
        shown(self._offer_row, self._recipe is not None)
        if self._recipe is not None:
            say(self.offer, text_html(f"It holds a recipe: {bounded(self._recipe.prompt, 60)}", "muted"))

    def _preview(self, source: SourceImage) -> str:
        try:
            session = self._session()
            if found := parse_address(source.label):
                jpeg = session.image(*found).tile().jpeg
            else:
                path = session.workspace.attachments.file(source)
                if path is None:
                    return ""
                jpeg, *_ = thumbnails.thumbnail(path, layout.thumbnails(session.folder), 256)
        except (
            Exception
        ) as error:  # a URL, or a file that went away: the image is used, there is only nothing to show of it
            log_suppressed(__name__, error)
            return ""
        style = f"display: block; max-width: {2 * SIDE}px; max-height: {SIDE}px; border-radius: 4px"
        return tag("img", src=image_source(jpeg), alt=f"source image {source.label}", style=style)

    def _recipe_of(self, source: SourceImage) -> GenerationRequest | None:
        """What made an uploaded or named image, where it says so; an address has its row in the history."""
        if source.data is None or parse_address(source.label):
            return None
        try:
            return metadata.request_of(metadata.read(source.data))
        except InputError:
            return None

    def _use_recipe(self) -> None:
        """Load what made the image; the image itself is then not the source any more, but its recipe's is."""
        recipe = self._recipe
        if recipe is not None:
            source = recipe.values["image"]
            kept = None if source is None else self._session().workspace.attachments.load(source)
            usable = kept if kept is not None and (kept.url or kept.data) else None
            self._load_form({**recipe.values, "image": usable}, extra=recipe.extra, sample=recipe.sample)
