"""What the live documents say: the model's request schema, and the body made for it. Pure.

Two published pages disagree about the key for the number of images, and none names the key of a source image.
So what goes beyond a prompt is sent under the key that the live schema shows, never under two, and refused before
anything is bought where no key is known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InputError
from .generation_request import GenerationRequest
from .parameters import COUNT_KEYS, PARAMETERS

IMAGE_KEYS = ("image_url", "image_urls", "images", "image", "input_image")
_LISTS = frozenset({"image_urls", "images"})


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """What a model's live request schema says.

    Attributes:
        properties: every key it lists.
        count_key: the key for the number of images, None where it lists none.
        image_key: the key of a source image, None where it lists none. image_is_list: it takes a list of them.
        closed: a key it does not list is refused.
    """

    properties: frozenset[str] = frozenset()
    count_key: str | None = None
    image_key: str | None = None
    image_is_list: bool = False
    closed: bool = False


def read_schema(body: Any) -> ModelSchema | None:
    """The schema in a reply of the models pages, under ``requestSchema`` or ``schema`` or bare; None for none."""
    for candidate in _candidates(body):
        properties, closed = _members(candidate, candidate, 0)
        if "prompt" in properties:  # a schema without it describes something else
            image_key = next((key for key in IMAGE_KEYS if key in properties), None)
            return ModelSchema(
                frozenset(properties),
                next((key for key in COUNT_KEYS if key in properties), None),
                image_key,
                image_key is not None and _takes_a_list(properties[image_key], image_key),
                closed,
            )
    return None


def _candidates(body: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(body, Mapping):
        return
    for holder in (body, body.get("model"), body.get("data")):
        if isinstance(holder, Mapping):
            for key in ("requestSchema", "schema"):
                if isinstance(holder.get(key), Mapping):
                    yield from _candidates(holder[key])  # one wraps the other, at some services
                    yield holder[key]
    yield body


def _members(node: Any, root: Mapping[str, Any], depth: int) -> tuple[dict[str, Any], bool]:
    """The properties of an object schema, those of its parts included, and whether it is closed."""
    node = _resolved(node, root)
    if not isinstance(node, Mapping) or depth > 4:
        return {}, False
    listed = node.get("properties")
    found = {str(key): value for key, value in listed.items()} if isinstance(listed, Mapping) else {}
    closed = node.get("additionalProperties") is False or node.get("unevaluatedProperties") is False
    for key in ("allOf", "anyOf", "oneOf"):
        parts = node.get(key)
        for part in parts if isinstance(parts, list) else []:
            more, also_closed = _members(part, root, depth + 1)
            found = more | found
            closed = closed or also_closed
    return {key: _resolved(value, root) for key, value in found.items()}, closed


def _resolved(node: Any, root: Mapping[str, Any]) -> Any:
    """What a local ``$ref`` points to; the node itself where there is none."""
    for _ in range(4):
        if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
            return node
        target: Any = root
        for step in filter(None, node["$ref"].removeprefix("#").split("/")):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        node = target
    return None


def _takes_a_list(node: Any, key: str) -> bool:
    """True where the property is an array; its name decides where the schema leaves the type out."""
    if not isinstance(node, Mapping):
        return key in _LISTS
    choices = [part for name in ("anyOf", "oneOf") if isinstance(node.get(name), list) for part in node[name]]
    named = [part.get("type") for part in (node, *choices) if isinstance(part, Mapping)]
    types = [one for kinds in named for one in (kinds if isinstance(kinds, list) else [kinds])]
    return "string" not in types and ("array" in types or "items" in node or key in _LISTS)


def check_body(request: GenerationRequest, schema: ModelSchema | None) -> None:
    """Refuse what the service is known to refuse, or has no key for.

    Raises:
        InputError: naming the parameter and what to do instead.
    """
    known = schema or ModelSchema()
    if known.closed:
        _check_listed(request, known)
    if request.image is None:
        return
    if known.image_key is None:
        why = "lists no key for one" if schema else "could not be had, and the documentation names no key for one"
        raise InputError(
            f"A source image cannot be sent: the live schema of {request.model} {why}. If you know the key, pass it"
            ' raw from Python, as in extra={"image_url": "https://..."}, or choose another model.',
            parameter="image",
        )
    if request.negative_prompt and not {"negative_prompt", known.image_key} <= known.properties:
        raise InputError(
            "The model takes no negative prompt together with a source image. Leave one of them out.",
            parameter="negative_prompt",
        )


def _check_listed(request: GenerationRequest, schema: ModelSchema) -> None:
    """A closed schema refuses every key it does not list: say so before the service does."""
    if request.num_outputs > 1 and schema.count_key is None:
        raise InputError(
            f"The live schema of {request.model} has no key for the number of images. Ask for one at a time.",
            parameter="num_outputs",
        )
    for name in _plain_names():
        if request.values[name] != PARAMETERS[name].default and name not in schema.properties:
            raise InputError(f"The live schema of {request.model} does not list {name}. Leave it out.", parameter=name)
    if unknown := sorted(set(request.extra) - schema.properties):
        raise InputError(
            f"The live schema of {request.model} does not list {', '.join(unknown)}. Leave that out of extra.",
            parameter="extra",
        )


def run_body(request: GenerationRequest, schema: ModelSchema | None) -> dict[str, Any]:
    """The JSON body of a submit: every parameter by name, so that a record of it stays true if a default changes.

    The count goes only where it is above 1, under the one key that the schema shows (``num_outputs`` without it).

    Raises:
        InputError: as `check_body`.
    """
    check_body(request, schema)
    known = schema or ModelSchema()
    values = request.values
    # What a closed schema does not list is at its default here, or check_body would have refused.
    listed = known.properties | {"prompt"} if known.closed else PARAMETERS.keys()
    body = {name: values[name] for name in _plain_names() if values[name] is not None and name in listed}
    if request.num_outputs > 1:
        body[known.count_key or COUNT_KEYS[0]] = request.num_outputs
    if request.image is not None and known.image_key:
        address = request.image.on_the_wire()
        body[known.image_key] = [address] if known.image_is_list else address
    body |= {name: source.on_the_wire() for name, source in request.sources.items() if name != "image"}
    return body | request.extra


def _plain_names() -> list[str]:
    """The parameters that go under their own name."""
    return [name for name, row in PARAMETERS.items() if row.kind != "image" and name not in COUNT_KEYS]
