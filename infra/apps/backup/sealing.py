"""Secrets under a passphrase: a key by scrypt, AES-256-GCM, everything needed beside the bytes."""

import base64
import json
import os
from pathlib import Path

from infra.adapters.disk import read_text
from pipelines.errors import BackupError, SettingsError

_COST = {"n": 2**15, "r": 8, "p": 1}
"""32 MB and a tenth of a second a try."""
_MOST = {"n": 2**20, "r": 32, "p": 16}
"""What a file may ask for: a false one must not take all memory."""
_SHORTEST = 8
"""Characters."""


def read_passphrase(path: Path) -> str:
    """The first line of the file. Raises SettingsError."""
    lines = read_text(path, f"--passphrase-file {path}").splitlines()
    phrase = lines[0].strip() if lines else ""
    if len(phrase) < _SHORTEST:
        raise SettingsError(
            f"--passphrase-file {path}: its first line has {len(phrase)} characters; take "
            f"{_SHORTEST} or more"
        )
    return phrase


def seal(data: bytes, passphrase: str) -> bytes:
    """`data`, encrypted, as JSON."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = os.urandom(16), os.urandom(12)
    text = AESGCM(_key(passphrase, salt, _COST)).encrypt(nonce, data, None)
    values = {"salt": salt, "nonce": nonce, "text": text}
    coded = {name: base64.b64encode(value).decode() for name, value in values.items()}
    return json.dumps({"cipher": "scrypt-aes-256-gcm", "cost": _COST} | coded).encode()


def unseal(data: bytes, passphrase: str) -> bytes:
    """Decrypt what `seal` returned. Raises BackupError if the passphrase is wrong."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        found = json.loads(data)
        cost = {name: int(found["cost"][name]) for name in _COST}
        salt, nonce, text = (base64.b64decode(found[name]) for name in ("salt", "nonce", "text"))
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"the sealed settings cannot be read: {error}") from error
    if any(cost[name] > limit for name, limit in _MOST.items()):
        raise BackupError(f"the sealed settings ask for a cost of {cost}; nobody wrote that")
    try:
        return AESGCM(_key(passphrase, salt, cost)).decrypt(nonce, text, None)
    except InvalidTag as error:
        raise BackupError(
            "the passphrase is not the one that this backup was made with; nothing was written"
        ) from error


def _key(passphrase: str, salt: bytes, cost: dict[str, int]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, **cost).derive(passphrase.encode())
