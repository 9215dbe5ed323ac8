"""HTTP at the edge: what certainly never left, one deadline for a reply, and the key in no wrong place."""

from __future__ import annotations

import gzip
import json
import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.exceptions as below
from requests import exceptions as above

from kling_notebook.api.api_key import Key
from kling_notebook.api.errors import DownloadError, SettingsError, TransportError
from kling_notebook.api.response_body import TimedReply
from kling_notebook.api.transport import Transport, never_left

KEY = "sk-canary-0123456789"
MB = 2**20
Serve = Callable[..., Any]
Bytes = Callable[..., bytes]
Make = Callable[..., Transport]


@pytest.fixture
def transport() -> Iterator[Make]:
    """Make transports to a base URL with short time-outs; all are closed when the test ends."""
    made: list[Transport] = []

    def make(base_url: str, connect: float = 2.0, read: float = 2.0) -> Transport:
        made.append(Transport(Key(KEY), base_url, connect, read))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _download(transport: Transport, url: str, *, limit: int = MB, seconds: float = 5.0) -> bytes:
    parts: list[bytes] = []
    size = transport.download(url, parts.append, limit=limit, seconds=seconds)
    assert size == len(b"".join(parts))
    assert all(len(part) <= 64 * 1024 for part in parts)
    return b"".join(parts)


# --- what may be sent again ---------------------------------------------------------------------------------------

CERTIFICATE = ssl.SSLCertVerificationError(1, "certificate verify failed")
REFUSED = below.NewConnectionError(None, "refused")  # type: ignore[arg-type]  # the connection is not looked at
if hasattr(below, "NameResolutionError"):  # urllib3 2; before, it was a NewConnectionError as well
    UNNAMED = below.NameResolutionError("host", None, socket.gaierror(-2, "unknown"))  # type: ignore[arg-type]  # likewise
else:
    UNNAMED = below.NewConnectionError(None, "unknown")
SLOW = below.ConnectTimeoutError(None, "slow")
SILENT = below.ReadTimeoutError(None, "url", "silent")  # type: ignore[arg-type]  # likewise


def _after_tries(reason: Exception | None) -> below.MaxRetryError:
    error = below.MaxRetryError(None, "url")  # type: ignore[arg-type]  # likewise
    error.reason = reason
    return error


def _at_proxy(reason: Exception) -> below.ProxyError:
    return below.ProxyError("Unable to connect to proxy", reason)


NEVER_LEFT = [
    above.ConnectionError(_after_tries(REFUSED)),
    above.ConnectionError(_after_tries(UNNAMED)),
    above.ConnectTimeout(_after_tries(SLOW)),
    above.SSLError(_after_tries(below.SSLError(CERTIFICATE))),
    above.SSLError(below.SSLError(CERTIFICATE)),
    above.ProxyError(_after_tries(_at_proxy(REFUSED))),
    above.ProxyError(_after_tries(_at_proxy(UNNAMED))),
    above.ProxyError(_after_tries(_at_proxy(SLOW))),
    above.ProxyError(_after_tries(_at_proxy(below.SSLError(CERTIFICATE)))),
    above.ProxyError(_at_proxy(REFUSED)),
]
UNKNOWN = [
    above.RequestException(),
    above.RequestException(_after_tries(REFUSED)),
    above.ConnectionError(),
    above.ConnectionError("refused"),
    above.ConnectionError(below.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))),
    above.ConnectionError(below.ProtocolError("Connection aborted.", ConnectionRefusedError(111, "refused"))),
    above.ConnectionError(below.ProtocolError("Connection aborted.", TimeoutError())),
    above.ConnectionError(_after_tries(below.ProtocolError("Connection aborted."))),
    above.ConnectionError(_after_tries(SILENT)),
    above.ConnectionError(_after_tries(None)),
    above.ConnectionError(below.ClosedPoolError(None, "closed")),  # type: ignore[arg-type]  # likewise
    above.ConnectionError(ConnectionRefusedError(111, "refused")),
    above.ConnectTimeout(),
    above.ConnectTimeout(_after_tries(SILENT)),
    above.Timeout(_after_tries(SLOW)),
    above.ReadTimeout(SILENT),
    above.SSLError(),
    above.SSLError(_after_tries(below.SSLError(ssl.SSLEOFError(8, "EOF")))),
    above.SSLError(_after_tries(below.SSLError(ssl.SSLError(1, "certificate verify failed")))),
    above.SSLError(_after_tries(below.SSLError("certificate verify failed"))),
    above.ProxyError(),
    above.ProxyError(_after_tries(_at_proxy(OSError("Tunnel connection failed: 407")))),
    above.ProxyError(_after_tries(_at_proxy(SILENT))),
    above.RetryError(_after_tries(below.ResponseError("too many 503"))),
    above.ChunkedEncodingError(below.ProtocolError("broken")),
    above.ContentDecodingError(below.DecodeError("broken")),
    above.HTTPError("500"),
    above.InvalidHeader("two lengths"),
    above.InvalidJSONError(),
    above.JSONDecodeError("no JSON", "", 0),
    above.InvalidProxyURL("bad"),
    above.InvalidSchema("bad"),
    above.InvalidURL("bad"),
    above.MissingSchema("bad"),
    above.StreamConsumedError(),
    above.TooManyRedirects("30"),
    above.UnrewindableBodyError(),
    above.URLRequired(),
    REFUSED,
    SLOW,
    CERTIFICATE,
    ConnectionRefusedError(111, "refused"),
    TimeoutError(),
    OSError(),
    ValueError("bad"),
    KeyError("x"),
]


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}-{error!r:.60}"


@pytest.mark.parametrize("error", NEVER_LEFT, ids=_named)
def test_only_four_shapes_make_it_certain_that_nothing_was_sent(error: BaseException) -> None:
    assert never_left(error)


@pytest.mark.parametrize("error", UNKNOWN, ids=_named)
def test_every_other_shape_leaves_it_open(error: BaseException) -> None:
    assert not never_left(error)


def _family(root: type[BaseException]) -> set[type[BaseException]]:
    return {root}.union(*(_family(child) for child in root.__subclasses__()))


def test_the_table_has_a_row_for_every_exception_of_requests() -> None:
    classes = {cls for cls in _family(above.RequestException) if cls.__module__.startswith("requests.")}
    assert classes <= {type(error) for error in NEVER_LEFT + UNKNOWN}


CERTAIN_BELOW = {type(SLOW), type(REFUSED), type(UNNAMED)}


@pytest.mark.parametrize(
    "cls",
    sorted(_family(below.HTTPError), key=lambda cls: (cls.__module__, cls.__qualname__)),
    ids=lambda cls: cls.__name__,
)
def test_a_cause_below_requests_is_certain_only_if_it_is_listed(cls: type[Exception]) -> None:
    cause = cls.__new__(cls)
    for holder in (lambda e: e, _after_tries, lambda e: _after_tries(_at_proxy(e))):
        assert never_left(above.ConnectionError(holder(cause))) == (cls in CERTAIN_BELOW)


# --- the same with real sockets -----------------------------------------------------------------------------------


def _post(transport: Transport, url: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.post(url, b"{}")
    error = caught.value
    assert error.maybe_submitted != error.never_left
    assert error.__context__ is None  # the frames of requests hold the key
    assert "canary" not in str(error)
    return error


def test_a_refused_connection_never_left(transport: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = _post(transport(f"http://127.0.0.1:{port}"), f"http://127.0.0.1:{port}/run")
    assert error.never_left
    assert "Connection refused" in str(error) or "refused" in str(error).lower()


def test_a_name_that_is_not_found_never_left(transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_names(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_names)  # a real look-up takes as long as the network likes
    error = _post(transport("https://kling.invalid"), "https://kling.invalid/run")
    assert error.never_left
    assert "name was not found" in str(error)


@pytest.mark.skipif(os.name == "nt", reason="a full backlog refuses there")
def test_a_connection_that_takes_too_long_never_left(transport: Make) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):  # nobody accepts: the queue is full, and the next one waits
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        time.sleep(0.1)
        started = time.monotonic()
        error = _post(transport(f"http://127.0.0.1:{port}", connect=0.3), f"http://127.0.0.1:{port}/run")
        assert time.monotonic() - started < 3
        for filler in fillers:
            filler.close()
    assert error.never_left
    assert "too long" in str(error)


def _certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody has reason to trust."""
    x509 = pytest.importorskip("cryptography.x509")
    import datetime

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    kind = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, kind, serialization.NoEncryption()))
    (folder / "cert.pem").write_bytes(built.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_a_certificate_that_does_not_verify_never_left(
    transport: Make, odd_server: Serve, reply: Bytes, tmp_path: Path
) -> None:
    server = odd_server(reply(b"{}"), _certificate(tmp_path))
    base = f"https://localhost:{server.port}"
    error = _post(transport(base), f"{base}/run")
    assert error.never_left
    assert "certificate does not verify" in str(error)
    assert server.requests == []


def test_a_bundle_of_certificates_from_the_environment_is_used(
    transport: Make,
    odd_server: Serve,
    reply: Bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = odd_server(reply(b"{}"), _certificate(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    base = f"https://localhost:{server.port}"
    assert transport(base).get(f"{base}/jobs").status == 200
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(SettingsError, match="REQUESTS_CA_BUNDLE"):
        transport(base).post(f"{base}/run", b"{}")
    assert len(server.requests) == 1


def _close(connection: socket.socket, _: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def _after(data: bytes) -> Callable[[socket.socket, bytes], None]:
    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return answer


def _silent(connection: socket.socket, _: bytes) -> None:
    time.sleep(1.0)


@pytest.mark.parametrize(
    "answer",
    [
        _close,
        _reset,
        _after(b"HTTP/1.1 2"),
        _after(b"garbage\r\n\r\n"),
        _after(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n{}"),
        _after(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
    ],
)
def test_once_sent_a_purchase_without_a_reply_may_have_been_made_and_is_sent_once(
    transport: Make, odd_server: Serve, answer: Any
) -> None:
    server = odd_server(answer)
    error = _post(transport(server.base_url), f"{server.base_url}/run")
    assert not error.never_left
    assert len(server.requests) == 1


def test_a_reply_that_does_not_come_is_waited_for_as_long_as_was_said(transport: Make, odd_server: Serve) -> None:
    server = odd_server(_silent)
    started = time.monotonic()
    error = _post(transport(server.base_url, read=0.3), f"{server.base_url}/run")
    assert 0.25 < time.monotonic() - started < 0.9
    assert not error.never_left
    assert "too long" in str(error)


def test_a_failing_transport_says_which_setting_cannot_work(transport: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("http://:8080", "gopher://proxy:1"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(SettingsError, match="HTTPS_PROXY"):
            transport("https://kling.invalid").post("https://kling.invalid/run", b"{}")
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.delenv("https_proxy")
    with pytest.raises(SettingsError, match="cannot be made"):
        transport("https://kling.invalid").post("https://kling.invalid:port/run", b"{}")


# --- one deadline for a reply -------------------------------------------------------------------------------------


def _drip(data: bytes, pause: float) -> Callable[[socket.socket, bytes], None]:
    def answer(connection: socket.socket, _: bytes) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return answer


@pytest.mark.parametrize("where", ["status line", "header", "body", "chunks", "endless header"])
def test_a_reply_that_drips_ends_at_the_read_time_out(
    transport: Make, odd_server: Serve, reply: Bytes, where: str
) -> None:
    """requests counts its read time-out for each read: a byte a second would hold a worker for ever."""
    whole = reply(b'{"jobId": "a", "status": "pending"}')
    header, _, body = whole.partition(b"\r\n\r\n")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    slow: dict[str, tuple[bytes, bytes]] = {
        "status line": (b"", whole),
        "header": (header[:20], header[20:]),
        "body": (header + b"\r\n\r\n", body * 3),
        "chunks": (chunked, b"1\r\n{\r\n" * 9),
        "endless header": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 90),
    }
    at_once, dripping = slow[where]

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(at_once)
        _drip(dripping, 0.05)(connection, request)

    server = odd_server(answer)
    started = time.monotonic()
    with pytest.raises(TransportError, match="too long"):
        transport(server.base_url, read=0.4).get(f"{server.base_url}/jobs/a")
    assert time.monotonic() - started < 1.2


def test_silence_after_a_late_beginning_gets_only_what_is_left(transport: Make, odd_server: Serve) -> None:
    def answer(connection: socket.socket, _: bytes) -> None:
        time.sleep(0.5)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        time.sleep(2.0)

    server = odd_server(answer)
    started = time.monotonic()
    with pytest.raises(TransportError, match="too long"):
        transport(server.base_url, read=0.7).get(f"{server.base_url}/jobs/a")
    assert time.monotonic() - started < 1.1


def test_a_reply_leaves_the_sockets_time_out_as_it_was() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5.0)
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        with TimedReply(ours) as reply:
            reply.begin()
            assert reply.read() == b"{}"
        assert ours.gettimeout() == 5.0


def test_a_slow_reply_within_the_time_out_is_read(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(_drip(reply(b"{}"), 0.005))
    assert transport(server.base_url).get(f"{server.base_url}/jobs/a").body == b"{}"


def test_a_kept_connection_gets_the_whole_time_out_again(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    def answer(connection: socket.socket, _: bytes) -> None:
        time.sleep(0.5)
        connection.sendall(reply(b"{}"))

    server = odd_server(answer)
    one = transport(server.base_url, read=0.8)
    for _ in range(3):
        assert one.get(f"{server.base_url}/jobs/a").status == 200
    assert server.connections == 1


def test_a_long_purchase_is_not_bound_by_the_connect_time_out(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    """A source image on a slow line: bytes in one piece would share the connect time-out in all."""
    body = b"x" * 8 * MB
    server = odd_server(reply(b"{}"))
    slow_listener = _throttled(server)
    assert transport(slow_listener, connect=0.4, read=5.0).post(f"{slow_listener}/run", body).status == 200
    assert len(server.requests[0].partition(b"\r\n\r\n")[2]) == len(body)


def _throttled(server: Any) -> str:
    """A listener before ``server`` that takes 8 MB in a second or two, never pausing 0.4 s."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

    def pump() -> None:
        with listener:
            client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", server.port)) as onward:
            threading.Thread(target=lambda: client.sendall(onward.recv(65536)), daemon=True).start()
            while data := client.recv(256 * 1024):
                onward.sendall(data)
                time.sleep(0.02)

    threading.Thread(target=pump, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_reply_cut_short_keeps_its_status_for_a_purchase_and_is_an_error_for_a_poll(
    transport: Make, odd_server: Serve
) -> None:
    server = odd_server(_after(b'HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 50\r\n\r\n{"error": '))
    one = transport(server.base_url)
    reply = one.post(f"{server.base_url}/run", b"{}")
    assert (reply.status, reply.headers["Retry-After"], reply.body) == (429, "3", b'{"error": ')
    assert reply.cut
    with pytest.raises(TransportError, match="cut short"):
        one.get(f"{server.base_url}/jobs/a")


def test_json_is_read_to_just_above_its_limit(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(reply(gzip.compress(b" " * 50 * MB), "Content-Encoding: gzip"))
    assert len(transport(server.base_url).get(f"{server.base_url}/jobs/a").body) == MB + 1


# --- the key ------------------------------------------------------------------------------------------------------


def test_a_purchase_goes_out_on_a_fresh_connection_and_polls_share_one(
    transport: Make, odd_server: Serve, reply: Bytes
) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(b"{}", "Set-Cookie: a=b")))
    one = transport(server.base_url)
    for _ in range(3):
        one.get(f"{server.base_url}/jobs/a")
    assert server.connections == 1
    for _ in range(3):
        one.post(f"{server.base_url}/run", b'{"prompt": "a"}')
    assert server.connections == 4
    assert all(b"Authorization: Bearer " + KEY.encode() in request for request in server.requests)
    assert not any(b"Cookie" in request for request in server.requests)
    assert server.requests[-1].endswith(b'\r\n\r\n{"prompt": "a"}')
    assert b"Content-Type: application/json" in server.requests[-1]
    assert b"Transfer-Encoding" not in server.requests[-1]
    assert b"\r\nConnection: close\r\n" in server.requests[-1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_with_the_key(transport: Make, odd_server: Serve, reply: Bytes, status: int) -> None:
    other = odd_server(reply(b"{}"))
    server = odd_server(reply(b"", f"Location: {other.base_url}/run", status=f"{status} Elsewhere"))
    one = transport(server.base_url)
    assert one.post(f"{server.base_url}/run", b"{}").status == status
    assert one.get(f"{server.base_url}/jobs/a").status == status
    assert other.requests == []


def test_a_netrc_file_neither_replaces_the_key_nor_reaches_an_asset_host(
    transport: Make,
    odd_server: Serve,
    reply: Bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\nmachine assets.invalid login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = odd_server(reply(b"{}"))
    one = transport(server.base_url)
    one.get(f"{server.base_url}/jobs/a")
    one.post(f"{server.base_url}/run", b"{}")
    assert all(KEY.encode() in request for request in server.requests)
    _download(one, f"http://127.0.0.1:{server.port}/a.png")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    _download(one, "http://assets.invalid/b.png")
    assert [request.split(b" ")[1] for request in server.requests[2:]] == [b"/a.png", b"http://assets.invalid/b.png"]
    assert not any(b"Authorization" in request for request in server.requests[2:])


def test_a_proxy_is_used_and_never_sees_the_key(
    transport: Make, odd_server: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = odd_server(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    error = _post(transport("https://kling.invalid"), "https://kling.invalid/run")
    assert not error.never_left
    assert proxy.requests[0].startswith(b"CONNECT kling.invalid:443")
    assert KEY.encode() not in proxy.requests[0]
    proxy.stop()
    assert _post(transport("https://kling.invalid"), "https://kling.invalid/run").never_left


def test_a_service_on_this_machine_is_asked_without_a_proxy(
    transport: Make, odd_server: Serve, reply: Bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = odd_server(reply(b"{}")), odd_server(reply(b"{}"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    one = transport(server.base_url)
    one.get(f"{server.base_url}/jobs/a")
    one.post(f"{server.base_url}/run", b"{}")
    _download(one, f"http://127.0.0.1:{server.port}/a.png")
    assert proxy.requests == []


def test_a_key_that_the_service_repeats_is_blanked(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(reply(json.dumps({"error": f"The key {KEY} is not known"}).encode(), status="401 No"))
    assert json.loads(transport(server.base_url).get(f"{server.base_url}/a").body) == {
        "error": "The key [key] is not known"
    }


def test_a_key_that_is_repeated_with_escapes_is_blanked_and_the_rest_stays(
    transport: Make, odd_server: Serve, reply: Bytes
) -> None:
    """The reply to a purchase still says its job id, whatever else it says."""
    escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
    server = odd_server(reply(f'{{"jobId": "job_\\u0031", "note": "by {escaped}"}}'.encode()))
    body = transport(server.base_url).post(f"{server.base_url}/run", b"{}").body
    assert json.loads(body) == {"jobId": "job_1", "note": "by [key]"}


def test_no_frame_of_an_error_holds_the_key(transport: Make, odd_server: Serve) -> None:
    server = odd_server(_close)
    with pytest.raises(TransportError) as caught:
        transport(server.base_url).post(f"{server.base_url}/run", b"{}")
    frames = [entry.frame.f_locals for entry in caught.traceback[1:]]
    shown = " ".join(repr(value) for values in frames for value in values.values())
    assert frames
    assert "canary" not in shown


# --- downloads ----------------------------------------------------------------------------------------------------

PICTURE = os.urandom(200_000)


def test_a_image_is_fetched_without_the_key(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(PICTURE, "Set-Cookie: a=b; Path=/")))
    one = transport(server.base_url)
    for _ in range(2):
        assert _download(one, f"{server.base_url}/a.png") == PICTURE
    assert not any(b"authorization" in request.lower() or b"cookie" in request.lower() for request in server.requests)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(PICTURE)),
        ("x-gzip", gzip.compress(PICTURE)),
        ("GZIP", gzip.compress(PICTURE[:1000]) + gzip.compress(PICTURE[1000:]) + b"\0\0"),
        ("deflate", zlib.compress(PICTURE)),
        ("identity", PICTURE),
    ],
)
def test_an_encoding_that_was_not_asked_for_is_decoded(
    transport: Make, odd_server: Serve, reply: Bytes, encoding: str, body: bytes
) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(body, f"Content-Encoding: {encoding}")))
    assert _download(transport(server.base_url), f"{server.base_url}/a.png") == PICTURE


def test_a_image_in_chunks_is_read(transport: Make, odd_server: Serve) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (PICTURE[:1000], PICTURE[1000:])) + b"0\r\n\r\n"
    server = odd_server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert _download(transport(server.base_url), f"{server.base_url}/a.png") == PICTURE


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(PICTURE)[:1000],
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip at all",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n....",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\n....",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
        b"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\nhalf",
        b"HTTP/1.1 204 Nothing\r\n\r\n",
    ],
)
def test_a_image_that_is_not_whole_is_an_error_that_may_be_tried_again(
    transport: Make, odd_server: Serve, data: bytes
) -> None:
    server = odd_server(_after(data))
    with pytest.raises(DownloadError) as caught:
        _download(transport(server.base_url), f"{server.base_url}/a.png?sig=secret")
    assert not caught.value.final
    assert "secret" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [403, 404, 410, 500, 503])
def test_the_status_of_an_asset_is_told(transport: Make, odd_server: Serve, reply: Bytes, status: int) -> None:
    server = odd_server(reply(b"gone", status=f"{status} Gone"))
    with pytest.raises(DownloadError) as caught:
        _download(transport(server.base_url), f"{server.base_url}/a.png")
    assert caught.value.status == status


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 99999999\r\n\r\n",
        b"\r\n" + b"x" * (MB + 1),
        b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"\0" * 200 * MB, 6),
    ],
    ids=["promised", "sent", "inflated"],
)
def test_an_oversized_image_is_refused_at_once_and_for_good(transport: Make, odd_server: Serve, head: bytes) -> None:
    server = odd_server(lambda connection, _: _after(b"HTTP/1.1 200 OK\r\n" + head)(connection, b""))
    written: list[int] = []
    started = time.monotonic()
    with pytest.raises(DownloadError, match="above 1 MB") as caught:
        transport(server.base_url).download(
            f"{server.base_url}/a.png", lambda piece: written.append(len(piece)), limit=MB, seconds=5.0
        )
    assert caught.value.final
    assert sum(written) <= MB
    assert time.monotonic() - started < 2


def test_a_image_of_exactly_the_limit_is_kept(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(b"x" * MB)))
    assert len(_download(transport(server.base_url), f"{server.base_url}/a.png")) == MB


def test_a_download_that_drips_ends_at_its_deadline(transport: Make, odd_server: Serve) -> None:
    server = odd_server(_drip(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 500, 0.02))
    started = time.monotonic()
    with pytest.raises(DownloadError, match="too long"):
        _download(transport(server.base_url, read=60.0), f"{server.base_url}/a.png", seconds=0.5)
    assert time.monotonic() - started < 1.5


def test_what_writing_raises_comes_out_unchanged(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(reply(PICTURE))
    full = OSError(28, "No space left on device")

    def write(_: bytes) -> None:
        raise full

    with pytest.raises(OSError, match="No space") as caught:
        transport(server.base_url).download(f"{server.base_url}/a.png", write, limit=MB, seconds=5.0)
    assert caught.value is full


def test_redirects_of_a_download_are_followed_by_hand_without_the_key(
    transport: Make, odd_server: Serve, reply: Bytes
) -> None:
    other = odd_server(lambda connection, _: connection.sendall(reply(PICTURE)))

    def answer(connection: socket.socket, request: bytes) -> None:
        target = "b.png" if b"/a.png" in request else f"http://127.0.0.1:{other.port}/c.png"
        connection.sendall(reply(b"", f"Location: {target}", status="302 Found"))

    server = odd_server(answer)
    assert _download(transport(server.base_url), f"{server.base_url}/a.png") == PICTURE
    assert [request.split(b" ")[1] for request in server.requests] == [b"/api/v1/a.png", b"/api/v1/b.png"]
    assert not any(b"authorization" in request.lower() for request in server.requests + other.requests)


def test_redirects_without_end_are_given_up(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(b"", "Location: /again", status="307 Again")))
    with pytest.raises(DownloadError, match="without end"):
        _download(transport(server.base_url), f"{server.base_url}/a.png")
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{port}/a.png",
        "http://127.0.0.1:{port}/a.png",
        "https://localhost:{port}/a.png",
        "file:///etc/passwd",
    ],
)
def test_a_public_service_cannot_send_us_to_this_machine(
    transport: Make, odd_server: Serve, reply: Bytes, url: str
) -> None:
    server = odd_server(reply(PICTURE))
    with pytest.raises(DownloadError) as caught:
        _download(transport("https://pixeldojo.ai/api/v1"), url.format(port=server.port))
    assert caught.value.final
    assert server.connections == 0


def test_a_redirect_is_held_to_the_same_rules(
    transport: Make,
    odd_server: Serve,
    reply: Bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first address is allowed for the test's sake, the one it points to is not."""
    inside = odd_server(reply(PICTURE))
    outside = odd_server(reply(b"", f"Location: https://127.0.0.1:{inside.port}/a.png", status="302 Found"))
    one = transport("https://pixeldojo.ai/api/v1")
    monkeypatch.setattr("kling_notebook.api.transport.asset_refusal", _allow_first(outside.base_url))
    with pytest.raises(DownloadError, match="private network"):
        _download(one, f"{outside.base_url}/a.png")
    assert len(outside.requests) == 1
    assert inside.connections == 0


def _allow_first(allowed: str) -> Callable[[str, str], str | None]:
    from kling_notebook.api.url_policy import why_blocked

    return lambda url, base: None if url.startswith(allowed) else why_blocked(url, base)


# --- many threads -------------------------------------------------------------------------------------------------


def test_many_threads_share_one_transport(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        number = request.split(b" ")[1].rpartition(b"/")[2]
        connection.sendall(reply(b'{"n": %s}' % number))

    server = odd_server(answer)
    one = transport(server.base_url)
    wrong: list[Any] = []

    def work(first: int) -> None:
        for number in range(first, first + 20):
            got = json.loads(one.get(f"{server.base_url}/{number}").body)["n"]
            wrong.extend([(number, got)] if got != number else [])

    threads = [threading.Thread(target=work, args=(k * 100,)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert len(server.requests) == 320
    assert server.connections <= 16
