"""Paints images from prompts.

The sandbox has no model behind it, only this: a few thousand lines of NumPy and Pillow that know some words. The
words are a table (`vocabulary`) and those of a published set of drawings (`illustrations`), a prompt becomes a `scene`,
and a scene becomes pixels. Importing this package imports neither NumPy nor Pillow; painting does.
"""

from __future__ import annotations

__all__ = ["paint", "warnings_of"]


def paint(
    prompt: str,
    *,
    negative_prompt: str | None = None,
    resolution: str = "1K",
    aspect_ratio: str = "1:1",
    output_format: str = "png",
    index: int = 0,
    seed: int = 0,
    source: bytes | None = None,
) -> bytes:
    """Paint one picture and return the bytes of its file.

    The same arguments give the same bytes. `index` is the picture's place in its job: pictures of one job share the
    scene and differ in layout and light. `source` is an encoded picture to start from (image to image).

    Raises ValueError for a resolution, ratio or format that does not exist and for a source that is not a picture.
    Safe on any thread.
    """
    from .encode import encode, pixel_size
    from .picture import render

    width, height = pixel_size(resolution, aspect_ratio)
    image = render(prompt, width, height, negative_prompt=negative_prompt, index=index, seed=seed, source=source)
    return encode(image, output_format)


def warnings_of(prompt: str, negative_prompt: str | None = None, *, source: bool = False) -> list[str]:
    """What an image of this prompt does not show, in sentences; empty if everything is drawn.

    `source` is True if the job starts from an image.
    """
    from .scene import compose

    scene = compose(prompt, negative_prompt)
    names = ", ".join(scene.undrawn[:8]) + (", ..." if len(scene.undrawn) > 8 else "")
    if scene.view == "card" and not (source and (scene.styles or scene.tints or scene.moods)):
        shown = "changes only the colors" if source else "shows the prompt as text"
        if not scene.placed:
            return [f"The sandbox reads English and knows no thing that these words name; the image {shown}."]
        return [f"The sandbox has not drawn: {names}; the image {shown}."]
    return [f"The sandbox has not drawn: {names}."] if names else []
