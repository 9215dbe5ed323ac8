"""Tiles to lay out, and every renderer with one string put into every place that takes text."""

from __future__ import annotations

import io
from collections.abc import Callable
from string import ascii_lowercase
from typing import Any

import pytest
from PIL import Image

from kling_notebook.view.facets import Facet, facets_bundle
from kling_notebook.view.grid import grid_bundle, large_bundle
from kling_notebook.view.progress import ProgressRow, message_bundle, progress_bundle
from kling_notebook.view.table import HistoryRow, compare_bundle, facts_bundle, history_bundle, history_page
from kling_notebook.view.tiles import Tile

SIZES = {"1:1": (1024, 1024), "16:9": (1344, 756), "9:16": (756, 1344), "21:9": (1512, 648)}


def jpeg_of(size: tuple[int, int], side: int = 256, *, noise: bool = False, seed: int = 0) -> bytes:
    """A gradient, or noise, which compresses worse than any image."""
    scale = side / max(size)
    fitted = (round(size[0] * scale), round(size[1] * scale))
    if noise:
        image = Image.merge("RGB", [Image.effect_noise(fitted, 90) for _ in range(3)])
    else:
        gradient = Image.linear_gradient("L").resize(fitted).rotate(seed * 90 % 180)
        image = Image.merge("RGB", (gradient, gradient.transpose(Image.Transpose.FLIP_LEFT_RIGHT), gradient))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


@pytest.fixture(scope="session")
def make_tile() -> Callable[..., Tile]:
    """A tile of any ratio; keyword arguments replace its fields."""

    def make(k: int = 0, ratio: str = "1:1", *, side: int = 256, noise: bool = False, **fields: Any) -> Tile:
        width, height = SIZES[ratio]
        jpeg = b"" if fields.get("state", "image") != "image" else jpeg_of((width, height), side, noise=noise, seed=k)
        values: dict[str, Any] = {
            "jpeg": jpeg,
            "width": width,
            "height": height,
            "alt": "a red fox asleep in deep snow",
            "caption": f"12{ascii_lowercase[k]} \u00b7 {ratio} \u00b7 1K \u00b7 8.4 s \u00b7 1 credit \u00b7 sandbox",
            "href": f"kling_images/fox-{k}.png",
        }
        return Tile(**{**values, **fields})

    return make


@pytest.fixture(scope="session")
def render_everything(make_tile: Callable[..., Tile]) -> Callable[[str], dict[str, dict[str, str]]]:
    """Bundles by name, of every renderer and every state, with the same text in every place."""

    def render(text: str) -> dict[str, dict[str, str]]:
        shown = make_tile(0, alt=text, caption=f"12a \u00b7 {text}", href=text)
        wide = make_tile(1, "21:9", alt=text, caption=text)
        holes = [make_tile(2, alt=text, caption=text, state=s, note=text) for s in ("missing", "failed", "waiting")]
        tiles = [shown, wide, *holes]
        two = Facet(text, text, (text, "b"), text, (text, "d"), (((shown,), (wide, wide)), ((holes[1],), ())))
        one = Facet(text, "", ("",), text, (text, "d"), (((shown,), (holes[0],)),))
        long = Facet(text, text, (text * 30, "b"), text, (text,), (((shown,),), ((wide,),)))
        tones = ("waiting", "moving", "good", "stopped", "unsure", "bad")
        rows = [ProgressRow(text, text, text, tone, 8.0, 20.0, text) for tone in tones]  # type: ignore[arg-type]
        history = [
            HistoryRow(n, (shown, *holes, wide), text, text, s, text, text, 8.4, 5, ("12b",), text, text, text, tone)
            for n, (s, tone) in enumerate(
                zip(("completed", "failed", "paused", "running", "cancelled", text), tones, strict=True)
            )
        ]
        differ = [(text, text, "a b"), ("x", "", text)]
        bundles = {
            "grid": grid_bundle(tiles, title=text, notice=text),
            "grid of one shape": grid_bundle([shown] * 9, title=text),
            "no images": grid_bundle([], title=text, notice=text),
            "large": large_bundle(shown, title=text, notice=text),
            "large, missing": large_bundle(holes[0], title=text, notice=text),
            "facets": facets_bundle([two, one, long], title=text, notice=text),
            "progress": progress_bundle(rows[:5], title=text, notice=text),
            "progress, no estimate": progress_bundle([ProgressRow(text, text, text, "moving", 8.0, None, text)]),
            "progress of many": progress_bundle(rows * 4, title=text, notice=text),
            "history": history_bundle(history, total=99, footer=text, title=text, notice=text),
            "no history": history_bundle([], total=0, footer=text),
            "compare": compare_bundle(shown, wide, differ, same=[(text, text)], title=text),
            "compare, same": compare_bundle(shown, wide, []),
            "facts": facts_bundle(text, [(text, text, text), ("b", text)], header=(text, "value", text)),
            "page": {"text/html": history_page(history, title=text, notice=text, footer=text), "text/plain": "-"},
        }
        for kind in ("info", "warning", "error"):
            bundles[kind] = message_bundle(text, kind=kind, lines=(text, text))  # type: ignore[arg-type]
        return bundles

    return render
