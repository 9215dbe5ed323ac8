"""Loading, unloading, defaults, help and completion, in a real kernel."""

from __future__ import annotations

import json

import pytest

from kling_notebook.api.parameters import PARAMETERS
from kling_notebook.notebook.magic.extension import let_through
from kling_notebook.notebook.magic.options_table import OPTIONS, help_of_options
from kling_notebook.notebook.magic.subcommands import SUBCOMMANDS, help_of, help_text, short_help

STATE = """
import json
shell = get_ipython()
def state():
    def names(things): return [getattr(t, "__qualname__", type(t).__name__) for t in things]
    return {
        "magics": {kind: sorted(table) for kind, table in shell.magics_manager.magics.items()},
        "registry": sorted(shell.magics_manager.registry),
        "configurables": names(shell.configurables),
        "matchers": names(shell.Completer.custom_matchers),
        "events": {name: names(callbacks) for name, callbacks in shell.events.callbacks.items()},
        "hooks": sorted(shell.strdispatchers),
        "transformers": names(shell.input_transformers_post) + names(shell.input_transformers_cleanup),
        "handlers": len(shell.custom_exceptions),
    }
"""


def state(kernel) -> dict:
    return json.loads(kernel.ok("print(json.dumps(state()))").text)


def test_ten_times_load_unload_and_reload_leave_the_shell_as_it_was(kernel):
    kernel.ok(STATE)
    # IPython registers its own magics when they are first looked up; that is not ours to undo.
    kernel.ok(
        "for kind, find in (('line', shell._find_with_lazy_load), ('cell', shell._find_with_lazy_load)):\n"
        "    for name in sorted(shell.magics_manager.magics[kind]): find(kind, name)"
    )
    before = state(kernel)
    kernel.ok("%load_ext kling_notebook")
    loaded = state(kernel)
    assert loaded != before
    assert loaded["magics"]["cell"].count("kling") == 1
    kernel.ok("for _ in range(10):\n    shell.run_line_magic('reload_ext', 'kling_notebook')")
    assert state(kernel) == loaded
    kernel.ok(
        "for _ in range(10):\n"
        "    shell.run_line_magic('unload_ext', 'kling_notebook'); shell.run_line_magic('load_ext', 'kling_notebook')\n"
        "    shell.run_line_magic('load_ext', 'kling_notebook')"
    )
    assert state(kernel) == loaded
    kernel.ok("%unload_ext kling_notebook")
    assert state(kernel) == before


def test_a_reload_keeps_the_session(shared):
    shared.ok("import kling_notebook as kling\nsession = kling.current_session()")
    shared.ok("%reload_ext kling_notebook")
    assert shared.ok("print(kling.current_session() is session)").text.strip() == "True"


def test_loading_wakes_nothing_heavy(kernel):
    kernel.ok("import sys, time\nbefore = set(sys.modules)\nstart = time.perf_counter()")
    kernel.ok("%load_ext kling_notebook")
    heavy = {"requests", "pandas", "PIL", "matplotlib", "ipywidgets", "numpy", "nest_asyncio2", "tqdm", "keyring"}
    reply = kernel.ok(f"print(sorted({heavy} & (set(sys.modules) - before)))")
    assert reply.text.strip() == "[]"


# defaults -------------------------------------------------------------------------------------------------------------


def test_config_lists_the_defaults_with_their_help_and_no_key(shared):
    listed = shared.ok("%config KlingMagics").text
    for name in ("debug", "thumbnail_size", "reuse", "in_flight", "nest", "budget", "folder"):
        assert f"KlingMagics.{name}=" in listed
    assert "longer side of a grid's images" in listed
    assert "api_key" not in listed
    assert shared.ok("%config").text.count("KlingMagics") == 1


def test_a_bad_default_is_refused_at_use_and_does_no_lasting_harm(kernel):
    kernel.ok("%load_ext kling_notebook")
    kernel.ok("%config KlingMagics.thumbnail_size = 'big'")
    for _ in range(2):
        reply = kernel.run("%%kling\na fox")
        assert reply.ename == "SettingsError"
        (line,) = reply.traceback
        assert line == "SettingsError: thumbnail_size (%config) cannot be 'big'. Give a whole number from 32 to 1024."
    kernel.ok("%reload_ext kling_notebook")
    kernel.ok("%unload_ext kling_notebook")
    kernel.ok("%load_ext kling_notebook")
    kernel.ok("%config KlingMagics.thumbnail_size = 128")
    assert "a fox" in kernel.ok("%%kling\na fox").html


def test_a_default_set_by_config_counts_and_says_where_it_came_from(shared):
    shared.ok("%config KlingMagics.in_flight = 5")
    rows = shared.ok("%kling config").text
    assert [line.split() for line in rows.splitlines() if "in_flight" in line] == [["in_flight", "5", "%config"]]
    shared.ok("%config KlingMagics.in_flight = None")
    assert "64" in shared.ok("%kling config").text


def test_debug_shows_the_full_traceback(shared):
    assert len(shared.run("%%kling -n 12\na fox").traceback) == 1
    shared.ok("%config KlingMagics.debug = True")
    assert "parsing.py" in "\n".join(shared.run("%%kling -x\na fox").traceback)
    shared.ok("%config KlingMagics.debug = False")
    assert len(shared.run("%%kling -n 12\na fox").traceback) == 1


# help -----------------------------------------------------------------------------------------------------------------


def test_help_is_ten_lines_then_all_subcommands_then_one(shared):
    assert len(short_help().splitlines()) == 10
    for code, expected in (
        ("%kling", short_help()),
        ("%kling --help", short_help()),
        ("%kling help", help_text()),
        ("%kling help history", help_of(SUBCOMMANDS["history"])),
        ("%%kling --help", help_of_options()),
        ("%%kling --help\nx", help_of_options()),
    ):
        assert shared.ok(code).text.strip() == expected
    assert "--search TEXT" in help_of(SUBCOMMANDS["history"])
    assert "Did you mean history?" in shared.run("%kling help histroy").evalue
    for code in ("%kling?", "%%kling?"):
        shown = shared.help(code)
        for line in [*help_text().splitlines(), *help_of_options().splitlines()]:
            assert line.strip() in shown


# first tries ----------------------------------------------------------------------------------------------------------


def test_words_on_the_first_line_are_the_prompt_of_a_cell_without_a_body(shared_service):
    kernel, _ = shared_service
    for cell, prompt in (
        ("%%kling --quiet -o fox a cat in the rain", "a cat in the rain"),
        ("%%kling a cat's tail -o fox --quiet\n\n   \n", "a cat's tail"),
        ("# a note\n\n  # and another\n%%kling --quiet -o fox\nan owl", "an owl"),
        ("%%kling --quiet -o fox\n# not a comment", "# not a comment"),
    ):
        kernel.ok(cell)
        assert kernel.ok("print(fox.request.prompt)").text.strip() == prompt
    assert "The prompt is empty" in kernel.run("%%kling").evalue
    assert "Unexpected 'a'" in kernel.run("%%kling a cat\nin the rain").evalue
    assert "%%kling a cat in the rain" in kernel.run("%kling a cat in the rain").evalue
    assert kernel.ok("# a comment\nprint(1)").text.strip() == "1"


def test_other_cells_are_left_as_they_are():
    for lines in ([], ["x = 1\n"], ["%%time\n", "%%kling\n"], ["# only\n"], ["%%klinger\n"], ["x = (\n", "%%kling"]):
        assert let_through(lines) is lines


def test_unloading_removes_the_transformer(kernel):
    for code in ("%load_ext", "%reload_ext", "%reload_ext", "%unload_ext"):
        kernel.ok(f"{code} kling_notebook")
        left = kernel.ok("print(sum('let_through' in str(f) for f in get_ipython().input_transformers_cleanup))")
        assert left.text.strip() == ("0" if code == "%unload_ext" else "1")


# the caller's names ---------------------------------------------------------------------------------------------------


def test_names_are_looked_up_in_the_function_that_runs_the_magic_and_then_in_the_notebook(shared_service):
    kernel, _ = shared_service
    kernel.ok(
        "animal, place, animals = 'left over', 'in snow', ['wrong']\n"
        "def paint(animal): return get_ipython().run_cell_magic('kling', '--fill --quiet', 'a {animal} {place}')\n"
        "def many(animals): return get_ipython().run_cell_magic('kling', '--quiet --sweep x=$animals', 'a {x}')\n"
        "def again(source): return get_ipython().run_cell_magic('kling', '--quiet --image source', 'at night')"
    )
    assert kernel.ok("made = paint('owl'); print(made.request.prompt)").text.strip() == "a owl in snow"
    assert kernel.ok("print(list(many(['fox', 'owl']).axes['x']))").text.strip() == "['fox', 'owl']"
    assert kernel.ok("print(again(made).request.image is not None)").text.strip() == "True"
    code = "[get_ipython().run_cell_magic('kling', '--fill --quiet', 'a {animal}') for animal in ['elk']][0]"
    assert kernel.ok(f"print({code}.request.prompt)").text.strip() == "a elk"
    lines = "%%kling --fill --quiet -o fox\na {animal}"
    assert kernel.ok(f"{lines}").status == "ok"
    assert kernel.ok("print(fox.request.prompt)").text.strip() == "a left over"


def test_a_misspelt_subcommand_says_what_was_meant(shared):
    for message, meant in (("histroy", "history"), ("stat", "status"), ("Show 1 2", "%kling show JOB|IMAGE [--code]")):
        reply = shared.run(f"%kling {message}")
        assert reply.ename == "InputError"
        assert meant in reply.evalue
    assert "%%kling" in shared.run("%kling a fox in the snow").evalue
    assert "after %%kling" in shared.run("%kling -n 4").evalue
    assert "Did you mean --starred?" in shared.run("%kling history --stared").evalue


# completion -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%%kling --asp", ["%%kling --aspect-ratio"]),
        ("%%kling ", [f"%%kling {flag}" for option in OPTIONS for flag in option.flags if flag.startswith("--")]),
        (
            "%%kling -a ",
            [f"%%kling -a {ratio}" for ratio in PARAMETERS["aspect_ratio"].choices],
        ),
        ("%%kling -a 16", ["%%kling -a 16:9"]),
        ("%%kling -a 16:", ["%%kling -a 16:9"]),
        ("%%kling --aspect-ratio=2", ["%%kling --aspect-ratio=2:3", "%%kling --aspect-ratio=21:9"]),
        ("%%kling -f ", ["%%kling -f png", "%%kling -f jpeg", "%%kling -f webp"]),
        ("%%kling -r 2", ["%%kling -r 2K"]),
        ("%%kling --quiet --re", ["%%kling --quiet --resolution", "%%kling --quiet --reuse"]),
        ("%%kling --sweep asp", ["%%kling --sweep aspect_ratio="]),
        ("%%kling --sweep output_format=png,", [f"%%kling --sweep output_format=png,{f}" for f in ("jpeg", "webp")]),
        ("%%kling --image lastb", ["%%kling --image lastb"]),
        ("%kling hi", ["%kling history"]),
        ("%kling s", ["%kling show", "%kling status", "%kling star", "%kling sandbox"]),
        ("x = %kling sh", ["x = %kling show"]),
        ("%kling history --s", [f"%kling history --{o}" for o in ("search", "status", "starred", "since")]),
        ("%kling history --status fai", ["%kling history --status failed"]),
        ("%kling reuse ", ["%kling reuse on", "%kling reuse off"]),
        ("%kling ", [f"%kling {name}" for name in SUBCOMMANDS]),
    ],
)
def test_tab_completes_options_values_and_subcommands_and_nothing_else(shared, typed, offered):
    shared.ok("aspect = history = hi = s = 1")
    assert shared.complete(typed) == offered


@pytest.mark.parametrize(
    "typed",
    [
        "%%kling --sweep animal=",
        "%%kling --sweep animal=$c",
        "%%kling -o ",
        "%%kling --timeout ",
        "%%kling -r",
        "%%kling -x",
        "%%kling --image ./nowhere",
        "%kling status ",
        "%kling histroy ",
        "%kling history --search ",
        "%kling note 1 a",
        '%%kling --negative "pr',
        "%kling note 1 it's pr",
    ],
)
def test_where_there_is_nothing_to_offer_tab_leaves_what_is_typed_and_mixes_in_no_python_names(shared, typed):
    shared.ok("apple = nowhere = 1")
    assert shared.complete(typed) == [typed]


def test_tab_offers_files_as_a_source_and_nothing_else(shared):
    shared.ok("import pathlib; pathlib.Path('meadow.png').touch(); pathlib.Path('meadow.webp').touch()")
    files = ["%%kling --image ./meadow.png", "%%kling --image ./meadow.webp"]
    assert shared.complete("%%kling --image ./mea") == files
    assert shared.complete("%%kling --image ./meadow.p") == files[:1]
    assert shared.complete('%%kling --image "./meadow.p') == ['%%kling --image "./meadow.png']
    assert [one for one in shared.complete("%%kling --image ./") if not one.startswith("%%kling --image ./")] == []


def test_tab_puts_quotes_around_a_path_with_spaces(shared):
    """IPython's backslashes would stand for themselves in our lines. A quote that was typed stays as it is."""
    shared.ok("pathlib.Path('my dir').mkdir(); pathlib.Path('my dir/it\\'s (1).png').touch()")
    assert shared.complete("%%kling --image my") == ['%%kling --image "my dir/']
    assert shared.complete('%%kling --image "my dir/') == ["%%kling --image \"my dir/it's (1).png"]
    shared.ok("pathlib.Path('old fox.png').touch(); pathlib.Path('hen\"s.png').touch()")
    assert shared.complete("%%kling --image ./old") == ['%%kling --image "./old fox.png"']
    assert shared.complete("%%kling --image=./hen") == ["%%kling --image='./hen\"s.png'"]
    assert shared.complete("%%kling --image ~nobody/") == ["%%kling --image ~nobody/"]


def test_tab_offers_every_variable_that_can_be_an_axis(shared):
    """A column, an index and an array are axes as well as a list is; a table and a text are none."""
    shared.ok(
        "import numpy, pandas\n"
        "zoo_list, zoo_range, zoo_array, zoo_text = ['fox'], range(2), numpy.arange(2), 'fox'\n"
        "zoo_table = pandas.DataFrame({'x': ['fox']}); zoo_column = zoo_table['x']; zoo_index = zoo_table.index"
    )
    axes = ("list", "range", "array", "column", "index")
    assert shared.complete("%%kling --sweep animal=$zoo") == [f"%%kling --sweep animal=$zoo_{kind}" for kind in axes]


def test_tab_offers_jobs_images_and_variables(shared):
    shared.ok("%%kling -n 2 --quiet -o foxes\na fox")
    number = shared.ok("print(foxes.number)").text.strip()
    assert shared.complete("%kling show ")[0] == f"%kling show {number}"
    assert f"%kling star {number}b" in shared.complete("%kling star ")
    assert shared.complete("%kling show --c") == ["%kling show --code"]
    images = shared.complete("%%kling --image ")
    for expected in ("last", "lastb", "foxes", f"{number}b"):
        assert f"%%kling --image {expected}" in images
    assert shared.complete(f"%%kling --image {number}") == [f"%%kling --image {number}{letter}" for letter in "ab"]


def test_completion_leaves_python_and_the_prompt_alone(shared):
    shared.ok("elephantine = 1")
    assert shared.complete("elephant") == ["elephantine"]
    cell = "%%kling\na --asp"
    assert "aspect-ratio" not in "".join(shared.complete(cell))
    first = "%%kling --asp\na fox"
    assert shared.complete(first, len("%%kling --asp")) == ["%%kling --aspect-ratio\na fox"]


def test_after_unloading_nothing_of_this_package_is_offered(kernel):
    kernel.ok("%load_ext kling_notebook")
    assert kernel.complete("%kling hist") == ["%kling history"]
    kernel.ok("%unload_ext kling_notebook")
    assert "%kling history" not in kernel.complete("%kling hist")


def test_whoever_only_imports_the_package_gets_the_magics_that_messages_advise(kernel):
    """With the first session; after that they are the user's to remove."""
    kernel.ok("import kling_notebook as kling\nkling.current_session()")
    assert "folder" in kernel.ok("%kling status").text
    kernel.ok("%unload_ext kling_notebook")
    kernel.ok("kling.current_session()")
    assert "%kling history" not in kernel.complete("%kling hist")


def test_a_magic_of_the_user_s_own_of_that_name_stays(kernel):
    kernel.ok(
        "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef kling(line): print('mine', line)"
    )
    kernel.ok("import kling_notebook as package\npackage.current_session()")
    assert "mine status" in kernel.ok("%kling status").text
