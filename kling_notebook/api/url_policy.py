"""What a key and a base URL must look like, and which addresses may be asked. Pure; no look-up of names.

Two rules live here and nowhere else: the key goes to the configured origin (scheme, host and port) only, and images
are fetched from public https addresses only, unless the service itself is on this machine.
"""

import base64
import ipaddress
import re
import socket
import unicodedata
from urllib.parse import SplitResult, quote, unquote, unquote_to_bytes, urljoin, urlsplit

from .errors import SettingsError
from .event_log import suppress

# Only hosts that every URL parser reads alike: no user part, no backslash, no percent sign, no letters that an
# international name would be folded from (a full-width digit becomes a plain one on the way to the socket).
# Labels above 63 characters, and names above 253, the socket layer would refuse to look up, after the request counts as
# begun.
_PLAIN_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?)(:[0-9]{1,5})?")
LONGEST_ID, LONGEST_URL = 500, 4000  # of a job; what is longer is of no service, and would be shown
_NEVER_IN_A_URL = re.compile(r"[\x00-\x1f\x7f]")
_NEVER_IN_AN_ORIGIN = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
_NUMERIC_HOST = re.compile(r"(0[xX][0-9A-Fa-f]*|[0-9]+)(\.(0[xX][0-9A-Fa-f]*|[0-9]+)){0,3}")


def check_model(model: str) -> str:
    """The model's id, which becomes a step of a path.

    Raises:
        SettingsError: empty, or nothing that could be an id.
    """
    text = model.strip() if isinstance(model, str) else ""
    if not text or not text.isprintable() or " " in text or text in (".", "..") or len(text) > 200:
        raise SettingsError(f"The model must be an id like kling-image, not {model!r:.100}.")
    return text


def check_base_url(base_url: str) -> str:
    """The base URL without a slash at its end.

    Raises:
        SettingsError: malformed, with a user name, a query or a fragment, or not https although it leaves this machine.
    """
    if not isinstance(base_url, str):
        raise SettingsError(f"The base URL must be text, not {type(base_url).__name__}.")
    text = base_url.strip()
    wish = "Give one like https://pixeldojo.ai/api/v1."
    parts = None if _NEVER_IN_AN_ORIGIN.search(text) else _split(text)
    if parts is None:
        if "@" in text:  # it may hold a password: do not repeat it
            raise SettingsError(f"The base URL must not hold a user name or password. {wish}")
        raise SettingsError(f"The base URL {text[:200]!r} is not an http(s) address. {wish}")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise SettingsError(f"The base URL must not have a query or a fragment. {wish}")
    if parts.scheme == "http" and not is_loopback(text):
        raise SettingsError(f"The base URL must begin with https://: the API key would travel readable. {wish}")
    return text.rstrip("/")


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) URL whose host every parser reads alike; None for any other. Path and query may hold
    anything: they are quoted when the request is made."""
    if not isinstance(url, str) or _NEVER_IN_A_URL.search(url) or _NEVER_IN_AN_ORIGIN.search(_origin_part(url)):
        return None
    try:
        parts = urlsplit(url)
        plain = _PLAIN_HOST.fullmatch(parts.netloc) and len(str(parts.hostname)) <= 253 and parts.port != 0
    except ValueError:
        return None
    return parts if plain and parts.scheme in ("http", "https") else None


def _origin_part(url: str) -> str:
    """What stands before the path, as any parser delimits it."""
    head, mark, rest = url.partition("://")
    return head + mark + re.split("[/?#]", rest, maxsplit=1)[0]


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a URL, all comparable; None where it has none."""
    if (parts := _split(url)) is None:
        return None
    return parts.scheme, str(parts.hostname).rstrip("."), parts.port or (443 if parts.scheme == "https" else 80)


def host_of(url: str) -> str:
    """The host for a message, without path, query or user part; ``?`` where it cannot be read."""
    return found[1] if (found := origin(url)) else "?"


def is_loopback(url: str) -> bool:
    """True where the URL's host is this machine: ``localhost`` or a literal loopback address."""
    return (found := origin(url)) is not None and _is_local(found[1])


def _is_local(host: str) -> bool:
    address = _literal(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a host spells, in any form the socket layer would take (127.1, 0x7f000001); None for a name."""
    try:
        return ipaddress.ip_address(socket.inet_aton(host) if _NUMERIC_HOST.fullmatch(host) else host)
    except (ValueError, OSError):
        return None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        if inner := address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or nat64:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def why_blocked(url: str, base_url: str) -> str | None:
    """Why an image may not be fetched from this URL, as the end of a sentence; None where it may.

    Only literal addresses are judged: names are not looked up, since behind some proxies they do not resolve here and
    some networks map them all to private addresses.
    """
    if (found := origin(url)) is None:
        return "its address is not a plain http(s) URL"
    # On this machine a test service names addresses of this machine; a hosted one has no reason to.
    if is_loopback(base_url):
        return None
    scheme, host, _ = found
    if scheme != "https":
        return "its address is not https"
    address = _literal(host)
    if _is_local(host) or (address is not None and not _is_public(address)):
        return "its address is inside a private network"
    odd = address is None and _NUMERIC_HOST.fullmatch(host)
    return "its address is not a plain http(s) URL" if odd else None


_INNER_NAMES = (".local", ".internal", ".lan", ".home.arpa")


def why_out_of_reach(url: str, base_url: str) -> str | None:
    """Why the service cannot fetch a source image from this URL, as the end of a sentence; None if it may be able to.

    A service on this machine reaches what this machine reaches.
    """
    if is_loopback(base_url):
        return None
    try:
        host = unicodedata.normalize("NFKC", urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        host = ""
    if not host:
        return "its address is not a plain http(s) URL"
    address = _literal(host.partition("%")[0])
    is_inner_name = address is None and ("." not in host or host.endswith(_INNER_NAMES))
    if _is_local(host) or is_inner_name or (address is not None and not _is_public(address)):
        return f"{host} is this machine or inside a private network"
    return None


def same_origin_url(url: object, base_url: str) -> str | None:
    """A URL the service named, if the key may go there: the very origin of the base URL. None otherwise, and where it
    holds something that is not a character: it could not be written down, and with it the job's id."""
    found = origin(url) if isinstance(url, str) and len(url) <= LONGEST_URL and url.isprintable() else None
    return str(url) if found and found == origin(base_url) else None


def is_job_id(text: str) -> bool:
    """Whether it can be polled and written down: whatever its characters, but no path that leads elsewhere."""
    return (
        0 < len(text) <= LONGEST_ID
        and text not in (".", "..")
        and not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
    )


def request_target(url: str) -> str:
    """Path and query of a URL, as they go out: only what no request line may hold is quoted.

    A signed URL is signed as it stands: ``%7E``, ``//``, dots and the case of escapes stay.
    """
    target = _LONE_PERCENT.sub("%25", url[len(_origin_part(url)) :].partition("#")[0])
    return quote(target if target.startswith("/") else f"/{target}", safe=_LEGAL_IN_URLS, errors="replace")


_LEGAL_IN_URLS = "!$%&'()*+,-./:;=?@[]_~"
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def redirect_target(url: str, location: str) -> str:
    """The address a Location header names. Headers are read as Latin-1; many services write UTF-8, and spaces."""
    with suppress(UnicodeError):  # then it is what it seems to be
        location = location.encode("latin-1").decode("utf-8")
    return urljoin(url, quote(location.strip(), safe=f"{_LEGAL_IN_URLS}#"))


def is_data_url(url: str) -> bool:
    """True if the URL holds an image itself, labeled as one or not at all."""
    return url.lower().startswith(("data:image/", "data:application/octet-stream;", "data:;base64,"))


def data_of(url: str) -> bytes:
    """The bytes that a data URL holds; empty if they cannot be decoded."""
    head, _, data = url.partition(",")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(data)
    text = "".join(unquote(data).split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


_URL_SAFE = str.maketrans("-_", "+/")


def id_in_job_url(url: str, base_url: str) -> str | None:
    """The job id in an address such as `job_url` makes, perhaps a relative one; None for any other.

    Only the host is compared: services behind a proxy often give a scheme and a port of their own. The key does not go
    there.
    """
    start = _split(f"{base_url}/job")
    for place in (f"{base_url}/", model_url(base_url, "model", "run")):
        found = _split(urljoin(place, url))
        hosts = {str(parts.hostname).removeprefix("www.") for parts in (start, found) if parts}
        if start and found and len(hosts) == 1 and (step := re.match(f"{re.escape(start.path)}s?/([^/]+)", found.path)):
            text = unquote(step[1])
            return text if is_job_id(text) and text[0] not in "{[<:$" else None  # those are of a template
    return None


def job_url(base_url: str, job_id: str) -> str:
    """Where a job is polled. The id is quoted: it comes from outside."""
    return f"{base_url}/jobs/{quote(job_id, safe='')}"


def model_url(base_url: str, model: str, *ending: str) -> str:
    """``{base}/models/{model}`` and what follows it."""
    return "/".join([base_url, "models", quote(model, safe=""), *ending])
