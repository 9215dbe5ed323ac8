"""HTTP at the edge: what certainly never left, one deadline for a reply, and the key in no wrong place."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kling_notebook.api.api_key import clean_key
from kling_notebook.api.errors import DownloadError, SettingsError, TransportError
from kling_notebook.api.response_body import TimedReply
from kling_notebook.api.sanitize import parse, parse_all
from kling_notebook.api.transport import Transport

KEY = "sk-canary-0123456789"
MB = 2**20
Serve = Callable[..., Any]
Bytes = Callable[..., bytes]
Make = Callable[..., Transport]


@pytest.fixture
def transport() -> Iterator[Make]:
    """Make transports to a base URL; all are closed when the test ends."""
    made: list[Transport] = []

    def make(base_url: str, connect: float = 10.0, read: float = 10.0) -> Transport:
        made.append(Transport(clean_key(KEY), base_url, connect, read))
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
        for _ in range(4):  # no one accepts: the queue is full, and the next one waits
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        time.sleep(0.1)
        started = time.monotonic()
        error = _post(transport(f"http://127.0.0.1:{port}", connect=0.3), f"http://127.0.0.1:{port}/run")
        assert time.monotonic() - started < 10
        for filler in fillers:
            filler.close()
    assert error.never_left
    assert "too long" in str(error)


def _certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate that no one has reason to trust."""
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


def _hang(_: socket.socket, __: bytes) -> None:
    time.sleep(1.5)


def _after(data: bytes) -> Callable[[socket.socket, bytes], None]:
    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return answer


def _silent(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)  # until the other side is gone


@pytest.mark.parametrize(
    "answer",
    [
        _close,
        _reset,
        _after(b"HTTP/1.1 2"),
        _after(b"garbage\r\n\r\n"),
        _after(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000 + b"\r\n{}"),
    ],
)
def test_once_sent_a_purchase_without_a_reply_may_have_been_made_and_is_sent_once(
    transport: Make, odd_server: Serve, answer: Any
) -> None:
    server = odd_server(answer)
    error = _post(transport(server.base_url), f"{server.base_url}/run")
    assert not error.never_left
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "first", [b"http/1.1 202 Accepted", b"HTTP/2 202", b"Http/1.0 202 ", b"http/1.1 103 \r\n\r\nhttp/1.1 202 "]
)
def test_a_status_line_is_read_however_it_is_spelled(transport: Make, odd_server: Serve, first: bytes) -> None:
    server = odd_server(_after(first + b'\r\n\r\n{"jobId":"a"}'))
    reply = transport(server.base_url).post(f"{server.base_url}/run", b"{}")
    assert (reply.status, reply.body) == (202, b'{"jobId":"a"}')


def test_a_reply_that_does_not_come_is_waited_for_as_long_as_was_reported(transport: Make, odd_server: Serve) -> None:
    server = odd_server(_silent)
    started = time.monotonic()
    error = _post(transport(server.base_url, read=0.3), f"{server.base_url}/run")
    assert 0.25 < time.monotonic() - started < 5
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


# --- the first byte -----------------------------------------------------------------------------------------------

Handler = Callable[[socket.socket], None]


@pytest.fixture
def listener() -> Iterator[Callable[[Handler], int]]:
    """Start listeners that hand each connection to a function, as it is; returns the port."""
    opened: list[socket.socket] = []

    def start(handle: Handler) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.settimeout(5)
                    with connection, contextlib.suppress(OSError):
                        handle(connection)

        threading.Thread(target=accept, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in opened:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


def _says(*answers: bytes) -> Handler:
    def handle(connection: socket.socket) -> None:
        for data in answers:
            connection.recv(65536)
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)

    return handle


def _resets(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _stays_silent(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.recv(65536)


HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
CAPTIVE_PORTAL = b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n"
UNESTABLISHED = {
    # stage: (what stands at the proxy's or the service's port, whether it is a proxy, what the message names)
    "proxy 407": (_says(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"), True, "407.*password"),
    "proxy 403": (_says(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), True, "403"),
    "proxy 502": (_says(b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nbad"), True, "502"),
    "proxy closes": (_says(b""), True, "closed"),
    "proxy resets": (_resets, True, "(?i)reset|closed"),
    "proxy is silent": (_stays_silent, True, "too long"),
    "proxy talks of something else": (_says(b"220 mail.example ESMTP\r\n"), True, "not HTTP"),
    "tunnel leads to no TLS": (_says(b"HTTP/1.1 200 OK\r\n\r\n", CAPTIVE_PORTAL), True, "not TLS"),
    "tunnel closes": (_says(b"HTTP/1.1 200 OK\r\n\r\n"), True, "TLS handshake|closed"),
    "TLS plain answer": (_says(CAPTIVE_PORTAL), False, "not TLS"),
    "TLS closes": (_says(b""), False, "TLS handshake|closed"),
    "TLS reset": (_resets, False, "(?i)reset"),
    "TLS silence": (_stays_silent, False, "too long"),
    "TLS alert": (_says(HANDSHAKE_FAILURE), False, "TLS handshake failed"),
}


def _without_variables(monkeypatch: pytest.MonkeyPatch, proxy: str | None = None) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    if proxy is not None:
        monkeypatch.setenv("HTTPS_PROXY", proxy)


@pytest.mark.parametrize("stage", UNESTABLISHED)
def test_what_fails_before_the_first_byte_sent_nothing(
    transport: Make, listener: Any, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    handle, is_proxy, named = UNESTABLISHED[stage]
    port = listener(handle)
    _without_variables(monkeypatch, f"http://user:secret@127.0.0.1:{port}" if is_proxy else None)
    base = "https://kling.invalid" if is_proxy else f"https://localhost:{port}"
    committed: list[int] = []
    seconds = 0.5 if handle is _stays_silent else 10.0
    with pytest.raises(TransportError, match=named) as caught:
        transport(base, seconds, seconds).post(f"{base}/run", b"{}", before_first_byte=lambda: committed.append(1))
    error = caught.value
    assert (error.never_left, error.maybe_submitted, committed) == (True, False, [])
    assert "Nothing was sent" in str(error)
    assert (f"127.0.0.1:{port} (HTTPS_PROXY)" in str(error)) == is_proxy
    assert "secret" not in str(error)
    assert error.__context__ is None


UNUSABLE = {
    "proxy of an unknown kind": ("HTTPS_PROXY", "gopher://127.0.0.1:{port}", SettingsError, "HTTPS_PROXY"),
    "proxy that needs PySocks": (
        "ALL_PROXY",
        "socks5://127.0.0.1:{port}",
        SettingsError,
        r"ALL_PROXY.*requests\[socks\]",
    ),
    "proxy without a host": ("HTTPS_PROXY", "http://:{port}", SettingsError, "HTTPS_PROXY"),
    "proxy that speaks no TLS": ("HTTPS_PROXY", "https://127.0.0.1:{port}", TransportError, "HTTPS_PROXY"),
    "no file of certificates": ("REQUESTS_CA_BUNDLE", "{folder}/none.pem", SettingsError, "REQUESTS_CA_BUNDLE"),
    "a file that holds none": ("CURL_CA_BUNDLE", "{folder}/text.pem", SettingsError, "text.pem.*CURL_CA_BUNDLE"),
    "a key log in no folder": ("SSLKEYLOGFILE", "{folder}/none/keys", SettingsError, "none/keys.*SSLKEYLOGFILE"),
    "a key log that is a folder": ("SSLKEYLOGFILE", "{folder}", SettingsError, "SSLKEYLOGFILE"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_setting_of_the_environment_that_cannot_work_is_named_and_nothing_is_sent(
    transport: Make, listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    variable, value, kind, named = UNUSABLE[case]
    (tmp_path / "text.pem").write_text("-----BEGIN CERTIFICATE-----\nno base64 at all\n-----END CERTIFICATE-----\n")
    port = listener(_says(CAPTIVE_PORTAL))
    _without_variables(monkeypatch)
    monkeypatch.setenv(variable, value.format(port=port, folder=tmp_path))
    base = "https://kling.invalid" if "PROXY" in variable else f"https://localhost:{port}"
    committed: list[int] = []
    with pytest.raises(kind, match=named) as caught:
        transport(base).post(f"{base}/run", b"{}", before_first_byte=lambda: committed.append(1))
    assert not caught.value.maybe_submitted
    assert committed == []


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left"), SettingsError("locked"), ValueError("odd"), KeyboardInterrupt()]
)
def test_a_hook_that_fails_prevents_the_request_and_its_error_comes_out(
    transport: Make, odd_server: Serve, reply: Bytes, failure: BaseException
) -> None:
    server = odd_server(reply(b"{}"))

    def hook() -> None:
        raise failure

    with pytest.raises(type(failure)) as caught:
        transport(server.base_url).post(f"{server.base_url}/run", b"{}", before_first_byte=hook)
    assert caught.value is failure
    assert server.requests == []


@pytest.fixture(params=["http", "https"])
def ready_server(
    request: pytest.FixtureRequest,
    odd_server: Serve,
    reply: Bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Any, str]:
    """A server that answers, plain and with TLS, and its base URL."""
    context = None
    if request.param == "https":
        context = _certificate(tmp_path)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    server = odd_server(reply(b'{"jobId": "a"}'), context)
    return server, f"{request.param}://localhost:{server.port}"


def test_the_connection_is_ready_when_the_hook_is_called_and_the_request_follows(
    transport: Make, ready_server: tuple[Any, str]
) -> None:
    server, base = ready_server
    seen: list[tuple[int, int]] = []

    def hook() -> None:
        deadline = time.monotonic() + 60
        while not server.connections and time.monotonic() < deadline:
            time.sleep(0.001)
        seen.append((server.connections, len(server.requests)))

    assert transport(base).post(f"{base}/run", b'{"a": 1}', before_first_byte=hook).status == 200
    assert seen == [(1, 0)]
    assert len(server.requests) == 1
    assert server.requests[0].startswith(b"POST /run HTTP/1.1\r\n")


def test_after_a_slow_commit_the_request_goes_out_on_a_new_connection(
    transport: Make, ready_server: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kling_notebook.api.first_byte.SLOW_HOOK", 0.02)
    server, base = ready_server
    answer = transport(base).post(f"{base}/run", b'{"a": 1}', before_first_byte=lambda: time.sleep(0.05))
    assert json.loads(answer.body) == {"jobId": "a"}
    assert server.connections == 2
    assert [request.partition(b"\r\n\r\n")[2] for request in server.requests] == [b'{"a": 1}']


def test_a_service_that_is_gone_after_a_slow_commit_was_sent_nothing(
    transport: Make, odd_server: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kling_notebook.api.first_byte.SLOW_HOOK", -1.0)
    server = odd_server(b"")
    with pytest.raises(TransportError, match="Nothing was sent") as caught:
        transport(server.base_url).post(f"{server.base_url}/run", b"{}", before_first_byte=server.stop)
    assert caught.value.never_left
    assert server.requests == []


# --- headers --------------------------------------------------------------------------------------------------------

HEADS = {
    "103 before": b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 202 Accepted\r\n",
    "100, 102 and 103 before": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\nHTTP/1.1 202 Accepted\r\n",
    "103 without a reason": b"HTTP/1.1 103\r\n\r\nHTTP/1.1 202\r\n",
    "300 lines": b"HTTP/1.1 202 Accepted\r\n" + b"".join(b"X-Trace-%d: y\r\n" % k for k in range(300)),
    "a line of 200 kB": b"HTTP/1.1 202 Accepted\r\nX-Policy: " + b"p" * 200_000 + b"\r\n",
    "a line that is not a header": b"HTTP/1.1 202 Accepted\r\nPHP Warning at line 3\r\n",
    "a continued line": b"HTTP/1.1 202 Accepted\r\nX-Folded: a\r\n  b\r\n",
    "a space before the colon": b"HTTP/1.1 202 Accepted\r\nX-Odd : a\r\n",
    "bare line feeds": b"HTTP/1.1 202 Accepted\nX-Odd: a\n",
    "an empty line before": b"\r\nHTTP/1.1 202 Accepted\r\n",
    "raw UTF-8": "HTTP/1.1 202 Angenommen \u00fc\r\nX-Prompt: \u00fcber\r\n".encode(),
    "two different lengths": b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\nContent-Length: 5\r\n",
}


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("head", HEADS)
def test_a_reply_is_read_whatever_its_header_looks_like(
    transport: Make, odd_server: Serve, head: str, method: str
) -> None:
    body = b'{"jobId": "job_1", "status": "pending"}'
    length = b"" if "lengths" in head else b"Content-Length: %d\r\n" % len(body)
    server = odd_server(_after(HEADS[head] + length + b"Retry-After: 7\r\n\r\n" + body))
    one = transport(server.base_url)
    answer = one.get(f"{server.base_url}/a") if method == "get" else one.post(f"{server.base_url}/run", b"{}")
    assert (answer.status, json.loads(answer.body)["jobId"]) == (202, "job_1")
    assert answer.headers["Retry-After"] == "7"
    assert (http.client._MAXHEADERS, http.client._MAXLINE) == (100, 65536)  # type: ignore[attr-defined]  # untouched


def test_a_length_that_promises_too_much_does_not_hide_a_reply_that_is_whole(
    transport: Make, odd_server: Serve
) -> None:
    server = odd_server(_after(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"status": "completed"}'))
    assert json.loads(transport(server.base_url).get(f"{server.base_url}/a").body) == {"status": "completed"}


BODY = b'{"jobId": "job_1", "status": "pending"}'
BROKEN_FRAMES = {
    "chunks without the last one": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n"
    % (len(BODY), BODY),
    "two chunks, the second torn": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n%s\r\nfff\r\n%s"
    % (BODY[:5], BODY[5:]),
    "a chunk without its end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s" % (len(BODY), BODY),
    "chunks and then nonsense": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nzz\r\n"
    % (len(BODY), BODY),
    "not in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
    "not in chunks, with a length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 39\r\n\r\n"
    + BODY,
    "a length too short": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "a length of 0": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" + BODY,
    "a length too long": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + BODY,
    "torn": b"HTTP/1.1 200 OK\r\nContent-Length: 39\r\n\r\n" + BODY[:-3],
    "HTTP/2": b"HTTP/2 200\r\nContent-Length: 39\r\n\r\n" + BODY,
    "HTTP/2.0 after HTTP/2 103": b"HTTP/2 103\r\n\r\nHTTP/2.0 200 OK\r\nContent-Length: 39\r\n\r\n" + BODY,
    "HTTP/3, lower case": b"http/3 200 OK\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("end", [_close, _reset, _hang])
@pytest.mark.parametrize("frame", BROKEN_FRAMES)
def test_what_came_of_a_reply_counts_however_its_frame_is_broken(
    transport: Make, odd_server: Serve, frame: str, end: Callable[[socket.socket, bytes], None]
) -> None:
    """http.client drops what came with a chunk, or before an error."""

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(BROKEN_FRAMES[frame])
        time.sleep(0.1)  # or a reset would overtake it
        end(connection, request)

    server = odd_server(answer)
    one = transport(server.base_url, read=0.6)
    for reply in (one.post(f"{server.base_url}/run", b"{}"), one.get(f"{server.base_url}/jobs/a")):
        values, whole = parse_all(reply.body)
        assert (reply.status, values[0]["jobId"], whole) == (200, "job_1", frame != "torn")
    assert len(server.requests) == 2


EMPTY = {
    "nothing promised": b"HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\nContent-Length: 500\r\n\r\n",
    "a redirect": b"HTTP/1.1 307 Temporary Redirect\r\nConnection: close\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 503 Oops\r\nContent-Length: 0\r\n\r\n",
    "promised twice in one line": b"HTTP/1.1 500 Oops\r\nContent-Length: 2, 2\r\n\r\n{}",
}


@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_reply_is_not_waited_for_though_the_connection_stays_open(
    transport: Make, odd_server: Serve, empty: str
) -> None:
    over = threading.Event()

    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(EMPTY[empty])
        over.wait(20.0)

    server = odd_server(answer)
    began = time.monotonic()
    try:
        reply = transport(server.base_url, read=10.0).post(f"{server.base_url}/run", b"{}")
        assert time.monotonic() - began < 5.0
    finally:
        over.set()
    assert reply.status == int(EMPTY[empty].split()[1])
    assert reply.cut is None or "0 of 500" in reply.cut, reply.cut


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
        _drip(dripping, 0.1)(connection, request)

    server = odd_server(answer)
    started = time.monotonic()
    with pytest.raises(TransportError, match="too long"):
        transport(server.base_url, read=0.4).get(f"{server.base_url}/jobs/a")
    assert time.monotonic() - started < 4  # the shortest of them drips for longer


def test_silence_after_a_late_beginning_gets_only_what_is_left(transport: Make, odd_server: Serve) -> None:
    def answer(connection: socket.socket, _: bytes) -> None:
        time.sleep(1.0)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        connection.recv(1)

    server = odd_server(answer)
    started = time.monotonic()
    with pytest.raises(TransportError, match="too long"):
        transport(server.base_url, read=1.5).get(f"{server.base_url}/jobs/a")
    assert time.monotonic() - started < 2.4


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
        time.sleep(1.0)
        connection.sendall(reply(b"{}"))

    server = odd_server(answer)
    one = transport(server.base_url, read=2.5)
    for _ in range(3):
        assert one.get(f"{server.base_url}/jobs/a").status == 200
    assert server.connections == 1


def test_a_long_purchase_is_not_bound_by_the_connect_time_out(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    """A source image on a slow line: bytes in one piece would share the connect time-out in all."""
    body = b"x" * 8 * MB
    server = odd_server(reply(b"{}"))
    slow_listener = _throttled(server)
    assert transport(slow_listener, connect=1.0, read=30.0).post(f"{slow_listener}/run", body).status == 200
    assert len(server.requests[0].partition(b"\r\n\r\n")[2]) == len(body)


def _throttled(server: Any) -> str:
    """A listener before ``server`` that takes 8 MB in two seconds, never pausing for one."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

    def pump() -> None:
        with listener:
            client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", server.port)) as onward:
            threading.Thread(target=lambda: client.sendall(onward.recv(65536)), daemon=True).start()
            while data := client.recv(256 * 1024):
                onward.sendall(data)
                time.sleep(0.05)

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
    assert len(transport(server.base_url).get(f"{server.base_url}/jobs/a").body) == 16 * MB + 1


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
    assert error.never_left
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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig"])
def test_a_key_is_blanked_in_whatever_encoding_it_is_repeated(
    transport: Make, odd_server: Serve, reply: Bytes, encoding: str
) -> None:
    """In UTF-16 its bytes are others, and the reply was read all the same: the error showed it."""
    text = f'{{"jobId": "job_1", "note": "for {KEY} \u00fc"}}'
    server = odd_server(reply(text.encode(encoding)))
    body = transport(server.base_url).post(f"{server.base_url}/run", b"{}").body
    assert parse(body) == {"jobId": "job_1", "note": "for [key] \u00fc"}


def test_a_key_that_is_repeated_with_escapes_is_blanked_and_the_rest_stays(
    transport: Make, odd_server: Serve, reply: Bytes
) -> None:
    """The reply to a purchase still says its job id, whatever else it says."""
    escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
    server = odd_server(reply(f'{{"jobId": "job_\\u0031", "note": "by {escaped}"}}'.encode()))
    body = transport(server.base_url).post(f"{server.base_url}/run", b"{}").body
    assert json.loads(body) == {"jobId": "job_1", "note": "by [key]"}


def _shown_by(trace: Any) -> str:
    """What a traceback in verbose mode would print of the frames below the test's own."""
    frames = [entry.frame.f_locals for entry in trace[1:]]
    assert frames
    return " ".join(repr(value) for values in frames for value in values.values())


def test_no_frame_of_an_error_holds_the_key(transport: Make, odd_server: Serve) -> None:
    server = odd_server(_close)
    with pytest.raises(TransportError) as caught:
        transport(server.base_url).post(f"{server.base_url}/run", b"{}")
    assert "canary" not in _shown_by(caught.traceback)


@pytest.mark.skipif(os.name == "nt", reason="no signal wakes a read there")
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_interrupt_leaves_no_frame_that_holds_the_key(transport: Make, odd_server: Serve, method: str) -> None:
    def interrupt(_: socket.socket, __: bytes) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

    server = odd_server(interrupt)
    one = transport(server.base_url, read=20.0)
    with pytest.raises(KeyboardInterrupt) as caught:
        one.get(f"{server.base_url}/a") if method == "get" else one.post(f"{server.base_url}/run", b"{}")
    assert "canary" not in _shown_by(caught.traceback)
    assert caught.value.__context__ is None


def test_requests_never_holds_the_key(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    """Its objects end in caches and recordings."""
    import requests.adapters

    seen: list[str] = []
    whole = requests.adapters.HTTPAdapter.send

    def recording(self: Any, request: Any, **options: Any) -> Any:
        seen.append(repr(vars(request)))
        return whole(self, request, **options)

    server = odd_server(reply(b"{}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.adapters.HTTPAdapter, "send", recording)
        transport(server.base_url).get(f"{server.base_url}/a")
    assert seen
    assert "canary" not in seen[0]
    assert KEY.encode() in server.requests[0]
    assert b"\r\nCache-Control: no-store\r\n" in server.requests[0]


# --- downloads ----------------------------------------------------------------------------------------------------

IMAGE = os.urandom(200_000)


def test_an_image_is_fetched_without_the_key(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(IMAGE, "Set-Cookie: a=b; Path=/")))
    one = transport(server.base_url)
    for _ in range(2):
        assert _download(one, f"{server.base_url}/a.png") == IMAGE
    assert not any(b"authorization" in request.lower() or b"cookie" in request.lower() for request in server.requests)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(IMAGE)),
        ("x-gzip", gzip.compress(IMAGE)),
        ("GZIP", gzip.compress(IMAGE[:1000]) + gzip.compress(IMAGE[1000:]) + b"\0\0"),
        ("deflate", zlib.compress(IMAGE)),
        ("identity", IMAGE),
    ],
)
def test_an_encoding_that_was_not_asked_for_is_decoded(
    transport: Make, odd_server: Serve, reply: Bytes, encoding: str, body: bytes
) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(body, f"Content-Encoding: {encoding}")))
    assert _download(transport(server.base_url), f"{server.base_url}/a.png") == IMAGE


PNG = b"\x89PNG\r\n\x1a\n" + IMAGE + b"\0\0\0\0IEND\xaeB`\x82"


def _aws_chunked(data: bytes) -> bytes:
    parts = [data[k : k + 70_000] for k in range(0, len(data), 70_000)]
    return b"".join(b"%x;chunk-signature=ab12\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


DISGUISED = {
    "plain, called aws-chunked": ("aws-chunked", PNG),
    "plain, called gzip": ("gzip", PNG),
    "plain, called br": ("br", PNG),
    "plain, called deflate": ("deflate", PNG),
    "plain, called utf-8": ("utf-8", PNG),
    "chunked, called aws-chunked": ("aws-chunked", _aws_chunked(PNG)),
    "gzip, called nothing": ("", gzip.compress(PNG)),
    "gzip, called identity": ("identity", gzip.compress(PNG)),
    "gzip, called aws-chunked": ("aws-chunked", gzip.compress(PNG)),
    "gzip twice, called gzip": ("gzip", gzip.compress(gzip.compress(PNG))),
    "gzip in chunks": ("gzip, aws-chunked", _aws_chunked(gzip.compress(PNG))),
    "gzip with padding": ("gzip", gzip.compress(PNG) + b"padding"),
    "deflate without a header": ("deflate", zlib.compress(PNG)[2:-4]),
}


@pytest.mark.parametrize("case", DISGUISED)
def test_what_an_image_is_packed_in_is_decided_by_its_bytes(
    transport: Make, odd_server: Serve, reply: Bytes, case: str
) -> None:
    label, body = DISGUISED[case]
    server = odd_server(lambda connection, _: connection.sendall(reply(body, f"Content-Encoding: {label}")))
    assert _download(transport(server.base_url), f"{server.base_url}/a.png") == PNG


@pytest.mark.parametrize(
    "image",
    [PNG, b"\xff\xd8\xff\xe0" + IMAGE + b"\xff\xd9", b"RIFF" + (200_004).to_bytes(4, "little") + b"WEBP" + IMAGE],
    ids=["png", "jpeg", "webp"],
)
def test_an_image_with_its_end_marker_is_whole_whatever_its_length_says(
    transport: Make, odd_server: Serve, image: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n"
    server = odd_server(_after(head + image))
    assert _download(transport(server.base_url), f"{server.base_url}/a") == image
    torn = odd_server(_after(head + image[:-1]))
    with pytest.raises(DownloadError):
        _download(transport(torn.base_url), f"{torn.base_url}/a")


SENT_AS_GIVEN = {
    "/a b.png": "/a%20b.png",
    "/\u00e4.png": "/%C3%A4.png",
    "/%7Efox//a.png?sig=%2f%2F&x=~": "/%7Efox//a.png?sig=%2f%2F&x=~",
    "//a.png": "//a.png",
    "/a/../b/./c.png": "/a/../b/./c.png",
    "/100%.png": "/100%25.png",
    "/a.png?q=a b&c=\u00fc#part": "/a.png?q=a%20b&c=%C3%BC",
    "?sig=1": "/?sig=1",
    "/a\\b|c.png": "/a%5Cb%7Cc.png",
    "/a%20b.png": "/a%20b.png",
    "": "/",
}


@pytest.mark.parametrize("given", SENT_AS_GIVEN)
def test_an_address_goes_out_as_given_with_only_what_must_be_quoted(
    transport: Make, odd_server: Serve, reply: Bytes, given: str
) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(b"x")))
    assert _download(transport(server.base_url), f"http://127.0.0.1:{server.port}{given}") == b"x"
    assert server.requests[0].split(b"\r\n")[0] == f"GET {SENT_AS_GIVEN[given]} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/a b.png", "/a%20b.png"),
        ("/\u00e4 \u96ea.png".encode(), "/%C3%A4%20%E9%9B%AA.png"),
        ("/\u00e4.png".encode("latin-1"), "/%C3%A4.png"),
        (b"next.png?sig=%7E", "/api/v1/next.png?sig=%7E"),
        (b"/a%20b.png", "/a%20b.png"),
    ],
)
def test_a_redirect_is_followed_whatever_its_location_is_written_in(
    transport: Make, odd_server: Serve, reply: Bytes, location: bytes, target: str
) -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        moved = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
        connection.sendall(moved if b"/first.png " in request else reply(b"x"))

    server = odd_server(answer)
    assert _download(transport(server.base_url), f"{server.base_url}/first.png") == b"x"
    assert server.requests[1].split(b" ")[1] == target.encode()


def test_an_image_in_chunks_is_read(transport: Make, odd_server: Serve) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (IMAGE[:1000], IMAGE[1000:])) + b"0\r\n\r\n"
    server = odd_server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert _download(transport(server.base_url), f"{server.base_url}/a.png") == IMAGE


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(IMAGE)[:1000],
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n....",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
        b"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\nhalf",
        b"HTTP/1.1 204 Nothing\r\n\r\n",
    ],
)
def test_an_image_that_is_not_whole_is_an_error_that_may_be_tried_again(
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
        lambda: b"Content-Length: 99999999\r\n\r\n",
        lambda: b"\r\n" + b"x" * (MB + 1),
        lambda: b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"\0" * 200 * MB, 6),
    ],
    ids=["promised", "sent", "inflated"],
)
def test_an_oversized_image_is_refused_at_once_and_for_good(
    transport: Make, odd_server: Serve, head: Callable[[], bytes]
) -> None:
    server = odd_server(_after(b"HTTP/1.1 200 OK\r\n" + head()))
    written: list[int] = []
    started = time.monotonic()
    with pytest.raises(DownloadError, match="above 1 MB") as caught:
        transport(server.base_url).download(
            f"{server.base_url}/a.png", lambda piece: written.append(len(piece)), limit=MB, seconds=60.0
        )
    assert caught.value.final
    assert sum(written) <= MB
    assert time.monotonic() - started < 30  # and not the minute that a download may take


def test_an_image_of_exactly_the_limit_is_kept(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(lambda connection, _: connection.sendall(reply(b"x" * MB)))
    assert len(_download(transport(server.base_url), f"{server.base_url}/a.png")) == MB


def test_a_download_that_drips_ends_at_its_deadline(transport: Make, odd_server: Serve) -> None:
    server = odd_server(_drip(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 500, 0.05))
    started = time.monotonic()
    with pytest.raises(DownloadError, match="too long"):
        _download(transport(server.base_url, read=60.0), f"{server.base_url}/a.png", seconds=0.5)
    assert time.monotonic() - started < 10


def test_what_writing_raises_comes_out_unchanged(transport: Make, odd_server: Serve, reply: Bytes) -> None:
    server = odd_server(reply(IMAGE))
    full = OSError(28, "No space left on device")

    def write(_: bytes) -> None:
        raise full

    with pytest.raises(OSError, match="No space") as caught:
        transport(server.base_url).download(f"{server.base_url}/a.png", write, limit=MB, seconds=5.0)
    assert caught.value is full


def test_redirects_of_a_download_are_followed_by_hand_without_the_key(
    transport: Make, odd_server: Serve, reply: Bytes
) -> None:
    other = odd_server(lambda connection, _: connection.sendall(reply(IMAGE)))

    def answer(connection: socket.socket, request: bytes) -> None:
        target = "b.png" if b"/a.png" in request else f"http://127.0.0.1:{other.port}/c.png"
        connection.sendall(reply(b"", f"Location: {target}", status="302 Found"))

    server = odd_server(answer)
    assert _download(transport(server.base_url), f"{server.base_url}/a.png") == IMAGE
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
    server = odd_server(reply(IMAGE))
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
    inside = odd_server(reply(IMAGE))
    outside = odd_server(reply(b"", f"Location: https://127.0.0.1:{inside.port}/a.png", status="302 Found"))
    one = transport("https://pixeldojo.ai/api/v1")
    monkeypatch.setattr("kling_notebook.api.transport.why_blocked", _allow_first(outside.base_url))
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
