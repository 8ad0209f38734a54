"""Settings of the language model."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from infra.adapters.section import PREFIX, Section

_LEAST_CONTEXT = 1024
"""Tokens: a brief of 600 characters, which stands twice in the prompt, took 739 with Mistral's
vocabulary, and the answer may have 96."""


class LlmSettings(Section):
    """The language model that writes the shots."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}LLM_", frozen=True, extra="ignore")

    file: Path | None = Field(
        None,
        description="A GGUF file of a language model of your own, in place of the one of the model "
        "set. Who writes the shots stands in the manifest with the file's name and sha256.",
    )
    kind: Literal["auto", "completion", "instruct"] = Field(
        "auto",
        description="Whether the model continues texts (a base model) or obeys (an instruct "
        "model). `auto`: as the catalog says; a file of your own is an instruct model if it has a "
        "chat template.",
    )
    strategy: Literal["auto", "complete", "direct"] = Field(
        "auto",
        description="How the shots are written. `direct`: outline, characters and shots, one "
        "after the other; `complete`: a sentence behind the brief's own words; `auto`: `direct` "
        "by an instruct model, `complete` by a base model. A base model that is told to be "
        "`direct` writes little that makes sense.",
    )
    temperature: float = Field(
        -1.0,
        ge=-1,
        le=2,
        description="`0`: the most probable word each time (greedy), so a refused answer is "
        "seldom better the next time; above it: drawn by the video's seed, the same words for the "
        "same seed; `-1`: as each question asks.",
    )
    prompt_cache: bool = Field(
        True,
        description="Read the beginning that prompts share once, and not for each shot. It takes "
        "134 MB of memory for each 1024 tokens with Mistral 7B, three times at most.",
    )
    gpu_layers: int = Field(
        -1,
        ge=-1,
        description="Layers on the GPU, if there is one. `-1` is all of them, `0` none: then the "
        "language model does not see the GPU, and no video model leaves for it. Mistral 7B has 33.",
    )
    context: int = Field(
        0,
        ge=0,
        description="Tokens of prompt and answer together, at least 1024; `0` is what the catalog "
        "says (4096 for Mistral 7B, 2048 for Gemma 270M). Each 1024 take 134 MB with Mistral 7B.",
    )
    batch: int = Field(
        512, ge=32, le=8192, description="Tokens of a prompt that are evaluated at once."
    )
    flash_attention: bool = Field(False, description="Use llama.cpp's flash attention.")
    kv_cache: Literal["f16", "q8_0", "q4_0"] = Field(
        "f16",
        description="Numbers of the context; `q8_0` and `q4_0` take about half or a quarter of the "
        "memory of `f16` and turn flash attention on.",
    )
    threads: int = Field(
        1, ge=1, description="CPU threads that write words; more are slower on a busy machine."
    )
    prompt_threads: int = Field(
        0, ge=0, description="CPU threads that read a prompt; `0` is one for each core."
    )
    timeout: float = Field(
        120.0,
        gt=0,
        description="Seconds that one sentence may take before the template stands in. A longer "
        "answer may take so many for each 96 tokens of its limit.",
    )
    storyboard_timeout: float = Field(
        600.0,
        ge=0,
        description="Seconds for all answers of a storyboard of up to 10 shots, also those "
        "that translate it; a longer film has more in proportion, and `0` is no limit. Three "
        "quarters of them are for `direct`, the rest for `complete`; then the template writes the "
        "shots that are left. The demo's writer takes one to two minutes on one CPU core.",
    )
    translate_timeout: float = Field(
        150.0,
        gt=0,
        description="Seconds that a translation model may take to start, and as many for each text "
        "that it translates. A brief whose translation takes longer is refused.",
    )

    @field_validator("temperature")
    @classmethod
    def _temperature_is_one(cls, value: float) -> float:
        if -1 < value < 0:
            raise ValueError("give a number from 0 to 2, or -1 to leave it to each question")
        return value

    @field_validator("context")
    @classmethod
    def _context_holds_a_prompt(cls, value: int) -> int:
        if 0 < value < _LEAST_CONTEXT:
            raise ValueError(
                f"a prompt and its answer need {_LEAST_CONTEXT} tokens, or set it to 0"
            )
        return value
