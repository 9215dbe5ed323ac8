"""What stays in a notebook: small, linked to the originals, and picklable."""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
from typing import Any

import pytest
from PIL import Image

from kling_notebook.api.errors import KlingError


def weight(reply: Any) -> int:
    return len(json.dumps([output.get("data", {}) for output in reply.outputs]))


def noise(prompt: str, **_: Any) -> bytes:
    """An image that compresses as a photograph does."""
    out = io.BytesIO()
    image = Image.effect_noise((1024, 1024), 40).convert("RGB")
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


@pytest.mark.parametrize(
    "inline",
    [
        "",
        pytest.param("%matplotlib inline", marks=pytest.mark.long),
        pytest.param("png", marks=pytest.mark.long),
        "retina",
        pytest.param("svg", marks=pytest.mark.long),
    ],
)
def test_a_figure_of_nine_images_is_small_with_the_inline_backend(shared: Any, inline: str) -> None:
    if inline in ("png", "retina", "svg"):
        shared.ok(f"%matplotlib inline\n%config InlineBackend.figure_formats = ['{inline}']")
    else:
        shared.ok(inline)
    if "grid" not in shared.ok("print(dir())").text:
        shared.ok("import kling_notebook as kling\ngrid = kling.sweep('a {x} {y}', x=list('abc'), y=list('def'))")
    reply = shared.ok("grid.figure()")
    assert weight(reply) < 300_000
    kinds = {kind for output in reply.outputs for kind in output["data"] if kind.startswith("image/")}
    assert len(kinds) == 1


def test_one_image_is_stored_once_in_at_most_130_kb(on: Any, make_sandbox: Any) -> None:
    kernel = on(make_sandbox(paint=noise))
    reply = kernel.ok("%%kling -o fox\na fox")
    assert weight(reply) <= 130_000
    (data,) = (output["data"] for output in reply.outputs if output["data"])
    large = base64.b64decode(re.findall(r"base64,([^\"]+)", data["text/html"])[0])
    small = base64.b64decode(data["image/jpeg"])
    assert Image.open(io.BytesIO(large)).width >= 512
    assert Image.open(io.BytesIO(small)).width >= 256, "for pages without HTML"
    assert len(small) < len(large) / 2


def link_in(reply: Any) -> str:
    return re.findall(r'href="([^"]+)"', reply.html)[-1]


def test_links_lead_to_the_original_from_where_the_notebook_is(make_kernel: Any, tmp_path: Any) -> None:
    home = tmp_path / "notebooks"
    home.mkdir()
    kernel = make_kernel(KLING_SANDBOX="1", JPY_SESSION_NAME=str(home / "mine.ipynb"))
    kernel.ok("%load_ext kling_notebook\nimport os; os.makedirs('elsewhere')")
    for code in ("%%kling -o fox\na fox", "%cd elsewhere\nfox", "import kling_notebook as kling\nkling.result(1)"):
        link = link_in(kernel.ok(code))
        assert link.startswith("../kling_images/")
        assert (home / link).is_file()
    (tmp_path / "out").mkdir()
    link = link_in(kernel.ok("PAPERMILL_OUTPUT_PATH = 'out/out.ipynb'\nfox"))
    assert (tmp_path / "out" / link).is_file()


def test_what_is_over_is_pickled_and_the_rest_says_why_not(shared: Any) -> None:
    shared.ok("import kling_notebook as kling, pickle\nfox = kling.generate('a fox', show_progress=False)")
    shared.ok("pair = kling.sweep('a {x}', x=['fox', 'owl'], show_progress=False)")
    for value, expected in (("fox", "1"), ("pair", "2"), ("pair['owl']", "1")):
        assert shared.ok(f"print(len(pickle.loads(pickle.dumps({value}))))").text.strip() == expected
    assert shared.ok("print(pickle.loads(pickle.dumps(fox[0])).path == fox[0].path)").text.strip() == "True"
    assert shared.ok("print(pickle.loads(pickle.dumps(pair))['owl'].request.prompt)").text.strip() == "a owl"
    shared.ok("%store fox pair")
    shared.ok("fox\ndel fox, pair\n%store -r fox\n%store -r pair")
    assert shared.ok("print(len(fox), len(pair))").text.strip() == "1 2"
    for name, call in (("joblib", "joblib.dump(pair, 'pair.joblib')"), ("cloudpickle", "cloudpickle.dumps(pair)")):
        pytest.importorskip(name)
        shared.ok(f"import {name}; {call}")
    reply = shared.run("late = kling.submit('a late owl')\npickle.dumps(late)")
    assert reply.ename == KlingError.__name__
    assert re.fullmatch(r"Job \d+ is still \w+\. It can be pickled when it is over\.", reply.evalue)
    assert pickle.loads(pickle.dumps(KlingError("one line"))).args == ("one line",)  # noqa: S301
