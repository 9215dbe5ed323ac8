"""Tables: small facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .markup import LINE, bounded, bundle, frame, heading, tag


def facts_bundle(title: str, rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> dict[str, Any]:
    """A small table: in each row a name and one or more values."""
    cell = (
        f"border: none; border-bottom: 1px solid {LINE}; padding: 3px 16px 3px 0; text-align: left; vertical-align: top"
    )
    body = []
    if header:
        body.append(tag("tr", *(tag("th", text, scope="col", style=cell) for text in header)))
    for row in rows:
        cells = [tag("th", row[0], scope="row", style=f"{cell}; font-weight: 600")]
        cells += [
            tag("td", bounded(text, 600), dir="auto", style=f"{cell}; overflow-wrap: break-word") for text in row[1:]
        ]
        body.append(tag("tr", *cells, style="background: transparent"))
    table = tag("table", tag("tbody", *body), style="border-collapse: collapse; margin: 0; font-size: 13px")
    return bundle(frame(heading(title), table), facts_text(title, rows, header=header))


def facts_text(title: str, rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    """The same in columns of plain text."""
    lines = [[bounded(text, 200) for text in row] for row in ([header, *rows] if header else rows)]
    widths = (
        [max(len(row[place]) if place < len(row) else 0 for row in lines) for place in range(max(map(len, lines)))]
        if lines
        else []
    )
    text = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=False)).rstrip() for row in lines]
    return "\n".join([title, *(f"  {line}" for line in text)] if title else text)
