"""What a prompt asks for, decided before a pixel is touched: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .vocabulary import Word, read

if TYPE_CHECKING:
    from collections.abc import Mapping

RGB = tuple[float, float, float]

COLOURS: Mapping[str, RGB] = {
    "red": (0.82, 0.13, 0.14),
    "orange": (0.95, 0.48, 0.10),
    "yellow": (0.97, 0.83, 0.20),
    "gold": (0.85, 0.63, 0.22),
    "green": (0.18, 0.62, 0.30),
    "olive": (0.48, 0.50, 0.22),
    "teal": (0.08, 0.60, 0.62),
    "blue": (0.14, 0.36, 0.80),
    "purple": (0.50, 0.26, 0.72),
    "pink": (0.94, 0.42, 0.62),
    "brown": (0.46, 0.29, 0.18),
    "white": (0.96, 0.95, 0.93),
    "black": (0.06, 0.06, 0.07),
    "grey": (0.52, 0.54, 0.56),
}

WATERS = frozenset(("sea", "lake", "river", "beach", "island", "cliff", "glacier"))
_HOMES: Mapping[str, str] = {
    "boat": "lake", "sailboat": "sea", "ship": "sea", "swan": "lake", "heron": "lake", "whale": "sea",
    "dolphin": "sea", "fish": "underwater", "turtle": "underwater", "jellyfish": "underwater", "lighthouse": "cliff",
    "penguin": "glacier", "camel": "desert", "cactus": "desert", "palm": "beach", "astronaut": "space",
    "rocket": "space", "ufo": "hills", "dragon": "mountain", "torii": "lake", "temple": "mountain", "robot": "city",
    "car": "road", "bicycle": "road", "tent": "mountain", "campfire": "forest", "wolf": "mountain", "bear": "forest",
    "deer": "forest", "fox": "field", "mushroom": "forest", "owl": "forest", "flower": "garden", "cabin": "forest",
    "elephant": "field", "windmill": "field", "umbrella": "city", "bridge": "river",
}  # fmt: skip
_HOURS: Mapping[str, str] = {
    "moon": "night", "crescent": "night", "stars": "night", "milkyway": "night", "meteor": "night",
    "aurora": "night", "neon": "night", "synthwave": "dusk", "campfire": "dusk", "lantern": "dusk", "space": "night",
    "planet": "dusk", "owl": "night", "ufo": "night",
}  # fmt: skip
_MEDIA = frozenset(
    ("watercolour", "ink", "sumi", "charcoal", "impressionist", "pastel", "comic", "woodblock", "blueprint", "pixel",
     "papercut", "poster", "stitch", "glass", "mosaic", "lowpoly")
)  # fmt: skip
_PLENTY = frozenset(("bird", "balloon", "lantern", "fish", "butterfly", "jellyfish", "flower", "sheep", "penguin"))
_DEFAULT_COUNTS: Mapping[str, int] = {"bird": 6, "flower": 5, "lantern": 5, "fish": 4, "mushroom": 3, "sheep": 3}


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to draw: what, how many, how large (1 is usual), and its colour where the prompt gave one."""

    name: str
    count: int = 1
    scale: float = 1.0
    colour: RGB | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A prompt as decisions. `variation` names the random layout; equal scenes give equal pictures."""

    places: tuple[str, ...]
    time: str
    sky: frozenset[str]
    weather: frozenset[str]
    season: str | None
    subjects: tuple[Subject, ...]
    styles: tuple[str, ...]
    tints: tuple[RGB, ...]
    sky_tint: RGB | None
    body_tint: RGB | None
    place_tint: RGB | None
    moods: tuple[str, ...]
    unwanted: frozenset[str]
    unwanted_colours: tuple[RGB, ...]
    words: tuple[str, ...]
    abstract: bool
    variation: str
    index: int = field(default=0)

    @property
    def water(self) -> bool:
        """Whether open water is part of the place."""
        return bool(WATERS & set(self.places))


def compose(prompt: str, negative_prompt: str | None = None, *, index: int = 0, seed: int = 0) -> Scene:
    """Read the prompt and decide the scene. Any text gives a scene."""
    reading = read(prompt)
    against = read(negative_prompt or "")
    refused = reading.denied | {(word.kind, word.value) for word in against.known}
    known = [word for word in reading.known if (word.kind, word.value) not in refused]
    found = _by_kind(known)
    attached = _attach(known)
    subjects = tuple(attached.subjects.values())[:6]
    unwanted = frozenset(value for kind, value in refused if kind != "colour")
    styles = _styles(found["style"])
    drawn = found["place"] + found["time"] + found["sky"] + found["weather"] + found["season"]
    abstract = "abstract" in found["style"] or not (drawn or subjects)
    places = _places(found, subjects, unwanted)
    unknown = tuple(dict.fromkeys(reading.unknown))
    return Scene(
        places=places,
        time=_time(found, places, subjects, styles, unwanted),
        sky=frozenset(found["sky"]),
        weather=frozenset(found["weather"]),
        season=found["season"][0] if found["season"] else None,
        subjects=subjects,
        styles=styles,
        tints=tuple(dict.fromkeys(attached.tints))[:3],
        sky_tint=attached.sky,
        body_tint=attached.body,
        place_tint=attached.place,
        moods=found["mood"],
        unwanted=unwanted,
        unwanted_colours=tuple(COLOURS[value] for kind, value in sorted(refused) if kind == "colour"),
        words=unknown,
        abstract=abstract,
        variation=repr((seed, index, unknown, against.unknown)),
        index=index,
    )


def _styles(found: tuple[str, ...]) -> tuple[str, ...]:
    """At most three styles. "Drawing" and "painting" are only said of another medium where there is one."""
    general = {"pencil", "oil"}
    media = [name for name in found if name in _MEDIA and name not in general]
    return tuple(name for name in found if name != "abstract" and not (media and name in general))[:3]


def _by_kind(words: list[Word]) -> dict[str, tuple[str, ...]]:
    kinds = ("place", "time", "sky", "weather", "season", "subject", "style", "colour", "count", "size", "mood")
    return {kind: tuple(dict.fromkeys(w.value for w in words if w.kind == kind)) for kind in kinds}


@dataclass(slots=True)
class _Attached:
    """What colours, counts and sizes turned out to belong to."""

    subjects: dict[str, Subject] = field(default_factory=dict)
    tints: list[RGB] = field(default_factory=list)
    sky: RGB | None = None
    body: RGB | None = None
    place: RGB | None = None


def _attach(known: list[Word]) -> _Attached:
    """Give counts, sizes and colours to the noun that follows them; colours left over tint the picture."""
    out = _Attached()
    count, scale, colour = 0, 1.0, None
    for word in known:
        match word.kind:
            case "count":
                count = int(word.value)
            case "size":
                scale = 1.55 if word.value == "big" else 0.6
            case "colour" | "break":
                if colour is not None:
                    out.tints.append(colour)
                colour = COLOURS.get(word.value)
            case "subject":
                before = out.subjects.get(word.value, Subject(word.value))
                many = max(count or _DEFAULT_COUNTS.get(word.value, 1), before.count)
                out.subjects[word.value] = Subject(word.value, many, scale, colour or before.colour)
                count, scale, colour = 0, 1.0, None
            case "sky" if colour is not None and word.value in {"sun", "moon", "crescent", "planet"}:
                out.body, colour = colour, None
            case "sky" if colour is not None:
                out.sky, colour = colour, None
            case "place" if colour is not None:
                out.place, colour = colour, None
            case _:
                pass
    if colour is not None:
        out.tints.append(colour)
    # A count or size with nothing after it belongs to the last subject ("birds, many").
    if out.subjects and (count or scale != 1.0):
        name, last = out.subjects.popitem()
        out.subjects[name] = Subject(name, count or last.count, last.scale * scale, last.colour)
    return out


def _places(
    found: dict[str, tuple[str, ...]], subjects: tuple[Subject, ...], unwanted: frozenset[str]
) -> tuple[str, ...]:
    places = found["place"]
    if not set(places) - {"snow", "road"}:
        homes = (_HOMES.get(item.name, "hills") for item in subjects)
        places += tuple(dict.fromkeys(home for home in homes if home not in unwanted))[:1]
    if not places:
        places = ("hills",) if "hills" not in unwanted else ("lake",)
    return places[:5]


def _time(
    found: dict[str, tuple[str, ...]],
    places: tuple[str, ...],
    subjects: tuple[Subject, ...],
    styles: tuple[str, ...],
    unwanted: frozenset[str],
) -> str:
    if found["time"]:
        return found["time"][0]
    hints = (*found["sky"], *places, *(item.name for item in subjects), *styles)
    for hint in hints:
        hour = _HOURS.get(hint)
        if hour is not None and hour not in unwanted and hint not in unwanted:
            return hour
    return "day"


def plenty(name: str) -> bool:
    """Whether a subject is at home in numbers, and small."""
    return name in _PLENTY
