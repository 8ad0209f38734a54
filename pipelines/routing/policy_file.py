"""Reads the policy from YAML. Errors name the file, the line, the value, the rule, the remedy."""

from collections.abc import Collection
from pathlib import Path

from pipelines.errors import SettingsError
from pipelines.routing.policy import Policy
from pipelines.yaml_files import compose, line_of, read_yaml

BUILT_IN = Path(__file__).with_name("built_in_policy.yaml")
"""Used if the settings name no other one. It prefers this machine and pays nothing by itself."""


def read_policy(path: Path | None, known: Collection[str]) -> Policy:
    """The policy in `path`, or the built-in one. `known` are names of presets and backends.

    Raises SettingsError for a file that cannot be read or breaks a rule.
    """
    file = path or BUILT_IN
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"REELWRIGHT_ROUTING_POLICY={file} cannot be read ({error}); repair the file, or unset "
            "the variable to use the built-in policy"
        ) from error
    return parse_policy(text, str(file), known)


def parse_policy(text: str, source: str, known: Collection[str]) -> Policy:
    """The policy in a YAML text that lies in `source`. Raises SettingsError."""
    policy = read_yaml(text, source, Policy)
    root = compose(text, source)
    for name, place in policy.names:
        # A misspelt name under `never` would be chosen and paid, so it is refused.
        if name not in known:
            where = ".".join(map(str, place))
            raise SettingsError(
                f"{source}, line {line_of(root, place)}: {where}: {name!r} is the name of no "
                f"preset and no backend; write one of {', '.join(sorted(known))}"
            )
    return policy
