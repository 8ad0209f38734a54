"""Passwords of users: kept as Argon2id hashes, with the parameters in the hash itself."""

import os
import unicodedata

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from infra.apps.gateway.key_names import same_name
from pipelines.errors import BriefError

_ITERATIONS, _LANES, _KIBIBYTES = 2, 1, 19_456
"""OWASP's Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 iterations and 1 lane at least."""
_SHORTEST, LONGEST = 12, 200
"""Characters. NIST SP 800-63B-3 asks for 8 at least, and against rules besides the length."""


def check_password(password: str, name: str) -> None:
    """Raises BriefError if `password` is too short, too long, or the user's name."""
    count = len(_plain(password))
    if not _SHORTEST <= count <= LONGEST:
        raise BriefError(
            f"the password has {count} characters; take {_SHORTEST} to {LONGEST}, such as four "
            "words that do not belong together"
        )
    if same_name(password, name):
        raise BriefError("the password is the user's name; take another one")


def hashed(password: str) -> str:
    """The hash of a password, in the PHC string format."""
    kdf = Argon2id(
        salt=os.urandom(16),
        length=32,
        iterations=_ITERATIONS,
        lanes=_LANES,
        memory_cost=_KIBIBYTES,
    )
    return kdf.derive_phc_encoded(_plain(password).encode("utf-8", "replace"))


def matches(password: str, known: str) -> bool:
    """Whether `known` is the hash of `password`. An empty `known` belongs to no password, and takes
    as long to refuse as any other: an answer's time does not say which users there are."""
    try:
        Argon2id.verify_phc_encoded(_plain(password).encode("utf-8", "replace"), known or _NONE)
    except InvalidKey:
        return False
    return bool(known)


def _plain(password: str) -> str:
    """Keyboards write the same letter in several ways."""
    return unicodedata.normalize("NFKC", password)


_NONE = hashed(os.urandom(16).hex())
