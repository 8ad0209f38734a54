"""What the catalog says about one model: what it is, where its files come from and lie."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["enhancer", "video", "upscaler", "lora", "scorer", "translator"]


@dataclass(frozen=True)
class Halving:
    """A component that is float32 on the hub and is stored in 16 bits here.

    Every run computes in bfloat16 unless `REELWRIGHT_DTYPE` says otherwise, and then a loader
    rounds the same numbers to the same bits: the copy gives the same pixels, loads in half the
    time and takes half the room.
    """

    kept: tuple[str, ...] = ()
    """Parts of a weight's dotted name by which its loader keeps it in float32 in every run."""
    share: float = 0.51
    """Bytes of the copy for each byte of the hub's, rounded up: for the check of the disk."""


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
    halved: Mapping[str, Halving] = field(default_factory=dict)
    """Components that are stored in 16 bits, by their folder."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """What public sources say about the files of `revision`, by name: a mirror that announces
    others is refused."""


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
    installed_size: int = 0
    """Bytes on disk once it is installed, about; 0: as many as are downloaded."""

    @property
    def room(self) -> int:
        """Bytes on disk once it is installed, about; 0 if unknown."""
        return self.installed_size or self.size

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
