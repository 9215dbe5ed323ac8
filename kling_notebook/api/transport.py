"""HTTP by way of requests, the only module that imports it. Decides nothing about money, but says what is certain.

What requests leaves open is closed here: its read time-out counts for each read, ours for the reply; it follows
redirects with the body, we follow none with the key; it takes a password from a netrc file, we never do; it rewrites
URLs, we send them as given. Its objects never hold the key, and its frames are cut from every exception.
"""

import functools
import http.client
import io
import itertools
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from .api_key import Secret, redaction_pattern
from .errors import DownloadError, SettingsError, TransportError
from .first_byte import Exchange, WatchedConnection, under_way
from .response_body import CHUNK, CutShortError, TooBigError, pieces
from .sanitize import JSON_LIMIT, in_utf8, parse_all
from .url_policy import data_of, host_of, is_data_url, is_loopback, redirect_target, request_target, why_blocked

REDIRECTS = 5
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_ASKS_ELSEWHERE = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the service: ``body`` is decoded, at most one byte above the limit for JSON, and free of the key.

    ``cut``: why the body ended too early, None where it is whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: str | None = None


class Transport:
    """The exchanges of one client. Any thread may use it: nothing changes after it is made, but its idle connections.

    Args:
        base_url: already checked. The caller asks `get` and `post` for addresses on its origin only.
        connect_timeout: seconds to connect. read_timeout: seconds for a whole reply once the request is sent.
    """

    def __init__(self, key: Secret, base_url: str, connect_timeout: float, read_timeout: float) -> None:
        self._key = key
        self._base_url = base_url
        self._timeout = (connect_timeout, read_timeout)
        # The service and the images' hosts may share one: the key goes with a request and not with a session.
        self._sessions = {direct: _session(direct=direct) for direct in (False, True)}

    def post(self, url: str, body: bytes, *, before_first_byte: Callable[[], object] | None = None) -> Reply:
        """Send a purchase, once, on a fresh connection: one that was idle may be closing just as the request leaves.

        Args:
            before_first_byte: called once, when the connection is ready and nothing of the request is written. What
                it raises comes out unchanged, and nothing is sent.

        Raises:
            TransportError: ``never_left`` if no byte of the request was written, else ``maybe_submitted``.
            SettingsError: a proxy or file named in the environment cannot be used; nothing was sent.
        """
        with _session(direct=is_loopback(self._base_url)) as session:
            # A file object is sent in blocks, each with the time-out to itself; bytes share one time-out in all.
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
            request = requests.Request("POST", url, headers, data=io.BytesIO(body))
            return self._exchange(session, request, Exchange(request_target(url), self._key, before_first_byte))

    def get(self, url: str) -> Reply:
        """Ask once.

        Raises:
            TransportError: no reply, or one that was cut short and cannot be read.
        """
        session, request = self._sessions[is_loopback(url)], requests.Request("GET", url)
        reply = self._exchange(session, request, Exchange(request_target(url), self._key))
        if reply.cut is not None and not parse_all(reply.body)[0]:
            raise TransportError(f"The reply of {host_of(url)} was cut short: {reply.cut}. Ask again.")
        return reply

    def _exchange(self, session: requests.Session, request: requests.Request, exchange: Exchange) -> Reply:
        failure: BaseException
        try:
            return self._read(_send(session, request, self._timeout, exchange))
        except Exception as error:
            failure = exchange.hook_error or _failure(error, request, exchange.started)
        except BaseException as interrupt:
            failure = interrupt
        # Raised without the frames and causes below: those of http.client hold the key, also if the hook has failed or
        # Ctrl-C came while the request was written.
        failure.__cause__ = failure.__context__ = None
        raise failure.with_traceback(None)

    def _read(self, response: requests.Response) -> Reply:
        cut: str | None = None
        parts: list[bytes] = []
        with response:
            try:
                parts.extend(pieces(response.raw, response.headers, JSON_LIMIT + 1, stop_at_limit=True))
            except Exception as error:  # also a connection that breaks here: its header has arrived and counts
                cut = _why(error)
        headers = {name: _without_key(value.encode(), self._key).decode() for name, value in response.headers.items()}
        return Reply(response.status_code, headers, _without_key(b"".join(parts), self._key), cut)

    def download(self, url: str, write: Callable[[bytes], object], *, limit: int, seconds: float) -> int:
        """Fetch an image, once, without the key. Returns the number of bytes written.

        Args:
            write: called with pieces of at most 64 kB, decoded. What it raises comes out unchanged.
            limit: bytes after decoding. seconds: for everything, redirects included.

        Raises:
            DownloadError: ``status`` if the host answered with another one than 200; ``final`` if another try
                cannot help.
        """
        if is_data_url(url):
            return _save_data_url(url, write, limit)
        deadline = time.monotonic() + seconds
        for _ in range(REDIRECTS + 1):
            if refusal := why_blocked(url, self._base_url):
                raise DownloadError(f"The image was not fetched: {refusal} ({host_of(url)}).", final=True)
            with self._ask_asset(url, deadline) as response:
                target = response.headers.get("Location")
                if response.status_code in _ASKS_ELSEWHERE and target:
                    url = redirect_target(url, target)
                    continue
                return self._save(response, url, write, limit, deadline)
        raise DownloadError(f"The image was not fetched: {host_of(url)} redirects without end.", final=True)

    def _save(
        self, response: requests.Response, url: str, write: Callable[[bytes], object], limit: int, deadline: float
    ) -> int:
        status, host = response.status_code, host_of(url)
        if status != 200:
            raise DownloadError(f"The image could not be fetched: {host} answered {status}.", status=status)
        written, is_text = 0, False
        arriving = pieces(response.raw, response.headers, limit)
        while piece := _next(arriving, host, limit, deadline):
            if not written:
                # A page in an image's place is kept like an image, and may repeat the key. Images are left as they are.
                is_text = piece[:512].isascii() and b"\0" not in piece[:512]
            write(_without_key(piece, self._key) if is_text else piece)  # a full disk is not a network error
            written += len(piece)
        if not written:
            raise DownloadError(f"The image from {host} is empty. Try again.")
        return written

    def _ask_asset(self, url: str, deadline: float) -> requests.Response:
        session, request = self._sessions[is_loopback(url)], requests.Request("GET", url)
        left = deadline - time.monotonic()
        exchange = Exchange(request_target(url))
        try:
            if left <= 0:
                raise TimeoutError
            return _send(session, request, (min(self._timeout[0], left), left), exchange)
        except SettingsError as error:
            # A proxy may stand between us and this host alone: the other images are to be tried, and all named.
            raise DownloadError(f"The image could not be fetched. {error}", final=True) from None
        except Exception as error:
            why = f"{_described(url)}: {_why(error)}"
            raise DownloadError(f"The image could not be fetched from {why}. Try again.") from None

    def close(self) -> None:
        """Close idle connections. A later call opens new ones."""
        for session in self._sessions.values():
            session.close()


@functools.lru_cache(maxsize=4)
def _spellings(key: Secret) -> re.Pattern[bytes] | None:
    """The key as a reply may repeat it: such errors end in notebooks. A short one would hide too much."""
    return redaction_pattern(key.reveal()) if len(key.reveal()) >= 8 else None


_ENCODED_IMAGE = re.compile(rb"([A-Za-z0-9+/=]{4096,})")


def _without_key(body: bytes, key: Secret) -> bytes:
    """The body with the key blanked. An image in it is skipped: looking through 13 MB takes 1.4 s of all threads."""
    spellings = _spellings(key)
    if spellings is None:
        return body
    parts = _ENCODED_IMAGE.split(in_utf8(body))  # in UTF-16 the key would pass as other bytes, and be read later
    parts[::2] = [spellings.sub(b"[key]", part) for part in parts[::2]]
    return b"".join(parts)


def _save_data_url(url: str, write: Callable[[bytes], object], limit: int) -> int:
    data = data_of(url)
    if not data:
        raise DownloadError("The image in the service's reply cannot be decoded.", final=True)
    if len(data) > limit:
        raise _too_large("in the reply", limit, len(data))
    for start in range(0, len(data), CHUNK):
        write(data[start : start + CHUNK])
    return len(data)


def _next(arriving: Iterator[bytes], host: str, limit: int, deadline: float) -> bytes:
    try:
        if time.monotonic() > deadline:
            raise TimeoutError
        return next(arriving, b"")
    except TooBigError as error:
        raise _too_large(f"from {host}", limit, error.args[0]) from None
    except Exception as error:
        raise DownloadError(f"The image from {host} is not whole: {_why(error)}. Try again.") from None


def _too_large(origin: str, limit: int, size: int) -> DownloadError:
    text = f"The image {origin} is above {limit / 2**20:.0f} MB and was not kept."
    return DownloadError(text, final=True, too_large=size)


# --- what went wrong ----------------------------------------------------------------------------------------------


def _failure(error: Exception, request: requests.Request, started: bool) -> Exception:
    """The error to raise. Whether anything was sent is a fact that the connection noted; the rest is the message."""
    if isinstance(error, SettingsError):
        return error
    url, why = str(request.url), _why(error)
    if not started:
        seen = f"{_described(url)} could not be reached: {why}. Nothing was sent; check the network and the base URL."
        return TransportError(seen, never_left=True)
    paid = request.method == "POST"
    advice = "A job may have been made and charged; it was not sent again." if paid else "Ask again."
    return TransportError(f"No reply came from {host_of(url)}: {why}. {advice}", maybe_submitted=paid)


def _why(error: BaseException) -> str:
    """The innermost reason in a few words of our own, without the addresses that requests' messages hold."""
    causes = list(_causes(error))
    reasons = itertools.chain(map(_certain_reason, causes), map(_likely_reason, reversed(causes)))
    return next(filter(None, reasons), f"the connection failed ({type(causes[-1]).__name__})")


def _certain_reason(cause: BaseException) -> str | None:
    if isinstance(cause, CutShortError):
        return str(cause)
    if isinstance(cause, ssl.SSLCertVerificationError):
        names = [name for name in _BUNDLES if os.environ.get(name)]
        against = f" with the file of certificates in {names[0]}" if names else ""
        return f"its certificate does not verify{against} ({cause.verify_message})"
    if isinstance(cause, socket.gaierror):
        return "the name was not found"
    if isinstance(cause, OSError) and (tunnel := re.search(r"Tunnel connection failed: (\d{3})", str(cause))):
        return _REFUSED_TUNNEL.get(tunnel[1], f"the proxy answered {tunnel[1]}")
    return None


def _likely_reason(cause: BaseException) -> str | None:
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError) and not isinstance(
        cause, urllib3.exceptions.NewConnectionError
    ):
        return "it took too long"
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the connection closed during the TLS handshake"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return _TLS_REASONS.get(cause.reason, f"the TLS handshake failed ({cause.reason.lower().replace('_', ' ')})")
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
        return cause.strerror
    return "the connection closed, or what came is not HTTP" if isinstance(cause, http.client.HTTPException) else None


_REFUSED_TUNNEL: Mapping[str, str] = {
    "407": "the proxy answered 407, it asks for a user name and a password",
    "403": "the proxy answered 403, it does not allow this host",
}
_TLS_REASONS: Mapping[str, str] = dict.fromkeys(
    ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"),
    "the answer is not TLS; a sign-in page of the network may stand in between",
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those inside it, outermost first; requests and urllib3 keep them in different places."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(seen) < 12:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            inside = (getattr(cause, "reason", None), getattr(cause, "original_error", None), cause.__cause__)
            waiting.extend([*cause.args, *inside, cause.__context__])
    return iter(seen)


def _described(url: str) -> str:
    """The host, and the proxy on the way to it with the variable that names it."""
    proxies = {} if is_loopback(url) else requests.utils.get_environ_proxies(url, no_proxy=None)
    if not (proxy := requests.utils.select_proxy(url, proxies)):
        return host_of(url)
    names = [name for name, value in os.environ.items() if name.lower().endswith("_proxy") and value and value in proxy]
    variable = f" ({names[0]})" if names else ""
    return f"{host_of(url)} through the proxy {urlsplit(proxy).netloc.rpartition('@')[2] or '?'}{variable}"


def _check_files_of_tls(error: BaseException, verify: Any) -> None:
    """Raise SettingsError if a file of certificates or a key log made the connection fail with ``error``."""
    if not any(isinstance(cause, OSError) for cause in _causes(error)):
        return
    if log := os.environ.get("SSLKEYLOGFILE"):
        try:
            open(os.path.expandvars(log), "ab").close()  # noqa: PTH123  # as the TLS library opens it
        except OSError as problem:
            raise SettingsError(
                f"The TLS key log {log} cannot be opened ({problem.strerror}). Check SSLKEYLOGFILE."
            ) from None
    if isinstance(verify, str) and not os.path.isdir(verify):  # noqa: PTH112  # as requests asks
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(verify)
        except OSError as problem:
            name = next((name for name in _BUNDLES if os.environ.get(name) == verify), "the installation of certifi")
            raise SettingsError(
                f"The file of certificates {verify} cannot be used ({problem.strerror or problem})."
                f" Check {name}; nothing was sent."
            ) from None


# --- how requests is set up ---------------------------------------------------------------------------------------


def _session(*, direct: bool) -> requests.Session:
    """A session with the proxies of the environment, or ``direct`` for this machine, which no proxy can reach."""
    session = requests.Session()
    session.auth = lambda request: request  # its presence keeps requests from looking into a netrc file
    session.headers.update(
        {
            "User-Agent": "kling-notebook",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",  # a cached reply to a poll would keep a job running for ever
        }
    )
    if direct:
        session.trust_env = False
        session.verify = next((os.environ[name] for name in _BUNDLES if os.environ.get(name)), True)
    adapter = _Adapter(pool_connections=4, pool_maxsize=64)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _prepared(session: requests.Session, request: requests.Request) -> requests.PreparedRequest:
    """The request, complete but not sent: for the host alone, since path and query go out as `Exchange` has them."""
    try:
        host = urljoin(str(request.url), "/")
        return session.prepare_request(requests.Request(request.method, host, request.headers, data=request.data))
    except Exception as error:
        host = host_of(str(request.url))
        raise SettingsError(
            f"A request to {host} cannot be made ({type(error).__name__}). Check the base URL and the model."
        ) from None


def _send(
    session: requests.Session, request: requests.Request, timeout: tuple[float, float], exchange: Exchange
) -> requests.Response:
    """Send it by the adapter: `Session.send` would look into redirects, and is what caches and recorders replace."""
    prepared = _prepared(session, request)
    url = str(prepared.url)
    settings = session.merge_environment_settings(url, {}, True, None, None)
    try:
        with under_way(exchange):
            return session.get_adapter(url).send(prepared, timeout=timeout, **settings)  # type: ignore[arg-type]
    except Exception as error:
        if not exchange.started and not exchange.hook_error:
            _check_files_of_tls(error, settings["verify"])
        raise


class _Adapter(HTTPAdapter):
    """requests' adapter, with connections that note their first byte and settings that cannot work told apart."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        _watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return _watch(super().proxy_manager_for(proxy, **options))

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        try:
            return super().get_connection_with_tls_context(*args, **options)
        except Exception as error:  # no connection is opened here yet: nothing was sent
            socks = ", or install what it needs: pip install 'requests[socks]'" if "SOCKS" in str(error) else ""
            raise SettingsError(
                f"{_described(str(args[0].url))} cannot be reached: {type(error).__name__}. Nothing was sent. Check "
                f"the variable, or unset it{socks}."
            ) from None


def _watch(manager: Any) -> Any:
    """Let a pool manager make connections that note their first byte, in classes made from its own."""
    manager.pool_classes_by_scheme = {name: _watched(pool) for name, pool in manager.pool_classes_by_scheme.items()}
    return manager


@functools.cache
def _watched(pool: Any) -> type:
    if issubclass(pool.ConnectionCls, WatchedConnection):
        return pool  # type: ignore[no-any-return]  # a class
    connection = type(pool.ConnectionCls.__name__, (WatchedConnection, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})
