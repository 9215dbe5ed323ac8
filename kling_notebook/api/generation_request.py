"""A request for images, valid by construction, and the source image it may hold."""

from __future__ import annotations

import base64
import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InputError
from .parameters import COUNT_KEYS, PARAMETERS, check, check_characters

DEFAULT_MODEL = "kling-image"


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A source image for image to image: a URL, or bytes of our own known by their hash.

    ``label`` is what the person wrote (a path, ``12b``, a URL). ``data`` is left out of comparison and of the
    journal, which keeps the hash.
    """

    label: str
    url: str | None = None
    sha256: str | None = None
    media_type: str | None = None
    data: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str, label: str) -> SourceImage:
        return cls(label, None, hashlib.sha256(data).hexdigest(), media_type, data)

    @classmethod
    def of_url(cls, url: str) -> SourceImage:
        """An image that the service fetches itself.

        Raises:
            InputError: not an http(s) URL.
        """
        text = url.strip()
        if not text.lower().startswith(("https://", "http://")):
            raise InputError(f"image must be an http(s) URL here, not {text[:80]!r}.", parameter="image")
        return cls(text, text)

    @property
    def identity(self) -> str:
        """What two requests must share to be the same request: the content, or for a URL the URL."""
        return self.url or f"sha256:{self.sha256}"

    def on_the_wire(self) -> str:
        """The URL, or a data URL made from the bytes."""
        if self.url:
            return self.url
        if self.data is None:
            raise InputError(f"The bytes of source image {self.label} are not at hand.", parameter="image")
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"

    def as_json(self) -> dict[str, Any]:
        return {"label": self.label, "url": self.url, "sha256": self.sha256, "media_type": self.media_type}


class GenerationRequest:
    """One request, valid by construction: every parameter of the table with its default filled in.

    >>> request = GenerationRequest("a fox", aspect_ratio="16:9")
    >>> request.aspect_ratio, request.num_outputs
    ('16:9', 1)

    Args:
        prompt: what the image should show; stripped at its ends.
        extra: raw keys for the request's body, for inputs the table does not know.
        sample: a label that makes replicates of one request distinct (the model has no seed).
        model: the service's model id.
        draw: how the point of a sweep was drawn: kept with the images, and not a part of what is asked for.
        parameters: any row of PARAMETERS by name.

    Raises:
        InputError: naming the parameter and what was probably meant.
    """

    __slots__ = ("_values", "draw", "extra", "model", "sample")

    _values: dict[str, Any]
    extra: dict[str, Any]
    sample: int | str | None
    model: str
    draw: dict[str, Any] | None

    def __init__(
        self,
        prompt: str,
        *,
        extra: Mapping[str, Any] | None = None,
        sample: int | str | None = None,
        model: str = DEFAULT_MODEL,
        draw: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        given = {"prompt": prompt} | parameters
        for name in given:
            if name not in PARAMETERS:
                check(name, None)
        values = {name: check(name, given.get(name)) for name in PARAMETERS}
        source = values["image"]
        if isinstance(source, str):  # this package knows URLs only; the session resolves the rest before it comes here
            values["image"] = source = SourceImage.of_url(source)
        if source is not None and not isinstance(source, SourceImage):
            raise InputError(f"image must be a URL or a source image, not {type(source).__name__}.", parameter="image")
        if source is not None:
            check_characters("image", source.label + (source.url or ""))
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "extra", _checked_extra(extra))
        object.__setattr__(self, "sample", _checked_sample(sample))
        object.__setattr__(self, "model", check_characters("model", model))
        object.__setattr__(self, "draw", dict(draw) if draw else None)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in PARAMETERS:
            return self._values[name]
        raise AttributeError(name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A request does not change; use .replace({name}=...).")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("A request does not change; use .replace().")

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter by name, in the table's order; a copy."""
        return dict(self._values)

    def replace(self, **changes: Any) -> GenerationRequest:
        """A new request with some parameters, ``extra``, ``sample`` or ``model`` changed."""
        return GenerationRequest(**(self._values | self._beside() | changes))

    def _beside(self) -> dict[str, Any]:
        """What it has beside its parameters."""
        return {"extra": self.extra, "sample": self.sample, "model": self.model, "draw": self.draw}

    def identity(self, backend: str) -> str:
        """Hash of everything that decides what would be bought where. Equal identities may be reused."""
        values = self._values | {"image": self._values["image"] and self._values["image"].identity}
        what = {"backend": backend, "model": self.model, "values": values, "extra": self.extra, "sample": self.sample}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode("ascii")).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """For the journal and the recipe: everything but the source image's bytes."""
        source = self._values["image"]
        values = self._values | {"image": source and source.as_json()}
        drawn = {"draw": self.draw} if self.draw else {}
        return {"model": self.model, "values": values, "extra": self.extra, "sample": self.sample} | drawn

    @classmethod
    def from_json(cls, what: Mapping[str, Any]) -> GenerationRequest:
        values = {name: value for name, value in what["values"].items() if name in PARAMETERS}
        if values.get("image"):
            values["image"] = SourceImage(**values["image"])
        beside: dict[str, Any] = {name: what.get(name) for name in ("extra", "sample", "draw")}
        return cls(**values, **beside, model=what.get("model", DEFAULT_MODEL))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationRequest) and self.identity("") == other.identity("")

    def __hash__(self) -> int:
        return hash(self.identity(""))

    def __repr__(self) -> str:
        parts = [f"{k}={v!r}" for k, v in self._values.items() if k != "prompt" and v != PARAMETERS[k].default]
        parts += [f"{k}={getattr(self, k)!r}" for k in ("extra", "sample") if getattr(self, k) not in (None, {})]
        return f"GenerationRequest({', '.join([repr(self._values['prompt']), *parts])})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_request, (self._values | self._beside(),)


def _rebuild_request(values: dict[str, Any]) -> GenerationRequest:
    return GenerationRequest(**values)


def _checked_extra(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy that is certain to be JSON, without keys that would contradict the table."""
    try:
        copy = json.loads(json.dumps(dict(extra or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"extra must be a mapping of JSON values: {error}.", parameter="extra") from None
    check_characters("extra", json.dumps(copy, ensure_ascii=False))
    doubled = sorted(set(copy) & set(PARAMETERS))
    if doubled:
        raise InputError(f"extra repeats {', '.join(doubled)}; give that as the parameter itself.", parameter="extra")
    if set(copy) & set(COUNT_KEYS):  # the estimate and every budget count num_outputs
        raise InputError("extra must not set the number of images; give num_outputs instead.", parameter="extra")
    return copy  # type: ignore[no-any-return]  # json.loads of an object


def _checked_sample(sample: Any) -> int | str | None:
    """A label that JSON keeps as it is: a sweep over ``range`` or an array's integers, or words."""
    if sample is None:
        return None
    if isinstance(sample, str):
        return check_characters("sample", sample)
    try:
        return operator.index(sample)
    except TypeError:
        raise InputError(f"sample must be a whole number or text, not {sample!r}.", parameter="sample") from None
