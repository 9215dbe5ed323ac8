"""Buy files from the sandbox and say what became of each: ``python tests/benchmarks/pillow_corpus.py FOLDER``.

FOLDER holds images, for example the sdist of Pillow (``pip download pillow --no-binary :all: --no-deps``), unpacked.
Files that are not PNG, JPEG, WebP, GIF or AVIF by their names are left out unless ``--all`` is given.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from kling_notebook.api.errors import InputError, KlingError
from kling_notebook.image_files import metadata
from kling_notebook.sandbox import Sandbox
from kling_notebook.session.session import Session

ENDINGS = {".png", ".apng", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".avif"}
LARGEST = 64 * 2**20


@dataclass(frozen=True)
class Row:
    """What became of a file.

    Attributes:
        outcome: ``shown``, ``kept`` (linked, not decoded) or ``refused``.
        identical: the pixels are those that Pillow reads from the bytes that were sent; for a file that is not
            shown, the bytes are the same: in the folder, or in ``.kling/unsaved``.
        metadata: whether the prompt can be read back. reason: why it was refused.
    """

    name: str
    outcome: str
    identical: bool
    metadata: bool
    reason: str = ""


def buy(files: Mapping[str, bytes], folder: Path) -> list[Row]:
    """Make one job per file in a new session; the sandbox delivers the file in the place of its image."""

    def paint(prompt: str, **_: Any) -> bytes:
        return files[prompt]

    with Sandbox(latency=0.0, paint=paint) as sandbox:
        about = {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder)}
        session = Session({**about, "requests_per_minute": 6000})
        try:
            requests = [session.request(name) for name in files]
            call = session.start(requests, source="python", max_credits=len(files), reuse=False)
            return [_row(name, files[name], handle, folder) for name, handle in zip(files, call.handles, strict=True)]
        finally:
            session.close()


def _row(name: str, data: bytes, handle: Any, folder: Path) -> Row:
    try:
        image = handle.result(timeout=600)[0]
    except KlingError as error:
        last = list((folder / ".kling" / "unsaved").glob(f"{handle.number:04d}a-*"))
        return Row(name, "refused", any(path.read_bytes() == data for path in last), False, str(error))
    saved = image.path.read_bytes()
    try:
        readable = metadata.read(image.path)["prompt"] == name
    except InputError:
        readable = False
    if image.tile().state != "image":
        return Row(name, "kept", saved == data, readable)
    return Row(name, "shown", _pixels(saved) == _pixels(data) == _of(image.image()), readable)


def _pixels(data: bytes) -> tuple[Any, ...]:
    """What Pillow reads; of a PNG that it refuses for what is beside the pixels, what it reads without that."""
    for form in (data, _critical_chunks(data)):
        with contextlib.suppress(Exception):
            return _of(Image.open(io.BytesIO(form)))
    return ("nothing",)


def _critical_chunks(data: bytes) -> bytes:
    """A PNG reduced to what decides its pixels; other files as they are."""
    parts, at = [data[:8]], 8
    while data.startswith(b"\x89PNG") and at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 5].isupper() or data[at + 4 : at + 8] == b"tRNS":
            parts.append(data[at:end])
        at = end
    return b"".join(parts) if len(parts) > 1 else data


def _of(image: Image.Image) -> tuple[Any, ...]:
    return image.mode, image.size, image.convert("RGBA").tobytes()


def table(rows: Sequence[Row]) -> str:
    """The figures, and each file that was not shown with its own pixels and readable metadata."""
    counts = Counter(row.outcome for row in rows)
    lines = [
        f"{len(rows)} files: {counts['shown']} shown, {counts['kept']} kept and linked, {counts['refused']} refused; "
        f"{sum(row.identical for row in rows if row.outcome == 'shown')} pixel-identical, "
        f"{sum(row.metadata for row in rows)} with readable metadata"
    ]
    odd = [row for row in rows if row.outcome != "shown" or not row.identical or not row.metadata]
    return "\n".join([*lines, *(f"  {row.name}: {row}" for row in odd)])


def main(arguments: Sequence[str]) -> None:
    every = "--all" in arguments
    [folder] = [Path(one) for one in arguments if not one.startswith("-")]
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and (every or path.suffix.lower() in ENDINGS)]
    files = {str(path.relative_to(folder)): path.read_bytes() for path in found if 0 < path.stat().st_size <= LARGEST}
    with tempfile.TemporaryDirectory() as place:
        print(table(buy(files, Path(place) / "images")))


if __name__ == "__main__":
    main(sys.argv[1:])
