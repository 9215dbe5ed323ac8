"""Whatever a prompt or the service says, the saved HTML is valid, runs nothing and fetches nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest

Render = Callable[[str], dict[str, dict[str, str]]]

HOSTILE = {
    "handler": "<img src=x onerror=alert(1)>\"'&",
    "script": "</div></td></table><script>alert(1)</script><style>*{display:none}</style>",
    "attribute": '" onmouseover="alert(1)" style="x" \' onfocus=\'alert(1)',
    "scheme": "javascript:alert(1)",
    "entity": "&lt;script&gt; &#60;script&#62; &amp;amp;",
    "comment": "<!-- --> <![CDATA[ x ]]> <?php ?>",
    "button": "<button data-commandlinker-command='x'>go</button><form action='https://example.org'>",
    "right to left": "\u202eغابة ثلجية مع ثعلب أحمر\u202c \u2066x",  # noqa: RUF001
    "emoji": "\U0001f98a\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2603\ufe0f",
    "lines": "one\ntwo\r\nthree\ttab",
    "control": "nul \x00 escape \x1b[31m half \ud800 end",
    "long": "fox & <owl> " * 208,
    "template": "{x} {{y}} %s $x \\n `z`",
    "empty": "",
}
ELEMENTS = frozenset(
    {"div", "span", "a", "img", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "strong", "em"}
    | {"mark", "h1", "html", "head", "body", "meta", "title"}
)
ATTRIBUTES = frozenset(
    {"style", "alt", "title", "src", "href", "rel", "target", "dir", "width", "colspan", "scope", "role"}
    | {"aria-valuenow", "aria-valuetext", "lang", "charset", "name", "content"}
)
ADDRESS = re.compile(r"https://|data:image/(png|jpeg|webp);base64,|(?![a-zA-Z][a-zA-Z0-9+.-]*:|/)")


def elements(html: str) -> Iterator[Element]:
    """Every element, as a browser would see it; a parse error fails."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root = parser.parse(html) if html.startswith("<!DOCTYPE") else parser.parseFragment(html)
    for element in root.iter():
        if element.tag != "DOCUMENT_FRAGMENT":
            yield element


def bundles(render: Render, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from render(text).items()


@pytest.mark.parametrize("name", HOSTILE)
def test_every_renderer_makes_valid_html_that_runs_nothing(name: str, render_everything: Render) -> None:
    for renderer, bundle in bundles(render_everything, HOSTILE[name]):
        for element in elements(bundle["text/html"]):
            assert isinstance(element.tag, str), f"{renderer}: a comment came through"
            assert element.tag in ELEMENTS, f"{renderer}: <{element.tag}>"
            for key, value in element.attrib.items():
                assert key in ATTRIBUTES, f"{renderer}: {key}="
                if key in {"src", "href"}:
                    assert ADDRESS.match(value), f"{renderer}: {value[:60]}"
                if key == "style":
                    assert not re.search(r"url\(|expression|@|<|(?<![\w-])position:", value), f"{renderer}: {value}"


@pytest.mark.parametrize("name", HOSTILE)
def test_every_bundle_can_be_saved(name: str, render_everything: Render) -> None:
    for renderer, bundle in bundles(render_everything, HOSTILE[name]):
        saved = json.dumps(bundle, ensure_ascii=False).encode()
        assert b"\x00" not in saved, renderer
        if HOSTILE[name]:
            assert bundle["text/plain"].strip(), f"{renderer} says nothing in plain text"


def test_text_arrives_as_text(render_everything: Render) -> None:
    text = HOSTILE["handler"]
    for renderer, bundle in bundles(render_everything, text):
        seen = "".join("".join(element.itertext()) for element in elements(bundle["text/html"]))
        titles = " ".join(" ".join(element.attrib.values()) for element in elements(bundle["text/html"]))
        if renderer not in {"compare, same"}:
            assert text in seen + titles, renderer


def test_the_whole_prompt_is_the_alternative_text(render_everything: Render) -> None:
    prompt = ("a very long prompt with <tags> and \U0001f98a " * 60)[:2500]
    for renderer in ("grid", "grid of one shape", "large", "facets", "compare", "history", "page"):
        images = [e for e in elements(render_everything(prompt)[renderer]["text/html"]) if e.tag == "img"]
        assert images
        assert all(image.attrib["alt"] == prompt for image in images), renderer


def test_long_text_is_bounded_where_it_is_read(render_everything: Render) -> None:
    prompt = "word " * 500
    for renderer, bundle in bundles(render_everything, prompt):
        for element in elements(bundle["text/html"]):
            assert len(element.text or "") <= 1000, f"{renderer}: <{element.tag}>"
        assert all(len(line) <= 1100 for line in bundle["text/plain"].splitlines()), renderer


def test_an_image_links_to_its_original_in_a_new_page(render_everything: Render) -> None:
    (link,) = [e for e in elements(render_everything("images/a fox.png")["large"]["text/html"]) if e.tag == "a"]
    assert link.attrib["href"] == "images/a%20fox.png"
    assert link.attrib["rel"] == "noopener"


def test_a_link_that_is_refused_leaves_the_image_alone(render_everything: Render) -> None:
    found = list(elements(render_everything("javascript:alert(1)")["large"]["text/html"]))
    assert not [e for e in found if e.tag == "a"]
    assert [e for e in found if e.tag == "img"]
