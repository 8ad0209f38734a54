"""A Wan pipeline on the device: denoises latents from embeddings and decodes them to frames.

The text encoder is never loaded here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from pipelines.backends.base import Frame, StepReport
from pipelines.backends.frames import check_finite, check_shape, to_frames
from pipelines.backends.memory import free_memory, run_with_less
from pipelines.backends.wan.conditioning import Given, arguments_for
from pipelines.backends.wan.loading import Source, load_pipeline
from pipelines.backends.wan.memory_plan import MemoryPlan, Placement
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.placing import place
from pipelines.errors import GenerationError
from pipelines.schema.sizes import Size

_ADVICE = "choose a smaller size or fewer frames a chunk"


@dataclass(frozen=True)
class Job:
    """One clip to make."""

    size: Size
    frames: int
    seed: int
    options: WanOptions
    positive: torch.Tensor
    """Embedding of the prompt, 1 x 512 x width."""
    negative: torch.Tensor
    given: Given


@dataclass(frozen=True)
class RenderedClip:
    """Frames to be drawn one by one, and how the memory was spent."""

    frames: Iterator[Frame]
    memory_mode: str


class WanDenoiser:
    """Transformers, VAE and scheduler, loaded once and kept until `close`."""

    def __init__(
        self, source: Source, device: torch.device, placement: Placement = "resident"
    ) -> None:
        """Loads the models. Raises WeightsError if the folder does not hold them, and
        GenerationError if they do not fit into memory, however they are placed."""
        self._source = source
        self._device = device
        self._pipeline = self._load(source)
        self._half_vae: Any = None
        self.placement: Placement = placement
        """Where its models are; a step down stays, because it hangs on the models' size."""
        run_with_less(
            lambda: place(self._pipeline, device, self.placement, source.stored),
            self._step_aside,
            _ADVICE,
        )

    def _load(self, source: Source) -> Any:
        return load_pipeline(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the models; the object cannot be used after that."""
        self._pipeline = self._half_vae = None
        free_memory()

    def render(self, job: Job, plan: MemoryPlan, report: StepReport) -> RenderedClip:
        """The clip's frames (RGB, 8 bit), made as `plan` says, or with less memory if it runs out.

        Raises BadFramesError on non-finite frames and GenerationError if memory runs out and
        nothing is left to save.
        """
        if self._pipeline is None:
            raise GenerationError("the Wan models were freed; load them again")
        state = [replace(plan, placement=self.placement)]

        def step_down(*, decoding: bool) -> bool:
            below = state[0].below(self._device.type, decoding=decoding)
            if below is None:
                return False
            state[0] = below
            self._move(below.placement)
            return True

        with torch.inference_mode():
            latents = run_with_less(
                lambda: self._denoise(job, state[0], report),
                lambda: step_down(decoding=False),
                _ADVICE,
            )
            check_finite(latents, "latents")
            video = run_with_less(
                lambda: self._decode(latents, state[0]),
                lambda: step_down(decoding=True),
                _ADVICE,
            )
        check_shape(video, job.size, job.frames)
        return RenderedClip(to_frames(video), state[0].mode)

    def _step_aside(self) -> bool:
        """Keep less on the device from now on; False if there is no way to."""
        least = MemoryPlan(self.placement, "tiled", tiled_encoding=True)
        below = least.below(self._device.type, decoding=True)
        if below:
            self.placement = below.placement
        return below is not None

    def _move(self, placement: Placement) -> None:
        if placement != self.placement:
            place(self._pipeline, self._device, placement, self._source.stored)
            self.placement = placement

    def _denoise(self, job: Job, plan: MemoryPlan, report: StepReport) -> torch.Tensor:
        options = job.options
        pipeline = self._view(job.given)
        scheduler = pipeline.scheduler
        pipeline.scheduler = scheduler.from_config(scheduler.config, flow_shift=options.flow_shift)
        # The VAE encodes given frames.
        pipeline.vae.use_tiling = plan.tiled_encoding

        def after_step(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
            report(step + 1, options.steps)
            return values

        second = (
            {"guidance_scale_2": options.guidance_2} if len(self._source.transformers) > 1 else {}
        )
        latents: torch.Tensor = pipeline(
            prompt_embeds=job.positive.to(self._device),
            negative_prompt_embeds=job.negative.to(self._device),
            width=job.size.width,
            height=job.size.height,
            num_frames=job.frames,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance_of(begun=bool(job.given.beginning)),
            # Noise from the CPU is the same on every device.
            generator=torch.Generator("cpu").manual_seed(job.seed),
            output_type="latent",
            callback_on_step_end=after_step,
            **second,
            **arguments_for(self._source.route, job.given, job.size, job.frames),
        ).frames
        # VACE puts reference pictures before the clip, and leaves them there in latents.
        return latents[:, :, len(job.given.references) :]

    def _view(self, given: Given) -> Any:
        """The pipeline to call."""
        if self._source.route != "text" or not given.beginning:
            return self._pipeline
        from diffusers import WanImageToVideoPipeline

        # A second view of the same modules: text and first frame need one set of weights.
        view = WanImageToVideoPipeline(**self._pipeline.components, expand_timesteps=True)
        view.set_progress_bar_config(disable=True)
        return view

    def _decode(self, latents: torch.Tensor, plan: MemoryPlan) -> torch.Tensor:
        vae = self._pipeline.vae
        shape = (1, vae.config.z_dim, 1, 1, 1)
        latents = latents.to(self._device, torch.float32)
        mean = torch.tensor(vae.config.latents_mean, device=latents.device).view(shape)
        deviation = torch.tensor(vae.config.latents_std, device=latents.device).view(shape)
        latents = latents * deviation + mean
        if plan.decoding == "bf16":
            vae, latents = self._half(), latents.to(torch.bfloat16)
        vae.use_tiling = plan.decoding == "tiled"
        video: torch.Tensor = vae.decode(latents, return_dict=False)[0]
        return video

    def _half(self) -> Any:
        """The VAE in bfloat16, beside the one that encodes, which must stay in float32."""
        if self._half_vae is None:
            from diffusers import AutoencoderKLWan

            vae = AutoencoderKLWan.from_config(self._pipeline.vae.config)
            vae.load_state_dict(self._pipeline.vae.state_dict())
            self._half_vae = vae.to(self._device, torch.bfloat16).eval()
        return self._half_vae

    def through_vae(self, frames: Sequence[Frame]) -> list[Frame]:
        """`frames` encoded and decoded: what the VAE alone makes of them."""
        pixels = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.inference_mode():
            encoded = self._pipeline.vae.encode(pixels.to(self._device)).latent_dist.mode()
            return list(to_frames(self._pipeline.vae.decode(encoded, return_dict=False)[0]))
