"""Asks an instruct model one question, checks the answer, and asks once more if it has a fault."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pipelines.errors import EnhancerError
from pipelines.prompting.instruct import Instruction, InstructModel
from pipelines.prompting.texts import DIRECTIONS
from pipelines.prompting.words import plain
from pipelines.schema.storyboard import Cause
from pipelines.schema.text import without_control_tokens

MAX_ANSWER = 20_000
"""Characters of an answer that are read. The longest valid one is far shorter."""
MAX_SHOWN = 1_200
"""Characters of a refused answer that the model is shown again."""
REPAIR_STEP = 700_001
"""Difference of the seeds of a question and of its repair."""


class NoAnswerError(Exception):
    """A strategy could not write: the model `failed`, or its answers were `refused`."""

    def __init__(self, cause: Cause, fault: str) -> None:
        super().__init__(fault)
        self.cause: Cause = cause
        self.fault = fault


class Answer(BaseModel):
    """The base of all answers: unknown fields are ignored, texts are cleaned."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: Any) -> Any:
        return _cleaned(value)


Answered = TypeVar("Answered", bound=Answer)


@dataclass(frozen=True)
class Question(Generic[Answered]):
    """What the model is asked, and the class of its answer."""

    template: str
    """Name of a text in `prompts/`."""
    data: Mapping[str, str]
    schema: Mapping[str, Any]
    answer: type[Answered]
    seed: int
    max_tokens: int
    temperature: float = 0.7

    def instruction(self) -> Instruction:
        """The question for the model. Marks that set off people's words are taken out of them."""
        data = {name: _set_off(value) for name, value in self.data.items()}
        return Instruction(
            text=DIRECTIONS[self.template],
            data=data,
            schema=self.schema,
            seed=self.seed,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
        )


def ask(
    model: InstructModel,
    question: Question[Answered],
    fault_of: Callable[[Answered], str],
    fault_of_second: Callable[[Answered], str] | None = None,
) -> tuple[Answered, bool]:
    """A checked answer, and whether it took a second question, which names the fault of the first.

    `fault_of` returns why an answer is refused, or an empty text. `fault_of_second` does so for the
    second answer, if that is checked in another way. Raises NoAnswerError.
    """
    first = _structured(model, question.instruction())
    answer, fault = _read(first, question.answer, fault_of)
    if answer is not None:
        return answer, False
    again = _structured(model, _repair(question, first, fault))
    answer, second_fault = _read(again, question.answer, fault_of_second or fault_of)
    if answer is None:
        said = f"two answers failed the checks, the last one: {second_fault}"
        raise NoAnswerError("refused", said)
    return answer, True


def _repair(question: Question[Answered], refused: str, fault: str) -> Instruction:
    asked = question.instruction()
    added = {"refused": _set_off(_shown(refused)), "fault": _set_off(fault)}
    return replace(
        asked,
        text=f"{asked.text}\n{DIRECTIONS['repair']}",
        data={**asked.data, **added},
        seed=asked.seed + REPAIR_STEP,
    )


def _structured(model: InstructModel, instruction: Instruction) -> str:
    try:
        return model.structured(instruction)
    except EnhancerError as error:
        raise NoAnswerError("failed", str(error)) from error


def _read(
    text: str, kind: type[Answered], fault_of: Callable[[Answered], str]
) -> tuple[Answered | None, str]:
    """The answer, or None and its fault."""
    try:
        answer = kind.model_validate(_first_object(text))
    except ValidationError as error:
        return None, _in_words(error)
    except (ValueError, RecursionError) as error:
        return None, str(error) or "the answer is nested too deeply"
    fault = fault_of(answer)
    return (None, fault) if fault else (answer, "")


def _first_object(text: str) -> dict[str, Any]:
    """The first JSON object of `text`; what stands before and behind it is ignored.

    Raises ValueError if there is none, and RecursionError if it is nested too deeply.
    """
    text = text[:MAX_ANSWER]
    start = text.find("{")
    if not text.strip():
        raise ValueError("the answer is empty")
    if start < 0:
        raise ValueError("the answer is not a JSON object")
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ValueError("the answer is cut off, or is not JSON") from error
    assert isinstance(value, dict)
    return value


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the answer"
    return f"{_shown(place)[:60]}: {first['msg']}"


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return without_control_tokens(plain(value[:MAX_ANSWER]))
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value


def _set_off(text: str) -> str:
    """`text` without the angle brackets that mark where people's words begin and end."""
    lines = (re.sub(r"[<>]", " ", without_control_tokens(line)) for line in text.splitlines())
    return "\n".join(" ".join(line.split()) for line in lines)


def _shown(text: str) -> str:
    """A refused answer in ASCII, short enough to be shown to the model again."""
    return plain(text[:MAX_SHOWN]).encode("ascii", "replace").decode()
