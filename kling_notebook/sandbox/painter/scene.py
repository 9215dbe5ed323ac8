"""What a prompt asks for, decided before a pixel is touched: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from .catalog import RGB, rgb
from .catalog import index as drawings
from .vocabulary import BREAK, SEVERAL, Kind, Word, plain, read, rows

COLOURS: Mapping[str, RGB] = {name: rgb(code) for name, (code,) in rows("rgb").items()}
_HOURS = {hint: hour for hour, hints in rows("hour").items() for hint in hints}
_PLACE_OF_HOME = rows("home")
FURNITURE = rows("furniture")
_DEFAULT_COUNTS = {name: int(count) for name, (count,) in rows("usual_count").items()}
_WORN, _COATS, _PARTS, _BLOOMS = plain("worn"), plain("coat"), plain("part"), plain("bloom")
_MEDIA, _LINES = plain("medium"), plain("outlined")
_DOERS = plain("doer") | {name for name, drawing in drawings().items() if drawing.home in {"sport", "snow"}}
WATERS = frozenset(("sea", "lake", "river", "beach", "cliff", "glacier"))
_NATURAL: Mapping[tuple[str, RGB], RGB] = {
    ("fox", COLOURS["red"]): (0.83, 0.34, 0.10),
    ("deer", COLOURS["red"]): (0.60, 0.32, 0.17),
    ("cat", COLOURS["orange"]): (0.84, 0.50, 0.22),
    ("flower", COLOURS["blue"]): (0.32, 0.42, 0.88),
}
"""What is called a colour and is not quite of it: a red fox is the red of foxes."""
_PEOPLE = frozenset(("person", "woman"))
_LIVING = frozenset(
    name for name, drawing in drawings().items()
    if drawing.kind == "creature" or (drawing.kind == "set" and drawing.home in {"ground", "underwater", "sky"})
)  # fmt: skip
_INDOORS = frozenset(("room", "studio", "interior"))


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
    close: bool
    placed: frozenset[str]
    """The places that were named, and not only thought of."""
    view: str
    """How it is shown: "" (a scene), top, logo, sign, title, or card if the prompt names nothing known."""
    lettering: tuple[str, ...]
    """Words to be written into the image: what the prompt quotes, or the prompt itself on a card."""
    traits: frozenset[str]
    """Hair, beard and age of the people: old, grey, greybeard, blond, red, black, beard, bald."""
    adding: bool
    """Whether the prompt asks to add something to a source."""
    undrawn: tuple[str, ...]
    """Words of the prompt that may name something and are not drawn."""
    variation: str
    index: int

    @property
    def drawn(self) -> bool:
        """Whether the style draws outlines: soft clouds and rain would become scribbles."""
        return bool(_LINES & set(self.styles))

    @property
    def indoors(self) -> bool:
        """Whether it shows a room, with a window."""
        return bool({"interior", "room"} & set(self.places)) and self.view != "top"

    @property
    def studio(self) -> bool:
        """Whether the subject stands alone on the sheet, as in a technical drawing."""
        elsewhere = (self.placed - {"studio"}) or self.sky or self.weather
        return "blueprint" in self.styles and len(self.subjects) == 1 and not elsewhere

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
    unwanted = frozenset(value for kind, value in refused if kind != "colour")
    found = _by_kind(known)
    attached = _attach(known)
    drawn = found["place"] + found["time"] + found["sky"] + found["weather"] + found["season"]
    close = "close" in found["size"]
    view = found["view"][0] if found["view"] else ""
    subjects = _drawn_subjects(found, attached, unwanted, furnished=view != "logo" and not close)
    if close and not subjects and "person" not in unwanted:
        subjects = (Subject("person"),)
    styles = _styles(found["style"])
    abstract = "abstract" in found["style"]
    bare = reading.undrawn and set(drawn) <= {"room", "studio"}  # an empty table says nothing
    if not ((drawn and not bare) or subjects or abstract or reading.quoted):
        view = "card"
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
        tints=tuple(dict.fromkeys(attached.tints or (attached.worn if abstract or view == "card" else ())))[:3],
        sky_tint=attached.sky,
        body_tint=attached.body,
        place_tint=attached.place,
        moods=found["mood"],
        unwanted=unwanted,
        unwanted_colours=tuple(COLOURS[value] for kind, value in sorted(refused) if kind == "colour"),
        words=unknown,
        abstract=abstract,
        view=view,
        lettering=(" ".join(prompt.split()),) if view == "card" else reading.quoted,
        undrawn=tuple(dict.fromkeys((*reading.undrawn, *attached.undrawn))),
        traits=frozenset(found["trait"]),
        adding="add" in unknown or "adding" in unknown,
        close=close,
        placed=frozenset(found["place"]),
        variation=repr((seed, index, unknown, against.unknown)),
        index=index,
    )


def _drawn_subjects(
    found: Mapping[str, tuple[str, ...]], attached: _Attached, unwanted: frozenset[str], *, furnished: bool
) -> tuple[Subject, ...]:
    """At most six, the furniture of a room among them; nothing that another one's drawing holds already."""
    subjects = tuple(attached.subjects.values())[:6]
    doers = [item.name for item in subjects if item.name in _DOERS]
    if doers and any(item.name in _LIVING - _PEOPLE for item in subjects):  # an animal does it: not to be seen
        subjects = tuple(item for item in subjects if item.name not in doers)
        attached.undrawn += [name.removeprefix("person-").replace("-", " ") for name in doers]
    elif doers:  # the drawing shows whoever does it
        subjects = tuple(item for item in subjects if item.name not in _PEOPLE)
    rooms = [name for name in found["place"] if name in FURNITURE]
    if rooms:  # a lamp in a room is the one beside the sofa
        subjects = tuple(item for item in subjects if item.name != "lantern")
    if rooms and furnished:
        there = {item.name for item in subjects} | unwanted
        subjects += tuple(Subject(name) for name in FURNITURE[rooms[-1]] if name not in there)[: 4 - len(subjects)]
    if any(item.name == "bouquet" for item in subjects):
        subjects = tuple(item for item in subjects if item.name not in _BLOOMS)
    if any(item.name == "umbrella-person" for item in subjects):  # somebody holds it already
        subjects = tuple(item for item in subjects if item.name not in {"person", "woman"} or item.count > 1)
    return subjects


def _styles(found: tuple[str, ...]) -> tuple[str, ...]:
    """At most three styles. "Drawing" and "painting" describe another medium only if one is named."""
    general = {"pencil", "oil"}
    media = [name for name in found if name in _MEDIA and name not in general]
    return tuple(name for name in found if name != "abstract" and not (media and name in general))[:3]


def _by_kind(words: list[Word]) -> dict[str, tuple[str, ...]]:
    kinds = [kind for kind in get_args(Kind) if kind not in ("break", "other")]  # which describe nothing
    return {kind: tuple(dict.fromkeys(w.value for w in words if w.kind == kind)) for kind in kinds}


@dataclass(slots=True)
class _Attached:
    """What colours, counts and sizes turned out to belong to."""

    subjects: dict[str, Subject] = field(default_factory=dict)
    tints: list[RGB] = field(default_factory=list)
    worn: list[RGB] = field(default_factory=list)
    """Colours of things unknown ("a red dress"): the whole picture's only if it has nothing else."""
    undrawn: list[str] = field(default_factory=list)
    """What somebody wears and is not shown with."""
    sky: RGB | None = None
    body: RGB | None = None
    place: RGB | None = None

    def tint(self, word: Word, colour: RGB) -> None:
        """The colour of a place, of the sky or of what stands in it."""
        if word.kind == "place":
            self.place = colour
        elif word.value in {"sun", "moon", "crescent", "planet"}:
            self.body = colour
        else:
            self.sky = colour


def _attach(known: list[Word]) -> _Attached:
    """Give counts, sizes and colours to the noun that follows them; colours left over tint the picture."""
    out = _Attached()
    count, scale, colour, others = 0, 1.0, None, 0
    several = False
    for word in (*known, BREAK):
        match word.kind:
            case "count":
                count, several = int(word.value), word == SEVERAL
            case "size" if word.value != "close":
                scale = 1.55 if word.value == "big" else 0.66
            case "colour" | "break":
                if colour is not None and others:
                    _wear(out, colour)
                elif colour is not None:
                    out.tints.append(colour)
                colour, others = COLOURS.get(word.value), 0
            case "other":
                others += 1
            case "subject":
                many = count or (_DEFAULT_COUNTS.get(word.value, 3) if several else 0)
                _name(out, word.value, (many, scale, colour if others < 2 else None, colour))
                count, scale, colour, others = 0, 1.0, None, 0
                several = False
            case "sky" | "place" if colour is not None and word.value != "landscape":
                out.tint(word, colour)
                colour = None
            case _:
                pass
    # A count or size with nothing after it belongs to the last subject ("birds, many").
    if out.subjects and (count or scale != 1.0):
        name, last = out.subjects.popitem()
        out.subjects[name] = Subject(name, count or last.count, last.scale * scale, last.colour)
    return out


def _name(out: _Attached, name: str, traits: tuple[int, float, RGB | None, RGB | None]) -> None:
    """A subject is named; what described it before holds if nothing new is. Clothes belong to the person before."""
    many, scale, own, worn = traits
    if name in _PARTS and _LIVING & set(out.subjects):
        return
    if name in _WORN and _LIVING & set(out.subjects):
        if worn is not None:
            _wear(out, worn)
        if name not in _COATS or not _PEOPLE & set(out.subjects):
            out.undrawn.append(name.removeprefix("womans-").replace("-", " "))
        return
    before = out.subjects.get(name, Subject(name))
    count = max(many or _DEFAULT_COUNTS.get(name, 1), before.count)
    colour = before.colour if own is None else _NATURAL.get((name, own), own)
    out.subjects[name] = Subject(name, count, scale, colour)


def _wear(out: _Attached, colour: RGB) -> None:
    """The colour of something unknown: the clothes of whoever was named last, if it was somebody."""
    name = next(reversed(out.subjects), "")
    if name in {"person", "woman"} and out.subjects[name].colour is None:
        last = out.subjects[name]
        out.subjects[name] = Subject(name, last.count, last.scale, colour)
    else:
        out.worn.append(colour)


def _places(
    found: dict[str, tuple[str, ...]], subjects: tuple[Subject, ...], unwanted: frozenset[str]
) -> tuple[str, ...]:
    rooms = [name for name in found["place"] if name in FURNITURE]
    if rooms:
        return ("interior", rooms[-1])
    places = found["place"]
    if "waterfall" in places:
        places = tuple(dict.fromkeys((*places, "river")))
    if "street" in places:  # a road that leads into a town
        places = tuple(dict.fromkeys((*(name for name in places if name != "street"), "city", "road")))
    if "landscape" in places:
        # A landscape is whatever else is named; mountains, if nothing is.
        scenic = "mountain" if "mountain" not in unwanted else "hills"
        places = tuple(name for name in places if name != "landscape")
        places = places if set(places) - {"snow", "road"} else (*places, scenic)
    if not set(places) - {"snow", "road"}:
        homes = [home_of(item.name) for item in subjects]
        homes = ["forest" if home == "branch" and len(homes) > 1 else home for home in homes]
        homes = [home for home in homes if home not in _INDOORS] or homes  # what stands on a table fits on a meadow
        homes = [home for home in homes if home != "hills"] or homes
        if places:  # on snow or a road stands what would be shown in a studio otherwise
            homes = ["hills" if home in {"studio", "room", "interior"} else home for home in homes]
        places += tuple(dict.fromkeys(home for home in homes if home not in unwanted))[:1]
    if "snowyowl" in {item.name for item in subjects} and not {"snow"} & (set(places) | unwanted):
        places += ("snow",)
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


def home_of(name: str) -> str:
    """The place that goes with a subject, if the prompt names none."""
    drawing = drawings()[name]
    if drawing.kind != "set":
        return _PLACE_OF_HOME.get(drawing.home, (drawing.home,))[0]
    return {"palm": "beach", "flower": "garden"}.get(name, _PLACE_OF_HOME[drawing.home][0])
