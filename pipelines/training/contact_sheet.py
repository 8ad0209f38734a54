"""`python -m pipelines.training.contact_sheet FILE [THINGS]`: clips to look at.

One row a clip: nine frames of 33, and the caption on standard output.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.training.captions import training_caption
from pipelines.training.loop import generator
from pipelines.training.things import THINGS
from pipelines.training.world import MOVEMENTS, random_clip, random_scene, render

_FRAMES = 33


def main(target: Path, things: int) -> None:
    """Two clips of every movement; the last rows begin anywhere."""
    rng = generator("contact-sheet", 0)
    rows, seconds = [], 0.0
    for index in range(2 * len(MOVEMENTS)):
        scene = random_scene(rng, things)
        while scene.movement != MOVEMENTS[index // 2]:
            scene = random_scene(rng, things)
        clip = random_clip(rng, scene, anywhere=index % 2 == 1)
        start = time.perf_counter()
        frames = render(clip, _FRAMES)
        seconds += time.perf_counter() - start
        rows.append(np.concatenate(list(frames[::4]), axis=1))
        print(f"{index + 1}: {training_caption(scene, rng)[0]}  {scene}")
    Image.fromarray(np.concatenate(rows)).save(target)
    print(f"{1000 * seconds / len(rows):.0f} ms a clip of {_FRAMES} frames")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else len(THINGS))
