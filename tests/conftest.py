"""Fixtures every room may use: an environment without keys, and a sandbox that ends with its test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox

# A shell's background job ignores Ctrl-C and so would all its children; tests send it to some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test may see the developer's key, keyring, netrc, proxy or IPython profile, wherever HOME points."""
    for name in list(os.environ):
        if name.startswith(("PIXELDOJO_", "KLING_")):
            monkeypatch.delenv(name)
    empty = tmp_path_factory.mktemp("nobody")
    monkeypatch.setenv("IPYTHONDIR", str(empty / "ipython"))
    monkeypatch.setenv("NETRC", str(empty / "netrc"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,::1")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost,::1")


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes with any options (latency 0 unless said otherwise); all are stopped when the test ends."""
    from kling_notebook.sandbox import Sandbox

    started: list[Sandbox] = []

    def make(**options: Any) -> Sandbox:
        sandbox = Sandbox(**{"latency": 0.0, **options})
        started.append(sandbox)
        return sandbox.start()

    yield make
    for sandbox in started:
        sandbox.stop()


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A running sandbox whose jobs are done at the first poll."""
    return make_sandbox()
