"""Settings: one table, one function that decides precedence, and the rule that picks the backend.

Precedence, highest first: a call's own argument or magic option (handled by the call), what ``connect()`` and
``%kling ...`` set, ``%config KlingMagics.x``, the environment, the keyring (for the key), the default.
"""

import difflib
import functools
import math
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from .api.api_key import KEYS_PAGE, Secret
from .api.errors import SettingsError
from .api.event_log import suppress
from .api.parameters import SWITCH_WORDS
from .api.url_policy import origin as origin_of

DEFAULT_BASE_URL = "https://pixeldojo.ai/api/v1"
KEYRING_SERVICE, KEYRING_NAME = "pixeldojo", "api_key"
KEYRING_SECONDS = 3.0


_Answer = TypeVar("_Answer")


class Setting(NamedTuple):
    """One setting: its kind, default, environment variable, and the help shown by ``%kling config``."""

    kind: Literal["text", "secret", "path", "switch", "number", "count"]
    default: Any
    variable: str | None
    help: str
    minimum: float = 0.0
    maximum: float = math.inf


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "api_key": Setting("secret", None, "PIXELDOJO_API_KEY", "the key of the hosted service"),
        "base_url": Setting("text", None, "PIXELDOJO_API_BASE", f"the service's address; {DEFAULT_BASE_URL} if unset"),
        "sandbox": Setting(
            "switch", None, "KLING_SANDBOX", "on: always the sandbox; off: never; not set: without a key"
        ),
        "folder": Setting("path", "kling_images", "KLING_FOLDER", "where images and the journal are kept"),
        "budget": Setting("number", None, "KLING_BUDGET", "credits this session may spend in all"),
        "reuse": Setting(
            "switch",
            None,
            "KLING_REUSE",
            "show an identical completed request instead of paying again; not set: in sweeps",
        ),
        "credits_without_asking": Setting(
            "number", 25.0, None, "credits one call may spend without max_credits or a budget"
        ),
        "in_flight": Setting("count", 64, None, "jobs worked on at once", 1, 256),
        "thumbnail_size": Setting("count", 256, None, "longer side of a grid's images, in pixels", 32, 1024),
        "recipe": Setting("switch", True, None, "put prompt, parameters and job id into each image's file"),
        "nest": Setting("switch", True, None, "keep the kernel's event loop turning while a cell waits"),
        "job_max_age": Setting(
            "number", 3600.0, None, "seconds of polling after which a job is paused, to be resumed", 1
        ),
        "requests_per_minute": Setting(
            "number", 60.0, None, "the rate to begin with, until replies tell the limit", 1, 6000
        ),
        "connect_timeout": Setting("number", 10.0, None, "seconds to reach the service", 0.05, 600),
        "read_timeout": Setting("number", 30.0, None, "seconds for one reply in all", 0.05, 600),
        "download_timeout": Setting("number", 120.0, None, "seconds for one image in all", 0.05, 3600),
        "model": Setting("text", "kling-image", None, "the service's model id"),
    }
)

# What a session keeps for as long as it lives: its backend, its folder, what its client was made with.
BEGUN_WITH = (
    *("sandbox", "base_url", "folder", "model"),
    *("requests_per_minute", "connect_timeout", "read_timeout", "download_timeout"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force. ``origin`` says where each came from; the key never shows in the repr."""

    values: Mapping[str, Any] = field(repr=False)
    origin: Mapping[str, str] = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        if name in SETTINGS:
            return self.values[name]
        raise AttributeError(name)

    def described(self) -> list[tuple[str, str, str]]:
        """Rows of (name, value, where it came from); the key as set or not set."""
        return [(name, self._shown(name), self.origin[name]) for name in SETTINGS]

    def _shown(self, name: str) -> str:
        value = self.values[name]
        if SETTINGS[name].kind == "secret":
            return "set" if value else "not set"
        return "not set" if value is None else str(value)

    def merge(self, later: "Settings") -> "Settings":
        """What is in force in a session that began with these settings, if ``later`` is set now.

        Raises:
            SettingsError: one of them needs a new session. Continuing would pay although the sandbox was asked for,
                or save into another folder than was set.
        """
        for name in BEGUN_WITH:
            if later.values[name] != self.values[name]:
                switch = "`%kling sandbox on` (or off), or " if name == "sandbox" else ""
                raise SettingsError(
                    f"{name} is {later._shown(name)} now ({later.origin[name]}), and was {self._shown(name)} when this "
                    f"session began. Nothing was sent. Begin a new one with {switch}kling.connect(...)."
                )
        # The key stays as well; one that is found later in the environment is not the one that is sent.
        return Settings(
            MappingProxyType({**later.values, "api_key": self.values["api_key"]}),
            MappingProxyType({**later.origin, "api_key": self.origin["api_key"]}),
        )


SET_HERE = "set with kling.connect"  # the origin of what ``kling.connect`` and ``%kling ...`` set


def checked(name: str, value: Any, origin: str) -> Any:
    """The value of a setting in its proper type, or SettingsError naming the setting and where it came from."""
    if name not in SETTINGS:
        close = difflib.get_close_matches(name, SETTINGS, 1)
        way_out = f"Did you mean {close[0]}?" if close else f"There are {', '.join(SETTINGS)}."
        raise SettingsError(f"There is no setting {name!r}. {way_out}")
    setting = SETTINGS[name]
    wrong = f"{name} ({origin}) cannot be {value!r}." if setting.kind != "secret" else f"{name} ({origin}) is not text."
    if value is None or (isinstance(value, str | Secret) and not str(value).strip()):
        return setting.default
    if setting.kind == "secret" and isinstance(value, str | Secret):
        return Secret(value)
    if setting.kind in ("text", "secret"):
        if not isinstance(value, str):
            raise SettingsError(f"{wrong} Give a text.")
        return value.strip()
    if setting.kind == "path":
        if not isinstance(value, str | os.PathLike):
            raise SettingsError(f"{wrong} Give a path.")
        try:
            if b"\0" in os.fsencode(value):
                raise SettingsError(f"{wrong} It holds a NUL. Give a path: KLING_FOLDER, or kling.connect(folder=...).")
        except UnicodeEncodeError:
            raise SettingsError(f"{wrong} It holds half of a surrogate pair. Give a path.") from None
        return os.fspath(value)
    if setting.kind == "switch":
        known = value if isinstance(value, bool) else SWITCH_WORDS.get(str(value).strip().lower())
        if known is None:
            raise SettingsError(f"{wrong} Give on or off.")
        return known
    return _checked_number(setting, value, wrong)


def _checked_number(setting: Setting, value: Any, wrong: str) -> float | int | None:
    if setting.default is None and str(value).strip().lower() in ("off", "none"):
        return None  # set, so that it stands above the environment's
    whole = setting.kind == "count"
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan  # outside of every range
    inside = setting.minimum <= number <= setting.maximum and number < math.inf
    if isinstance(value, bool) or not inside or (whole and number != int(number)):
        above = f"from {setting.minimum:g}" + f" to {setting.maximum:g}" * (setting.maximum < math.inf)
        raise SettingsError(f"{wrong} Give a {'whole ' * whole}number {above}.")
    return int(number) if whole else number


def resolve(
    given: Mapping[str, Any], config: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """The one place that decides precedence.

    Args:
        given: what ``connect()`` and ``%kling ...`` set, None meaning "not set".
        config: what ``%config KlingMagics`` set. environment: ``os.environ`` unless given.

    Raises:
        SettingsError: an impossible value, or a name that is not a setting's.
    """
    for name, value in given.items():
        # An empty variable of the environment is one that is not set; here it is a mistake.
        if isinstance(value, str | Secret) and not str(value).strip():
            raise SettingsError(f"{name} is empty. Give it a value, or leave it out for the default.")
        checked(name, value, SET_HERE)
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    # The first layer that has a value decides alone: values are never mixed, so one origin can be named for each.
    for name, setting in SETTINGS.items():
        layers = {SET_HERE: given.get(name), "%config": (config or {}).get(name)}
        layers |= {setting.variable: variable(setting.variable, environment)} if setting.variable else {}
        origin[name] = next((where for where, value in layers.items() if value is not None), "default")
        values[name] = checked(name, layers.get(origin[name]), origin[name])
    # Last of all, and not for the sandbox: a keyring may ask the user to unlock it, and needs up to three seconds.
    if not values["api_key"] and values["sandbox"] is not True:
        values["api_key"] = key_from_keyring()
        origin["api_key"] = "keyring" if values["api_key"] else "default"
    return Settings(MappingProxyType(values), MappingProxyType(origin))


_SECRET_VARIABLES = frozenset(setting.variable for setting in SETTINGS.values() if setting.kind == "secret")


def variable(name: str, environment: Mapping[str, str] | None = None) -> str | Secret | None:
    """What a variable of the environment holds, None if it is not set or empty; a key wrapped.

    ``os.environ`` is never a local variable: a traceback that prints those would print all of it, the key included.
    """
    found = (os.environ if environment is None else environment).get(name) or None
    return Secret(found) if found and name in _SECRET_VARIABLES else found


def _on_a_thread(function: Callable[[], _Answer], seconds: float | None = None) -> _Answer:
    """What the function returns. On a thread, so that an interrupt or a time-out leaves its frames, and the key in
    them, where they are not printed."""
    answer: Future[_Answer] = Future()

    def work() -> None:
        try:
            answer.set_result(function())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, name="kling keyring", daemon=True).start()
    return answer.result(seconds)


def _keyring() -> Any:
    import keyring  # optional, and slow to load

    return keyring


@functools.cache
def key_from_keyring() -> Secret | None:
    """The key kept in the system's keyring; None if there is none, or if the keyring fails or does not answer.

    Asked once: a keyring that waits for a password that is not typed must not hold up every call. ``key_from_keyring.
    cache_clear()`` lets it be asked again.
    """
    with suppress(Exception):  # back ends raise what they like; a locked keyring must not stop the sandbox
        key = _on_a_thread(
            lambda: Secret(_keyring().get_password(KEYRING_SERVICE, KEYRING_NAME) or ""), KEYRING_SECONDS
        )
        return key or None
    return None


def keep_in_keyring(key: str | Secret) -> None:
    """Store the key in the system's keyring. SettingsError if there is none."""
    key = Secret(key)
    try:
        _on_a_thread(lambda: _keyring().set_password(KEYRING_SERVICE, KEYRING_NAME, key.reveal()))
        key_from_keyring.cache_clear()
    except ImportError:
        raise SettingsError('No keyring here. Install it with: pip install "kling-notebook[keyring]"') from None
    except Exception as error:  # back ends raise what they like
        raise SettingsError(
            f"The keyring did not take the key ({type(error).__name__}). Use PIXELDOJO_API_KEY."
        ) from None


class Backend(NamedTuple):
    """Which service is meant. ``name`` is the history's ``backend``; ``notice`` is the one visible line, if any."""

    sandbox: bool
    name: str
    base_url: str
    notice: str | None = None


FREE = "Sandbox: images are painted on this machine and nothing is billed."


def choose_backend(settings: Settings, *, person_present: bool) -> Backend:
    """Sandbox or service: the table of keys and sandbox.

    Raises:
        SettingsError: no key where one is needed. The message names the key and ``KLING_SANDBOX=1``.
    """
    if settings.sandbox is True:
        return Backend(True, "sandbox", "", FREE)
    if settings.api_key:
        base = settings.base_url or DEFAULT_BASE_URL
        return Backend(False, backend_name(base), base)
    way_out = f"Set PIXELDOJO_API_KEY (get one at {KEYS_PAGE}) or KLING_SANDBOX=1 for painted images at no cost."
    # A base URL is set on purpose. To paint instead would look as if that service had answered.
    if settings.base_url:
        raise SettingsError(f"A base URL is set ({settings.origin['base_url']}) and no API key. {way_out}")
    if settings.sandbox is False:
        raise SettingsError(
            f"The sandbox is switched off ({settings.origin['sandbox']}) and there is no API key. {way_out}"
        )
    if not person_present:
        raise SettingsError(f"No API key is set, and sandbox images are used only in interactive sessions. {way_out}")
    return Backend(
        True, "sandbox", "", f"{FREE} For real ones set PIXELDOJO_API_KEY outside the notebook, or %kling login."
    )


def backend_name(base_url: str) -> str:
    """``pixeldojo`` for the hosted service, ``host`` or ``host:port`` for another base."""
    if (found := origin_of(base_url)) is None:  # it will be refused; its name must not hold a password
        return urlsplit(base_url).netloc.rpartition("@")[2].lower() or base_url
    scheme, host, port = found
    # By origin and path, so that a proxy under another path of the same host has a history of its own.
    if found == origin_of(DEFAULT_BASE_URL) and base_url.rstrip("/").endswith(urlsplit(DEFAULT_BASE_URL).path):
        return "pixeldojo"
    name = "127.0.0.1" if host == "localhost" else f"[{host}]" if ":" in host else host
    return name if port == {"https": 443, "http": 80}[scheme] else f"{name}:{port}"


def folder_of(settings: Settings) -> Path:
    """The folder as an absolute path, ``~`` filled in.

    Raises:
        SettingsError: there is no such home directory, the working directory is gone, or the path is not one.
    """
    try:
        return Path(settings.folder).expanduser().absolute()
    except (RuntimeError, OSError, ValueError) as error:
        raise SettingsError(
            f"The folder {settings.folder!r} ({settings.origin['folder']}) cannot be used: "
            f"{getattr(error, 'strerror', None) or error}. Give an absolute path: KLING_FOLDER, or "
            "kling.connect(folder=...)."
        ) from None
