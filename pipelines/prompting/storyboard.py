"""Writing the storyboard: shot by shot, each found again by its digest, each gated.

Shot n depends on the brief and on shots 1 to n-1 only: a longer version of a brief starts
with the same shots, so their chunks are found in the bucket.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.errors import EnhancerError
from pipelines.planning.plan import hand_shot_of
from pipelines.prompting.cameras import camera_of
from pipelines.prompting.gates import fault_of
from pipelines.prompting.llama import ShotRequest, Writer
from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest
from pipelines.schema.plan import Join, digest_of
from pipelines.schema.storyboard import Shot, ShotSource, Storyboard
from pipelines.schema.text import without_control_tokens

ATTEMPTS = 3
LONG_BRIEF = 600
"""Characters from which a brief stands alone: restated, it leaves Wan no room for more."""
RECIPE = "shot/2"
_SEED_STEP = 100_003
"""Between attempts; larger than any number of shots, so no two requests share a seed."""

Find = Callable[[Digest], Shot | None]
Keep = Callable[[Digest, Shot], None]


@dataclass(frozen=True)
class WrittenShot:
    """A shot and whether it was written now."""

    shot: Shot
    fresh: bool


def write_storyboard(
    brief: Brief, joins: Sequence[Join], seed: int, writer: Writer | None, find: Find, keep: Keep
) -> Storyboard:
    """A shot of `brief` for each of `joins`; one that continues has the words of the one before.

    Never fails because of the writer: the template takes over. `find` looks a shot up by its
    digest, `keep` stores a fresh one; both may raise.
    """
    if brief.storyboard:
        return _by_hand(brief, len(joins))
    idea = without_control_tokens(brief.prompt)
    reason = _why_own_words(brief, idea, writer)
    count = sum(join != "continue" for join in joins)
    if reason is None and writer is not None:
        written = _write_all(count, idea, seed, writer, find, keep)
        name = writer.name
    else:
        numbers = range(1, count + 1)
        written = [
            WrittenShot(_own_words(number, brief, idea, reason or ""), fresh=False)
            for number in numbers
        ]
        name = "none"
    fresh = iter(written)
    shots: list[Shot] = []
    for number, join in enumerate(joins, start=1):
        if join == "continue":
            going_on: dict[str, object] = {"number": number, "source": "continued", "note": ""}
            shot = _override(shots[-1].model_copy(update=going_on), brief)
        else:
            shot = _override(next(fresh).shot.model_copy(update={"number": number}), brief)
        shots.append(shot)
    return Storyboard(
        shots=tuple(_styled(shot, brief) for shot in shots),
        writer=name,
        written=sum(item.fresh for item in written),
    )


def _by_hand(brief: Brief, count: int) -> Storyboard:
    shots = []
    for number in range(1, count + 1):
        given = hand_shot_of(brief, number, count)
        assert given is not None
        words = without_control_tokens(given.prompt)
        shot = Shot(number=number, camera="as written", prompt=words, source="editor")
        shots.append(_styled(_override(shot, brief), brief))
    return Storyboard(shots=tuple(shots), writer="none", written=0)


def shot_digests(count: int, idea: str, seed: int, writer: str) -> Iterator[Digest]:
    """Identities of the first `count` shots that `writer` makes of `idea`, in order."""
    digest = ""
    for number in range(1, count + 1):
        digest = digest_of([RECIPE, writer, idea, number, seed, digest])
        yield Digest(digest)


def _write_all(
    count: int, idea: str, seed: int, writer: Writer, find: Find, keep: Keep
) -> list[WrittenShot]:
    written: list[WrittenShot] = []
    for number, digest in enumerate(shot_digests(count, idea, seed, writer.name), start=1):
        found = find(digest)
        shot = found or _write(number, idea, seed, writer, [item.shot for item in written])
        if found is None:
            keep(digest, shot)
        written.append(WrittenShot(shot, fresh=found is None))
    return written


def _why_own_words(brief: Brief, idea: str, writer: Writer | None) -> str | None:
    """None if the writer shall write; else the note for the manifest (may be empty)."""
    if not brief.enhance or writer is None:
        return ""
    letters = [character for character in idea if character.isalpha()]
    latin = sum(character < "\u0250" for character in letters)
    if latin < 0.8 * len(letters) or not letters:
        return "the writer knows English only; the brief's own words were used"
    if len(idea) > LONG_BRIEF:
        return "the brief is detailed enough to stand alone"
    return None


def _own_words(number: int, brief: Brief, idea: str, note: str) -> Shot:
    camera = camera_of(number)
    prompt = f"{camera}: {idea}" if brief.enhance else idea
    return Shot(number=number, camera=camera, prompt=prompt, source="brief", note=note)


def _write(number: int, idea: str, seed: int, writer: Writer, earlier: list[Shot]) -> Shot:
    camera = camera_of(number)
    opening = idea[:1].upper() + idea[1:].rstrip(" .,;:!?")
    before = [shot.prompt.removeprefix(f"{shot.camera}: {opening}") for shot in earlier]
    fault = ""
    for attempt in range(ATTEMPTS):
        request = ShotRequest(idea, camera, opening, seed + number + attempt * _SEED_STEP)
        try:
            words = without_control_tokens(writer.words(request))
        except EnhancerError as error:
            fault = str(error)
            break
        fault = fault_of(words, idea, before)
        if not fault:
            source: ShotSource = "llm-retry" if attempt else "llm"
            prompt = f"{camera}: {opening}, {words}"
            return Shot(number=number, camera=camera, prompt=prompt, source=source)
    note = f"the template stands in for the writer: {fault}"
    prompt = f"{camera}: {opening}."
    return Shot(number=number, camera=camera, prompt=prompt, source="template", note=note)


def _override(shot: Shot, brief: Brief) -> Shot:
    """The editor's words for this shot, if there are any."""
    override = brief.override_of(shot.number)
    if not (override and override.prompt):
        return shot
    words = without_control_tokens(override.prompt)
    return shot.model_copy(update={"prompt": words, "source": "editor", "note": ""})


def _styled(shot: Shot, brief: Brief) -> Shot:
    if not brief.style:
        return shot
    style = without_control_tokens(brief.style)
    return shot.model_copy(update={"prompt": f"{shot.prompt.rstrip('.')}. {style}"})
