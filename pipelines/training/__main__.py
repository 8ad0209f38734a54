"""`python -m pipelines.training FOLDER`: train the demo model from nothing.

Interrupted, the same command goes on where the last saved state is, at most two minutes back.
Nothing that imports torch is imported here: the processes that paint clips import this module.
"""

import argparse
import os
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Of the command."""
    result = argparse.ArgumentParser(prog="python -m pipelines.training")
    result.add_argument("folder", type=Path, help="states, latents and the finished checkpoint")
    result.add_argument("--minutes", type=float, help="of training; 90 on a CPU, 7 on a GPU")
    result.add_argument("--steps", type=int, help="of every stage, instead of minutes: to try it")
    result.add_argument("--things", type=int, help="the first so many; 24 on a CPU, 64 on a GPU")
    result.add_argument(
        "--size",
        choices=("tiny", "small", "large"),
        help="of the networks; small on a CPU, large on a GPU, tiny to try",
    )
    result.add_argument("--data", type=float, default=1.0, help="share of the size's clips")
    result.add_argument("--threads", type=int, default=0, help="of torch; all cores")
    result.add_argument("--processes", type=int, default=0, help="that paint; all cores")
    result.add_argument(
        "--only",
        nargs="+",
        choices=("data", "text", "classifier", "vae", "transformer"),
        help="these parts, each in a process of its own on a GPU that one does not fill",
    )
    result.add_argument("--device", help="cuda where there is one, else cpu")
    return result


def main(arguments: argparse.Namespace) -> None:
    """One command from nothing to a checkpoint."""
    import torch

    from pipelines.backends.quiet import quiet_libraries
    from pipelines.training.recipe import recipe_of, train
    from pipelines.training.setup import PARTS

    quiet_libraries()
    torch.set_num_threads(arguments.threads or os.cpu_count() or 1)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        recipe = recipe_of(
            arguments.folder,
            device=arguments.device,
            minutes=arguments.minutes,
            steps=arguments.steps,
            things=arguments.things,
            size=arguments.size,
            data=arguments.data,
            processes=arguments.processes or os.cpu_count() or 1,
        )
        train(recipe, arguments.only or PARTS)
    except (ValueError, FileNotFoundError, TimeoutError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(parser().parse_args())
