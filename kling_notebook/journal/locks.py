"""Which sessions of a folder are alive: one operating-system lock each, which frees itself when its process dies."""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..api.errors import SettingsError
from ..api.event_log import log_suppressed, suppress
from . import layout

PATIENCE = 5.0  # seconds: another session that starts at this moment may be looking at the file


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold this file's lock for a while: what is done inside is done by one process at a time.

    Raises:
        SettingsError: it cannot be had.
    """
    try:
        held = FileLock(path, timeout=60.0).acquire()
    except (Timeout, OSError) as error:
        raise SettingsError(
            f"{path} could not be locked ({error}). Nothing was sent. Is another kernel stuck in this folder?"
        ) from None
    with held:
        yield


_held: weakref.WeakSet[Any] = weakref.WeakSet()


def _forget_in_child() -> None:
    """In a forked child: the locks are its parent's, and to release the child's copy of one would free the parent's."""
    for lock in list(_held):
        lock._context.lock_file_fd = None


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget_in_child)


class Locks:
    """The lock files of a folder's sessions. A session takes its lock before it writes its first row."""

    def __init__(self, folder: Path, own: str) -> None:
        self._folder = folder
        self._own = own
        self._own_file = layout.lock(folder, own)
        try:
            layout.locks(folder).mkdir(parents=True, exist_ok=True)
            self._lock = self._taken()
            _held.add(self._lock)
        except (OSError, Timeout) as error:
            raise SettingsError(
                f"The folder {folder} cannot be written ({error}). Nothing was sent. Choose another: "
                "KLING_FOLDER, or kling.connect(folder=...)."
            ) from None

    def _taken(self) -> FileLock:
        """The own lock, held before anybody sees its file.

        A file that is there and not yet held looks like a dead session's to one that starts at the same moment: it
        would be removed, and this session taken for dead while it lives.
        """
        own = self._own_file
        unseen = own.with_name(f".{self._own}.new")
        lock = FileLock(unseen, thread_local=False)  # any thread may let go of it
        lock.acquire(timeout=PATIENCE)
        try:
            unseen.rename(own)
        except OSError:  # Windows renames no open file, and removes none either: there the file may be seen early
            lock.release()
            unseen.unlink(missing_ok=True)
            lock = FileLock(own, thread_local=False)
            lock.acquire(timeout=PATIENCE)
        return lock

    @property
    def held(self) -> bool:
        """False once it was released: the session is closed, and its jobs are over. False in a forked child."""
        return self._lock.is_locked

    def alive(self, session: str) -> bool:
        """True while the session's process lives (or cannot be asked: then its jobs are left to it)."""
        if session == self._own:
            return True
        try:
            path = layout.lock(self._folder, session)
        except SettingsError as error:  # not a session of this package, and nothing that may be removed
            log_suppressed(__name__, error)
            return False
        if not path.exists():
            return False
        probe = FileLock(path)
        try:
            probe.acquire(timeout=0)
        except (Timeout, OSError):
            return True
        _give_up(probe, path)
        return False

    def living(self) -> set[str]:
        """The ids of all living sessions, this one among them."""
        with suppress(OSError):
            return {session for session in layout.locked_sessions(self._folder) if self.alive(session)} | {self._own}
        return {self._own}

    def release(self) -> None:
        if self.held:
            _give_up(self._lock, self._own_file)


def _give_up(lock: FileLock, path: Path) -> None:
    """Release a lock. Its file is removed while it is held, so that no other session can hold it."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        lock.release()
        path.unlink(missing_ok=True)  # Windows removes no open file
