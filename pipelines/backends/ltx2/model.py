"""The loaded LTX-2: transformer, connectors, VAE, audio VAE and vocoder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from PIL import Image

from pipelines.backends.base import Frame, GeneratedClip, StepReport
from pipelines.backends.checkpoint import settings_of
from pipelines.backends.checks import loads
from pipelines.backends.frames import check_finite, check_shape, to_frames
from pipelines.backends.ltx2.memory_plan import Mode
from pipelines.backends.ltx2.options import STEPS, Ltx2Options
from pipelines.backends.ltx2.sound import as_long_as_the_picture
from pipelines.backends.ltx2.text_encoder import LOAD_ERRORS, EncodedText
from pipelines.backends.memory import Ladder, free_memory, run_with_less
from pipelines.backends.quiet import quiet_libraries
from pipelines.errors import GenerationError
from pipelines.schema.request import ClipRequest

Result = TypeVar("Result")
_UNGUIDED = {
    "stg_scale": 0.0,
    "modality_scale": 1.0,
    "guidance_rescale": 0.0,
    "audio_stg_scale": 0.0,
    "audio_modality_scale": 1.0,
    "audio_guidance_rescale": 0.0,
}
"""The distilled model needs none of the pipeline's other kinds of guidance."""
_CRF = {"gemma4": 18, "gemma4_unified": 18}
"""Compression of first frames in training by text encoder: 18 from LTX-2.5 on, 33 before. The
pipeline would take it from its text encoder, which is gone by then."""


@dataclass(frozen=True)
class Given:
    """What a call is given beside its request."""

    positive: EncodedText
    negative: EncodedText | None
    first_frame: Frame | None


class Ltx2Model:
    """All but the text encoder.

    When memory runs out it goes from one mode to the next; a CPU has nothing to stream to. Each
    clip begins at the mode that its plan allows, but at none in which as large a one ran out.
    """

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        dtype: torch.dtype,
        weights: Literal["full", "fp8"],
        mode: Mode,
    ) -> None:
        """Loads everything, ready for `mode`, or for one below it if the device has no room.

        Raises WeightsError if it does not load, and GenerationError if it does not fit.
        """
        quiet_libraries()
        self._device = device
        try:
            self._pipeline: Any = _load(folder, dtype)
        except LOAD_ERRORS as error:
            raise loads(error, f"LTX-2 in {folder}") from error
        self._pipeline.set_progress_bar_config(disable=True)
        encoder = settings_of(folder / "text_encoder" / "config.json")
        self._crf = _CRF.get(str(encoder.get("model_type")), 33)
        if weights == "fp8":
            # Before the blocks are streamed: the hooks of both must wrap in this order.
            self._pipeline.transformer.enable_layerwise_casting(
                storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype
            )
        self._ladder: Ladder[Mode] = Ladder(
            ("resident", "tiled-decode", "stream")
            if device.type == "cuda"
            else ("resident", "tiled-decode")
        )
        self._placed: Mode | None = None
        """None while the models may be anywhere."""
        self.mode: Mode = mode
        """How it works now."""
        self._fit(0, lambda: None)

    def close(self) -> None:
        """Free the models; the object cannot be used after that."""
        self._pipeline = None
        free_memory()

    def make(
        self,
        request: ClipRequest,
        options: Ltx2Options,
        given: Given,
        on_step: StepReport,
        mode: Mode,
    ) -> GeneratedClip:
        """`request.frames` frames of `request.size`, and as much sound, beginning in `mode`.

        Raises BadFramesError on non-finite latents, pixels or samples, and GenerationError if
        memory runs out and nothing is left to save.
        """
        if self._pipeline is None:
            raise GenerationError("LTX-2's models were freed; load them again")
        load = request.size.megapixels * request.frames
        self.mode = mode if mode == "stream" else self._ladder.start(load, mode)
        with torch.inference_mode():
            latents, sound_latents = self._fit(
                load, lambda: self._denoise(request, options, given, on_step)
            )
            check_finite(latents, "latents")
            check_finite(sound_latents, "sound latents")
            video = self._fit(load, lambda: self._decode(latents))
            samples = self._fit(load, lambda: self._decode_sound(sound_latents))
        check_shape(video, request.size, request.frames)
        rate = self._pipeline.vocoder.config.output_sampling_rate
        sound = as_long_as_the_picture(samples, rate, request.frames, request.fps)
        return GeneratedClip(to_frames(video), self.mode, sound)

    def _fit(self, load: float, work: Callable[[], Result]) -> Result:
        """`work` in the present mode, or in one below it if memory runs out."""

        def attempt() -> Result:
            self._enter(self.mode)
            return work()

        def step_down() -> bool:
            if self.mode == "stream":
                return False
            below = self._ladder.below(self.mode, load)
            self.mode = below or self.mode
            return below is not None

        return run_with_less(attempt, step_down, "choose a smaller size or fewer frames a chunk")

    def _denoise(
        self, request: ClipRequest, options: Ltx2Options, given: Given, on_step: StepReport
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of picture and sound, both as their decoders take them."""
        from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES

        def after_step(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
            on_step(step + 1, STEPS)
            return values

        pipeline, inputs = self._conditioned(given)
        made = pipeline(
            **inputs,
            **_UNGUIDED,
            **self._texts(options, given),
            width=request.size.width,
            height=request.size.height,
            num_frames=request.frames,
            frame_rate=float(request.fps),
            sigmas=DISTILLED_SIGMA_VALUES,
            num_inference_steps=STEPS,
            guidance_scale=options.guidance,
            audio_guidance_scale=options.guidance,
            # Noise from the CPU is the same on every device.
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="latent",
            callback_on_step_end=after_step,
        )
        return made.frames, made.audio

    def _texts(self, options: Ltx2Options, given: Given) -> dict[str, torch.Tensor]:
        tokens, mask = given.positive.padded(self._device)
        texts = {"prompt_embeds": tokens, "prompt_attention_mask": mask}
        if options.guidance > 1 and given.negative is not None:
            tokens, mask = given.negative.padded(self._device)
            texts |= {"negative_prompt_embeds": tokens, "negative_prompt_attention_mask": mask}
        return texts

    def _conditioned(self, given: Given) -> tuple[Any, dict[str, Any]]:
        """The pipeline to call, and what it is given beside text and noise."""
        if given.first_frame is None:
            return self._pipeline, {}
        from diffusers import LTX2ImageToVideoPipeline

        # A second view of the same modules: text and first frame need one set of weights.
        pipeline = LTX2ImageToVideoPipeline(**self._pipeline.components)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline, {"image": Image.fromarray(given.first_frame), "image_crf": self._crf}

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        """1 x channels x f x h x w → 1 x 3 x F x H x W."""
        vae = self._pipeline.vae
        # As the pipeline does with its default decode_timestep of 0, at which no noise is added.
        timestep = torch.zeros(1, device=self._device) if vae.config.timestep_conditioning else None
        video: torch.Tensor = vae.decode(
            latents.to(self._device, vae.dtype), timestep, return_dict=False
        )[0]
        return video

    def _decode_sound(self, latents: torch.Tensor) -> torch.Tensor:
        """Channels x samples."""
        audio_vae = self._pipeline.audio_vae
        spectrogram = audio_vae.decode(
            latents.to(self._device, audio_vae.dtype), return_dict=False
        )[0]
        samples: torch.Tensor = self._pipeline.vocoder(spectrogram)[0]
        return samples

    def _enter(self, mode: Mode) -> None:
        """Put the models where `mode` has them, from wherever they are."""
        if mode == self._placed:
            return
        pipeline, self._placed = self._pipeline, None
        if mode == "resident":
            pipeline.vae.disable_tiling()
        else:
            pipeline.vae.enable_tiling()
        _join(pipeline.transformer)
        if mode == "stream":
            pipeline.transformer.to("cpu")
            pipeline.transformer.enable_group_offload(
                onload_device=self._device,
                offload_type="block_level",
                num_blocks_per_group=1,
                use_stream=self._device.type == "cuda",
            )
        else:
            pipeline.transformer.to(self._device)
        for part in ("connectors", "vae", "audio_vae", "vocoder"):
            getattr(pipeline, part).to(self._device)
        self._placed = mode


def _join(transformer: Any) -> None:
    """Stop streaming the blocks. diffusers itself only takes these hooks off to put them on again
    (`_maybe_remove_and_reapply_group_offloading`)."""
    from diffusers.hooks import HookRegistry

    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    for name in ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading"):
        registry.remove_hook(name, recurse=True)


def _load(folder: Path, dtype: torch.dtype) -> Any:
    """Everything but the text encoder. Sound is decoded in float32: it is small, and bfloat16's
    8 bits would be heard."""
    from diffusers import LTX2Pipeline

    absent = ("text_encoder", "tokenizer", "duration_head", "processor", "prompt_enhancer")
    return LTX2Pipeline.from_pretrained(
        folder,
        **dict.fromkeys(absent),
        dtype={
            "transformer": dtype,
            "connectors": dtype,
            "vae": dtype,
            "audio_vae": torch.float32,
            "vocoder": torch.float32,
            "default": dtype,
        },
        local_files_only=True,
    )
