"""Measures of images: a function per image, computed once and kept, anew if its code changed."""

import hashlib
import inspect
import math
import pickle
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import chain, islice
from types import CodeType
from typing import Any

from ..api.errors import InputError
from ..api.event_log import suppress
from .result import SavedImage
from .sweep_axes import plain

MOST_AT_ONCE = 16  # tasks given to an executor at a time: each carries an image's bytes

Value = float | int | str | bool | None | Mapping[str, float | int | str | bool | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the function gave for one image; ``error`` says why it gave nothing."""

    image: SavedImage
    value: Value = None
    error: str = ""


def name_of(function: Any, name: str | None) -> str:
    """The name a measure is kept under: the one given, else the function's.

    Raises:
        InputError: it is not a function, or has no name of its own.
    """
    if not callable(function):
        raise InputError(
            f"measure needs a function of an image, not a {type(function).__name__}.", parameter="function"
        )
    found = name if name is not None else getattr(function, "__name__", "")
    if not isinstance(found, str) or not found.isidentifier():
        raise InputError(
            f"A measure's name must be a word such as sharpness, not {found!r}. Give name='...'.", parameter="name"
        )
    return found


def code_hash(function: Callable[..., Any]) -> str:
    """A hash of what the function does: of its source, or of its bytecode if the source is not available.

    What it calls is not part of it; of the variables it uses, plain values that it got as defaults or in a closure are.
    """
    # A decorator's wrapper reads the same around any function, and says nothing of what is measured.
    inner = inspect.unwrap(getattr(function, "func", function))  # of a functools.partial
    bound = repr((getattr(function, "args", ()), getattr(function, "keywords", {})))
    if inspect.isfunction(inner):  # two functions of one factory read the same, and differ in what it gave them
        bound += repr(
            [
                value
                for value in chain(inner.__defaults__ or (), inspect.getclosurevars(inner).nonlocals.values())
                if isinstance(value, str | int | float | None)
            ]
        )
    code = getattr(inner, "__code__", None)
    body = f"{type(inner).__module__}.{type(inner).__qualname__}" if code is None else _bytecode(code)
    if code is None or code.co_filename != "<string>":  # Python 3.13 takes code made from a text for the command line's
        with suppress(OSError, TypeError):
            body = textwrap.dedent(inspect.getsource(inner))
    return hashlib.sha256(f"{body}{bound}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _bytecode(code: CodeType) -> str:
    constants = [_bytecode(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return repr((code.co_code, code.co_names, constants))


def run(
    function: Callable[[SavedImage], Any], images: Sequence[SavedImage], executor: Executor | None = None
) -> Iterator[Measured]:
    """Call the function for each image; an error is that image's and stops nothing.

    With an executor, images travel with their bytes, a bounded number at a time, and results come as they arrive.

    Raises:
        InputError: the executor cannot be given the function.
    """
    if executor is None:
        for image in images:
            yield Measured(image, *_call(function, image))
        return
    _check_executor(executor, function)
    left = iter(images)
    running: dict[Future[tuple[Any, str]], SavedImage] = {}
    try:
        while True:
            for image in islice(left, MOST_AT_ONCE - len(running)):
                running[_submitted(executor, function, image)] = image
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                failed = future.exception()
                answer = future.result() if failed is None else (None, f"{type(failed).__name__}: {failed}")
                yield Measured(running.pop(future), *answer)
    finally:  # after an interrupt, those that have not begun
        for future in running:
            future.cancel()


def _submitted(executor: Executor, function: Any, image: SavedImage) -> Future[tuple[Any, str]]:
    """The task, with the image's bytes if it may run on another machine."""
    data = None
    with suppress(OSError):  # the function is told when it asks for the image
        data = None if isinstance(executor, ThreadPoolExecutor) else image.path.read_bytes()
    try:
        return executor.submit(_call, function, replace(image, data=data))
    except RuntimeError as error:  # it was shut down, or its workers died
        raise InputError(f"The executor takes no more tasks ({error}).", parameter="executor") from None


def _check_executor(executor: Any, function: Any) -> None:
    if not callable(getattr(executor, "submit", None)):
        raise InputError(
            f"executor must be a concurrent.futures.Executor, not a {type(executor).__name__}.", parameter="executor"
        )
    if type(executor).__name__ == "ProcessPoolExecutor":  # others have pickles of their own
        try:
            pickle.dumps(function)
        except Exception as error:
            raise InputError(
                f"Another process cannot be given this function ({error}). Define it with def in a module, or leave "
                "the executor out.",
                parameter="function",
            ) from None


def _call(function: Callable[[SavedImage], Any], image: SavedImage) -> tuple[Any, str]:
    """The function's value and no error, or None and the error. Runs on the executor's side too."""
    try:
        return _plain(function(image)), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _plain(value: Any) -> Value:
    """A number, a text, True, False, None, or a dict of these, in Python's own types.

    Raises:
        TypeError: it is something else.
    """
    return (
        {f"{_single(str(key))}": _single(one) for key, one in value.items()}
        if isinstance(value, Mapping)
        else _single(value)
    )


def _single(value: Any) -> float | int | str | bool | None:
    # Half of a surrogate pair is kept by no file, and by no column of pandas.
    value = value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"it returned a {type(value).__name__}; return a number, a text or a dict of these")


def columns_of(name: str, value: Value) -> dict[str, Any]:
    """The columns of one measure: its name, or for a dict ``name_key`` each."""
    return {f"{name}_{key}": one for key, one in value.items()} if isinstance(value, Mapping) else {name: value}
