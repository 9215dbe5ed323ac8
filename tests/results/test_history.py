"""The history: pages and filters at any size, the page that stands alone, and prompts of every kind in every view."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import html5lib
import nbformat
import pytest

from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus
from kling_notebook.journal.job_record import new_record
from kling_notebook.journal.journal import Filter
from kling_notebook.results.result import Comparison, history_row
from kling_notebook.results.sweep_axes import Point
from kling_notebook.results.sweep_result import SweepResult
from kling_notebook.view.table import history_bundle

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

PROMPTS = {
    "long": "a fox in the snow, " * 131 + "at dawn.",
    "one long word": "fox" * 833,
    "html": "<script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'too' </td></table>",
    "right to left": "שועל אדום בשלג, ثعلب أحمر في الثلج \u202e reversed",
    "emoji": "🦊 👩\u200d🎨 🏔\ufe0f 🇯🇵 a fox",
    "lines": "a fox\n\n  in the snow\r\n---ish\n%%kling\n\ttabs",
    "markup": "`a` *fox* $x^2$ {animal} \\alpha [link](javascript:alert(1)) \x07\ud83e",
}


@pytest.fixture
def kling(make_session: Callable[..., Session], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, its session that of the test."""
    import kling_notebook
    from kling_notebook.session import current

    monkeypatch.setattr(current, "_session", make_session(sandbox))
    return kling_notebook


def made(session: Session, prompt: str, **parameters: Any) -> Any:
    handle = session.start([session.request(prompt, **parameters)], source="python").handles[0]
    return handle.result(timeout=60)


# any prompt, every view -----------------------------------------------------------------------------------------------


def every_view(session: Session, result: Any, other: Any) -> dict[str, dict[str, Any]]:
    axes = {"prompt": (result.request.prompt, other.request.prompt)}
    handles = session.start([result.request, other.request], source="python", reuse=True).handles
    points = [Point((prompt,), prompt, {}) for prompt in axes["prompt"]]
    rows = [history_row(record, session.folder) for record in session.rows(limit=5)]
    return {
        "result": result._repr_mimebundle_(),
        "image": result[0]._repr_mimebundle_(),
        "sweep": SweepResult(axes, points, handles)._repr_mimebundle_(),
        "comparison": Comparison(result[0], other[0])._repr_mimebundle_(),
        "history": history_bundle(rows, total=len(rows)),
    }


@pytest.mark.parametrize("kind", [pytest.param("long", marks=pytest.mark.long), *list(PROMPTS)[1:]])
def test_any_prompt_is_made_kept_and_shown_in_every_view(kind: str, kling: Any, tmp_path: Path) -> None:
    """It arrives as it is, stands whole as alternative text, is valid HTML, can be saved, drawn and made again."""
    session, prompt = kling.current_session(), PROMPTS[kind]
    if "\ud83e" in prompt:  # half a character cannot be sent to anybody
        with pytest.raises(kling.InputError):
            session.request(prompt)
        prompt = prompt.replace("\ud83e", "")
    result, other = made(session, prompt, num_outputs=2), made(session, "an owl")
    stripped = prompt.strip()
    assert session.journal.get(1).request.prompt.strip() == stripped
    assert kling.history()["prompt"].iloc[0].strip() == stripped
    assert kling.read_recipe(result[0].path)["prompt"].strip() == stripped
    assert [record.number for record in session.rows(search=stripped[:30])][-1] == 1
    assert len(repr(result)) < 120
    assert "%%kling" in result.code() or "generate(" in result.code()
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    for view, bundle in every_view(session, result, other).items():
        root = parser.parseFragment(bundle["text/html"])
        texts = [image.attrib["alt"] for image in root.iter("img")]
        words = " ".join(re.sub(r"[\x00-\x1f]", " ", stripped).split())[:200]
        assert any(" ".join(re.sub("[\x00-\x1f\ufffd]", " ", text).split()).startswith(words) for text in texts), view
        assert not {"script", "style"} & {element.tag for element in root.iter()}, view
        assert all(len(line) < 900 for line in bundle["text/plain"].splitlines()), view
        nbformat.validate(
            nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data=bundle)])]
            )
        )
        assert len(bundle["text/html"]) < 400_000, view
    result.figure(title=prompt).savefig(tmp_path / "figure.png", dpi=40)
    page = kling.export_history(tmp_path / "page.html").read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(page)


# many rows ------------------------------------------------------------------------------------------------------------


@contextmanager
def statements(session: Session) -> Iterator[list[str]]:
    """The SQL that the session's own connection runs meanwhile."""
    seen: list[str] = []
    connection: sqlite3.Connection = session.journal._connection
    connection.set_trace_callback(seen.append)
    yield seen
    connection.set_trace_callback(None)


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A folder of a hundred thousand jobs, every thousandth of them failed, starred or noted."""
    from kling_notebook.session.session import Session

    folder = tmp_path_factory.mktemp("long")
    session = Session({"sandbox": True, "folder": str(folder)})
    request = GenerationRequest("a red fox")
    row = new_record(
        request, backend="sandbox", source="python", session="ea511e000000", estimate=1.0, now=1_700_000_000.0
    )
    session.journal.add([row.replace(status=JobStatus.COMPLETED, seconds=8.0, images=("gone.png",))])
    names = [c[1] for c in session.journal._connection.execute("PRAGMA table_info(jobs)") if c[1] != "n"]
    columns = ", ".join(names)
    replaced = {
        "created_at": "1700000000.0 + k",
        "prompt": "'a red fox, number ' || k",
        "status": "CASE WHEN k % 1000 = 7 THEN 'failed' ELSE 'completed' END",
        "starred": "CASE WHEN k % 1000 = 8 THEN '[0]' ELSE '[]' END",
        "note": "CASE WHEN k % 1000 = 9 THEN 'for the paper' END",
    }
    values = ", ".join(replaced.get(name, name) for name in names)
    with session.journal._transaction() as connection:
        counting = "WITH RECURSIVE count(k) AS (SELECT 2 UNION ALL SELECT k + 1 FROM count WHERE k < 100000)"
        connection.execute(f"{counting} INSERT INTO jobs ({columns}) SELECT {values} FROM jobs, count WHERE n = 1")  # noqa: S608
    yield session
    session.close()
    session.journal.close()


@pytest.mark.parametrize(
    ("where", "numbers", "total"),
    [
        ({}, [100_000, 99_999, 99_998], 100_000),
        ({"status": "failed"}, [99_007, 98_007, 97_007], 100),
        ({"starred": True}, [99_008, 98_008, 97_008], 100),
        ({"noted": True}, [99_009, 98_009, 97_009], 100),
        ({"search": "PAPER", "since": 1_700_050_000.0}, [99_009, 98_009, 97_009], 50),
        ({"search": "4242 number"}, [94_242, 84_242, 74_242], 20),
        ({"mine": True}, [], 0),
    ],
)
def test_a_page_of_a_hundred_thousand_jobs_takes_few_statements(
    long_history: Session, where: dict[str, Any], numbers: list[int], total: int
) -> None:
    with statements(long_history) as seen:
        rows = long_history.rows(**where, limit=3)
        count = long_history.count(**where)
    assert [record.number for record in rows] == numbers
    assert count == total
    assert len(seen) == (3 if "offset" in where else 2), seen
    assert "LIMIT 3 OFFSET 0" in seen[-2], "no more rows are read than are shown"


def test_pages_hold_each_job_once_if_a_number_is_missing(long_history: Session) -> None:
    ask = long_history.journal._connection.execute
    everything = [n for (n,) in ask("SELECT n FROM jobs ORDER BY n DESC LIMIT 12")]
    with long_history.journal._transaction() as connection:
        kept = connection.execute("SELECT * FROM jobs WHERE n = ?", (everything[4],)).fetchone()
        connection.execute("DELETE FROM jobs WHERE n = ?", (everything[4],))
    pages = [row.number for page in range(3) for row in long_history.rows(limit=3, offset=3 * page)]
    with long_history.journal._transaction() as connection:
        connection.execute(f"INSERT INTO jobs VALUES ({', '.join('?' * len(kept))})", kept)  # noqa: S608
    assert pages == everything[:4] + everything[5:10]


def steps_of(session: Session, **where: Any) -> tuple[list[int], int]:
    """The numbers of the rows, and how many steps SQLite took to find them, in tens."""
    steps: list[None] = []
    connection = session.journal._connection
    connection.set_progress_handler(lambda: steps.append(None), 10)
    rows = session.rows(**where)
    connection.set_progress_handler(None, 0)
    return [record.number for record in rows], len(steps)


def test_a_deep_page_takes_no_more_steps_than_the_first(long_history: Session) -> None:
    steps_of(long_history, limit=20)
    first, of_the_first = steps_of(long_history, limit=20)
    middle, of_the_middle = steps_of(long_history, limit=20, offset=50_000)
    last, of_the_last = steps_of(long_history, limit=20, offset=99_980)
    assert (first, middle, last) == ([*range(100_000, 99_980, -1)], [*range(50_000, 49_980, -1)], [*range(20, 0, -1)])
    assert max(of_the_middle, of_the_last) < 1.2 * of_the_first
    assert steps_of(long_history, limit=20, offset=100_000)[0] == []


def test_a_page_of_a_filtered_history_passes_over_entries_of_an_index(long_history: Session) -> None:
    ask = long_history.journal._connection.execute
    for where in ({"status": "completed"}, {"starred": True}, {"noted": True}):
        clause, values = Filter(**where, limit=20, offset=90).sql()
        plan = [line[-1] for line in ask(f"EXPLAIN QUERY PLAN SELECT * FROM jobs {clause}", values)]  # noqa: S608
        assert any(" INDEX jobs_" in line for line in plan), plan
        assert not any(line == "SCAN jobs" for line in plan), plan


def test_a_page_is_right_where_numbers_are_missing(kling: Any) -> None:
    session = kling.current_session()
    for prompt in ("a fox", "an owl", "a hare", "a wolf"):
        made(session, prompt)
    session.journal._connection.execute("DELETE FROM jobs WHERE n=2")
    pages = [[record.number for record in session.rows(limit=2, offset=offset)] for offset in (0, 2, 4)]
    assert pages == [[4, 3], [1], []]


def test_a_page_is_found_without_sorting_the_folder(long_history: Session) -> None:
    ask = long_history.journal._connection.execute
    for clause in ("", "WHERE session='x' "):
        plan = ask(f"EXPLAIN QUERY PLAN SELECT * FROM jobs {clause}ORDER BY n DESC LIMIT 20").fetchall()  # noqa: S608
        assert not any("TEMP B-TREE" in line[-1] for line in plan), plan


def test_the_whole_history_is_one_frame(long_history: Session) -> None:
    with statements(long_history) as seen:
        frame = long_history.history(everything=True)
    assert len(frame) == 100_000
    assert frame.index[-1] == 100_000
    assert frame["created_at"].is_monotonic_increasing
    assert str(frame["created_at"].dtype) == "datetime64[us]"
    assert not seen, "long reads have a connection of their own"


def test_half_a_surrogate_pair_is_refused_in_a_note_and_in_a_search(kling: Any) -> None:
    """It has no bytes: what is not a character can be neither kept nor found."""
    session = kling.current_session()
    made(session, "a red fox")
    session.note(1, "kept")
    with pytest.raises(kling.InputError, match="surrogate") as caught:
        session.note(1, "half \ud800")
    assert caught.value.parameter == "text"
    assert session.record(1).note == "kept"
    for ask in (session.rows, session.count):
        with pytest.raises(kling.InputError, match="surrogate") as caught:
            ask(search="\ud800")
        assert caught.value.parameter == "search"


# the page that stands alone -------------------------------------------------------------------------------------------


def test_an_exported_history_stands_alone(kling: Any, folder: Path) -> None:
    session = kling.current_session()
    made(session, "a red fox", num_outputs=3)
    gone = made(session, "an owl")
    gone[0].path.unlink()
    session.star(1, 2)
    session.note(1, "for the <paper>")
    path = kling.export_history(folder.parent / "pages" / "history.html")
    page = path.read_text(encoding="utf-8")
    root = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    assert not {"script", "link", "iframe", "object"} & {element.tag for element in root.iter()}
    assert [image.attrib["src"][:23] for image in root.iter("img")] == ["data:image/jpeg;base64,"] * 3
    links = [link.attrib["href"] for link in root.iter("a")]
    assert links == [], "the originals are beside neither this page nor below it"
    for words in ("a red fox", "an owl", "★ 1c", "for the &lt;paper&gt;", "missing", "2 jobs"):
        assert words in page
    assert page.count("2 jobs") == 1
    beside = kling.export_history(folder.parent / "history.html").read_text(encoding="utf-8")
    root = html5lib.parse(beside, namespaceHTMLElements=False)
    links = [link.attrib["href"] for link in root.iter("a")]
    assert len(links) == 3
    assert all((folder.parent / link).read_bytes().startswith(b"\x89PNG") for link in links)
    assert "the newest of 2" in kling.export_history(path, limit=1).read_text(encoding="utf-8")


def test_an_empty_history_is_not_an_error(kling: Any, tmp_path: Path) -> None:
    assert kling.history(everything=True).empty
    assert "0 jobs" in kling.export_history(tmp_path / "empty.html").read_text(encoding="utf-8")
    assert kling.current_session().rows() == []
    assert "No jobs to show." in history_bundle([], total=0)["text/plain"]
