"""The leaf is the one place where text becomes markup, and one function decides what may be linked."""

from __future__ import annotations

import pytest

from kling_notebook.view.markup import Html, address, bounded, clean, escape_text, seconds_text, tag


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("kling_images/fox.png", "kling_images/fox.png"),
        ("../images/a fox #1?.png", "../images/a%20fox%20%231%3F.png"),
        ("images\\fox.png", "images/fox.png"),
        ("\u062b\u0639\u0644\u0628/100%.png", "%D8%AB%D8%B9%D9%84%D8%A8/100%25.png"),
        ("https://example.org/a.png?x=1", "https://example.org/a.png?x=1"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("data:image/webp;base64,AA==", "data:image/webp;base64,AA=="),
        ("data:image/svg+xml;base64,AAAA", None),
        ("data:text/html,<script>alert(1)</script>", None),
        ('data:image/png;base64,AAAA" onerror="alert(1)', None),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)", None),
        ("vbscript:x", None),
        ("file:///etc/passwd", None),
        ("http://example.org/a.png", None),
        ("https://example.org/a b.png", None),
        ('https://example.org/"onclick=x', None),
        ("//example.org/a.png", None),
        ("\\\\server\\share\\a.png", None),
        ("/etc/passwd", None),
        ("C:\\images\\fox.png", None),
        ("", None),
    ],
)
def test_only_relative_paths_https_and_data_images_are_addresses(value: str, expected: str | None) -> None:
    assert address(value) == expected


@pytest.mark.parametrize("value", ["java\nscript:alert(1)", "\tjavascript:alert(1)", "\x01javascript:alert(1)"])
def test_a_scheme_hidden_by_control_characters_becomes_a_harmless_path(value: str) -> None:
    assert ":" not in (address(value) or "")


@pytest.mark.parametrize(
    "name", ["script", "style", "form", "button", "input", "iframe", "link", "svg", "object", "meta"]
)
def test_no_element_can_be_made_that_saved_notebooks_must_not_hold(name: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        tag(name)


@pytest.mark.parametrize("name", ["onclick", "onerror", "srcset", "data_commandlinker_command", "id", "formaction"])
def test_no_attribute_can_be_made_that_could_run_or_name_something(name: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        tag("div", **{name: "x"})


def test_text_is_escaped_and_markup_is_kept() -> None:
    made = tag("div", "<b>&\"'", tag("em", "x"), title='"><script>')
    assert made == '<div title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;&quot;&#x27;<em>x</em></div>'


def test_a_refused_address_leaves_the_text_without_a_link() -> None:
    assert tag("a", "x", href="javascript:alert(1)") == "<a>x</a>"


def test_text_that_cannot_be_saved_is_replaced() -> None:
    assert clean("a\x00b\ud800c\x1bd\ne\tf") == "a\ufffdb\ufffdc\ufffdd\ne\tf"
    escape_text("half \udc80 a pair").encode()


def test_markup_is_not_escaped_twice() -> None:
    assert escape_text(escape_text("<")) == "&lt;"
    assert isinstance(escape_text("<"), Html)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 10, "short"),
        ("two\n  lines", 20, "two lines"),
        ("a word too many here", 12, "a word too\u2026"),
        ("oneverylongwordwithoutaspace", 10, "oneverylo\u2026"),
        ("abc\U0001f468\u200d\U0001f469", 6, "abc\U0001f468\u200d\U0001f469"),
        ("abc\U0001f468\u200d\U0001f469x", 6, "abc\U0001f468\u2026"),
    ],
)
def test_text_is_bounded_to_one_line_at_a_word(text: str, limit: int, expected: str) -> None:
    assert bounded(text, limit) == expected
    assert len(bounded(text, limit)) <= limit


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "0 s"), (-1, "0 s"), (0.42, "0.4 s"), (8.4, "8.4 s"), (9.97, "10 s"), (12.3, "12 s"), (60, "1 min"),
     (83, "1 min 23 s"), (3600, "1 h"), (3900, "1 h 5 min")],
)  # fmt: skip
def test_durations_read_like_people_say_them(seconds: float, expected: str) -> None:
    assert seconds_text(seconds) == expected
