"""Captions of the demo model's world, and wordings that training never sees.

Held out are whole sentence forms, filler phrases, and pairs of a thing's name and a place's
wording (such as "kitten" with "on the ocean"). A word of its own is never held out: the text
encoder is trained from nothing and cannot know a word that it has not met.
"""

import re
import zlib
from collections.abc import Sequence

import numpy as np

from pipelines.prompting.cameras import CAMERAS
from pipelines.training.additions import addition
from pipelines.training.places import PAINTED, PLAIN
from pipelines.training.things import BY_NAME, THINGS
from pipelines.training.words import FILLERS, HELD_OUT_FILLERS, WORDS, babble, sample
from pipelines.training.world import COLOURS, SHAPES, WAYS, Scene

PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "sea": (
        "on the sea",
        "over the sea",
        "at sea",
        "on the ocean",
        "above the blue sea",
        "across the water",
    ),
    "sea at night": (
        "on the sea at night",
        "over the sea at night",
        "on the dark sea under the moon",
        "on the ocean at night",
        "at sea by night",
        "across the water at night",
    ),
    "snow": (
        "in the snow",
        "over the snow",
        "across a snowy field",
        "in a snowy landscape",
        "in a white winter landscape",
        "through the snow",
    ),
    "desert": (
        "in the desert",
        "over the desert",
        "over sand dunes",
        "across the sandy desert",
        "in the hot desert",
        "through the desert",
    ),
    "night city": (
        "in a city at night",
        "over the night city",
        "in the night city",
        "past skyscrapers at night",
        "in front of a city skyline at night",
        "through the city at night",
    ),
    "meadow": (
        "in a meadow",
        "over a green meadow",
        "on the grass",
        "across a meadow with flowers",
        "in the meadow",
        "through the grass",
    ),
    "sky": (
        "in the sky",
        "in a blue sky",
        "among the clouds",
        "across the cloudy sky",
        "high in the sky",
        "through the clouds",
    ),
    "space": (
        "in space",
        "in outer space",
        "among the stars",
        "across the starry space",
        "through space",
    ),
}
PLAIN_FORMS = (
    "over a {} background",
    "on a {} background",
    "against a {} backdrop",
    "in front of a {} wall",
    "across a plain {} background",
)
VERBS = (
    *(("moves", "moving"), ("glides", "gliding"), ("slides", "sliding"), ("drifts", "drifting")),
    *(("travels", "travelling"), ("flies", "flying"), ("floats", "floating"), ("goes", "going")),
)
DEEDS: dict[str, tuple[tuple[str, str], ...]] = {
    "grow": (
        ("grows", "growing"),
        ("grows larger", "growing larger"),
        ("gets bigger", "getting bigger"),
        ("comes closer", "coming closer"),
        ("comes towards the camera", "coming towards the camera"),
    ),
    "shrink": (
        ("shrinks", "shrinking"),
        ("gets smaller", "getting smaller"),
        ("becomes smaller and smaller", "becoming smaller and smaller"),
        ("disappears in the distance", "disappearing in the distance"),
        ("moves away from the camera", "moving away from the camera"),
    ),
    "bob": (
        ("bobs up and down", "bobbing up and down"),
        ("bounces up and down", "bouncing up and down"),
        ("hovers and bobs", "hovering and bobbing"),
        ("hops up and down", "hopping up and down"),
        ("rocks up and down", "rocking up and down"),
    ),
    "pan right": (
        ("stays in view as the camera pans right", "seen as the camera pans right"),
        ("is followed by the camera to the right", "followed by the camera to the right"),
        ("stays in the picture, camera pan to the right", "camera panning to the right"),
    ),
    "pan left": (
        ("stays in view as the camera pans left", "seen as the camera pans left"),
        ("is followed by the camera to the left", "followed by the camera to the left"),
        ("stays in the picture, camera pan to the left", "camera panning to the left"),
    ),
}
"""Of what is no way across the frame: finite form and participle."""

TEMPLATES = (
    "a {s} {does} {w}",
    "the {s} {does} {w}",
    "{w}, a {s} {does}",
    "{w} a {s} {does}",
    "a {s} {w}, {doing}",
    "{s} {doing} {w}",
    "a {s} is {doing} {w}",
    "one {s}, {doing}, {w}",
    "a picture of a {s} {doing} {w}",
    "{w}, {s} {doing}",
)
HELD_OUT_TEMPLATES = (
    "see how a {s} {does} {w}",
    "a single {s}, {w}, is steadily {doing}",
    "{w} one can watch the {s}: it {does}",
    "all alone {w}, a {s} keeps {doing}",
)
PARTIAL = (
    ("a {s}", "s"),
    ("a {s} {w}", "sw"),
    ("{w}, a {s}", "sw"),
    ("a {s} {does}", "sd"),
    ("something is {doing} {w}", "dw"),
    ("nothing but the view {w}", "w"),
)
_DISTRACTORS = (
    "with a touch of {other} light",
    "the wind blows {way}",
    "dust drifts {way} in the light",
    "and it looks like a {thing}",
    "music for a {thing}",
    "its shadow is {other}",
)
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


def is_held_out(thing_word: str, place_words: str) -> bool:
    """One pair in seven is kept from training; the first names with the first wording never are."""
    usual = thing_word in _USUAL and place_words in _USUAL
    return not usual and zlib.crc32(f"{thing_word} {place_words}".encode()) % 7 == 0


def _wordings(place: str) -> tuple[str, ...]:
    if place in PLACE_WORDS:
        return PLACE_WORDS[place]
    return tuple(form.format(word) for word in WORDS[place] for form in PLAIN_FORMS)


_USUAL = frozenset(
    [
        *(thing.names[0] for thing in THINGS),
        *SHAPES,
        *(PLACE_WORDS[place][0] for place in PAINTED),
        *(PLAIN_FORMS[0].format(place) for place in PLAIN),
    ]
)


def names_of(thing: str) -> tuple[str, ...]:
    """The words for a thing or a shape; the first is the usual one."""
    return BY_NAME[thing].names if thing in BY_NAME else WORDS[thing]


def training_caption(scene: Scene, rng: np.random.Generator) -> tuple[str, Scene]:
    """A caption and what it says of `scene`; an attribute that it leaves out reads ""."""
    if rng.random() < 0.12:
        template, said = PARTIAL[int(rng.integers(len(PARTIAL)))]
    else:
        template, said = TEMPLATES[int(rng.integers(len(TEMPLATES)))], "sdw"
    while True:
        words = _choose_words(scene, rng)
        if not is_held_out(words["name"], words["w"]):
            break
    text = template.format(**words)
    if rng.random() < 0.5:
        text = f"{text}, {_filler(scene, rng, whole=said == 'sdw')}"
    named = Scene(
        thing=scene.thing if "s" in said else "",
        colour=scene.colour if "s" in said else "",
        movement=scene.movement if "d" in said else "",
        background=scene.background if "w" in said else "",
    )
    return _dressed(text, rng), named


def fresh_caption(scene: Scene, rng: np.random.Generator, *, held_out: bool) -> str:
    """A whole caption for the scorecard; with `held_out`, in wording that training never saw."""
    while True:
        words = _choose_words(scene, rng)
        if is_held_out(words["name"], words["w"]) == (held_out and rng.random() < 0.5):
            break
    text = sample(HELD_OUT_TEMPLATES if held_out else TEMPLATES, rng).format(**words)
    if rng.random() < 0.5:
        text = f"{text}, {sample(HELD_OUT_FILLERS if held_out else FILLERS, rng)}"
    return _articled(text)


def _choose_words(scene: Scene, rng: np.random.Generator) -> dict[str, str]:
    name = _often_first(names_of(scene.thing), rng)
    colour = f"{_often_first(WORDS[scene.colour], rng)} " if scene.colour else ""
    if scene.movement in WAYS:
        finite, participle = VERBS[int(rng.integers(len(VERBS)))]
        way = _often_first(WORDS[scene.movement], rng)
        does, doing = f"{finite} {way}", f"{participle} {way}"
    else:
        deeds = DEEDS[scene.movement]
        does, doing = deeds[int(rng.integers(len(deeds)))]
    place = _often_first(_wordings(scene.background), rng)
    return {"s": colour + name, "name": name, "does": does, "doing": doing, "w": place}


def _often_first(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[0] if rng.random() < 0.4 else sample(words, rng)


def _filler(scene: Scene, rng: np.random.Generator, *, whole: bool) -> str:
    """A phrase that must not change the picture. An addition may name a place, a colour or a way,
    so only a caption that has named thing, movement and place (`whole`) gets one."""
    if whole and rng.random() < 0.45:
        return _addition(rng)
    kind = rng.random()
    if kind < 0.5:
        return sample(FILLERS, rng)
    if kind < 0.8:
        return babble(rng)
    return sample(_DISTRACTORS, rng).format(
        other=sample([name for name in COLOURS if name != scene.colour], rng),
        way=sample(tuple(WAYS), rng),
        thing=sample([*SHAPES, *(thing.names[0] for thing in THINGS)], rng),
    )


def _addition(rng: np.random.Generator) -> str:
    """One without the wording of a place, which could be held out beside the caption's thing."""
    while True:
        text = addition(rng)
        if not any(words in text for wordings in PLACE_WORDS.values() for words in wordings):
            return text


def _dressed(text: str, rng: np.random.Generator) -> str:
    """With a camera before it, a full stop, a capital: as the enhancer hands it over."""
    if rng.random() < 0.8:
        text = _articled(text)
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.3:
        text = f"{sample(CAMERAS, rng)}: {text}"
    if rng.random() < 0.3:
        text += "."
    return text


def _articled(text: str) -> str:
    return _ARTICLE.sub(r"\1n ", text)
