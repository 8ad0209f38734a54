"""This machine with models of random weights, to measure what they take and how fast they are."""

from pathlib import Path

from infra.adapters.device.host import DeviceHost
from infra.adapters.settings import Settings
from pipelines.backends.base import ModelFolder
from pipelines.schema.plan import digest_of


class TrialHost(DeviceHost):
    """A DeviceHost whose models are the folders of `folder`, by their names in the catalog."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings)
        self.folder = folder

    @property
    def cache_folder(self) -> Path:
        """Beside the models: embeddings by random weights are of no use to anybody."""
        return self.folder / "cache"

    def model(self, name: str) -> ModelFolder:
        """A folder that has no index: it was made a moment ago by this process.

        Its identity is that of its sizes. Raises FileNotFoundError if nobody made it.
        """
        path = self.folder / name
        parts = [item for item in sorted(path.iterdir()) if item.is_dir()]
        sizes = {item.name: _bytes_in(item) for item in parts}
        sizes["pipeline"] = sum(item.stat().st_size for item in path.iterdir() if item.is_file())
        components = {part: digest_of([name, part, size]) for part, size in sizes.items()}
        return ModelFolder(name, name, "random weights", path, components, sizes)


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
