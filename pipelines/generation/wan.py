"""Wan 2.1 text-to-video from a local folder: the real 1.3B, or a small one of its classes.

Peak device memory of the 1.3B in bf16 (transformer 2.8 GB, VAE 0.5 GB in fp32) is set by the
VAE's decode workspace; the text encoder is never loaded here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError

from pipelines.errors import GenerationError, WeightsError
from pipelines.generation.embeddings import free_memory
from pipelines.generation.frames import check_finite, to_frames
from pipelines.generation.memory import Ladder, Rung
from pipelines.media.codec import Frame
from pipelines.schema.plan import ChunkSpec

StepReport = Callable[[int, int], None]
"""Called with (steps done, steps in all) after each denoising step."""


@dataclass(frozen=True)
class RenderedChunk:
    """Frames to be drawn one by one, and the rung of memory they were made on."""

    frames: Iterator[Frame]
    rung: Rung


class WanModel:
    """Transformer, VAE and scheduler, loaded once and kept until the context ends."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Loads the models. Raises WeightsError if the folder does not hold them."""
        from diffusers import WanPipeline

        from pipelines.generation.quiet import quiet_libraries

        quiet_libraries()

        try:
            self._pipeline: Any = WanPipeline.from_pretrained(
                folder,
                text_encoder=None,
                tokenizer=None,
                dtype={"transformer": dtype, "vae": torch.float32, "default": torch.float32},
                local_files_only=True,
            )
        except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
            raise WeightsError(f"the Wan models in {folder} do not load: {error}") from error
        self._pipeline.set_progress_bar_config(disable=True)
        self._pipeline.to(device)
        self._device = device
        self._ladder = Ladder(self._step_down)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the models; the object cannot be used after that."""
        self._pipeline = None
        free_memory()

    def render(
        self,
        spec: ChunkSpec,
        positive: torch.Tensor,
        negative: torch.Tensor,
        report: StepReport,
    ) -> RenderedChunk:
        """The chunk's frames (RGB, 8 bit) from the embeddings of its two texts.

        Walks down the memory ladder. Raises BadFramesError on non-finite or black frames and
        GenerationError if memory runs out on the last rung.
        """
        if self._pipeline is None:
            raise GenerationError("the Wan models were freed; load them again")
        with torch.inference_mode():
            latents = self._ladder.run(lambda: self._denoise(spec, positive, negative, report))
            check_finite(latents, "latents")
            video = self._ladder.run(lambda: self._decode(latents))
        return RenderedChunk(to_frames(video), self._ladder.rung)

    def _denoise(
        self, spec: ChunkSpec, positive: torch.Tensor, negative: torch.Tensor, report: StepReport
    ) -> torch.Tensor:
        pipeline = self._pipeline
        scheduler = pipeline.scheduler
        pipeline.scheduler = scheduler.from_config(scheduler.config, flow_shift=spec.flow_shift)

        def after_step(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
            report(step + 1, spec.steps)
            return values

        result: torch.Tensor = pipeline(
            prompt_embeds=positive.to(self._device),
            negative_prompt_embeds=negative.to(self._device),
            width=spec.size.width,
            height=spec.size.height,
            num_frames=spec.frames,
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance,
            # Noise from the CPU is the same on every device.
            generator=torch.Generator("cpu").manual_seed(spec.seed),
            output_type="latent",
            callback_on_step_end=after_step,
        ).frames
        return result

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self._pipeline.vae
        shape = (1, vae.config.z_dim, 1, 1, 1)
        latents = latents.to(self._device, torch.float32)
        mean = torch.tensor(vae.config.latents_mean, device=latents.device).view(shape)
        deviation = torch.tensor(vae.config.latents_std, device=latents.device).view(shape)
        video: torch.Tensor = vae.decode(latents * deviation + mean, return_dict=False)[0]
        return video

    def _step_down(self, rung: Rung) -> bool:
        free_memory()
        if rung == "tiled-decode":
            self._pipeline.vae.enable_tiling()
            return True
        if self._device.type == "cuda":
            self._pipeline.enable_model_cpu_offload(device=self._device)
            return True
        return False
