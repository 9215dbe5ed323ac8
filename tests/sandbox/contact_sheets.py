"""Print which Quick, Draw! nouns are drawn, and paint contact sheets: python tests/sandbox/contact_sheets.py DIR

The sheets are to be looked at: 24 prompts of before, 40 everyday prompts, 60 nouns drawn by a seed, and 12 pairs of
source and result. `--blind` leaves the prompts off the sheets and writes them to a text file each.
"""

from __future__ import annotations

import io
import random
import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from kling_notebook.sandbox.painter import warnings_of
from kling_notebook.sandbox.painter.picture import render
from kling_notebook.sandbox.painter.scene import compose

HERE = Path(__file__).parent
KNOWN = (
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
EVERYDAY = (
    "a bowl of ramen with chopsticks, top view",
    "fresh strawberries on a wooden table",
    "a slice of pizza, product photo",
    "birthday cake with candles",
    "a cheeseburger and fries on a plate",
    "a glass of red wine at sunset",
    "sushi platter, flat lay",
    "a red sports car on a mountain road",
    "white sneakers on a plain background, studio lighting",
    "a perfume bottle, luxury product shot",
    "wristwatch close-up, photo",
    "a leather handbag on marble",
    "headphones, product photography, soft light",
    "a laptop on a desk",
    "portrait of an old man with a white beard",
    "portrait of a young woman with blonde hair",
    "a child flying a kite on a beach",
    "a businessman in a blue suit",
    "a cozy living room with a sofa and a lamp",
    "a modern kitchen, morning light",
    "a bedroom with a big window",
    "a bathroom with a bathtub",
    'logo of a fox with the words "Fox & Co"',
    'logo for a bakery, bread, "Golden Crust"',
    'a neon sign saying "OPEN"',
    'a wooden sign "Welcome to the Farm"',
    'movie poster with a rocket, "Mission to Mars"',
    "a stop sign on a country road",
    "a yellow school bus on a street",
    "a steam train in the mountains",
    "a sailboat on the sea, oil painting",
    "an airplane above the clouds at sunset",
    "a motorcycle on a desert road",
    "a soccer ball on the grass",
    "a tennis racket and ball",
    "a man surfing a big wave",
    "a skier in the mountains, winter",
    "a golden retriever puppy in a garden",
    "an elephant in the savanna at sunset",
    "two parrots on a branch in the jungle",
)
PAIRS = (
    ("a red house by the sea", "at night"),
    ("a mountain lake", "heavy snow, winter"),
    ("a fox in a field", "a fox in the rain"),
    ("a forest path", "autumn"),
    ("a lighthouse on a cliff", "golden hour"),
    ("a city by a river", "fog"),
    ("a boat on a lake", "watercolor"),
    ("a village in the hills", "snowfall"),
    ("a bowl of ramen", "pencil sketch"),
    ("a castle on a hill", "thunderstorm"),
    ("a garden", "spring, cherry blossom"),
    ("a car on a road", "a car at sunset"),
)


def nouns() -> list[str]:
    """The 345 categories of Quick, Draw!"""
    text = (HERE / "quickdraw.txt").read_text(encoding="utf-8")
    return [name.strip() for name in text.replace("\n", " ").split(",")]


def drawn(noun: str) -> bool:
    """Whether a prompt of this noun alone draws something, and leaves no part of it out."""
    return compose(noun).view != "card" and not warnings_of(noun)


def sheet(entries: list[tuple[str, Image.Image]], size: int, columns: int, *, blind: bool) -> Image.Image:
    """Images as squares of `size` pixels with a line of text below."""
    font = ImageFont.load_default(11)
    rows = -(-len(entries) // columns)
    page = Image.new("RGB", (columns * (size + 6) + 6, rows * (size + 26) + 6), "white")
    draw = ImageDraw.Draw(page)
    for k, (label, image) in enumerate(entries):
        x, y = 6 + k % columns * (size + 6), 6 + k // columns * (size + 26)
        page.paste(image.resize((size, size), Image.Resampling.LANCZOS), (x, y))
        draw.text((x + 2, y + size + 3), str(k) if blind else f"{k} {label}"[: size // 6], fill="black", font=font)
    return page


def painted(prompts: list[str], size: int, seed: int) -> list[tuple[str, Image.Image]]:
    """Each prompt as an image, with the processor time that it took."""
    found = []
    for prompt in prompts:
        start = time.process_time()
        image = render(prompt, 2 * size, 2 * size, seed=seed)
        found.append((f"{prompt} ({time.process_time() - start:.2f} s)", image))
    return found


def pairs(size: int, seed: int) -> list[tuple[str, Image.Image]]:
    """Sources, each followed by what a second prompt makes of it."""
    found = []
    for before, after in PAIRS:
        source = render(before, 2 * size, 2 * size, seed=seed)
        file = io.BytesIO()
        source.save(file, "PNG")
        found += [(before, source), (after, render(after, 2 * size, 2 * size, seed=seed, source=file.getvalue()))]
    return found


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    blind, size, seed = "--blind" in sys.argv, 220, 7
    every = nouns()
    known = [noun for noun in every if drawn(noun)]
    missing = sorted(set(every) - set(known))
    print(f"{len(known)} of {len(every)} nouns of Quick, Draw! are drawn; missing: {', '.join(missing)}")
    chosen = random.Random(seed).sample(known, 60)  # noqa: S311 - not for security
    for name, prompts in (("known", list(KNOWN)), ("everyday", list(EVERYDAY)), ("nouns", chosen)):
        sheet(painted(prompts, size, seed), size, 8, blind=blind).save(target / f"{name}.png")
        (target / f"{name}.txt").write_text("\n".join(f"{k} {text}" for k, text in enumerate(prompts)))
    sheet(pairs(size, seed), size, 6, blind=blind).save(target / "pairs.png")


if __name__ == "__main__":
    main()
