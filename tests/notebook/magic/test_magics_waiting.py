"""Cells that wait, fail or are interrupted, in a real kernel, against a sandbox that counts what arrives."""

from __future__ import annotations

import re
import time

import pytest

from kling_notebook.sandbox import Fault

# waiting --------------------------------------------------------------------------------------------------------------


def test_queued_cells_run_in_order_and_the_users_tasks_tick(on, make_sandbox):
    kernel = on(make_sandbox(latency=2.0))
    kernel.ok("import asyncio; ticks, order = [], []")
    kernel.ok("async def tick():\n    while True:\n        ticks.append(1); await asyncio.sleep(0.05)")
    kernel.ok("task = asyncio.create_task(tick())")
    first = kernel.send("n = len(ticks); get_ipython().run_cell_magic('kling', '-o fox', 'a fox'); order.append('fox')")
    second = kernel.send("order.append('second'); print(len(ticks) - n)")
    third = kernel.send("%%kling -o owl\nan owl")
    last = kernel.send("order.append('last'); print(order, fox.number, owl.number)")
    assert kernel.wait(first).status == "ok"
    assert int(kernel.wait(second).text) > 15
    assert kernel.wait(third).status == "ok"
    assert kernel.wait(last).text.strip() == "['fox', 'second', 'last'] 1 2"
    kernel.ok("task.cancel()")


def test_an_interrupt_stops_the_waiting_and_resume_collects(on, make_sandbox):
    service = make_sandbox(latency=8.0)
    kernel = on(service)
    cell = kernel.send("%%kling -o fox\na fox")
    kernel.until(lambda: service.count("submit") == 1)
    kernel.drain(0.7)
    kernel.interrupt()
    interrupted = time.monotonic()
    reply = kernel.wait(cell)
    assert time.monotonic() - interrupted < 5  # and not the eight seconds of the job
    assert reply.ename == "Interrupted"
    assert len(reply.traceback) == 1
    assert re.search(r"Job \d+ keeps running; %kling resume shows its images\.", reply.evalue)
    assert "not waited for" in reply.html
    assert kernel.ok("print(type(fox).__name__)").text.strip() == "JobHandle"
    resumed = kernel.ok("%kling resume")
    assert resumed.html.count("<img") == 1
    assert service.count("submit") == 1
    assert kernel.ok("print(len(fox.result()))").text.strip() == "1"


def test_an_interrupt_of_a_sweep_cancels_what_was_not_sent(on, make_sandbox):
    service = make_sandbox(latency=30.0)
    kernel = on(service)
    kernel.ok("%config KlingMagics.in_flight = 2")
    cell = kernel.send("%%kling --sweep sample=6\na fox")
    kernel.until(lambda: service.count("submit") == 2)
    kernel.drain(0.5)
    kernel.interrupt()
    reply = kernel.wait(cell)
    assert "4 requests were cancelled before being sent. 2 jobs keep running" in reply.evalue
    kernel.drain(1.0)
    assert service.count("submit") == 2


def test_a_loop_over_prompts_stops_at_the_first_interrupt(on, make_sandbox):
    service = make_sandbox(latency=30.0)
    kernel = on(service)
    kernel.ok("import kling_notebook as kling")
    cell = kernel.send(
        "for k in range(5):\n    try:\n        kling.generate(f'a fox {k}')\n    except Exception:\n        pass"
    )
    kernel.until(lambda: service.count("submit") == 1)
    kernel.drain(0.5)
    kernel.interrupt()
    assert kernel.wait(cell).ename == "Interrupted"
    kernel.drain(0.5)
    assert service.count("submit") == 1


def test_a_time_out_is_of_the_waiting_and_not_of_the_job(on, make_sandbox):
    service = make_sandbox(latency=6.0)
    kernel = on(service)
    reply = kernel.run("%%kling --timeout 2\na fox")
    assert reply.ename == "StillRunningError"
    assert reply.seconds < 5.9
    assert "Job 1 keeps running" in reply.evalue
    assert "<img" in kernel.ok("%kling resume 1").html
    again = kernel.ok("%kling resume 1")
    assert "<img" in again.html
    assert "Job 1: all its images are here already" in again.text
    assert service.count("submit") == 1


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


# what the service says of the images ----------------------------------------------------------------------------------


def test_what_the_images_do_not_show_stands_in_progress_caption_and_result(on, make_sandbox):
    """The sandbox's own painter says what it has not drawn; any service may."""
    words = "The sandbox has not drawn: zorble."
    kernel = on(make_sandbox(paint=None, latency=1.5))
    reply = kernel.ok("%%kling -o fox\na zorble beside a fox")
    assert words in reply.html.partition("<img")[2], "under the image"
    shown = [str(message["content"]) for _, message in reply.messages]
    assert any(words in text and "<img" not in text for text in shown), "while it runs"
    assert kernel.ok("print(fox.warnings, fox.reused)").text.strip() == f"({words!r},) False"
    again = kernel.ok("%%kling --reuse -o again\na zorble beside a fox")
    assert words in again.html
    assert kernel.ok("print(again.warnings, again.reused)").text.strip() == f"({words!r},) True", "from the journal"
    kernel.ok("%%kling -o owl\nan owl")
    assert kernel.ok("print(owl.warnings)").text.strip() == "()"


# failing --------------------------------------------------------------------------------------------------------------


def test_a_failed_job_says_why_and_leaves_its_handle(on, make_sandbox):
    kernel = on(make_sandbox(faults=[Fault("submit", "failed")]))
    reply = kernel.run("%%kling -o fox\na fox")
    assert reply.ename == "JobFailedError"
    assert len(reply.traceback) == 1
    assert "failed" in reply.html
    assert kernel.ok("print(type(fox).__name__, fox.number)").text.strip() == "JobHandle 1"


def test_one_failed_job_of_a_sweep_is_a_failed_tile(on, make_sandbox):
    kernel = on(make_sandbox(faults=[Fault("submit", "failed", at=2)]))
    reply = kernel.ok("%%kling --sweep animal=fox,owl,cat -o grid\na {animal}")
    assert reply.html.count("<img") == 2
    assert "1 of 3 jobs did not succeed" in reply.text
    assert kernel.ok("print(len(grid.missing), len(grid.done))").text.strip() == "1 2"


def test_what_a_job_that_failed_among_others_says_to_do_is_kept(on, make_sandbox):
    """Its last sentence, before what helps in any case."""
    kernel = on(make_sandbox(credits=2))
    kernel.ok("%config KlingMagics.in_flight = 1")
    reply = kernel.ok("%%kling --sweep animal=fox,owl,cat\na {animal}")
    assert "1 of 3 jobs did not succeed (Not enough credits" in reply.text
    assert "More credits are needed; nothing was bought. Run it again to make only what" in reply.text


def test_resume_says_of_what_failed_that_collecting_buys_nothing(on, make_sandbox):
    """It message to run it again to buy what is missing: resume buys nothing."""
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


def test_a_dropped_submit_is_told_and_not_sent_again(on, make_sandbox):
    service = make_sandbox(faults=[Fault("submit", "drop_after")])
    kernel = on(service)
    reply = kernel.run("%%kling -o fox\na fox")
    assert reply.status == "error"
    assert service.count("submit") == 1
    assert kernel.ok("print(fox.exception().maybe_submitted)").text.strip() == "True"
    assert "unconfirmed" in kernel.ok("%kling status").text
    assert "dismissed" in kernel.ok("%kling dismiss 1").text
    assert "Job 1" not in kernel.ok("%kling status").text, "only what is unconfirmed is named"


def test_run_all_stops_at_the_failing_cell(tmp_path, service, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("PIXELDOJO_API_BASE", service.base_url)
    monkeypatch.setenv("PIXELDOJO_API_KEY", service.key)
    cells = ["%load_ext kling_notebook", "%%kling\na fox", "%%kling -n 12\na fox", "print('never')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="from 1 to 9"):
        nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert notebook.cells[3].outputs == []
    assert [set(output.data) >= {"image/jpeg"} for output in notebook.cells[1].outputs] == [False, True]
    assert service.key not in nbformat.writes(notebook)
    assert "widgets" not in notebook.metadata


# who is there ---------------------------------------------------------------------------------------------------------


def test_without_a_key_a_person_gets_the_sandbox_and_one_visible_line(make_kernel):
    kernel = make_kernel()
    kernel.ok("%load_ext kling_notebook")
    first, second = kernel.ok("%%kling\na fox"), kernel.ok("%%kling\na fox")
    assert first.text.count("nothing is billed") == 1
    assert "nothing is billed" not in second.text
    assert "sandbox" in second.html


def test_without_a_key_and_with_no_one_present_nothing_is_painted_by_accident(make_kernel):
    kernel = make_kernel()
    kernel.ok("%load_ext kling_notebook")
    reply = kernel.run("%%kling\na fox", person=False)
    assert reply.ename == "SettingsError"
    for words in ("PIXELDOJO_API_KEY", "KLING_SANDBOX=1"):
        assert words in reply.evalue


def test_the_visible_line_is_not_lost_when_the_first_cell_is_quiet(make_kernel):
    kernel = make_kernel()
    kernel.ok("%load_ext kling_notebook")
    kernel.ok("%%kling --quiet\na fox")
    assert "nothing is billed" in kernel.ok("%%kling\nan owl").text
