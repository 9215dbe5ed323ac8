"""The sandbox on a socket: a Tornado server with a thread and a loop of its own. The only module that knows Tornado."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import socket
import threading
import time
from asyncio import Future
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError

from .faults import Fault, Script
from .images import Images, Paint
from .limits import LimitModel, RateLimit
from .log import Entry, Log, RequestKind
from .options import check_options
from .replies import SERVER, Reply
from .router import Request, Router
from .schema import MAX_BODY, Shape
from .service import Latency, Service

logger = logging.getLogger("kling_notebook.sandbox")

#: Above this the server does not even read on.
MAX_READ = 2**30
DRIP_STEPS = 50
#: Seconds until a connection ends on which nothing is asked; longer than clients keep theirs.
MAX_IDLE = 120.0
MAX_CONNECTIONS = 256


class Sandbox:
    """A service on 127.0.0.1 that speaks PixelDojo's kling-image API and paints instead of asking a model.

    A context manager, or `start` and `stop`. The address is bound in the caller's thread, so `start` raises OSError
    for a taken port; requests are answered on a daemon thread. An option that cannot work is a ValueError.

    Args:
        port: 0 takes a free one.
        key: what clients must send; None makes a random one.
        latency: seconds a job takes, about; 0 finishes it at the first poll; None takes a pleasant 2 to 3 s; a
            function gets the job's ordinal (from 0) and returns the exact seconds.
        credits: the balance at the start. With ``refill`` False a balance found in ``state_path`` continues instead.
        credit_cost: credits an image costs.
        rate_limit: requests with a key per ``rate_window`` seconds; None for no limit.
        rate_model: ``fixed`` windows, or a ``bucket`` of ``rate_burst`` tokens.
        rate_headers: False leaves X-RateLimit-* and Retry-After out: a limit that is not announced.
        rate_retry_after: how Retry-After is written: ``seconds``, ``date`` or ``none``.
        seed: of the images, the time jobs take and which of them fail.
        fail_rate: the share of jobs that end as failed (0 to 1).
        faults: what goes wrong, see `Fault`.
        schema: the key of the number of images, ``num_outputs`` or ``num_images``; None publishes no schema.
        image_key: the key of the source image (``image_url``, ``image``, ``image_urls``, ...); None takes none.
        state_path: a JSON file for the job table, so that another sandbox continues with these jobs; source images
            are kept in a folder beside it.
        asset_lifetime: seconds until the address of an image expires.
        paint: what paints, instead of the sandbox's painter.

    >>> with kling.Sandbox(latency=0) as service:
    ...     client = kling.KlingClient(service.key, base_url=service.base_url)
    ...     images = client.run(kling.GenerationRequest("a red fox", num_outputs=2))
    ...     print(len(images), "images,", service.count("submit"), "POST,", service.charges, "credits")
    2 images, 1 POST, 2 credits
    """

    def __init__(
        self,
        *,
        port: int = 0,
        key: str | None = None,
        latency: Latency = None,
        credits: float = 10_000,
        refill: bool = True,
        credit_cost: float = 1,
        rate_limit: int | None = None,
        rate_window: float = 60.0,
        rate_model: LimitModel = "fixed",
        rate_burst: int | None = None,
        rate_headers: bool = True,
        rate_retry_after: Literal["seconds", "date", "none"] = "seconds",
        seed: int = 0,
        fail_rate: float = 0.0,
        faults: Sequence[Fault] = (),
        schema: Literal["num_outputs", "num_images"] | None = "num_outputs",
        image_key: str | None = "image_url",
        state_path: Path | None = None,
        asset_lifetime: float = 3600.0,
        paint: Paint | None = None,
    ) -> None:
        check_options(**{name: value for name, value in locals().items() if name != "self"})
        self.key = key or f"sandbox-{secrets.token_urlsafe(24)}"
        self._port = port
        self._script = Script(faults)
        self._log = Log()
        self._service = Service(
            latency=latency,
            credits=credits,
            refill=refill,
            credit_cost=credit_cost,
            seed=seed,
            fail_rate=fail_rate,
            asset_lifetime=asset_lifetime,
            state_path=state_path,
        )
        self._images = Images(self._service, paint)
        limit = None
        if rate_limit is not None:
            limit = RateLimit(rate_limit, window=rate_window, model=rate_model, burst=rate_burst)
        self._router = Router(
            self._service,
            self._images,
            key=self.key,
            script=self._script,
            shape=Shape(schema or "num_outputs", image_key),
            publish_schema=schema is not None,
            limit=limit,
            announce_limit=rate_headers,
            retry_after=rate_retry_after,
        )
        self._running: _Running | None = None

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Bind and serve. Does nothing where it is already running. Raises OSError for a taken port."""
        if self._running is None:
            self._images.start()
            self._running = _Running(self._port, self._router, self._log)
            self._port = self._running.port
        return self

    def stop(self) -> None:
        """Close every connection and end the thread. Does nothing where it is not running."""
        if self._running is not None:
            self._running.stop()
            self._running = None
        self._images.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = self.base_url if self._running is not None else "not running"
        return f"<Sandbox {where}>"

    # -- what can be asked --------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        return self._port

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``, without a path."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL."""
        return f"{self.origin}/api/v1"

    @property
    def log(self) -> list[Entry]:
        """What arrived, oldest first (the last ten thousand)."""
        return self._log.entries()

    def count(self, kind: RequestKind) -> int:
        """How many requests of this kind arrived, whatever the answer was."""
        return self._log.count(kind)

    @property
    def credits(self) -> float:
        """The balance."""
        return self._service.credits

    @property
    def charges(self) -> float:
        """Credits charged since the start."""
        return self._service.charges

    @property
    def job_ids(self) -> list[str]:
        """Ids of the newest jobs, newest first: what a person would read off the website."""
        return self._service.job_ids()

    def add_fault(self, fault: Fault) -> None:
        """Script one more fault; its requests are counted from now."""
        self._script.add(fault)

    def clear_faults(self) -> None:
        """Let everything go right from now on."""
        self._script.clear()


class _Running(HTTPServerConnectionDelegate):
    """A bound socket, and the thread that serves it."""

    def __init__(self, port: int, router: Router, log: Log) -> None:
        self.router = router
        self.log = log
        self._socket = _bind(port)
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._serve, name="kling-sandbox", daemon=True)
        self._thread.start()
        self._ready.wait(10.0)

    def _serve(self) -> None:
        # A selector loop everywhere: Tornado needs one, and Windows would give another.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        server = _Server(
            self, max_body_size=MAX_READ, max_buffer_size=MAX_READ, chunk_size=2**16, idle_connection_timeout=MAX_IDLE
        )
        server.add_sockets([self._socket])
        self._ready.set()
        await self._end.wait()
        server.stop()  # the runner cancels the requests that still hang
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.close_all_connections(), 2.0)

    def stop(self) -> None:
        if self._loop is not None and self._end is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(5.0)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:  # noqa: ARG002
        assert isinstance(request_conn, HTTP1Connection)  # noqa: S101 - what HTTPServer makes; tells the type
        return _Reading(self, request_conn)

    def note(self, request: Request, port: int) -> int:
        """Log what arrived."""
        return self.log.add(
            Entry(
                kind=request.kind,
                method=request.method,
                path=request.target,
                at=time.time(),
                with_key=self.router.has_key(request),
                authorization="authorization" in request.headers,
                port=port,
                body=request.body,
            )
        )

    async def answer(self, request: Request, fault: Fault | None, connection: HTTP1Connection, port: int) -> None:
        """Log, answer and send; nothing escapes."""
        number = self.note(request, port)
        reply = await self.router.answer(request, fault)
        self.log.answered(number, reply.sent_status)
        try:
            await _send(reply, connection, request.method)
        except StreamClosedError:
            pass  # the client has gone
        except Exception:
            logger.debug("The sandbox could not send a reply to %s %s", request.method, request.path, exc_info=True)
            connection.close()


def _bind(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows the same option lets two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(128)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


class _Server(HTTPServer):
    """With a bound on its connections: what comes beyond it is closed unread."""

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            stream.close()
        else:
            super().handle_stream(stream, address)


class _Reading(HTTPMessageDelegate):
    """Collects one request.

    A body that is too large, or comes without a key, is read and dropped, so that the client hears why. One that
    comes from a web page or to another host's name is not read at all.
    """

    def __init__(self, running: _Running, connection: HTTP1Connection) -> None:
        self._running = running
        self._connection = connection
        peer = getattr(connection.context, "address", None)
        self._port: int = peer[1] if peer else 0
        self._request: Request | None = None
        self._fault: Fault | None = None
        self._body = bytearray()
        self._kept = True

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        assert isinstance(start_line, RequestStartLine)  # noqa: S101 - a server reads requests; tells the type
        lowered = {name.lower(): value for name, value in headers.get_all()}
        self._request = Request(start_line.method, start_line.path, lowered)
        router = self._running.router
        refusal = router.stranger(self._request)
        if refusal is not None:  # answered at once: Tornado then reads no body and ends the connection
            number = self._running.note(self._request, self._port)
            self._running.log.answered(number, refusal.status)
            _start(refusal, self._connection)
            self._connection.write(b"" if start_line.method == "HEAD" else refusal.body)
            self._connection.finish()
            return
        self._kept = router.reads_body(self._request)
        self._fault = router.take_fault(self._request)
        if self._fault is not None and self._fault.unread:
            self._running.note(self._request, self._port)
            self._connection.detach().close()

    def data_received(self, chunk: bytes) -> None:
        space = MAX_BODY + 1 - len(self._body)
        if space > 0 and self._kept:
            self._body += chunk[:space]

    def finish(self) -> None:
        assert self._request is not None  # noqa: S101 - finish follows headers_received
        request = replace(self._request, body=bytes(self._body))
        answer = self._running.answer(request, self._fault, self._connection, self._port)
        task = asyncio.get_running_loop().create_task(answer)
        self._running.tasks.add(task)
        task.add_done_callback(self._running.tasks.discard)

    def on_connection_close(self) -> None:
        self._body.clear()


async def _send(reply: Reply, connection: HTTP1Connection, method: str) -> None:
    if reply.raw is not None:
        await _send_raw(reply.raw, reply, connection)
        return
    body = b"" if method == "HEAD" else reply.body
    await _start(reply, connection)
    for _ in range(reply.repeat if body else 0):
        await connection.write(body)
    connection.finish()


def _start(reply: Reply, connection: HTTP1Connection) -> Future[None]:
    """Write the status and the headers."""
    headers = HTTPHeaders({"Server": SERVER, **reply.headers})
    if reply.sized:
        headers["Content-Length"] = str(reply.length)
    return connection.write_headers(ResponseStartLine("HTTP/1.1", reply.status, reply.reason), headers)


async def _send_raw(raw: bytes, reply: Reply, connection: HTTP1Connection) -> None:
    """Send the headers at once and the rest over ``reply.seconds``, past everything that would correct them."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if head:
        await connection.stream.write(head + end)
    step = max(1, math.ceil(len(body) / DRIP_STEPS)) if reply.seconds else len(body)
    parts = [body[at : at + step] for at in range(0, len(body), step)] if body else [b""]
    for part in parts:
        await _pause(connection, reply.seconds / len(parts))
        if part:
            await connection.stream.write(part)
    (connection.close if reply.close else connection.finish)()


async def _pause(connection: HTTP1Connection, seconds: float) -> None:
    """Silence, for so long or until the client gives up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not connection.stream.closed():
        await asyncio.sleep(min(0.1, max(0.0, end - time.monotonic())))
