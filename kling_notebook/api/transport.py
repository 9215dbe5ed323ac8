"""HTTP by way of requests, the only module that imports it. Decides nothing about money, but says what is certain.

What requests leaves open is closed here: its read time-out counts for each read, ours for the whole reply; it follows
redirects with the body, we follow none with the key; it takes a password from a netrc file, we never do.
"""

from __future__ import annotations

import functools
import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from .api_key import Key, redaction_pattern
from .errors import DownloadError, SettingsError, TransportError
from .response_body import CutShortError, TimedReply, TooBigError, pieces, promised_length
from .sanitize import JSON_LIMIT
from .url_policy import host_of, is_loopback, why_blocked

REDIRECTS = 5
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

    def __init__(self, key: Key, base_url: str, connect_timeout: float, read_timeout: float) -> None:
        self._bearer = _Bearer(key)
        self._base_url = base_url
        self._timeout = (connect_timeout, read_timeout)
        self._service = _session(self._bearer, direct=is_loopback(base_url))
        self._assets = _session(_NoAuth(), direct=False)
        self._local_assets = _session(_NoAuth(), direct=True)

    def post(self, url: str, body: bytes) -> Reply:
        """Send a purchase, once, on a fresh connection: one that was idle may be closing just as the request leaves.

        Raises:
            TransportError: ``never_left`` where it is certain that nothing was sent, else ``maybe_submitted``.
        """
        with _session(self._bearer, direct=is_loopback(self._base_url)) as session:
            # A file object is sent in blocks, each with the time-out to itself; bytes share one time-out in all.
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
            return self._exchange(session, "POST", url, headers, io.BytesIO(body), paid=True)

    def get(self, url: str) -> Reply:
        """Ask once.

        Raises:
            TransportError: no reply, or one that was cut short.
        """
        reply = self._exchange(self._service, "GET", url, {}, None, paid=False)
        if reply.cut is not None:
            raise TransportError(f"The reply of {host_of(url)} was cut short: {reply.cut}. Ask again.")
        return reply

    def _exchange(
        self, session: requests.Session, method: str, url: str, headers: dict[str, str], data: Any, *, paid: bool
    ) -> Reply:
        failure: Exception | None = None
        cut: str | None = None
        parts: list[bytes] = []
        prepared = _prepared(session, method, url, headers, data)
        try:
            response = _send(session, prepared, self._timeout)
        except Exception as error:  # whatever it is: from here on only the shapes of never_left are certain
            failure = _failure(error, url, paid=paid)
        if failure is not None:
            raise failure  # outside the except clause: the frames of requests hold the key
        with response:
            try:
                parts.extend(pieces(response.raw, response.headers, JSON_LIMIT + 1, stop_at_limit=True))
            except CutShortError as error:
                cut = str(error)
            except Exception as error:  # a connection that breaks here; its header has arrived and counts
                cut = _why(error)
        body = self._bearer.blank(b"".join(parts))
        return Reply(response.status_code, dict(response.headers), body, cut)

    def download(self, url: str, write: Callable[[bytes], object], *, limit: int, seconds: float) -> int:
        """Fetch an image, once, without the key. Returns the number of bytes written.

        Args:
            write: called with pieces of at most 64 kB, decoded. What it raises comes out unchanged.
            limit: bytes after decoding. seconds: for everything, redirects included.

        Raises:
            DownloadError: ``status`` where the host answered with another one than 200; ``final`` where another try
                cannot help.
        """
        deadline = time.monotonic() + seconds
        for _ in range(REDIRECTS + 1):
            refusal = why_blocked(url, self._base_url)
            if refusal is not None:
                raise DownloadError(f"The image was not fetched: {refusal} ({host_of(url)}).", final=True)
            with self._ask_asset(url, deadline) as response:
                target = response.headers.get("Location")
                if response.status_code in _ASKS_ELSEWHERE and target:
                    url = urljoin(url, target)
                    continue
                return _save(response, url, write, limit, deadline)
        raise DownloadError(f"The image was not fetched: {host_of(url)} redirects without end.", final=True)

    def _ask_asset(self, url: str, deadline: float) -> requests.Response:
        session = self._local_assets if is_loopback(url) else self._assets
        left = deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            return _send(session, _prepared(session, "GET", url, {}, None), (min(self._timeout[0], left), left))
        except SettingsError as error:
            # A proxy may stand between us and this host alone: the other images are to be tried, and all named.
            failure, final = f"The image could not be fetched. {error}", True
        except Exception as error:
            failure, final = f"The image could not be fetched from {host_of(url)}: {_why(error)}. Try again.", False
        raise DownloadError(failure, final=final)

    def close(self) -> None:
        """Close idle connections. A later call opens new ones."""
        for session in (self._service, self._assets, self._local_assets):
            session.close()


def _save(response: requests.Response, url: str, write: Callable[[bytes], object], limit: int, deadline: float) -> int:
    status, host = response.status_code, host_of(url)
    if status != 200:
        raise DownloadError(f"The image could not be fetched: {host} answered {status}.", status=status)
    too_big = f"The image from {host} is above {limit / 2**20:.0f} MB and was not kept."
    promised = promised_length(response.headers)
    if promised is not None and promised > limit:
        raise DownloadError(too_big, final=True)
    written = 0
    arriving = pieces(response.raw, response.headers, limit)
    while piece := _next(arriving, host, too_big):
        write(piece)  # outside of what translates: a full disk is no network error
        written += len(piece)
        if time.monotonic() > deadline:
            raise DownloadError(f"The image from {host} is not whole: it took too long. Try again.")
    if not written:
        raise DownloadError(f"The image from {host} is empty. Try again.")
    return written


def _next(arriving: Iterator[bytes], host: str, too_big: str) -> bytes:
    try:
        return next(arriving, b"")
    except TooBigError:
        failure = DownloadError(too_big, final=True)
    except CutShortError as error:
        failure = DownloadError(f"The image from {host} is not whole: {error}. Try again.")
    except Exception as error:
        failure = DownloadError(f"The image from {host} is not whole: {_why(error)}. Try again.")
    raise failure


# --- what went wrong ----------------------------------------------------------------------------------------------


def never_left(error: BaseException) -> bool:
    """True where this shape of exception makes it certain that no request left this machine.

    Four facts do: no connection could be opened, the name was not found, connecting timed out, the certificate did
    not verify; each also on the way to a proxy. Any other shape, known or not, leaves it open.
    """
    if not isinstance(error, requests.ConnectionError):
        return False
    cause: Any = error.args[0] if error.args else None
    if isinstance(cause, urllib3.exceptions.MaxRetryError):
        cause = getattr(cause, "reason", None)
    if isinstance(cause, urllib3.exceptions.ProxyError):
        cause = getattr(cause, "original_error", None)
    if isinstance(cause, urllib3.exceptions.ConnectTimeoutError):  # NewConnectionError and NameResolutionError are some
        return True
    if isinstance(cause, urllib3.exceptions.SSLError):
        cause = cause.args[0] if cause.args else None
        return isinstance(cause, ssl.SSLCertVerificationError)
    return False


def _failure(error: Exception, url: str, *, paid: bool) -> Exception:
    if isinstance(error, SettingsError):
        return error
    certain = never_left(error)
    host = host_of(url)
    if certain:
        text = f"{host} could not be reached: {_why(error)}. Nothing was sent; check the network and the base URL."
    elif paid:
        text = f"No reply came from {host}: {_why(error)}. A job may have been made and charged; it was not sent again."
    else:
        text = f"No reply came from {host}: {_why(error)}. Ask again."
    return TransportError(text, never_left=certain, maybe_submitted=paid and not certain)


def _why(error: BaseException) -> str:
    """The innermost reason in a few words of our own, without the addresses that requests' messages hold."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate does not verify ({cause.verify_message})"
        if isinstance(cause, socket.gaierror):
            return "its name was not found"
    for cause in reversed(chain):
        if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError) and not isinstance(
            cause, urllib3.exceptions.NewConnectionError
        ):
            return "it took too long"
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
            return cause.strerror
        if isinstance(cause, http.client.HTTPException):
            return "the connection closed, or what came is not HTTP"
    return f"the connection failed ({type(chain[-1]).__name__})"


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


# --- how requests is set up ---------------------------------------------------------------------------------------


class _Bearer(AuthBase):
    """Puts the key into a request. Through ``auth``: a header of ours would lose to a netrc file."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._spellings = redaction_pattern(key.reveal()) if len(key.reveal()) >= 8 else None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        return request

    def blank(self, body: bytes) -> bytes:
        """The body without the key: a service may repeat it in an error, and errors end in notebooks."""
        return self._spellings.sub(b"[key]", body) if self._spellings else body


class _NoAuth(AuthBase):
    """Asked for nothing. Its presence keeps requests from looking into a netrc file."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _session(auth: AuthBase, *, direct: bool) -> requests.Session:
    """A session with the proxies of the environment, or ``direct`` for this machine, which no proxy can reach."""
    session = requests.Session()
    session.auth = auth
    session.headers.update({"User-Agent": "kling-notebook", "Accept": "*/*", "Accept-Encoding": "identity"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if direct:
        session.trust_env = False
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    adapter = _Adapter(pool_connections=4, pool_maxsize=64)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _prepared(
    session: requests.Session, method: str, url: str, headers: Mapping[str, str], data: Any
) -> requests.PreparedRequest:
    """The request, complete but not sent. What fails here has certainly not left this machine."""
    try:
        return session.prepare_request(requests.Request(method, url, headers=dict(headers), data=data))
    except Exception as error:
        problem = type(error).__name__
    raise SettingsError(f"A request to {host_of(url)} cannot be made ({problem}). Check the base URL and the model.")


def _send(
    session: requests.Session, prepared: requests.PreparedRequest, timeout: tuple[float, float]
) -> requests.Response:
    settings = session.merge_environment_settings(prepared.url, {}, True, None, None)
    return session.send(prepared, timeout=timeout, allow_redirects=False, **settings)


class _Adapter(HTTPAdapter):
    """requests' adapter, with replies under one deadline and with settings that cannot work told apart."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        _put_under_deadline(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        _put_under_deadline(manager)
        return manager

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        try:
            return super().get_connection_with_tls_context(*args, **options)
        except Exception as error:  # no connection is opened here yet: nothing was sent
            problem = type(error).__name__
        raise SettingsError(f"The proxy named in the environment cannot be used ({problem}). Check HTTPS_PROXY.")

    def cert_verify(self, *args: Any, **options: Any) -> None:
        try:
            super().cert_verify(*args, **options)  # type: ignore[no-untyped-call]  # the stubs leave it untyped
        except OSError:
            readable = False
        else:
            readable = True
        if not readable:
            raise SettingsError("The file of certificates cannot be read. Check REQUESTS_CA_BUNDLE.")


def _put_under_deadline(manager: Any) -> None:
    """Let a pool manager make connections whose replies keep one deadline, in classes made from its own."""
    pools: Mapping[str, type] = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _pool_under_deadline(pool) for scheme, pool in pools.items()}


@functools.cache
def _pool_under_deadline(pool: Any) -> type:
    if getattr(pool.ConnectionCls, "response_class", None) is TimedReply:
        return pool  # type: ignore[no-any-return]  # a class
    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"response_class": TimedReply})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})
