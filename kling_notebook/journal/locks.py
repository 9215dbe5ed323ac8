"""Which sessions of a folder are alive: one operating-system lock each, which frees itself when its process dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..api.errors import SettingsError

PATIENCE = 5.0  # seconds: another session that starts at this moment may be looking at the file


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold this file's lock for a while: what is done inside is done by one process at a time.

    Raises:
        SettingsError: it cannot be had.
    """
    lock = FileLock(path, timeout=60.0)
    try:
        lock.acquire()
    except (Timeout, OSError) as error:
        raise SettingsError(
            f"{path} could not be locked ({error}). Nothing was sent. Is another kernel stuck in this folder?"
        ) from None
    try:
        yield
    finally:
        lock.release()


class Locks:
    """The folder's ``locks/``. A session takes its lock before it writes its first row."""

    def __init__(self, folder: Path, own: str) -> None:
        self._folder = folder
        self._own = own
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._taken()
        except (OSError, Timeout) as error:
            raise SettingsError(
                f"The folder {folder.parent.parent} cannot be written ({error}). Nothing was sent. Choose another: "
                "KLING_FOLDER, or kling.connect(folder=...)."
            ) from None

    def _taken(self) -> FileLock:
        """The own lock, held before anybody sees its file.

        A file that is there and not yet held looks like a dead session's to one that starts at the same moment: it
        would be removed, and this session taken for dead while it lives.
        """
        unseen = self._folder / f".{self._own}.new"
        lock = FileLock(unseen, thread_local=False)  # any thread may let go of it
        lock.acquire(timeout=PATIENCE)
        try:
            unseen.rename(self._path(self._own))
        except OSError:  # Windows renames no open file, and removes none either: there the file may be seen early
            lock.release()
            unseen.unlink(missing_ok=True)
            lock = FileLock(self._path(self._own), thread_local=False)
            lock.acquire(timeout=PATIENCE)
        return lock

    def _path(self, session: str) -> Path:
        return self._folder / f"{session}.lock"

    @property
    def held(self) -> bool:
        """False once it was released: the session is closed, and its jobs are over."""
        return self._lock.is_locked

    def alive(self, session: str) -> bool:
        """True while the session's process lives (or cannot be asked: then its jobs are left to it)."""
        if session == self._own:
            return True
        path = self._path(session)
        if not path.exists():
            return False
        probe = FileLock(path)
        try:
            probe.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return True
        with suppress(OSError):
            path.unlink()
        probe.release()
        with suppress(OSError):  # Windows removes no open file
            path.unlink(missing_ok=True)
        return False

    def living(self) -> set[str]:
        """The ids of all living sessions, this one among them."""
        with suppress(OSError):
            return {path.stem for path in self._folder.glob("*.lock") if self.alive(path.stem)} | {self._own}
        return {self._own}

    def release(self) -> None:
        with suppress(OSError):
            self._path(self._own).unlink(missing_ok=True)
        with suppress(OSError):
            self._lock.release()
            self._path(self._own).unlink(missing_ok=True)
