"""Where a setting comes from, what a bad one says, and which service is meant: the table of keys and sandbox."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest

from kling_notebook import settings
from kling_notebook.api.errors import InputError, SettingsError
from kling_notebook.calls import connect
from kling_notebook.jobs.client import KlingClient
from kling_notebook.notebook import kernel_session
from kling_notebook.session import current
from kling_notebook.session import session as session_module
from kling_notebook.session.session import Session
from kling_notebook.settings import (
    BEGUN_WITH,
    DEFAULT_BASE_URL,
    SETTINGS,
    Secret,
    backend_name,
    checked,
    choose_backend,
    folder_of,
    keep_in_keyring,
    resolve,
)

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox

KEY = "pd_live_canary_5e77"


@pytest.fixture(autouse=True)
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """A keyring of the test's own: what is in it, by service and name."""
    kept: dict[tuple[str, str], str] = {}
    module = ModuleType("keyring")
    module.get_password = lambda service, name: kept.get((service, name))  # type: ignore[attr-defined]
    module.set_password = lambda service, name, key: kept.update({(service, name): key})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    return kept


# ---- the table ----


class Row(NamedTuple):
    """Settings given, who is there; the backend that follows, or what the refusal names."""

    given: dict[str, Any]
    person: bool
    backend: str | None
    names: tuple[str, ...] = ()


WAY_OUT = ("PIXELDOJO_API_KEY", "KLING_SANDBOX=1")
ROWS = {
    "asked for, with a key": Row({"sandbox": True, "api_key": KEY}, True, "sandbox"),
    "asked for, without a key": Row({"sandbox": True}, True, "sandbox"),
    "asked for, no one present": Row({"sandbox": True}, False, "sandbox"),
    "asked for, with another base": Row({"sandbox": True, "base_url": "https://example.com"}, False, "sandbox"),
    "a key": Row({"api_key": KEY}, True, "pixeldojo"),
    "a key, no one present": Row({"api_key": KEY}, False, "pixeldojo"),
    "a key, sandbox refused": Row({"api_key": KEY, "sandbox": False}, False, "pixeldojo"),
    "a key and another base": Row({"api_key": KEY, "base_url": "https://Example.com:8443/v1/"}, True,
                                  "example.com:8443"),
    "a base and no key": Row({"base_url": "https://example.com"}, True, None, WAY_OUT),
    "a base and no key, no one present": Row({"base_url": "https://example.com"}, False, None, WAY_OUT),
    "neither, a person present": Row({}, True, "sandbox"),
    "neither, no one present": Row({}, False, None, WAY_OUT),
    "sandbox refused and no key": Row({"sandbox": False}, True, None, WAY_OUT),
    "sandbox refused and no key, no one present": Row({"sandbox": False}, False, None, WAY_OUT),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
@pytest.mark.parametrize("by", ["connect", "environment"])
def test_the_table_of_keys_and_sandbox(row: Row, by: str) -> None:
    """Whoever says it, the same backend follows, or a refusal that names both ways out."""
    words = {SETTINGS[n].variable: {True: "1", False: "0"}.get(v, v) for n, v in row.given.items()}
    found = resolve(row.given, {}, {}) if by == "connect" else resolve({}, {}, words)  # type: ignore[arg-type]
    if row.backend is None:
        with pytest.raises(SettingsError) as caught:
            choose_backend(found, person_present=row.person)
        assert all(name in str(caught.value) for name in row.names)
        return
    backend = choose_backend(found, person_present=row.person)
    assert (backend.name, backend.sandbox) == (row.backend, row.backend == "sandbox")
    assert bool(backend.notice) == backend.sandbox
    assert backend.base_url == ("" if backend.sandbox else found.base_url or DEFAULT_BASE_URL)


def test_only_the_sandbox_without_a_key_says_how_to_get_real_images() -> None:
    """Asked for, it says what it is; come to by itself, also how to leave it."""
    asked = choose_backend(resolve({"sandbox": True}, {}, {}), person_present=True).notice
    came = choose_backend(resolve({}, {}, {}), person_present=True).notice
    assert "nothing is billed" in str(asked)
    assert "nothing is billed" in str(came)
    assert "%kling login" in str(came)
    assert "login" not in str(asked)


def test_the_sandbox_that_is_asked_for_never_sees_the_key(tmp_path: Path, keyring: dict[tuple[str, str], str]) -> None:
    """Its key is its own; the keyring is not even opened."""
    keyring[("pixeldojo", "api_key")] = "from-the-keyring"
    session = Session({"sandbox": True, "api_key": KEY, "folder": str(tmp_path / "k")})
    try:
        client = session.client
        assert client.base_url.startswith("http://127.0.0.1:")
        assert client._key.reveal() == session._sandbox.key not in (KEY, "from-the-keyring")
        assert resolve({"sandbox": True}, {}, {}).api_key is None
    finally:
        session.close()


# ---- precedence ----

VALUES = {"secret": ("k1", "k2", "k3"), "text": ("https://a.example", "https://b.example", "https://c.example"),
          "path": ("p1", "p2", "p3"), "switch": (True, False, True), "number": (7.0, 8.0, 9.0),
          "count": (33, 34, 35)}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_the_nearest_word_counts(name: str) -> None:
    """Set %config before the environment before the default; the origin says which it was."""
    setting = SETTINGS[name]
    given, config, environment = VALUES[setting.kind]
    variables = {setting.variable: str(environment)} if setting.variable else {}
    layers: list[tuple[dict[str, Any], dict[str, Any], dict[str, str], Any, str]] = [
        ({name: given}, {name: config}, variables, given, "set with kling.connect"),
        ({}, {name: config}, variables, config, "%config"),
        ({name: None}, {name: None}, {}, setting.default, "default"),
    ]
    if setting.variable:
        layers.append(({}, {}, variables, environment, setting.variable))
    for one, two, three, value, origin in layers:
        found = resolve(one, two, three)
        assert found.values[name] == value
        assert found.origin[name] == origin


def test_the_keyring_comes_after_the_environment(keyring: dict[tuple[str, str], str]) -> None:
    """The entry is (pixeldojo, api_key); the environment's key wins over it."""
    keep_in_keyring("from-the-keyring")
    assert keyring == {("pixeldojo", "api_key"): "from-the-keyring"}
    found = resolve({}, {}, {})
    assert (found.api_key, found.origin["api_key"]) == ("from-the-keyring", "keyring")
    assert resolve({}, {}, {"PIXELDOJO_API_KEY": KEY}).api_key == KEY
    assert choose_backend(found, person_present=False).name == "pixeldojo"


def test_a_broken_keyring_is_not_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked or missing one must not stop the sandbox; storing says what to do instead, without the key."""

    def locked(*_: str) -> None:
        raise RuntimeError(f"locked, and by the way {KEY}")

    monkeypatch.setattr(sys.modules["keyring"], "get_password", locked)
    monkeypatch.setattr(sys.modules["keyring"], "set_password", locked)
    assert resolve({}, {}, {}).api_key is None
    with pytest.raises(SettingsError, match="PIXELDOJO_API_KEY") as caught:
        keep_in_keyring(KEY)
    assert KEY not in str(caught.value)
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert settings.key_from_keyring() is None
    with pytest.raises(SettingsError, match="pip install"):
        keep_in_keyring(KEY)


# ---- bad values ----


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("sandbox", "maybe", "on or off"),
        ("budget", "ten", "a number"),
        ("budget", -1, "from 0"),
        ("budget", float("nan"), "from 0"),
        ("budget", True, "from 0"),
        ("in_flight", 0, "from 1 to 256"),
        ("in_flight", 2.5, "whole number"),
        ("read_timeout", 0, "from 0.05"),
        ("read_timeout", float("inf"), "from 0.05"),
        ("folder", 7, "a path"),
        pytest.param(
            "folder",
            "half \ud800",
            "surrogate",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="file names may hold that there"),
        ),
        ("model", 7, "a text"),
        ("color", "red", "There is no setting 'color'"),
    ],
)
def test_a_bad_value_names_the_setting_and_where_it_came_from(name: str, value: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        checked(name, value, "KLING_X")
    assert name in str(caught.value)
    assert "KLING_X" in str(caught.value) or name == "color"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bugdet": 2}, r"There is no setting 'bugdet'\. Did you mean budget\?"),
        ({"nosuch": 1}, r"There is no setting 'nosuch'\. There are api_key, "),
        ({"model": ""}, r"model is empty\. Give it a value"),
        ({"folder": " "}, r"folder is empty\. Give it a value"),
        ({"api_key": ""}, r"api_key is empty\. Give it a value"),
    ],
    ids=str,
)
def test_connect_refuses_a_name_that_is_not_a_settings_and_an_empty_value(
    given: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """Accepted in silence, a misspelt budget would be no budget."""
    with pytest.raises(SettingsError, match=says):
        connect(**{"folder": str(tmp_path / "k"), "sandbox": True, **given})
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize(("text", "on"), [("1", True), ("on", True), ("Yes", True), ("0", False), (" off ", False)])
def test_switches_take_the_usual_words(text: str, on: bool) -> None:
    assert checked("reuse", text, "x") is on
    assert checked("reuse", " ", "x") is None


# ---- the key ----

STRAY = ["{}\n", " {} ", "\t{}\r\n", '"{}"', "'{}'", "`{}`", "Bearer {}"]


@pytest.mark.parametrize("pasted", STRAY)
def test_what_comes_along_when_a_key_is_pasted_is_taken_off(pasted: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The cleaned key is what the service gets."""
    given = {"api_key": pasted.format(sandbox.key), "base_url": sandbox.base_url, "folder": str(tmp_path / "k")}
    session = Session(given)
    try:
        assert session.client.probe() == "accepted"
    finally:
        session.close()
    assert all(entry.with_key for entry in sandbox.log)


@pytest.mark.parametrize(
    "wrong", [f"{KEY} {KEY}", f"{KEY}\n{KEY}", f"{KEY}é", f"{KEY}狐", f"{KEY}\x00", f'{KEY}"x', '""']
)
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(wrong: str, tmp_path: Path) -> None:
    """When it is set, not when it is first sent; and the folder is not made for it."""
    with pytest.raises(SettingsError) as caught:
        Session({"api_key": wrong, "folder": str(tmp_path / "k")})
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert KEY not in shown
    assert not (tmp_path / "k").exists()


def test_no_repr_and_no_table_shows_the_key() -> None:
    """%kling config says set or not set, and where it came from."""
    found = resolve({"api_key": KEY}, {}, {})
    assert ("api_key", "set", "set with kling.connect") in found.described()
    assert ("api_key", "not set", "default") in resolve({}, {}, {}).described()
    shown = f"{found!r} {found} {found.values!r} {found.described()} {KlingClient(KEY)!r} {Secret(KEY)!r}"
    assert KEY not in shown
    assert isinstance(resolve({}, {}, {"PIXELDOJO_API_KEY": KEY}).api_key, Secret)


# ---- the rest ----


def test_backends_have_names_that_hold_no_password() -> None:
    assert backend_name(DEFAULT_BASE_URL + "/") == "pixeldojo"
    assert backend_name("https://me:secret@Example.com:8443/v1") == "example.com:8443"
    assert backend_name("http://127.0.0.1:99/api/v1") == "127.0.0.1:99"


def test_the_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Changing the working directory later moves nothing."""
    monkeypatch.chdir(tmp_path)
    assert folder_of(resolve({}, {}, {})) == tmp_path / "kling_images"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_of(resolve({"folder": "~/pics"}, {}, {})) == tmp_path / "pics"


def test_settings_given_to_a_session_win_over_config_that_changes_later(
    make_session: Callable[..., Session], sandbox: Sandbox
) -> None:
    """connect(budget=) stays; what was never given follows %config; the key and backend stay as they were."""
    session = make_session(sandbox, budget=3)
    session.refresh({"budget": 50, "in_flight": 2})
    assert (session.settings.budget, session.settings.in_flight, session.dispatcher.workers.in_flight) == (3, 2, 2)
    session.configure(budget=9)
    assert session.settings.budget == 9
    with pytest.raises(SettingsError):
        session.configure(budget="much")
    assert session.settings.budget == 9
    assert session.settings.api_key == sandbox.key


OTHERS = {
    "sandbox": True,
    "base_url": "https://other.example/api",
    "folder": "elsewhere",
    "model": "kling-image-edit",
    "requests_per_minute": 7,
    "connect_timeout": 5,
    "read_timeout": 5,
    "download_timeout": 5,
}


@pytest.mark.parametrize("name", BEGUN_WITH)
def test_a_setting_that_needs_a_new_session_is_refused_and_never_shown_as_in_force(
    name: str, make_sandbox: Callable[..., Sandbox], folder: Path
) -> None:
    """Set %config or to the session itself, nothing of it is taken over; taken back, the session continues."""
    sandbox = make_sandbox()
    environment = {"PIXELDOJO_API_BASE": sandbox.base_url, "KLING_FOLDER": str(folder)}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        session = Session({"api_key": sandbox.key})
        before = session.settings.described()
        for change in (lambda: session.refresh({name: OTHERS[name], "reuse": True}), _configure(session, name)):
            with pytest.raises(SettingsError, match=rf"^{name} is .* Nothing was sent\. .*kling\.connect\(\.\.\.\)\.$"):
                change()
            assert session.settings.described() == before
        session.refresh({"reuse": True})
        assert session.settings.reuse is True
        session.close()


def _configure(session: Session, name: str) -> Callable[[], None]:
    return lambda: session.configure(**{name: OTHERS[name]})


def test_what_config_held_at_the_beginning_is_kept_when_a_setting_is_reported(sandbox: Sandbox, folder: Path) -> None:
    """``%kling budget 5`` moves neither the folder nor the pace that %config gave the session."""
    where = {"api_key": sandbox.key, "base_url": sandbox.base_url}
    session = Session(where, config={"folder": str(folder), "requests_per_minute": 6000, "in_flight": 3})
    session.configure(budget=5)
    values = session.settings
    assert (values.budget, values.folder, values.requests_per_minute, values.in_flight) == (5, str(folder), 6000, 3)
    session.close()


def test_a_key_that_turns_up_later_is_not_shown_as_in_force(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session began on the sandbox without one, and sends none."""
    session = Session({"folder": str(folder)}, person_present=True)
    monkeypatch.setenv("PIXELDOJO_API_KEY", KEY)
    session.refresh({})
    assert session.settings.described()[0] == ("api_key", "not set", "default")
    assert session.is_sandbox
    session.close()


def test_settings_are_resolved_once_for_each_change_of_what_they_come_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call of the API asks for what is in force: ``%config``, the environment and what was set compare equal."""
    resolved: list[Any] = []
    monkeypatch.setattr(session_module, "resolve", lambda *inputs: resolved.append(inputs) or resolve(*inputs))
    session = Session({"folder": str(folder), "sandbox": True})
    changes: list[tuple[Callable[[], None], float | None]] = [
        (lambda: session.refresh({}), None),
        (lambda: session.refresh({"budget": 5}), 5.0),
        (lambda: monkeypatch.setenv("KLING_BUDGET", "7") or session.refresh({}), 7.0),
        (lambda: monkeypatch.setenv("KLING_REUSE", "1") or session.refresh({}), 7.0),
        (lambda: session.configure(budget=9), 9.0),
    ]
    for number, (change, budget) in enumerate(changes, start=1):
        for _ in range(3):
            change()
        assert (len(resolved), session.settings.budget) == (number, budget)
    session.close()


# ---- what never answers, what leads nowhere, what shows the key ----


def test_a_keyring_that_never_answers_is_given_up_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a password that no one types: the first call continues without it, and no later one asks again."""
    asked, never = [], threading.Event()
    monkeypatch.setattr(sys.modules["keyring"], "get_password", lambda *_: asked.append(1) or never.wait())
    monkeypatch.setattr(settings, "KEYRING_SECONDS", 0.05)
    assert [resolve({}, {}, {}).api_key for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    never.set()


def test_connect_asks_the_keyring_again(
    keyring: dict[tuple[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that was stored in a terminal meanwhile is found."""
    monkeypatch.setattr(current, "_session", None)
    with pytest.raises(SettingsError, match="PIXELDOJO_API_KEY"):
        kernel_session.current_session()
    keyring[("pixeldojo", "api_key")] = KEY
    session = kernel_session.connect(folder=str(tmp_path))
    assert session.settings.origin["api_key"] == "keyring"
    session.close()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://localhost:8000/v1", "http://127.0.0.1:8000/v1/"),
        ("https://pixeldojo.ai/api/v1", "HTTPS://PixelDojo.ai:443/api/v1/"),
        ("https://example.com", "https://EXAMPLE.com.:443/"),
    ],
)
def test_one_service_is_one_backend(one: str, other: str) -> None:
    """Else everything would be paid for again, and the budget begin anew, after another way to write its address."""
    assert backend_name(one) == backend_name(other)
    assert backend_name(one) != backend_name("https://other.example:8443")


@pytest.mark.parametrize("folder", ["~nosuchuser/images", "a\0b", "x" * 5000])
def test_a_folder_that_cannot_be_is_refused_with_the_way_out(folder: str) -> None:
    with pytest.raises(SettingsError, match="KLING_FOLDER"):
        Session({"sandbox": True, "folder": folder})


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that is in use")
def test_a_working_directory_that_was_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SettingsError, match="absolute path"):
        Session({"sandbox": True})
    session = Session({"sandbox": True, "folder": str(tmp_path / "k")})
    with pytest.raises(InputError, match="There is no file"):
        session.request("a fox", image="fox.png")
    session.close()


def test_nothing_of_a_session_shows_the_key_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON, in a DataFrame, formatted: settings, what was given, what a session holds."""
    monkeypatch.setenv("PIXELDOJO_API_KEY", KEY)
    session = Session({"api_key": KEY, "folder": str(tmp_path)})
    for what in (dict(session.settings.values), session.given, vars(session), vars(session)["_inputs"][2]):
        shown = json.dumps(what, default=str) + str(pd.DataFrame([what]).to_dict()) + pd.DataFrame([what]).to_csv()
        assert KEY not in shown + f"{what}" + "%s" % what  # noqa: UP031  # one more way to show it
    assert KEY not in f"{session.settings.api_key}{session.settings.api_key!s:>50}"
    session.close()


def test_a_key_in_a_prompt_is_pointed_out_once(tmp_path: Path) -> None:
    """It is in the notebook, the journal and the image now: the way out is to revoke it."""
    session = Session({"api_key": KEY, "folder": str(tmp_path)})
    session.request("a red fox")
    assert not session.pop_notices()
    for _ in range(2):
        session.request(f"a red fox, {KEY}")
    (notice,) = session.pop_notices()
    assert "revoke" in notice
    assert "%kling login" in notice
    assert KEY not in notice
    session.close()


def test_each_key_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    """It is made from the key itself, not from what a key shows of itself."""
    keys = []
    for key in (KEY, KEY + "2", KEY):
        session = Session({"api_key": key, "folder": str(tmp_path)})
        keys.append(session.workspace.key)
        session.close()
    assert keys[0] == keys[2] != keys[1]
