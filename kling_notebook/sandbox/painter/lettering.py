"""Words as lettering: signs, logos, posters, and the card for a prompt of which nothing is known.

Latin, Greek and Cyrillic are set in DejaVu, which comes with Matplotlib; other scripts in a font of the system, if it
has one that holds them. What no font holds is not drawn: the caption shows it.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .canvas import Array, Canvas, mix, step
from .shadows import drop_shadow, lay_sheet
from .vocabulary import rows

if TYPE_CHECKING:
    from .catalog import RGB

_SYSTEM_FONTS = tuple(name.replace("_", " ") for line in rows("font").values() for name in line)
_INKS: tuple[tuple[RGB, RGB, RGB], ...] = (
    ((0.95, 0.92, 0.85), (0.16, 0.20, 0.30), (0.80, 0.34, 0.26)),
    ((0.13, 0.20, 0.26), (0.95, 0.91, 0.82), (0.93, 0.66, 0.30)),
    ((0.90, 0.93, 0.90), (0.13, 0.30, 0.26), (0.86, 0.52, 0.28)),
    ((0.96, 0.90, 0.86), (0.36, 0.14, 0.22), (0.28, 0.46, 0.52)),
)
"""Paper, ink and accent."""


@functools.lru_cache(maxsize=8)
def _dejavu(style: str) -> Path | None:
    spec = importlib.util.find_spec("matplotlib")  # found, not imported
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"DejaVu{style}.ttf"
    return path if path.is_file() else None


@functools.lru_cache(maxsize=64)
def _font_name(text: str, style: str) -> str | None:
    """The font that has all letters of `text`; None if there is none."""
    own = _dejavu(style)
    for name in ((str(own),) if own else ()) + _SYSTEM_FONTS:
        try:
            font = ImageFont.truetype(name, 24)
        except OSError:  # this system does not have it
            continue
        missing = bytes(font.getmask("\U0010fffd"))
        if all(letter.isspace() or bytes(font.getmask(letter)) != missing for letter in set(text)):
            return name
    return None


def text_mask(text: str, width: float, height: float, *, style: str = "Sans-Bold", lines: int = 1) -> Array | None:
    """The text as large as fits into width x height pixels, in up to so many lines: (h, w) in 0..1.

    None if no font has its letters.
    """
    name = _font_name(text, style)
    if name is None or not text.strip():
        return None
    best, size = [text], 0.0
    words = text.split()
    for count in range(1, min(lines, len(words)) + 1):
        rows = _wrapped(words, count)
        probe = ImageFont.truetype(name, 100)
        wide = max(probe.getlength(row) for row in rows)
        fits = min(100 * width / max(wide, 1), height / (1.22 * len(rows)))
        if fits > size * 1.04:
            best, size = rows, fits
    font = ImageFont.truetype(name, max(6, size))
    box = [max(8, round(width)), max(8, round(1.22 * size * len(best)))]
    sheet = Image.new("L", (box[0], box[1]))
    pen = ImageDraw.Draw(sheet)
    for k, row in enumerate(best):
        pen.text((box[0] / 2, (k + 0.5) * 1.22 * size), row, fill=255, font=font, anchor="mm")
    return np.asarray(sheet, np.float32) / 255


def _wrapped(words: list[str], count: int) -> list[str]:
    """The words in so many lines of about one length."""
    total = sum(map(len, words)) + len(words) - 1
    rows: list[str] = []
    row = ""
    for word in words:
        if row and len(rows) < count - 1 and len(row) + 0.5 * len(word) > total / count:
            rows.append(row)
            row = word
        else:
            row = f"{row} {word}".strip()
    return [*rows, row]


def paint_lettering(c: Canvas) -> None:
    """Put the quoted words into the finished scene, the way the prompt shows them."""
    text = "  ".join(c.scene.lettering)
    if not text and c.scene.view != "sign":
        return
    if c.scene.view == "logo":
        _set(c, text, (0.5, 0.89 if c.scene.subjects else 0.5), (0.84, 0.13), min(_inks(c)[:2], key=sum))
    elif c.scene.view == "title":
        _title(c, text)
    else:
        _board(c, text)


def _inks(c: Canvas) -> tuple[RGB, RGB, RGB]:
    paper, ink, accent = _INKS[int(c.rng("inks").integers(len(_INKS)))]
    return paper, ink, (c.scene.tints or (accent,))[0]


def _set(
    c: Canvas, text: str, middle: tuple[float, float], size: tuple[float, float], colour: RGB, *,
    style: str = "Sans-Bold", lines: int = 1,
) -> None:  # fmt: skip
    """Lay the text in one colour. `middle` and `size` are shares of the canvas."""
    mask = text_mask(text, size[0] * c.width, size[1] * c.height, style=style, lines=lines)
    if mask is not None:
        corner = (round(middle[0] * c.width - mask.shape[1] / 2), round(middle[1] * c.height - mask.shape[0] / 2))
        lay_sheet(c, corner, mask, np.asarray(colour, np.float32))


def _board(c: Canvas, text: str) -> None:
    """A painted board on posts; above a scene's subjects, or in the middle if there are none."""
    alone = not c.scene.subjects
    wide, high, middle = (0.74, 0.26, 0.44) if alone else (0.52, 0.13, 0.16)
    w, h = round(wide * c.width), round(high * c.height)
    x0, y0 = (c.width - w) // 2, round(middle * c.height - h / 2)
    indoors = c.scene.studio or c.scene.view == "top" or c.scene.indoors or "studio" in c.scene.places
    if alone and not indoors:
        post = max(3, round(0.030 * c.unit))
        for x in (x0 + w // 6, x0 + w - w // 6 - post):
            c.pixels[y0 : round(0.94 * c.height), x : x + post] = c.light.on((0.36, 0.24, 0.15))
    colour = next(iter(c.scene.tints), (0.50, 0.33, 0.20))
    level = 0.55 + 0.45 * max(c.light.ambient)
    ink: RGB = (0.14, 0.12, 0.12) if sum(colour) > 1.9 else (0.97 * level, 0.93 * level, 0.82 * level)
    board, line = Image.new("L", (w, h)), Image.new("L", (w, h))
    ImageDraw.Draw(board).rounded_rectangle((0, 0, w - 1, h - 1), radius=0.12 * h, fill=255)
    inner = (0.07 * h, 0.07 * h, w - 0.07 * h, 0.93 * h)
    ImageDraw.Draw(line).rounded_rectangle(inner, radius=0.09 * h, outline=255, width=max(1, round(0.022 * h)))
    mask = np.asarray(board, np.float32) / 255
    drop_shadow(c, mask, (x0, y0), 0.35 * c.unit)
    grain = c.fbm(c.rng("board"), 18, 3, size=(h, w), span=(h / c.unit, w / c.unit), wide=9)
    wood = np.asarray(colour, np.float32) * (1 + 0.07 * grain)[..., None]
    lay_sheet(c, (x0, y0), mask, wood * np.float32(level))
    lay_sheet(c, (x0, y0), np.asarray(line, np.float32) / 255, np.array(ink, np.float32))
    size = (wide * 0.86, high * 0.72)
    _set(c, text, (0.5, middle), size, ink, style="Serif-Bold", lines=2 if alone else 1)


def _title(c: Canvas, text: str) -> None:
    """A poster's title on a band of paper at the lower edge."""
    paper, ink, accent = _inks(c)
    top = 0.79 if c.height >= c.width else 0.74
    first = round(top * c.height)
    c.pixels[first:] = np.asarray(paper, np.float32)
    c.pixels[first : first + max(2, c.unit // 90)] = np.asarray(accent, np.float32)
    _set(c, text.upper(), (0.5, (1 + top) / 2 + 0.01), (0.88, (1 - top) * 0.62), ink, lines=2)


def paint_card(c: Canvas) -> None:
    """The prompt's own words on paper, with a rule above and below."""
    paper, ink, accent = _inks(c)
    c.horizon, c.sun = int(0.6 * c.height), (0.3 * c.width, 0.2 * c.height)
    c.pixels[:] = paper
    frame, edge = Image.new("L", (c.width, c.height)), 0.09 * c.unit
    box = (edge, edge, c.width - edge, c.height - edge)
    ImageDraw.Draw(frame).rectangle(box, outline=255, width=max(1, round(0.006 * c.unit)))
    c.lay(slice(None), np.asarray(frame, np.float32) / 255, accent)
    text = " ".join(" ".join(c.scene.lettering).split())
    short = text if len(text) <= 160 else text[:157].rsplit(" ", 1)[0] + " ..."
    short = "".join(letter for letter in short if letter.isprintable()) or "..."
    _set(c, short, (0.5, 0.49), (0.76, 0.56), ink, style="Serif-Bold", lines=7)
    _set(c, "The sandbox reads everyday English nouns.", (0.5, 0.885), (0.62, 0.034), ink, style="Sans")


def paint_badge(c: Canvas) -> None:
    """A logo's ground: a disc with a ring for the subject to stand on."""
    paper, _, accent = _inks(c)
    c.pixels[:] = np.float32(0.975)
    c.horizon, c.sun = int(0.6 * c.height), (0.3 * c.width, 0.2 * c.height)
    middle = 0.42 if c.scene.lettering else 0.5
    rows, columns, dx, dy = c.around((0.5 * c.width, middle * c.height), (0.4 * c.unit, 0.4 * c.unit))
    away, soft = np.hypot(dx, dy) / c.unit, 1.2 / c.unit
    if c.scene.subjects:
        c.lay(rows, step(0.385 + soft, 0.385 - soft, away), mix(accent, paper, 0.15), columns)
        c.lay(rows, step(soft, -soft, np.abs(away - 0.355) - 0.006), paper, columns)
