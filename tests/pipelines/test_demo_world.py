"""The demo model's world and recipe: what is painted, what is said, what is held out."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.training import captions, loop
from pipelines.training.additions import addition
from pipelines.training.captions import fresh_caption, names_of, training_caption
from pipelines.training.classifier import windows
from pipelines.training.codec import new_vae
from pipelines.training.dataset import PAINTED_FRAMES, clips_of, painted_clips, trained_on
from pipelines.training.denoiser import new_transformer
from pipelines.training.layout import CHANNELS
from pipelines.training.loop import TIMED, Training, generator
from pipelines.training.places import PAINTED, PLACES, PLAIN, SIDE, paint
from pipelines.training.recipe import recipe_of, train
from pipelines.training.setup import SIZES
from pipelines.training.text import CLASSES, VOCABULARY, labels_of, new_encoder
from pipelines.training.things import THINGS, in_colour, picture
from pipelines.training.vae import BLOCKS, WIDTHS
from pipelines.training.words import HELD_OUT_FILLERS, WORDS
from pipelines.training.world import (
    COLOURS,
    MOVEMENTS,
    SHAPES,
    SPEED,
    WAYS,
    Clip,
    Scene,
    Track,
    is_held_out,
    path_of,
    random_clip,
    random_scene,
    render,
)

BLACK = (14, 14, 18)


def scenes(count: int, *, held_out: bool = False) -> list[Scene]:
    rng = np.random.default_rng(1)
    return [random_scene(rng, len(THINGS), held_out=held_out) for _ in range(count)]


def test_every_thing_has_a_picture_of_its_own() -> None:
    cells = [picture(thing.names[0]) for thing in THINGS]
    for cell in cells:
        assert 0.1 < cell[..., 3].mean() < 0.95
    assert len({cell.tobytes() for cell in cells}) == len(THINGS) >= 60
    names = [name for thing in THINGS for name in thing.names]
    assert len(set(names)) == len(names)


def test_a_coloured_thing_shows_its_colour_and_keeps_its_outline() -> None:
    for thing in THINGS:
        if thing.coloured:
            cell = picture(thing.names[0])
            green = in_colour(cell, (50, 200, 70))
            assert (green[..., 3] == cell[..., 3]).all()
            changed = np.abs(green - cell).max(-1) > 30
            assert changed[cell[..., 3] > 0.5].mean() > 0.1, thing.names[0]


def test_the_same_clip_is_the_same_pixels_and_another_place_number_is_not() -> None:
    clip = Clip(Scene("fox", "", "right", "snow"), Track(30, 48, 20), 7)
    first = render(clip, 9)
    assert (render(clip, 9) == first).all()
    assert (render(Clip(clip.scene, clip.track, 8), 9) != first).any()


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_a_clip_for_text_to_video_is_whole_from_the_first_frame_to_the_last(movement: str) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        clip = random_clip(rng, Scene("cat", "", movement, "sea"), anywhere=False)
        x, y, radius = path_of(clip, 33).T
        assert (np.minimum(x, y) - radius > -4).all()
        assert (np.maximum(x, y) + radius < SIDE + 4).all()


@pytest.mark.parametrize("movement", WAYS)
def test_nothing_is_ever_cut_by_two_edges(movement: str) -> None:
    clip = Clip(Scene("circle", "white", movement, "black"), Track(40, 40, 20))
    drawn = np.abs(render(clip, 130).astype(int) - BLACK).sum(-1) > 30
    across, down = WAYS[movement]
    near, far = (drawn[:, :, 0], drawn[:, :, -1]) if across else (drawn[:, 0], drawn[:, -1])
    assert near.any()
    assert far.any()
    assert not (near.any(1) & far.any(1)).any()
    steps = np.diff(path_of(clip, 40)[:, :2], axis=0)[0]
    assert steps.tolist() == [across * SPEED, down * SPEED]


@pytest.mark.parametrize(("movement", "shift"), [("pan right", -1), ("pan left", 1)])
def test_at_a_pan_the_place_moves_and_the_thing_stays(movement: str, shift: int) -> None:
    frames = render(Clip(Scene("fox", "", movement, "night city"), Track(48, 48, 16), 3), 9)
    top, eight = frames[0, 70:].astype(int), frames[8, 70:].astype(int)
    far = round(8 * SPEED)
    errors = {
        way: np.abs(np.roll(top, way * far, 1) - eight)[:, 12:-12].mean() for way in (-1, 0, 1)
    }
    assert min(errors, key=lambda way: errors[way]) == shift
    assert np.abs(frames[0, 40:56, 44:52].astype(int) - frames[8, 40:56, 44:52]).max() < 12


def test_growing_shrinking_and_bobbing_end_where_they_should() -> None:
    radii = {
        movement: path_of(Clip(Scene("sun", "", movement, "sky"), Track(48, 48, 18)), 200)
        for movement in ("grow", "shrink", "bob")
    }
    assert radii["grow"][-1, 2] == 32
    assert radii["shrink"][-1, 2] == 8
    assert (radii["bob"][16] == radii["bob"][0]).all()
    assert radii["bob"][4, 1] == 53


def test_places_differ_from_each_other_and_from_panorama_to_panorama() -> None:
    means = {place: paint(place, SIDE, np.random.default_rng(0)).mean((0, 1)) for place in PLACES}
    for one in PLACES:
        for other in PLACES:
            assert one == other or np.abs(means[one] - means[other]).max() > 6
    for place in PAINTED:
        again = paint(place, SIDE, np.random.default_rng(1))
        assert np.abs(again - paint(place, SIDE, np.random.default_rng(2))).mean() > 1


def test_training_never_sees_the_combinations_that_are_held_out(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, processes=1, device="cpu", size="tiny", things=64, data=4)
    for kind in ("clips", "stills"):
        clips, _ = clips_of(recipe, "training", kind, 1.0)
        assert len(clips) == 256
        assert not any(is_held_out(clip.scene) for clip in clips)
    painted = painted_clips(recipe, held=False)
    trained = [painted[index] for index in trained_on(painted)]
    assert any(is_held_out(clip.scene) for clip in painted)
    assert len(trained) > 100
    assert not any(is_held_out(clip.scene) for clip in trained)
    held = scenes(100, held_out=True)
    assert all(is_held_out(scene) for scene in held)
    assert len({scene.thing for scene in held}) > 20


def test_held_out_wording_never_occurs_in_training() -> None:
    rng = np.random.default_rng(0)
    texts = [training_caption(scene, rng)[0].lower() for scene in scenes(2000)]
    for phrase in (*HELD_OUT_FILLERS, "see how", "a single", "all alone", "one can watch"):
        assert not any(phrase in text for text in texts)
    pairs = [
        (name, wording)
        for thing in THINGS
        for name in thing.names
        for wording in captions.PLACE_WORDS["meadow"]
        if captions.is_held_out(name, wording)
    ]
    assert len(pairs) > 50
    meadow = [
        (names_of(scene.thing), training_caption(scene, rng)[0].lower())
        for scene in (s._replace(background="meadow") for s in scenes(1000))
    ]
    for name, wording in pairs:
        named = re.compile(rf"\b{re.escape(name)}\b")
        others = [n for names, _ in meadow if name in names for n in names if name in n != name]
        for names, text in meadow:
            if name in names and wording in text and not any(other in text for other in others):
                assert not named.search(text), (name, wording, text)


def test_only_whole_captions_go_on_as_a_writer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "addition", lambda _: "green lines behind it")
    rng = np.random.default_rng(0)
    said = [(scene, *training_caption(scene, rng)) for scene in scenes(1000)]
    added = [(scene, named) for scene, text, named in said if "green lines behind it" in text]
    assert len(added) > 50
    assert all(scene == named for scene, named in added)


def test_additions_name_colours_and_things_but_no_place_in_the_words_of_a_caption() -> None:
    rng = np.random.default_rng(0)
    texts = [captions._addition(rng) for _ in range(3000)]
    assert not any("{" in text for text in texts)
    for name in (*COLOURS, *PLAIN, *SHAPES, *(thing.names[0] for thing in THINGS)):
        assert any(name in text for text in texts), name
    wordings = [words for group in captions.PLACE_WORDS.values() for words in group]
    assert not [text for text in texts if any(words in text for words in wordings)]
    assert any(words in addition(rng) for _ in range(500) for words in wordings)


def test_fresh_captions_name_thing_colour_and_place() -> None:
    rng = np.random.default_rng(0)
    for scene in scenes(60):
        text = fresh_caption(scene, rng, held_out=bool(rng.integers(2)))
        assert any(name in text for name in names_of(scene.thing))
        if scene.background in PAINTED:
            assert any(words in text for words in captions.PLACE_WORDS[scene.background])
        if scene.colour:
            assert any(word in text for word in WORDS[scene.colour])


def test_every_value_of_a_scene_is_a_class_of_the_text_encoder() -> None:
    for scene in scenes(200):
        labels = labels_of(scene)
        assert [CLASSES[i][label] for i, label in enumerate(labels)] == list(scene)


@pytest.mark.parametrize("name", ["small", "large"])
def test_the_checkpoint_stays_below_20_megabytes(name: str) -> None:
    size = SIZES[name]
    with torch.device("meta"):
        transformer = new_transformer(
            size.heads, size.layers, size.feed_forward, size.text, CHANNELS
        )
        encoder = new_encoder(size.text)
        vae = new_vae(*size.vae, channels=CHANNELS, widths=WIDTHS, blocks=BLOCKS)
    parts = [transformer, encoder, vae]
    count = sum(p.numel() for part in parts for p in part.parameters())
    tokenizer_and_classifier = 60 * VOCABULARY + 320_000
    assert 2 * count + tokenizer_and_classifier < 20e6


@pytest.mark.parametrize("frames", [7, 17, 18, 33, 50, 129])
def test_a_clip_is_judged_in_windows_of_the_trained_length_that_hold_all_of_it(
    frames: int,
) -> None:
    parts = [range(frames)[part] for part in windows(frames)]
    assert {len(part) for part in parts} == {min(frames, PAINTED_FRAMES)}
    assert {number for part in parts for number in part} == set(range(frames))
    assert len(parts) == max(1, -(-(frames - 1) // (PAINTED_FRAMES - 1)))


def test_a_training_by_minutes_keeps_its_number_of_steps_when_resumed(tmp_path: Path) -> None:
    def train(stop: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        state = {"model": model, "optimizer": optimizer}
        training = Training("toy", tmp_path, None, state, minutes=1e-9)

        def step(number: int, rng: np.random.Generator) -> dict[str, float]:
            if number == stop:
                raise KeyboardInterrupt
            loss = model(torch.tensor(rng.normal(size=(2, 4)), dtype=torch.float32)).pow(2).mean()
            optimizer.zero_grad()
            (training.rate(number) * loss).backward()
            optimizer.step()
            return {"loss": loss.item()}

        training.run(step, every=10)
        assert training.is_finished
        return model.weight.detach()

    with pytest.raises(KeyboardInterrupt):
        train(stop=TIMED + 13)
    resumed = train(stop=None)
    assert torch.load(tmp_path / "toy.state.pt")["step"] == 2 * TIMED
    (tmp_path / "toy.state.pt").unlink()
    torch.testing.assert_close(train(stop=None), resumed, atol=0, rtol=0)


@pytest.mark.slow
def test_a_whole_training_that_is_interrupted_ends_in_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str) -> dict[str, bytes]:
        recipe = recipe_of(tmp_path / name, processes=1, device="cpu", size="tiny", steps=6)
        target = train(recipe)
        return {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*.safetensors")}

    whole = run("whole")
    assert set(whole) >= {"card/classifier.safetensors", "vae/diffusion_pytorch_model.safetensors"}
    left = {
        ("classifier", 3),
        ("text", 4),
        ("encoder", 3),
        ("halves", 0),
        ("quarters", 2),
        ("sharpen", 2),
        ("transformer", 4),
    }

    def interrupting(stage: str, step: int) -> np.random.Generator:
        if (stage, step) in left:
            left.remove((stage, step))
            raise KeyboardInterrupt
        return generator(stage, step)

    monkeypatch.setattr(loop, "generator", interrupting)
    monkeypatch.setattr(loop, "_SAVE_SECONDS", 0.0)
    while left:
        with pytest.raises(KeyboardInterrupt):
            run("parts")
    assert run("parts") == whole


def test_a_folder_refuses_another_recipe_than_it_was_begun_with(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, processes=1, device="cpu", size="tiny", things=5)
    assert recipe == recipe_of(tmp_path, processes=1, device="cpu", size="tiny", things=5)
    with pytest.raises(ValueError, match="give the same options, or another folder"):
        recipe_of(tmp_path, processes=1, device="cpu", size="tiny", things=6)
    with pytest.raises(ValueError, match="65 things: from 3 to 64"):
        recipe_of(tmp_path / "other", processes=1, device="cpu", things=65)
