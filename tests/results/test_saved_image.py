"""A saved image as an object: its pixels, its size, and its pickle, which holds its bytes."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kling_notebook.sandbox import Fault

Make = Callable[..., Any]


def bought(session: Any, **parameters: Any) -> Any:
    return session.start([session.request("a fox", **parameters)], source="python").handles[0].result(timeout=60)


def test_images_go_to_other_processes(session: Any) -> None:
    result = bought(session, num_outputs=2)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert list(executor.map(np.mean, result.images)) == [np.mean(image.image()) for image in result]


ELSEWHERE = """
import pickle, sys
import numpy as np
image = pickle.load(sys.stdin.buffer)
pixels = np.asarray(image)
assert not image.path.exists()
assert image.image().size == (image.width, image.height)
assert image.tile().state == image.large().state == "image"
print(pixels.shape, pixels.dtype, int(pixels.sum()), len(pickle.dumps(image)) > 500, image.address)
"""


def test_a_pickled_image_needs_no_file(session: Any) -> None:
    image = bought(session)[0]
    pixels, data = np.asarray(image), pickle.dumps(image)
    image.path.unlink()
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], input=data, capture_output=True, check=True, timeout=120)
    assert done.stdout.decode().split("\n")[0] == f"{pixels.shape} uint8 {int(pixels.sum())} True 1a"
    with pytest.raises(Exception, match="cannot be read"):
        image.image()


def test_a_palette_is_looked_up(make_sandbox: Make, make_session: Make) -> None:
    """The pixels of a GIF, not the numbers of its colors."""
    file = io.BytesIO()
    Image.new("RGB", (256, 256), (10, 200, 30)).save(file, "GIF")
    session = make_session(make_sandbox(faults=[Fault("download", "wrong_content", raw=file.getvalue())]))
    image = bought(session)[0]
    assert np.asarray(image).shape == (256, 256, 3)
    assert np.asarray(image)[0, 0].tolist() == [10, 200, 30]


def test_thumbnails_are_upright_and_pixels_as_stored(make_sandbox: Make, make_session: Make) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").crop((0, 0, 256, 128)).resize((400, 200)).save(file, "JPEG", exif=exif, quality=95)
    session = make_session(make_sandbox(faults=[Fault("download", "wrong_content", raw=file.getvalue())]))
    image = bought(session)[0]
    assert (image.width, image.height) == image.image().size == (400, 200)
    for tile in (image.tile(), image.large()):
        assert (tile.width, tile.height) == (200, 400)
        shown = np.asarray(Image.open(io.BytesIO(tile.jpeg)), dtype=float)
        assert shown.shape[0] == 2 * shown.shape[1]
        assert shown[:, -5:].mean() < 30 < shown[:, :5].mean()  # what was on top is on the right
