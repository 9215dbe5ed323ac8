"""The current session of this process: made at its first use, replaced by `connect`."""

import threading
from collections.abc import Mapping
from typing import Any

from ..settings import Settings, resolve
from .session import Session

_lock = threading.RLock()
_session: Session | None = None


def connect(given: Mapping[str, Any], *, config: Mapping[str, Any], person_present: bool) -> Session:
    """Replace the current session by one with these settings.

    Args:
        given: settings as a call or a magic gave them; None counts as not given.
        config: settings from ``%config``. person_present: whether somebody is there to answer.

    Raises:
        SettingsError: naming the setting and the way out.
    """
    global _session  # noqa: PLW0603  # one process, one session
    given = {name: value for name, value in given.items() if value is not None}
    with _lock:
        # The old one is closed only when the new one stands: if its settings cannot work, nothing has changed.
        session = Session(given, config=config, person_present=person_present, before=_session)
        if _session is not None:
            _session.close()
        _session = session
    return session


def current_session(*, config: Mapping[str, Any], person_present: bool) -> Session:
    """The current session; made at its first use, and again after it was closed. Takes in what ``config`` holds now."""
    with _lock:
        if _session is None or not _session.workspace.locks.held:  # closed, and with it its sandbox
            return reconnect({}, config=config, person_present=person_present)
        _session.refresh(config)
        return _session


def reconnect(changes: Mapping[str, Any], *, config: Mapping[str, Any], person_present: bool) -> Session:
    """A session like the current one, with some settings changed."""
    with _lock:
        # From what was given and not from what is in force: an environment that has changed since counts.
        given = _session.given if _session is not None else {}
        return connect({**given, **changes}, config=config, person_present=person_present)


def existing_session() -> Session | None:
    """The current session, or None; makes none."""
    return _session


def settings_in_force(config: Mapping[str, Any]) -> Settings:
    """Every setting with where it comes from, also if no session can be made of them."""
    with _lock:
        if _session is None or not _session.workspace.locks.held:
            return resolve({}, config)
        _session.refresh(config)
        return _session.settings
