"""The sandbox's painter: sizes and formats, the vocabulary, determinism, variations, image to image."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
import zlib
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kling_notebook.sandbox.painter import paint
from kling_notebook.sandbox.painter.encode import SIZES
from kling_notebook.sandbox.painter.picture import render
from kling_notebook.sandbox.painter.scene import compose
from kling_notebook.sandbox.painter.vocabulary import TABLE, Word, read

SMALL = 160


def small(prompt: str, **options: object) -> np.ndarray:
    """The picture at 160 x 160, as floats in 0..1."""
    return np.asarray(render(prompt, SMALL, SMALL, **options), np.float32) / 255  # type: ignore[arg-type]


def small_at(size: int, prompt: str, refused: str) -> np.ndarray:
    """The picture at size x size, with a negative prompt."""
    return np.asarray(render(prompt, size, size, negative_prompt=refused), np.float32) / 255


@lru_cache(maxsize=16)
def tiny(prompt: str) -> np.ndarray:
    """The picture at 112 x 112, kept: the plain prompts come again and again."""
    return np.asarray(render(prompt, 112, 112), np.float32) / 255


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("ratio", SIZES)
def test_every_ratio_has_its_exact_size(ratio: str) -> None:
    image = opened(paint("a hill", aspect_ratio=ratio, output_format="jpeg"))
    assert image.size == SIZES[ratio]
    across, down = (int(part) for part in ratio.split(":"))
    assert image.width / image.height == pytest.approx(across / down, rel=0.05)


def test_2k_doubles_both_sides() -> None:
    assert opened(paint("a hill", resolution="2K", aspect_ratio="16:9", output_format="jpeg")).size == (2720, 1536)


@pytest.mark.parametrize(("name", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_formats_are_what_they_are_called(name: str, kind: str) -> None:
    image = opened(paint("a hill", output_format=name))
    assert (image.format, image.mode, image.size) == (kind, "RGB", (1024, 1024))


@pytest.mark.parametrize("wrong", [{"resolution": "3K"}, {"aspect_ratio": "5:1"}, {"output_format": "gif"}])
def test_unknown_parameters_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no such"):
        paint("a hill", **wrong)  # type: ignore[arg-type]


def test_importing_the_painter_imports_neither_numpy_nor_pillow() -> None:
    code = "import sys, kling_notebook.sandbox.painter; print({'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_same_arguments_same_bytes_also_in_another_process() -> None:
    prompt = "a fox in the snow, watercolour"
    here = paint(prompt, index=1, seed=5)
    assert here == paint(prompt, index=1, seed=5)
    code = (
        "import zlib; from kling_notebook.sandbox.painter import paint; "
        f"print(zlib.crc32(paint({prompt!r}, index=1, seed=5)))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(there) == zlib.crc32(here)


def test_pictures_of_one_job_are_variations_not_copies() -> None:
    pictures = [small("mountain lake at dawn", index=k) for k in range(4)]
    for k, one in enumerate(pictures):
        for other in pictures[k + 1 :]:
            assert 0.01 < difference(one, other) < 0.35


def test_another_seed_is_another_picture() -> None:
    assert difference(small("a city at night", seed=1), small("a city at night", seed=2)) > 0.01


def _bases(word: Word) -> tuple[str, ...]:
    """Prompts the word is added to: what counts and sizes belong to comes after them."""
    if word.kind == "trait":
        return ("a portrait of a man, {}", "a portrait of a woman, {}")
    if word.kind in {"count", "size"}:
        return ("{} rabbit on a hill", "{} rabbits on a hill")
    return ("a boat, {}", "a house, {}")


SHORT = {word for kind in {word.kind for word in TABLE} for word in [w for w in TABLE if w.kind == kind][::4]}
PAINTED = [pytest.param(word, marks=[] if word in SHORT else pytest.mark.long) for word in TABLE]


@pytest.mark.parametrize("word", PAINTED, ids=lambda word: f"{word.kind}-{word.value}")
def test_each_word_of_the_table_changes_the_picture(word: Word) -> None:
    changes = (
        difference(tiny(base.format(word.phrases[0])), tiny(base.format("").strip(", "))) for base in _bases(word)
    )
    assert any(change > 0.0004 for change in changes)


@pytest.mark.parametrize("word", TABLE, ids=lambda word: f"{word.kind}-{word.value}")
def test_synonyms_mean_the_same(word: Word) -> None:
    for phrase in word.phrases:
        found = [(item.kind, item.value) for item in read(phrase).known if item.kind != "break"]
        assert found == [(word.kind, word.value)], phrase


def test_the_table_is_about_as_large_as_promised_and_has_no_word_twice() -> None:
    phrases = [phrase for word in TABLE for phrase in word.phrases]
    assert len(TABLE) >= 120
    assert len(phrases) == len(set(phrases))


def test_golden_hour_is_warmer_than_night() -> None:
    warmth = [float((p[..., 0] - p[..., 2]).mean()) for p in (small("hills, golden hour"), small("hills, night"))]
    assert warmth[0] > warmth[1] + 0.1


def test_noon_is_brighter_than_dusk_and_dusk_than_night() -> None:
    noon, dusk, night = (float(small(f"a field, {hour}").mean()) for hour in ("noon", "dusk", "night"))
    assert noon > dusk > night


def test_snow_is_brighter() -> None:
    assert small("hills, snow").mean() > small("hills").mean() + 0.05


def test_fog_takes_contrast_away() -> None:
    assert small("a forest, fog").std() < small("a forest").std()


@pytest.mark.parametrize(("colour", "channel"), [("red", 0), ("green", 1), ("blue", 2)], ids=["red", "green", "blue"])
def test_a_colour_pulls_its_channel_up(colour: str, channel: int) -> None:
    plain, tinted = small("a mountain").mean(axis=(0, 1)), small(f"a mountain, {colour}").mean(axis=(0, 1))
    assert tinted[channel] / tinted.sum() > plain[channel] / plain.sum()


def test_black_and_white_has_no_colour() -> None:
    picture = small("black and white photograph of a castle")
    assert float((picture.max(axis=-1) - picture.min(axis=-1)).mean()) < 0.03


def test_pixel_art_is_made_of_squares() -> None:
    picture = np.asarray(render("pixel art mountain", 512, 512))[:400, :400]
    assert np.ptp(picture.reshape(80, 5, 80, 5, 3), axis=(1, 3)).max() == 0
    colours = np.unique(picture.reshape(-1, 3), axis=0)
    assert len(colours) <= 40


@pytest.mark.parametrize("refusal", ["negative", "prompt"])
def test_a_refused_moon_is_gone(refusal: str) -> None:
    there = small("a hill at night")
    gone = (
        small("a hill at night", negative_prompt="moon") if refusal == "negative" else small("a hill at night, no moon")
    )
    sky = slice(0, SMALL // 2)
    assert there[sky].mean(axis=-1).max() > 0.85
    assert (there[sky].mean(axis=-1) > 0.8).mean() > 4 * (gone[sky].mean(axis=-1) > 0.8).mean()
    assert difference(there, gone) > 0.002


def test_a_negative_prompt_takes_subjects_places_and_colours_out() -> None:
    assert compose("a fox and an owl", "fox").subjects[0].name == "owl"
    assert "sea" not in compose("the sea and mountains", "sea").places
    assert compose("a red, blue picture", "red").tints == compose("a blue picture").tints
    assert difference(small("a sunset"), small("a sunset", negative_prompt="red, orange")) > 0.005


@pytest.mark.parametrize(
    ("prompt", "refused"),
    [
        ("a forest", "pine"),
        ("a forest", "tree"),
        ("a fox in the forest", "tree"),
        ("a village", "house"),
        ("a garden", "flower"),
        ("a field of sunflowers", "sunflower"),
        ("a lake", "mountain"),
        ("a lake", "tree"),
        ("a mountain", "snow"),
        ("a mountain", "tree"),
        ("a mountain", "lake"),
        ("hills", "tree"),
        ("a field", "grass"),
        ("a city", "tree"),
        ("a city at night", "lamp"),
        ("a city at night", "stars"),
        ("a snowy owl on a branch", "snow"),
        ("a winter forest", "snow"),
        ("space", "planet"),
        ("space", "stars"),
        ("sunset over the sea", "sun"),
        ("the sea at noon", "clouds"),
        ("autumn hills", "falling leaves"),
        ("a storm over the sea", "rain"),
        ("a glacier", "mountain"),
    ],
)
def test_what_a_place_brings_along_can_be_refused(prompt: str, refused: str) -> None:
    assert difference(tiny(prompt), small_at(112, prompt, refused)) > 0.001


def test_a_colour_before_something_unknown_does_not_flood_the_picture() -> None:
    assert compose("a castle and a red zorble").tints == ()
    assert compose("a woman in a red dress").subjects[0].colour is not None
    assert compose("a red zorble").tints != ()
    assert compose("a field under a blue sky").sky_tint is not None


@pytest.mark.parametrize("prompt", ["foxes", "red foxes", "small boats", "pink flamingos"])
def test_a_plural_means_several_whatever_stands_before_it(prompt: str) -> None:
    assert compose(prompt).subjects[0].count > 1


@pytest.mark.parametrize("prompt", ["a street", "a landscape", "a portrait", "a cup of coffee", "a bowl of fruit"])
def test_words_typed_first_are_known(prompt: str) -> None:
    assert compose(prompt).view != "card"


@pytest.mark.parametrize("prompt", ["a red house by the sea", "a tree by the lake"])
def test_what_stands_by_the_water_stands_on_land(prompt: str) -> None:
    picture = small(prompt, seed=2)
    foot, sea = picture[-8:-4].mean(axis=(0, 1)), picture[100:108].mean(axis=(0, 1))
    assert foot[2] - foot[0] < sea[2] - sea[0] - 0.1


def test_counts_colours_and_sizes_belong_to_the_word_they_stand_before() -> None:
    scene = compose("two red foxes and a giant blue whale under a purple sky, snow, gold")
    fox, whale = scene.subjects
    assert (fox.name, fox.count, whale.count) == ("fox", 2, 1)
    assert fox.colour is not None
    assert fox.colour[0] > fox.colour[2]
    assert whale.scale > 1
    assert scene.sky_tint is not None
    assert scene.sky_tint[2] > scene.sky_tint[1]
    assert len(scene.tints) == 1


def test_plurals_and_emoji_are_words_too() -> None:
    assert compose("foxes").subjects[0].count > 1
    assert compose("wolves by the lakes").places == ("lake",)
    assert compose("\N{FOX FACE}").subjects[0].name == "fox"


def test_unknown_prompts_become_a_card_of_their_own_words() -> None:
    assert compose("quantum melancholy").view == "card"
    assert not compose("quantum melancholy").abstract
    one, other = small("quantum melancholy"), small("classical melancholy")
    assert difference(one, other) > 0.02
    assert one.std() > 0.08


def test_unknown_words_move_a_known_scene() -> None:
    assert difference(small("a quiet mountain"), small("a restless mountain")) > 0.005


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " \n\t ",
        "x" * 10_000,
        "fox " * 2_500,
        "\x00\x1b[31m\u202e\ufeff\ud800",
        "\U0001f98a" * 3_000,
        "<script>alert(1)</script> {name} $HOME %s %(x)d",
        "雪の中の狐 على الجبل",
        ", ".join(word.phrases[0] for word in TABLE),
        "no no no without not",
    ],
    ids=["empty", "blank", "long", "repeated", "control", "emoji", "markup", "other scripts", "everything", "denials"],
)
def test_no_prompt_breaks_the_painter(prompt: str) -> None:
    picture = render(prompt, 96, 96, negative_prompt=prompt[:50])
    assert picture.size == (96, 96)


@pytest.mark.parametrize("prompt", ["a city by the sea", "volcano, waterfall", "underwater dragon", "space car"])
@pytest.mark.parametrize("size", [(310, 131), (131, 310)])
def test_unlikely_places_fit_every_shape(prompt: str, size: tuple[int, int]) -> None:
    assert render(prompt, *size).size == size


def _source(kind: str = "PNG", mode: str = "RGB") -> bytes:
    image = Image.new(mode, (400, 300), (40, 60, 120) if mode == "RGB" else (40, 60, 120, 90))
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 40, 220, 200), fill=(240, 220, 90))
    draw.rectangle((0, 210, 400, 300), fill=(30, 110, 40))
    draw.polygon([(250, 210), (310, 90), (370, 210)], fill=(200, 60, 50))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("prompt", ["night", "watercolour", "autumn, golden hour", "oil", "red", "zorble", "snow"])
def test_image_to_image_keeps_the_source_recognisable_and_changes_it(prompt: str) -> None:
    data = _source()
    inside = (4, 3, 36, 27)  # watercolours leave a border of white paper
    picture = np.asarray(render(prompt, 320, 240, source=data).convert("L").resize((40, 30)).crop(inside), np.float32)
    plain = np.asarray(opened(data).convert("L").resize((40, 30)).crop(inside), np.float32)
    assert np.corrcoef(picture.ravel(), plain.ravel())[0, 1] > 0.6
    assert np.abs(picture - plain).mean() > 1.5


def test_prompts_restyle_one_source_differently() -> None:
    data = _source("JPEG")
    assert difference(small("night", source=data), small("golden hour", source=data)) > 0.05


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("WEBP", "RGB"), ("JPEG", "RGB")])
def test_sources_of_every_format_fill_the_frame(kind: str, mode: str) -> None:
    image = opened(paint("dusk", source=_source(kind, mode), aspect_ratio="9:16", output_format="jpeg"))
    assert image.size == SIZES["9:16"]


@pytest.mark.parametrize(
    "data", [b"", b"not an image", _source()[:200], b"<svg/>"], ids=["empty", "text", "cut", "svg"]
)
def test_a_source_that_is_not_an_image_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="source"):
        paint("dusk", source=data)


def _bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = (30_000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_a_source_with_too_many_pixels_is_refused_unread() -> None:
    with pytest.raises(ValueError, match="source"):
        paint("dusk", source=_bomb())


def test_the_corner_says_sandbox() -> None:
    image = np.asarray(render("a white snowy field at noon", 1024, 1024).convert("L"), np.float32)
    corner, rest = image[985:1010, 920:1008], image[985:1010, 800:880]
    assert corner.max() > 225
    assert np.ptp(corner) > 100
    assert corner.std() > 3 * rest.std()


@pytest.mark.parametrize(
    ("prompt", "resolution", "limit"),
    [
        ("a beautiful mountain landscape at golden hour", "1K", 2.0),
        pytest.param("a fox in the forest, comic", "1K", 2.0, marks=pytest.mark.long),
        pytest.param("a fox in the forest, watercolour", "2K", 6.0, marks=pytest.mark.long),
    ],
)
def test_a_picture_takes_no_more_processor_time_than_promised(prompt: str, resolution: str, limit: float) -> None:
    # Promised are 0.5 s and 2 s on a core of one's own; the limits are for the slowest machine, not for this one.
    paint("warm up")
    spent = []
    for index in range(2):
        start = time.process_time()
        paint(prompt, resolution=resolution, aspect_ratio="16:9", index=index)
        spent.append(time.process_time() - start)
    assert min(spent) < limit


def test_two_threads_paint_the_same_as_one() -> None:
    prompts = ["a lighthouse in a storm", "pixel art owl"]
    alone = [np.asarray(render(prompt, 200, 200)) for prompt in prompts]
    found: dict[int, np.ndarray] = {}

    def work(k: int) -> None:
        found[k] = np.asarray(render(prompts[k], 200, 200))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, picture in enumerate(alone):
        assert np.array_equal(found[k], picture)
