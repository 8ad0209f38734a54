"""What a brief may say.

Written from the gateway's code by `python -m tests.docs`; do not edit it.
"""

from collections.abc import Sequence
from typing import Literal, Required, TypedDict


class HandShot(TypedDict, total=False):
    """A shot that the editor writes, in the order of the list."""

    prompt: Required[str]
    """What this shot shows. Up to 2,200 characters."""
    seed: int
    """Another number gives another take; -1 derives it. Up to 4294967295."""
    chunks: int
    """0 in all shots: they share the length of the video evenly. A shot of more than one chunk
    shows its words again, as another take or as one movement that goes on."""
    size: str
    """Such as 'wide shot'; empty: as the words say."""
    camera: str
    """Such as 'slow pan left'; empty: as the words say."""
    wish: str
    """The shot is written again with it, such as 'closer, at night'."""
    source: Literal["llm", "llm-retry", "template", "brief", "editor", "continued"]
    """Filled in from the draft. Leave it as it is."""
    original: str
    """What an editor wrote in another language, of which these are the English words. Filled in
    from the draft. Leave it as it is."""


class ReviewedText(TypedDict, total=False):
    """What became of a text in another language in the storyboard that a person reviewed."""

    original: Required[str]
    """The words that the editor wrote."""
    part: Literal["", "wish", "size", "camera", "sheet"]
    """What the words are; empty for the words of the brief or of a shot."""
    english: str
    """What is filmed: the translation, or the original if it was approved as it is written.
    Empty: it is translated if somebody can, and otherwise stays."""
    translator: str
    """Who translated it."""
    for_service: bool
    """Whether it stays only where a remote service makes the video."""


class SheetWords(TypedDict, total=False):
    """An editor's words for a character or a place, in every shot that shows it."""

    name: Required[str]
    """As the draft has it."""
    appearance: Required[str]
    """Every shot that shows it repeats this. Up to 600 characters."""
    kind: Literal["character", "place"]
    original: str
    """What an editor wrote in another language, of which these are the English words. Filled in
    from the draft. Leave it as it is."""


class ShotOverride(TypedDict, total=False):
    """An editor's change to one shot: another take, or other words."""

    shot: Required[int]
    """Counted from 1."""
    seed: int
    """Another number gives another take; -1 keeps the brief's. Up to 4294967295."""
    prompt: str
    """Replaces the written shot if not empty."""
    wish: str
    """The shot is written again with it, such as 'closer, at night'."""


class EditedEntry(TypedDict, total=False):
    """A character or a place of a draft as a person hands it back."""

    name: str
    """As the draft has it."""
    appearance: str
    """Every shot that shows it repeats these words."""


class EditedShot(TypedDict, total=False):
    """A shot of a draft as a person hands it back, in the order of the list. Its texts are
    checked where they meet the draft, so that all problems are said at once and what was typed
    is not lost."""

    prompt: str
    """What this shot shows."""
    seed: int
    """Another number gives another take; -1 leaves it as drafted."""
    chunks: int
    """A shot lasts for whole chunks; 0 leaves it as drafted, and a new shot has 1."""
    size: str
    """Empty leaves it as drafted."""
    camera: str
    """Empty leaves it as drafted."""
    wish: str
    """With the decision 'revise' the shot is written again with it, such as 'closer, at
    night'."""
    drafted: int
    """Number that it has in the draft; 0 for a new one, or to find it by its words."""


class BriefFields(TypedDict, total=False):
    """The fields of a brief besides its prompt; each has a default."""

    kind: Literal["video", "image"]
    """A video, or a single picture; a picture ignores the length."""
    seconds: float
    """Length of the video, 0.25 to 600."""
    preset: str
    """Size, chunk length and quality under a name; 'auto' lets Reelwright choose. Minutes for 4
    seconds of video, before anything was measured: demo 0.2 on a CPU, video_fast 1.6 and
    video_high 3.6 on an RTX 5090, stills 1. The run says it better as it starts."""
    aspect: Literal["preset", "landscape", "portrait", "square"]
    """Landscape, portrait or square, with about as many pixels as the preset."""
    upscale: Literal[-1, 1, 2, 4]
    """2 and 4 enlarge with Real-ESRGAN, 1 keeps the size; -1 does as the preset."""
    joins: Literal["cut", "continue", "crossfade"]
    """How shots meet: a hard cut, one movement going on, or a dissolve."""
    style: str
    """Added to every shot, such as '35 mm film, warm light'."""
    negative: str
    """What must not be seen, in plain words without 'no'."""
    approval: Literal["none", "storyboard", "video", "both"]
    """Wait for a person: after the storyboard (shots and a still of each), before the video is
    published, or both."""
    approval_hours: float
    """How long one waits, 0.01 to 720 hours."""
    on_silence: Literal["reject", "approve"]
    """What an approval becomes when its hours are over."""
    priority: Literal["rush", "normal", "batch"]
    """Rush goes before normal, batch after it."""
    campaign: str
    """A tag to find the video by, such as 'spring-sale'."""
    storyboard: Sequence[HandShot]
    """Replaces the enhancer: the shots in order. Each needs one chunk or more of the length, so
    2 seconds a shot are enough."""
    enhance: bool
    """Off: every shot uses the brief's own words."""
    language: Literal[
        "auto",
        "as-written",
        "ar",
        "bg",
        "bn",
        "cs",
        "da",
        "de",
        "el",
        "en",
        "es",
        "fi",
        "fr",
        "he",
        "hi",
        "hu",
        "id",
        "it",
        "ja",
        "km",
        "ko",
        "lo",
        "my",
        "nl",
        "pl",
        "pt",
        "ro",
        "ru",
        "sv",
        "ta",
        "th",
        "tr",
        "uk",
        "vi",
        "zh",
    ]
    """Of your words. 'auto' finds it out and translates them into English, 'as-written' leaves
    them as they are; or a code such as 'th' or 'de'."""
    size: str
    """Width*height before upscaling; 'preset' takes the preset's."""
    image: str
    """uploads/….png, as the gateway answers an upload; for presets that can begin with a
    picture."""
    last_image: str
    """uploads/….png; for presets that can end with a picture."""
    references: Sequence[str]
    """Up to 4 uploads/….png of a person, thing or place that the video shows; for presets that
    take them."""
    motion: str
    """uploads/….zip with the videos that move a figure; for presets that take it."""
    seed: int
    """0 to 4294967295 for a take you can repeat; -1 derives it."""
    shots: Sequence[ShotOverride]
    """Another seed or other words for single shots."""
    sheet: Sequence[SheetWords]
    """How they look, as an editor wants it."""
    frames: int
    """Length of a chunk, such as 17 or 33, as the preset's model can make it; -1 takes the
    preset's."""
    steps: int
    """1 to 100; -1 takes the preset's."""
    guidance: float
    """0 to 20; -1 takes the preset's."""
    flow_shift: float
    """0.1 to 30; more of it spends more steps on shapes and movement and fewer on detail. -1
    takes the preset's."""
    lora: str
    """Name of an installed LoRA, which changes how the model draws."""
    lora_strength: float
    """0 to 2; -1 takes 1, or the preset's."""
    stands_in_for: str
    """Set by the API: the model that was asked for, if the demo set makes the video in its
    place. Leave it empty."""
    reviewed: Sequence[ReviewedText]
    """Set when a storyboard is approved: what became of words in another language, so that the
    film has the words of the storyboard. Leave it empty."""
