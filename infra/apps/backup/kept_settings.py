"""The studio's settings in a backup: in plain text without secrets, and encrypted with them."""

import json
import os
import re
from pathlib import Path

import yaml

from infra.adapters.disk import make_directory, read_text, write_atomic
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.backup.sealing import seal, unseal
from infra.apps.backup.snapshot import KeptSettings
from infra.apps.backup.vault import Vault
from pipelines.errors import BackupError, SettingsError

STUDIO, STORE, HOOKS, BACKENDS = "studio.env", "store-credentials", "hooks.yaml", "backends.yaml"
_PLAIN = {
    "calendar.yaml": environment.CALENDAR,
    "policy.yaml": environment.POLICY,
    "caps.yaml": environment.CAPS,
}
"""Files without secrets, and the variables that name them."""
_NAME_SECRETS = {HOOKS: environment.HOOKS, BACKENDS: environment.BACKENDS}
"""Files that name secrets by `env:NAME` or `file:/path`, which are saved with them."""
SETTINGS = "settings.env"
"""All variables of the old studio, for the operator to choose from."""
RESTORED = "restored"
"""Folder in the data directory for files whose place only the operator knows."""
_SECRET = re.compile(r"SECRET|_KEY|PASSWORD|TOKEN|AUTH|CONNECTION_URL|CREDENTIAL")
_OURS = ("REELWRIGHT_", "PREFECT_")
_MOVED = re.compile(rf"(_URL|_ENDPOINT)\Z|\A({'|'.join(environment.FILES)})\Z")
"""Variables of `studio.env` that say where something was: the new studio has other places."""


def keep(settings: Settings, vault: Vault, passphrase: str) -> KeptSettings:
    """Put the settings into the backup; the secrets only with a `passphrase`."""
    named = _named(settings)
    variables = {name: _shown(name, value) for name, value in sorted(named.items())}
    files, secret = {}, _secret_files(settings, named)
    for name, variable in _PLAIN.items():
        text = _text_of(named.get(variable, ""))
        if text is not None:
            files[name] = vault.add_bytes(text.encode())
    names = [name for name, value in variables.items() if value is None] + sorted(secret)
    if not passphrase:
        return KeptSettings(variables=variables, files=files, left_out=tuple(names))
    content = {"files": secret, "variables": {name: named[name] for name in variables}}
    sealed = vault.add_bytes(seal(json.dumps(content).encode(), passphrase))
    return KeptSettings(variables=variables, files=files, sealed=sealed)


def missing(settings: Settings) -> tuple[str, ...]:
    """A sentence for everything that the settings name and a backup from here cannot read."""
    named = _named(settings)
    words = [
        f"{name}={named[name]}, which cannot be read here"
        for name in environment.FILES
        if named.get(name) and _text_of(named[name]) is None
    ]
    for what, variable in (
        ("the webhook secret", environment.HOOKS),
        ("the backend's key", environment.BACKENDS),
    ):
        for word in _words_of(_text_of(named.get(variable, "")) or ""):
            if _secret_of(word) is None:
                words.append(f"{what} {word}, which is not set or cannot be read here")
    return tuple(words)


def opened(kept: KeptSettings, vault: Vault, passphrase: str) -> dict[str, str]:
    """The secret files by name; none without a passphrase. Raises BackupError if it is wrong."""
    if not passphrase:
        return {}
    if kept.sealed is None:
        raise BackupError(
            "this backup was made without a passphrase, so it holds no secrets; restore it without"
        )
    content = json.loads(unseal(vault.read(kept.sealed), passphrase))
    files = {str(name): str(text) for name, text in content["files"].items()}
    lines = (f"{name}={value}\n" for name, value in content["variables"].items())
    return files | {SETTINGS: "".join(lines)}


def put_back(
    settings: Settings, kept: KeptSettings, vault: Vault, files: dict[str, str]
) -> list[str]:
    """Write them into the data directory. Returns what the operator has to do about them."""
    data, words = settings.paths.data_dir, []
    rest = {name: vault.read(blob) for name, blob in kept.files.items()}
    shown = "".join(f"{name}={value}\n" for name, value in kept.variables.items() if value)
    if shown:
        rest[SETTINGS] = shown.encode()
    for name, text in files.items():
        if name == STORE:
            _write(make_directory(data / "store", private=True) / "credentials", text.encode())
        elif name == STUDIO:
            environment.write(settings, _lasting(text))
        else:
            rest[name] = text.encode()
    for name, content in sorted(rest.items()):
        _write(make_directory(data / RESTORED, private=True) / name, content)
        remedy = "put it where your settings name it"
        if name == SETTINGS:
            remedy = "the old studio's variables; set those that you still want"
        words.append(f"{data / RESTORED / name}: {remedy}")
    if kept.sealed and not files:
        words.append("secrets are in the backup and stayed there: that needs --passphrase-file")
    if kept.left_out:
        names = ", ".join(kept.left_out)
        words.append(f"not in the backup, which was made without a passphrase: {names}")
    return words


def _named(settings: Settings) -> dict[str, str]:
    """What the studio was started with, as far as it noted it, and what this process has."""
    return environment.read(settings) | {
        name: value for name, value in os.environ.items() if name.startswith(_OURS)
    }


def _secret_files(settings: Settings, named: dict[str, str]) -> dict[str, str]:
    """Texts by name, of those that are there."""
    data = settings.paths.data_dir
    places = {STUDIO: environment.path_of(settings), STORE: data / "store" / "credentials"}
    found = {name: path.read_text() for name, path in places.items() if path.exists()}
    for name, variable in _NAME_SECRETS.items():
        text = _text_of(named.get(variable, ""))
        if text is None:
            continue
        found[name] = text
        kind = "hook" if name == HOOKS else "key"
        for word in _words_of(text):
            secret = _secret_of(word)
            if secret is not None:
                found[f"{kind}-{_as_name(word.partition(':')[2])}"] = secret
        for path in _paths_in(text):
            beside = _text_of(path)
            if beside is not None:
                found[f"file-{_as_name(path)}"] = beside
    return found


def _as_name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.strip("/"))


def _paths_in(text: str) -> list[str]:
    """Files that entries name besides, such as a workflow and the mapping beside it."""
    named = set(re.findall(r'"(/[^"]+\.(?:json|ya?ml))"', _values(text)))
    beside = {str(Path(path).with_suffix(".yaml")) for path in named if path.endswith(".json")}
    return sorted(path for path in named | beside if Path(path).is_file())


def _text_of(path: str) -> str | None:
    """None if no file is named or it cannot be read: the rest is saved all the same."""
    try:
        return read_text(Path(path), path) if path else None
    except SettingsError:
        return None


def _words_of(text: str) -> list[str]:
    """What a file names its secrets by: `env:NAME` and `file:/path`."""
    return sorted(set(re.findall(r"\b(?:env|file):[^\s'\"]+", _values(text))))


def _secret_of(word: str) -> str | None:
    """None if it is not set, or cannot be read, where the backup is made."""
    kind, _, where = word.partition(":")
    return os.environ.get(where) if kind == "env" else _text_of(where)


def _values(text: str) -> str:
    """The values of a YAML file, without its comments."""
    try:
        return json.dumps(yaml.safe_load(text), default=str)
    except yaml.YAMLError:
        return ""


def _shown(name: str, value: str) -> str | None:
    """None for a secret: by its name, or because an address carries a password."""
    return None if _SECRET.search(name) or re.search(r"://[^/]*@", value) else value


def _lasting(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {
        name: value
        for name, _, value in pairs
        if not _MOVED.search(name) and not name.startswith("REELWRIGHT_S3_")
    }


def _write(path: Path, content: bytes) -> None:
    before = os.umask(0o077)
    try:
        write_atomic(path, content)
    finally:
        os.umask(before)
