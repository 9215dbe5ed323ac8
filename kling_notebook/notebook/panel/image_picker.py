"""The image well: where a source image for image to image comes from, and what is wrong with it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ...api.address import parse_address
from ...api.errors import InputError, KlingError
from ...api.event_log import suppress
from ...api.generation_request import GenerationRequest, SourceImage
from ...image_files import metadata, thumbnails
from ...journal import layout
from ...session.session import Session
from ...view.markup import bounded, image_source, tag
from .widgets import Toolkit, column, labeled, row, say, shown, text_html

SIDE = 96  # of the preview, in CSS pixels
LIMITS = "PNG, JPEG or WebP, up to 10 MB"
"""Announced beforehand: many Jupyter servers drop a longer message, and then no reason can reach the page."""
PLACEHOLDER = "a path, a URL, or an image's address such as 12b"


class ImagePicker:
    """A field for paths, URLs and addresses, an upload, a preview, and an offer where the image holds a recipe.

    Args:
        changed: called when another image is chosen. load: fills the form with
            a recipe's parameters.
    """

    def __init__(
        self,
        kit: Toolkit,
        changed: Callable[[], object],
        load: Callable[..., object],
    ) -> None:
        self._kit = kit
        self._changed = changed
        self._load_form = load
        self._chosen: SourceImage | InputError | None = None  # loaded or uploaded; if there is none the text decides
        self._key: object = None
        self._found: SourceImage | InputError | None = None
        self._recipe: GenerationRequest | None = None
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
            self._show()
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

    # ---- what it shows ----

    def _show(self) -> None:
        source = self._found if isinstance(self._found, SourceImage) else None
        shown(self._remove_row, bool(self.text.value))
        say(self.preview, self._preview(source) if source is not None else "")
        self._recipe = self._recipe_of(source) if source is not None else None
        shown(self._offer_row, self._recipe is not None)
        if self._recipe is not None:
            say(self.offer, text_html(f"It holds a recipe: {bounded(self._recipe.prompt, 60)}", "muted"))

    def _preview(self, source: SourceImage) -> str:
        """A small image of it; nothing for a URL, or for one of the journal whose copy is gone."""
        session = self._kit.session()
        with suppress(KlingError):
            if data := session.workspace.attachments.load(source).data:
                style = f"display: block; max-width: {2 * SIDE}px; max-height: {SIDE}px; border-radius: 4px"
                cache = layout.thumbnails(session.folder)
                jpeg, *_ = thumbnails.thumbnail(Path(source.label), cache, 2 * SIDE, data=data)
                return tag("img", src=image_source(jpeg), alt=f"source image {source.label}", style=style)
        return ""

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
            kept = None if source is None else self._kit.session().workspace.attachments.load(source)
            usable = kept if kept is not None and (kept.url or kept.data) else None
            self._load_form({**recipe.values, "image": usable}, extra=recipe.extra, sample=recipe.sample)
