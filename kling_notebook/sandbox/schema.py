"""The sandbox's own request schema, and the reading of a request body against it.

Written from the given document, apart from the client's table on purpose. What is checked is exactly what is
published: `read_body` interprets the same JSON Schema that the schema and OpenAPI endpoints hand out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .replies import Refusal

MODEL_ID = "kling-image"
ASPECT_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
RESOLUTIONS = ("1K", "2K")
FORMATS = ("png", "jpeg", "webp")
MAX_OUTPUTS = 9
MAX_PROMPT = 10_000
#: A data URL of a 10 MB image is 14 MB long.
MAX_BODY = 16 * 2**20
MAX_DIGITS = 40

IMAGE_PATTERN = (
    r"^(https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?([/?#][!-~]*)?"
    r"|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?/temp/[!-~]+"
    r"|data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2})$"
)
#: The image keys that take a list of images; the others take one.
LIST_KEYS = ("image_urls", "images", "input_images", "reference_images")


@dataclass(frozen=True, slots=True)
class Shape:
    """Which of the published variants a sandbox speaks.

    Attributes:
        count_key: the key of the number of images: ``num_outputs`` or ``num_images``.
        image_key: the key of the source image; None where the model takes none.
    """

    count_key: str = "num_outputs"
    image_key: str | None = "image_url"

    def request_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of a request body."""
        # Not \S in the pattern: what counts as white space differs between the languages that read this schema.
        filled = {"minLength": 1, "maxLength": MAX_PROMPT, "pattern": "[^ \\t\\r\\n]"}
        count = {"type": "integer", "minimum": 1, "maximum": MAX_OUTPUTS, "default": 1}
        properties: dict[str, Any] = {
            "prompt": _text("Text description of the image to generate", **filled),
            "negative_prompt": _text("What to avoid in the image", maxLength=MAX_PROMPT),
            "resolution": _text("Image generation resolution", enum=list(RESOLUTIONS), default="1K"),
            "aspect_ratio": _text("Aspect ratio of the generated image", enum=list(ASPECT_RATIOS), default="1:1"),
            self.count_key: {**count, "description": "Number of images to generate (1-9)"},
            "output_format": _text("Image output format", enum=list(FORMATS), default="png"),
        }
        if self.image_key is not None:
            properties[self.image_key] = _image_property(self.image_key in LIST_KEYS)
        required = ["prompt"]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", **more, "description": description}


def _image_property(is_list: bool) -> dict[str, Any]:
    one = {
        "type": "string",
        "pattern": IMAGE_PATTERN,
        "description": (
            "An image to start from: a data URL (PNG, JPEG or WebP, at most 10 MB, at least 300 px a side, ratio 0.4 "
            "to 2.5), the URL of an image this sandbox made, or an https URL. The sandbox fetches nothing: for an "
            "https URL it paints a stand-in from the words in the URL. A job whose image cannot be read fails."
        ),
    }
    if not is_list:
        return one
    return {"type": "array", "items": one, "minItems": 1, "maxItems": 1, "description": "One image to start from"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that passed: every default filled in."""

    prompt: str
    negative_prompt: str | None
    resolution: str
    aspect_ratio: str
    count: int
    output_format: str
    image: str | None


def read_body(body: bytes, content_type: str | None, shape: Shape) -> Wanted:
    """The request in ``body``, or a Refusal (invalid_request) that names the field."""
    values = _read_json(body, content_type)
    # Checked against what is published, so that the two cannot differ.
    schema = shape.request_schema()
    check_object(values, schema)
    image = values.get(shape.image_key) if shape.image_key else None
    return Wanted(
        prompt=values["prompt"],
        negative_prompt=values.get("negative_prompt"),
        resolution=values.get("resolution", "1K"),
        aspect_ratio=values.get("aspect_ratio", "1:1"),
        count=int(values.get(shape.count_key, 1)),
        output_format=values.get("output_format", "png"),
        image=image[0] if isinstance(image, list) else image,
    )


def _read_json(body: bytes, content_type: str | None) -> Any:
    if len(body) > MAX_BODY:
        raise Refusal("invalid_request", f"The body is larger than {MAX_BODY // 2**20} MB.")
    media_type, _, parameters = (content_type or "").partition(";")
    if media_type.strip().lower() != "application/json":
        declared = f"is {media_type.strip()[:60]!r}" if content_type else "is missing"
        raise Refusal("invalid_request", f"Content-Type {declared}; it must be application/json.")
    charset = re.search(r"charset\s*=\s*\"?([\w-]+)", parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Refusal("invalid_request", f"Content-Type names the charset {charset[1][:40]!r}; JSON is UTF-8.")
    if not body.strip():
        raise Refusal("invalid_request", "The body is missing; it must be a JSON object with a prompt.")
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant, parse_int=_integer)
    except UnicodeDecodeError as problem:
        raise Refusal("invalid_request", f"The body is not UTF-8 (byte {problem.start}).") from None
    except RecursionError:
        raise Refusal("invalid_request", "The body is nested too deeply.") from None
    except ValueError as problem:
        raise Refusal("invalid_request", f"The body is not JSON: {str(problem)[:120]}.") from None


def _integer(digits: str) -> int:
    """An integer of the body. Of a huge one the beginning will do: no range reaches so far, and Python refuses to read
    5000 digits in words that name neither the field nor anything a client knows."""
    return int(digits[:MAX_DIGITS])


def _refuse_constant(name: str) -> Any:
    raise Refusal("invalid_request", f"The body is not JSON: {name} is not a JSON number.")


def check_object(value: Any, schema: Mapping[str, Any]) -> None:
    """Raise a Refusal that names the field unless ``value`` is what ``schema`` says."""
    if not isinstance(value, dict):
        raise Refusal("invalid_request", f"The body must be a JSON object, not {_name_of(value)}.")
    properties = schema["properties"]
    for key in schema["required"]:
        if key not in value:
            raise Refusal("invalid_request", f"{key} is required.")
    for key, item in value.items():
        if key not in properties:
            known = ", ".join(properties)
            raise Refusal("invalid_request", f"{_short(key)} is not a known parameter. Known: {known}.")
        _check_value(key, item, properties[key])


def _check_value(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    kind = schema["type"]
    if kind == "integer":
        _check_integer(name, value, schema)
    elif kind == "string":
        _check_string(name, value, schema)
    elif not isinstance(value, list):
        raise Refusal("invalid_request", f"{name} must be a list, not {_name_of(value)}.")
    else:
        if not schema["minItems"] <= len(value) <= schema["maxItems"]:
            raise Refusal("invalid_request", f"{name} must hold {schema['maxItems']} item, not {len(value)}.")
        for place, item in enumerate(value):
            _check_value(f"{name}[{place}]", item, schema["items"])


def _check_integer(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal("invalid_request", f"{name} must be a whole number, not {_name_of(value)}.")
    if isinstance(value, float) and not value.is_integer():  # 1e400 has become infinite
        raise Refusal("invalid_request", f"{name} must be a whole number.")
    if not schema["minimum"] <= value <= schema["maximum"]:
        low, high = schema["minimum"], schema["maximum"]
        raise Refusal("invalid_request", f"{name} must be between {low} and {high}.")


def _check_string(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    if not isinstance(value, str):
        raise Refusal("invalid_request", f"{name} must be a string, not {_name_of(value)}.")
    if "enum" in schema and value not in schema["enum"]:
        raise Refusal("invalid_request", f"{name} must be one of {', '.join(schema['enum'])}, not {_short(value)}.")
    if len(value) < schema.get("minLength", 0):
        raise Refusal("invalid_request", f"{name} must not be empty.")
    if len(value) > schema.get("maxLength", MAX_BODY):
        raise Refusal("invalid_request", f"{name} must have at most {schema['maxLength']} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refusal("invalid_request", f"{name} holds half of a surrogate pair.") from None
    if "pattern" in schema:
        _check_pattern(name, value, schema["pattern"])


def _check_pattern(name: str, value: str, pattern: str) -> None:
    if not pattern.startswith("^"):
        if not re.search(pattern, value):
            raise Refusal("invalid_request", f"{name} must not be blank.")
    elif not re.fullmatch(pattern, value):  # $ alone would let a newline through
        need = "an https URL, a data URL of a PNG, JPEG or WebP image, or the URL of an image of this sandbox"
        raise Refusal("invalid_request", f"{name} must be {need}.")


def _name_of(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names[type(value)]


def _short(text: str) -> str:
    """``text`` for a message: quoted, plain ASCII, at most 40 characters of it."""
    return ascii(text if len(text) <= 40 else text[:39] + "...")
