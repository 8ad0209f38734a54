"""A brief is made though the clock jumps, or the store answers nonsense for a minute.

Part of `make test-faults`, with a line in its report for each case.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.adapters.seaweed import SeaweedServer
from tests.conftest import operator_of
from tests.faults.test_faults import STOPPED, begin, check
from tests.support.studio import Studio, start_studio
from tests.support.surroundings import LIBRARY, Clock, Forwarder

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults"), pytest.mark.timeout(900)]
HOUR = 3600
PARTS = ("database", "server", "studio", "rtx-5090", "gateway")


@pytest.fixture
def clocked(demo_models: Path, tmp_path: Path) -> Iterator[tuple[Studio, Clock]]:
    clock = Clock(tmp_path)
    operator = operator_of(tmp_path / "data", demo_models)
    operator.env |= clock.env
    studio = start_studio(operator)
    yield studio, clock
    studio.stop()


@pytest.mark.skipif(LIBRARY is None, reason="Debian's libfaketime is not here")
@pytest.mark.parametrize(("name", "seconds"), [("back", -HOUR), ("forward", HOUR)])
def test_a_clock_that_jumps_costs_no_work(
    clocked: tuple[Studio, Clock], name: str, seconds: int
) -> None:
    """While it is made, and back again before the next brief."""
    studio, clock = clocked
    run, mark = begin(studio, f"clock {name}", "chunk 2")
    clock.set(seconds)
    check(studio, run, "clock", "chunk 2", f"an hour {name}", mark)
    clock.set(0)
    run, mark = begin(studio, f"clock {name} and right again", "chunk 2")
    check(studio, run, "clock", "chunk 2", f"right again after an hour {name}", mark)


@pytest.fixture
def forwarded(demo_models: Path, tmp_path: Path) -> Iterator[tuple[Studio, Forwarder]]:
    """A studio whose store lies behind a forwarder of ours."""
    store = SeaweedServer(tmp_path / "store")
    store.wait()
    forwarder = Forwarder(store.endpoint)
    operator = operator_of(tmp_path / "data", demo_models)
    operator.env |= {
        "REELWRIGHT_S3_ENDPOINT": forwarder.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": store.credentials.access_key,
        "REELWRIGHT_S3_SECRET_KEY": store.credentials.secret_key,
    }
    options = [word for part in PARTS for word in ("--with", part)]
    studio = start_studio(operator, *options)
    yield studio, forwarder
    studio.stop()
    forwarder.close()
    store.stop()


def test_a_store_that_answers_500_for_a_minute_costs_no_work(
    forwarded: tuple[Studio, Forwarder],
) -> None:
    studio, forwarder = forwarded
    for stage in ("chunk 2", "upload"):
        run, mark = begin(studio, f"store 500 {stage}", stage)
        with forwarder.answering_500():
            time.sleep(STOPPED)
            assert forwarder.refused
        check(studio, run, "store", stage, "500 for a minute", mark)
