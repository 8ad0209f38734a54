"""Words for shapes, colours, ways and plain backgrounds, and words that change no picture."""

from collections.abc import Sequence
from importlib.resources import files

import numpy as np

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
_COMMON = (files("pipelines.training") / "common_words.txt").read_text("utf-8").split()
_VOWELS, _CONSONANTS = "aeiou", "bcdfghklmnprstvw"


def sample(items: Sequence[str], rng: np.random.Generator) -> str:
    """One of them."""
    return items[int(rng.integers(len(items)))]


def babble(rng: np.random.Generator) -> str:
    """Common words in no order, and some that nobody knows: neither may change the picture."""
    return " ".join(
        sample(_COMMON, rng) if rng.random() < 0.7 else _nonsense(rng)
        for _ in range(rng.integers(2, 16))
    )


def _nonsense(rng: np.random.Generator) -> str:
    syllables = rng.integers(1, 4)
    return "".join(
        _CONSONANTS[rng.integers(len(_CONSONANTS))] + _VOWELS[rng.integers(len(_VOWELS))]
        for _ in range(syllables)
    ) + ("" if rng.random() < 0.5 else _CONSONANTS[rng.integers(len(_CONSONANTS))])
