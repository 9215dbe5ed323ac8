"""The service itself: jobs, credits and time. No sockets, no threads of its own; the clock is a parameter."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .replies import Refusal
from .schema import Wanted
from .sources import Source, Sources
from .state import JobTable

MAX_JOBS = 2_000
#: Images a job can have been made to deliver, by a fault too.
MOST_IMAGES = 100
#: The share of a job's time in which it is still ``pending``.
PENDING_SHARE = 0.2
FAILURE = "The model could not make this image. Try another prompt."

Latency = float | Callable[[int], float] | None


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes:
        ordinal: from 0, over the life of a sandbox; the images' seed derives from it.
        wanted: without its image. source: what became of that.
        count: images it delivers; a fault may make it differ from what was asked.
        created_at: epoch seconds. seconds: how long it takes.
        error: set on a job that fails: a string or an object.
        issue: how often asset URLs were handed out; every poll of a finished job hands out new ones.
        revoked: asset URLs up to this issue no longer work.
    """

    id: str
    ordinal: int
    wanted: Wanted
    source: Source | None
    count: int
    cost: float
    created_at: float
    seconds: float
    seed: int
    error: Any = None
    issue: int = 0
    revoked: int = 0

    def status(self, now: float) -> str:
        """``pending``, ``processing``, ``completed`` or ``failed``."""
        elapsed = now - self.created_at
        if elapsed >= self.seconds:
            return "failed" if self.error is not None else "completed"
        return "pending" if elapsed < self.seconds * PENDING_SHARE else "processing"


@dataclass(kw_only=True, repr=False, eq=False)
class Service:
    """Every job of one sandbox. Called on the server's loop; the numbers may be read on any thread.

    Attributes:
        credits: what is left. charges: credits taken since the start.
    """

    latency: Latency = None
    credits: float = 10_000
    refill: bool = True
    credit_cost: float = 1
    seed: int = 0
    fail_rate: float = 0.0
    asset_lifetime: float = 3600.0
    state_path: Path | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.charges: float = 0
        path = self.state_path
        self.sources = Sources(path.with_name(f"{path.stem}_sources") if path else None)
        # Addresses of an earlier sandbox must not be valid here: its jobs may have been another person's.
        self._secret = secrets.token_bytes(32)
        self._lock = threading.RLock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._table = JobTable(path) if path is not None else None
        self._made = 0
        self._read_table()
        if self._table is not None and not self.refill:
            left = self._table.credits()
            self.credits = self.credits if left is None else left

    # -- buying -------------------------------------------------------------------------------------------------

    def submit(self, wanted: Wanted) -> Job:
        """Make a job and charge it, or a Refusal (insufficient_credits)."""
        cost = wanted.count * self.credit_cost
        with self._lock:
            if cost > self.credits:
                left = number(self.credits)
                raise Refusal(
                    "insufficient_credits",
                    f"Not enough credits: this job costs {number(cost)} and {left} are left. "
                    "The sandbox's credits are free and come back when it is started again: "
                    "for the one inside a notebook, restart the kernel.",
                )
            job = Job(
                id=f"job_{secrets.token_hex(12)}",
                ordinal=self._made,
                wanted=replace(wanted, image=None),  # a data URL may be 14 MB; what is needed of it is in the source
                source=self.sources.take(wanted.image),
                count=wanted.count,
                cost=cost,
                created_at=self.clock(),
                seconds=self._seconds(wanted, self._made),
                seed=self._number(self._made, "picture") % 2**32,
            )
            problem = self._trouble(job)
            job = replace(job, error=problem)
            # Charged when it is made, also if it will fail: so does the service this one stands for.
            self._made += 1
            self.credits -= cost
            self.charges += cost
            self._keep(job)
            return job

    def _trouble(self, job: Job) -> str | None:
        source = job.source
        if source is not None and source.kind == "asset":
            try:
                self.asset(source.value)
            except Refusal as refusal:
                return f"The source image cannot be used: {refusal.message}"
        if source is not None and source.problem:
            return f"The source image cannot be used: {source.problem}."
        return FAILURE if self._share(job.ordinal, "failure") < self.fail_rate else None

    def _seconds(self, wanted: Wanted, ordinal: int) -> float:
        """More for 2K, for more images, and a little for luck: 2 to 3 s, or about the latency that was set."""
        if callable(self.latency):
            return max(0.0, float(self.latency(ordinal)))
        work = 0.45 * (wanted.resolution == "2K") + 0.3 * (wanted.count - 1) / 8
        share = work + 0.25 * self._share(ordinal, "time")
        if self.latency is None:
            return 2.0 + share
        return self.latency * (0.85 + 0.3 * share)

    def _number(self, ordinal: int, purpose: str) -> int:
        digest = hashlib.sha256(f"{self.seed}/{ordinal}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big")

    def _share(self, ordinal: int, purpose: str) -> float:
        """In [0, 1), the same for the same seed."""
        return self._number(ordinal, purpose) / 2**64

    # -- asking -------------------------------------------------------------------------------------------------

    def find(self, job_id: str) -> Job:
        """The job, or a Refusal (404)."""
        with self._lock:
            if job_id not in self._jobs:
                self._read_table()  # another sandbox of the same folder may have made it since
            if job_id not in self._jobs:
                raise Refusal("not_found", "There is no job with this id.", status=404)
            return self._jobs[job_id]

    def job_ids(self) -> list[str]:
        """Ids of the newest hundred jobs, newest first."""
        with self._lock:
            return sorted(self._jobs, key=lambda job_id: self._jobs[job_id].created_at, reverse=True)[:100]

    def submitted(self, job: Job, origin: str) -> dict[str, Any]:
        """The reply to a submit."""
        return {
            "jobId": job.id,
            "status": "pending",
            "statusUrl": f"{origin}/api/v1/jobs/{job.id}",
            "creditCost": number(job.cost),
            "creditsRemaining": number(self.credits),
        }

    def polled(self, job_id: str, origin: str) -> dict[str, Any]:
        """The reply to a poll. A finished job's image URLs are new every time."""
        job = self.find(job_id)
        status = job.status(self.clock())
        reply: dict[str, Any] = {"jobId": job.id, "status": status}
        if status == "completed":  # new addresses at every poll, as signed URLs of a store are
            job = self.change(job.id, issue=job.issue + 1)
            reply["output"] = {"images": [self.asset_url(job, k, origin) for k in range(job.count)]}
        if status == "failed":
            reply["error"] = job.error
        reply["creditCost"] = number(job.cost)
        return reply

    def change(self, job_id: str, **changes: Any) -> Job:
        """Replace fields of a job (faults do)."""
        with self._lock:
            job = replace(self.find(job_id), **changes)
            self._jobs[job_id] = job
            return job

    # -- images' addresses ------------------------------------------------------------------------------------

    def asset_url(self, job: Job, k: int, origin: str) -> str:
        """Where image ``k`` can be had, without a key, until it expires."""
        return self._asset_url(job, k, origin, job.issue, self.clock() + self.asset_lifetime)

    def lasting_url(self, job: Job, k: int, origin: str) -> str:
        """The same URL of image ``k`` at every call, until it expires."""
        return self._asset_url(job, k, origin, job.revoked + 1, job.created_at + self.asset_lifetime)

    def _asset_url(self, job: Job, k: int, origin: str, issue: int, until: float) -> str:
        expires = int(until * 1000)
        name = f"{job.id}/{issue}-{expires}-{self._sign(job.id, issue, expires, k)}"
        return f"{origin}/temp/{name}/{k}.{job.wanted.output_format}"

    def asset(self, path: str) -> tuple[Job, int]:
        """The job and the image's place behind an asset's path, or a Refusal (404 unknown, 410 gone)."""
        job_id, issue, expires, signature, k = _asset_parts(path)
        if not hmac.compare_digest(signature, self._sign(job_id, issue, expires, k)):
            raise Refusal("not_found", "There is no such image.", status=404)
        job = self.find(job_id)
        if self.clock() * 1000 > expires or issue <= job.revoked:
            raise Refusal("gone", "This address has expired. Ask the job for a new one.", status=410)
        return job, k

    def revoke(self, path: str) -> None:
        """Let the addresses of the job behind this asset's path expire now, until the job is asked again."""
        job_id = _asset_parts(path)[0]
        self.change(job_id, revoked=max(1, self.find(job_id).issue))

    def _sign(self, job_id: str, issue: int, expires: int, k: int) -> str:
        text = f"{job_id}/{issue}/{expires}/{k}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:24]

    # -- keeping ------------------------------------------------------------------------------------------------

    def _keep(self, job: Job) -> None:
        self._jobs[job.id] = job
        while len(self._jobs) > MAX_JOBS:
            self._jobs.popitem(last=False)
        if self._table is not None:
            self._table.save([asdict(job)], self.credits)

    def _read_table(self) -> None:
        if self._table is None:
            return
        for job_id, record in self._table.load().items():
            job = _from_record(record)
            if job is not None and job_id not in self._jobs:
                self._jobs[job_id] = job
                self._made = max(self._made, job.ordinal + 1)


def number(value: float) -> float | int:
    """3.0 as 3: credits are whole unless a sandbox is told otherwise."""
    return int(value) if float(value).is_integer() else round(value, 6)


def _asset_parts(path: str) -> tuple[str, int, int, str, int]:
    """job id, issue, expiry (ms), signature and place of ``/temp/JOB/ISSUE-EXPIRY-SIGNATURE/K.EXT``."""
    try:
        _, temp, job_id, ticket, name = path.split("/")
        issue, expires, signature = ticket.split("-")
        k = int(name.partition(".")[0])
        if temp != "temp" or not ticket.isascii():
            raise ValueError(path)
        return job_id, int(issue), int(expires), signature, k
    except ValueError:
        raise Refusal("not_found", "There is no such image.", status=404) from None


def _from_record(record: Mapping[str, Any]) -> Job | None:
    """The job a record describes; None where it is damaged or from another version."""
    try:
        values = dict(record)
        values["wanted"] = Wanted(**values["wanted"])
        values["source"] = Source(**values["source"]) if values["source"] else None
        job = Job(**values)
    except (TypeError, KeyError, ValueError):
        return None
    return job if _is_possible(job) else None


def _is_possible(job: Job) -> bool:
    """Whether a sandbox can have made this job: the table may be a stranger's, and must not keep anybody busy."""
    wanted, source = job.wanted, job.source
    texts = [job.id, wanted.prompt, wanted.resolution, wanted.aspect_ratio, wanted.output_format]
    texts += [source.kind, source.value, source.problem] if source else []
    whole = [job.ordinal, job.seed, job.issue, job.revoked]
    return (
        all(isinstance(text, str) for text in texts)
        and re.fullmatch("job_[0-9a-f]{24}", job.id) is not None
        and re.fullmatch("png|jpeg|webp", wanted.output_format) is not None
        and re.fullmatch("[1-9][0-9]?:[1-9][0-9]?", wanted.aspect_ratio) is not None
        and all(type(number) is int and 0 <= number < 2**32 for number in whole)
        and type(job.count) is int
        and 0 <= job.count <= MOST_IMAGES
        and all(
            type(number) in (int, float) and 0 <= number < 1e11 for number in (job.created_at, job.seconds, job.cost)
        )
        and (job.error is None or isinstance(job.error, (str, dict)))
    )
