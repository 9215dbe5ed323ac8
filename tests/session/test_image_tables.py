"""Images as tables: one plain row per image, measures that are kept, and a data set others can open."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import kling_notebook as kling
from kling_notebook.api.errors import InputError
from kling_notebook.image_files import decode
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
    grid = kling.sweep("a {animal} {note}", animal=["fox", "owl"], note=["x"], show_progress=False)
    frame = kling.images(grid)
    assert list(frame["animal"]) == ["fox", "owl"]
    assert set(frame["axis_note"]) == {"x"}, "an axis gives way to a column of that name"
    table = [{"item": "a", "text": "a fox"}, {"item": "b", "text": "a fox"}]
    batch = kling.batch(table, prompt="text", id="item", show_progress=False)
    frame = kling.images(batch)
    assert list(frame["item"]) == ["a", "b"]
    assert list(frame["row"]) == [0, 1]
    assert len(set(frame["address"])) == 1, "rows that ask for the same share their images"


# ---- plain columns ----


def _excel(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    frame.to_excel(folder / "t.xlsx", index=False)
    return pd.read_excel(folder / "t.xlsx")


def _sql(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    with closing(sqlite3.connect(folder / "t.db")) as connection:
        frame.to_sql("t", connection, index=False)
        return pd.read_sql("SELECT * FROM t", connection)


def _parquet(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    frame.to_parquet(folder / "t.parquet")
    return pd.read_parquet(folder / "t.parquet")


def _csv(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    frame.to_csv(folder / "t.csv", index=False)
    return pd.read_csv(folder / "t.csv")


def _polars(frame: pd.DataFrame, _: Path) -> pd.DataFrame:
    import polars

    return polars.from_pandas(frame).unique(maintain_order=True).to_pandas()


def _duplicates(frame: pd.DataFrame, _: Path) -> pd.DataFrame:
    return pd.concat([frame, frame]).drop_duplicates()


def _json(frame: pd.DataFrame, _: Path) -> pd.DataFrame:
    return pd.DataFrame(json.loads(frame.to_json(orient="records", date_format="iso")))


@pytest.fixture
def tables(session: Session) -> dict[str, pd.DataFrame]:
    """`images` and `history` of a session that has a little of everything: source images, samples that are words and
    numbers, mixed axes, stars, notes, measures of every kind, a failed job."""
    source = made()
    made("an owl", image=source[0], num_outputs=2)
    grids = [kling.sweep("a {x}", x=["fox", 3, 2.5], sample=["dusk"], show_progress=False),
             kling.sweep("a hare", sample=2, show_progress=False)]  # fmt: skip
    session.star(2, 1)
    session.note(1, "for the paper")
    kling.measure(area)
    kling.measure(lambda image: {"odd": image.number % 2 == 1, "name": image.letter}, name="facts")
    kling.measure(lambda image: image.number if image.number % 2 else "even", name="mixed")
    return {"history": kling.history(), "images": kling.images([source, kling.result(2), *grids])}


def _tools() -> list[Callable[..., pd.DataFrame]]:
    tools = [_excel, _sql, _parquet, _csv, _polars, _duplicates, _json]
    try:
        import pyarrow  # noqa: F401
    except ImportError:  # beside the lowest NumPy that is supported it cannot be loaded
        return [tool for tool in tools if tool not in (_parquet, _polars)]
    return tools


def test_the_columns_are_plain_for_other_tools(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    """No time zones, no lists, no objects: every tool takes the tables as they are, and gives the same rows back."""
    for (name, frame), through in product(tables.items(), _tools()):
        folder = tmp_path / f"{name}{through.__name__}"
        folder.mkdir()
        back = through(frame, folder)
        assert list(back.columns) == list(frame.columns)
        assert list(back["prompt"]) == list(frame["prompt"])
        number = "area" if name == "images" else "credits"
        assert list(back[number].astype(float)) == list(frame[number].astype(float))
        assert not frame[number].isna().any()
        samples = [None if pd.isna(one) else str(one) for one in back["sample"]]
        assert samples == [None if pd.isna(one) else one for one in frame["sample"]]


def test_numbers_and_words_in_one_column_are_words(tables: dict[str, pd.DataFrame]) -> None:
    frame = tables["images"]
    assert list(frame["x"].dropna()) == ["fox", "3", "2.5"]
    assert set(frame["mixed"]) == {"even", "1", "3", "5", "7"}
    assert set(frame["sample"].dropna()) == {"dusk", "1", "2"}
    assert frame["area"].dtype == "Int64"
    assert frame["facts_odd"].tolist()[:3] == [True, False, False]


def test_a_name_that_is_taken_gets_another_one_and_nothing_is_replaced(tmp_path: Path) -> None:
    table = [{"row": "r1", "text": "a fox"}]
    batch = kling.batch(table, prompt="text", id="row", show_progress=False)
    kling.measure(lambda _: 7, batch, name="width")
    kling.measure(lambda _: {"error": 8}, batch, name="odd")
    frame = kling.images(batch)
    assert (frame["row"].item(), frame["id_row"].item()) == (0, "r1")
    assert (frame["width"].item(), frame["measure_width"].item()) == (1024, 7)
    assert kling.measure(lambda _: {"error": 8}, batch, name="odd")["odd_error"].item() == 8
    table = [{"file_name": "mine.png", "text": "a fox"}]
    batch = kling.batch(table, prompt="text", id="file_name", show_progress=False)
    line = json.loads((kling.export(batch, tmp_path / "set") / "metadata.jsonl").read_text(encoding="utf-8"))
    assert line["file_name"].endswith(".png")
    assert line["item_file_name"] == "mine.png"


def test_the_size_of_an_image_is_read_from_the_first_bytes_of_its_file(monkeypatch: Any) -> None:
    """A table of ten thousand images must not read gigabytes."""
    made(num_outputs=2, resolution="2K")
    read: list[int] = []

    class Counting(io.FileIO):
        def readinto(self, buffer: Any) -> Any:
            got = super().readinto(buffer)
            read.append(got or 0)
            return got

    monkeypatch.setattr(decode, "open_regular", lambda path: io.BufferedReader(Counting(path, "r"), 8192))
    frame = kling.images()
    assert list(frame["width"]) == [2048, 2048]
    assert 0 < sum(read) <= 2 * 8192


def test_images_of_another_folder_are_measured_and_nothing_of_them_is_kept_here(
    session: Session, make_session: Any, sandbox: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    """Their numbers mean other jobs here."""
    mine = made("a fox")
    session.star(1, 0)
    other = make_session(sandbox, folder=str(tmp_path / "other"))
    monkeypatch.setattr(current, "_session", other)
    theirs = made("an owl", aspect_ratio="16:9")
    assert list(kling.measure(area, [mine, theirs])["area"]) == [1024 * 1024, 1360 * 768]
    frame = kling.images([mine, theirs])
    assert list(frame["starred"]) == [False, False]
    assert frame["area"].isna().tolist() == [True, False]
    folder = kling.export([mine, theirs], tmp_path / "set")
    assert len(list(folder.glob("*.png"))) == 2


def test_an_iterator_holds_its_images_as_a_list_does(session: Session, tmp_path: Path) -> None:
    fox = kling.generate("a fox", show_progress=False, num_outputs=2)
    assert list(kling.images(iter(fox))["address"]) == ["1a", "1b"]
    folder = kling.export((image for image in fox), tmp_path / "foxes")
    assert len(list(folder.glob("*.png"))) == 2


def test_no_images_is_an_empty_frame_and_nothing_of_this_package_is_an_input_error() -> None:
    none, no_jobs = kling.images(), kling.history()
    assert none.empty
    assert kling.measure(area).empty
    made("a fox")
    assert none.dtypes.to_dict() == kling.images().dtypes.to_dict() == kling.images([]).dtypes.to_dict()
    assert no_jobs.dtypes.astype(str).to_dict() == kling.history().dtypes.astype(str).to_dict()
    assert list(none.columns) == list(kling.images().columns)
    with pytest.raises(InputError, match="holds no images"):
        kling.images(5)
    with pytest.raises(InputError, match="holds no images"):
        kling.images(np.array(5))


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
