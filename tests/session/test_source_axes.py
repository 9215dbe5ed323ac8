"""Source pictures as an axis, however they are given: told apart, labelled, refused before anything is bought."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from kling_notebook.api.errors import InputError
from kling_notebook.session.attachments import Attachments

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

KEPT = r"\.kling/sources/[0-9a-f]{32}\.png"


@pytest.fixture
def kling(make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, its session that of the test, which stands in the folder above its own."""
    import kling_notebook
    from kling_notebook import calls

    session = make_session(sandbox)
    monkeypatch.chdir(session.folder.parent)
    monkeypatch.setattr(calls, "_session", session)
    return kling_notebook


def plain(colour: str) -> Image.Image:
    return Image.new("RGB", (400, 400), colour)


def png(colour: str) -> bytes:
    out = io.BytesIO()
    plain(colour).save(out, "png")
    return out.getvalue()


def values_of(kind: str, kling: Any) -> Any:
    """Two source pictures, given in one of the ways."""
    if kind == "results":
        return [kling.generate(f"a fox {k}", show_progress=False) for k in range(2)]
    if kind in ("array of paths", "paths"):
        for name in ("a.png", "b.png"):
            Path(name).write_bytes(png("red" if name == "a.png" else "blue"))
        return np.array(["a.png", "b.png"]) if kind == "array of paths" else [Path("a.png"), Path("b.png")]
    return [(plain if kind == "pil" else png)(colour) for colour in ("red", "blue")]


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("pil", rf"{KEPT},{KEPT}"),
        ("bytes", rf"{KEPT},{KEPT}"),
        ("results", "1:0,2:0"),
        ("paths", r"a\.png,b\.png"),
        ("array of paths", r"a\.png,b\.png"),
    ],
)
def test_a_sweep_over_pictures_is_bought_once_each_shown_tabled_and_saved(
    kind: str, labels: str, kling: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A PIL image cannot be hashed: the sweep bought all of it and then broke."""
    given = values_of(kind, kling)
    before = sandbox.count("submit")
    sweep = kling.sweep("at night", image=given, show_progress=False)
    assert sandbox.count("submit") - before == 2
    bundle = sweep.bundle()
    assert bundle["text/html"].count("<img") == 2
    said = ",".join(sweep.table()["image"])
    assert re.fullmatch(labels, said), said
    for label in said.split(","):
        assert label in bundle["text/plain"]
    _, table, *_ = sweep.save(tmp_path / "saved")
    assert said.split(",")[1] in table.read_text(encoding="utf-8")
    assert sweep[said.split(",")[1]].request.image.label == said.split(",")[1]
    assert [sweep[value].number for value in given] == [result.number for result in sweep.done]
    kling.sweep("at night", image=given, show_progress=False)
    assert sandbox.count("submit") - before == 2, "the same pictures are the same requests"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda: [plain("red"), png("red")], "twice"),
        (lambda: [np.zeros((400, 400, 3), dtype="uint8")], "image cannot be a ndarray. Give a path"),
        (lambda: [plain("red"), "nowhere.png"], "no file nowhere.png"),
        (lambda: [b"text"], "is text. Save the picture as PNG"),
    ],
)
def test_pictures_that_cannot_be_an_axis_are_refused_before_anything_is_bought(
    values: Callable[[], Any], said: str, kling: Any, sandbox: Sandbox
) -> None:
    for ask in (kling.sweep, kling.estimate):
        with pytest.raises(InputError, match=said) as caught:
            ask("at night", image=values())
        assert caught.value.parameter == "image"
    assert not sandbox.log
    assert not kling.current_session().rows()


def test_a_picture_given_as_bytes_is_named_in_the_folder_wherever_that_moves(
    kling: Any, make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither journal nor code holds the machine's path; the moved folder finds its copy, an old absolute name too."""
    session = kling.current_session()
    asked = kling.generate("at night", image=plain("red"), show_progress=False)
    assert str(session.folder) not in (session.folder / ".kling" / "journal.sqlite3").read_bytes().decode("latin-1")
    label = asked.code().split()[2]
    assert kling.history()["image"].iloc[0] == label == asked.request.image.label
    session.close()
    moved = session.folder.parent / "moved" / "pictures"
    moved.parent.mkdir()
    shutil.move(session.folder, moved)
    monkeypatch.chdir(moved.parent)
    later = make_session(sandbox, folder=str(moved))
    old = str(session.folder / label)  # as earlier versions wrote it
    for named in (label, old, old.replace("/", "\\")):
        assert later.request("at night", image=named) == asked.request
        assert later.request("at night", image=named).image.label == label


def test_a_label_of_a_copy_that_is_gone_is_a_path_like_any_other(tmp_path: Path) -> None:
    """It says which file is missing."""
    with pytest.raises(InputError, match=r"There is no file .*sources"):
        Attachments(tmp_path / ".kling" / "sources", lambda *_: None).resolve(f".kling/sources/{'0' * 32}.png")  # type: ignore[arg-type,return-value]


def test_a_picture_of_another_folder_is_named_by_its_copy_since_its_address_means_another_one_here(
    kling: Any, make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``1:0`` is another picture in this folder: neither code nor an axis may call the source so."""
    base = kling.generate("base", show_progress=False)
    second = make_session(sandbox, folder=str(tmp_path / "second"))
    monkeypatch.setattr(kling.calls, "_session", second)
    other = kling.generate("other", show_progress=False)
    made = kling.generate("from base", image=base[0], show_progress=False)
    named = made.code().split()[2]
    assert re.fullmatch(KEPT, named), named
    assert second.request("from base", image=named) == made.request
    sweep = kling.sweep("at night", image=[other[0], base[0]], show_progress=False)
    assert sweep[base[0]].number == sweep.handles[1].number != sweep[other[0]].number
    assert other[0].address == base[0].address == sweep[other[0]].request.image.label


def test_code_names_the_kept_copy_of_a_source_that_changed_or_went_away(kling: Any, sandbox: Sandbox) -> None:
    """What was sent is asked for again, not what bears its name today."""
    Path("a.png").write_bytes(png("red"))
    base = kling.generate("base", show_progress=False)
    from_file = kling.generate("at night", image="a.png", show_progress=False)
    from_picture = kling.generate("at noon", image="1:0", show_progress=False)
    from_copy = kling.generate("at dawn", image=png("red"), show_progress=False)
    copy = from_copy.code().split()[2]
    assert [made.code().split()[2] for made in (from_file, from_picture)] == ["a.png", "1:0"]
    Path("a.png").write_bytes(png("blue"))
    base[0].path.unlink()
    session = kling.current_session()
    for made in (from_file, from_picture, from_copy):
        named = made.code().split()[2]
        assert re.fullmatch(KEPT, named), named
        assert session.request(made.request.prompt, image=named) == made.request
    assert from_copy.code().split()[2] == from_file.code().split()[2] == copy
    Path("a.png").unlink()
    assert from_file.code().split()[2] == copy
    Path("a.png").write_bytes(png("red"))
    assert kling.result(from_file.number).code().split()[2] == "a.png"
    (session.folder / copy).unlink()
    assert from_copy.code().split()[2] == copy, "the only name there is"
