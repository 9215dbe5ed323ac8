"""The panel without a browser: its callbacks against a counting sandbox."""

from __future__ import annotations

import gc
import io
import threading
import time
import weakref
from datetime import UTC, datetime

import ipywidgets as widgets
import pytest
from PIL import Image

from kling_notebook.api.job import JobStatus
from kling_notebook.notebook.panel import panel as panel_module
from kling_notebook.notebook.panel.form import EXAMPLES
from kling_notebook.notebook.panel.panel import CODE, CREATE, EXPLORE, HISTORY, KlingPanel
from kling_notebook.results import sweep_axes
from kling_notebook.sandbox import Fault
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

    def begin(box, folder="images", **said):
        said = {"api_key": box.key, "base_url": box.base_url, "folder": str(tmp_path / folder), **said}
        session = Session(said, person_present=True)
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
    until(lambda: not panel.queue.running)
    with panel.kit.lock:
        return panel


def generate(panel, **values):
    """Fill the form, press the button, wait until the queue has handed everything over."""
    for name, value in values.items():
        panel.form.controls[name].value = value
    panel.kit.asked(None)  # a test is quicker than a person: each press is one of its own
    before = len(panel.gallery.cards)
    panel.form.button.click()
    settled(panel)
    return panel.gallery.cards[0] if len(panel.gallery.cards) > before else None


def tile_buttons(card, place=0):
    return {button.description: button for button in card.tiles[place].children[1].children}


def text_of(widget):
    """All text and markup below a widget that is shown."""
    if widget.layout is not None and widget.layout.display == "none":
        return ""
    own = [str(getattr(widget, name, "")) for name in ("value", "description")]
    own += [output["data"]["text/html"] for output in getattr(widget, "outputs", ())]
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
    panel.form.controls["num_outputs"].value = 4
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
    assert "about 3 credits" in panel.form.cost.value
    session.configure(budget=8)
    generate(panel)
    assert "9997 credits left" in panel.form.account.value
    assert "5 of the budget of 8 left" in panel.form.account.value


def test_over_budget_is_said_beside_the_button_and_nothing_is_sent(panel, session, service):
    session.configure(budget=2)
    assert generate(panel, num_outputs=3) is None
    assert "2 of 2 credits left in the budget" in panel.form.message.value
    assert service.count("submit") == 0


def test_a_very_long_prompt_is_warned_of_and_sent(panel, service):
    panel.form.controls["prompt"].value = "word " * 2000
    assert "2500" in panel.form.reasons["prompt"].value
    assert generate(panel).result.request.prompt.startswith("word word")


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
        ("text.png", b"this is no image", "text.png is"),
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
    exec(f"def generate(prompt, **more): return prompt, more\nsaid = generate{code}", namespace)  # noqa: S102
    prompt, more = namespace["said"]
    assert session.request(prompt, **more) == asked


def test_a_image_with_our_recipe_offers_to_load_it(panel):
    card = generate(panel, prompt="a lighthouse", negative_prompt="people", aspect_ratio="4:3")
    panel.form.load({"prompt": "something else"})
    upload(panel, "found.png", card.result[0].path.read_bytes())
    assert "a lighthouse" in text_of(panel.form.well.view)
    panel.form.well.load_recipe.click()
    assert panel.form.request() == card.result.request
    upload(panel, "plain.png", png())
    assert "recipe:" not in text_of(panel.form.well.view)


# the queue ------------------------------------------------------------------------------------------------------------


def test_a_failed_job_says_why_and_try_again_buys_once_more(panel, service):
    service.add_fault(Fault("submit", "failed", at=1, error="too dark"))
    assert generate(panel) is None
    (row,) = panel.queue.rows
    assert "too dark" in row.message.value
    row.again.click()
    settled(panel)
    assert panel.queue.rows == ()
    assert len(panel.gallery.cards) == 1
    assert service.count("submit") == 2


def test_a_doubtful_purchase_is_not_repeated_without_asking(panel, service, session):
    service.add_fault(Fault("submit", "drop_after", at=1))
    assert generate(panel) is None
    (row,) = panel.queue.rows
    assert session.record(1).status is JobStatus.UNCONFIRMED
    row.again.click()
    assert service.count("submit") == 1
    assert "may have been bought already" in row.message.value
    row.leave.click()
    assert service.count("submit") == 1
    row.again.click()
    row.sure.click()
    settled(panel)
    assert service.count("submit") == 2
    assert session.record(1).status is JobStatus.DISMISSED


def test_out_of_credits_is_said_in_the_queue(connect, make_sandbox, open_panel):
    session = connect(make_sandbox(credits=1))
    panel = open_panel(lambda: session)
    generate(panel, num_outputs=2)
    assert "redit" in panel.queue.rows[0].message.value


def words_below(widget):
    """What every widget below says, shown or not, tooltips included."""
    yield from (str(getattr(widget, name, "")) for name in ("description", "tooltip", "value"))
    for child in getattr(widget, "children", ()):
        yield from words_below(child)


def test_on_the_sandbox_nothing_speaks_of_buying(open_panel, tmp_path):
    """Form, queue with a job unconfirmed, gallery, explorer and history: a free demo asks nobody to buy."""
    session = Session({"sandbox": True, "folder": str(tmp_path / "free")})
    panel = open_panel(lambda: session)
    try:
        assert generate(panel) is not None
        session._sandbox.add_fault(Fault("submit", "drop_after"))
        generate(panel)
        (unconfirmed,) = panel.queue.rows
        assert unconfirmed.unconfirmed
        for tab in (EXPLORE, HISTORY, CREATE):
            panel.tabs.selected_index = tab
            settled(panel)
            said = [*words_below(panel.view), *words_below(unconfirmed.sure), *words_below(unconfirmed.leave)]
            assert any("Make" in words for words in said)
            assert [words for words in said if "buy" in words.lower()] == []
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
    first, _ = panel.queue.rows
    until(lambda: first.handle.job_id)
    first.stop.click()
    assert "keeps running" in first.message.value
    until(first.handle.done)
    assert len(settled(panel).gallery.cards) == 1
    first.watch.click()
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
    panel.queue.rows[1].stop.click()
    settled(panel)
    assert session.record(2).status is JobStatus.CANCELLED
    assert box.count("submit") == 1


# the gallery ----------------------------------------------------------------------------------------------------------


def test_buttons_that_buy_say_what_such_a_image_was_seen_to_cost(make_sandbox, connect, open_panel):
    """And not the documented credit apiece, once a reply has named another price."""
    session = connect(make_sandbox(credit_cost=2.5, latency=0))
    panel = open_panel(lambda: session)
    card = generate(panel, prompt="a fox", num_outputs=2)
    assert tile_buttons(card)["Vary"].tooltip.endswith("about 5 credits")
    panel.tabs.selected_index = HISTORY
    assert rows_of(panel)[0]["Run again"].tooltip.endswith("about 5 credits")


def test_one_credit_is_not_called_credits(panel):
    card = generate(panel, prompt="a fox")
    assert tile_buttons(card)["Vary"].tooltip.endswith("about 1 credit")
    panel.tabs.selected_index = HISTORY
    assert rows_of(panel)[0]["Run again"].tooltip.endswith("about 1 credit")
    assert repr(panel) == "<KlingPanel with 1 result, 0 jobs under way>"


def test_each_tile_has_its_labeled_buttons(panel):
    card = generate(panel, num_outputs=2)
    assert [set(tile_buttons(card, k)) for k in range(2)] == [
        {"Larger", "Use as source", "Vary", "\u2606 Star", "Recipe", "Compare"}
    ] * 2


def test_what_is_shown_large_has_the_whole_width(panel):
    """On a narrow page an image shown large was smaller than its tile by the detail's padding."""
    generate(panel, num_outputs=1)
    layout = panel.gallery.cards[0]._detail.layout
    assert layout.padding == "10px 0"
    assert not layout.border_left
    assert not layout.border_right


def test_larger_recipe_and_compare_show_their_detail_and_close(panel):
    card = generate(panel, num_outputs=2)
    tile_buttons(card)["Larger"].click()
    assert text_of(card.detail).count("<img") == 1
    tile_buttons(card)["Recipe"].click()
    assert "%%kling" in text_of(card.detail)
    assert "job_id" in text_of(card.detail)
    tile_buttons(card)["Compare"].click()
    assert "ress Compare under another" in text_of(card.detail)
    tile_buttons(card, 1)["Compare"].click()
    assert text_of(card.detail).count("<img") == 2
    card.close_detail.click()
    assert text_of(card.detail) == ""


def test_the_code_of_a_image_names_the_kept_copy_of_a_source_that_changed(panel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source.png").write_bytes(png(color=(200, 30, 30)))
    panel.form.well.text.value = "source.png"
    card = generate(panel)
    (tmp_path / "source.png").write_bytes(png(color=(30, 30, 200)))
    tile_buttons(card)["Recipe"].click()
    assert ".kling/sources/" in text_of(card.detail)


@pytest.mark.parametrize("lost", ["recipe", "file"])
def test_the_code_of_a_image_is_shown_also_without_a_recipe_or_a_file(connect, service, open_panel, lost):
    """It was refused together with the recipe."""
    session = connect(service, recipe=lost != "recipe")
    card = generate(open_panel(lambda: session), prompt="a lonely fox")
    if lost == "file":
        card.result[0].path.unlink()
    tile_buttons(card)["Recipe"].click()
    assert "a lonely fox" in text_of(card.detail)
    assert "%%kling" in text_of(card.detail)
    assert card.result[0].path.name in text_of(card.detail)


def test_a_star_is_kept_and_found_in_the_history(panel, session):
    card = generate(panel)
    tile_buttons(card)["\u2606 Star"].click()
    assert session.record(1).starred == {0}
    panel.history.starred.value = True
    panel.tabs.selected_index = HISTORY
    assert "1 to 1 of 1 job" in panel.history.message.value
    card.stars[0].click()
    assert session.record(1).starred == frozenset()


def test_vary_buys_the_same_request_again_also_with_reuse(connect, service, open_panel):
    session = connect(service, reuse=True)
    panel = open_panel(lambda: session)
    card = generate(panel)
    tile_buttons(card)["Vary"].click()
    settled(panel)
    assert service.count("submit") == 2
    generate(panel)
    assert panel.gallery.cards[0].result.reused
    assert service.count("submit") == 2


def test_a_double_click_on_vary_run_again_or_a_sweep_buys_once(connect, service, open_panel):
    """Also where reuse is off, so that nothing else would catch the second press."""
    session = connect(service, reuse=False)
    panel = open_panel(lambda: session)
    card = generate(panel)
    for _ in range(2):
        tile_buttons(card)["Vary"].click()
    settled(panel)
    assert service.count("submit") == 2
    panel.tabs.selected_index = HISTORY
    again = next(b for b in below(panel.history.list) if getattr(b, "description", "") == "Run again")
    for _ in range(2):
        again.click()
    settled(panel)
    assert service.count("submit") == 3
    explore(panel, "aspect_ratio", {"1:1", "16:9"})
    for _ in range(2):
        panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 5


def test_use_as_source_puts_the_address_into_the_form(panel):
    card = generate(panel)
    tile_buttons(card)["Use as source"].click()
    assert panel.form.well.text.value == "1a"
    again = generate(panel, prompt="as a watercolour")
    assert again.result.request.image.label == "1a"


def test_a_hostile_prompt_is_text_everywhere(panel):
    hostile = '<img src=x onerror="boom()">\'&<script>boom()</script>'
    card = generate(panel, prompt=hostile)
    for name in ("Larger", "Recipe"):
        tile_buttons(card)[name].click()
        assert "<script" not in text_of(card.detail)
    for tab in (CREATE, EXPLORE, HISTORY):
        panel.tabs.selected_index = tab
        markup = " ".join(w.value for w in below(panel.view) if isinstance(w, widgets.HTML))
        markup += " ".join(o["data"]["text/html"] for w in below(panel.view) for o in getattr(w, "outputs", ()))
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


def explore(panel, which, values):
    panel.tabs.selected_index = EXPLORE
    axis = panel.explorer.axes[0]
    axis.which.value = which
    if axis.boxes:
        for box in axis.boxes:
            box.value = box.description in values
    else:
        axis.values.value = ", ".join(values)


def finished(panel):
    until(lambda: panel.explorer._ticking is None)
    with panel.kit.lock:
        pass


def test_a_sweep_is_priced_bought_once_and_browsed_at_no_cost(panel, service):
    explore(panel, "aspect_ratio", {"1:1", "16:9", "9:16"})
    assert "3 jobs" in panel.explorer.cost.value
    assert service.count("submit") == 0
    panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 3
    (slider,) = panel.explorer.sliders.children
    seen = set()
    for place in range(3):
        slider.value = place
        seen.add(text_of(panel.explorer.image))
    assert len(seen) == 3
    assert all("<img" in markup for markup in seen)
    assert service.count("submit") == 3
    panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 3, "what is in the folder is not bought again"


def test_what_is_missing_of_a_sweep_is_shown_as_missing(panel, service):
    service.add_fault(Fault("submit", "failed", at=1, error="no light"))
    explore(panel, "resolution", {"1K", "2K"})
    panel.explorer.run.click()
    finished(panel)
    (slider,) = panel.explorer.sliders.children
    shown = []
    for place in range(2):
        slider.value = place
        shown.append("<img" in text_of(panel.explorer.image))
    assert sorted(shown) == [False, True]
    assert "what is missing" in panel.explorer.progress.value


def test_a_sweep_above_the_credits_allowed_is_refused_until_they_are_raised(panel, service):
    panel.explorer.most.value = 2
    explore(panel, "sample", ["1", "2", "3"])
    assert "Raise them" in panel.explorer.cost.value
    assert panel.explorer.run.disabled
    panel.explorer.most.value = 3
    panel.explorer.run.click()
    finished(panel)
    assert service.count("submit") == 3


@pytest.mark.parametrize(("which", "says"), [("aspect_ratio", "Tick at least one"), ("num_outputs", "Give the values")])
def test_an_axis_without_values_says_so(panel, which, says):
    explore(panel, which, ())
    assert says in panel.explorer.cost.value
    assert panel.explorer.run.disabled


def test_a_word_in_the_prompt_can_vary(panel, service):
    panel.form.controls["prompt"].value = "a {animal} at dawn"
    panel.tabs.selected_index = EXPLORE
    axis = panel.explorer.axes[0]
    axis.which.value = "{}"
    axis.name.value, axis.values.value = "animal", "fox, owl"
    panel.explorer.run.click()
    finished(panel)
    assert [result.request.prompt for result in panel.explorer.sweep] == ["a fox at dawn", "a owl at dawn"]


@pytest.mark.parametrize("typed", ["3", "1, 2, 3"])
def test_replicates_are_those_of_the_magic(panel, session, service, typed):
    """They were the words "1", "2" and "3": other requests, which were bought a second time; and "3" was one job."""
    fixed = panel.form.values
    points = sweep_axes.expand(fixed.pop("prompt"), {"sample": 3}, fixed)[1]
    for handle in session.start(session.requests(points), source="magic").jobs:
        handle.result()
    explore(panel, "sample", [typed])
    assert "3 from this folder at no cost" in panel.explorer.cost.value
    panel.explorer.run.click()
    finished(panel)
    assert [result.request.sample for result in panel.explorer.sweep] == [1, 2, 3]
    assert service.count("submit") == 3


def test_a_word_may_be_typed_with_its_braces(panel):
    panel.form.controls["prompt"].value = "a {animal} at dawn"
    panel.tabs.selected_index = EXPLORE
    axis = panel.explorer.axes[0]
    axis.which.value = "{}"
    axis.name.value, axis.values.value = " {animal} ", "fox, owl"
    assert "2 jobs" in panel.explorer.cost.value


def test_a_sweep_takes_from_a_loaded_row_what_the_form_has_no_control_for(panel, session):
    """Its ``extra`` and replicate were dropped, while the page says that everything else is taken from the form."""
    row = session.request("a fox", extra={"style": 7}, sample=0)
    panel.form.load_request(row)
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
    return [
        {button.description: button for button in row.children[1].children} | {"text": row.children[0].value}
        for row in panel.history.list.children
    ]


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
    rows_of(panel)[0]["Load"].click()
    assert panel.tabs.selected_index == CREATE
    assert panel.form.request() == first.result.request
    panel.tabs.selected_index = HISTORY
    rows_of(panel)[0]["Show"].click()
    assert len(panel.gallery.cards) == 1
    panel.tabs.selected_index = HISTORY
    rows_of(panel)[0]["Run again"].click()
    settled(panel)
    assert service.count("submit") == 2
    assert panel.gallery.cards[0].result.request == first.result.request


def test_an_unfinished_job_of_the_folder_is_collected_from_the_history(panel, session, service):
    generate(panel)
    record = session.record(1)
    parked = record.replace(status=JobStatus.PAUSED, images=(), completed_at=None, owner="0" * 12)
    session.journal.write(parked.replace(owner=session.id))
    panel.tabs.selected_index = HISTORY
    rows_of(panel)[0]["Fetch"].click()
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
    card = generate(panel)
    sessions.append(connect(make_sandbox(), folder="elsewhere"))
    panel._cell_ended()
    assert sessions[1].backend in panel.title.value
    assert "balance not known yet" in panel.form.account.value
    tile_buttons(card)["\u2606 Star"].click()
    assert sessions[0].record(1).starred == {0}, "the mark goes to the folder of the image"
    tile_buttons(card)["Use as source"].click()
    assert generate(panel).result.request.image.sha256
    assert sessions[1].record(1).backend == sessions[1].backend


def test_no_session_is_said_and_no_image_asked_for(open_panel, monkeypatch):
    from kling_notebook.api.errors import SettingsError

    def none():
        raise SettingsError("There is no key. Set PIXELDOJO_API_KEY.")

    panel = open_panel(none)
    assert "no key" in panel.notice.value
    assert panel.form.button.disabled
    assert panel.generate() is None


def test_a_fault_in_a_callback_is_said_and_stops_nothing(panel, monkeypatch, service):
    def broken(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(panel.form, "_on_generate", broken)
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
    gc.collect()
    assert gone() is None
    assert [widgets.widget._instances[left] for left in set(widgets.widget._instances) - before] == []


def test_a_closed_panel_looks_at_no_job_and_the_job_goes_on(connect, make_sandbox):
    box = make_sandbox(latency=0.8)
    session = connect(box)
    before = set(widgets.widget._instances)
    panel = KlingPanel(lambda: session)
    panel._ipython_display_()
    handle = panel.generate()
    panel.close()
    assert panel.queue._ticking is None
    assert not panel.queue.running
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
    box = make_sandbox(latency=1.0)
    session = connect(box)
    panel = open_panel(lambda: session)
    generate(panel)
    explore(panel, "sample", ["1", "2", "3", "4"])
    began = time.monotonic()
    panel.explorer.run.click()
    until(lambda: box.count("submit") == 5)
    assert time.monotonic() - began < 3.0, "one after the other takes four seconds and more"
    finished(panel)
