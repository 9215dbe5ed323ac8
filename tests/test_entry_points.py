"""Three entry points, one session: what a request does is the same through the Python call, the magic and the panel."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from kling_notebook import calls
from kling_notebook.api.errors import BudgetExceededError, InputError, JobFailedError, KlingError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.parameters import PARAMETERS
from kling_notebook.notebook import kernel_session
from kling_notebook.notebook.panel.panel import KlingPanel
from kling_notebook.sandbox import Fault
from kling_notebook.session import current


class PythonEntry:
    name = "python"

    def make(self, prompt, **parameters):
        return calls.generate(prompt, show_progress=False, **parameters)

    def close(self):
        pass


class MagicEntry:
    name = "magic"

    def __init__(self):
        self.shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
        self.shell.run_line_magic("load_ext", "kling_notebook")

    def make(self, prompt, **parameters):
        options = [f"{PARAMETERS[name].flags[0]} {value}" for name, value in parameters.items()]
        return self.shell.run_cell_magic("kling", " ".join(["--quiet", *options]), prompt)

    def close(self):
        self.shell.run_line_magic("unload_ext", "kling_notebook")
        InteractiveShell.clear_instance()


class PanelEntry:
    name = "panel"

    def __init__(self):
        self.panel = KlingPanel(calls.current_session)

    def make(self, prompt, **parameters):
        """Fill the form, press the button; what the panel says where it is refused is raised, to be compared."""
        form, gallery = self.panel.form, self.panel.gallery
        form.load({"prompt": prompt, **parameters})
        self.panel.kit.pressed = (None, 0.0)  # each press of a test is one of its own
        if form.button.disabled:
            name = next(name for name, reason in form.reasons.items() if reason.value)
            raise InputError(shown_text(form.reasons[name].value), parameter=name)
        form.button.click()
        if form.message.value and not gallery.running and "under way" not in form.message.value:
            raise BudgetExceededError(shown_text(form.message.value))
        deadline = time.monotonic() + 30
        while gallery.running:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with self.panel.kit.lock:
            card = gallery.cards[0]
            if card.result is None:
                assert f"\u26a0 {card.handle.exception()}" == card.message, "the card says the whole reason"
                raise card.handle.exception()
            return card.result

    def close(self):
        self.panel.close()


def shown_text(markup):
    """The text of one line of the panel."""
    import html
    import re

    return html.unescape(re.sub(r"<[^>]+>", "", markup)).removeprefix("\u26a0 ")


@pytest.fixture
def service(make_sandbox):
    return make_sandbox()


@pytest.fixture
def session(service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(current, "_session", None)
    session = calls.connect(api_key=service.key, base_url=service.base_url)
    yield session
    current.existing_session().close()


@pytest.fixture(params=[PythonEntry, MagicEntry, PanelEntry], ids=lambda entry: entry.name)
def entry(request, session):
    opened = request.param()
    yield opened
    opened.close()


def test_a_request_becomes_saved_images(entry, session, service):
    result = entry.make("a red fox", aspect_ratio="16:9", num_outputs=3, output_format="webp")
    assert [image.path.suffix for image in result] == [".webp"] * 3
    assert all(image.path.is_file() for image in result)
    assert result.request == session.request("a red fox", aspect_ratio="16:9", num_outputs=3, output_format="webp")
    assert result.credits == 3
    assert service.count("submit") == 1


def test_the_history_says_which_entry_it_was(entry, session):
    result = entry.make("a red fox")
    assert session.record(result.number).source == entry.name
    assert list(calls.history()["source"]) == [entry.name]


@pytest.mark.parametrize(
    ("prompt", "parameters", "message"),
    [
        ("   ", {}, "The prompt is empty. Write "),
        ("a fox", {"image": "nowhere.png"}, "There is no file nowhere.png"),
        ("a fox", {"image": "12a"}, "No job 12 in this folder. `%kling history --all` lists them."),
    ],
)
def test_bad_input_is_refused_in_the_same_words_and_nothing_is_sent(entry, service, prompt, parameters, message):
    with pytest.raises(InputError) as refused:
        entry.make(prompt, **parameters)
    assert str(refused.value).startswith(message)
    assert service.count("submit") == 0


@pytest.mark.parametrize("timeout", ["abc", float("nan"), -1, 0, float("inf"), True])
@pytest.mark.parametrize("call", [calls.generate, calls.sweep, calls.resume], ids=lambda call: call.__name__)
def test_a_timeout_nothing_can_wait_for_is_refused_before_anything_is_sent(call, timeout, session, service):
    """Noticed when the waiting begins, the images were bought already."""
    prompt = () if call is calls.resume else (["a fox", "an owl"] if call is calls.sweep else "a fox",)
    with pytest.raises(InputError, match=r"timeout must be a number of seconds above 0, or None") as refused:
        call(*prompt, timeout=timeout, show_progress=False)
    assert refused.value.parameter == "timeout"
    assert (service.count("submit"), session.count()) == (0, 0)


@pytest.mark.parametrize("timeout", ["abc", "nan", "-1", "0"])
def test_the_magic_refuses_such_a_timeout_too(timeout, session, service):
    entry = MagicEntry()
    try:
        with pytest.raises(InputError, match="--timeout needs a number above 0"):
            entry.shell.run_cell_magic("kling", f"--timeout {timeout}", "a fox")
    finally:
        entry.close()
    assert (service.count("submit"), session.count()) == (0, 0)


@pytest.mark.parametrize("reuse", ["off", 0, "on"])
@pytest.mark.parametrize("call", [calls.generate, calls.submit, calls.sweep, calls.estimate], ids=lambda c: c.__name__)
def test_a_reuse_that_is_neither_true_nor_false_is_refused(call, reuse, session, service):
    """The text "off" is true, and would show an old image as the new one."""
    with pytest.raises(InputError, match=r"reuse must be True, False or None") as refused:
        call("a fox", reuse=reuse)
    assert refused.value.parameter == "reuse"
    assert (service.count("submit"), session.count()) == (0, 0)


def test_one_is_one_and_a_sentence_ends_once(session, service):
    calls.generate("a fox", show_progress=False)
    for look in (lambda: calls.compare("1d", "1a"), lambda: session.star(1, 3)):
        with pytest.raises(InputError, match=r"Job 1 has 1 image; there is no 1d\.$"):
            look()
    assert ("journal", "ok", "sound, 1 job") in session.check()
    service.add_fault(Fault("submit", "drop_after"))
    with pytest.raises(KlingError):
        calls.generate("an owl", show_progress=False)
    with pytest.raises(InputError, match=r"gives it up\.$") as unconfirmed_record:
        calls.result(2)
    assert ".." not in str(unconfirmed_record.value)


@pytest.mark.parametrize("call", [calls.estimate, calls.sweep], ids=lambda call: call.__name__)
def test_a_prompt_that_is_none_is_missed_as_such(call, session):
    with pytest.raises(InputError, match="prompt is required"):
        call(None, aspect_ratio=["1:1", "16:9"])


def test_resume_does_not_ignore_a_job_id_that_comes_without_its_number(session):
    with pytest.raises(InputError, match="Say which job job_x is"):
        calls.resume(None, "job_x")


def test_a_session_that_was_closed_is_followed_by_a_new_one_like_it(tmp_path, monkeypatch):
    """It stayed the current one without its sandbox, and the next request was told to check the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(current, "_session", None)
    closed = calls.connect(sandbox=True, folder="mine")
    calls.generate("a fox", show_progress=False)
    closed.close()
    assert calls.generate("an owl", show_progress=False).number == 2
    assert calls.current_session() is not closed
    assert calls.current_session().folder == closed.folder
    calls.current_session().close()


def test_a_reconnect_forgets_no_job_of_this_kernel(session, service, tmp_path):
    """Not in its history, its ``last``, nor in what its status says was spent; another folder has its own."""
    first = calls.generate("a fox", show_progress=False)
    kernel_session.reconnect(sandbox=True)
    kernel_session.reconnect(sandbox=None)
    calls.generate("an owl", show_progress=False)
    assert list(calls.history()["prompt"]) == ["a fox", "an owl"]
    assert calls.current_session().status().spent_session == 2
    kernel_session.reconnect(folder=tmp_path / "elsewhere")
    assert len(calls.history()) == 0
    kernel_session.reconnect(folder=first[0].path.parent)
    assert list(calls.history()["prompt"]) == ["a fox", "an owl"]


@pytest.mark.parametrize("shown_text", [{"max_credits": 1}, {}], ids=["above max_credits", "without asking"])
def test_a_refusal_for_its_cost_says_how_each_entry_allows_it(shown_text, session):
    with pytest.raises(BudgetExceededError, match=r"--max-credits 27 \(max_credits= in Python\)"):
        calls.sweep(["a fox", "an owl", "a hen"], num_outputs=9, **shown_text)


@pytest.mark.parametrize("limit", ["x", -1, 1.5, True])
def test_a_limit_of_the_history_that_is_not_a_number_is_refused(limit, session, tmp_path):
    for call in (calls.history, functools.partial(calls.export_history, tmp_path / "page.html")):
        with pytest.raises(InputError, match="limit must be a whole number from 0 up, or None for all"):
            call(limit=limit)
    assert len(calls.history(limit=0)) == 0
    assert len(calls.history(limit=10**20)) == 0


WRONG = [None, 7, 1.5, b"abc", [1], {"a": 1}, Path("nowhere.png"), "", object(), len, np.ma.masked, np.zeros((2, 2))]
TAKES_ANYTHING = {
    "prompt": lambda value: calls.generate(value, max_credits=0),
    "negative_prompt": lambda value: calls.generate("a", negative_prompt=value, max_credits=0),
    "num_outputs": lambda value: calls.generate("a", num_outputs=value, max_credits=0),
    "image": lambda value: calls.generate("a", image=value, max_credits=0),
    "extra": lambda value: calls.submit("a", extra=value, max_credits=0),
    "axes": lambda value: calls.sweep("a {x}", value, max_credits=0),
    "axis": lambda value: calls.sweep("a {x}", x=value, max_credits=0),
    "values": lambda value: calls.sweep("a {x}", x=[value, "b"], max_credits=0),
    "frame": lambda value: calls.batch(value, max_credits=0),
    "cell": lambda value: calls.batch([{"prompt": value}], max_credits=0),
    "column": lambda value: calls.batch([{"prompt": "a"}], prompt=value, max_credits=0),
    "estimate": calls.estimate,
    "images": calls.images,
    "measure": calls.measure,
    "export": lambda value: calls.export(value, "nowhere"),
    "result": calls.result,
    "resume": lambda value: calls.resume(1, value),
    "history": lambda value: calls.history(limit=value),
    "read_recipe": calls.read_recipe,
    "compare": lambda value: calls.compare(value, 1),
    "save": lambda value: calls.result(1).save(value),
    "note": lambda value: calls.current_session().note(1, value),
    "star": lambda value: calls.current_session().star(1, value) if np.ndim(value) == 0 else None,
    "model": lambda value: GenerationRequest("a", model=value),
    "draw": lambda value: GenerationRequest("a", draw=value),
    "from_json": GenerationRequest.from_json,
}


@pytest.mark.parametrize("call", TAKES_ANYTHING.values(), ids=TAKES_ANYTHING)
def test_what_is_not_meant_is_refused_in_a_sentence_or_taken(call, session, service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fox = calls.generate("a fox", show_progress=False)
    refusals = []
    for value in [*WRONG, fox, fox[0], session]:
        try:
            call(value)
        except KlingError as error:
            refusals.append(str(error))
    assert [text for text in refusals if "\n" in text or len(text) > 600] == []
    assert service.count("submit") == 1


def test_a_recipe_is_read_from_an_image_too(session):
    fox = calls.generate("a fox", show_progress=False)
    recipes = [calls.read_recipe(one) for one in (fox, fox[0], fox[0].path, str(fox[0].path), fox[0].path.read_bytes())]
    assert recipes == [recipes[0]] * 5


def test_a_page_of_the_history_that_cannot_be_written_is_refused_with_its_path(session, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "page.html", tmp_path):
        with pytest.raises(InputError, match=r"cannot be written: .*\. Choose another file\.") as refused:
            calls.export_history(path)
        assert str(path) in str(refused.value)


def test_a_ratio_that_does_not_exist_is_refused_or_cannot_be_chosen(entry, service):
    if isinstance(entry, PanelEntry):
        offered = tuple(value for _, value in entry.panel.form.controls["aspect_ratio"].options)
        assert offered == PARAMETERS["aspect_ratio"].choices
        return
    with pytest.raises(InputError, match=r"aspect_ratio cannot be '5:4'.* Choose one of 16:9"):
        entry.make("a fox", aspect_ratio="5:4")
    assert service.count("submit") == 0


def test_above_the_budget_nothing_is_sent(entry, session, service):
    session.configure(budget=2)
    with pytest.raises(BudgetExceededError, match="2 of 2 credits left in the budget"):
        entry.make("a fox", num_outputs=3)
    assert service.count("submit") == 0


def test_a_failed_job_says_why(entry, session, service):
    service.add_fault(Fault("submit", "failed", error="too dark to see"))
    with pytest.raises(JobFailedError, match="too dark to see"):
        entry.make("a fox")
    assert session.record(1).status == "failed"


def test_an_unconfirmed_purchase_is_flagged_and_made_once(entry, session, service):
    service.add_fault(Fault("submit", "drop_after"))
    with pytest.raises(KlingError) as unconfirmed_record:
        entry.make("a fox")
    assert unconfirmed_record.value.maybe_submitted
    assert session.record(1).status == "unconfirmed"
    assert service.count("submit") == 1


def test_with_reuse_the_same_request_is_bought_once(entry, session, service):
    session.configure(reuse=True)
    first = entry.make("a fox")
    again = entry.make("a fox")
    assert again.reused
    assert again.number == first.number
    assert service.count("submit") == 1


def test_an_image_starts_from_another(entry, session):
    first = entry.make("a fox")
    second = entry.make("as a watercolour", image=first[0].address)
    assert second.request.image.label == "1a"
    assert second.request.image.sha256
    assert second.request == session.request("as a watercolour", image=first[0])
