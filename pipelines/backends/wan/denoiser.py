"""A Wan pipeline on the device: denoises latents from embeddings and decodes them to frames.

The text encoder is never loaded here.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from pipelines.backends.attention import NATIVE, Heads, choose_attention, use_attention
from pipelines.backends.base import Compile, Frame, StepReport
from pipelines.backends.compiling import CompiledBlocks
from pipelines.backends.frames import check_finite, check_shape, to_frames
from pipelines.backends.memory import free_memory, run_with_less
from pipelines.backends.shortages import Shortages
from pipelines.backends.wan.conditioning import Given, arguments_for
from pipelines.backends.wan.footprint import Footprint
from pipelines.backends.wan.loading import Source, load_pipeline
from pipelines.backends.wan.memory_plan import MemoryPlan, Placement, PlanPhase, held_bytes
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.placing import place, take_off, transformers_of
from pipelines.errors import GenerationError
from pipelines.schema.computation import Computation
from pipelines.schema.sizes import Size

_ADVICE = "choose a smaller size or fewer frames a chunk"
_ADVICE_16_BITS = f"{_ADVICE}, or a preset that decodes in 16 bits, such as video_high_safe"
"""They take half the memory. No preset that does not ask for them gets them: pixels differ."""
_WARM_STEPS = 4
"""Steps in which both transformers of A14B take part, with the flow shifts of its presets."""
RanOut = Callable[[MemoryPlan, PlanPhase], None]


def _forget(_: MemoryPlan, __: PlanPhase) -> None:
    """Memory that ran out changes this clip only."""


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
    """Frames to be drawn one by one, how the memory was spent, and how the device computed."""

    frames: Iterator[Frame]
    memory_mode: str
    computation: Computation


class WanDenoiser:
    """Transformers, VAE and scheduler, loaded once and kept until `close`."""

    def __init__(
        self,
        source: Source,
        device: torch.device,
        placement: Placement = "resident",
        compiling: Compile = "off",
        code: Path | None = None,
    ) -> None:
        """Loads the models. Compiled code is kept in the folder `code`. Raises WeightsError if the
        source's folder does not hold them, and GenerationError if they do not fit into memory,
        however they are placed."""
        self._source = source
        self._device = device
        self._pipeline = self._load(source)
        self._half_vae: Any = None
        self._placed = False
        self._aside = False
        """Whether resident transformers left the device, so that the VAE has it alone."""
        self.placement: Placement = placement
        """Where its models are, or were to go when memory ran out."""
        self.shortages = Shortages()
        """Where memory ran out, for the plans of later clips."""
        self._attention = ""
        kind, transformers = _kind_of(source, self._pipeline), transformers_of(self._pipeline)
        plain = source.stored in ("", source.dtype)
        self._blocks = CompiledBlocks(compiling if plain else "off", transformers, kind, code)
        run_with_less(lambda: self._move(self.placement), self._step_aside, _ADVICE)

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

    @property
    def device_kind(self) -> str:
        """`cuda` or `cpu`: which ways to save memory there are."""
        return self._device.type

    @property
    def text_width(self) -> int:
        """Numbers of a token's embedding."""
        return int(transformers_of(self._pipeline)[0].config.text_dim)

    def held_bytes(self, footprint: Footprint) -> int:
        """Bytes of its weights on the device now."""
        if not self._placed:
            return 0
        half = self._half_vae is not None
        return held_bytes(footprint, self.placement, half=half, aside=self._aside)

    def render(
        self, job: Job, plan: MemoryPlan, report: StepReport, ran_out: RanOut = _forget
    ) -> RenderedClip:
        """The clip's frames (RGB, 8 bit), made as `plan` says, or with less memory if it runs out.

        `ran_out` is told in which plan and phase that was, as soon as the memory is free again.
        Raises BadFramesError on non-finite frames and GenerationError if memory runs out and
        nothing is left to save.
        """
        if self._pipeline is None:
            raise GenerationError("the Wan models were freed; load them again")
        state = [plan]

        def step_down(phase: PlanPhase) -> bool:
            if not self._placed:
                phase = "place"
                self._clear()
            ran_out(state[0], phase)
            below = state[0].below(self.device_kind, phase)
            if below is not None:
                state[0] = below
            return below is not None

        with torch.inference_mode():
            latents = run_with_less(
                lambda: self.denoise(job, state[0], report), lambda: step_down("denoise"), _ADVICE
            )
            check_finite(latents, "latents")
            computation = self._computation(job, state[0])
            video = run_with_less(
                lambda: self.decode(latents, state[0]),
                lambda: step_down("decode"),
                _ADVICE if plan.half else _ADVICE_16_BITS,
            )
        check_shape(video, job.size, job.frames)
        return RenderedClip(to_frames(video), state[0].mode, computation)

    def denoise(self, job: Job, plan: MemoryPlan, report: StepReport) -> torch.Tensor:
        """The clip's latents (1 x channels x F x H x W, normalised) by one attempt of `plan`.

        Raises what torch raises if memory runs out.
        """
        self._move(plan.placement)
        self._attend(job)
        shape, may_compile = self._shape(job), plan.placement == "resident"
        if may_compile and self._blocks.wants(shape):
            self._compile(job, plan, shape)
        with torch.inference_mode(), self._blocks.code_for(shape if may_compile else None):
            return self._denoise(job, plan, report)

    def decode(self, latents: torch.Tensor, plan: MemoryPlan) -> torch.Tensor:
        """The frames (1 x 3 x F x H x W in -1…1) of normalised `latents` by one attempt of `plan`.

        Raises what torch raises if memory runs out.
        """
        self._move(plan.placement, transforms=False)
        if plan.decoding == "alone":
            self._set_aside()
        with torch.inference_mode():
            return self._decode(latents, plan)

    def warm(self, job: Job, plan: MemoryPlan) -> bool:
        """Compile for clips like `job` by a few steps of it; whether there is compiled code now.

        False without a trial where nothing is to be compiled: on request of the host, for layers
        in 8 bits, or if the models do not stay on the device.
        """
        if plan.placement != "resident":
            return False
        self._move(plan.placement)
        self._attend(job)
        return self._compile(job, plan, self._shape(job))

    def _compile(self, job: Job, plan: MemoryPlan, shape: Hashable) -> bool:
        # Two transformers take turns, the second one in the last steps only.
        steps = _WARM_STEPS if len(self._source.transformers) > 1 else 1
        short = replace(job, options=job.options.model_copy(update={"steps": steps}))
        with torch.inference_mode():
            return self._blocks.warm(shape, lambda: self._denoise(short, plan, lambda *_: None))

    def _attend(self, job: Job) -> None:
        """Let the transformers compute attention as the job's options allow."""
        transformers = transformers_of(self._pipeline)
        config, dtype = transformers[0].config, getattr(torch, self._source.dtype)
        heads = Heads(config.num_attention_heads, config.attention_head_dim)
        name = choose_attention(heads, self._device, dtype, job.options.attention)
        if name != (self._attention or NATIVE):
            for transformer in transformers:
                use_attention(transformer, name)
        self._attention = name

    def _computation(self, job: Job, plan: MemoryPlan) -> Computation:
        """How `job` was denoised by its last attempt, that of `plan`."""
        shape = self._shape(job)
        compiled = plan.placement == "resident" and self._blocks.is_compiled(shape)
        return Computation(attention=self._attention, compiled=compiled)

    def _shape(self, job: Job) -> Hashable:
        """What decides which compiled code `job` needs, beside the models. VACE has as many tokens
        with known frames as without; elsewhere a beginning may have timesteps of its own."""
        given = job.given
        begun = bool(given.beginning) and self._source.route != "vace"
        # References are frames of their own.
        return (str(job.size), job.frames, len(given.references), begun, self._attention)

    def _step_aside(self) -> bool:
        """Keep less on the device from now on; False if there is no way to."""
        self._clear()
        below = MemoryPlan(self.placement).below(self.device_kind, "place")
        if below:
            self.placement = below.placement
        return below is not None

    def _move(self, placement: Placement, *, transforms: bool = True) -> None:
        """Put the models where `placement` says. Transformers that were set aside come back if the
        work that follows `transforms`."""
        if self._placed and placement == self.placement and not (self._aside and transforms):
            return
        self._placed, self.placement = False, placement
        place(self._pipeline, self._device, placement, self._source.stored)
        self._placed, self._aside = True, False

    def _set_aside(self) -> None:
        """Take resident transformers off the device until they are needed."""
        if self._aside:
            return
        self._aside = True  # first: if the host has no room for all of them, they come back too
        for transformer in transformers_of(self._pipeline):
            transformer.to("cpu")
        free_memory()

    def _clear(self) -> None:
        """Take the models off the device, where an attempt to place them may have left some."""
        self._half_vae = None
        take_off(self._pipeline)
        self._pipeline.to("cpu")
        free_memory()

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
        if plan.half:
            vae, latents = self._half(), latents.to(torch.bfloat16)
        else:
            self._half_vae = None
        vae.use_tiling = plan.decoding == "tiled"
        video: torch.Tensor = vae.decode(latents, return_dict=False)[0]
        return video

    def _half(self) -> Any:
        """The VAE in bfloat16, beside the one that encodes, which must stay in float32.

        Its weights lie with the channels last, as the cards' units for 16 bits read them; so cuDNN
        converts nothing on the way.
        """
        if self._half_vae is None:
            from diffusers import AutoencoderKLWan

            vae = AutoencoderKLWan.from_config(self._pipeline.vae.config)
            vae.load_state_dict(self._pipeline.vae.state_dict())
            vae.to(self._device, torch.bfloat16).eval()
            for module in vae.modules():
                if isinstance(module, torch.nn.Conv3d):
                    module.to(memory_format=torch.channels_last_3d)
            self._half_vae = vae
        return self._half_vae

    def through_vae(self, frames: Sequence[Frame]) -> list[Frame]:
        """`frames` encoded and decoded: what the VAE alone makes of them."""
        pixels = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.inference_mode():
            encoded = self._pipeline.vae.encode(pixels.to(self._device)).latent_dist.mode()
            return list(to_frames(self._pipeline.vae.decode(encoded, return_dict=False)[0]))


def _kind_of(source: Source, pipeline: Any) -> Hashable:
    """What compiled code of the transformers hangs on beside the shape."""
    transformer = transformers_of(pipeline)[0]
    config = transformer.config
    sizes = (config.num_attention_heads, config.attention_head_dim, config.ffn_dim)
    return (type(transformer).__name__, *sizes, source.dtype)
