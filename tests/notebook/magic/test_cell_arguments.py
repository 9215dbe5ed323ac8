"""What a cell's text means, as tables."""

from __future__ import annotations

import contextlib
import shlex

import numpy as np
import pandas
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kling_notebook.api.errors import InputError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.parameters import PARAMETERS
from kling_notebook.notebook.magic.cell_arguments import parse_cell, split_prompts
from kling_notebook.notebook.magic.options_table import OPTIONS, help_of_options
from kling_notebook.notebook.magic.parsing import split
from kling_notebook.notebook.magic.subcommands import SUBCOMMANDS, help_text
from kling_notebook.notebook.magic.user_variables import parse_axis, placeholder_values, source
from kling_notebook.results.code_export import code_of
from kling_notebook.results.sweep_axes import expand
from kling_notebook.results.typed_values import typed_values, unquoted


def parse(line: str, cell: str = "a fox", **variables: object):
    return parse_cell(line, cell, variables)


def texts(line: str) -> list[str]:
    return [token.text for token in split(line)]


# the splitter ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  -n 4  -o fox ", ["-n", "4", "-o", "fox"]),
        (r"--image C:\pics\a.png", ["--image", r"C:\pics\a.png"]),
        (r'--image "C:\my pics\a.png"', ["--image", r"C:\my pics\a.png"]),
        ('--negative "red, blurry" -n 2', ["--negative", "red, blurry", "-n", "2"]),
        ("""--negative 'the "old" one'""", ["--negative", 'the "old" one']),
        ('--negative=""', ["--negative="]),
        ('""', [""]),
        ("a#b #c", ["a#b", "#c"]),
        ("{x} $y", ["{x}", "$y"]),
    ],
)
def test_the_line_is_split_at_spaces_and_quotes_protect(line, words):
    assert texts(line) == words


@given(st.text(alphabet="ab-=,\\'\" \t#$é{}", max_size=40))
@example("a'b c'd \"e\"")
def test_the_splitter_agrees_with_shlex_without_escapes_and_comments(line):
    reference = shlex.shlex(line, posix=True, punctuation_chars=False)
    reference.whitespace_split, reference.escape, reference.commenters = True, "", ""
    try:
        expected = list(reference)
    except ValueError:
        with pytest.raises(InputError, match="not closed"):
            split(line)
    else:
        assert texts(line) == expected


@given(st.text(alphabet="ab,\\'\" =", max_size=40))
def test_every_token_knows_what_was_typed_and_where(line):
    try:
        tokens = split(line)
    except InputError:
        return
    for token in tokens:
        assert line[token.start : token.end] == token.raw
    assert "".join(token.raw for token in tokens).replace(" ", "") == line.replace(" ", "")


@given(st.lists(st.text(alphabet="ab ,;{}\n", min_size=1, max_size=8), min_size=1, max_size=5))
def test_quoted_values_come_back_whatever_they_hold(values):
    typed = typed_values(",".join(f'"{value}"' for value in values))
    assert [unquoted(value) for value in typed] == values


# the options ----------------------------------------------------------------------------------------------------------


def test_every_parameter_can_be_reported_in_all_its_spellings():
    for parameter in PARAMETERS.values():
        for flag in parameter.flags:
            value = {"integer": "3", "text": "blurry", "image": "a.png"}.get(parameter.kind)
            value = value or parameter.choices[-1]
            for line in (f"{flag} {value}", f"{flag}={value}", f'{flag} "{value}"'):
                assert str(parse(line).parameters[parameter.name]) == value, line


def test_what_was_not_given_is_not_in_the_options():
    options = parse("")
    assert options.prompts == ("a fox",)
    assert options.parameters == {}
    assert options.axes == {}
    assert (options.output, options.reuse, options.wait, options.timeout, options.max_credits) == (
        None,
        None,
        True,
        None,
        None,
    )


def test_all_options_at_once():
    options = parse(
        "-r 2k -a 16:9 -n4 -f webp -o fox --max-credits 2.5 --fresh --no-wait --timeout 9 --quiet --dry-run"
    )
    assert options.parameters == {
        "resolution": "2K",
        "aspect_ratio": "16:9",
        "num_outputs": 4,
        "output_format": "webp",
    }
    assert (options.output, options.max_credits, options.reuse, options.timeout) == ("fox", 2.5, False, 9.0)
    assert not options.wait
    assert options.quiet
    assert options.dry_run
    assert parse("--reuse").reuse is True


@pytest.mark.parametrize("line", ["-n 4", "-n4", "-n=4", "--num-outputs 4", "--num-outputs=4"])
def test_a_value_may_be_attached_or_follow(line):
    assert parse(line).parameters == {"num_outputs": 4}


def test_a_quoted_value_may_look_like_an_option():
    assert parse('--negative "--quiet"').parameters["negative_prompt"] == "--quiet"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--aspect 16:9", "Did you mean --aspect-ratio?"),
        ("--ratio 16:9", "Did you mean --aspect-ratio?"),
        ("--aspct-ratio 16:9", "Did you mean --aspect-ratio?"),
        ("--aspect_ratio 16:9", "Did you mean --aspect-ratio?"),
        ("--Quiet", "Did you mean --quiet?"),
        ("-quiet", "Did you mean --quiet?"),
        ("\u2014quiet", "Did you mean --quiet?"),
        ("--no", "Did you mean --no-wait?"),
        ("-resolution 2K", "Did you mean --resolution?"),
        ("--xyzzy", "There are --aspect-ratio, "),
        ("-z", "There is no option -z"),
        ("--n 4", "Did you mean -n?"),
        ("-N 4", "Did you mean -n?"),
        ("-N4", "Did you mean -n?"),
        ("\u2013n 4", "Did you mean -n?"),
        ("\u2013n4", "Did you mean -n?"),
        ("--seed 4", "--sweep sample=4"),
        ("-a 16x9", "Did you mean 16:9?"),
        ("-f jpg", "Did you mean jpeg?"),
        ("-r 4K", "1K, 2K"),
        ("-n 0", "from 1 to 9, not '0'"),
        ("-n 12", "from 1 to 9, not '12'"),
        ("-n two", "from 1 to 9, not 'two'"),
        ("-n", "-n needs a value: -n N"),
        ("-n --quiet", "-n needs a value"),
        ("--sweep", "--sweep needs a value"),
        ("--sweep --quiet", "--sweep needs a value"),
        ("--quiet=yes", "--quiet takes no value"),
        ("-n 2 --num-outputs 4", "given twice"),
        ("--reuse --fresh", "exclude each other"),
        ("-o 3fox", "name of a variable, not '3fox'"),
        ("-o class", "name of a variable, not 'class'"),
        ("-o a.b", "name of a variable, not 'a.b'"),
        ("--max-credits -1", "from 0 up, not '-1'"),
        ("--max-credits inf", "from 0 up, not 'inf'"),
        ("--timeout 0", "above 0, not '0'"),
        ("--timeout soon", "above 0, not 'soon'"),
        ("a fox in the snow", "Unexpected 'a' on the first line."),
        ("--negative red fox", "Unexpected 'fox' on the first line."),
        ("--negative \u201cred fox\u201d", "curly quotes"),
        ('--negative "red fox', 'A quote (") is not closed'),
        ("--negative don't", "A quote (') is not closed"),
        ("-n 4 \\", "ends in a backslash"),
        ("-n 4 \\  ", "ends in a backslash"),
        ("--sweep animal=fox --sweep animal=owl", "axis animal is given twice"),
        ("-a 1:1 --sweep aspect_ratio=1:1,16:9", "both as an option and as an axis"),
        ("--sweep animal", "needs a name and values"),
        ("--sweep =fox", "needs a name and values"),
        ("--sweep animal=", "no values"),
        ("--sweep animal=fox,,owl", "is empty"),
        ("--sweep animal=$beasts", "no variable 'beasts'. Did you mean beast?"),
        ("--sweep animal=$beast", "is one value, not a list"),
        ("--sweep animal=$f(x)", "nothing is evaluated"),
        ("--sweep animal=[open('x')]", "not a Python list"),
        ("--sweep animal=[1, [2]]", "holds a list"),
        ("--sweep animal=[True]", "holds a bool"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_was_meant(line, says):
    with pytest.raises(InputError) as caught:
        parse(line, beast="fox")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["--api-key pd_canary", "--key=pd_canary", "--apikey pd_canary", "--token pd_canary"])
def test_a_key_on_the_line_is_refused_and_not_repeated(line):
    with pytest.raises(InputError, match="A key is never an option") as caught:
        parse(line)
    assert "canary" not in str(caught.value)


# prompts --------------------------------------------------------------------------------------------------------------


def test_the_prompt_is_taken_literally():
    cell = """  {x} costs $5 & "quotes" # no comment\\\n--dry-run isn't an option here\n----\n -- -\n"""
    options = parse("", cell, x="filled")
    assert options.prompts == (cell.strip(),)
    assert not options.dry_run


def test_three_dashes_separate_prompts_and_make_an_axis():
    options = parse("", "first\nline two\n---\nsecond\n---  \r\nthird\n")
    assert options.prompts == ("first\nline two", "second", "third")
    assert options.axes == {"prompt": ["first\nline two", "second", "third"]}


@pytest.mark.parametrize("cell", ["", " \n\t", "---", "---\n---\n"])
def test_an_empty_prompt_is_refused(cell):
    with pytest.raises(InputError, match="The prompt is empty"):
        split_prompts(cell)


def test_an_empty_prompt_among_others_is_named():
    with pytest.raises(InputError, match="Prompt 2 of 3 is empty"):
        split_prompts("a\n---\n\n---\nb")


# sweeps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "axes"),
    [
        ("--sweep animal=fox,owl", {"animal": ["fox", "owl"]}),
        ("--sweep=animal=fox,owl", {"animal": ["fox", "owl"]}),
        ('--sweep animal="red fox, asleep",owl', {"animal": ["red fox, asleep", "owl"]}),
        ("--sweep 'animal=red fox, asleep'", {"animal": ["red fox, asleep"]}),
        ("--sweep='animal=red fox, asleep'", {"animal": ["red fox, asleep"]}),
        ("""--sweep 'animal="red fox, asleep",owl'""", {"animal": ["red fox, asleep", "owl"]}),
        ("""--sweep 'animal=["red fox", "owl"]'""", {"animal": ["red fox", "owl"]}),
        ('--sweep animal=["red fox","owl"] -n 2', {"animal": ["red fox", "owl"]}),
        ('--sweep animal=["red fox, asleep", "owl"] -n 2', {"animal": ["red fox, asleep", "owl"]}),
        ("--sweep=animal=['a', 'b'] -n 2", {"animal": ["a", "b"]}),
        ("""--sweep animal=["it's", 'b']""", {"animal": ["it's", "b"]}),
        ("--sweep animal=fox, owl -n 2", {"animal": ["fox", "owl"]}),
        ("--sweep animal=fox ,owl -n 2", {"animal": ["fox", "owl"]}),
        ("--sweep {animal}=fox,owl", {"animal": ["fox", "owl"]}),
        ("--sweep aspect-ratio=1:1,16:9", {"aspect_ratio": ["1:1", "16:9"]}),
        ("--sweep animal=$beasts", {"animal": ["red fox", "owl"]}),
        ("--sweep animal=$beasts --sweep time=dawn,night", {"animal": ["red fox", "owl"], "time": ["dawn", "night"]}),
        ("--sweep size=$column", {"size": [1, 2]}),
        ("--sweep size=$series", {"size": [0.5, 1.5]}),
        ("--sweep size=$span", {"size": [0, 1, 2]}),
        ("--sweep sample=3", {"sample": 3}),
        ("--sweep sample=$three", {"sample": 3}),
        ("--sweep sample=[3]", {"sample": [3]}),
        ("--sweep sample=1,2,7", {"sample": [1, 2, 7]}),
        ("--sweep sample=first,second", {"sample": ["first", "second"]}),
        ('--sweep animal="",fox', {"animal": ["", "fox"]}),
        (r"--sweep image=C:\a.png,D:\b.png", {"image": [r"C:\a.png", r"D:\b.png"]}),
        ("--sweep image=last,12d,beasts[0]", {"image": ["last", "12d", "red fox"]}),
    ],
)
def test_the_values_of_an_axis(line, axes):
    variables = {
        "beasts": ["red fox", "owl"],
        "column": np.array([1, 2]),
        "series": pandas.Series([0.5, 1.5]),
        "span": range(3),
        "three": 3,
    }
    found = parse(line, **variables).axes
    assert repr(found) == repr(axes), "numbers are Python's own"


def test_prompts_and_axes_multiply_in_the_order_given():
    options = parse("--sweep time=dawn,night", "{time} one\n---\n{time} two")
    assert list(options.axes) == ["prompt", "time"]


@pytest.mark.parametrize("cell", ["one", "one\n---\ntwo"])
def test_an_axis_of_prompts_beside_the_prompt_in_the_cell_is_refused(cell):
    with pytest.raises(InputError, match="would give it twice"):
        parse("--sweep prompt=a,b", cell)


def test_the_cell_that_a_result_prints_makes_the_same_request():
    for request in (
        GenerationRequest("a fox"),
        GenerationRequest('{x} $y "quoted" # no comment\n-- dashes', aspect_ratio="16:9", num_outputs=4),
        GenerationRequest("a fox", negative_prompt='the "old" one, blurry', resolution="2K", output_format="webp"),
        GenerationRequest("a fox", negative_prompt="don't", sample=3),
    ):
        line, cell = code_of(request).split("\n", 1)
        options = parse_cell(line.removeprefix("%%kling"), cell, {})
        (sample,) = options.axes.get("sample", [None])
        assert GenerationRequest(options.prompts[0], sample=sample, **options.parameters) == request


def test_nothing_of_an_axis_is_evaluated(tmp_path):
    proof = tmp_path / "proof"
    for raw in (f"a=[__import__('pathlib').Path('{proof}').touch()]", f"a=$open('{proof}','w')", "a={1+1}"):
        with contextlib.suppress(InputError):
            parse_axis(raw, {})
    assert not proof.exists()


# variables ------------------------------------------------------------------------------------------------------------


def prompts_of(line: str, cell: str, **variables: object) -> list[str]:
    """The prompts that a cell asks for."""
    options = parse(line, cell, **variables)
    prompt = list(options.prompts) if len(options.prompts) > 1 else options.prompts[0]
    return [point.prompt for point in expand(prompt, options.axes, options.parameters, filled=options.filled)[1]]


def test_fill_puts_in_text_and_numbers_and_leaves_other_braces():
    variables = {"animal": "fox", "n": 3, "x": 0.5, "raw": "{animal}"}
    assert prompts_of("--fill", "{animal} {n} {x} {unknown} {} {0} {animal!r} {{n}}", **variables) == [
        "fox 3 0.5 {unknown} {} {0} {animal!r} {3}"
    ]
    assert prompts_of("--fill", "{raw}", **variables) == ["{animal}"]
    assert prompts_of("", "{animal}", **variables) == ["{animal}"]
    assert placeholder_values(["{animal} {n}"], variables, keep=("animal",)) == {"n": "3"}


def test_fill_takes_numbers_of_numpy():
    variables = {"n": np.int64(3), "half": np.float32(0.5), "animal": np.array("fox")}
    assert prompts_of("--fill", "{n} {half} {animal}", **variables) == ["3 0.5 fox"]


@pytest.mark.parametrize("value", [["fox"], True, np.bool_(True), np.array([1, 2]), np.datetime64("2020-01-01", "ns")])
def test_fill_refuses_what_is_not_text_and_no_number(value):
    with pytest.raises(InputError, match=f"animals is a {type(value).__name__}"):
        parse("--fill", "{animals}", animals=value)


def test_a_value_that_was_filled_in_is_not_filled_in_again_by_the_sweep():
    """The braces of a value stay as they are, whether the variables or the axes name what is in them."""
    assert prompts_of("--fill --sweep animal=hen,{s}", "{s} for a {animal}", s="{animal}") == [
        "{animal} for a hen",
        "{animal} for a {s}",
    ]
    with pytest.raises(InputError, match="animal appears nowhere"):
        prompts_of("--fill --sweep animal=hen,cow", "{s} foxes", s="{animal}")


def test_fill_reaches_all_prompts_and_the_negative_prompt_and_spares_axes():
    line, cell = "--fill --negative {bad} --sweep time=dawn,night", "{animal} {time}\n---\n{animal} at {time}"
    variables = {"animal": "fox", "bad": "fog", "time": 1}
    options = parse(line, cell, **variables)
    axes, _ = expand(list(options.prompts), options.axes, options.parameters, filled=options.filled)
    assert axes["prompt"] == ("fox {time}", "fox at {time}"), "labels say what the variables held"
    assert prompts_of(line, cell, **variables) == ["fox dawn", "fox night", "fox at dawn", "fox at night"]
    assert options.parameters["negative_prompt"] == "fog"
    with pytest.raises(InputError, match="'fox' twice"):
        prompts_of("--fill", "{a}\n---\n{b}", a="fox", b="fox")


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("sample=-1", "sample must be a whole number from 1 to 10000, not -1"),
        ("sample=0", "not 0"),
        ("sample=$n", "not -3"),
        ("sample=$many", "not 1000000000"),
        ("x=$days", "holds a datetime64; a sweep takes text and numbers"),
        ("x=[fox,owl]", r"Put texts in quotes, as in \['fox', 'owl'\], or leave out the brackets"),
        ("x=$word", "is one value, not a list"),
    ],
)
def test_axes_are_refused_as_python_refuses_them(axis, message):
    days = np.array(["2020-01-01"], dtype="datetime64[ns]")
    with pytest.raises(InputError, match=message):
        prompts_of(f"--sweep {axis}", "a {x}", n=-3, many=np.int64(10**9), days=days, word=np.array("fox"))


def test_numbers_of_numpy_are_replicates_and_values():
    assert len(prompts_of("--sweep sample=$n", "a", n=np.int64(3))) == 3
    assert prompts_of("--sweep x=$x", "a {x}", x=np.array([1, 2])) == ["a 1", "a 2"]
    assert prompts_of("--sweep x=$x", "a {x}", x=[np.float32(0.5), "b"]) == ["a 0.5", "a b"]


@pytest.mark.parametrize("line", ["--image pic", "--image pics[1]", "--sweep image=last,pic", "--sweep image=$pics"])
def test_a_source_image_that_is_none_is_refused(line):
    """It bought an image made from the words alone."""
    with pytest.raises(InputError, match=r"pic is None|pics\[1\] is None|holds None"):
        expand("a fox", parse(line, pic=None, pics=["a.png", None]).axes)


@pytest.mark.parametrize("line", ["--", "-", "\u2014", "-- -"])
def test_dashes_alone_are_no_prompt(line):
    """An option that was not finished was paid for as a prompt."""
    for where in ((line, ""), ("", line), ("", f"--\n{line}\n")):
        with pytest.raises(InputError, match="The prompt is empty"):
            GenerationRequest(parse_cell(*where, {}).prompts[0])
    assert parse_cell("red fox -- asleep", "", {}).prompts == ("red fox -- asleep",)


def test_an_image_may_be_a_variable_with_a_dollar_as_elsewhere():
    assert source("$fox", {"fox": 3}) == 3
    assert source("$fox[1]", {"fox": ["p0", "p1"]}) == "p1"
    with pytest.raises(InputError, match=r"no variable 'fxo'\. Did you mean fox\?"):
        source("$fxo", {"fox": 3})


def test_an_image_is_a_variable_or_text_for_the_session():
    images = ["p0", "p1"]
    variables = {"fox": images, "last": "never", "three": 3}
    assert source("fox", variables) is images
    assert source("fox[1]", variables) == "p1"
    assert source("fox[-1]", variables) == "p1"
    for text in ("last", "lastc", "12:3", "owl", "a/b.png", "https://example.com/a.png"):
        assert source(text, variables) == text
    assert parse("--image fox[0]", **variables).parameters["image"] == "p0"
    with pytest.raises(InputError, match="fox has 2 images"):
        source("fox[2]", variables)
    with pytest.raises(InputError, match=r"Did you mean fox\?"):
        source("fxo[0]", variables)
    with pytest.raises(InputError, match="not a list"):
        source("three[0]", variables)


@pytest.mark.parametrize("word", ["q['owl']", 'q["owl"]', "\"q['owl']\"", "'q[\"owl\"]'", 'q["1"]', "q['1']"])
def test_quotes_in_a_subscript_ask_for_a_value_and_not_for_a_place(word):
    """They were lost: the image at place 1 was taken for the value "1"."""
    values = {"owl": "owl.png", "1": "owl.png", 1: "wrong.png"}
    assert parse(f"--image {word}", q=values).parameters["image"] == "owl.png"
    assert parse(f"--image={word}", q=values).parameters["image"] == "owl.png"
    if word.startswith("q"):
        assert parse(f"--sweep image={word},q[1]", q=values).axes["image"] == ["owl.png", "wrong.png"]
    with pytest.raises(InputError, match="not a sweep or dictionary"):
        parse(f"--image {word}", q=["a.png", "b.png"])


# help -----------------------------------------------------------------------------------------------------------------


def test_the_help_names_every_option_and_subcommand_and_has_three_examples():
    text = help_of_options()
    for option in OPTIONS:
        assert all(flag in text for flag in option.flags)
    for parameter in PARAMETERS.values():
        assert all(choice in text for choice in parameter.choices)
    assert all(f"%kling {name}" in help_text() for name in SUBCOMMANDS)
    assert text[text.index("Examples:") :].count("%%kling") == 3
    assert all(len(line) <= 110 for line in text.splitlines())


def test_the_examples_of_the_help_are_valid():
    text = help_of_options().partition("Examples:\n\n")[2]
    for example_ in text.split("\n\n"):
        line, cell = (part.strip() for part in example_.split("\n", 1))
        parse_cell(line.removeprefix("%%kling"), cell, {})


def test_help_asked_for_in_a_cell_needs_no_prompt():
    assert parse("--help", "\n").help
    assert parse("-h", "x").help
