"""The loaded AnimateDiff: Stable Diffusion 1.5 and a motion adapter, fused into one UNet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError

from pipelines.backends.animatediff.lora import merge_lora
from pipelines.backends.animatediff.options import CONTEXT, Options
from pipelines.backends.base import GeneratedClip, StepReport
from pipelines.backends.checks import loads
from pipelines.backends.frames import check_finite, check_shape, to_frames
from pipelines.backends.memory import Ladder, free_memory, run_with_less
from pipelines.backends.quiet import quiet_libraries
from pipelines.errors import GenerationError
from pipelines.schema.request import ClipRequest

LCM_LORA = "AnimateLCM_sd15_t2v_lora.safetensors"
"""The LoRA beside AnimateLCM's adapter, by its name in the repository."""
_STRIDE = 4
"""Frames between two windows of FreeNoise, diffusers' default."""
_DECODED_AT_ONCE = 4
"""Frames that the VAE decodes together: 512*512 in float32 take about 1.3 GB each."""
_PLACES_AT_ONCE, _FRAMES_AT_ONCE = 256, 16
"""Parts of a batch when memory is short, diffusers' defaults."""
Mode = Literal["resident", "split", "offload"]
Result = TypeVar("Result")
_LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    TypeError,
    SafetensorError,
    MemoryError,
)
_ADVICE = "choose a smaller size or fewer frames a chunk"


class AnimateDiffModel:
    """Text encoder, UNet with motion modules, and VAE.

    What it does when memory runs out, in this order: `resident`; `split` decodes frame by frame
    and runs the UNet's blocks on parts of the batch, which makes the same picture; `offload`
    besides keeps each model on the device only while it works (CUDA only). A smaller request than
    the one that ran out begins at `resident` again.
    """

    def __init__(
        self, base: Path, adapter: Path, device: str, dtype: str, lora_strength: float | None
    ) -> None:
        """Loads everything; with `lora_strength`, the LoRA beside the adapter is merged.

        Raises WeightsError if the folders do not hold it, and GenerationError if it does not fit
        into memory.
        """
        quiet_libraries()
        self._device = torch.device(device)
        self._dtype: torch.dtype = getattr(torch, dtype)
        try:
            self._pipeline: Any = _load(base, adapter, self._dtype)
        except _LOAD_ERRORS as error:
            raise loads(error, f"AnimateDiff in {base} and {adapter}") from error
        if lora_strength is not None:
            merge_lora(self._pipeline.unet, adapter / LCM_LORA, lora_strength)
        self._pipeline.set_progress_bar_config(disable=True)
        self._noise_schedule = self._pipeline.scheduler.config
        cuda = self._device.type == "cuda"
        self._ladder: Ladder[Mode] = Ladder(
            ("resident", "split", "offload") if cuda else ("resident", "split")
        )
        self._mode: Mode | None = None
        """None while the models may be anywhere."""
        self._wanted: Mode = "resident"
        self._fit(0, lambda: None)

    def close(self) -> None:
        """Free the models; the object cannot be used after that."""
        self._pipeline = None
        free_memory()

    def make(self, request: ClipRequest, options: Options, on_step: StepReport) -> GeneratedClip:
        """`request.frames` frames of `request.size`.

        Raises BadFramesError on non-finite latents or pixels, and GenerationError if memory runs
        out on the last rung.
        """
        if self._pipeline is None:
            raise GenerationError("AnimateDiff's models were freed; load them again")
        load = request.size.megapixels * request.frames
        self._wanted = self._ladder.start(load, "resident")
        self._pipeline.scheduler = _scheduler(options.scheduler, self._noise_schedule)
        self._free_noise(request.frames > CONTEXT)
        with torch.inference_mode():
            latents = self._fit(load, lambda: self._denoise(request, options, on_step))
            check_finite(latents, "latents")
            video = self._fit(load, lambda: self._decode(latents))
        check_shape(video, request.size, request.frames)
        return GeneratedClip(to_frames(video), self._wanted)

    def _fit(self, load: float, work: Callable[[], Result]) -> Result:
        """`work` in the mode that is wanted, or in one below it if memory runs out."""

        def attempt() -> Result:
            self._enter(self._wanted)
            return work()

        def step_down() -> bool:
            below = self._ladder.below(self._wanted, load)
            self._wanted = below or self._wanted
            return below is not None

        return run_with_less(attempt, step_down, _ADVICE)

    def _free_noise(self, on: bool) -> None:
        """Switch the windows on or off. They fail on fewer frames than CONTEXT, and without them
        more than the adapter's 32 positions fail, so that each request needs the right one."""
        pipeline = self._pipeline
        if on == pipeline.free_noise_enabled:
            return
        # diffusers overlooks blocks that it has wrapped for split inference.
        _join_batches(pipeline.unet)
        if on:
            pipeline.enable_free_noise(context_length=CONTEXT, context_stride=_STRIDE)
        else:
            # Not `disable_free_noise`, which fails on adapters without a module in the middle.
            for block in _motion_blocks(pipeline.unet):
                pipeline._disable_free_noise_in_block(block)
            pipeline._free_noise_context_length = None
        # The new blocks come in the dtype of whichever component is first, perhaps the VAE's.
        pipeline.unet.to(self._dtype)
        # The wrapped blocks are gone: the next attempt puts the models in their mode anew.
        self._mode = None

    def _denoise(self, request: ClipRequest, options: Options, on_step: StepReport) -> torch.Tensor:
        def after_step(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
            on_step(step + 1, options.steps)
            return values

        latents: torch.Tensor = self._pipeline(
            prompt=request.prompt,
            negative_prompt=request.negative,
            width=request.size.width,
            height=request.size.height,
            num_frames=request.frames,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            # Noise from the CPU is the same on every device.
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="latent",
            callback_on_step_end=after_step,
        ).frames
        return latents

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        """1 x 4 x F x h x w → 1 x 3 x F x H x W. Not by the pipeline, whose VAE would have to be
        in the UNet's dtype."""
        vae = self._pipeline.vae
        at_once = _DECODED_AT_ONCE if self._mode == "resident" else 1
        scaled = latents[0].transpose(0, 1).to(self._device, torch.float32)
        scaled = scaled / vae.config.scaling_factor
        parts = [vae.decode(part, return_dict=False)[0].cpu() for part in scaled.split(at_once)]
        self._pipeline.maybe_free_model_hooks()
        return torch.cat(parts).transpose(0, 1)[None]

    def _enter(self, mode: Mode) -> None:
        """Put the models where `mode` has them, from wherever they are."""
        if mode == self._mode:
            return
        pipeline, self._mode = self._pipeline, None
        pipeline.remove_all_hooks()
        if mode == "resident":
            _join_batches(pipeline.unet)
        else:
            _split_batches(pipeline)
        if mode == "offload":
            pipeline.enable_model_cpu_offload(device=self._device)
        else:
            pipeline.to(self._device)
        self._mode = mode


def _load(base: Path, adapter: Path, dtype: torch.dtype) -> Any:
    from diffusers import AnimateDiffPipeline, MotionAdapter

    motion = MotionAdapter.from_pretrained(adapter, dtype=dtype, local_files_only=True)
    return AnimateDiffPipeline.from_pretrained(
        base,
        motion_adapter=motion,
        feature_extractor=None,
        image_encoder=None,
        dtype={
            "unet": dtype,
            "text_encoder": dtype,
            "vae": torch.float32,
            "default": torch.float32,
        },
        local_files_only=True,
    )


def _scheduler(name: str, base: Any) -> Any:
    """The scheduler `name` on the noise schedule that the adapter was trained with: linear, while
    the base's own is scaled linear."""
    from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler

    if name == "lcm":
        return LCMScheduler.from_config(base, beta_schedule="linear")
    if name == "euler":
        return EulerDiscreteScheduler.from_config(
            base, beta_schedule="linear", timestep_spacing="linspace"
        )
    return DDIMScheduler.from_config(
        base, beta_schedule="linear", clip_sample=False, timestep_spacing="linspace"
    )


def _motion_blocks(unet: Any) -> list[Any]:
    """The blocks that hold motion modules; the one in the middle may have none."""
    blocks = (*unet.down_blocks, unet.mid_block, *unet.up_blocks)
    return [block for block in blocks if hasattr(block, "motion_modules")]


def _split_batches(pipeline: Any) -> None:
    """Run the blocks on parts of the batch. `enable_free_noise_split_inference` would also wrap
    a middle block without motion, which calls its parts in a way that the wrapper cannot split."""
    _join_batches(pipeline.unet)
    for block in _motion_blocks(pipeline.unet):
        pipeline._enable_split_inference_motion_modules_(block.motion_modules, _PLACES_AT_ONCE)
        if getattr(block, "attentions", None) is not None:
            pipeline._enable_split_inference_attentions_(block.attentions, _FRAMES_AT_ONCE)
        pipeline._enable_split_inference_resnets_(block.resnets, _FRAMES_AT_ONCE)


def _join_batches(unet: torch.nn.Module) -> None:
    """Undo `enable_free_noise_split_inference`: put each wrapped module in its old place."""
    from diffusers.pipelines.free_noise_utils import SplitInferenceModule

    for parent in list(unet.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SplitInferenceModule):
                setattr(parent, name, child.module)
