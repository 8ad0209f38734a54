"""What contributors rely on: make help, the changelog, decision records, hooks and CI."""

import json
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from tests.conftest import REPOSITORY

DECISIONS = REPOSITORY / "docs" / "decisions"
_HEADING = re.compile(r"^## (?P<version>\d+\.\d+\.\d+) \((?P<when>[^)]+)\)$")


def test_make_alone_says_what_can_be_made() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    done = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    listed = re.findall(r"^make (\S+) +\S.*$", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())


def test_every_version_of_the_changelog_has_a_date_but_the_one_that_is_made_now() -> None:
    lines = (REPOSITORY / "CHANGELOG.md").read_text().splitlines()
    found = [(line, _HEADING.match(line)) for line in lines if line.startswith("## ")]
    assert [line for line, match in found if match is None] == []
    entries = [(Version(match["version"]), match["when"]) for _, match in found if match]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert str(entries[0][0]) == project["version"]
    assert [version for version, _ in entries] == sorted(
        (item[0] for item in entries), reverse=True
    )
    dates = [date.fromisoformat(when) for _, when in entries if when != "unreleased"]
    assert dates == sorted(dates, reverse=True)
    assert "unreleased" not in [when for _, when in entries[1:]]


def test_decision_records_are_short_numbered_and_listed() -> None:
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    assert [path.name[:4] for path in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    index = (DECISIONS / "README.md").read_text()
    for path in records:
        text = path.read_text()
        title = text.splitlines()[0].removeprefix(f"# {path.name[:4]}: ")
        assert f"| [{path.name[:4]}]({path.name}) | {title} |" in index
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Costs"))
        assert len(text.split()) < 300


def test_nothing_is_fetched_when_a_commit_is_made() -> None:
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all((REPOSITORY / hook["entry"].split()[0]).exists() for hook in hooks)


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert steps[-1] == {"run": "bash .ci/run"}
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", ["defect", "request"])
def test_forms_for_issues_ask_something(name: str) -> None:
    form = yaml.safe_load((REPOSITORY / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    asked = [item for item in form["body"] if item["type"] != "markdown"]
    assert form["name"]
    assert form["description"]
    assert any(item.get("validations", {}).get("required") for item in asked)
    assert len({item["id"] for item in asked}) == len(asked)


def test_the_devcontainer_sets_up_what_make_does() -> None:
    text = (REPOSITORY / ".devcontainer" / "devcontainer.json").read_text()
    config = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert config["postCreateCommand"].endswith("make .venv/.dev")


def test_tests_of_one_group_are_executed_by_one_process(tmp_path: Path) -> None:
    """The gateway's tests share a bucket. With pytest 9.2, pytest-xdist 3.8.0 spread them."""
    (tmp_path / "test_group.py").write_text(
        "import pytest\n"
        "@pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('number', range(8))\n"
        "def test_in(number, worker_id):\n"
        "    print('executed by', worker_id)\n"
    )
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-rP", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:schemathesis", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    executed = re.findall(r"executed by (gw\d)", done.stdout)
    assert len(executed) == 8, done.stdout + done.stderr
    assert len(set(executed)) == 1
