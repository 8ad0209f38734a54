"""Writing the storyboard: shot by shot, each found again by its digest, each gated.

Shot n depends on the brief and on shots 1 to n-1 only: a longer version of a brief starts
with the same shots, so their chunks are found in the bucket.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.errors import EnhancerError
from pipelines.prompting.cameras import camera_of
from pipelines.prompting.gates import fault_of
from pipelines.prompting.llama import ShotRequest, Writer
from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest
from pipelines.schema.plan import digest_of
from pipelines.schema.storyboard import Shot, ShotSource, Storyboard
from pipelines.schema.text import without_control_tokens

ATTEMPTS = 3
LONG_BRIEF = 600
"""Characters from which a brief stands alone: restated, it leaves Wan no room for more."""
RECIPE = "shot/1"
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
    brief: Brief, count: int, seed: int, writer: Writer | None, find: Find, keep: Keep
) -> Storyboard:
    """`count` shots of `brief`. Never fails because of the writer: the template takes over.

    `find` looks a shot up by its digest, `keep` stores a fresh one; both may raise.
    """
    idea = without_control_tokens(brief.prompt)
    reason = _why_own_words(brief, idea, writer)
    written: list[WrittenShot] = []
    previous = ""
    for number in range(1, count + 1):
        if reason is not None or writer is None:
            shot = _own_words(number, brief, idea, reason or "")
            written.append(WrittenShot(shot, fresh=False))
            continue
        previous = digest_of([RECIPE, writer.name, idea, number, seed, previous])
        shot_or_none = find(previous)
        fresh = shot_or_none is None
        shot = shot_or_none or _write(number, idea, seed, writer, [w.shot for w in written])
        if fresh:
            keep(previous, shot)
        written.append(WrittenShot(shot, fresh))
    shots = tuple(_finish(item.shot, brief) for item in written)
    name = writer.name if writer and reason is None else "none"
    return Storyboard(shots=shots, writer=name, written=sum(item.fresh for item in written))


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


def _finish(shot: Shot, brief: Brief) -> Shot:
    """The editor's words for this shot if there are any, and the style after all."""
    override = brief.override_of(shot.number)
    if override and override.prompt:
        words = without_control_tokens(override.prompt)
        shot = shot.model_copy(update={"prompt": words, "source": "editor", "note": ""})
    if brief.style:
        style = without_control_tokens(brief.style)
        shot = shot.model_copy(update={"prompt": f"{shot.prompt.rstrip('.')}. {style}"})
    return shot
