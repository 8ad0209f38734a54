"""A fake of `infra.apps.worker.child`: it runs no flow, and its memory grows by 3 GB with each.

It stands for a child whose runs leave memory behind, which a real one does only after hours. The
contract is the protocol in that module's docstring: one JSON line in and one out for each run.
"""

import json
import sys

GROWTH = 3_000_000_000


def main() -> None:
    """Report every run as completed, until the worker closes our standard input."""
    rss = 1_000_000_000
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        assert set(json.loads(line)) == {"flow_run", "environment"}
        print(json.dumps({"code": 0, "retire": False, "rss": rss}), flush=True)
        rss += GROWTH


if __name__ == "__main__":
    main()
