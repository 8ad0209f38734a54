"""Reads the operator's file of remote backends.

```yaml
backends:
  - name: box2
    kind: videos
    address: http://10.0.0.5:8000
    key: file:/etc/reelwright/box2.key
```
"""

from typing import Any

from pydantic import Field, ValidationError

from pipelines.backends.base import BackendDefinition
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.driver import definition_of
from pipelines.backends.remote.kinds import kinds
from pipelines.errors import SettingsError
from pipelines.schema.frozen import Frozen
from pipelines.yaml_files import compose, in_words, line_of, read_yaml


class _File(Frozen):
    backends: tuple[dict[str, Any], ...] = Field(max_length=50)


def read_backends(text: str, source: str) -> tuple[BackendDefinition, ...]:
    """Definitions of the entries that are enabled. `source` names the file in errors.

    Raises SettingsError with line, value, rule and remedy for the first entry that is wrong.
    """
    entries = read_yaml(text, source, _File).backends
    root = compose(text, source)
    found: dict[str, BackendDefinition] = {}
    for number, entry in enumerate(entries):
        where = f"{source}, line {line_of(root, ('backends', number))}"
        config = _config(entry, number, root, source, where)
        if config.name in found:
            raise SettingsError(f"{where}: the name {config.name!r} is taken; choose another")
        if config.enabled:
            found[config.name] = _definition(config, where)
    return tuple(found.values())


def _config(entry: dict[str, Any], number: int, root: Any, source: str, where: str) -> RemoteConfig:
    known = kinds()
    kind = known.get(str(entry.get("kind")))
    if kind is None:
        raise SettingsError(
            f"{where}: kind {entry.get('kind')!r} is unknown; choose one of {', '.join(known)}"
        )
    try:
        config: RemoteConfig = kind.config.model_validate(entry)
    except ValidationError as error:
        raise SettingsError(in_words(error, source, root, ("backends", number))) from error
    return config


def _definition(config: RemoteConfig, where: str) -> BackendDefinition:
    try:
        return definition_of(config, kinds()[config.kind])
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error
