"""Where the key may go, where images may come from, and what a key and a base URL must look like."""

from __future__ import annotations

import html
import json
import pickle
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_notebook.api import api_key, url_policy
from kling_notebook.api.errors import SettingsError

BASE = "https://pixeldojo.ai/api/v1"
LOCAL = "http://127.0.0.1:8000/api/v1"
KEY = "sk-canary-0123456789"


@pytest.mark.parametrize(
    "pasted",
    [KEY, f" {KEY}\n", f"{KEY}\r\n", f'"{KEY}"', f"'{KEY}'", f"Bearer {KEY}", f"\t' {KEY} ' ", f'"bearer {KEY}"'],
)
def test_what_comes_along_when_a_key_is_pasted_is_cleaned_away(pasted: str) -> None:
    assert api_key.clean_key(pasted).reveal() == KEY


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "  ",
        "''",
        f"{KEY} {KEY}",
        f"{KEY}\n{KEY}",
        f'{KEY}"',
        f"{KEY}'x",
        f"{KEY}é",
        f"{KEY}\u200b",
        f"{KEY}\x00",
        f"{KEY}\x7f",
        f"ключ{KEY}",
        f"“{KEY}”",
        None,
        3,
        b"bytes",
    ],
)
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(bad: object) -> None:
    with pytest.raises(SettingsError) as caught:
        api_key.clean_key(bad)  # type: ignore[arg-type]  # the point
    assert "canary" not in str(caught.value)
    assert api_key.KEYS_PAGE in str(caught.value)
    frames = caught.traceback[1:]  # ours; the first is this test
    assert not any("canary" in repr(value) for frame in frames for value in frame.frame.f_locals.values())


def test_a_key_shows_itself_only_when_asked_for() -> None:
    key = api_key.clean_key(KEY)
    assert "canary" not in repr(key) + str(key) + repr(vars(api_key).get("key"))
    assert key.reveal() == KEY
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (BASE, BASE),
        (f" {BASE}/ \n", BASE),
        ("https://example.org", "https://example.org"),
        ("https://example.org:8443/v1//", "https://example.org:8443/v1"),
        (LOCAL, LOCAL),
        ("http://localhost:1/api", "http://localhost:1/api"),
        ("http://[::1]:8000/api/v1", "http://[::1]:8000/api/v1"),
        ("http://127.9.9.9/api", "http://127.9.9.9/api"),
    ],
)
def test_a_base_url_is_taken_without_its_last_slash(given: str, used: str) -> None:
    assert url_policy.check_base_url(given) == used


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "pixeldojo.ai/api/v1",
        "ftp://pixeldojo.ai",
        "https://",
        "https:///api",
        "http://pixeldojo.ai/api/v1",
        "http://10.0.0.1/api",
        "https://user:secret@pixeldojo.ai/api",
        "https://pixeldojo.ai/api?x=1",
        f"{BASE}#a",
        f"{BASE}?",
        "https://pixeldojo.ai:99999/api",
        "https://pixeldojo.ai:port/api",
        "https://pixel dojo.ai/",
        "https://a\\b/",
        "https://[::1",
        "https://пиксель.рф/api",
        "https://a..example/api",
        "https://.example/api",
        f"https://{'x' * 64}.example/api",
        None,
        3,
    ],
)
def test_a_base_url_that_cannot_work_or_is_readable_on_the_way_is_refused(bad: object) -> None:
    with pytest.raises(SettingsError) as caught:
        url_policy.check_base_url(bad)  # type: ignore[arg-type]  # the point
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("bad", ["", " ", "..", ".", "a b", "a\nb", None, "x" * 201])
def test_a_model_that_is_not_an_id_is_refused(bad: object) -> None:
    with pytest.raises(SettingsError, match="model"):
        url_policy.check_model(bad)  # type: ignore[arg-type]  # the point


PUBLIC = [
    "https://temp.pixeldojo.ai/a.png",
    "https://temp.pixeldojo.ai:8443/a.png?sig=%2Fx&y=z#f",
    "https://93.184.216.34/a.png",
    "https://[2606:4700::1111]/a.png",
    "https://[::ffff:93.184.216.34]/a.png",
    "https://localhost.example.org/a.png",
    "https://cdn.example.org/image/狐.png",
    "HTTPS://CDN.EXAMPLE.ORG/A.PNG",
    "https://10.example.org/a.png",
]
PRIVATE = [
    "http://temp.pixeldojo.ai/a.png",
    "https://localhost/a.png",
    "https://LOCALHOST./a.png",
    "https://a.localhost/a.png",
    "https://127.0.0.1/a.png",
    "https://127.0.0.1./a.png",
    "https://127.1/a.png",
    "https://2130706433/a.png",
    "https://0x7f000001/a.png",
    "https://0x7f.1/a.png",
    "https://017700000001/a.png",
    "https://0/a.png",
    "https://10.0.0.1/a.png",
    "https://172.16.0.1/a.png",
    "https://192.168.1.1/a.png",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/a.png",
    "https://198.18.0.1/a.png",
    "https://224.0.0.1/a.png",
    "https://255.255.255.255/a.png",
    "https://[::1]/a.png",
    "https://[::]/a.png",
    "https://[::ffff:127.0.0.1]/a.png",
    "https://[::ffff:10.0.0.1]/a.png",
    "https://[fe80::1]/a.png",
    "https://[fd00::1]/a.png",
    "https://[64:ff9b::7f00:1]/a.png",
    "https://[2002:7f00:1::]/a.png",
    "https://999.1.1.1/a.png",
]
NEVER = [
    "",
    "file:///etc/passwd",
    "ftp://temp.pixeldojo.ai/a.png",
    "data:image/png;base64,AAAA",
    "//temp.pixeldojo.ai/a.png",
    "https:///a.png",
    "https://user@temp.pixeldojo.ai/a.png",
    "https://good.example\\@127.0.0.1/a.png",
    "https://good.example\\.evil.example/a.png",
    "https://127%2e0.0.1/a.png",
    "https://\uff11\uff12\uff17.0.0.1/a.png",
    "https://ⓛocalhost/a.png",
    "https://a.example/a.png\nHost: b",
    "https://a.example:99999/",
    "https://a.example:0/",
    "https://[::1%25eth0]/a.png",
    "https://[::1",
]


@pytest.mark.parametrize("url", PUBLIC)
def test_an_image_may_come_from_a_public_https_address(url: str) -> None:
    assert url_policy.why_blocked(url, BASE) is None


@pytest.mark.parametrize("url", PRIVATE + NEVER)
def test_an_image_may_not_come_from_inside_or_over_plain_http(url: str) -> None:
    assert url_policy.why_blocked(url, BASE) is not None


@pytest.mark.parametrize("url", PUBLIC + PRIVATE)
def test_a_service_on_this_machine_may_name_any_address(url: str) -> None:
    assert url_policy.why_blocked(url, LOCAL) is None


@pytest.mark.parametrize("url", NEVER)
def test_what_is_not_a_plain_url_is_refused_even_there(url: str) -> None:
    assert url_policy.why_blocked(url, LOCAL) is not None


@pytest.mark.parametrize(
    ("named", "base", "used"),
    [
        (f"{BASE}/jobs/a", BASE, True),
        ("https://PIXELDOJO.ai:443/api/v1/jobs/a", BASE, True),
        ("https://pixeldojo.ai/elsewhere", BASE, True),
        ("http://pixeldojo.ai/api/v1/jobs/a", BASE, False),
        ("https://evil.example/api/v1/jobs/a", BASE, False),
        ("https://pixeldojo.ai.evil.example/a", BASE, False),
        ("https://sub.pixeldojo.ai/a", BASE, False),
        ("https://pixeldojo.ai:8443/a", BASE, False),
        ("https://pixeldojo.ai@evil.example/a", BASE, False),
        ("https://evil.example#@pixeldojo.ai/", BASE, False),
        ("https://pixeldojo.ai\\@evil.example/a", BASE, False),
        ("/api/v1/jobs/a", BASE, False),
        (f"{BASE}/jobs/\ud800", BASE, False),
        ("", BASE, False),
        (None, BASE, False),
        ("http://127.0.0.1:8000/api/v1/jobs/a", LOCAL, True),
        ("http://127.0.0.1:8001/api/v1/jobs/a", LOCAL, False),
        ("https://127.0.0.1:8000/api/v1/jobs/a", LOCAL, False),
    ],
)
def test_the_key_goes_to_the_configured_origin_only(named: str | None, base: str, used: bool) -> None:
    assert url_policy.same_origin_url(named, base) == (named if used else None)


def test_a_job_id_cannot_choose_another_path() -> None:
    assert url_policy.job_url(BASE, "a/../../b?c#d %") == f"{BASE}/jobs/a%2F..%2F..%2Fb%3Fc%23d%20%25"
    assert url_policy.model_url(BASE, "a/b", "run") == f"{BASE}/models/a%2Fb/run"


def test_a_host_for_a_message_is_only_a_host() -> None:
    assert url_policy.host_of("https://temp.example.org/a?sig=secret") == "temp.example.org"
    assert url_policy.host_of("https://user:secret@temp.example.org/") == "?"


# --- the key in what comes back

ODD = "pd/live+<a&b>\\c=%41~"
"""A key of everything that somebody escapes."""


def hexed(key: str) -> str:
    return "".join(f"\\u{ord(c):04X}" for c in key)


@pytest.mark.parametrize("key", [KEY, ODD])
@pytest.mark.parametrize(
    "written",
    [
        str,
        str.upper,
        hexed,
        lambda key: json.dumps(key)[1:-1],
        lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
        lambda key: json.dumps(json.dumps(key))[3:-3].replace("/", "\\\\/"),
        lambda key: json.dumps(hexed(key))[1:-1],
        lambda key: quote(key, safe=""),
        lambda key: quote(quote(key, safe=""), safe=""),
        lambda key: "".join(f"%{ord(c):02x}" for c in key),
        html.escape,
        lambda key: html.escape(html.escape(key)),
        lambda key: json.dumps(html.escape(key))[1:-1].replace("&", "\\u0026"),
        lambda key: "".join(f"&#{ord(c)};" for c in key),
        lambda key: "".join(f"&#x{ord(c):02X};" for c in key),
        lambda key: html.escape(key).replace("/", "&#x2F;").replace("_", "&#0095;"),
        lambda key: f"{key[:9]}\\r\\n  {key[9:]}",
        "\\u200b".join,
        lambda key: "\\u00AD".join([key[:9], f"{key[9:12]}\\uFEFF{key[12:]}"]),
        lambda key: f"{key[:9]}\u200b{key[9:12]}\u00ad{key[12:]}",
        lambda key: f"{key[:9]}<wbr>\n{key[9:]}",
    ],
)
def test_the_key_is_known_however_it_is_escaped(key: str, written: Callable[[str], str]) -> None:
    """And nothing beside it is touched."""
    body = f'{{"jobId": "job_1", "note": "your key {written(key)} is odd"}}'.encode()
    assert api_key.redaction_pattern(key).sub(b"*", body) == b'{"jobId": "job_1", "note": "your key * is odd"}'


@given(st.data())
def test_no_json_text_that_says_the_key_gets_past(data: st.DataObject) -> None:
    """Each character plain or escaped, as it comes: what json reads out of the rest holds no key."""
    forms = [[json.dumps(c)[1:-1], hexed(c), hexed(c).lower()] + ["\\/"] * (c == "/") for c in ODD]
    text = f'"{"".join(data.draw(st.sampled_from(choice)) for choice in forms)}"'
    assert json.loads(text) == ODD
    assert json.loads(api_key.redaction_pattern(ODD).sub(b"*", text.encode())) == "*"


@pytest.mark.parametrize("body", [b"", b"{}", b"sk-canary-012345678", b"sk&canary&0123456789", b"0123456789" * 50])
def test_what_is_not_the_key_stays(body: bytes) -> None:
    assert api_key.redaction_pattern(KEY).sub(b"*", body) == body
