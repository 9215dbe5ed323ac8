"""What is shown while one waits, and short messages: slim bars, a status word, an honest estimate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .markup import (
    AMBER,
    BLUE,
    FAINT,
    GRAY,
    GREEN,
    LINE,
    MUTED,
    RED,
    Html,
    bounded,
    bundle,
    frame,
    heading,
    seconds_text,
    tag,
)

State = Literal["queued", "waiting", "running", "saving", "done", "reused", "failed", "stopped", "unknown"]

MOST_ROWS = 8
_LOOK: dict[State, tuple[str, str]] = {
    "saving": ("\u2193", BLUE),
    "running": ("\u25b8", BLUE),
    "unknown": ("?", AMBER),
    "failed": ("\u2715", RED),
    "stopped": ("\u25aa", AMBER),
    "waiting": ("\u25cc", BLUE),
    "queued": ("\u25cb", GRAY),
    "done": ("\u2713", GREEN),
    "reused": ("\u21ba", GREEN),
}
_ORDER = {state: place for place, state in enumerate(_LOOK)}
_OVER = frozenset({"done", "reused", "failed", "stopped", "unknown"})


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """One job while one waits. Times in seconds; ``expected`` is the whole time such jobs took, None if unknown.

    ``fraction`` 0..1 overrides what elapsed and expected say; ``detail`` says what it waits for, or the reason.
    """

    label: str
    state: State
    elapsed: float
    expected: float | None
    detail: str = ""
    fraction: float | None = None


def fraction_of(row: ProgressRow) -> float | None:
    """How full the bar is, or None where nothing honest can be shown.

    Up to nine tenths it is elapsed over expected; then it creeps on and never arrives before the job does.
    """
    if row.state in {"done", "reused"}:
        return 1.0
    if row.fraction is not None and math.isfinite(row.fraction):
        return min(max(row.fraction, 0.0), 1.0)
    if row.state == "queued":
        return 0.0
    if not row.expected or row.expected <= 0 or not math.isfinite(row.expected):
        # What is over has an end: a bar that stays in a saved notebook must not look as if it still moved.
        return 1.0 if row.state in _OVER else None
    share = max(row.elapsed, 0.0) / row.expected
    return share if share <= 0.9 else 0.9 + 0.08 * (1 - math.exp(-(share - 0.9) / 0.5))


def estimate_text(row: ProgressRow) -> str:
    """'about 12 s left', 'longer than usual', or nothing where no past job says anything."""
    if row.state not in {"running", "waiting"} or not row.expected or row.expected <= 0:
        return ""
    left = row.expected - row.elapsed
    if left <= -0.15 * row.expected:
        return "longer than usual"
    if left < 3:
        return "nearly there"
    step = 1 if left < 15 else 5 if left < 90 else 30
    return f"about {seconds_text(math.ceil(left / step) * step)} left"


def status_text(row: ProgressRow) -> str:
    """'running · 8 s · about 12 s left'."""
    parts: list[str] = [row.state]
    if row.elapsed > 0 and row.state not in {"queued", "reused"}:
        parts.append(seconds_text(round(row.elapsed)))
    estimate = estimate_text(row)
    return " \u00b7 ".join([*parts, estimate] if estimate else parts)


def progress_bundle(
    rows: Sequence[ProgressRow], *, title: str = "", notice: str = "", footer: str = ""
) -> dict[str, Any]:
    """Bars for jobs that run, under an overall line where there are several; of more than eight the liveliest eight."""
    many, several = len(rows) > MOST_ROWS, len(rows) > 1
    shown = _liveliest(rows) if many else list(rows)
    rest = Counter(row.state for row in rows) - Counter(row.state for row in shown)
    tail = f"and {rest.total()} more: {_counts(rest)}" if rest else ""
    html = frame(
        heading(title, notice),
        _overall(rows) if several else "",
        *(_row(row) for row in shown),
        _small(tail),
        _small(footer),
        width="720px",
    )
    plain = [bounded(line, 400) for line in (title, notice) if line]
    plain += [_overall_text(rows)] if several else []
    plain += [_row_text(row) for row in shown]
    plain += [line for line in (tail, bounded(footer, 400)) if line]
    return bundle(html, "\n".join(plain))


def _liveliest(rows: Sequence[ProgressRow]) -> list[ProgressRow]:
    """Eight rows: what runs first; two places are kept for what went wrong, whose reason wants to be read."""
    ordered = sorted(rows, key=lambda row: _ORDER[row.state])
    wrong = [row for row in ordered if row.state in {"unknown", "failed", "stopped"}][:2]
    others = [row for row in ordered if row not in wrong][: MOST_ROWS - len(wrong)]
    return sorted(others + wrong, key=lambda row: _ORDER[row.state])


def _row(row: ProgressRow) -> Html:
    symbol, color = _LOOK[row.state]
    name = "flex: 1 1 auto; min-width: 0px"
    apart = "display: flex; flex-wrap: wrap; gap: 2px 12px; justify-content: space-between; align-items: baseline"
    label = status_text(row)
    line = tag(
        "div",
        tag("span", bounded(row.label, 90), dir="auto", style=name),
        tag("span", f"{symbol} {label}", style="flex: 0 0 auto; font-size: 12px"),
        style=apart,
    )
    bar = _bar([(fraction_of(row), color)], row.elapsed, label)
    return tag("div", line, bar, _small(row.detail), style="margin: 5px 0 7px 0")


def _bar(parts: Sequence[tuple[float | None, str]], elapsed: float, label: str) -> Html:
    track = f"display: flex; height: 5px; margin: 3px 0; border-radius: 3px; overflow: hidden; background-color: {LINE}"
    fills = [_fill(share, color, elapsed) for share, color in parts]
    shares = [share for share, _ in parts if share is not None]
    now = round(sum(shares) * 100) if shares else None
    return tag("div", *fills, style=track, role="progressbar", aria_valuenow=now, aria_valuetext=label)


def _fill(share: float | None, color: str, elapsed: float) -> Html:
    if share is None:
        # Nothing is known of the end: stripes that move on with each update, and no length that would lie.
        stripes = f"repeating-linear-gradient(115deg, {color} 0px, {color} 10px, {FAINT} 10px, {FAINT} 22px)"
        shift = round(elapsed * 16) % 24
        return tag("div", style=f"width: 100%; height: 5px; background: {stripes}; background-position: {shift}px 0px")
    return tag("div", style=f"width: {share * 100:.1f}%; height: 5px; background-color: {color}")


def _overall(rows: Sequence[ProgressRow]) -> Html:
    count = len(rows)
    done = sum(row.state in {"done", "reused"} for row in rows) / count
    lost = sum(row.state in {"failed", "stopped", "unknown"} for row in rows) / count
    under = sum((fraction_of(row) or 0.0) for row in rows if row.state not in _OVER) / count
    label = _overall_text(rows)
    bar = _bar([(done, GREEN), (lost, RED), (under, BLUE)], 0.0, label)
    return tag("div", tag("div", label, style="font-weight: 600"), bar, style="margin: 2px 0 8px 0")


def _overall_text(rows: Sequence[ProgressRow]) -> str:
    counts = Counter(row.state for row in rows)
    done = counts.pop("done", 0) + counts["reused"]
    text = f"{done} of {len(rows)} done"
    return f"{text} \u00b7 {_counts(counts)}" if +counts else text


def _counts(counts: Counter[State]) -> str:
    return ", ".join(f"{counts[state]} {state}" for state in sorted(+counts, key=_ORDER.__getitem__))


def _small(text: str) -> Html:
    style = f"{MUTED}; font-size: 12px"
    return tag("div", bounded(text, 400), dir="auto", style=style) if text else Html()


def _row_text(row: ProgressRow) -> str:
    share = fraction_of(row)
    bar = "." * 20 if share is None else ("#" * round(share * 20)).ljust(20, "-")
    line = f"[{bar}] {bounded(row.label, 60)} \u00b7 {status_text(row)}"
    return f"{line} \u00b7 {bounded(row.detail, 240)}" if row.detail else line


def message_bundle(
    text: str, *, kind: Literal["info", "warning", "error"] = "info", lines: Sequence[str] = ()
) -> dict[str, Any]:
    """A short message with a colored edge and a word or symbol that says its kind; more lines under it."""
    symbol, color = {"info": ("", BLUE), "warning": ("Warning: ", AMBER), "error": ("Error: ", RED)}[kind]
    body = [tag("div", tag("strong", symbol) if symbol else "", bounded(text, 1000), dir="auto")]
    body += [tag("div", bounded(line, 600), dir="auto", style="margin-top: 2px") for line in lines]
    style = f"border-left: 3px solid {color}; padding: 3px 0 3px 10px; margin: 3px 0"
    plain = "\n".join([symbol + bounded(text, 1000), *(f"  {bounded(line, 600)}" for line in lines)])
    return bundle(frame(tag("div", *body, style=style)), plain)
