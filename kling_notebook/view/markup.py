"""The few ways HTML is made here: elements whose text is escaped at the leaf, checked addresses, a handful of colors.

Saved notebooks are opened by strangers, on pages that strip scripts and style blocks. So `tag` builds elements from a
short list of names and attributes only; there is no way to write a script, a form or an event attribute with it. A
plain ``str`` child is escaped, an `Html` child is kept.

Color: text inherits the page's own color, which is right on every theme. Where a tint is needed it is a JupyterLab
or VS Code variable with a fallback that reads on white. Opaque colors are written ``rgb(r, g, b)``: JupyterLab keeps
those in notebooks it does not trust.
"""

import base64
import re
from html import escape
from typing import Literal
from urllib.parse import quote

FONT = "font-family: var(--jp-content-font-family, var(--vscode-font-family, system-ui, sans-serif))"
MUTED = "color: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, inherit))"
SMALL = f"{MUTED}; font-size: 12px"
LINE = "rgba(128, 128, 128, 0.35)"
FAINT = "rgba(128, 128, 128, 0.1)"
# Middle tones for bars, edges and pills: at least 3 to 1 against white and the dark themes, 4.5 under white text.
BLUE = "rgb(33, 118, 210)"
GREEN = "rgb(30, 130, 68)"
RED = "rgb(214, 58, 48)"
AMBER = "rgb(163, 104, 0)"
GRAY = "rgb(108, 114, 122)"
Tone = Literal["moving", "unsure", "bad", "stopped", "waiting", "good"]
# What kind of news a status is, in the order of interest: what moves or went wrong comes before what waits or is done.
TONES: dict[Tone, str] = {
    "moving": BLUE,
    "unsure": AMBER,
    "bad": RED,
    "stopped": GRAY,
    "waiting": GRAY,
    "good": GREEN,
}

_TAGS = frozenset(
    {"a", "bdi", "br", "caption", "code", "div", "em", "figcaption", "figure", "h1", "img", "mark", "p", "small"}
    | {"span", "strong", "table", "tbody", "td", "th", "thead", "tr"}
)
# Elements without an end tag.
_EMPTY = frozenset({"img", "br"})
_ATTRIBUTES = frozenset(
    {"alt", "aria-hidden", "aria-label", "aria-valuemax", "aria-valuemin", "aria-valuenow", "aria-valuetext", "colspan"}
    | {"dir", "height", "href", "rel", "role", "rowspan", "scope", "src", "style", "target", "title", "width"}
)
_DATA = re.compile(r"data:image/(?:png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HTTPS = re.compile(r"https://[^\s\"'<>\\]+")
# What an HTML document may not hold: control characters, and halves of surrogate pairs (they cannot be saved).
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Html(str):
    """A piece of HTML that `tag` or `join` made."""

    __slots__ = ()


def clean(text: str) -> str:
    """Text with what no document may hold replaced."""
    return _ILLEGAL.sub("\ufffd", text)


def escape_text(text: str) -> Html:
    """Text as HTML: the one place where text becomes markup."""
    return text if isinstance(text, Html) else Html(escape(clean(text), quote=True))


def join(*children: str) -> Html:
    """Children one after the other, plain text escaped."""
    return Html("".join(escape_text(child) for child in children))


def tag(name: str, *children: str, **attributes: str | int | None) -> Html:
    """An element. An underscore in an attribute's name is a hyphen; an attribute that is None is left out.

    ``href`` and ``src`` go through `address`: a refused one is left out, so a link without target is only its text.

    Raises:
        ValueError: an element or attribute that saved notebooks must not hold (a mistake in this package).
    """
    if name not in _TAGS:
        raise ValueError(f"<{name}> has no place in a saved notebook")
    written = ""
    for key, value in attributes.items():
        attribute = key.replace("_", "-")
        if attribute not in _ATTRIBUTES:
            raise ValueError(f"{attribute}= has no place in a saved notebook")
        # Left out instead of refused: a link from a service's reply must not keep the image from being shown.
        allowed = address(str(value)) if attribute in {"href", "src"} and value is not None else value
        if allowed is not None:
            written += f' {attribute}="{escape(clean(str(allowed)), quote=True)}"'
    return Html(f"<{name}{written}>" if name in _EMPTY else f"<{name}{written}>{join(*children)}</{name}>")


def address(value: str) -> str | None:
    """What may stand in ``href`` and ``src``, or None.

    A data URL of an image and an https URL stay; a relative path (a path, not a URL: it is quoted here) is quoted;
    every other scheme, absolute paths and ``//host`` are refused.
    """
    if _DATA.fullmatch(value):
        return value
    if value.startswith("https://"):
        return value if _HTTPS.fullmatch(value) else None
    # A backslash is a slash to browsers, so that "\\host" would be another machine.
    path = clean(value).replace("\\", "/")
    return None if not path or path.startswith("/") or _SCHEME.match(path) else quote(path, safe="/~")


def image_source(jpeg: bytes) -> str:
    """A data URL of JPEG bytes."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def bounded(text: str, limit: int) -> str:
    """One line of at most ``limit`` characters, cut at a word if that costs little, with an ellipsis."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    space = cut.rfind(" ")
    # Not at a word if that costs over a third of the line, as with a very long word or a text without spaces.
    if space > limit * 0.6:
        cut = cut[:space]
    # A joiner or a variation selector without what it joined would change the image before it.
    return cut.rstrip(" ,;:.\u200d\ufe0f") + "\u2026"


def plural(count: int, noun: str) -> str:
    """'1 image', '3 images'."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def seconds_text(seconds: float) -> str:
    """A duration for people: '0.4 s', '12 s', '3 min 20 s', '1 h 5 min'."""
    if seconds < 9.95 and not float(seconds).is_integer():
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    # From an hour on seconds say nothing.
    number, large, small = (whole, "min", "s") if whole < 3600 else (whole // 60, "h", "min")
    return f"{number // 60} {large}" + (f" {number % 60} {small}" if number % 60 else "")


def pill(word: str, color: str) -> Html:
    """A word on a solid ground: the same contrast on every theme."""
    style = (
        f"display: inline-block; padding: 0 7px; border-radius: 9px; background-color: {color}; "
        "color: rgb(255, 255, 255); font-size: 0.86em; line-height: 1.55; white-space: nowrap"
    )
    return tag("span", word, style=style)


def frame(*children: str, width: str = "") -> Html:
    """The outermost box of everything shown."""
    bound = f"; max-width: {width}" if width else ""
    text = "font-size: 13px; line-height: 1.45; text-align: left; overflow-wrap: break-word"
    return tag("div", *children, style=f"{FONT}; {text}{bound}")


def line(text: str, limit: int, style: str = "") -> Html:
    """Text on a line of its own, with the whole of it as a tooltip if it is cut; nothing if it is empty."""
    whole = text if len(text) > limit else None
    return tag("div", bounded(text, limit), dir="auto", style=style or None, title=whole) if text else Html()


def heading(title: str, notice: str = "") -> Html:
    """A title line and a notice under it; nothing if both are empty."""
    return join(
        line(title, 200, "font-weight: 600; font-size: 14px; margin: 2px 0 4px 0"),
        line(notice, 400, f"{SMALL}; margin: 0 0 6px 0"),
    )


def bundle(html: Html, plain: str, jpeg: bytes | None = None) -> dict[str, str]:
    """A mimebundle as Jupyter saves it; the image is base64 text."""
    image = {"image/jpeg": base64.b64encode(jpeg).decode("ascii")} if jpeg else {}
    return {"text/plain": clean(plain), "text/html": str(html), **image}
