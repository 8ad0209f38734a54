"""Wan2.2-Animate on the device: denoises one segment from the character and the videos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipelines.backends.base import Frame, StepReport
from pipelines.backends.checks import loads
from pipelines.backends.wan.animate_options import OVERLAP
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.loading import LOAD_ERRORS, Source, load_transformer
from pipelines.backends.wan.memory_plan import MemoryPlan
from pipelines.schema.request import VideoRole


@dataclass(frozen=True)
class AnimateJob(Job):
    """One segment; `given` holds the character and the last frames of the segment before."""

    videos: dict[VideoRole, Sequence[Frame]] = field(default_factory=dict)
    """As many frames each as the segment has."""
    mode: str = "animate"


class AnimateDenoiser(WanDenoiser):
    """Transformer, VAE, CLIP and scheduler, loaded once and kept until `close`."""

    def _load(self, source: Source) -> Any:
        return _load_pipeline(source)

    def _denoise(self, job: Job, plan: MemoryPlan, report: StepReport) -> torch.Tensor:
        assert isinstance(job, AnimateJob)
        from pipelines.backends.wan.animate_pipeline import DenoisedError

        options, pipeline = job.options, self._pipeline
        scheduler = pipeline.scheduler
        pipeline.scheduler = scheduler.from_config(scheduler.config, flow_shift=options.flow_shift)
        pipeline.vae.use_tiling = plan.tiled_encoding
        pipeline.previous = _as_tensor(job.given.beginning)

        def after_step(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
            report(step + 1, options.steps)
            if step + 1 == options.steps:
                # Decoding has a memory plan of its own.
                raise DenoisedError(values["latents"])
            return values

        try:
            pipeline(
                image=Image.fromarray(job.given.references[0]),
                prompt_embeds=job.positive.to(self._device),
                negative_prompt_embeds=job.negative.to(self._device),
                width=job.size.width,
                height=job.size.height,
                segment_frame_length=job.frames,
                prev_segment_conditioning_frames=OVERLAP,
                mode=job.mode,
                num_inference_steps=options.steps,
                guidance_scale=options.guidance_of(begun=bool(job.given.beginning)),
                # Noise from the CPU is the same on every device.
                generator=torch.Generator("cpu").manual_seed(job.seed),
                callback_on_step_end=after_step,
                **{f"{role}_video": _pictures(video) for role, video in job.videos.items()},
            )
        except DenoisedError as done:
            # The first frame of the latents is the character.
            return done.latents[:, :, 1:]
        raise AssertionError("the pipeline ended before its last step")


def _pictures(video: Sequence[Frame]) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in video]


def _as_tensor(frames: Sequence[Frame]) -> torch.Tensor | None:
    if not frames:
        return None
    return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


def _load_pipeline(source: Source) -> Any:
    """The pipeline of `source` on the CPU.

    Raises WeightsError, also for a LoRA that is unfit, and GenerationError without memory.
    """
    from pipelines.backends.quiet import quiet_libraries

    quiet_libraries()
    from diffusers import WanAnimateTransformer3DModel
    from transformers import CLIPVisionModel

    from pipelines.backends.wan.animate_pipeline import SegmentPipeline

    try:
        transformer = load_transformer(source, "transformer", WanAnimateTransformer3DModel)
        pipeline = SegmentPipeline.from_pretrained(
            source.folder,
            text_encoder=None,
            tokenizer=None,
            image_encoder=None,
            transformer=transformer,
            dtype={"vae": torch.float32, "default": torch.float32},
            local_files_only=True,
        )
        pipeline.clip = CLIPVisionModel.from_pretrained(
            source.folder / "image_encoder", dtype=torch.float32, local_files_only=True
        ).eval()
    except LOAD_ERRORS as error:
        raise loads(error, f"the Animate model in {source.folder}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
