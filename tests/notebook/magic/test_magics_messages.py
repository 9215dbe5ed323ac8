"""What a cell tells of its images, of jobs that failed, and of the sandbox, in a real kernel."""

from __future__ import annotations

import pytest

from kling_notebook.sandbox import Fault

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
