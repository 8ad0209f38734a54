"""An open Wan backend: encodes texts, keeps the denoiser on the device, makes clips."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch

from pipelines.backends.base import (
    VIDEO_MODEL,
    BackendHost,
    GeneratedClip,
    InputMedia,
    StepReport,
)
from pipelines.backends.checks import check_request
from pipelines.backends.wan.backend import WanBackend, work_of
from pipelines.backends.wan.conditioning import Given, read_inputs
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.memory_plan import Placement
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.planning import ClipPlans
from pipelines.backends.wan.text_encoder import MAX_TOKENS, embeddings_of, encode_texts
from pipelines.errors import BriefError
from pipelines.schema.presets import Preset
from pipelines.schema.request import ClipRequest

COMPILED = "compiled"
"""Folder of compiled code in the host's cache."""
_GREY = 128
_USE = ("attention",)
"""Parts of an identity that a loaded model takes from each request."""


class WanSession:
    """Makes clips with the models of one backend, which the host keeps for the next session."""

    def __init__(self, backend: WanBackend) -> None:
        self._backend = backend
        self._host = backend.host

    def prepare(self, requests: Sequence[ClipRequest]) -> None:
        """Encode the texts of all `requests`, then free the text encoder."""
        for request in requests:
            self._check(request)
        texts = [text for request in requests for text in (request.prompt, request.negative)]
        encode_texts(self._host, self._backend.encoder, texts)

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        """Make one clip.

        Raises BriefError if the request is none that this backend can make, BadFramesError on
        non-finite pixels and GenerationError if memory runs out.
        """
        options = self._check(request)
        given = read_inputs(request, media)
        positive, negative = embeddings_of(self._host, self._backend.encoder, request)
        denoiser = self._denoiser(request, options)
        plans = self._plans(request, options)
        job = Job(request.size, request.frames, request.seed, options, positive, negative, given)
        rendered = denoiser.render(
            job, plans.loaded(denoiser), on_step, partial(plans.remember, denoiser)
        )
        return GeneratedClip(
            rendered.frames, rendered.memory_mode, computation=rendered.computation
        )

    def warm(self, preset: Preset) -> bool:
        """Load the denoiser of `preset` and compile it for what its chunks are usually given: text,
        and frames of the chunk before.

        Returns whether compiled code is there now for each; False, without loading anything, for
        layers in 8 bits, which are not compiled. Raises what loading raises.
        """
        options = WanOptions.checked(preset.options.model_dump())
        if self._backend.stored(options) != self._host.dtype:
            return False
        capabilities = self._backend.definition.capabilities
        request = ClipRequest(
            prompt="",
            negative="",
            size=preset.size,
            fps=capabilities.fps,
            frames=preset.frames,
            seed=0,
        )
        if self._host.compile == "off":
            return False
        denoiser = self._denoiser(request, options)
        text = torch.zeros(1, MAX_TOKENS, denoiser.text_width)
        plan = self._plans(request, options).loaded(denoiser)
        jobs = (
            Job(preset.size, preset.frames, 0, options, text, text, given)
            for given in self._usually_given(preset)
        )
        done = [denoiser.warm(job, plan) for job in jobs]
        return all(done)

    def _usually_given(self, preset: Preset) -> tuple[Given, ...]:
        """What the chunks of a video are given that differs in shape. References are left out."""
        size, backend = preset.size, self._backend
        begun = Given((np.full((size.height, size.width, 3), _GREY, np.uint8),))
        if "first_frame" in backend.definition.capabilities.required:
            return (begun,)
        # VACE has the same shape with known frames and without.
        other_shape = backend.continues and backend.route == "text" and not preset.is_still
        return (Given(), begun) if other_shape else (Given(),)

    def _plans(self, request: ClipRequest, options: WanOptions) -> ClipPlans:
        work = work_of(request, self._backend.route)
        footprint = self._backend.footprint(options)
        return ClipPlans(self._host, footprint, footprint, work, options.decode)

    def _denoiser(self, request: ClipRequest, options: WanOptions) -> WanDenoiser:
        backend, host = self._backend, self._host
        plans = self._plans(request, options)

        def make(placement: Placement) -> WanDenoiser:
            source, device = backend.source(options), torch.device(host.device)
            code = host.cache_folder / COMPILED
            return WanDenoiser(source, device, placement, host.compile, code)

        key = (backend.route, *residence_of(host, backend.identity(options)))
        return host.resident(VIDEO_MODEL, key, lambda: plans.load(make), plans.fastest_bytes())

    def _check(self, request: ClipRequest) -> WanOptions:
        """Its options. Raises BriefError for what the backend cannot make."""
        check_request(self._backend.definition, request)
        try:
            return WanOptions.checked(request.options)
        except ValueError as error:
            raise BriefError(str(error)) from error


def residence_of(host: BackendHost, identity: Mapping[str, str]) -> tuple[str, ...]:
    """What of an identity decides which models are loaded: all but how they are used."""
    return (host.device, *(f"{name}={identity[name]}" for name in identity if name not in _USE))
