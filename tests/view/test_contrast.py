"""Text keeps a contrast of 4.5 to 1, and bars 3 to 1, on the themes people use and on a page without any."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import html5lib
import pytest

Color = tuple[float, float, float, float]


@dataclass(frozen=True)
class Theme:
    """A page: its ground, its text, and the variables it sets."""

    ground: str
    text: str
    variables: dict[str, str]


THEMES = {
    "lab light": Theme("#ffffff", "rgba(0, 0, 0, 0.87)", {"--jp-ui-font-color2": "rgba(0, 0, 0, 0.54)"}),
    "lab dark": Theme("#111111", "rgba(255, 255, 255, 1)", {"--jp-ui-font-color2": "rgba(255, 255, 255, 0.7)"}),
    "vs code light": Theme("#ffffff", "#3b3b3b", {"--vscode-descriptionForeground": "#3b3b3b"}),
    "vs code light, older": Theme("#ffffff", "#616161", {"--vscode-descriptionForeground": "#717171"}),
    "vs code dark": Theme("#1f1f1f", "#cccccc", {"--vscode-descriptionForeground": "#9d9d9d"}),
    "bare": Theme("#ffffff", "#000000", {}),
    "bare, dark": Theme("#121212", "#ffffff", {}),
}


def parse(value: str) -> Color:
    value = value.strip()
    if value == "transparent":
        return (0.0, 0.0, 0.0, 0.0)
    if value.startswith("#"):
        return (*(int(value[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0)  # type: ignore[return-value]
    numbers = [float(part) for part in re.findall(r"[\d.]+", value)]
    assert value.startswith("rgb"), value
    red, green, blue = (part / 255 for part in numbers[:3])
    return (red, green, blue, numbers[3] if len(numbers) > 3 else 1.0)


def over(top: Color, ground: Color) -> Color:
    alpha = top[3]
    return (*(t * alpha + g * (1 - alpha) for t, g in zip(top[:3], ground[:3], strict=True)), 1.0)  # type: ignore[return-value]


def contrast(a: Color, b: Color) -> float:
    def luminance(color: Color) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def resolve(value: str, theme: Theme) -> str:
    """``var(--a, var(--b, fallback))`` as the page would."""
    while match := re.fullmatch(r"var\((--[\w-]+),\s*(.*)\)", value.strip()):
        value = theme.variables.get(match[1], match[2])
    return value


def style_of(element: Element) -> dict[str, str]:
    pairs = (part.partition(":") for part in element.attrib.get("style", "").split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def texts(element: Element, theme: Theme, ink: Color, ground: Color) -> Iterator[tuple[str, Color, Color]]:
    """Every text with the color it is drawn in and the ground under it."""
    style = style_of(element)
    assert "opacity" not in style, "text inside would lose contrast unseen"
    color = resolve(style.get("color", "inherit"), theme)
    ink = ink if color in {"inherit", "CanvasText"} else parse(color)
    fill = resolve(style.get("background-color", style.get("background", "transparent")), theme)
    ground = ground if fill == "Canvas" or "gradient" in fill else over(parse(fill), ground)
    if (element.text or "").strip():
        yield element.text or "", over(ink, ground), ground
    for child in element:
        yield from texts(child, theme, ink, ground)
        if (child.tail or "").strip():
            yield child.tail or "", over(ink, ground), ground


@pytest.mark.parametrize("name", THEMES)
def test_every_text_is_readable_on_every_theme(
    name: str, render_everything: Callable[[str], dict[str, dict[str, str]]]
) -> None:
    theme = THEMES[name]
    seen = 0
    for renderer, bundle in render_everything("fox").items():
        root = html5lib.parseFragment(bundle["text/html"], namespaceHTMLElements=False)
        ground = parse(theme.ground)
        for text, ink, under in texts(root, theme, over(parse(theme.text), ground), ground):
            seen += 1
            assert contrast(ink, under) >= 4.5, f"{renderer}: {text[:40]!r} has {contrast(ink, under):.2f}"
    assert seen > 200


@pytest.mark.parametrize("name", THEMES)
def test_bars_and_edges_stand_out_from_the_page(name: str) -> None:
    from kling_notebook.view.markup import AMBER, BLUE, GRAY, GREEN, RED

    for color in (AMBER, BLUE, GREEN, GRAY, RED):
        assert contrast(parse(color), parse(THEMES[name].ground)) >= 3.0, color


def test_opaque_colors_are_written_as_untrusted_notebooks_keep_them(
    render_everything: Callable[[str], dict[str, dict[str, str]]],
) -> None:
    """JupyterLab drops colors in forms its sanitizer does not know, hsl() and color-mix() among them."""
    for renderer, bundle in render_everything("fox").items():
        for value in re.findall(r"(?:background-)?color: ([^;\"]+)", bundle["text/html"]):
            assert re.match(r"rgba?\(|var\(--|inherit|CanvasText|Canvas|light dark", value), f"{renderer}: {value}"
