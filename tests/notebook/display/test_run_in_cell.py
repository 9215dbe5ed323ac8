"""Many jobs in a real kernel: it stays alive, one line of progress each, handles to wait for, axes of every kind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from kling_notebook.sandbox import Fault

MANY = 32


@cache
def plain(output_format: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (256, 256), "#446688").save(out, output_format.upper())
    return out.getvalue()


def paint(prompt: str, *, output_format: str, **_: Any) -> bytes:
    """What the images show does not matter here."""
    return plain(output_format)


@pytest.fixture
def quick(on, make_sandbox):
    """A kernel and its service: ``kernel, service = quick(latency=5)``; the pace is for others to test."""

    def connect(**options: Any):
        service = make_sandbox(paint=paint, **options)
        kernel = on(service)
        kernel.ok("import kling_notebook as kling\n%config KlingMagics.requests_per_minute = 6000")
        return kernel, service

    return connect


@pytest.fixture
def kling(make_sandbox, tmp_path) -> Iterator[Any]:
    """The package, connected to a service that takes a second for a job; no kernel."""
    import kling_notebook
    from kling_notebook.session import current

    service = make_sandbox(paint=paint, latency=1.0)
    kling_notebook.connect(
        api_key=service.key, base_url=service.base_url, folder=tmp_path / "images", requests_per_minute=6000
    )
    kling_notebook.service = service
    yield kling_notebook
    del kling_notebook.service
    current._session.close()
    current._session = None


# the kernel meanwhile -------------------------------------------------------------------------------------------------


def test_the_kernel_answers_while_32_jobs_run_and_their_cell_fills_in(quick):
    kernel, service = quick(latency=6.0)
    started = kernel.ok("%%kling --no-wait --max-credits 32 --sweep sample=32 -o grid\na fox")
    assert started.seconds < 4
    kernel.until(lambda: service.count("submit") == MANY)
    answers = sorted(kernel.ok("1 + 1").seconds for _ in range(20))
    assert kernel.ok("print(sum(not handle.done() for handle in grid.handles))").text.strip() == str(MANY)
    # On an idle machine 50 ms; here other tests run beside it, and a kernel that waits would take seconds.
    assert answers[len(answers) // 2] < 0.5, answers
    kernel.until(lambda: "0 of 32 completed · 32 running" in started.text)  # the last replies may still be on their way
    assert started.html.count("progressbar") == 9, "one for all, and the eight that move most"
    assert "and 24 more: 24 running" in started.text
    kernel.until(lambda: "<img" in started.html, timeout=60)
    assert started.html.count("<img") == MANY
    assert kernel.ok("print(len(grid.done), len(grid.missing))").text.strip() == "32 0"
    assert service.count("submit") == MANY


def test_several_prompts_have_a_line_each_and_one_for_all(quick):
    kernel, service = quick(latency=2.0, faults=[Fault("submit", "failed", at=2)])
    kernel.ok("%config KlingMagics.in_flight = 1")  # so that the second prompt is the second submit
    cell = kernel.send("%%kling --no-wait -o trio\na fox\n---\nan owl, asleep\n---\na cat")
    reply = kernel.wait(cell)
    kernel.until(lambda: service.count("submit") == 1)
    kernel.until(lambda: "running" in reply.text)
    assert reply.html.count("progressbar") == 4
    assert re.search(r"0 of 3 completed · 1 running, 2 queued", reply.text)
    for prompt in ("a fox", "an owl, asleep", "a cat"):
        assert re.search(rf"\[[#.-]+\] \d+ · prompt={prompt} · ", reply.text), "with the number that %kling show takes"
    assert "3 jobs, 3 images, about 3 credits" in reply.text
    kernel.until(lambda: reply.html.count("<img") == 2, timeout=60)
    assert "1 of 3 jobs did not succeed" in reply.text
    assert "✕ failed" in reply.html, "the failed job has its own place"
    assert kernel.ok("print([result and result.request.prompt for result in trio])").text.strip() == (
        "['a fox', None, 'a cat']"
    )


def test_one_interrupt_stops_waiting_for_all_and_counts_those_that_continue(quick):
    kernel, service = quick(latency=6.0)
    cell = kernel.send("%%kling --max-credits 12 --sweep sample=12 -o grid\na fox")
    kernel.until(lambda: service.count("submit") == 12)
    kernel.drain(0.5)
    kernel.interrupt()
    reply = kernel.wait(cell)
    assert reply.ename == "Interrupted"
    assert re.search(r"12 jobs keep running \((\d+, ){2}\d+ and 9 more\); %kling resume", reply.evalue)
    assert "12 not waited for" in reply.text
    assert "job_" not in reply.text
    assert kernel.ok("for handle in grid.handles: handle.result(60)\nprint(len(grid.done))").text.strip() == "12"
    assert service.count("submit") == 12


def test_a_handle_is_asked_again_after_an_interrupt(quick):
    kernel, service = quick(latency=4.0)
    cell = kernel.send("fox = kling.submit('a fox')\nfox.result()")
    kernel.until(lambda: service.count("submit") == 1)
    kernel.drain(0.5)
    kernel.interrupt()
    assert kernel.wait(cell).ename == "KeyboardInterrupt"
    assert kernel.ok("fox").text.startswith("<JobHandle 1 running job_")
    assert "Job 1 is still running" in kernel.run("fox.result(0.1)").evalue
    assert kernel.ok("print(len(fox.result(60)))").text.strip() == "1"
    assert service.count("submit") == 1


def test_handles_are_gathered_and_cancelled_in_a_kernel(quick):
    kernel, service = quick(latency=2.0)
    kernel.ok("import asyncio")
    kernel.ok("handles = [kling.submit(f'a fox {k}') for k in range(4)]")
    kernel.ok("task = asyncio.create_task(asyncio.wait_for(handles[0], 60))\nawait asyncio.sleep(0.2)\ntask.cancel()")
    gathered = kernel.ok("print([one.request.prompt for one in await asyncio.gather(*handles)])")
    assert gathered.text.strip() == "['a fox 0', 'a fox 1', 'a fox 2', 'a fox 3']"
    assert kernel.ok("print(task.cancelled(), handles[0].cancelled())").text.strip() == "True False"
    assert service.count("submit") == 4


# handles are futures --------------------------------------------------------------------------------------------------


def test_handles_come_back_as_they_are_done_and_are_waited_for(kling):
    handles = [kling.submit(f"a fox {k}") for k in range(3)]
    assert {handle.result().number for handle in concurrent.futures.as_completed(handles, timeout=60)} == {1, 2, 3}
    done, late = concurrent.futures.wait([*handles, kling.submit("an owl")], return_when="FIRST_COMPLETED")
    assert (len(done), len(late)) == (3, 1)


def test_cancelling_who_awaits_cancels_nothing(kling):
    """Not even a request that was not sent yet, which cancelling the handle itself would take back."""
    kling.current_session().configure(in_flight=1)

    async def impatient() -> str:
        kling.submit("an owl before it")
        handle = kling.submit("a fox")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await handle
        waiting = asyncio.ensure_future(asyncio.gather(handle, handle))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert kling.service.count("submit") == 1
        return repr(await handle)

    assert asyncio.run(impatient()) == "<Result 2: 1 image of 'a fox'>"
    assert kling.service.count("submit") == 2


def test_a_failed_job_raises_for_its_own_handle_only(kling):
    kling.service.add_fault(Fault("submit", "failed", at=1, error="content policy"))
    bad, good = kling.submit("a fox"), kling.submit("an owl")
    concurrent.futures.wait([bad, good], timeout=60)
    outcomes = {type(handle.exception()).__name__ for handle in (bad, good)}
    assert outcomes == {"NoneType", "JobFailedError"}


SCRIPT = """
import kling_notebook as kling
kling.connect(sandbox=True)
kling.sweep("a {x}", x=["fox", "owl"])
"""


def test_a_script_is_told_the_cost_before_anything_else(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    plan, sandbox, start, end = ran.stderr.splitlines()
    assert plan.startswith("kling: 2 jobs, 2 images, free on the sandbox")
    assert sandbox.startswith("kling: Sandbox: images are painted on this machine")
    assert (start, end) == ("kling: 0 of 2 completed · 2 queued", "kling: 2 of 2 completed")
    assert ran.stdout == ""


# axes -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asking(shared_service):
    """A kernel whose cells here send nothing, with variables to take axes from."""
    kernel, service = shared_service
    kernel.ok(
        "import kling_notebook as kling, numpy as np, pandas as pd\n"
        "frame = pd.DataFrame({'animal': ['red fox, asleep', 'an \"owl\"'], 'size': [1, 2]})\n"
        "column, sizes, table = frame['animal'], frame['size'].to_numpy(), frame\nnumbers = list(sizes)\n"
        "odd = ['a, b', 'the \"owl\"', \"it's\", 'two\\nlines', '{animal} {x}', 'שועל 🦊 狐', '<b>&amp;']\n"
        "hundred = list(range(100))"
    )
    yield kernel, service
    assert service.count("submit") == 0


@pytest.mark.parametrize("axis", ["column", "sizes", "numbers"])
def test_columns_and_arrays_of_the_notebook_are_axes(asking, axis):
    kernel, _ = asking
    reply = kernel.ok(f"%%kling --dry-run --sweep animal=${axis}\na {{animal}}")
    assert "2 jobs, 2 images" in reply.text
    assert ("a red fox, asleep" if axis == "column" else "a 1") in reply.text


def test_a_whole_table_is_not_an_axis(asking):
    kernel, _ = asking
    assert "$table is a table" in kernel.run("%%kling --dry-run --sweep animal=$table\na {animal}").evalue
    reply = kernel.run("kling.estimate('a {animal}', animal=frame)")
    assert reply.ename == "InputError"
    assert "Give one column of it" in reply.evalue


def test_any_text_is_a_value_and_arrives_as_it_is(asking):
    kernel, _ = asking
    reply = kernel.ok("%%kling --dry-run --quiet --sweep animal=$odd\n{animal} in {animals}")
    assert reply.text.startswith("Estimate(jobs=7, images=7, credits=7.0, seconds=None, reused=0, free=False")
    shown = kernel.ok("%%kling --dry-run --sweep animal=$odd\n{animal} in {animals}")
    for words in ("a, b in {animals}", 'the "owl" in', "it's in", "two lines in", "{animal} {x} in", "שועל 🦊 狐 in"):
        assert words in shown.text
    assert "<b>&amp;amp;" not in shown.html
    assert "&lt;b&gt;&amp;amp; in" in shown.html
    typed = """%%kling --dry-run --sweep animal=['a, b', "it's", "two\\nlines"] --sweep x="c, d",e\n{animal} {x}"""
    shown = kernel.ok(typed)
    assert "3 x 2 = 6 jobs" in shown.text
    for words in ("a, b c, d", "it's e", "two lines c, d"):
        assert words in shown.text


def test_a_placeholder_named_like_a_keyword_goes_through_axes(asking):
    kernel, _ = asking
    code = "print(kling.estimate('a {timeout} {x}', {'timeout': ['fox', 'owl']}, x=(word for word in 'ab')).jobs)"
    assert kernel.ok(code).text.strip() == "4"


def test_ten_thousand_combinations_are_priced_and_refused_before_anything_is_sent(asking):
    kernel, _ = asking
    cell = "--sweep a=$hundred --sweep b=$hundred\n{a} and {b}"
    planned = kernel.ok(f"%%kling --dry-run {cell}")
    assert "100 x 100 = 10000 jobs" in planned.text
    assert "about 10000 credits, at least 5 h 32 min at 60 requests a minute" in planned.text
    assert "and 9950 more" in planned.text
    assert len(planned.html) < 60_000
    refused = kernel.run(f"%%kling {cell}")
    assert refused.ename == "BudgetExceededError"
    assert "--max-credits 10000" in refused.evalue
    assert "at most 10000 go in one sweep" in kernel.run(f"%%kling --sweep sample=2 {cell}").evalue
    assert "No jobs" in kernel.ok("%kling history --all").text, "refused jobs leave no rows"
