"""What a panel sends to the page: counted in a real kernel, as a front end gets it."""

from __future__ import annotations

import json

OPEN = "import kling_notebook as kling\npanel = kling.panel()\npanel"
GENERATE = (
    "import time\npanel.form.button.click()\n"
    "while not panel.gallery.cards or panel.gallery.running: time.sleep(0.05)\ntime.sleep(0.5)"
)


def of_widgets(reply):
    """The messages about widgets and outputs, with their bytes."""
    kinds = ("comm_open", "comm_msg", "comm_close", "update_display_data", "display_data")
    messages = [message for _, message in reply.messages if message["msg_type"] in kinds]
    return messages, [size_of(message) for message in messages]


def size_of(message):
    return len(json.dumps(message["content"], default=str)) + sum(
        memoryview(part).nbytes for part in message["buffers"]
    )


def test_opening_a_panel_makes_few_widgets_and_a_tab_is_built_at_its_first_visit(kernel):
    opened, sizes = of_widgets(kernel.ok(OPEN))
    count = sum(message["msg_type"] == "comm_open" for message in opened)
    print(f"\nopening: {count} comm_open, {sum(sizes)} bytes")
    assert count <= 120
    for tab in (1, 2, 3):
        visited, _ = of_widgets(kernel.ok(f"panel.tabs.selected_index = {tab}"))
        assert sum(message["msg_type"] == "comm_open" for message in visited) > 0
        again, _ = of_widgets(kernel.ok(f"panel.tabs.selected_index = 0\npanel.tabs.selected_index = {tab}"))
        assert sum(message["msg_type"] == "comm_open" for message in again) == 0


def test_one_generate_sends_few_messages_and_bytes(kernel):
    kernel.ok(OPEN)
    reply = kernel.ok(GENERATE)
    messages, sizes = of_widgets(reply)
    times = sorted(message["header"]["date"].timestamp() for message in messages)
    busiest = max(sum(begin <= time < begin + 1 for time in times) for begin in times)
    print(f"\none Generate: {len(messages)} messages, {sum(sizes)} bytes, {busiest} in the busiest second")
    assert len(messages) <= 40
    assert sum(sizes) <= 120_000
    assert busiest <= 8


def test_what_a_notebook_saves_of_a_used_panel_is_small(kernel):
    """The state of its widgets, as front ends save it, and the outputs."""
    outputs = [kernel.ok(OPEN), kernel.ok(GENERATE)]
    state = "import ipywidgets, json\nlen(json.dumps(ipywidgets.Widget.get_manager_state()))"
    widgets = int(kernel.ok(state).text)
    shown = sum(len(json.dumps(output, default=str)) for reply in outputs for output in reply.outputs)
    print(f"\nsaved: {widgets} bytes of widgets, {shown} of outputs")
    assert widgets + shown <= 200_000
