"""`python -m tests.gpu`: see the package."""

import argparse
import gc
import sys
import tempfile
from pathlib import Path

from tests.gpu.check import REAL, TINY, Check
from tests.gpu.further_stages import FurtherStages
from tests.gpu.product import Product
from tests.gpu.table import Results, failures, report

STAGES = (
    "host",
    "weights",
    "presets",
    "left",
    "stock",
    "cap",
    "decode",
    "upscale",
    "anchor",
    "compiled",
    "options",
    "vace",
    "text",
)
"""The most important first."""
PRODUCT = ("weights", "presets", "left", "cap", "compiled", "vace", "text")
"""Stages in which nothing may fail; in the others something that is compared may be missing."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, write gpu_check.json. 1 if there is no GPU, a stage failed,
    or a part of the product did."""
    given = _parser().parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="weights-", dir=given.weights or given.out) as folder:
        results = run(given, Path(folder))
    print("\n" + report(results))
    print(f"\neverything: {given.out / 'gpu_check.json'}")
    return int(any(name in PRODUCT or not part for name, part in failures(results)))


def run(given: argparse.Namespace, folder: Path) -> Results:
    """The results by stage; weights are made in `folder`."""
    check = Check(
        given.out,
        folder,
        TINY if given.tiny else REAL,
        budget=given.budget,
        wanted=given.stages,
        compile=not given.no_compile,
    )
    if not (given.tiny or check.cuda):
        print("torch finds no GPU here; run: reelwright doctor --gpu. --tiny needs none.")
        sys.exit(1)
    product = Product(check)
    stages = FurtherStages(check, product)
    import diffusers  # noqa: F401

    gc.collect()
    gc.freeze()  # a collection walks through all of diffusers otherwise: up to a second each
    try:
        for name in STAGES:
            check.stage(name, getattr(stages, name))
    finally:
        product.release()
        gc.unfreeze()
    return check.results


def _stages(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := sorted(set(names) - set(STAGES)):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose of {', '.join(STAGES)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="tiny models on the CPU")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="folder for results")
    parser.add_argument("--weights", type=Path, help="folder with 30 GB free; else that of --out")
    parser.add_argument("--budget", type=float, default=480, help="seconds until the last start")
    parser.add_argument("--stages", type=_stages, default=(), help=f"of {','.join(STAGES)}")
    parser.add_argument("--no-compile", action="store_true", help="leave compiled blocks out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
