"""What an API key must look like, and how it is kept out of everything that is printed."""

import re
from html import escape
from typing import NoReturn

from .errors import SettingsError

KEYS_PAGE = "https://pixeldojo.ai/api-platform/api-keys"


class Secret:
    """A key that is shown nowhere: not by ``repr`` or ``str``, as JSON, in a DataFrame, a pickle or a traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: "str | Secret") -> None:
        try:
            self._text: str = text.reveal() if isinstance(text, Secret) else text
        finally:
            text = ""  # no frame below an error or an interrupt shows it

    def reveal(self) -> str:
        """The key itself."""
        return self._text

    def is_in(self, text: str) -> bool:
        """Whether the text holds the key. A short one may stand there by chance."""
        return len(self._text) >= 8 and self._text in text

    def __repr__(self) -> str:
        return "<secret>" if self._text.strip() else ""

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return self._text == (other.reveal() if isinstance(other, Secret) else other)

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("An API key is not pickled.")


# What no key holds, and the words for it; the first that fits is reported.
_NEVER_IN_A_KEY = {
    r"\A\Z": "is empty",
    r"\s": "has a space or a line break inside",
    "[\"'`]": "has a quotation mark inside",
    "[^\x00-\x7f]": "has a character that is not plain ASCII",
    "[^!-~]": "has a control character inside",
}


def clean_key(api_key: str | Secret) -> Secret:
    """The key without the spaces, line breaks or quotation marks that come along when it is pasted.

    Raises:
        SettingsError: the key is empty or holds what no key can hold. The message never repeats the key.
    """
    api_key = Secret(api_key).reveal()
    if not isinstance(api_key, str):
        kind, api_key = type(api_key).__name__, ""
        raise SettingsError(f"The API key must be text, not {kind}. Copy it from {KEYS_PAGE}.")
    key, api_key = api_key.strip(), ""  # fewer frames that would show it where local variables are printed
    if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'`":
        key = key[1:-1].strip()
    if key[:7].lower() == "bearer ":
        key = key[7:].strip()
    if wrong := next((words for pattern, words in _NEVER_IN_A_KEY.items() if re.search(pattern, key)), None):
        key = ""
        raise SettingsError(f"The API key {wrong}. Copy it again from {KEYS_PAGE}.")
    return Secret(key)


_WRAPPED = r"(?:\s|\\{1,3}[nrt]|\\{0,3}u(?:200[b-d]|00ad|2060|feff)|\xe2\x80[\x8b-\x8d]|\xc2\xad|<wbr>){0,9}"


def redaction_pattern(key: str) -> re.Pattern[bytes]:
    """The key as a reply may hold it: plain, or any of its characters escaped as JSON, URLs and HTML do.

    What is escaped twice counts too: an error that quotes an error doubles its backslashes, ``%`` and ``&``. So does a
    key that is wrapped: into lines, or by a space of no width.
    """
    return re.compile(_WRAPPED.join(map(_spelling, key)).encode("ascii"), re.IGNORECASE)


def _spelling(character: str) -> str:
    code = ord(character)
    names = f"#0*{code}|#x0*{code:x}" + (f"|{escape(character)[1:-1]}" if character in "&<>" else "")
    in_json = rf"\\{{0,3}}(?:{re.escape(character)}|u00{code:02x})"
    in_url = f"%(?:25)?{code:02x}"
    in_html = rf"(?:&|\\{{1,3}}u0026)(?:amp;)?(?:{names});"
    return f"(?:{in_json}|{in_url}|{in_html})"
