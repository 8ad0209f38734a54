"""Automatic measures of finished videos: each sees what it is for, and says who measured it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from infra.adapters.weights.catalog import MODELS
from pipelines.backends.base import Frame
from pipelines.benchmark.filmed import cost_of, film_of
from pipelines.benchmark.measures import EXACT, LOOKED_AT, PIXELS, SEAMS, measures_of
from pipelines.benchmark.siglip import MODEL, SiglipScorer
from pipelines.costs.summary import VideoCost, VideoCosts
from pipelines.documents.manifest import Manifest, Seam, TransitionRecord
from pipelines.errors import WeightsError
from pipelines.publishing import make_manifest
from pipelines.schema.money import Money
from pipelines.training.asked import scene_in
from pipelines.training.captions import fresh_caption, training_caption
from pipelines.training.loop import generator
from pipelines.training.places import PLAIN
from pipelines.training.world import WAYS, Clip, Scene, Track, random_scene, render
from tests.support.films import brief_of
from tests.support.published import film_of as made_film
from tests.tiny.siglip import write_siglip

RED = Scene("circle", "red", "right", "black")
PROMPT = "a red ball moves right over a black background"


def film(scene: Scene, frames: int = 17) -> list[Frame]:
    return list(render(Clip(scene, Track(48, 48, 18)), frames))


def shape_scene(rng: np.random.Generator) -> Scene:
    """A coloured shape that crosses a plain background."""
    while True:
        scene = random_scene(rng, 3, held_out=None, shapes=1.0)
        if scene.background in PLAIN and scene.movement in WAYS:
            return scene


def values(
    prompt: str, frames: Sequence[Frame], transitions: Sequence[TransitionRecord] = ()
) -> dict[str, float]:
    found = measures_of(prompt, iter(frames), len(frames), transitions, None)
    return {item.scorer + ": " + item.name: item.value for item in found}


@pytest.mark.parametrize(
    ("shown", "right"),
    [
        (RED, 1.0),
        (RED._replace(colour="blue"), 0.75),
        (RED._replace(movement="left", colour="blue"), 0.5),
        (Scene("square", "green", "up", "brown"), 0.0),
    ],
)
def test_the_demo_world_is_read_from_the_pixels(shown: Scene, right: float) -> None:
    assert values(PROMPT, film(shown))[f"{EXACT}: prompt, share right"] == right


def test_a_larger_video_of_another_shape_is_read_too() -> None:
    wide = [frame.repeat(4, 0).repeat(6, 1) for frame in film(RED)]
    assert values(PROMPT, wide)[f"{EXACT}: prompt, share right"] == 1.0


def test_prompts_of_another_world_have_no_exact_score() -> None:
    found = values("a red ball rolls down a street at night", film(RED))
    assert not [name for name in found if name.startswith(EXACT)]


def test_every_caption_of_the_demo_model_is_understood_and_means_its_scene() -> None:
    rng = generator("benchmark", 0)
    for held_out in (False, True):
        for _ in range(300):
            scene = shape_scene(rng)
            text = fresh_caption(scene, rng, held_out=held_out)
            assert scene_in(text) == scene, text


def test_what_a_caption_leaves_out_is_not_asked_for() -> None:
    assert scene_in("a red ball moves right") == Scene("circle", "red", "right", "")
    assert scene_in("a blue box moves from right to left") == Scene("square", "blue", "left", "")
    assert scene_in("a navy background") is None
    assert scene_in("a red and blue ball moves right") is None
    assert scene_in("หมาจิ้งจอก") is None


def test_training_captions_are_never_misread() -> None:
    """Their distractors are words of another world, so that most are refused; none is misread."""
    rng = generator("benchmark", 1)
    for _ in range(300):
        text, said = training_caption(shape_scene(rng), rng)
        assert scene_in(text) in (None, said), text


def test_flicker_motion_and_freezes_are_seen() -> None:
    still = film(RED)[:1] * 17
    dark = [
        np.clip(frame * (0.7 if i % 2 else 1.0), 0, 255).astype(np.uint8)
        for i, frame in enumerate(film(RED))
    ]
    calm, frozen, flickering = (values("x", frames) for frames in (film(RED), still, dark))
    flicker, motion = (
        f"{PIXELS}: flicker, levels of 255",
        f"{PIXELS}: motion, levels of 255 a frame",
    )
    assert calm[flicker] < 0.2 < flickering[flicker]
    assert frozen[motion] == 0 < calm[motion]
    assert (
        frozen[f"{PIXELS}: frozen frames, share"] == 1.0 > calm[f"{PIXELS}: frozen frames, share"]
    )


def test_the_worst_seam_is_that_of_the_manifest() -> None:
    seams = [Seam(colour=1, structure=score, motion=1, score=score) for score in (1.5, 6.25)]
    usual = {"asked": "continue", "made": "continue", "retries": 0}
    joins = [
        TransitionRecord.model_validate(usual | {"number": n, "frame": 17 * n, "seam": seam})
        for n, seam in enumerate(seams, start=1)
    ]
    found = values("x", film(RED), joins)
    assert found[f"{SEAMS}: worst seam, times the usual step"] == 6.25


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_videos_can_be_measured(frames: int) -> None:
    assert values(PROMPT, film(RED, frames))


# SigLIP ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> SiglipScorer:
    folder = tmp_path_factory.mktemp("siglip")
    write_siglip(folder)
    return SiglipScorer(folder, "Tiny SigLIP")


def test_siglip_scores_pictures_against_words_and_always_alike(siglip: SiglipScorer) -> None:
    red, blue = film(RED)[:2], film(RED._replace(colour="blue"))[:2]
    score = siglip.score("a red ball", red)
    assert -1 <= score <= 1
    assert siglip.score("A RED ball", red) == score
    assert siglip.score("a blue square", red) != score
    assert siglip.score("a red ball", blue) != score
    mean = np.mean([siglip.score("a red ball", [frame]) for frame in red])
    assert score == pytest.approx(mean, abs=1e-5)


def test_its_score_is_the_cosine_that_the_model_itself_computes(siglip: SiglipScorer) -> None:
    """The model's own logits are scale * cosine + bias."""
    import torch

    frame = film(RED)[0]
    words = siglip._tokenizer(
        ["a red ball"], padding="max_length", max_length=64, return_tensors="pt"
    )["input_ids"]
    pictures = siglip._pictures(images=[frame], return_tensors="pt")
    with torch.inference_mode():
        logits = siglip._model(input_ids=words, **pictures).logits_per_image
        cosine = (logits - siglip._model.logit_bias) / siglip._model.logit_scale.exp()
    assert siglip.score("a red ball", [frame]) == pytest.approx(cosine.item(), abs=1e-5)


def test_it_looks_at_frames_from_the_whole_video(siglip: SiglipScorer) -> None:
    seen: list[int] = []

    class Watching:
        name = siglip.name

        def score(self, prompt: str, frames: Sequence[Frame]) -> float:
            seen.extend(int(frame[0, 0, 0]) for frame in frames)
            return 0.5

    frames = [np.full((64, 64, 3), number, np.uint8) for number in range(33)]
    found = measures_of("x", frames, len(frames), (), Watching())
    assert len(seen) == LOOKED_AT
    assert (seen[0], seen[-1]) == (0, 32)
    assert {item.scorer for item in found} == {PIXELS, "Tiny SigLIP"}


def test_files_that_do_not_load_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="reelwright models verify siglip2-base"):
        SiglipScorer(tmp_path, MODELS[MODEL].title)


# Manifests ------------------------------------------------------------------------------------


def manifest(*, made: bool = True, costs: VideoCosts | None = None) -> Manifest:
    brief = brief_of("a stone")
    found = make_manifest(brief, made_film(brief), "bucket")
    chunks = tuple(item.model_copy(update={"made": made}) for item in found.chunks)
    return found.model_copy(update={"chunks": chunks, "costs": costs})


def costs(*bases: Literal["billed", "estimated"]) -> VideoCosts:
    price = Money.of("0.10")
    parts = tuple(VideoCost(backend=base, jobs=1, price=price, basis=base) for base in bases)
    return VideoCosts(total=Money.of("0.10") * len(bases), parts=parts)


def test_the_time_of_a_run_that_found_its_chunks_is_not_the_backends() -> None:
    assert film_of(manifest(made=False)).wall_seconds is None
    assert film_of(manifest()).wall_seconds == sum(item.seconds for item in manifest().stages)


def test_the_cost_is_the_ledgers_and_billed_only_if_all_of_it_is() -> None:
    assert cost_of(manifest()) == (None, "")
    assert cost_of(manifest(costs=costs("billed"))) == (Money.of("0.10"), "billed")
    mixed = manifest(costs=costs("billed", "estimated"))
    assert cost_of(mixed) == (Money.of("0.20"), "estimated")
