"""Images as tables: one plain row per image, measures that are kept, and a data set others can open."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import kling_notebook as kling
from kling_notebook.api.errors import InputError
from kling_notebook.session import current

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session


@pytest.fixture(autouse=True)
def session(make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Session:
    made = make_session(sandbox)
    monkeypatch.setattr(current, "_session", made)
    return made


def made(prompt: str = "a fox", **options: Any) -> kling.Result:
    return kling.generate(prompt, show_progress=False, **options)


def area(image: kling.SavedImage) -> int:
    return image.width * image.height


# ---- one row per image ----


def test_an_image_is_one_plain_row_whatever_holds_it(session: Session) -> None:
    fox = made(num_outputs=2, aspect_ratio="16:9")
    session.star(1, 1)
    session.note(1, "for the paper")
    for held in (fox, [fox], [fox[0], fox[1]], None):
        frame = kling.images(held)
        assert list(frame["address"]) == ["1a", "1b"]
    row = frame.iloc[1]
    assert (row["number"], row["letter"], row["prompt"], row["aspect_ratio"]) == (1, "b", "a fox", "16:9")
    assert (row["width"], row["height"], row["format"]) == (1360, 768, "png")
    assert row["bytes"] == fox[1].path.stat().st_size
    assert (row["path"], row["starred"], row["note"]) == (str(fox[1].path), True, "for the paper")


def test_a_sweep_adds_its_axes_and_a_batch_its_rows() -> None:
    grid = (
        kling.sweep("a {animal}", animal=["fox", "owl"], note=["x"], prompt_=None, show_progress=False)
        if False
        else (kling.sweep("a {animal} {note}", animal=["fox", "owl"], note=["x"], show_progress=False))
    )
    frame = kling.images(grid)
    assert list(frame["animal"]) == ["fox", "owl"]
    assert set(frame["axis_note"]) == {"x"}, "an axis gives way to a column of that name"
    table = [{"item": "a", "text": "a fox"}, {"item": "b", "text": "a fox"}]
    batch = kling.batch(table, prompt="text", id="item", show_progress=False)
    frame = kling.images(batch)
    assert list(frame["item"]) == ["a", "b"]
    assert list(frame["row"]) == [0, 1]
    assert len(set(frame["address"])) == 1, "rows that ask for the same share their images"


def test_the_columns_are_plain_for_other_tools(tmp_path: Path) -> None:
    source = made()
    made("an owl", image=source[0], num_outputs=2)
    kling.measure(area)
    frame = kling.images()
    assert len(frame.drop_duplicates()) == 3
    frame.to_csv(tmp_path / "images.csv", index=False)
    assert list(pd.read_csv(tmp_path / "images.csv")["address"]) == list(frame["address"])
    with sqlite3.connect(tmp_path / "images.db") as connection:
        frame.to_sql("images", connection)
        assert connection.execute("SELECT COUNT(*), SUM(area) FROM images").fetchone() == (3, 3 * 1024 * 1024)
    connection.close()
    json.loads(frame.to_json(orient="records"))


def test_no_images_is_an_empty_frame_and_nothing_of_ours_is_an_input_error() -> None:
    assert kling.images().empty
    assert kling.measure(area).empty
    with pytest.raises(InputError, match="holds no images"):
        kling.images(5)


# ---- measures ----


def test_a_measure_is_computed_once_and_kept(
    session: Session, make_session: Any, sandbox: Any, monkeypatch: Any
) -> None:
    calls = []

    def counted(image: kling.SavedImage) -> int:
        calls.append(image.address)
        return image.number

    fox = made(num_outputs=2)
    assert list(kling.measure(counted, fox)["counted"]) == [1, 1]
    assert list(kling.measure(counted, fox).index) == ["1a", "1b"]
    assert calls == ["1a", "1b"]
    made("an owl")
    monkeypatch.setattr(current, "_session", make_session(sandbox, before=session))
    assert list(kling.measure(counted)["counted"]) == [1, 1, 2], "also in another session"
    assert calls == ["1a", "1b", "2a"]
    kling.measure(counted, refresh=True)
    assert len(calls) == 6
    assert list(kling.images()["counted"]) == [1, 1, 2]


def test_a_measure_whose_code_changed_is_computed_again_and_says_so() -> None:
    fox = made()
    assert kling.measure(lambda _: 1, fox, name="value")["value"].item() == 1
    frame = kling.measure(lambda _: 2, fox, name="value")
    assert (frame["value"].item(), frame.attrs["recomputed"]) == (2, 1)


def test_errors_are_per_image_and_tried_again_the_next_time() -> None:
    broken = True

    def odd(image: kling.SavedImage) -> dict[str, float]:
        if broken and image.letter == "b":
            raise ValueError("too dark")
        return {"mean": 0.5, "name": 1}

    fox = made(num_outputs=3)
    frame = kling.measure(odd, fox)
    assert list(frame["odd_error"].dropna()) == ["ValueError: too dark"]
    assert frame["odd_mean"].notna().tolist() == [True, False, True]
    broken = False
    assert "odd_error" not in kling.measure(odd, fox)


def test_a_measure_runs_on_a_process_pool() -> None:
    fox = made(num_outputs=3)
    with ProcessPoolExecutor(2) as pool:
        assert set(kling.measure(area, fox, executor=pool)["area"]) == {1024 * 1024}


# ---- a data set ----


def test_a_data_set_has_the_originals_and_their_metadata_and_nothing_of_this_machine(
    tmp_path: Path, sandbox: Any
) -> None:
    batch = kling.batch([{"item": "a", "text": "a fox"}, {"item": "b", "text": "an owl"}], prompt="text", id="item",
                        num_outputs=2, show_progress=False)  # fmt: skip
    kling.measure(area, batch)
    folder = kling.export(batch, tmp_path / "set")
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["item"] for line in lines] == ["a", "a", "b", "b"]
    assert {line["area"] for line in lines} == {1024 * 1024}
    assert all(next(iter(line)) == "file_name" for line in lines)
    for line, image in zip(lines, batch.images, strict=True):
        assert (folder / line["file_name"]).read_bytes() == image.path.read_bytes()
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.*") if path.suffix in (".md", ".jsonl"))
    assert str(tmp_path) not in text
    assert sandbox.key not in text
    assert sandbox.base_url not in text
    assert "4 images of 2 jobs" in text


def test_a_data_set_is_complete_or_not_there(tmp_path: Path) -> None:
    fox = made(num_outputs=2)
    fox[1].path.unlink()
    with pytest.raises(InputError, match="could not be written"):
        kling.export(fox, tmp_path / "set")
    assert list(tmp_path.glob("*set*")) == []
    assert len(list(kling.export(fox[0], tmp_path / "set").iterdir())) == 3
    with pytest.raises(InputError, match="not an empty folder"):
        kling.export(fox[0], tmp_path / "set")
    (tmp_path / "empty").mkdir()
    kling.export(fox[0], tmp_path / "empty")
    with pytest.raises(InputError, match="no images"):
        kling.export([], tmp_path / "none")
