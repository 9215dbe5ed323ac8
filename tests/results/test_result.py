"""What the user holds: results, sweeps and the history, made through the sandbox."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from kling_notebook.api.errors import InputError, KlingError
from kling_notebook.api.parameters import PARAMETERS
from kling_notebook.results import sweep_axes
from kling_notebook.results.result import Comparison, Result, history_row
from kling_notebook.results.sweep_result import SweepResult
from kling_notebook.sandbox import Fault
from kling_notebook.session.session import Session
from kling_notebook.view.table import history_bundle

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox


def made(session: Session, prompt: str, **parameters: Any) -> Result:
    handle = session.start([session.request(prompt, **parameters)], source="python").handles[0]
    return handle.result(timeout=60)


def swept(session: Session, prompt: Any, **axes: Any) -> SweepResult:
    checked, points = sweep_axes.expand(prompt, axes)
    batch = session.start(session.requests(points), source="python", sweep=True)
    for handle in batch.jobs:
        handle.exception(timeout=60)
    return SweepResult(checked, points, batch.handles)


def test_a_result_is_a_sequence_of_saved_images(session: Session, tmp_path: Path) -> None:
    """Index, slice, iterate, length; paths, sizes, a PIL image; a short repr; copies; the body sent."""
    fox = made(session, "a red fox", aspect_ratio="16:9", num_outputs=3, output_format="jpeg")
    assert len(fox) == 3
    assert [image.address for image in fox] == ["1a", "1b", "1c"]
    assert fox[-1].address == "1c"
    assert len(fox[1:]) == 2
    assert (fox[0].width, fox[0].height) == (1360, 768)
    assert fox[0].image().format == "JPEG"
    assert repr(fox) == "<Result 1: 3 images of 'a red fox'>"
    assert fox.raw["body"]["prompt"] == "a red fox"
    assert "127.0.0.1" not in str(fox.raw["final"]["output"]).replace("[address on 127.0.0.1", "")
    copies = fox.save(tmp_path / "copies")
    assert [copy.read_bytes() for copy in copies] == [image.path.read_bytes() for image in fox]
    assert fox.save(tmp_path / "copies") == copies
    assert fox.figure().get_axes()
    assert fox.code() == "%%kling --aspect-ratio 16:9 --num-outputs 3 --output-format jpeg\na red fox"


def test_one_image_is_shown_large_and_several_as_a_grid(session: Session) -> None:
    """A single result and ``fox[2]`` are large enough to judge by; nine stay light."""
    one = made(session, "a red fox")._repr_mimebundle_()
    nine = made(session, "a red fox", num_outputs=9)
    grid = nine._repr_mimebundle_()
    assert 'alt="a red fox"' in one["text/html"]
    assert len(one["image/jpeg"]) < 280_000
    assert grid["text/html"].count("<img") == 9
    assert sum(len(part) for part in grid.values()) < 300_000
    assert set(nine[4]._repr_mimebundle_()) == {"text/html", "image/jpeg", "text/plain"}


def test_an_image_deleted_since_is_drawn_as_missing(session: Session) -> None:
    """The rest of the grid is shown, and the reason."""
    fox = made(session, "a red fox", num_outputs=2)
    fox[0].path.unlink()
    bundle = fox._repr_mimebundle_()
    assert "is not here" in bundle["text/html"]
    assert bundle["text/html"].count("<img") == 1
    assert repr(fox) == "<Result 1: 1 of 2 images of 'a red fox'>"


def test_a_damaged_image_is_named_once_and_without_its_folder(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note is saved with the notebook."""
    monkeypatch.chdir(session.folder)  # from a folder less deep the link alone would name all above it
    fox = made(session, "a red fox", num_outputs=2)
    fox[0].path.write_bytes(b"no image")
    bundle = fox._repr_mimebundle_()
    assert fox[0].tile().note == f"{fox[0].path.name} cannot be shown: it is text."
    assert str(session.folder) not in str(bundle)


def test_an_empty_negative_prompt_is_none_on_its_axis_and_selects(session: Session) -> None:
    """By what was given and by what is written; the table has no word that was not asked for."""
    sweep = swept(session, "a fox", negative_prompt=["", "snow"])
    assert "none" in sweep.bundle()["text/plain"]
    assert "None" not in sweep.bundle()["text/html"]
    assert sweep[""].number == sweep["none"].number == sweep[None].number == 1
    assert list(sweep.table()["negative_prompt"].isna()) == [True, False]


def test_a_session_says_its_backend_and_folder_and_a_sweep_its_axes(session: Session) -> None:
    """In one line; without axes no word hangs in the air."""
    assert repr(session) == f"<Session {session.backend} in {session.folder}>"
    assert repr(swept(session, "a fox")) == "<SweepResult without axes>"
    assert repr(swept(session, "a {x}", x=["fox", "owl"])) == "<SweepResult 2 over x>"


def test_a_deep_copy_of_a_sweep_has_the_same_jobs(session: Session) -> None:
    """A handle has locks, which cannot be copied."""
    sweep = swept(session, "a {x}", x=["fox", "owl"])
    copied = copy.deepcopy({"mine": sweep})["mine"]
    assert copied is not sweep
    assert copied.axes == sweep.axes
    assert copied.handles == sweep.handles
    assert copied["owl"].number == 2


def test_a_place_without_an_image_has_the_shape_that_was_asked_for(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """Failed in a sweep, and deleted since: as wide as the images beside it, in the page and in the figure."""
    sandbox = make_sandbox(faults=[Fault("submit", "failed", at=2, error="no owls today")])
    session = make_session(sandbox, in_flight=1)
    sweep = swept(session, "a {animal}", animal=["fox", "owl", "hare"], aspect_ratio=["16:9"])
    sweep["hare", "16:9"][0].path.unlink()
    tiles = [sweep.tiles(index)[0] for index in range(3)]
    assert [tile.state for tile in tiles] == ["image", "failed", "missing"]
    assert [round(tile.ratio, 1) for tile in tiles] == [1.8] * 3
    assert sweep.bundle()["text/html"].count("aspect-ratio: 1.77") == 2
    figure = sweep.figure()
    figure.draw_without_rendering()
    boxes = [ax.get_window_extent() for ax in figure.get_axes()]
    assert [round(box.width / box.height, 1) for box in boxes] == [1.8] * 3


def test_saving_copies_what_there_is_and_then_says_what_is_gone(session: Session, tmp_path: Path) -> None:
    """One line of this package, and neither a sweep nor a result loses a copy for an image deleted since."""
    foxes = swept(session, "a {color} fox", color=["red", "white", "gray"], num_outputs=[2])
    foxes[0][0].path.unlink()
    with pytest.raises(KlingError, match=r"1a: .* is gone, or a link that leads out\. The other 1 are in .*copies"):
        foxes[0].save(tmp_path / "copies")
    assert len(list((tmp_path / "copies").iterdir())) == 1
    with pytest.raises(KlingError, match=r"1a: .* is gone, or a link that leads out\. The other 5 are in"):
        foxes.save(tmp_path / "sweep")
    assert len(list((tmp_path / "sweep").glob("*.png"))) == 6
    assert (tmp_path / "sweep" / "table.csv").exists()


def test_a_sweep_is_saved_as_what_its_path_says(session: Session, tmp_path: Path) -> None:
    """A table's ending gives both, a slash makes a folder of any name; what cannot be is reported with the way out."""
    foxes = swept(session, "a {color} fox", color=["red", "white"])
    assert [path.name for path in foxes.save(tmp_path / "tab.csv")] == ["tab.png", "tab.csv"]
    assert [path.name for path in foxes.save(f"{tmp_path}/v1.2/")][:2] == ["figure.png", "table.csv"]
    assert len(foxes.save(tmp_path / "v1.2")) == 4
    with pytest.raises(InputError, match=r"cannot be written as '\.xyz'. Take one of .*pdf, .*for a folder"):
        foxes.save(tmp_path / "figure.xyz")
    (tmp_path / "notes").write_text("mine")
    for save in (foxes.save, foxes[0].save):
        with pytest.raises(InputError, match=r"notes cannot be written: .*\. Choose another path\."):
            save(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"


def test_comparison_says_what_differs(session: Session) -> None:
    """Only the parameters that differ, in the table's order."""
    a, b = made(session, "a red fox"), made(session, "a red owl", aspect_ratio="16:9")
    comparison = Comparison(a[0], b[0])
    assert comparison.differences == [("prompt", "a red fox", "a red owl"), ("aspect_ratio", "1:1", "16:9")]
    assert "owl" in comparison._repr_mimebundle_()["text/html"]


def test_history_has_a_row_per_job_and_proper_dtypes(session: Session) -> None:
    """Index n; every parameter; times in UTC without a zone, categories, nullable integers, no lists."""
    empty = session.history()
    assert list(empty.index) == []
    made(session, "a red fox", num_outputs=2)
    made(session, "an owl", negative_prompt="moon", resolution="2k")
    frame = session.history()
    assert list(frame.index) == [1, 2]
    assert frame.index.name == "n"
    assert list(frame.columns) == list(empty.columns)
    assert set(PARAMETERS) | {"job_id", "status", "backend", "credits", "images", "error", "source"} <= set(
        frame.columns
    )
    assert frame["created_at"].dtype == "datetime64[us]"
    assert abs(frame["created_at"].max().tz_localize("UTC").timestamp() - time.time()) < 600
    assert (frame["completed_at"] >= frame["submitted_at"]).all()
    assert frame["num_outputs"].dtype == "Int64"
    assert isinstance(frame["status"].dtype, pd.CategoricalDtype)
    assert list(frame["resolution"]) == ["1K", "2K"]
    assert frame.loc[2, "negative_prompt"] == "moon"
    assert list(frame["images"]) == [2, 1]
    assert list(frame["source"]) == ["python", "python"]


def test_history_of_the_session_holds_what_it_reused_and_everything_holds_the_folder(
    sandbox: Sandbox, make_session: Callable[..., Session]
) -> None:
    """A second session sees the first one's jobs only where it used them, or when it asks for everything."""
    first = make_session(sandbox)
    made(first, "a red fox")
    made(first, "an owl")
    second = make_session(sandbox)
    assert second.history().empty
    second.start([second.request("an owl")], source="python", reuse=True).handles[0].result(timeout=60)
    assert list(second.history()["prompt"]) == ["an owl"]
    assert list(second.history(everything=True)["prompt"]) == ["a red fox", "an owl"]
    assert list(second.history(everything=True, limit=1)["prompt"]) == ["an owl"]


def test_stars_notes_and_filters(session: Session) -> None:
    """Both are columns, and both are found again."""
    made(session, "a red fox", num_outputs=2)
    made(session, "100% owl_")
    session.star(1, 1)
    session.note(2, "for the paper")
    frame = session.history()
    assert list(frame["starred"]) == ["b", ""]
    assert frame.loc[2, "note"] == "for the paper"
    assert [record.number for record in session.rows(starred=True)] == [1]
    assert [record.number for record in session.rows(search="paper")] == [2]
    assert [record.number for record in session.rows(search="0% owl_")] == [2]
    assert not session.rows(search="%fox%")
    assert session.count(search="o") == 2
    assert not session.rows(status="failed")
    session.star(1, 1, on=False)
    assert not session.rows(starred=True)
    with pytest.raises(InputError, match="there is no 1c"):
        session.star(1, 2)


def test_a_sweep_selects_by_value_and_lays_itself_out(session: Session, tmp_path: Path) -> None:
    """By values, partly, by place; a table row per image; a figure with the axes' names; files."""
    sweep = swept(session, "a {animal} at {time}", animal=["fox", "owl"], time=["dawn", "night"], num_outputs=[2])
    assert sweep["owl", "night", 2].request.prompt == "a owl at night"
    assert sweep["owl"].axes == {"time": ("dawn", "night"), "num_outputs": (2,)}
    assert sweep[0].request.prompt == "a fox at dawn"
    assert len(sweep) == 4
    table = sweep.table()
    assert list(table.columns[:3]) == ["animal", "time", "num_outputs"]
    assert len(table) == 8
    assert table["path"].map(lambda path: Path(path).exists()).all()
    texts = " ".join(text.get_text() for text in sweep.figure().findobj(lambda a: hasattr(a, "get_text")))
    assert "owl" in texts
    assert "night" in texts
    written = sweep.save(tmp_path / "paper" / "figure.pdf")
    assert [path.suffix for path in written] == [".pdf", ".csv"]
    assert all(path.stat().st_size > 100 for path in written)
    with pytest.raises(InputError, match="no value 'hare'"):
        sweep["hare"]


def test_a_partly_failed_sweep_keeps_what_is_done_and_buys_only_what_is_missing(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """The failed tile says why; the same sweep again is one POST."""
    sandbox = make_sandbox(faults=[Fault("submit", "failed", at=2, error="no owls today")])
    session = make_session(sandbox, in_flight=1)
    sweep = swept(session, "a {animal}", animal=["fox", "owl", "hare"])
    assert sweep.missing == [{"animal": "owl"}]
    assert "no owls today" in sweep._repr_mimebundle_()["text/html"]
    assert sweep.table()["path"].isna().sum() == 1
    with pytest.raises(KlingError, match="animal=owl is missing"):
        sweep["owl"]
    again = swept(session, "a {animal}", animal=["fox", "owl", "hare"])
    assert not again.missing
    assert sandbox.count("submit") == 4


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_every_number_of_axes_is_drawn(session: Session, axes: int) -> None:
    """A row, a grid, facets, a table of rows: every tile is there once."""
    names = {f"x{i}": ["1", "2"] for i in range(axes)}
    prompt = " ".join(f"{{{name}}}" for name in names)
    sweep = swept(session, prompt, **names)
    html = sweep._repr_mimebundle_()["text/html"]
    assert html.count("<img") == 2**axes
    assert len(sweep.facets()) == (2 if axes == 3 else 1)
    assert sum(len(part) for part in sweep._repr_mimebundle_().values()) < 500_000


@pytest.mark.parametrize(
    ("prompt", "axes", "key", "held"),
    [
        ("a fox", {"resolution": ["1k", "2k"]}, "2k", "2K"),
        ("a fox", {"num_outputs": [1, 2]}, "2", 2),
        (["one ", "two"], {}, "one ", "one"),
        ("a {x}", {"x": [3, 4]}, "4", 4),
        ("a {x}", {"x": [3, 4]}, np.int64(4), 4),
        ("a {x}", {"x": [0.5, 1.5]}, "1.5", 1.5),
        ("a {x}", {"x": [1.0, 2.0, 3.0]}, 2, 2.0),
        ("a {x}", {"x": np.arange(1.0, 4.0)}, np.float64(1), 1.0),
        ("a {x}", {"x": [True, False]}, 1, False),
        ("a {x}", {"x": [False, True]}, True, True),
        ("a {x}", {"x": [True, False]}, True, True),
        ("a {x}", {"x": ["1", "one "]}, "one ", "one "),
        ("a {x}", {"x": ["fox", "owl"]}, np.int64(1), None),
    ],
)
def test_a_sweep_selects_by_the_value_given_and_by_the_label_written(
    session: Session, prompt: Any, axes: dict[str, Any], key: Any, held: Any
) -> None:
    """What the user wrote, in any case the table takes, and what stands beside the grid; a number of NumPy is one."""
    sweep = swept(session, prompt, **axes)
    place = 1 if held is None else next(i for i, point in enumerate(sweep.points) if point.coordinates == (held,))
    assert sweep[key].number == sweep.handles[place].number


def test_a_result_has_a_place_also_where_numbers_select(session: Session) -> None:
    """``index`` counts places and does not look up values."""
    sweep = swept(session, "a {x}", x=[3, 4])
    assert sweep.index(sweep[4]) == 1
    with pytest.raises(ValueError, match="not in list"):
        sweep.index("no result")


def test_a_point_whose_image_is_gone_is_missing(session: Session) -> None:
    """It is drawn as missing, and the same sweep buys it again."""
    sweep = swept(session, "a {x}", x=["fox", "owl"], num_outputs=[2])
    assert not sweep.missing
    sweep["owl", 2][1].path.unlink()
    assert sweep.missing == [{"x": "owl", "num_outputs": 2}]
    assert "1 missing" in repr(sweep)
    assert not swept(session, "a {x}", x=["fox", "owl"], num_outputs=[2]).missing


def test_play_money_is_in_no_sum_and_in_no_row_of_the_history(folder: Path) -> None:
    """As in captions: a visitor of the sandbox paid nothing. What a service charged is reported."""
    session = Session({"sandbox": True, "folder": str(folder)})
    sweep = swept(session, "a {x}", x=["fox"])
    assert sweep.credits == 0
    row = history_row(session.record(1), folder)
    assert row.credits is None
    assert "credit" not in history_bundle([row], total=1)["text/plain"]
    session.close()


def test_what_a_service_charged_is_in_the_sum_and_in_the_history(session: Session) -> None:
    sweep = swept(session, "a {x}", x=["fox", "owl"], num_outputs=[2])
    assert sweep.credits == 4
    assert history_row(session.record(1), session.folder).credits == 2


def test_the_column_of_credits_adds_up_to_what_was_paid(session: Session) -> None:
    """An image has its share of its job's price, also where two points are one job; nothing for what has none."""
    sweep = swept(session, ["a {x}", "an owl"], x=["fox", "hare"], num_outputs=[3])
    assert len({handle.number for handle in sweep.handles}) == 3
    table = sweep.table()
    assert list(table["credits"]) == [1.0] * 6 + [0.5] * 6
    assert table["credits"].sum() == sweep.credits == 9


def test_a_sweeps_table_has_the_credits_of_the_history_also_on_the_sandbox(folder: Path) -> None:
    session = Session({"sandbox": True, "folder": str(folder)})
    sweep = swept(session, "a {x}", x=["fox"], num_outputs=[2])
    assert sweep.table()["credits"].sum() == session.history()["credits"].sum() == 2
    assert sweep.credits == 0, "no sum counts them"


def test_an_axis_named_like_a_column_of_a_sweeps_table_keeps_its_name_and_values(
    session: Session, tmp_path: Path
) -> None:
    """Ours gives way, in the table and in the CSV."""
    names = ["number", "status", "letter", "path", "seconds", "job_status"]
    sweep = swept(session, " ".join(f"{{{name}}}" for name in names), **{name: [f"{name} a"] for name in names})
    table = sweep.table()
    assert {name: table[name][0] for name in names} == {name: f"{name} a" for name in names}
    ours = ["job_number", "job_letter", "job_path", "job_seconds", "credits", "job_job_status"]
    assert list(table.columns) == [*names, *ours]
    assert table["job_number"][0] == 1
    assert table["job_job_status"][0] == "completed"
    assert Path(table["job_path"][0]).exists()
    sweep.save(tmp_path / "saved")
    assert list(pd.read_csv(tmp_path / "saved" / "table.csv").columns) == list(table.columns)


def test_the_history_tells_replicates_and_models_apart(session: Session) -> None:
    """Replicates differ in nothing but their sample, a number or a word, and are found by it."""
    swept(session, "a fox", sample=2)
    swept(session, "a fox", sample=["dusk"])
    made(session, "a fox")
    frame = session.history()
    assert list(frame["sample"].dropna()) == ["1", "2", "dusk"], "words and numbers together are words"
    assert list(frame.query("sample == '2'").index) == [2]
    assert list(frame.query("sample == 'dusk'").index) == [3]
    assert list(session.history(limit=4)["sample"].dropna()) == ["1", "2", "dusk"]
    assert list(frame["model"]) == ["kling-image"] * 4
    assert isinstance(frame["model"].dtype, pd.CategoricalDtype)
    assert list(session.history(limit=0).columns) == list(frame.columns)
    assert "dusk" in frame.to_csv()
