"""Wan from a local folder: the real 2.1 1.3B, or a small one of its classes.

Text-to-video, and for models trained with a clean first frame (Wan 2.2 TI2V, our demo model)
the same weights going on from a frame.

Peak device memory of the 1.3B in bf16 (transformer 2.8 GB, VAE 0.5 GB in fp32) is set by the
VAE's decode workspace; the text encoder is never loaded here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError

from pipelines.errors import GenerationError, WeightsError
from pipelines.generation.embeddings import free_memory
from pipelines.generation.frames import check_finite, to_frames
from pipelines.generation.memory import Ladder, Rung
from pipelines.media.codec import Frame
from pipelines.schema.plan import ChunkSpec

StepReport = Callable[[int, int], None]
"""Called with (steps done, steps in all) after each denoising step."""


def load_options(dtype: torch.dtype) -> dict[str, Any]:
    """For `from_pretrained`: no text encoder, the VAE in float32, the transformer in `dtype`."""
    return {
        "text_encoder": None,
        "tokenizer": None,
        "dtype": {"transformer": dtype, "vae": torch.float32, "default": torch.float32},
        "local_files_only": True,
    }


@dataclass(frozen=True)
class RenderedChunk:
    """Frames to be drawn one by one, and the rung of memory they were made on."""

    frames: Iterator[Frame]
    rung: Rung


class WanModel:
    """Transformer, VAE and scheduler, loaded once and kept until the context ends."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Loads the models. Raises WeightsError if the folder does not hold them."""
        from pipelines.generation.quiet import quiet_libraries

        quiet_libraries()
        try:
            self._pipeline: Any = self._load(folder, dtype)
        except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
            raise WeightsError(f"the Wan models in {folder} do not load: {error}") from error
        self._pipeline.set_progress_bar_config(disable=True)
        self._pipeline.to(device)
        self._device = device
        self._ladder = Ladder(self._step_down)

    def _load(self, folder: Path, dtype: torch.dtype) -> Any:
        from diffusers import WanPipeline

        return WanPipeline.from_pretrained(folder, **load_options(dtype))

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
        tail: Sequence[Frame] = (),
    ) -> RenderedChunk:
        """The chunk's `spec.frames` frames (RGB, 8 bit) from the embeddings of its two texts.

        With `tail`, the last raw frames of the chunk before, the first frames repeat those.
        Walks down the memory ladder. Raises BadFramesError on non-finite frames and
        GenerationError if memory runs out on the last rung.
        """
        if self._pipeline is None:
            raise GenerationError("the Wan models were freed; load them again")
        with torch.inference_mode():
            latents = self._ladder.run(
                lambda: self._denoise(spec, positive, negative, report, tail)
            )
            check_finite(latents, "latents")
            video = self._ladder.run(lambda: self._decode(latents))
        return RenderedChunk(to_frames(video), self._ladder.rung)

    def _denoise(
        self,
        spec: ChunkSpec,
        positive: torch.Tensor,
        negative: torch.Tensor,
        report: StepReport,
        tail: Sequence[Frame],
    ) -> torch.Tensor:
        pipeline, given = self._conditioned(spec, tail)
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
            **given,
        ).frames
        return result

    def _conditioned(self, _: ChunkSpec, tail: Sequence[Frame]) -> tuple[Any, dict[str, Any]]:
        """The pipeline to call, and what it is given beside text and noise."""
        if not tail:
            return self._pipeline, {}
        from diffusers import WanImageToVideoPipeline

        # A second view of the same modules: text and first frame need one set of weights.
        pipeline = WanImageToVideoPipeline(**self._pipeline.components, expand_timesteps=True)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline, {"image": Image.fromarray(tail[-1])}

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self._pipeline.vae
        shape = (1, vae.config.z_dim, 1, 1, 1)
        latents = latents.to(self._device, torch.float32)
        mean = torch.tensor(vae.config.latents_mean, device=latents.device).view(shape)
        deviation = torch.tensor(vae.config.latents_std, device=latents.device).view(shape)
        video: torch.Tensor = vae.decode(latents * deviation + mean, return_dict=False)[0]
        return video

    def through_vae(self, frames: Sequence[Frame]) -> list[Frame]:
        """`frames` encoded and decoded: what the VAE alone makes of them."""
        pixels = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        with torch.inference_mode():
            encoded = self._pipeline.vae.encode(pixels.to(self._device)).latent_dist.mode()
            return list(to_frames(self._pipeline.vae.decode(encoded, return_dict=False)[0]))

    def _step_down(self, rung: Rung) -> bool:
        free_memory()
        if rung == "tiled-decode":
            self._pipeline.vae.enable_tiling()
            return True
        if self._device.type == "cuda":
            self._pipeline.enable_model_cpu_offload(device=self._device)
            return True
        return False
