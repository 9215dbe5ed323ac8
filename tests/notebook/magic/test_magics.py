"""The magics in a real kernel, against a sandbox that counts what arrives."""

from __future__ import annotations

import re
import time

import pytest

from kling_notebook.notebook.magic.subcommands import SUBCOMMANDS
from kling_notebook.sandbox import Fault


def submits(service) -> int:
    return service.count("submit")


@pytest.fixture
def service(make_sandbox):
    return make_sandbox()


@pytest.fixture
def kernel(on, service):
    return on(service)


# a prompt in a cell ---------------------------------------------------------------------------------------------------


def test_a_cell_becomes_a_grid_and_a_variable(kernel, service):
    reply = kernel.ok('%%kling --aspect-ratio 16:9 -n 4 -o fox\nA mountain, {literally} $5 "quoted" #1\nat dusk')
    hint, progress, result = reply.outputs
    assert "{literally} is sent as it is" in hint["data"]["text/plain"]
    assert progress["data"] == {}, "it has gone, and the result is an output of its own"
    assert reply.html.count("<img") == 4
    assert set(result["data"]) == {"text/html", "image/jpeg", "text/plain"}
    facts = kernel.ok("print(type(fox).__name__, len(fox), fox.request.aspect_ratio, repr(fox.request.prompt))").text
    assert facts.strip() == "Result 4 16:9 " + repr('A mountain, {literally} $5 "quoted" #1\nat dusk')
    assert kernel.ok("print(all(p.path.exists() for p in fox))").text.strip() == "True"
    assert submits(service) == 1


def test_only_a_line_feed_ends_a_line_of_the_prompt(kernel):
    """Whatever else Python takes for the end of a line became one; the prompt is taken literally."""
    prompt = "a fox\u2028in snow\x85at dawn\x0cin ink"
    kernel.ok(f"%%kling -o fox\n{prompt}\nas a print")
    kernel.ok("%%kling -o crlf\na fox\r\nat dawn\r\n---\r\nan owl")
    assert kernel.ok("print(ascii(fox.request.prompt))").text.strip() == ascii(f"{prompt}\nas a print")
    assert kernel.ok("print(ascii(crlf.axes))").text.strip() == "{'prompt': ('a fox\\nat dawn', 'an owl')}"


def test_the_line_is_not_expanded_by_ipython(kernel):
    kernel.ok("x = 'EXPANDED'")
    kernel.ok('%%kling --negative "{x} $x" -o fox\na {x} $x')
    assert kernel.ok("print(fox.request.prompt, '|', fox.request.negative_prompt)").text.strip() == "a {x} $x | {x} $x"


def test_fill_takes_the_users_variables(kernel):
    kernel.ok("animal, n = 'red fox', 3")
    kernel.ok("%%kling --fill -o fox\n{n} {animal} {unknown}")
    assert kernel.ok("print(fox.request.prompt)").text.strip() == "3 red fox {unknown}"
    kernel.ok("import numpy as np\nn, s = np.int64(3), '{animal}'")
    kernel.ok("%%kling --fill --sweep animal=hen -o hens\n{n} times {s} for a {animal}")
    assert kernel.ok("print(hens[0].request.prompt)").text.strip() == "3 times {animal} for a hen"


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%%kling\n   \n", "prompt is empty"),
        ("%%kling -a 5:4\na fox", "5:4"),
        ("%%kling -n 0\na fox", "from 1 to 9"),
        ("%%kling -n 12\na fox", "from 1 to 9"),
        ("%%kling -f jpg\na fox", "Did you mean jpeg?"),
        ('%%kling --negative "blurry\na fox', "not closed"),
        ("%%kling --aspect 1:1\na fox", "Did you mean --aspect-ratio?"),
        ("%%kling -n 2 \\\n-a 1:1\na fox", "backslash"),
        ("%%kling --sweep animal=fox,owl\na {animl}", "animal"),
        ("%%kling --sweep aspect_ratio=1:1,1:2\na fox", "1:2"),
        ("%%kling --sweep prompt=a,b\na fox", "--sweep name=a,b"),
        ("%%kling --image nowhere.png\na fox", "nowhere.png"),
        ("%%kling --image last\na fox", "last"),
        ("pic = None\nget_ipython().run_cell_magic('kling', '--image pic', 'a fox')", "pic is None"),
        ("%%kling --max-credits 1 -n 2\na fox", "--max-credits 2"),
        ("%%kling -n 9 --sweep sample=4\na fox", "--max-credits 36"),
    ],
)
def test_bad_input_is_one_line_and_a_failed_cell_and_nothing_is_sent(shared_service, cell, says):
    kernel, service = shared_service
    before = submits(service)
    reply = kernel.run(cell)
    assert reply.status == "error"
    assert len(reply.traceback) == 1
    assert "\n" not in reply.traceback[0].strip()
    assert says in reply.traceback[0]
    assert reply.traceback[0].startswith(f"{reply.ename}: ")
    assert submits(service) == before


def test_every_subcommand_says_how_it_is_used(kernel):
    for name, row in SUBCOMMANDS.items():
        for flag in ("--help", "-h"):
            shown = kernel.ok(f"%kling {name} {flag}").text
            assert shown.startswith(f"%kling {name}")
            assert row.help in shown


def test_help_is_asked_for_among_other_words_and_a_note_may_hold_any(kernel):
    assert kernel.ok("%kling history --all --help").text.startswith("%kling history [options]")
    kernel.ok("%%kling\na fox")
    kernel.ok("%kling note 1 --help is a word")
    assert (
        "--help is a word"
        in kernel.ok("import kling_notebook as k\nprint(k.history(everything=True)['note'].iloc[0])").text
    )


# showing --------------------------------------------------------------------------------------------------------------


def test_quiet_shows_nothing_and_is_the_cells_value(kernel):
    reply = kernel.ok("%%kling --quiet -o fox\na fox")
    assert reply.outputs == []
    assert kernel.ok("print(_ is fox, len(fox))").text.strip() == "True 1"
    kernel.ok("x = get_ipython().run_cell_magic('kling', '--quiet', 'an owl')")
    assert kernel.ok("print(x.request.prompt)").text.strip() == "an owl"
    assert "<img" in kernel.ok("x").html


def test_a_cell_that_shows_has_no_value(kernel):
    kernel.ok("value = get_ipython().run_cell_magic('kling', '', 'an owl')")
    assert kernel.ok("print(value)").text.strip() == "None"


def test_capture_around_a_cell_keeps_one_output(kernel):
    reply = kernel.ok(
        "from IPython.utils.capture import capture_output\n"
        "with capture_output() as caught:\n    get_ipython().run_cell_magic('kling', '-n 2', 'a fox')"
    )
    assert reply.outputs == []
    shown = kernel.ok("print(len(caught.outputs)); caught.show()")
    assert shown.outputs[0]["text"].strip() == "1"
    assert shown.html.count("<img") == 2


def test_a_dry_run_shows_the_jobs_and_sends_nothing(kernel, service):
    reply = kernel.ok("%%kling --dry-run -n 2 --sweep animal=fox,owl --sweep aspect_ratio=1:1,16:9\na {animal}")
    for words in ("nothing was sent", "2 x 2 = 4 jobs", "8 images", "8 credits", "a owl", "16:9"):
        assert words in reply.text
    assert submits(service) == 0
    assert "1 job, 1 image" in kernel.ok("%%kling --dry-run\na fox").text


def test_a_dry_run_binds_its_estimate(kernel):
    kernel.ok("%load_ext kling_notebook")
    kernel.ok("%%kling --dry-run -o plan --sweep animal=fox,owl\na {animal}")
    assert kernel.ok("print(plan.jobs, plan.images)").text.split() == ["2", "2"]


def test_prompts_between_dashes_are_a_sweep(kernel, service):
    reply = kernel.ok("%%kling -o grid\na fox\n---\nan owl\n---\na cat")
    assert submits(service) == 3
    assert reply.html.count("<img") == 3
    assert kernel.ok("print(list(grid.axes), grid['an owl'].request.prompt)").text.strip() == "['prompt'] an owl"


def test_a_sweep_is_a_labeled_grid_and_buys_only_what_is_missing(kernel, service):
    kernel.ok("beasts = ['fox', 'red owl, asleep']")
    cell = "%%kling --sweep animal=$beasts --sweep time=dawn,night -o grid\na {animal} at {time}"
    assert kernel.ok(cell).html.count("<img") == 4
    assert submits(service) == 4
    kernel.ok("beasts.append('cat')")
    again = kernel.ok(cell)
    assert again.html.count("<img") == 6
    assert submits(service) == 6
    assert "4 already made, at no cost" in again.text
    assert "4 already made, 2 new: 2 images" in str(again.messages), "message before"
    assert kernel.ok("print(grid['cat', 'night'].request.prompt)").text.strip() == "a cat at night"


def test_a_source_image_is_taken_by_its_value_in_a_sweep(kernel):
    kernel.ok("%%kling --sweep x=1,2 -o q\na fox {x}")
    kernel.ok("%%kling --image q['1'] -o one\na fox\n")
    kernel.ok("%%kling --image q[1] -o second\na fox\n")
    assert kernel.ok("print(one.request.image.label, second.request.image.label)").text.strip() == "1a 2a"


def test_reuse_and_fresh(kernel, service):
    kernel.ok("%%kling\na fox")
    assert "reused" in kernel.ok("%%kling --reuse\na fox").text
    assert submits(service) == 1
    kernel.ok("%%kling --fresh\na fox")
    kernel.ok("%%kling\na fox")
    assert submits(service) == 3


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
    kernel.until(lambda: submits(service) == 1)
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
    assert submits(service) == 1
    assert kernel.ok("print(len(fox.result()))").text.strip() == "1"


def test_an_interrupt_of_a_sweep_cancels_what_was_not_sent(on, make_sandbox):
    service = make_sandbox(latency=30.0)
    kernel = on(service)
    kernel.ok("%config KlingMagics.in_flight = 2")
    cell = kernel.send("%%kling --sweep sample=6\na fox")
    kernel.until(lambda: submits(service) == 2)
    kernel.drain(0.5)
    kernel.interrupt()
    reply = kernel.wait(cell)
    assert "4 requests were cancelled before being sent. 2 jobs keep running" in reply.evalue
    kernel.drain(1.0)
    assert submits(service) == 2


def test_a_loop_over_prompts_stops_at_the_first_interrupt(on, make_sandbox):
    service = make_sandbox(latency=30.0)
    kernel = on(service)
    kernel.ok("import kling_notebook as kling")
    cell = kernel.send(
        "for k in range(5):\n    try:\n        kling.generate(f'a fox {k}')\n    except Exception:\n        pass"
    )
    kernel.until(lambda: submits(service) == 1)
    kernel.drain(0.5)
    kernel.interrupt()
    assert kernel.wait(cell).ename == "Interrupted"
    kernel.drain(0.5)
    assert submits(service) == 1


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
    assert submits(service) == 1


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
    assert submits(service) == 1


def test_resume_shows_together_what_is_done_and_what_keeps_running(on, make_sandbox):
    service = make_sandbox(latency=3.0)
    kernel = on(service)
    kernel.run("%%kling --timeout 1.5 -o fox\na fox")
    kernel.ok("fox.result()\nNone")
    kernel.run("%%kling --timeout 1.5\nan owl")
    assert kernel.ok("%kling resume").html.count("<img") == 2
    assert submits(service) == 2


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
    kernel.until(lambda: submits(service) == 2)
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
    assert submits(service) == 1
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


# subcommands ----------------------------------------------------------------------------------------------------------


def test_past_jobs_are_shown_starred_noted_and_found(kernel, service):
    kernel.ok("%%kling -n 2 -o fox\na red fox")
    kernel.ok("%%kling\nan owl")
    assert "a red fox" in kernel.ok("%kling show 1").html
    assert kernel.ok("%kling show 1b").html.count("<img") == 1
    assert kernel.ok("x = %kling show 1b\nprint(x.address)").text.strip() == "1b"
    code = kernel.ok("%kling show 1 --code").text
    assert code.strip() == "%%kling --num-outputs 2\na red fox"
    kernel.ok("%kling star 1b")
    kernel.ok("""%kling note 1 it's the "best" --so far""")
    starred = kernel.ok("%kling history --starred").text
    assert "a red fox" in starred
    assert """it's the "best" --so far""" in starred
    assert "owl" not in starred
    assert "owl" in kernel.ok("%kling history --search OWL --since 1h --status completed").text
    assert "No jobs" in kernel.ok("%kling history --status failed").text
    assert "older ones: --page 2" in kernel.ok("%kling history --limit 1").text
    assert "a red fox" in kernel.ok("%kling history --limit 1 --page 2").text
    beyond = kernel.ok("%kling history --limit 1 --page 9").text
    assert "there are 2 pages of them: --page 2 shows the oldest" in beyond
    assert "there is 1 page of them" in kernel.ok("%kling history --page 2").text
    assert "No jobs" in kernel.ok("%kling history --limit 1000000000 --page 1000000000").text
    kernel.ok("%kling star 1b --off")
    assert "No jobs" in kernel.ok("%kling history --starred").text
    frame = kernel.ok("import kling_notebook as kling; print(kling.history().loc[1, 'note'])")
    assert frame.text.strip() == """it's the "best" --so far"""
    assert submits(service) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("show 99", "No job 99 in this folder"),
        ("show 1:x", "No job 1:x in this folder"),
        ("show 1z", "No job 1 in this folder"),
        ("show", "Write: %kling show JOB|IMAGE [--code]."),
        ("star 1", "Say which image"),
        ("note", "Write: %kling note JOB TEXT."),
        ("note 1", "Write: %kling note JOB TEXT."),
        ("history --since yesterday", "not 'yesterday'"),
        ("history --status complted", "Did you mean completed?"),
        ("history --status xyzzy", "There are queued, "),
        ("history --limit 1.5", "whole number"),
        ("history --limit 1e30", "whole number up to 1000000000, not '1e30'"),
        ("history --page 1e30", "whole number up to 1000000000, not '1e30'"),
        ("history --page 0", "above 0"),
        ("budget lots", "%kling budget needs a number"),
        ("reuse maybe", "on or off"),
        ("sandbox 1", "on or off"),
        ("dismiss 99", "No job 99 in this folder"),
        ("status now", "Write: %kling status."),
        ("status --all", "%kling status takes no options."),
        ("resume 99", "No job 99 in this folder"),
    ],
)
def test_a_wrong_word_after_a_subcommand_is_one_line(shared_service, line, says):
    kernel, service = shared_service
    before = submits(service)
    reply = kernel.run(f"%kling {line}")
    assert reply.ename == "InputError"
    assert len(reply.traceback) == 1
    assert says in reply.evalue
    assert not re.search(r"[?.]\.$", reply.evalue)
    assert submits(service) == before


def test_the_setting_nest_reaches_the_wait(kernel):
    kernel.ok("%config KlingMagics.nest = 'off'")
    kernel.ok("%%kling\na fox")
    assert kernel.ok("import asyncio; print(hasattr(asyncio, '_nest_patched'))").text.strip() == "False"
    kernel.ok("%config KlingMagics.nest = True")
    kernel.ok("%%kling --reuse\na fox")
    kernel.ok("%%kling\nan owl")
    assert kernel.ok("print(hasattr(asyncio, '_nest_patched'))").text.strip() == "True"


def test_a_list_of_pil_images_is_an_axis_of_the_magic(kernel, service):
    kernel.ok("from PIL import Image\npils = [Image.new('RGB', (400, 400), color) for color in ('red', 'blue')]")
    reply = kernel.ok("%%kling --sweep image=$pils -o both\nat night")
    assert reply.html.count("<img") == 2
    assert submits(service) == 2
    labels = kernel.ok("print(*both.table()['image'])").text.split()
    assert all(re.fullmatch(r"\.kling/sources/[0-9a-f]{32}\.png", label) for label in labels)
    assert kernel.ok("both").html.count("<img") == 2
    assert kernel.ok(f"%%kling --reuse --image {labels[1]}\nat night").html.count("reused") == 1
    assert submits(service) == 2


def test_images_of_variables_and_addresses_are_sources(kernel):
    kernel.ok("%%kling -n 2 -o fox\na fox")
    for name, label in (("fox[1]", "1b"), ("1a", "1a"), ("last", "3a")):
        kernel.ok(f"%%kling --image {name} -o made\nat night")
        assert kernel.ok("print(made.request.image.label)").text.strip() == label
    assert "Say which" in kernel.run("%%kling --image fox\nat night").evalue


def test_budget_and_reuse_are_reported_and_kept(kernel, service):
    assert "No budget" in kernel.ok("%kling budget").text
    kernel.ok("%kling budget 1.5")
    kernel.ok("%%kling\na fox")
    assert "0.5 left" in kernel.ok("%kling budget").text
    assert kernel.run("%%kling\nan owl").ename == "BudgetExceededError"
    kernel.ok("%kling budget off")
    kernel.ok("%%kling\nan owl")
    assert submits(service) == 2
    assert "Reuse is on for sweeps" in kernel.ok("%kling reuse").text
    kernel.ok("%kling reuse on")
    assert "reused" in kernel.ok("%%kling\nan owl").text
    assert submits(service) == 2


def test_the_sandbox_can_be_switched_on_and_off(kernel, service):
    assert "The sandbox is on." in kernel.ok("%kling sandbox on").text
    kernel.ok("%%kling\na fox")
    assert submits(service) == 0
    kernel.ok("%kling sandbox off")
    kernel.ok("%%kling\na fox")
    assert submits(service) == 1


@pytest.mark.parametrize(
    "message",
    [
        "sandbox = True",
        pytest.param("folder = 'elsewhere'", marks=pytest.mark.long),
        pytest.param("requests_per_minute = 7", marks=pytest.mark.long),
    ],
)
def test_a_default_that_needs_a_new_session_buys_nothing_until_there_is_one(kernel, service, message):
    kernel.ok("%%kling\na red fox")
    kernel.ok(f"%config KlingMagics.{message}")
    name = message.partition(" ")[0]
    for cell in ("%%kling\nan owl", "%kling config"):
        reply = kernel.run(cell)
        assert reply.ename == "SettingsError"
        assert reply.evalue.startswith(f"{name} is ")
        assert len(reply.traceback) == 1
    assert submits(service) == 1
    kernel.ok("import kling_notebook as kling\nkling.connect()")
    assert re.search(rf"{name} +\S+ +%config", kernel.ok("%kling config").text)
    if name == "sandbox":
        kernel.ok("%%kling\nan owl that is free")
        assert submits(service) == 1
    kernel.ok(f"%config KlingMagics.{name} = None\n%kling sandbox off")
    kernel.ok("%%kling\nan owl")
    assert submits(service) == 2


def test_check_posts_nothing_and_config_hides_the_key(kernel, service):
    check = kernel.ok("%kling check").text
    for words in ("host", "key", "accepted", "folder", "journal"):
        assert words in check
    assert submits(service) == 0
    config = kernel.ok("%kling config")
    assert service.key not in config.text + config.html
    assert re.search(r"api_key +set +PIXELDOJO_API_KEY", config.text)


def test_check_warns_of_a_kernel_that_stops_reading_requests(kernel):
    assert "ipykernel" not in kernel.ok("%kling check").text
    for version in ("7.0.0", "7.3.1"):
        kernel.ok(f"import ipykernel\nipykernel.__version__ = {version!r}")
        assert f"ipykernel {version} now and then stops reading" in kernel.ok("%kling check").text
    for version in ("6.31.0", "7.4.0", "8.0.0b1"):
        kernel.ok(f"ipykernel.__version__ = {version!r}")
        assert "ipykernel" not in kernel.ok("%kling check").text


def test_config_can_be_looked_at_where_no_session_can_be_made(make_kernel):
    kernel = make_kernel(KLING_SANDBOX="0")
    kernel.ok("%load_ext kling_notebook")
    assert kernel.run("%kling status").ename == "SettingsError"
    assert "KLING_SANDBOX" in kernel.ok("%kling config").text


def test_login_asks_masked_checks_and_uses_the_key(make_kernel, service):
    kernel = make_kernel(PIXELDOJO_API_BASE=service.base_url, PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
    kernel.ok("%load_ext kling_notebook")
    assert kernel.run("%kling login", person=False).ename == "SettingsError"
    refused = kernel.answering("%kling login", ["pd_wrong_canary_key"])
    assert refused.ename == "UnauthorizedError"
    assert "canary" not in refused.text + str(refused.traceback)
    accepted = kernel.answering("%kling login", [service.key, "n"])
    assert "The key is accepted." in accepted.text
    assert service.key not in accepted.text + accepted.html
    kernel.ok("%%kling\na fox")
    assert submits(service) == 1
