"""Roles of people and machines, and the scopes that each one has."""

from collections.abc import Iterable
from typing import NamedTuple

from pipelines.errors import BriefError


class Role(NamedTuple):
    """What a user of that role may do."""

    scopes: frozenset[str]
    meaning: str


ROLES: dict[str, Role] = {
    "editor": Role(
        frozenset({"read", "make", "approve"}),
        "starts videos; decides about the storyboards, videos and prices of runs of their own; "
        "deletes videos that they alone asked for",
    ),
    "approver": Role(
        frozenset({"read", "approve", "review"}),
        "sees everybody's runs and decides about them; starts, cancels and deletes nothing",
    ),
    "operator": Role(
        frozenset({"read", "make", "approve", "review", "manage", "metrics"}),
        "everything: cancels runs of others, deletes any video, reads costs and the audit log",
    ),
    "machine": Role(
        frozenset({"read", "make"}),
        "another system: it starts videos with API keys, and cannot log in with a password",
    ),
}
MACHINE = "machine"


def check_roles(names: Iterable[str]) -> tuple[str, ...]:
    """The roles without repetitions, in the order of ROLES.

    Raises BriefError on an unknown one, on none, and on `machine` beside another one.
    """
    chosen = set(names)
    if unknown := sorted(chosen - set(ROLES)):
        raise BriefError(f"the role {unknown[0]!r:.60} is unknown; choose of {', '.join(ROLES)}")
    if not chosen:
        raise BriefError(f"a user needs a role; choose of {', '.join(ROLES)}")
    if MACHINE in chosen and len(chosen) > 1:
        raise BriefError("a machine has no role of a person; make two users")
    return tuple(name for name in ROLES if name in chosen)


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """All scopes of these roles; a role that this version does not know has none."""
    known = (ROLES[name].scopes for name in roles if name in ROLES)
    return frozenset[str]().union(*known)
