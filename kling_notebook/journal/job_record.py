"""One job of a folder as a frozen value, and as a row of the journal."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from ..api.address import MOST_IMAGES
from ..api.generation_request import GenerationRequest
from ..api.job import LATEST, MOST_BALANCE, MOST_CREDITS, JobStatus
from ..api.url_policy import LONGEST_URL, is_job_id
from . import layout


@dataclass(frozen=True, slots=True)
class Record:
    """One job of the folder. Times are seconds since the epoch, ``seconds`` a duration, ``images`` relative paths.

    ``session`` bought it; ``owner`` is the session that works on it now. ``estimate`` is what it was thought to cost
    before the reply's ``credits`` arrived. ``key`` is a salted fingerprint of the account's key; None on the sandbox.
    """

    number: int
    identity: str
    status: JobStatus
    backend: str
    source: str
    session: str
    owner: str
    request: GenerationRequest
    created_at: float
    estimate: float = 0.0
    job_id: str | None = None
    status_url: str | None = None
    submitted_at: float | None = None
    completed_at: float | None = None
    seconds: float | None = None
    credits: float | None = None
    credits_remaining: float | None = None
    images: tuple[str, ...] = ()
    error: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    starred: frozenset[int] = frozenset()
    note: str | None = None
    key: str | None = None

    @property
    def id_unverified(self) -> bool:
        """True where a person attached the job id and the service has given no result for it yet: it may be wrong."""
        return self.job_id is not None and self.raw.get("attached") == self.job_id and "final" not in self.raw

    def replace(self, **changes: Any) -> Self:
        """The next record: this one with some facts replaced."""
        return replace(self, **changes)


COLUMNS = tuple("n" if f.name == "number" else f.name for f in fields(Record))


def _moment(at: float | None) -> float | None:
    """A clock that shows no date must not make a row that cannot be read."""
    return at if at is None else min(max(at, 0.0), LATEST)


def row_of(record: Record) -> dict[str, Any]:
    return {
        "identity": record.identity,
        "status": record.status.value,
        "backend": record.backend,
        "key": record.key,
        "source": record.source,
        "session": record.session,
        "owner": record.owner,
        "prompt": record.request.prompt,
        "request": json.dumps(record.request.as_json()),
        "estimate": record.estimate,
        "job_id": record.job_id,
        "status_url": record.status_url,
        "created_at": _moment(record.created_at),
        "submitted_at": _moment(record.submitted_at),
        "completed_at": _moment(record.completed_at),
        "seconds": record.seconds,
        "credits": record.credits,
        "credits_remaining": record.credits_remaining,
        "images": json.dumps(record.images),
        "error": record.error,
        "raw": json.dumps(record.raw),
    }


# Longer or unprintable ones are not of any service, and would be shown.
_MOST_LETTERS = {"status_url": LONGEST_URL, "backend": 300, "source": 40, "key": 40}

# What SQL says of a value that kling_notebook can have written: a folder may come from a stranger. A text is greater
# than every number in SQLite, so that BETWEEN holds for numbers only.
_TEXT, _TEXT_OR_NULL = "typeof({0}) = 'text'", "typeof({0}) IN ('text', 'null')"
_SESSION = "typeof({0}) = 'text' AND length(CAST({0} AS BLOB)) = 12 AND {0} NOT GLOB '*[^0-9a-f]*'"
_OBJECT = "CASE WHEN typeof({0}) = 'text' AND json_valid({0}) THEN json_type({0}) = 'object' ELSE 0 END"
_ARRAY = _OBJECT.replace("object", "array")
_TIME = f"{{0}} BETWEEN 0 AND {LATEST}"
_FITS = {
    "n": "{0} BETWEEN 1 AND 999999999",
    "identity": _TEXT,
    "status": _TEXT,
    "backend": _TEXT,
    "source": _TEXT,
    "session": _SESSION,
    "owner": _SESSION,
    "prompt": _TEXT,
    "request": _OBJECT,
    "created_at": _TIME,
    "estimate": f"{{0}} BETWEEN 0 AND {MOST_CREDITS}",
    "job_id": _TEXT_OR_NULL,
    "status_url": _TEXT_OR_NULL,
    "submitted_at": f"({{0}} IS NULL OR {_TIME})",
    "completed_at": f"({{0}} IS NULL OR {_TIME})",
    "seconds": "({0} IS NULL OR {0} BETWEEN 0 AND 1e9)",
    "credits": f"({{0}} IS NULL OR {{0}} BETWEEN 0 AND {MOST_CREDITS})",
    "credits_remaining": f"({{0}} IS NULL OR {{0}} BETWEEN -{MOST_BALANCE} AND {MOST_BALANCE})",
    "images": _ARRAY,
    "error": _TEXT_OR_NULL,
    "raw": _OBJECT,
    "starred": _ARRAY,
    "note": _TEXT_OR_NULL,
    "key": _TEXT_OR_NULL,
}
IMPOSSIBLE = f"({' AND '.join(test.format(name) for name, test in _FITS.items())}) IS NOT TRUE"


def record_of(row: Sequence[Any]) -> Record:
    """The record of a row: the columns, and whether it is impossible in SQL.

    Raises:
        ValueError, or any other error: the row cannot be one of this package.
    """
    *values, impossible = row
    if impossible:
        raise ValueError("its values cannot be a job's")
    facts = dict(zip(COLUMNS, values, strict=True))
    for name, most in _MOST_LETTERS.items():
        text = facts[name] or ""
        if len(text) > most or not text.isprintable():
            raise ValueError(f"its {name} cannot be {text!r:.60}")
    if facts["job_id"] is not None and not is_job_id(facts["job_id"]):
        raise ValueError(f"its job_id cannot be {facts['job_id']!r:.60}")
    facts |= {
        "number": facts.pop("n"),
        "status": JobStatus(facts["status"]),
        "request": GenerationRequest.from_json(json.loads(facts["request"])),
        "images": tuple(json.loads(facts["images"])),
        "raw": json.loads(facts["raw"]),
        "starred": frozenset(json.loads(facts["starred"])),
    }
    if (
        len(facts["images"]) > MOST_IMAGES
        or not all(map(layout.is_plain_name, facts["images"]))
        or not all(isinstance(place, int) for place in facts["starred"])
    ):
        raise ValueError("its images are not names of files")
    return Record(**facts)


def new_record(
    request: GenerationRequest,
    *,
    backend: str,
    source: str,
    session: str,
    estimate: float,
    now: float | None = None,
    key: str | None = None,
) -> Record:
    """A record in its first state; ``number`` is 0 until the journal has it."""
    return Record(
        0, request.identity, JobStatus.QUEUED, backend, source, session, session, request,
        time.time() if now is None else now, estimate, key=key,
    )  # fmt: skip
