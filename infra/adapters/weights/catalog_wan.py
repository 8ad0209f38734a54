"""Wan 2.1 and 2.2 in the layout of diffusers. All repositories of Wan-AI say Apache-2.0."""

from infra.adapters.weights.model import HubSource, Model

_PARTS = (
    "model_index.json",
    "scheduler/*",
    "text_encoder/*",
    "tokenizer/*",
    "transformer/*",
    "vae/*",
)
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
    revision: str = "main",
    patterns: tuple[str, ...] = _PARTS,
    places: tuple[str, ...] = (),
) -> Model:
    """`places`, and then the guide's `wan/<model>/` under each of its usual names."""
    title = repository.removesuffix("-Diffusers").removesuffix("-diffusers")
    return Model(
        name,
        "video",
        title,
        "Apache-2.0",
        HubSource(f"Wan-AI/{repository}", patterns, revision),
        size=size,
        memory=memory,
        places=(*places, f"wan/{title}", f"wan/{name}", f"wan/{repository}"),
    )


WAN: tuple[Model, ...] = (
    _wan(
        "t2v-1.3B",
        "Wan2.1-T2V-1.3B-Diffusers",
        28_900_000_000,  # float32: text encoder 22.7, transformer 5.7, VAE 0.5 GB
        "resident in bfloat16: transformer 2.8 and VAE 0.5 GB; the text encoder (11.4 GB) goes "
        "before they come",
        revision="0fad780a534b6463e45facd96134c9f345acfa5b",  # in many public logs
        places=("studio/video",),
    ),
    _wan(
        "vace-1.3B",
        "Wan2.1-VACE-1.3B-diffusers",
        7_700_000_000,  # the repository's 19.04 GB without its text encoder of 11.36 GB
        "resident in bfloat16: transformer 4.3 and VAE 0.5 GB; texts are encoded by t2v-1.3B",
        revision="ec4d2cb062b548996b179d493fdd05340de702a1",  # in many public logs
        patterns=("model_index.json", "scheduler/*", "transformer/*", "vae/*"),
        places=("studio/extender",),
    ),
    _wan(
        "t2v-14B",
        "Wan2.1-T2V-14B-Diffusers",
        80_406_933_703,  # measured on disk by a public deployment script
        _QUANTISED.format(need="28.6"),
        revision="38ec498cb3208fb688890f8cc7e94ede2cbd7f68",  # in many public logs
    ),
    _wan(
        "ti2v-5B",
        "Wan2.2-TI2V-5B-Diffusers",
        34_201_427_557,  # measured on disk by a public deployment script
        "transformer 10 GB in bfloat16, resident; the text encoder goes before it comes; decoded "
        "in tiles at 1280*704",
        revision="b8fff7315c768468a5333511427288870b2e9635",  # in many public logs
    ),
    _wan(
        "t2v-A14B",
        "Wan2.2-T2V-A14B-Diffusers",
        126_199_294_813,  # counted by a public download log
        _QUANTISED.format(need="2 x 28.6") + ", and only one of the two transformers is loaded",
        revision="5be7df9619b54f4e2667b2755bc6a756675b5cd7",  # in many public logs
        patterns=(*_PARTS, "transformer_2/*"),
    ),
    _wan(
        "i2v-A14B",
        "Wan2.2-I2V-A14B-Diffusers",
        126_204_155_463,  # counted by a public download log
        _QUANTISED.format(need="2 x 28.6") + ", and only one of the two transformers is loaded",
        revision="596658fd9ca6b7b71d5057529bbf319ecbc61d74",  # in many public logs
        patterns=(*_PARTS, "transformer_2/*"),
    ),
    _wan(
        "animate-14B",
        "Wan2.2-Animate-14B-Diffusers",
        82_300_000_000,  # the repository's page; 69.1 of them are the transformer
        _QUANTISED.format(need="34.5"),
        # Public pages only show the commit's first digits (6f4df10): not pinned.
        patterns=(*_PARTS, "image_encoder/*", "image_processor/*"),
    ),
)
