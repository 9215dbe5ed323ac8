"""A later version has another table of parameters. What an earlier one paid for is found, shown and protected by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kling_notebook.api.job import JobStatus
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

NEW_ROWS = """PARAMETERS: Mapping[str, Parameter] = _table(
    Parameter("steps", "integer", "steps", 30, 20, minimum=1, maximum=99, flags=("--steps",)),
    Parameter("seed", "integer", "seed", minimum=0, maximum=2**63, flags=("--seed",)),
"""
ANOTHER_DEFAULT = {
    "PARAMETERS: Mapping[str, Parameter] = _table(\n": NEW_ROWS,
    '"1K",\n        "1K",\n': '"2K",\n        "1K",\n',
}
NARROWER = {
    'choices=("1K", "2K")': 'choices=("2K",)',
    "maximum=9,": "maximum=2,",
    'choices=("png", "jpeg", "webp")': 'choices=("png", "jpeg")',
}

LATER = """
import json, sys
import kling_notebook as kling
from kling_notebook.api.errors import KlingError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.session.session import Session

session = Session(json.loads(sys.argv[1]))
seen = {"rows": [row.number for row in session.rows()], "notices": session.pop_notices()}
stored = {number: session.record(number).request for number in seen["rows"]}
as_before = [GenerationRequest.from_json(stored[number].as_json()) for number in (1, 4)]
seen["same"] = [request == stored[number] for request, number in zip(as_before, (1, 4))]
call = session.start([stored[1], stored[4]], source="python", reuse=True)
seen["shown again"] = [handle.result(timeout=60).number for handle in call.handles[:1]]
seen["unconfirmed"] = call.handles[1].exception(timeout=60).maybe_submitted
seen["new seed differs"] = GenerationRequest("a red fox", steps=20, seed=1) != GenerationRequest("a red fox", steps=20)
resumed = session.resume(3).handles[0].result(timeout=60)
seen["resumed"] = [resumed.number, len(resumed), resumed.request.output_format, resumed.code()]
history = session.history(everything=True)
seen["history"] = [history["resolution"].tolist(), history["num_outputs"].tolist()]
seen["shown"] = [len(session.result(2)), session.result(2)[0].caption, repr(session.result(2).request)]
seen["images"] = len(session.result(2).bundle()["text/html"]) > 1000
session.close()
print(json.dumps(seen))
"""


def test_a_new_parameter_a_changed_default_and_a_narrower_range_change_nothing_that_was_paid_for(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session], run_variant: Callable[..., Any]
) -> None:
    sandbox = make_sandbox(faults=[Fault("submit", "drop_after", at=4)])
    session = make_session(sandbox)
    asked: list[dict[str, Any]] = [{}, {"num_outputs": 3, "output_format": "webp"}, {"num_outputs": 4}, {}]
    for number, parameters in enumerate(asked, 1):
        prompt = f"fox {number}"
        session.start([session.request(prompt, **parameters)], source="python").handles[0].exception(timeout=60)
    for image in session.result(3):
        image.path.unlink()
    session.journal.settle(3, JobStatus.PAUSED, JobStatus.COMPLETED)
    session.close()
    settings = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(session.folder)}

    seen = run_variant(LATER, {"api/parameters.py": ANOTHER_DEFAULT | NARROWER}, json.dumps(settings))

    assert sandbox.count("submit") == 4, "nothing was paid for again, and the unconfirmed one was not sent again"
    assert seen["rows"] == [4, 3, 2, 1]
    assert not any("cannot be read" in notice for notice in seen["notices"])
    assert seen["same"] == [True, True]
    assert seen["shown again"] == [1]
    assert seen["unconfirmed"] is True
    assert seen["new seed differs"] is True
    assert seen["resumed"][:3] == [3, 4, "png"]
    assert "--num-outputs 4" in seen["resumed"][3]
    assert seen["history"] == [["1K"] * 4, [1, 3, 4, 1]]
    assert seen["shown"][0] == 3
    assert seen["images"]


REQUESTED_ANEW = """
import json, sys
from kling_notebook.session.session import Session
session = Session(json.loads(sys.argv[1]))
asked = [session.request("a red fox", resolution="1K", steps=20, seed=seed) for seed in (None, 7)]
call = session.start(asked[:1], source="python", reuse=True)
print(json.dumps([call.handles[0].result(timeout=60).number, session.estimate(asked, reuse=True).jobs]))
session.close()
"""


def test_the_same_request_made_with_another_table_is_found(
    sandbox: Sandbox, make_session: Callable[..., Session], run_variant: Callable[..., Any]
) -> None:
    """The default has become 2K: who asks for 1K means what leaving it out meant. A new parameter at the value that
    leaving it out means is the request without it."""
    session = make_session(sandbox)
    session.start([session.request("a red fox")], source="python").handles[0].result(timeout=60)
    session.close()
    settings = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(session.folder)}
    table = {"api/parameters.py": ANOTHER_DEFAULT}

    assert run_variant(REQUESTED_ANEW, table, json.dumps(settings)) == [1, 1], "job 1 again; seed 7 would be new"
    assert sandbox.count("submit") == 1
