"""From a request to its reply: guards, routes, the key, the rate limit and the scripted faults. No sockets."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import unquote

from . import openapi
from .faults import JOB_FAULTS, Fault, FaultPoint, Script, faulty_reply
from .images import Images
from .limits import RateLimit
from .log import RequestKind
from .replies import Refusal, Reply, json_reply
from .schema import MAX_OUTPUTS, MODEL_ID, Shape, read_body
from .service import Service, number

logger = logging.getLogger("kling_notebook.sandbox")

_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived. ``headers`` has lower-case names; ``target`` is the path with its query."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def origin(self) -> str:
        """Under which address the client knows this sandbox: what it called is what it gets links to."""
        return f"http://{self.headers.get('host', '127.0.0.1')}"

    @property
    def kind(self) -> RequestKind:
        if self.method == "POST" and self.path.startswith("/api/v1/models/") and self.path.endswith("/run"):
            return "submit"
        if self.method == "GET" and self.path.startswith("/api/v1/jobs/"):
            return "poll"
        if self.method == "GET" and self.path.startswith("/temp/"):
            return "download"
        return "other"

    @property
    def point(self) -> FaultPoint | None:
        """Which faults may apply to this request."""
        if self.method == "GET" and self.path.startswith("/api/v1/models/") and self.path.endswith("/schema"):
            return "schema"
        return None if self.kind == "other" else self.kind


Handler = Callable[[Request, str], Awaitable[Reply]]
#: Method, pattern of the path, handler, and whether it wants the key and counts against the rate limit.
Route = tuple[str, str, Handler, bool]


@dataclass(repr=False, eq=False)
class Router:
    """Answers requests. Every answer is a Reply: whatever goes wrong inside becomes a documented error."""

    service: Service
    images: Images
    key: str
    script: Script
    shape: Shape
    publish_schema: bool = True
    limit: RateLimit | None = None
    announce_limit: bool = True
    retry_after: Literal["seconds", "date", "none"] = "seconds"

    def __post_init__(self) -> None:
        self._routes = self._make_routes()

    def _make_routes(self) -> list[Route]:
        rows: list[Route] = [
            ("POST", r"/api/v1/models/([^/]+)/run", self._submit, True),
            ("GET", r"/api/v1/jobs/([^/]+)", self._poll, True),
            ("GET", r"/temp/.+", self._download, False),
            ("GET", r"/api/v1/models", self._models, False),
            ("GET", r"/api/v1/models/([^/]+)", self._model, False),
            ("GET", r"/api/openapi", self._openapi, False),
        ]
        if self.publish_schema:
            rows.append(("GET", r"/api/v1/models/([^/]+)/schema", self._schema, False))
        return rows

    # -- the way through ----------------------------------------------------------------------------------------

    def has_key(self, request: Request) -> bool:
        """Whether the right key came along; compared in constant time."""
        # Constant time although the key is free: another program of this machine might look for it.
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self.key.encode())
        return same and scheme.lower() == "bearer"

    def stranger(self, request: Request) -> Reply | None:
        """The refusal of a request that comes from a web page or under another host's name; None for any other."""
        try:
            _guard(request)
        except Refusal as refusal:
            return refusal.reply()
        return None

    def reads_body(self, request: Request) -> bool:
        """Whether what a request carries will be looked at: not without the key."""
        return request.kind == "submit" and self.has_key(request)

    def take_fault(self, request: Request) -> Fault | None:
        """The fault that applies to a request, as soon as its header is known."""
        return self.script.take(request.point) if request.point else None

    async def answer(self, request: Request, fault: Fault | None) -> Reply:
        """The reply to a request, changed by the fault that applies to it."""
        try:
            _guard(request)
            return await self._work(request) if fault is None else await self._fail(request, fault)
        except Refusal as refusal:
            return refusal.reply()
        except Exception:  # a client must read a documented error, not a torn connection
            logger.debug("The sandbox stumbled over %s %s", request.method, request.path, exc_info=True)
            return Refusal("internal_error", "The sandbox has stumbled over this request.").reply()

    async def _fail(self, request: Request, fault: Fault) -> Reply:
        """Answer a request that a fault applies to."""
        if fault.kind == "expired":  # for every image of the job, as if its hour were over
            self.service.revoke(request.path)
        # Before the work, so that this very poll already reports it.
        if fault.kind in JOB_FAULTS and request.kind == "poll":
            self._spoil(unquote(request.path.rpartition("/")[2]), fault)
        reply = await self._work(request) if fault.works_first else Reply(200)
        if fault.kind in JOB_FAULTS and request.kind == "submit" and reply.status < 400:
            self._spoil(json.loads(reply.body)["jobId"], fault)
        reply = faulty_reply(fault, reply, here=request.origin + request.target, now=time.time())
        return replace(reply, raw=self._fill_in(reply, request)) if fault.kind == "wire" else reply

    def _fill_in(self, reply: Reply, request: Request) -> bytes:
        """The bytes of a ``wire`` fault with the job's id, the origin and the images' URLs in them."""
        raw = reply.raw or b""
        if request.kind == "submit":
            job_id = json.loads(reply.body).get("jobId", "") if reply.body else ""
        else:
            job_id = unquote(request.path.split("/")[2 if request.kind == "download" else -1])
        raw = raw.replace(b"{job_id}", job_id.encode()).replace(b"{origin}", request.origin.encode())
        if b"{image_url" in raw:
            job = self.service.find(job_id)
            for k in range(MAX_OUTPUTS):
                url = self.service.lasting_url(job, k, request.origin).encode()
                raw = raw.replace(b"{image_url_%d}" % k if k else b"{image_url}", url)
        return raw.replace(b"{length}", b"%d" % len(raw.partition(b"\r\n\r\n")[2]))

    def _spoil(self, job_id: str, fault: Fault) -> None:
        job = self.service.find(job_id)
        if fault.kind == "failed":
            self.service.change(job_id, error=fault.error)
        else:
            self.service.change(job_id, count=max(0, job.count + (1 if fault.kind == "more" else -1)))

    async def _work(self, request: Request) -> Reply:
        """What the service says when nothing goes wrong by script."""
        extra: dict[str, str] = {}
        try:
            handler, locked, argument = self._find_route(request)
            if locked:
                if not self.has_key(request):
                    raise Refusal("unauthorized", "Invalid or missing API key.", headers={"WWW-Authenticate": "Bearer"})
                extra = self._take_turn()
            reply = await handler(request, argument)
        except Refusal as refusal:
            reply = refusal.reply()
        return Reply(reply.status, reply.body, {**extra, **reply.headers})

    def _find_route(self, request: Request) -> tuple[Handler, bool, str]:
        allowed = []
        for method, pattern, handler, locked in self._routes:
            if match := re.fullmatch(pattern, request.path):
                if method == request.method:
                    return handler, locked, unquote(match[1]) if match.groups() else ""
                allowed.append(method)
        if allowed:
            say = f"{request.method[:20]} is not possible here; use {allowed[0]}."
            raise Refusal("invalid_request", say, status=405, headers={"Allow": ", ".join(allowed)})
        raise Refusal("not_found", "There is nothing at this address.", status=404)

    def _take_turn(self) -> dict[str, str]:
        """The rate limit's headers; a Refusal (rate_limited) where the allowance is used up."""
        if self.limit is None:
            return {}
        now = time.time()
        turn = self.limit.turn(now)
        headers = self.limit.headers(turn, now, retry_after=self.retry_after) if self.announce_limit else {}
        if not turn.allowed:
            raise Refusal("rate_limited", "Too many requests.", headers=headers)
        return headers

    # -- the addresses ------------------------------------------------------------------------------------------

    async def _submit(self, request: Request, model_id: str) -> Reply:
        _check_model(model_id)
        wanted = read_body(request.body, request.headers.get("content-type"), self.shape)
        job = self.service.submit(wanted)
        # While the job still takes its time; one that is over at once is painted when it is asked for.
        if job.seconds > 0.2 and job.error is None:
            self.images.paint_ahead(job)
        return json_reply(self.service.submitted(job, request.origin))

    async def _poll(self, request: Request, job_id: str) -> Reply:
        reply = self.service.polled(job_id, request.origin)
        if warnings := self.images.warnings(self.service.find(job_id)):
            reply["warnings"] = warnings
        return json_reply(reply)

    async def _download(self, request: Request, _: str) -> Reply:
        job, k = self.service.asset(request.path)
        # Awaited and not waited for: painting takes seconds, and other requests are answered meanwhile.
        data = await asyncio.wrap_future(self.images.get(job, k))
        headers = {"Content-Type": f"image/{job.wanted.output_format}", "Cache-Control": "no-store"}
        return Reply(200, data, headers)

    async def _models(self, _request: Request, _: str) -> Reply:
        return json_reply({"models": [openapi.model_entry(number(self.service.credit_cost))], "total": 1})

    async def _model(self, _request: Request, model_id: str) -> Reply:
        _check_model(model_id)
        return json_reply(openapi.model_entry(number(self.service.credit_cost)))

    async def _schema(self, _request: Request, model_id: str) -> Reply:
        _check_model(model_id)
        return json_reply({"apiId": MODEL_ID, "requestSchema": self.shape.request_schema()})

    async def _openapi(self, request: Request, _: str) -> Reply:
        return json_reply(openapi.document(self.shape, request.origin, publish_schema=self.publish_schema))


def _guard(request: Request) -> None:
    """Only programs on this machine: no other name for it (DNS rebinding), no page in a browser (Origin)."""
    if not _HOST.fullmatch(request.headers.get("host", "")):
        raise Refusal("forbidden", "The sandbox answers to 127.0.0.1 and localhost only.", status=403)
    if "origin" in request.headers:
        raise Refusal("forbidden", "The sandbox does not answer web pages.", status=403)


def _check_model(model_id: str) -> None:
    if model_id != MODEL_ID:
        raise Refusal("model_not_found", f"There is no model {model_id[:60]!a}; the sandbox has {MODEL_ID}.")
