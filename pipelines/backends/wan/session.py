"""An open Wan backend: encodes texts, keeps the denoiser on the device, makes clips."""

import sys
from collections.abc import Sequence

import torch

from pipelines.backends.base import VIDEO_MODEL, GeneratedClip, InputMedia, StepReport
from pipelines.backends.checks import check_request
from pipelines.backends.wan.backend import WanBackend, work_of
from pipelines.backends.wan.conditioning import read_inputs
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.memory_plan import held_bytes, plan_memory
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.text_encoder import encode_texts
from pipelines.errors import BriefError, GenerationError
from pipelines.schema.request import ClipRequest


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
        texts = [request.prompt, request.negative]
        cache = encode_texts(self._host, self._backend.encoder, texts)
        positive, negative = (cache.get(text) for text in texts)
        if positive is None or negative is None:
            raise GenerationError("a text embedding vanished from the cache; make the video again")
        denoiser = self._denoiser(request, options)
        footprint = self._backend.footprint(options)
        # What the denoiser holds is its own to use.
        budget = self._host.free_bytes() + held_bytes(footprint, denoiser.placement)
        work = work_of(request, self._backend.route)
        plan = plan_memory(footprint, work, budget, self._host.device, denoiser.placement)
        job = Job(request.size, request.frames, request.seed, options, positive, negative, given)
        rendered = denoiser.render(job, plan, on_step)
        return GeneratedClip(rendered.frames, rendered.memory_mode)

    def _denoiser(self, request: ClipRequest, options: WanOptions) -> WanDenoiser:
        backend, host = self._backend, self._host
        footprint = backend.footprint(options)
        work = work_of(request, backend.route)
        # What the fastest way would take, so that models of other kinds go before it is slow.
        need = plan_memory(footprint, work, sys.maxsize, host.device).peak_bytes

        def load() -> WanDenoiser:
            # Now that the host has made room: how much there is decides where models are kept.
            plan = plan_memory(footprint, work, host.free_bytes(), host.device)
            source = backend.source(options)
            return WanDenoiser(source, torch.device(host.device), plan.placement)

        identity = backend.identity(options)
        key = (backend.route, host.device, *(f"{name}={identity[name]}" for name in identity))
        return host.resident(VIDEO_MODEL, key, load, need)

    def _check(self, request: ClipRequest) -> WanOptions:
        """Its options. Raises BriefError for what the backend cannot make."""
        check_request(self._backend.definition, request)
        try:
            return WanOptions.checked(request.options)
        except ValueError as error:
            raise BriefError(str(error)) from error
