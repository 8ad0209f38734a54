"""The storyboard stage. A shot is read from the bucket, or the language model writes it."""

import logging
from collections.abc import Sequence
from functools import cached_property
from uuid import uuid4

import httpx
from prefect import task
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run
from pydantic import TypeAdapter, ValidationError

from pipelines.documents.brief import Brief
from pipelines.errors import CorruptObjectError, EnhancerError
from pipelines.language.brief_texts import as_translated
from pipelines.planning.plan import make_plan, seed_of, timeline
from pipelines.progress import Progress
from pipelines.prompting.by_hand import Rewrite, grant_wishes, with_sheet
from pipelines.prompting.instruct import Instruction
from pipelines.prompting.llama import ShotRequest
from pipelines.prompting.rewriting import Rewriter, rewritten_or_none
from pipelines.prompting.stored import Kept, Shelf
from pipelines.prompting.storyboard import seconds_of_shot, write_storyboard
from pipelines.prompting.strategies import Enhancer, follows_instructions, strategy_of
from pipelines.prompting.time_limit import timed
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Plan, Transition, digest_of
from pipelines.schema.storyboard import Shot, Storyboard, Strategy
from pipelines.schema.text import without_control_tokens
from tasks.context import RunContext
from tasks.dispatch import is_deployed
from tasks.language_model import with_placement
from tasks.options import STAGE
from tasks.progress import report
from tasks.texts import with_cut_texts
from tasks.translate import translate_brief

_log = logging.getLogger("reelwright.enhance")
_KEPT: TypeAdapter[Kept] = TypeAdapter(Kept)


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
        writer = timed(llama, count) if llama else None
        told = translate_brief(brief, context, writer)
        english = told.brief
        shots = _Shots(english, transitions, writer, context)
        storyboard = write_storyboard(
            english, transitions, seed_of(brief), writer, shots.find, shots.keep, shots.run
        )
        storyboard = with_sheet(storyboard, english.sheet)
        storyboard = _granted(storyboard, english, writer, shots)
        notices = (*told.notices, *storyboard.notices)
        record: dict[str, object] = {"translation": told.translation, "notices": notices}
        storyboard = storyboard.model_copy(update=record)
        if llama and storyboard.written:
            storyboard = with_placement(storyboard, llama)
    for shot in storyboard.shots:
        if shot.stands_in:
            _log.warning("shot %s: %s", shot.number, shot.note)
    report(Progress("enhance", count, count, "shots written"))
    return with_cut_texts(storyboard, english, context)


def _granted(
    storyboard: Storyboard, brief: Brief, enhancer: Enhancer | None, shots: "_Shots"
) -> Storyboard:
    """`storyboard` with the wishes of `brief`. It names the model that wrote shots again for them,
    also if all other shots are by hand."""
    before = shots.written
    granted = grant_wishes(storyboard, brief, _rewriting(brief, enhancer, shots))
    is_rewritten = any(
        new.source in ("llm", "llm-retry") and new.prompt != old.prompt
        for old, new in zip(storyboard.shots, granted.shots, strict=True)
    )
    if enhancer is None or not is_rewritten:
        return granted
    written = granted.written + shots.written - before
    return granted.model_copy(update={"enhancer": enhancer.name, "written": written})


def _rewriting(brief: Brief, enhancer: Enhancer | None, shots: "_Shots") -> Rewrite | None:
    """How single shots are written again with an editor's wish; None if the model follows none."""
    if enhancer is None or not follows_instructions(enhancer) or strategy_of(enhancer) != "direct":
        return None
    model = enhancer
    shelf = Shelf(shots.find, shots.keep, shots.run)

    def rewrite(board: Storyboard, number: int, wish: str) -> tuple[Shot | None, str]:
        idea, seconds = without_control_tokens(brief.prompt), seconds_of_shot(brief)
        rewriter = Rewriter(idea, seed_of(brief), seconds, model, shelf)
        return rewritten_or_none(rewriter, board, number, wish)

    return rewrite


class _Shots:
    """What the bucket has for one brief: what the asked strategy wrote, and what this run may use
    again in its place."""

    def __init__(
        self,
        brief: Brief,
        transitions: Sequence[Transition],
        enhancer: Enhancer | None,
        context: RunContext,
    ) -> None:
        self._brief, self._transitions, self._context = brief, transitions, context
        self._enhancer = enhancer
        self._count = sum(item != "continue" for item in transitions)
        self._done = 0
        self.written = 0
        """Shots that were kept in this run."""

    def run(self) -> str:
        """What this run has in common with the runs whose replacements it goes on with.

        In a studio that is the flow run of the editor: its draft, and each of its attempts on the
        GPU host, are runs of their own. A command has no id that outlives it, so all commands with
        the same brief share one; `_is_begun` says whether there is anything to go on with.
        """
        return self._run

    @cached_property
    def _run(self) -> str:
        if not is_deployed():
            # Without a field that earlier versions did not have: they named begun films like this.
            values = self._brief.model_dump(mode="json", exclude={"reviewed"})
            return digest_of(["command", values])
        try:
            return str(flow_run.root_flow_run_id)
        except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound) as error:
            # Without it only the words are lost that a second attempt would have gone on with.
            _log.warning("the run that started this one is not known: %s", error)
            return str(flow_run.id or uuid4())

    def find(self, digest: Digest) -> Kept | None:
        """A value that may be used. Raises StoreError if the store fails."""
        done = min(self._done, self._count)
        report(Progress("enhance", done, self._count, "writing the shots"))
        kept = self._read(digest)
        if kept is None or (kept.stands_in and not self._is_begun):
            return None
        self._done += isinstance(kept, Shot)
        return kept

    def keep(self, digest: Digest, kept: Kept) -> None:
        """Store what was written. Raises StoreError if the store fails.

        Of two runs that write the outline of one brief, or its sheet, the first one decides: the
        shots of both must follow the same one.
        """
        key, data = ObjectKey.shot(digest), kept.model_dump_json().encode()
        store, kind = self._context.store, "application/json"
        if isinstance(kept, Shot):
            store.put_bytes(key, data, kind)
            self._done += 1
            self.written += 1
        elif not store.put_if_absent(key, data, kind) and self._read(digest) is None:
            store.put_bytes(key, data, kind)  # what lies there is damaged

    def _read(self, digest: Digest) -> Kept | None:
        try:
            data = self._context.store.get_bytes(ObjectKey.shot(digest))
            return _KEPT.validate_json(data) if data else None
        except (CorruptObjectError, ValidationError) as error:
            _log.warning("shot %s is written again: %s", self._done + 1, error)
            return None

    @cached_property
    def _is_begun(self) -> bool:
        """Whether the film of the replacements is begun and not finished.

        A run of a studio knows its own shots by its id. For a command that was killed, the chunks
        in the bucket say it: the same brief must go on with them. Once that film is published, or
        if none of these chunks was finished, nothing is lost by asking the enhancer again.
        """
        if is_deployed():
            return True
        absent = _absent(self._enhancer)
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
        stood_in = {shot.number for shot in storyboard.shots if shot.stands_in}
        return any(
            self._context.store.head(chunk.key) is not None
            for chunk in plan.chunks
            if chunk.shot in stood_in
        )


class _Absent:
    """An enhancer that gives no words, so that only what is in the bucket and the template's shots
    are used."""

    def __init__(self, name: str, strategy: Strategy, context: int) -> None:
        self.name, self.strategy, self.context = name, strategy, context

    def words(self, request: ShotRequest) -> str:
        raise EnhancerError(f"shot {request.camera!r} is not asked for")

    def structured(self, instruction: Instruction) -> str:
        raise EnhancerError(f"an answer of {instruction.max_tokens} tokens is not asked for")

    def count_tokens(self, text: str) -> int:
        raise EnhancerError(f"the tokens of {text[:20]!r} are not counted")


def _absent(enhancer: Enhancer | None) -> _Absent:
    if enhancer is None:
        return _Absent("none", "complete", 0)
    return _Absent(enhancer.name, strategy_of(enhancer), getattr(enhancer, "context", 0))


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
