"""Peers in environments of their own, kept in a cache so that only the first run installs them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CACHE = Path(os.environ.get("KLING_BENCHMARKS_CACHE", Path(tempfile.gettempdir()) / "kling-notebook-peers"))


def environment(*packages: str) -> Path | str:
    """The Python of an environment with these packages and a kernel; a text that says why there is none."""
    name = hashlib.sha256(" ".join((sys.version, *packages)).encode()).hexdigest()[:12]
    folder = CACHE / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (folder / "complete").exists():
        return python
    try:
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=420)
    except (OSError, subprocess.SubprocessError) as error:
        message = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return f"not installed: {message[-1][:80] if message else type(error).__name__}"
    (folder / "complete").touch()
    return python
