"""Progress says what is known and no more; many jobs take few lines."""

from __future__ import annotations

import html
import re

import pytest

from kling_notebook.view.progress import (
    ProgressRow,
    estimate_text,
    fraction_of,
    message_bundle,
    progress_bundle,
    status_text,
)

LOOKS = {
    "queued": ("o", "waiting"),
    "submitting": ("-", "moving"),
    "running": (">", "moving"),
    "completed": ("v", "good"),
    "reused": ("r", "good"),
    "failed": ("x", "bad"),
    "cancelled": ("c", "stopped"),
    "unconfirmed": ("?", "unsure"),
}


def row(text: str = "running", elapsed: float = 8.0, expected: float | None = 20.0, **fields: object) -> ProgressRow:
    icon, tone = LOOKS[text]
    return ProgressRow(fields.pop("label", "fox"), icon, text, tone, elapsed, expected, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row("running", 8, 20), 0.4),
        (row("running", 18, 20), 0.9),
        (row("running", -1, 20), 0.0),
        (row("running", 8, None), None),
        (row("running", 8, 0.0), None),
        (row("running", 8, float("inf")), None),
        (row("running", 8, None, fraction=0.25), 0.25),
        (row("running", 8, 20, fraction=7.0), 1.0),
        (row("running", 8, 20, fraction=float("nan")), 0.4),
        (row("queued", 0, None), 0.0),
        (row("submitting", 4, 20), 0.2),
        (row("completed", 8, None), 1.0),
        (row("reused", 0, None), 1.0),
        (row("failed", 8, None), 0.0),
        (row("cancelled", 8, 20), 0.0),
        (row("unconfirmed", 8, 20, fraction=0.9), 0.0),
    ],
)
def test_the_bar_is_as_full_as_is_known(given: ProgressRow, expected: float | None) -> None:
    assert fraction_of(given) == (None if expected is None else pytest.approx(expected))


def test_a_late_job_never_looks_finished_and_never_runs_backwards() -> None:
    shares = [fraction_of(row("running", elapsed, 20)) for elapsed in range(0, 4000, 3)]
    numbers = [share for share in shares if share is not None]
    assert numbers == sorted(numbers)
    assert max(numbers) < 0.99


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row(elapsed=8, expected=20), "about 12 s left"),
        (row(elapsed=0, expected=62), "about 65 s left"),
        (row(elapsed=0, expected=200), "about 3 min 30 s left"),
        (row(elapsed=0, expected=2), "about 2 s left"),
        (row(elapsed=0, expected=0.3), "about 1 s left"),
        (row(elapsed=19.5, expected=20), "about 1 s left"),
        (row(elapsed=22, expected=20), "usually 20 s"),
        (row(elapsed=500, expected=20), "usually 20 s"),
        (row(elapsed=25, expected=float("nan")), ""),
        (row(elapsed=8, expected=20, fraction=0.95), ""),
        (row(elapsed=25, expected=None), ""),
        (row("queued", 0, 20), ""),
        (row("completed", 20, 20), ""),
        (row("failed", 25, 20), ""),
    ],
)
def test_the_estimate_is_honest(given: ProgressRow, expected: str) -> None:
    message = expected.replace("65 s", "1 min 5 s")
    assert estimate_text(given) == message


def test_a_row_shows_label_state_time_estimate_and_what_it_waits_for() -> None:
    bundle = progress_bundle(
        [row("submitting", 4, detail="rate limit: next request in 6 s")], title="two foxes", notice="1 credit"
    )
    for text in (
        "two foxes",
        "fox",
        "submitting \u00b7 4 s \u00b7 about 20 s left",
        "rate limit: next request in 6 s",
        "1 credit",
    ):
        assert text in bundle["text/html"]
        assert text in bundle["text/plain"]


def test_the_state_is_a_word_and_a_sign_not_only_a_color() -> None:
    for text, (icon, _) in LOOKS.items():
        assert f">{html.escape(icon)} {text}" in progress_bundle([row(text)])["text/html"]


def test_what_ended_without_images_has_no_bar_and_no_time() -> None:
    """A full or red bar under a job that was cancelled would look like a failure, or like a success."""
    for text in ("failed", "cancelled", "unconfirmed"):
        bundle = progress_bundle([row(text, fraction=0.9)])
        assert "progressbar" not in bundle["text/html"]
        assert "[" not in bundle["text/plain"]
        assert " s" not in bundle["text/plain"]


def test_the_total_is_red_only_for_what_failed() -> None:
    red = "rgb(214, 58, 48)"
    assert f"width: 0.0%; height: 5px; background-color: {red}" in progress_bundle([row("cancelled")] * 2)["text/html"]
    assert (
        f"width: 50.0%; height: 5px; background-color: {red}"
        in (progress_bundle([row("cancelled"), row("failed")])["text/html"])
    )


def test_nothing_untrue_is_reported_at_the_first_moment() -> None:
    assert status_text(row("running", 0.2, 2.0)) == "running \u00b7 about 2 s left"
    assert status_text(row("queued", 0.0, None)) == "queued"


def test_without_an_estimate_the_bar_has_no_length_and_moves_with_time() -> None:
    early, late = (progress_bundle([row(elapsed=e, expected=None)])["text/html"] for e in (1.0, 1.5))
    assert "repeating-linear-gradient" in early
    assert "left" not in status_text(row(expected=None))
    assert re.findall(r"background-position: (\d+)px", early) != re.findall(r"background-position: (\d+)px", late)


def test_a_bar_that_stays_in_a_saved_notebook_does_not_look_alive() -> None:
    for text in ("completed", "failed", "cancelled", "unconfirmed"):
        assert "gradient" not in progress_bundle([row(text, 8, None)])["text/html"]


def test_up_to_eight_rows_are_all_shown_under_an_overall_line() -> None:
    bundle = progress_bundle([row(label=f"job {k}") for k in range(8)])
    assert bundle["text/html"].count("progressbar") == 9
    assert bundle["text/plain"].startswith("0 of 8 completed")
    assert "more" not in bundle["text/plain"]


def test_one_row_needs_no_overall_line() -> None:
    bundle = progress_bundle([row()])
    assert bundle["text/html"].count("progressbar") == 1
    assert " of 1 completed" not in bundle["text/plain"]


def test_many_rows_are_an_overall_line_and_the_liveliest_eight() -> None:
    states = ["completed"] * 20 + ["queued"] * 25 + ["running"] * 3 + ["failed"] * 2
    bundle = progress_bundle([row(state, label=f"job {k}") for k, state in enumerate(states)])
    assert bundle["text/html"].count("progressbar") == 7, (
        "one for all, and one for each of the eight that has not failed"
    )
    plain = bundle["text/plain"].splitlines()
    assert plain[0] == "20 of 50 completed \u00b7 3 running, 2 failed, 25 queued"
    assert [line.split("job ")[1].split(" ")[0] for line in plain[1:4]] == ["45", "46", "47"]
    assert plain[-1] == "and 42 more: 22 queued, 20 completed"
    assert len(bundle["text/html"]) < 12_000


def test_a_failure_is_seen_although_many_run() -> None:
    rows = [row(label=f"job {k}") for k in range(40)] + [row("failed", detail="content policy")]
    assert "content policy" in progress_bundle(rows)["text/html"]


def test_reused_jobs_count_as_done() -> None:
    plain = progress_bundle([row("reused")] * 9)["text/plain"]
    assert plain.startswith("9 of 9 completed \u00b7 9 reused")


def test_no_rows_is_not_an_error() -> None:
    assert progress_bundle([], title="nothing to do")["text/plain"] == "nothing to do"


@pytest.mark.parametrize(("kind", "word"), [("info", ""), ("warning", "Warning: "), ("error", "Error: ")])
def test_a_message_says_its_kind_in_words(kind: str, word: str) -> None:
    bundle = message_bundle("No key.", kind=kind, lines=("Run %kling login.",))  # type: ignore[arg-type]
    assert bundle["text/plain"] == f"{word}No key.\n  Run %kling login."
    assert word in bundle["text/html"]
    assert "Run %kling login." in bundle["text/html"]
