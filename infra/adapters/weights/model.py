"""What the catalog says about one model: what it is, where its files come from and lie."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["enhancer", "video", "upscaler", "lora"]


@dataclass(frozen=True)
class HubSource:
    """Files of a repository on the Hugging Face hub.

    A `revision` that is a branch is resolved to a commit at the first download and recorded in
    the index; from then on that commit is fetched.
    """

    repository: str
    patterns: tuple[str, ...]
    """Shell patterns of the wanted files; those of a folder model, such as `vae/*`, also tell
    which folders a copy that was made by hand must have."""
    revision: str = "main"
    indexed_only: bool = False
    """Of the weights in one folder, fetch only those that its `*.safetensors.index.json` names:
    some repositories keep the same weights twice, in other pieces."""


@dataclass(frozen=True)
class UrlSource:
    """One file at an address."""

    url: str
    sha256: str = ""
    """Empty: recorded at the first download."""


@dataclass(frozen=True)
class BuiltSource:
    """Made on this machine from a package that is installed."""

    package: str


Source = HubSource | UrlSource | BuiltSource


@dataclass(frozen=True)
class EnhancerSettings:
    """How a language model is asked."""

    prompt: Literal["completion", "instruct"]
    """A base model continues examples, an instruct model obeys."""
    context: int
    """Tokens."""


@dataclass(frozen=True)
class Model:
    """One model under its name."""

    name: str
    role: Role
    title: str
    licence: str
    source: Source
    size: int
    """Bytes to download, about; 0 if unknown. The hub's list of files decides, not this."""
    memory: str
    """How it fits 22 GB of GPU memory."""
    file: str = ""
    """The file to load, below its folder; empty for the whole folder."""
    licence_note: str = ""
    """What the licence restricts. It is shown and must be accepted before the first download."""
    places: tuple[str, ...] = ()
    """Folders below the models directory where it may lie besides `<name>`, in order."""
    enhancer: EnhancerSettings | None = None
    gated: bool = False
    """The hub serves it only to accounts that accepted its licence there."""

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders where it may lie, below the models directory, the first one preferred."""
        return (self.name, *self.places)


@dataclass(frozen=True)
class ModelSet:
    """Models that are installed together under one word."""

    name: str
    title: str
    models: tuple[str, ...]
    enhancer: str
    upscaler: str
    for_gpu: bool = True
    """Whether its videos, and those of backends that use its companions, need a GPU."""
