"""`make scorecard-writer`: what each installed language model makes of forty briefs.

`python -m infra.apps.writer_scorecard [--strategy direct] [--beside FILE]` prints a table and keeps
films and figures as JSON in build/scorecard-writer. Answers are kept there, too: run again, it asks
only what it has not asked before, so an interrupted run goes on, and a changed check costs the
answers that it refuses. `--form` counts how many storyboards of `direct` have a valid form.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from infra.adapters.device.choice import device_name
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.library import installed_model, state_of
from infra.adapters.weights.own_writer import own_writer
from pipelines.backends.base import ModelFolder
from pipelines.errors import ReelwrightError, WeightsError
from pipelines.prompting.llama import LlamaEnhancer
from pipelines.prompting.scorecard.figures import GROUPS, figures_of, table_of
from pipelines.prompting.scorecard.films import Scored, read_briefs, score
from pipelines.prompting.scorecard.form import Form, form_of
from pipelines.prompting.scorecard.recorded import RecordedWriter
from tasks.language_model import llama_options, writer_settings

Strategy = Literal["auto", "complete", "direct"]
OUT = Path("build/scorecard-writer")


def writers(settings: Settings) -> list[ModelFolder]:
    """The language models of this machine: the operator's own, and those that are installed.

    Raises WeightsError if there is none.
    """
    found = [own_writer(settings.llm.file)] if settings.llm.file else []
    for model in MODELS.values():
        if model.enhancer and state_of(settings.paths.models, model).kind == "installed":
            found.append(installed_model(settings.paths.models, model.name))
    if not found:
        raise WeightsError(
            f"no language model is installed in {settings.paths.models}; run: reelwright models "
            "download demo"
        )
    return found


@contextmanager
def recorded(
    settings: Settings, folder: ModelFolder, strategy: Strategy, out: Path
) -> Iterator[RecordedWriter]:
    """A writer whose answers are kept in `out`. `auto` asks it as its settings say."""
    kind = writer_settings(folder, settings.llm.kind)
    options = llama_options(settings.llm, kind.context, device_name(settings))
    if strategy != "auto":
        options = replace(options, strategy=strategy)
    name = f"{folder.title}@{folder.components['file'][:12]}"
    with LlamaEnhancer(folder.path, name, kind.prompt, options) as llama:
        writer = RecordedWriter(llama, out / "answers" / f"{_file_name(llama.name)}.jsonl")
        yield writer
    _say(f"{writer.fresh} of {writer.asked} questions were asked now")


def print_films(settings: Settings, chosen: argparse.Namespace) -> None:
    """The films of each writer, kept and as tables, beside those of earlier runs."""
    columns = [(f"before: {path.stem}", read_scored(path)) for path in chosen.beside]
    for folder in writers(settings):
        with recorded(settings, folder, chosen.strategy, chosen.out) as writer:
            about = f"{folder.title}, {writer.strategy}"
            item = score(writer, partial(_say_of, about), chosen.every)
        _keep(chosen.out / f"{_file_name(item.writer)}-{item.strategy}.json", item)
        columns.append((f"{folder.title}, `{item.strategy}`", item))
    sys.stdout.write("\n\n".join(report(columns)) + "\n")


def print_forms(settings: Settings, chosen: argparse.Namespace) -> None:
    """How many storyboards of each writer have a valid form."""
    for folder in writers(settings):
        found: list[Form] = []
        with recorded(settings, folder, "direct", chosen.out) as writer:
            for scored in read_briefs()[:: chosen.every]:
                found.append(form := form_of(scored, writer))
                said = form.fault or "valid"
                _say(f"{len(found)}: {form.asked} questions, {form.seconds:.1f} s: {said}")
        valid = sum(not form.fault for form in found)
        seconds = sum(form.seconds for form in found) / len(found)
        sys.stdout.write(
            f"{folder.title}: {valid} of {len(found)} storyboards are valid, "
            f"{seconds:.0f} s a storyboard\n"
        )


def report(found: Sequence[tuple[str, Scored]]) -> Iterator[str]:
    """The tables: all briefs, a column for each result, then each group of briefs."""
    yield table_of(found)
    for heading, item in found:
        yield table_of([(heading, item)], GROUPS[1:])


def read_scored(path: Path) -> Scored:
    """A result that an earlier run kept. Raises ValueError if the file is none."""
    return Scored.model_validate(json.loads(path.read_text(encoding="utf-8"))["scored"])


def _keep(path: Path, item: Scored) -> None:
    figures = {group: one.model_dump() for group, one in figures_of(item).items()}
    document = {"figures": figures, "scored": item.model_dump(mode="json")}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _say(f"kept in {path}")


def _file_name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _say_of(about: str, line: str) -> None:
    _say(f"{about}: {line}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="make scorecard-writer", description=__doc__)
    parser.add_argument("--strategy", choices=get_args(Strategy), default="auto")
    parser.add_argument(
        "--form",
        action="store_true",
        help="ask all questions of `direct`, and count what has the form of a storyboard",
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="only each Nth brief, for a slow machine"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder for answers and results")
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], help="JSON of an earlier run"
    )
    chosen = parser.parse_args(arguments)
    try:
        settings = Settings.load()
        (print_forms if chosen.form else print_films)(settings, chosen)
    except (ReelwrightError, OSError, ValueError, KeyError) as error:
        _say(f"make scorecard-writer: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
