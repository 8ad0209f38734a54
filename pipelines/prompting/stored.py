"""What the strategies keep in the bucket, and under which digests it is found again.

A story is the work of the strategy `direct` on one brief: outline, sheet and shots. Its digests
form a chain: each beat's digest is made from the one before and the beat. An outline is written in
parts, and each part is found by the beats before it. So a longer version of a brief finds all beats
of the shorter one and asks for the further ones only, and the shots of these beats are found, too.
A shorter version takes the first beats of the longer one. Of two runs that write the same part at
the same time, the one that stores it first decides for both.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest
from pipelines.schema.plan import digest_of
from pipelines.schema.storyboard import Cause, Sheet, Shot

RECIPE = "shot/3"
"""Of the strategy `complete`. It is raised when the same brief must get other words."""
STORY_RECIPE = "direct/1"
"""Of the strategy `direct`."""


class Outline(Frozen):
    """Successive beats of a story. Without beats, it says why the model wrote none."""

    beats: tuple[str, ...]
    fault: str = ""
    cause: Cause = ""

    @property
    def stands_in(self) -> bool:
        """Whether this only says why there is nothing."""
        return self.cause != ""


class SheetPart(Frozen):
    """The entries that one part of the outline added to the sheet."""

    entries: Sheet
    fault: str = ""
    cause: Cause = ""

    @property
    def stands_in(self) -> bool:
        """Whether this only says why there is nothing."""
        return self.cause != ""


Kept = Shot | Outline | SheetPart
Find = Callable[[Digest], Kept | None]
Keep = Callable[[Digest, Kept], None]
"""Stores a value. An outline or a part of the sheet that lies there already stays."""
RunName = Callable[[], str]
"""What a run has in common with those whose replacements it may use. It is asked only if the words
of the asked strategy are not there, because finding it out may take requests to a server."""
Part = TypeVar("Part", Outline, SheetPart)


@dataclass(frozen=True)
class Shelf:
    """How the strategies reach the bucket."""

    find: Find
    keep: Keep
    run: RunName

    def shot(self, digest: Digest) -> Shot | None:
        """The shot that the asked strategy wrote, or the one that this run uses in its place."""
        found = self.find(digest)
        # Version 0.2 kept the template's shots like the others.
        if isinstance(found, Shot) and not found.stands_in:
            return found
        found = self.find(stand_in_digest(self.run(), digest))
        return found if isinstance(found, Shot) else None

    def keep_shot(self, digest: Digest, shot: Shot) -> None:
        """Store a shot, under the run's own digest if it only stands in."""
        self.keep(stand_in_digest(self.run(), digest) if shot.stands_in else digest, shot)

    def part(self, digest: Digest, kind: type[Part], write: Callable[[], Part]) -> Part:
        """The part of a story under `digest`; if there is none, what `write` returns is stored."""
        found = self.find(digest)
        if isinstance(found, kind) and not found.stands_in:
            return found
        found = self.find(stand_in_digest(self.run(), digest))
        if isinstance(found, kind):
            return found
        written = write()
        if written.stands_in:
            self.keep(stand_in_digest(self.run(), digest), written)
            return written
        self.keep(digest, written)
        first = self.find(digest)
        return first if isinstance(first, kind) else written


def shot_digests(count: int, idea: str, seed: int, enhancer: str) -> Iterator[Digest]:
    """Identities of the first `count` shots that `enhancer` completes for `idea`, in order."""
    digest = ""
    for number in range(1, count + 1):
        digest = digest_of([RECIPE, enhancer, idea, number, seed, digest])
        yield Digest(digest)


def stand_in_digest(run: str, digest: Digest) -> Digest:
    """Identity of what `run` uses in place of the value `digest` that was not to be had."""
    return digest_of([RECIPE, "stand-in", run, digest])


def story_of(idea: str, seed: int, seconds: float, enhancer: str) -> Digest:
    """Identity of the story that `enhancer` tells of `idea` in shots of `seconds`."""
    return digest_of([STORY_RECIPE, enhancer, idea, seed, round(seconds, 1)])


def chain_of(story: str, beats: Sequence[str]) -> list[Digest]:
    """The digests of the story before its first beat, after it, after the second one, and so on."""
    chain = [Digest(story)]
    for beat in beats:
        chain.append(digest_of([chain[-1], beat]))
    return chain


def outline_digest(link: Digest) -> Digest:
    """Identity of the part of the outline that begins at this link of the chain."""
    return digest_of(["outline", link])


def sheet_digest(link: Digest) -> Digest:
    """Identity of the part of the sheet for that part of the outline."""
    return digest_of(["sheet", link])


def directed_digest(link: Digest) -> Digest:
    """Identity of the shot whose beat ends at this link."""
    return digest_of(["shot", link])


def story_digests(story: str, beats: Sequence[str]) -> Iterator[Digest]:
    """Identities of everything that the bucket keeps of a story up to these beats."""
    for link in chain_of(story, beats):
        yield outline_digest(link)
        yield sheet_digest(link)
        yield directed_digest(link)
