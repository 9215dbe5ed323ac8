"""``%kling login``: ask for the key, masked; check it without spending; offer to keep it in the system's keyring."""

import getpass
import importlib.util

from ...api.api_key import Secret
from ...api.client import ServiceClient
from ...api.errors import InputError, KlingError, SettingsError, UnauthorizedError
from ...settings import DEFAULT_BASE_URL, keep_in_keyring
from .. import kernel_session
from ..display.wait import person_is_present


def login() -> str:
    """Begin a session with the key a person types; one line on how that went.

    Raises:
        SettingsError: not interactive, or the text cannot be a key. UnauthorizedError: the service refused it.
    """
    if not person_is_present():
        raise SettingsError(
            "A key can be typed in interactive sessions only. Set PIXELDOJO_API_KEY in the environment instead."
        )
    key = Secret(getpass.getpass("PixelDojo API key (not shown): ").strip())
    if not key:
        raise InputError("No key was typed; nothing changed.")
    base_url = kernel_session.settings_in_force().base_url or DEFAULT_BASE_URL
    # Before the session begins: a key that is refused leaves everything as it was.
    verdict = _checked(key, base_url)
    session = kernel_session.reconnect(api_key=key, sandbox=False)
    return f"{verdict} This session now uses {session.backend}.{_offer_keyring(key)}"


def _checked(key: Secret, base_url: str) -> str:
    """Ask the service for a job that does not exist: free, and it tells whether the key is accepted."""
    try:
        answer = ServiceClient(key, base_url=base_url).probe()
    # Not a key, or not an address: nothing was asked.
    except SettingsError:
        raise
    except KlingError as error:
        return f"The key could not be checked: {error}"
    if answer == "refused":
        raise UnauthorizedError("The service does not accept this key; nothing changed. Type it again.", status=401)
    return "The key is accepted." if answer == "accepted" else "The service did not say whether the key is accepted."


def _offer_keyring(key: Secret) -> str:
    # Only looked for: importing keyring is slow, and loads whatever back ends are installed.
    question = "Keep the key in this system's keyring? [y/N] "
    if importlib.util.find_spec("keyring") is None or input(question).strip().lower() not in ("y", "yes"):
        return ""
    try:
        keep_in_keyring(key)
    except SettingsError as error:
        return f" {error}"
    return " The keyring keeps it."
