"""Captions of the demo model's world, and wordings that its training never sees.

Held out are whole sentence forms, filler phrases, and pairs of colour word and shape word
(such as "crimson ball"): a prompt worded that way shows whether meaning was learned.
"""

import re
import zlib
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from pipelines.prompting.cameras import CAMERAS
from pipelines.training.world import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, Scene

WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "ball", "disc", "sphere"),
    "square": ("square", "box", "block", "cube"),
    "triangle": ("triangle", "pyramid", "wedge", "cone"),
    "red": ("red", "crimson", "scarlet"),
    "green": ("green", "emerald", "lime green"),
    "blue": ("blue", "azure", "bright blue"),
    "yellow": ("yellow", "lemon yellow", "golden"),
    "purple": ("purple", "violet", "magenta"),
    "orange": ("orange", "amber", "bright orange"),
    "white": ("white", "snow-white", "pale white"),
    "right": ("right", "to the right", "rightwards", "from left to right", "towards the right"),
    "left": ("left", "to the left", "leftwards", "from right to left", "towards the left"),
    "up": ("up", "upwards", "to the top", "from the bottom to the top", "towards the top"),
    "down": ("down", "downwards", "to the bottom", "from the top to the bottom", "to the ground"),
    "black": ("black", "pitch-black", "jet-black"),
    "grey": ("grey", "gray", "concrete grey"),
    "dark blue": ("dark blue", "navy", "navy blue", "midnight blue"),
    "dark green": ("dark green", "forest green", "moss green"),
    "brown": ("brown", "earth-brown", "chocolate brown"),
}
"""The words for each attribute; the first is the plain one."""
_PLAIN = frozenset(words[0] for words in WORDS.values())

_MOVES = ("moves", "glides", "slides", "drifts", "travels", "flies", "floats", "rolls", "goes")
_MOVING = ("moving", "gliding", "sliding", "drifting", "travelling", "flying", "floating")

TEMPLATES = (
    "a {c} {s} {moves} {d} over a {b} background",
    "a {c} {s} {moves} {d} across a {b} background",
    "{c} {s} {moving} {d}, {b} background",
    "on a {b} background a {c} {s} {moves} {d}",
    "against a {b} backdrop, a {c} {s} {moves} slowly {d}",
    "{b} background, {c} {s} {moving} {d}",
    "a {s} painted {c} {moves} {d} in front of a {b} wall",
    "the {c} {s} is {moving} {d} on {b}",
    "a {b} scene where a {c} {s} {moves} {d}",
    "one {c} {s}, {moving} {d}, over {b}",
)
HELD_OUT_TEMPLATES = (
    "see how a {c} {s} {moves} {d} while all behind it is {b}",
    "a single {c} {s} is {moving} steadily {d}, set on a {b} backdrop",
    "in front of a {b} background the {c} {s} {moves} {d}",
    "a {c} {s} keeps {moving} {d} over a {b} floor",
)
_PARTIAL = (
    ("a {c} {s} {moves} {d}", "csd"),
    ("a {c} {s}", "cs"),
    ("a {s} {moves} {d} over a {b} background", "sdb"),
    ("a {c} {s} on a {b} background", "csb"),
    ("something {c} {moves} {d}", "cd"),
    ("a {b} background", "b"),
    ("a {s} {moves} {d}", "sd"),
)
FILLERS = (
    "the light is soft",
    "the camera follows it slowly",
    "cinematic, 35 mm film",
    "high quality",
    "a calm and quiet scene",
    "sharp focus, fine detail",
    "the air is still",
    "shallow depth of field",
    "the edges are clean and even",
    "it is early in the morning",
    "smooth motion",
    "with a gentle glow",
    "a minimal picture",
    "the surface is smooth and shiny",
    "the picture is bright and clear",
    "with soft shadows around it",
    "seen from far away",
    "the movement is slow and steady",
    "no people, no text",
    "as in a children's book",
)
HELD_OUT_FILLERS = (
    "filmed with a long lens",
    "an almost dreamlike mood",
    "the whole frame feels peaceful",
    "with the patience of a clock",
    "nothing else happens",
)
_DISTRACTORS = (
    "with a touch of {other} light",
    "and a faint {other} shine on its edge",
    "the shadows are {other}",
    "leaves fall {way} somewhere far off",
    "the wind blows {way}",
    "dust drifts {way} in the light",
    "the sky above is {other}",
    "and its shadow is a {thing}",
)
_COMMON = (files("pipelines.training") / "common_words.txt").read_text("utf-8").split()
_VALUES = {
    "background": tuple(BACKGROUNDS),  # before the colours: `dark blue` is no blue shape
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "direction": tuple(DIRECTIONS),
}
_SENTENCES = " ".join((*TEMPLATES, *HELD_OUT_TEMPLATES, *(text for text, _ in _PARTIAL)))
_AROUND = {"an", "the", "to", *_MOVES, *_MOVING} | set(
    re.findall(r"\w+", re.sub(r"{\w+}", " ", _SENTENCES))
)
"""Words of the captions that say nothing about the scene."""
_ARTICLE = re.compile(r"\ba (?=[aeiou])")
_VOWELS, _CONSONANTS = "aeiou", "bcdfghklmnprstvw"


def is_held_out(colour_word: str, shape_word: str) -> bool:
    """One pair in seven is kept from training; the plain words never are."""
    plain = {colour_word, shape_word} <= _PLAIN
    return not plain and zlib.crc32(f"{colour_word} {shape_word}".encode()) % 7 == 0


def training_caption(scene: Scene, rng: np.random.Generator) -> tuple[str, Scene]:
    """A caption and what it says of `scene`; an attribute that it leaves out reads ""."""
    if rng.random() < 0.12:
        template, said = _PARTIAL[rng.integers(len(_PARTIAL))]
    else:
        template, said = TEMPLATES[rng.integers(len(TEMPLATES))], "csdb"
    while True:
        words = _choose_words(scene, rng)
        if not is_held_out(words["c"], words["s"]):
            break
    text = template.format(**words)
    if rng.random() < 0.55:
        text = _with_filler(text, scene, rng)
    named = Scene(
        shape=scene.shape if "s" in said else "",
        colour=scene.colour if "c" in said else "",
        direction=scene.direction if "d" in said else "",
        background=scene.background if "b" in said else "",
    )
    return _dressed(text, rng), named


def fresh_caption(scene: Scene, rng: np.random.Generator, *, held_out: bool) -> str:
    """A whole caption for the scorecard; with `held_out`, in wording that training never saw."""
    templates = HELD_OUT_TEMPLATES if held_out else TEMPLATES
    while True:
        words = _choose_words(scene, rng)
        if is_held_out(words["c"], words["s"]) == (held_out and rng.random() < 0.5):
            break
    text = _sample(templates, rng).format(**words)
    fillers = HELD_OUT_FILLERS if held_out else FILLERS
    if rng.random() < 0.5:
        text = f"{text}, {_sample(fillers, rng)}"
    return _ARTICLE.sub("an ", text)


def scene_in(caption: str) -> Scene | None:
    """What a caption of this world says; an attribute that it leaves out reads "".

    None for a text of another world: one that has any word which the captions do not have, names
    two values of one attribute, or says nothing that moves or stands before a background.
    """
    text = f" {caption.casefold()} "
    for phrase in (*FILLERS, *HELD_OUT_FILLERS):
        text = text.replace(f" {phrase}", " ")
    found: dict[str, str] = {}
    for attribute, values in _VALUES.items():
        phrases = sorted(
            ((words, value) for value in values for words in WORDS[value]),
            key=lambda item: -len(item[0]),  # `from right to left` before `right`
        )
        named = set()
        for words, value in phrases:
            text, times = re.subn(rf"\b{re.escape(words)}\b", " ", text)
            named |= {value} if times else set()
        if len(named) > 1:
            return None
        found[attribute] = named.pop() if named else ""
    scene = Scene(**found)
    is_ours = (scene.shape or scene.colour) and (scene.direction or scene.background)
    return scene if is_ours and set(re.findall(r"\w+", text)) <= _AROUND else None


def _choose_words(scene: Scene, rng: np.random.Generator) -> dict[str, str]:
    def pick(value: str) -> str:
        words = WORDS[value]
        return words[0] if rng.random() < 0.4 else str(rng.choice(words))

    return {
        "s": pick(scene.shape),
        "c": pick(scene.colour),
        "d": pick(scene.direction),
        "b": pick(scene.background),
        "moves": str(rng.choice(_MOVES)),
        "moving": str(rng.choice(_MOVING)),
    }


def _with_filler(text: str, scene: Scene, rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.5:
        return f"{text}, {_sample(FILLERS, rng)}"
    if kind < 0.8:
        return f"{text}, {babble(rng)}"
    others = [
        name
        for name in ("red", "green", "blue", "yellow", "purple", "orange", "white")
        if name != scene.colour
    ]
    phrase = _sample(_DISTRACTORS, rng).format(
        other=rng.choice(others),
        way=rng.choice(("left", "right", "up", "down")),
        thing=rng.choice(("circle", "square", "triangle")),
    )
    return f"{text}, {phrase}"


def _dressed(text: str, rng: np.random.Generator) -> str:
    """With a camera before it, a full stop, a capital: as the enhancer hands it over."""
    if rng.random() < 0.7:
        text = _ARTICLE.sub("an ", text)
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.35:
        text = f"{_sample(CAMERAS, rng)}: {text}"
    if rng.random() < 0.3:
        text += "."
    return text


def _sample(items: Sequence[str], rng: np.random.Generator) -> str:
    return items[int(rng.integers(len(items)))]


def babble(rng: np.random.Generator) -> str:
    """Common words in no order, and some that nobody knows: neither may change the picture."""
    return " ".join(
        _sample(_COMMON, rng) if rng.random() < 0.7 else _nonsense(rng)
        for _ in range(rng.integers(2, 16))
    )


def _nonsense(rng: np.random.Generator) -> str:
    syllables = rng.integers(1, 4)
    return "".join(
        _CONSONANTS[rng.integers(len(_CONSONANTS))] + _VOWELS[rng.integers(len(_VOWELS))]
        for _ in range(syllables)
    ) + ("" if rng.random() < 0.5 else _CONSONANTS[rng.integers(len(_CONSONANTS))])
