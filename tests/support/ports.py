"""Ports for programs that are told a number and bind it seconds later."""

import os
import socket
from itertools import cycle

_FIRST = 10_000
_PER_WORKER = 2_000
_WORKERS = 10
"""Up to 29,999: the system takes ports for outgoing connections, and for who asks for any, from
32,768 up."""
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_start = _FIRST + _worker * _PER_WORKER
_numbers = cycle(range(_start, _start + _PER_WORKER))


def free_ports(count: int) -> list[int]:
    """`count` ports of the loopback interface that are free, and that nobody else will take: each
    process of the tests has numbers of its own, and goes through all before it repeats one."""
    return [_free() for _ in range(count)]


def _free() -> int:
    for _ in range(_PER_WORKER):
        port = next(_numbers)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port is free from {_start} to {_start + _PER_WORKER - 1}")
