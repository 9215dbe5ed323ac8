"""The Python API: generate, submit, sweep and the rest. In a cell it shows and waits like one, in a script like one.

What it shares with the magic (start, show, wait) is `perform` in `notebook.display.run_in_cell`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .api.address import split_address
from .api.api_key import Secret
from .api.errors import InputError
from .api.parameters import PARAMETERS, path_from
from .image_files import metadata
from .jobs.purchase import Call
from .jobs.spending import Estimate
from .notebook import kernel_session
from .notebook.display import wait
from .notebook.display.outputs import counted
from .notebook.display.run_in_cell import check_limit, check_reuse, collect, interrupts_explained, perform
from .results.batch_result import BatchResult
from .results.handle import JobHandle
from .results.result import Comparison, Result, SavedImage, history_row, writing
from .results.sweep_result import SweepResult
from .results.table_rows import is_table
from .session import image_tables
from .session.plans import batch_plan, sweep_plan
from .session.session import Session
from .view.table import history_page

if TYPE_CHECKING:
    import pandas as pd

    from .notebook.panel.panel import KlingPanel

_Function = TypeVar("_Function", bound=Callable[..., Any])


# ---- the session ----


def connect(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    sandbox: bool | None = None,
    folder: str | os.PathLike[str] | None = None,
    budget: float | None = None,
    **settings: Any,
) -> Session:
    """Begin a session with these settings; the ones not given come from ``%config``, the environment, the keyring.

    Args:
        api_key: the service's key. Better kept in PIXELDOJO_API_KEY or the keyring than in a notebook.
        base_url: another address of the service. sandbox: True for painted images, False for never.
        folder: where images and journal are kept. budget: credits this session may spend.
        settings: any other setting of ``%kling config``, by name.

    Raises:
        SettingsError: naming the setting and the way out.

    >>> kling.connect(sandbox=True, folder="my_images").backend
    'sandbox'
    """
    key, api_key = (Secret(api_key) if isinstance(api_key, str) else api_key), None  # no frame shows it from here on
    return kernel_session.connect(
        api_key=key, base_url=base_url, sandbox=sandbox, folder=folder, budget=budget, **settings
    )


def current_session() -> Session:
    """The session of this kernel; begun at its first use, and anew where it was closed.

    Raises:
        SettingsError: no key where one is needed, a folder that cannot be written.

    >>> kling.current_session().is_sandbox
    True
    """
    return kernel_session.current_session()


# ---- one request ----


def _telling_parameters(call: _Function) -> _Function:
    """Give a call that takes ``**parameters`` a signature with every row of the table, for tooltips and Tab."""
    signature = inspect.signature(call)
    kinds = inspect.Parameter
    types = {"integer": "int | None", "number": "float | None", "switch": "bool | None", "image": "Any"}  # or text
    rows = [
        kinds(name, kinds.KEYWORD_ONLY, default=row.default, annotation=types.get(row.kind, "str | None"))
        for name, row in PARAMETERS.items()
        if name != "prompt"
    ]
    # In front of the keywords that are the call's own, and in the table's order: that is how Shift+Tab lists them.
    listed = list(signature.parameters.values())
    first = next(i for i, one in enumerate(listed) if one.kind is kinds.KEYWORD_ONLY)
    listed[first:] = [*rows, *(one for one in listed[first:] if one.kind is not kinds.VAR_KEYWORD)]
    call.__signature__ = signature.replace(parameters=listed)  # type: ignore[attr-defined]  # where inspect looks for it
    return call


@_telling_parameters
def generate(
    prompt: str,
    *,
    extra: Mapping[str, Any] | None = None,
    timeout: float | None = 300.0,
    max_credits: float | None = None,
    reuse: bool | None = None,
    show_progress: bool = True,
    **parameters: Any,
) -> Result:
    """Make images: submit, wait with a progress bar, save, show.

    Args:
        prompt: what the image should show.
        parameters: negative_prompt, resolution, aspect_ratio, num_outputs, output_format, image.
        extra: raw keys for the request's body. timeout: seconds to wait; the job keeps running. None: no limit.
        max_credits: refuse above this estimate. reuse: show an identical completed request again at no cost.
        show_progress: False shows nothing.

    Returns:
        The saved images with their facts.

    Raises:
        InputError, SettingsError, BudgetExceededError: before anything was sent.
        KlingError: what became of the job; ``maybe_submitted`` where it may have been charged.
        Interrupted: the waiting was stopped; what was submitted keeps running.

    Source: https://pixeldojo.ai/api-platform/kling-image

    >>> fox = kling.generate("a red fox at dawn", aspect_ratio="16:9", num_outputs=2, show_progress=False)
    >>> len(fox), fox[0].width, fox[0].height
    (2, 1360, 768)
    """
    session = current_session()
    # no axes, and it waited
    return cast(
        Result,
        perform(
            session,
            [session.request(prompt, extra=extra, **parameters)],
            source="python",
            timeout=timeout,
            max_credits=max_credits,
            reuse=reuse,
            show_progress=show_progress,
        ),
    )


@_telling_parameters
def submit(
    prompt: str,
    *,
    extra: Mapping[str, Any] | None = None,
    max_credits: float | None = None,
    reuse: bool | None = None,
    **parameters: Any,
) -> JobHandle:
    """Start one request and return at once: ``handle.result()``, ``await handle``, ``concurrent.futures.wait``.

    Raises:
        InputError, SettingsError, BudgetExceededError: before anything was sent.

    >>> handle = kling.submit("a red fox at dawn")
    >>> len(handle.result(timeout=60))
    1
    """
    check_reuse(reuse)
    session = current_session()
    request = session.request(prompt, extra=extra, **parameters)
    # Ctrl-C between the journal's row and the return would lose the handle: it is raised when the call has begun.
    begun: list[Call] = []
    with interrupts_explained(session, begun), wait.InterruptsNoted():
        begun.append(session.start([request], source="python", max_credits=max_credits, reuse=reuse))
    return begun[0].handles[0]


# ---- sweeps ----


def sweep(
    prompt: Any,
    axes: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,
    max_credits: float | None = None,
    reuse: bool | None = None,
    pick: int | None = None,
    pick_seed: int | str = 0,
    extra: Mapping[str, Any] | None = None,
    show_progress: bool = True,
    **more_axes: Any,
) -> SweepResult:
    """Make the product of values along axes, and lay it out as a labeled grid.

    Args:
        prompt: the text with a ``{name}`` per axis of its own; or a list of texts, which is the axis ``prompt``.
        axes: name -> values, for any name. more_axes: the same as keywords: a list is an axis, a single value is fixed.
        pick: draw so many points of the product instead of taking all; the same ones for the same ``pick_seed``.
        timeout, max_credits, reuse, extra, show_progress: as for generate; reuse is on by default.

    Raises:
        As generate. A job that failed among others that did not is drawn with its reason and raises nothing.

    >>> grid = kling.sweep("a {animal}", animal=["fox", "owl"], aspect_ratio=["1:1", "16:9"], show_progress=False)
    >>> grid["owl", "16:9"][0].width
    1360
    """
    session = current_session()
    plan = sweep_plan(session, prompt, axes, more_axes, pick=pick, pick_seed=pick_seed)
    # its plan is a sweep's
    return cast(
        SweepResult,
        perform(
            session,
            session.requests(plan.points, extra),
            source="python",
            plan=plan,
            timeout=timeout,
            max_credits=max_credits,
            reuse=reuse,
            show_progress=show_progress,
        ),
    )


def batch(
    frame: Any,
    *,
    prompt: str = "prompt",
    id: str | None = None,
    skip_invalid: bool = False,
    timeout: float | None = None,
    max_credits: float | None = None,
    reuse: bool | None = None,
    extra: Mapping[str, Any] | None = None,
    show_progress: bool = True,
    **columns_or_values: Any,
) -> BatchResult:
    """Make one request per row of a table. Rows that ask for the same share one job.

    Args:
        frame: a pandas DataFrame, anything with ``to_pandas``, a list of dicts, or the path of a CSV or JSON Lines
            file; at most 10,000 rows.
        prompt: the column with the prompts, or a text with ``{column}`` in it. id: a column kept in the table of the
            result.
        columns_or_values: parameters of the model, and ``sample``: a text that names a column is taken from it row by
            row, ``{column}`` in a text is filled in, anything else is one value for all rows. A missing cell means the
            default.
        skip_invalid: report rows that cannot be asked for in the result instead of refusing the whole batch.
        timeout, max_credits, reuse, extra, show_progress: as for generate; reuse is on by default.

    Returns:
        One result per row, in order; ``.table()`` is on the frame's own index.

    Raises:
        InputError: a column that does not exist, or a row that cannot be asked for, by its number from 0. Nothing was
            sent. Otherwise as generate, if not one job succeeded.

    >>> table = [{"text": "a red fox", "ratio": "16:9"}, {"text": "a snowy owl", "ratio": None}]
    >>> batch = kling.batch(table, prompt="text", aspect_ratio="ratio", show_progress=False)
    >>> list(batch.table()["status"])
    ['completed', 'completed']
    """
    session = current_session()
    plan = batch_plan(
        session, frame, columns_or_values, prompt=prompt, id_column=id, extra=extra, skip_invalid=skip_invalid
    )
    # its plan is a batch's
    return cast(
        BatchResult,
        perform(
            session,
            [request for request in plan.requests if request is not None],
            source="python",
            plan=plan,
            timeout=timeout,
            max_credits=max_credits,
            reuse=reuse,
            show_progress=show_progress,
        ),
    )


def estimate(
    what: Any = None,
    /,
    axes: Mapping[str, Any] | None = None,
    *,
    prompt: Any = None,
    id: str | None = None,
    pick: int | None = None,
    pick_seed: int | str = 0,
    extra: Mapping[str, Any] | None = None,
    reuse: bool | None = None,
    **parameters: Any,
) -> Estimate:
    """What generate, sweep or batch would cost with these arguments. Sends nothing.

    Args:
        what: a prompt, a list of prompts, or the table of a batch. The other arguments are those of the call.

    Returns:
        An Estimate: ``.credits``, ``.jobs``, ``.images``, ``.seconds``.

    >>> kling.estimate("a {animal}", animal=["fox", "owl"], num_outputs=3).images
    6
    """
    check_reuse(reuse)
    session = current_session()
    # What is asked for says which call is meant: a table is a batch, anything else a request or a sweep.
    if is_table(what):
        batch = batch_plan(
            session,
            what,
            parameters,
            prompt="prompt" if prompt is None else prompt,
            id_column=id,
            extra=extra,
            skip_invalid=True,
        )
        return session.estimate(list(filter(None, batch.requests)), reuse=session.reusing(reuse, sweep=True))
    sweep = sweep_plan(session, prompt if what is None else what, axes, parameters, pick=pick, pick_seed=pick_seed)
    return session.estimate(session.requests(sweep.points, extra), reuse=session.reusing(reuse, sweep=bool(sweep.axes)))


# ---- images as tables ----


def images(what: Any = None, *, everything: bool = False) -> pd.DataFrame:
    """One row per image, with plain columns that Excel, SQL, Parquet, CSV and polars take.

    Args:
        what: a result, sweep, batch, image, or a list of these; None for all results of this session.
        everything: the whole folder instead of this session.

    Returns:
        Columns: address, number, letter, path, prompt, the parameters of the model, sample, the axes of a sweep or the
        row and id of a batch, width and height in pixels, format, bytes, starred, note, and every measure.

    >>> fox = kling.generate("a red fox", show_progress=False)
    >>> list(kling.images(fox)["format"])
    ['png']
    """
    return image_tables.images(current_session(), what, everything=everything)


def measure(
    function: Callable[[SavedImage], Any],
    what: Any = None,
    *,
    name: str | None = None,
    executor: Executor | None = None,
    refresh: bool = False,
) -> pd.DataFrame:
    """Measure images with a function. Values are kept in the folder and computed only where they are missing.

    Args:
        function: gets a SavedImage; returns a number, a text, True, False, None, or a dict of these.
        what: as for images. name: of the measure; by default the function's.
        executor: any ``concurrent.futures.Executor``; images travel to it with their bytes.
        refresh: compute again what is there. If the code of the function has changed, that happens anyway.

    Returns:
        One row per image, index ``address``: the measure under its name, or ``name_key`` for a dict; ``name_error``
        for images on which the function raised.

    Raises:
        InputError: no function, no usable name, or an executor that cannot be given the function.

    >>> fox = kling.generate("a red fox", show_progress=False)
    >>> def area(image):
    ...     return image.width * image.height
    >>> int(kling.measure(area, fox)["area"].iloc[0])
    1048576
    """
    return image_tables.measure(
        current_session(), function, what, name=name, executor=executor, refresh=refresh, counted=counted
    )


def export(what: Any, folder: str | os.PathLike[str]) -> Path:
    """Write a data set: the original files, ``metadata.jsonl`` and a README.md, as Hugging Face's ImageFolder reads it.

    Args:
        what: as for images. folder: new or empty.

    Raises:
        InputError: no images, a file that is gone, or a folder that is not empty or cannot be written.

    >>> fox = kling.generate("a red fox", show_progress=False)
    >>> sorted(path.suffix for path in kling.export(fox, "foxes").iterdir())
    ['.jsonl', '.md', '.png']
    """
    return image_tables.export(current_session(), what, folder)


# ---- past jobs ----


def result(number_or_job_id: int | str) -> Result:
    """Any past result of the folder, by its number or job id. InputError where there is none.

    >>> fox = kling.generate("a red fox", show_progress=False)
    >>> kling.result(fox.number)[0].path == fox[0].path
    True
    """
    return current_session().result(number_or_job_id)


def resume(
    number_or_job_id: int | str | None = None,
    job_id: str | None = None,
    *,
    timeout: float | None = None,
    show_progress: bool = True,
) -> list[Result]:
    """Fetch what was bought and is not all here: every paused job of this backend, or one. Buys nothing.

    Without a number it also shows what kept running when a wait was stopped and is over by now.

    Args:
        number_or_job_id: one job, None for all. job_id: read off the website, for a job unconfirmed.

    Returns:
        The completed results; jobs that failed are shown with their reason and left out.

    Raises:
        InputError: there is no such job, or nothing of it is left to fetch. KlingError: the one job asked for failed.

    >>> kling.resume()  # nothing was left behind
    []
    """
    return collect(current_session(), number_or_job_id, job_id, timeout=timeout, show_progress=show_progress)


def history(*, everything: bool = False, limit: int | None = None) -> pd.DataFrame:
    """The history as a plain DataFrame, index ``n``, one row per job, newest last.

    Args:
        everything: the whole folder, not this session alone. limit: the newest rows only.

    >>> set(kling.history().columns) >= {"prompt", "status", "seconds", "credits", "images"}
    True
    """
    return current_session().history(everything=everything, limit=check_limit(limit))


def panel() -> KlingPanel:
    """The widget panel: prompt, sliders, dropdowns, queue, gallery, explorer and history. A notebook shows it.

    >>> kling.panel()  # doctest: +SKIP
    """
    from .notebook.panel.panel import KlingPanel

    return KlingPanel(current_session)


def read_recipe(path: Any) -> dict[str, Any]:
    """What an image was made from: prompt, parameters, job id, model, time. InputError where it carries no recipe.

    Args:
        path: of the file; its bytes; or an image (``fox[0]``), or a result of one image.

    >>> fox = kling.generate("a red fox", show_progress=False)
    >>> kling.read_recipe(fox[0].path)["prompt"]
    'a red fox'
    """
    return metadata.read(path if isinstance(path, str | bytes | os.PathLike) else _image(path).path)


def compare(a: Any, b: Any) -> Comparison:
    """Two images side by side, what differs between their requests marked.

    Args:
        a, b: an image (``fox[0]``), a result of one image, or an address such as ``"12b"``.

    >>> day = kling.generate("a red fox at noon", show_progress=False)
    >>> night = kling.generate("a red fox at night", show_progress=False)
    >>> kling.compare(day, night).differences
    [('prompt', 'a red fox at noon', 'a red fox at night')]
    """
    return Comparison(_image(a), _image(b))


def _image(what: Any) -> SavedImage:
    if isinstance(what, SavedImage):
        return what
    if isinstance(what, Result):
        if len(what) != 1:
            n = what.number
            raise InputError(f"Job {n} has {len(what)} images. Say which: result[K], or an address: {n}a, {n}b, ...")
        return what[0]
    if not isinstance(what, str | int) or isinstance(what, bool) or not str(what).strip():
        raise InputError(f"{what!r:.80} is not an image. Give result[K], or an address such as 12b.")
    job, place = split_address(str(what))
    return _image(result(job)) if place is None else current_session().image(job, place)


def export_history(path: str | os.PathLike[str], *, everything: bool = True, limit: int | None = 1000) -> Path:
    """Write the history as one HTML page that stands alone, with thumbnails, newest first.

    Args:
        path: the file; folders on the way to it are made.
        everything: the whole folder, not this session alone. limit: the newest jobs only; None for all.

    Raises:
        InputError: the file cannot be written.

    >>> kling.export_history("history.html").name
    'history.html'
    """
    session, limit = current_session(), check_limit(limit)
    records, total = session.rows(limit=limit, mine=not everything), session.count(mine=not everything)
    target = path_from(path, "path")
    # Links start at the page, so that it can be moved together with the folder of the images.
    rows = [history_row(record, session.folder, seen_from=target.parent) for record in records]
    page = history_page(rows, footer=f"the newest of {total}" if len(rows) < total else "")
    with writing(target, "file"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    return target
