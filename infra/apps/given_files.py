"""Files that `reelwright make` is given for a brief: checked first, stored when the run begins."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.adapters.object_store import ObjectStore
from pipelines.errors import BriefError
from pipelines.media.archive import pack_motion, unpack_motion
from pipelines.media.motion import check_motion
from pipelines.media.still import as_png
from pipelines.schema.keys import Digest, ObjectKey


@dataclass
class GivenFiles:
    """What a brief names, and the files that it means."""

    folder: Path
    """Where checked copies lie until they are stored."""
    values: dict[str, Any] = field(default_factory=dict)
    """Fields of the brief."""
    _files: dict[ObjectKey, tuple[Path, str]] = field(default_factory=dict)

    def add_pictures(self, name: str, paths: Sequence[Path]) -> None:
        """Pictures of the brief's field `name`. Raises BriefError if one is no picture."""
        keys = [self._picture(path) for path in paths]
        self.values[name] = keys if name == "references" else keys[0]

    def add_motion(self, path: Path) -> None:
        """An archive of an animation's videos. Raises BriefError if it breaks a rule."""
        files, packed = self.folder / "files", self.folder / "motion.zip"
        files.mkdir()
        _require(path)
        motion = unpack_motion(path, files)
        check_motion(motion)
        key = ObjectKey.upload_archive(pack_motion(motion, packed))
        self._files[key] = packed, "application/zip"
        self.values["motion"] = key
        if motion.character and "references" not in self.values:
            self.add_pictures("references", [motion.character])

    def store(self, store: ObjectStore) -> None:
        """Put everything where the brief says that it lies. Raises StoreError."""
        for key, (path, content_type) in self._files.items():
            store.put_file(key, path, content_type)

    def _picture(self, path: Path) -> ObjectKey:
        _require(path)
        try:
            data = as_png(path.read_bytes())
        except BriefError as error:
            raise BriefError(f"{path}: {error}") from error
        key = ObjectKey.upload(Digest(hashlib.sha256(data).hexdigest()))
        copy = self.folder / key.rpartition("/")[2]
        copy.write_bytes(data)
        self._files[key] = copy, "image/png"
        return key


def _require(path: Path) -> None:
    if not path.is_file():
        raise BriefError(f"{path} is no file; name one that is there")
