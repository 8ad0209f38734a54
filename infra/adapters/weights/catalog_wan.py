"""Wan 2.1 and 2.2 in the layout of diffusers. All repositories of Wan-AI say Apache-2.0."""

from collections.abc import Mapping

from infra.adapters.weights.catalog_sums import T2V_1_3B
from infra.adapters.weights.model import Halving, HubSource, Model

_PARTS = (
    "model_index.json",
    "scheduler/*",
    "text_encoder/*",
    "tokenizer/*",
    "transformer/*",
    "vae/*",
)
KEPT = (
    "motion_synthesis_weight",
    "norm1",
    "norm2",
    "norm3",
    "rope",
    "scale_shift_table",
    "time_embedder",
)
"""What diffusers keeps in float32 of a Wan transformer: `_keep_in_fp32_modules` of its classes.
UMT5 keeps nothing in bfloat16."""
_TRANSFORMER = {"transformer": Halving(KEPT)}
_BOTH = {"text_encoder": Halving(), **_TRANSFORMER}
_TWO = {**_TRANSFORMER, "transformer_2": Halving(KEPT)}
_QUANTISED = (
    "bfloat16 needs {need} GB: transformer quantised to 8 or 4 bits or offloaded in groups; the "
    "text encoder (11.4 GB) goes before the transformer comes"
)


def _wan(
    name: str,
    repository: str,
    size: int,
    memory: str,
    *,
    halved: Mapping[str, Halving],
    installed: int,
    revision: str = "main",
    patterns: tuple[str, ...] = _PARTS,
    places: tuple[str, ...] = (),
    sha256: Mapping[str, str] | None = None,
) -> Model:
    """`places`, and then the guide's `wan/<model>/` under each of its usual names."""
    title = repository.removesuffix("-Diffusers").removesuffix("-diffusers")
    return Model(
        name,
        "video",
        title,
        "Apache-2.0",
        HubSource(f"Wan-AI/{repository}", patterns, revision, halved=halved, sha256=sha256 or {}),
        size=size,
        installed_size=installed,
        memory=memory,
        places=(*places, f"wan/{title}", f"wan/{name}", f"wan/{repository}"),
    )


WAN: tuple[Model, ...] = (
    _wan(
        "t2v-1.3B",
        "Wan2.1-T2V-1.3B-Diffusers",
        28_928_887_859,  # float32: text encoder 22.7, transformer 5.7, VAE 0.5 GB
        "resident in bfloat16: transformer 2.8 and VAE 0.5 GB; the text encoder (11.4 GB) goes "
        "before they come",
        halved=_BOTH,
        installed=14_730_000_000,
        revision="0fad780a534b6463e45facd96134c9f345acfa5b",  # in many public logs
        places=("studio/video",),
        sha256=T2V_1_3B,
    ),
    _wan(
        "vace-1.3B",
        "Wan2.1-VACE-1.3B-diffusers",
        # A public test counts 19,036,896,776 bytes of weights. With the encoder (5.68 thousand
        # million parameters in bfloat16) 7.15 GB are left for the transformer: T2V's parameters
        # in float32 and the 735 million of VACE's own blocks in bfloat16.
        7_654_000_000,
        "resident in bfloat16: transformer 4.3 and VAE 0.5 GB; texts are encoded by t2v-1.3B",
        halved={"transformer": Halving(KEPT, share=0.61)},
        installed=4_820_000_000,
        revision="ec4d2cb062b548996b179d493fdd05340de702a1",  # in many public logs
        patterns=("model_index.json", "scheduler/*", "transformer/*", "vae/*"),
        places=("studio/extender",),
    ),
    _wan(
        "t2v-14B",
        "Wan2.1-T2V-14B-Diffusers",
        80_406_933_703,  # measured on disk by a public deployment script
        _QUANTISED.format(need="28.6"),
        halved=_BOTH,
        installed=40_500_000_000,
        revision="38ec498cb3208fb688890f8cc7e94ede2cbd7f68",  # in many public logs
    ),
    _wan(
        "ti2v-5B",
        "Wan2.2-TI2V-5B-Diffusers",
        34_201_427_557,  # measured on disk by a public deployment script
        "transformer 10 GB in bfloat16, resident; the text encoder goes before it comes; decoded "
        "in tiles at 1280*704",
        halved=_TRANSFORMER,
        installed=24_200_000_000,
        revision="b8fff7315c768468a5333511427288870b2e9635",  # in many public logs
    ),
    _wan(
        "t2v-A14B",
        "Wan2.2-T2V-A14B-Diffusers",
        126_199_294_813,  # counted by a public download log
        _QUANTISED.format(need="2 x 28.6") + ", and only one of the two transformers is loaded",
        halved=_TWO,
        installed=69_000_000_000,
        revision="5be7df9619b54f4e2667b2755bc6a756675b5cd7",  # in many public logs
        patterns=(*_PARTS, "transformer_2/*"),
    ),
    _wan(
        "i2v-A14B",
        "Wan2.2-I2V-A14B-Diffusers",
        126_204_155_463,  # counted by a public download log
        _QUANTISED.format(need="2 x 28.6") + ", and only one of the two transformers is loaded",
        halved=_TWO,
        installed=69_000_000_000,
        revision="596658fd9ca6b7b71d5057529bbf319ecbc61d74",  # in many public logs
        patterns=(*_PARTS, "transformer_2/*"),
    ),
    _wan(
        "animate-14B",
        "Wan2.2-Animate-14B-Diffusers",
        82_300_000_000,  # the repository's page; 69.1 of them are the transformer
        _QUANTISED.format(need="34.5"),
        halved=_TRANSFORMER,
        installed=47_800_000_000,
        # Public pages only show the commit's first digits (6f4df10): not pinned.
        patterns=(*_PARTS, "image_encoder/*", "image_processor/*"),
    ),
)
