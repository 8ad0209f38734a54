"""`python -m tests.rehearsal`: the studio set at real size, without a GPU and without the hub.

1. makes the studio set's repositories with random weights: the hub's names, shards, settings and
   sizes (about 41 GB; see `--without`, `--layers`, `--tiny`),
2. serves them with a fake hub to `reelwright models download`, which is killed in the middle of a
   file and given again; float32 weights are stored in 16 bits on the way,
3. makes a picture through the product's own flow on the CPU, in bfloat16 and one step,
4. prints sizes, each stage's peak memory beside its plan, and where the still and manifest lie.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.adapters.weights.space import free_bytes, size_text
from pipelines.documents.manifest import Manifest
from tests.rehearsal.hub import Cut, describe, download, hub_of
from tests.rehearsal.memory import TOLERANCE, StagePeak, stage_peaks
from tests.rehearsal.plan import KNOWN_SIZES, PARTS, RehearsalPlan
from tests.rehearsal.weights import Written

_CUT = "text_encoder/model-00002-of-00005.safetensors"
MakeFilm = Callable[[dict[str, Any], Path], Manifest]
"""Makes the film of a brief; video, still and manifest lie at the path afterwards."""


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal saw."""

    written: dict[Path, Written]
    cut: Cut
    manifest: Manifest
    stages: tuple[StagePeak, ...]
    film: Path


def main() -> None:
    """Do what the options say."""
    plan, folder, keep = _options()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"free: {size_text(free_bytes(folder))} in {folder}")
    for departure in plan.departures:
        print(departure)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):  # nothing of the user's is touched
        os.environ[name] = str(folder)
    try:
        report(rehearse(plan, folder, make_film), folder / "hub")
    finally:
        if not keep:
            for name in ("hub", "models"):
                shutil.rmtree(folder / name, ignore_errors=True)


def rehearse(plan: RehearsalPlan, folder: Path, film: MakeFilm) -> Rehearsed:
    """Make, download and use the set below `folder`."""
    from tests.rehearsal.parts import write_repository

    folders, written = {}, {}
    for part, name in plan.models.items():
        folders[name] = folder / "hub" / name
        print(f"making {name} …", flush=True)
        written |= write_repository(part, folders[name], plan)
    models, description = folder / "models", folder / "hub.json"
    cut = _middle_of(folders["t2v-1.3B"])
    with hub_of(folders, written, spend=plan.spend) as hub:
        describe(folders, hub, description)
        words = ["studio"] if set(plan.parts) == set(PARTS) else list(folders)
        found = download(description, hub, models, words, cut)
    os.environ["REELWRIGHT_MODELS_DIR"] = str(models)
    os.environ |= {"REELWRIGHT_DEVICE": "cpu", "REELWRIGHT_DTYPE": "bfloat16"}
    target = folder / "film.mp4"
    with stage_peaks(models) as peaks:
        manifest = film(brief_of(plan), target)
    return Rehearsed(written, found, manifest, tuple(peaks.stages), target)


def brief_of(plan: RehearsalPlan) -> dict[str, Any]:
    """A picture in one step, enlarged if there is an upscaler."""
    return {
        "prompt": "a red fox walks through deep snow",
        "preset": "image_fast",
        "steps": 1,
        "size": plan.size,
        "enhance": "writer" in plan.parts,
        "upscale": plan.upscale if "upscaler" in plan.parts else 1,
    }


def make_film(values: dict[str, Any], target: Path) -> Manifest:
    """Through the command's own code, with servers of its own."""
    from infra.apps.make import make
    from pipelines.documents.parsing import parse_brief

    os.environ["REELWRIGHT_DATA_DIR"] = str(target.parent / "data")
    os.environ.setdefault("REELWRIGHT_LLM_TIMEOUT", "1200")
    return make(parse_brief(values), target)


def report(seen: Rehearsed, hub: Path) -> None:
    """Print what was seen."""
    for path, item in seen.written.items():
        name = str(path.relative_to(hub))
        model, _, file = name.partition("/")
        known = KNOWN_SIZES.get((model, file))
        # A shrunk network has another size on purpose.
        alike = known is not None and abs(item.size - known) < known // 20
        beside = f", the hub's {known:,}: {item.size - known:+,}" if alike and known else ""
        print(f"made      {item.size:>14,}  {name}{beside}")
    cut = seen.cut
    print(f"download  killed at {cut.killed_at:,} bytes of {cut.file}, went on at that byte")
    for stage in seen.stages:
        ratio = f"{stage.ratio:.2f}" if stage.planned else "-"
        print(
            f"memory    {stage.kind:<9} planned {stage.planned / 1e9:6.2f} GB, measured "
            f"{stage.measured / 1e9:6.2f} GB ({ratio}); in memory {stage.resident / 1e9:.2f} GB, "
            f"before {stage.before.resident / 1e9:.2f} GB"
        )
    others = [stage.kind for stage in seen.stages if not stage.is_as_planned]
    print(f"memory    beyond {TOLERANCE:.0%} of the plan: {', '.join(others) or 'none'}")
    for cost in seen.manifest.stages:
        print(f"seconds   {cost.stage:<9} {cost.seconds:.1f}")
    print(f"still     {seen.film.with_suffix('.jpg')}")
    print(f"manifest  {seen.film.with_suffix('.json')}")


def _middle_of(repository: Path) -> str:
    """The shard to cut: the second of the text encoder, or the largest there is."""
    shards = sorted((repository / "text_encoder").glob("*.safetensors"))
    named = [path for path in shards if f"text_encoder/{path.name}" == _CUT]
    path = named[0] if named else max(shards, key=lambda path: path.stat().st_size)
    return f"text_encoder/{path.name}"


def _options() -> tuple[RehearsalPlan, Path, bool]:
    parser = argparse.ArgumentParser("python -m tests.rehearsal", description=__doc__)
    parser.add_argument("folder", type=Path, help="where everything goes; about 75 GB if all")
    parser.add_argument("--without", default="", help=f"comma-separated: {', '.join(PARTS)}")
    parser.add_argument("--layers", type=int, default=0, help="layers of each network")
    parser.add_argument("--tiny", action="store_true", help="everything small, in seconds")
    parser.add_argument("--upscale", type=int, default=2, choices=(1, 2, 4))
    parser.add_argument("--spend", action="store_true", help="the hub deletes what it has sent")
    parser.add_argument("--keep", action="store_true", help="keep the weights afterwards")
    given = parser.parse_args()
    left_out = {word for word in given.without.split(",") if word}
    if unknown := left_out - set(PARTS) | left_out & {"video"}:
        parser.error(
            f"--without {', '.join(sorted(unknown))}: choose of writer, extender, upscaler"
        )
    plan = RehearsalPlan(
        parts=tuple(part for part in PARTS if part not in left_out),
        layers=given.layers,
        tiny=given.tiny,
        size="64*64" if given.tiny else "preset",
        upscale=given.upscale,
        spend=given.spend,
    )
    return plan, given.folder.absolute(), given.keep


if __name__ == "__main__":
    sys.exit(main())
