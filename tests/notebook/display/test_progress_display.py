"""The live display: in the right cell, light, and always with the end."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import textwrap

import pytest

from kling_notebook.api.errors import JobFailedError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus, Snapshot
from kling_notebook.notebook.display import progress_display as live

FOX = GenerationRequest("a fox")

PRELUDE = """
import threading, time
from kling_notebook.api.job import GenerationRequest, JobStatus, Snapshot
from kling_notebook.notebook.display.progress_display import LiveDisplay

def requests(n):
    return [GenerationRequest(f"prompt {k}") for k in range(n)]

def work(display, requests, seconds, end="THE RESULT"):
    def run():
        for k, request in enumerate(requests):
            display(Snapshot(request, JobStatus.RUNNING, k + 1, f"job-{k}", "pending", expected=9.0))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for request in requests:
                display(Snapshot(request, JobStatus.RUNNING, 1, "job", "pending", 9.0 - until + time.monotonic(), 99.0))
            time.sleep(0.005)
        display.finish({"text/plain": end, "text/html": f"<p>{end}</p>"})
    thread = threading.Thread(target=run, daemon=True); thread.start()
    return thread
"""


# snapshots to rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshot", "row"),
    [
        (Snapshot(FOX, JobStatus.QUEUED), ("queued", 0.0, "")),
        (Snapshot(FOX, JobStatus.SUBMITTING, elapsed=1.0), ("submitting", 3.0, "")),
        (Snapshot(FOX, JobStatus.RUNNING, service_status="pending", elapsed=1.0), ("running", 3.0, "")),
        (Snapshot(FOX, JobStatus.RUNNING, service_status="warming"), ("running", 2.0, "the service says 'warming'")),
        (
            Snapshot(FOX, JobStatus.RUNNING, waiting_for="rate limit, 12 s", credits=4.0),
            ("running", 2.0, "waiting for rate limit, 12 s · 4 credits"),
        ),
        (Snapshot(FOX, JobStatus.DOWNLOADING, saved=1, images=4), ("downloading", 2.0, "1 of 4 saved")),
        (Snapshot(FOX, JobStatus.COMPLETED, elapsed=8.0, credits=1.0), ("completed", 8.0, "1 credit")),
        (Snapshot(FOX, JobStatus.COMPLETED, reused=True, credits=1.0), ("reused", 0.0, "")),
        (Snapshot(FOX, JobStatus.FAILED, error=JobFailedError("too dark")), ("failed", 0.0, "too dark")),
        (Snapshot(FOX, JobStatus.CANCELLED), ("cancelled", 0.0, "")),
        (Snapshot(FOX, JobStatus.UNCONFIRMED), ("unconfirmed", 0.0, "")),
    ],
)
def test_a_snapshot_becomes_a_row_and_time_continues_while_it_moves(snapshot, row):
    made = live.row_of(snapshot, "a fox", since=2.0)
    assert (made.text, made.elapsed, made.detail) == row


def test_while_images_are_saved_the_bar_is_nearly_full_and_grows():
    shares = [live.row_of(Snapshot(FOX, JobStatus.DOWNLOADING, saved=k, images=4), "").fraction for k in range(5)]
    assert shares == pytest.approx([0.9, 0.925, 0.95, 0.975, 1.0])


def test_play_money_is_not_shown():
    assert live.row_of(Snapshot(FOX, JobStatus.RUNNING, credits=4.0), "", free=True).detail == ""


def test_an_observer_for_unknown_jobs_or_after_the_end_changes_nothing():
    display = live.LiveDisplay([FOX, FOX], show=False)
    display(Snapshot(GenerationRequest("an owl"), JobStatus.RUNNING))
    assert [row.text for row in display.rows()] == ["queued"]
    display(Snapshot(FOX, JobStatus.RUNNING, 1, "job-1"))
    display.finish()
    display(Snapshot(FOX, JobStatus.FAILED))
    assert [(row.text, row.detail) for row in display.rows()] == [("not waited for", "")]


# in a real kernel -----------------------------------------------------------------------------------------------------


def updates(reply) -> list[float]:
    """When they were sent, in seconds from the first message of the cell: on a busy machine they come in heaps."""
    first = reply.messages[0][1]["header"]["date"]
    kinds = ("display_data", "update_display_data")
    return [(m["header"]["date"] - first).total_seconds() for _, m in reply.messages if m["msg_type"] in kinds]


def test_the_progress_goes_and_the_result_is_an_output_of_its_own(kernel):
    kernel.ok(PRELUDE)
    reply = kernel.ok("r = requests(1); work(LiveDisplay(r, title='one job'), r, 1.2).join()")
    assert [output["output_type"] for output in reply.outputs] == ["display_data", "display_data"]
    assert reply.outputs[0]["data"] == {}, "the progress has gone"
    assert reply.outputs[1]["transient"] == {}, "no later message can replace it"
    assert reply.html.strip() == "<p>THE RESULT</p>"
    seen = [
        m["content"]["data"].get("text/plain", "") for _, m in reply.messages if m["msg_type"] == "update_display_data"
    ]
    assert any("running" in text and "prompt 0" in text for text in seen)


def test_nine_busy_jobs_send_at_most_four_messages_a_second_in_all(kernel):
    kernel.ok(PRELUDE)
    one = kernel.ok("r = requests(9); work(LiveDisplay(r), r, 3).join()")
    nine = kernel.ok(
        "threads = []\n"
        "for k in range(9):\n"
        "    r = requests(1); threads.append(work(LiveDisplay(r, title=str(k)), r, 3, f'end {k}'))\n"
        "for thread in threads: thread.join()"
    )
    assert sorted(re.findall(r"end (\d)</p>", nine.html)) == list("012345678")
    for reply, starts in ((one, 1), (nine, 9)):
        at = updates(reply)
        middle = [moment for moment in at if 0.3 < moment < 2.8]
        assert middle, "it must move"
        for start in middle:
            assert sum(start <= moment < start + 1.0 for moment in middle) <= 4
        assert len(at) <= 3 * starts + 4 * 3.5


def test_a_display_of_another_cell_fills_in_whatever_runs_meanwhile(kernel):
    kernel.ok(PRELUDE)
    first = kernel.ok("r = requests(1); thread = work(LiveDisplay(r), r, 1.5)")
    parent = first.messages[0][1]["parent_header"]["msg_id"]
    assert "THE RESULT" not in first.html
    captured = kernel.ok("%%capture caught\nprint('in the other cell'); thread.join(); time.sleep(0.2)")
    kernel.drain(0.3)
    assert "<p>THE RESULT</p>" in first.html
    assert captured.outputs == []
    assert kernel.ok("print(caught.stdout, len(caught.outputs))").text.split() == ["in", "the", "other", "cell", "0"]
    parents = {m["parent_header"]["msg_id"] for _, m in captured.messages if m["msg_type"] == "update_display_data"}
    assert parents == {parent}, "updates carry the header of the cell they belong to"


def test_under_capture_a_cell_of_its_own_gives_the_end_only(kernel):
    kernel.ok(PRELUDE)
    kernel.ok("%%capture caught\nr = requests(1); work(LiveDisplay(r), r, 1.0).join()")
    reply = kernel.ok("print(len(caught.outputs), caught.outputs[0].data['text/plain'])")
    assert reply.text.strip() == "1 THE RESULT"


def test_with_no_one_present_only_start_and_end_are_sent(kernel):
    kernel.ok(PRELUDE)
    reply = kernel.ok("r = requests(3); work(LiveDisplay(r), r, 1.5).join()", person=False)
    kinds = [message["msg_type"] for _, message in reply.messages if "display_data" in message["msg_type"]]
    assert kinds == ["display_data", "update_display_data", "display_data"]
    assert reply.html.strip() == "<p>THE RESULT</p>"


def test_on_failure_the_last_state_stays_with_the_reason(kernel):
    kernel.ok(PRELUDE)
    reply = kernel.ok(
        "from kling_notebook.api.errors import JobFailedError\n"
        "r = requests(2); display = LiveDisplay(r)\n"
        "display(Snapshot(r[0], JobStatus.FAILED, 1, 'job-1', error=JobFailedError('the service refused it')))\n"
        "display(Snapshot(r[1], JobStatus.RUNNING, 2, 'job-2'))\n"
        "display.finish()"
    )
    for words in ("the service refused it", "not waited for"):
        assert words in reply.html
        assert words in reply.text


def test_the_ticker_ends_with_the_last_display(kernel):
    kernel.ok(PRELUDE)
    kernel.ok("r = requests(1); work(LiveDisplay(r), r, 0.5).join(); time.sleep(1.0)")
    assert "kling-ticker" not in kernel.ok("print([t.name for t in threading.enumerate()])").text


def test_what_breaks_in_showing_never_reaches_the_job(kernel):
    kernel.ok(PRELUDE)
    kernel.ok("r = requests(1); display = LiveDisplay(r)\ndisplay._output._publisher = None\ntime.sleep(0.8)")
    kernel.ok("display(Snapshot(r[0], JobStatus.COMPLETED)); display.finish()")


# in a terminal --------------------------------------------------------------------------------------------------------


def in_terminal(code: str) -> str:
    """What a person at a terminal of 100 columns sees."""
    main, side = pty.openpty()
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=side, stdout=side, stderr=side, env=environment
    )
    os.close(side)
    seen = b""
    while select.select([main], [], [], 60)[0]:
        try:
            part = os.read(main, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    process.wait(30)
    os.close(main)
    return seen.decode()


def test_in_a_terminal_a_text_bar_moves_and_goes():
    seen = in_terminal(PRELUDE + "r = requests(1)\nwork(LiveDisplay(r), r, 1.6).join()\nprint('after')")
    states = re.findall(r"(queued|running)[^|\r]*%\|", seen)
    assert "queued" in states
    assert states.count("running") >= 2
    assert "THE RESULT" not in seen, "a script has the value the call returns"
    assert seen.rstrip().splitlines()[-1].rpartition("\r")[2].strip() == "after"


def test_an_update_that_was_being_made_while_the_end_was_reported_is_dropped():
    shown = []

    class Place:
        live = False

        def show(self, message):
            shown.append(message.what)

    display = live.LiveDisplay([FOX], show=False)
    display._output = Place()
    display.finish({"text/plain": "END"})
    display._show(lambda: {"text/plain": "late"}, "update")
    display.finish({"text/plain": "again"})
    assert shown == ["result"]
