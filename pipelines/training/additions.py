"""Clauses as a language model adds them to a brief: they name colours, things and places, and must
change nothing.

The writer of the demo set goes on with "black lines on the snowy ground" or "the moon behind it".
A text encoder that had never met such clauses took the last colour for the background.
"""

import re

import numpy as np

from pipelines.training.places import PLAIN
from pipelines.training.things import THINGS
from pipelines.training.words import WORDS, sample
from pipelines.training.world import SHAPES, WAYS

FORMS = (
    "{colour} {many} on the {ground}",
    "{colour} {many} and a {colour} {thing} in the distance",
    "{plain} {many} on the {floor}",
    "{plain} {many} on the {floor} as it moves",
    "the {floor} {plain} behind it",
    "the {ground} is {colour}",
    "the {ground} being {colour} under the {sky}",
    "as the {sky} turns {colour}",
    "as the {ground} darkens and the {sky} is covered with {many}",
    "its {part} {colour} in the light",
    "its {part} made of {colour} {ground}",
    "its {colour} {part} {doing} the {ground}",
    "a {colour} light {doing} the {ground}",
    "a {colour} {sky} and lush, {colour} {ground}",
    "soft {colour} light falls through the {many}",
    "with {many} on either side of it",
    "with the {sky} behind it",
    "with a {colour} background",
    "with the {ground} and {sky} in its background",
    "the {many} {doing} the {ground}",
    "{doing} the {colour} {ground}",
    "like a {thing} in the {ground}",
    "a {thing} {doing} the {ground} in the background",
    "the {sky} in a flash of {colour} light",
    "the {ground} behind it covered in {colour} {many}",
    "as it slides {way} across the {ground}",
    "moving {way} through the {ground}",
    "in the direction of the {thing}",
    "but the {part} is covered in {colour}",
    "the {sky} shines on its {part}",
    "it looks like {many} under the {sky}",
    "a {colour} {ground}, and the sound of {many}",
)
"""Sentence forms, written after what the demo's writer added to 132 prompts. Each {slot} is filled
with one of its words."""
_SLOTS: dict[str, tuple[str, ...]] = {
    "colour": (
        *(words[0] for name, words in WORDS.items() if name not in (*SHAPES, *WAYS)),
        *("dark", "bright", "bright red", "deep blue", "snow-white", "golden", "pale", "glowing"),
    ),
    "plain": tuple(PLAIN),
    "floor": ("ground", "snowy ground", "sandy ground", "wall", "floor", "ice", "backdrop"),
    "thing": (*SHAPES, *(thing.names[0] for thing in THINGS)),
    "way": (*WAYS, "to the left", "to the right", "upwards", "downwards"),
    "sky": ("sky", "moon", "sun", "night sky", "clouds", "stars", "horizon", "sunset", "light"),
    "ground": (
        *("ground", "snowy ground", "snow", "ice", "sand", "sandy sea", "water", "sea", "ocean"),
        *("river", "grass", "meadow", "forest", "desert", "street", "road", "city", "city lights"),
        *("wall", "floor", "ceiling", "window", "roof", "house", "room", "hill", "cliff", "rock"),
        *("fog", "smoke", "rain", "wind", "air", "green", "stone", "space", "distance"),
    ),
    "many": (
        *("lines", "lights", "shadows", "waves", "clouds", "trees", "leaves", "rocks", "stars"),
        *("houses", "windows", "skyscrapers", "flowers", "dunes", "mountains", "sparks", "cars"),
    ),
    "part": (
        *("body", "fur", "head", "face", "tail", "back", "skin", "eyes", "ears", "wings", "feet"),
        *("roof", "windows", "edge", "surface", "shadow", "shape"),
    ),
    "doing": (
        *("reflecting off", "shining on", "falling on", "rolling off", "moving through"),
        *("crashing into", "drifting toward", "blending into", "dancing through", "standing on"),
        *("illuminating", "looking at", "peeking through", "glowing in front of"),
    ),
}
_SLOT = re.compile(r"{(\w+)}")


def addition(rng: np.random.Generator) -> str:
    """One clause or two, without a comma before them. Articles are not corrected ("a orange")."""
    clauses = [_clause(rng) for _ in range(1 + (rng.random() < 0.3))]
    return sample((", ", ", and "), rng).join(clauses)


def _clause(rng: np.random.Generator) -> str:
    return _SLOT.sub(lambda slot: sample(_SLOTS[slot[1]], rng), sample(FORMS, rng))
