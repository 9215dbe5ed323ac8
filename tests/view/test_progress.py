"""Progress says what is known and no more; many jobs take few lines."""

from __future__ import annotations

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


def row(state: str = "running", elapsed: float = 8.0, expected: float | None = 20.0, **fields: object) -> ProgressRow:
    return ProgressRow(fields.pop("label", "fox"), state, elapsed, expected, **fields)  # type: ignore[arg-type]


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
        (row("waiting", 4, 20), 0.2),
        (row("done", 8, None), 1.0),
        (row("reused", 0, None), 1.0),
        (row("failed", 8, None), 1.0),
        (row("failed", 8, 20), 0.4),
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
        (row(elapsed=18, expected=20), "nearly there"),
        (row(elapsed=22, expected=20), "nearly there"),
        (row(elapsed=25, expected=20), "longer than usual"),
        (row(elapsed=25, expected=None), ""),
        (row("queued", 0, 20), ""),
        (row("done", 20, 20), ""),
        (row("failed", 25, 20), ""),
    ],
)
def test_the_estimate_is_honest(given: ProgressRow, expected: str) -> None:
    said = expected.replace("65 s", "1 min 5 s")
    assert estimate_text(given) == said


def test_a_row_shows_label_state_time_estimate_and_what_it_waits_for() -> None:
    bundle = progress_bundle(
        [row("waiting", 4, detail="rate limit: next request in 6 s")], title="two foxes", footer="1 credit"
    )
    for text in (
        "two foxes",
        "fox",
        "waiting \u00b7 4 s \u00b7 about 20 s left",
        "rate limit: next request in 6 s",
        "1 credit",
    ):
        assert text in bundle["text/html"]
        assert text in bundle["text/plain"]


def test_the_state_is_a_word_and_a_sign_not_only_a_color() -> None:
    signs = set()
    for state in ("queued", "waiting", "running", "saving", "done", "reused", "failed", "stopped", "unknown"):
        found = re.search(rf">(\S) {state}", progress_bundle([row(state)])["text/html"])
        assert found, state
        signs.add(found[1])
    assert len(signs) == 9


def test_without_an_estimate_the_bar_has_no_length_and_moves_with_time() -> None:
    early, late = (progress_bundle([row(elapsed=e, expected=None)])["text/html"] for e in (1.0, 1.5))
    assert "repeating-linear-gradient" in early
    assert "left" not in status_text(row(expected=None))
    assert re.findall(r"background-position: (\d+)px", early) != re.findall(r"background-position: (\d+)px", late)


def test_a_bar_that_stays_in_a_saved_notebook_does_not_look_alive() -> None:
    for state in ("done", "failed", "stopped", "unknown"):
        assert "gradient" not in progress_bundle([row(state, 8, None)])["text/html"]


def test_up_to_eight_rows_are_all_shown_under_an_overall_line() -> None:
    bundle = progress_bundle([row(label=f"job {k}") for k in range(8)])
    assert bundle["text/html"].count("progressbar") == 9
    assert bundle["text/plain"].startswith("0 of 8 done")
    assert "more" not in bundle["text/plain"]


def test_one_row_needs_no_overall_line() -> None:
    bundle = progress_bundle([row()])
    assert bundle["text/html"].count("progressbar") == 1
    assert " of 1 done" not in bundle["text/plain"]


def test_many_rows_are_an_overall_line_and_the_liveliest_eight() -> None:
    states = ["done"] * 20 + ["queued"] * 25 + ["running"] * 3 + ["failed"] * 2
    bundle = progress_bundle([row(state, label=f"job {k}") for k, state in enumerate(states)])
    assert bundle["text/html"].count("progressbar") == 9
    plain = bundle["text/plain"].splitlines()
    assert plain[0] == "20 of 50 done \u00b7 3 running, 2 failed, 25 queued"
    assert [line.split("job ")[1].split(" ")[0] for line in plain[1:4]] == ["45", "46", "47"]
    assert plain[-1] == "and 42 more: 22 queued, 20 done"
    assert len(bundle["text/html"]) < 12_000


def test_a_failure_is_seen_although_many_run() -> None:
    rows = [row(label=f"job {k}") for k in range(40)] + [row("failed", detail="content policy")]
    assert "content policy" in progress_bundle(rows)["text/html"]


def test_reused_jobs_count_as_done() -> None:
    plain = progress_bundle([row("reused")] * 9)["text/plain"]
    assert plain.startswith("9 of 9 done \u00b7 9 reused")


def test_no_rows_is_no_error() -> None:
    assert progress_bundle([], title="nothing to do")["text/plain"] == "nothing to do"


@pytest.mark.parametrize(("kind", "word"), [("info", ""), ("warning", "Warning: "), ("error", "Error: ")])
def test_a_message_says_its_kind_in_words(kind: str, word: str) -> None:
    bundle = message_bundle("No key.", kind=kind, lines=("Run %kling login.",))  # type: ignore[arg-type]
    assert bundle["text/plain"] == f"{word}No key.\n  Run %kling login."
    assert word in bundle["text/html"]
    assert "Run %kling login." in bundle["text/html"]
