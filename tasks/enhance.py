"""The storyboard stage. A shot is read from the bucket, or the language model writes it."""

import logging
from collections.abc import Sequence
from functools import cached_property
from uuid import uuid4

import httpx
from prefect import task
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run
from pydantic import ValidationError

from pipelines.documents.brief import Brief
from pipelines.errors import CorruptObjectError, EnhancerError
from pipelines.language.brief_texts import as_translated
from pipelines.planning.plan import make_plan, seed_of, timeline
from pipelines.progress import Progress
from pipelines.prompting.llama import PromptEnhancer, ShotRequest
from pipelines.prompting.storyboard import write_storyboard
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Plan, Transition, digest_of
from pipelines.schema.storyboard import Shot, Storyboard
from tasks.context import RunContext
from tasks.dispatch import is_deployed
from tasks.language_model import with_placement
from tasks.options import STAGE
from tasks.progress import report
from tasks.translate import translate_brief

_log = logging.getLogger("reelwright.enhance")


@task(name="enhance", **STAGE)
def enhance(brief: Brief, context: RunContext) -> Storyboard:
    """Write the shots that the bucket does not hold yet. An error of the enhancer does not fail the
    run.

    Raises BriefError if the brief has too many shots or changes one that it does not have, or if
    its translation cannot be used, WeightsError if a translation model is damaged, and StoreError
    if the store fails.
    """
    transitions = [slot.transition for slot in timeline(brief)]
    count = sum(item != "continue" for item in transitions)
    with context.costs.measure("enhance"), context.enhancer() as llama:
        english, translation = translate_brief(brief, context, llama)
        shots = _Shots(english, transitions, llama, context)
        storyboard = write_storyboard(
            english, transitions, seed_of(brief), llama, shots.find, shots.keep, shots.run
        )
        storyboard = storyboard.model_copy(update={"translation": translation})
        if llama and storyboard.written:
            storyboard = with_placement(storyboard, llama)
    for shot in storyboard.shots:
        if shot.source == "template":
            _log.warning("shot %s: %s", shot.number, shot.note)
    report(Progress("enhance", count, count, "shots written"))
    return storyboard


class _Shots:
    """The shots of one brief in the bucket: those of the enhancer, and those of the template that
    this run may use again."""

    def __init__(
        self,
        brief: Brief,
        transitions: Sequence[Transition],
        enhancer: PromptEnhancer | None,
        context: RunContext,
    ) -> None:
        self._brief, self._transitions, self._context = brief, transitions, context
        self._enhancer = enhancer
        self._count = sum(item != "continue" for item in transitions)
        self._done = 0

    def run(self) -> str:
        """What this run has in common with the runs whose template's shots it goes on with.

        In a studio that is the flow run of the editor: its draft, and each of its attempts on the
        GPU host, are runs of their own. A command has no id that outlives it, so all commands with
        the same brief share one; `_is_begun` says whether there is anything to go on with.
        """
        return self._run

    @cached_property
    def _run(self) -> str:
        if not is_deployed():
            return digest_of(["command", self._brief.model_dump(mode="json")])
        try:
            return str(flow_run.root_flow_run_id)
        except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound) as error:
            # Without it only the words are lost that a second attempt would have gone on with.
            _log.warning("the run that started this one is not known: %s", error)
            return str(flow_run.id or uuid4())

    def find(self, digest: Digest) -> Shot | None:
        """A shot that may be used. Raises StoreError if the store fails."""
        done = min(self._done, self._count)
        report(Progress("enhance", done, self._count, "writing the shots"))
        shot = self._read(digest)
        if shot is None or (shot.source == "template" and not self._is_begun):
            return None
        self._done += 1
        return shot

    def keep(self, digest: Digest, shot: Shot) -> None:
        """Store a shot that was written. Raises StoreError if the store fails."""
        data = shot.model_dump_json().encode()
        self._context.store.put_bytes(ObjectKey.shot(digest), data, "application/json")
        self._done += 1

    def _read(self, digest: Digest) -> Shot | None:
        try:
            data = self._context.store.get_bytes(ObjectKey.shot(digest))
            return Shot.model_validate_json(data) if data else None
        except (CorruptObjectError, ValidationError) as error:
            _log.warning("shot %s is written again: %s", self._done + 1, error)
            return None

    @cached_property
    def _is_begun(self) -> bool:
        """Whether the film of the template's shots is begun and not finished.

        A run of a studio knows its own shots by its id. For a command that was killed, the chunks
        in the bucket say it: the same brief must go on with them. Once that film is published, or
        if none of these chunks was finished, nothing is lost by asking the enhancer again.
        """
        if is_deployed():
            return True
        absent = _Absent(self._enhancer.name if self._enhancer else "none")
        storyboard = write_storyboard(
            self._brief,
            self._transitions,
            seed_of(self._brief),
            absent,
            self._read,
            lambda *_: None,
            self.run,
        )
        plan = plan_of(self._brief, storyboard, self._context)
        if self._context.store.head(ObjectKey.manifest(plan.content_id)):
            return False
        stood_in = {shot.number for shot in storyboard.shots if shot.source == "template"}
        return any(
            self._context.store.head(chunk.key) is not None
            for chunk in plan.chunks
            if chunk.shot in stood_in
        )


class _Absent:
    """An enhancer that gives no words, so that only shots in the bucket and the template's are
    used."""

    def __init__(self, name: str) -> None:
        self.name = name

    def words(self, request: ShotRequest) -> str:
        raise EnhancerError(f"shot {request.camera!r} is not asked for")


@task(name="plan", **STAGE)
def plan_video(brief: Brief, storyboard: Storyboard, context: RunContext) -> Plan:
    """Plan every chunk before the first frame is made.

    Raises BriefError as `enhance`.
    """
    plan = plan_of(brief, storyboard, context)
    context.content_id = plan.content_id
    return plan


def plan_of(brief: Brief, storyboard: Storyboard, context: RunContext) -> Plan:
    """The plan of `storyboard` on this host. Raises BriefError as `enhance`."""
    english = as_translated(brief, storyboard.translation)
    return make_plan(english, storyboard, context.backend, context.upscale_spec())
