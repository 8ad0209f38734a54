"""Wan's backends as data: what each variant can do, its models, and its presets.

Steps, guidance and flow shift of the new presets are those of Wan's own repositories
(`wan/configs` of Wan-Video/Wan2.1 and Wan2.2); those of `*_turbo` are what the authors of the
step-distilled LoRAs say. Rates of models that were never measured are scaled by parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pipelines.backends.base import (
    BackendDefinition,
    BackendHost,
    BackendSession,
    VideoBackend,
)
from pipelines.backends.texts import TextLimit
from pipelines.backends.wan.libraries import LIBRARIES
from pipelines.backends.wan.negative import NEGATIVE
from pipelines.backends.wan.options import TwoTransformerOptions, WanOptions
from pipelines.backends.wan.random_weights import write_released
from pipelines.backends.wan.variants import MAX_TOKENS, VACE_INPUTS, Variant
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import Preset
from pipelines.schema.request import InputKind
from pipelines.schema.sizes import Size

if TYPE_CHECKING:
    from pipelines.backends.wan.backend import WanBackend

_TRIAL_SIZES = ("64*64", "96*96", "128*128", "416*240", "240*416")
"""For trials with small checkpoints; the released models make little of them."""
_SIZES = (*_TRIAL_SIZES, "832*480", "480*832", "1280*720", "720*1280", "1024*1024")
_TEXT: frozenset[InputKind] = frozenset({"text"})
_AS_MADE: Mapping[str, Literal[2, 4]] = {}


def _sizes(*texts: str) -> tuple[Size, ...]:
    return tuple(Size.parse(text) for text in texts)


def _presets(
    backend: str,
    *rows: tuple[str, str, str, int, WanOptions],
    enlarged: Mapping[str, Literal[2, 4]] = _AS_MADE,
) -> tuple[Preset, ...]:
    """From rows of name, title, size, frames and options; `enlarged` are those with an upscale."""
    return tuple(
        Preset(
            name=name,
            title=title,
            backend=backend,
            size=Size.parse(size),
            frames=frames,
            options=options,
            upscale=enlarged.get(name, 1),
        )
        for name, title, size, frames, options in rows
    )


def _session(backend: "WanBackend") -> BackendSession:
    from pipelines.backends.wan.session import WanSession  # it imports torch

    return WanSession(backend)


def _creator(
    name: str, variant: Variant
) -> Callable[[BackendHost, frozenset[InputKind]], VideoBackend]:
    """Builds the backend called `name`; imports no model library before that."""

    def create(host: BackendHost, inputs: frozenset[InputKind]) -> VideoBackend:
        from pipelines.backends.wan.backend import WanBackend

        definition = next(item for item in DEFINITIONS if item.name == name)
        return WanBackend(definition, variant, host, inputs, _session)

    return create


_DEMO = BackendDefinition(
    name="wan-demo",
    title="Reelwright Tiny Wan, for a CPU",
    capabilities=Capabilities(
        inputs=_TEXT | {"first_frame", "continuation"},
        fps=16,
        frame_step=4,
        max_frames=77,
        sizes=_sizes(*_SIZES),
        overlap=1,
    ),
    options=WanOptions,
    presets=_presets(
        "wan-demo",
        (
            "demo",
            "Demo: pictured things that move, in seconds on a CPU",
            "96*96",
            33,
            # The demo model needs no guidance to go on: the frame it is given says what is shown.
            WanOptions(steps=8, guidance=2.0, continued_guidance=1.0, flow_shift=3.0),
        ),
    ),
    create=_creator("wan-demo", Variant("tiny-wan", channels=30)),
    models=("tiny-wan",),
    text=TextLimit(MAX_TOKENS, "tiny-wan"),
    model_set="demo",
    stand_in=True,
    rates={"cpu": 0.35, "cuda": 0.1},
    basis="demo models on a 2-core machine; not yet measured here",
)

_PUBLISHED = "published: 832*480, 81 frames, 50 steps in 162 s on an RTX 5090"
_T2V_SMALL = BackendDefinition(
    name="wan-t2v-1.3b",
    title="Wan 2.1 1.3B",
    capabilities=Capabilities(
        inputs=_TEXT | VACE_INPUTS,
        fps=16,  # model card of Wan2.1-T2V-1.3B
        frame_step=4,
        max_frames=81,
        sizes=_sizes(*_SIZES),
        overlap=5,
    ),
    options=WanOptions,
    presets=_presets(
        "wan-t2v-1.3b",
        # Flow shift 3.0 at 480p, 5.0 at 720p: diffusers' Wan guide.
        (
            "image_fast",
            "Picture, fast: Wan 2.1 1.3B at 480p",
            "832*480",
            1,
            WanOptions(steps=8, guidance=6.0, flow_shift=3.0),
        ),
        (
            "image_high",
            "Picture, better: Wan 2.1 1.3B at 720p",
            "1280*720",
            1,
            WanOptions(steps=20, guidance=7.5, flow_shift=5.0),
        ),
        (
            "video_fast",
            "Video, fast: Wan 2.1 1.3B at 480p",
            "832*480",
            17,
            WanOptions(steps=12, guidance=6.0, flow_shift=3.0),
        ),
        (
            "video_high",
            "Video, better: Wan 2.1 1.3B at 720p",
            "1280*720",
            33,
            WanOptions(steps=25, guidance=7.5, flow_shift=5.0),
        ),
        (
            "video_turbo",
            "Video, step-distilled: Wan 2.1 1.3B at 480p in 4 steps",
            "832*480",
            81,
            # Self-Forcing's own configuration: 4 steps, timestep shift 5, no guidance.
            WanOptions(steps=4, guidance=1.0, flow_shift=5.0, lora="self-forcing-t2v-1.3B"),
        ),
        (
            "video_turbo_high",
            "Video, step-distilled: Wan 2.1 1.3B at 720p in 4 steps, with 8-bit attention",
            "1280*720",
            33,
            # As above, at the size and length of `video_high`: a twelfth of its passes.
            WanOptions(
                steps=4,
                guidance=1.0,
                flow_shift=5.0,
                lora="self-forcing-t2v-1.3B",
                decode="bfloat16",
                attention="fast",
            ),
        ),
        (
            "video_high_safe",
            "Video, better, at the size it was trained for: Wan 2.1 1.3B at 480p, enlarged by 2",
            "832*480",
            81,
            # Wan's advice for the 1.3B (README of Wan-Video/Wan2.1): guidance 6, shift 8 to 12;
            # its 50 steps and 81 frames are generate.py's.
            WanOptions(steps=50, guidance=6.0, flow_shift=8.0, decode="bfloat16"),
        ),
        enlarged={"video_high_safe": 2},
    ),
    create=_creator("wan-t2v-1.3b", Variant("t2v-1.3B", vace="vace-1.3B")),
    models=("t2v-1.3B",),
    text=TextLimit(MAX_TOKENS, "t2v-1.3B"),
    more_models=dict.fromkeys(sorted(VACE_INPUTS), ("vace-1.3B",)),
    # On 2 cores about 5.5e12 operations a unit at 1e11 a second.
    rates={"cpu": 55.0, "cuda": 0.1},
    basis=f"{_PUBLISHED}; on a CPU calculated; not yet measured here",
    random_model=write_released,
)

_LARGE_SIZES = ("832*480", "480*832", "1280*720", "720*1280")
"""Sizes that the models of 14 billion parameters were trained for."""
_BY_PARAMETERS = f"{_PUBLISHED} for the 1.3B, scaled by parameters; not yet measured here"
_T2V_LARGE = BackendDefinition(
    name="wan-t2v-14b",
    title="Wan 2.1 14B",
    capabilities=Capabilities(
        inputs=_TEXT,
        fps=16,
        frame_step=4,
        max_frames=81,
        sizes=_sizes(*_TRIAL_SIZES, *_LARGE_SIZES),
    ),
    options=WanOptions,
    presets=_presets(
        "wan-t2v-14b",
        (
            "video_14b",
            "Video: Wan 2.1 14B at 480p, slow",
            "832*480",
            81,
            # generate.py of Wan 2.1: 50 steps, guidance 5, shift 5. In 8 bits it fits 22 GB.
            WanOptions(steps=50, guidance=5.0, flow_shift=5.0, weights="fp8"),
        ),
        (
            "video_14b_turbo",
            "Video, step-distilled: Wan 2.1 14B at 480p in 4 steps",
            "832*480",
            81,
            # README of lightx2v/Wan2.1-T2V-14B-StepDistill-CfgDistill-Lightx2v.
            WanOptions(
                steps=4, guidance=1.0, flow_shift=5.0, weights="fp8", lora="lightx2v-t2v-14B"
            ),
        ),
    ),
    create=_creator("wan-t2v-14b", Variant("t2v-14B")),
    models=("t2v-14B",),
    text=TextLimit(MAX_TOKENS, "t2v-14B"),
    rates={"cpu": 550.0, "cuda": 1.0},
    basis=_BY_PARAMETERS,
)

_TI2V = BackendDefinition(
    name="wan-ti2v-5b",
    title="Wan 2.2 TI2V 5B",
    capabilities=Capabilities(
        inputs=_TEXT | {"first_frame", "continuation"},
        fps=24,
        frame_step=4,
        max_frames=121,
        # Its VAE packs 16*16 pixels and its transformer 2*2 of those; other sides are lowered.
        side_step=32,
        sizes=_sizes(
            "64*64",
            "128*128",
            "448*256",
            "256*448",
            "832*480",
            "480*832",
            "1280*704",
            "704*1280",
        ),
        overlap=1,
    ),
    options=WanOptions,
    presets=_presets(
        "wan-ti2v-5b",
        (
            "video_5b",
            "Video or moving picture: Wan 2.2 5B at 720p, 24 frames a second",
            "1280*704",
            121,
            # wan/configs/wan_ti2v_5B.py of Wan 2.2.
            WanOptions(steps=50, guidance=5.0, flow_shift=5.0),
        ),
    ),
    create=_creator("wan-ti2v-5b", Variant("ti2v-5B", channels=48, needs="expand_timesteps")),
    models=("ti2v-5B",),
    text=TextLimit(MAX_TOKENS, "ti2v-5B"),
    # 3.5 times the parameters of the 1.3B on a quarter of the tokens.
    rates={"cpu": 48.0, "cuda": 0.09},
    basis=_BY_PARAMETERS,
)

_BOTH = ("transformer", "transformer_2")
_T2V_TWO = BackendDefinition(
    name="wan-t2v-a14b",
    title="Wan 2.2 A14B",
    capabilities=Capabilities(
        inputs=_TEXT,
        fps=16,
        frame_step=4,
        max_frames=81,
        sizes=_sizes(*_TRIAL_SIZES, *_LARGE_SIZES),
    ),
    options=TwoTransformerOptions,
    presets=_presets(
        "wan-t2v-a14b",
        (
            "video_best",
            "Video, best: Wan 2.2 A14B at 480p, slow",
            "832*480",
            81,
            # wan/configs/wan_t2v_A14B.py of Wan 2.2; guidance 4 in high noise, 3 in low noise.
            TwoTransformerOptions(
                steps=40, guidance=4.0, guidance_2=3.0, flow_shift=12.0, weights="fp8"
            ),
        ),
        (
            "video_best_turbo",
            "Video, step-distilled: Wan 2.2 A14B at 480p in 4 steps",
            "832*480",
            81,
            # README of lightx2v/Wan2.2-Lightning.
            TwoTransformerOptions(
                steps=4,
                guidance=1.0,
                flow_shift=5.0,
                weights="fp8",
                lora="lightning-t2v-A14B-high",
                lora_2="lightning-t2v-A14B-low",
            ),
        ),
    ),
    create=_creator(
        "wan-t2v-a14b", Variant("t2v-A14B", transformers=_BOTH, needs="boundary_ratio")
    ),
    models=("t2v-A14B",),
    text=TextLimit(MAX_TOKENS, "t2v-A14B"),
    rates={"cpu": 550.0, "cuda": 1.0},
    basis=_BY_PARAMETERS,
)

_I2V_TWO = BackendDefinition(
    name="wan-i2v-a14b",
    title="Wan 2.2 I2V A14B",
    capabilities=Capabilities(
        inputs=_TEXT | {"first_frame", "last_frame", "continuation"},
        required=frozenset({"first_frame"}),
        fps=16,
        frame_step=4,
        min_frames=5,  # a single frame would be the picture itself
        max_frames=81,
        sizes=_sizes(*_TRIAL_SIZES, *_LARGE_SIZES),
        overlap=1,
    ),
    options=TwoTransformerOptions,
    presets=_presets(
        "wan-i2v-a14b",
        (
            "video_picture",
            "Moving picture, best: Wan 2.2 I2V A14B at 480p, slow",
            "832*480",
            81,
            # wan/configs/wan_i2v_A14B.py of Wan 2.2.
            TwoTransformerOptions(
                steps=40, guidance=3.5, guidance_2=3.5, flow_shift=5.0, weights="fp8"
            ),
        ),
        (
            "video_picture_turbo",
            "Moving picture, step-distilled: Wan 2.2 I2V A14B at 480p in 4 steps",
            "832*480",
            81,
            TwoTransformerOptions(
                steps=4,
                guidance=1.0,
                flow_shift=5.0,
                weights="fp8",
                lora="lightning-i2v-A14B-high",
                lora_2="lightning-i2v-A14B-low",
            ),
        ),
    ),
    create=_creator(
        "wan-i2v-a14b",
        Variant("i2v-A14B", route="image", transformers=_BOTH, channels=36, needs="boundary_ratio"),
    ),
    models=("i2v-A14B",),
    text=TextLimit(MAX_TOKENS, "i2v-A14B"),
    rates={"cpu": 550.0, "cuda": 1.0},
    basis=_BY_PARAMETERS,
)

_ALL = (
    _DEMO,
    _T2V_SMALL,
    _T2V_LARGE,
    _TI2V,
    _T2V_TWO,
    _I2V_TWO,
)
DEFINITIONS: tuple[BackendDefinition, ...] = tuple(
    replace(item, negative=NEGATIVE, libraries=LIBRARIES) for item in _ALL
)
