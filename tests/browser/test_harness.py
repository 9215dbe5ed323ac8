"""The harness itself: a trivial notebook runs, stops at an error, and is seen in both themes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.long  # test_quickstart.py does as much in the short form


def test_a_notebook_runs_to_its_end_and_is_saved(open_notebook):
    page = open_notebook(["a = 6", "from IPython.display import HTML\nHTML(f'<b>{a * 7}</b>')"])
    page.run_all()
    assert page.failed_cells() == []
    assert "42" in page.output(1).inner_text()
    assert "<b>42</b>" in page.save().cells[1].outputs[0].data["text/html"]
    assert page.shoot("harness").stat().st_size > 5000


def test_run_all_stops_at_a_failing_cell(open_notebook):
    page = open_notebook(["1 / 0", "print('not reached')"])
    page.run_all()
    assert page.failed_cells() == [0]
    assert page.output(1).inner_text() == ""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_can_be_had(open_notebook, theme):
    page = open_notebook(["1"], theme=theme)
    assert page.page.locator("body").get_attribute("data-jp-theme-light") == ("true" if theme == "light" else "false")


def test_a_server_gets_a_port_that_the_system_gives_no_one(free_port):
    try:
        given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8")
    except OSError:
        pytest.skip("only Linux tells which ports it gives out")
    lowest, highest = map(int, re.findall(r"\d+", given))
    assert not any(lowest <= free_port() <= highest for _ in range(50))
