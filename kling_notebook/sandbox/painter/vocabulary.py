"""The words the painter knows: one table from word to change of the scene, and the reading of a prompt with it.

A row is (kind, value, words). The first word is the row's own name, the others are synonyms; an underscore joins the
words of a phrase. Plurals are found by rule. What is not in the table is an unknown word: it names nothing, but it
moves the layout, and a prompt made of unknown words alone becomes an abstract picture.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .catalog import index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = Literal[
    "place",
    "time",
    "sky",
    "weather",
    "season",
    "subject",
    "style",
    "colour",
    "count",
    "size",
    "view",
    "mood",
    "break",
    "other",
]


@dataclass(frozen=True, slots=True)
class Word:
    """One row of the table. `value` is what the scene is told, `phrases` how people write it."""

    kind: Kind
    value: str
    phrases: tuple[str, ...]


_ROWS: Mapping[Kind, Mapping[str, str]] = {
    "place": {
        "mountain": "mountain peak summit alps alpine mountainside himalaya",
        "hills": "hill rolling_hills hillside valley countryside tuscany highlands",
        "forest": "forest woods woodland pine_forest taiga",
        "jungle": "jungle rainforest",
        "desert": "desert dune sahara sand_dunes oasis",
        "sea": "sea ocean wave harbour harbor",
        "lake": "lake pond lagoon loch lakeside",
        "river": "river stream creek brook river_bank riverbank",
        "waterfall": "waterfall cascade cataract",
        "beach": "beach shore coast seaside coastline",
        "island": "island isle atoll",
        "city": "city skyline metropolis town downtown skyscraper cityscape urban new_york tokyo hong_kong shanghai",
        "street": "street alley avenue boulevard pavement sidewalk",
        "village": "village hamlet fishing_village settlement",
        "field": "field meadow grassland prairie savanna savannah pasture farmland wheat_field lawn grass park",
        "garden": "garden flower_field lavender_field tulip_field",
        "canyon": "canyon mesa badlands gorge grand_canyon monument_valley",
        "cliff": "cliff sea_cliff bluff precipice fjord",
        "volcano": "volcano lava eruption erupting_volcano",
        "glacier": "glacier iceberg ice_floe antarctica",
        "snow": "snow snowy arctic icy frozen tundra snow_covered",
        "space": "space outer_space cosmos galaxy nebula universe deep_space",
        "underwater": "underwater coral_reef reef seabed under_the_sea",
        "road": "road path trail highway lane",
        "lunar": "on_the_moon moonscape lunar lunar_surface moon_surface",
        "branch": "branch twig perch",
        "room": "room table tabletop desk still_life windowsill wooden_table kitchen_table dining_table on_a_plate",
        "interior": "interior indoors living_room cafe restaurant hotel_room classroom lounge",
        "bedroom": "bedroom",
        "kitchen": "kitchen",
        "bathroom": "bathroom",
        "office": "office",
        "studio": "studio studio_lighting white_background plain_background backdrop product_shot product_photo",
        "landscape": "landscape scenery vista panorama nature view",
    },
    "time": {
        "dawn": "dawn sunrise daybreak first_light early_morning",
        "morning": "morning forenoon",
        "noon": "noon midday broad_daylight daylight daytime",
        "golden": "golden_hour golden_light late_afternoon magic_hour afternoon evening_light",
        "sunset": "sunset sundown evening setting_sun",
        "dusk": "dusk twilight gloaming nightfall",
        "blue": "blue_hour",
        "night": "night midnight nighttime moonlight moonlit nocturnal",
    },
    "sky": {
        "sun": "sun sunny sunshine sunlight sunlit",
        "moon": "moon full_moon",
        "crescent": "crescent crescent_moon half_moon new_moon",
        "eclipse": "eclipse solar_eclipse",
        "stars": "star starry starlight starry_sky starry_night constellation",
        "milkyway": "milky_way",
        "meteor": "meteor comet shooting_star meteor_shower",
        "planet": "planet saturn jupiter ringed_planet",
        "clouds": "cloud cloudy cloudscape",
        "overcast": "overcast grey_sky gray_sky",
        "clear": "clear_sky cloudless clear",
        "aurora": "aurora northern_lights aurora_borealis polar_lights",
        "rainbow": "rainbow",
        "sky": "sky heavens",
    },
    "weather": {
        "fog": "fog mist foggy misty haze hazy",
        "storm": "storm thunderstorm stormy thunder lightning tempest",
        "rain": "rain rainy drizzle raining downpour",
        "snowfall": "snowfall snowing blizzard snowstorm snowflake",
        "wind": "wind windy breeze falling_leaves petal",
    },
    "season": {
        "spring": "spring springtime cherry_blossom blossom sakura",
        "summer": "summer summertime",
        "autumn": "autumn fall autumnal fall_colors fall_foliage",
        "winter": "winter wintry wintertime",
    },
    "subject": {
        "tree": "tree oak maple lone_tree",
        "pine": "pine fir spruce conifer pine_tree christmas_tree",
        "palm": "palm palm_tree coconut_tree tropical tropics",
        "cactus": "cactus saguaro cacti",
        "flower": "flower tulip daisy poppy wildflower",
        "sunflower": "sunflower",
        "rose": "rose",
        "lavender": "lavender",
        "mushroom": "mushroom toadstool",
        "rock": "rock stone boulder",
        "house": "house cottage home farmhouse barn",
        "cabin": "cabin hut shack lodge",
        "castle": "castle fortress palace",
        "tower": "tower ruin watchtower",
        "lighthouse": "lighthouse beacon",
        "windmill": "windmill mill",
        "temple": "temple pagoda shrine",
        "church": "church chapel cathedral",
        "torii": "torii gate",
        "tent": "tent camp camping yurt",
        "campfire": "campfire fire bonfire",
        "lantern": "lantern paper_lantern sky_lantern lamp",
        "bridge": "bridge viaduct",
        "boat": "boat rowboat rowing_boat gondola",
        "sailboat": "sailboat sailing_boat yacht sail",
        "ship": "ship galleon vessel pirate_ship",
        "balloon": "balloon hot_air_balloon airship",
        "rocket": "rocket spaceship spacecraft starship",
        "ufo": "ufo flying_saucer alien",
        "bird": "bird seagull gull swallow crow raven sparrow robin",
        "owl": "owl",
        "snowyowl": "snowy_owl white_owl",
        "swan": "swan",
        "heron": "heron crane stork egret",
        "flamingo": "flamingo",
        "penguin": "penguin",
        "fox": "fox vixen",
        "wolf": "wolf coyote",
        "dog": "dog puppy hound",
        "cat": "cat kitten kitty",
        "deer": "deer stag elk doe reindeer",
        "horse": "horse stallion mare pony",
        "unicorn": "unicorn",
        "bear": "bear grizzly",
        "polarbear": "polar_bear white_bear",
        "lion": "lion lioness",
        "tiger": "tiger",
        "rabbit": "rabbit hare bunny",
        "whale": "whale humpback",
        "dolphin": "dolphin",
        "fish": "fish koi goldfish salmon trout",
        "dragon": "dragon wyvern",
        "person": "person man figure hiker traveller traveler boy child people wanderer samurai wizard king knight guy "
        "businessman worker doctor chef teacher farmer soldier sailor pirate grandfather father son student fisherman "
        "kid human monk scientist artist musician singer prince cowboy toddler baby gentleman waiter police_officer",
        "woman": "woman girl lady queen princess dancer businesswoman grandmother mother daughter bride nurse actress "
        "witch",
        "astronaut": "astronaut cosmonaut spaceman",
        "robot": "robot android mech",
        "umbrella": "under_an_umbrella with_an_umbrella holding_an_umbrella",
        "fruit": "fruit bowl_of_fruit fruit_bowl",
        "cup": "cup coffee mug tea cup_of_coffee cup_of_tea coffee_cup teacup coffee_shop cafe_logo",
    },
    "style": {
        "watercolour": "watercolour watercolor aquarelle gouache water_colour water_color",
        "ink": "ink pen_and_ink engraving etching ink_drawing line_art lineart linocut",
        "sumi": "sumi_e ink_wash sumi calligraphy",
        "pencil": "pencil sketch pencil_drawing graphite drawing",
        "charcoal": "charcoal",
        "oil": "oil oil_painting impasto painting acrylic",
        "impressionist": "impressionist impressionism monet pointillism pointillist van_gogh",
        "neon": "neon cyberpunk neon_lights glowing",
        "synthwave": "synthwave vaporwave retrowave outrun",
        "pixel": "pixel_art pixel pixelated 8_bit 8bit 16_bit",
        "mono": "black_and_white monochrome grayscale greyscale b_w bw noir",
        "sepia": "sepia vintage antique daguerreotype retro",
        "film": "cinematic film analog film_still movie_still",
        "photo": "photo photograph photorealistic photography 35mm dslr realistic photo_realistic",
        "blueprint": "blueprint technical_drawing schematic cyanotype",
        "woodblock": "woodblock ukiyo_e woodcut hokusai japanese_print",
        "poster": "poster flat minimalist minimal vector flat_design screenprint",
        "comic": "comic pop_art halftone comic_book manga",
        "glass": "stained_glass",
        "mosaic": "mosaic tiles tessellation",
        "lowpoly": "low_poly polygonal origami geometric",
        "papercut": "paper_cut papercut paper_art cut_paper layered_paper",
        "pastel": "pastel chalk",
        "glitch": "glitch vhs datamosh glitch_art",
        "stitch": "cross_stitch embroidery knitted tapestry",
        "abstract": "abstract nonrepresentational kandinsky",
    },
    "colour": {
        "red": "red crimson scarlet vermilion ruby",
        "orange": "orange amber copper",
        "yellow": "yellow",
        "gold": "gold golden gilded",
        "green": "green emerald jade",
        "olive": "olive moss khaki",
        "teal": "teal turquoise cyan aqua",
        "blue": "blue azure cobalt sapphire navy",
        "purple": "purple violet lilac indigo",
        "pink": "pink magenta fuchsia rose_coloured coral_pink",
        "brown": "brown chestnut umber chocolate",
        "white": "white ivory pale",
        "black": "black ebony jet_black obsidian",
        "grey": "grey gray silver",
    },
    "count": {
        "1": "one single lone lonely solitary",
        "2": "two pair couple",
        "3": "three trio",
        "4": "four",
        "5": "five several group",
        "7": "many flock herd swarm crowd",
    },
    "size": {
        "big": "giant huge big large enormous colossal",
        "close": "portrait close_up closeup headshot selfie",
        "small": "tiny small little distant miniature far_away",
    },
    "view": {
        "top": "top_view flat_lay from_above overhead top_down overhead_view bird_s_eye_view birds_eye_view",
        "logo": "logo logotype emblem badge sticker icon app_icon brand_mark",
        "neonsign": "neon_sign neon_lettering",
        "sign": "sign signboard signpost street_sign road_sign shop_sign wooden_sign billboard placard lettering",
        "title": "movie_poster film_poster concert_poster travel_poster book_cover album_cover magazine_cover flyer",
    },
    "mood": {
        "warm": "warm cosy cozy",
        "cold": "cold chilly cool",
        "dark": "dark gloomy shadowy low_key",
        "bright": "bright luminous high_key airy",
        "vivid": "vivid vibrant colourful colorful saturated",
        "muted": "muted faded desaturated subdued",
        "dramatic": "dramatic moody epic",
        "dreamy": "dreamy soft ethereal dreamlike",
    },
}

TABLE: tuple[Word, ...] = tuple(
    Word(kind, value, tuple(phrase.replace("_", " ") for phrase in words.split()))
    for kind, rows in _ROWS.items()
    for value, words in rows.items()
)

SET: tuple[Word, ...] = tuple(Word("subject", name, drawing.words) for name, drawing in index().items())
"""The words for drawings of the published set."""
_INDEX: Mapping[str, Word] = {phrase: word for table in (SET, TABLE) for word in table for phrase in word.phrases}
_LONGEST = max(phrase.count(" ") + 1 for phrase in _INDEX)
_IRREGULAR = {"people": "person", "men": "man", "women": "woman", "children": "child", "geese": "goose"}
_SILENT_WORDS = """
a an the of in on at by with and or to from over under above below near beside into is are its his her their this
that some very as for along through across between against behind front it
"""
_FILLER_WORDS = """
image picture illustration artwork art
style beautiful pretty nice lovely stunning gorgeous amazing detailed highly hyper ultra quality high resolution hd 4k
8k best masterpiece professional award winning trending artstation realistic render rendering 3d octane unreal engine
background foreground sharp focus depth field bokeh shot shallow wide angle lens camera lighting light lights lit soft
natural simple clean modern classic fresh delicious tasty old new young elderly aged middle cute adorable funny happy
smiling sad angry calm quiet peaceful serene restless tranquil busy empty full standing sitting lying walking running
looking holding wearing dressed flying playing sleeping resting floating growing eating drinking riding driving reading
up down left right top bottom side center centre middle inside outside around out off next there here these those you
me my your our we i he she they them who what which while during after before just only also too so more most much
made making make create generate draw drawing add adding turn change convert
paint give show showing depicting featuring displayed placed set word
words text says saying reading written labeled labelled called named hand drawn inspired scene set
view perfect
wooden leather glass metal metallic plastic silk cotton steel ceramic marble stone paper close macro extreme shiny
glossy matte smooth rough wet dry hot iced sliced ripe grilled baked fried served elegant luxury luxurious fancy
minimalistic stylish traditional japanese chinese italian french german english american european asian african indian
colored coloured color colour tone toned palette pattern design concept product mockup isolated
"""
_SILENT = frozenset(_SILENT_WORDS.split())
_FILLERS = frozenset(_FILLER_WORDS.split())
"""Words that name nothing to be drawn; they move the layout, and that they are not drawn need not be said."""
_PHRASES = frozenset(
    ("hand drawn", "hand painted", "hand made", "hand held", "eye level", "eye view", "brush stroke", "brush strokes",
     "school of fish", "school of", "ring light", "on top of", "in the middle of", "light trails", "leg room")
)  # fmt: skip
"""Phrases whose words mean something else than they do alone: they are skipped."""
_STOPS = frozenset(",")
_NOT = frozenset(("no", "without", "not", "minus"))
LETTERS = 12_000
"""Letters of a prompt that are read. The rest is ignored, so that no prompt takes long."""
WORDS = 600
BREAK = Word("break", "", ())
"""A comma or full stop: what stands before it does not describe what comes after."""
SEVERAL = Word("count", "3", ())
"""What a plural without a number means."""
OTHER = Word("other", "", ())
"""An unknown word, where a colour before it may have been meant for it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt, read: known words in order, those it denies ("no moon"), and the words that mean nothing here.

    `undrawn` are those of the unknown words that may name something. `quoted` are the words in quotation marks.
    """

    known: tuple[Word, ...]
    denied: frozenset[tuple[Kind, str]]
    unknown: tuple[str, ...]
    undrawn: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()


def read(text: str) -> Reading:
    """Find the table's words in `text`, the longest phrase first. Never fails, whatever the text holds."""
    rest, quoted = _quotes(text[:LETTERS])
    tokens = _tokens(rest)
    known: list[Word] = []
    denied: set[tuple[Kind, str]] = set()
    unknown: list[str] = []
    undrawn: list[str] = []
    at, negated = 0, False
    while at < len(tokens):
        word, length, plural = _longest(tokens, at)
        token = tokens[at]
        at += length
        if word is not None:
            if negated:
                denied.add((word.kind, word.value))
            else:
                if plural and word.kind == "subject" and not _counted(known):
                    known.append(SEVERAL)
                known.append(word)
            negated = False
        elif length > 1:
            continue
        elif token in _STOPS:
            known.append(BREAK)
            negated = False
        elif token in _NOT:
            negated = True
        elif token not in _SILENT:
            if token != "any":  # noqa: S105 - an English word
                negated = False
            unknown.append(token[:40])
            if token not in _FILLERS and not _verb(token):
                undrawn.append(token[:40])
            known.append(OTHER)
    return Reading(tuple(known), frozenset(denied), tuple(unknown), tuple(dict.fromkeys(undrawn)), quoted)


def _verb(token: str) -> bool:
    """Whether a word looks like a verb, an adverb, a number or a single letter."""
    return len(token) < 2 or token.isdigit() or token.endswith(("ing", "ly", "ed"))


_QUOTED = re.compile(
    '["\u201c\u201e\u00ab]([^"\u201c\u201d\u201e\u00bb]{1,80})["\u201d\u201c\u00bb]'
    "|(?<!\\w)['\u2018]([^'\u2019]{1,80})['\u2019](?!\\w)"
)


def _quotes(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without what stands in quotation marks, and that."""
    found = tuple(" ".join((a or b).split()) for a, b in _QUOTED.findall(text))
    return _QUOTED.sub(" , ", text), tuple(part for part in found if part)[:3]


def _counted(before: list[Word]) -> bool:
    """Whether a number stands before the noun, colours and sizes between them or not."""
    for word in reversed(before):
        if word.kind == "count":
            return True
        if word.kind not in {"size", "colour", "mood"}:
            return False
    return False


def _longest(tokens: list[str], at: int) -> tuple[Word | None, int, bool]:
    """The word at this place, how many tokens it takes, and whether it stood in the plural."""
    for length in range(min(_LONGEST, len(tokens) - at), 0, -1):
        head = tokens[at : at + length - 1]
        if length > 1 and " ".join(tokens[at : at + length]) in _PHRASES:
            return None, length, False
        for last in _singulars(tokens[at + length - 1]):
            word = _INDEX.get(" ".join((*head, last)))
            if word is not None:
                return word, length, last != tokens[at + length - 1]
    return None, 1, False


def _singulars(token: str) -> Iterator[str]:
    """The token, then what it may be the plural of."""
    yield token
    if token in _IRREGULAR:
        yield _IRREGULAR[token]
    for ending, instead in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
        if token.endswith(ending) and len(token) > len(ending) + 1:
            yield token[: -len(ending)] + instead


def _tokens(text: str) -> list[str]:
    letters: list[str] = []
    for letter in unicodedata.normalize("NFKD", text[:LETTERS]):
        category = unicodedata.category(letter)
        if category == "So":  # emoji have names, and the names are words: FOX FACE, CRESCENT MOON
            letters.append(f" {unicodedata.name(letter, '')} ")
        elif letter in ",.;:!?()\n":
            letters.append(" , ")
        elif category[0] in "LN":
            letters.append(letter)
        elif category[0] != "M":
            letters.append(" ")
    return re.findall(r"\S+", "".join(letters).lower())[:WORDS]
