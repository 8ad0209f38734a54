"""A part that cannot be started is tried again later; the others go on."""

import errno
import sys
from pathlib import Path

import pytest

from infra.adapters.embedded import EmbeddedServer
from infra.apps.studio.supervisor import Service
from pipelines.errors import DiskFullError, ServerError
from tests.support.studio import wait_for


class Part:
    """A process that runs until it is stopped."""

    def __init__(self, folder: Path) -> None:
        argv = [sys.executable, "-c", "import time; time.sleep(600)"]
        self.server = EmbeddedServer("part", argv, {}, folder / "part.log", folder)

    def wait(self) -> None:
        pass

    def stop(self) -> None:
        self.server.stop(0)


def test_a_part_that_cannot_be_started_is_tried_again_later_and_named_once(
    tmp_path: Path,
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    failures: list[Exception] = [full, full, DiskFullError("the disk is full")]
    said: list[str] = []

    def start() -> Part:
        if failures:
            raise failures.pop(0)
        return Part(tmp_path)

    service = Service("store", start, "here")
    try:
        delays = []
        for _ in range(3):
            service._next = 0.0  # its time has come
            assert not service.look(said.append)
            assert not service.look(said.append)  # not before the next time
            delays.append(service._delay)
        assert delays == [2.0, 4.0, 8.0]
        assert len(failures) == 0
        assert [line.partition(":")[0] for line in said] == ["store cannot be started"] * 2
        assert "No space left" in said[0]
        assert "the disk is full" in said[1]
        service._next = 0.0
        assert service.look(said.append)
        assert service.running is not None
        service.running.stop()
        wait_for("its end", lambda: service.running is None or not service.look(said.append))
        assert "store ended with code" in said[2]
    finally:
        service.end()


def test_the_answer_of_a_program_that_has_the_port_is_not_that_of_our_server(
    tmp_path: Path,
) -> None:
    argv = [sys.executable, "-c", "print('the port is taken')"]
    server = EmbeddedServer("part", argv, {}, tmp_path / "part.log", tmp_path)
    wait_for("its end", lambda: server.ended() is not None)
    with pytest.raises(ServerError, match="part ended while starting: the port is taken"):
        server.wait_ready(lambda: True, timeout=60)
