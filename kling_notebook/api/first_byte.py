"""One request on its way out: the moment before its first byte, and whether a byte was written.

Whether a purchase may be sent again is decided by this fact and not by the type of an exception: whatever fails before
the first byte (name, connection, proxy, TLS handshake, commit of the intent) has sent nothing.

Needs nothing beyond the standard library; transport.py mixes `WatchedConnection` into urllib3's connection classes.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .api_key import Secret
from .response_body import TimedReply

# Seconds. If the hook takes longer, the other end may have closed the idle connection: a new one is opened.
SLOW_HOOK = 5.0


@dataclass(slots=True)
class Exchange:
    """What is known of one request.

    Attributes:
        target: path and query, sent exactly as they stand here.
        key: goes into the Authorization header, None for a host that must not see it.
        before_first_byte: called once the connection is ready, TLS included; what it raises prevents the request.
        started: a byte of the request may have been written.
        hook_error: what ``before_first_byte`` raised.
    """

    target: str
    key: Secret | None = None
    before_first_byte: Callable[[], object] | None = None
    started: bool = False
    hook_error: BaseException | None = None


_thread = threading.local()


@contextmanager
def under_way(exchange: Exchange) -> Iterator[None]:
    """Make ``exchange`` the one that this thread's next request belongs to."""
    outer = getattr(_thread, "exchange", None)
    _thread.exchange = exchange
    try:
        yield
    finally:
        _thread.exchange = outer


class WatchedConnection:
    """Mixed into a class derived from `http.client.HTTPConnection`.

    ``putrequest`` arms the connection, the first ``send`` after it is the first byte. CONNECT and the TLS handshake
    use ``send`` too, or the socket: they run while the connection is not armed.
    """

    response_class = TimedReply
    sock: Any
    connect: Callable[[], None]
    _armed: Exchange | None = None

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Begin the request, with the target as given: urllib3 would rewrite signed URLs, and requests keep the key."""
        exchange: Exchange = _thread.exchange
        parts = urlsplit(url)
        through_proxy = f"{parts.scheme}://{parts.netloc}" if parts.scheme and not url.startswith("/") else ""
        super().putrequest(method, through_proxy + exchange.target, *args, **options)  # type: ignore[misc]
        if exchange.key is not None:
            # Here and not in requests: its objects end in tracebacks, caches and recordings.
            self.putheader("Authorization", f"Bearer {exchange.key.reveal()}")  # type: ignore[attr-defined]
        self._armed = exchange

    def send(self, data: Any) -> None:
        """Write; before the first byte of the request connect if needed, call the hook and take note."""
        exchange, self._armed = self._armed, None
        if exchange is not None:
            if self.sock is None:
                self.connect()
            self._call_hook(exchange)
            exchange.started = True
        super().send(data)  # type: ignore[misc]

    def _call_hook(self, exchange: Exchange) -> None:
        if exchange.before_first_byte is None:
            return
        began = time.monotonic()
        try:
            exchange.before_first_byte()
        except BaseException as error:
            exchange.hook_error = error
            raise
        if time.monotonic() - began > SLOW_HOOK:
            idle, self.sock = self.sock, None  # close() would also forget the request that was begun
            idle.close()
            self.connect()
