"""The panel without a browser: its callbacks against a counting sandbox."""

from __future__ import annotations

import gc
import io
import threading
import time
import weakref
from datetime import UTC, datetime
from types import SimpleNamespace

import ipywidgets as widgets
import pytest
from PIL import Image

from kling_notebook.api.job import JobStatus
from kling_notebook.notebook.panel import panel as panel_module
from kling_notebook.notebook.panel.form import EXAMPLES
from kling_notebook.notebook.panel.gallery import BUTTONS
from kling_notebook.notebook.panel.panel import CODE, CREATE, EXPLORE, HISTORY, KlingPanel
from kling_notebook.results import sweep_axes
from kling_notebook.sandbox import Fault
from kling_notebook.session.plans import sweep_plan
from kling_notebook.session.session import Session


@pytest.fixture
def service(make_sandbox):
    return make_sandbox()


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch):
    monkeypatch.setattr("kling_notebook.notebook.display.progress_display.TICK", 0.05)


@pytest.fixture
def connect(tmp_path, monkeypatch):
    """Begin a session on a sandbox, as on a service that costs money."""
    monkeypatch.chdir(tmp_path)
    sessions = []

    def begin(box, folder="images", **shown_text):
        shown_text = {"api_key": box.key, "base_url": box.base_url, "folder": str(tmp_path / folder), **shown_text}
        session = Session(shown_text, person_present=True)
        sessions.append(session)
        return session

    yield begin
    for session in sessions:
        session.close()


@pytest.fixture
def session(connect, service):
    return connect(service)


@pytest.fixture
def open_panel(session):
    """Panels on the session; closed at the end."""
    panels = []

    def make(get=None):
        panels.append(KlingPanel(get or (lambda: session)))
        return panels[-1]

    yield make
    for panel in panels:
        panel.close()


@pytest.fixture
def panel(open_panel):
    return open_panel()


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def settled(panel):
    """Wait until no job is under way and the tick that saw the last one end is over."""
    until(lambda: not panel.gallery.running)
    with panel.kit.lock:
        return panel


def generate(panel, **values):
    """Fill the form, press the button, wait until the queue has handed everything over."""
    for name, value in values.items():
        panel.form.controls[name].value = value
    panel.kit.pressed = (None, 0.0)  # a test is quicker than a person: each press is one of its own
    before = len(panel.gallery.cards)
    panel.form.button.click()
    settled(panel)
    top = panel.gallery.cards[0] if len(panel.gallery.cards) > before else None
    return top if top is not None and top.result is not None else None


def press(panel, what, *, tile=0, card=0, **more):
    """What the page sends for a button of the gallery: of a group, or of one of its images."""
    key = panel.gallery.cards[card].key
    of_group = any(what == offered for buttons in BUTTONS.values() for offered, *_ in buttons)
    content = {"group": key} if of_group else {"tile": f"{key}:{tile}"}
    panel.gallery.grid._handle_custom_msg({"do": what, **content, **more}, [])


def answers_of(panel, what, **options):
    """What the kernel sends the page when a button is pressed: messages with their buffers."""
    sent = []
    grid = panel.gallery.grid
    grid.send = lambda content, buffers=(): sent.append((content, list(buffers)))
    try:
        press(panel, what, **options)
    finally:
        del grid.send
    return sent


def text_of(widget):
    """All text and markup below a widget that is shown."""
    if "kling-hidden" in getattr(widget, "_dom_classes", ()):
        return ""
    own = [str(getattr(widget, name, "")) for name in ("value", "description")]
    return " ".join([*own, *(text_of(child) for child in getattr(widget, "children", ()))])


def png(width=640, height=640, color=(200, 80, 30), **options):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, options.pop("format", "PNG"), **options)
    return buffer.getvalue()


def upload(panel, name, data):
    file = {
        "name": name,
        "type": "image/png",
        "size": len(data),
        "content": memoryview(data),
        "last_modified": datetime.now(UTC),
    }
    panel.form.well.upload.set_trait("value", (file,))


# the form -------------------------------------------------------------------------------------------------------------


def test_it_opens_with_a_prompt_and_one_press_makes_the_first_image(panel, service):
    assert panel.form.controls["prompt"].value == EXAMPLES["Mountain"]["prompt"]
    assert not panel.form.button.disabled
    card = generate(panel)
    assert len(card.result) == 1
    assert card.result[0].path.is_file()
    assert service.count("submit") == 1


def test_six_examples_fill_the_form_and_leave_the_count(panel):
    panel.form.controls["num_outputs"].value = 5
    assert len(panel.form.examples) == 6
    for button, values in zip(panel.form.examples, EXAMPLES.values(), strict=True):
        button.click()
        assert panel.form.controls["prompt"].value == values["prompt"]
        assert panel.form.controls["num_outputs"].value == 5
        assert not panel.form.button.disabled


def test_nothing_is_bought_by_moving_anything_but_generate(panel, service):
    panel.form.controls["num_outputs"].value = 2
    panel.form.controls["resolution"].value = "2K"
    panel.form.controls["prompt"].value = "another"
    panel.tabs.selected_index = EXPLORE
    panel.explorer.axes[0].which.value = "aspect_ratio"
    assert not panel.explorer.run.disabled
    assert service.count("submit") == 0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("prompt", "   ", "prompt is empty"),
        ("prompt", "half \ud800", "surrogate"),
        ("image", "nowhere.png", "nowhere.png"),
    ],
)
def test_what_is_not_valid_disables_the_button_with_the_reason_beside_the_field(panel, name, value, says):
    control = panel.form.well.text if name == "image" else panel.form.controls[name]
    control.value = value
    assert panel.form.button.disabled
    assert says in panel.form.reasons[name].value
    assert "Not valid yet" in panel.form.cost.value
    control.value = "a fox" if name == "prompt" else ""
    assert not panel.form.button.disabled
    assert panel.form.reasons[name].value == ""


def test_beside_the_button_stand_the_cost_the_balance_and_the_budget(panel, session):
    panel.form.controls["num_outputs"].value = 3
    assert "3 images" in panel.form.cost.value
    assert panel.form.button.description == "Generate \u00b7 about 3 credits"
    session.configure(budget=8)
    generate(panel)
    assert "9997 credits left" in panel.form.account.value
    assert "5 of the budget of 8 left" in panel.form.account.value


def test_over_budget_is_reported_beside_the_button_and_nothing_is_sent(panel, session, service):
    session.configure(budget=2)
    assert generate(panel, num_outputs=3) is None
    assert "2 of 2 credits left in the budget" in panel.form.message.value
    assert service.count("submit") == 0


def test_a_very_long_prompt_is_warned_of_and_sent(panel, service):
    panel.form.controls["prompt"].value = "word " * 2000
    assert "2500" in panel.form.reasons["prompt"].value
    assert generate(panel).result.request.prompt.startswith("word word")


def test_braces_in_the_prompt_are_warned_of(panel):
    panel.form.controls["prompt"].value = "a {kind} fox"
    assert "braces is sent as it is" in panel.form.reasons["prompt"].value
    panel.form.controls["prompt"].value = "a kind fox"
    assert panel.form.reasons["prompt"].value == ""


def test_a_press_that_comes_twice_at_once_buys_once(panel, service):
    panel.form.button.click()
    panel.form.button.click()
    settled(panel)
    assert service.count("submit") == 1
    assert "Pressed twice" in panel.form.message.value or panel.gallery.cards


def test_the_number_field_and_the_slider_are_one_value(panel):
    number = panel.form.view.children[4].children[0].children[0]
    assert isinstance(number, widgets.BoundedIntText)
    number.value = 7
    assert panel.form.controls["num_outputs"].value == 7
    assert panel.form.request().num_outputs == 7


# the source image ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("huge.png", b"\x89PNG\r\n\x1a\n" + bytes(40_000_000), "huge.png has 40.0 MB"),
        ("text.png", b"this is not an image", "text.png is"),
        ("tiny.png", png(10, 10), "10 x 10 pixels"),
        (
            "moving.gif",
            png(400, 400, format="GIF", save_all=True, append_images=[Image.new("RGB", (400, 400))]),
            "moving.gif",
        ),
    ],
)
def test_an_upload_that_cannot_be_used_is_refused_with_its_reason(panel, service, name, data, says):
    upload(panel, name, data)
    assert says in panel.form.reasons["image"].value
    assert panel.form.button.disabled
    assert panel.form.well.upload.value == ()  # its bytes stay in no widget
    panel.form.well.remove.click()
    assert not panel.form.button.disabled
    assert panel.form.reasons["image"].value == ""
    assert service.count("submit") == 0


def test_an_upload_becomes_the_source_and_its_code_makes_the_same_request(panel, session):
    upload(panel, "fox.png", png())
    assert "<img" in panel.form.well.preview.value
    card = generate(panel)
    asked = card.result.request
    panel.tabs.selected_index = CODE
    namespace = {}
    code = panel.code.call.value.removeprefix("kling.generate")
    exec(f"def generate(prompt, **more): return prompt, more\nshown_text = generate{code}", namespace)  # noqa: S102
    prompt, more = namespace["shown_text"]
    assert session.request(prompt, **more) == asked


# the queue ------------------------------------------------------------------------------------------------------------


def test_a_failed_job_says_why_and_try_again_buys_once_more(panel, service):
    service.add_fault(Fault("submit", "failed", at=1, error="too dark"))
    assert generate(panel) is None
    (card,) = panel.gallery.cards
    assert "too dark" in card.message
    assert buttons_of(panel)["retry"] == "Try again \u00b7 about 1 credit"
    press(panel, "retry")
    settled(panel)
    (card,) = panel.gallery.cards
    assert card.result is not None
    assert service.count("submit") == 2


def test_an_unconfirmed_purchase_is_not_repeated_without_asking(panel, service, session):
    service.add_fault(Fault("submit", "drop_after", at=1))
    assert generate(panel) is None
    (card,) = panel.gallery.cards
    assert session.record(1).status is JobStatus.UNCONFIRMED
    press(panel, "retry")
    assert service.count("submit") == 1
    assert "may have been charged already" in card.message
    assert buttons_of(panel)["sure"] == "Make it again \u00b7 about 1 credit"
    press(panel, "leave")
    assert service.count("submit") == 1
    press(panel, "retry")
    press(panel, "sure")
    settled(panel)
    assert service.count("submit") == 2
    assert session.record(1).status is JobStatus.DISMISSED


def test_out_of_credits_is_reported_in_the_queue(connect, make_sandbox, open_panel):
    session = connect(make_sandbox(credits=1))
    panel = open_panel(lambda: session)
    generate(panel, num_outputs=2)
    assert "redit" in panel.gallery.cards[0].message


def words_below(widget):
    """What every widget below says, shown or not, tooltips included."""
    yield from (str(getattr(widget, name, "")) for name in ("description", "tooltip", "value"))
    for child in getattr(widget, "children", ()):
        yield from words_below(child)


def test_on_the_sandbox_nothing_speaks_of_buying(open_panel, tmp_path):
    """Form, queue with a job unconfirmed, gallery, explorer and history: a free demo asks no one to buy."""
    session = Session({"sandbox": True, "folder": str(tmp_path / "free")})
    panel = open_panel(lambda: session)
    try:
        assert generate(panel) is not None
        session._sandbox.add_fault(Fault("submit", "drop_after"))
        generate(panel)
        assert panel.gallery.cards[0].handle.exception().maybe_submitted
        press(panel, "retry")
        for tab in (EXPLORE, HISTORY, CREATE):
            panel.tabs.selected_index = tab
            settled(panel)
            buttons = [label for group in panel.gallery.grid.groups for _, *label in group["buttons"]]
            assert buttons
            shown_text = [*(text for labels in buttons for text in labels), *words_below(panel.view)]
            assert any("Make" in words for words in shown_text)
            assert [words for words in shown_text if "buy" in words.lower()] == []
    finally:
        session.close()


def test_several_jobs_run_at_once_and_what_is_let_go_can_be_watched_again(connect, make_sandbox, open_panel):
    box = make_sandbox(latency=1.5)
    session = connect(box)
    panel = open_panel(lambda: session)
    panel.form.button.click()
    panel.form.controls["prompt"].value = "a second one"
    panel.form.button.click()
    until(lambda: box.count("submit") == 2)
    first = panel.gallery.cards[1]
    until(lambda: first.handle.job_id)
    press(panel, "stop", card=1)
    assert "keeps running" in first.message
    until(first.handle.done)
    assert [card.state for card in settled(panel).gallery.cards] == ["done", "stopped"]
    press(panel, "watch", card=1)
    settled(panel)
    assert {card.result.number for card in panel.gallery.cards} == {1, 2}
    assert box.count("submit") == 2


def test_stopping_before_the_post_cancels(connect, make_sandbox, open_panel):
    box = make_sandbox(latency=0.5)
    session = connect(box, in_flight=1)
    panel = open_panel(lambda: session)
    panel.form.button.click()
    panel.form.controls["prompt"].value = "a second one"
    panel.form.button.click()
    press(panel, "stop")
    assert len(panel.gallery.cards) == 1
    settled(panel)
    assert session.record(2).status is JobStatus.CANCELLED
    assert box.count("submit") == 1


# the gallery ----------------------------------------------------------------------------------------------------------


def buttons_of(panel, card=0):
    return {what: label for what, label, _ in panel.gallery.grid.groups[card]["buttons"]}


def test_buttons_that_charge_say_what_such_a_job_was_seen_to_cost(make_sandbox, connect, open_panel):
    """And not the documented credit apiece, once a reply has named another price."""
    session = connect(make_sandbox(credit_cost=2.5, latency=0))
    panel = open_panel(lambda: session)
    generate(panel, prompt="a fox", num_outputs=2)
    assert buttons_of(panel)["again"] == "Run again \u00b7 about 5 credits"
    panel.tabs.selected_index = HISTORY
    assert rows_of(panel)[0]["again"].endswith("about 5 credits")


def test_one_credit_is_not_called_credits(panel):
    generate(panel, prompt="a fox")
    assert buttons_of(panel)["again"].endswith("about 1 credit")
    panel.tabs.selected_index = HISTORY
    assert rows_of(panel)[0]["again"].endswith("about 1 credit")
    assert repr(panel) == "<KlingPanel with 1 result, 0 jobs under way>"


def test_the_page_is_told_of_each_image_once_and_its_state_holds_no_thumbnail(panel):
    sent = []
    panel.gallery.grid.send = lambda content, buffers=(): sent.append((content, list(buffers)))
    generate(panel, num_outputs=2)
    ((content, buffers),) = [(content, buffers) for content, buffers in sent if "progress" not in content]
    (cell,) = content["cells"]
    assert [tile["name"] for tile in cell["tiles"]] == ["1a", "1b"]
    assert [Image.open(io.BytesIO(jpeg)).width for jpeg in buffers] == [512, 512]
    assert len(repr(panel.gallery.grid.groups)) < 1000
    del panel.gallery.grid.send


def test_a_page_that_is_loaded_again_is_told_what_it_asks_for(panel):
    card = generate(panel)
    ((content, buffers),) = answers_of(panel, "cells", cells=[card.key, "no such cell"])
    assert [cell["cell"] for cell in content["cells"]] == [card.key]
    assert len(buffers) == 1


def test_larger_recipe_compare_and_download_send_what_is_shown_of_them(panel):
    card = generate(panel, num_outputs=2, negative_prompt="people")
    panel.form.controls["negative_prompt"].value = "animals"
    other = generate(panel)
    ((content, (jpeg,)),) = answers_of(panel, "large", card=1)
    assert content == {"large": f"{card.key}:0"}
    assert Image.open(io.BytesIO(jpeg)).size == (1360, 768), "the image's own pixels"
    (((_, code), (_, recipe)),) = (content["detail"] for content, _ in answers_of(panel, "recipe"))
    assert "%%kling" in code
    assert "job_id" in recipe
    (((title, text),),) = (content["detail"] for content, _ in answers_of(panel, "compare", first=f"{card.key}:1"))
    assert "1b" in title
    assert "2a" in title
    assert "negative prompt: people" in text
    ((content, (data,)),) = answers_of(panel, "download")
    assert content["file"] == other.result[0].path.name
    assert data == other.result[0].path.read_bytes()


def test_a_card_that_is_removed_takes_no_file_along_and_keeps_no_state(panel, session):
    card = generate(panel)
    press(panel, "remove")
    assert panel.gallery.cards == []
    assert panel.gallery.grid.groups == []
    assert panel.gallery.grid.cells == {}
    assert card.result[0].path.is_file()
    assert session.record(1).images


def test_a_message_about_an_image_that_is_gone_is_answered_with_a_reason(panel):
    generate(panel)
    panel.gallery.grid._handle_custom_msg({"do": "large", "tile": "nothing:7"}, [])
    assert "not shown any more" in panel.fault.value
    panel.gallery.grid._handle_custom_msg({"do": "no such thing"}, [])


def test_the_code_of_an_image_names_the_kept_copy_of_a_source_that_changed(panel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source.png").write_bytes(png(color=(200, 30, 30)))
    panel.form.well.text.value = "source.png"
    generate(panel)
    (tmp_path / "source.png").write_bytes(png(color=(30, 30, 200)))
    assert ".kling/sources/" in answers_of(panel, "recipe")[0][0]["detail"][0][1]


@pytest.mark.parametrize("lost", ["recipe", "file"])
def test_the_code_of_an_image_is_shown_also_without_a_recipe_or_a_file(connect, service, open_panel, lost):
    """It was refused together with the recipe."""
    session = connect(service, recipe=lost != "recipe")
    panel = open_panel(lambda: session)
    card = generate(panel, prompt="a lonely fox")
    if lost == "file":
        card.result[0].path.unlink()
    (_, code), (title, recipe) = answers_of(panel, "recipe")[0][0]["detail"]
    assert "a lonely fox" in code
    assert "%%kling" in code
    assert card.result[0].path.name in title
    assert recipe


def test_a_star_is_kept_shown_and_found_in_the_history(panel, session):
    generate(panel)
    ((content, buffers),) = answers_of(panel, "star")
    assert content["cells"][0]["tiles"][0]["starred"]
    assert buffers == [], "the page has the thumbnail"
    assert session.record(1).starred == {0}
    panel.tabs.selected_index = HISTORY
    panel.history.starred.value = True
    assert "1 to 1 of 1 job" in panel.history.message.value
    press(panel, "star")
    assert session.record(1).starred == frozenset()


def test_run_again_charges_the_same_request_again_also_with_reuse(connect, service, open_panel):
    session = connect(service, reuse=True)
    panel = open_panel(lambda: session)
    generate(panel)
    press(panel, "again")
    settled(panel)
    assert service.count("submit") == 2
    generate(panel)
    assert panel.gallery.cards[0].result.reused
    assert service.count("submit") == 2


def test_a_double_click_on_run_again_or_a_sweep_charges_once(connect, service, open_panel):
    """Also if reuse is off, so that nothing else would catch the second press."""
    session = connect(service, reuse=False)
    panel = open_panel(lambda: session)
    generate(panel)
    for _ in range(2):
        press(panel, "again")
    settled(panel)
    assert service.count("submit") == 2
    panel.kit.pressed = (None, 0.0)  # a test is quicker than a person: the row's button is a press of its own
    panel.tabs.selected_index = HISTORY
    for _ in range(2):
        press_row(panel, "again")
    settled(panel)
    assert service.count("submit") == 3
    explore(panel, "aspect_ratio", {"1:1", "16:9"})
    for _ in range(2):
        panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 5


def test_use_as_source_puts_the_address_into_the_form(panel):
    generate(panel)
    press(panel, "source")
    assert panel.form.well.text.value == "1a"
    again = generate(panel, prompt="as a watercolour")
    assert again.result.request.image.label == "1a"


def test_a_hostile_prompt_is_text_everywhere(panel):
    hostile = '<img src=x onerror="boom()">\'&<script>boom()</script>'
    generate(panel, prompt=hostile)
    for tab in (CREATE, EXPLORE, HISTORY):
        panel.tabs.selected_index = tab
        markup = " ".join(w.value for w in below(panel.view) if isinstance(w, widgets.HTML))
        assert "<script" not in markup
        assert "<img src=x" not in markup


def below(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from below(child)


def test_an_address_that_is_not_there_has_its_reason_beside_the_image(panel):
    """It stood under the prompt."""
    panel.form.well.text.value = "9999a"
    assert "No job 9999" in panel.form.reasons["image"].value
    assert not panel.form.reasons["prompt"].value
    assert "see image" in panel.form.cost.value


# explore --------------------------------------------------------------------------------------------------------------


def explore(panel, which, values, prompt="a fox"):
    """Vary one parameter over a prompt without words in braces."""
    panel.tabs.selected_index = EXPLORE
    panel.explorer.prompt.value = prompt
    axis = panel.explorer.axes[0]
    axis.which.value = which
    if axis.boxes:
        for box in axis.boxes:
            box.value = box.description in values
    else:
        axis.values.value = "\n".join(values)


def finished(panel):
    until(lambda: not panel.explorer.ticks.running)
    with panel.kit.lock:
        pass


def cells_of(panel):
    """The tiles of the grid as the page has them: rows of (state, note or address)."""
    (group,) = panel.explorer.grid.groups
    told = [[panel.explorer.grid.cells[name].tiles(name) for name in row] for row in group["cells"]]
    return [[[(facts["state"], facts["name"] or facts["note"]) for facts, _ in cell] for cell in row] for row in told]


def test_explore_opens_with_an_example_its_values_count_and_price(panel, service):
    panel.tabs.selected_index = EXPLORE
    explorer = panel.explorer
    assert explorer.prompt.value == "A {animal} at {time}, watercolor"
    assert "animal (3)" in explorer.plan.value
    assert "snowy owl" in explorer.plan.value
    assert "3 x 3 = 9 jobs: 9 images, about 9 credits" in explorer.plan.value
    assert explorer.run.description == "Make 9 images \u00b7 about 9 credits"
    assert not explorer.run.disabled
    assert service.count("submit") == 0
    assert "Taken from Create: aspect ratio 16:9<" in explorer.plan.value
    explorer.axes[0].which.value = "aspect_ratio"
    assert "Taken from Create" not in explorer.plan.value


def test_a_source_image_that_every_image_of_a_grid_will_look_like_is_pointed_out(panel, tmp_path):
    panel.tabs.selected_index = EXPLORE
    assert "border-left" not in panel.explorer.plan.value
    Image.new("RGB", (400, 400)).save(tmp_path / "source.png")
    panel.form.well.text.value = str(tmp_path / "source.png")
    panel.tabs.selected_index = CREATE
    panel.tabs.selected_index = EXPLORE
    assert "border-left" in panel.explorer.plan.value
    assert "source.png" in panel.explorer.plan.value


@pytest.mark.parametrize("prompt", ["a {red thing} at {time}", 'a {time}, "so" {x}\nan owl\'s {time}'])
def test_explore_says_its_sweep_as_a_call_that_asks_for_the_same(panel, session, prompt):
    def sweep(prompt, axes, extra=None, **more):
        asked.append(session.requests(sweep_plan(session, prompt, axes, more).points, extra))

    asked = []
    panel.form.load({"prompt": "a fox", "aspect_ratio": "16:9"}, extra={"seed": 7}, sample=3)
    explore(panel, "resolution", ["1K", "2K"], prompt=prompt)
    panel.explorer.words["time"].value = "dawn\n'noon'\n{night}"
    exec(panel.explorer.code.value, {"kling": SimpleNamespace(sweep=sweep)})  # noqa: S102
    panel.form.controls["num_outputs"].value = 2
    panel.tabs.selected_index = CREATE
    panel.tabs.selected_index = EXPLORE
    exec(panel.explorer.code.value, {"kling": SimpleNamespace(sweep=sweep)})  # noqa: S102
    panel.explorer.start()
    one, two = asked
    assert two == [handle.request for handle in panel.explorer.sweep.handles]
    assert len(one) == len(two) > 5
    assert {request.num_outputs for request in one} == {1}
    finished(panel)
    panel.explorer.prompt.value = "nothing varies"
    panel.explorer.axes[0].which.value = ""
    assert panel.explorer.code.value == ""


def test_explore_begins_with_the_prompt_of_the_form_once_it_is_one_s_own(panel):
    panel.form.controls["prompt"].value = "a boat\non a lake"
    panel.tabs.selected_index = EXPLORE
    assert panel.explorer.prompt.value == "a boat on a lake, {style}"
    assert "3 images" in panel.explorer.plan.value, "something varies, and it can be run"
    assert not panel.explorer.run.disabled
    assert "\u26a0" not in panel.explorer.plan.value, "no error before anything is typed"
    panel.explorer.prompt.value = "a {red} thing"
    assert panel.explorer.words["red"].value == "red", "the first of its values"
    panel.explorer.words["red"].value = ""
    assert "\u26a0" in panel.explorer.plan.value
    assert panel.explorer.run.disabled


def test_explore_follows_the_prompt_of_create_until_it_is_used(panel):
    def seen(own):
        panel.tabs.selected_index = CREATE
        panel.form.controls["prompt"].value = own
        panel.tabs.selected_index = EXPLORE
        return panel.explorer.prompt.value, list(panel.explorer.words)

    assert seen(EXAMPLES["Fox"]["prompt"]) == ("A {animal} at {time}, watercolor", ["animal", "time"])
    assert seen("a boat") == ("a boat, {style}", ["style"])
    assert seen("a {color} boat") == ("a {color} boat", ["color"])
    assert seen("") == ("A {animal} at {time}, watercolor", ["animal", "time"])
    panel.explorer.prompt.value = "an {animal} of my own"
    assert seen("a boat") == ("an {animal} of my own", ["animal"])


def test_words_in_braces_become_axes_and_keep_their_values_while_they_are_gone(panel):
    panel.tabs.selected_index = EXPLORE
    explorer = panel.explorer
    explorer.words["animal"].value = "cat, dog"
    explorer.prompt.value = "no word at all"
    assert explorer.words == {}
    explorer.prompt.value = "A {time} with a {animal} and a {animal}"
    assert list(explorer.words) == ["time", "animal"]
    assert explorer.words["animal"].value == "cat, dog"
    assert "2" in explorer.plan.value


def test_one_prompt_per_line_is_an_axis_whatever_else_stands_in_it(panel):
    """Values were split at commas: "A red fox, watercolor; A snowy owl" was three jobs."""
    panel.tabs.selected_index = EXPLORE
    panel.explorer.prompt.value = "A red fox, watercolor\n\nA snowy owl, oil painting; at night"
    assert "prompt (2)" in panel.explorer.plan.value
    assert "A red fox, watercolor" in panel.explorer.plan.value
    assert "2 jobs" in panel.explorer.plan.value


def test_one_negative_prompt_per_line(panel):
    explore(panel, "negative_prompt", ["blurry, dark", "people"])
    assert "negative prompt (2)" in panel.explorer.plan.value
    assert "blurry, dark" in panel.explorer.plan.value


def test_a_sweep_is_shown_as_a_labeled_grid_and_charged_once(panel, service):
    panel.tabs.selected_index = EXPLORE
    panel.explorer.words["time"].value = "dawn, noon"
    panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 6
    (group,) = panel.explorer.grid.groups
    assert group["rows"] == ["red fox", "snowy owl", "hare"]
    assert group["columns"] == ["dawn", "noon"]
    assert group["axes"] == "animal \\ time"
    names = [result.request.prompt for result in panel.explorer.sweep]
    assert [state for row in cells_of(panel) for cell in row for state, _ in cell] == ["image"] * 6
    cell = panel.explorer.grid.cells[group["cells"][1][0]]
    assert cell.result.request.prompt == names[2] == "A snowy owl at dawn, watercolor"
    panel.kit.pressed = (None, 0.0)
    panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 6, "what is in the folder is not charged again"


def test_a_third_axis_turns_pages(panel):
    panel.tabs.selected_index = EXPLORE
    explorer = panel.explorer
    explorer.axes[0].which.value = "resolution"
    explorer.run.click()
    pages = explorer.grid.groups
    assert [(page["text"], page["title"]) for page in pages] == [("resolution", "1K"), ("resolution", "2K")]
    assert len({name for page in pages for row in page["cells"] for name in row}) == 18
    explorer.stop.click()
    finished(panel)


def test_progress_of_a_sweep_tells_each_change_of_a_cell_once(panel):
    sent = []
    panel.tabs.selected_index = EXPLORE
    panel.explorer.grid.send = lambda content, _: sent.append(content)
    panel.explorer.run.click()
    finished(panel)
    del panel.explorer.grid.send
    told = [(cell["cell"], repr(cell["tiles"])) for content in sent for cell in content["cells"]]
    assert len(told) == len(set(told))
    assert len(told) <= 9 * 6, "a few states for each of nine"


def test_what_is_missing_of_a_sweep_says_why_and_is_made_by_the_next_press(panel, service):
    service.add_fault(Fault("submit", "failed", at=1, error="no light"))
    explore(panel, "resolution", {"1K", "2K"})
    panel.explorer.run.click()
    finished(panel)
    ((one, other),) = cells_of(panel)
    assert sorted(state for state, _ in one + other) == ["failed", "image"]
    assert any("no light" in note for _, note in one + other)
    assert "1 of 2 are missing" in panel.explorer.progress.value
    panel.kit.pressed = (None, 0.0)  # each press of a test is one of its own
    panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 3
    assert "All images are here" in panel.explorer.progress.value


def test_a_sweep_above_the_credits_allowed_is_refused_until_they_are_raised(panel, service):
    explore(panel, "sample", ["3"])
    panel.explorer.most.value = 2
    assert "Raise them" in panel.explorer.cost.value
    assert panel.explorer.run.disabled
    panel.explorer.most.value = 3
    panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 3


@pytest.mark.parametrize(("which", "says"), [("aspect_ratio", "Tick at least one"), ("num_outputs", "Give at least")])
def test_an_axis_without_values_says_so(panel, which, says):
    explore(panel, which, ())
    assert says in panel.explorer.plan.value
    assert panel.explorer.run.disabled


@pytest.mark.parametrize("typed", [["3"], ["1, 2, 3"], ["1", "2", "3"]])
def test_replicates_are_those_of_the_magic(panel, session, service, typed):
    """They were the words "1", "2" and "3": other requests, which were charged a second time."""
    fixed = panel.form.values
    del fixed["prompt"]
    points = sweep_axes.expand("a fox", {"sample": 3}, fixed)[1]
    for handle in session.start(session.requests(points), source="magic").jobs:
        handle.result()
    explore(panel, "sample", typed)
    assert "3 already made, at no cost" in panel.explorer.plan.value
    assert panel.explorer.run.description == "Show the grid \u00b7 no cost"
    panel.explorer.run.click()
    finished(panel)
    assert [result.request.sample for result in panel.explorer.sweep] == [1, 2, 3]
    assert service.count("submit") == 3


def test_a_sweep_takes_from_a_loaded_row_what_the_form_has_no_control_for(panel, session):
    """Its ``extra`` and replicate were dropped, while the page says that everything else is taken from the form."""
    row = session.request("a fox", extra={"style": 7}, sample=0)
    panel.form.load(row.values, extra=row.extra, sample=row.sample)
    explore(panel, "resolution", {"1K", "2K"})
    panel.explorer.run.click()
    finished(panel)  # refused: the sandbox knows no such key
    assert [handle.request for handle in panel.explorer.sweep.handles] == [row, row.replace(resolution="2K")]
    explore(panel, "sample", ["2, 5"])
    panel.explorer.run.click()
    finished(panel)
    assert [handle.request for handle in panel.explorer.sweep.handles] == [row.replace(sample=2), row.replace(sample=5)]


def test_a_second_sweep_waits_for_the_end_of_the_one_that_runs(connect, make_sandbox, open_panel, monkeypatch):
    """It took the first one's place: that never came to its end, nor into what lasts in the notebook."""
    session = connect(make_sandbox(latency=2.0))
    panel = open_panel(lambda: session)
    persistent_output = []
    monkeypatch.setattr(panel.explorer, "_on_done", persistent_output.append)
    explore(panel, "resolution", {"1K", "2K"})
    panel.explorer.run.click()
    first = panel.explorer.sweep
    explore(panel, "aspect_ratio", {"16:9"})
    assert panel.explorer.run.disabled
    assert "when it has ended" in panel.explorer.cost.value
    panel.explorer.run.click()
    finished(panel)
    assert persistent_output == [first]
    panel.explorer.run.click()
    finished(panel)
    assert len(persistent_output) == 2


# history --------------------------------------------------------------------------------------------------------------


def rows_of(panel):
    """What each row of the history says, and its buttons: what is sent -> label."""
    return [
        {"text": row["text"], "key": row["key"], **{what: label for what, label, _ in row["buttons"]}}
        for row in panel.history.grid.groups
    ]


def press_row(panel, what, row=0):
    panel.history.grid._handle_custom_msg({"do": what, "group": panel.history.grid.groups[row]["key"]}, [])


def test_history_searches_filters_and_pages(panel, monkeypatch):
    monkeypatch.setattr("kling_notebook.notebook.panel.history.PAGE", 2)
    for prompt in ("a fox", "an owl", "a red fox"):
        generate(panel, prompt=prompt)
    panel.tabs.selected_index = HISTORY
    assert "1 to 2 of 3 jobs" in panel.history.message.value
    panel.history.older.click()
    assert "3 to 3 of 3 jobs" in panel.history.message.value
    assert panel.history.older.disabled
    panel.history.search.value = "fox"
    assert "1 to 2 of 2 jobs" in panel.history.message.value
    panel.history.status.value = "failed"
    assert "No job matches" in panel.history.message.value


def test_a_row_loads_into_the_form_shows_and_runs_again(panel, service):
    first = generate(panel, prompt="a fox", aspect_ratio="3:2", num_outputs=2, output_format="webp")
    panel.form.load({"prompt": "something else"})
    panel.tabs.selected_index = HISTORY
    press_row(panel, "load")
    assert panel.tabs.selected_index == CREATE
    assert panel.form.request() == first.result.request
    panel.tabs.selected_index = HISTORY
    press_row(panel, "show")
    assert len(panel.gallery.cards) == 1
    panel.tabs.selected_index = HISTORY
    press_row(panel, "again")
    settled(panel)
    assert service.count("submit") == 2
    assert panel.gallery.cards[0].result.request == first.result.request


def test_a_paused_job_of_the_folder_is_collected_from_the_history(panel, session, service):
    generate(panel)
    record = session.record(1)
    paused = record.replace(status=JobStatus.PAUSED, images=(), completed_at=None, owner="0" * 12)
    session.journal.write(paused.replace(owner=session.id))
    panel.tabs.selected_index = HISTORY
    press_row(panel, "fetch")
    settled(panel)
    assert session.record(1).status is JobStatus.COMPLETED
    assert service.count("submit") == 1


# code, sessions, life -------------------------------------------------------------------------------------------------


def test_the_code_keeps_step_with_the_form(panel):
    panel.tabs.selected_index = CODE
    panel.form.controls["prompt"].value = 'a "fox", it\'s late\nsecond line'
    panel.form.controls["num_outputs"].value = 4
    assert panel.code.cell.value == '%%kling --aspect-ratio 16:9 --num-outputs 4\na "fox", it\'s late\nsecond line'
    assert "num_outputs=4" in panel.code.call.value
    panel.form.controls["prompt"].value = ""
    assert panel.code.cell.value == panel.code.call.value == ""


def test_two_panels_share_the_session_and_do_not_disturb_each_other(open_panel, service, session):
    one, other = open_panel(), open_panel()
    one.form.controls["prompt"].value = "only here"
    assert other.form.controls["prompt"].value == EXAMPLES["Mountain"]["prompt"]
    generate(one)
    assert len(one.gallery.cards) == 1
    assert other.gallery.cards == []
    other.tabs.selected_index = HISTORY
    assert "only here" in rows_of(other)[0]["text"]


def test_a_session_on_another_backend_is_followed(connect, make_sandbox, open_panel, service):
    sessions = [connect(service)]
    panel = open_panel(lambda: sessions[-1])
    generate(panel)
    sessions.append(connect(make_sandbox(), folder="elsewhere"))
    panel._cell_runs(False)
    assert sessions[1].backend in panel.title.value
    assert "balance not known yet" in panel.form.account.value
    press(panel, "star")
    assert sessions[0].record(1).starred == {0}, "the mark goes to the folder of the image"
    press(panel, "source")
    assert generate(panel).result.request.image.sha256
    assert sessions[1].record(1).backend == sessions[1].backend


def test_no_session_is_reported_and_no_image_asked_for(open_panel, monkeypatch):
    from kling_notebook.api.errors import SettingsError

    def none():
        raise SettingsError("There is no key. Set PIXELDOJO_API_KEY.")

    panel = open_panel(none)
    assert "no key" in panel.notice.value
    assert panel.form.button.disabled
    assert panel.generate() is None


def test_a_fault_in_a_callback_is_reported_and_stops_nothing(panel, monkeypatch, service):
    def broken(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(panel.form, "check", broken)
    panel.form.button.click()
    assert "Internal error of kling_notebook" in panel.fault.value
    monkeypatch.undo()
    panel.form.examples[0].click()
    assert panel.fault.value == "", "it goes with the next press"


def test_callbacks_of_several_threads_come_one_at_a_time(panel, service):
    threads = [threading.Thread(target=panel.form.button.click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled(panel)
    assert service.count("submit") == 1, "four presses at once are one"


def test_a_forgotten_panel_goes_and_leaves_no_widget_behind(session):
    before = set(widgets.widget._instances)
    panel = KlingPanel(lambda: session)
    generate(panel, num_outputs=2)
    gone = weakref.ref(panel)
    del panel
    until(lambda: gc.collect() >= 0 and gone() is None)  # the tick that ended the job may hold it for a moment
    until(lambda: set(widgets.widget._instances) <= before)  # and then closes the widgets on its thread


def test_a_closed_panel_looks_at_no_job_and_the_job_continues(connect, make_sandbox):
    box = make_sandbox(latency=0.8)
    session = connect(box)
    before = set(widgets.widget._instances)
    panel = KlingPanel(lambda: session)
    panel._ipython_display_()
    handle = panel.generate()
    panel.close()
    assert not panel.gallery.ticks.running
    assert not panel.gallery.running
    assert handle.result(60)
    assert [widgets.widget._instances[left] for left in set(widgets.widget._instances) - before] == []
    until(lambda: not [t for t in threading.enumerate() if t.name == "kling-ticker"])


def test_a_closed_panel_says_so_where_it_is_shown(session, capsys):
    """It was a traceback."""
    panel = KlingPanel(lambda: session)
    panel.close()
    panel._ipython_display_()
    assert capsys.readouterr().out == "This panel was closed; kling.panel() opens another.\n"


def test_a_shown_panel_lives_without_a_variable(session):
    panel = KlingPanel(lambda: session)
    panel._ipython_display_()
    gone, view = weakref.ref(panel), panel.view
    del panel
    gc.collect()
    assert gone() is not None
    gone().close()
    del view
    gc.collect()
    assert gone() is None


def test_values_survive_showing_it_again(panel, capsys):
    panel.form.controls["prompt"].value = "kept"
    panel._ipython_display_()
    panel._ipython_display_()
    assert panel.form.controls["prompt"].value == "kept"


def test_dead_widgets_leave_words_in_their_place(panel, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **_: shown.append(bundle))
    panel._ipython_display_()
    assert panel_module.ASLEEP in shown[0]["text/plain"]
    assert "need a running kernel" in shown[0]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in shown[0]


def test_jobs_of_a_sweep_run_at_the_same_time_after_a_first_job(connect, make_sandbox, open_panel):
    box = make_sandbox(latency=lambda earlier: 3.0 if earlier else 0.0)
    session = connect(box)
    panel = open_panel(lambda: session)
    generate(panel)
    explore(panel, "sample", ["1", "2", "3", "4"])
    began = time.monotonic()
    panel.explorer.run.click()
    until(lambda: box.count("submit") == 5)
    assert time.monotonic() - began < 8.0, "one after the other the fourth goes after nine seconds"
    finished(panel)
