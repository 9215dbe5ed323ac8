"""Session: settings, client, jobs, journal and images of one kernel, tied together. The object every entry point uses.

It never decides how to show or how to wait: it takes requests, and hands back handles.
"""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..api.api_key import KEYS_PAGE, Secret
from ..api.client import ServiceClient
from ..api.errors import SettingsError
from ..api.generation_request import GenerationRequest, SourceImage
from ..api.parameters import SOURCES, check_characters
from ..api.url_policy import is_loopback
from ..jobs import purchase
from ..jobs import resume as past_jobs
from ..jobs.dispatcher import Dispatcher
from ..jobs.send_permit import SpendingLedger
from ..jobs.spending import Estimate, SpendingLimits
from ..jobs.workspace import Workspace
from ..journal import layout
from ..journal.job_record import Record
from ..journal.journal import Filter
from ..journal.locks import Locks
from ..journal.recovery import open_journal
from ..results.attachments import Attachments
from ..results.frames import history_frame
from ..results.handle import JobHandle
from ..results.result import Result, SavedImage
from ..results.sweep_axes import Point
from ..settings import choose_backend, folder_of, resolve, variable
from . import status
from .status import SessionStatus

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["magic", "panel", "python"]
DOWNLOADS, LOCAL_DOWNLOADS = 9, 3  # images at once; more of them from this machine only keep the kernel busy


class Session:
    """What one kernel owns. Any thread may call it.

    Args:
        given: settings as ``connect()`` and ``%kling ...`` gave them. config: what ``%config KlingMagics`` set.
        person_present: whether somebody is there to see painted images and to answer.
        before: the session that this kernel had before. A reconnect makes no new budget and forgets no job.

    Attributes:
        backend: ``pixeldojo``, ``sandbox``, or ``host:port`` of another base; the history's ``backend`` column.

    Raises:
        SettingsError: a setting that cannot work, no key although one is needed, a folder that cannot be written.
    """

    def __init__(
        self,
        given: Mapping[str, Any] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        person_present: bool = False,
        before: "Session | None" = None,
    ) -> None:
        self.given = given = {
            k: Secret(v) if k == "api_key" and isinstance(v, str) else v for k, v in (given or {}).items()
        }
        self._inputs = _inputs_of(given, config)
        self.settings = resolve(given, config)
        chosen = choose_backend(self.settings, person_present=person_present)
        self.backend, self.is_sandbox = chosen.name, chosen.sandbox
        self.folder = folder_of(self.settings)
        self.id = layout.new_session_id()
        # The process that began the first session of this kernel; a forked child inherits it and is told by it.
        self._process: int = before._process if before else os.getpid()
        self._notices: list[str] = [chosen.notice] if chosen.notice else []
        self._sandbox: Any = None
        self._starting = threading.RLock()
        self._warned_of_key = False
        self.cells_seen = 0  # cells of the kernel that were looked through for the key
        key = None if self.is_sandbox else self.settings.api_key
        # Made before the folder: a key or an address that cannot work leaves nothing behind.
        self._client = self._connect(chosen.base_url, key) if key else None
        self.workspace = self._open_folder(chosen.base_url, key, before)
        self.journal = self.workspace.journal
        # One ledger per backend and kernel: a budget that a reconnect would reset is none.
        self.ledgers: dict[str, SpendingLedger] = before.ledgers if before else {}
        ledger = SpendingLedger(self.workspace.has_price, self.ledgers.get(self.backend))
        self.ledgers[self.backend] = ledger
        downloads = LOCAL_DOWNLOADS if self.is_sandbox or is_loopback(chosen.base_url) else DOWNLOADS
        self.dispatcher = Dispatcher(self.workspace, lambda: self.client, ledger, self._current_rate, downloads)
        self.unwatched: dict[int, JobHandle] = {}
        self._touched: set[int] = set(before._touched if before and before.folder == self.folder else ())
        self._notices += past_jobs.recover_on_start(self.workspace)

    def _open_folder(self, base_url: str, key: Secret | None, before: "Session | None") -> Workspace:
        layout.check(self.folder)
        # The lock comes before the first row: a row whose session holds no lock looks like one that a dead kernel left.
        locks = Locks(self.folder, self.id)
        journal = open_journal(self.folder, self.id, self._notices.append)
        return Workspace(
            (*(before.workspace.sessions if before else ()), self.id),
            self.backend,
            self.folder,
            journal,
            locks,
            Attachments(self.folder, self.image, base_url),
            self.settings,
            self._notices,
            journal.fingerprint(key) if key else None,
        )

    # ---- who and where ----

    @property
    def client(self) -> ServiceClient:
        """The client; the first use on the sandbox starts the sandbox."""
        # Under a lock: a panel and a cell may ask at the same time, and two sandboxes would give two balances.
        with self._starting:
            if self._client is None:
                from ..sandbox import Sandbox

                self._sandbox = Sandbox(state_path=layout.sandbox_state(self.folder)).start()
                self._client = self._connect(self._sandbox.base_url, self._sandbox.key)
            return self._client

    def _connect(self, base_url: str, key: str | Secret) -> ServiceClient:
        return ServiceClient(
            key,
            base_url=base_url,
            model=self.settings.model,
            rate=self.rate,
            connect_timeout=self.settings.connect_timeout,
            read_timeout=self.settings.read_timeout,
            download_timeout=self.settings.download_timeout,
        )

    @property
    def rate(self) -> float:
        """Requests a minute to begin with; loopback asks for no restraint."""
        return 6000.0 if self.is_sandbox else self.settings.requests_per_minute

    def _current_rate(self) -> float:
        """The limit the service announced counts more than the setting; no client is made for it."""
        known = self._client.request_queue.limiter if self._client else None
        return known.limit * 60.0 / known.window if known else self.rate

    def __repr__(self) -> str:
        return f"<Session {self.backend} in {self.folder}>"

    def configure(self, **given: Any) -> None:
        """Change settings that need no new session: budget, reuse and the like. The backend and folder stay."""
        self._apply_settings(self.given | given, self._inputs[1])

    def refresh(self, config: Mapping[str, Any]) -> None:
        """Take in what ``%config KlingMagics`` holds now; SettingsError for what would need a new session."""
        self._apply_settings(self.given, config)  # what `connect()` set stays above it

    def _apply_settings(self, given: dict[str, Any], config: Mapping[str, Any]) -> None:
        inputs = _inputs_of(given, config)
        if inputs == self._inputs:
            return
        # With the session's own key, so that no keyring is asked again for a key that would not be used anyway.
        later = resolve(given | {"api_key": self.settings.api_key}, config)
        self.settings = self.workspace.settings = self.settings.merge(later)
        self.given, self._inputs = given, inputs
        self.dispatcher.workers.in_flight = self.settings.in_flight

    def warn_of_key_in(self, *texts: str) -> None:
        """Leave a notice, once, if one of the texts holds the API key: a cell or a prompt is saved as it stands."""
        key = self.settings.api_key
        if key and not self._warned_of_key and any(key.is_in(text) for text in texts):
            self._warned_of_key = True
            self._notices.append(
                f"Your API key stands in a cell or a prompt, and is saved with it. Remove it there, revoke it at "
                f"{KEYS_PAGE}, and give the new one with %kling login."
            )

    def pop_notices(self) -> list[str]:
        """Lines to be shown once: the sandbox, paused jobs, warnings."""
        taken, self._notices[:] = self._notices[:], []
        return taken

    def close(self) -> None:
        """Release the folder. Running jobs continue; their lock stays until they are over."""
        # A job that was paid for keeps its lock until its images are here, or another kernel would fetch it as well.
        for job in list(self.dispatcher.jobs.values()):
            job.handle.add_done_callback(lambda _: self._let_go())
        self._let_go()

    def _let_go(self) -> None:
        if not self.dispatcher.jobs:
            self.workspace.locks.release()
            if self._sandbox is not None and self._process == os.getpid():
                self._sandbox.stop()

    def _check_process(self) -> None:
        """SettingsError in a forked child: what it spends would be missing in its parent's budget, and its jobs too."""
        if self._process != os.getpid():
            raise SettingsError(
                "Images are paid for by the process that began the session, not by its forked children. Nothing was "
                f"sent. Ask in process {self._process}, for example with kling.batch; this one may read the results."
            )

    # ---- asking ----

    def request(
        self, prompt: str, *, sources: dict[Any, SourceImage | None] | None = None, **parameters: Any
    ) -> GenerationRequest:
        """A checked request, its source image (a path, URL, ``12b``, bytes, image ...) resolved.

        Args:
            sources: those that were resolved already; requests that share this dictionary read each of them once.

        Raises:
            InputError: naming the parameter and the way out.
        """
        known = {} if sources is None else sources
        for name in parameters.keys() & SOURCES:
            image = parameters[name]
            # Equal paths are one file. Other kinds of images are compared by being the same object: they may be large.
            key = image if isinstance(image, str) else id(image)
            if key not in known:
                known[key] = self.workspace.attachments.resolve(image)
            parameters[name] = known[key]
        parameters.setdefault("model", self.settings.model)
        request = GenerationRequest(prompt, **parameters)
        # All of it is looked through: a key pasted into the wrong field would be sent, stored and put into files.
        self.warn_of_key_in(json.dumps(request.as_json(), ensure_ascii=False))
        return request

    def requests(self, points: Sequence[Point], extra: Mapping[str, Any] | None = None) -> list[GenerationRequest]:
        """The checked request of each point of a sweep; a source image that several points share is read once."""
        beside: dict[str, Any] = {"sources": {}, "extra": extra}
        return [
            self.request(point.prompt, sample=point.sample, draw=point.draw, **beside, **point.parameters)
            for point in points
        ]

    def reusing(self, reuse: bool | None, *, sweep: bool = False) -> bool:
        """Whether identical completed requests are shown again: as given, else the setting, else on for sweeps only."""
        return next((bool(one) for one in (reuse, self.settings.reuse) if one is not None), sweep)

    def estimate(self, requests: Sequence[GenerationRequest], *, reuse: bool = False) -> Estimate:
        """What it would cost now. Sends nothing."""
        return purchase.estimate(self.dispatcher, requests, reusing=reuse)

    def start(
        self,
        requests: Sequence[GenerationRequest],
        *,
        source: Source,
        max_credits: float | None = None,
        reuse: bool | None = None,
        sweep: bool = False,
    ) -> purchase.Call:
        """Journal the requests and start them; returns at once. See `purchase.buy`.

        Raises:
            BudgetExceededError: the estimate is above what may be spent. SettingsError: the journal cannot be written.
                Nothing was sent.
        """
        self._check_process()
        limits = SpendingLimits(max_credits, self.settings.budget, self.settings.credits_without_asking)
        reusing = self.reusing(reuse, sweep=sweep)
        return self._begun(purchase.buy(self.dispatcher, requests, source=source, limits=limits, reusing=reusing))

    def _begun(self, call: purchase.Call) -> purchase.Call:
        self._touched.update(handle.number for handle in call.jobs)
        return call

    # ---- past jobs ----

    def record(self, which: int | str) -> Record:
        """The record with this number or job id; InputError where the folder knows no such job."""
        return past_jobs.get(self.workspace, which)

    def resume(self, which: int | str | None = None, job_id: str | None = None) -> purchase.Call:
        """Fetch paused jobs of this backend: all whose kernel is gone, or one. Buys nothing.

        Args:
            which: a number or job id, None for all. job_id: the id to attach to the unconfirmed job ``which``.

        Raises:
            InputError: see `resume_one`.
        """
        self._check_process()
        with self.dispatcher.planning:  # two threads that ask for one row at once must not both take it
            handles = (
                past_jobs.resume_all(self.dispatcher)
                if which is None
                else [past_jobs.resume_one(self.dispatcher, which, job_id)]
            )
        return self._begun(purchase.Call(tuple(handles), Estimate(0, 0, 0.0)))

    def dismiss(self, which: int | str) -> Record:
        """Give up an unconfirmed or a paused job."""
        return past_jobs.dismiss(self.dispatcher, which)

    def star(self, which: int | str, place: int, on: bool = True) -> None:
        """Mark an image, or take the mark away. InputError if there is no such image."""
        image = self.image(which, place)
        self.journal.star(image.number, image.place, on)

    def note(self, which: int | str, text: str | None) -> None:
        """Keep a line of text with a job; an empty one removes it."""
        kept = check_characters("text", "" if text is None else text).strip()
        self.journal.note(self.record(which).number, kept)

    def result(self, which: int | str) -> Result:
        """A past result of the folder, by number or job id.

        Raises:
            InputError: there is no such job, or it has no images; the message says what became of it.
        """
        found = past_jobs.result(self.workspace, which)
        self._touched.add(found.number)
        return found

    def image(self, which: int | str | None, place: int) -> SavedImage:
        """A saved image by its job's number or id, None: the latest, and its place. InputError: there is none."""
        return past_jobs.image(self.workspace, which, place)

    def status(self) -> SessionStatus:
        """What runs, what is paused or unconfirmed, what was spent, what is left."""
        return status.status_of(self.dispatcher, self.settings.budget)

    def check(self) -> list[tuple[str, str, str]]:
        """Rows of (what, ok | failed | unknown, text): host, key, schema, folder, journal. Spends nothing."""
        return status.check(self.workspace, self.client)

    def history(self, *, everything: bool = False, limit: int | None = None) -> "pd.DataFrame":
        """The history of this session (with what it reused or looked at), or of the whole folder; newest last."""
        return history_frame(self.journal, Filter(**self._mine({"limit": limit, "mine": not everything})))

    def rows(self, **where: Any) -> list[Record]:
        """Records of the folder, newest first, filtered: see journal.Filter. ``mine=True``: of this session only."""
        return self.journal.latest(**self._mine(where))

    def count(self, **where: Any) -> int:
        """How many records `rows` would give without its limit."""
        return self.journal.count(**self._mine(where))

    def _mine(self, where: dict[str, Any]) -> dict[str, Any]:
        check_characters("search", where.get("search") or "")
        mine = where.pop("mine", False)
        return where | ({"sessions": self.workspace.sessions, "numbers": frozenset(self._touched)} if mine else {})


def _inputs_of(
    given: Mapping[str, Any], config: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What settings are resolved from: the same inputs are not resolved twice."""
    return (
        dict(given),
        dict(config or {}),
        {name: variable(name) for name in os.environ if name.startswith(("KLING_", "PIXELDOJO_"))},
    )
