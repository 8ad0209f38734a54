"""The parts of each Wan backend: which models, which route, how many transformers."""

from dataclasses import dataclass
from typing import Literal

from pipelines.schema.request import InputKind

MAX_TOKENS = 512
"""`WanPipeline.__call__`'s length of a text, the end mark included; `encode_prompt` alone would
default to 226 and differ. What is longer is cut."""
Route = Literal["text", "image", "vace"]
"""`text`   text-to-video; models trained with a clean first frame (Wan 2.2 TI2V, our demo model)
         go on from a frame with the same weights
`image`  Wan 2.2 I2V: a first frame, perhaps a last one
`vace`   Wan 2.1 VACE: video in which some frames are known and the others are asked for, and
         pictures of what it shows. With nothing known it makes fresh chunks too, so that a video
         is made by one model throughout."""

VACE_INPUTS: frozenset[InputKind] = frozenset(
    {"continuation", "first_frame", "last_frame", "reference_image"}
)
"""What Wan 2.1's text-to-video cannot be given, and its VACE sibling can."""


@dataclass(frozen=True)
class Variant:
    """How a backend is made of installed models."""

    model: str
    """Name in the catalog; its text encoder and tokenizer encode the texts."""
    route: Route = "text"
    transformers: tuple[str, ...] = ("transformer",)
    vace: str = ""
    """Denoises the whole video instead of `model` if one of `VACE_INPUTS` is used."""
    channels: int = 16
    """Input channels of the transformer; another number is another model."""
    needs: str = ""
    """A setting that `model_index.json` must have, without which the pipeline would run wrongly."""
