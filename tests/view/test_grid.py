"""Grids: light, arranged, each image with its prompt; a contact sheet and plain text beside them."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable

import pytest
from PIL import Image

from kling_notebook.view.grid import FALLBACK_BYTES, grid_bundle, large_bundle
from kling_notebook.view.tiles import Tile, columns_for, light_tiles, tile_line

Make = Callable[..., Tile]


def sheet_of(bundle: dict[str, str]) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/jpeg"])), formats=("JPEG",))
    image.load()
    return image


@pytest.mark.parametrize(
    ("count", "ratio", "columns"),
    [
        (1, "1:1", 1), (2, "1:1", 2), (3, "1:1", 3), (4, "1:1", 2), (4, "9:16", 4), (5, "1:1", 3), (6, "1:1", 3),
        (8, "1:1", 4), (9, "1:1", 3), (9, "9:16", 3), (9, "21:9", 3), (3, "21:9", 2), (12, "1:1", 4), (12, "21:9", 3),
    ],
)  # fmt: skip
def test_tiles_stand_in_full_rows(make_tile: Make, count: int, ratio: str, columns: int) -> None:
    tiles = [make_tile(k, ratio) for k in range(count)]
    assert columns_for(tiles) == columns
    assert f"/ {columns})" in grid_bundle(tiles)["text/html"]


def test_nine_images_and_their_sheet_weigh_under_300_kb(make_tile: Make) -> None:
    bundle = grid_bundle([make_tile(k) for k in range(9)], title="fox")
    assert len(json.dumps(bundle)) < 300_000


@pytest.mark.parametrize("alt", ["fox", "<&\"' " * 500, "\U0001f98a" * 2500])
def test_nine_of_the_heaviest_images_with_the_longest_prompts_do_too(make_tile: Make, alt: str) -> None:
    tiles = [make_tile(k, noise=True, alt=alt) for k in range(9)]
    assert sum(len(tile.jpeg) for tile in tiles) > 200_000, "the test's images must be too heavy as they are"
    assert len(json.dumps(grid_bundle(tiles), ensure_ascii=False).encode()) < 300_000


def test_dozens_of_tiles_stay_bounded(make_tile: Make) -> None:
    heavy = make_tile(0, noise=True)
    bundle = grid_bundle([heavy] * 64)
    assert len(json.dumps(bundle)) < 800_000
    assert bundle["text/html"].count("<img") == 64


def test_light_thumbnails_are_shown_as_they_are(make_tile: Make) -> None:
    tiles = [make_tile(k) for k in range(9)]
    html = grid_bundle(tiles)["text/html"]
    for tile in tiles:
        assert base64.b64encode(tile.jpeg).decode() in html


def test_captions_put_the_address_in_bold(make_tile: Make) -> None:
    assert "<strong>12d</strong>" in grid_bundle([make_tile(3), make_tile(4)])["text/html"]


@pytest.mark.parametrize("state", ["missing", "failed", "waiting"])
def test_a_tile_without_an_image_says_so_in_words_and_why(make_tile: Make, state: str) -> None:
    bundle = grid_bundle([make_tile(0), make_tile(1, state=state, note="The file was deleted.")])
    assert re.search(rf"<span [^>]*>\S {state}</span>", bundle["text/html"])
    assert "The file was deleted." in bundle["text/html"]
    assert f"{state}: The file was deleted." in bundle["text/plain"]


def test_bytes_that_are_no_image_do_not_stop_the_others(make_tile: Make) -> None:
    tiles = [make_tile(0), make_tile(1, jpeg=b"not an image"), make_tile(2, jpeg=make_tile(0).jpeg[:900])]
    bundle = grid_bundle(tiles)
    assert bundle["text/html"].count("<img") == 3
    assert sheet_of(bundle).width > 256


def test_the_contact_sheet_has_the_grid_s_columns(make_tile: Make) -> None:
    sheet = sheet_of(grid_bundle([make_tile(k) for k in range(9)], title="fox"))
    assert 3 * 256 < sheet.width < 3 * 256 + 60
    assert 3 * 256 < sheet.height < 3 * 256 + 250


def test_the_contact_sheet_is_drawn_with_captions(make_tile: Make) -> None:
    def ink(caption: str) -> int:
        sheet = sheet_of(grid_bundle([make_tile(0, caption=caption), make_tile(1, caption=caption)])).convert("L")
        return sum(sheet.crop((0, 272, sheet.width, sheet.height)).histogram()[:110])

    assert ink("12a \u00b7 1:1 \u00b7 1K") > ink("") + 100


@pytest.mark.parametrize(
    "text", ["\U0001f98a" * 300, "غابة ثلجية مع ثعلب أحمر", "狐狸 in snow", "x" * 900, "\u202e\x00"]
)
def test_the_contact_sheet_draws_any_caption(make_tile: Make, text: str) -> None:
    bundle = grid_bundle([make_tile(0, caption=text), make_tile(1, "9:16", caption=text)], title=text)
    assert sheet_of(bundle).width > 256


def test_mixed_shapes_are_not_stretched(make_tile: Make) -> None:
    html = grid_bundle([make_tile(0, "21:9"), make_tile(1, "9:16")])["text/html"]
    for style in re.findall(r'<img [^>]*style="([^"]*)"', html):
        assert "width: auto; height: auto" in style
    sheet = sheet_of(grid_bundle([make_tile(0, "21:9"), make_tile(1, "9:16")]))
    assert sheet.width < 2 * 256 + 60


def test_no_images_is_reported(make_tile: Make) -> None:
    bundle = grid_bundle([], title="fox")
    assert "No images." in bundle["text/html"]
    assert "no images" in bundle["text/plain"]
    assert "image/jpeg" not in bundle


def test_plain_text_has_a_line_for_each_tile(make_tile: Make) -> None:
    plain = grid_bundle([make_tile(k) for k in range(3)], title="a fox", notice="Sandbox.")["text/plain"].splitlines()
    assert plain[:2] == ["a fox", "Sandbox."]
    assert plain[2] == "  " + tile_line(make_tile(0))
    assert plain[2].endswith("1024 x 1024 \u00b7 kling_images/fox-0.png")
    assert len(plain) == 5


def test_a_single_image_is_large_and_smaller_beside_it(make_tile: Make) -> None:
    """Once in HTML, as it is if it is light enough, and once more, smaller, for pages that show no HTML."""
    tile = make_tile(0, "16:9", side=1024)
    bundle = large_bundle(tile, title="fox", notice="Sandbox.")
    assert base64.b64encode(tile.jpeg).decode() in bundle["text/html"]
    assert len(base64.b64decode(bundle["image/jpeg"])) <= min(len(tile.jpeg), FALLBACK_BYTES)
    heavy = large_bundle(make_tile(1, side=1024, noise=True))
    assert len(heavy["text/html"]) + len(heavy["image/jpeg"]) <= 130_000
    assert 'width="1024"' in bundle["text/html"]
    assert "max-width: 100%; height: auto" in bundle["text/html"]


def test_a_tall_image_fits_a_screen(make_tile: Make) -> None:
    html = large_bundle(make_tile(0, "9:16", side=1024))["text/html"]
    width = int(re.findall(r'width="(\d+)"', html)[0])
    assert width * 16 / 9 < 900


def test_a_small_image_is_not_blown_up(make_tile: Make) -> None:
    assert 'width="300"' in large_bundle(make_tile(0, width=300, height=300))["text/html"]


def test_a_large_image_that_is_gone_says_so(make_tile: Make) -> None:
    bundle = large_bundle(make_tile(0, state="missing", note="The file was deleted."))
    assert "The file was deleted." in bundle["text/html"]
    assert "image/jpeg" not in bundle


def test_long_prompts_leave_less_space_for_images(make_tile: Make) -> None:
    fitting = [make_tile(k, side=126, noise=True) for k in range(9)]
    assert 100_000 < sum(len(tile.jpeg) for tile in fitting) < 128_000, "images must fit, but only just"
    assert [tile.jpeg for tile in light_tiles(fitting)] == [tile.jpeg for tile in fitting]
    wordy = [make_tile(k, side=126, noise=True, alt="\U0001f98a" * 2500) for k in range(9)]
    assert sum(len(tile.jpeg) for tile in light_tiles(wordy)) < 80_000
