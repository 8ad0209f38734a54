"""From prompt to downloaded pixels: the video shows what was asked, and the checks can fail.

The demo set's own model, through the enhancer, the chunks, the stitch, the upscaler, the bucket
and a decoder that is not ours.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from infra.adapters.device.cache import release_all
from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import ObjectKey
from pipelines.training.places import SIDE
from pipelines.training.world import SHAPES, Scene
from tests.conftest import slow
from tests.support.meaning import check_agree, check_moves_on, check_shows, frames_of

Run = Callable[..., Manifest]
RED = "a red ball moves to the right over a dark blue background"
RED_SCENE = Scene("circle", "red", "right", "dark blue")
FOX = "a fox runs to the right through the snow"
FOX_SCENE = Scene("fox", "", "right", "snow")


@pytest.fixture
def run(in_process: Run) -> Iterator[Run]:
    yield in_process
    release_all()


def video_of(manifest: Manifest, store: ObjectStore, folder: Path) -> np.ndarray:
    found = store.head(ObjectKey.video(manifest.content_id))
    assert found is not None
    path = folder / f"{manifest.content_id}.mp4"
    store.get_file(found, path)
    return frames_of(path, manifest.plan.frames)


def shot_frames(manifest: Manifest, film: np.ndarray, number: int) -> np.ndarray:
    span = manifest.plan.span_of(manifest.plan.chunks[number - 1])
    return film[span.start : span.start + span.frames]


PROMPTS = {
    RED: RED_SCENE,
    "on a black background a yellow square glides to the left": Scene(
        "square", "yellow", "left", "black"
    ),
    "a green triangle drifts upwards in front of a grey wall": Scene(
        "triangle", "green", "up", "grey"
    ),
    "dark green background, white box falling, moving down": Scene(
        "square", "white", "down", "dark green"
    ),
    FOX: FOX_SCENE,  # the writer adds "black lines on the snowy ground"
    "a penguin hops up and down in the snow": Scene("penguin", "", "bob", "snow"),
}
"""The last one is what `make demo` asks for."""


@pytest.mark.parametrize("prompt", [RED, *(slow(text) for text in PROMPTS if text != RED)])
def test_what_the_enhancer_adds_does_not_change_the_subject(
    run: Run, store: ObjectStore, tmp_path: Path, prompt: str
) -> None:
    manifest = run(prompt=prompt, seconds=4)
    assert manifest.storyboard.enhancer != "none"
    film = video_of(manifest, store, tmp_path)
    asked = PROMPTS[prompt]
    if asked.thing in SHAPES:
        asked = asked._replace(thing="")
    for number in (1, 2):
        check_shows(shot_frames(manifest, film, number), asked)


def test_enlarged_frames_agree_with_their_source_and_show_the_same(
    run: Run, store: ObjectStore, tmp_path: Path
) -> None:
    small = run(prompt=RED, seconds=2, enhance=False)
    large = run(prompt=RED, seconds=2, enhance=False, upscale=4)
    source = video_of(small, store, tmp_path)
    enlarged = video_of(large, store, tmp_path)
    assert enlarged.shape[1:] == (4 * SIDE, 4 * SIDE, 3)
    check_agree(enlarged, source)
    check_shows(enlarged, RED_SCENE)
    with pytest.raises(AssertionError, match=r"colours shifted|levels apart"):
        check_agree(np.roll(enlarged, 1, axis=-1), source)
    with pytest.raises(AssertionError, match="instead of"):
        check_shows(np.roll(enlarged, 1, axis=-1), RED_SCENE)


def test_two_shots_show_both_in_order_and_meet_in_a_cut(
    run: Run, store: ObjectStore, tmp_path: Path
) -> None:
    second = "a yellow square moves to the left over a black background"
    manifest = run(prompt=RED, seconds=4.125, enhance=False, shots=[{"shot": 2, "prompt": second}])
    film = video_of(manifest, store, tmp_path)
    check_shows(film[:33], RED_SCENE)
    check_shows(film[33:], Scene("square", "yellow", "left", "black"))
    (cut,) = manifest.transitions
    assert (cut.frame, cut.made, cut.seam.score > 8) == (33, "cut", True)
    with pytest.raises(AssertionError, match="colour"):
        check_shows(film[33:], RED_SCENE)


def test_four_chunks_that_continue_are_one_movement(
    run: Run, store: ObjectStore, tmp_path: Path
) -> None:
    prompt = "a green ball moves to the right over a black background"
    manifest = run(prompt=prompt, seconds=8, joins="continue", enhance=False)
    film = video_of(manifest, store, tmp_path)
    assert [chunk.request.continuation is None for chunk in manifest.plan.chunks] == [
        *(True, False, False, False)
    ]
    assert {item.made for item in manifest.transitions} == {"continue"}
    for number in range(1, 5):
        check_shows(shot_frames(manifest, film, number), Scene("", "green", "right", "black"))
    check_moves_on(film, planned=128)

    held = np.concatenate([film[:33], film[34:], film[-1:]])
    mutants = {
        "reversed": film[::-1],
        "a chunk repeated": np.concatenate([film[:33], film[:33], film[66:]]),
        "a frame lost at a join": np.concatenate([film[:33], film[34:]]),
        "a frame lost at a join, the last one doubled": held,
        "ten frames lost at a join": np.concatenate([film[:33], film[43:], film[-10:]]),
    }
    for name, mutant in mutants.items():
        assert is_noticed(mutant), name


def is_noticed(film: np.ndarray) -> bool:
    try:
        check_shows(film, Scene("", "green", "right", "black"))
        check_moves_on(film, planned=128)
    except AssertionError:
        return True
    return False


def test_a_continued_run_that_was_interrupted_goes_on_from_the_raw_frames(
    run: Run, store: ObjectStore
) -> None:
    brief = {"prompt": RED, "seconds": 6, "joins": "continue", "enhance": False}
    first = run(**brief)
    last = first.chunks[2]
    store.delete(last.object.key)
    store.delete(ObjectKey.manifest(first.content_id))
    release_all()
    again = run(**brief)
    assert [chunk.made for chunk in again.chunks] == [False, False, True]
    assert again.chunks[2].object == last.object


def test_transitions_stand_in_the_manifest_with_their_takes(run: Run, store: ObjectStore) -> None:
    manifest = run(prompt=RED, seconds=6, joins="continue", enhance=False)
    stored = store.get_bytes(ObjectKey.manifest(manifest.content_id))
    assert stored is not None
    transitions = json.loads(stored)["transitions"]
    assert [item["number"] for item in transitions] == [1, 2]
    for item, chunk in zip(manifest.transitions, manifest.chunks[1:], strict=True):
        assert item.retries == len(chunk.takes) - 1
        assert chunk.takes[0].seam is not None
        assert item.seam.score == max(item.seam.colour, item.seam.structure, item.seam.motion)


def test_swapped_colours_in_the_prompt_are_seen(
    run: Run, store: ObjectStore, tmp_path: Path
) -> None:
    manifest = run(prompt=RED.replace("red", "green"), seconds=2, enhance=False)
    film = video_of(manifest, store, tmp_path)
    check_shows(film, RED_SCENE._replace(thing="", colour="green"))
    with pytest.raises(AssertionError, match="colour"):
        check_shows(film, RED_SCENE._replace(thing=""))


def test_a_picture_of_a_thing_in_a_place_moves_as_asked(
    run: Run, store: ObjectStore, tmp_path: Path
) -> None:
    manifest = run(prompt=FOX, seconds=2, enhance=False)
    film = video_of(manifest, store, tmp_path)
    check_shows(film, FOX_SCENE)
    for wrong in ({"thing": "penguin"}, {"background": "desert"}, {"movement": "left"}):
        with pytest.raises(AssertionError, match="instead of"):
            check_shows(film, FOX_SCENE._replace(**wrong))
    with pytest.raises(AssertionError, match="movement"):
        check_shows(film[::-1], FOX_SCENE)
