"""A request for images, valid by construction, and the source image it may hold."""

import base64
import hashlib
import json
import operator
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .address import MOST_IMAGES
from .errors import InputError
from .parameters import COUNT_KEYS, PARAMETERS, SOURCES, check, check_characters

DEFAULT_MODEL = "kling-image"
# Model, resolution and number of images: what price and duration of a job depend on, as far as anyone knows.
JobKind = tuple[str, str, int]

_STORED = ("label", "url", "sha256", "media_type", "pixels")  # what the journal keeps of a source image


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A source image for image to image: a URL, or bytes of our own known by their hash.

    ``label`` is what the user wrote (a path, ``12b``, a URL). ``data`` is left out of comparison and of the journal,
    which keeps the hash. ``pixels`` is a hash of mode, size and pixels, for an image that was in memory: its file is
    of our making, and another version of Pillow writes other bytes.
    """

    label: str
    url: str | None = None
    sha256: str | None = None
    media_type: str | None = None
    pixels: str | None = None
    data: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str, label: str) -> Self:
        return cls(label, None, hashlib.sha256(data).hexdigest(), media_type, data=data)

    @classmethod
    def of_url(cls, url: str) -> Self:
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
        return self.url or (f"pixels:{self.pixels}" if self.pixels else f"sha256:{self.sha256}")

    def on_the_wire(self) -> str:
        """The URL, or a data URL made from the bytes."""
        if self.url:
            return self.url
        if self.data is None:
            raise InputError(f"The bytes of source image {self.label} are not at hand.", parameter="image")
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _STORED}

    @classmethod
    def from_json(cls, what: Mapping[str, Any]) -> Self:
        """The source of a stored request. TypeError if it does not have the form of one."""
        label, *facts = [what.get(name) for name in _STORED]
        if not isinstance(label, str) or not all(isinstance(fact, str | None) for fact in facts):
            raise TypeError("image is not a source image")
        return cls(label, *facts)


@dataclass(init=False, eq=False, repr=False)
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

    Attributes:
        identity: hash of all that decides what is made, for one backend. A request of equal identity may be reused. It
            stays the same from version to version, also if the table of parameters changes: what was paid for once must
            be found again. So a parameter that equals its ``left_out`` is left out, and text counts by what it says:
            stripped, in Unicode's composed form, with line feeds.

    Raises:
        InputError: naming the parameter and what was probably meant.
    """

    identity: str
    _unknown: dict[str, Any]  # parameters of another version, which only a stored request has
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
        for name in given.keys() - PARAMETERS.keys():
            check(name, None)
        values = {name: check(name, given.get(name)) for name in PARAMETERS}
        values |= {name: _checked_source(name, values[name]) for name in SOURCES if values[name] is not None}
        beside = {
            "extra": _checked_extra(extra),
            "sample": _checked_sample(sample),
            "model": check_characters("model", model),
            "draw": _checked_extra(draw, "draw") or None,
        }
        self._set(values, beside, {})

    def _set(self, values: dict[str, Any], beside: Mapping[str, Any], unknown: dict[str, Any]) -> None:
        vars(self).update(beside, _values=values, _unknown=unknown)
        vars(self).update(identity=self._hashed())

    def _hashed(self) -> str:
        parameters = {}
        for name, value in (self._unknown | self._values).items():
            row = PARAMETERS.get(name)
            if isinstance(value, SourceImage):
                parameters[name] = value.identity
            elif value != (row.left_out if row else None):
                parameters[name] = _canonical(value) if row is None or row.kind == "text" else value
        # The draw of a sweep is left out: the same request may come from another sweep, and is paid for once.
        what = {"model": self.model, "parameters": parameters, "extra": self.extra, "sample": _canonical(self.sample)}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode("ascii")).hexdigest()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A request does not change; use .replace({name}=...).")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("A request does not change; use .replace().")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in PARAMETERS:
            return self._values[name]
        raise AttributeError(name)

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter by name, in the table's order; a copy."""
        return dict(self._values)

    def replace(self, **changes: Any) -> "GenerationRequest":
        """A new request with some parameters, ``extra``, ``sample`` or ``model`` changed."""
        return GenerationRequest(**(self._values | self._beside() | changes))

    def _beside(self) -> dict[str, Any]:
        """What it has beside its parameters."""
        return {"extra": self.extra, "sample": self.sample, "model": self.model, "draw": self.draw}

    @property
    def sources(self) -> dict[str, SourceImage]:
        """The source images by parameter."""
        return {name: value for name, value in self._values.items() if isinstance(value, SourceImage)}

    def with_sources(self, change: Callable[[SourceImage], SourceImage]) -> "GenerationRequest":
        """The same request with each source image changed. Nothing is checked: a stored request stays as it was."""
        changed = {name: change(source) for name, source in self.sources.items()}
        return _restore(self._unknown | self._values | changed, self._beside())

    def as_json(self) -> dict[str, Any]:
        """For the journal and the metadata: everything but the source image's bytes."""
        return {
            "model": self.model,
            "values": self._unknown | self._values | {name: one.as_json() for name, one in self.sources.items()},
            "extra": self.extra,
            "sample": self.sample,
            **({"draw": self.draw} if self.draw else {}),
        }

    @classmethod
    def from_json(cls, what: Mapping[str, Any]) -> "GenerationRequest":
        """A stored request as it was, whatever choices, ranges and defaults today's table has.

        A parameter that the stored request does not know has the value that leaving it out meant.

        Raises:
            InputError: it does not have the form of a request.
        """
        try:
            values, sample, model = dict(what["values"]), what.get("sample"), what.get("model", DEFAULT_MODEL)
            extra, draw = dict(what.get("extra") or {}), dict(what.get("draw") or {}) or None
            values |= {name: SourceImage.from_json(values[name]) for name in SOURCES if values.get(name) is not None}
            check_characters("request", json.dumps(what, ensure_ascii=False))
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"This does not hold a request: {error!r}.") from None
        for name, row in PARAMETERS.items():
            if not row.has_form(values.setdefault(name, row.left_out)):
                raise InputError(f"The {name} of a stored request has another form.", parameter=name)
        if not 1 <= (values["num_outputs"] or 0) <= MOST_IMAGES:
            raise InputError(f"A stored request asks for {values['num_outputs']} images.", parameter="num_outputs")
        if not isinstance(model, str) or isinstance(sample, bool) or not isinstance(sample, int | str | None):
            raise InputError("The model or sample of a stored request has another form.")
        return _restore(values, {"extra": extra, "sample": sample, "model": model, "draw": draw})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationRequest) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        parts = [f"{k}={v!r}" for k, v in self._values.items() if k != "prompt" and v != PARAMETERS[k].default]
        parts += [f"{k}={getattr(self, k)!r}" for k in ("extra", "sample") if getattr(self, k) not in (None, {})]
        return f"GenerationRequest({', '.join([repr(self._values['prompt']), *parts])})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._unknown | self._values, self._beside())


def kind(request: GenerationRequest) -> JobKind:
    """What kind of job this is, for its price and its duration."""
    return request.model, request.resolution, request.num_outputs


def _restore(values: Mapping[str, Any], beside: Mapping[str, Any]) -> GenerationRequest:
    """A request that was checked when it was made. What its version of the table did not know is filled in."""
    request = GenerationRequest.__new__(GenerationRequest)
    known = {name: values.get(name, row.left_out) for name, row in PARAMETERS.items()}
    request._set(known, beside, {name: value for name, value in values.items() if name not in known})
    return request


def _canonical(value: Any) -> Any:
    """Text by what it says: no spaces around it, composed (NFC), with line feeds. Anything else as it is."""
    if not isinstance(value, str):
        return value
    return unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _checked_source(name: str, source: Any) -> SourceImage:
    """This package knows URLs only; the session resolves the rest before it comes here."""
    if isinstance(source, str):
        source = SourceImage.of_url(source)
    if not isinstance(source, SourceImage):
        raise InputError(f"{name} must be a URL or a source image, not {type(source).__name__}.", parameter=name)
    check_characters(name, source.label + (source.url or ""))
    return source


def _checked_extra(extra: Mapping[str, Any] | None, name: str = "extra") -> dict[str, Any]:
    """A copy that is certain to be JSON, without keys that would contradict the table."""
    try:
        copy = json.loads(json.dumps(dict(extra or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a mapping of JSON values: {error}.", parameter=name) from None
    check_characters(name, json.dumps(copy, ensure_ascii=False))
    if doubled := sorted(set(copy) & set(PARAMETERS)):
        raise InputError(f"{name} repeats {', '.join(doubled)}; give that as the parameter itself.", parameter=name)
    if set(copy) & set(COUNT_KEYS):  # the estimate and every budget count num_outputs
        raise InputError(f"{name} must not set the number of images; give num_outputs instead.", parameter=name)
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
