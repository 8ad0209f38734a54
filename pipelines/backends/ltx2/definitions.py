"""LTX-2.5 as data: the backend that makes sound with its picture.

Licence: LTX-2.x Community License (11 August 2026). Use, also commercial, costs nothing for those
with less than US$10 million of yearly revenue; others need an agreement with Lightricks. Its
attachment forbids certain uses, section 6 asks to keep watermarks and provenance, and both pass
on to whoever receives the weights. The download is gated: each user accepts the licence on the
hub with an account of their own. So our users may use it, after they have read it.

Only the distilled transformer is offered (the repository's `transformer/`): 8 fixed steps. The
full one (`transformer_full/`, 30 steps of up to four passes) would be another 38 GB.

Memory, for 22 GB on the device (parameters x width, not measured on a device):
1. The text encoder, Gemma 4 12B, is 24.5 GB in bfloat16: it comes first and alone, layer by layer
   from the host's memory if it does not fit, encodes all texts, and goes.
2. The transformer is 38 GB in bfloat16, 19 GB in FP8 (option `weights`). Where it does not fit
   with 6 GB for the work, its 48 blocks are streamed from the host's memory, the next one during
   the work of the one before: about 3 blocks are on the device at once.
3. Connectors, VAE, audio VAE and vocoder stay on the device, about 5 GB; short of memory, the VAE
   decodes in tiles.
The host needs 40 GB of memory for the streamed transformer, 20 GB in FP8.
"""

from pipelines.backends.base import BackendDefinition, BackendHost, VideoBackend
from pipelines.backends.ltx2.options import MAX_TOKENS, Ltx2Options
from pipelines.backends.texts import TextLimit
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import Preset
from pipelines.schema.request import InputKind
from pipelines.schema.sizes import Size

MODEL = "ltx-2.5"
"""Name in the catalog."""


def _create(host: BackendHost, _: frozenset[InputKind]) -> VideoBackend:
    from pipelines.backends.ltx2.backend import Ltx2Backend

    return Ltx2Backend(LTX2, host, host.model(MODEL))


LTX2 = BackendDefinition(
    libraries={"diffusers": ("LTX2ImageToVideoPipeline", "LTX2Pipeline")},
    name="ltx-2",
    title="LTX-2.5 (distilled)",
    capabilities=Capabilities(
        inputs=frozenset({"text", "first_frame"}),
        fps=24,
        frame_step=8,
        min_frames=9,
        max_frames=121,
        sizes=(
            Size(1280, 704),
            Size(704, 1280),
            Size(768, 512),
            Size(512, 768),
            Size(512, 512),
            Size(128, 128),
            Size(64, 64),
        ),
        side_step=32,
        audio=True,
    ),
    options=Ltx2Options,
    presets=(
        Preset(
            name="ltx2_sound",
            title="With sound, distilled to 8 steps, 1280*704 at 24 fps, 5 s a chunk",
            backend="ltx-2",
            size=Size(1280, 704),
            frames=121,
            options=Ltx2Options(),
        ),
        Preset(
            name="ltx2_turbo",
            title="With sound, distilled to 8 steps, FP8 weights, 768*512 at 24 fps, 4 s a chunk",
            backend="ltx-2",
            size=Size(768, 512),
            frames=97,
            options=Ltx2Options(weights="fp8"),
        ),
    ),
    create=_create,
    models=(MODEL,),
    text=TextLimit(MAX_TOKENS, MODEL),
)

DEFINITIONS: tuple[BackendDefinition, ...] = (LTX2,)
