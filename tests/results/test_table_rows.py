"""A table of prompts is read row by row, and what cannot be asked for is named before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import polars as pl
import pytest

from kling_notebook.api.errors import InputError
from kling_notebook.results.table_rows import MOST_ROWS, Row, check_column, read_table, rows_of

TWO = pd.DataFrame({"text": ["a fox", "an owl"], "ratio": ["3:2", None], "n": [2.0, np.nan]}, index=["x", "x"])


class Polars:
    """Anything with ``to_pandas``."""

    def to_pandas(self) -> pd.DataFrame:
        return TWO


@pytest.mark.parametrize("table", [TWO, Polars(), TWO.to_dict("records")])
def test_a_frame_anything_that_becomes_one_and_a_list_of_dicts_are_tables(table: Any) -> None:
    assert list(read_table(table)["text"]) == ["a fox", "an owl"]


def test_a_frame_keeps_its_own_index() -> None:
    assert list(read_table(TWO).index) == ["x", "x"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'text,ratio,n\n"a fox, asleep",3:2,2\nNA,,\n'),
        ("t.tsv", "text\tratio\tn\na fox, asleep\t3:2\t2\nNA\t\t\n"),
        ("t.jsonl", '{"text": "a fox, asleep", "ratio": "3:2", "n": 2}\n{"text": "NA", "ratio": null}\n'),
    ],
)
def test_files_are_read_as_they_are_written(tmp_path: Path, name: str, text: str) -> None:
    """A ratio is not a time, NA is a prompt, and an empty cell is a missing one."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    rows = rows_of(read_table(str(tmp_path / name)), "text", {"aspect_ratio": "ratio", "num_outputs": "n"})
    assert [row.prompt for row in rows] == ["a fox, asleep", "NA"]
    assert [dict(row.parameters) for row in rows] == [{"aspect_ratio": "3:2", "num_outputs": 2}, {}]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (5, "needs a table"),
        ([1, 2], "needs a table"),
        ([], "no rows; a batch takes 1 to 10000. Add a row"),
        (pd.DataFrame({"text": range(MOST_ROWS + 1)}), f"{MOST_ROWS + 1} rows"),
        ("nowhere.csv", "no file nowhere.csv"),
        ("table.docx", "not a table this can read"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "two columns named text"),
        (
            pd.DataFrame([["a", "b"]], columns=pd.MultiIndex.from_product([["text"], ["en", "fr"]])),
            "have 2 levels. Join",
        ),
    ],
)
def test_what_is_not_a_table_is_refused(table: Any, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        read_table(table)


def test_a_file_that_is_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"t\.jsonl cannot be read as a table"):
        read_table(tmp_path / "t.jsonl")


def test_a_keyword_that_names_a_column_is_taken_row_by_row_and_another_is_a_value_for_all() -> None:
    rows = rows_of(TWO, "text", {"aspect_ratio": "ratio", "resolution": "2K", "num_outputs": "n"})
    assert rows == [
        Row(0, "a fox", {"resolution": "2K", "aspect_ratio": "3:2", "num_outputs": 2}),
        Row(1, "an owl", {"resolution": "2K"}),
    ]


def test_a_prompt_may_be_a_text_with_columns_in_it() -> None:
    frame = pd.DataFrame({"animal": ["fox", "owl {n}"], "n": [3.0, 4.0]})
    assert [row.prompt for row in rows_of(frame, "{n} {animal}s, {not a column}", {})] == [
        "3 foxs, {not a column}",
        "4 owl {n}s, {not a column}",
    ]


def test_a_column_in_braces_is_filled_into_every_text() -> None:
    frame = pd.DataFrame(
        {"animal": ["fox", "owl", None], "size": ["1", "2", "2"], 5: [2, 3, 4], "a {x}\nb": ["p", "q", "r"]}
    )
    given = {
        "negative_prompt": "no {animal}, {x}",
        "resolution": "{size}K",
        "image": "{5}/{animal}.png",
        "num_outputs": " {5} ",
    }
    rows = rows_of(frame, "a {x}\nb", given)
    assert rows[1].parameters == {
        "negative_prompt": "no owl, {x}", "resolution": "2K", "image": "3/owl.png", "num_outputs": 3
    }  # fmt: skip
    assert [row.prompt for row in rows] == ["p", "q", "r"]
    assert [row.error for row in rows] == ["", "", "the column animal is empty"]
    with pytest.raises(InputError, match=r"no column 'animl'\. Its columns are animal, size") as refused:
        rows_of(frame, "a {animal}", {"negative_prompt": "{animl}"})
    assert refused.value.parameter == "negative_prompt"


@pytest.mark.parametrize("cell", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.ma.masked])
def test_a_cell_that_holds_nothing_means_the_default(cell: Any) -> None:
    frame = pd.DataFrame({"prompt": "a fox", "n": pd.Series([cell, 2], dtype=object)})
    assert [row.parameters for row in rows_of(frame, "prompt", {"num_outputs": "n"})] == [{}, {"num_outputs": 2}]


@pytest.mark.parametrize("cell", [None, np.nan, pd.NA, "", "  ", ["a"], True])
def test_a_row_without_a_prompt_says_so(cell: Any) -> None:
    frame = pd.DataFrame({"prompt": pd.Series(["a fox", cell, 3], dtype=object)})
    rows = rows_of(frame, "prompt", {})
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert rows[2].prompt == "3"


@pytest.mark.parametrize(
    ("prompt", "columns", "message"),
    [
        ("words", {}, "no column 'words'. Its columns are text, ratio, n"),
        (None, {}, "no column None"),
        ("text", {"ratio": "3:2"}, "ratio is not a parameter"),
        ("text", {"prompts": "text"}, "prompts is not a parameter"),
    ],
)
def test_a_column_or_parameter_that_does_not_exist_is_named(prompt: Any, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows_of(TWO, prompt, columns)


def test_ten_thousand_rows_are_read_quickly() -> None:
    frame = pd.DataFrame(
        {"prompt": [f"a fox {k}" for k in range(MOST_ROWS)], "n": [1 + k % 3 for k in range(MOST_ROWS)]}
    )
    assert len(rows_of(frame, "prompt", {"num_outputs": "n"})) == MOST_ROWS


def test_a_file_whose_texts_are_cut_by_commas_is_refused(tmp_path: Path) -> None:
    """pandas would take their first halves for row labels, and the second ones for prompts."""
    path = tmp_path / "t.csv"
    path.write_text("prompt,ratio\na red fox, watercolor,3:2\na snowy owl, oil,1:1\n", encoding="utf-8")
    with pytest.raises(InputError, match="quote texts with commas"):
        read_table(path)


def test_a_line_of_json_may_hold_other_ends_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a fox\u2028in snow"}\n', encoding="utf-8")
    assert list(read_table(path)["text"]) == ["a fox\u2028in snow"]


def test_a_number_is_a_value_and_names_no_column() -> None:
    frame = pd.DataFrame([["a red fox", 5]], columns=["text", 2])
    assert [row.parameters for row in rows_of(frame, "text", {"num_outputs": 2})] == [{"num_outputs": 2}]


def test_whole_numbers_beside_a_missing_one_keep_their_digits(tmp_path: Path) -> None:
    seed = 2**53 + 1
    records: list[dict[str, Any]] = [{"prompt": "a fox", "s": seed}, {"prompt": "an owl"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    for table in (records, tmp_path / "t.jsonl"):
        rows = rows_of(read_table(table), "prompt", {"sample": "s"})
        assert [row.parameters for row in rows] == [{"sample": seed}, {}]


def test_a_file_of_a_spreadsheet_may_separate_by_semicolons(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeffprompt;ratio\na fox, asleep;3:2\n", encoding="utf-8")
    rows = rows_of(read_table(tmp_path / "t.csv"), "prompt", {"aspect_ratio": "ratio"})
    assert rows == [Row(0, "a fox, asleep", {"aspect_ratio": "3:2"})]


def test_a_semicolon_in_the_header_of_tabs_separates_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("prompt\tnote; mine\na fox; asleep\tx\n", encoding="utf-8")
    assert [*read_table(tmp_path / "t.tsv").columns] == ["prompt", "note; mine"]


def test_one_column_of_another_library_is_not_a_table() -> None:
    # Beside the lowest NumPy that is supported it cannot be loaded.
    pa = pytest.importorskip("pyarrow", exc_type=ImportError)
    for column in (pa.array(["a fox"]), pa.chunked_array([["a fox"]]), pl.Series("prompt", ["a fox"])):
        with pytest.raises(InputError, match="A batch needs a table"):
            read_table(column)


def test_a_number_may_name_the_column_of_the_prompts() -> None:
    frame, prompt = pd.DataFrame([["a fox", 7]]), cast(Any, 0)
    assert [row.prompt for row in rows_of(frame, prompt, {})] == ["a fox"]
    check_column(frame, 1, "id")


@pytest.mark.parametrize("path", ["~nosuchuser/t.csv", "a\0b.csv"])
def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(InputError) as refused:
        read_table(path)
    assert refused.value.parameter == "frame"
