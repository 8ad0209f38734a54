"""`reelwright models download`, with the catalog's digests and addresses replaced.

The rehearsal's files are random, so their digests are others than the real ones. The catalog of
this process alone is changed: the digests become those of the rehearsal's files, and the address
of the upscaler, which is not on the hub, becomes the fake hub's. Everything else is the product.
"""

import dataclasses
import json
import sys
from pathlib import Path

from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.model import HubSource, UrlSource
from infra.apps import cli


def main(description: Path, words: list[str]) -> None:
    """`description` is the JSON that `tests.rehearsal.hub.describe` wrote."""
    described = json.loads(description.read_text())
    for name, found in described["models"].items():
        model = MODELS[name]
        match model.source:
            case HubSource() as source:
                changed = dataclasses.replace(source, sha256=found["sha256"])
                size = found["size"]
                # The same share of it stays on disk, so that the check of the disk is the real one.
                installed = size * model.room // model.size
                MODELS[name] = dataclasses.replace(
                    model, source=changed, size=size, installed_size=installed
                )
            case UrlSource():
                url = f"{described['url']}/file/{model.file}"
                source_here = UrlSource(url, found["sha256"][model.file])
                MODELS[name] = dataclasses.replace(model, source=source_here, size=found["size"])
    sys.argv = ["reelwright", "models", "download", *words]
    cli.main()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
