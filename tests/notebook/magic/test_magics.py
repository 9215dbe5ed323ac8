"""The magics in a real kernel, against a sandbox that counts what arrives."""

from __future__ import annotations

import pytest

from kling_notebook.notebook.magic.subcommands import SUBCOMMANDS

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
    assert service.count("submit") == 1


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
    before = service.count("submit")
    reply = kernel.run(cell)
    assert reply.status == "error"
    assert len(reply.traceback) == 1
    assert "\n" not in reply.traceback[0].strip()
    assert says in reply.traceback[0]
    assert reply.traceback[0].startswith(f"{reply.ename}: ")
    assert service.count("submit") == before


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
    assert service.count("submit") == 0
    assert "1 job, 1 image" in kernel.ok("%%kling --dry-run\na fox").text


def test_a_dry_run_binds_its_estimate(kernel):
    kernel.ok("%load_ext kling_notebook")
    kernel.ok("%%kling --dry-run -o plan --sweep animal=fox,owl\na {animal}")
    assert kernel.ok("print(plan.jobs, plan.images)").text.split() == ["2", "2"]


def test_prompts_between_dashes_are_a_sweep(kernel, service):
    reply = kernel.ok("%%kling -o grid\na fox\n---\nan owl\n---\na cat")
    assert service.count("submit") == 3
    assert reply.html.count("<img") == 3
    assert kernel.ok("print(list(grid.axes), grid['an owl'].request.prompt)").text.strip() == "['prompt'] an owl"


def test_a_sweep_is_a_labeled_grid_and_buys_only_what_is_missing(kernel, service):
    kernel.ok("beasts = ['fox', 'red owl, asleep']")
    cell = "%%kling --sweep animal=$beasts --sweep time=dawn,night -o grid\na {animal} at {time}"
    assert kernel.ok(cell).html.count("<img") == 4
    assert service.count("submit") == 4
    kernel.ok("beasts.append('cat')")
    again = kernel.ok(cell)
    assert again.html.count("<img") == 6
    assert service.count("submit") == 6
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
    assert service.count("submit") == 1
    kernel.ok("%%kling --fresh\na fox")
    kernel.ok("%%kling\na fox")
    assert service.count("submit") == 3
