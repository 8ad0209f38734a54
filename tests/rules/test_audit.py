"""The audit finds what it is for; the versions that we pin pass it."""

import pytest
from packaging.version import Version

from tests.rules.audit import ADVISORIES, CONSTRAINTS, read_advisories, read_pins, weaknesses

LIST = """
# a comment
published-until 2026-01-31
some-Package   2.1   CVE-1  it breaks
other          -     CVE-2  it always breaks
known          -     CVE-3  it breaks; accepted: tests only
"""


@pytest.mark.parametrize(("version", "found"), [("2.0.9", 1), ("2.1", 0), ("2.1.post1", 0)])
def test_a_version_before_the_repaired_one_is_found(version: str, found: int) -> None:
    _, advisories = read_advisories(LIST)
    lines = weaknesses({"some-package": Version(version)}, advisories)
    assert len(lines) == found
    assert all("CVE-1" in line and "2.1 or later" in line for line in lines)


def test_what_is_never_repaired_is_found_unless_it_was_accepted() -> None:
    _, advisories = read_advisories(LIST)
    pins = {"other": Version("9"), "known": Version("9"), "fine": Version("1")}
    (line,) = weaknesses(pins, advisories)
    assert "CVE-2" in line
    assert "no version is repaired" in line


@pytest.mark.parametrize("text", ["a 1 CVE-1 x", "published-until 2026-01-31\na 1"])
def test_a_list_that_says_too_little_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"published-until|write name"):
        read_advisories(text)


def test_a_package_without_an_exact_version_is_refused() -> None:
    with pytest.raises(ValueError, match="name==version"):
        read_pins("torch>=2")


def test_what_we_pin_has_no_published_weakness_that_we_know_of() -> None:
    _, advisories = read_advisories(ADVISORIES.read_text())
    pins = read_pins(CONSTRAINTS.read_text())
    assert len(pins) > 200
    assert len([item for item in advisories if item.package in pins]) > 15
    assert weaknesses(pins, advisories) == []
