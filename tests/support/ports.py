"""Ports for programs that are told a number and bind it seconds later."""

import socket
import tempfile
from itertools import cycle
from pathlib import Path

from filelock import FileLock

_RANGES = [range(first, first + 1_000) for first in range(10_000, 30_000, 1_000)]
"""The system takes ports for outgoing connections, and for who asks for any, from 32,768 up."""
_held: list[FileLock] = []


def _own_range() -> range:
    """A range that no other process of tests on this machine has, until this one ends."""
    for ports in _RANGES:
        lock = FileLock(Path(tempfile.gettempdir(), f"reelwright-test-ports-{ports.start}.lock"))
        try:
            lock.acquire(timeout=0)
        except OSError:  # a Timeout, or the file of another user
            continue
        _held.append(lock)
        return ports
    raise OSError("more processes of tests run on this machine than there are ranges of ports")


_ports = _own_range()
_numbers = cycle(_ports)


def free_ports(count: int) -> list[int]:
    """`count` ports of the loopback interface that are free, and that nobody else will take: each
    process of the tests has numbers of its own, and goes through all before it repeats one."""
    return [_free() for _ in range(count)]


def _free() -> int:
    for _ in _ports:
        port = next(_numbers)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port is free from {_ports.start} to {_ports.stop - 1}")
