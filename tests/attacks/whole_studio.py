"""A studio from its start to its end with one video made by each way, as a script.

`python -m tests.attacks.whole_studio DATA MODELS`; for `run_isolated`.
"""

import sys
from pathlib import Path

from tests.conftest import operator_of
from tests.support.studio import start_studio

BRIEF = ("a red ball moves right", "--seconds", "1", "--frames", "17", "--steps", "1")


def main(data: Path, models: Path) -> None:
    alone = operator_of(data / "alone", models)("make", *BRIEF)
    assert alone.code == 0, alone.err
    operator = operator_of(data / "studio", models)
    studio = start_studio(operator)
    try:
        found = studio.finish(studio.start(prompt=BRIEF[0], seconds=1, frames=17, steps=1))
        assert found.state is not None
        assert found.state.is_completed(), found.state.message
        for command in ("status", "doctor"):
            done = operator(command)
            assert done.code == 0, done.err
    finally:
        studio.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
