"""Tables: the history, two images compared, small facts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from .markup import (
    GRAY,
    LINE,
    RED,
    SMALL,
    TONES,
    Html,
    Tone,
    bounded,
    bundle,
    frame,
    heading,
    join,
    line,
    pill,
    plural,
    seconds_text,
    tag,
)
from .pixels import smaller
from .sheet import contact_sheet
from .tiles import Tile, image_html, tile_html, tiles_text

MOST_THUMBNAILS = 4
WORD_LENGTH = 16
_CELL = (
    f"border: none; border-bottom: 1px solid {LINE}; padding: 6px 10px 6px 0; text-align: left; vertical-align: top; "
    "line-height: 1.45"
)
_TABLE = "border-collapse: collapse; margin: 0; font-size: 13px; table-layout: auto"
_EXTRA = "margin-top: 3px"
_ROW = "background: transparent"
_MARK = (
    "background-color: rgb(255, 232, 150); color: rgb(33, 33, 33); padding: 0 3px; border-radius: 3px; "
    "text-decoration: underline; font-weight: 600"
)
EQUAL = "Their requests do not differ."


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One job of the history, ready to be shown.

    ``created`` is text already in the reader's time zone; ``seconds`` and ``credits`` None if not known;
    ``starred`` the addresses of starred images; ``icon`` and ``tone`` how the status is shown.
    """

    number: int
    tiles: tuple[Tile, ...]
    prompt: str
    parameters: str
    status: str
    backend: str
    created: str
    seconds: float | None = None
    credits: float | None = None
    starred: tuple[str, ...] = ()
    note: str = ""
    error: str = ""
    icon: str = ""
    tone: Tone = "good"


def history_bundle(
    rows: Sequence[HistoryRow], *, total: int, footer: str = "", title: str = "", notice: str = ""
) -> dict[str, Any]:
    """A page of the history as a table with thumbnails; ``total`` jobs there are in all."""
    count = f"{len(rows)} of {plural(total, 'job')}" if rows else "No jobs to show."
    foot = f"{count} \u00b7 {bounded(footer, 300)}" if footer else count
    html = frame(
        heading(title, notice), _history(rows), tag("div", foot, dir="auto", style=f"{SMALL}; margin-top: 6px")
    )
    plain = [bounded(text, 400) for text in (title, notice) if text] + [_history_line(row) for row in rows] + [foot]
    return bundle(html, "\n".join(plain))


def history_page(rows: Sequence[HistoryRow], *, title: str = "History", notice: str = "", footer: str = "") -> str:
    """The same as a page that stands alone: one file, images inside, light or dark as the reader's system is."""
    foot = f"{plural(len(rows), 'job')} \u00b7 {bounded(footer, 300)}" if footer else plural(len(rows), "job")
    name = bounded(title, 200)
    # No style block and no script here either: such pages are mailed, and opened from file systems.
    body = join(
        tag("h1", name, dir="auto", style="font-size: 22px; margin: 0 0 4px 0"),
        heading("", notice),
        _history(rows, side=116),
        tag("div", foot, dir="auto", style=f"{SMALL}; margin-top: 10px"),
    )
    page = "color: CanvasText; background-color: Canvas; margin: 0 auto; padding: 24px 20px; max-width: 1100px"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{join(name)}</title>\n</head>\n'
        f'<body style="{page}">\n{frame(body)}\n</body>\n</html>\n'
    )


def _history(rows: Sequence[HistoryRow], side: int = 72) -> Html:
    if not rows:
        return Html()
    head = (tag("th", name, scope="col", style=_CELL) for name in ("Job", "Images", "Prompt", "Status"))
    parts = (tag("thead", tag("tr", *head, style=_ROW)), tag("tbody", *(_history_row(row, side) for row in rows)))
    return tag("div", tag("table", *parts, style=f"{_TABLE}; width: 100%"), style="overflow-x: auto")


def _history_row(row: HistoryRow, side: int) -> Html:
    stars = (tag("div", f"\u2605 {address}", style="white-space: nowrap") for address in row.starred)
    job = join(tag("strong", str(row.number)), *stars)
    strip = f"display: flex; flex-wrap: wrap; gap: 4px; align-items: center; width: {2 * side + 4}px"
    facts = " \u00b7 ".join(fact for fact in (row.parameters, row.backend) if fact)
    note = f"\u270e {row.note}" if row.note else ""
    prompt = (line(row.prompt, 240), line(facts, 200, SMALL), line(note, 200, _EXTRA), line(row.error, 240, _EXTRA))
    times = [line(text, 80, f"{SMALL}; white-space: nowrap") for text in (bounded(row.created, 40), cost_text(row))]
    return tag(
        "tr",
        tag("th", job, scope="row", style=f"{_CELL}; font-weight: 400"),
        tag("td", tag("div", *_thumbnails(row, side), style=strip), style=_CELL),
        tag("td", *prompt, style=f"{_CELL}; width: 100%; min-width: 130px; overflow-wrap: anywhere"),
        tag("td", _status_html(row), *times, style=_CELL),
        style=_ROW,
    )


def _thumbnails(row: HistoryRow, side: int) -> list[Html]:
    """Up to four small images; if there are more, three and how many more."""
    most = MOST_THUMBNAILS if len(row.tiles) <= MOST_THUMBNAILS else MOST_THUMBNAILS - 1
    made = [_thumbnail(tile, side) for tile in row.tiles[:most]]
    more = f"+{len(row.tiles) - most} more"
    return made if len(row.tiles) <= most else [*made, tag("span", more, style=f"{SMALL}; padding: 0 6px")]


def cost_text(row: HistoryRow) -> str:
    """'8.4 s · 4 credits', as far as they are known."""
    seconds = "" if row.seconds is None else seconds_text(row.seconds)
    return " \u00b7 ".join(filter(None, (seconds, "" if row.credits is None else credits_text(row.credits))))


def credits_text(credits: float) -> str:
    """'1 credit', '2.5 credits'."""
    return f"{credits:g} credit" if credits == 1 else f"{credits:g} credits"


def _status_html(row: HistoryRow) -> Html:
    """The status as an icon and a word, on a colored ground unless all is well."""
    words = f"{bounded(row.icon, 4)} {bounded(row.status, 40).replace('_', ' ')}".strip()
    return tag("span", words, style="white-space: nowrap") if row.tone == "good" else pill(words, TONES[row.tone])


def _thumbnail(tile: Tile, side: int) -> Html:
    if not tile.shown:
        return pill(tile.absence, RED if tile.absence == "failed" else GRAY)
    bounds = f"max-width: {side}px; max-height: {side}px; margin: 0; border-radius: 3px"
    return image_html(tile, bounds, jpeg=smaller(tile.jpeg, side))


def _history_line(row: HistoryRow) -> str:
    star = f" \u2605{','.join(row.starred)}" if row.starred else ""
    facts = [row.status.replace("_", " "), row.created, cost_text(row), row.parameters, row.backend]
    shown = " \u00b7 ".join(bounded(fact, 80) for fact in facts if fact)
    more = [f"\n       {bounded(text, 200)}" for text in (row.note, row.error) if text]
    return "".join([f"{row.number:>5}{star}  {bounded(row.prompt, 60)}  ({shown})", *more])


def compare_bundle(
    left: Tile,
    right: Tile,
    differences: Sequence[tuple[str, str, str]],
    *,
    same: Sequence[tuple[str, str]] = (),
    title: str = "",
) -> dict[str, Any]:
    """Two images side by side; under them what differs between their requests, marked, and what is the same."""
    style = (
        "display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 14px; align-items: stretch; "
        "max-width: 1060px"
    )
    sharp, small = ([_of(tile, side) for tile in (left, right)] for side in (768, 512))
    images = tag("div", *(tile_html(tile, side=512) for tile in sharp), style=style)
    shared = ", ".join(f"{bounded(name, 60)} {bounded(value, 80)}" for name, value in same)
    both = tag("div", tag("strong", "Same in both: "), shared, dir="auto", style=f"{SMALL}; margin-top: 6px")
    html = frame(heading(title), images, _differences(differences), both if shared else "")
    differ = [f"  \u2260 {bounded(name, 60)}: {bounded(a, 300)} | {bounded(b, 300)}" for name, a, b in differences]
    plain = [
        tiles_text([left, right], title=title),
        *(differ or [f"  {EQUAL}"]),
        *([f"  Same in both: {shared}"] if shared else []),
    ]
    return bundle(html, "\n".join(plain), contact_sheet(small, 2, title=title))


def _of(tile: Tile, side: int) -> Tile:
    """The tile with its image reduced to ``side`` pixels."""
    return replace(tile, jpeg=smaller(tile.jpeg, side, 80)) if tile.shown else tile


def _differences(differences: Sequence[tuple[str, str, str]]) -> Html:
    if not differences:
        return tag("div", EQUAL, style="margin-top: 8px")
    half = f"{_CELL}; width: 44%; overflow-wrap: anywhere"
    # Word by word: two prompts of 60 words usually differ in one of them, which is what one looks for.
    rows = (
        (_name(f"\u2260 {name}", _CELL), *(tag("td", part, dir="auto", style=half) for part in marked_words(a, b)))
        for name, a, b in differences
    )
    body = tag("tbody", *(tag("tr", *cells, style=_ROW) for cells in rows))
    return tag("table", body, style=f"{_TABLE}; width: 100%; max-width: 1060px; margin: 8px 0 0 0")


def marked_words(left: str, right: str) -> tuple[Html, Html]:
    """Both texts with the words marked that only one of them has; long stretches that are equal are shortened."""
    a, b = left.split(), right.split()
    made: tuple[list[str], list[str]] = ([], [])
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        for place, words in enumerate((a[a0:a1], b[b0:b1])):
            # Of a long stretch that is equal the ends are enough, so that what differs stays on the screen.
            long = kind == "equal" and len(words) > 40
            if text := bounded(" ".join([*words[:15], "\u2026", *words[-15:]] if long else words), 800):
                made[place].append(text if kind == "equal" else tag("mark", text, style=_MARK))
    return _spaced(made[0]), _spaced(made[1])


def _spaced(parts: Sequence[str]) -> Html:
    return join(*(piece for part in parts for piece in (part, " "))) if parts else tag("em", "none")


def _name(text: str, cell: str) -> Html:
    """A row's name, on one line if it is short."""
    whole = "; white-space: nowrap" if len(text) <= 30 else "; overflow-wrap: anywhere"
    return tag("th", bounded(text, 80), scope="row", dir="auto", style=f"{cell}; font-weight: 600{whole}")


def facts_bundle(title: str, rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> dict[str, Any]:
    """A small table: in each row a name and one or more values."""
    cell = f"{_CELL}; padding: 3px 18px 3px 0"

    def wrapping(text: str) -> str:  # a long path may break anywhere, and must not make a short word beside it break
        return f"{cell}; {'overflow-wrap: anywhere' if len(text) > WORD_LENGTH else 'white-space: nowrap'}"

    head = tag("tr", *(tag("th", bounded(text, 80), scope="col", style=wrapping(text)) for text in header), style=_ROW)
    cells = ([tag("td", bounded(text, 600), dir="auto", style=wrapping(text)) for text in row[1:]] for row in rows)
    body = [tag("tr", _name(row[0], cell), *values, style=_ROW) for row, values in zip(rows, cells, strict=True)]
    table = tag("table", tag("thead", head) if header else "", tag("tbody", *body), style=_TABLE)
    return bundle(frame(heading(title), table), facts_text(title, rows, header=header))


def facts_text(title: str, rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    """The same in columns of plain text."""
    lines = [[bounded(text, 200) for text in row] for row in ([header, *rows] if header else rows)]
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    text = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=False)).rstrip() for row in lines]
    return "\n".join([bounded(title, 200), *(f"  {line}" for line in text)] if title else text)
