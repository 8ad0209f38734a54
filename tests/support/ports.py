"""Ports for programs that are told a number and bind it seconds later."""

import socket
from contextlib import suppress
from itertools import cycle

_RANGES = [range(first, first + 500) for first in range(11_000, 30_000, 500)]
"""The system takes ports for outgoing connections, and for who asks for any, from 32,768 up.
Chromium refuses 10,080."""


def _own_range() -> tuple[socket.socket, range]:
    """A range of which this process holds the first port, so that no other process of tests on this
    machine takes the range while this one lives."""
    for ports in _RANGES:
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", ports.start)), ports[1:]
    raise OSError("every range of ports for tests has an owner: end other runs of the tests")


_held, _ports = _own_range()
_numbers = cycle(_ports)


def free_ports(count: int) -> list[int]:
    """`count` ports of the loopback interface that are free, and that no other process of the tests
    takes. All numbers are used before one is used again."""
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
