"""Folders that a stranger made: each does one thing to lead kling_notebook out of the folder, to stop or to mislead it.

A folder is copied, spoiled in one way, and then everything is done with it that a user can do. Beside it
stands a tree of witnesses: no file of it may be changed, removed, or opened. An audit hook sees each file that is
opened; what SQLite opens by itself is seen by the witnesses' contents.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image

from kling_notebook.api.errors import KlingError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.image_files import metadata
from kling_notebook.sandbox import Sandbox
from kling_notebook.session import image_tables
from kling_notebook.session.session import Session

DEAD = "deaddeaddead"
SECONDS = 150.0  # for everything with one folder; what hangs does so for ever

Way = Callable[[Path, Path], object]


def paint(*_: Any, output_format: str, index: int, **__: Any) -> bytes:
    """An image just large enough to be a source image."""
    file = io.BytesIO()
    Image.new("RGB", (320, 320), (40 * index % 255, 90, 160)).save(file, output_format)
    return file.getvalue()


# ---- witnesses ----


def make_witnesses(outside: Path) -> None:
    """What must stay as it is, and unread: among it names that a folder of this package might hold."""
    (outside / "locks").mkdir(parents=True)
    Image.new("RGB", (640, 480), "#a1b2c3").save(outside / "private.png")
    Image.new("RGB", (64, 48), "#a1b2c3").save(outside / "private.jpg")
    for name in (
        "poetry.lock",
        f"{DEAD}.lock",
        f"locks/{DEAD}.lock",
        f".0001a-a-fox-3f9c1a.{DEAD}.part",
        "private.txt",
        "sandbox.json",
        "quickstart.html",
        "0" * 64,
    ):
        (outside / name).write_text(f"witness {name}")
    with closing(sqlite3.connect(outside / "journal.sqlite3")) as connection:
        connection.execute("CREATE TABLE private (a)")


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file with its time of change and the hash of its bytes, and every folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (path.lstat().st_mtime_ns, hashlib.sha256(data).hexdigest())
    return found


_watched: list[tuple[str, list[str]]] = []
_FILES = (
    "open",
    "os.remove",
    "os.rename",
    "os.listdir",
    "os.scandir",
    "os.chmod",
    "os.link",
    "os.truncate",
    "sqlite3.connect",
)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched or event not in _FILES or not arguments or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    here, _watched[:] = _watched[:], []  # what this does itself is not looked at
    try:
        path = os.fsdecode(arguments[0]).removeprefix("file://").partition("?")[0]
        real = os.path.realpath(path)
        for outside, seen in here:
            if real.startswith(outside + os.sep):
                seen.append(f"{event} {os.path.relpath(real, outside)}")
    except ValueError:  # a NUL
        pass
    finally:
        _watched[:] = here


sys.addaudithook(_hook)


@contextmanager
def watched(outside: Path) -> Iterator[list[str]]:
    """The list of what was done meanwhile with files in ``outside``, on any thread."""
    seen: list[str] = []
    entry = (os.path.realpath(outside), seen)
    _watched.append(entry)
    try:
        yield seen
    finally:
        _watched.remove(entry)


# ---- folders ----


def rows(folder: Path, **changes: Any) -> None:
    """Change every row of the journal. Values are SQLite's, as anybody can write them."""
    with closing(sqlite3.connect(folder / ".kling" / "journal.sqlite3", isolation_level=None)) as connection:
        names = ", ".join(f"{name}=?" for name in changes)
        which = " WHERE n=1" if "n" in changes else ""
        connection.execute(f"UPDATE jobs SET {names}{which}", tuple(changes.values()))  # noqa: S608  # names of this file


def a_row(**changes: Any) -> Way:
    return lambda folder, outside: rows(folder, **{name: _filled(value, outside) for name, value in changes.items()})


def _filled(value: Any, outside: Path) -> Any:
    return value.replace("OUTSIDE", str(outside)) if isinstance(value, str) else value


def request_with(**changes: Any) -> Way:
    """Change the values of every stored request."""

    def way(folder: Path, outside: Path) -> None:
        request = json.loads(json.dumps(GenerationRequest("a fox", num_outputs=2).as_json()))
        filled = json.loads(_filled(json.dumps(changes), outside))
        request["values"].update(filled)
        rows(folder, request=json.dumps(request))

    return way


def linked(name: str, target: str, *, folder_too: bool = False) -> Way:
    """``name`` below the folder becomes a link to a witness."""

    def way(folder: Path, outside: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(outside / target, target_is_directory=folder_too)

    return way


def piped(name: str) -> Way:
    """``name`` becomes a pipe: who opens it to read waits for ever."""

    def way(folder: Path, outside: Path) -> None:
        path = _named(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return way


def _named(folder: Path, name: str) -> Path:
    """``*.png`` is the first image, ``thumbnails/*`` the first thumbnail."""
    return next(iter(sorted(folder.glob(name))), folder / name)


def sql(statement: str, *values: Any) -> Way:
    """Change the journal by a statement of SQL."""

    def way(folder: Path, outside: Path) -> None:
        with closing(sqlite3.connect(folder / ".kling" / "journal.sqlite3", isolation_level=None)) as connection:
            connection.execute(statement, values)

    return way


def measured(name: Any, value: Any) -> Way:
    return sql("INSERT INTO measures (n, place, name, code, value) VALUES (1, 0, ?, 'c', ?)", name, value)


def file_for_folder(name: str) -> Way:
    def way(folder: Path, outside: Path) -> None:
        shutil.rmtree(folder / ".kling" / name, ignore_errors=True)
        (folder / ".kling" / name).write_bytes(b"")

    return way


def renumbered(folder: Path, outside: Path) -> None:
    """No journal, and images of the last job that an address can name."""
    shutil.rmtree(folder / ".kling")
    for path in folder.glob("*.png"):
        path.rename(path.with_name("999999999" + path.name.lstrip("0123456789")))


def image_loops(folder: Path, outside: Path) -> None:
    path = _named(folder, "*.png")
    path.unlink()
    path.symlink_to(path.name)


def sidecar_linked(folder: Path, outside: Path) -> None:
    """No journal, and an image whose metadata is to be in a file beside it."""
    shutil.rmtree(folder / ".kling")
    path = _named(folder, "*.png")
    Image.open(path).save(path.with_suffix(".avif"))
    path.with_suffix(".json").symlink_to(outside / "private.txt")


def image_linked(folder: Path, outside: Path) -> None:
    path = _named(folder, "*.png")
    path.unlink()
    path.symlink_to(outside / "private.png")


def thumbnail_linked(folder: Path, outside: Path) -> None:
    for path in list((folder / ".kling" / "thumbnails").iterdir()):
        path.unlink()
        path.symlink_to(outside / "private.jpg")


def lock_linked(folder: Path, outside: Path) -> None:
    (folder / ".kling" / "locks").mkdir(exist_ok=True)
    (folder / ".kling" / "locks" / f"{DEAD}.lock").symlink_to(outside / "poetry.lock")
    rows(folder, status="running", owner=DEAD)


def super_journal(folder: Path, outside: Path) -> None:
    """A rollback journal that names a file: SQLite removes it when it has rolled back."""
    name = os.fsencode(outside / "private.txt")
    header = (
        bytes.fromhex("d9d505f920a163d7")
        + bytes(4)
        + bytes(4)
        + (1).to_bytes(4)
        + (512).to_bytes(4)
        + (4096).to_bytes(4)
    )
    tail = (0x40000000 // 4096 + 1).to_bytes(4) + name + len(name).to_bytes(4) + (sum(name)).to_bytes(4)
    (folder / ".kling" / "journal.sqlite3-journal").write_bytes(
        header.ljust(512, b"\0") + tail + bytes.fromhex("d9d505f920a163d7")
    )


def recipe_of(**changes: Any) -> Way:
    """No journal, and an image whose metadata leads outside."""

    def way(folder: Path, outside: Path) -> None:
        shutil.rmtree(folder / ".kling")
        path = _named(folder, "*.png")
        recipe = metadata.read(path) | json.loads(_filled(json.dumps(changes), outside))
        plain = folder / "plain.png"
        Image.open(path).save(plain)
        path.write_bytes(metadata.splice(plain.read_bytes(), recipe))
        plain.unlink()

    return way


def sandbox_state(**changes: Any) -> Way:
    def way(folder: Path, outside: Path) -> None:
        job = {
            "id": "job_" + "0" * 24,
            "ordinal": 0,
            "count": 1,
            "cost": 1,
            "created_at": 0.0,
            "seconds": 1.0,
            "seed": 1,
        }
        wanted = {"prompt": "x", "negative_prompt": None, "resolution": "1K", "aspect_ratio": "1:1", "count": 1}
        record = job | {"wanted": wanted | {"output_format": "png", "image": None}, "source": None}
        record |= json.loads(_filled(json.dumps(changes), outside))
        (folder / ".kling" / "sandbox.json").write_text(json.dumps({"version": 1, "credits": 5, "jobs": [record]}))

    return way


def source_named(sha256: str, label: str = "x.png") -> Way:
    """Requests with a source image, whose hash or name is a path."""
    image = {"label": label, "url": None, "sha256": sha256, "media_type": "image/png"}
    return request_with(image=image)


UP = "../" * 12
HUGE = 9e307
WAYS: dict[str, Way] = {
    "owner: a path": a_row(status="running", owner="OUTSIDE/poetry"),
    "owner: up": a_row(status="running", owner="../../../outside/poetry"),
    "owner: a name": a_row(status="running", owner="poetry"),
    "session: a path": a_row(session="OUTSIDE/poetry"),
    "images: up": a_row(images='["../../private.png", "../outside/private.png"]'),
    "images: a path": a_row(images='["OUTSIDE/private.png"]'),
    "images: a backslash": a_row(images='["..\\\\outside\\\\private.png"]'),
    "images: hidden": a_row(images='[".kling/journal.sqlite3", ".kling"]'),
    "images: a NUL": a_row(images='["a\\u0000.png"]'),
    "images: half a pair": a_row(images='["a\\ud800.png"]'),
    "images: no list": a_row(images='{"a": 1}'),
    "images: ten thousand": a_row(images=json.dumps([f"{k}.png" for k in range(10_000)])),
    "created_at: text": a_row(created_at="abc"),
    "created_at: huge": a_row(created_at=HUGE),
    "created_at: negative": a_row(created_at=-1e18),
    "submitted_at: text": a_row(submitted_at="abc"),
    "credits: infinite": a_row(credits=float("inf"), estimate=float("inf")),
    "credits: huge": a_row(credits=1e7),
    "credits: dear": a_row(credits=1e5, key="0" * 16),
    "credits: text": a_row(credits="many"),
    "credits: negative": a_row(credits=-1e9),
    "credits_remaining: text": a_row(credits_remaining="much"),
    "seconds: text": a_row(seconds="long"),
    "seconds: huge": a_row(seconds=HUGE),
    "seconds: infinite": a_row(seconds=float("inf")),
    "number: the last": a_row(n=2**63 - 1),
    "number: negative": a_row(n=-5),
    "number: the last of an address": a_row(n=999_999_999),
    "number: the last of an address, in a file's name": renumbered,
    "number: the next is beyond SQLite's": sql("UPDATE sqlite_sequence SET seq=9223372036854775807"),
    "number: the next is beyond an address": sql("UPDATE sqlite_sequence SET seq=999999999"),
    "status: unknown": a_row(status="gone"),
    "starred: text": a_row(starred='["a"]'),
    "starred: a number": a_row(starred="5"),
    "raw: a list": a_row(raw="[1]"),
    "prompt: bytes": a_row(prompt=b"\xff\xfe\x00"),
    "measures: no JSON": measured("m", "{"),
    "measures: deep": measured("m", "[" * 5000 + "]" * 5000),
    "measures: a name of bytes": measured(b"\xff", "1"),
    "note: bytes": a_row(note=b"\xff\xfe\x00"),
    "request: no JSON": a_row(request="{"),
    "request: deep": a_row(request='{"values": ' + "[" * 5000 + "]" * 5000 + "}"),
    "request: a list": a_row(request="[]"),
    "request: no prompt": a_row(request='{"values": {}}'),
    "request: no images": request_with(num_outputs=0),
    "request: many images": request_with(num_outputs=10**300),
    "request: tiny count": request_with(num_outputs=1e-300),
    "request: no ratio": request_with(aspect_ratio="0:0"),
    "request: odd ratio": request_with(aspect_ratio="wide"),
    "job_id: a path": a_row(status="running", job_id=f"{UP}etc/passwd", completed_at=None),
    "status_url: elsewhere": a_row(status="running", status_url="https://example.com/x", completed_at=None),
    "source: hash is a path": source_named(f"{UP}OUTSIDE/private", "private.png"),
    "source: name is a path": source_named("0" * 64, "OUTSIDE/private.png"),
    "source: name is a copy outside": source_named("0" * 64, "OUTSIDE/.kling/sources/" + "0" * 32 + ".png"),
    "folder: .kling is a link": linked(".kling", ".", folder_too=True),
    "locks is a link": linked(".kling/locks", "locks", folder_too=True),
    "thumbnails is a link": linked(".kling/thumbnails", ".", folder_too=True),
    "sources is a link": linked(".kling/sources", ".", folder_too=True),
    "sandbox_sources is a link": linked(".kling/sandbox_sources", ".", folder_too=True),
    "thumbnails is a file": file_for_folder("thumbnails"),
    "unsaved is a file": file_for_folder("unsaved"),
    "journal is a link": linked(".kling/journal.sqlite3", "journal.sqlite3"),
    "rollback journal is a link": linked(".kling/journal.sqlite3-journal", "private.txt"),
    "planning.lock is a link": linked(".kling/planning.lock", "poetry.lock"),
    "recovery.lock is a link": linked(".kling/recovery.lock", "poetry.lock"),
    "sandbox.json is a link": linked(".kling/sandbox.json", "sandbox.json"),
    "a session's lock is a link": lock_linked,
    "thumbnails are links": thumbnail_linked,
    "an image is a link": image_linked,
    "an image is a link to itself": image_loops,
    "metadata beside an image is a link": sidecar_linked,
    "journal is a pipe": piped(".kling/journal.sqlite3"),
    "planning.lock is a pipe": piped(".kling/planning.lock"),
    "a session's lock is a pipe": piped(f".kling/locks/{DEAD}.lock"),
    "sandbox.json is a pipe": piped(".kling/sandbox.json"),
    "an image is a pipe": piped("*.png"),
    "a thumbnail is a pipe": piped(".kling/thumbnails/*"),
    "the rollback journal removes a file": super_journal,
    "metadata: job id is a path": recipe_of(job_id="OUTSIDE/private"),
    "metadata: image is huge": recipe_of(image=10**30),
    "metadata: credits are huge": recipe_of(credits=1e300),
    "metadata: the year 1": recipe_of(created="0001-01-01T00:00:00Z"),
    "metadata: a source outside": recipe_of(
        parameters={
            "image": {"label": "OUTSIDE/private.png", "url": None, "sha256": "0" * 64, "media_type": "image/png"}
        }
    ),
    "sandbox: a source outside": sandbox_state(source={"kind": "data", "value": "OUTSIDE/" + "0" * 64, "problem": ""}),
    "sandbox: many images": sandbox_state(count=10**9),
    "sandbox: huge numbers": sandbox_state(created_at=HUGE, seconds=HUGE, cost=HUGE, ordinal=10**30),
    "sandbox: wrong types": sandbox_state(id="../x", created_at="now", count="1", wanted={}),
    "temporaries: a stranger's": lambda folder, _: (folder / ".mine.notes.part").write_text("mine"),
}

SHOWN_BY_LINK = {"an image is a link"}  # a single image may be a link: it is read to be shown, and never sent


def begin(place: Path, sandbox: Sandbox) -> Path:
    """A folder of this package with completed jobs, as a stranger may have got it."""
    folder = place / "ours"
    session = Session(_settings(folder, sandbox))
    try:
        for handle in session.start([session.request("a fox", num_outputs=2)], source="python").jobs:
            handle.result(timeout=120)[0].tile()
        session.start([session.request("a hen", image="1a")], source="python").jobs[0].result(timeout=120)
    finally:
        session.close()
    return folder


def _settings(folder: Path, sandbox: Sandbox) -> dict[str, Any]:
    return {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder), "requests_per_minute": 6000}


class Attacked:
    """What one folder did. ``faults``: what went wrong, in a line each."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.charged = 0.0


def attack(ours: Path, place: Path, name: str, sandbox: Sandbox) -> Attacked:
    """Spoil a copy of the folder ``ours`` in one way and use it."""
    outside, folder = place / "outside", place / "hostile" / "images"
    make_witnesses(outside)
    shutil.copytree(ours, folder)
    WAYS[name](folder, outside)
    before, done = contents(outside), Attacked()
    worker = threading.Thread(target=_use, args=(folder, sandbox, done, name), daemon=True)
    with watched(outside) as seen:
        worker.start()
        worker.join(SECONDS)
    if worker.is_alive():
        done.faults.append("it hangs")
    if contents(outside) != before:
        done.faults.append(f"a witness changed: {set(contents(outside).items()) ^ set(before.items())}")
    opened = {what for what in seen if not (name in SHOWN_BY_LINK and what == "open private.png")}
    done.faults += [f"a witness was used: {what}" for what in sorted(opened)]
    if name.startswith("temporaries") and not (folder / ".mine.notes.part").exists():
        done.faults.append("a file of the user was removed")
    sent = (outside / "private.png").read_bytes()
    if any(_holds(entry.body, sent) for entry in sandbox.log):
        done.faults.append("a witness was sent")
    return done


def _holds(body: bytes, data: bytes) -> bool:
    return base64.b64encode(data[:300])[:400] in body


def _use(folder: Path, sandbox: Sandbox, done: Attacked, name: str) -> None:
    """Everything that a user can do with a folder. A KlingError is an answer; any other exception is a fault."""

    def attempt(what: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except KlingError:
            return None
        except BaseException as error:
            done.faults.append(f"{what}: {type(error).__name__}: {error}"[:300])
            return None

    own = {"sandbox": True, "folder": str(folder)}  # the sandbox inside a session reads its state from the folder
    for settings in [_settings(folder, sandbox)] + [own] * name.startswith("sandbox"):
        before = sandbox.charges
        session = attempt("open", lambda settings=settings: Session(settings, person_present=True))
        if session is None:
            continue
        try:
            if session.is_sandbox:
                attempt("sandbox", lambda session=session: session.client.poll("job_" + "0" * 24))
            else:
                _use_session(session, folder, attempt)
        finally:
            attempt("close", session.close)
        done.charged += sandbox.charges - before


def _use_session(session: Session, folder: Path, attempt: Callable[[str, Callable[[], Any]], Any]) -> None:
    """As `_use`, with an open session. Whatever stands in the folder, a new request can be paid for."""
    from kling_notebook.results.result import history_row

    session.pop_notices()
    for everything in (True, False):
        attempt("history", lambda everything=everything: session.history(everything=everything).to_csv())
    attempt("images", lambda: image_tables.images(session, None, everything=True).to_csv())
    attempt("status", lambda: session.status().rows())
    attempt("check", session.check)
    records = attempt("rows", lambda: session.rows(limit=50)) or []
    for record in records:
        attempt("history row", lambda record=record: history_row(record, folder))
    for number in (1, 2, 3):
        result = attempt("result", lambda number=number: session.result(number))
        if result is not None:
            for show in (repr, type(result).bundle, type(result).code, lambda result: [i.image() for i in result]):
                attempt("show", lambda show=show, result=result: show(result))
            attempt("save", lambda result=result: result.save(folder.parent / "saved"))
        attempt(
            "export",
            lambda number=number: image_tables.export(session, session.result(number), folder.parent / f"x{number}"),
        )
        attempt("resume", lambda number=number: [h.exception(60) for h in session.resume(number).jobs])
        attempt("star", lambda number=number: session.star(number, 0))
        for address in (f"{number}a", f"{number}b"):
            attempt("send", lambda address=address: _send(session, address))
    attempt("resume", lambda: [handle.exception(60) for handle in session.resume().jobs])
    attempt("again", lambda: _again(session, records))
    bought = attempt(
        "buy", lambda: [h.result(120) for h in session.start([session.request("an owl")], source="python").jobs]
    )
    if not bought or session.journal.get(bought[0].number) is None:  # or its row cannot be read
        attempt("buy", lambda: _complain(session))


def _send(session: Session, address: str) -> None:
    request = session.request("from it", image=address)
    for handle in session.start([request], source="python", reuse=False).jobs:
        handle.exception(timeout=120)


def _again(session: Session, records: list[Any]) -> None:
    """Ask for the same as each row once more, as the panel does with a row."""
    for record in records:
        with suppress(KlingError):
            for handle in session.start([record.request], source="panel", reuse=False).jobs:
                handle.exception(timeout=120)


def _complain(session: Session) -> None:
    raise AssertionError(f"nothing could be paid for: {session.pop_notices()}")
