"""The deployment files say what the code can do."""

import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from tests.conftest import REPOSITORY

DEPLOY = REPOSITORY / "infra" / "deploy"
PREFECT = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


@pytest.mark.parametrize("deployment", PREFECT["deployments"], ids=lambda d: d["name"])
def test_an_entry_point_is_a_flow_with_a_form(deployment: dict[str, Any]) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, Flow)
    schema = parameter_schema(flow)
    for parameter in schema.properties.values():
        assert parameter["title"]
    text = str(schema.model_dump())
    assert "Property is type None" not in text
    assert deployment["work_pool"]["name"] in {"studio", "rtx-5090"}
    assert len(deployment["tags"][0]) <= 12  # Prefect's list hides a longer one
    assert len(deployment["description"]) > 60


def test_a_brief_in_the_form_has_labels_help_and_defaults() -> None:
    from flows.produce_content import produce_content

    schema = parameter_schema(produce_content).model_dump()
    brief = schema["definitions"]["Brief"]
    for name, field in brief["properties"].items():
        assert field.get("description"), name
    assert brief["required"] == ["prompt"]


def test_queues_of_the_deployments_are_those_of_the_code() -> None:
    from tasks.dispatch import CLOCK, QUEUES

    used = {item["work_pool"]["work_queue_name"] for item in PREFECT["deployments"]}
    assert used == {*QUEUES, CLOCK}


@pytest.mark.parametrize(
    ("priority", "deployment", "queue"),
    [
        ("normal", "normal", "normal"),
        ("normal", "batch", "batch"),
        ("normal", "rush", "rush"),
        ("rush", "normal", "rush"),
        ("batch", "normal", "batch"),
        ("rush", "batch", "rush"),
        ("normal", None, "normal"),
    ],
)
def test_a_brief_waits_for_the_gpu_by_its_priority(
    priority: str, deployment: str | None, queue: str
) -> None:
    from pipelines.documents.brief import Brief
    from tasks.dispatch import queue_of

    brief = Brief.model_validate({"prompt": "a fox", "priority": priority})
    assert queue_of(brief, deployment) == queue


def test_the_worker_takes_what_the_queues_hand_out() -> None:
    from infra.apps.worker.concurrency import brief_limit, worker_limit

    assert [brief_limit(queue) for queue in ("rush", "normal", "batch")] == [4, 4, 2]
    assert worker_limit() == 12  # and two for the clock


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_valid(unit: Path, tmp_path: Path) -> None:
    """With a program and a user that exist here in place of the host's."""
    text = unit.read_text().replace("/opt/reelwright/.venv/bin/reelwright", "/bin/true")
    text = re.sub(r"^(User|Group|WorkingDirectory)=.*$", "", text, flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert unit.stem not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_unit_of_a_further_card_is_that_of_the_first_but_for_its_number() -> None:
    folder = DEPLOY / "systemd"
    first = (folder / "reelwright-gpu.service").read_text()
    further = (folder / "reelwright-gpu@.service").read_text()
    for of_first, of_further in (
        ("on its first card", "on card %i"),
        ("nvidia-modprobe -u -c=0", "nvidia-modprobe -u -c=%i"),
        ("reelwright worker rtx-5090\n", "reelwright worker rtx-5090 --gpu %i\n"),
    ):
        assert first.count(of_first) == 1
        first = first.replace(of_first, of_further)
    assert further.endswith(first)
    assert all(line.startswith("#") for line in further.removesuffix(first).splitlines())


@pytest.mark.parametrize("name", ["reelwright-gpu.service", "reelwright-gpu@.service"])
def test_a_gpu_unit_never_works_on_the_cpu_and_starts_without_nvidia_modprobe(name: str) -> None:
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    assert "Environment=REELWRIGHT_DEVICE=cuda" in lines
    before = next(line for line in lines if line.startswith("ExecStartPre="))
    assert before.startswith("ExecStartPre=+-/")  # as root, and a failure is none
    assert "DeviceAllow=char-nvidia-uvm rwm" in lines


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_a_container_is_pinned_checked_and_unprivileged(service: str) -> None:
    found = COMPOSE["services"][service]
    assert ":?" in found["image"] or re.search(r":\d", found["image"])
    assert found["healthcheck"]["test"]
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]


def test_the_read_only_server_writes_its_pages_where_it_may() -> None:
    server = COMPOSE["services"]["server"]
    pages = Path(server["environment"]["PREFECT_SERVER_UI_STATIC_DIRECTORY"])
    assert server["read_only"]
    assert pages.parents[0] in map(Path, server["tmpfs"])


def test_no_secret_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for name in re.findall(r"\$\{(\w*(?:PASSWORD|KEY|AUTH)\w*)([^}]*)\}", text):
        assert name[1].startswith(":?"), name
    for line in (DEPLOY / "example.env").read_text().splitlines():
        if not line.startswith("#"):
            assert line.partition("=")[2] in {"", "studio:"}
