"""Flows of the kinds that the studio's pool runs: one that waits for something, one that asks a
person."""

import os
import time
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.flow_runs import suspend_flow_run
from prefect.states import Completed

from tasks.approval import Answer

PATIENCE = 120.0


@flow(name="waiting", persist_result=False)
def waiting(gate: str) -> State[Any]:
    """Wait for the file `gate`; the message says in which process."""
    _wait_for(gate)
    return Completed(message=str(os.getpid()))


@flow(name="asking", persist_result=False)
def asking() -> State[Any]:
    """Suspend until a person answers; the message is the answer."""
    answer = suspend_flow_run(wait_for_input=Answer, timeout=600, key="asked")
    return Completed(message=f"{answer.decision} {answer.reason}")


@flow(name="asking_and_lingering", persist_result=False)
def asking_and_lingering(gate: str) -> State[Any]:
    """The same; its process does not end before the file `gate` is there."""
    try:
        answer = suspend_flow_run(wait_for_input=Answer, timeout=600, key="asked")
    finally:
        _wait_for(gate)
    return Completed(message=f"{answer.decision} {answer.reason}")


def _wait_for(gate: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not Path(gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(gate)
        time.sleep(0.05)
