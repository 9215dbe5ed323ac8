"""Values to and from the JSON of requests and replies. Pure: bytes and headers in, values and errors out.

What the service says beyond its documentation is unknown, so a reply is read with tolerance and checked where money
hangs on it: a submit whose reply holds no job id is never taken for a refusal.

Source: https://pixeldojo.ai/api-platform/kling-image.
"""

import functools
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice, product
from typing import Any, Literal
from urllib.parse import urljoin

from .api_key import KEYS_PAGE
from .errors import (
    ApiError,
    InsufficientCreditsError,
    InvalidRequestError,
    ModelNotFoundError,
    RateLimitedError,
    ServerError,
    TransportError,
    UnauthorizedError,
    UnexpectedReplyError,
)
from .job import MOST_BALANCE, MOST_CREDITS, Job
from .rate_headers import retry_after
from .sanitize import JSON_LIMIT, clean, number, parse, parse_all, without_urls
from .url_policy import id_in_job_url, is_data_url, is_job_id, same_origin_url

_STATES: Mapping[str, Literal["running", "completed", "failed"]] = {
    **dict.fromkeys(("completed", "complete", "succeeded", "succeed", "success", "done", "finished"), "completed"),
    **dict.fromkeys(
        ("failed", "failure", "error", "cancelled", "canceled", "expired", "rejected", "timeout", "timed_out"), "failed"
    ),
    **dict.fromkeys(("pending", "processing", "running", "queued", "starting", "in_progress"), "running"),
}
# Names as `_bare` has them. Those of a job first: beside them a plain "status" may be that of the request.
_JOB_STATUS_KEYS = ("jobstatus", "jobstate", "taskstatus", "taskstate")
_STATUS_KEYS = (*_JOB_STATUS_KEYS, "status", "state")
_OWN_ID_KEYS = ("jobid",)  # the documented name: it counts in an error reply, and says whose reply it is
_JOB_ID_KEYS = (*_OWN_ID_KEYS, "jobuuid", "taskid", "taskuuid", "predictionid", "generationid", "operationid", "runid")
# Often of the request, for a trace.
_TRACE_ID_KEYS = ("executionid", "requestid", "uuid", "guid")
_ID_KEYS = (*_JOB_ID_KEYS, "id", "promptid", *_TRACE_ID_KEYS)
_STATUS_URL_KEYS = ("statusurl", "pollingurl", "pollurl")

_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    402: InsufficientCreditsError,
    404: ModelNotFoundError,
    422: InvalidRequestError,
    429: RateLimitedError,
}
_BY_CODE: Mapping[str, type[ApiError]] = {
    "unauthorized": UnauthorizedError,
    "insufficient_credits": InsufficientCreditsError,
    "invalid_request": InvalidRequestError,
    "model_not_found": ModelNotFoundError,
    "rate_limited": RateLimitedError,
}
_ADVICE: Mapping[type[ApiError], tuple[str, str]] = {
    InvalidRequestError: ("The service refused the parameters", "Change them"),
    UnauthorizedError: ("The service did not accept the API key", f"Set a valid one from {KEYS_PAGE}"),
    InsufficientCreditsError: ("Not enough credits", "More credits are needed"),
    ModelNotFoundError: ("The service knows no such model or job", "Check the model, the job id and the base URL"),
    RateLimitedError: ("Too many requests", "Wait and ask again"),
    ServerError: ("The service had an error", "Try again later"),
    UnexpectedReplyError: ("The service answered with something else than expected", "Check the base URL"),
    ApiError: ("The service refused the request", "Check the settings"),
}
_REDIRECTED = (
    "The service redirected the request, which was not followed: neither the key nor a purchase goes elsewhere",
    "Check the base URL",
)
_TOO_LONG = ("The service says that the request took too long", "Check the settings")
CREDITS_PAGE = "https://pixeldojo.ai/api-platform/buy-credits"
_UNKNOWN_OUTCOME = "A job may have been made and charged; it was not sent again."


def read_submit(
    status: int, headers: Mapping[str, str], body: bytes, *, base_url: str = "", cut: str | None = None
) -> Job:
    """The job a submit made, from however torn a reply: an id is an id.

    The id is looked for in the body, then in the address where the reply says the job stands, then in a header of its
    name. Completed without an image counts as running: a poll will tell. Completed with images and without an id has
    the ``job_id`` "".

    Args:
        base_url: the configured one; a status URL on another origin is dropped, and every one without it.
        cut: why the body ended too early, as the end of a sentence; None if it is whole.

    Raises:
        ApiError: by status and code. A reply without a usable job id is an UnexpectedReplyError.
            ``maybe_submitted`` if the reply leaves open that a job was made.
    """
    # An id is an id: a job that is named was made, whatever the status. A refusal may name others, by way of a reason.
    reply, whole = _reply_in(body, base_url, strangers=not refuses(status))
    good = 200 <= status < 300
    job_id = _job_id(reply or {}, (_JOB_ID_KEYS if _is_error(reply or {}) else _ID_KEYS) if good else _OWN_ID_KEYS)
    if job_id is None and status < 400 and not refuses(status):
        job_id = _id_in_addresses(headers, body, base_url) or _job_id(
            {name.lower().removeprefix("x-"): value for name, value in headers.items()}, _OWN_ID_KEYS
        )
    if job_id is None and not good:
        raise read_error(status, headers, body, submitting=True, base_url=base_url)
    job = _job(reply or {}, job_id or "", base_url, whole=whole)
    if job_id is None and not job.image_urls:
        torn = f" was cut short: {cut}." if cut else " holds no job id."
        raise _unexpected(f"The service's reply to a submit{torn}", status, body, maybe_submitted=True)
    return job


def read_job(
    status: int, headers: Mapping[str, str], body: bytes, job_id: str, *, base_url: str = "", cut: str | None = None
) -> Job:
    """The job as a poll reply shows it. An undocumented status means that it is still running.

    Its ``job_id`` is the one that the reply names, which the caller compares with the one it asked for. If it names
    none, its failure is to be seen twice (`completed_by_evidence`): a gateway may speak of itself. Images count
    whatever the HTTP status.

    Raises:
        ApiError: by status and code. UnexpectedReplyError if the reply is not a JSON object (``raw`` is then text) or
            the job is completed without an image (``raw`` is then the reply).
        TransportError: the same of a reply that was ``cut``.
    """
    reply, whole = _reply_in(body, base_url, job_id)
    job = _job(reply or {}, _job_id(reply or {}, _OWN_ID_KEYS) or job_id, base_url, whole=whole)
    if not 200 <= status < 300 and not job.image_urls:
        raise read_error(status, headers, body, submitting=False).with_job(job_id=job_id)
    if reply is None or (_STATES.get(job.status) == "completed" and not job.output_urls):
        if cut:
            raise TransportError(f"The reply about job {job_id} was cut short: {cut}. Ask again.", job_id=job_id)
        what = "is completed, and the reply names no image" if reply else "was asked for, and the reply cannot be read"
        raise _unexpected(f"Job {job_id} {what}.", status, body, job_id=job_id)
    return replace(job, state="running") if job.state == "failed" and _job_id(reply) is None else job


def completed_by_evidence(before: Job | None, now: Job, num_outputs: int) -> Job:
    """The reply ``now``, as completed if its output shows it whatever the status word says.

    A failure in a reply that names no job is one if the reply before shows it as well. Under a word that is not known,
    image URLs in the output of two polls running are enough. Under a known running word, which may come with previews,
    and in replies that were cut, at least ``num_outputs`` URLs must stand there, the same ones both times.

    Args:
        before: the job's previous reply, None for its first. num_outputs: images that were asked for.
    """
    if now.state != "running" or before is None:
        return now
    if now.error is not None and before.error is not None:
        return replace(now, state="failed")
    if not now.output_urls or not before.output_urls:
        return now
    same = [*map(_without_query, now.output_urls)] == [*map(_without_query, before.output_urls)]
    if now.status in _STATES and (not same or len(now.output_urls) < num_outputs):
        return now
    return replace(now, state="completed", image_urls=now.output_urls)


def _without_query(url: str) -> str:
    """What names an image: signatures are made anew for each reply."""
    return url if is_data_url(url) else url.partition("?")[0]


def _job(reply: Mapping[str, Any], job_id: str, base_url: str, *, whole: bool) -> Job:
    images = tuple(dict.fromkeys(_images_of(reply, base_url)))
    likely = "completed" if images else "failed"
    words = _status_words(reply) or ["completed" if images else "unknown"]
    # Of several words the one that the images bear out, else one that is known.
    word = min(words, key=lambda word: (_STATES.get(word) != likely, word not in _STATES))
    state = _STATES.get(word, "running")
    if state == "running":
        results = _RESULTS if word in _STATES else (*_RESULTS, "images")
        images = tuple(dict.fromkeys(_images_of({key: reply[key] for key in reply if _bare(key) in results}, base_url)))
    # What is missing may change the meaning of what is there; the next poll says it all.
    state = state if whole and (state != "completed" or images) else "running"
    return Job(
        job_id,
        state,
        word,
        image_urls=images if state == "completed" else (),
        output_urls=images,
        status_url=next(
            filter(None, (same_origin_url(url, base_url) for url in _values(reply, _STATUS_URL_KEYS))), None
        ),
        credit_cost=_credits(reply, MOST_CREDITS, "creditcost"),
        credits_remaining=_credits(reply, MOST_BALANCE, "creditsremaining"),
        error=_reason(reply) if state == "failed" else None,
        warnings=warnings_of(reply),
        raw=without_urls(reply),
    )


def _status_words(reply: Mapping[str, Any]) -> list[str]:
    """The service's own words, lower-cased, only those of a job if there are some; known ones as they are listed here
    ("In progress": in_progress)."""
    values = [*_values(reply, _JOB_STATUS_KEYS)] or [*_values(reply, _STATUS_KEYS)]
    inner = ((_values(value, _STATUS_KEYS) if isinstance(value, Mapping) else [value]) for value in values)
    words = [clean(one, 40).lower() for one in chain.from_iterable(inner)]
    plain = {word: re.sub(r"[\s-]+", "_", word) for word in words if word}
    return [known if known in _STATES else word for word, known in plain.items()]


@functools.lru_cache(maxsize=1000)
def _bare(name: object) -> str:
    """A name without what differs from one service to another: job_id, jobID and Job-Id are one."""
    return re.sub(r"[\W_]", "", str(name)).casefold()


def _values(reply: Mapping[str, Any], names: Iterable[str]) -> Iterator[Any]:
    """What stands under these names, in the order of the names."""
    return (reply[key] for name in names for key in reply if _bare(key) == name)


# --- what a reply is wrapped in -------------------------------------------------------------------------------------

_MOST_ITEMS = 1000  # names of an object, objects in a list, addresses, that are looked at: more would take long
_WRAPPERS = ("data", "result", "job", "response", "body", "payload", "prediction", "task")


def _is_error(reply: Mapping[str, Any]) -> bool:
    """Whether a reply is an error although its HTTP status is not: its ids, but for that of a job, are for a trace."""
    refused = isinstance(code := reply.get("code"), int) and 400 <= code < 600
    return bool(refused or reply.get("success") is False or (reply.get("error") and not reply.get("status")))


def _reply_in(
    body: bytes, base_url: str, job_id: str = "", *, strangers: bool = True
) -> tuple[Mapping[str, Any] | None, bool]:
    """What a body says of the job (None if it cannot be read), and whether it is whole. Without ``strangers``, only
    under names that wrap a reply.

    A stream of events is taken as one reply, the later ones over the earlier ones; those about another job than
    ``job_id`` are left out if there are more. Inside a page or text only what speaks of a job counts.
    """
    values, whole = parse_all(body)
    items = islice(chain.from_iterable(value if isinstance(value, list) else [value] for value in values), _MOST_ITEMS)
    replies = [found for item in items if (found := _unwrapped(item, job_id, strangers)) is not None]
    enough = 3 if body.lstrip().startswith(b"<") else 1  # a page is written by anybody
    speaking = [reply for reply in replies if _certainty(reply) >= enough]
    ours = [reply for reply in speaking if not job_id or _job_id(reply) in (None, job_id)] or speaking
    if not ours and isinstance(exact := parse(body), Mapping):
        ours = replies[:1]
    elif not ours and isinstance(exact, list) and _images_of({"output": exact}, base_url):
        ours = [{"output": exact}]
    return {key: value for reply in ours for key, value in reply.items()} if ours else None, whole


def _unwrapped(reply: Any, job_id: str, strangers: bool, depth: int = 0) -> Mapping[str, Any] | None:
    """The object that speaks of the job: the reply itself, or what it is wrapped in; None without an object. Facts
    outside are kept, but for a status: an envelope has one of its own ("success")."""
    if not isinstance(reply, Mapping):
        return None
    # The id beside "jsonrpc" is that of the request.
    facts = {key: reply[key] for key in islice(reply, _MOST_ITEMS) if key != "id" or "jsonrpc" not in reply}
    certain = _certainty(facts)
    if depth > 3 or certain == 3:
        return facts
    for key in sorted(facts, key=lambda key: _WRAPPERS.index(key) if key in _WRAPPERS else len(_WRAPPERS)):
        inside = facts[key]
        if isinstance(inside, str) and inside.lstrip().startswith("{"):
            inside = parse(inside.encode("utf-8", "replace"))
        if isinstance(inside, list):
            ours = [one for one in inside if job_id and isinstance(one, Mapping) and _job_id(one) == job_id]
            inside = next(iter(ours or inside), None) if ours or len(inside) == 1 else inside
        # The id alone in the place of a job: of what a submit made, if nothing else names it.
        if isinstance(inside, str) and strangers and not (job_id or certain > 1 or _is_error(facts)):
            as_id = "id" if key in _WRAPPERS and _LIKE_AN_ID.fullmatch(inside) else "jobId"
            inside = {as_id: inside} if as_id == "id" or _bare(key).removesuffix("s") in _JOB_ID_KEYS else inside
        found = _unwrapped(inside, job_id, strangers, depth + 1) if key not in ("error", "input", "request") else None
        # Under another name it may be anybody's: a user has an id and a status as well, and a job has others in it.
        others = 3 if strangers and (certain < 2 or not job_id or _job_id(facts) != job_id) else 4
        enough = (1 if certain < 2 else 3) if key in _WRAPPERS else others
        if found is not None and _certainty(found) >= enough:
            hidden = _STATUS_KEYS if [*_values(found, _STATUS_KEYS)] else ()
            return {name: facts[name] for name in facts if name != key and _bare(name) not in hidden} | dict(found)
    return facts


def _certainty(value: Mapping[str, Any]) -> int:
    """How surely it speaks of a job: 3 by an id that only a job has, 2 by a bare ``id``, 1 by a status or by images."""
    names = set(map(_bare, value))
    # An image has an id, too.
    ids = (("id", "promptid"), _TRACE_ID_KEYS) if names.isdisjoint((*_IMAGE_KEYS, *_ENCODED_KEYS)) else ((), ())
    kinds = ((*_STATUS_KEYS, "output", "outputs", *ids[1]), ids[0], _JOB_ID_KEYS)
    return max((certain for certain, kind in enumerate(kinds, start=1) if not names.isdisjoint(kind)), default=0)


def _job_id(reply: Mapping[str, Any], keys: tuple[str, ...] = _ID_KEYS) -> str | None:
    """A job id that can be polled: text or a number, whatever its characters; not a path that leads elsewhere."""
    inner = (_values(one, ("id",)) if isinstance(one, Mapping) else [one] for one in _values(reply, keys))
    values = (
        value for value in chain.from_iterable(inner) if isinstance(value, str | int) and not isinstance(value, bool)
    )
    texts = (str(value).strip() for value in values)
    return next((text for text in texts if is_job_id(text) and not _NO_ID.fullmatch(text)), None)


# In the place of a job; "text-to-image-2" and "queued" say what it is.
_LIKE_AN_ID = re.compile(r"job[_-](?=\D{0,99}\d)[\w-]{1,99}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,64}")
_NO_ID = re.compile(r"-1|[0-]+|null|none|nil|undefined|n/a", re.IGNORECASE)  # what templates write for a missing one


_ADDRESS = re.compile(r"""(?<![^"'<>\s])[^"'<>\s\[]{0,300}?(?:jobs|/job)/[^"'<>\s\[]{1,1000}+(?=["'<>\s])""")


def _id_in_addresses(headers: Mapping[str, str], body: bytes, base_url: str) -> str | None:
    """The job id in any address of the service's jobs: statusUrl, polling_url, urls.get, _links.self.href, Location."""
    text = " ".join([*headers.values(), body[:JSON_LIMIT].decode("utf-8", "replace").replace("\\/", "/")])
    found = [id_in_job_url(url[0], base_url) for url in islice(_ADDRESS.finditer(text), _MOST_ITEMS)]
    # Other pages of the service may stand beside it ("jobs/recent").
    return min(filter(None, found), key=lambda one: not re.search(r"\d", one), default=None)


# --- images ---------------------------------------------------------------------------------------------------------

# Of the job's result only; under the others of `_CONTAINERS` a job that still runs may repeat what it was given.
_RESULTS = ("output", "outputs", "result", "results", "assets", "artifacts", "generations")
_CONTAINERS = (
    *_RESULTS,
    "images",
    "image",
    "data",
    *("outputurl", "outputurls", "resulturl", "resulturls", "outputimage", "outputimages", "resultimages"),
)
_IMAGE_KEYS = ("images", "image", "assets", "url", "urls", "imageurl", "imageurls")
_ENCODED_KEYS = ("b64json", "base64", "b64")
_OTHER_ADDRESSES = re.compile(
    r"status|poll|cancel|webhook|callback|self|^get$|stream|log|docs|help|input|(?<!re)source|request|prompt|param|thumb|preview|"
    r"user|account|owner|author|avatar|warning|error|reference|^init|^mask|^model$|^_?links?$|^created|^previous|^parent",
    re.IGNORECASE,
)


# Several addresses in one text; an address may hold spaces and commas itself.
_BETWEEN_ADDRESSES = re.compile(r"(?<![\s,])[\s,]++(?=https?://)", re.IGNORECASE)
_PATH = re.compile(r"//?[\w.~%-]+(/[\w.~%@:+-]+)*\.(png|jpe?g|webp|avif|gif)(\?\S*)?", re.IGNORECASE)
_MARKUP = 100_000  # characters of a text that are looked through for images in Markdown and HTML
_IN_MARKUP = re.compile(
    r"""(?:!\[[^\]]{0,300}\]\(|<img\b[^>]{0,300}?\ssrc=["'])(https?://[^\s"'<>)]+)""", re.IGNORECASE
)


def _images_of(reply: Mapping[str, Any], base_url: str) -> list[str]:
    """URLs of images in the service's order, under ``output`` in any of its shapes, else under its other names.

    Then any address in these places that is not one of the service's own pages; as a last resort an image's other names
    at the top, and below names that are not known ("task_result").
    """
    # If there are some under ``output``, what stands elsewhere is the same, or something else.
    others = [
        _bare(key)
        for key, value in reply.items()
        if isinstance(value, Mapping | list) and not _OTHER_ADDRESSES.search(str(key))
    ]
    places = (
        *product((False, True), (_CONTAINERS[:1], _CONTAINERS[1:])),
        (False, (*_IMAGE_KEYS, *others)),
        # Beside images these hold texts about them, or an archive.
        (True, ("choices", "downloadurl", "downloadurls")),
    )
    for anywhere, keys in places:
        written = [*chain.from_iterable(_urls(value, anywhere=anywhere) for value in _values(reply, keys))]
        # A path on the service's own host, or on the host that it begins with ("//images.example/1.png"). Beside an
        # address it may as well be one on the service's disk.
        urls = [url for url in written if url[0] != "/"] or [urljoin(base_url, url) for url in written if base_url]
        # A status URL of the service itself may stand beside the images; it is polled and never fetched as one.
        if found := [url for url in urls if not (base_url and url.startswith(f"{base_url}/jobs/"))]:
            return found
    return []


def _urls(value: Any, *, anywhere: bool, depth: int = 0) -> Iterator[str]:
    """The addresses of images in a value: under the names they have, or ``anywhere``, also under names not known."""
    inside: list[Any] = []
    if isinstance(value, str):
        text = value.strip()
        if text.lower().startswith(("https://", "http://")) or is_data_url(text):
            # "&amp;" is how a page writes it.
            yield from [text] if is_data_url(text) else _BETWEEN_ADDRESSES.split(text.replace("&amp;", "&"))
        elif len(text) > 1000 and text.isascii() and not re.search(r"[^\w+/=\r\n-]", text):  # base64 without a label
            yield f"data:image/any;base64,{text}"
        elif text.startswith(("{", "[")) and (read := parse(text.encode("utf-8", "replace"))):
            inside = [read]
        else:
            yield from [text] if _PATH.fullmatch(text) else _IN_MARKUP.findall(text[:_MARKUP].replace("&amp;", "&"))
    elif isinstance(value, list):
        # The link of an entry that has no other address; elsewhere a link leads to a page.
        inside = [
            {**one, "url": one["link"]}
            if isinstance(one, Mapping) and "link" in one and {*map(_bare, one)}.isdisjoint(_IMAGE_KEYS)
            else one
            for one in value
        ]
    elif isinstance(value, Mapping):
        named = [item for key, item in value.items() if not _OTHER_ADDRESSES.search(str(key))]
        encoded = [text for text in _values(value, _ENCODED_KEYS) if isinstance(text, str) and len(text) > 100]
        urls = [text if is_data_url(text) else f"data:image/any;base64,{text}" for text in encoded]
        inside = [*(named if anywhere else _values(value, _IMAGE_KEYS)), *urls]
    for item in inside if depth < 8 else ():  # deeper is nonsense, and would end in a RecursionError
        yield from _urls(item, anywhere=anywhere, depth=depth + 1)


# --- other facts ----------------------------------------------------------------------------------------------------

_REASON_KEYS = re.compile(r"error|fail|reason|message|msg|detail|cause|moderation", re.IGNORECASE)
_NOT_A_REASON = frozenset({*_ID_KEYS, *_STATUS_KEYS, *_STATUS_URL_KEYS, "creditcost", "creditsremaining", "error"})


def _reason(reply: Mapping[str, Any]) -> str:
    """Why a job failed, in whatever words the reply holds."""
    code, message = _code_and_message(reply)
    holders = [value for value in (reply, reply.get("output"), reply.get("result")) if isinstance(value, Mapping)]
    # Services name it as they like (errorMessage, failureReason, moderation.detail): the name tells, not the place.
    named = [
        clean(value)
        for key, value in chain.from_iterable(holder.items() for holder in holders)
        if _REASON_KEYS.search(str(key)) and isinstance(value, str) and value != code
    ]
    text = "; ".join(filter(None, dict.fromkeys([message or code or "", *named])))
    rest = {
        key: value
        for key, value in reply.items()
        if _bare(key) not in _NOT_A_REASON and value not in (None, "", [], {})
    }
    return clean(text) or ("no reason given" + (f" ({clean(rest, 200)})" if rest else ""))


def warnings_of(reply: Any) -> tuple[str, ...]:
    """What a reply, perhaps one that was stored, says of the images' content, as "not drawn: perfume"."""
    value = reply.get("warnings") if isinstance(reply, Mapping) else None
    texts = (
        clean(item.get("message") if isinstance(item, Mapping) else item)
        for item in (value[:_MOST_ITEMS] if isinstance(value, list) else [value])
    )
    return tuple(dict.fromkeys(text for text in texts if text))[:20]


def _credits(parsed: Mapping[str, Any], most: float, *keys: str) -> float | None:
    """Credits, perhaps fractional: the first of the keys that holds a number of at most ``most``."""
    return next((n for value in _values(parsed, keys) if (n := number(value)) is not None and n <= most), None)


# ---------------------------------------------------------------------------------------------------------- errors


def read_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    submitting: bool,
    base_url: str = "",
    now: float | None = None,
) -> ApiError:
    """The error a reply amounts to: its class by HTTP status first, then by the code in the body.

    Args:
        submitting: the reply answers a purchase: say whether a job may have been made.
        base_url: the configured one; where credits are sold is told of PixelDojo's own service only.
        now: seconds since the epoch, for a Retry-After that is a date; the clock's where not given.
    """
    parsed = parse(body)
    code, message = _code_and_message(parsed)
    message = message or ("" if code else _plain(body))
    kind = _kind(status, code)
    if kind is ModelNotFoundError and not submitting and not isinstance(parsed, Mapping):
        kind = UnexpectedReplyError  # a page of a gateway in between: only the service itself knows its jobs
    unknown = submitting and not refuses(status)
    what, advice = _REDIRECTED if 300 <= status < 400 else _TOO_LONG if status == 408 else _ADVICE[kind]
    if kind is InsufficientCreditsError and same_origin_url(CREDITS_PAGE, base_url):
        advice = f"Buy credits at {CREDITS_PAGE}"
    detail = ": ".join(part for part in (code, message) if part and part not in (what,))
    ending = _UNKNOWN_OUTCOME if unknown else f"{advice}; nothing was bought." if submitting else f"{advice}."
    # X-RateLimit-Reset may come with any reply; only with a refusal does it mean that one must wait for it.
    wait = retry_after(headers, time.time() if now is None else now, or_reset=kind is RateLimitedError)
    asked = f"; it asked to wait {wait:g} s" if wait else ""
    return kind(
        f"{what} ({status}{', ' + detail if detail else ''}){asked}. {ending}",
        status=status,
        code=code,
        message=message,
        retry_after=wait,
        maybe_submitted=unknown,
    )


def refuses(status: int) -> bool:
    """True if the status makes it certain that no job was made. 307 and 308 ask for the same POST elsewhere, so it was
    not worked on here; other redirects often follow work that was done."""
    return status in (307, 308) or (400 <= status < 500 and status not in (408, 499))


def _kind(status: int, code: str | None) -> type[ApiError]:
    if status == 403 and code and "credit" in code.lower():
        return InsufficientCreditsError
    by_code = _BY_CODE.get((code or "").lower(), ApiError) if status != 408 else ApiError
    of_others = ServerError if 500 <= status < 600 else UnexpectedReplyError
    return _BY_STATUS.get(status, by_code if 400 <= status < 500 else of_others)


def _code_and_message(body: Any, depth: int = 0) -> tuple[str | None, str]:
    """Code and message of an error body in any of the shapes services use; (None, "") where there is nothing."""
    if isinstance(body, list):
        return None, _field_errors(body)
    if not isinstance(body, Mapping):
        return None, clean(body) if isinstance(body, str) else ""
    error = body.get("error")
    code, message = _code(body.get("code")), clean(body.get("message"))
    if isinstance(error, Mapping | list) and depth < 3:
        inner_code, inner_message = _code_and_message(error, depth + 1)
        code, message = inner_code or code, inner_message or message
    elif isinstance(error, str):
        code = code or (_code(error) if message else None)
        message = message or clean(error)
        code = code or (message if message in _BY_CODE else None)
    others = (body.get(key) for key in ("errors", "details", "detail", "msg", "type"))
    texts = (_field_errors(value) if isinstance(value, list) else clean(value) for value in others)
    return code, message or next(filter(None, texts), "")


def _code(value: Any) -> str | None:
    text = clean(value, 64) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text or None


def _field_errors(items: list[Any]) -> str:
    """``prompt: too long; image_url: missing`` from a list of field errors."""
    return clean("; ".join(filter(None, map(_field_error, items[:5]))))


def _field_error(item: Any) -> str:
    if not isinstance(item, Mapping):
        return clean(item)
    where = item.get("field") or item.get("loc") or item.get("path") or item.get("param")
    place = ".".join(map(str, where)) if isinstance(where, list) else where
    what = item.get("message") or item.get("msg") or item.get("error")
    return ": ".join(filter(None, (clean(place, 60), clean(what))))


_TAGS = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|<[^>]*>?", re.IGNORECASE | re.DOTALL)


def _plain(body: bytes) -> str:
    """Readable text of a body that is not JSON: of a page of HTML its words, without styles and scripts."""
    text = _TAGS.sub(" ", body[:20_000].decode("utf-8", "replace"))
    return "" if text.strip() in ("null", "{}", "[]") else clean(text, 200)


def _unexpected(text: str, status: int, body: bytes, **facts: Any) -> UnexpectedReplyError:
    parsed = parse(body)
    shown = clean(parsed, 200) if parsed is not None else _plain(body)
    ending = _UNKNOWN_OUTCOME if facts.get("maybe_submitted") else "Ask again later; the job id is kept."
    raw = without_urls(parsed) if parsed is not None else shown
    text = f"{text} {f'It reads: {shown}' if shown else 'It was empty.'} {ending}"
    return UnexpectedReplyError(text, raw=raw, status=status, message=shown, **facts)
