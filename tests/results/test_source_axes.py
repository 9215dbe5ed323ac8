"""Source images as an axis, however they are given: told apart, labeled, refused before anything is bought."""

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
from kling_notebook.results.attachments import Attachments
from kling_notebook.sandbox import Fault
from kling_notebook.session import current

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

KEPT = r"\.kling/sources/[0-9a-f]{32}\.png"


@pytest.fixture
def kling(make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, its session that of the test, which stands in the folder above its own."""
    import kling_notebook

    session = make_session(sandbox)
    monkeypatch.chdir(session.folder.parent)
    monkeypatch.setattr(current, "_session", session)
    return kling_notebook


def plain(color: str) -> Image.Image:
    return Image.new("RGB", (400, 400), color)


def png(color: str) -> bytes:
    out = io.BytesIO()
    plain(color).save(out, "png")
    return out.getvalue()


def values_of(kind: str, kling: Any) -> Any:
    """Two source images, given in one of the ways."""
    if kind == "results":
        return [kling.generate(f"a fox {k}", show_progress=False) for k in range(2)]
    if kind in ("array of paths", "paths"):
        for name in ("a.png", "b.png"):
            Path(name).write_bytes(png("red" if name == "a.png" else "blue"))
        return np.array(["a.png", "b.png"]) if kind == "array of paths" else [Path("a.png"), Path("b.png")]
    return [(plain if kind == "pil" else png)(color) for color in ("red", "blue")]


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("pil", rf"{KEPT},{KEPT}"),
        ("bytes", rf"{KEPT},{KEPT}"),
        ("results", "1a,2a"),
        pytest.param("paths", r"a\.png,b\.png", marks=pytest.mark.long),
        pytest.param("array of paths", r"a\.png,b\.png", marks=pytest.mark.long),
    ],
)
def test_a_sweep_over_images_is_bought_once_each_shown_tabled_and_saved(
    kind: str, labels: str, kling: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A PIL image cannot be hashed: the sweep bought all of it and then broke."""
    given = values_of(kind, kling)
    before = sandbox.count("submit")
    sweep = kling.sweep("at night", image=given, show_progress=False)
    assert sandbox.count("submit") - before == 2
    bundle = sweep.bundle()
    assert bundle["text/html"].count("<img") == 2
    message = ",".join(sweep.table()["image"])
    assert re.fullmatch(labels, message), message
    for label in message.split(","):
        assert label in bundle["text/plain"]
    _, table, *_ = sweep.save(tmp_path / "saved")
    assert message.split(",")[1] in table.read_text(encoding="utf-8")
    assert sweep[message.split(",")[1]].request.image.label == message.split(",")[1]
    assert [sweep[value].number for value in given] == [result.number for result in sweep.done]
    kling.sweep("at night", image=given, show_progress=False)
    assert sandbox.count("submit") - before == 2, "the same images are the same requests"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (lambda: [plain("red"), plain("red")], "twice"),
        (lambda: [png("red"), png("red")], "twice"),
        (lambda: [plain("red"), png("red")], "which are the same"),
        (lambda: [np.zeros((400, 400, 3), dtype=bool)], "uint8 .* not bool"),
        (lambda: [plain("red"), np.asarray(plain("red"))], "which are the same|twice"),
        (lambda: [plain("red"), "nowhere.png"], "no file nowhere.png"),
        (lambda: [b"text"], "is text. Save the image as PNG"),
    ],
)
def test_images_that_cannot_be_an_axis_are_refused_before_anything_is_bought(
    values: Callable[[], Any], message: str, kling: Any, sandbox: Sandbox
) -> None:
    for ask in (kling.sweep, kling.estimate):
        with pytest.raises(InputError, match=message) as caught:
            ask("at night", image=values())
        assert caught.value.parameter == "image"
    assert not sandbox.log
    assert not kling.current_session().rows()


def test_an_image_given_as_bytes_is_named_in_the_folder_wherever_that_moves(
    kling: Any, make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither journal nor code holds the machine's path; the moved folder finds its copy, an old absolute name too."""
    session = kling.current_session()
    asked = kling.generate("at night", image=plain("red"), show_progress=False)
    assert str(session.folder) not in (session.folder / ".kling" / "journal.sqlite3").read_bytes().decode("latin-1")
    label = asked.code().split()[2]
    assert kling.history()["image"].iloc[0] == label == asked.request.image.label
    session.close()
    moved = session.folder.parent / "moved" / "images"
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
        Attachments(tmp_path, lambda *_: None).resolve(f".kling/sources/{'0' * 32}.png")  # type: ignore[arg-type,return-value]


def test_an_image_of_another_folder_is_named_by_its_copy_since_its_address_means_another_one_here(
    kling: Any, make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``1a`` is another image in this folder: neither code nor an axis may call the source so."""
    base = kling.generate("base", show_progress=False)
    second = make_session(sandbox, folder=str(tmp_path / "second"))
    monkeypatch.setattr(current, "_session", second)
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
    from_image = kling.generate("at noon", image="1a", show_progress=False)
    from_copy = kling.generate("at dawn", image=png("red"), show_progress=False)
    copy = from_copy.code().split()[2]
    assert [made.code().split()[2] for made in (from_file, from_image)] == ["a.png", "1a"]
    Path("a.png").write_bytes(png("blue"))
    base[0].path.unlink()
    session = kling.current_session()
    for made in (from_file, from_image, from_copy):
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


def test_an_address_names_an_image_before_a_file_of_that_name_does(kling: Any) -> None:
    """As source image and in a comparison, in either case; ``./1b`` is the file."""
    base = kling.generate("base", num_outputs=2, show_progress=False)
    one = kling.generate("one", show_progress=False)
    Path("1b").write_bytes(png("red"))
    for named in ("1b", "1B"):
        assert kling.current_session().request("at night", image=named).image.label == "1b"
        assert kling.compare(named, one.job_id).a == base[1]
    assert kling.current_session().request("at night", image="./1b").image.label == "./1b"
    with pytest.raises(InputError, match=r"No job 9 in this folder"):
        kling.current_session().request("at night", image="9a")


@pytest.mark.parametrize("kind", ["number", "job id", "result"])
def test_a_comparison_with_a_job_of_several_images_asks_which(kind: str, kling: Any) -> None:
    """By its number the first was taken silently."""
    base = kling.generate("base", num_outputs=3, show_progress=False)
    what = {"number": "1", "job id": base.job_id, "result": base}[kind]
    with pytest.raises(InputError, match=r"Job 1 has 3 images. Say which: result\[K\], or an address: 1a, 1b"):
        kling.compare(what, "1a")


@pytest.mark.parametrize("what", ["1:x", "", None, ["1a"], ":1"])
def test_what_is_not_an_image_cannot_be_compared(what: Any, kling: Any) -> None:
    kling.generate("base", show_progress=False)
    with pytest.raises(InputError, match=r"is not an image. Give|No job"):
        kling.compare(what, "1a")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", r"^image is empty\. Give a path"),
        (" ", r"^image is empty"),
        ("ftp://x/a.png", r"URL of ftp; only http and https work\. Save the image"),
        ("file:///a.png", r"URL of file; only http"),
    ],
)
def test_a_source_that_cannot_be_one_is_refused_for_its_own_reason(value: str, message: str, kling: Any) -> None:
    """It was called a folder, or a file that is not there."""
    with pytest.raises(InputError, match=message) as caught:
        kling.generate("at night", image=value, show_progress=False)
    assert caught.value.parameter == "image"


def test_a_source_image_of_a_past_job_that_is_gone_says_how_to_get_it_again(
    kling: Any, make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And shows no one where the folder is. The job of another folder cannot be asked for here."""
    base = kling.generate("base", show_progress=False)
    base[0].path.unlink()
    for value in (base[0], base, "1a", "last"):
        with pytest.raises(InputError, match=r"^1a is not here any more; `%kling resume 1` asks for it again\.$"):
            kling.generate("at night", image=value, show_progress=False)
    monkeypatch.setattr(current, "_session", make_session(sandbox, folder=str(tmp_path / "second")))
    with pytest.raises(InputError, match=rf"^{base[0].path.name} is not here any more\. Was it"):
        kling.generate("at night", image=base, show_progress=False)


def test_a_finished_handle_is_a_source_image_and_another_says_what_it_is(
    kling: Any, make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """What ``-o h --no-wait`` leaves in a variable."""
    session = kling.current_session()
    handle = kling.submit("base")
    handle.result(timeout=60)
    assert session.request("at night", image=handle) == session.request("at night", image="1a")
    several = kling.submit("several", num_outputs=2)
    several.result(timeout=60)
    with pytest.raises(InputError, match=r"image holds 2 images\. Say which: 2a, 2b"):
        session.request("at night", image=several)
    faulty = make_session(make_sandbox(faults=[Fault("submit", "failed", at=1, error="no foxes")]))
    slow = make_session(make_sandbox(latency=30.0))
    failed, going = (one.start([one.request("a fox")], source="python").handles[0] for one in (faulty, slow))
    assert failed.exception(timeout=60)
    with pytest.raises(InputError, match=rf"Job {failed.number} has no image: .*no foxes"):
        session.request("at night", image=failed)
    with pytest.raises(InputError, match=rf"Job {going.number} is not completed yet: it is \w+\. Wait for it"):
        session.request("at night", image=going)
