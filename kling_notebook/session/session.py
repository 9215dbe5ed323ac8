"""Session: settings, runner, journal and images of one kernel, tied together. The object every door uses.

It never decides how to show or how to wait: it takes requests and an observer, and hands back handles.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..api.client import ServiceClient
from ..api.errors import InputError, SettingsError
from ..api.generation_request import GenerationRequest
from ..api.job import JobStatus, Observer
from ..api.parameters import LONG_PROMPT, check_characters
from ..api.price_class import kind
from ..api.quantities import count
from ..jobs import resume as pastjobs
from ..jobs.call import Call, SpendingLedger
from ..jobs.dispatcher import Dispatcher, Workspace
from ..jobs.resume import recover_on_start
from ..jobs.reuse import answer, find_reusable, reuse_lock
from ..jobs.spending import Estimate, SpendingLimits, call_time, price, queueing
from ..journal.job_record import Record, new_record
from ..journal.journal import Filter, Journal, JournalError
from ..journal.locks import Locks
from ..journal.recovery import open_journal
from ..results import history
from ..results.attachments import Attachments
from ..results.result import Result, SavedImage
from ..results.sweep_axes import Point
from ..settings import Secret, Settings, choose_backend, folder_of, resolve
from . import status as reports
from .status import SessionStatus

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["magic", "panel", "python"]


class Session:
    """What one kernel owns. Any thread may call it.

    Args:
        said: settings as ``connect()`` and ``%kling ...`` gave them. config: what ``%config KlingMagics`` set.
        person_present: whether somebody is there to see painted images and to answer.
        before: the session that this kernel had before. A reconnect makes no new budget and forgets no job.

    Raises:
        SettingsError: a setting that cannot work, no key where one is needed, a folder that cannot be written.
    """

    def __init__(
        self,
        said: Mapping[str, Any] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        person_present: bool = False,
        before: Session | None = None,
    ) -> None:
        self.said: dict[str, Any] = {
            name: Secret(v) if name == "api_key" and v else v for name, v in (said or {}).items()
        }
        self._config = config
        self.settings: Settings = resolve(self.said, config)
        self._backend = choose_backend(self.settings, person_present=person_present)
        self.id = secrets.token_hex(6)
        self.folder: Path = folder_of(self.settings)
        self._hidden = self.folder / ".kling"
        self._notices: list[str] = [self._backend.notice] if self._backend.notice else []
        self._client: ServiceClient | None = None
        self._sandbox: Any = None
        self._starting = threading.RLock()
        if not self.is_sandbox:
            self._client = self._connect(self._backend.base_url, self.settings.api_key)
        locks = Locks(self._hidden / "locks", self.id)
        self.journal: Journal = open_journal(self.folder, self.id, self._notices.append)
        self.place: Workspace = Workspace(
            (*(before.place.sessions if before else ()), self.id),
            self.backend,
            self.folder,
            self.journal,
            locks,
            Attachments(self._hidden / "sources", self.image),
            self.settings,
            self._notices,
        )
        self.purses: dict[str, SpendingLedger] = before.purses if before else {}
        self.purses[self.backend] = purse = SpendingLedger(self.purses.get(self.backend))
        self.running = Dispatcher(self.place, lambda: self.client, self.priced, purse)
        self._planning = threading.RLock()
        self._touched: set[int] = set(before._touched if before and before.folder == self.folder else ())
        self._notices += recover_on_start(self.place)

    # ---- who and where ----

    @property
    def backend(self) -> str:
        """``pixeldojo``, ``sandbox``, or ``host:port`` of another base; the history's ``backend`` column."""
        return self._backend.name

    @property
    def is_sandbox(self) -> bool:
        return self._backend.sandbox

    @property
    def client(self) -> ServiceClient:
        """The client; the first use on the sandbox starts the sandbox."""
        with self._starting:
            if self._client is None:
                from ..sandbox import Sandbox

                self._sandbox = Sandbox(state_path=self._hidden / "sandbox.json").start()
                self._client = self._connect(self._sandbox.base_url, self._sandbox.key)
            return self._client

    def _connect(self, base_url: str, key: str) -> ServiceClient:
        names = ("connect_timeout", "read_timeout", "download_timeout", "model")
        options = {name: getattr(self.settings, name) for name in names}
        return ServiceClient(key, base_url=base_url, rate=self.rate, **options)

    @property
    def rate(self) -> float:
        """Requests a minute to begin with; loopback asks for no restraint."""
        return 6000.0 if self.is_sandbox else self.settings.requests_per_minute

    @property
    def sandbox_key(self) -> str | None:
        """The play key of this session's sandbox."""
        return self._sandbox.key if self._sandbox is not None else None

    def __repr__(self) -> str:
        return f"<Session {self.backend} in {self.folder}>"

    def configure(self, **said: Any) -> None:
        """Change settings that need no new session: budget, reuse and the like. The backend and folder stay."""
        self._apply_settings(self.said | said, self._config)

    def refresh(self, config: Mapping[str, Any]) -> None:
        """Take in what ``%config KlingMagics`` says now; SettingsError for what would need a new session."""
        self._apply_settings(self.said, config)  # what `connect()` said stays above it

    def _apply_settings(self, said: dict[str, Any], config: Mapping[str, Any] | None) -> None:
        later = resolve(said | {"api_key": self.settings.api_key}, config)
        self.settings = self.place.settings = self.settings.merge(later)
        self.said, self._config = said, config
        self.running.runner.in_flight = self.settings.in_flight

    def pop_notices(self) -> list[str]:
        """Lines to be said once: the sandbox, paused jobs, warnings."""
        taken, self._notices[:] = self._notices[:], []
        return taken

    def close(self) -> None:
        """Let go of the folder. Jobs that run go on; their lock stays until they are done."""
        for handle in list(self.running.handles.values()):
            handle.add_done_callback(lambda _: self._let_go())
        self._let_go()

    def _let_go(self) -> None:
        if not self.running.handles:
            self.place.locks.release()
            if self._sandbox is not None:
                self._sandbox.stop()

    # ---- asking ----

    def request(self, prompt: str, **parameters: Any) -> GenerationRequest:
        """A checked request, its source image (a path, URL, ``JOB:K``, bytes, image ...) resolved.

        Raises:
            InputError: naming the parameter and the way out.
        """
        if "image" in parameters:
            parameters["image"] = self.place.attachments.resolve(parameters["image"])
        parameters.setdefault("model", self.settings.model)
        return GenerationRequest(prompt, **parameters)

    def requests(self, points: Sequence[Point], extra: Mapping[str, Any] | None = None) -> list[GenerationRequest]:
        """The checked request of each point of a sweep; a source image that several points share is read once."""
        sources: dict[int, Any] = {}
        requests = []
        for point in points:
            parameters = dict(point.parameters)
            image = parameters.get("image")
            if image is not None:
                if id(image) not in sources:
                    sources[id(image)] = self.place.attachments.resolve(image)
                parameters["image"] = sources[id(image)]
            requests.append(self.request(point.prompt, extra=extra, sample=point.sample, **parameters))
        return requests

    def reusing(self, reuse: bool | None, *, sweep: bool = False) -> bool:
        """Whether identical completed requests are shown again: as said, else the setting, else on for sweeps only."""
        if reuse is not None:
            return reuse
        return bool(self.settings.reuse) if self.settings.reuse is not None else sweep

    def estimate(self, requests: Sequence[GenerationRequest], *, reuse: bool = False) -> Estimate:
        """What it would cost now. Sends nothing."""
        unique = list(dict.fromkeys(requests))
        found = {request: find_reusable(self.place, self.running, request) for request in unique if reuse}
        here = {request: record for request, record in found.items() if record is not None}
        unconfirmed = sum(record.status is JobStatus.UNCONFIRMED for record in here.values())
        to_buy = [request for request in unique if request not in here]
        return self.priced(to_buy, reused=len(here) - unconfirmed, unconfirmed=unconfirmed)

    def priced(self, requests: Sequence[GenerationRequest], reused: int = 0, unconfirmed: int = 0) -> Estimate:
        """What these requests would cost and take if all of them were bought."""
        dearest = self.journal.dearest_image(self.backend)
        expected = [self.place.durations(request).expected for request in {kind(r): r for r in requests}.values()]
        known = [seconds for seconds in expected if seconds is not None]
        slowest = max(known) if known and len(known) == len(expected) else None
        # What the service has said of its limit counts more than the setting; no client is made for an estimate.
        rate = float("inf") if self.is_sandbox else float(self._client.pace.limit if self._client else self.rate)
        return Estimate(
            len(requests),
            sum(request.num_outputs for request in requests),
            sum(price(request, dearest) for request in requests),
            call_time(slowest, len(requests), self.settings.in_flight, rate),
            reused,
            self.is_sandbox,
            rate if queueing(len(requests), rate) else None,
            unconfirmed,
        )

    def start(
        self,
        requests: Sequence[GenerationRequest],
        *,
        source: Source,
        max_credits: float | None = None,
        reuse: bool | None = None,
        sweep: bool = False,
        observer: Observer | None = None,
    ) -> Call:
        """Journal the requests and set them going; returns at once.

        Identical requests are one job. With reuse, what the folder holds is not bought again.

        Raises:
            BudgetExceededError: the estimate is above what may be spent. Nothing was sent.
            SettingsError: the journal cannot be written. Nothing was sent.
        """
        limits = SpendingLimits(max_credits, self.settings.budget, self.settings.credits_without_asking)
        reusing = self.reusing(reuse, sweep=sweep)
        self.running.write_again()
        # So that two cells, or two kernels, that ask for the same at once buy it once.
        with self._planning, reuse_lock(self.place) if reusing else nullcontext():
            unique = list(dict.fromkeys(requests))
            found = {request: answer(self.place, self.running, request) for request in unique if reusing}
            known = {request: handle for request, handle in found.items() if handle is not None}
            self._touched.update(handle.number for handle in known.values())
            unconfirmed = sum(handle.status is JobStatus.UNCONFIRMED for handle in known.values())
            to_buy = [request for request in unique if request not in known]
            estimate = self.priced(to_buy, reused=len(known) - unconfirmed, unconfirmed=unconfirmed)
            limits.check(estimate, session_spent=self.running.purse.spent)
            records = self._plan(to_buy, source)
            bought = {record.request: self.running.handle(record) for record in records}
        batch = Call(tuple((known | bought)[request] for request in requests), estimate, limits)
        batch.numbers = frozenset(record.number for record in records)
        for handle in batch.jobs if observer else ():
            handle.add_observer(observer)  # type: ignore[arg-type]  # not None here
        with batch.cancelled_if_cut_short():
            for record in records:
                self.running.run(record, bought[record.request], batch)
        return batch

    def _plan(self, requests: Sequence[GenerationRequest], source: Source) -> list[Record]:
        dearest = self.journal.dearest_image(self.backend)
        for request in requests:
            if len(request.prompt) > LONG_PROMPT:
                self._notices.append(
                    f"A prompt of {len(request.prompt)} characters: the model is said to take {LONG_PROMPT}."
                )
        about = {"backend": self.backend, "source": source, "session": self.id}
        try:
            for request in requests:
                self.place.attachments.keep(request.image)
            return self.journal.add(new_record(r, estimate=price(r, dearest), **about) for r in requests)  # type: ignore[arg-type]
        except (JournalError, OSError) as error:
            self.journal.check_there()
            raise SettingsError(
                f"The journal in {self._hidden} could not be written ({error}). Nothing was sent. "
                "Make room, or choose another folder with kling.connect(folder=...)."
            ) from None

    # ---- past jobs ----

    def record(self, which: int | str) -> Record:
        """The record with this number or job id; InputError where the folder knows no such job."""
        return pastjobs.get(self.place, which)

    def resume(
        self, which: int | str | None = None, job_id: str | None = None, *, observer: Observer | None = None
    ) -> Call:
        """Collect paused jobs of this backend: all whose kernel is gone, or one. Buys nothing.

        Args:
            which: a number or job id, None for all. job_id: the id to attach to the unconfirmed job ``which``.

        Raises:
            InputError: see pastjobs.resume_one.
        """
        with self._planning:  # two threads that ask for one row at once must not both take it
            if which is None:
                handles = pastjobs.resume_all(self.place, self.running)
            else:
                handles = [pastjobs.resume_one(self.place, self.running, which, job_id)]
        self._touched.update(handle.number for handle in handles)
        for handle in handles if observer else ():
            handle.add_observer(observer)  # type: ignore[arg-type]  # not None here
        return Call(tuple(handles), Estimate(0, 0, 0.0), SpendingLimits(None, None, 0.0))

    def dismiss(self, which: int | str) -> Record:
        """Settle a job unconfirmed, or forget an paused one."""
        record = pastjobs.dismiss(self.place, self.running, which)
        self.running.purse.charge(record.number, record.credits or 0.0)  # what the service said it charged is spent
        return record

    def star(self, which: int | str, place: int, on: bool = True) -> None:
        """Mark an image, or take the mark away. InputError where there is no such image."""
        record = self.record(which)
        if not 0 <= place < len(record.images):
            raise InputError(
                f"Job {record.number} has {count(len(record.images), 'image')}, counted from 0; there is no {place}.",
                parameter="image",
            )
        self.journal.star(record.number, place, on)

    def note(self, which: int | str, text: str | None) -> None:
        """Keep a line of text with a job; an empty one removes it."""
        kept = check_characters("text", (text or "").strip()) or None
        self.journal.note(self.record(which).number, kept)

    def result(self, which: int | str) -> Result:
        """A past result of the folder, by number or job id.

        Raises:
            InputError: there is no such job, or it has no images; the message says what became of it.
        """
        found = pastjobs.result(self.place, which)
        self._touched.add(found.number)
        return found

    def image(self, which: int | str | None, place: int) -> SavedImage:
        """A saved image by its job's number or id, None: the latest, and its place. InputError: there is none."""
        return pastjobs.image(self.place, which, place)

    def status(self) -> SessionStatus:
        """What runs, what is paused or unconfirmed, what was spent, what is left."""
        return reports.status_of(self.place, self.running, self.settings.budget)

    def check(self) -> list[tuple[str, str, str]]:
        """Rows of (what, ok | failed | unknown, text): host, key, schema, folder, journal. Spends nothing."""
        return reports.check(self.place, self.client)

    def history(self, *, everything: bool = False, limit: int | None = None) -> pd.DataFrame:
        """The history of this session (with what it reused or looked at), or of the whole folder; newest last."""
        return history.frame(self.journal, self.folder, Filter(**self._mine({"limit": limit, "mine": not everything})))

    def rows(self, **where: Any) -> list[Record]:
        """Records of the folder, newest first, filtered: see journal.Filter. ``mine=True``: of this session only."""
        return self.journal.latest(**self._mine(where))

    def count(self, **where: Any) -> int:
        """How many records `rows` would give without its limit."""
        return self.journal.count(**self._mine(where))

    def _mine(self, where: dict[str, Any]) -> dict[str, Any]:
        check_characters("search", where.get("search") or "")
        mine = where.pop("mine", False)
        return where | ({"sessions": self.place.sessions, "numbers": frozenset(self._touched)} if mine else {})
