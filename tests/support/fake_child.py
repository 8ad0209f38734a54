"""A fake of `infra.apps.worker.child`: it runs no flow, but does what PREFECT__FAKE says.

It stands for children that a real run makes only after hours or on a broken device. The contract
is the protocol in that module's docstring: one JSON line in and one out for each run.
"""

import json
import os
import sys
import time
from pathlib import Path

GROWTH = 3_000_000_000


def main() -> None:
    """Report every run as completed, until the worker closes our standard input."""
    assert sys.argv[1:] in (["models"], ["flows"], ["models", "resting"])
    rss = 1_000_000_000
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        assert set(command) == {"flow_run", "environment"}
        what, _, more = command["environment"].get("PREFECT__FAKE", "").partition(" ")
        if what == "grow":
            rss += GROWTH
        if what == "die":
            os._exit(int(more))
        if what == "wait":
            deadline = time.monotonic() + 60
            while not Path(more).exists() and time.monotonic() < deadline:
                time.sleep(0.01)
        reason = more if what == "retire" else ""
        print(json.dumps({"code": 0, "retire": reason, "rss": rss}), flush=True)


if __name__ == "__main__":
    main()
