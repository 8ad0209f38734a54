"""Every message that a page or an error may show, read from the templates and from the code."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from babel.messages.extract import extract
from pydantic_core import PydanticKnownError

from infra.apps.gateway import cards, views
from infra.apps.gateway.languages.catalog import SENTENCE
from pipelines.backends.registry import definitions, presets
from pipelines.costs.summary import BY
from pipelines.documents.brief import Brief
from pipelines.schema.languages import NAMES
from pipelines.schema.plan import Transition
from pipelines.schema.shots import HandShot
from pipelines.schema.stages import STAGES
from pipelines.schema.storyboard import ShotSource
from tests.conftest import REPOSITORY

TEMPLATES = REPOSITORY / "infra" / "apps" / "gateway" / "templates"
CALLED = {
    "ProblemError": (2,),
    "problem_response": (2,),
    "HTTPException": (1,),
    "BriefError": (0,),
    "BudgetError": (0,),
    "RejectedError": (0,),
    "RenderError": (0,),
    "ServerError": (0,),
    "UnavailableError": (0,),
    "ValueError": (0,),
    "Progress": (3,),
    "_silent": (0, 1),
    "clean_text": (1,),
}
"""Calls whose arguments of these numbers are shown to people."""
RAISING = (
    "infra/apps/gateway/access.py",
    "infra/apps/gateway/answers.py",
    "infra/apps/gateway/api.py",
    "infra/apps/gateway/deleting.py",
    "infra/apps/gateway/languages/choice.py",
    "infra/apps/gateway/limits.py",
    "infra/apps/gateway/listing.py",
    "infra/apps/gateway/login.py",
    "infra/apps/gateway/pages.py",
    "infra/apps/gateway/problems.py",
    "infra/apps/gateway/ratings.py",
    "infra/apps/gateway/runs.py",
    "infra/apps/gateway/store_work.py",
    "infra/apps/gateway/storyboard_form.py",
    "infra/apps/gateway/submission.py",
    "infra/apps/gateway/uploads.py",
    "infra/apps/gateway/videos.py",
    "pipelines/backends/fit.py",
    "pipelines/backends/options.py",
    "pipelines/documents/brief.py",
    "pipelines/documents/draft.py",
    "pipelines/documents/form.py",
    "pipelines/language/brief_texts.py",
    "pipelines/documents/grouping.py",
    "pipelines/language/translator.py",
    "pipelines/planning/edits.py",
    "pipelines/planning/plan.py",
    "pipelines/routing/candidates.py",
    "pipelines/routing/router.py",
    "pipelines/schema/shots.py",
    "pipelines/schema/text.py",
    "tasks/approval.py",
    "tasks/check.py",
    "tasks/chunks.py",
    "tasks/context.py",
    "tasks/dispatch.py",
    "tasks/enhance.py",
    "tasks/publish.py",
    "tasks/stills.py",
    "tasks/stitch.py",
    "tasks/translate.py",
    "tasks/upscale.py",
)
"""Modules whose errors and reports an editor meets."""
WHOLE = (
    "pipelines/language/back_check.py",
    "infra/apps/gateway/details.py",
    "pipelines/routing/candidates.py",
    "pipelines/routing/router.py",
    "infra/adapters/availability.py",
    "pipelines/documents/route.py",
    "pipelines/documents/stand_ins.py",
    "pipelines/schema/translation.py",
)
"""Modules all of whose texts are shown."""
RETURNING = (
    "infra/apps/gateway/runs.py",
    "pipelines/language/brief_texts.py",
    "tasks/stills.py",
    "tasks/translate.py",
)
"""Modules that return sentences."""
NAMED = {
    "infra/apps/gateway/costs.py": ("title", "text"),
    "infra/apps/gateway/details.py": ("detail",),
    "infra/apps/gateway/login.py": ("_USED", "_UNKNOWN"),
    "infra/apps/gateway/pages.py": ("title", "text"),
    "infra/apps/gateway/ratings.py": ("words",),
    "infra/apps/gateway/storyboard_form.py": ("SEE_THE_SHOTS",),
    "infra/apps/gateway/views.py": ("STORE_SILENT", "STOPPING"),
    "pipelines/prompting/by_hand.py": ("NOBODY_REWRITES", "note"),
    "infra/apps/gateway/app.py": ("words",),
    "pipelines/backends/fit.py": ("_NOUNS", "choice"),
    "pipelines/language/marian.py": ("reason",),
    "pipelines/schema/text.py": ("kind",),
    "tasks/approval.py": ("words",),
    "tasks/artifacts.py": ("FILM_MADE", "DRAFT_MADE"),
    "tasks/chunks.py": ("detail",),
}
"""Names to which texts are given that are shown."""
_PYDANTIC: dict[str, dict[str, object]] = {
    "missing": {},
    "extra_forbidden": {},
    "string_type": {},
    "string_too_long": {"max_length": 77},
    "string_too_short": {"min_length": 77},
    "int_type": {},
    "int_parsing": {},
    "int_from_float": {},
    "float_type": {},
    "float_parsing": {},
    "bool_parsing": {},
    "list_type": {},
    "tuple_type": {},
    "dict_type": {},
    "literal_error": {"expected": "77"},
    "greater_than_equal": {"ge": 77},
    "less_than_equal": {"le": 77},
    "uuid_parsing": {"error": "77"},
    "string_pattern_mismatch": {"pattern": "77"},
}
_PUT_TOGETHER = [
    "{0} ({1}), as the brief says: {2}",
    "{0} ({1}), chosen by Reelwright: {2}",
    "not {0}: {1}",
    "{0} is not installed: reelwright models download {1}",
    "{0} are not installed: reelwright models download {1}",
    "about {0} ({1}), {2} GB of memory, {3}",
    "about {0}, {1}",
    "at most {0} GB of memory ({1})",
    "{0} s",
    "{0} min",
    "{0} h",
    "chunk {0} of {1}, step {2} of {3}, take {4}",
]
"""Sentences that the code puts together of several texts."""
_FIELDS = ["style", "negative"]
_LEAST = 4
"""Letters of a sentence besides its fields; with fewer it would be found in texts of others."""
_SHORT = ("joined", "prompt", "published", "uploaded")
"""Sentences of one word, which look like names."""


@dataclass(frozen=True)
class Message:
    """A text in English, and where it is."""

    text: str
    context: str
    """Empty for a text of a page."""
    place: str
    note: str = ""
    """What stands in its fields, for who translates it."""


def of_templates() -> Iterator[Message]:
    """The texts of the pages."""
    for path in sorted(TEMPLATES.glob("*.html")):
        with path.open("rb") as file:
            options = {"extensions": "jinja2.ext.i18n", "encoding": "utf-8"}
            for line, text, *_ in extract("jinja2.ext:babel_extract", file, options=options):
                yield Message(str(text), "", f"{path.name}:{line}")


def of_code() -> Iterator[Message]:
    """The sentences that the code makes, with values in numbered fields."""
    for name in sorted({*RAISING, *WHOLE, *NAMED}):
        tree = ast.parse((REPOSITORY / name).read_text(encoding="utf-8"))
        for node in _shown(tree, name):
            for text, note in _texts(node):
                if _is_shown(text):
                    yield Message(text, SENTENCE, f"{Path(name).name}:{node.lineno}", note)


def of_data() -> Iterator[Message]:
    """Words of the pages that are data: states, stages, titles, names and help of fields."""
    words = [*get_args(views.RunState), *get_args(ShotSource), *get_args(Transition), *STAGES]
    words += [*BY, *(by.capitalize() for by in BY), *(f"By {by}" for by in BY if by != "video")]
    words += ["on this machine", "on another machine", *cards._WORDS.values()]
    words += [*_PUT_TOGETHER, *_FIELDS, *(NAMES[code] for code in NAMES if code != "en")]
    words += [
        "cost",
        "storyboard",
        "video",
        "enhancer",
        "upscaler",
        "estimated",
        "billed",
        "measured on this machine",
    ]
    words += [preset.title for preset in presets().values()]
    for definition in definitions().values():  # the parts of `basis` are sentences of their own
        words += [part for part in definition.basis.split("; ") if part]
    for model in (Brief, HandShot):
        words += [field.description or "" for field in model.model_fields.values()]
    for word in dict.fromkeys(words):
        yield Message(word, SENTENCE, "data")


def of_pydantic() -> Iterator[Message]:
    """What pydantic says of a wrong value. Our sentences have it in small letters."""
    for kind, values in _PYDANTIC.items():
        text = PydanticKnownError(kind, values).message()  # type: ignore[arg-type]
        yield Message(text.lower().replace("77", "{0}"), SENTENCE, f"pydantic: {kind}")


def messages() -> dict[tuple[str, str], Message]:
    """All of them, by context and text."""
    found: dict[tuple[str, str], Message] = {}
    for source in (of_templates, of_code, of_pydantic, of_data):
        for message in source():
            found.setdefault((message.context, message.text), message)
    return found


def _shown(tree: ast.Module, name: str) -> Iterator[ast.expr]:
    """The expressions of a module whose texts are for people."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and name in RETURNING and node.value:
            yield node.value
        if isinstance(node, ast.Call) and name in RAISING:
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            for number in CALLED.get(called, ()):
                yield from node.args[number : number + 1]
        yield from _under_a_name(node, NAMED.get(name, ()))
    if name in WHOLE:
        yield from _all_texts(tree)


def _under_a_name(node: ast.AST, wanted: Sequence[str]) -> Iterator[ast.expr]:
    """What `node` gives to one of the `wanted` variables, parameters or keys."""
    if isinstance(node, ast.keyword) and node.arg in wanted:
        yield node.value
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        given = [part for item in targets for part in ast.walk(item)]
        if any(isinstance(part, ast.Name) and part.id in wanted for part in given):
            yield node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in wanted:
                yield value


def _all_texts(tree: ast.Module) -> Iterator[ast.expr]:
    """Every text but the docstrings."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in ast.walk(node) if part is not node}
        if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in inner:
            yield node


def _texts(node: ast.expr) -> Iterator[tuple[str, str]]:
    """The texts that an expression may be, with what stands in their fields."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, ""
    elif isinstance(node, ast.JoinedStr):
        yield _with_fields(node)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.BoolOp | ast.Tuple):
        for part in node.values if isinstance(node, ast.BoolOp) else node.elts:
            yield from _texts(part)
    elif isinstance(node, ast.Dict):
        for part in node.values:
            yield from _texts(part)


def _with_fields(node: ast.JoinedStr) -> tuple[str, str]:
    text, notes, after_field = "", [], False
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            if not after_field:  # two fields without a word between them are one
                text += f"{{{len(notes)}}}"
                notes.append(ast.unparse(part.value))
            after_field = True
        elif isinstance(part, ast.Constant):
            text, after_field = text + str(part.value), False
    return text, ", ".join(f"{{{number}}} = {note}" for number, note in enumerate(notes))


def _is_shown(text: str) -> bool:
    """Whether it is for people, and not the name of a field or the joint of a list."""
    letters = sum(character.isalpha() for character in text)
    return (" " in text.strip() and letters >= _LEAST) or text in _SHORT
