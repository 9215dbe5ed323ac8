"""What arrived at the sandbox. Tests count POSTs, polls and bytes here instead of asking the client what it sent."""

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

RequestKind = Literal["submit", "poll", "download", "other"]

MAX_ENTRIES = 10_000
MAX_BODY = 16 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One request, from the moment it had been read.

    Attributes:
        kind: ``submit`` is a POST to a model's run path, ``poll`` a GET of a job, ``download`` a GET of an image,
            whatever the answer was; everything else is ``other``.
        path: with its query, as it was sent.
        at: epoch seconds when the request had been read.
        with_key: an Authorization header came along and holds the sandbox's key.
        authorization: any Authorization header came along, right or wrong.
        status: of the answer; 0 while there is none, and for ever where a fault sent none.
        port: the client's port, which tells one connection from another.
        body: the first 16 kB of what was sent.
    """

    kind: RequestKind
    method: str
    path: str
    at: float
    with_key: bool
    authorization: bool = False
    status: int = 0
    port: int = 0
    body: bytes = b""


class Log:
    """The last ten thousand entries and the count of all. Safe on any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._next = 0

    def add(self, entry: Entry) -> int:
        """Note a request; returns the number under which its status is filled in."""
        with self._lock:
            number = self._next
            self._next += 1
            # Long enough for every prompt; a source image of 13 MB would fill the memory of a long test.
            self._entries[number] = replace(entry, body=entry.body[:MAX_BODY])
            self._counts[entry.kind] += 1
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
            return number

    def answered(self, number: int, status: int) -> None:
        with self._lock:
            entry = self._entries.get(number)
            if entry is not None:  # it may have been pushed out while its answer was painted
                self._entries[number] = replace(entry, status=status)

    def entries(self) -> list[Entry]:
        with self._lock:
            return list(self._entries.values())

    def count(self, kind: RequestKind) -> int:
        """How many requests of this kind ever arrived, forgotten entries included."""
        with self._lock:
            return self._counts[kind]
