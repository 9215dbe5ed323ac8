"""Memory stays bounded however many images arrive at once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

MANY = """
import resource, sys, threading
from pathlib import Path
from kling_notebook.image_files import metadata, saving

folder = Path(sys.argv[1])

def fetch(write):
    with (folder / "source").open("rb") as file:
        while piece := file.read(65536):
            write(piece)

def save(k):
    recipe = {"format": metadata.FORMAT, "image": k}
    places = {"thumbnails": folder / "t", "unsaved": folder / "u"}
    saving.save(fetch, folder, f"fox_{k}", owner="me", recipe=recipe, **places, on_warning=print)

def peak():  # kB on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 2**20)

from PIL import Image
Image.init()
before = peak()
threads = [threading.Thread(target=save, args=(k,)) for k in range(int(sys.argv[2]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(peak() - before, len(list(folder.glob("fox_*.*"))))
"""


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="Windows tells the peak another way")
@pytest.mark.parametrize(("kind", "count", "most"), [("PNG", 16, 150), ("WEBP", 6, 200)])
def test_2k_images_arriving_at_once_take_bounded_memory(kind: str, count: int, most: int, tmp_path: Path):
    """In MB. Pillow's decoder for WebP holds four copies of an image while it works, those for PNG and JPEG one."""
    noise = random.Random(1).randbytes(2048 * 2048 * 3)  # noqa: S311  # the worst there is: nothing compresses
    options = {"compress_level": 1} if kind == "PNG" else {"quality": 80, "method": 0}
    Image.frombytes("RGB", (2048, 2048), noise).save(tmp_path / "source", kind, **options)
    done = subprocess.run(
        [sys.executable, "-c", MANY, tmp_path, str(count)], capture_output=True, text=True, check=True, timeout=120
    )
    grown, saved = map(int, done.stdout.split())
    assert saved == count, done.stdout
    assert grown < most
