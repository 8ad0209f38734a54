"""Reads the policy from YAML. Errors name the file, the line, the value, the rule, the remedy."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines import plain_yaml
from pipelines.errors import SettingsError
from pipelines.routing.policy import Policy

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
            f"the routing policy {file} cannot be read ({error}); repair the file, or unset "
            "REELWRIGHT_ROUTING_POLICY to use the built-in policy"
        ) from error
    return parse_policy(text, str(file), known)


def parse_policy(text: str, source: str, known: Collection[str]) -> Policy:
    """The policy in a YAML text that lies in `source`. Raises SettingsError."""
    try:
        root = plain_yaml.compose(text)
        values = plain_yaml.construct(root) if root else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(
            f"{source} line {mark.line + 1 if mark else 1} is no YAML: {_plain(error)}; "
            "compare it with the example in docs/routing.md"
        ) from error
    if not isinstance(values, dict):
        raise SettingsError(
            f"{source} line 1: {values!r:.80}: write names and values, as in local: only"
        )
    try:
        policy = Policy.model_validate(values)
    except ValidationError as error:
        raise SettingsError(
            "; ".join(_sentence(source, root, item) for item in error.errors())
        ) from error
    _check_names(policy, source, text, known)
    return policy


def _check_names(policy: Policy, source: str, text: str, known: Collection[str]) -> None:
    """A misspelt name under `never` would be chosen and paid: it is refused."""
    for name, field in policy.names:
        if name not in known:
            line = next((n for n, row in enumerate(text.splitlines(), 1) if name in row), 1)
            raise SettingsError(
                f"{source} line {line}, {field}: {name!r} is the name of no preset and no backend; "
                f"write one of {', '.join(sorted(known))}"
            )


def _sentence(source: str, root: yaml.Node | None, item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    rule = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        rule = "there is no such name in a policy; correct or remove it (docs/routing.md lists all)"
    value = "" if isinstance(item.get("input"), dict) else f" {item.get('input')!r:.80}"
    return f"{source} line {line_of(root, item['loc'])}, {where or 'policy'}{value}: {rule}"


def line_of(root: yaml.Node | None, place: Sequence[str | int]) -> int:
    """The line, from 1, of what lies at `place` below `root`, or of what is nearest to it."""
    node, line = root, root.start_mark.line if root else 0
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _plain(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error)
