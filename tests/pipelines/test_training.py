"""The recipe of the demo model: its arithmetic equals the stock classes', its eyes are right."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.training import loop
from pipelines.training.codec import decode, encode, encode_clip, new_vae, to_tensor
from pipelines.training.denoiser import Denoiser, Texts, embed, new_transformer
from pipelines.training.loop import Training, generator, schedule, wait_for
from pipelines.training.muon import Muon, orthogonal
from pipelines.training.places import PLAIN, SIDE
from pipelines.training.sight import see
from pipelines.training.text import new_encoder, tokenizer_for
from pipelines.training.vae import seen_again
from pipelines.training.world import (
    SHAPES,
    SPEED,
    WAYS,
    Clip,
    Scene,
    Track,
    random_scene,
    random_track,
    render,
)


def some_clip(seed: int, *, anywhere: bool = False) -> Clip:
    """A coloured shape on a plain background."""
    rng = np.random.default_rng(seed)
    while True:
        scene = random_scene(rng, 3, held_out=None, shapes=1.0)
        if scene.background in PLAIN and scene.movement in WAYS:
            return Clip(scene, random_track(rng, scene.movement, anywhere=anywhere))


def test_sight_is_right_about_true_clips_also_enlarged() -> None:
    for seed in range(60):
        clip = some_clip(seed)
        frames = render(clip, 33 if seed % 3 else 17)
        if seed % 5 == 0:
            frames = frames.repeat(4, axis=1).repeat(4, axis=2)
        sight = see(frames)
        assert sight.scene == clip.scene
        assert np.linalg.norm(sight.steps, axis=-1).max() < SPEED + 0.8


def test_sight_follows_a_shape_that_leaves_and_comes_in_again() -> None:
    clip = Clip(Scene("circle", "red", "right", "black"), Track(60, 48, 18))
    sight = see(render(clip, 110))
    assert sight.scene == clip.scene
    assert not sight.whole.all()
    steps = sight.steps[~np.isnan(sight.steps[:, 0])]
    assert len(steps) > 40
    np.testing.assert_allclose(np.median(steps, axis=0), [SPEED, 0], atol=0.1)


def test_sight_tells_a_reversed_clip_from_the_clip() -> None:
    clip = Clip(Scene("circle", "red", "right", "black"), Track(28, 48, 18))
    assert see(render(clip, 17)[::-1].copy()).scene.movement == "left"


def test_sight_of_an_empty_picture_names_no_shape() -> None:
    empty = np.full((5, SIDE, SIDE, 3), PLAIN["brown"], np.uint8)
    assert see(empty).scene == Scene("", "", "", "brown")
    assert set(SHAPES) == {"circle", "square", "triangle"}


@pytest.mark.parametrize(("widths", "blocks"), [((1, 1, 1), 0), ((1, 2, 2), 1)])
def test_the_fast_codec_equals_the_stock_vae(widths: tuple[int, ...], blocks: int) -> None:
    torch.manual_seed(0)
    vae = new_vae(16, 16, channels=10, widths=widths, blocks=blocks).eval()
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


def test_a_first_frame_is_drawn_and_read_again_as_the_stock_vae_does_it() -> None:
    torch.manual_seed(0)
    vae = new_vae(16, 16, channels=10, widths=(1, 1, 1), blocks=0).eval()
    latents = torch.randn(3, 10, 6, 6)
    with torch.no_grad():
        drawn = vae.decode(latents[:, :, None], return_dict=False)[0]
        stock = vae.encode(drawn).latent_dist.mode()[:, :, 0]
    torch.testing.assert_close(seen_again(vae, latents), stock, atol=2e-5, rtol=0)
    assert (stock - latents).abs().mean() > 0.1


@pytest.mark.parametrize("clean", [0, 1])
def test_the_fast_denoiser_equals_the_stock_transformer(clean: int) -> None:
    torch.manual_seed(0)
    model = new_transformer(2, 3, 96, 32, 16).eval()
    torch.nn.init.normal_(model.proj_out.weight, std=0.1)
    texts = ["a red circle moves right over a black background", ""]
    tokenizer, encoder = tokenizer_for(texts * 20, 300), new_encoder(32).eval()
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


def train_toy(folder: Path, *, stop: int | None = None) -> torch.Tensor:
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


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = train_toy(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_toy(tmp_path / "parts", stop=13)
    torch.testing.assert_close(train_toy(tmp_path / "parts"), whole, atol=0, rtol=0)
    assert wait_for(tmp_path / "parts", "toy")["step"] == 20


def test_what_nobody_trains_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_PATIENCE", -1.0)
    with pytest.raises(TimeoutError, match="toy is not trained in"):
        wait_for(tmp_path, "toy")


def test_a_training_by_the_clock_ends_when_its_minutes_are_over_also_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now)
    monkeypatch.setattr(loop, "_SAVE_SECONDS", 0.0)
    rates: list[float] = []

    def run(stop: int | None) -> Training:
        nonlocal now
        model = torch.nn.Linear(1, 1)
        training = Training("toy", tmp_path, None, {"model": model}, minutes=1, by_clock=True)

        def step(number: int, _: np.random.Generator) -> dict[str, float]:
            nonlocal now
            if number == stop:
                raise KeyboardInterrupt
            rates.append(training.rate(number))
            now += 0.25
            return {}

        training.run(step, every=1000)
        return training

    with pytest.raises(KeyboardInterrupt):
        run(stop=100)
    now += 3600  # what lies between two runs does not count
    assert run(stop=None).is_finished
    assert len(rates) == 240
    assert max(rates) == 1
    assert rates[-1] < 0.02


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


def test_muon_moves_kernels_as_matrices_of_their_output_channels() -> None:
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.randn(8, 4, 1, 3, 3))
    before, slope = kernel.detach().clone(), torch.randn_like(kernel)
    kernel.grad = slope
    Muon([kernel], lr=0.1).step()
    moved = (before - kernel.detach()).flatten(1)
    wanted = orthogonal(slope.flatten(1)[None])[0] * 0.1 * 0.2 * 36**0.5
    torch.testing.assert_close(moved, wanted, atol=2e-2, rtol=0)


def test_muon_leaves_columns_without_slopes_at_zero_and_the_others_as_without_them() -> None:
    torch.manual_seed(0)
    whole = torch.nn.Parameter(torch.randn(8, 4, 3, 3, 3))
    with torch.no_grad():
        whole[:, :, :-1] = 0
    last = torch.nn.Parameter(whole.detach()[:, :, -1].clone())
    slope = torch.randn_like(last)
    whole.grad = torch.zeros_like(whole)
    whole.grad[:, :, -1] = slope
    last.grad = slope
    Muon([whole], lr=0.1).step()
    Muon([last], lr=0.1 * 3**0.5).step()  # its matrix is a third as wide
    assert torch.equal(whole[:, :, :-1], torch.zeros(8, 4, 2, 3, 3))
    torch.testing.assert_close(whole[:, :, -1], last)


def test_random_numbers_of_a_step_do_not_depend_on_the_steps_before() -> None:
    assert generator("a", 5).random() == generator("a", 5).random()
    assert generator("a", 5).random() != generator("b", 5).random()
