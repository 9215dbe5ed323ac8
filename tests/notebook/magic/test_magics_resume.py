"""Jobs that no cell waits for any more, or never did: %kling resume, --no-wait."""

from __future__ import annotations

import pytest

from kling_notebook.sandbox import Fault


@pytest.mark.parametrize(
    "resume",
    [
        "%kling resume",
        pytest.param("import kling_notebook as kling\ndone = kling.resume()", marks=pytest.mark.long),
    ],
)
def test_resume_shows_what_was_done_after_the_waiting_for_it_stopped(on, make_sandbox, resume):
    """As the line says that named the job: it reported "Nothing is left to fetch." of an image no one had seen."""
    service = make_sandbox(latency=4.0)
    kernel = on(service)
    assert "%kling resume shows its image" in kernel.run("%%kling --timeout 2 -o fox\na fox").evalue
    kernel.ok("fox.result()\nNone")
    assert kernel.ok(resume).html.count("<img") == 1
    assert "Nothing is left to fetch" in kernel.ok("%kling resume").text, "shown once"
    assert service.count("submit") == 1


def test_resume_shows_together_what_is_done_and_what_keeps_running(on, make_sandbox):
    service = make_sandbox(latency=3.0)
    kernel = on(service)
    kernel.run("%%kling --timeout 1.5 -o fox\na fox")
    kernel.ok("fox.result()\nNone")
    kernel.run("%%kling --timeout 1.5\nan owl")
    assert kernel.ok("%kling resume").html.count("<img") == 2
    assert service.count("submit") == 2


def test_no_wait_fills_in_its_own_cell_whatever_runs_meanwhile(on, make_sandbox):
    kernel = on(make_sandbox(latency=4.0))
    started = kernel.ok("%%kling --no-wait -o fox\na fox")
    assert started.seconds < 3.9
    assert "<img" not in started.html
    assert kernel.ok("print(type(fox).__name__, fox.done())").text.strip() == "JobHandle False"
    busy = kernel.ok("%%capture caught\nimport time\nwhile not fox.done(): time.sleep(0.1)\ntime.sleep(0.5)")
    kernel.until(lambda: "<img" in started.html)
    assert busy.outputs == []
    assert kernel.ok("print(len(fox.result()), len(caught.outputs))").text.strip() == "1 0"


def test_no_wait_with_no_one_present_waits(on, make_sandbox):
    kernel = on(make_sandbox(latency=1.5))
    assert "<img" in kernel.ok("%%kling --no-wait\na fox", person=False).html


def test_resume_says_of_what_failed_that_collecting_buys_nothing(on, make_sandbox):
    """It told to run it again, which buys what is missing: resume buys nothing."""
    service = make_sandbox(latency=3.0, faults=[Fault("submit", "failed", at=2)])
    kernel = on(service)
    cell = kernel.send("%%kling --sweep animal=fox,owl\na {animal}")
    kernel.until(lambda: service.count("submit") == 2)
    kernel.drain(0.5)
    kernel.interrupt()
    kernel.wait(cell)
    reply = kernel.ok("%kling resume")
    assert "1 of 2 jobs did not succeed" in reply.text
    assert "Fetching again costs nothing: `%kling status` says what is left of them." in reply.text
    assert "Run it again" not in reply.text
