"""Writes the storyboard shot by shot. Each shot is found by its digest, or written and checked.

Shot n depends on the brief and on shots 1 to n-1 only. So a longer version of a brief starts with
the same shots, and their chunks are found in the bucket.

If the enhancer fails, or no answer of it passes the checks, a template writes the shot. Such a shot
is never kept under the digest of the enhancer's own shot: in version 0.2 it was, and a brief whose
first run met a broken enhancer got the template's words in every later run too. It is kept
under a digest that also names the run. So a run that is started again after a crash goes on with
the words of the chunks that it has finished, and an editor gets the words that he approved, though
the enhancer may work again; every other run asks the enhancer again. That holds for `refused`
words as well as for a `failed` model: the same seeds give the same words only on the same build and
device, and a device that computes wrongly gives words that the checks refuse.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.documents.brief import Brief
from pipelines.errors import EnhancerError
from pipelines.planning.framing import with_style
from pipelines.planning.plan import hand_shot_of
from pipelines.prompting.by_hand import camera_by_hand, sheet_by_hand, words_by_hand
from pipelines.prompting.cameras import camera_of
from pipelines.prompting.gates import fault_of
from pipelines.prompting.llama import PromptEnhancer, ShotRequest
from pipelines.schema.keys import Digest
from pipelines.schema.plan import Transition, digest_of
from pipelines.schema.storyboard import Cause, Shot, ShotSource, Storyboard
from pipelines.schema.text import without_control_tokens

ATTEMPTS = 3
LONG_BRIEF = 600
"""Characters from which a brief is used unchanged: the video model has no tokens left for more
words."""
RECIPE = "shot/3"
_SEED_STEP = 100_003
"""Difference of seeds between attempts. It is larger than any number of shots, so no two requests
share a seed."""
_NO_REMARK: dict[str, object] = {"note": "", "cause": ""}
"""Of a shot whose words are not those that the remark was about."""

Find = Callable[[Digest], Shot | None]
Keep = Callable[[Digest, Shot], None]
RunName = Callable[[], str]
"""What a run has in common with those whose template's shots it may use. It is asked only if the
enhancer's own shot is not there, because finding it out may take requests to a server."""


@dataclass(frozen=True)
class WrittenShot:
    """A shot, and whether the enhancer was asked for it now."""

    shot: Shot
    fresh: bool


def write_storyboard(
    brief: Brief,
    transitions: Sequence[Transition],
    seed: int,
    enhancer: PromptEnhancer | None,
    find: Find,
    keep: Keep,
    run: RunName,
) -> Storyboard:
    """A shot of `brief` for each of `transitions`. A shot that continues repeats the words before.

    If the enhancer fails, a template replaces its words. `find` looks a shot up by its digest,
    `keep` stores a new one, and `run` names the run. Raises only what these three raise.
    """
    if brief.storyboard:
        return _by_hand(brief, len(transitions))
    idea = without_control_tokens(brief.prompt)
    reason = _why_own_words(brief, idea, enhancer)
    count = sum(item != "continue" for item in transitions)
    if reason is None and enhancer is not None:
        written = _write_all(count, idea, seed, enhancer, find, keep, run)
        name = enhancer.name
    else:
        numbers = range(1, count + 1)
        written = [
            WrittenShot(_own_words(number, brief, idea, reason or ""), fresh=False)
            for number in numbers
        ]
        name = "none"
    fresh = iter(written)
    shots: list[Shot] = []
    for number, transition in enumerate(transitions, start=1):
        if transition == "continue":
            going_on = {"number": number, "source": "continued", **_NO_REMARK}
            shot = _override(shots[-1].model_copy(update=going_on), brief)
        else:
            shot = _override(next(fresh).shot.model_copy(update={"number": number}), brief)
        shots.append(shot)
    return Storyboard(
        shots=tuple(_styled(shot, brief) for shot in shots),
        enhancer=name,
        written=sum(item.fresh and item.shot.source != "template" for item in written),
    )


def _by_hand(brief: Brief, count: int) -> Storyboard:
    shots = []
    for number in range(1, count + 1):
        given = hand_shot_of(brief, number, count)
        assert given is not None
        words, camera = words_by_hand(given), camera_by_hand(given)
        shot = Shot(number=number, camera=camera, prompt=words, source=given.source)
        shots.append(_styled(_override(shot, brief), brief))
    sheet = sheet_by_hand(brief.sheet)
    return Storyboard(shots=tuple(shots), enhancer="none", written=0, sheet=sheet)


def shot_digests(count: int, idea: str, seed: int, enhancer: str) -> Iterator[Digest]:
    """Identities of the first `count` shots that `enhancer` writes for `idea`, in order."""
    digest = ""
    for number in range(1, count + 1):
        digest = digest_of([RECIPE, enhancer, idea, number, seed, digest])
        yield Digest(digest)


def stand_in_digest(run: str, digest: Digest) -> Digest:
    """Identity of the template's shot that `run` uses in place of the enhancer's shot `digest`."""
    return digest_of([RECIPE, "stand-in", run, digest])


def _write_all(
    count: int,
    idea: str,
    seed: int,
    enhancer: PromptEnhancer,
    find: Find,
    keep: Keep,
    run: RunName,
) -> list[WrittenShot]:
    written: list[WrittenShot] = []
    for number, digest in enumerate(shot_digests(count, idea, seed, enhancer.name), start=1):
        found = _by_the_enhancer(find(digest)) or find(stand_in_digest(run(), digest))
        shot = found or _write(number, idea, seed, enhancer, [item.shot for item in written])
        if found is None:
            stood_in = shot.source == "template"
            keep(stand_in_digest(run(), digest) if stood_in else digest, shot)
        written.append(WrittenShot(shot, fresh=found is None))
    return written


def _by_the_enhancer(shot: Shot | None) -> Shot | None:
    """`shot`, unless it is one of the template's, which version 0.2 kept like the others."""
    return None if shot is None or shot.source == "template" else shot


def _why_own_words(brief: Brief, idea: str, enhancer: PromptEnhancer | None) -> str | None:
    """None if the enhancer is to write the shots; else the note for the manifest, which may be
    empty."""
    if not brief.enhance:
        return ""
    if enhancer is None:
        return "this run has no device for the enhancer; the brief's own words were used"
    letters = [character for character in idea if character.isalpha()]
    latin = sum(character < "\u0250" for character in letters)
    if latin < 0.8 * len(letters) or not letters:
        return "the enhancer knows English only; the brief's own words were used"
    if len(idea) > LONG_BRIEF:
        return "the brief is detailed enough to stand alone"
    return None


def _own_words(number: int, brief: Brief, idea: str, note: str) -> Shot:
    camera = camera_of(number)
    prompt = f"{camera}: {idea}" if brief.enhance else idea
    return Shot(number=number, camera=camera, prompt=prompt, source="brief", note=note)


def _write(
    number: int, idea: str, seed: int, enhancer: PromptEnhancer, earlier: list[Shot]
) -> Shot:
    camera = camera_of(number)
    opening = idea[:1].upper() + idea[1:].rstrip(" .,;:!?")
    before = [shot.prompt.removeprefix(f"{shot.camera}: {opening}") for shot in earlier]
    fault = ""
    cause: Cause = "refused"
    for attempt in range(ATTEMPTS):
        request = ShotRequest(idea, camera, opening, seed + number + attempt * _SEED_STEP)
        try:
            words = without_control_tokens(enhancer.words(request))
        except EnhancerError as error:
            fault, cause = str(error), "failed"
            break
        fault = fault_of(words, idea, before)
        if not fault:
            source: ShotSource = "llm-retry" if attempt else "llm"
            prompt = f"{camera}: {opening}, {words}"
            return Shot(number=number, camera=camera, prompt=prompt, source=source)
    return _from_template(number, camera, opening, cause, fault)


def _from_template(number: int, camera: str, opening: str, cause: Cause, fault: str) -> Shot:
    why = f"{ATTEMPTS} answers failed the checks, the last one: " if cause == "refused" else ""
    return Shot(
        number=number,
        camera=camera,
        prompt=f"{camera}: {opening}.",
        source="template",
        note=f"the template stands in for the enhancer: {why}{fault}",
        cause=cause,
    )


def _override(shot: Shot, brief: Brief) -> Shot:
    """The editor's words for this shot, if there are any."""
    override = brief.override_of(shot.number)
    if not (override and override.prompt):
        return shot
    words = without_control_tokens(override.prompt)
    return shot.model_copy(update={"prompt": words, "source": "editor", **_NO_REMARK})


def _styled(shot: Shot, brief: Brief) -> Shot:
    return shot.model_copy(update={"prompt": with_style(shot.prompt, brief.style)})
