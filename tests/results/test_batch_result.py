"""A batch: one request per row of a table, one job for rows that ask for the same, resumable, on the table's index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import kling_notebook as kling
from kling_notebook.api.errors import InputError, InsufficientCreditsError, KlingError
from kling_notebook.sandbox import Fault
from kling_notebook.session import current

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

FRAME = pd.DataFrame(
    {"item": ["a", "b", "c"], "text": ["a fox", "an owl", "a fox"], "ratio": ["3:2", None, "3:2"]}, index=[7, 7, 9]
)


@pytest.fixture(autouse=True)
def session(make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Session:
    made = make_session(sandbox)
    monkeypatch.setattr(current, "_session", made)
    return made


def run(frame: Any = FRAME, **options: Any) -> kling.BatchResult:
    return kling.batch(frame, show_progress=False, **({"prompt": "text"} | options))


def test_one_request_per_row_and_one_job_for_rows_that_ask_for_the_same(sandbox: Sandbox) -> None:
    batch = run(id="item", aspect_ratio="ratio", num_outputs=2)
    assert sandbox.count("submit") == 2
    assert [result.request.aspect_ratio for result in batch if result] == ["3:2", "1:1", "3:2"]
    assert len(batch.images) == 4
    table = batch.table()
    assert list(table.index) == [7, 7, 9]
    assert list(table.columns) == ["item", "number", "status", "images", "credits", "seconds", "error"]
    assert list(table["images"]) == [2, 2, 2]
    assert table["credits"].sum() == batch.credits == 4


def test_a_batch_run_again_requests_only_what_is_missing(sandbox: Sandbox) -> None:
    sandbox.add_fault(Fault("poll", "failed", at=1))
    first = run()
    assert sorted(first.table()["status"]) == ["completed", "failed", "failed"] or "failed" in set(
        first.table()["status"]
    )
    posts = sandbox.count("submit")
    again = run()
    assert set(again.table()["status"]) == {"completed"}
    assert sandbox.count("submit") == posts + 1


def test_bad_rows_are_refused_by_number_before_anything_is_sent(sandbox: Sandbox) -> None:
    frame = FRAME.assign(text=["a fox", None, ""], ratio=["3:2", "1:1", "5:1"])
    with pytest.raises(InputError, match=r"3 rows? of 3|2 rows of 3") as refused:
        run(frame, aspect_ratio="ratio")
    assert "row 1: the column text is empty" in str(refused.value)
    assert "row 2:" in str(refused.value)
    assert "skip_invalid=True" in str(refused.value)
    assert sandbox.count("submit") == 0


def test_bad_rows_can_be_skipped_and_are_reported(sandbox: Sandbox) -> None:
    frame = FRAME.assign(ratio=["3:2", "5:1", None])
    batch = run(frame, aspect_ratio="ratio", skip_invalid=True)
    assert sandbox.count("submit") == 2
    assert list(batch.table()["status"]) == ["completed", "invalid", "completed"]
    assert "aspect_ratio" in batch.table()["error"].iloc[1]
    assert batch[1] is None
    assert repr(batch) == "<BatchResult 3 rows: 2 completed, 1 invalid>"


def test_a_batch_without_one_good_row_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(InputError, match="Mend the table"):
        run(FRAME.assign(text=None), skip_invalid=True)
    assert sandbox.count("submit") == 0


def test_a_price_above_the_limit_is_refused_before_anything_is_sent(sandbox: Sandbox) -> None:
    with pytest.raises(kling.BudgetExceededError):
        run(max_credits=1)
    assert sandbox.count("submit") == 0
    assert kling.estimate(FRAME, prompt="text", aspect_ratio="ratio", num_outputs=2).credits == 4


def test_after_the_credits_ran_out_the_table_says_which_rows_have_none(
    make_sandbox: Any, make_session: Any, monkeypatch: Any
) -> None:
    sandbox = make_sandbox(credits=1)
    monkeypatch.setattr(current, "_session", make_session(sandbox))
    batch = run(pd.DataFrame({"text": ["a fox", "an owl", "a hare"]}))
    table = batch.table()
    assert sorted(table["status"]) == ["completed", "rejected", "rejected"]
    assert sandbox.charges == 1
    assert "credits" in str(table["error"].dropna().iloc[0]).lower()
    assert issubclass(InsufficientCreditsError, KlingError)


def test_source_images_are_a_column_too(tmp_path: Path, sandbox: Sandbox) -> None:
    source = run(FRAME[:1])[0][0].path
    frame = FRAME.assign(source=[str(source), None, str(tmp_path / "nowhere.png")])
    batch = run(frame, image="source", skip_invalid=True)
    assert batch[0].request.image is not None
    assert batch[1].request.image is None
    assert "nowhere.png" in batch.error(2)


def test_columns_that_do_not_exist_are_named() -> None:
    with pytest.raises(InputError, match="no column 'nothing'"):
        run(id="nothing")
    with pytest.raises(InputError, match="no column 'nothing'"):
        run(prompt="nothing")


def test_the_display_is_bounded_whatever_the_number_of_rows() -> None:
    batch = run(pd.DataFrame({"text": [f"a fox {k}" for k in range(4)]}), num_outputs=9, max_credits=100)
    bundle = batch.bundle()
    assert bundle["text/html"].count("<img") == 24
    assert "4 rows: 4 completed, the first 24 of 36 images" in bundle["text/plain"]


def test_drawn_points_of_a_sweep_are_a_table_of_rows_and_say_their_draw(sandbox: Sandbox) -> None:
    grid = kling.sweep("{a} {b}", a=[1, 2, 3], b=[4, 5, 6], pick=4, pick_seed=3, show_progress=False)
    assert sandbox.count("submit") == len(grid) == 4
    table = grid.table()
    assert set(table["pick_seed"]) == {3}
    assert set(table["pick_of"]) == {9}
    first = grid.points[0].coordinates
    drawn = {"pick_seed": 3, "pick_of": 9, "point": dict(zip("ab", first, strict=True))}
    assert kling.read_recipe(grid.done[0][0].path)["draw"] == drawn
    assert kling.result(grid.handles[0].number).request.draw == drawn, "also in the journal"
    frame = kling.images(grid)
    assert (set(frame["pick_seed"]), set(frame["pick_of"]), frame["a"].iloc[0]) == ({3}, {9}, first[0])
    assert set(grid[first[0]].table()["pick_of"]) == {9}, "a part of it was drawn from the same whole"
    assert grid[first].request.prompt == grid.points[0].prompt
    missing = next((a, b) for a in (1, 2, 3) for b in (4, 5, 6) if (a, b) not in {p.coordinates for p in grid.points})
    with pytest.raises(InputError, match="not drawn"):
        grid[missing]
    assert grid.bundle()["text/html"].count("<img") == 4


# ---- in a cell ----


@pytest.fixture
def cell(session: Session) -> Callable[..., Any]:
    """Run a ``%%kling`` cell in a shell with these variables; what ``-o result`` bound."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    def run_cell(line: str, body: str, **variables: Any) -> Any:
        shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
        shell.run_line_magic("load_ext", "kling_notebook")
        shell.push(variables)
        shell.run_cell_magic("kling", f"--quiet -o result {line}", body)
        return shell.user_ns["result"]

    return run_cell


def test_a_cell_is_a_template_over_the_rows_of_a_table(cell: Callable[..., Any], sandbox: Sandbox) -> None:
    frame = pd.DataFrame({"animal": ["fox", "owl"], "ratio": ["3:2", None]})
    options = "--batch $frame --aspect-ratio {ratio} -r 2K --negative 'no {animal} at night'"
    batch = cell(options, "a {animal}, {not a column}", frame=frame)
    requests = [result.request for result in batch]
    assert [request.prompt for request in requests] == ["a fox, {not a column}", "a owl, {not a column}"]
    assert [request.aspect_ratio for request in requests] == ["3:2", "1:1"]
    assert {request.resolution for request in requests} == {"2K"}
    assert [request.negative_prompt for request in requests] == ["no fox at night", "no owl at night"]
    assert sandbox.count("submit") == 2


def test_a_cell_takes_a_table_from_a_file_and_an_axis_from_lines(cell: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("animal\nfox\nowl\n")
    (tmp_path / "animals.txt").write_text("red fox, asleep\n\n  owl  \n")
    assert len(cell(f"--batch '{tmp_path / 'table.csv'}'", "a {animal}")) == 2
    grid = cell(f"--sweep animal=@{tmp_path / 'animals.txt'}", "a {animal}")
    assert grid.axes == {"animal": ("red fox, asleep", "owl")}


def test_a_cell_draws_points(cell: Callable[..., Any]) -> None:
    grid = cell("--sweep a=1,2,3 --sweep b=4,5,6 --pick 2:7", "{a} {b}")
    assert (len(grid), grid.pick.seed) == (2, 7)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--pick 2", "--pick draws points of a sweep"),
        ("--sweep a=1,2 --pick x", "--pick needs a whole number"),
        ("--batch $nothing", "no variable 'nothing'"),
        ("--batch $frame --sweep a=1,2", "exclude each other"),
        ("--sweep a=@nowhere.txt", "cannot be read from nowhere.txt"),
        ("--batch $frame -a {nothing}", "no column 'nothing'"),
        ("--batch $frame --negative {nothing}", "no column 'nothing'"),
        ("--batch $frame -r '{nothing}K'", "resolution cannot be"),
        ("--batch $frame --image 'photos/{a}.png'", "no file photos/fox.png"),
    ],
)
def test_what_a_cell_cannot_use_is_refused_before_anything_is_sent(
    line: str, message: str, cell: Callable[..., Any], sandbox: Sandbox
) -> None:
    with pytest.raises(InputError, match=message):
        cell(line, "a {a}", frame=pd.DataFrame({"a": ["fox"]}))
    assert sandbox.count("submit") == 0


def test_an_id_column_named_as_one_of_the_table_keeps_its_values(sandbox: Sandbox) -> None:
    table = kling.batch([{"prompt": "a fox", "status": "train"}], id="status", show_progress=False).table()
    assert table[["row_status", "status"]].to_numpy().tolist() == [["train", "completed"]]
