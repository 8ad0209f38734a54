"""What a finished video means: checks that fail when it shows something else than was asked."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.backends.base import Frame
from pipelines.training.classifier import Classifier, classify, load_classifier
from pipelines.training.places import PLAIN
from pipelines.training.sight import see, shrink
from pipelines.training.world import SHAPES, SPEED, WAYS, Scene
from tests.conftest import REPOSITORY
from tests.support.pictures import decode

MAX_DETOUR = 8.0
"""Pixels by which one step may differ from the steady motion: the demo model wobbles by up to
5, a chunk that starts anew or repeats jumps by 20 and more."""


Frames = npt.NDArray[np.uint8]


def frames_of(path: Path, planned: int) -> Frames:
    """Every frame of a downloaded video, exactly as many as were planned."""
    frames = decode(path)
    assert len(frames) == planned, f"{len(frames)} frames instead of {planned}"
    return np.stack(frames)


def check_shows(frames: Sequence[Frame], asked: Scene) -> None:
    """Background, colour, movement and thing are those of the prompt; "" asks for nothing.

    A shape that crosses a plain background is read from the pixels; the trained judge looks at
    everything else.
    """
    seen = seen_in(np.stack(frames), asked)
    for name in ("background", "colour", "movement", "thing"):
        wanted = getattr(asked, name)
        assert wanted in ("", getattr(seen, name)), f"{name}: {seen} instead of {asked}"


def seen_in(frames: Frames, asked: Scene) -> Scene:
    """What frames of a prompt show, read from the pixels where that is possible."""
    plain = asked.thing in ("", *SHAPES) and asked.background in ("", *PLAIN)
    if plain and asked.movement in ("", *WAYS):
        return see(frames).scene
    return classify(_judge(), shrink(frames).round().astype(np.uint8)).scene


@cache
def _judge() -> Classifier:
    card = REPOSITORY / "infra" / "models" / "tiny_wan" / "card"
    return load_classifier(card / "classifier.safetensors")


def check_moves_on(frames: Sequence[Frame], planned: int) -> None:
    """One steady movement through all the planned frames."""
    assert len(frames) == planned, f"{len(frames)} frames instead of {planned}"
    twice = [i for i in range(1, planned) if (frames[i] == frames[i - 1]).all()]
    assert not twice, f"frame {twice[0]} is shown twice"
    steps = see(np.stack(frames)).steps
    whole = ~np.isnan(steps[:, 0])  # elsewhere the shape is cut by an edge or out of the frame
    assert whole.sum() > planned / 4, f"the shape is whole in {whole.sum()} steps only"
    steps = steps[whole]
    median = np.median(steps, axis=0)
    assert 0.5 * SPEED < np.linalg.norm(median) < 1.5 * SPEED, f"usual step {median}"
    detours = np.linalg.norm(steps - median, axis=-1)
    worst = int(detours.argmax())
    assert detours[worst] < MAX_DETOUR, f"step {worst + 1} is {detours[worst]:.1f} px off the way"


def check_agree(enlarged: Sequence[Frame], source: Sequence[Frame]) -> None:
    """Shrunk again, enlarged frames are their source but for the network's sharpening."""
    difference = np.abs(shrink(np.stack(enlarged)) - np.stack(source).astype(np.float32))
    assert difference.mean() < 6, f"{difference.mean():.1f} levels apart on average"
    colours = np.stack(enlarged).mean((0, 1, 2)) - np.stack(source).mean((0, 1, 2))
    assert np.abs(colours).max() < 4, f"colours shifted by {colours.round(1)}"
