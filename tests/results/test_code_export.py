"""``result.code()`` makes exactly the same request again, whatever it holds: read back by IPython and by Python."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from kling_notebook.api.generation_request import GenerationRequest, SourceImage
from kling_notebook.api.job import JobStatus
from kling_notebook.api.parameters import PARAMETERS
from kling_notebook.journal.job_record import new_record
from kling_notebook.notebook.magic.cell_arguments import parse_cell
from kling_notebook.results import sweep_axes
from kling_notebook.results.code_export import call_of, cell_of, code_of
from kling_notebook.results.handle import JobHandle
from kling_notebook.results.result import Result
from kling_notebook.results.sweep_result import SweepResult

AWKWARD = "\"'`\\{}[]()$#%!?-=,;:\n\r\t —…\u201c\u201d\u2018\u2019\u00a0\u2028\x1f\x85é狐🦊"
letters = st.one_of(st.sampled_from(AWKWARD), st.sampled_from("abc 123"), st.characters(exclude_categories=("Cs",)))
fragments = st.one_of(
    st.text(letters, max_size=12),
    st.sampled_from(
        [
            ">>> ",
            "In [1]: ",
            "\n... ",
            "---",
            "\n---\n",
            "%%kling",
            "{sample}",
            "{text}",
            "--negative",
            "a \\",
            "$HOME",
            "{x!r:>3}",
            "-",
        ]
    ),
)
texts = st.lists(fragments, min_size=1, max_size=4).map("".join)
prompts = texts.filter(lambda text: any(map(str.isalnum, text)))
SOURCES = [
    SourceImage.of_url("https://example.com/a%20fox.png?x=1&y='2'"),
    SourceImage("12d", None, "0" * 64, "image/png"),
    SourceImage(r"C:\my pics\fox.png", None, "1" * 64, "image/png"),
    SourceImage('pics/it\'s "a" fox.png', None, "2" * 64, "image/png"),
    SourceImage("-odd.png", None, "3" * 64, "image/png"),
]
values = st.one_of(texts, st.integers(), st.booleans(), st.none())
requests = st.builds(
    lambda prompt, extra, sample, **parameters: GenerationRequest(prompt, extra=extra, sample=sample, **parameters),
    prompts,
    extra=st.one_of(st.just({}), st.just({}), st.dictionaries(st.sampled_from(["seed", "style"]), values)),
    sample=st.one_of(st.none(), st.none(), st.integers(-3, 10**12), texts),
    negative_prompt=st.one_of(st.none(), texts),
    resolution=st.sampled_from(PARAMETERS["resolution"].choices),
    aspect_ratio=st.sampled_from(PARAMETERS["aspect_ratio"].choices),
    num_outputs=st.integers(1, 9),
    output_format=st.sampled_from(PARAMETERS["output_format"].choices),
    image=st.one_of(st.none(), st.none(), st.sampled_from(SOURCES)),
)  # fmt: skip


def made(prompt: str, extra: Any = None, sample: Any = None, **parameters: Any) -> GenerationRequest:
    """What a session makes of it: a source image is found by what names it."""
    if isinstance(parameters.get("image"), str):
        parameters["image"] = {source.label: source for source in SOURCES}[parameters["image"]]
    return GenerationRequest(prompt, extra=extra, sample=sample, **parameters)


def swept(axes: Mapping[str, Any], points: list[sweep_axes.Point], extra: Any = None) -> SweepResult:
    handles = []
    for point in points:
        handle = JobHandle(made(point.prompt, extra, point.sample, **point.parameters), 1, JobStatus.COMPLETED)
        handle.set_result(handle.request)  # type: ignore[arg-type]  # the request stands for its result
        handles.append(handle)
    return SweepResult(axes, points, handles)


class Kling:
    """The Python calls as far as they decide what is asked for."""

    @staticmethod
    def generate(prompt: str, *, extra: Any = None, **parameters: Any) -> GenerationRequest:
        return made(prompt, extra, **parameters)

    @staticmethod
    def sweep(prompt: Any, axes: Any = None, *, extra: Any = None, **more: Any) -> SweepResult:
        return swept(*sweep_axes.parse_axes(prompt, axes, more), extra)


def read_cell(code: str) -> GenerationRequest:
    """As a notebook reads a cell: IPython's own transformation, our grammar, the sweep's expansion."""
    (statement,) = ast.parse(TransformerManager().transform_cell(code)).body
    call = statement.value  # type: ignore[attr-defined]
    magic, line, body = (ast.literal_eval(argument) for argument in call.args)
    assert (call.func.attr, magic) == ("run_cell_magic", "kling")
    options = parse_cell(line, body, {})
    (prompt,) = options.prompts
    axes, points = sweep_axes.expand(prompt, options.axes, options.parameters)
    (result,) = swept(axes, points) if axes else [made(points[0].prompt, **points[0].parameters)]
    return result


def read_call(code: str) -> GenerationRequest:
    return eval(code, {"__builtins__": {}, "kling": Kling}, {"True": True})  # type: ignore[no-any-return]  # noqa: S307


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests)
@example(GenerationRequest("a fox", sample=3))
@example(GenerationRequest("a fox", sample=0, extra={"seed": 1}))
@example(GenerationRequest("a {sample}", sample=7))
@example(GenerationRequest("a {sample}", sample="x", extra={"seed": None}))
@example(GenerationRequest("a\n---\nb", negative_prompt="both \" and ' in it"))
@example(GenerationRequest("a fox", negative_prompt="ends in \\"))
@example(GenerationRequest("two\r\nlines\x85and\u2028more"))
@example(GenerationRequest("%%kling -n 3\nnested"))
@example(GenerationRequest("a fox", negative_prompt="\u201ccurly\u201d \u2018quotes\u2019"))
@example(GenerationRequest("what?", negative_prompt="why?"))
@example(GenerationRequest("... and then", aspect_ratio="16:9"))
@example(GenerationRequest("...", aspect_ratio="16:9"))
def test_code_makes_the_same_request_again(asked: GenerationRequest) -> None:
    """By the cell where there is one, and by the Python call always."""
    cell = cell_of(asked)
    if cell is not None:
        assert read_cell(cell) == asked
        assert code_of(asked) == cell
    else:
        assert code_of(asked) == call_of(asked)
    assert read_call(call_of(asked)) == asked


def test_a_sweep_is_walked_by_place_also_where_it_is_selected_by_number() -> None:
    """Replicates are an axis of numbers: its first value is 1, and the first result is still the first."""
    grid = swept(*sweep_axes.expand("a fox", {"sample": 3}))
    assert [one.sample for one in grid] == [1, 2, 3] == [one.sample for one in grid.done]
    assert [one.sample for one in reversed(grid)] == [3, 2, 1]
    assert grid[2].sample == 2


@pytest.mark.parametrize("prompt", ["a fox", "two\nlines", 'a $5 bill, {braces}, #1, "quoted", it\'s', "狐 🦊"])
def test_ordinary_prompts_give_a_cell(prompt: str) -> None:
    """No one wants a Python call for a dollar sign."""
    assert code_of(GenerationRequest(prompt, num_outputs=4)) == f"%%kling --num-outputs 4\n{prompt}"


@pytest.mark.parametrize("prompt", [">>> a fox", "In [1]: a fox\nand a hen", "...: a fox", "fox\n>>> y"])
def test_a_prompt_that_ipython_would_take_for_one_of_a_shell_gives_a_python_call(prompt: str) -> None:
    """In a cell its beginning would be gone before the magic sees it."""
    assert prompt not in TransformerManager().transform_cell(f"%%kling\n{prompt}")
    assert code_of(GenerationRequest(prompt)) == f"kling.generate({prompt!r})"


def test_code_says_what_it_cannot_bring_along(tmp_path: Path) -> None:
    """Another model is a setting of the session: the code says which."""
    request = GenerationRequest("a fox", model="kling-image-edit")
    assert code_of(request).splitlines() == [
        "# needs kling.connect(model='kling-image-edit')",
        "kling.generate('a fox')",
    ]
    record = new_record(request, backend="sandbox", source="python", session="s", estimate=1.0)
    assert Result(record, tmp_path).code() == code_of(request)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests,
    st.lists(prompts, min_size=1, max_size=2, unique_by=str.strip),
    st.lists(texts.filter(str.strip), min_size=1, max_size=3, unique_by=str.strip),
)
def test_code_makes_the_same_sweep_again(asked: GenerationRequest, written: list[str], words: list[str]) -> None:
    """Words in braces of any name, several prompts, a parameter, and what does not vary."""
    asked = asked.replace(sample=None)
    prompt = [f"{text} {{a word}}" for text in written] if len(written) > 1 else f"{written[0]} {{a word}}"
    given = {name: value for name, value in asked.values.items() if name not in ("prompt", "num_outputs")}
    axes, points = sweep_axes.expand(prompt, {"a word": words, "num_outputs": [3, 1]}, given)
    sweep = swept(axes, points, asked.extra)
    again = eval(  # noqa: S307
        call_of(sweep.handles[0].request, prompt, axes), {"__builtins__": {}, "kling": Kling}, {"True": True}
    )
    assert [handle.request for handle in again.handles] == [handle.request for handle in sweep.handles]
