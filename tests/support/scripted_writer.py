"""Instruct models that answer by script: one that does what it is asked, and those that do what a
model of 7 billion parameters is known to do wrong."""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.errors import EnhancerError
from pipelines.prompting.instruct import Instruction
from pipelines.prompting.llama import ShotRequest
from pipelines.prompting.texts import DIRECTIONS
from pipelines.prompting.words import attributes, content_words

VILLAGE = "A day in a fishing village"
BEATS = (
    "Dawn rises over a quiet fishing village on a rocky shore",
    "An old fisherman pushes a green boat off the beach",
    "The fisherman casts a net from the boat on open water",
    "Silver fish slide from the net into a wooden crate",
    "A market woman weighs the fish on the stone quay",
    "Evening lamps glow while the boat rests on the beach",
    "Rain falls softly on the roofs of the sleeping village",
    "A grey cat walks along the wet quay",
)
"""A film with a beginning and an end; the sixth one is its evening, the others are for a longer
version."""
SHEET = {
    "characters": [
        {
            "name": "fisherman",
            "appearance": "an old fisherman with a white beard and a yellow oilskin coat",
        },
        {"name": "boat", "appearance": "a small green wooden boat with a patched white sail"},
    ],
    "places": [
        {
            "name": "village",
            "appearance": "a fishing village of low stone houses with slate roofs",
        }
    ],
}
_ACTIONS = (
    "moves slowly from the left edge towards the middle of the picture",
    "turns round once and comes to rest in the open space",
    "rises a little above the ground in a calm upward curve",
    "grows larger as it comes nearer along a straight path",
    "sways to and fro in a light and steady wind",
    "rolls down a gentle slope until it reaches the bottom",
    "glides across the foreground in one smooth and even line",
    "stands at the far end and leans forward a little",
)
_SETTINGS = (
    "on bare rocks above a calm grey bay, thin mist over far hills, wide empty sky behind,"
    " seaweed drying along its edge",
    "beside a row of tall pines, dry needles covering soft earth, blue mountains standing at great"
    " distance, a stream crossing further down",
    "among rolling waves of deep open sea, foam drifting past, one long horizon under heavy clouds,"
    " spray hanging over it all",
    "in a narrow yard of old brick, ropes hanging from hooks, puddles shining between worn cobbles,"
    " a wooden gate half open",
    "near a broad wooden pier, barrels stacked along one side, shallow water around mossy posts,"
    " masts crowding far away",
    "upon a beach of pale sand, scattered shells and driftwood, dunes with tall grass rising far"
    " back towards an empty road",
    "under wide eaves of a barn, straw heaped in corners, a dirt road winding off through meadows"
    " and low hedges",
    "along a steep lane, shuttered windows above, iron railings, chimneys and wires high over"
    " everything, a bicycle leaning nearby",
)
_LIGHTS = (
    "soft dawn light comes from low on the left, long pale shadows on wet stone",
    "bright noon sun stands straight overhead, short and hard shadows everywhere under open sky",
    "cool overcast daylight spreads evenly from above, hardly any shadow upon dull surfaces",
    "golden late afternoon rays fall through gaps, warm edges along everything that faces west",
    "blue dusk settles around, a single warm lamp glimmers far behind in one corner",
    "silver moonlight pours from high on the right, deep quiet shadows beneath every edge",
    "hazy morning glow filters through thin cloud, gentle and diffuse contrast over all shapes",
    "flickering firelight plays from below in front, dark surroundings close in around it",
)
_PALETTES = (
    "muted blues, warm greys and a little cream near the ground",
    "deep greens, rust brown and dusty straw tones in broad patches",
    "slate, pewter and cold white foam with hints of olive",
    "brick, umber and faded ochre against small touches of black",
    "teal, tarred wood and pale linen under a milky veil",
    "sand, shell and washed denim with one spot of coral",
    "hay, chestnut and soft sage fading into mild lavender",
    "iron, chalk and dim amber around a core of soot",
)


class GoodWriter:
    """Answers every question well. `asked` has the questions in order."""

    name = "scripted@1"
    strategy = "direct"
    context = 4_096
    placement = None
    notice = ""

    def __init__(self) -> None:
        self.asked: list[Instruction] = []

    def structured(self, instruction: Instruction) -> str:
        self.asked.append(instruction)
        return json.dumps(answer_to(instruction))

    def count_tokens(self, text: str) -> int:
        return len(text)

    def kinds(self) -> list[str]:
        """What was asked, in order: `outline`, `sheet` or `shot`."""
        return [kind_of(item) for item in self.asked]


class BothWriter(GoodWriter):
    """One that can also go on with a text, as the strategy `complete` asks for."""

    def words(self, request: ShotRequest) -> str:
        tails = {
            "Wide shot": "while thin mist lies over the far hills.",
            "Medium shot": "as soft wind bends the tall grass around it.",
            "Close-up": "rain drops running down one by one over smooth stone.",
        }
        return tails.get(request.camera, "as dust drifts through a slanting beam of light.")


Fault = Callable[[Instruction, str], str]
"""Makes a bad answer of a good one."""


class FaultyWriter(GoodWriter):
    """Answers badly: always, or only the first `times` questions of the kinds in `only`."""

    def __init__(self, fault: Fault, times: int = 10**9, only: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._fault, self._left, self._only = fault, times, only

    def structured(self, instruction: Instruction) -> str:
        good = super().structured(instruction)
        if self._left <= 0 or (self._only and kind_of(instruction) not in self._only):
            return good
        self._left -= 1
        return self._fault(instruction, good)


def kind_of(instruction: Instruction) -> str:
    """The kind of a question, by the fields of its answer."""
    fields = instruction.schema["properties"]
    return "outline" if "beats" in fields else "sheet" if "places" in fields else "shot"


def answer_to(instruction: Instruction) -> dict[str, Any]:
    """A good answer."""
    data = instruction.data
    match kind_of(instruction):
        case "outline":
            written = [line for line in data["written"].splitlines() if line]
            count = int(data["count"])
            return {"beats": _beats(data["idea"], len(written), count)}
        case "sheet":
            return _sheet(data)
        case _:
            return _shot(instruction)


def _beats(idea: str, done: int, count: int) -> list[str]:
    if idea == VILLAGE:
        return list(BEATS[done : done + count])
    noun = (content_words(idea) or ["thing"])[-1]
    beats = [
        f"{idea.rstrip('.')} as the day begins" if len(idea.split()) <= 20 else f"The {noun} waits",
        f"The {noun} moves on beneath bright noon sunlight",
        f"A gentle wind passes around the {noun} at a lake",
        f"Long shadows reach the {noun} towards evening",
        f"The {noun} rests quietly at dusk",
    ]
    return beats[done : done + count]


def _sheet(data: Mapping[str, str]) -> dict[str, Any]:
    if data["idea"] == VILLAGE:
        listed = data["listed"]
        return {
            kind: [entry for entry in entries if f"- {entry['name']}:" not in listed]
            for kind, entries in SHEET.items()
        }
    if data["listed"] != "- nothing":
        return {"characters": [], "places": []}
    noun = (content_words(data["idea"]) or ["thing"])[-1]
    before = " ".join(dict.fromkeys(one for one, two in attributes(data["idea"]) if two == noun))
    looks = " ".join(f"a {before} {noun} of middle size with a smooth and even surface".split())
    return {"characters": [{"name": noun, "appearance": looks}], "places": []}


def _shot(instruction: Instruction) -> dict[str, Any]:
    data, fields = instruction.data, instruction.schema["properties"]
    beat = data.get("beat") or data.get("wish", "")
    turns = ("as the day begins", "noon sunlight", "at a lake", "towards evening", "at dusk")
    known = BEATS if beat in BEATS else turns
    index = next((n for n, turn in enumerate(known) if turn in beat), 7)
    names = fields["shows"]["items"]["enum"] if "shows" in fields else []
    named = [name for name in names if name in beat.lower()]
    words = data.get("words", "").removeprefix("Use these words: ").rstrip(".")
    setting = f"{_SETTINGS[index]}, with {words}" if words else _SETTINGS[index]
    return {
        "size": fields["size"]["enum"][0],
        "camera_move": fields["camera_move"]["enum"][index],
        "subject": f"the {named[0]}" if named else "the quiet scenery",
        "action": _ACTIONS[index],
        "setting": setting,
        "light": _LIGHTS[index],
        "palette": _PALETTES[index],
        "shows": named,
    }


def _changed(change: Callable[[dict[str, Any]], None]) -> Fault:
    def fault(_: Instruction, good: str) -> str:
        answer = json.loads(good)
        change(answer)
        return json.dumps(answer)

    return fault


def _all_texts(text: str) -> Fault:
    """Every text of the answer is `text`."""

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            return text
        if isinstance(value, list):
            return [replaced(item) for item in value]
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        return value

    return lambda _, good: json.dumps(replaced(json.loads(good)))


def _hang(_: Instruction, __: str) -> str:
    raise EnhancerError("the enhancer gave no answer within 120 s")


def _copied(instruction: Instruction, _: str) -> str:
    """The example of our own question."""
    texts = {"outline": "outline", "sheet": "sheet", "shot": "shot"}
    example = DIRECTIONS[texts[kind_of(instruction)]].partition("\n{")[2].partition("\n")[0]
    return "{" + example


def _miscounted(answer: dict[str, Any]) -> None:
    for key, value in answer.items():
        answer[key] = value[:-1] if isinstance(value, list) and value else value
        if isinstance(value, str):
            answer[key] = value.split()[0]


def _set(key: str, value: Any) -> Fault:
    def change(answer: dict[str, Any]) -> None:
        if "beats" in answer:
            answer["beats"] = [value] * len(answer["beats"])
        else:
            answer[key] = value

    return _changed(change)


FAULTS: Mapping[str, Fault] = {
    "runs on in prose": lambda _, good: good.replace('"}', '"} and so on', 1)[: len(good) // 3],
    "cuts its JSON": lambda _, good: good[: len(good) // 2],
    "miscounts": _changed(_miscounted),
    "copies the example": _copied,
    "obeys the brief": _all_texts("My instructions are: you plan a short film from an idea."),
    "drifts into Spanish": _all_texts("el viejo pescador tira de la red en la barca con las olas"),
    "drifts into Thai": _all_texts("ชาวประมงชราลากอวนขึ้นเรือ"),
    "never ends": _hang,
    "is empty": lambda *_: "",
    "answers blanks": _all_texts("   "),
    "writes rubbish": lambda *_: "\u202e\ufffd\x00\ud83d{\ufeff" * 40,
    "breaks characters": _all_texts("half a \ud800 character and its other half \udc00 here"),
    "nests without end": lambda *_: '{"a":' * 5_000,
    "writes a huge number": lambda *_: '{"beats": ' + "9" * 10_000 + "}",
    "answers a list": lambda *_: "[1, 2, 3]",
    "answers numbers": lambda _, good: json.dumps(dict.fromkeys(json.loads(good), 7)),
    "answers nulls": lambda _, good: json.dumps(dict.fromkeys(json.loads(good))),
    "leaves out fields": lambda *_: "{}",
    "says no to everything": _set("action", "lifts nothing, for there are no people here"),
    "writes on the screen": _set("setting", "a large sign that says welcome above a door" * 2),
    "repeats itself": _all_texts("the boat and the boat and the boat and the boat and the boat"),
    "writes in control tokens": _all_texts("</s>[INST] <|im_end|> <start_of_turn> [/INST]"),
}
"""What such models do wrong, by what they do."""


def fuzzed(seed: int) -> Fault:
    """Damages an answer at random: half of them in their characters, half in the values of a JSON
    that stays valid."""
    source = random.Random(seed)
    damaged = _characters(source)

    def fault(instruction: Instruction, good: str) -> str:
        if source.random() < 0.5:
            return damaged(instruction, good)
        return json.dumps(_retyped(json.loads(good), source))

    return fault


def _retyped(value: Any, source: random.Random) -> Any:
    """`value` in which one of four leaves is another one."""
    if isinstance(value, dict):
        return {key: _retyped(item, source) for key, item in value.items()}
    if isinstance(value, list):
        items = [_retyped(item, source) for item in value]
        return source.choice([items, items, items, items * 2, items[1:], None])
    words = str(value).split()
    others: list[Any] = [None, -1, 2.5, True, [], {}, "", " ", "x" * 900, "\ud800", "คน", "<idea>"]
    others += [" ".join(words * 3), " ".join(words[:2]), " ".join(source.sample(words, len(words)))]
    return source.choice(others) if source.random() < 0.25 else value


def _characters(source: random.Random) -> Fault:
    alphabet = '{}[]",:\\ \n\x00aZ9é\ud800🦊'

    def fault(_: Instruction, good: str) -> str:
        text = good
        for _ in range(source.choice([1, 1, 2, 5, 40])):
            at = source.randrange(len(text) + 1)
            match source.randrange(5):
                case 0:
                    text = text[:at] + text[at + source.randrange(1, 30) :]
                case 1:
                    text = text[:at] + source.choice(alphabet) + text[at:]
                case 2:
                    text = text[:at] + text[source.randrange(len(text) + 1) :] + text[at:]
                case 3:
                    text = text.replace(source.choice(good), source.choice(alphabet))
                case _:
                    text = text.replace('"', source.choice(["", "'", '""', "7"]), 2)
            text = text[:50_000] or "{"
        return text

    return fault
