"""Wan2.2-Animate-14B as data: a character moves as the poses and faces of a film do.

Frame rate, segment length, steps, guidance and flow shift are those of Wan's own configuration
(`wan/configs/wan_animate_14B.py` of Wan-Video/Wan2.2: 30, 77, 20, 1.0, 5.0). A chunk is one segment
of it. A chunk that goes on is given the last frame of the chunk before, as the second segment of a
long call is, so chunks joined are what one long call would have made.

Where a chunk's videos begin: `ReferenceVideo.start` is the frame of the uploaded videos, counted at
30 a second, that belongs to the chunk's first frame, the repeated one included. So the chunk that
begins with new frame `n` of the film has `start = n` without a continuation and `start = n - 1`
with one, and each of its videos is read for `frames` frames from there.
"""

from typing import TYPE_CHECKING

from pipelines.backends.base import (
    BackendDefinition,
    BackendHost,
    BackendSession,
    VideoBackend,
)
from pipelines.backends.checks import check_kinds
from pipelines.backends.texts import TextLimit
from pipelines.backends.wan.animate_options import (
    CAPABILITIES,
    MODEL,
    NAME,
    TITLE,
    AnimateOptions,
    Mode,
)
from pipelines.backends.wan.libraries import LIBRARIES
from pipelines.backends.wan.negative import NEGATIVE
from pipelines.backends.wan.variants import MAX_TOKENS
from pipelines.schema.presets import Preset
from pipelines.schema.request import InputKind
from pipelines.schema.sizes import Size

if TYPE_CHECKING:
    from pipelines.backends.wan.animate import AnimateBackend


def _preset(mode: Mode, title: str) -> Preset:
    return Preset(
        name=mode,
        title=title,
        backend=NAME,
        size=Size(832, 480),
        frames=77,
        options=AnimateOptions(mode=mode, weights="fp8"),
    )


def _session(backend: "AnimateBackend") -> BackendSession:
    from pipelines.backends.wan.animate_session import AnimateSession  # it imports torch

    return AnimateSession(backend)


def _create(host: BackendHost, inputs: frozenset[InputKind]) -> VideoBackend:
    from pipelines.backends.wan.animate import AnimateBackend

    check_kinds(ANIMATE, inputs)
    return AnimateBackend(ANIMATE, host, _session)


ANIMATE = BackendDefinition(
    name=NAME,
    title=TITLE,
    capabilities=CAPABILITIES,
    options=AnimateOptions,
    presets=(
        _preset("animate", "Animate a character by the motion of a film: Wan 2.2 Animate at 480p"),
        _preset("replace", "Put a character in place of somebody in a film: Wan 2.2 Animate, 480p"),
    ),
    create=_create,
    models=(MODEL,),
    text=TextLimit(MAX_TOKENS, MODEL),
    negative=NEGATIVE,
    libraries={
        "diffusers": (
            *LIBRARIES["diffusers"],
            "WanAnimatePipeline",
            "WanAnimateTransformer3DModel",
        ),
        "transformers": (*LIBRARIES["transformers"], "CLIPImageProcessor", "CLIPVisionModel"),
    },
    # 17.3 against 1.4 thousand million parameters, and more of the work is attention.
    rates={"cuda": 1.3},
    basis="scaled by parameters from Wan 2.1 1.3B; not yet measured here",
)

DEFINITIONS: tuple[BackendDefinition, ...] = (ANIMATE,)
