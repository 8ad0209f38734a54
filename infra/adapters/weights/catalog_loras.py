"""Step-distilled LoRAs of Wan: a few steps instead of dozens, at guidance 1.

A14B has two transformers and one LoRA for each: `-high` for `transformer`, `-low` for
`transformer_2`.
"""

from infra.adapters.weights.model import HubSource, Model

_LIGHTNING = "lightx2v/Wan2.2-Lightning"
_LIGHTNING_COMMIT = "18bccf8884ec0a078eed79785eb4ef13ea16ce1e"  # in several public lock files
_SELF_FORCING = (
    "the repository of this file states no licence; the weights that it was extracted from "
    "(gdhe17/Self-Forcing) say Apache-2.0, but some users treat it as non-commercial: make sure "
    "yourself before you sell what it makes"
)


def _lightning(name: str, title: str, file: str) -> Model:
    return Model(
        name,
        "lora",
        title,
        "Apache-2.0",
        HubSource(_LIGHTNING, (file,), _LIGHTNING_COMMIT),
        size=1_230_000_000,  # half of the 2.46 GB that a public script counts for both
        memory="merged into the transformer: no memory of its own",
        file=file,
    )


LORAS: tuple[Model, ...] = (
    _lightning(
        "lightning-t2v-A14B-high",
        "Wan2.2-Lightning 4 steps for t2v-A14B, high noise",
        "Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1/high_noise_model.safetensors",
    ),
    _lightning(
        "lightning-t2v-A14B-low",
        "Wan2.2-Lightning 4 steps for t2v-A14B, low noise",
        "Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1/low_noise_model.safetensors",
    ),
    _lightning(
        "lightning-i2v-A14B-high",
        "Wan2.2-Lightning 4 steps for i2v-A14B, high noise",
        "Wan2.2-I2V-A14B-4steps-lora-rank64-Seko-V1/high_noise_model.safetensors",
    ),
    _lightning(
        "lightning-i2v-A14B-low",
        "Wan2.2-Lightning 4 steps for i2v-A14B, low noise",
        "Wan2.2-I2V-A14B-4steps-lora-rank64-Seko-V1/low_noise_model.safetensors",
    ),
    Model(
        "lightx2v-t2v-14B",
        "lora",
        "LightX2V 4 steps for t2v-14B",
        "Apache-2.0",
        HubSource(
            "lightx2v/Wan2.1-Distill-Loras",
            ("wan2.1_t2v_14b_lora_rank64_lightx2v_4step.safetensors",),
        ),
        size=631_000_000,  # the repository's page
        memory="merged into the transformer: no memory of its own",
        file="wan2.1_t2v_14b_lora_rank64_lightx2v_4step.safetensors",
    ),
    Model(
        "self-forcing-t2v-1.3B",
        "lora",
        "Self-Forcing DMD 4 steps for t2v-1.3B and vace-1.3B",
        "not stated",
        HubSource(
            "Kijai/WanVideo_comfy",
            (
                "LoRAs/Wan2_1_self_forcing_1_3B/"
                "Wan2_1_self_forcing_dmd_1_3B_lora_rank_32_fp16.safetensors",
            ),
        ),
        size=91_233_416,  # two public download lists
        memory="merged into the transformer: no memory of its own",
        file=(
            "LoRAs/Wan2_1_self_forcing_1_3B/"
            "Wan2_1_self_forcing_dmd_1_3B_lora_rank_32_fp16.safetensors"
        ),
        licence_note=_SELF_FORCING,
    ),
)
