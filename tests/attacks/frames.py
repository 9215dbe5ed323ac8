"""The key in frames: every entry point fails or is interrupted, and every local variable of its traceback is printed.

A service that takes a request and never answers keeps the entry point busy; Ctrl-C comes meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kling_notebook import KlingClient
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.notebook.magic import login
from kling_notebook.session.session import Session

CANARY = "pd_live_canary_c0ffee5eca1edbadf00d"


@contextlib.contextmanager
def silent_service() -> Iterator[tuple[str, threading.Event]]:
    """The address of a service that never answers, and what is set when a request has come."""
    came, held = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    connection.recv(65536)
                    came.set()

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/api/v1", came
        finally:
            for waiting in (server, *held):  # shutting down ends an accept and a recv, closing does not
                with contextlib.suppress(OSError):
                    waiting.shutdown(socket.SHUT_RDWR)
            thread.join(2)
            for connection in held:
                connection.close()


def _client(base_url: str) -> KlingClient:
    return KlingClient(CANARY, base_url=base_url, read_timeout=60.0)


def _session(base_url: str, folder: Path) -> Session:
    return Session({"api_key": CANARY, "base_url": base_url, "folder": str(folder), "read_timeout": 60.0})


def _login(base_url: str) -> None:
    kept = getpass.getpass, login.person_is_present, login.kernel_session.settings_in_force
    settings = types.SimpleNamespace(base_url=base_url)
    getpass.getpass = lambda prompt: CANARY  # noqa: ARG005
    login.person_is_present = lambda: True
    login.kernel_session.settings_in_force = lambda: settings
    try:
        login.login()
    finally:
        getpass.getpass, login.person_is_present, login.kernel_session.settings_in_force = kept


def _keyring(name: str) -> Callable[[str, Path], object]:
    """A keyring that is called with the key, or has it at hand, and never comes back."""

    def call(base_url: str, folder: Path) -> None:
        from kling_notebook import settings

        module, kept = types.ModuleType("keyring"), sys.modules.get("keyring")

        def wait(service: str, entry: str, key: str = CANARY) -> None:
            time.sleep(20)

        module.get_password = module.set_password = wait  # type: ignore[attr-defined]
        sys.modules["keyring"] = module
        settings.key_from_keyring.cache_clear()
        seconds, settings.KEYRING_SECONDS = settings.KEYRING_SECONDS, 15.0
        try:
            getattr(settings, name)(*[settings.Secret(CANARY)] * (name == "keep_in_keyring"))
        finally:
            settings.KEYRING_SECONDS = seconds
            sys.modules.pop("keyring")
            if kept is not None:
                sys.modules["keyring"] = kept

    return call


def _request() -> GenerationRequest:
    return GenerationRequest("a fox")


def _full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


INTERRUPTED: dict[str, Callable[[str, Path], object]] = {
    "client.probe": lambda url, _: _client(url).probe(),
    "client.schema": lambda url, _: _client(url).schema(),
    "client.poll": lambda url, _: _client(url).poll("job_1"),
    "client.submit": lambda url, _: _client(url).submit(_request()),
    "client.run": lambda url, _: _client(url).run(_request()),
    "client.wait": lambda url, _: _client(url).wait("job_1"),
    "session.check": lambda url, folder: _session(url, folder).check(),
    "login": lambda url, _: _login(url),
    "keyring, read": _keyring("key_from_keyring"),
    "keyring, written": _keyring("keep_in_keyring"),
}
FAILED: dict[str, Callable[[str, Path], object]] = {
    "a key with a space": lambda _, __: KlingClient(f"{CANARY} {CANARY}"),
    "a key that is not ASCII": lambda _, __: KlingClient(f"{CANARY}\u00e9"),
    "a key in a list": lambda _, __: KlingClient([CANARY]),  # type: ignore[arg-type]
    "a base URL that is none": lambda _, __: KlingClient(CANARY, base_url="nowhere"),
    "a time-out that is none": lambda _, __: KlingClient(CANARY, read_timeout=-1),
    "a folder that is none": lambda url, _: _session(url, Path("/proc/nowhere")),
    "a commit that fails": lambda url, _: _client(url).submit(_request(), before_first_byte=_full_disk),
    "a closed port": lambda _, __: KlingClient(CANARY, base_url="http://127.0.0.1:9/api/v1").probe(),
}


def attack(name: str, folder: Path) -> list[str]:
    """What shows the key after the entry point has failed or was interrupted."""
    with silent_service() as (url, came):
        call = INTERRUPTED.get(name) or FAILED[name]
        if name in INTERRUPTED:
            threading.Thread(target=_interrupt, args=(came, "keyring" in name), daemon=True).start()
        try:
            call(url, folder)
        except BaseException as error:  # KeyboardInterrupt is the point
            expected = KeyboardInterrupt if name in INTERRUPTED else Exception
            return [] if isinstance(error, expected) and not list(_shown(error)) else [*_shown(error), repr(error)]
        return ["nothing was raised"]


def _interrupt(came: threading.Event, at_once: bool) -> None:
    if not at_once:
        came.wait(60)
    time.sleep(0.5)
    signal.raise_signal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else _to_main()


def _to_main() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _shown(error: BaseException | None, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    """Where the key stands in an error, its causes, and the local variables of their frames; those of this module
    stand for the user's cell."""
    if error is None or id(error) in seen:
        return
    if CANARY in str(error) + repr(error):
        yield f"the message of {type(error).__name__}"
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_filename != __file__:
            for variable, value in list(frame.f_locals.items()):
                if CANARY in _printed(value):
                    yield f"{frame.f_code.co_qualname}: {variable}"
        trace = trace.tb_next
    for other in (error.__cause__, error.__context__):
        yield from _shown(other, seen | {id(error)})


def _printed(value: Any) -> str:
    """As a traceback with local variables prints it, and what it holds as well."""
    with contextlib.suppress(Exception):
        return repr(value) + str(value) + repr(getattr(value, "__dict__", ""))
    return ""
