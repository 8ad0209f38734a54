"""The recipe of the demo model: its arithmetic equals the stock classes', its eyes are right."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.training import captions
from pipelines.training.captions import fresh_caption, is_held_out, training_caption
from pipelines.training.codec import decode, encode, encode_clip, new_vae, to_tensor
from pipelines.training.denoiser import Denoiser, Texts, embed, new_transformer
from pipelines.training.loop import Training, generator, schedule
from pipelines.training.muon import orthogonal
from pipelines.training.sight import see
from pipelines.training.text import new_encoder, train_tokenizer
from pipelines.training.world import SPEED, Clip, Scene, random_scene, random_track, render


def some_clip(seed: int, *, anywhere: bool = False) -> Clip:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    return Clip(scene, random_track(rng, scene.direction, anywhere=anywhere))


def test_sight_is_right_about_true_clips_also_across_the_edge_and_enlarged() -> None:
    for seed in range(60):
        clip = some_clip(seed, anywhere=seed % 2 == 1)
        frames = render(clip, 33 if seed % 3 else 17)
        if seed % 5 == 0:
            frames = frames.repeat(4, axis=1).repeat(4, axis=2)
        sight = see(frames)
        assert sight.scene == clip.scene
        assert np.linalg.norm(sight.steps, axis=-1).max() < SPEED + 0.8


def test_sight_tells_a_reversed_clip_from_the_clip() -> None:
    clip = Clip(Scene("circle", "red", "right", "black"), some_clip(1).track)
    assert see(render(clip, 17)[::-1].copy()).scene.direction == "left"


def test_held_out_wording_never_occurs_in_training() -> None:
    rng = np.random.default_rng(0)
    texts = [training_caption(random_scene(rng), rng)[0].lower() for _ in range(3000)]
    for filler in captions.HELD_OUT_FILLERS:
        assert not any(filler in text for text in texts)
    for opening in ("see how", "keeps moving", "steadily", "a single"):
        assert not any(opening in text for text in texts)
    assert is_held_out("golden", "ball") or any("golden ball" in text for text in texts)
    pairs = {
        (colour, shape)
        for colour in ("crimson", "azure", "golden", "violet", "amber", "emerald")
        for shape in ("ball", "box", "cube", "disc", "pyramid", "wedge", "cone")
        if is_held_out(colour, shape)
    }
    assert pairs
    for colour, shape in pairs:
        assert not any(f"{colour} {shape}" in text for text in texts)


def test_fresh_captions_name_all_four_attributes() -> None:
    rng = np.random.default_rng(0)
    for held_out in (False, True):
        scene = random_scene(rng)
        text = fresh_caption(scene, rng, held_out=held_out)
        for value in scene:
            assert any(word in text for word in captions.WORDS[value])


def test_the_fast_codec_equals_the_stock_vae() -> None:
    torch.manual_seed(0)
    vae = new_vae().eval()
    frames = to_tensor(render(some_clip(3), 17))
    with torch.no_grad():
        latents = encode_clip(vae, frames)
        stock = vae.encode(frames.transpose(0, 1)[None]).latent_dist.mode()[0]
        torch.testing.assert_close(latents, stock, atol=2e-5, rtol=0)
        groups = latents.transpose(0, 1)
        fast = torch.cat([decode(vae, groups[:1], 1)[0], decode(vae, groups[1:], 4).flatten(0, 1)])
        slow = vae.decode(latents[None], return_dict=False)[0][0].transpose(0, 1)
        torch.testing.assert_close(fast.clamp(-1, 1), slow, atol=2e-5, rtol=0)
        _, spread = encode(vae, frames[None, :1])
    assert spread.mean() < -3  # its noise does not drown the start


@pytest.mark.parametrize("clean", [0, 1])
def test_the_fast_denoiser_equals_the_stock_transformer(clean: int) -> None:
    torch.manual_seed(0)
    model = new_transformer().eval()
    torch.nn.init.normal_(model.proj_out.weight, std=0.1)
    tokenizer, encoder = train_tokenizer(200), new_encoder().eval()
    texts = ["a red circle moves right over a black background", ""]
    latents = torch.randn(2, 16, 5, 8, 8)
    times = torch.tensor([300.0, 700.0])
    with torch.no_grad():
        ids = tokenizer(texts, padding="max_length", max_length=512, return_tensors="pt")
        states = encoder(ids["input_ids"], attention_mask=ids["attention_mask"]).last_hidden_state
        states = states * ids["attention_mask"][..., None]
        each = times[:, None].expand(-1, 80).clone()
        each[:, : 16 * clean] = 0
        stock = model(latents, each if clean else times, states, return_dict=False)[0]
        denoiser = Denoiser(model, compiled=False)
        fast = denoiser(latents, times, clean, embed(encoder, tokenizer, texts))
    assert isinstance(embed(encoder, tokenizer, texts), Texts)
    torch.testing.assert_close(fast, stock, atol=5e-5, rtol=0)


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    def train(folder: Path, *, stop: int | None = None) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 4)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

        def step(number: int, rng: np.random.Generator) -> dict[str, float]:
            if number == stop:
                raise KeyboardInterrupt
            loss = (model(torch.tensor(rng.normal(size=(8, 4)), dtype=torch.float32))).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return {"loss": loss.item()}

        Training("toy", folder, 20, {"model": model, "optimizer": optimizer}).run(step, every=5)
        return model.weight.detach()

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop=13)
    torch.testing.assert_close(train(tmp_path / "parts"), whole, atol=0, rtol=0)


def test_the_schedule_rises_stays_and_ends_at_nothing() -> None:
    shares = [schedule(step, 1000) for step in range(1000)]
    assert shares[0] < 0.02
    assert max(shares) == 1.0
    assert shares[-1] < 0.01
    assert shares[500] == 1.0


def test_orthogonal_moves_all_singular_values_to_about_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 16, 16), (2, 16, 40), (2, 40, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.3
        assert values.max() < 1.5


def test_random_numbers_of_a_step_do_not_depend_on_the_steps_before() -> None:
    assert generator("a", 5).random() == generator("a", 5).random()
    assert generator("a", 5).random() != generator("b", 5).random()
