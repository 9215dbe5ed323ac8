"""The current session as a kernel sees it: with what ``%config`` holds and whether somebody is there to answer.

Looks only at a shell that already runs.
"""

import os
from typing import Any

from ..api.event_log import suppress
from ..session import current
from ..session.session import Session
from ..settings import Settings, key_from_keyring
from .display.wait import person_is_present, running_shell


def configured() -> dict[str, Any]:
    """Settings by name as set with ``%config KlingMagics.name = value``, unchecked; what was not set is left out."""
    manager = getattr(running_shell(), "magics_manager", None)
    magics = getattr(manager, "registry", {}).get("KlingMagics")  # by name: importing the class would import IPython
    return magics.configured() if magics is not None else {}


def connect(**settings: Any) -> Session:
    """See `kling_notebook.connect`."""
    # The keyring may have been unlocked since it was asked.
    key_from_keyring.cache_clear()
    _offer_magics()
    return _with_warning(current.connect(settings, config=configured(), person_present=_is_watched()))


def current_session() -> Session:
    """See `kling_notebook.current_session`."""
    _offer_magics()
    return _with_warning(current.current_session(config=configured(), person_present=_is_watched()))


def reconnect(**changes: Any) -> Session:
    """Begin a session like the current one, with some settings changed: ``sandbox=False``, ``api_key=...``."""
    return _with_warning(current.reconnect(changes, config=configured(), person_present=_is_watched()))


def _offer_magics() -> None:
    """With the first session whoever only imported the package gets the magics too, which messages advise, unless
    there are others of that name."""
    shell = running_shell()
    if shell is not None and current.existing_session() is None:
        with suppress(Exception):  # a shell of another program may lack what they need; the Python API needs none of it
            if not shell.find_line_magic("kling") and not shell.find_cell_magic("kling"):
                shell.extension_manager.load_extension("kling_notebook")


def _is_watched() -> bool:
    """Whether somebody sees the images as they come: a person can answer, or the kernel serves a page of Voila."""
    return person_is_present() or os.environ.get("SERVER_SOFTWARE", "").startswith("voila/")


def _with_warning(session: Session) -> Session:
    """The session, with a notice if a cell of this kernel holds the API key."""
    cells = getattr(running_shell(), "user_ns", {}).get("In", [])
    # Each cell is looked at once, however many calls a notebook makes.
    session.warn_of_key_in(*cells[session.cells_seen :])
    session.cells_seen = len(cells)
    return session


def settings_in_force() -> Settings:
    """Every setting with where it comes from, also if no session can be made of them."""
    return current.settings_in_force(configured())
