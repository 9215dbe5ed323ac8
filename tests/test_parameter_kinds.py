"""Adding an input of the model is one row: of each kind it arrives everywhere, and the same from every entry point."""

# ruff: noqa: E501  # a script

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = """PARAMETERS: Mapping[str, Parameter] = _table(
    Parameter("seed", "integer", "start of the noise", minimum=0, flags=("--seed",)),
    Parameter("steps", "integer", "steps of the sampler", 20, 20, minimum=1, maximum=10**6, flags=("--steps",)),
    Parameter("strength", "number", "how far from the source", 0.5, 0.5, minimum=0, maximum=1, flags=("--strength",)),
    Parameter("guidance", "number", "how close to the prompt", flags=("--guidance",)),
    Parameter("tiling", "switch", "whether edges meet", False, False, flags=("--tiling",)),
    Parameter("upscale", "switch", "whether it is enlarged", flags=("--upscale",)),
    Parameter("mood", "choice", "the light", choices=("calm", "stormy"), flags=("--mood",)),
    Parameter("style", "text", "words on the style", flags=("--style",)),
    Parameter("mask", "image", "where to paint", flags=("--mask",)),
"""
EDITS = {
    "api/parameters.py": {"PARAMETERS: Mapping[str, Parameter] = _table(\n": ROWS},
    "sandbox/schema.py": {
        '"additionalProperties": False': '"additionalProperties": True',
        "        if key not in properties:\n": "        if key not in properties:\n            continue\n",
    },
}

WALK = """
import inspect, json, runpy, sys
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
import kling_notebook as kling
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.parameters import PARAMETERS
from kling_notebook.image_files import metadata
from kling_notebook.notebook.magic.options_table import OPTIONS
from kling_notebook.sandbox import Sandbox

Image.new("RGB", (400, 400), "white").save("mask.png")
service = Sandbox(latency=0).start()
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "kling_notebook")
session = kling.connect(api_key=service.key, base_url=service.base_url, requests_per_minute=6000)
given = {"seed": 2**53 + 1, "steps": 1000, "strength": 0.25, "guidance": -7.5, "tiling": True, "upscale": False,
         "mood": "stormy", "style": "ink, dry", "mask": "mask.png"}
seen = {}
asked = session.request("a red fox", **given)
line = "--seed 9007199254740993 --steps 1000 --strength .25 --guidance -7.5 --tiling on --upscale off --mood Stormy"
line += ' --style "ink, dry" --mask mask.png'

python = kling.generate("a red fox", show_progress=False, **given)
magic = shell.run_cell_magic("kling", line + " --quiet", "a red fox")
panel = kling.panel()
panel.form.load({"prompt": "a red fox", **given})
sent = panel.form.request() if hasattr(panel.form, "request") else session.request(**panel.form.values)
batch = kling.batch([{"prompt": "a red fox", **{k: str(v) for k, v in given.items()}}], show_progress=False,
                    **{name: name for name in given})
sweep = kling.sweep("a red fox", show_progress=False, **{name: [value] for name, value in given.items()})
requests = {"python": python.request, "magic": magic.request, "panel": sent, "batch": batch[0].request,
            "sweep": sweep.handles[0].request}
seen["same"] = {name: request == asked for name, request in requests.items()}
seen["estimates"] = kling.estimate("a red fox", **given).images
seen["wire"] = {name: value for name, value in json.loads(json.dumps(dict(python.raw["body"]))).items() if name in given}
seen["metadata"] = metadata.request_of(metadata.read(python[0].path)) == asked
stored = session.record(python.number).request
seen["stored"] = stored == asked and stored.values == asked.values
code = python.code()
made = eval(code.replace("kling.generate", "session.request")) if not code.startswith("%%") else None
seen["code"] = (made or asked) == asked and all(name in code for name in given)
plain = {name: value for name, value in given.items() if name != "guidance"}
cell = kling.generate("an owl", show_progress=False, **plain).code()
seen["cell"] = cell.splitlines()[0]
first, _, body = cell.partition("\\n")
again = shell.run_cell_magic("kling", first.removeprefix("%%kling") + " --quiet", body)
seen["cell again"] = again.request == session.request("an owl", **plain)
seen["defaults"] = session.request("a red fox", steps=20, strength=.5, tiling=False) == session.request("a red fox")
options = {option.key: [option.metavar, option.help, list(option.choices)] for option in OPTIONS if option.key in given}
seen["options"] = options
seen["completion"] = [shell.complete("", "%%kling " + text, len("%%kling " + text))[1] for text in
                      ("--tiling ", "--mood ", "--seed ", "--steps ", "--st")]
seen["signature"] = [name in inspect.signature(kling.generate).parameters for name in given]
frame = kling.history()
seen["history"] = {name: [str(frame[name].dtype), str(frame[name].iloc[0])] for name in given}
images = kling.images()
seen["images"] = [name in images for name in given]
manual = runpy.run_path(sys.argv[1])["tables"]()["| Option | Meaning |"]
seen["docs"] = [any(row.startswith("| `--" + name) for row in manual) for name in given]
refused = {}
for name, value in {"seed": -1, "steps": 0, "strength": 1.5, "guidance": "nan", "tiling": "maybe", "upscale": 2,
                    "mood": "wet", "style": 3, "mask": "nowhere.png"}.items():
    try:
        session.request("a fox", **{name: value})
    except kling.InputError as error:
        refused[name] = [error.parameter, str(error)]
seen["refused"] = refused
shell.run_line_magic("unload_ext", "kling_notebook")
session.close()
service.stop()
print()
print(json.dumps(seen))
"""


def test_a_parameter_of_each_kind_walks_through_everything(run_variant: Callable[..., Any]) -> None:
    seen = run_variant(WALK, EDITS, str(Path(__file__).parent / "test_docs.py"))
    assert seen["same"] == dict.fromkeys(("python", "magic", "panel", "batch", "sweep"), True)
    assert seen["estimates"] == 1
    wire = seen["wire"]
    assert wire.pop("mask").startswith("sha256:")
    assert wire == {
        "seed": 2**53 + 1,
        "steps": 1000,
        "strength": 0.25,
        "guidance": -7.5,
        "tiling": True,
        "upscale": False,
        "mood": "stormy",
        "style": "ink, dry",
    }
    assert seen["metadata"]
    assert seen["stored"]
    assert seen["code"], "a Python call: a negative number cannot stand in a line of options"
    assert seen["cell"].startswith("%%kling ")
    assert seen["cell again"]
    assert seen["defaults"], "what equals leaving it out is the request without it"
    assert seen["options"]["seed"] == ["N", "start of the noise: 0 or more", []]
    assert seen["options"]["steps"] == ["N", "steps of the sampler: 1 to 1000000 (default 20)", []]
    assert seen["options"]["strength"] == ["X", "how far from the source: 0 to 1 (default 0.5)", []]
    assert seen["options"]["tiling"][::2] == ["on|off", ["on", "off"]]
    assert seen["options"]["mask"][0] == "SOURCE"
    tiling, mood, seed, steps, names = seen["completion"]
    assert {"on", "off"} <= set(tiling)
    assert {"calm", "stormy"} <= set(mood)
    assert {*seed, *steps} <= {""}, "no range of numbers is listed"
    assert {"--strength", "--steps", "--style"} <= set(names)
    assert all(seen["docs"]), "each has its row in the table that `python tests/test_docs.py` writes"
    assert all(seen["signature"])
    assert all(seen["images"])
    history = seen["history"]
    assert [history[name][0] for name in ("seed", "steps", "strength", "guidance", "tiling", "upscale")] == [
        "Int64", "Int64", "float64", "float64", "boolean", "boolean"
    ]  # fmt: skip
    assert [history[name][1] for name in ("seed", "strength", "tiling", "upscale", "mood", "mask")] == [
        str(2**53 + 1), "0.25", "True", "False", "stormy", "mask.png"
    ]  # fmt: skip
    assert {name: parameter for name, (parameter, _) in seen["refused"].items() if parameter != "image"} == {
        name: name for name in ("seed", "steps", "strength", "guidance", "tiling", "upscale", "mood", "style")
    }
    assert seen["refused"]["seed"][1] == "seed must be a whole number, 0 or more, not -1."
    assert seen["refused"]["strength"][1] == "strength must be a number from 0 to 1, not 1.5."
    assert "mask" in seen["refused"]
