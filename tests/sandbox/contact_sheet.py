"""Paints 24 varied prompts on one sheet, to be looked at: python tests/sandbox/contact_sheet.py sheet.png [size]"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from kling_notebook.sandbox.painter.picture import render

PROMPTS = (
    "a fox in a misty forest at golden hour",
    "mountain lake at dawn",
    "snowy mountains at night under the northern lights",
    "a sailboat on the sea at sunset",
    "city skyline at night in the rain, neon",
    "desert dunes with camels at noon",
    "watercolour of a village in the hills, spring",
    "ink drawing of a lone tree on a hill",
    "pixel art castle on a mountain at dusk",
    "oil painting of a flower field with a windmill",
    "black and white lighthouse in a storm",
    "blueprint of a rocket",
    "an astronaut and a planet in deep space",
    "hot air balloons over a canyon in the morning",
    "woodblock print of the sea with a whale, red sun",
    "stained glass deer in an autumn forest",
    "a jellyfish underwater",
    "synthwave city at sunset",
    "a red house by a river in winter, snowfall",
    "tropical beach with palm trees, blue hour, crescent moon",
    "erupting volcano and a dragon at night",
    "paper cut mountains, teal and pink, birds",
    "poster of a road through autumn hills with a car",
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
