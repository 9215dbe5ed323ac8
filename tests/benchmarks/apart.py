"""A service in a process of its own, behind a network: ``python -m tests.benchmarks.apart OPTIONS`` (JSON).

It prints its address and key. A line on its input sets the rate limit (a number) or asks for counts (an empty one);
each is answered by a line of counts. It ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK = 2**16
QUEUED = 64  # chunks on their way, in each direction of a connection


@dataclass(frozen=True)
class Apart:
    """A service of another process: where it is, and what it counted."""

    base_url: str
    key: str
    process: subprocess.Popen[str]

    def counts(self, limit: int | None = None) -> dict[str, int]:
        """Requests by kind, and ``refused`` among submits and polls; with ``limit`` that is the limit from now on."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{'' if limit is None else limit}\n")
        self.process.stdin.flush()
        counts: dict[str, int] = json.loads(self.process.stdout.readline())
        return counts


@contextmanager
def apart(
    latency: float | list[float] = 0.0, *, round_trip: float = 0.0, bandwidth: float = 0.0, **options: Any
) -> Iterator[Apart]:
    """A sandbox in a process of its own, where what it does must not slow down whoever measures.

    Args:
        latency: seconds of each job, or of the first, second ... of them (then from the first again).
        round_trip: seconds from here to there and back. bandwidth: bytes a second of one connection, 0: any.
        options: ``resolution`` of its one image, and what a Sandbox takes.
    """
    given = {"latency": latency, "round_trip": round_trip, "bandwidth": bandwidth} | options
    argv = [sys.executable, "-m", "tests.benchmarks.apart", json.dumps(given)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Apart(*process.stdout.readline().split(), process)
        finally:
            process.stdin.close()


def main() -> None:
    from . import service

    options = json.loads(sys.argv[1])
    round_trip, bandwidth, seconds = (options.pop(name) for name in ("round_trip", "bandwidth", "latency"))
    durations = seconds if isinstance(seconds, list) else [seconds]
    with service.sandbox(**options, latency=lambda ordinal: durations[ordinal % len(durations)]) as ours:
        port = _relay(ours.port, round_trip, bandwidth) if round_trip or bandwidth else ours.port
        print(f"http://127.0.0.1:{port}/api/v1", ours.key, flush=True)
        for line in sys.stdin:
            if line.strip():
                ours._router.limit.limit = int(line)
            counts = {kind: ours.count(kind) for kind in ("submit", "poll", "download", "other")}
            refused = sum(entry.status == 429 for entry in ours.log)
            print(json.dumps(counts | {"refused": refused}), flush=True)


def _relay(port: int, round_trip: float, bandwidth: float) -> int:
    """The port of a relay to ``port``, on a thread of its own."""
    ready: list[int] = []
    begun = threading.Event()

    async def serve() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, onward = await asyncio.open_connection("127.0.0.1", port, limit=CHUNK)
            # On a real network a client cannot send before its connection has been there and back.
            up = _carry(reader, onward, round_trip / 2, bandwidth, time.monotonic() + round_trip)
            await asyncio.gather(up, _carry(there, writer, round_trip / 2, bandwidth, 0.0))
            writer.close()
            onward.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=CHUNK)
        ready.append(server.sockets[0].getsockname()[1])
        begun.set()
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    begun.wait()
    return ready[0]


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, bandwidth: float, free: float
) -> None:
    """Pass on what comes, later and no faster; ``free`` is when the line takes the first of it."""
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED)

    async def deliver() -> None:
        chunk = b"first"
        while chunk:
            due, chunk = await waiting.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(OSError):  # whoever reads here may have left
                writer.write(chunk) if chunk else writer.write_eof()
                await writer.drain()

    delivering = asyncio.create_task(deliver())
    chunk = b"first"
    while chunk:
        try:
            chunk = await reader.read(CHUNK)
        except OSError:
            chunk = b""
        free = max(free, time.monotonic()) + (len(chunk) / bandwidth if bandwidth else 0.0)
        await waiting.put((free + delay, chunk))
    await delivering


if __name__ == "__main__":
    main()
