"""An open Animate backend: encodes texts, keeps the denoiser on the device, makes chunks."""

from collections.abc import Sequence
from functools import partial

import torch

from pipelines.backends.base import VIDEO_MODEL, Frame, GeneratedClip, InputMedia, StepReport
from pipelines.backends.wan.animate import AnimateBackend, work_of
from pipelines.backends.wan.animate_denoiser import AnimateDenoiser, AnimateJob
from pipelines.backends.wan.animate_options import AnimateOptions, check_request
from pipelines.backends.wan.conditioning import read_inputs
from pipelines.backends.wan.memory_plan import Placement
from pipelines.backends.wan.planning import ClipPlans
from pipelines.backends.wan.session import COMPILED, residence_of
from pipelines.backends.wan.text_encoder import embeddings_of, encode_texts
from pipelines.errors import BriefError
from pipelines.schema.request import ClipRequest, ReferenceVideo, VideoRole
from pipelines.schema.sizes import Size


class AnimateSession:
    """Makes chunks with the model of one backend, which the host keeps for the next session."""

    def __init__(self, backend: AnimateBackend) -> None:
        self._backend = backend
        self._host = backend.host

    def prepare(self, requests: Sequence[ClipRequest]) -> None:
        """Encode the texts of all `requests`, then free the text encoder."""
        for request in requests:
            check_request(self._backend.definition, request)
        texts = [text for request in requests for text in (request.prompt, request.negative)]
        encode_texts(self._host, self._backend.encoder, texts)

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        """Make one chunk; with a continuation its first frame repeats the last one given.

        Raises BriefError if the request is none that this backend can make or a video is too
        short, BadFramesError on non-finite pixels and GenerationError if memory runs out.
        """
        options = check_request(self._backend.definition, request)
        given = read_inputs(request, media)
        videos = self._videos(request, media)
        positive, negative = embeddings_of(self._host, self._backend.encoder, request)
        denoiser = self._denoiser(request, options)
        plans = self._plans(request, options)
        job = AnimateJob(
            request.size,
            request.frames,
            request.seed,
            options,
            positive,
            negative,
            given,
            videos,
            options.mode,
        )
        rendered = denoiser.render(
            job, plans.loaded(denoiser), on_step, partial(plans.remember, denoiser)
        )
        return GeneratedClip(
            rendered.frames, rendered.memory_mode, computation=rendered.computation
        )

    def _videos(self, request: ClipRequest, media: InputMedia) -> dict[VideoRole, Sequence[Frame]]:
        side = self._backend.face_side
        videos: dict[VideoRole, Sequence[Frame]] = {}
        for given in request.inputs:
            if not isinstance(given, ReferenceVideo):
                continue
            size = Size(side, side) if given.role == "face" else request.size
            video = list(media.video(given, size, request.fps, request.frames))
            if len(video) != request.frames:
                raise BriefError(
                    f"the {given.role} video gives {len(video)} frames from frame {given.start} "
                    f"on and {request.frames} are needed; ask for a shorter video, or send longer "
                    "videos"
                )
            videos[given.role] = video
        return videos

    def _plans(self, request: ClipRequest, options: AnimateOptions) -> ClipPlans:
        weights = self._backend.footprint(options)
        footprint = self._backend.footprint_of(request, options)
        return ClipPlans(self._host, weights, footprint, work_of(request), options.decode)

    def _denoiser(self, request: ClipRequest, options: AnimateOptions) -> AnimateDenoiser:
        backend, host = self._backend, self._host
        plans = self._plans(request, options)

        def make(placement: Placement) -> AnimateDenoiser:
            source, device = backend.source(options), torch.device(host.device)
            code = host.cache_folder / COMPILED
            return AnimateDenoiser(source, device, placement, host.compile, code)

        key = ("animate", *residence_of(host, backend.identity(options)))
        return host.resident(VIDEO_MODEL, key, lambda: plans.load(make), plans.fastest_bytes())
