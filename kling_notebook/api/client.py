"""ServiceClient: one method for each exchange with the service, each made exactly once.

What repeats, waits and spends is in `jobs`: the session's workers, and `KlingClient` for a plain script.
"""

import functools
import json
import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from . import reply_report, url_policy, wire
from .api_key import Secret, clean_key
from .errors import InputError, KlingError, SettingsError, TransportError
from .event_log import suppress
from .generation_request import DEFAULT_MODEL, GenerationRequest, SourceImage
from .job import Job
from .rate_limiter import RateLimiter
from .request_queue import RequestQueue
from .sanitize import parse, without_urls
from .schema import ModelSchema, check_body, read_schema, run_body

if TYPE_CHECKING:
    from .transport import Reply, Transport

BASE_URL = "https://pixeldojo.ai/api/v1"
REQUESTS_PER_MINUTE = 60.0
"""Assumed until replies say otherwise. One page of the service says 60, a newer one 10."""

_UNKNOWN_JOB = "kling-notebook-check"
_SCHEMA_FAILURE_KEPT = 60.0  # seconds


class ServiceClient:
    """The single exchanges with the service: thread-safe, without state on disk.

    Args:
        api_key: from https://pixeldojo.ai/api-platform/api-keys; goes to the origin of ``base_url`` only.
        base_url: https, or http on this machine.
        model: the service's model id, which every request must be for.
        connect_timeout: seconds to connect. read_timeout: seconds for a whole reply once the request is sent.
        download_timeout: seconds for one download in all. rate: requests a minute to assume at first.

    Raises:
        SettingsError: a key, URL, model or number that cannot work. The message never holds the key.

    Source: https://pixeldojo.ai/api-platform/kling-image
    """

    def __init__(
        self,
        api_key: str | Secret,
        *,
        base_url: str = BASE_URL,
        model: str = DEFAULT_MODEL,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        download_timeout: float = 120.0,
        rate: float = REQUESTS_PER_MINUTE,
    ) -> None:
        try:
            self._key = clean_key(api_key)
        finally:
            api_key = ""  # no frame below an error shows it
        self.base_url = url_policy.check_base_url(base_url)
        self.model = url_policy.check_model(model)
        numbers = {
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "download_timeout": download_timeout,
            "rate": rate,
        }
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise SettingsError(f"{name} must be a number above 0, not {value!r}.")
        self._seconds = (float(connect_timeout), float(read_timeout), float(download_timeout))
        # `submit` and `poll` do not wait by themselves: who sends many requests takes a slot of the queue before each.
        self.request_queue = RequestQueue(RateLimiter(rate))
        self._schema_lock = threading.Lock()
        self._schema: ModelSchema | None = None
        self._schema_due = -math.inf

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r}, model={self.model!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"A {type(self).__name__} holds the API key and is not pickled or copied. Make a new one.")

    def close(self) -> None:
        """Close idle connections. The client stays usable."""
        if "_transport" in self.__dict__:  # none was needed yet, and none is made for it
            self._transport.close()

    # --- one exchange each ----------------------------------------------------------------------------------------

    def submit(self, request: GenerationRequest, *, before_first_byte: Callable[[], None] | None = None) -> Job:
        """Buy: exactly one POST, on a fresh connection. Nothing waits, nothing is sent again, no redirect is followed.

        Args:
            before_first_byte: called once, when the connection is ready (TLS included) and nothing of the request was
                written. What it raises comes out unchanged, and then nothing is sent.

        Returns:
            The job as the reply shows it; its ``job_id`` is all that is needed to fetch the images.

        Raises:
            InputError: refused before anything was sent.
            TransportError: ``never_left`` if nothing was sent; else ``maybe_submitted``.
            ApiError: by status; ``maybe_submitted`` if a job may have been made all the same.
        """
        self.check_request(request)
        body = json.dumps(run_body(request, self._schema_for(request)), allow_nan=False).encode("ascii")
        url = url_policy.model_url(self.base_url, self.model, "run")
        reply = self._exchange(functools.partial(self._transport.post, before_first_byte=before_first_byte), url, body)
        return wire.read_submit(reply.status, reply.headers, reply.body, base_url=self.base_url, cut=reply.cut)

    def body_of(self, request: GenerationRequest) -> dict[str, Any]:
        """What `submit` sends for this request, for a record: source images as a hash, addresses cut to their host.

        Sends nothing and never raises: a record of what was bought must not fail for it.
        """
        request = request.with_sources(lambda source: SourceImage(source.label, source.identity))
        with suppress(KlingError):
            return dict(without_urls(run_body(request, self._schema)))
        return {}

    def poll(self, job_id: str, status_url: str | None = None) -> Job:
        """Ask once how a job stands. ``status_url`` is used only where it lies on the configured origin.

        Raises:
            TransportError: no whole reply. ApiError: by status. UnexpectedReplyError: a reply that cannot be read, or
                a completed job without an image. None of them means that the job failed.
        """
        url = url_policy.same_origin_url(status_url, self.base_url) or url_policy.job_url(self.base_url, job_id)
        try:
            reply = self._exchange(self._transport.get, url)
            return wire.read_job(reply.status, reply.headers, reply.body, job_id, base_url=self.base_url, cut=reply.cut)
        except KlingError as error:
            raise error.with_job(job_id=job_id) from None

    def download(self, url: str, write: Callable[[bytes], object], *, limit: int = 64 * 2**20) -> int:
        """Fetch an image, one try, without the key; returns the number of bytes.

        Args:
            url: public https; anything on this machine only where the service is there too.
            write: is given pieces of at most 64 kB. What it raises comes out unchanged.
            limit: bytes after decoding; above it the image is refused.

        Raises:
            DownloadError: ``status`` of the asset's host where it answered; ``final`` where another try cannot help.
        """
        return self._transport.download(url, write, limit=limit, seconds=self._seconds[2])

    def schema(self) -> ModelSchema | None:
        """What the live schema says of the model: asked once and kept; None where it cannot be had (asked again after
        a minute)."""
        with self._schema_lock:
            if self._schema is None and time.monotonic() >= self._schema_due:
                self._schema = self._fetch_schema()
                self._schema_due = time.monotonic() + _SCHEMA_FAILURE_KEPT
            return self._schema

    def _fetch_schema(self) -> ModelSchema | None:
        # Either page may hold it; which one the service has is not known.
        with suppress(TransportError, SettingsError):
            for ending in (("schema",), ()):
                reply = self._exchange(self._transport.get, url_policy.model_url(self.base_url, self.model, *ending))
                if 200 <= reply.status < 300 and (found := read_schema(parse(reply.body))):
                    return found
        return None

    def check_request(self, request: GenerationRequest) -> None:
        """Refuse what the live schema is known to refuse. Asks for the schema only where the request goes beyond the
        documented body: more than one image, a source image, or ``extra``.

        Raises:
            InputError: naming the parameter and what to do instead.
        """
        if not isinstance(request, GenerationRequest):
            raise InputError(f'A request is a GenerationRequest("a fox"), not a {type(request).__name__}.')
        if request.model != self.model:
            raise InputError(
                f"The request is for the model {request.model}, and this client for {self.model}."
                f" Use request.replace(model={self.model!r}).",
                parameter="model",
            )
        url = request.image.url if request.image is not None else None
        if url and not url_policy.is_data_url(url) and (why := url_policy.why_out_of_reach(url, self.base_url)):
            raise InputError(
                f"The service cannot fetch the source image: {why}. Save it and give its path.", parameter="image"
            )
        check_body(request, self._schema_for(request))

    def _schema_for(self, request: GenerationRequest) -> ModelSchema | None:
        beyond = request.num_outputs > 1 or request.image is not None or request.extra
        return self.schema() if beyond else self._schema

    def probe(self) -> Literal["accepted", "refused", "unknown"]:
        """Whether the key is accepted, found out by asking for a job that does not exist. Spends nothing, never POSTs.

        Returns:
            "unknown" where the host answers, and the answer says nothing of the key.

        Raises:
            TransportError: the host cannot be reached.
        """
        reply = self._exchange(self._transport.get, url_policy.job_url(self.base_url, _UNKNOWN_JOB))
        if reply.status in (401, 403):
            return "refused"
        # A web page at a wrong address answers 404 as well; only the service answers in JSON.
        answered = reply.status in (200, 400, 404, 422) and isinstance(parse(reply.body), dict)
        if answered and reply.status == 404:  # so does a wrong path on the right host; the models are at the right one
            answered = self._exchange(self._transport.get, f"{self.base_url}/models").status == 200
        return "accepted" if answered else "unknown"

    # Two threads may make one each at the first use: one is kept, the other serves a single exchange.
    @functools.cached_property
    def _transport(self) -> "Transport":
        try:
            from .transport import Transport  # here, and not above: it imports requests
        except OSError as error:  # requests 2.32 opens the TLS key log when it is imported
            raise SettingsError(f"requests cannot be loaded ({error}). Check SSLKEYLOGFILE.") from None
        return Transport(self._key, self.base_url, *self._seconds[:2])

    def _exchange(self, send: "Callable[..., Reply]", *what: object) -> "Reply":
        try:
            reply = send(*what)
        except Exception as error:
            if isinstance(error, TransportError) and not error.never_left:
                self.request_queue.observe_reply(0, {})
            else:  # also a setting that cannot work, or the hook before the first byte: nothing was sent
                self.request_queue.release_unused()
            raise
        self.request_queue.observe_reply(reply.status, reply.headers)
        reply_report.note("POST" if len(what) > 1 else "GET", reply.status, reply.headers, reply.body)
        return reply
