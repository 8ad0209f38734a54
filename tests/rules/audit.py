"""What `make lint` says about the packages that we install, without asking anybody.

Compares constraints.txt with the advisories in infra/deploy/advisories.txt, and what is installed
with constraints.txt; `pip check` looks at what they want of each other. Exit 1 if one is wrong.
"""

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).parents[2]
ADVISORIES = REPOSITORY / "infra" / "deploy" / "advisories.txt"
CONSTRAINTS = REPOSITORY / "constraints.txt"
_DATE, _NONE, _ACCEPTED = "published-until", "-", "accepted:"


@dataclass(frozen=True)
class Advisory:
    """A published weakness."""

    package: str
    repaired: Version | None
    identifier: str
    words: str

    def concerns(self, version: Version) -> bool:
        return self.repaired is None or version < self.repaired

    @property
    def accepted(self) -> bool:
        return _ACCEPTED in self.words


def read_advisories(text: str) -> tuple[date, list[Advisory]]:
    """The date until which the list goes, and it. Raises ValueError on a line that is none."""
    until, found = None, []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(maxsplit=3)
        if words[0] == _DATE and len(words) == 2:
            until = date.fromisoformat(words[1])
            continue
        if len(words) != 4:
            raise ValueError(f"{line!r}: write name, version, identifier and what it is")
        name, version, identifier, what = words
        repaired = None if version == _NONE else Version(version)
        found.append(Advisory(canonicalize_name(name), repaired, identifier, what))
    if until is None:
        raise ValueError(f"the line `{_DATE} YYYY-MM-DD` is missing")
    return until, found


def read_pins(text: str) -> dict[str, Version]:
    """Every package of a constraints file. Raises ValueError for one that has no exact version."""
    pins: dict[str, Version] = {}
    for line in text.splitlines():
        requirement = line.partition("#")[0].partition(";")[0].strip()
        if not requirement:
            continue
        name, exactly, version = requirement.partition("==")
        if not exactly:
            raise ValueError(f"{requirement!r} has no exact version; write name==version")
        pins[canonicalize_name(name)] = Version(version)
    return pins


def weaknesses(pins: dict[str, Version], advisories: list[Advisory]) -> list[str]:
    """A line for every pinned package with a published weakness that nobody has accepted."""
    return [
        f"{item.package} {pins[item.package]}: {item.identifier}: {item.words}; "
        + (f"take {item.repaired} or later" if item.repaired else "no version is repaired")
        for item in advisories
        if item.package in pins and item.concerns(pins[item.package]) and not item.accepted
    ]


def differences(pins: dict[str, Version]) -> list[str]:
    """A line for every installed package that has another version than its pin."""
    installed = {
        canonicalize_name(item.metadata["Name"]): Version(item.version)
        for item in metadata.distributions()
    }
    return [
        f"{name} {installed[name]} is installed, {pin} is tested; install with constraints.txt"
        for name, pin in pins.items()
        if name in installed and installed[name].public != pin.public
    ]


def main() -> int:
    """The report; returns the exit code."""
    until, advisories = read_advisories(ADVISORIES.read_text(encoding="utf-8"))
    pins = read_pins(CONSTRAINTS.read_text(encoding="utf-8"))
    wrong = [*weaknesses(pins, advisories), *differences(pins)]
    check = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    if check.returncode:
        wrong += check.stdout.strip().splitlines()
    known = [item for item in advisories if item.package in pins]
    for item in known:
        if item.accepted and item.concerns(pins[item.package]):
            print(f"accepted: {item.package} {item.identifier}: {item.words}")
    age = (datetime.now(UTC).date() - until).days
    print(
        f"{len(pins)} packages against a selection of {len(known)} advisories until {until} "
        f"({age} days ago; it is not complete, see SECURITY.md)"
    )
    for line in wrong:
        print(f"audit: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
