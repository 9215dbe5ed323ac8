"""The code that makes a request again: a ``%%kling`` cell, or a Python call where the magic's grammar cannot say it."""

import re
from types import MappingProxyType
from typing import Any

from ..api.generation_request import DEFAULT_MODEL, GenerationRequest
from ..api.parameters import PARAMETERS
from .sweep_axes import SAMPLE, Axes

_UNSAYABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
# A prompt of a shell: IPython takes it away from every line of a cell, some versions the dots alone as well.
_STRIPPED = re.compile(r"^\s*(>>>|\.\.\.|(\[(nav|ins)\] )?In \[\d+\]:)", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")


def code_of(request: GenerationRequest) -> str:
    """The shortest code that asks for exactly this request."""
    return cell_of(request) or call_of(request)


def cell_of(request: GenerationRequest) -> str | None:
    """The ``%%kling`` cell, or None where the magic cannot say it: raw keys, odd line ends, both kinds of quotes."""
    prompt = request.prompt
    # Such a line would start a second prompt, whatever was meant.
    divided = any(line.strip() == "---" for line in prompt.split("\n"))
    told = request.extra or request.model != DEFAULT_MODEL or not isinstance(request.sample, int | None)
    if told or divided or prompt.startswith("%%") or _UNSAYABLE.search(prompt) or _STRIPPED.search(prompt):
        return None
    line = ["%%kling"]
    for name, value in _given_arguments(request):
        word = _quoted(value)
        if word is None or word.startswith("$"):  # a value that begins so is taken for a variable
            return None
        line += [PARAMETERS[name].flags[0], word]
    if request.sample is not None:
        line += ["--sweep", f"sample=[{request.sample}]"]
    return f"{' '.join(line)}\n{prompt}"


def call_of(request: GenerationRequest, prompt: Any = None, axes: Axes = MappingProxyType({})) -> str:
    """The Python call; above it a comment where the request is for another model than the usual one.

    With ``axes`` it is that of the whole sweep of ``prompt`` along them; ``request`` is any one of its requests.
    """
    replicate = {} if request.sample is None else {SAMPLE: [request.sample]}
    varied = replicate | {name: list(values) for name, values in axes.items() if name != "prompt"}
    arguments = [
        repr(request.prompt if prompt is None else prompt),
        *([f"axes={varied}"] if varied else []),
        *(f"{name}={value!r}" for name, value in _given_arguments(request) if name not in varied),
        *([f"extra={request.extra!r}"] if request.extra else []),
    ]
    note = "" if request.model == DEFAULT_MODEL else f"# needs kling.connect(model={request.model!r})\n"
    # A replicate is selected by its value: on an axis of numbers a number is not a position.
    at = f"[{request.sample!r}]" if replicate and not axes else ""
    return f"{note}kling.{'sweep' if varied or axes else 'generate'}({', '.join(arguments)}){at}"


def _given_arguments(request: GenerationRequest) -> list[tuple[str, Any]]:
    """The parameters that differ from their defaults, a source image by what names it."""
    return [
        (name, getattr(value, "label", value))
        for name, value in request.values.items()
        if name != "prompt" and value != PARAMETERS[name].default
    ]


def _quoted(value: Any) -> str | None:
    """The value as one word of the magic's line, None where no quoting can say it."""
    text = str(value)
    if text.startswith("-") or re.search(r"[\n\t]", text) or _UNSAYABLE.search(text):
        return None
    if _PLAIN.fullmatch(text):
        return text
    return next((f"{mark}{text}{mark}" for mark in ('"', "'") if mark not in text), None)
