"""What a session reports of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kling_notebook.session import status


@pytest.mark.parametrize(
    ("version", "warned"), [("12.3.0", True), ("12.9.1", True), ("13.0.0", False), ("14.1", False)]
)
def test_a_pillow_with_the_overflow_is_pointed_out(version: str, warned: bool) -> None:
    rows = status.pillow_row(version)
    assert [(what, verdict) for what, verdict, _ in rows] == [("Pillow", "warning")] * warned
    assert all("pip install -U" in text for *_, text in rows)


def test_the_check_looks_at_the_installed_pillow(session, monkeypatch) -> None:
    monkeypatch.setattr(status.importlib.metadata, "version", lambda name: "12.3.0" if name == "Pillow" else "0")
    assert [what for what, verdict, _ in session.check() if verdict == "warning"] == ["Pillow"]


def test_a_report_of_the_replies_is_written_into_the_folder(session, tmp_path: Path) -> None:
    session.check()
    (tmp_path / "private.txt").write_text("private")
    (tmp_path / "kling-report.json").symlink_to("private.txt")
    path = status.write_report(tmp_path)
    assert (tmp_path / "private.txt").read_text() == "private"
    assert path == tmp_path.absolute() / "kling-report.json"
    assert {reply["method"] for reply in json.loads(path.read_text(encoding="utf-8"))["replies"]} >= {"GET"}
