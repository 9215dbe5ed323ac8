"""Paints 24 varied prompts on one sheet, to be looked at: python tests/sandbox/contact_sheet.py sheet.png [size]"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from kling_notebook.sandbox.painter.picture import render

PROMPTS = (
    "A beautiful mountain landscape at golden hour, photorealistic",
    "A snowy owl on a branch, watercolor",
    "A red fox in an autumn forest, golden hour",
    "A lighthouse on a cliff at dusk, watercolor",
    "A city by the sea at night, neon",
    "A small boat on a quiet lake under the moon, oil painting",
    "Aurora over snow and a lonely house",
    "A blueprint of a lighthouse",
    "a person walking on a street at night in the rain",
    "portrait of a woman, oil painting",
    "woodblock print of a heron in rain",
    "van gogh starry night over a village",
    "a field of sunflowers under a blue sky",
    "a cup of coffee on a table, morning",
    "an astronaut on the moon",
    "hot air balloons over a canyon in the morning",
    "stained glass deer in an autumn forest",
    "a red house by the sea",
    "synthwave city at sunset",
    "a bear by a waterfall in the forest",
    "low poly wolf at sunset",
    "erupting volcano and a dragon at night",
    "poster of a mountain lake, teal and pink",
    "quantum entanglement of melancholy",
)


def sheet(size: int, columns: int = 6, prompts: tuple[str, ...] = PROMPTS, seed: int = 7) -> Image.Image:
    """All prompts as squares of `size` pixels with their words below."""
    rows = -(-len(prompts) // columns)
    label = 20
    page = Image.new("RGB", (columns * (size + 6) + 6, rows * (size + label + 6) + 6), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(11)
    for k, prompt in enumerate(prompts):
        x, y = 6 + k % columns * (size + 6), 6 + k // columns * (size + label + 6)
        start = time.process_time()
        picture = render(prompt, 2 * size, 2 * size, seed=seed).resize((size, size), Image.Resampling.LANCZOS)
        page.paste(picture, (x, y))
        draw.text((x + 2, y + size + 3), f"{prompt}  ({time.process_time() - start:.2f} s)", fill="black", font=font)
    return page


if __name__ == "__main__":
    sheet(int(sys.argv[2]) if len(sys.argv) > 2 else 320).save(Path(sys.argv[1]))
