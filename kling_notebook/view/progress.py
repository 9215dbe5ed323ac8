"""What is shown while one waits, and short messages: slim bars, an icon with a word, an honest estimate."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .markup import (
    AMBER,
    BLUE,
    FAINT,
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
    line,
    seconds_text,
    tag,
)

MOST_ROWS = 8
_ORDER = {tone: place for place, tone in enumerate(TONES)}
# Tones without a bar: the icon and the words say what became of the job.
_ENDED = frozenset({"unsure", "bad", "stopped"})


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """One job while one waits. Times in seconds.

    Attributes:
        icon, text, tone: how its status is shown; words with the same text are counted together.
        expected: the whole time such jobs took, None if unknown.
        detail: what it waits for, or the reason. fraction: 0..1, instead of what elapsed and expected say.
    """

    label: str
    icon: str
    text: str
    tone: Tone
    elapsed: float
    expected: float | None
    detail: str = ""
    fraction: float | None = None


def fraction_of(row: ProgressRow) -> float | None:
    """How full the bar is, or None if nothing true can be shown.

    Up to nine tenths it is elapsed over expected; then it creeps on and never arrives before the job does.
    """
    if row.tone == "good":
        return 1.0
    if row.tone != "moving":
        return 0.0
    if row.fraction is not None and math.isfinite(row.fraction):
        return min(max(row.fraction, 0.0), 1.0)
    if not row.expected or not 0 < row.expected < math.inf:
        return None
    # Slower and slower: a bar that stands still looks like a fault, and a full one like the end.
    share = max(row.elapsed, 0.0) / row.expected
    return share if share <= 0.9 else 0.9 + 0.08 * (1 - math.exp(-(share - 0.9) / 0.5))


def estimate_text(row: ProgressRow) -> str:
    """'about 12 s left', then 'usually 20 s'; nothing if no past job says anything, or if it waits for something."""
    expected = row.expected or 0.0
    if row.tone != "moving" or row.fraction is not None or not 0 < expected < math.inf:
        return ""
    left = expected - max(row.elapsed, 0.0)
    return f"about {_rounded(left)} left" if left > 0 else f"usually {_rounded(expected)}"


def _rounded(seconds: float) -> str:
    """A duration as exact as an estimate is, at least one second."""
    step = 1 if seconds < 15 else 5 if seconds < 90 else 30
    return seconds_text(math.ceil(seconds / step) * step)


def status_text(row: ProgressRow) -> str:
    """'running \u00b7 8 s \u00b7 about 12 s left'."""
    elapsed = round(row.elapsed) if row.tone in ("moving", "good") else 0
    return " \u00b7 ".join(
        filter(None, [bounded(row.text, 24), seconds_text(elapsed) if elapsed else "", estimate_text(row)])
    )


def progress_bundle(rows: Sequence[ProgressRow], *, title: str = "", notice: str = "") -> dict[str, Any]:
    """Bars for jobs that run, under an overall line if there are several; the liveliest eight of more than eight."""
    several = len(rows) > 1
    shown = _liveliest(rows) if len(rows) > MOST_ROWS else list(rows)
    rest = [row for row in rows if all(row is not one for one in shown)]
    tail = f"and {len(rest)} more: {_counts(rest)}" if rest else ""
    html = frame(
        heading(title, notice),
        _overall(rows) if several else "",
        *(_row(row) for row in shown),
        line(tail, 400, SMALL),
        width="720px",
    )
    plain = [bounded(title, 400), bounded(notice, 400), overall_text(rows) if several else ""]
    return bundle(html, "\n".join(filter(None, [*plain, *map(_row_text, shown), tail])))


def _liveliest(rows: Sequence[ProgressRow]) -> list[ProgressRow]:
    """Eight rows: what moves first; two places are kept for what went wrong, whose reason should be read."""
    ordered = sorted(rows, key=lambda row: _ORDER[row.tone])
    wrong = [row for row in ordered if row.tone in _ENDED]
    others = [row for row in ordered if row.tone not in _ENDED] + wrong[2:]
    return sorted([*wrong[:2], *others][:MOST_ROWS], key=lambda row: _ORDER[row.tone])


def _row(row: ProgressRow) -> Html:
    apart = "display: flex; flex-wrap: wrap; gap: 2px 12px; justify-content: space-between; align-items: baseline"
    text = status_text(row)
    names = tag(
        "div",
        tag("span", bounded(row.label, 90), dir="auto", style="flex: 1 1 auto; min-width: 0px"),
        tag("span", f"{bounded(row.icon, 4)} {text}", style="flex: 0 0 auto; font-size: 12px"),
        style=apart,
    )
    bar = "" if row.tone in _ENDED else _bar([(fraction_of(row), TONES[row.tone])], row.elapsed, text)
    return tag("div", names, bar, line(row.detail, 400, SMALL), style="margin: 5px 0 7px 0")


def _bar(parts: Sequence[tuple[float | None, str]], elapsed: float, text: str) -> Html:
    track = f"display: flex; height: 5px; margin: 3px 0; border-radius: 3px; overflow: hidden; background-color: {LINE}"
    shares = [share for share, _ in parts if share is not None]
    now = round(sum(shares) * 100) if shares else None
    fills = (_fill(share, color, elapsed) for share, color in parts)
    return tag("div", *fills, style=track, role="progressbar", aria_valuenow=now, aria_valuetext=text)


def _fill(share: float | None, color: str, elapsed: float) -> Html:
    if share is None:
        # Nothing is known of the end: stripes that move on with each update, and no length that would lie.
        stripes = f"repeating-linear-gradient(115deg, {color} 0px, {color} 10px, {FAINT} 10px, {FAINT} 22px)"
        shift = round(elapsed * 16) % 24
        return tag("div", style=f"width: 100%; height: 5px; background: {stripes}; background-position: {shift}px 0px")
    return tag("div", style=f"width: {share * 100:.1f}%; height: 5px; background-color: {color}")


def _overall(rows: Sequence[ProgressRow]) -> Html:
    tones = Counter(row.tone for row in rows)
    under = sum((fraction_of(row) or 0.0) for row in rows if row.tone == "moving") / len(rows)
    parts = [(tones[tone] / len(rows), TONES[tone]) for tone in ("good", "bad", "unsure")]
    text = overall_text(rows)
    words, bar = tag("div", text, style="font-weight: 600"), _bar([*parts, (under, BLUE)], 0.0, text)
    return tag("div", words, bar, style="margin: 2px 0 8px 0")


def overall_text(rows: Sequence[ProgressRow]) -> str:
    good = sum(row.tone == "good" for row in rows)
    counts = _counts([row for row in rows if row.text != "completed"])
    return f"{good} of {len(rows)} completed" + (f" \u00b7 {counts}" if counts else "")


def _counts(rows: Sequence[ProgressRow]) -> str:
    counts = Counter(bounded(row.text, 24) for row in sorted(rows, key=lambda row: _ORDER[row.tone]))
    return ", ".join(f"{count} {text}" for text, count in counts.items())


def _row_text(row: ProgressRow) -> str:
    share = fraction_of(row)
    bar = "." * 20 if share is None else ("#" * round(share * 20)).ljust(20, "-")
    start = bounded(row.icon, 4) if row.tone in _ENDED else f"[{bar}]"
    return " \u00b7 ".join(
        filter(None, (f"{start} {bounded(row.label, 60)}", status_text(row), bounded(row.detail, 240)))
    )


def message_bundle(
    text: str, *, kind: Literal["info", "warning", "error"] = "info", lines: Sequence[str] = ()
) -> dict[str, Any]:
    """A short message with a colored edge and a word or symbol that says its kind; more lines under it."""
    symbol, color = {"info": ("", BLUE), "warning": ("Warning: ", AMBER), "error": ("Error: ", RED)}[kind]
    first = tag("div", tag("strong", symbol) if symbol else "", bounded(text, 1000), dir="auto")
    more = (line(text, 600, "margin-top: 2px") for text in lines)
    style = f"border-left: 3px solid {color}; padding: 3px 0 3px 10px; margin: 3px 0"
    plain = "\n".join([symbol + bounded(text, 1000), *(f"  {bounded(line, 600)}" for line in lines)])
    return bundle(frame(tag("div", first, *more, style=style)), plain)
